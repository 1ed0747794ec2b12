/*
 * service.h: the seam between the server, which knows sockets and clients, and what is served, which knows Python. The
 * server calls these functions on the net thread, or on an evaluation thread that waits in its place (port_wait_request), never
 * on two at once; each returns at once and never takes the GIL. Answers come back through the port, from any thread.
 */
#ifndef PYSTUCK_SERVICE_H
#define PYSTUCK_SERVICE_H

#include <sys/types.h>

#include "msg.h"
#include "port.h"

/* Who the client is, as the server found out. Lives as long as the session. */
struct service_client {
	enum role role;
	uid_t uid;		/* (uid_t)-1 on TCP */
	pid_t pid;		/* 0 when unknown */
	char key[33];		/* name of the key on TCP, else "" */
	char text[160];		/* "uid 1000, pid 4242" or "key ci from 10.0.0.7:5123": safe, for logs */
};

struct service {
	/*
	 * A client is about to be let in: does the program want to be asked first? 0: no. 1: it is being asked; the worker claims
	 * PORT_ADMIT (id 0), says port_veto when the answer is no, and port_done. Less than 0: it wants to, and cannot be asked: the
	 * client is turned away. NULL: never asked. No session is open yet.
	 */
	int (*admit)(void *listener, const struct service_client *who, struct port *port);
	/*
	 * A client has authenticated. Returns a handle for the calls below, or NULL when there is no memory (the client is
	 * turned away). `listener` is what was given with the listener.
	 */
	void *(*open)(void *listener, const struct service_client *who, struct port *port);
	/*
	 * The role and the message have been checked. Where eval is NULL nobody has ROLE_EVAL, and what else is for
	 * evaluations may be NULL too. At most one dump and one evaluation of a session are open at a time.
	 */
	void (*dump)(void *session, const struct msg_dump *request);
	void (*eval)(void *session, const struct msg_eval *request);
	/*
	 * What could go on? Answered by MSG_MATCHES; in all else as eval: it takes PORT_EVAL, eval_late answers when the GIL is not
	 * to be had, interrupt and detach may name it. NULL where eval is.
	 */
	void (*complete)(void *session, const struct msg_complete *request);
	/*
	 * The GIL did not come within the time: answer without it. Whoever claims the request first answers it, the worker too if it gets
	 * the GIL after all. That may take a moment; if nobody has claimed it some seconds later, this is called again with `last`: then
	 * it is claimed and answered before the call returns.
	 */
	void (*dump_late)(void *session, const struct msg_dump *request, uint64_t waited_us, int last);
	/* The same for an evaluation: it is refused. The worker's claim fails from now on. */
	void (*eval_late)(void *session, uint32_t id, uint64_t waited_us);
	/* For the evaluation that is open now; nothing happens when there is none with this id. */
	void (*interrupt)(void *session, uint32_t id);
	/* Let go of it: it goes on, its output and its end are nobody's any more, and the next one may come. */
	void (*detach)(void *session, uint32_t id);
	/* Where is it now? Answered by MSG_PLACE, as soon as the GIL can be had; by nothing when it is not running any more. */
	void (*where)(void *session, uint32_t id);
	/* It goes on, what it prints and its end still go to the client, and the next one may come. Interrupt may name it. */
	void (*background)(void *session, uint32_t id);
	/* The client is gone. An evaluation that still runs is interrupted; the handle is the service's to free. */
	void (*close)(void *session);
	/*
	 * What is looked after while requests wait for the GIL: tick is called at the time that due says (UINT64_MAX: never), or soon
	 * after, in ns of CLOCK_MONOTONIC. Any thread. Both NULL: nothing is.
	 */
	uint64_t (*due)(void);
	void (*tick)(uint64_t now_ns);
	/* The net thread's id: called on it when it begins; 0 when it has ended, by whoever ended it. NULL: nobody wants to know. */
	void (*thread)(pid_t tid);
	/* What MSG_WELCOME says of the process (version and role are the server's to fill in). Valid while the server runs. */
	const struct msg_welcome *(*welcome)(void *listener);
};

static inline uint64_t service_due(const struct service *s)
{
	return s->due != NULL ? s->due() : UINT64_MAX;
}

#endif
