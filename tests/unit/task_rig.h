/*
 * task_rig.h: a dump with tasks, put together of the messages that a server sends; for the tests of what the client makes of them.
 */
#ifndef PYSTUCK_TESTS_TASK_RIG_H
#define PYSTUCK_TESTS_TASK_RIG_H

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../src/client/dump.h"
#include "msg.h"

#define RIG_STACK (256u * 1024) /* of the thread that must do without recursion */
#define RIG_AWAITS_MAX 4096u

/* Task i has the id 100 + i and the name "t<i>". */
#define RIG_ID(i) (100 + (uint64_t)(i))

static inline void rig_give(struct dump *dump, const struct msg *m, int expected)
{
	assert_int_equal(dump_accept(dump, m), expected);
}

static inline void rig_begin(struct dump *dump)
{
	dump_init(dump);
	rig_give(dump, &(struct msg){.type = MSG_DUMP_BEGIN, .dump_begin = {.id = 1}}, 0);
}

/* A task that waits at one moment with all others of its kind for these tasks, by their numbers, all of them. */
static inline struct msg rig_task(char name[static 16], uint8_t *ids, uint32_t i, const uint32_t *awaits, size_t count)
{
	assert_true(count <= RIG_AWAITS_MAX);
	snprintf(name, 16, "t%u", i);
	for (size_t k = 0; k < count; k++)
		be64_put(ids + k * FRAME_BYTES, RIG_ID(awaits[k]));
	return (struct msg){.type = MSG_DUMP_TASK,
		.dump_task = {.id = RIG_ID(i),
			.loop = LOOP_NONE,
			.state = TASK_WAITS,
			.flags = TASK_STILL,
			.kind = TASK_FOR_TASKS,
			.name = span_text(name),
			.coroutine = span_text("c"),
			.awaits = {ids, count * FRAME_BYTES}}};
}

static inline void rig_add(struct dump *dump, uint32_t i, const uint32_t *awaits, size_t count, uint8_t flags)
{
	static uint8_t ids[RIG_AWAITS_MAX * FRAME_BYTES];
	char name[16];
	struct msg m = rig_task(name, ids, i, awaits, count);

	m.dump_task.flags = flags;
	rig_give(dump, &m, 0);
}

static inline void rig_end(struct dump *dump, int expected)
{
	rig_give(dump,
		&(struct msg){.type = MSG_DUMP_TASKS, .dump_tasks = {.flags = TASKS_IMPORTED, .tasks = (uint32_t)dump->task_count}}, 0);
	rig_give(dump, &(struct msg){.type = MSG_DUMP_END, .dump_end = {.id = 1}}, expected);
}

/* Each awaits the next; of a circle the last one the first. */
static inline void rig_chain(struct dump *dump, uint32_t count, int circle)
{
	rig_begin(dump);
	for (uint32_t i = 0; i < count; i++) {
		uint32_t next = (i + 1) % count;

		rig_add(dump, i, &next, next != 0 || circle, TASK_STILL);
	}
	rig_end(dump, 1);
}

/* Some awaits of one task, each other task once. */
static inline size_t rig_random_awaits(uint32_t *awaits, uint32_t n, int one_in)
{
	size_t count = 0;

	for (uint32_t k = 0; k < n; k++)
		if (rand() % one_in == 0)
			awaits[count++] = k;
	return count;
}

/* On a stack that a recursion over thousands of tasks would run out of. */
static inline void rig_without_recursion(void *(*run)(void *), void *argument)
{
	pthread_attr_t attributes;
	pthread_t thread;

	assert_int_equal(pthread_attr_init(&attributes), 0);
	assert_int_equal(pthread_attr_setstacksize(&attributes, RIG_STACK), 0);
	assert_int_equal(pthread_create(&thread, &attributes, run, argument), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	(void)pthread_attr_destroy(&attributes);
}

#endif
