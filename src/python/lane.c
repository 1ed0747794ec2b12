/*
 * lane.c: one thread for each kind of job that may take its time, such as a call into code of the program that may never
 * return. What is done is the jobs' business (admit.c, auditor.c, dump_late.c).
 */
#include <Python.h>

#include "lane.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "error.h"
#include "threading.h"

#define PARK_MS 50           /* how long a fork waits for a job */

/*
 * none -> running      a job came
 * running -> ending    somebody parks or stops; the queue is still worked off
 * running -> left      a lane that ends when it has nothing to do
 * ending -> left       the queue is empty: the thread touches nothing of ours any more
 * left -> none         joined, by whoever comes first
 */
enum lane_state { LANE_NONE = 0, LANE_RUNNING, LANE_ENDING, LANE_LEFT };

struct lane_thread {
	enum lane_state state;
	pthread_t thread;
	pthread_cond_t work; /* a job, or the wish that the thread ends */
	struct gil_job *first, *last;
};

static const struct {
	const char *name;
	size_t stack; /* bytes */
	int ends;     /* when it has nothing to do */
} kinds[LANES] = {
	[LANE_ADMIT] = {"pystuck-admit", 1024u * 1024, 0}, /* Python code runs on it */
	[LANE_AUDIT] = {"pystuck-audit", 1024u * 1024, 0},
	[LANE_RAW] = {"pystuck-raw", 256u * 1024, 1},
};

static struct {
	pthread_once_t once;
	pthread_mutex_t lock;  /* never held while the GIL is waited for */
	pthread_cond_t change; /* a thread has left */
	int refusing;          /* lane_stop has been called */
	struct lane_thread threads[LANES];
} lanes = {.once = PTHREAD_ONCE_INIT, .lock = PTHREAD_MUTEX_INITIALIZER};

static _Thread_local const struct lane_thread *self;
static _Thread_local pid_t home; /* the process that the thread belongs to */

/* Not static initialisers: waits with a deadline are measured by the clock that nobody sets. */
static void init_conditions(void)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&lanes.change, &attr);
	for (size_t i = 0; i < LANES; i++)
		pthread_cond_init(&lanes.threads[i].work, &attr);
	pthread_condattr_destroy(&attr);
}

static void lock(void)
{
	pthread_once(&lanes.once, init_conditions);
	pthread_mutex_lock(&lanes.lock);
}

static void unlock(void)
{
	pthread_mutex_unlock(&lanes.lock);
}

/* Locked. Joining under the lock is short: a thread that has left only returns. */
static void reap(struct lane_thread *t)
{
	if (t->state != LANE_LEFT)
		return;
	pthread_join(t->thread, NULL);
	t->state = LANE_NONE;
}

/* Locked. */
static struct gil_job *take_job(struct lane_thread *t)
{
	struct gil_job *job = t->first;

	if (job != NULL)
		t->first = job->next;
	if (t->first == NULL)
		t->last = NULL;
	return job;
}

static void *lane_main(void *arg)
{
	struct lane_thread *t = arg;
	struct gil_job *job;

	self = t;
	home = getpid();
	lock();
	for (;;) {
		job = take_job(t);
		if (job != NULL) {
			unlock();
			job->run(job);
			lock();
		} else if (t->state == LANE_ENDING || kinds[t - lanes.threads].ends) {
			break;
		} else {
			pthread_cond_wait(&t->work, &lanes.lock);
		}
	}
	t->state = LANE_LEFT;
	pthread_cond_broadcast(&lanes.change);
	unlock();
	return NULL;
}

int lane_submit(enum lane which, struct gil_job *job)
{
	struct lane_thread *t = &lanes.threads[which];
	int rc = 0;

	lock();
	reap(t);
	if (lanes.refusing)
		rc = PYSTUCK_ECLOSED;
	else if (t->state == LANE_NONE)
		rc = gil_start_thread(
			&t->thread, kinds[which].name, kinds[which].stack, lane_main, t);
	if (rc == 0) {
		if (t->state == LANE_NONE)
			t->state = LANE_RUNNING;
		job->next = NULL;
		if (t->last != NULL)
			t->last->next = job;
		else
			t->first = job;
		t->last = job;
		pthread_cond_signal(&t->work);
	}
	unlock();
	return rc;
}

void lane_enter(struct gil_hold *hold)
{
	gil_take(hold);
	threading_import();
}

void lane_leave(struct gil_hold *hold)
{
	/* The child of a fork has no use for a thread of ours that goes on: this is its only one. */
	if (getpid() != home)
		_exit(0);
	threading_forget_us();
	gil_give(hold);
}

/* Locked. 1 when all threads but the caller's own have ended in time. */
static int end_all(int timeout_ms)
{
	uint64_t until = gil_now_ns() + (uint64_t)(timeout_ms > 0 ? timeout_ms : 0) * 1000000u;
	struct timespec deadline = {(time_t)(until / 1000000000u), (long)(until % 1000000000u)};
	int all = 1;

	for (size_t i = 0; i < LANES; i++) {
		struct lane_thread *t = &lanes.threads[i];

		if (t->state == LANE_RUNNING && t != self) {
			t->state = LANE_ENDING;
			pthread_cond_signal(&t->work);
		}
	}
	for (size_t i = 0; i < LANES; i++) {
		struct lane_thread *t = &lanes.threads[i];
		int rc = 0;

		while (t->state == LANE_ENDING && t != self && rc != ETIMEDOUT)
			rc = pthread_cond_timedwait(&lanes.change, &lanes.lock, &deadline);
		reap(t);
		all &= t->state == LANE_NONE;
	}
	return all;
}

void lane_park(void)
{
	lock();
	(void)end_all(PARK_MS);
	unlock();
}

int lane_stop(int timeout_ms)
{
	int all;

	lock();
	lanes.refusing = 1;
	all = end_all(timeout_ms);
	unlock();
	return all;
}

void lane_forget(void)
{
	/* The lock may have been held, and the conditions waited on, by threads that are not here. */
	memset(&lanes, 0, sizeof lanes);
	lanes.once = (pthread_once_t)PTHREAD_ONCE_INIT;
	pthread_mutex_init(&lanes.lock, NULL);
}
