/*
 * test_client_profile.c: what dumps come to: by node, function and line, on CPU and waiting apart; and that it stays bounded.
 * SOURCES: src/client/profile.c src/client/profile_sums.c src/client/dump.c src/client/dump_suspended.c src/client/dump_tasks.c src/client/waits.c src/client/out.c src/client/signals.c
 * SOURCES: src/client/connect.c src/client/gone.c src/client/handshake.c src/client/procs.c
 */
#include "../../src/client/profile.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "error.h"

#define DEPTH_MAX 100

/* A thread of a dump: `lines` of f (below 100) and g (the others), outermost first, up to 0. */
struct thread {
	uint32_t tid;
	uint8_t state;
	const char *name;
	const uint32_t *lines;
	uint32_t omitted;
	uint8_t flags;
};

static void give(struct dump *dump, const struct msg *m, int expected)
{
	assert_int_equal(dump_accept(dump, m), expected);
}

static void give_thread(struct dump *dump, const struct thread *t)
{
	static uint8_t frames[DEPTH_MAX * FRAME_BYTES];
	size_t n = 0;

	for (; t->lines[n] != 0; n++) {
		assert_true(n < DEPTH_MAX);
		be32_put(frames + n * FRAME_BYTES, t->lines[n] < 100 ? 0 : 1);
		be32_put(frames + n * FRAME_BYTES + 4, t->lines[n]);
	}
	give(dump,
		&(struct msg){.type = MSG_DUMP_THREAD,
			.dump_thread = {.ident = 7000 + t->tid, .tid = t->tid, .state = t->state, .flags = t->flags,
				.name = span_text(t->name), .class_name = span_text("Thread"), .omitted_frames = t->omitted,
				.frames = {frames, n * FRAME_BYTES}}},
		0);
}

static void add_dump(struct profile *p, const struct thread *threads, size_t count)
{
	struct dump dump;

	dump_init(&dump);
	give(&dump, &(struct msg){.type = MSG_DUMP_BEGIN, .dump_begin = {.id = 1, .how = DUMP_HOW_RAW}}, 0);
	for (uint32_t i = 0; i < 2; i++)
		give(&dump,
			&(struct msg){.type = MSG_DUMP_CODE,
				.dump_code = {.code = i, .file = span_text("a.py"), .function = span_text(i == 0 ? "f" : "g")}},
			0);
	for (size_t i = 0; i < count; i++)
		give_thread(&dump, &threads[i]);
	give(&dump, &(struct msg){.type = MSG_DUMP_END, .dump_end = {.id = 1}}, 1);
	assert_int_equal(profile_add(p, &dump), 0);
	dump_free(&dump);
}

static void add_one(struct profile *p, uint8_t state, const uint32_t *lines)
{
	const struct thread t = {.tid = 1, .state = state, .name = "main", .lines = lines};

	add_dump(p, &t, 1);
}

static const struct profile_row *row_of(const struct profile *p, const struct profile_row *rows, size_t count, const char *function,
	uint32_t line)
{
	for (size_t i = 0; i < count; i++) {
		const struct profile_place *place = &p->places[rows[i].place];

		if (p->codes[place->code].function.data[0] == (uint8_t)function[0] && (line == 0 || place->line == line))
			return &rows[i];
	}
	return NULL;
}

static void check_count(struct profile_count c, uint64_t cpu, uint64_t wait)
{
	assert_int_equal(c.cpu, cpu);
	assert_int_equal(c.wait, wait);
}

static const uint32_t in_f[] = {10, 0}, in_g[] = {11, 100, 0}, recursive[] = {10, 12, 10, 12, 0};

static void test_profile_tells_self_from_total_by_function(void **state)
{
	struct profile p;
	struct profile_row *rows;
	const struct profile_row *row;
	size_t count;

	(void)state;
	profile_init(&p);
	add_one(&p, STATE_CPU, in_f);
	add_one(&p, STATE_CPU, in_g);
	add_one(&p, STATE_CPU, in_g);
	rows = profile_functions(&p, PROFILE_NONE, 0, &count);
	assert_int_equal(count, 2);
	assert_ptr_equal(row_of(&p, rows, count, "g", 0), rows);
	check_count(rows[0].self, 2, 0);
	check_count(rows[0].total, 2, 0);
	row = row_of(&p, rows, count, "f", 0);
	check_count(row->self, 1, 0);
	check_count(row->total, 3, 0);
	free(rows);
	rows = profile_lines(&p, PROFILE_NONE, 0, &count);
	assert_int_equal(count, 3);
	check_count(row_of(&p, rows, count, "f", 11)->total, 2, 0);
	free(rows);
	assert_int_equal(p.samples, 3);
	profile_free(&p);
}

static void test_profile_counts_recursion_once(void **state)
{
	struct profile p;
	struct profile_row *rows;
	size_t count;

	(void)state;
	profile_init(&p);
	add_one(&p, STATE_CPU, recursive);
	rows = profile_functions(&p, PROFILE_NONE, 0, &count);
	assert_int_equal(count, 1);
	check_count(rows[0].total, 1, 0);
	free(rows);
	rows = profile_lines(&p, PROFILE_NONE, 0, &count);
	assert_int_equal(count, 2);
	check_count(row_of(&p, rows, count, "f", 10)->total, 1, 0);
	check_count(row_of(&p, rows, count, "f", 12)->self, 1, 0);
	free(rows);
	profile_free(&p);
}

