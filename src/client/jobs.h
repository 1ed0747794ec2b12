/*
 * jobs.h: evaluations that go on in the background: what they are, what they print, how they end. Knows no line editor: lines
 * are given to whoever shows them.
 */
#ifndef PYSTUCK_CLIENT_JOBS_H
#define PYSTUCK_CLIENT_JOBS_H

#include <stdint.h>

#include "msg.h"
#include "out.h"

#define JOBS_MAX 64 /* at once; the server has a limit of its own */

struct jobs;

/* Called with each whole line that is to be shown, marked, without its newline. `stream` as in MSG_OUTPUT. */
typedef void jobs_line(void *context, int stream, struct span line);

struct jobs *jobs_new(jobs_line *show, void *context); /* NULL: no memory */
void jobs_free(struct jobs *j);
void jobs_forget(struct jobs *j); /* all of them: the connection is over */

/* The evaluation `id` is one from here on. Its number, from 1; 0: there is no room. */
unsigned jobs_add(struct jobs *j, uint32_t id, struct span source);
/*
 * What the program prints to this stream (1, 2) comes as output of the request `id` from here on: to the screen, each line
 * marked, or made safe to `fd`, which is taken over; -1: none. 0 or PYSTUCK_ETOOBIG: there is no room.
 */
int jobs_tee(struct jobs *j, uint32_t id, int stream, int fd);
#define JOBS_BOTH 0
void jobs_untee(struct jobs *j, int stream);
/* 1 when the message was of one of them. */
int jobs_take(struct jobs *j, const struct msg *m);
/* A line for each: number, how long it has been running, source. */
void jobs_list(const struct jobs *j, struct out *o);
/* The id of the job with this number; 0: there is none. */
uint32_t jobs_find(const struct jobs *j, unsigned number);

#endif
