/*
 * context.h: what is being typed at the end of a text: a name, an attribute of something, a key, a file's name. Looks at the
 * characters only: knows brackets, strings, comments and dots, not Python's grammar, and no objects. No Python.h.
 */
#ifndef PYSTUCK_PYTHON_CONTEXT_H
#define PYSTUCK_PYTHON_CONTEXT_H

#include <stddef.h>

enum context_kind {
	CONTEXT_NOTHING, /* a number, a comment, an expression that would have to be run */
	CONTEXT_NAME,
	CONTEXT_ATTRIBUTE, /* of `object` */
	CONTEXT_KEY,       /* of `object`; with a quote: within it */
	CONTEXT_FILE,      /* within a string */
	CONTEXT_IMPORT,    /* a dotted name of a module */
	CONTEXT_FROM,      /* a name in the module `object` */
	CONTEXT_ARGUMENT,  /* of the % command `object` */
};

/* A part of the text. */
struct context_part {
	size_t at, len;
};

struct context {
	enum context_kind kind;
	struct context_part object;
	size_t from; /* where the word that is being typed begins; it ends with the text */
	char quote;  /* that the word is in; 0: none */
	int has_call;
	struct context_part callee; /* of the innermost call that is still open */
};

/* Names, keys and attributes in a row: a.b['c'][0]. No spaces, no calls. */
void context_find(struct context *out, const char *text, size_t len);

/* One step of such a row. */
enum context_step_kind { CONTEXT_STEP_NAME, CONTEXT_STEP_KEY, CONTEXT_STEP_INDEX, CONTEXT_STEP_STRING };
struct context_step {
	enum context_step_kind kind; /* the first is NAME or STRING (a literal, at most one); later ones are not STRING */
	const char *text;            /* of NAME and KEY; no escapes in it */
	size_t len;
	long index; /* of INDEX */
};
/*
 * Takes the first step of the row at *text. 1, 0 at the end, -1 for what is no such row (a key with a backslash, a slice).
 * `first`: the row begins here.
 */
int context_step(struct context_step *step, const char **text, const char *end, int first);

#endif
