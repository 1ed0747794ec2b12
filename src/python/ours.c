/*
 * ours.c: the kernel's ids of pystuck's own threads, in an array of atomics: no lock that a thread
 * could die with, and none that a fork could catch in the middle. Starts no threads: that is gil.c.
 */
#include "ours.h"

#include <stdatomic.h>

static _Atomic(pid_t) threads[OURS_MAX];
/*
 * Slots from here on have never been used: lookups stop there, and there are many of them for each
 * dump.
 */
static atomic_uint high;
static _Atomic(pid_t) net;

static void raise_high(unsigned used)
{
	unsigned seen = atomic_load(&high);

	while (seen < used && !atomic_compare_exchange_weak(&high, &seen, used))
		;
}

void ours_add(pid_t tid)
{
	if (tid <= 0 || ours_has(tid))
		return;
	for (unsigned i = 0; i < OURS_MAX; i++) {
		pid_t none = 0;

		if (atomic_compare_exchange_strong(&threads[i], &none, tid)) {
			raise_high(i + 1);
			return;
		}
	}
}

void ours_remove(pid_t tid)
{
	unsigned used = atomic_load(&high);

	if (tid <= 0)
		return;
	for (unsigned i = 0; i < used; i++) {
		pid_t same = tid;

		if (atomic_compare_exchange_strong(&threads[i], &same, 0))
			return;
	}
}

int ours_has(pid_t tid)
{
	unsigned used = atomic_load(&high);

	if (tid <= 0)
		return 0;
	if (atomic_load(&net) == tid)
		return 1;
	for (unsigned i = 0; i < used; i++)
		if (atomic_load(&threads[i]) == tid)
			return 1;
	return 0;
}

void ours_set_net(pid_t tid)
{
	atomic_store(&net, tid);
}

size_t ours_list(pid_t *tids, size_t most)
{
	unsigned used = atomic_load(&high);
	size_t n = 0;

	for (unsigned i = 0; i < used && n < most; i++) {
		tids[n] = atomic_load(&threads[i]);
		n += tids[n] != 0;
	}
	return n;
}

void ours_forget(void)
{
	for (unsigned i = 0; i < OURS_MAX; i++)
		atomic_store(&threads[i], 0);
	atomic_store(&high, 0);
	atomic_store(&net, 0);
}
