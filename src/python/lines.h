/*
 * lines.h: from instruction offsets to line numbers, and from line numbers to the text in the
 * source file. Needs the code objects to be held, but not the GIL: what it reads of them never
 * changes.
 */
#ifndef PYSTUCK_PYTHON_LINES_H
#define PYSTUCK_PYTHON_LINES_H

#include <Python.h>
#include <stdint.h>

#include "frames.h"

#define LINES_TEXT_MAX 1000u                /* bytes of one source line */
#define LINES_TEXTS_MAX (16u * 1024 * 1024) /* bytes of all source lines of a dump */
#define LINES_FILE_MAX (8u * 1024 * 1024)   /* of a source file so many bytes are read */
#define LINES_READ_MS 1000                  /* files that have not been read by then stay unread */

/* An instruction that at least one frame is at. */
struct lines_spot {
	uint32_t code;            /* index into frames.codes */
	int32_t offset;           /* in bytes */
	uint32_t line;            /* 0: unknown */
	uint32_t twin;            /* the spot that stands for all those of the same code and line */
	struct pytext_ref source; /* the source line without indentation; empty: none */
	uint32_t indent;          /* so many bytes of it have been left out */
};

struct lines {
	struct lines_spot *spots;
	uint32_t spot_count, spot_capacity;
	uint32_t *slots;     /* hash table over spots: index + 1, 0 for none */
	uint32_t slot_count; /* a power of two */
	struct pytext text;
};

/* Module init: notes the working directory, for relative file names. */
void lines_init(void);

/*
 * Finds the line of every frame; frames[i].offset is replaced by the index of its spot. 0, or
 * PYSTUCK_ENOMEM: then the dump is of no use any more. lines_free in any case.
 */
int lines_find(struct lines *l, struct frames *f);
/* The same for frames without code objects (raw.c): `codes` is for line_of, which tells the line. */
typedef uint32_t lines_of_frame(const void *codes, uint32_t code, int32_t offset);
int lines_find_by(struct lines *l, struct frames *f, lines_of_frame *line_of, const void *codes);
/*
 * Reads the source lines of all spots: from regular files only, without any loader, as they are now
 * (a file that has been edited since shows its new text). Names like <string> have none. What
 * cannot be read stays empty.
 */
void lines_read(struct lines *l, const struct frames *f);
void lines_free(struct lines *l);

/*
 * The line of the instruction at `offset` bytes, by a code object's co_linetable and
 * co_firstlineno: as PyCode_Addr2Line, with 0 for an instruction that has no line.
 */
uint32_t lines_decode(struct span table, int first_line, int32_t offset);

#endif
