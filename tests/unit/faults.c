/*
 * faults.c: the wrapped calls of faults.h, and the sweep over them. What the rooms should make of a
 * fault, test_faults_*.c know.
 *
 * The errors of each call are those that Linux gives for what we ask of it; a call that cannot fail
 * for us (close but for EINTR, fcntl on an fd of ours but for the want of fds) has none here.
 */
#include "faults.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <pwd.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../../src/server/server_private.h"

#define ERRORS_MAX 8
#define SHORT (-1)      /* half of the bytes, and no error */
#define GAI (-2)        /* the answer of getaddrinfo and its like */
#define NOTHING (-3)    /* NULL without an errno, as of an allocation */
#define TURNS_MAX 10000 /* polls of one turn that do not wait: more is a loop that never ends */

/* Every call that can fail, and how. */
#define CALLS(X)                                                                                   \
	X(accept4, EINTR, EAGAIN, EMFILE, ENOMEM, ECONNABORTED, EPERM)                             \
	X(access, EACCES, ENOMEM)                                                                  \
	X(asprintf, ENOMEM)                                                                        \
	X(bind, EADDRINUSE, EACCES, ENOSPC, ENOMEM)                                                \
	X(calloc, ENOMEM)                                                                          \
	X(chmod, EPERM, ENOMEM)                                                                    \
	X(clone, EAGAIN, ENOMEM)                                                                   \
	X(close, EINTR)                                                                            \
	X(connect, ECONNREFUSED, EAGAIN, EACCES, EPERM)                                            \
	X(eventfd, EMFILE, ENOMEM)                                                                 \
	X(faccessat, EACCES, ENOMEM)                                                               \
	X(fchmod, EPERM, EIO)                                                                      \
	X(fcntl, EMFILE)                                                                           \
	X(fgetxattr, ENODATA, ENOMEM)                                                              \
	X(flock, EINTR, ENOLCK, EWOULDBLOCK)                                                       \
	X(fstat, EIO, ENOMEM)                                                                      \
	X(fsync, EIO, ENOSPC)                                                                      \
	X(ftruncate, EIO)                                                                          \
	X(getaddrinfo, GAI)                                                                        \
	X(getcwd, ENOENT, ENOMEM)                                                                  \
	X(getgrnam_r, EIO, EMFILE, ENOMEM, EINTR, ERANGE)                                          \
	X(getnameinfo, GAI)                                                                        \
	X(getpeername, ENOTCONN, ENOBUFS)                                                          \
	X(getpwnam_r, EIO, EMFILE, ENOMEM, EINTR, ERANGE)                                          \
	X(getsockname, ENOBUFS)                                                                    \
	X(getsockopt, ENOTCONN, ENOMEM, ENOPROTOOPT)                                               \
	X(lchown, EPERM, ENOMEM)                                                                   \
	X(listen, EADDRINUSE, ENOMEM)                                                              \
	X(lstat, ENOMEM, EACCES, ENOENT)                                                           \
	X(madvise, EINVAL)                                                                         \
	X(malloc, ENOMEM)                                                                          \
	X(mkdir, ENOSPC, EACCES, EROFS)                                                            \
	X(mmap, ENOMEM)                                                                            \
	X(open, EMFILE, ENFILE, ENOMEM, EACCES, EINTR)                                             \
	X(openat, EMFILE, ENOMEM, EACCES, EINTR)                                                   \
	X(opendir, EMFILE, ENOMEM)                                                                 \
	X(poll, EINTR, ENOMEM)                                                                     \
	X(pthread_attr_init, ENOMEM)                                                               \
	X(pthread_attr_setstacksize, EINVAL)                                                       \
	X(pthread_create, EAGAIN, EINVAL, EPERM)                                                   \
	X(read, EINTR, EIO, SHORT)                                                                 \
	X(readdir, EIO)                                                                            \
	X(readlinkat, EIO, ENOMEM)                                                                 \
	X(realloc, ENOMEM)                                                                         \
	X(recv, EINTR, EAGAIN, ECONNRESET, ENOMEM, SHORT)                                          \
	X(send, EINTR, EAGAIN, EPIPE, ECONNRESET, ENOBUFS, ENOMEM, SHORT)                          \
	X(setsockopt, ENOPROTOOPT, ENOMEM)                                                         \
	X(shutdown, ENOTCONN)                                                                      \
	X(socket, EMFILE, ENOMEM, EACCES)                                                          \
	X(socketpair, EMFILE, ENOMEM)                                                              \
	X(sodium_init, NOTHING)                                                                    \
	X(sodium_malloc, ENOMEM)                                                                   \
	X(stat, EACCES, ENOMEM)                                                                    \
	X(unlink, EACCES, EIO)                                                                     \
	X(unlinkat, EACCES, EIO)                                                                   \
	X(waitpid, EINTR)                                                                          \
	X(write, EINTR, EIO, ENOSPC, SHORT)

