/*
 * session_private.h: what session.c and its kin share. Nobody else includes it.
 */
#ifndef PYSTUCK_SESSION_PRIVATE_H
#define PYSTUCK_SESSION_PRIVATE_H

#include "addr.h"
#include "channel.h"
#include "port_private.h"
#include "session.h"

struct session {
	struct session_door *door;
	enum session_state state;
	uint64_t now;            /* of the call that is being carried out */
	uint64_t deadline;       /* when a stranger or a closing session is cut off */
	struct port *port;       /* owns the channel */
	struct channel *channel; /* only its receiving half; NULL when closed */
	struct service_client who;
	uint32_t key_id;    /* of keyring_id(); 0 before the handshake and on a Unix socket */
	unsigned keys_turn; /* of the door's keys, when this session was last compared with them */
	uint64_t number;        /* of the connection in this process, from 1 */
	char address[ADDR_TEXT]; /* of a client on TCP, for the log; else "" */
	char why[128];          /* the session ends, for the log; "": not said */
	uint64_t opened;        /* when SESSION_OPEN began */
	uint64_t evals, dumps;  /* that were asked for and allowed */
	enum role uncapped; /* the role that the rules give, before the listener's ceiling */
	struct account *account; /* while SESSION_ACCOUNT */
	void *handle;       /* the service's, while SESSION_OPEN */
	int eof;            /* the client sends no more */
	int shut;           /* we send no more */

	struct span waiting; /* a message that could not be taken yet; nothing behind it is read */
	int has_aside;
	struct msg_dump aside; /* a dump that could not be started yet */

	struct msg_dump dump; /* the last dump that was started, and when */
	uint64_t dump_since;
	int dump_late; /* the time for the worker is up: whoever comes first answers */
	uint32_t eval_id; /* the same of the evaluation */
	uint64_t eval_since;
	int led;          /* the evaluation thread polls the fd, not the net thread */
	uint64_t look_at; /* when the net thread looks whether it should, while it is led */
	uint64_t asked;   /* requests to the evaluation thread so far */
	uint64_t looked;  /* how many they were when it last looked */
	int unfinished;   /* closed in the middle of an evaluation, to which the program may yet say no */
	struct session *next; /* of a listener's unfinished ones */
	int has_detached;
	uint32_t detached_id; /* the last evaluation that was let go of */
};

void session_move(struct session *s, enum session_state to);
/* Why the session is about to end, in words for the log; the first ones count. */
void session_why(struct session *s, const char *text);
/* Answers HELLO, or a user without a role, with a refusal, and closes when that is sent. */
void session_refuse(struct session *s, enum reason reason, const char *text);

/* Tells an open session that a request cannot be carried out; it goes on. */
void session_error(struct session *s, uint32_t id, enum reason reason, const char *text);
/* Ends a session that has broken the rules: a client that is known is told why, a stranger nothing.
 */
void session_break(struct session *s, enum reason reason, const char *text);

/* A whole message. 0 when it cannot be taken now: the same one is given again later. */
int session_request_take(struct session *s, struct span message);
/* Starts the dump that was set aside, if there is one and it can be started now. */
void session_request_aside(struct session *s);

/* A request to the evaluation thread begins, whoever has read it. */
void session_lead_asked(struct session *s);

/* Right after accept, before any byte: who is it, and have they a role? */
void session_auth_unix(struct session *s);
void session_auth_tcp(struct session *s);
/* SESSION_HANDSHAKE: reads the first message of the handshake if it is there. */
void session_auth_handshake(struct session *s);
/* TCP: reads the key file again if it has changed. The other sessions of the listener are called. */
void session_auth_renew(struct session *s);
/* TCP: ends the session if its key has gone from the file since, or may do less than it could. */
void session_auth_recheck(struct session *s);
/* SESSION_HELLO: opens the session, or refuses it, or asks PAM or the program. */
void session_auth_hello(struct session *s, const struct msg_hello *hello);
/* SESSION_ACCOUNT: goes on, or refuses, when PAM has spoken, or not in time. */
void session_auth_account(struct session *s);
/* SESSION_ADMIT: opens the session, or refuses it, when the program has spoken, or not in time. */
void session_auth_admit(struct session *s);

/* ---- the audit log (session_audit.c) ---------------------------------------------------------- */

/* The key file: it has been read again, or why it could not be. */
void session_audit_keys(const struct session *s, const char *trouble);
void session_audit_connect(const struct session *s);
/* After a move of the session: let in, refused, gone. */
void session_audit_move(struct session *s, enum session_state from);
void session_audit_deny(const struct session *s, enum msg_type type, const char *text);
/* Before the evaluation begins. As audit_put: not 0: it could not be logged. */
int session_audit_eval(const struct session *s, struct span source);
void session_audit_late(const struct session *s);
/* If the program has said no to an evaluation since. */
void session_audit_veto(const struct session *s);

#endif
