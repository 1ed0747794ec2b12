/*
 * courtesy.c: the courier's question for the GIL while evaluations compute. Which thread states evaluate is eval_worker.c's, how one is
 * interrupted eval_interrupt.c's.
 */
#include <Python.h>

#include "courtesy.h"

#include <stdatomic.h>

#include "eval_private.h"
#include "hurry.h"

#define MS 1000000u /* ns */

/* Of the courier, and guarded by eval_lock where it says so. */
static struct {
	struct gil_job job;
	int active; /* eval_lock: the job is under way */
	uint64_t last_ns; /* when an evaluation was last seen with the GIL */
} courtesy;

static _Atomic uint64_t due; /* 0: never */
static atomic_int expected;  /* an evaluation may have to be looked after that is not yet */

/* Locked. */
static int is_busy(void)
{
	for (const struct eval_worker *w = eval_workers; w != NULL; w = w->next)
		if (w->busy)
			return 1;
	return 0;
}

/* Locked. Whether code has been running for long enough: of this thread state; NULL: of any. */
static int is_late(const PyThreadState *state, uint64_t now)
{
	for (const struct eval_worker *w = eval_workers; w != NULL; w = w->next) {
		const PyThreadState *computing = atomic_load(&w->computing);

		if (computing != NULL && (state == NULL || state == computing) &&
			now >= atomic_load(&w->computing_since) + (uint64_t)COURTESY_LATE_MS * MS)
			return 1;
	}
	return 0;
}

static void ask(void)
{
	struct gil_hold hold;

	hurry_expect();
	gil_take(&hold);
	gil_give(&hold);
}

static void ask_and_again(struct gil_job *job)
{
	const PyThreadState *holder = gil_holder();
	uint64_t now = gil_now_ns();
	int asks, sleeps, goes_on;

	pthread_mutex_lock(&eval_lock);
	asks = holder != NULL && is_late(holder, now);
	if (asks)
		courtesy.last_ns = now;
	sleeps = now - courtesy.last_ns >= (uint64_t)COURTESY_REST_MS * MS;
	goes_on = !sleeps && is_late(NULL, now);
	courtesy.active = goes_on;
	/* Others may have begun meanwhile. */
	if (!goes_on && !sleeps && is_busy())
		atomic_store(&expected, 1);
	pthread_mutex_unlock(&eval_lock);
	/* Code under %atomic is not to be asked. */
	if (goes_on && asks && !hurry_is_held())
		ask();
	if (!goes_on || gil_submit_after(job, (uint64_t)COURTESY_MS * MS) == 0)
		return;
	pthread_mutex_lock(&eval_lock);
	courtesy.active = 0;
	pthread_mutex_unlock(&eval_lock);
}

/* Locked. */
static void begin(uint64_t now)
{
	courtesy.job.run = ask_and_again;
	courtesy.last_ns = now;
	courtesy.active = gil_submit(&courtesy.job) == 0;
	atomic_store(&expected, 0);
}

void courtesy_expect(void)
{
	uint64_t never = 0;

	atomic_store(&expected, 1);
	(void)atomic_compare_exchange_strong(&due, &never, gil_now_ns() + (uint64_t)COURTESY_LATE_MS * MS);
}

uint64_t courtesy_due(void)
{
	uint64_t at = atomic_load(&due);

	return at != 0 ? at : UINT64_MAX;
}

void courtesy_tick(uint64_t now_ns)
{
	if (now_ns < courtesy_due())
		return;
	pthread_mutex_lock(&eval_lock);
	if (!courtesy.active && atomic_load(&expected)) {
		atomic_store(&expected, is_busy());
		if (is_late(NULL, now_ns))
			begin(now_ns);
	}
	/* First this: a request that comes now either finds 0, or has been expected before the next line looks. */
	atomic_store(&due, 0);
	/* As long as it is under way the net thread looks after the switch interval, too. */
	if (courtesy.active || atomic_load(&expected))
		atomic_store(&due, now_ns + (uint64_t)COURTESY_LATE_MS * MS);
	pthread_mutex_unlock(&eval_lock);
}

void courtesy_forget(void)
{
	courtesy.active = 0;
	atomic_store(&due, 0);
	atomic_store(&expected, 0);
}
