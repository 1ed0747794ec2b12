/*
 * host_listener.h: what one request of run_server() becomes: a listening socket, its key, its log. Which listeners there are,
 * and when they open and close, is host.c's.
 */
#ifndef PYSTUCK_PYTHON_HOST_LISTENER_H
#define PYSTUCK_PYTHON_HOST_LISTENER_H

#include "host.h"
#include "server.h"

/*
 * No GIL. Opens what r says. *per_process: a forked child can have one of its own; in_child: only then is one opened. *o holds
 * all that server_add wants: r->keys is in it, and is r's until that has succeeded. 0, or an error with a sentence.
 */
int host_listener_open(const struct host_request *r, int in_child, struct server_listener_options *o, int *per_process,
	struct diag *d);
/* Closes what server_add did not take. */
void host_listener_undo(const struct host_request *r, struct server_listener_options *o);

/* No GIL. What of r can be checked before its signal comes; relative paths are made absolute. */
int host_listener_prepare(struct host_request *r, struct diag *d);
/*
 * No GIL, no net thread. For the log: r's signal came, and this is what became of it. `audit` NULL: one is made for the purpose where r
 * wants a log.
 */
void host_listener_tell(const struct host_request *r, struct audit *audit, const char *what);

#endif
