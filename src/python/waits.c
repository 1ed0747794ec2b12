/*
 * waits.c: reads and interprets /proc/self/task/TID. Which lock it is and who holds it is not found
 * out here.
 */
#include <Python.h>

#include "waits.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "compat.h"
#include "cpu_clock.h"
#include "msg.h"

#define LINE_BYTES 512
#define STAT_STATE 3 /* numbers of fields, proc_pid_stat(5) */
#define STAT_PROCESSOR 39
#define ARGUMENTS WAITS_ARGUMENTS

static const struct {
	long number;
	uint8_t state;
	const char *detail;
} calls[] = {
#include "syscalls.h"
};

#define CALLS (sizeof calls / sizeof *calls)

void waits_open(struct waits *w)
{
	const struct _gil_runtime_state *gil = compat_gil();

	w->tasks = open("/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	w->gil_count = 0;
	w->gil = (uintptr_t)gil;
	w->gil_end = gil != NULL ? w->gil + sizeof *gil : 0;
}

void waits_gil(struct waits *w, uintptr_t gil, size_t bytes)
{
	if (bytes == 0 || w->gil_count == WAITS_GILS)
		return;
	w->gils[w->gil_count].begin = gil;
	w->gils[w->gil_count++].end = gil + bytes;
}

void waits_close(struct waits *w)
{
	if (w->tasks >= 0)
		close(w->tasks);
	w->tasks = -1;
}

static void say(struct waits_view *view, uint8_t state, const char *detail)
{
	view->state = state;
	snprintf(view->detail, sizeof view->detail, "%s", detail);
}

/* TID/file, its first LINE_BYTES - 1 bytes as a string. How many, or -1 with errno. */
static ssize_t read_file(
	const struct waits *w, pid_t tid, const char *file, char out[static LINE_BYTES])
{
	char path[32];
	ssize_t n;
	int fd;

	snprintf(path, sizeof path, "%ld/%s", (long)tid, file);
	fd = openat(w->tasks, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	do
		n = read(fd, out, LINE_BYTES - 1);
	while (n < 0 && errno == EINTR);
	out[n > 0 ? n : 0] = '\0';
	close(fd);
	return n;
}

/* --- system calls --- */

static int is_gil(const struct waits *w, uintptr_t word)
{
	for (size_t i = 0; i < w->gil_count; i++)
		if (word >= w->gils[i].begin && word < w->gils[i].end)
			return 1;
	return word >= w->gil && word < w->gil_end;
}

static void say_futex(const struct waits *w, uintptr_t word, struct waits_view *view)
{
	if (is_gil(w, word))
		say(view, STATE_GIL, "waiting for the GIL");
	else
		say(view, STATE_LOCK, "waiting for lock");
}

/*
 * Waiting for no descriptor at all with a time-out is how some programs sleep (time.sleep does so
 * up to 3.10).
 */
static int sleeps(long number, const uintptr_t arguments[static ARGUMENTS])
{
	switch (number) {
#ifdef SYS_select
	case SYS_select:
#endif
#ifdef SYS_pselect6
	case SYS_pselect6:
#endif
		return arguments[0] == 0;
#ifdef SYS_poll
	case SYS_poll:
#endif
#ifdef SYS_ppoll
	case SYS_ppoll:
#endif
		return arguments[1] == 0;
	default:
		return 0;
	}
}

static void say_call(const struct waits *w, long number,
	const uintptr_t arguments[static ARGUMENTS], struct waits_view *view)
{
	if (number == SYS_futex) {
		view->call = "futex";
		say_futex(w, arguments[0], view);
		return;
	}
	for (size_t i = 0; i < CALLS; i++) {
		if (calls[i].number != number)
			continue;
		view->state = sleeps(number, arguments) ? STATE_SLEEP : calls[i].state;
		view->call = calls[i].detail;
		snprintf(view->detail, sizeof view->detail, "in %s", calls[i].detail);
		return;
	}
	view->state = STATE_C;
	snprintf(view->detail, sizeof view->detail, "in system call %ld", number);
}

int waits_parse_syscall(const struct waits *w, const char *line, struct waits_view *view)
{
	char *at = NULL;
	long number;

	memset(view->arguments, 0, sizeof view->arguments);
	view->call = NULL;
	view->stack = 0;
	if (strncmp(line, "running", 7) == 0) {
		say(view, STATE_CPU, "");
		return 1;
	}
	errno = 0;
	number = strtol(line, &at, 10);
	if (at == line || number < 0 || errno != 0)
		return 0;
	for (size_t i = 0; i < ARGUMENTS && *at == ' '; i++)
		view->arguments[i] = (uintptr_t)strtoull(at, &at, 16);
	if (*at == ' ')
		view->stack = (uintptr_t)strtoull(at, &at, 16);
	view->number = number;
	say_call(w, number, view->arguments, view);
	return 1;
}

/* --- the fallback --- */

/*
 * Functions of the kernel in which a thread sleeps: the beginning of the name, for when the system
 * call is not shown.
 */
static const struct {
	const char *prefix;
	uint8_t state;
	const char *detail;
} places[] = {
	{"futex_", STATE_LOCK, "waiting for lock"},
	{"hrtimer_nanosleep", STATE_SLEEP, "in nanosleep"},
	{"do_nanosleep", STATE_SLEEP, "in nanosleep"},
	{"common_nsleep", STATE_SLEEP, "in nanosleep"},
	{"do_wait", STATE_CHILD, "in wait4"},
	{"ep_poll", STATE_IO, "in epoll_wait"},
	{"do_epoll_wait", STATE_IO, "in epoll_wait"},
	{"do_select", STATE_IO, "in select"},
	{"do_poll", STATE_IO, "in poll"},
	{"poll_schedule_timeout", STATE_IO, "in poll"},
	{"do_sys_poll", STATE_IO, "in poll"},
	{"pipe_", STATE_IO, "in a pipe"},
	{"anon_pipe_", STATE_IO, "in a pipe"},
	{"unix_", STATE_IO, "in a socket"},
	{"inet_csk_accept", STATE_IO, "in accept"},
	{"inet_", STATE_IO, "in a socket"},
	{"tcp_", STATE_IO, "in a socket"},
	{"sk_", STATE_IO, "in a socket"},
	{"__skb_wait", STATE_IO, "in recv"},
	{"n_tty_read", STATE_IO, "in read"},
	{"wait_woken", STATE_IO, "in read"},
	{"do_sigtimedwait", STATE_C, "in sigtimedwait"},
};

static void say_place(const char *wchan, struct waits_view *view)
{
	for (size_t i = 0; i < sizeof places / sizeof *places; i++)
		if (strncmp(wchan, places[i].prefix, strlen(places[i].prefix)) == 0) {
			say(view, places[i].state, places[i].detail);
			return;
		}
}

/*
 * The system call cannot be read when the process is not dumpable (it has changed its user id,
 * say). The state letter and the place in the kernel always can.
 */
static void look_at_state(const struct waits *w, pid_t tid, char letter, struct waits_view *view)
{
	char line[LINE_BYTES];

	switch (letter) {
	case '?':
		return;
	case 'R':
		say(view, STATE_CPU, "");
		return;
	case 'D':
		say(view, STATE_IO, "in uninterruptible sleep");
		return;
	case 'T':
	case 't':
		say(view, STATE_C, "stopped");
		return;
	case 'Z':
	case 'X':
		view->exists = 0;
		return;
	default:
		say(view, STATE_C, "");
	}
	if (read_file(w, tid, "wchan", line) > 0)
		say_place(line, view);
}

/* --- threads --- */

static void put_name(const char *name, size_t len, struct waits_view *view)
{
	if (len >= sizeof view->name)
		len = sizeof view->name - 1;
	memcpy(view->name, name, len);
	view->name[len] = '\0';
}

/* Kernels before 4.18 write a line end and a backslash of a name otherwise in "stat". */
static void read_name(const struct waits *w, pid_t tid, struct waits_view *view)
{
	char line[LINE_BYTES];

	if (read_file(w, tid, "comm", line) > 0)
		put_name(line, strcspn(line, "\n"), view);
}

static int processor_of(const char *fields)
{
	const char *at = fields;
	char *end;
	long cpu;

	for (int field = STAT_STATE; at != NULL && field < STAT_PROCESSOR; field++)
		at = strchr(at + 1, ' ');
	if (at == NULL)
		return -1;
	cpu = strtol(at, &end, 10);
	return end != at && cpu >= 0 && cpu <= INT_MAX ? (int)cpu : -1;
}

/* What "stat" says: the name, the processor. Returns the letter of the state; '\0': there is no such thread. */
static char look_at_stat(const struct waits *w, pid_t tid, struct waits_view *view)
{
	char line[LINE_BYTES], *name, *end;

	if (read_file(w, tid, "stat", line) <= 0)
		return '\0';
	/* The name stands in parentheses and may have any character in it. */
	name = strchr(line, '(');
	end = strrchr(line, ')');
	if (name == NULL || end == NULL || end < name || end[1] != ' ')
		return '?';
	put_name(name + 1, (size_t)(end - name - 1), view);
	if (strchr(view->name, '\\') != NULL)
		read_name(w, tid, view);
	view->cpu = processor_of(end + 2);
	return end[2];
}

void waits_look(const struct waits *w, pid_t tid, int closely, struct waits_view *view)
{
	char line[LINE_BYTES], letter = '?';
	ssize_t n;
	int error, told;

	*view = (struct waits_view){.exists = 1, .state = STATE_UNKNOWN, .cpu = -1};
	if (w->tasks < 0 || tid <= 0)
		return;
	if (closely)
		view->cpu_ns = cpu_clock_ns(tid);
	n = read_file(w, tid, "syscall", line);
	error = errno;
	told = n > 0 && waits_parse_syscall(w, line, view);
	if (told && !closely)
		return;
	letter = look_at_stat(w, tid, view);
	/* Also where the kernel was built without the other file. */
	if (letter == '\0' && (told || (n < 0 && (error == ENOENT || error == ESRCH))))
		view->exists = 0;
	else if (!told && letter != '\0')
		look_at_state(w, tid, letter, view);
}

int waits_same(const struct waits *w, pid_t tid, const struct waits_view *view)
{
	struct waits_view now = {.exists = 1};
	char line[LINE_BYTES];

	return view->call != NULL && read_file(w, tid, "syscall", line) > 0 && waits_parse_syscall(w, line, &now) &&
	       now.call != NULL && now.number == view->number && now.stack == view->stack &&
	       memcmp(now.arguments, view->arguments, sizeof now.arguments) == 0;
}

uint64_t waits_last_ran(const struct waits *w, pid_t tid)
{
	static const char key[] = "se.exec_start";
	char line[LINE_BYTES], *at;
	uint64_t ms, ns = 0;

	if (w->tasks < 0 || tid <= 0 || read_file(w, tid, "sched", line) <= 0)
		return 0;
	at = strstr(line, key);
	at = at != NULL ? strchr(at, ':') : NULL;
	if (at == NULL)
		return 0;
	ms = strtoull(at + 1, &at, 10);
	if (*at == '.')
		ns = strtoull(at + 1, &at, 10);
	return ms * 1000000u + ns;
}

size_t waits_list(const struct waits *w, pid_t *tids, size_t most, uint32_t *omitted)
{
	int fd = w->tasks >= 0 ? openat(w->tasks, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *entry;
	size_t n = 0;

	*omitted = 0;
	if (d == NULL) {
		if (fd >= 0)
			close(fd);
		return 0;
	}
	while ((entry = readdir(d)) != NULL) {
		long tid = strtol(entry->d_name, NULL, 10);

		if (tid <= 0)
			continue;
		if (n < most)
			tids[n++] = (pid_t)tid;
		else
			(*omitted)++;
	}
	closedir(d);
	return n;
}
