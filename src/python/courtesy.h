/*
 * courtesy.h: evaluations that compute beside the program. CPython takes the GIL from a thread after 5 ms, and only when another one
 * waits for it: a program that computes little and waits often, such as a server, would wait for 5 ms each time that it comes back from
 * the kernel, and for as long again for each further evaluation. So the courier asks for the GIL every COURTESY_MS while an
 * evaluation has it, and gives it back at once: whoever waits gets his turn. The interval of the switch is short for that moment alone
 * (hurry.h), and a thread of the program that has the GIL is never asked.
 *
 * The net thread begins it COURTESY_LATE_MS after a request, and an evaluation is asked from that age on: short ones do not know of it, nor
 * do they see the short interval, whatever goes on beside them. It ends with the evaluations, or after COURTESY_REST_MS in which none of
 * them has had the GIL: they sleep, until the next request.
 */
#ifndef PYSTUCK_PYTHON_COURTESY_H
#define PYSTUCK_PYTHON_COURTESY_H

#include <stdint.h>

#define COURTESY_MS 1u
#define COURTESY_LATE_MS 20u
#define COURTESY_REST_MS 1000u

/* Any thread: an evaluation has been asked for. */
void courtesy_expect(void);
/* When courtesy_tick is to be called, in ns of CLOCK_MONOTONIC; UINT64_MAX: never. Any thread. */
uint64_t courtesy_due(void);
/* On the net thread. */
void courtesy_tick(uint64_t now_ns);
/* In a forked child, under no lock: nobody evaluates. */
void courtesy_forget(void);

#endif
