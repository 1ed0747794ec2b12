/*
 * raw_mem.h: memory as the reader without the GIL sees it: it may be gone, or change while it is read. Reading is a function,
 * so that the same walkers run over a live process, and over the made-up images of the fuzzer. Also here: the reader's own
 * arrays, which come from the kernel. Without malloc: who holds its lock may be what the program is stuck in.
 */
#ifndef PYSTUCK_PYTHON_RAW_MEM_H
#define PYSTUCK_PYTHON_RAW_MEM_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* One of many ranges that are read together. */
struct raw_piece {
	uintptr_t from;
	void *to;
	size_t len;
	int ok; /* set: all of it was read; else `to` is undefined */
};

struct raw_mem {
	/* 1 when all bytes were read. len is not 0. */
	int (*read)(struct raw_mem *m, uintptr_t from, void *to, size_t len);
	/* The same for many pieces, for less; NULL: one after the other. */
	void (*gather)(struct raw_mem *m, struct raw_piece *pieces, size_t count);
};

static inline int raw_mem_read(struct raw_mem *m, uintptr_t from, void *to, size_t len)
{
	return len == 0 || (from != 0 && from <= UINTPTR_MAX - len && m->read(m, from, to, len));
}

static inline int raw_mem_word(struct raw_mem *m, uintptr_t from, uintptr_t *word)
{
	return raw_mem_read(m, from, word, sizeof *word);
}

static inline void raw_mem_gather(struct raw_mem *m, struct raw_piece *pieces, size_t count)
{
	if (m->gather != NULL) {
		m->gather(m, pieces, count);
		return;
	}
	for (size_t i = 0; i < count; i++)
		pieces[i].ok = raw_mem_read(m, pieces[i].from, pieces[i].to, pieces[i].len);
}

/* A field of a structure that has been copied, at this offset. */
static inline uintptr_t raw_mem_field(const void *copy, size_t offset)
{
	uintptr_t word;

	memcpy(&word, (const uint8_t *)copy + offset, sizeof word);
	return word;
}

static inline int32_t raw_mem_field32(const void *copy, size_t offset)
{
	int32_t word;

	memcpy(&word, (const uint8_t *)copy + offset, sizeof word);
	return word;
}

/* An array of the reader's own. {NULL, 0} is an empty one. */
struct raw_array {
	void *at;
	size_t bytes; /* room, not contents */
};

/* Room for `need` bytes, what was there stays. 0; PYSTUCK_ETOOBIG when that is over `most`; PYSTUCK_ENOMEM. */
int raw_array_grow(struct raw_array *a, size_t need, size_t most);
void raw_array_free(struct raw_array *a);

/*
 * Another memory, by pages that are read once: for many small things that lie close together, where it does no harm that they are
 * not all of one moment.
 */
#define RAW_PAGES 128u         /* that are kept; a power of two */
#define RAW_FETCHED 128u       /* pieces that are fetched together */
#define RAW_FETCHED_BYTES 512u /* of each */
struct raw_pages {
	struct raw_mem mem; /* first */
	struct raw_mem *under;
	struct raw_array copies;   /* of the pages, then of the pieces */
	uintptr_t kept[RAW_PAGES]; /* address of each, 0: none yet */
	uint8_t places[RAW_PAGES]; /* where its copy is */
	uint8_t used;              /* places */
	struct raw_piece fetched[RAW_FETCHED];
	uint8_t index[2 * RAW_FETCHED]; /* by the hash of a piece's page: its number from 1 on; 0: none */
};

/* Without memory for it, it reads from the other one. raw_pages_close in any case. */
void raw_pages_open(struct raw_pages *p, struct raw_mem *under);
void raw_pages_close(struct raw_pages *p);
/*
 * For small things that lie far apart: reads up to RAW_FETCHED pieces together, which takes a tenth of the time, and has them in place
 * of those before. Of what is wanted `from` and `len` are looked at; what is too long, or not there, is passed over.
 */
void raw_pages_fetch(struct raw_pages *p, const struct raw_piece *wanted, size_t count);

/*
 * This process's own memory, by system calls that fail at a bad address instead of crashing: pwritev(2) into a memory file, or
 * process_vm_readv(2) where that may not be. Both need no privilege and do not mind a process that is not dumpable.
 */
struct raw_own {
	struct raw_mem mem; /* first */
	int fd;             /* -1: by process_vm_readv */
	uint8_t *window;    /* the memory file, mapped */
	int sys;            /* errno of why neither works */
};

/* Any thread, no GIL. 0, or PYSTUCK_ESYS with `sys`. raw_own_close in any case. */
int raw_own_open(struct raw_own *o);
void raw_own_close(struct raw_own *o);

/*
 * For a thread that reads many times: from raw_own_keep on, what is freed or closed on it stays mapped and open for the next time, until
 * raw_own_let_go, which it has to call before it ends. Mapping is what the rest of the program notices most: each unmapping interrupts
 * the processors that its threads run on. `block`: bytes that are mapped at once, of which the arrays get theirs as long as there are
 * any; these arrays are all freed on this thread before raw_own_let_go. 0: each array is mapped by itself.
 */
void raw_own_keep(size_t block);
void raw_own_let_go(void);

#endif
