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

struct waits {
	int tasks;              /* /proc/self/task; -1: not there, then every state is unknown */
	uintptr_t gil, gil_end; /* where the GIL's own structure lies: whoever waits on a word of it
				   waits for the GIL */
};

struct waits_view {
	int exists;    /* 0: there is no such thread any more */
	uint8_t state; /* enum thread_state of msg.h */
	char name[WAITS_NAME];
	char detail[WAITS_DETAIL]; /* "in recv", "waiting for lock"; may be empty */
};

void waits_open(struct waits *w);
void waits_close(struct waits *w);
/*
 * tid 0 (unknown): an empty view, state unknown. The name is read only on demand: it takes as long
 * as the rest. The thread may be anywhere else the next moment.
 */
void waits_look(const struct waits *w, pid_t tid, int with_name, struct waits_view *view);

/*
 * What a line of /proc/PID/task/TID/syscall means ("202 0x7f.. 0x189 ...", "running", "-1 0x..
 * 0x.."): 1 when it says something, 0 when it does not (the thread is in the kernel but in no
 * system call).
 */
int waits_parse_syscall(const struct waits *w, const char *line, struct waits_view *view);

/*
 * The ids of all threads, at most `most`; how many were found. *omitted counts the rest. 0 when
 * /proc is not there.
 */
size_t waits_list(const struct waits *w, pid_t *tids, size_t most, uint32_t *omitted);

#endif
