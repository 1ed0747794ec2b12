/*
 * raw_code.h: what code objects are called and where their lines are, copied out of raw memory. Copies of one epoch were made
 * between two passes over the frames: frames that are the same in both have kept their code objects alive meanwhile.
 */
#ifndef PYSTUCK_PYTHON_RAW_CODE_H
#define PYSTUCK_PYTHON_RAW_CODE_H

#include <stdint.h>

#include "buf.h"
#include "raw_frames.h"
#include "raw_layout.h"
#include "raw_mem.h"

#define RAW_CODES_MAX 1000000u
#define RAW_FUNCTION_MAX 1024u             /* bytes of a function's qualified name */
#define RAW_FILE_MAX 4096u                 /* bytes of a file name */
#define RAW_TABLE_MAX (4u * 1024 * 1024)   /* bytes of a line table; lines of longer ones stay unknown */
#define RAW_TEXT_MAX (64u * 1024 * 1024)   /* bytes of all of them together */

/* Where a text lies in raw_codes.text. */
struct raw_text {
	uint32_t at, len;
};

struct raw_code {
	uintptr_t address;
	uintptr_t first;       /* address of the instruction that offsets count from; 0 on 3.10 */
	uintptr_t traceable;   /* of the first one of the function's own */
	uint32_t flags;
	int32_t line;
	struct raw_text file, function, table; /* names in UTF-8 */
	int known; /* 0: no code object was there */
};

struct raw_codes {
	struct raw_array items, text, slots, scratch;
	uint32_t count, text_used, slot_count;
	uint32_t epoch; /* items from here on are of this epoch */
	int cut;        /* a text had no room */
};

/* {0} is empty. */
void raw_codes_free(struct raw_codes *c);

static inline struct raw_code *raw_codes_item(const struct raw_codes *c, uint32_t i)
{
	return (struct raw_code *)c->items.at + i;
}

static inline struct span raw_codes_text(const struct raw_codes *c, struct raw_text t)
{
	struct span s = {NULL, t.len};

	if (t.len > 0)
		s.data = (const uint8_t *)c->text.at + t.at;
	return s;
}

/*
 * A new epoch: copies the code of every step in p. 0, PYSTUCK_ENOMEM or PYSTUCK_ETOOBIG (RAW_CODES_MAX); in any case
 * raw_codes_find tells what is known.
 */
int raw_codes_read(struct raw_codes *c, struct raw_mem *m, const struct raw_layout *l, const struct raw_pass *p);
/* The item of this epoch with this address, or NULL. */
struct raw_code *raw_codes_find(const struct raw_codes *c, uintptr_t address);

/*
 * The line of the instruction at `offset` bytes; 0: unknown.
 */
uint32_t raw_code_line(const struct raw_codes *c, const struct raw_layout *l, uint32_t item, int32_t offset);

/* What the head of a str says: RAW_STR_MAX bytes at most, layout.str_bytes of them, copied from `address`. */
struct raw_str {
	uintptr_t data; /* address of its characters */
	size_t chars;
	unsigned kind; /* bytes of a character: 1, 2, 4; 0: not to be read */
	int ascii;
};

struct raw_str raw_str_view(const struct raw_layout *l, uintptr_t address, const uint8_t *head);
/* Character number i of copied ones. */
uint32_t raw_str_char(const uint8_t *data, unsigned kind, size_t i);

/*
 * A str, as at most `most` bytes of UTF-8, whole characters. How many bytes; 0 when it is empty or no str. For single ones:
 * raw_codes_read has a faster way for many.
 */
size_t raw_str_read(struct raw_mem *m, const struct raw_layout *l, uintptr_t str, char *out, size_t most);

#endif
