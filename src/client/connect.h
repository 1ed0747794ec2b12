/*
 * connect.h: a connection to one server: authenticate, send requests and wait for what comes back,
 * each with a deadline. Knows no dumps and no evaluations.
 */
#ifndef PYSTUCK_CLIENT_CONNECT_H
#define PYSTUCK_CLIENT_CONNECT_H

#include <poll.h>
#include <stdint.h>
#include <sys/types.h>

#include "addr.h"
#include "error.h"
#include "keyfile.h"
#include "msg.h"

#define CONNECT_NEVER INT64_MAX /* a deadline that does not come */
#define CONNECT_POLL_MORE 2     /* fds that a caller may wait for besides the connection */

struct connection;

/* Milliseconds of the monotonic clock; deadlines are points on it. */
int64_t connect_clock(void);
/* For poll(2): milliseconds until the deadline, 0 when it has passed, -1 for CONNECT_NEVER. */
int connect_left(int64_t deadline);

/*
 * Loads the key file for a TCP server. NULL with PYSTUCK_EINVAL and a sentence, whatever is wrong
 * with the file: it is the user's to repair.
 */
struct keyring *connect_keys(const char *path, struct diag *d);

/*
 * Makes a connection of a dialled fd (dial.h), which it takes over, also on an error. On TCP the
 * handshake with `key` (NOISE_KEY bytes) comes first: PYSTUCK_EAUTH wrong key, PYSTUCK_EFORMAT no
 * pystuck server, PYSTUCK_ETIME, PYSTUCK_ECLOSED (d says PYSTUCK_EAUTH): closed before the key was
 * looked at, as in a flood; worth another try. `key` stays the caller's and is needed no longer; NULL on a Unix
 * socket.
 */
int connect_open(struct connection **c, int fd, const struct addr *a, const uint8_t *key,
	int64_t deadline, struct diag *d);
/* Says goodbye where that is possible at once, and frees. NULL is fine. */
void connect_close(struct connection *c);

/*
 * Queues a message; it goes out with connect_flush or the next wait, so that several make one
 * write.
 */
int connect_queue(struct connection *c, const struct msg *m, struct diag *d);
int connect_flush(struct connection *c, struct diag *d);

/* Queues HELLO. Requests may be queued right behind it. */
int connect_hello(struct connection *c, struct diag *d);
/*
 * Waits for the answer to HELLO. PYSTUCK_EPERM: refused; PYSTUCK_EFORMAT: another protocol version,
 * or no pystuck.
 */
int connect_welcome(struct connection *c, int64_t deadline, struct diag *d);
/* What the server said of itself; valid after connect_welcome, for as long as c. */
const struct msg_welcome *connect_peer(const struct connection *c);
const struct addr *connect_address(const struct connection *c);

/*
 * The next message. 1: *m is set, its spans live until the next call; 0: none yet (does not wait);
 * or an error after which the connection is of no more use: PYSTUCK_ECLOSED, PYSTUCK_ETRUNC,
 * PYSTUCK_EAUTH, PYSTUCK_EFORMAT, PYSTUCK_ETOOBIG.
 */
int connect_next(struct connection *c, struct msg *m, struct diag *d);
/*
 * Nobody waits any more for the answer to the DUMP `id`: connect_next passes over it when it comes,
 * before the answer to any later one. 0, or PYSTUCK_EAGAIN: too many are owed already.
 */
#define CONNECT_ABANDON_MAX 8
int connect_abandon(struct connection *c, uint32_t id);
/* The connection has ended where an answer was not over: PYSTUCK_ETRUNC, with a sentence. */
int connect_truncated(struct connection *c, struct diag *d);
/*
 * Asked about each message first, within connect_next and what calls it; 1: it was for there, and is passed over. For what belongs to
 * requests that nobody waits for. NULL: nobody.
 */
typedef int connect_taker(void *context, const struct msg *m);
void connect_set_taker(struct connection *c, connect_taker *taker, void *context);
/* What would be lost if the program went now, for the sentence that says so: "mid-evaluation"; NULL: nothing. Static. */
void connect_doing(struct connection *c, const char *doing);
/* To be polled for messages. */
int connect_fd(const struct connection *c);
/* The process behind a Unix socket, by its number here; 0: not known. */
pid_t connect_process(const struct connection *c);
/*
 * Waits until there is something for connect_next (1), one of `count` other fds is ready (0; their
 * revents say), or the deadline has passed (PYSTUCK_ETIME, d untouched). EINTR is 0 as well. Sends
 * what is queued meanwhile.
 */
int connect_wait(
	struct connection *c, struct pollfd *more, nfds_t count, int64_t deadline, struct diag *d);
/*
 * connect_next, waiting: 1 or an error; the sentence of PYSTUCK_ETIME says `what` did not come, the
 * caller for how long.
 */
int connect_receive(
	struct connection *c, struct msg *m, int64_t deadline, const char *what, struct diag *d);

#endif
