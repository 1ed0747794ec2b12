/*
 * eval_interrupt.c: how an evaluation is interrupted, by the courier: once when somebody wishes it,
 * and again and again when nobody is there any more who could. Who is interrupted when is eval.c's.
 */
#include <Python.h>

#include <stdlib.h>
#include <time.h>

#include "compat_eval.h"
#include "eval_private.h"

#define MISSED_PAUSE_NS 100000 /* until the thread that stood in the way has its own id */
/*
 * An evaluation whose client has gone is interrupted again after 2, 4, 8... 64 s: Python drops an
 * exception that it raises in a finalizer or a weak reference's callback, and the code may catch
 * it. The pauses are for clean-up that the one before has set off.
 */
#define INSIST_FIRST_NS 2000000000u
#define INSIST_LAST_NS 64000000000u

static PyObject *interrupt_type;

/*
 * What an interrupted evaluation is hit with: a KeyboardInterrupt in name and behaviour, but a type
 * of its own. When the very KeyboardInterrupt leaves an exec() of a str, in whatever thread,
 * CPython notes for the whole process that it was unhandled, and the program would end with SIGINT
 * instead of its exit status.
 */
int eval_interrupt_init(void)
{
	interrupt_type =
		PyErr_NewException("builtins.KeyboardInterrupt", PyExc_KeyboardInterrupt, NULL);
	return interrupt_type != NULL ? 0 : -1;
}

PyObject *eval_interrupt_type(void)
{
	return interrupt_type;
}

int eval_set_relay(struct relay *relay)
{
	struct eval_worker *w = eval_worker_self();

	w->relay = relay;
	/* One that has come already was sent to this thread: it is the relay's now. */
	if (relay != NULL && w->interrupted)
		compat_drop_async_exc(w->state, w->ident);
	return relay != NULL && w->interrupted;
}

int eval_was_interrupted(void)
{
	const struct eval_worker *w = eval_worker_self();

	return w != NULL && w->interrupted;
}

enum hit { HIT_NOTHING, HIT_MISSED, HIT_DONE };

/* On the courier, GIL held, so that the evaluation cannot end between the question and the deed. */
static enum hit hit(struct eval_worker *w, uint32_t id)
{
	if (!w->running || w->running_id != id)
		return HIT_NOTHING;
	if (w->relay != NULL) {
		w->interrupted = 1;
		relay_interrupt(w->relay);
		return HIT_DONE;
	}
	if (!compat_send_async_exc(w->state, w->ident, interrupt_type))
		return HIT_MISSED;
	w->interrupted = 1;
	w->sink.interrupted = 1;
	return HIT_DONE;
}

/* --- once ----------------------------------------------------------------- */

struct interrupt {
	struct gil_job job; /* first: the courier knows only this */
	struct eval_worker *worker;
};

/* Locked. */
static void interrupt_over(struct interrupt *i)
{
	i->worker->interrupting = 0;
	eval_worker_release(i->worker);
	free(i);
}

static void interrupt_run(struct gil_job *job)
{
	const struct timespec pause = {0, MISSED_PAUSE_NS};
	struct interrupt *i = (struct interrupt *)job;
	struct gil_hold hold;
	enum hit result;
	uint32_t id;
	int again;

	gil_take(&hold);
	pthread_mutex_lock(&eval_lock);
	id = i->worker->interrupt_id;
	pthread_mutex_unlock(&eval_lock);
	result = hit(i->worker, id);
	gil_give(&hold);
	if (result == HIT_MISSED)
		nanosleep(&pause, NULL);
	pthread_mutex_lock(&eval_lock);
	/* Or one has come meanwhile for an evaluation that began after the one that was hit. */
	again = result == HIT_MISSED || i->worker->interrupt_id != id;
	if (!again)
		interrupt_over(i);
	pthread_mutex_unlock(&eval_lock);
	if (again && gil_submit(&i->job) != 0) {
		pthread_mutex_lock(&eval_lock);
		interrupt_over(i);
		pthread_mutex_unlock(&eval_lock);
	}
}