static void test_profile_keeps_waiting_apart(void **state)
{
	static const uint8_t states[] = {STATE_CPU, STATE_GC, STATE_SLEEP, STATE_LOCK, STATE_IO, STATE_UNKNOWN};
	struct profile p;
	struct profile_count *totals;

	(void)state;
	profile_init(&p);
	for (size_t i = 0; i < sizeof states; i++)
		add_one(&p, states[i], in_g);
	check_count(p.threads[0].total, 2, 4);
	assert_int_equal(p.threads[0].states[STATE_LOCK], 1);
	assert_int_equal(p.unknown, 1);
	assert_int_equal(p.node_count, 3);
	totals = profile_totals(&p);
	check_count(totals[p.threads[0].node], 2, 4);
	check_count(profile_self(&p.nodes[2]), 2, 4);
	check_count(profile_self(&p.nodes[1]), 0, 0);
	free(totals);
	profile_free(&p);
}

static void test_profile_keeps_threads_apart_and_believes_no_stack_that_moved(void **state)
{
	const struct thread first[] = {{1, STATE_CPU, "a", in_f, 0, 0}, {2, STATE_SLEEP, "b", in_g, 0, 0}};
	const struct thread then[] = {{3, STATE_CPU, "b", in_f, 0, THREAD_MOVING}, {1, STATE_CPU, "a", in_f, 0, 0}};
	struct profile p;
	struct profile_row *rows;
	size_t count;

	(void)state;
	profile_init(&p);
	add_dump(&p, first, 2);
	add_dump(&p, then, 2);
	assert_int_equal(p.thread_count, 3);
	check_count(p.threads[0].total, 2, 0);
	check_count(p.threads[1].total, 0, 1);
	check_count(p.threads[2].total, 1, 0);
	assert_int_equal(p.threads[2].moving, 1);
	rows = profile_functions(&p, 2, 0, &count);
	assert_int_equal(count, 1);
	assert_memory_equal(p.codes[p.places[rows[0].place].code].function.data, "(ran on", 7);
	free(rows);
	rows = profile_functions(&p, 1, 1, &count);
	assert_int_equal(count, 2);
	check_count(rows[0].self, 0, 1);
	free(rows);
	profile_free(&p);
}

static void test_profile_says_that_outer_frames_are_missing(void **state)
{
	const struct thread t = {1, STATE_CPU, "a", in_f, 5, 0};
	struct profile p;

	(void)state;
	profile_init(&p);
	add_dump(&p, &t, 1);
	assert_int_equal(p.node_count, 3);
	assert_int_equal(p.codes[p.places[p.nodes[1].place].code].function.data[0], '(');
	check_count(profile_self(&p.nodes[2]), 1, 0);
	profile_free(&p);
}

static void test_profile_shows_a_thread_without_frames(void **state)
{
	static const uint32_t none[] = {0};
	struct profile p;
	struct profile_row *rows;
	size_t count;

	(void)state;
	profile_init(&p);
	add_one(&p, STATE_IO, none);
	check_count(p.threads[0].total, 0, 1);
	rows = profile_functions(&p, PROFILE_NONE, 0, &count);
	assert_int_equal(count, 0);
	free(rows);
	profile_free(&p);
}

static void test_profile_of_more_threads_than_it_has_room_for_loses_none(void **state)
{
	struct profile p;
	uint64_t seen = 0;

	(void)state;
	profile_init(&p);
	p.threads_max = 20;
	for (uint32_t i = 0; i < 70; i++) {
		const struct thread t = {i + 1, STATE_CPU, "a", in_f, 0, 0};

		add_dump(&p, &t, 1);
	}
	assert_int_equal(p.thread_count, 20);
	assert_int_equal(p.threads[19].name.len, 0);
	assert_int_equal(p.threads[19].total.cpu, 51);
	for (uint32_t i = 0; i < p.thread_count; i++)
		seen += p.threads[i].total.cpu;
	assert_int_equal(seen, p.samples);
	profile_free(&p);
}

/* Each dump has another stack: the tree stops growing, and counts what it has no room for where there is some. */
static void test_profile_of_more_stacks_than_it_has_room_for_loses_none(void **state)
{
	static uint32_t lines[DEPTH_MAX];
	struct profile p;
	struct profile_count *totals;

	(void)state;
	profile_init(&p);
	p.nodes_max = 5000;
	for (uint32_t i = 0; i < 60; i++) {
		for (uint32_t k = 0; k < DEPTH_MAX - 1; k++)
			lines[k] = 1 + (k == 0 ? i : k) % 5000;
		add_one(&p, STATE_CPU, lines);
	}
	assert_int_equal(p.node_count, 5000);
	assert_true(p.unplaced > 0);
	totals = profile_totals(&p);
	check_count(totals[p.threads[0].node], p.samples, 0);
	free(totals);
	profile_free(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_profile_tells_self_from_total_by_function),
		cmocka_unit_test(test_profile_counts_recursion_once),
		cmocka_unit_test(test_profile_keeps_waiting_apart),
		cmocka_unit_test(test_profile_keeps_threads_apart_and_believes_no_stack_that_moved),
		cmocka_unit_test(test_profile_says_that_outer_frames_are_missing),
		cmocka_unit_test(test_profile_shows_a_thread_without_frames),
		cmocka_unit_test(test_profile_of_more_threads_than_it_has_room_for_loses_none),
		cmocka_unit_test(test_profile_of_more_stacks_than_it_has_room_for_loses_none),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
