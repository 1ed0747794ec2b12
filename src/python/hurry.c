/*
 * hurry.c: CPython's switch interval, lowered and put back.
 */
#include <Python.h>

#include "hurry.h"

#include <pthread.h>
#include <stdatomic.h>

#include "compat.h"
#include "gil.h"

static struct {
	pthread_mutex_t lock; /* for a few instructions */
	unsigned long before; /* what stood there when it was shortened last; 0: it never was */
	unsigned number;      /* of the hurry, never 0: who comes back from another one changes nothing */
	unsigned expected;    /* requests whose waiter has not come yet */
	unsigned waiters;
	int shortened, held, ending;
} hurry = {.lock = PTHREAD_MUTEX_INITIALIZER, .number = 1};

static _Atomic uint64_t until; /* of this hurry; 0: there is none */

static unsigned long *interval(void)
{
	struct _gil_runtime_state *gil = (struct _gil_runtime_state *)(uintptr_t)compat_gil();

	return gil != NULL ? &gil->interval : NULL;
}

/* Locked. */
static void shorten(void)
{
	unsigned long *at = interval(), now;

	if (at == NULL || (hurry.held && !hurry.ending) || hurry.shortened)
		return;
	now = __atomic_load_n(at, __ATOMIC_RELAXED);
	/* Whoever saved the interval during another hurry has put ours back: what was there before is known. */
	if (now == HURRY_US && hurry.before != 0) {
		hurry.shortened = 1;
		return;
	}
	while (now > HURRY_US && !hurry.shortened)
		if (__atomic_compare_exchange_n(at, &now, HURRY_US, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
			hurry.before = now;
			hurry.shortened = 1;
		}
}

/* Locked. */
static void give_back(void)
{
	unsigned long *at = interval(), ours = HURRY_US;

	if (hurry.ending)
		return;
	if (at != NULL && hurry.shortened)
		(void)__atomic_compare_exchange_n(at, &ours, hurry.before, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
	hurry.shortened = 0;
}

/* Locked. The time of a hurry begins with the request, and does not become longer by further ones. */
static void set_time(void)
{
	atomic_store(&until, hurry.expected > 0 ? gil_now_ns() + (uint64_t)HURRY_MS * 1000000u : 0);
}

/* Locked. */
static void end_all(void)
{
	give_back();
	hurry.waiters = 0;
	hurry.number = hurry.number + 1 != 0 ? hurry.number + 1 : 1;
	set_time();
}

void hurry_expect(void)
{
	pthread_mutex_lock(&hurry.lock);
	hurry.expected++;
	if (hurry.waiters == 0)
		set_time();
	pthread_mutex_unlock(&hurry.lock);
}

unsigned hurry_begin(void)
{
	unsigned number = 0;

	if (atomic_load(&until) == 0)
		return 0;
	pthread_mutex_lock(&hurry.lock);
	if (hurry.expected > 0) {
		hurry.expected--;
		hurry.waiters++;
		number = hurry.number;
		if (gil_holder() != NULL)
			shorten();
	}
	pthread_mutex_unlock(&hurry.lock);
	return number;
}

void hurry_end(unsigned token)
{
	if (token == 0)
		return;
	pthread_mutex_lock(&hurry.lock);
	if (token == hurry.number && --hurry.waiters == 0)
		end_all();
	pthread_mutex_unlock(&hurry.lock);
}

uint64_t hurry_due(void)
{
	uint64_t end = atomic_load(&until);

	return end != 0 ? end : UINT64_MAX;
}

void hurry_tick(uint64_t now_ns)
{
	if (now_ns < hurry_due())
		return;
	pthread_mutex_lock(&hurry.lock);
	if (now_ns >= hurry_due()) {
		hurry.expected = 0;
		end_all();
	}
	pthread_mutex_unlock(&hurry.lock);
}

void hurry_exit(int exiting)
{
	pthread_mutex_lock(&hurry.lock);
	hurry.ending = exiting;
	if (exiting)
		shorten();
	else
		end_all();
	pthread_mutex_unlock(&hurry.lock);
}

int hurry_is_held(void)
{
	int held;

	pthread_mutex_lock(&hurry.lock);
	held = hurry.held;
	pthread_mutex_unlock(&hurry.lock);
	return held;
}

void hurry_hold(int hold)
{
	pthread_mutex_lock(&hurry.lock);
	hurry.held = hold;
	give_back();
	pthread_mutex_unlock(&hurry.lock);
}

void hurry_forget(void)
{
	/* Somebody who is not here may have had it. */
	pthread_mutex_init(&hurry.lock, NULL);
	hurry.held = 0;
	hurry.ending = 0;
	hurry.expected = 0;
	end_all();
}
