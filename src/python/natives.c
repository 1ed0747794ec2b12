/*
 * natives.c: all threads of the process but those that are in the dump already. What they do is found out as for the others.
 */
#include <Python.h>

#include "natives.h"

#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "msg.h"
#include "ours.h"

#define OUR_NAME "pystuck"

static int by_tid(const void *key, const void *item)
{
	pid_t x = *(const pid_t *)key, y = ((const struct wait_before *)item)->tid;

	return x < y ? -1 : x > y;
}

/* One byte for each thread of the process: 1 when it is in the dump. NULL: no memory. */
static uint8_t *find_known(const struct frames *f, const struct wait_list *before)
{
	uint8_t *known = calloc(before->before_count, 1);

	for (uint32_t i = 0; known != NULL && i < f->thread_count; i++) {
		pid_t tid = (pid_t)f->threads[i].tid;
		const struct wait_before *found = bsearch(&tid, before->before, before->before_count, sizeof *found, by_tid);

		if (found != NULL)
			known[found - before->before] = 1;
	}
	return known;
}

static int add(struct frames *f, pid_t tid)
{
	int rc = f->native_count < NATIVES_MAX ? frames_reserve(f, 1, 0, 0) : PYSTUCK_ETOOBIG;

	if (rc != 0)
		return rc;
	f->threads[f->thread_count++] = (struct frames_thread){.tid = (uint32_t)tid, .native = 1};
	f->native_count++;
	return 0;
}

void natives_add(struct frames *f, const struct wait_list *before)
{
	uint8_t *known = before->before_count > 0 ? find_known(f, before) : NULL;

	for (size_t i = 0; known != NULL && i < before->before_count; i++)
		if (!known[i] && !ours_has(before->before[i].tid) && add(f, before->before[i].tid) != 0)
			f->omitted_natives++;
	free(known);
}

void natives_hide(struct waits_view *view)
{
	size_t len = sizeof OUR_NAME - 1;

	if (strncmp(view->name, OUR_NAME, len) == 0 && (view->name[len] == '\0' || view->name[len] == '-'))
		view->exists = 0;
	/* Python's own, which is about to begin. */
	if (view->state == STATE_GIL)
		view->exists = 0;
}