#define NUMBER(name, ...) CALL_##name,
enum call { CALLS(NUMBER) CALLS_COUNT };
#define ROW(name, ...) {#name, {__VA_ARGS__}},
static const struct {
	const char *name;
	int errors[ERRORS_MAX]; /* 0 ends them */
} calls[] = {CALLS(ROW)};

static _Thread_local int inside;

static struct {
	int calls;         /* so far, of this run */
	int at;            /* which one fails; 0: none */
	int which;         /* of its errors */
	int clean;         /* this run has no fault */
	int struck, more;  /* it has; it has another error */
	enum call call;
	int error;
} fault;
static atomic_long live; /* allocations */
static atomic_int closed_badly; /* fds that were none */
static uint64_t passed_ns;
static struct server *turning;
static int turns, waits_ms;
static const char *stay_below;
static char what[128] = "nothing fails";

/* What the call is to do: 0: what it always does, or an error of the table (errno is set). */
static int strikes(enum call call)
{
	if (!inside || ++fault.calls != fault.at)
		return 0;
	fault.struck = 1;
	fault.call = call;
	fault.error = calls[call].errors[fault.which];
	fault.more = calls[call].errors[fault.which + 1] != 0;
	(void)snprintf(what, sizeof(what), "%s fails with %s (call %d)", calls[call].name,
		fault.error > 0 ? strerror(fault.error) : fault.error == SHORT ? "half of it" : "a code",
		fault.at);
	if (fault.error > 0)
		errno = fault.error;
	return fault.error;
}

static void *counted(void *p)
{
	if (p != NULL)
		atomic_fetch_add(&live, 1);
	return p;
}

/* ---- memory ---------------------------------------------------------------------------------- */

#define WRAPPED(type, name, ...)                                                                   \
	type __real_##name(__VA_ARGS__);                                                           \
	type __wrap_##name(__VA_ARGS__);                                                           \
	type __wrap_##name(__VA_ARGS__)

WRAPPED(void *, malloc, size_t size)
{
	return strikes(CALL_malloc) ? NULL : counted(__real_malloc(size));
}

WRAPPED(void *, calloc, size_t n, size_t size)
{
	return strikes(CALL_calloc) ? NULL : counted(__real_calloc(n, size));
}

WRAPPED(void *, realloc, void *old, size_t size)
{
	void *fresh;

	if (strikes(CALL_realloc))
		return NULL;
	fresh = __real_realloc(old, size);
	return old == NULL ? counted(fresh) : fresh;
}

WRAPPED(void, free, void *p)
{
	if (p != NULL)
		atomic_fetch_sub(&live, 1);
	__real_free(p);
}

WRAPPED(void *, sodium_malloc, size_t size)
{
	return strikes(CALL_sodium_malloc) ? NULL : counted(__real_sodium_malloc(size));
}

WRAPPED(void, sodium_free, void *p)
{
	if (p != NULL)
		atomic_fetch_sub(&live, 1);
	__real_sodium_free(p);
}

/* The memory is the C library's; free() of it is counted. */
__attribute__((format(printf, 2, 0))) static int print(
	char **out, const char *format, va_list args)
{
	int n;

	if (strikes(CALL_asprintf))
		return -1;
	n = vasprintf(out, format, args);
	if (n >= 0)
		counted(*out);
	return n;
}

