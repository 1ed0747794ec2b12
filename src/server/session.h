/*
 * session.h: private to the server room: one client's life, from accept to close. All calls are
 * made by the thread that has the turn (turn.h): the net thread, or whoever has parked it, or an
 * evaluation thread in its place. Polling and the list of sessions are server.c's.
 */
#ifndef PYSTUCK_SESSION_H
#define PYSTUCK_SESSION_H

#include <stdint.h>

#include "account.h"
#include "audit.h"
#include "keyfile.h"
#include "ownfd.h"
#include "policy.h"
#include "service.h"
#include "turn.h"

enum session_state {
	SESSION_HANDSHAKE, /* TCP: the key has not been proved */
	SESSION_HELLO,     /* nothing but HELLO is understood */
	SESSION_ACCOUNT,   /* HELLO was fine, PAM is asked; nothing is read */
	SESSION_ADMIT,     /* the program's audit hooks are asked; nothing is read; has a place */
	SESSION_OPEN,      /* authenticated; the only state in which the service knows the client */
	SESSION_CLOSING,   /* the last words are on their way; what comes in is thrown away */
	SESSION_CLOSED,
	SESSION_STATES,
};

struct session_times {
	unsigned stranger_ms; /* from accept to HELLO, in total */
	unsigned stall_ms;    /* how long what was sent may be left unread */
	unsigned account_ms;  /* how long PAM may take */
	unsigned linger_ms;   /* how long the other side may take to close after the last words */
};

/* What the sessions of one listener share. Outlives them. */
struct session_door {
	const struct service *service;
	void *context;
	const struct policy *policy;
	struct keyring *keys; /* NULL: a Unix socket. Replaced when their file has changed */
	struct replays *replays; /* first messages that have been used up; may be NULL */
	unsigned keys_turn;   /* counts these changes, so that each session notices */
	const struct account_helper *account; /* who is asked about each client; NULL: nobody */
	unsigned max_clients;
	unsigned gil_timeout_ms;
	struct session_times times;
	struct audit *audit; /* NULL: none */
	int audit_required;  /* what cannot be logged is not evaluated */
	struct ownfd wake;
	struct turn *turn; /* NULL: the net thread alone reads */
	unsigned clients; /* sessions that are SESSION_OPEN, or about to be: SESSION_ADMIT */
};

struct session;

/*
 * Takes over fd, which has just been accepted, and on a Unix socket asks the kernel at once who
 * that is. NULL: out of memory, fd is closed. `now` here and below: CLOCK_MONOTONIC, ns.
 */
struct session *session_new(struct session_door *door, int fd, uint64_t now);
/* Closes first if need be. NULL is fine. */
void session_free(struct session *s);
/*
 * Of a closed session: 1 as long as the program may still say no to an evaluation of it, which is logged when it comes: the client has
 * left, and the log says already what was to be evaluated. To be asked again until it is 0, and then freed. The list is the caller's.
 */
int session_is_unfinished(struct session *s, uint64_t now);
struct session **session_next(struct session *s);
/* In a forked child: closes the fd, tells nobody. */
void session_forget(struct session *s);

enum session_state session_state(const struct session *s);
/* That the rules give so far: ROLE_NONE before anything is known. */
enum role session_role(const struct session *s);
int session_fd(const struct session *s);       /* -1 when closed */
int session_account_fd(const struct session *s); /* the helper's, to poll for POLLIN; else -1 */
short session_events(const struct session *s); /* to poll for */
uint64_t session_deadline(
	const struct session *s); /* when to run it in any case; UINT64_MAX: never */

/* Does all that there is to do now; revents are poll's, 0 when the port or the clock calls. */
void session_run(struct session *s, short revents, uint64_t now);
/* Closes at once and without a word; `why` is for the log. */
void session_cut(struct session *s, const char *why, uint64_t now);
/* Says goodbye where that is possible without waiting, and closes. */
void session_goodbye(struct session *s, enum reason reason, const char *text, uint64_t now);

/*
 * Who watches (session_lead.c). While a session is led, its evaluation thread polls the fd for what the client says, and the net
 * thread does not.
 *
 * session_lead: 1: the calling evaluation thread is to poll the fd. session_act: it has done so, and this came; 1 when it may go on.
 * session_unlead: it polls no more. session_is_led: for the net thread, which calls session_look in each of its turns.
 */
int session_lead(struct session *s);
int session_act(struct session *s, short revents, uint64_t now);
void session_unlead(struct session *s);
int session_is_led(struct session *s);
void session_look(struct session *s, uint64_t now);

/* What a client in this state with this role may do with a message of this type. */
enum session_verdict {
	SESSION_BREAK, /* not part of the conversation: the session ends */
	SESSION_DENY,  /* understood, but the role is too low */
	SESSION_ALLOW,
};
enum session_verdict session_request_judge(
	enum session_state state, enum role role, int type, uint8_t flags);

#endif
