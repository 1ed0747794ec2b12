/*
 * handshake.c: the client's half of the handshake on TCP. What comes after it
 * is connect.c's.
 */
#include "connect_private.h"

#include <errno.h>
#include <sys/socket.h>

#include "noise.h"

/*
 * Was the connection closed before our first message was read, as a server does that is flooded? Who has read it, and found the
 * key wrong, closes without a reset. `rc` is what channel_fill said at the end.
 */
static int was_pushed_out(const struct connection *c, int rc)
{
	int error = 0;
	socklen_t len = sizeof error;

	if (rc == PYSTUCK_ESYS || channel_pending(c->channel) > 0)
		return 1;
	return getsockopt(channel_fd(c->channel), SOL_SOCKET, SO_ERROR, &error, &len) == 0 &&
	       error != 0;
}

/* The server is silent until the key is proved, and then answers with exactly one record. */
static int handshake_reply(
	struct connection *c, struct span *record, int64_t deadline, struct diag *d)
{
	for (;;) {
		int rc = channel_take_record(c->channel, NOISE_MESSAGE, record);

		if (rc == 0)
			return 0;
		if (rc != PYSTUCK_EAGAIN)
			return diag_set(
				d, PYSTUCK_EFORMAT, 0, "%s: not a pystuck server", c->where);
		rc = channel_fill(c->channel);
		if (rc > 0)
			continue;
		if (rc != PYSTUCK_EAGAIN && channel_partial(c->channel))
			return diag_set(
				d, PYSTUCK_EFORMAT, 0, "%s: not a pystuck server", c->where);
		if (rc != PYSTUCK_EAGAIN) {
			int pushed_out = was_pushed_out(c, rc);

			diag_set(d, PYSTUCK_EAUTH, 0,
				"%s: not authenticated: wrong key, or it is not a pystuck server",
				c->where);
			return pushed_out ? PYSTUCK_ECLOSED : PYSTUCK_EAUTH;
		}
		rc = connect_wait(c, NULL, 0, deadline, d);
		if (rc == PYSTUCK_ETIME)
			return diag_set(d, rc, 0,
				"%s: no answer to the handshake: the program is stopped, or this "
				"is no pystuck server",
				c->where);
		if (rc < 0)
			return rc;
	}
}

int handshake_run(struct connection *c, const uint8_t *key, int64_t deadline, struct diag *d)
{
	struct noise_handshake hs;
	struct noise_cipher sending, receiving;
	uint8_t first[NOISE_MESSAGE], none[1];
	struct span reply;
	size_t len = 0;

	noise_start(&hs, NOISE_INITIATOR, key, NOISE_PROLOGUE, NOISE_PROLOGUE_LEN);
	int rc = noise_write(&hs, NULL, 0, first, sizeof first, &len);
	if (rc == 0)
		rc = channel_put_record(c->channel, (struct span){first, len});
	if (rc != 0) {
		diag_set(d, rc, 0, "%s: handshake: %s", c->where, error_text(rc));
		goto out;
	}
	rc = handshake_reply(c, &reply, deadline, d);
	if (rc != 0)
		goto out;
	rc = noise_read(&hs, reply.data, reply.len, none, sizeof none, &len);
	if (rc == 0)
		rc = noise_split(&hs, &sending, &receiving, NULL);
	if (rc == 0)
		channel_seal(c->channel, &sending, &receiving);
	else
		diag_set(d, PYSTUCK_EAUTH, 0,
			"%s: not authenticated: the server does not have this key", c->where);
out:
	noise_wipe(&hs);
	return rc;
}
