/*
 * kernel.c: the arguments of a system call as words: a file's path, a socket's ends, a child's name. Which call it is, waits.c has
 * found out; locks of Python are locks.c's.
 */
#include <Python.h>

#include "kernel.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "filelocks.h"
#include "msg.h"
#include "sockets.h"

#define PATH_BYTES KERNEL_PATH
#define SETS_MAX 1024u  /* fds of a select(2) */
#define INFO_BYTES 4096u
#define BY_PIDFD 3u /* P_PIDFD of waitid(2), which is in no header before glibc 2.36 */

/* Calls whose first argument is the fd that they wait for. */
static const char *const of_fd[] = {"read", "write", "recv", "recvmsg", "recvmmsg", "send", "sendmsg", "sendmmsg", "accept",
	"connect", "flock", "fcntl", "ioctl", "fsync", "fdatasync", "syncfs", "sync_file_range", "ftruncate", "fallocate",
	"splice", "tee", "getdents", "mq_receive", "mq_send", "shutdown"};

static int is_one_of(const char *call, const char *const *calls, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(call, calls[i]) == 0)
			return 1;
	return 0;
}

static int is(const char *call, const char *other)
{
	return strcmp(call, other) == 0;
}

static void put(struct pytext *text, const char *s, struct pytext_ref *ref)
{
	pytext_bytes(text, s, strlen(s), ref);
}

void kernel_comm(char out[static KERNEL_COMM], uint32_t pid)
{
	char path[32];
	ssize_t n = -1;
	int fd;

	snprintf(path, sizeof path, "/proc/%u/comm", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		n = read(fd, out, KERNEL_COMM - 1);
		close(fd);
	}
	out[n > 0 ? n : 0] = '\0';
	out[strcspn(out, "\n")] = '\0';
}

static void put_process(struct wait *w, struct pytext *text, uint32_t pid)
{
	char comm[KERNEL_COMM];

	w->pid = pid;
	kernel_comm(comm, pid);
	put(text, comm, &w->command);
}

/* --- what an fd is --- */

size_t kernel_path(char out[static KERNEL_PATH], int fd)
{
	char path[40];
	ssize_t n;

	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	n = readlink(path, out, PATH_BYTES - 1);
	out[n > 0 ? n : 0] = '\0';
	return n > 0 ? (size_t)n : 0;
}

/* Bytes that could be read, or that have not been sent yet: where the kernel knows. */
static void count_bytes(struct wait *w, int fd)
{
	int sends = is(w->call, "send") || is(w->call, "sendmsg") || is(w->call, "write");
	int bytes = -1;

	if (is(w->call, "accept") || is(w->call, "connect") || is(w->call, "poll") || is(w->call, "select"))
		return;
	/* Two calls: C libraries differ about the type of the second argument. */
	if ((sends ? ioctl(fd, TIOCOUTQ, &bytes) : ioctl(fd, FIONREAD, &bytes)) != 0 || bytes < 0)
		return;
	w->count = (uint64_t)bytes;
	w->flags |= WAIT_COUNT;
}

/* The address that connect(2) was given: the socket itself has no peer until that has succeeded. */
static void put_connecting(struct wait *w, struct pytext *text, const struct waits_view *view)
{
	struct sockaddr_storage address = {.ss_family = AF_UNSPEC};
	size_t len = view->arguments[2] < sizeof address ? view->arguments[2] : sizeof address;
	struct iovec to = {&address, len}, from = {(void *)view->arguments[1], len};
	char peer[SOCKETS_TEXT];

	if (syscall(SYS_process_vm_readv, (long)getpid(), &to, 1L, &from, 1L, 0L) != (long)len)
		return;
	sockets_text(peer, &address, (socklen_t)len);
	put(text, peer, &w->peer);
}

static void put_socket(struct wait *w, struct pytext *text, int fd, const char *link)
{
	struct sockets_ends ends;

	if (sockets_look(&ends, fd) != 0) {
		put(text, link, &w->path);
		return;
	}
	put(text, ends.type, &w->type);
	put(text, ends.local, &w->local);
	put(text, ends.peer, &w->peer);
	count_bytes(w, fd);
}

static void put_fd(struct wait *w, struct pytext *text, int fd)
{
	char link[PATH_BYTES];

	w->fd = (uint32_t)fd;
	w->flags |= WAIT_FD;
	if (kernel_path(link, fd) == 0)
		return;
	if (strncmp(link, "socket:", 7) == 0) {
		put_socket(w, text, fd, link);
		return;
	}
	put(text, link, &w->path);
	if (strncmp(link, "pipe:", 5) == 0)
		count_bytes(w, fd);
}

/* --- calls with more to them --- */

static void put_file_lock(struct wait *w, struct pytext *text, int by_flock)
{
	struct stat st;
	uint32_t pid;

	if (fstat((int)w->fd, &st) != 0)
		return;
	pid = filelocks_holder(getpid(), (uint64_t)st.st_ino, by_flock);
	if (pid != 0)
		put_process(w, text, pid);
}

/* So many fds are waited for; of a single one there is more to say. */
static void put_fds(struct wait *w, struct pytext *text, uint64_t count, int only)
{
	if (count == 1 && only >= 0) {
		put_fd(w, text, only);
		return;
	}
	w->count = count;
	w->flags |= WAIT_COUNT;
}

