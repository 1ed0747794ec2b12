/*
 * task_graph.h: tasks that wait for tasks: circles among them, and which tasks are alike with all that they wait for. Pure functions
 * over a dump; the words are tasks.c's.
 */
#ifndef PYSTUCK_CLIENT_TASK_GRAPH_H
#define PYSTUCK_CLIENT_TASK_GRAPH_H

#include "deadlock.h"
#include "dump.h"
#include "report.h"

struct task_graph {
	const struct dump *dump;
	struct deadlocks deadlocks; /* members and led_into are indexes into dump.tasks */
	uint32_t *awaiters;         /* for each task by how many others it is awaited */
	uint64_t *likeness;         /* equal for tasks that are alike: the same frames, waits, and tasks below them */
};

/* 0 or PYSTUCK_ENOMEM; task_graph_close in any case. No recursion: a chain may be as long as it likes. */
int task_graph_open(struct task_graph *g, const struct dump *dump);
void task_graph_close(struct task_graph *g);

/* The first member of a circle in g->deadlocks.members. */
size_t task_graph_begin(const struct task_graph *g, size_t circle);
enum report_sure task_graph_sureness(const struct task_graph *g, size_t circle);

#endif
