/*
 * task_tree.h: the tree of who awaits whom, with each task's frames. Tasks that are alike are shown once; one that several wait for
 * is shown in one place and referred to in the others; a circle where it closes.
 */
#ifndef PYSTUCK_CLIENT_TASK_TREE_H
#define PYSTUCK_CLIENT_TASK_TREE_H

#include "dump.h"
#include "out.h"
#include "print.h"
#include "task_graph.h"

/* 0 or PYSTUCK_ENOMEM. */
int task_tree_print(struct out *o, const struct task_graph *g, const struct print_options *po);
/* The innermost frame that is not of asyncio itself, in a line; nothing when there is none. */
void task_tree_place(struct out *o, const struct dump *dump, const struct dump_task *t, const char *indent);

#endif
