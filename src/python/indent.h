/*
 * indent.h: how far to indent the line after an unfinished input. Looks at the characters only;
 * knows brackets, strings and comments, not Python's grammar. No Python.h.
 */
#ifndef PYSTUCK_PYTHON_INDENT_H
#define PYSTUCK_PYTHON_INDENT_H

#include <stddef.h>

struct indent {
	const char *line; /* the last line, in the text that was scanned */
	size_t white;     /* its leading white space, in bytes */
	int indented;     /* it begins with white space, and is not empty */
	int opens;        /* it ends with the colon of a block */
	int in_string;    /* it ends inside a triple-quoted string */
	int depth;        /* brackets that are open */
	char last;        /* the last character of the last line that means something; 0: none */
};

void indent_scan(struct indent *out, const char *text, size_t len);
/* Writes the white space for the next line, always NUL-terminated, cut when there is no room. */
void indent_next(const struct indent *end, char *out, size_t size);

#endif
