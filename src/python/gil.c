/*
 * gil.c: taking the GIL from native threads, the courier thread that waits for it on behalf of
 * everybody else, and how threads of ours are started. What is done with the GIL is the jobs'
 * business.
 */
#include <Python.h>

#include "gil.h"

#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "compat.h"
#include "error.h"
#include "hurry.h"
#include "ours.h"

#define COURIER_NAME "pystuck-courier"
/*
 * Letting go of a code object may run finalizers of the program: room for Python code. Untouched
 * pages cost nothing.
 */
#define COURIER_STACK (1024u * 1024)
/*
 * A job that is stuck in the program's own code (a finalizer) or on a dead file system must not
 * hold up a fork for ever.
 */
#define PARK_MS 5000
#define REAP_TRIES 1000
#define GONE_TRIES 200 /* of 50 us each: 10 ms */
#define NAME_BYTES 16 /* what the kernel keeps of a thread's name, NUL included */

/*
 * none -> running      a job came
 * running -> ending    somebody parks; what is due is still worked off
 * ending -> left       nothing in the queue is due: the thread touches nothing of ours any more
 * left -> none         joined, by whoever comes first
 */
enum courier_state { COURIER_NONE = 0, COURIER_RUNNING, COURIER_ENDING, COURIER_LEFT };

static struct {
	pthread_once_t once;
	pthread_mutex_t lock;  /* never held while the GIL is waited for */
	pthread_cond_t work;   /* a job, or the wish that the courier ends */
	pthread_cond_t change; /* the courier has left */
	enum courier_state state;
	pthread_t thread;
	pid_t tid; /* of a courier that has left */
	unsigned long
		started; /* couriers so far: says whether the one that was waited for has gone */
	struct gil_job *first;
	struct gil_job *last;
	int refusing; /* gil_stop has been called */
} courier = {.once = PTHREAD_ONCE_INIT, .lock = PTHREAD_MUTEX_INITIALIZER};

static _Atomic uint64_t waiting_since; /* ns; 0: the courier is not waiting for the GIL */
static atomic_int over; /* the interpreter is going away: nobody may ask for the GIL any more */
static _Thread_local int on_courier;

uint64_t gil_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Not static initialisers: waits with a deadline are to be measured by the clock that nobody sets.
 */
static void courier_conditions(void)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&courier.work, &attr);
	pthread_cond_init(&courier.change, &attr);
	pthread_condattr_destroy(&attr);
}

static void courier_lock(void)
{
	pthread_once(&courier.once, courier_conditions);
	pthread_mutex_lock(&courier.lock);
}

static void courier_unlock(void)
{
	pthread_mutex_unlock(&courier.lock);
}

static pid_t own_tid(void)
{
	return (pid_t)syscall(SYS_gettid);
}

/*
 * Locked. Joining under the lock is short: a thread that has left only returns. The kernel counts a
 * thread for a moment longer than pthread_join waits, and Python warns at a fork when it counts
 * more than one: that moment is waited for too.
 */
static void courier_reap(void)
{
	if (courier.state != COURIER_LEFT)
		return;
	pthread_join(courier.thread, NULL);
	for (int i = 0; i < REAP_TRIES && syscall(SYS_tgkill, getpid(), courier.tid, 0) == 0; i++)
		sched_yield();
	courier.state = COURIER_NONE;
}

/* Locked. The first job whose time has come, or NULL and *due_ns: when the next one's will; 0: never. */
static struct gil_job *courier_next(uint64_t *due_ns)
{
	struct gil_job **at = &courier.first, *job, *before = NULL;
	uint64_t now = 0;

	*due_ns = 0;
	for (; (job = *at) != NULL; before = job, at = &job->next) {
		if (job->due_ns != 0 && now == 0)
			now = gil_now_ns();
		if (job->due_ns <= now)
			break;
		if (*due_ns == 0 || job->due_ns < *due_ns)
			*due_ns = job->due_ns;
	}
	if (job == NULL)
		return NULL;
	*at = job->next;
	if (courier.last == job)
		courier.last = before;
	return job;
}

