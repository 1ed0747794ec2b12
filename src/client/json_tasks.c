/*
 * json_tasks.c: the loops and tasks of a dump as JSON.
 */
#include "json_private.h"

#include "task_graph.h"

static void loop(struct json *j, const struct msg_dump_loop *l)
{
	element(j);
	begin(j, "{");
	key_known_address(j, "address", l->address);
	key_string(j, "class", l->type);
	key_bool(j, "running", l->flags & LOOP_RUNS);
	key_number_or_null(j, "tid", l->tid);
	key_known_address(j, "task", l->task);
	key_text(j, "callback", l->callback);
	if (l->flags & LOOP_BUSY)
		json_key_seconds(j, "busy_seconds", l->busy_us);
	if (l->flags & LOOP_COUNTS) {
		key_number(j, "ready", l->ready);
		key_number(j, "scheduled", l->scheduled);
	}
	end(j, "}");
}

static void holder(struct json *j, const struct dump *dump, const struct dump_task *t)
{
	if (t->holder == DUMP_NOBODY)
		return;
	key(j, "holder");
	begin(j, "{");
	key_known_address(j, "id", dump->tasks[t->holder].head.id);
	key_string(j, "name", dump->tasks[t->holder].head.name);
	end(j, "}");
	key_string(j, "confidence", span_text(confidence_name(t->head.confidence)));
}

static void waits_for(struct json *j, const struct dump *dump, const struct dump_task *t)
{
	int pretty = j->pretty;

	key(j, "waits_for");
	if (t->head.kind == TASK_FOR_NONE) {
		out_text(j->o, "null");
		return;
	}
	j->pretty = 0;
	begin(j, "{");
	key_string(j, "kind", span_text(task_wait_name(t->head.kind)));
	key_text(j, "how", t->head.how);
	key_text(j, "type", t->head.type);
	key_text(j, "name", t->head.object);
	key_known_address(j, "address", t->head.address);
	holder(j, dump, t);
	if (t->head.flags & TASK_ANY)
		key_bool(j, "any", 1);
	if (t->head.flags & TASK_TIMED)
		key_bool(j, "timed", 1);
	if (t->head.flags & TASK_LEFT)
		json_key_seconds(j, "seconds_left", t->head.left_us);
	if (t->head.flags & TASK_COUNT)
		key_number(j, "items", t->head.count);
	if (t->head.flags & TASK_FD)
		key_number(j, "fd", t->head.fd);
	key_text(j, "local", t->head.local);
	key_text(j, "peer", t->head.peer);
	key_text(j, "awaitable", t->head.awaitable);
	end(j, "}");
	j->pretty = pretty;
}

static void ids(struct json *j, const char *name, const struct dump *dump, const uint32_t *list, size_t count)
{
	int pretty = j->pretty;
	char text[24];

	key(j, name);
	j->pretty = 0;
	begin(j, "[");
	for (size_t i = 0; i < count; i++) {
		element(j);
		snprintf(text, sizeof text, "0x%llx", (unsigned long long)dump->tasks[list[i]].head.id);
		string(j, span_text(text));
	}
	end(j, "]");
	j->pretty = pretty;
}

static void task(struct json *j, struct json_frames *f, const struct dump *dump, const struct dump_task *t)
{
	element(j);
	begin(j, "{");
	key_known_address(j, "id", t->head.id);
	key_string(j, "name", t->head.name);
	key_string(j, "coroutine", t->head.coroutine);
	key(j, "loop");
	if (t->head.loop != LOOP_NONE)
		out_number(j->o, t->head.loop);
	else
		out_text(j->o, "null");
	key_string(j, "state", span_text(task_state_name(t->head.state)));
	key_bool(j, "cancelled", t->head.flags & TASK_CANCELLED);
	key_bool(j, "eager", t->head.flags & TASK_EAGER);
	key_bool(j, "settled", (t->head.flags & TASK_STILL) != 0 || t->head.state != TASK_WAITS);
	waits_for(j, dump, t);
	ids(j, "awaits", dump, t->awaits, t->await_count);
	key_number(j, "omitted_awaits", t->head.omitted_awaits);
	json_frames(j, f, t->places, t->depth);
	key_number(j, "omitted_frames", t->head.omitted_frames);
	end(j, "}");
}

static int deadlocks(struct json *j, const struct dump *dump)
{
	struct task_graph g;
	int rc = task_graph_open(&g, dump);

	key(j, "task_deadlocks");
	begin(j, "[");
	for (size_t i = 0; rc == 0 && i < g.deadlocks.count; i++) {
		size_t first = task_graph_begin(&g, i);

		element(j);
		begin(j, "{");
		ids(j, "members", dump, g.deadlocks.members + first, g.deadlocks.ends[i] - first);
		key_string(j, "confidence", span_text(report_sure_name(task_graph_sureness(&g, i))));
		end(j, "}");
	}
	end(j, "]");
	if (rc == 0)
		ids(j, "tasks_led_into", dump, g.deadlocks.led_into, g.deadlocks.led_count);
	task_graph_close(&g);
	return rc;
}

static void costs(struct json *j, const struct msg_dump_tasks *m)
{
	key(j, "tasks_gil");
	begin(j, "{");
	key_number(j, "took_us", m->took_us);
	key_number(j, "held_us", m->held_us);
	key_number(j, "longest_us", m->longest_us);
	end(j, "}");
}

int json_tasks(struct json *j, struct json_frames *f, const struct dump *dump)
{
	int rc;

	if (!dump->has_tasks)
		return 0;
	key(j, "loops");
	begin(j, "[");
	for (size_t i = 0; i < dump->loop_count; i++)
		loop(j, &dump->loops[i]);
	end(j, "]");
	rc = deadlocks(j, dump);
	key(j, "tasks");
	begin(j, "[");
	for (size_t i = 0; i < dump->task_count; i++)
		task(j, f, dump, &dump->tasks[i]);
	end(j, "]");
	key_number(j, "omitted_tasks", dump->tasks_head.omitted);
	costs(j, &dump->tasks_head);
	return rc;
}
