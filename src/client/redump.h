/*
 * redump.h: a saved dump as the dump it was, so that all that can be shown of a dump can be shown of a saved one. Without variables.
 */
#ifndef PYSTUCK_CLIENT_REDUMP_H
#define PYSTUCK_CLIENT_REDUMP_H

#include "dump.h"
#include "saved.h"

struct redump {
	struct dump dump;
	struct saved_head head;
};

/*
 * The first dump of a file: 0, or an error with a sentence that does not name the file: PYSTUCK_EFORMAT, PYSTUCK_ENOMEM, PYSTUCK_ETOOBIG.
 * dump_free is the caller's in any case.
 */
int redump_read(struct redump *r, int fd, struct diag *d);

#endif