/* Locked. Until there is something to do, or that time (0: for ever). */
static void courier_wait(uint64_t until_ns)
{
	struct timespec until = {
		(time_t)(until_ns / 1000000000u), (long)(until_ns % 1000000000u)};

	if (until_ns == 0)
		pthread_cond_wait(&courier.work, &courier.lock);
	else
		pthread_cond_timedwait(&courier.work, &courier.lock, &until);
}

static void *courier_main(void *arg)
{
	struct gil_job *job;
	uint64_t due_ns;

	(void)arg;
	on_courier = 1;
	courier_lock();
	/*
	 * After a stop that was not waited out, jobs are left alone: they would ask for the GIL of
	 * an ending interpreter.
	 */
	while (!atomic_load(&over)) {
		job = courier_next(&due_ns);
		if (job != NULL) {
			courier_unlock();
			job->run(job);
			courier_lock();
		} else if (courier.state == COURIER_ENDING) {
			break;
		} else {
			courier_wait(due_ns);
		}
	}
	courier.tid = own_tid();
	courier.state = COURIER_LEFT;
	pthread_cond_broadcast(&courier.change);
	courier_unlock();
	return NULL;
}

/* Locked. */
static int courier_start(void)
{
	int rc;

	courier_reap();
	if (courier.state != COURIER_NONE)
		return 0;
	rc = gil_start_thread(&courier.thread, COURIER_NAME, COURIER_STACK, courier_main, NULL);
	if (rc != 0)
		return rc;
	courier.state = COURIER_RUNNING;
	courier.started++;
	return 0;
}

static int submit(struct gil_job *job, uint64_t due_ns)
{
	int rc = PYSTUCK_ECLOSED;

	courier_lock();
	if (!courier.refusing)
		rc = courier_start();
	if (rc == 0) {
		job->next = NULL;
		job->due_ns = due_ns;
		if (courier.last != NULL)
			courier.last->next = job;
		else
			courier.first = job;
		courier.last = job;
	}
	courier_unlock();
	/* Not locked: the courier would wake up only to wait for the lock. */
	if (rc == 0)
		pthread_cond_signal(&courier.work);
	return rc;
}

int gil_submit(struct gil_job *job)
{
	return submit(job, 0);
}

int gil_submit_after(struct gil_job *job, uint64_t pause_ns)
{
	return submit(job, gil_now_ns() + pause_ns);
}

uint64_t gil_waiting_us(void)
{
	uint64_t since = atomic_load(&waiting_since);
	uint64_t now = gil_now_ns();

	return since != 0 && now > since ? (now - since) / 1000 : 0;
}

/* Locked. Waits for the end of the courier that lives now; 0 when the time was up first. */
static int courier_end(int timeout_ms)
{
	uint64_t until = gil_now_ns() + (uint64_t)(timeout_ms > 0 ? timeout_ms : 0) * 1000000u;
	struct timespec deadline = {(time_t)(until / 1000000000u), (long)(until % 1000000000u)};
	unsigned long mine = courier.started;
	int rc = 0;

	if (courier.state == COURIER_RUNNING) {
		courier.state = COURIER_ENDING;
		pthread_cond_signal(&courier.work);
	}
	/* The next courier may have been started by the time we wake up. */
	while (courier.started == mine && courier.state == COURIER_ENDING && rc != ETIMEDOUT)
		rc = pthread_cond_timedwait(&courier.change, &courier.lock, &deadline);
	if (courier.started == mine)
		courier_reap();
	return courier.started != mine || courier.state == COURIER_NONE;
}

void gil_park(void)
{
	/*
	 * A finalizer that a job runs may fork or stop the server: the courier cannot wait for
	 * itself.
	 */
	if (on_courier)
		return;
	courier_lock();
	courier_end(PARK_MS);
	courier_unlock();
	hurry_tick(UINT64_MAX);
}

int gil_is_ending(void)
{
	int ending;

	courier_lock();
	ending = courier.refusing || courier.state == COURIER_ENDING;
	courier_unlock();
	return ending;
}

void gil_resume(void)
{
	courier_lock();
	if (courier.first != NULL && !courier.refusing)
		courier_start();
	courier_unlock();
}

