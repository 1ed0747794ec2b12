/*
 * saved.h: dumps that were saved as JSON (docs/dump.schema.json), read one after the other: a file may have many, behind each other
 * or as children of others. What is done with them is the sink's business.
 */
#ifndef PYSTUCK_CLIENT_SAVED_H
#define PYSTUCK_CLIENT_SAVED_H

#include "error.h"
#include "jsonread.h"
#include "msg.h"

#define SAVED_FRAMES_MAX 100000 /* of a thread: far above what a server sends */

/* What is known of a dump so far; complete at its end. Texts live until the next call of the sink. */
struct saved_head {
	uint64_t schema, pid;
	uint64_t time_ns; /* 0: not known */
	int how;          /* DUMP_HOW_* */
	int settled;
	int has_threads;
	uint64_t omitted_threads;
};

struct saved_frame {
	struct span file, function, source;
	uint32_t line; /* 0: not known */
};

/* A thread as a server would have sent it; in `wait` what the JSON has of it. */
struct saved_thread {
	struct msg_dump_thread head; /* .frames is empty: see places */
	struct msg_dump_wait wait;
	const uint32_t *places; /* what the sink made of its frames, outermost first */
	size_t depth;
};

/*
 * Which frame comes below which, as it stands in the files: many dumps of a program say the same over and over, and comparing is ten
 * times faster than reading. NULL: no memory; it works without one.
 */
struct saved_cache;
struct saved_cache *saved_cache_new(void);
void saved_cache_free(struct saved_cache *c);

/* 0, or an error that ends all: PYSTUCK_ENOMEM, PYSTUCK_ETOOBIG. */
struct saved_sink {
	void *context;
	struct saved_cache *cache; /* for as long as the numbers of places mean the same; may be NULL */
	int (*frame)(void *context, const struct saved_frame *f, uint32_t *place);
	int (*thread)(void *context, const struct saved_head *head, const struct saved_thread *t);
	int (*end)(void *context, const struct saved_head *head);
};

/*
 * Reads all dumps of a file to its end. 0; PYSTUCK_EFORMAT: something else is in it, or it is cut off, with a sentence that names
 * neither the file nor its name; or an error of the sink. What was read before an error has gone to the sink; a dump is whole only
 * when sink->end was called. *dumps: how many were.
 */
int saved_read(struct jsonread *r, const struct saved_sink *sink, size_t *dumps, struct diag *d);

#endif
