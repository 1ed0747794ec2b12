/*
 * faults.h: makes each allocation and each system call of a scenario fail once, one after the other, with every error that it can
 * really end with. For the programs test_faults_*.c, which name faults.c and faults.wrap in their heads.
 *
 * Only what happens between faults_in() and faults_out() is counted and can fail, on the thread that called them: a test's own
 * client is outside. Inside there is a clock of its own, which moves when somebody waits: nobody ever really waits.
 */
#ifndef TEST_FAULTS_H
#define TEST_FAULTS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "error.h"

struct server;

void faults_in(void);
void faults_out(void);
/* For callbacks, which may be called by another thread too, or outside. */
int faults_pause(void);
void faults_resume(int was);
#define INSIDE(call)                                                                               \
	do {                                                                                       \
		faults_in();                                                                       \
		call;                                                                              \
		faults_out();                                                                      \
	} while (0)

/* The scenario leaves nothing behind: no memory, no fd. It is run without a fault first, and may compare. */
typedef void faults_scenario(void);
void faults_sweep(faults_scenario *scenario);

int faults_struck(void);	/* 1: the fault of this run has happened */
int faults_hit(const char *call);	/* 1: and it was one of this call */
int faults_hit_with(const char *call, int error);
int faults_clean(void);		/* 1: this run has no fault */
const char *faults_what(void);	/* "send fails with EPIPE (call 17)" */
/* No more faults in this run: what comes now must work. */
void faults_over(void);

/* Directories are made below `dir` alone, for this run: a test leaves nothing where the system keeps its own. */
void faults_stay_below(const char *dir);

/* Moves the clock that counts inside, both of them: monotonic and real time. */
void faults_pass_ms(uint64_t ms);

/*
 * Runs the server's loop in this thread until it would wait. How long it would wait then, in ms, -1 for ever; it is the caller who
 * lets that time pass.
 */
int faults_turn(struct server *s);

#define HOLDS(what)                                                                                \
	do {                                                                                       \
		if (!(what)) {                                                                     \
			faults_over();                                                             \
			fail_msg("%s:%d: %s, when %s", __FILE__, __LINE__, #what, faults_what());  \
		}                                                                                  \
	} while (0)

/* What could not be done says so. */
#define REFUSED(d)                                                                                 \
	do {                                                                                       \
		HOLDS(faults_struck());                                                            \
		HOLDS((d)->code != 0);                                                             \
		HOLDS((d)->text[0] != '\0');                                                       \
	} while (0)

#endif
