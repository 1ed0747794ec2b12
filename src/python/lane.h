/*
 * lane.h: threads for what may take its time: code of the program that we call and that may block (its audit hooks, its audit
 * function), and dumps that are read without the GIL. Each kind has a lane of its own, so that one that never returns holds up
 * neither the others nor dumps and evaluations. A lane's thread is started by its first job; that of the dumps ends after its last.
 */
#ifndef PYSTUCK_PYTHON_LANE_H
#define PYSTUCK_PYTHON_LANE_H

#include <Python.h>

#include "gil.h"

enum lane { LANE_ADMIT, LANE_AUDIT, LANE_RAW, LANES };

/*
 * Any thread, GIL or not: never waits. The job is run on the lane's thread without the GIL, after those before it, and frees
 * itself. 0, or a PYSTUCK_E* (no thread, or the program is ending): the job is the caller's.
 */
int lane_submit(enum lane which, struct gil_job *job);
/*
 * On a lane, GIL held: takes the GIL for code of the program, and gives it back. Between the two the thread is no secret to
 * threading. A child that the code has made with os.fork() ends in lane_leave.
 */
void lane_enter(struct gil_hold *hold);
void lane_leave(struct gil_hold *hold);
/*
 * In a job of a lane that ends after its last one: another is expected soon, so the thread waits so long for it. Then, before it
 * ends, `at_end` is called on it, without the GIL.
 */
void lane_linger(int ms, void (*at_end)(void));

/* No GIL. Before a fork: ends the threads, but for one whose job takes longer than a moment. */
void lane_park(void);
/* At exit, no GIL: jobs from now on are refused. 1 when all that were queued are done within timeout_ms. */
int lane_stop(int timeout_ms);
/* In a forked child, GIL held: the threads do not exist there; queued jobs are dropped (leaked). */
void lane_forget(void);

#endif
