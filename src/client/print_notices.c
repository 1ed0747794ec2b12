/*
 * print_notices.c: what is said of a dump beside it: that it is not exact, and which words mean none of its threads. The dump itself
 * is print.c's.
 */
#include "print.h"

#include <stdio.h>
#include <string.h>

#include "waits.h"

#define PRINT_NAMES 400 /* bytes of names of threads in a notice */
#define PRINT_NOTE 300  /* of the server's sentence */

size_t print_unmeant(const struct dump *dump, const struct view_options *vo)
{
	size_t unmeant = 0;

	for (size_t i = 0; i < vo->thread_count; i++) {
		char names[PRINT_NAMES] = "";
		size_t used = 0, named = 0;

		if (view_means_any(dump, vo->threads[i]))
			continue;
		for (; named < dump->thread_count && used < sizeof names / 2; named++) {
			used += (size_t)snprintf(names + used, sizeof names - used, "%s", named > 0 ? ", " : "");
			text_copy(names + used, sizeof names - used, waits_thread_name(&dump->threads[named]), TEXT_LINE);
			used += strlen(names + used);
		}
		out_notice("%s is no thread's name, ident or tid; there are: %s%s", vo->threads[i], names,
			named < dump->thread_count ? ", ..." : "");
		unmeant++;
	}
	return unmeant;
}

int print_caveat(char text[static PRINT_CAVEAT], const struct dump *dump)
{
	const char *more = "";
	char note[PRINT_NOTE];

	text_copy(note, sizeof note, dump->begin.note, TEXT_LINE);
	text[0] = '\0';
	/* The server's own sentence where it has one: it knows more. */
	if (dump->begin.how == DUMP_HOW_GIL && *note == '\0')
		return 0;
	if (*note == '\0')
		snprintf(note, sizeof note, "the GIL could not be had in %llu ms",
			(unsigned long long)dump->begin.gil_wait_us / 1000);
	if (dump->begin.how == DUMP_HOW_OS)
		more = "; this is what the operating system knows of the threads";
	else if (dump->begin.how == DUMP_HOW_RAW && !dump->begin.settled)
		more = "; not settled: threads were running, and this is not one moment";
	snprintf(text, PRINT_CAVEAT, "%s%s", note, more);
	return 1;
}

void print_caveats(const struct dump *dump)
{
	char text[PRINT_CAVEAT];

	if (print_caveat(text, dump))
		out_notice("%s", text);
}
