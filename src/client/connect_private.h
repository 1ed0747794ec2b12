/*
 * connect_private.h: a connection, between connect.c, which sends and reads, and handshake.c, which
 * proves the key on TCP before. For these files only.
 */
#ifndef PYSTUCK_CLIENT_CONNECT_PRIVATE_H
#define PYSTUCK_CLIENT_CONNECT_PRIVATE_H

#include "channel.h"
#include "connect.h"
#include "gone.h"

struct connection {
	struct channel *channel;
	struct addr addr;
	char where[ADDR_TEXT];
	connect_taker *taker;
	void *taker_context;
	struct buf welcome_bytes; /* the spans of `welcome` point in here */
	struct msg_welcome welcome;
	uint32_t abandoned[CONNECT_ABANDON_MAX]; /* dumps that nobody waits for */
	size_t abandoned_count;
	struct gone gone;  /* the process behind it */
	const char *doing; /* what is lost if it goes now, "mid-evaluation"; NULL: nothing */
	int stopping;      /* the server has said that it is going away */
	int over; /* the error that ended it: nothing more is sent or read */
};

/* The handshake as the client, with `key`; as connect_open says. */
int handshake_run(struct connection *c, const uint8_t *key, int64_t deadline, struct diag *d);

#endif
