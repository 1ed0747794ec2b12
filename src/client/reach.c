/*
 * reach.c: from the command line to a connection: which server is meant, which key it takes. The
 * search itself is find.c's, the conversation main.c's.
 */
#include "reach.h"

#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "addr.h"
#include "dial.h"
#include "find.h"
#include "inject.h"
#include "keyfile.h"

#define KEY_TRIES 6     /* of one key, where the server is flooded */
#define KEY_PAUSE_MS 10 /* in between: a flood is not made worse */

struct reach {
	const struct options *o;
	struct connection *c; /* once there is one */
	int may_ask;          /* of several servers the user may choose */
};

/* --key, $PYSTUCK_KEY, ~/.config/pystuck/key. */
static int key_path(const struct options *o, char path[static PATH_MAX], struct diag *d)
{
	const char *env = getenv("PYSTUCK_KEY"), *config = getenv("XDG_CONFIG_HOME"),
		   *home = getenv("HOME");
	const char *given = o->key != NULL ? o->key : env;
	int n = -1;

	if (given != NULL && *given != '\0')
		n = snprintf(path, PATH_MAX, "%s", given);
	else if (config != NULL && *config == '/')
		n = snprintf(path, PATH_MAX, "%s/pystuck/key", config);
	else if (home != NULL && *home != '\0')
		n = snprintf(path, PATH_MAX, "%s/.config/pystuck/key", home);
	if (n > 0 && n < PATH_MAX)
		return 0;
	return diag_set(d, PYSTUCK_EINVAL, 0,
		"no key file: a TCP server needs one; name it with --key (pystuck --keygen FILE "
		"makes "
		"a new key)");
}

/* The server of the process, which gets one if it has none. */
static int locate_or_inject(const struct options *o, struct addr *a, int *fd, int may_ask, struct diag *d)
{
	int rc = find_pid(a, fd, o->inject, may_ask, d);

	if (rc != PYSTUCK_ENOENT)
		return rc;
	rc = inject_server(o->inject, o->timeout_ms, d);
	return rc != 0 ? rc : find_pid(a, fd, o->inject, may_ask, d);
}

/* Where the server is. *fd is dialled already when the search did so, else -1. */
static int locate(const struct reach *r, struct addr *a, int *fd, struct diag *d)
{
	const struct options *o = r->o;

	*fd = -1;
	if (o->host != NULL)
		return addr_tcp(a, o->host, o->port, d);
	if (o->socket != NULL)
		return addr_unix(a, o->socket, d);
	if (o->pid != 0)
		return find_pid(a, fd, o->pid, r->may_ask, d);
	if (o->inject != 0)
		return locate_or_inject(o, a, fd, r->may_ask, d);
	if (o->unit != NULL)
		return find_unit(a, fd, o->unit, r->may_ask, d);
	return find_one(a, fd, r->may_ask, d);
}

/*
 * Connects with this key. A server that strangers flood may have to push a connection out before it
 * has looked at the key: a few tries.
 */
static int try_key(struct reach *r, const struct addr *a, const uint8_t *key, int64_t deadline,
	struct diag *d)
{
	int rc = PYSTUCK_ECLOSED;

	for (int try = 0; rc == PYSTUCK_ECLOSED && try < KEY_TRIES; try++) {
		if (try > 0)
			poll(NULL, 0, KEY_PAUSE_MS);
		int fd = dial_open(a, deadline, NULL, NULL, d);

		rc = fd < 0 ? fd : connect_open(&r->c, fd, a, key, deadline, d);
	}
	return rc == PYSTUCK_ECLOSED ? PYSTUCK_EAUTH : rc;
}

/*
 * The key that was named, or one after the other until the server knows one: it gives each
 * connection one try, and does not say which keys it has.
 */
static int try_keys(struct reach *r, const struct addr *a, const struct keyring *keys,
	int64_t deadline, const char *path, struct diag *d)
{
	const char *name = r->o->key_name;
	int tried = 0, rc = PYSTUCK_EAUTH;

	for (size_t i = 0; rc == PYSTUCK_EAUTH && i < keyring_count(keys); i++) {
		if (name != NULL && strcmp(keyring_name(keys, i), name) != 0)
			continue;
		tried++;
		rc = try_key(r, a, keyring_key(keys, i), deadline, d);
	}
	if (tried == 0)
		return diag_set(d, PYSTUCK_EINVAL, 0, "key file %s: has no key \"%s\"", path, name);
	if (rc == PYSTUCK_EAUTH && tried > 1)
		return diag_set(d, rc, 0,
			"not authenticated: the server knows none of the %d keys in %s, or it is "
			"not a pystuck server",
			tried, path);
	return rc;
}

/* Connects to this address; `fd` is dialled already, or -1. */
static int connect_to(struct reach *r, const struct addr *a, int fd, struct diag *d)
{
	struct keyring *keys = NULL;
	char path[PATH_MAX];
	int64_t deadline;
	int rc = 0;

	/* The key file first: what is wrong with it needs no server to be found out. */
	if (a->kind == ADDR_TCP) {
		rc = key_path(r->o, path, d);
		if (rc == 0)
			keys = connect_keys(path, d);
		if (rc == 0 && keys == NULL)
			rc = d->code;
	}
	deadline = connect_clock() + r->o->timeout_ms;
	if (rc == 0 && keys != NULL) {
		rc = try_keys(r, a, keys, deadline, path, d);
		keyring_free(keys);
		return rc;
	}
	if (rc == 0 && fd < 0) {
		fd = dial_open(a, deadline, NULL, NULL, d);
		rc = fd < 0 ? fd : 0;
	}
	if (rc == 0)
		rc = connect_open(&r->c, fd, a, NULL, deadline, d);
	return rc;
}

int reach_open(struct connection **c, const struct options *o, int may_ask, struct diag *d)
{
	struct reach r = {.o = o, .may_ask = may_ask};
	struct addr a;
	int fd = -1, rc = locate(&r, &a, &fd, d);

	if (rc == 0)
		rc = connect_to(&r, &a, fd, d);
	*c = r.c;
	return rc;
}

int reach_again(struct connection **c, const struct options *o, const char *unit,
	const struct connection *old, struct diag *d)
{
	struct reach r = {.o = o};
	struct diag elsewhere = {0};
	struct addr a;
	int fd = -1, rc = connect_to(&r, connect_address(old), -1, d);

	if (o->unit != NULL)
		unit = o->unit;
	if (rc == PYSTUCK_ENOENT && *unit != '\0' && find_unit(&a, &fd, unit, 0, &elsewhere) == 0)
		rc = connect_to(&r, &a, fd, d);
	*c = r.c;
	return rc;
}
