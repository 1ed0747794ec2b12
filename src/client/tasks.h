/*
 * tasks.h: the tasks of asyncio as text: circles of tasks that wait for each other, and the tasks themselves, briefly
 * below the threads or in full as a tree (task_tree.c).
 */
#ifndef PYSTUCK_CLIENT_TASKS_H
#define PYSTUCK_CLIENT_TASKS_H

#include "dump.h"
#include "out.h"
#include "print.h"
#include "task_graph.h"

/* What task i waits for, as a phrase: "sleeping, 3.2 s left". */
void tasks_phrase(struct out *o, const struct dump *dump, uint32_t i);
/* "Task-7 handle()" */
void tasks_name(struct out *o, const struct dump *dump, uint32_t i);
/* "12 tasks in 1 loop: 10 waiting, 1 running, 1 ready", without a newline. */
void tasks_summary(struct out *o, const struct dump *dump);
/* Loops that run, then circles and who is led into one. */
void tasks_report(struct out *o, const struct task_graph *g);

/* Below the threads: all that are alike in a line or two. Nothing when there are no loops. 0 or an error. */
int tasks_print_short(struct out *o, const struct dump *dump, const struct print_options *po);
/* For the top of a dump: circles alone. 0 or an error. */
int tasks_print_circles(struct out *o, const struct dump *dump);
/* All of it, as a tree of who awaits whom. 0 or an error. */
int tasks_print(struct out *o, const struct dump *dump, const struct print_options *po);

#endif
