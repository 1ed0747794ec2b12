/*
 * since.c: visits the processors on which threads ran last, and reads their clocks.
 */
#include "since.h"

#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "gil.h"

void since_open(struct since *s, const struct waits *proc)
{
	memset(s, 0, sizeof *s);
	s->proc = proc;
	s->self = (pid_t)syscall(SYS_gettid);
}

void since_close(struct since *s)
{
	if (s->moved)
		sched_setaffinity(0, sizeof s->allowed, &s->allowed);
	s->moved = 0;
}

/* 1 when we run there. */
static int visit(struct since *s, int cpu)
{
	cpu_set_t one;

	if (cpu < 0 || cpu >= CPU_SETSIZE)
		return 0;
	if (!s->moved && sched_getaffinity(0, sizeof s->allowed, &s->allowed) != 0)
		return 0;
	CPU_ZERO(&one);
	CPU_SET((size_t)cpu, &one);
	if (sched_setaffinity(0, sizeof one, &one) != 0)
		return 0;
	s->moved = 1;
	return sched_getcpu() == cpu;
}

/* The clock of that processor now; 0: not known. Each is visited once. */
static uint64_t clock_of(struct since *s, int cpu)
{
	uint64_t now = gil_now_ns();
	size_t i = 0;

	while (i < s->count && s->cpus[i].cpu != cpu)
		i++;
	if (i == SINCE_CPUS)
		return 0;
	if (i == s->count) {
		s->cpus[s->count++].cpu = cpu;
		if (visit(s, cpu)) {
			/* We have just been put on it: that is the moment which is told of us. */
			s->cpus[i].clock_ns = waits_last_ran(s->proc, s->self);
			s->cpus[i].now_ns = now = gil_now_ns();
		}
	}
	if (s->cpus[i].clock_ns == 0)
		return 0;
	return s->cpus[i].clock_ns + (now - s->cpus[i].now_ns);
}

int since_ran(struct since *s, pid_t tid, const struct waits_view *view, uint64_t *us)
{
	uint64_t ran, now;

	if (view->cpu < 0 || view->cpu_ns == 0)
		return 0;
	now = clock_of(s, view->cpu);
	ran = now != 0 ? waits_last_ran(s->proc, tid) : 0;
	/* Moment and processor belong together only if it has not run in between. */
	if (ran == 0 || waits_cpu_ns(tid) != view->cpu_ns)
		return 0;
	*us = ran < now ? (now - ran) / 1000 : 0;
	return 1;
}
