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
	/* By lane_linger; the thread's own. */
	uint64_t until_ns;
	void (*at_end)(void);
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

static _Thread_local struct lane_thread *self;
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

/* Locked. Waits for work until then. */
static int wait_until(pthread_cond_t *condition, uint64_t ns)
{
	struct timespec deadline = {(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)};

	return pthread_cond_timedwait(condition, &lanes.lock, &deadline);
}

/* Locked; unlocked meanwhile. What the thread has kept for another job is given up. */
static void give_up(struct lane_thread *t)
{
	void (*at_end)(void) = t->at_end;

	t->at_end = NULL;
	unlock();
	at_end();
	lock();
}

/* Locked; there is no job. 1 when there will be none: the thread ends. */
static int wait_for_job(struct lane_thread *t)
{
	int ending = t->state == LANE_ENDING || (kinds[t - lanes.threads].ends && gil_now_ns() >= t->until_ns);

	/* A job may come while it gives up. */
	if (ending && t->at_end != NULL)
		give_up(t);
	else if (ending)
		return 1;
	else if (kinds[t - lanes.threads].ends)
		wait_until(&t->work, t->until_ns);
	else
		pthread_cond_wait(&t->work, &lanes.lock);
	return 0;
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
		} else if (wait_for_job(t)) {
			break;
		}
	}
	t->until_ns = 0;
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

void lane_linger(int ms, void (*at_end)(void))
{
	self->until_ns = gil_now_ns() + (uint64_t)ms * 1000000u;
	self->at_end = at_end;
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
			rc = wait_until(&lanes.change, until);
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
