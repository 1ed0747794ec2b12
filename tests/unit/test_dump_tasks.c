/*
 * test_dump_tasks.c: loops and tasks as they come from a server: ids become indexes, and what makes no sense is refused.
 * SOURCES: src/client/dump.c src/client/dump_tasks.c src/client/dump_suspended.c
 */
#include "../../src/client/dump.h"

#include "task_rig.h"

static struct msg make_loop(uint32_t index)
{
	return (struct msg){.type = MSG_DUMP_LOOP, .dump_loop = {.loop = index, .address = 77, .type = span_text("Loop")}};
}

static void test_dump_tasks_ids_become_indexes(void **state)
{
	const uint32_t awaits[] = {2, 9, 0}; /* nobody has said who 9 is */
	struct msg loop = make_loop(0);
	uint8_t ids[3 * FRAME_BYTES];
	struct dump dump;
	char name[16];
	struct msg m = rig_task(name, ids, 1, awaits, 3);

	(void)state;
	rig_begin(&dump);
	rig_give(&dump, &loop, 0);
	rig_add(&dump, 2, NULL, 0, 0);
	m.dump_task.holder = RIG_ID(0);
	m.dump_task.loop = 0;
	rig_give(&dump, &m, 0);
	memset(name, 'x', sizeof name - 1); /* what it was given is no longer needed */
	memset(ids, 0, sizeof ids);
	rig_add(&dump, 0, NULL, 0, 0);
	rig_end(&dump, 1);
	assert_int_equal(dump.task_count, 3);
	assert_true(span_equals(dump.tasks[1].head.name, "t1"));
	assert_int_equal(dump.tasks[1].await_count, 2);
	assert_int_equal(dump.tasks[1].awaits[0], 0);
	assert_int_equal(dump.tasks[1].awaits[1], 2);
	assert_int_equal(dump.tasks[1].holder, 2);
	assert_int_equal(dump.tasks[0].holder, DUMP_NOBODY);
	assert_true(span_equals(dump.loops[0].type, "Loop"));
	dump_free(&dump);
}

/* Who holds a lock may have been left out: then nobody is said to. */
static void test_dump_tasks_unknown_holder_is_nobody(void **state)
{
	uint8_t ids[FRAME_BYTES];
	struct dump dump;
	char name[16];
	struct msg m = rig_task(name, ids, 0, NULL, 0);

	(void)state;
	rig_begin(&dump);
	m.dump_task.holder = RIG_ID(5);
	rig_give(&dump, &m, 0);
	rig_end(&dump, 1);
	assert_int_equal(dump.tasks[0].holder, DUMP_NOBODY);
	dump_free(&dump);
}

/* One message too many, that makes no sense behind a loop and the task 0. */
static void refuses(void (*spoil)(struct msg *m))
{
	struct msg loop = make_loop(0);
	uint8_t ids[FRAME_BYTES];
	struct dump dump;
	char name[16];
	struct msg m = rig_task(name, ids, 1, NULL, 0);

	rig_begin(&dump);
	rig_give(&dump, &loop, 0);
	rig_add(&dump, 0, NULL, 0, 0);
	spoil(&m);
	rig_give(&dump, &m, PYSTUCK_EFORMAT);
	dump_free(&dump);
}

static void without_id(struct msg *m)
{
	m->dump_task.id = 0;
}

static void with_half_an_id(struct msg *m)
{
	m->dump_task.awaits.len = FRAME_BYTES / 2;
}

static void in_no_loop(struct msg *m)
{
	m->dump_task.loop = 1;
}

static void as_a_loop_out_of_order(struct msg *m)
{
	*m = make_loop(2);
}

static void as_an_end_that_counts_others(struct msg *m)
{
	*m = (struct msg){.type = MSG_DUMP_TASKS, .dump_tasks = {.tasks = 2}};
}

static void test_dump_tasks_refuses_what_makes_no_sense(void **state)
{
	(void)state;
	refuses(without_id);
	refuses(with_half_an_id);
	refuses(in_no_loop);
	refuses(as_a_loop_out_of_order);
	refuses(as_an_end_that_counts_others);
}

static void test_dump_tasks_refuses_one_id_twice(void **state)
{
	struct dump dump;

	(void)state;
	rig_begin(&dump);
	rig_add(&dump, 0, NULL, 0, 0);
	rig_add(&dump, 1, NULL, 0, 0);
	rig_add(&dump, 0, NULL, 0, 0);
	rig_end(&dump, PYSTUCK_EFORMAT);
	dump_free(&dump);
}

static void test_dump_tasks_refuses_tasks_behind_their_end_and_without_one(void **state)
{
	struct msg end = {.type = MSG_DUMP_TASKS}, loop = make_loop(0);
	struct dump dump;

	(void)state;
	for (int i = 0; i < 2; i++) {
		rig_begin(&dump);
		rig_give(&dump, &end, 0);
		rig_give(&dump, i ? &loop : &end, PYSTUCK_EFORMAT);
		dump_free(&dump);
	}
	rig_begin(&dump);
	rig_add(&dump, 0, NULL, 0, 0);
	rig_give(&dump, &(struct msg){.type = MSG_DUMP_END, .dump_end = {.id = 1}}, PYSTUCK_EFORMAT);
	dump_free(&dump);
}

/* In any order, with ids that nobody has among them: each finds whom it was given. */
static void test_dump_tasks_finds_everybody_in_any_order(void **state)
{
	enum { TASKS = 500 };
	uint32_t order[TASKS];
	struct dump dump;

	(void)state;
	srand(1);
	for (uint32_t i = 0; i < TASKS; i++) {
		uint32_t k = (uint32_t)rand() % (i + 1);

		order[i] = order[k];
		order[k] = i;
	}
	rig_begin(&dump);
	for (uint32_t i = 0; i < TASKS; i++) {
		const uint32_t awaits[] = {order[i] * 7 % TASKS, TASKS + i, order[i]};

		rig_add(&dump, order[i], awaits, 3, TASK_STILL);
	}
	rig_end(&dump, 1);
	for (uint32_t i = 0; i < TASKS; i++) {
		const struct dump_task *t = &dump.tasks[i];

		assert_int_equal(t->await_count, 2);
		assert_int_equal(dump.tasks[t->awaits[0]].head.id, RIG_ID(order[i] * 7 % TASKS));
		assert_int_equal(t->awaits[1], i);
	}
	dump_free(&dump);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_dump_tasks_ids_become_indexes),
		cmocka_unit_test(test_dump_tasks_unknown_holder_is_nobody),
		cmocka_unit_test(test_dump_tasks_refuses_what_makes_no_sense),
		cmocka_unit_test(test_dump_tasks_refuses_one_id_twice),
		cmocka_unit_test(test_dump_tasks_refuses_tasks_behind_their_end_and_without_one),
		cmocka_unit_test(test_dump_tasks_finds_everybody_in_any_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