int gil_stop(int timeout_ms)
{
	int ended = 0;

	courier_lock();
	courier.refusing = 1;
	if (!on_courier)
		ended = courier_end(timeout_ms);
	atomic_store(&over, 1);
	courier_unlock();
	hurry_tick(UINT64_MAX);
	return ended;
}

void gil_forget(void)
{
	/* The lock may have been held, and the conditions waited on, by threads that are not here.
	 */
	memset(&courier, 0, sizeof courier);
	courier.once = (pthread_once_t)PTHREAD_ONCE_INIT;
	pthread_mutex_init(&courier.lock, NULL);
	atomic_store(&waiting_since, 0);
	atomic_store(&over, 0);
	on_courier = 0;
}

PyThreadState *gil_holder(void)
{
	return compat_gil_holder();
}

void gil_take(struct gil_hold *hold)
{
	uint64_t asked = gil_now_ns();
	unsigned token;

	/*
	 * Once the interpreter finalizes, asking for the GIL ends the thread, hangs it or crashes
	 * the process, by version. The hook at exit has waited for us as long as it may; what is
	 * left is to stand still until the process is gone.
	 */
	while (atomic_load(&over))
		pause();
	hold->holder = gil_holder();
	if (on_courier)
		atomic_store(&waiting_since, asked);
	token = hurry_begin();
	hold->state = PyGILState_Ensure();
	hurry_end(token);
	hold->since_ns = gil_now_ns();
	if (on_courier)
		atomic_store(&waiting_since, 0);
	hold->wait_us = (hold->since_ns - asked) / 1000;
}

void gil_give(struct gil_hold *hold)
{
	PyGILState_Release(hold->state);
}

void gil_restore(PyThreadState *state)
{
	unsigned token = hurry_begin();

	PyEval_RestoreThread(state);
	hurry_end(token);
}

void gil_await_gone(pid_t tid)
{
	const struct timespec moment = {.tv_nsec = 50000};

	/* By its number: musl has no function for it. */
	for (int i = 0; i < GONE_TRIES && syscall(SYS_tgkill, getpid(), tid, 0) == 0; i++)
		nanosleep(&moment, NULL);
}

struct start {
	void *(*main)(void *);
	void *arg;
	char name[NAME_BYTES];
};

static void thread_leaves(void *unused)
{
	(void)unused;
	ours_remove(own_tid());
}

static void *thread_main(void *arg)
{
	struct start s = *(struct start *)arg;
	void *result;

	free(arg);
	ours_add(own_tid());
	pthread_setname_np(pthread_self(), s.name);
	/*
	 * Python may end the thread inside the call (PyGILState_Ensure up to 3.13, at exit); the
	 * kernel's id is used again.
	 */
	pthread_cleanup_push(thread_leaves, NULL);
	result = s.main(s.arg);
	pthread_cleanup_pop(1);
	return result;
}

/*
 * Every signal is blocked before the thread exists: its handlers are the program's, to be run on
 * the program's threads.
 */
static int start_blocked(pthread_t *thread, const pthread_attr_t *attr, struct start *s)
{
	sigset_t all, old;
	int rc;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = pthread_create(thread, attr, thread_main, s);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return rc == 0 ? 0 : PYSTUCK_ESYS;
}

int gil_start_thread(
	pthread_t *thread, const char *name, size_t stack_bytes, void *(*main)(void *), void *arg)
{
	struct start *s = malloc(sizeof *s);
	pthread_attr_t attr;
	int rc = PYSTUCK_ESYS;

	if (s == NULL)
		return rc;
	s->main = main;
	s->arg = arg;
	strncpy(s->name, name, sizeof s->name - 1);
	s->name[sizeof s->name - 1] = '\0';
	if (pthread_attr_init(&attr) == 0) {
		if (stack_bytes != 0 && stack_bytes < (size_t)PTHREAD_STACK_MIN)
			stack_bytes = (size_t)PTHREAD_STACK_MIN;
		if (stack_bytes == 0 || pthread_attr_setstacksize(&attr, stack_bytes) == 0)
			rc = start_blocked(thread, &attr, s);
		pthread_attr_destroy(&attr);
	}
	if (rc != 0)
		free(s);
	return rc;
}
