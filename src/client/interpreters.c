/*
 * interpreters.c: which interpreters a process has, and whose a thread is. Their threads are print.c's.
 */
#include "interpreters.h"

#include <stdlib.h>

#define INTERPRETERS_SHOWN 16 /* by name; further ones are counted */

static size_t count_threads(const struct dump *dump, size_t interpreter)
{
	size_t count = 0;

	for (size_t i = 0; i < dump->thread_count; i++)
		count += dump->threads[i].interpreter == interpreter;
	return count;
}

static void print_one(struct out *o, const struct dump *dump, size_t i)
{
	const struct msg_dump_interpreter *in = &dump->interpreters[i];
	const char *between = " (";

	if (in->flags & INTERPRETER_MAIN)
		out_text(o, "main");
	else
		out_number(o, in->id);
	if (in->flags & INTERPRETER_OWN_GIL) {
		out_text(o, " (GIL of its own");
		between = ", ";
		if (in->gil_holder != 0) {
			out_text(o, ", held by tid ");
			out_number(o, in->gil_holder);
		}
	}
	if ((in->flags & INTERPRETER_UNREAD) || count_threads(dump, i) == 0) {
		out_text(o, between);
		out_text(o, in->flags & INTERPRETER_UNREAD ? "its threads could not be read" : "no threads");
		between = ", ";
	}
	out_text(o, *between == ',' ? ")" : "");
}

void interpreters_print(struct out *o, const struct dump *dump)
{
	size_t shown = dump->interpreter_count < INTERPRETERS_SHOWN ? dump->interpreter_count : INTERPRETERS_SHOWN;

	if (dump->interpreter_count < 2)
		return;
	out_number(o, dump->interpreter_count);
	out_text(o, " interpreters: ");
	for (size_t i = 0; i < shown; i++) {
		out_text(o, i > 0 ? ", " : "");
		print_one(o, dump, i);
	}
	if (shown < dump->interpreter_count) {
		out_text(o, " and ");
		out_number(o, dump->interpreter_count - shown);
		out_text(o, " more");
	}
	out_text(o, "\n");
}

void interpreters_of_thread(struct out *o, const struct dump *dump, const struct dump_thread *t, const char *before)
{
	if (t->interpreter >= dump->interpreter_count)
		return;
	out_text(o, before);
	out_text(o, "interpreter ");
	out_number(o, dump->interpreters[t->interpreter].id);
}