void eval_interrupt_worker(struct eval_worker *w)
{
	struct interrupt *i;

	w->cancelled = 1;
	w->interrupt_id = w->id;
	if (w->interrupting)
		return;
	i = calloc(1, sizeof *i);
	if (i == NULL)
		return;
	i->job.run = interrupt_run;
	i->worker = w;
	w->references++;
	w->interrupting = 1;
	if (gil_submit(&i->job) != 0)
		interrupt_over(i);
}

/* --- again and again ------------------------------------------------------ */

struct insistence {
	struct gil_job job; /* first: the courier knows only this */
	struct eval_worker *worker;
	uint32_t id; /* the evaluation's; none comes after it */
	uint64_t pause_ns;
};

static void insistence_over(struct insistence *i)
{
	pthread_mutex_lock(&eval_lock);
	eval_worker_release(i->worker);
	pthread_mutex_unlock(&eval_lock);
	free(i);
}

static int is_needed(const struct insistence *i)
{
	int needed;

	pthread_mutex_lock(&eval_lock);
	needed = i->worker->busy && i->worker->session != NULL;
	pthread_mutex_unlock(&eval_lock);
	return needed;
}

static void insist_run(struct gil_job *job)
{
	struct insistence *i = (struct insistence *)job;
	struct gil_hold hold;

	if (!is_needed(i)) {
		insistence_over(i);
		return;
	}
	gil_take(&hold);
	hit(i->worker, i->id);
	gil_give(&hold);
	if (i->pause_ns < INSIST_LAST_NS)
		i->pause_ns *= 2;
	if (gil_submit_after(&i->job, i->pause_ns) != 0)
		insistence_over(i);
}

void eval_insist(struct eval_worker *w)
{
	struct insistence *i = calloc(1, sizeof *i);

	if (i == NULL)
		return;
	i->job.run = insist_run;
	i->worker = w;
	i->id = w->id;
	i->pause_ns = INSIST_FIRST_NS;
	w->references++;
	if (gil_submit_after(&i->job, i->pause_ns) != 0) {
		eval_worker_release(w);
		free(i);
	}
}

/* --- an evaluation that may take only so long ----------------------------- */

struct eval_alarm {
	struct gil_job job; /* first: the courier knows only this */
	struct eval_worker *worker;
	uint32_t id;
	void (*first)(void);
	int references; /* eval_lock: the evaluation and the job are one each */
	int over;       /* eval_lock */
	int rang;       /* GIL */
};

static void alarm_release(struct eval_alarm *a)
{
	int last;

	pthread_mutex_lock(&eval_lock);
	last = --a->references == 0;
	if (last)
		eval_worker_release(a->worker);
	pthread_mutex_unlock(&eval_lock);
	if (last)
		free(a);
}

static int alarm_is_over(const struct eval_alarm *a)
{
	int over;

	pthread_mutex_lock(&eval_lock);
	over = a->over;
	pthread_mutex_unlock(&eval_lock);
	return over;
}

static void alarm_run(struct gil_job *job)
{
	struct eval_alarm *a = (struct eval_alarm *)job;
	struct gil_hold hold;

	if (!alarm_is_over(a)) {
		a->first();
		gil_take(&hold);
		if (!alarm_is_over(a)) {
			a->rang = 1;
			hit(a->worker, a->id);
		}
		gil_give(&hold);
	}
	alarm_release(a);
}

struct eval_alarm *eval_alarm_begin(uint64_t pause_ns, void (*first)(void))
{
	struct eval_worker *w = eval_worker_self();
	struct eval_alarm *a = w != NULL ? calloc(1, sizeof *a) : NULL;

	if (a == NULL)
		return NULL;
	*a = (struct eval_alarm){.job.run = alarm_run, .worker = w, .id = w->running_id, .first = first, .references = 2};
	pthread_mutex_lock(&eval_lock);
	w->references++;
	pthread_mutex_unlock(&eval_lock);
	if (gil_submit_after(&a->job, pause_ns) == 0)
		return a;
	pthread_mutex_lock(&eval_lock);
	eval_worker_release(w);
	pthread_mutex_unlock(&eval_lock);
	free(a);
	return NULL;
}

int eval_alarm_end(struct eval_alarm *a)
{
	int rang = a->rang;

	pthread_mutex_lock(&eval_lock);
	a->over = 1;
	pthread_mutex_unlock(&eval_lock);
	alarm_release(a);
	return rang;
}
