/*
 * dump.h: asks for a dump and collects it in memory, checked and in order: the main thread first,
 * each frame pointing to a place in the source. How it looks is for print.c and json.c.
 */
#ifndef PYSTUCK_CLIENT_DUMP_H
#define PYSTUCK_CLIENT_DUMP_H

#include <stdint.h>

#include "connect.h"
#include "error.h"
#include "msg.h"

#define DUMP_BYTES_MAX (256u << 20) /* memory for one dump: far above what a server sends */

#define DUMP_NOBODY UINT32_MAX

struct dump_code {
	struct span file;
	struct span function;
};

/* A line of a function: what a frame points to. Thousands of threads share a few of them. */
struct dump_place {
	uint32_t code;
	uint32_t line;      /* 0: unknown */
	struct span source; /* empty: unknown */
};

struct dump_local {
	uint32_t frame; /* index into the thread's places */
	uint32_t order; /* as received */
	struct span name;
	struct span value;
};

struct dump_thread {
	struct msg_dump_thread head; /* .frames is empty: see places */
	uint32_t *places;            /* indexes into dump.places, outermost first */
	size_t depth;
	size_t first_local; /* in dump.locals, sorted by frame */
	size_t local_count;
	struct msg_dump_wait wait; /* all zero: nothing is known */
	int has_wait;
	uint32_t holder; /* index into dump.threads of who has what it waits for; DUMP_NOBODY */
	uint32_t interpreter; /* index into dump.interpreters; 0 also where there are none */
};

/* In the answer to a request of its own: with places, and all it refers to, of that one. */
struct dump_greenlet {
	struct msg_dump_greenlet head; /* .frames is empty: see places */
	uint32_t *places;
	size_t depth;
};

struct dump_generator {
	struct msg_dump_generator head; /* the same */
	uint32_t *places;
	size_t depth;
};

struct dump_task {
	struct msg_dump_task head; /* .frames and .awaits are empty: see below */
	uint32_t *places;          /* indexes into dump.places, outermost first */
	size_t depth;
	uint32_t *awaits; /* indexes into dump.tasks of those that it waits for */
	size_t await_count;
	uint32_t holder; /* index into dump.tasks of who has what it waits for; DUMP_NOBODY */
};

struct dump_chunk;

/* Read the fields; only dump.c writes them. Spans point into memory of the dump. */
struct dump {
	struct msg_dump_begin begin;
	struct msg_dump_end end;
	struct dump_code *codes;
	struct dump_place *places;
	struct dump_thread *threads;
	struct dump_local *locals;
	struct msg_dump_interpreter *interpreters; /* where there are several; the first of them is the main one */
	size_t interpreter_count, interpreter_room;
	struct dump_thread *natives; /* threads without Python: no frames, no ident */
	size_t native_count, native_room;
	struct msg_dump_natives natives_head;
	int has_natives; /* natives_head has come: threads are natives from then on */
	struct msg_dump_loop *loops;
	struct dump_task *tasks;
	struct msg_dump_tasks tasks_head;
	size_t loop_count, loop_room;
	size_t task_count, task_room;
	size_t code_count, code_room;
	size_t place_count, place_room;
	size_t thread_count, thread_room;
	size_t local_count, local_room;
	struct dump_greenlet *greenlets;
	struct dump_generator *generators;
	uint32_t *by_address; /* indexes into greenlets, once the dump is complete */
	size_t greenlet_count, greenlet_room;
	size_t generator_count, generator_room;
	const char *what; /* is asked for, in words; NULL: the stacks */
	uint8_t asked; /* DUMP_* of that request */
	struct dump *suspended; /* greenlets and generators, by suspended.h; NULL: not asked for */
	int begun, complete;
	int has_tasks; /* tasks_head has come */
	uint32_t *index; /* hash of (code, line) -> place + 1; a power of two in size */
	size_t index_size;
	struct dump_chunk *chunks;
	size_t bytes; /* of everything above */
};

void dump_init(struct dump *dump);
void dump_free(struct dump *dump);
/*
 * 1 when the dump is not all there is to know: taken without Python's frames, or without the GIL when
 * that was not asked for (`flags` are those of the request), or something was left out.
 */
int dump_is_degraded(const struct dump *dump, uint8_t flags);

/*
 * Takes the next message of the answer. 1 complete, 0 more to come, PYSTUCK_EFORMAT (something that
 * makes no sense: an unknown code, a frame too many), PYSTUCK_ETOOBIG (DUMP_BYTES_MAX),
 * PYSTUCK_ENOMEM.
 */
int dump_accept(struct dump *dump, const struct msg *m);

/* The greenlet with this address in a complete dump of greenlets; NULL: none. */
const struct dump_greenlet *dump_find_greenlet(const struct dump *dump, uint64_t address);
/* Queues the request; `flags` are DUMP_*. */
int dump_ask(struct connection *c, uint32_t id, uint8_t flags, struct diag *d);
/*
 * Waits for the answer to the request `id`. 0, PYSTUCK_EPERM (the role does not allow it), or an
 * error of the connection. DUMP_STOPPED when `stop_fd` (-1: none) is readable: to go on, call it
 * again; not to, clear the dump and connect_abandon the request.
 */
#define DUMP_STOPPED 1
int dump_await(struct connection *c, uint32_t id, struct dump *dump, int64_t deadline, int stop_fd,
	struct diag *d);

#endif
