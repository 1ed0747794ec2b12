/*
 * eval.h: one client's evaluations: a namespace, and a thread that is started by the first evaluation. A session is opened and
 * used by the net thread; nothing here waits for the GIL on it.
 */
#ifndef PYSTUCK_PYTHON_EVAL_H
#define PYSTUCK_PYTHON_EVAL_H

#include <Python.h>

#include "msg.h"
#include "port.h"

struct eval_session;

#ifdef PYSTUCK_NO_EVAL
/* make EVAL=no: none of the files that evaluate is linked. What host.c and module.c do in any case is nothing then. */
static inline int eval_init(PyObject *module)
{
	(void)module;
	return 0;
}
static inline void eval_park(void)
{
}
static inline void eval_announce_end(void)
{
}
static inline int eval_stop(int timeout_ms)
{
	(void)timeout_ms;
	return 1;
}
static inline void eval_forget(void)
{
}
#else

/* Module init, GIL held: readies the types. 0, or -1 with an exception. */
int eval_init(PyObject *module);

/*
 * Net thread. `who` ("uid 1000, pid 4242") goes to sys.audit("pystuck.eval", who, source). `extra` is a dict whose items are put
 * into the namespace, or NULL; the caller keeps it alive until eval_close has returned and the last evaluation has ended
 * (eval.c takes its own reference at the first evaluation). NULL: no memory.
 */
struct eval_session *eval_open(struct port *port, const char *who, PyObject *extra);
/* Net thread: copies the request and hands it to the session's thread, which claims PORT_EVAL, answers and says port_done. */
void eval_request(struct eval_session *s, const struct msg_eval *request);
/* The same for what could go on at the end of a text; answered by MSG_MATCHES. */
void eval_complete(struct eval_session *s, const struct msg_complete *request);
/* Net thread: the claim was not made in time and has been taken back: says so to the client with MSG_ERROR, REASON_GIL. */
void eval_late(struct eval_session *s, uint32_t id, uint64_t waited_us);
/* Net thread: KeyboardInterrupt in the evaluation with this id, by way of the courier; never lands after its end. */
void eval_interrupt(struct eval_session *s, uint32_t id);
/* Net thread: the evaluation goes on by itself, its output goes nowhere; the next request gets a fresh thread. */
void eval_detach(struct eval_session *s, uint32_t id);
/* Net thread: says where it is, by way of the courier. */
void eval_where(struct eval_session *s, uint32_t id);
/* Net thread: as eval_detach, but its output and its end still go to the client, and it ends with it. */
void eval_background(struct eval_session *s, uint32_t id);
/* Net thread: interrupts what runs and lets everything go, namespace included, when it has ended. */
void eval_close(struct eval_session *s);

/* GIL not held: ends the idle evaluation threads (each starts again with its next request). Before a fork. */
void eval_park(void);
/* At exit, before the sessions are closed, which interrupts what they run: what is interrupted from now on makes no text of it. */
void eval_announce_end(void);
/* At exit, after eval_announce_end, GIL not held: interrupts what runs, ends all threads; 1 when all have ended within timeout_ms. */
int eval_stop(int timeout_ms);
/* In a forked child, GIL held: the threads do not exist there. The one exception is a fork made by an evaluation itself. */
void eval_forget(void);

#endif

#endif
