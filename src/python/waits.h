/*
 * waits.h: what the kernel says of a thread: its name, whether it runs, which system call it is in.
 * From /proc/self/task alone; any thread, no GIL.
 */
#ifndef PYSTUCK_PYTHON_WAITS_H
#define PYSTUCK_PYTHON_WAITS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define WAITS_NAME 16 /* what the kernel keeps of a thread's name, NUL included */
#define WAITS_DETAIL 48
#define WAITS_ARGUMENTS 6 /* of a system call */
#define WAITS_FUTEX_WORD 0 /* which of them are futex(2)'s */
#define WAITS_FUTEX_TIMEOUT 3
#define WAITS_GILS 64 /* of further interpreters it is only said that threads wait for a lock */
#define WAITS_CLOSELY 64u /* threads of a dump of which more is read: it takes three times as long as the rest */

struct waits {
	int tasks;              /* /proc/self/task; -1: not there, then every state is unknown */
	struct {
		uintptr_t begin, end;
	} gils[WAITS_GILS]; /* those that other interpreters have of their own */
	size_t gil_count;
	uintptr_t gil, gil_end; /* where the GIL's own structure lies: whoever waits on a word of it
				   waits for the GIL */
};

struct waits_view {
	int exists;    /* 0: there is no such thread any more */
	uint8_t state; /* enum thread_state of msg.h */
	char name[WAITS_NAME];
	char detail[WAITS_DETAIL]; /* "in recv", "waiting for lock"; may be empty */
	const char *call;          /* "recv", "futex": static; NULL: in none, or not known */
	long number;               /* of that call */
	uintptr_t arguments[WAITS_ARGUMENTS];
	uintptr_t stack;           /* the thread's stack pointer; 0: not known */
	uintptr_t lock;            /* the lock that it waits for, where that is known by memory (parked.h); else 0 */
	uint64_t cpu_ns;           /* time on a CPU before all the rest was read; 0: not known */
	int cpu;                   /* the processor on which it ran last; -1: not known */
};

void waits_open(struct waits *w);
void waits_close(struct waits *w);
/* One more GIL, by where its structure lies; nothing for 0 bytes. */
void waits_gil(struct waits *w, uintptr_t gil, size_t bytes);
/*
 * tid 0 (unknown): an empty view, state unknown. The name, the processor and cpu_ns are read only `closely`. The thread may be
 * anywhere else the next moment.
 */
void waits_look(const struct waits *w, pid_t tid, int closely, struct waits_view *view);

/*
 * What a line of /proc/PID/task/TID/syscall means ("202 0x7f.. 0x189 ...", "running", "-1 0x..
 * 0x.."): 1 when it says something, 0 when it does not (the thread is in the kernel but in no
 * system call).
 */
int waits_parse_syscall(const struct waits *w, const char *line, struct waits_view *view);

/* 1 when the thread is still in the very call that the view is of. */
int waits_same(const struct waits *w, pid_t tid, const struct waits_view *view);
/*
 * The moment at which the thread has run last, in ns of the clock that the scheduler has for the processor on which that was; 0
 * when that is not told.
 */
uint64_t waits_last_ran(const struct waits *w, pid_t tid);

/*
 * The ids of all threads, at most `most`; how many were found. *omitted counts the rest. 0 when
 * /proc is not there.
 */
size_t waits_list(const struct waits *w, pid_t *tids, size_t most, uint32_t *omitted);

#endif
