/*
 * dump_tasks.c: collects the loops and tasks of a dump. As in dump.c every index is checked here: who shows them can follow them
 * blindly.
 */
#include "dump_private.h"

#include <stdlib.h>
#include <string.h>

static int accept_loop(struct dump *dump, const struct msg_dump_loop *m)
{
	struct msg_dump_loop loop = *m;
	int rc = dump_grow(dump, (void **)&dump->loops, dump->loop_count, &dump->loop_room, sizeof *dump->loops);

	if (m->loop != dump->loop_count || dump->has_tasks)
		return PYSTUCK_EFORMAT;
	if (rc == 0)
		rc = dump_keep(dump, &loop.type);
	if (rc == 0)
		rc = dump_keep(dump, &loop.callback);
	if (rc == 0)
		dump->loops[dump->loop_count++] = loop;
	return rc;
}

/* Ids stay in the text until all tasks are known: 8 bytes each, and indexes are no longer. */
static int keep_texts(struct dump *dump, struct msg_dump_task *m)
{
	enum { TEXTS = 9 };
	struct span *const texts[TEXTS] = {&m->name, &m->coroutine, &m->awaitable, &m->how, &m->type, &m->object, &m->local, &m->peer, &m->awaits};
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < TEXTS; i++)
		rc = dump_keep(dump, texts[i]);
	return rc;
}

static int accept_task(struct dump *dump, const struct msg_dump_task *m)
{
	struct dump_task t = {.head = *m, .holder = DUMP_NOBODY};
	int rc = dump_grow(dump, (void **)&dump->tasks, dump->task_count, &dump->task_room, sizeof *dump->tasks);

	if (m->id == 0 || m->awaits.len % FRAME_BYTES != 0 || dump->has_tasks || dump->task_count >= DUMP_NOBODY ||
		(m->loop != LOOP_NONE && m->loop >= dump->loop_count))
		return PYSTUCK_EFORMAT;
	t.head.frames = (struct span){(const uint8_t *)"", 0};
	if (rc == 0)
		rc = keep_texts(dump, &t.head);
	if (rc == 0)
		rc = dump_stack(dump, m->frames, &t.places, &t.depth);
	if (rc == 0)
		dump->tasks[dump->task_count++] = t;
	else
		free(t.places);
	return rc;
}

static int accept_head(struct dump *dump, const struct msg_dump_tasks *m)
{
	if (dump->has_tasks || m->tasks != dump->task_count)
		return PYSTUCK_EFORMAT;
	dump->tasks_head = *m;
	dump->has_tasks = 1;
	return 0;
}

int dump_tasks_accept(struct dump *dump, const struct msg *m)
{
	switch (m->type) {
	case MSG_DUMP_LOOP:
		return accept_loop(dump, &m->dump_loop);
	case MSG_DUMP_TASK:
		return accept_task(dump, &m->dump_task);
	default:
		return accept_head(dump, &m->dump_tasks);
	}
}

struct by_id {
	uint64_t id;
	uint32_t task;
};

static int compare_ids(const void *a, const void *b)
{
	const struct by_id *x = a, *y = b;

	return x->id < y->id ? -1 : x->id > y->id;
}

static uint32_t find(const struct by_id *ids, size_t count, uint64_t id)
{
	const struct by_id wanted = {id, 0};
	const struct by_id *found = id != 0 ? bsearch(&wanted, ids, count, sizeof *ids, compare_ids) : NULL;

	return found != NULL ? found->task : DUMP_NOBODY;
}

/* Who is not among the tasks has been left out, or does not exist: it is passed over. */
static int settle_task(struct dump *dump, struct dump_task *t, const struct by_id *ids)
{
	size_t count = t->head.awaits.len / FRAME_BYTES;
	int rc;

	t->holder = find(ids, dump->task_count, t->head.holder);
	if (count == 0)
		return 0;
	rc = dump_spend(dump, count * sizeof *t->awaits);
	if (rc != 0)
		return rc;
	t->awaits = malloc(count * sizeof *t->awaits);
	if (t->awaits == NULL)
		return PYSTUCK_ENOMEM;
	for (size_t i = 0; i < count; i++) {
		uint32_t task = find(ids, dump->task_count, be64_get(t->head.awaits.data + i * FRAME_BYTES));

		if (task != DUMP_NOBODY)
			t->awaits[t->await_count++] = task;
	}
	t->head.awaits = (struct span){(const uint8_t *)"", 0};
	return 0;
}

int dump_tasks_settle(struct dump *dump)
{
	struct by_id *ids;
	int rc = 0;

	if (!dump->has_tasks)
		return dump->task_count + dump->loop_count == 0 ? 0 : PYSTUCK_EFORMAT;
	ids = malloc((dump->task_count + 1) * sizeof *ids);
	if (ids == NULL)
		return PYSTUCK_ENOMEM;
	for (size_t i = 0; i < dump->task_count; i++)
		ids[i] = (struct by_id){dump->tasks[i].head.id, (uint32_t)i};
	qsort(ids, dump->task_count, sizeof *ids, compare_ids);
	for (size_t i = 1; i < dump->task_count; i++)
		if (ids[i].id == ids[i - 1].id)
			rc = PYSTUCK_EFORMAT;
	for (size_t i = 0; rc == 0 && i < dump->task_count; i++)
		rc = settle_task(dump, &dump->tasks[i], ids);
	free(ids);
	return rc;
}

void dump_tasks_free(struct dump *dump)
{
	for (size_t i = 0; i < dump->task_count; i++) {
		free(dump->tasks[i].places);
		free(dump->tasks[i].awaits);
	}
	free(dump->tasks);
	free(dump->loops);
}
