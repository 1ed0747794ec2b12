/*
 * saved_reader.h: what the readers of saved dumps share: one file that is being read, its errors, and members of objects. For
 * saved.c, saved_thread.c and saved_frames.c alone.
 */
#ifndef PYSTUCK_CLIENT_SAVED_READER_H
#define PYSTUCK_CLIENT_SAVED_READER_H

#include "saved.h"

struct saved_reader {
	struct jsonread *json;
	const struct saved_sink *sink;
	struct saved_head head;
	struct saved_thread thread;
	struct saved_frame frame;
	struct buf texts;    /* of the thread: offsets until it is whole, see saved_settle */
	struct buf of_frame; /* the same of the frame */
	uint32_t *places;
	size_t place_room;
	int error;         /* of the sink, or of memory */
	const char *wrong; /* what is not as it should be, of what is JSON */
};

/* Both -1; the first error is the one that counts. saved_fail: PYSTUCK_E*; saved_wrong: a sentence, which is kept. */
int saved_fail(struct saved_reader *r, int code);
int saved_wrong(struct saved_reader *r, const char *what);

#define SAVED_NAME 24 /* a member's, and a NUL: longer ones mean nothing here */

/*
 * A member's name and the first token of its value, which takes the name's place in the reader: hence the copy, "" for one that is
 * too long to mean anything. JSONREAD_OBJECT_END, JSONREAD_ERROR: there is none.
 */
enum jsonread_token saved_member(struct saved_reader *r, char name[static SAVED_NAME]);
/*
 * Calls member(r, name, value) for each member of an object that has begun; it takes the rest of a value that is an object or an
 * array. 0, or -1.
 */
int saved_members(struct saved_reader *r, int (*member)(struct saved_reader *, struct span name, enum jsonread_token value));

/* The texts of what is read move when more come: until all are there, a span has its place instead of its address. */
void saved_note(struct saved_reader *r, struct buf *texts, struct span *s, enum jsonread_token value);
void saved_settle(const struct buf *texts, struct span *s);

/* Names of members with the field that each fills. */
struct saved_text {
	const char *name;
	size_t offset;
};

#define SAVED_COUNT(array) (sizeof(array) / sizeof(array)[0])
#define SAVED_AT(type, field) offsetof(struct type, field)

/* NULL: no text has this name. */
struct span *saved_text_field(void *object, const struct saved_text *texts, size_t count, struct span name);

/* Arrays that have begun: "frames", into r->places; "threads", each to the sink. 0, or -1. */
int saved_frames_read(struct saved_reader *r);
int saved_threads_read(struct saved_reader *r);

#endif
