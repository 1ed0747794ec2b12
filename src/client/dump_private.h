/*
 * dump_private.h: how what was received is kept, between dump.c, dump_suspended.c and dump_tasks.c. For these files only.
 */
#ifndef PYSTUCK_CLIENT_DUMP_PRIVATE_H
#define PYSTUCK_CLIENT_DUMP_PRIVATE_H

#include "dump.h"

/* All of them: 0, PYSTUCK_ETOOBIG, PYSTUCK_ENOMEM; dump_stack also PYSTUCK_EFORMAT. */

/* So many bytes more. */
int dump_spend(struct dump *dump, size_t bytes);
/* Room for one more element at *array; all arrays grow by doubling. */
int dump_grow(struct dump *dump, void **array, size_t count, size_t *room, size_t size);
/* Copies text to where it stays as long as the dump. */
int dump_keep(struct dump *dump, struct span *s);
/* Frames as they are sent become indexes into dump.places, in memory that is to be freed also after an error. */
int dump_stack(struct dump *dump, struct span frames, uint32_t **places, size_t *depth);

/* --- dump_suspended.c --- */

int dump_accept_greenlet(struct dump *dump, const struct msg_dump_greenlet *m);
int dump_accept_generator(struct dump *dump, const struct msg_dump_generator *m);
/* All are there: 0 or PYSTUCK_ENOMEM. */
int dump_suspended_end(struct dump *dump);
void dump_suspended_free(struct dump *dump);

/* --- dump_tasks.c --- */

/* A DUMP_LOOP, DUMP_TASK or DUMP_TASKS. */
int dump_tasks_accept(struct dump *dump, const struct msg *m);
/* Ids become indexes, once all are there. 0, PYSTUCK_ENOMEM, PYSTUCK_EFORMAT. */
int dump_tasks_settle(struct dump *dump);
void dump_tasks_free(struct dump *dump);

#endif
