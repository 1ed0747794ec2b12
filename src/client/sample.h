/*
 * sample.h: takes many dumps, at moments that are spread evenly, and adds them up. What is written of them: sample_print.h, export.h.
 */
#ifndef PYSTUCK_CLIENT_SAMPLE_H
#define PYSTUCK_CLIENT_SAMPLE_H

#include <stdint.h>

#include "connect.h"
#include "profile.h"

#define SAMPLE_RATE 100       /* a second, unless it is said */
#define SAMPLE_RATE_MAX 1000
#define SAMPLE_SECONDS_MAX 86400
#define SAMPLE_FRAMES_MAX 1000 /* of each thread; the outermost of deeper stacks are left out */
#define SAMPLE_NOTE 300

struct sample_request {
	int64_t duration_ms;
	uint32_t rate;      /* moments in a second, at most SAMPLE_RATE_MAX */
	int64_t timeout_ms; /* for each dump */
	uint32_t id;        /* of all the requests: there is one at a time */
	int progress;       /* shown on standard error, a terminal */
};

/* What came of it. */
struct sample {
	struct profile profile;
	uint32_t rate;
	int64_t elapsed_ms; /* from the first moment to the end */
	uint64_t missed;    /* moments that passed before the answer to an earlier one was there */
	uint64_t blind;     /* answers without stacks, which are not in the profile */
	uint64_t time_ns;   /* of the first one, since the epoch */
	int with_gil;       /* stacks cannot be read without it: the program stood still for each */
	char note[SAMPLE_NOTE]; /* why, by the server, made safe */
	int interrupted;    /* by Ctrl-C */
	int sig;            /* a fatal signal came; 0: none */
};

/*
 * Takes them until the time is up or Ctrl-C comes (signals.h, caught by the caller). 0, or the error that ended it, with its sentence:
 * what was taken until then is there all the same. sample_free in any case.
 */
int sample_take(struct sample *s, struct connection *c, const struct sample_request *r, struct diag *d);
void sample_free(struct sample *s);

/* The time that so many samples stand for, in us. */
uint64_t sample_us(const struct sample *s, uint64_t count);

#endif
