/*
 * atomic.c: CPython's switch interval, raised and put back. Interrupting what takes too long is eval_interrupt.c's.
 *
 * A thread that waits for the GIL sleeps for the interval, and asks for it if it has not changed hands meanwhile. So with an
 * interval that is longer than the code may run nobody asks; and those who wait already do not, since the number of changes is
 * counted up by one, as if there had been another. That number also tells afterwards whether the code has let go of the GIL and another
 * thread had it. Only the interval can be seen by the program, by sys.getswitchinterval().
 */
#include <Python.h>

#include "atomic.h"

#include "compat.h"
#include "gil.h"
#include "hurry.h"

/* Our value, which is odd enough to be told from the program's, and what stood there before; 0: no stretch is under way. */
static unsigned long ours, before;

static struct _gil_runtime_state *own_gil(void)
{
	return (struct _gil_runtime_state *)(uintptr_t)compat_gil();
}

int atomic_begin(struct atomic *a, unsigned ms)
{
	struct _gil_runtime_state *gil = own_gil();
	unsigned long now;

	/* Whoever waits gets its turn, and no request for the GIL is left over. */
	Py_BEGIN_ALLOW_THREADS
	Py_END_ALLOW_THREADS
	if (gil == NULL || __atomic_load_n(&ours, __ATOMIC_ACQUIRE) != 0) {
		PyErr_SetString(PyExc_RuntimeError, "another %atomic is under way");
		return -1;
	}
	hurry_hold(1);
	now = __atomic_load_n(&gil->interval, __ATOMIC_RELAXED);
	before = now;
	__atomic_store_n(&ours, (unsigned long)ms * 1000 + 7003, __ATOMIC_RELEASE);
	if (now < ours)
		__atomic_store_n(&gil->interval, ours, __ATOMIC_RELAXED);
	a->switches = __atomic_add_fetch(&gil->switch_number, 1, __ATOMIC_RELAXED);
	a->began_ns = gil_now_ns();
	return 0;
}

void atomic_restore(void)
{
	struct _gil_runtime_state *gil = own_gil();
	unsigned long expected = __atomic_load_n(&ours, __ATOMIC_ACQUIRE);

	if (expected == 0 || gil == NULL)
		return;
	(void)__atomic_compare_exchange_n(&gil->interval, &expected, before, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}

void atomic_forget(void)
{
	atomic_restore();
	__atomic_store_n(&ours, 0, __ATOMIC_RELEASE);
	hurry_hold(0);
}

int atomic_end(const struct atomic *a, uint64_t *ns)
{
	*ns = gil_now_ns() - a->began_ns;
	atomic_forget();
	return __atomic_load_n(&own_gil()->switch_number, __ATOMIC_RELAXED) == a->switches;
}
