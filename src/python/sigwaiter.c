/*
 * sigwaiter.c: signals that ask for a server, from their handler to the thread that acts. The one place of
 * the extension that installs a signal handler, and only when run_server(signal=...) says which.
 *
 * A semaphore joins the two: sem_post(3) may be called in a handler, and it has no fd that the program
 * could close.
 */
#include <Python.h>

#include "sigwaiter.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "gil.h"

#define WAITER_NAME "pystuck-signal"
#define WAITER_STACK (256u * 1024)

static struct {
	_Atomic pid_t owner; /* the process whose signals are counted */
	atomic_uint count[NSIG];
	unsigned users[NSIG]; /* GIL */
	sem_t called;
	int is_set_up; /* GIL */
} signals;

static struct {
	pthread_mutex_t control; /* whoever starts or ends the thread; never held in `came` */
	pthread_t thread;
	int started;
	_Atomic pid_t tid;
	atomic_int stop; /* somebody waits for its end */
	atomic_int left; /* it ends by itself */
	void (*came)(void);
} waiter = {.control = PTHREAD_MUTEX_INITIALIZER};

int sigwaiter_is_free(long signo)
{
	return signo == SIGUSR1 || signo == SIGUSR2 || (signo >= SIGRTMIN && signo <= SIGRTMAX);
}

char *sigwaiter_name(int signo, char out[static SIGWAITER_NAME_MAX])
{
	if (signo == SIGUSR1 || signo == SIGUSR2)
		(void)snprintf(out, SIGWAITER_NAME_MAX, "SIGUSR%d", signo == SIGUSR1 ? 1 : 2);
	else
		(void)snprintf(out, SIGWAITER_NAME_MAX, "SIGRTMIN+%d", signo - SIGRTMIN);
	return out;
}

/* ---- the handler ------------------------------------------------------------------------------ */

/*
 * On any thread of the program, at any instruction: async-signal-safe calls only. Not in a child that nobody
 * told us of, and not in one of vfork(2), which would count in its parent's memory.
 */
static void handle(int signo)
{
	int sys = errno;

	if (getpid() == atomic_load(&signals.owner)) {
		atomic_fetch_add(&signals.count[signo], 1);
		(void)sem_post(&signals.called);
	}
	errno = sys;
}

static int is_blocked(int signo)
{
	sigset_t blocked;

	return pthread_sigmask(SIG_SETMASK, NULL, &blocked) == 0 && sigismember(&blocked, signo) == 1;
}

int sigwaiter_holds(int signo)
{
	struct sigaction now;

	return sigaction(signo, NULL, &now) == 0 && (now.sa_flags & SA_SIGINFO) == 0 &&
		now.sa_handler == handle;
}

unsigned sigwaiter_count(int signo)
{
	return atomic_load(&signals.count[signo]);
}

/* What stands in the way of taking it, or NULL. */
static const char *in_the_way(int signo)
{
	struct sigaction now;

	if (sigaction(signo, NULL, &now) != 0)
		return "cannot be handled";
	if ((now.sa_flags & SA_SIGINFO) != 0 || (now.sa_handler != SIG_DFL && now.sa_handler != SIG_IGN))
		return "has a handler of the program's already";
	if (now.sa_handler == SIG_IGN)
		return "is ignored in this process";
	return is_blocked(signo) ? "is blocked in this thread, so that somebody else may wait for it" : NULL;
}

static int install(int signo)
{
	/* SA_RESTART: a system call of the program goes on; SA_ONSTACK: its stack may be a small one. */
	struct sigaction ours = {.sa_handler = handle, .sa_flags = SA_RESTART | SA_ONSTACK};

	sigemptyset(&ours.sa_mask);
	return sigaction(signo, &ours, NULL);
}

int sigwaiter_take(int signo, struct diag *d)
{
	char name[SIGWAITER_NAME_MAX];
	const char *why = sigwaiter_holds(signo) ? NULL : in_the_way(signo);

	sigwaiter_name(signo, name);
	if (why != NULL)
		return diag_set(d, PYSTUCK_EINVAL, 0,
			"signal=%s: it %s; choose another, so that one signal asks for one thing", name, why);
	if (!signals.is_set_up && sem_init(&signals.called, 0, 0) != 0)
		return diag_set(d, PYSTUCK_ESYS, errno, "signal=%s: %m", name);
	signals.is_set_up = 1;
	atomic_store(&signals.owner, getpid());
	if (!sigwaiter_holds(signo) && install(signo) != 0)
		return diag_set(d, PYSTUCK_ESYS, errno, "signal=%s: %m", name);
	signals.users[signo]++;
	return 0;
}

static void give_back(int signo)
{
	struct sigaction none = {.sa_handler = SIG_DFL};

	sigemptyset(&none.sa_mask);
	if (sigwaiter_holds(signo))
		(void)sigaction(signo, &none, NULL);
}

void sigwaiter_give(int signo)
{
	if (signals.users[signo] > 0 && --signals.users[signo] == 0)
		give_back(signo);
}

void sigwaiter_give_all(void)
{
	for (int signo = 1; signo < NSIG; signo++)
		if (signals.users[signo] > 0) {
			signals.users[signo] = 0;
			give_back(signo);
		}
}

/* ---- the thread ------------------------------------------------------------------------------- */

static void *waiter_main(void *arg)
{
	(void)arg;
	atomic_store(&waiter.tid, gettid());
	while (!atomic_load(&waiter.stop)) {
		/* At first too: a signal may have come before the thread was there. */
		waiter.came();
		if (atomic_load(&waiter.left))
			break;
		while (sem_wait(&signals.called) != 0 && errno == EINTR)
			;
	}
	return NULL;
}

void sigwaiter_leave(void)
{
	atomic_store(&waiter.left, 1);
}

int sigwaiter_sync(int (*wanted)(void), void (*came)(void))
{
	int rc = 0;

	pthread_mutex_lock(&waiter.control);
	if (waiter.started && (!wanted() || atomic_load(&waiter.left))) {
		atomic_store(&waiter.stop, 1);
		(void)sem_post(&signals.called);
		pthread_join(waiter.thread, NULL);
		gil_await_gone(atomic_load(&waiter.tid));
		waiter.started = 0;
	}
	if (!waiter.started && wanted()) {
		atomic_store(&waiter.stop, 0);
		atomic_store(&waiter.left, 0);
		waiter.came = came;
		rc = gil_start_thread(&waiter.thread, WAITER_NAME, WAITER_STACK, waiter_main, NULL);
		waiter.started = rc == 0;
	}
	pthread_mutex_unlock(&waiter.control);
	return rc;
}

void sigwaiter_forget(void)
{
	pthread_mutex_init(&waiter.control, NULL);
	waiter.started = 0;
	if (!signals.is_set_up)
		return;
	(void)sem_init(&signals.called, 0, 0);
	atomic_store(&signals.owner, getpid());
}
