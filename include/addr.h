/*
 * addr.h: where a server is: a Unix socket's path or a TCP host and port; parsed, checked and printed.
 */
#ifndef PYSTUCK_ADDR_H
#define PYSTUCK_ADDR_H

#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "error.h"

#define ADDR_PATH_MAX 107	/* bytes, without the NUL: sun_path is 108 */
#define ADDR_DEFAULT_HOST "127.0.0.1"
#define ADDR_DEFAULT_PORT 6666
#define ADDR_TEXT 320

enum addr_kind { ADDR_NONE = 0, ADDR_UNIX, ADDR_TCP };

struct addr {
	enum addr_kind kind;
	char path[ADDR_PATH_MAX + 1];	/* absolute; ADDR_UNIX */
	char host[256];			/* as given; ADDR_TCP */
	uint16_t port;
};

/*
 * An absolute or relative (made absolute) path of at most ADDR_PATH_MAX bytes, without NUL; "{pid}" in it is replaced by the
 * caller's pid. PYSTUCK_ETOOBIG with the length in the message, PYSTUCK_EINVAL for an empty one or another {word}.
 */
int addr_unix(struct addr *a, const char *path, struct diag *d);
int addr_tcp(struct addr *a, const char *host, long port, struct diag *d);	/* port 0..65535; 0 lets the kernel choose */
/* Text of a port, digits only, 1 to 65535. */
int addr_parse_port(const char *text, uint16_t *port, struct diag *d);
/* Numeric hosts only when numeric_only (for servers), else names are looked up too; the first usable result. */
int addr_resolve(const struct addr *a, int numeric_only, struct sockaddr_storage *out, socklen_t *len, struct diag *d);
/* "/run/x.sock", "127.0.0.1:6666", "[::1]:6666"; safe for a terminal. Returns out. */
char *addr_format(const struct addr *a, char out[static ADDR_TEXT]);

#endif
