/*
 * raw_names.h: what threading knows of the threads, read from its dict in raw memory. And the parts of that which are of use by
 * themselves: looking up a key in a dict, an attribute of an object.
 */
#ifndef PYSTUCK_PYTHON_RAW_NAMES_H
#define PYSTUCK_PYTHON_RAW_NAMES_H

#include <stdint.h>

#include "raw_layout.h"
#include "raw_mem.h"

#define RAW_NAME_MAX 128u        /* bytes of a thread's name, of its class's */
#define RAW_ENTRIES_MAX 1048576u /* of a dict; longer ones are not looked into */

/* The entries of a dict, copied. {0} is none. */
struct raw_dict {
	struct raw_array entries;
	uint32_t most; /* set by who reads: so many entries are copied at most; 0: all */
	uint32_t count;
	uint32_t key, value, size; /* offsets in an entry, and its length */
	struct raw_array values;   /* of a dict that shares its keys with others: one for each entry */
	int split;
};

/* 1 when there was an exact dict at this address. Free it in any case. */
int raw_dict_read(struct raw_dict *d, struct raw_mem *m, const struct raw_layout *l, uintptr_t dict);
void raw_dict_free(struct raw_dict *d);
/* Entry i; 0 when there is none (any more). */
uintptr_t raw_dict_key(const struct raw_dict *d, uint32_t i);
uintptr_t raw_dict_value(const struct raw_dict *d, uint32_t i);
/* The value for a key that is this very object (names in programs are interned); 0: none. */
uintptr_t raw_dict_find(const struct raw_dict *d, uintptr_t key);

/* A non-negative int; UINT64_MAX: it is none, or too big. */
uint64_t raw_int_read(struct raw_mem *m, const struct raw_layout *l, uintptr_t object);

/* The attributes that an object has of its own, as a dict: 1 when they could be read. */
int raw_attributes_read(struct raw_dict *d, struct raw_mem *m, const struct raw_layout *l, uintptr_t object);

/* The name of a type as C has it, without the module. How many bytes. */
size_t raw_type_name(struct raw_mem *m, const struct raw_layout *l, uintptr_t type, char *out, size_t most);

/* What threading._active says of one thread. */
struct raw_name {
	uint64_t ident;
	int daemon;
	uint32_t native_id; /* 0: not known */
	size_t name_len, class_len;
	char name[RAW_NAME_MAX], class_name[RAW_NAME_MAX];
};

/*
 * Calls `take` for each entry of threading._active; 1 when that could be read. Attributes that are no plain ones (a property of a
 * subclass) are not recognised as such: what is read is what the object stores.
 */
int raw_names_read(struct raw_mem *m, const struct raw_layout *l, void (*take)(void *to, const struct raw_name *name), void *to);

#endif
