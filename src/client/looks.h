/*
 * looks.h: `pystuck --diff A B` and `--merge FILES`: dumps that were saved, without a server.
 */
#ifndef PYSTUCK_CLIENT_LOOKS_H
#define PYSTUCK_CLIENT_LOOKS_H

#include "options.h"
#include "out.h"

struct looks_options {
	const struct options *o;
	struct out *out;
	int color;
	int pretty; /* of JSON: for a person */
};

/* Each gives an enum status, after errors have been said. */
int looks_diff(const struct looks_options *l);
int looks_merge(const struct looks_options *l);

#endif
