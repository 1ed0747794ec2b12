/*
 * loops.c: words for event loops: where each runs, what it runs now, and for how long that has held it up. Tasks are tasks.c's.
 */
#include "loops.h"

#include "tasks.h"
#include "waits.h"

#define BUSY_US 100000u     /* a loop that has not looked for events for so long is worth a word */
#define BLOCKED_US 1000000u /* and for so long, one on top */

static void loop_name(struct out *o, const struct dump *dump, const struct msg_dump_loop *l)
{
	out_safe(o, l->type.len > 0 ? l->type : span_text("loop"), TEXT_LINE);
	for (size_t i = 0; l->tid != 0 && i < dump->thread_count; i++)
		if (dump->threads[i].head.tid == l->tid) {
			out_text(o, " in thread ");
			out_safe(o, waits_thread_name(&dump->threads[i]), TEXT_LINE);
		}
	if (l->tid != 0) {
		out_text(o, " (tid ");
		out_number(o, l->tid);
		out_text(o, ")");
	}
}

static uint32_t task_by_id(const struct dump *dump, uint64_t id)
{
	for (size_t i = 0; id != 0 && i < dump->task_count; i++)
		if (dump->tasks[i].head.id == id)
			return (uint32_t)i;
	return DUMP_NOBODY;
}

/* The task, or the callback, that a loop runs now. */
static void print_running(struct out *o, const struct dump *dump, const struct msg_dump_loop *l)
{
	uint32_t task = task_by_id(dump, l->task);

	if (task != DUMP_NOBODY)
		tasks_name(o, dump, task);
	else
		out_safe(o, l->callback, TEXT_LINE);
}

/* For how long a loop has not looked for events; of one that does not tell, as uvloop's, by how long its thread has stood still in a task. */
static uint64_t busy_us(const struct dump *dump, const struct msg_dump_loop *l)
{
	uint64_t us = (l->flags & LOOP_BUSY) ? l->busy_us : 0;

	for (size_t i = 0; i < dump->thread_count && l->task != 0; i++) {
		const struct dump_thread *t = &dump->threads[i];

		if (t->head.tid == l->tid && (t->wait.flags & WAIT_SINCE) && t->wait.waited_us > us)
			us = t->wait.waited_us;
	}
	return us;
}

void loops_print_blocked(struct out *o, const struct dump *dump)
{
	for (size_t i = 0; i < dump->loop_count; i++) {
		const struct msg_dump_loop *l = &dump->loops[i];
		uint64_t us = busy_us(dump, l);

		if (us < BLOCKED_US)
			continue;
		out_text(o, "Blocked event loop: ");
		loop_name(o, dump, l);
		out_text(o, " has not looked for events for ");
		waits_duration(o, us);
		out_text(o, l->task != 0 || l->callback.len > 0 ? "; it runs " : "");
		print_running(o, dump, l);
		out_text(o, "\n");
	}
}

void loops_print_one(struct out *o, const struct dump *dump, const struct msg_dump_loop *l)
{
	uint32_t task = task_by_id(dump, l->task);
	int runs = task != DUMP_NOBODY || l->callback.len > 0;

	out_text(o, "Loop ");
	loop_name(o, dump, l);
	out_text(o, !(l->flags & LOOP_RUNS) ? ": does not run" : runs ? ": runs " : (l->flags & LOOP_BUSY) ? ": busy" : ": waits for events");
	print_running(o, dump, l);
	if ((l->flags & LOOP_BUSY) && l->busy_us >= BUSY_US) {
		out_text(o, "; blocked: it has not looked for events for ");
		waits_duration(o, l->busy_us);
	}
	if ((l->flags & LOOP_COUNTS) && l->ready + l->scheduled > 0) {
		out_text(o, "; ");
		out_number(o, l->ready);
		out_text(o, l->ready == 1 ? " callback is due, " : " callbacks are due, ");
		out_number(o, l->scheduled);
		out_text(o, l->scheduled == 1 ? " timer" : " timers");
	}
	out_text(o, "\n");
}