static void put_poll(struct wait *w, struct pytext *text, const struct waits_view *view)
{
	struct pollfd one = {.fd = -1};
	struct iovec to = {&one, sizeof one}, from = {(void *)view->arguments[0], sizeof one};

	if (view->arguments[1] == 1 &&
		syscall(SYS_process_vm_readv, (long)getpid(), &to, 1L, &from, 1L, 0L) != (long)sizeof one)
		one.fd = -1;
	put_fds(w, text, view->arguments[1], one.fd);
}

static void put_select(struct wait *w, struct pytext *text, const struct waits_view *view)
{
	unsigned long all[SETS_MAX / (8 * sizeof(long))] = {0}, set[SETS_MAX / (8 * sizeof(long))];
	size_t bits = view->arguments[0] < SETS_MAX ? view->arguments[0] : SETS_MAX;
	size_t words = (bits + 8 * sizeof(long) - 1) / (8 * sizeof(long));
	uint64_t count = 0;
	int only = -1;

	for (size_t i = 1; i <= 3; i++) {
		struct iovec to = {set, words * sizeof *set}, from = {(void *)view->arguments[i], words * sizeof *set};

		if (words == 0 || view->arguments[i] == 0)
			continue;
		if (syscall(SYS_process_vm_readv, (long)getpid(), &to, 1L, &from, 1L, 0L) != (long)(words * sizeof *set))
			return;
		for (size_t j = 0; j < words; j++)
			all[j] |= set[j];
	}
	for (size_t fd = 0; fd < bits; fd++)
		if (all[fd / (8 * sizeof(long))] >> fd % (8 * sizeof(long)) & 1) {
			count++;
			only = (int)fd;
		}
	put_fds(w, text, count, only);
}

/* /proc/self/fdinfo has a line for each fd that an epoll watches, and the pid of a pidfd. */
static FILE *open_info(int fd)
{
	char path[40];
	int info;
	FILE *file;

	snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
	info = open(path, O_RDONLY | O_CLOEXEC);
	file = info >= 0 ? fdopen(info, "r") : NULL;
	if (file == NULL && info >= 0)
		close(info);
	return file;
}

static void put_epoll(struct wait *w, const struct waits_view *view)
{
	char line[256];
	FILE *info = open_info((int)view->arguments[0]);

	w->fd = (uint32_t)view->arguments[0];
	w->flags |= WAIT_FD;
	if (info == NULL)
		return;
	w->flags |= WAIT_COUNT;
	while (fgets(line, sizeof line, info) != NULL)
		w->count += strncmp(line, "tfd:", 4) == 0;
	fclose(info);
}

static uint32_t pid_of_fd(int fd)
{
	char line[256];
	FILE *info = open_info(fd);
	long pid = 0;

	while (info != NULL && fgets(line, sizeof line, info) != NULL)
		if (strncmp(line, "Pid:", 4) == 0)
			pid = strtol(line + 4, NULL, 10);
	if (info != NULL)
		fclose(info);
	return pid > 0 ? (uint32_t)pid : 0;
}

static void put_child(struct wait *w, struct pytext *text, const struct waits_view *view)
{
	uint32_t pid = 0;

	w->kind = WAIT_FOR_CHILD;
	if (is(w->call, "wait4")) {
		pid = (int32_t)view->arguments[0] > 0 ? (uint32_t)view->arguments[0] : 0;
	} else if (view->arguments[0] == P_PID) {
		pid = (uint32_t)view->arguments[1];
	} else if (view->arguments[0] == BY_PIDFD) {
		w->fd = (uint32_t)view->arguments[1];
		w->flags |= WAIT_FD;
		pid = pid_of_fd((int)w->fd);
	}
	if (pid != 0)
		put_process(w, text, pid);
}

static void describe_io(struct wait *w, struct pytext *text, const struct waits_view *view)
{
	w->kind = WAIT_FOR_IO;
	if (is(w->call, "epoll_wait"))
		put_epoll(w, view);
	else if (is(w->call, "poll"))
		put_poll(w, text, view);
	else if (is(w->call, "select"))
		put_select(w, text, view);
	else if (is_one_of(w->call, of_fd, sizeof of_fd / sizeof *of_fd))
		put_fd(w, text, (int)view->arguments[0]);
	if (is(w->call, "connect") && w->peer.len == 0)
		put_connecting(w, text, view);
	if (is(w->call, "flock"))
		put_file_lock(w, text, 1);
	else if (is(w->call, "fcntl") && (view->arguments[1] == F_SETLKW || view->arguments[1] == F_OFD_SETLKW))
		put_file_lock(w, text, 0);
}

void kernel_describe(struct wait *w, struct pytext *text, const struct waits_view *view)
{
	w->call = view->call;
	if (view->state == STATE_SLEEP)
		w->kind = WAIT_FOR_SLEEP;
	else if (view->state == STATE_GIL)
		w->kind = WAIT_FOR_GIL;
	else if (view->state == STATE_LOCK)
		w->kind = WAIT_FOR_LOCK;
	else if (view->state == STATE_IO || view->state == STATE_CHILD)
		w->kind = view->state == STATE_IO ? WAIT_FOR_IO : WAIT_FOR_CHILD;
	if (view->call == NULL)
		return;
	if (view->state == STATE_CHILD)
		put_child(w, text, view);
	else if (view->state == STATE_IO)
		describe_io(w, text, view);
}
