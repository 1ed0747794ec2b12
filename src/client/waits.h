/*
 * waits.h: what a thread waits for, as a phrase for people: "recv on fd 7, TCP 10.0.0.5:43211 -> 10.0.0.9:5432, 0 bytes queued".
 */
#ifndef PYSTUCK_CLIENT_WAITS_H
#define PYSTUCK_CLIENT_WAITS_H

#include "dump.h"
#include "out.h"

/* STATE_*: "on CPU", "in an unknown state". */
const char *waits_state(int state);
/* What the thread does, in words: what it waits for, else the server's more exact word where there is one, else its state. */
void waits_doing(struct out *o, const struct dump *dump, const struct dump_thread *t);
/* 1 when there was something to say; else nothing is written, and the state alone has to do. */
int waits_print(struct out *o, const struct dump *dump, const struct dump_thread *t);
/* The name under which people know a thread: threading's, else the system's. */
struct span waits_thread_name(const struct dump_thread *t);
/* "waiting for event": by the type of lock. */
const char *waits_word(const struct msg_dump_wait *w);
/* "1.5 s", "12 min": of a time in us. */
void waits_duration(struct out *o, uint64_t us);

#endif
