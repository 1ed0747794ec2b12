/*
 * hurry.h: the GIL sooner, beside threads that compute. A thread that waits for the GIL sleeps for CPython's switch interval before it
 * asks for it: 5 ms, as often as somebody else gets it first. While a client waits the interval is shorter: for HURRY_MS at most, and it is
 * given back the moment the GIL has come; and while the program's exit waits for evaluations to end. The longer one of %atomic is
 * atomic.c's.
 *
 * What can go wrong, and what is done about it: the waiter dies in its wait (an interpreter that ends it, a cancelled thread), or the
 * GIL never comes: the net thread gives the interval back when the time is up. The program sets another interval meanwhile: it stays,
 * since ours is only ever exchanged for what was there before. The program saves ours and sets it again later: the next hurry
 * notices. It forks: the child gives it back.
 */
#ifndef PYSTUCK_PYTHON_HURRY_H
#define PYSTUCK_PYTHON_HURRY_H

#include <stdint.h>

#define HURRY_MS 20u
#define HURRY_US 53u /* odd enough to be told from the program's own */

/* Any thread, no GIL: a request has come that needs it. One hurry_begin within HURRY_MS may shorten the interval. */
void hurry_expect(void);
/* The GIL is about to be asked for, and has come. What hurry_begin returns is for hurry_end; 0: no hurry. */
unsigned hurry_begin(void);
void hurry_end(unsigned token);

/* When hurry_tick is to be called, in ns of CLOCK_MONOTONIC; UINT64_MAX: there is nothing to give back. Any thread. */
uint64_t hurry_due(void);
/* Gives the interval back if it is time (UINT64_MAX: in any case). Any thread. */
void hurry_tick(uint64_t now_ns);

/*
 * 1: the program exits, and waits for whoever evaluates to leave Python, each step of which needs the GIL: the interval is short, even
 * during an %atomic, until 0 is said.
 */
void hurry_exit(int exiting);
/* 1: gives the interval back, and leaves it alone from now on; 0: no longer. */
void hurry_hold(int hold);
int hurry_is_held(void);
/* In a forked child: gives the interval back; nobody waits. */
void hurry_forget(void);

#endif
