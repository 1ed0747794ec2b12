/*
 * eval_private.h: a session and its evaluation thread, between eval.c, which takes the net thread's
 * orders, eval_worker.c, which is the thread, and eval_interrupt.c. For these files only.
 *
 * eval_lock guards all fields that do not say otherwise. It is held for moments, never while the
 * GIL is waited for and never while Python code may run; it may be taken with the GIL held.
 */
#ifndef PYSTUCK_PYTHON_EVAL_PRIVATE_H
#define PYSTUCK_PYTHON_EVAL_PRIVATE_H

#include <Python.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/types.h>

#include "eval_self.h"
#include "gil.h"
#include "port.h"
#include "relay.h"
#include "run.h"
#include "stream.h"

/* A copy of a MSG_EVAL or MSG_COMPLETE. */
struct eval_request {
	uint32_t id;
	uint32_t cell;
	uint8_t flags; /* EVAL_* or COMPLETE_* */
	int complete;  /* it is a MSG_COMPLETE */
	size_t len;
	char source[];
};

/* Counted: the net thread's handle is one, each thread of the session is one. The last one drops
 * the namespace. */
struct eval_session {
	struct eval_session *next; /* in eval_sessions */
	unsigned references;
	struct eval_worker *worker; /* gets the next request; NULL: to be started; never one that ends */
	struct port *port;       /* does not change */
	char *who;               /* does not change */
	PyObject *extra;         /* does not change; used by the first evaluation only */
	struct space *space; /* GIL; NULL before the first evaluation */
};

/*
 * One evaluation thread. Counted: the thread, each job of the courier and whoever waits for its end
 * are one.
 *
 * idle -> busy      a request was handed over
 * busy -> idle      it has been answered, or was late
 * idle -> ending    `quit`: park, close, stop; from busy also after a detach
 */
struct eval_worker {
	struct eval_worker *next; /* in eval_workers, until it is over */
	unsigned references;
	struct eval_session *session; /* NULL once the thread has left it */
	pthread_t thread;
	pthread_cond_t wake;
	struct eval_request *request; /* the next one, NULL when taken */
	int reading;           /* waits for it at the port, not for `wake` */
	int busy;
	uint32_t id;           /* of the newest request */
	int cancelled;         /* it was interrupted before it began */
	int detached;          /* nobody waits for what it evaluates */
	int quit;              /* to end when idle */
	int awaited;           /* somebody will join the thread */
	int over;              /* the thread touches nothing of this any more */
	int interrupting;      /* a job of the courier is under way */
	uint32_t interrupt_id; /* which evaluation it is meant for */

	_Atomic(const PyThreadState *) computing; /* its thread state while code is run; NULL: none is */
	_Atomic uint64_t computing_since;         /* ns */

	/* With the GIL held. */
	unsigned long ident; /* as Python knows the thread */
	int running;         /* code is being evaluated: it may be interrupted */
	uint32_t running_id;
	int interrupted; /* it has been */
	struct relay *relay; /* its code is on another thread: what an interrupt goes to; else NULL */

	/* The thread's own. */
	PyThreadState *state;    /* NULL: no memory for it */
	pid_t pid;               /* of the process that the thread belongs to */
	struct stream_sink sink; /* but for its atomics */
};

extern pthread_mutex_t eval_lock;
extern pthread_cond_t eval_changed; /* a thread is over */
extern struct eval_session *eval_sessions;
extern struct eval_worker *eval_workers;

/* Locked. Starts a thread for the session, which gets a reference; NULL: no memory, or too many
 * threads. */
struct eval_worker *eval_worker_start(struct eval_session *s);
/* Locked. */
void eval_worker_release(struct eval_worker *w);
/* Locked. Wakes the thread up, wherever it waits. */
void eval_worker_rouse(struct eval_worker *w);
/* The worker that the calling thread is, or NULL. */
struct eval_worker *eval_worker_self(void);

/* Locked. 1 when this was the last reference: eval_session_free is the caller's to call, after the
 * namespace is gone. */
int eval_session_release(struct eval_session *s);
/* Not locked, no GIL. */
void eval_session_free(struct eval_session *s);
/* Locked. Has the courier tell the client where the evaluation of this worker is. */
void eval_where_worker(struct eval_worker *w);
/* A request that is not carried out. Not locked. */
void eval_refuse(struct port *port, uint32_t id, int reason, const char *text);
/* The answers. Neither locked nor with the GIL. */
void eval_answer(struct port *port, uint32_t id, const struct run_result *result, uint64_t duration_us);
struct complete;
void eval_answer_complete(struct port *port, uint32_t id, const struct complete *c);

/* GIL held. 0, or -1 with a Python exception set. */
int eval_interrupt_init(void);
/*
 * Locked. Interrupts what the thread evaluates: at once when that has not begun, else by a job of
 * the courier. One job for each thread is under way at most, however many interrupts a client
 * sends; and it hits once, since a second exception would hit the clean-up that the first has set
 * off.
 */
void eval_interrupt_worker(struct eval_worker *w);
/*
 * Locked. Its client has gone, so that nobody will ask: interrupts what the thread evaluates again,
 * with growing pauses, until it has ended.
 */
void eval_insist(struct eval_worker *w);

#endif
