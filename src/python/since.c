/*
 * since.c: visits the processors on which threads ran last, and reads their clocks. A visit takes longer than all else that is
 * found out of a thread, so what one has shown is used again by the dumps that follow: for threads that have not run since, and not for
 * long, since the clocks that are compared go at rates that differ by up to one part in 2,000 (adjtimex).
 */
#include "since.h"

#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cpu_clock.h"
#include "gil.h"

#define SINCE_CPUS 16 /* processors that are visited at most */
#define KEEP_NS 10000000000u

/* What the clock of a processor said (0: it could not be visited), and gil_now_ns then. The thread's own: no lock is needed. */
struct clock {
	int cpu;
	uint64_t clock_ns, now_ns;
};
static _Thread_local struct clock clocks[SINCE_CPUS];
static _Thread_local size_t clock_count;

void since_open(struct since *s, const struct waits *proc)
{
	memset(s, 0, sizeof *s);
	s->proc = proc;
	s->self = (pid_t)syscall(SYS_gettid);
	s->began_ns = gil_now_ns();
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

static struct clock *find(int cpu)
{
	for (size_t i = 0; i < clock_count; i++)
		if (clocks[i].cpu == cpu)
			return &clocks[i];
	if (clock_count == SINCE_CPUS)
		clock_count = 0;
	clocks[clock_count] = (struct clock){.cpu = cpu};
	return &clocks[clock_count++];
}

/* The clock of that processor now, for a thread that ran then by it; 0: not known. In one dump each is visited once. */
static uint64_t clock_of(struct since *s, int cpu, uint64_t ran)
{
	struct clock *c = find(cpu);
	uint64_t now = gil_now_ns();

	if (c->now_ns < s->began_ns && (c->clock_ns < ran || now - c->now_ns > KEEP_NS)) {
		c->clock_ns = 0;
		if (s->visits++ < SINCE_CPUS && visit(s, cpu))
			/* We have just been put on it: that is the moment which is told of us. */
			c->clock_ns = waits_last_ran(s->proc, s->self);
		c->now_ns = now = gil_now_ns();
	}
	return c->clock_ns != 0 ? c->clock_ns + (now - c->now_ns) : 0;
}

int since_ran(struct since *s, pid_t tid, const struct waits_view *view, uint64_t *us)
{
	uint64_t ran, now;

	if (view->cpu < 0 || view->cpu_ns == 0)
		return 0;
	ran = waits_last_ran(s->proc, tid);
	now = ran != 0 ? clock_of(s, view->cpu, ran) : 0;
	/* Moment and processor belong together only if it has not run in between. */
	if (now == 0 || cpu_clock_ns(tid) != view->cpu_ns)
		return 0;
	*us = ran < now ? (now - ran) / 1000 : 0;
	return 1;
}
