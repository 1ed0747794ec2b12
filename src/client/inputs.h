/*
 * inputs.h: what was run at this prompt, by the number of its cell: for %history and %save. The history of all sessions is
 * history.h's.
 */
#ifndef PYSTUCK_CLIENT_INPUTS_H
#define PYSTUCK_CLIENT_INPUTS_H

#include <stdint.h>

#include "error.h"
#include "out.h"

#define INPUTS_MAX 10000 /* the oldest go first */

struct inputs {
	struct input {
		uint32_t cell;
		char *text;
	} *list;
	size_t count;
};

void inputs_free(struct inputs *i);
void inputs_add(struct inputs *i, uint32_t cell, const char *text); /* copies; without memory it is not kept */
/* "3: text" for the last `most` of them. */
void inputs_show(const struct inputs *i, struct out *o, size_t most);
/*
 * Writes those with cells from `first` to `last` to a new file, each with a newline. *written: how many. 0, or PYSTUCK_ESYS
 * with a sentence; a file that is there already is left alone.
 */
int inputs_save(const struct inputs *i, const char *path, uint32_t first, uint32_t last, size_t *written, struct diag *d);

#endif
