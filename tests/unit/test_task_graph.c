/*
 * test_task_graph.c: circles among tasks, who is led into one, and which tasks are alike.
 * SOURCES: src/client/task_graph.c src/client/deadlock.c src/client/dump.c src/client/dump_tasks.c src/client/dump_suspended.c
 */
#include "../../src/client/task_graph.h"

#include "task_rig.h"

#define N 12

/* By the definition: from whom whom can be reached, over the waits that are certain. */
struct reach {
	uint8_t to[N][N];
	uint8_t edge[N][N];
};

static int is_certain(const struct dump_task *t)
{
	return (t->head.flags & TASK_STILL) && (!(t->head.flags & TASK_ANY) || t->await_count == 1);
}

static void find_reach(struct reach *r, const struct dump *dump)
{
	memset(r, 0, sizeof *r);
	for (size_t i = 0; i < N; i++)
		for (size_t k = 0; is_certain(&dump->tasks[i]) && k < dump->tasks[i].await_count; k++)
			r->to[i][dump->tasks[i].awaits[k]] = r->edge[i][dump->tasks[i].awaits[k]] = 1;
	for (size_t k = 0; k < N; k++)
		for (size_t i = 0; i < N; i++)
			for (size_t j = 0; j < N; j++)
				r->to[i][j] |= r->to[i][k] & r->to[k][j];
}

static int is_stuck(const struct reach *r, uint32_t i)
{
	int stuck = 0;

	for (uint32_t k = 0; k < N; k++)
		stuck |= r->to[k][k] && (k == i || r->to[i][k]);
	return stuck;
}

/* Whether it is in the list; at most once. */
static int has(const uint32_t *list, size_t count, uint32_t one)
{
	int found = 0;

	for (size_t i = 0; i < count; i++)
		found += list[i] == one;
	assert_true(found <= 1);
	return found;
}

/* Each member awaits the next one, the last one the first. */
static void check_circle(const struct task_graph *g, const struct reach *r, size_t circle)
{
	size_t begin = task_graph_begin(g, circle), end = g->deadlocks.ends[circle];

	assert_true(begin < end);
	for (size_t i = begin; i < end; i++)
		assert_true(r->edge[g->deadlocks.members[i]][g->deadlocks.members[i + 1 < end ? i + 1 : begin]]);
}

static void check(const struct dump *dump)
{
	struct task_graph g;
	struct reach r;
	size_t members;

	find_reach(&r, dump);
	assert_int_equal(task_graph_open(&g, dump), 0);
	members = g.deadlocks.count > 0 ? g.deadlocks.ends[g.deadlocks.count - 1] : 0;
	for (size_t i = 0; i < g.deadlocks.count; i++)
		check_circle(&g, &r, i);
	for (uint32_t i = 0; i < N; i++) {
		int member = has(g.deadlocks.members, members, i), led = has(g.deadlocks.led_into, g.deadlocks.led_count, i), found = 0;

		assert_true(!member || r.to[i][i]);
		assert_int_equal(member + led, is_stuck(&r, i));
		/* Of those that can all reach each other at least one circle is told. */
		for (size_t k = 0; r.to[i][i] && k < members; k++)
			found |= g.deadlocks.members[k] == i || (r.to[i][g.deadlocks.members[k]] && r.to[g.deadlocks.members[k]][i]);
		assert_int_equal(found, r.to[i][i]);
	}
	task_graph_close(&g);
}

static void test_task_graph_agrees_with_the_definition(void **state)
{
	enum { ROUNDS = 4000 };
	uint32_t awaits[N];
	struct dump dump;

	(void)state;
	srand(1);
	for (int round = 0; round < ROUNDS; round++) {
		int one_in = 4 + rand() % 16;

		rig_begin(&dump);
		for (uint32_t i = 0; i < N; i++) {
			size_t count = rig_random_awaits(awaits, N, one_in);

			rig_add(&dump, i, awaits, count, (uint8_t)((rand() % 8 ? TASK_STILL : 0) | (rand() % 8 ? 0 : TASK_ANY)));
		}
		rig_end(&dump, 1);
		check(&dump);
		dump_free(&dump);
	}
}

/* --- how sure --- */

/* Two that await each other, the first one as `first` says. */
static enum report_sure sureness(uint8_t flags, uint8_t confidence)
{
	const uint32_t other[] = {1, 0};
	uint8_t ids[FRAME_BYTES];
	struct task_graph g;
	struct dump dump;
	enum report_sure sure;
	char name[16];
	struct msg m = rig_task(name, ids, 0, other, 1);

	rig_begin(&dump);
	m.dump_task.flags = flags;
	if (confidence != WAIT_UNKNOWN) {
		m.dump_task.kind = TASK_FOR_LOCK;
		m.dump_task.awaits.len = 0;
		m.dump_task.holder = RIG_ID(1);
		m.dump_task.confidence = confidence;
	}
	rig_give(&dump, &m, 0);
	rig_add(&dump, 1, &other[1], 1, TASK_STILL);
	rig_end(&dump, 1);
	assert_int_equal(task_graph_open(&g, &dump), 0);
	assert_int_equal(g.deadlocks.count, 1);
	sure = task_graph_sureness(&g, 0);
	task_graph_close(&g);
	dump_free(&dump);
	return sure;
}

