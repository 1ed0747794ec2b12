/*
 * view.h: which threads of a dump are shown as text, in what order, and which of them as one. How they look is print.c's. JSON has
 * all threads, each by itself.
 */
#ifndef PYSTUCK_CLIENT_VIEW_H
#define PYSTUCK_CLIENT_VIEW_H

#include <stddef.h>
#include <stdint.h>

#include "moved.h"
#include "report.h"

/* {0}: everything. */
struct view_options {
	const char *const *threads; /* those that one of these means; see view_means */
	size_t thread_count;        /* 0: all */
	uint32_t frames;            /* so many of each thread, the innermost; 0: all */
	int no_group;
	const struct moved_list *moved; /* threads that did not do the same are not one; NULL: nothing is known */
};

/* Threads that are shown as one: view.members from `first` on. */
struct view_block {
	size_t first, count;
};

struct view {
	uint32_t *members; /* indexes into dump.threads */
	struct view_block *blocks;
	size_t block_count;
	size_t shown; /* threads in all blocks */
};

/*
 * The main thread comes first, then those in a deadlock, those led into one, those that wait, the longest first, those that run,
 * and workers of pools that have nothing to do. Of one block are threads with the same frames that wait for the same thing; the main
 * thread is one by itself. 0 or PYSTUCK_ENOMEM; view_close in any case.
 */
int view_open(struct view *v, const struct report *r, const struct view_options *o);
void view_close(struct view *v);

/* Whether a word means the thread: its name, a pattern of names as for a shell, its ident or its tid. */
int view_means(const struct dump_thread *t, const char *word);
/* Whether it is shown with those that have no Python (natives.h): Python knows it, but it is not in Python. */
int view_is_native(const struct dump *dump, const struct dump_thread *t);
/* Whether it is one of those that are wanted. */
int view_is_chosen(const struct view_options *o, const struct dump_thread *t);
/* Whether it means any thread of the dump. */
int view_means_any(const struct dump *dump, const char *word);

#endif
