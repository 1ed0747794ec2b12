/*
 * gil.h: taking the GIL from threads that are not Python's, and the courier: one thread that runs small jobs for all
 * sessions, so that the net thread never waits for Python. Started by the first job, ended by gil_park.
 */
#ifndef PYSTUCK_PYTHON_GIL_H
#define PYSTUCK_PYTHON_GIL_H

#include <Python.h>
#include <stdint.h>

/* A job for the courier. run is called on the courier thread without the GIL and frees the job. */
struct gil_job {
	void (*run)(struct gil_job *job);
	struct gil_job *next;
	uint64_t due_ns;	/* gil.c's: not before this time */
};

/* Any thread, GIL or not: never waits. 0, or a PYSTUCK_E* (no thread could be started, or stopping): the job is the caller's. */
int gil_submit(struct gil_job *job);
/* The same, but the job is run only after that time. */
int gil_submit_after(struct gil_job *job, uint64_t pause_ns);
/* How long the courier has been waiting for the GIL, in us; 0 when it is not. Any thread. */
uint64_t gil_waiting_us(void);
/*
 * The GIL not held. Waits until the jobs that are due are done and ends the courier thread; a later gil_submit or gil_resume
 * starts it again. Needs the GIL to become free: the caller must have let go of it.
 */
void gil_park(void);
/* After gil_park: starts the courier again if jobs wait for their time. */
void gil_resume(void);
/* 1 when somebody waits in gil_park or gil_stop: a long job should come to its end. Any thread. */
int gil_is_ending(void);
/* The same at exit, for good: jobs from now on are refused. 1 when the courier ended within timeout_ms. */
int gil_stop(int timeout_ms);
/* In a forked child, GIL held: the courier does not exist there; queued jobs are dropped (leaked, their locks are gone). */
void gil_forget(void);

/* The GIL for a thread without a thread state, and how long it took. */
struct gil_hold {
	PyGILState_STATE state;
	uint64_t wait_us;	/* how long it was waited for */
	uint64_t since_ns;	/* monotonic: since when it is held */
	PyThreadState *holder;	/* who had it when it was asked for: an address to compare with, never to follow; NULL: nobody */
};
void gil_take(struct gil_hold *hold);
void gil_give(struct gil_hold *hold);
/* The GIL for a thread that has given it back with PyEval_SaveThread, when a client waits for it. */
void gil_restore(PyThreadState *state);

/* An approximate answer without the GIL: the thread state that holds it now, as an address; NULL: nobody. */
PyThreadState *gil_holder(void);

uint64_t gil_now_ns(void);	/* CLOCK_MONOTONIC */

/*
 * Starts a native thread as all of ours are: every signal blocked, the name given to the kernel, registered in ours.h while it
 * lives. stack_bytes 0: the system's default. 0 or PYSTUCK_ESYS.
 */
#include <pthread.h>
int gil_start_thread(pthread_t *thread, const char *name, size_t stack_bytes, void *(*main)(void *), void *arg);
/*
 * No GIL. A thread that has been joined is still counted by the kernel for a moment, and Python counts with it at a fork. Waits
 * until it is gone, 10 ms at most.
 */
void gil_await_gone(pid_t tid);

#endif
