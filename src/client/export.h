/*
 * export.h: a profile as a file, in the format that its name's ending says: .svg, .json, .txt, .html.
 */
#ifndef PYSTUCK_CLIENT_EXPORT_H
#define PYSTUCK_CLIENT_EXPORT_H

#include "error.h"
#include "out.h"
#include "sample.h"

/* What a page shows besides the profile. */
struct export_page {
	const struct msg_welcome *peer;
	const struct dump *dump; /* of all threads, with what they wait for; NULL: there is none */
};

/*
 * Whether such a file can be written: the ending, the directory, what is there already. It makes nothing. 0, or an error with a
 * sentence. For before the sampling, so that it is not for nothing.
 */
int export_check(const char *path, struct diag *d);
/* Whether the file is one that shows what an export_page has. */
int export_wants_page(const char *path);
/*
 * Writes the file, mode 0600 as all that comes from a program, whole or not at all: in the place of one that is there. 0 or an error
 * with a sentence.
 */
int export_write(const char *path, const struct sample *s, const struct export_page *page, struct diag *d);

/* Collapsed stacks: a line for each, outermost first, with how often; who waited has that as the innermost. */
void export_collapsed(struct out *o, const struct sample *s);

#endif