int __wrap_asprintf(char **out, const char *format, ...) __attribute__((format(printf, 2, 3)));
int __wrap_asprintf(char **out, const char *format, ...)
{
	va_list args;
	int n;

	va_start(args, format);
	n = print(out, format, args);
	va_end(args);
	return n;
}

int __wrap___asprintf_chk(char **out, int flag, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
int __wrap___asprintf_chk(char **out, int flag, const char *format, ...)
{
	va_list args;
	int n;

	(void)flag;
	va_start(args, format);
	n = print(out, format, args);
	va_end(args);
	return n;
}

WRAPPED(void *, mmap, void *at, size_t size, int prot, int flags, int fd, off_t offset)
{
	if (strikes(CALL_mmap))
		return MAP_FAILED;
	return counted(__real_mmap(at, size, prot, flags, fd, offset));
}

WRAPPED(int, munmap, void *at, size_t size)
{
	atomic_fetch_sub(&live, 1);
	return __real_munmap(at, size);
}

/* ---- bytes: half of them may go through ------------------------------------------------------- */

static size_t portion(int how, size_t n)
{
	return how == SHORT && n > 1 ? n / 2 : n;
}

WRAPPED(ssize_t, recv, int fd, void *bytes, size_t n, int flags)
{
	int how = strikes(CALL_recv);

	return how > 0 ? -1 : __real_recv(fd, bytes, portion(how, n), flags);
}

WRAPPED(ssize_t, send, int fd, const void *bytes, size_t n, int flags)
{
	int how = strikes(CALL_send);

	return how > 0 ? -1 : __real_send(fd, bytes, portion(how, n), flags);
}

/* An eventfd, with its eight bytes, gives all or EAGAIN. */
static int is_eventfd(size_t n)
{
	return n == sizeof(uint64_t);
}

WRAPPED(ssize_t, read, int fd, void *bytes, size_t n)
{
	int how = is_eventfd(n) ? 0 : strikes(CALL_read);

	return how > 0 ? -1 : __real_read(fd, bytes, portion(how, n));
}

WRAPPED(ssize_t, write, int fd, const void *bytes, size_t n)
{
	int how = is_eventfd(n) ? 0 : strikes(CALL_write);

	return how > 0 ? -1 : __real_write(fd, bytes, portion(how, n));
}

/* ---- calls that say -1 ------------------------------------------------------------------------ */

#define REST(...) __VA_ARGS__
#define PLAIN(name, params, args)                                                                  \
	WRAPPED(int, name, REST params)                                                            \
	{                                                                                          \
		return strikes(CALL_##name) ? -1 : __real_##name args;                             \
	}

PLAIN(access, (const char *path, int mode), (path, mode))
PLAIN(bind, (int fd, const struct sockaddr *at, socklen_t len), (fd, at, len))
PLAIN(chmod, (const char *path, mode_t mode), (path, mode))
PLAIN(connect, (int fd, const struct sockaddr *to, socklen_t len), (fd, to, len))
PLAIN(eventfd, (unsigned count, int flags), (count, flags))
PLAIN(faccessat, (int dir, const char *path, int mode, int flags), (dir, path, mode, flags))
PLAIN(fchmod, (int fd, mode_t mode), (fd, mode))
PLAIN(flock, (int fd, int how), (fd, how))
PLAIN(ftruncate, (int fd, off_t size), (fd, size))
PLAIN(getsockname, (int fd, struct sockaddr *at, socklen_t *len), (fd, at, len))
PLAIN(getsockopt, (int fd, int level, int option, void *value, socklen_t *len),
	(fd, level, option, value, len))
PLAIN(lchown, (const char *path, uid_t uid, gid_t gid), (path, uid, gid))
PLAIN(listen, (int fd, int backlog), (fd, backlog))
PLAIN(lstat, (const char *path, struct stat *st), (path, st))
PLAIN(madvise, (void *at, size_t size, int advice), (at, size, advice))
PLAIN(setsockopt, (int fd, int level, int option, const void *value, socklen_t len),
	(fd, level, option, value, len))
PLAIN(shutdown, (int fd, int how), (fd, how))
PLAIN(socket, (int domain, int type, int protocol), (domain, type, protocol))
PLAIN(socketpair, (int domain, int type, int protocol, int *ends), (domain, type, protocol, ends))
PLAIN(sodium_init, (void), ())
PLAIN(stat, (const char *path, struct stat *st), (path, st))
PLAIN(unlink, (const char *path), (path))
PLAIN(unlinkat, (int dir, const char *path, int flags), (dir, path, flags))
PLAIN(waitpid, (pid_t pid, int *status, int flags), (pid, status, flags))
PLAIN(accept4, (int fd, struct sockaddr *from, socklen_t *len, int flags), (fd, from, len, flags))

void faults_stay_below(const char *dir)
{
	stay_below = dir;
}

WRAPPED(int, mkdir, const char *path, mode_t mode)
{
	if (strikes(CALL_mkdir))
		return -1;
	if (inside && stay_below != NULL && strncmp(path, stay_below, strlen(stay_below)) != 0) {
		errno = EACCES;
		return -1;
	}
	return __real_mkdir(path, mode);
}

/* Nothing here is to survive the machine. */
WRAPPED(int, fsync, int fd)
{
	(void)fd;
	return strikes(CALL_fsync) ? -1 : 0;
}

/* A file may be on any file system; of a socket or a directory that is open the kernel knows all. */
WRAPPED(int, fstat, int fd, struct stat *st)
{
	int rc = __real_fstat(fd, st);

	if (rc == 0 && (S_ISREG(st->st_mode) || S_ISDIR(st->st_mode)) && strikes(CALL_fstat))
		return -1;
	return rc;
}

WRAPPED(int, close, int fd)
{
	int rc = __real_close(fd);

	if (rc != 0 && errno == EBADF && inside)
		atomic_fetch_add(&closed_badly, 1);
	return strikes(CALL_close) ? -1 : rc;
}

WRAPPED(ssize_t, fgetxattr, int fd, const char *name, void *value, size_t size)
{
	return strikes(CALL_fgetxattr) ? -1 : __real_fgetxattr(fd, name, value, size);
}

WRAPPED(ssize_t, readlinkat, int dir, const char *path, char *out, size_t size)
{
	return strikes(CALL_readlinkat) ? -1 : __real_readlinkat(dir, path, out, size);
}

/* The sealed clients of these tests come in by Unix sockets, which have no moments of being on the
 * way. */
WRAPPED(int, getpeername, int fd, struct sockaddr *at, socklen_t *len)
{
	const struct sockaddr_in from = {.sin_family = AF_INET,
		.sin_port = htons(5123),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int rc;

	if (strikes(CALL_getpeername))
		return -1;
	rc = __real_getpeername(fd, at, len);
	if (rc == 0 && inside && at->sa_family == AF_UNIX) {
		memcpy(at, &from, sizeof(from));
		*len = sizeof(from);
	}
	return rc;
}

static int fcntl_may_fail(int command)
{
	return command == F_DUPFD_CLOEXEC;
}

int __real_fcntl(int fd, int command, ...);
int __wrap_fcntl(int fd, int command, ...);
int __wrap_fcntl(int fd, int command, ...)
{
	va_list args;
	long value;

	va_start(args, command);
	value = va_arg(args, long);
	va_end(args);
	if (fcntl_may_fail(command) && strikes(CALL_fcntl))
		return -1;
	return __real_fcntl(fd, command, value);
}

/* The argument that is there only when a file may be made. */
static mode_t mode_of(int flags, va_list *args)
{
	return (flags & (O_CREAT | O_TMPFILE)) != 0 ? (mode_t)va_arg(*args, int) : 0;
}

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...)
{
	mode_t mode;
	va_list args;

	va_start(args, flags);
	mode = mode_of(flags, &args);
	va_end(args);
	return strikes(CALL_open) ? -1 : __real_open(path, flags, mode);
}

int __real_openat(int dir, const char *path, int flags, ...);
int __wrap_openat(int dir, const char *path, int flags, ...);
int __wrap_openat(int dir, const char *path, int flags, ...)
{
	mode_t mode;
	va_list args;

	va_start(args, flags);
	mode = mode_of(flags, &args);
	va_end(args);
	return strikes(CALL_openat) ? -1 : __real_openat(dir, path, flags, mode);
}

int __real_clone(int (*run)(void *), void *stack, int flags, void *arg, ...);
int __wrap_clone(int (*run)(void *), void *stack, int flags, void *arg, ...);
int __wrap_clone(int (*run)(void *), void *stack, int flags, void *arg, ...)
{
	return strikes(CALL_clone) ? -1 : __real_clone(run, stack, flags, arg);
}

/* ---- calls with ways of their own to fail ----------------------------------------------------- */

WRAPPED(char *, getcwd, char *out, size_t size)
{
	return strikes(CALL_getcwd) ? NULL : __real_getcwd(out, size);
}

WRAPPED(DIR *, opendir, const char *path)
{
	return strikes(CALL_opendir) ? NULL : counted(__real_opendir(path));
}

WRAPPED(int, closedir, DIR *dir)
{
	atomic_fetch_sub(&live, 1);
	return __real_closedir(dir);
}

WRAPPED(struct dirent *, readdir, DIR *dir)
{
	return strikes(CALL_readdir) ? NULL : __real_readdir(dir);
}

WRAPPED(int, getaddrinfo, const char *host, const char *port, const struct addrinfo *hints,
	struct addrinfo **out)
{
	int rc;

	if (strikes(CALL_getaddrinfo))
		return EAI_MEMORY;
	rc = __real_getaddrinfo(host, port, hints, out);
	if (rc == 0)
		counted(*out);
	return rc;
}

WRAPPED(void, freeaddrinfo, struct addrinfo *list)
{
	atomic_fetch_sub(&live, 1);
	__real_freeaddrinfo(list);
}

WRAPPED(int, getnameinfo, const struct sockaddr *at, socklen_t len, char *host, socklen_t host_size,
	char *port, socklen_t port_size, int flags)
{
	if (strikes(CALL_getnameinfo))
		return EAI_MEMORY;
	return __real_getnameinfo(at, len, host, host_size, port, port_size, flags);
}

WRAPPED(int, getpwnam_r, const char *name, struct passwd *entry, char *space, size_t size,
	struct passwd **out)
{
	int error = strikes(CALL_getpwnam_r);

	*out = NULL;
	return error != 0 ? error : __real_getpwnam_r(name, entry, space, size, out);
}

WRAPPED(int, getgrnam_r, const char *name, struct group *entry, char *space, size_t size,
	struct group **out)
{
	int error = strikes(CALL_getgrnam_r);

	*out = NULL;
	return error != 0 ? error : __real_getgrnam_r(name, entry, space, size, out);
}

WRAPPED(int, pthread_attr_init, pthread_attr_t *attr)
{
	int error = strikes(CALL_pthread_attr_init);

	return error != 0 ? error : __real_pthread_attr_init(attr);
}

WRAPPED(int, pthread_attr_setstacksize, pthread_attr_t *attr, size_t size)
{
	int error = strikes(CALL_pthread_attr_setstacksize);

	return error != 0 ? error : __real_pthread_attr_setstacksize(attr, size);
}

WRAPPED(int, pthread_create, pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *),
	void *arg)
{
	int error = strikes(CALL_pthread_create);

	return error != 0 ? error : __real_pthread_create(thread, attr, run, arg);
}

/* ---- time ------------------------------------------------------------------------------------ */

void faults_pass_ms(uint64_t ms)
{
	passed_ns += ms * 1000000u;
}

WRAPPED(int, clock_gettime, clockid_t clock, struct timespec *t)
{
	int rc = __real_clock_gettime(clock, t);

	if (inside && rc == 0) {
		t->tv_sec += (time_t)(passed_ns / 1000000000u);
		t->tv_nsec += (long)(passed_ns % 1000000000u);
		if (t->tv_nsec >= 1000000000) {
			t->tv_nsec -= 1000000000;
			t->tv_sec++;
		}
	}
	return rc;
}

WRAPPED(int, nanosleep, const struct timespec *t, struct timespec *left)
{
	if (!inside)
		return __real_nanosleep(t, left);
	passed_ns += (uint64_t)t->tv_sec * 1000000000u + (uint64_t)t->tv_nsec;
	return 0;
}

/* In a turn nobody waits: where the loop would, the turn is over. */
WRAPPED(int, poll, struct pollfd *fds, nfds_t n, int ms)
{
	int ready;

	if (strikes(CALL_poll))
		return -1;
	if (!inside || turning == NULL)
		return __real_poll(fds, n, ms);
	ready = __real_poll(fds, n, 0);
	if (ready == 0 && ms != 0) {
		waits_ms = ms;
		atomic_store(&turning->stop, 1);
	} else if (++turns > TURNS_MAX) {
		waits_ms = -2;
		atomic_store(&turning->stop, 1);
	}
	return ready;
}

int faults_turn(struct server *s)
{
	turning = s;
	turns = 0;
	atomic_store(&s->stop, 0);
	INSIDE(server_loop(s));
	turning = NULL;
	HOLDS(waits_ms != -2); /* it goes round and round */
	return waits_ms;
}

/* ---- the sweep ------------------------------------------------------------------------------- */

void faults_in(void)
{
	inside = 1;
}

void faults_out(void)
{
	inside = 0;
}

int faults_pause(void)
{
	int was = inside;

	inside = 0;
	return was;
}

void faults_resume(int was)
{
	inside = was;
}

int faults_struck(void)
{
	return fault.struck;
}

int faults_hit(const char *call)
{
	return fault.struck && strcmp(calls[fault.call].name, call) == 0;
}

int faults_hit_with(const char *call, int error)
{
	return faults_hit(call) && fault.error == error;
}

int faults_clean(void)
{
	return fault.clean;
}

const char *faults_what(void)
{
	return what;
}

void faults_over(void)
{
	inside = 0;
	if (!fault.struck)
		fault.at = -1;
}

static int count_fds(void)
{
	DIR *dir = __real_opendir("/proc/self/fd");
	int n = 0;

	assert_non_null(dir);
	while (__real_readdir(dir) != NULL)
		n++;
	(void)__real_closedir(dir);
	return n;
}

static void run(faults_scenario *scenario, int at, int which)
{
	int fds = count_fds();
	long allocations = atomic_load(&live);

	memset(&fault, 0, sizeof(fault));
	fault.at = at;
	fault.which = which;
	fault.clean = at == 0;
	(void)snprintf(what, sizeof(what), "nothing fails");
	stay_below = NULL;
	atomic_store(&closed_badly, 0);
	scenario();
	inside = 0;
	if (atomic_load(&live) != allocations)
		fail_msg("%ld allocations are left, when %s", atomic_load(&live) - allocations, what);
	if (count_fds() != fds)
		fail_msg("%d fds are left, when %s", count_fds() - fds, what);
	if (atomic_load(&closed_badly) != 0)
		fail_msg("an fd was closed that was none, when %s", what);
}

void faults_sweep(faults_scenario *scenario)
{
	int faults = 0;
	int at;

	/* Twice: the first one loads what libraries load once. */
	memset(&fault, 0, sizeof(fault));
	fault.clean = 1;
	(void)snprintf(what, sizeof(what), "nothing fails");
	scenario();
	run(scenario, 0, 0);
	assert_true(fault.calls > 0);
	for (at = 1;; at++) {
		int which = 0;

		do {
			run(scenario, at, which++);
			faults += fault.struck;
		} while (fault.struck && fault.more);
		if (!fault.struck)
			break;
	}
	print_message("%d calls, %d faults\n", at - 1, faults);
}
