/*
 * family_show.h: `pystuck --children` and `--all`: several processes of this machine, as text or as JSON.
 */
#ifndef PYSTUCK_CLIENT_FAMILY_SHOW_H
#define PYSTUCK_CLIENT_FAMILY_SHOW_H

#include <sys/types.h>

#include "connect.h"
#include "options.h"
#include "out.h"

struct family_show {
	struct out *out;
	const struct options *o;
	int color;
	int out_is_terminal;
	uint8_t flags; /* DUMP_* */
	pid_t of;      /* as in family.h */
};

/* `root`: as in family.h. Gives an enum status, after an error has been said. */
int family_show(const struct family_show *s, struct connection *root);

#endif