static void test_task_graph_circle_is_as_sure_as_its_weakest_wait(void **state)
{
	(void)state;
	assert_int_equal(sureness(TASK_STILL, WAIT_UNKNOWN), REPORT_KNOWN);
	assert_int_equal(sureness(TASK_STILL, WAIT_INFERRED), REPORT_INFERRED);
	assert_int_equal(sureness(TASK_STILL, WAIT_CALLED), REPORT_POSSIBLE);
	assert_int_equal(sureness(TASK_STILL | TASK_TIMED, WAIT_UNKNOWN), REPORT_POSSIBLE);
}

/* --- likeness --- */

/* Whether tasks 0 and 1 are alike when the second one has been changed so. */
static int are_alike(void (*change)(struct msg_dump_task *t))
{
	uint8_t ids[FRAME_BYTES];
	struct task_graph g;
	struct dump dump;
	char name[16];
	int alike;

	rig_begin(&dump);
	for (uint32_t i = 0; i < 2; i++) {
		const uint32_t below = 2 + i;
		struct msg m = rig_task(name, ids, i, &below, 1);

		if (i == 1 && change != NULL)
			change(&m.dump_task);
		rig_give(&dump, &m, 0);
	}
	rig_add(&dump, 2, NULL, 0, TASK_STILL);
	rig_add(&dump, 3, NULL, 0, TASK_STILL);
	rig_end(&dump, 1);
	assert_int_equal(task_graph_open(&g, &dump), 0);
	alike = g.likeness[0] == g.likeness[1];
	assert_true(g.likeness[2] == g.likeness[3] && g.likeness[2] != g.likeness[0]);
	task_graph_close(&g);
	dump_free(&dump);
	return alike;
}

static void change_coroutine(struct msg_dump_task *t)
{
	t->coroutine = span_text("d");
}

static void change_how(struct msg_dump_task *t)
{
	t->how = span_text("gather");
}

static void change_kind(struct msg_dump_task *t)
{
	t->kind = TASK_FOR_LOCK;
}

static void change_state(struct msg_dump_task *t)
{
	t->state = TASK_READY;
}

static void change_cancelled(struct msg_dump_task *t)
{
	t->flags |= TASK_CANCELLED;
}

static void change_awaited(struct msg_dump_task *t)
{
	t->awaits.len = 0;
}

static void change_left(struct msg_dump_task *t)
{
	t->left_us = 5;
}

static void test_task_graph_alike_is_who_differs_in_nothing_but_name_and_time(void **state)
{
	(void)state;
	assert_true(are_alike(NULL));
	assert_true(are_alike(change_left));
	assert_false(are_alike(change_coroutine));
	assert_false(are_alike(change_how));
	assert_false(are_alike(change_kind));
	assert_false(are_alike(change_state));
	assert_false(are_alike(change_cancelled));
	assert_false(are_alike(change_awaited));
}

/* Two that wait for the first of two each, and of whom the dump is not certain: the order of the tasks makes no difference. */
static void test_task_graph_alike_also_without_certainty(void **state)
{
	const uint32_t below[2][2] = {{2, 3}, {4, 5}};

	(void)state;
	for (int children_first = 0; children_first < 2; children_first++) {
		struct task_graph g;
		struct dump dump;

		rig_begin(&dump);
		for (uint32_t i = 2; i < 6 && children_first; i++)
			rig_add(&dump, i, NULL, 0, 0);
		for (uint32_t i = 0; i < 2; i++)
			rig_add(&dump, i, below[i], 2, TASK_STILL | TASK_ANY);
		for (uint32_t i = 2; i < 6 && !children_first; i++)
			rig_add(&dump, i, NULL, 0, 0);
		rig_end(&dump, 1);
		assert_int_equal(task_graph_open(&g, &dump), 0);
		assert_true(g.likeness[children_first ? 4 : 0] == g.likeness[children_first ? 5 : 1]);
		task_graph_close(&g);
		dump_free(&dump);
	}
}

/* --- long ones --- */

static void *open_and_close(void *argument)
{
	struct dump *dump = argument;
	struct task_graph g;
	size_t n = dump->task_count;

	if (task_graph_open(&g, dump) == 0 && g.awaiters[n - 1] == 1)
		dump->begin.gil_wait_us = g.deadlocks.count > 0 ? g.deadlocks.ends[0] : n;
	task_graph_close(&g);
	return NULL;
}

static void test_task_graph_of_long_chains_and_circles_needs_no_recursion(void **state)
{
	struct dump dump;

	(void)state;
	rig_chain(&dump, 100000, 0);
	rig_without_recursion(open_and_close, &dump);
	assert_int_equal(dump.begin.gil_wait_us, 100000);
	dump_free(&dump);
	rig_chain(&dump, 1000, 1);
	rig_without_recursion(open_and_close, &dump);
	assert_int_equal(dump.begin.gil_wait_us, 1000);
	dump_free(&dump);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_task_graph_agrees_with_the_definition),
		cmocka_unit_test(test_task_graph_circle_is_as_sure_as_its_weakest_wait),
		cmocka_unit_test(test_task_graph_alike_is_who_differs_in_nothing_but_name_and_time),
		cmocka_unit_test(test_task_graph_alike_also_without_certainty),
		cmocka_unit_test(test_task_graph_of_long_chains_and_circles_needs_no_recursion),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
