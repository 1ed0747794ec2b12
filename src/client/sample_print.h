/*
 * sample_print.h: where the time went, as text for people: by thread, function and line, on CPU and waiting apart.
 */
#ifndef PYSTUCK_CLIENT_SAMPLE_PRINT_H
#define PYSTUCK_CLIENT_SAMPLE_PRINT_H

#include "out.h"
#include "sample.h"

/* What there was most of. */
void sample_print(struct out *o, const struct sample *s, int color);
/* "998 samples in 10.0 s, ...", without a newline, and with what makes them less than they should be. */
void sample_print_facts(struct out *o, const struct sample *s);
/* "6.20 s" of so many samples, right-aligned to `width`. */
void sample_print_time(struct out *o, const struct sample *s, uint64_t count, size_t width);
/* "MainThread (tid 812)" */
void sample_print_thread(struct out *o, const struct profile_thread *t);
/* What most of its time not on CPU was: "sleeping"; NULL: it never waited. Static. */
const char *sample_waiting(const struct profile_thread *t);
/* Indexes of the threads, those with most on CPU first, then those that waited most; the caller frees it. NULL: no memory. */
uint32_t *sample_threads(const struct sample *s);

#endif
