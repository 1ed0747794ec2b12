/*
 * inject_python.c: finds an interpreter that may be run, and has it call sys.remote_exec. Nothing that
 * only the other process vouches for is run with our rights: root may be looking into anybody's.
 */
#include "inject_python.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "connect.h"
#include "inject_files.h"

#define PYTHON_WORD "python3"
#define SAID_MAX 400
#define CALL_MS 10000 /* an interpreter that starts and writes a few bytes */

/* What the interpreter says by its exit status; its sentence is on standard output. */
enum { CALL_DONE = 0, CALL_OLD = 10, CALL_RIGHTS, CALL_OFF, CALL_OTHER };

static const char call_code[] =
	"import sys\n"
	"def end(status, text=''):\n"
	"    sys.stdout.write(text)\n"
	"    sys.stdout.flush()\n"
	"    sys.exit(status)\n"
	"if not hasattr(sys, 'remote_exec'):\n"
	"    end(10, '%d.%d' % sys.version_info[:2])\n"
	"try:\n"
	"    sys.remote_exec(int(sys.argv[1]), sys.argv[2])\n"
	"except PermissionError as e:\n"
	"    end(11, str(e))\n"
	"except Exception as e:\n"
	"    end(12 if 'not enabled' in str(e) or isinstance(e, NotImplementedError) else 13, str(e))\n"
	"end(0)\n";

/* ---- which one -------------------------------------------------------------------------------- */

/* "python3", "python3.14" and the like at the end of a path. */
static int is_python(const char *path)
{
	const char *name = strrchr(path, '/');

	name = name != NULL ? name + 1 : path;
	return strncmp(name, PYTHON_WORD, sizeof PYTHON_WORD - 1) == 0 &&
	       name[strspn(name, "python.0123456789")] == '\0';
}

/* Also where it lies: the interpreter takes its library from beside it. `path` has no symbolic links. */
static int is_trusted(const char *path, struct stat *st)
{
	char dir[PATH_MAX];

	(void)snprintf(dir, sizeof dir, "%s", path);
	char *slash = strrchr(dir, '/');
	if (slash == NULL || stat(path, st) != 0 || !S_ISREG(st->st_mode))
		return 0;
	*slash = '\0';
	return (st->st_uid == 0 || st->st_uid == geteuid()) && (st->st_mode & 022) == 0 &&
	       inject_files_is_safe(dir[0] != '\0' ? dir : "/");
}

/* Its own program, as it lies here under the same name. 1: `python` is it and may be run. */
static int take_own(char python[static PATH_MAX], pid_t pid)
{
	char link[64];
	struct stat theirs, ours;

	(void)snprintf(link, sizeof link, "/proc/%ld/exe", (long)pid);
	ssize_t n = readlink(link, python, PATH_MAX - 1);
	python[n > 0 ? n : 0] = '\0';
	return n > 0 && is_python(python) && stat(link, &theirs) == 0 && is_trusted(python, &ours) &&
	       theirs.st_dev == ours.st_dev && theirs.st_ino == ours.st_ino;
}

/* The N of python3.N in a text; -1: none. */
static int minor_in(const char *text, const char *word)
{
	const char *at = strstr(text, word);

	if (at == NULL || at[strlen(word)] < '0' || at[strlen(word)] > '9')
		return -1;
	return (int)strtol(at + strlen(word), NULL, 10);
}

/* From the program's name, or from the libpython or the modules that it has loaded. */
static int minor_of(const char *program, pid_t pid)
{
	char path[64], *line = NULL;
	size_t room = 0;
	int minor = is_python(program) ? minor_in(program, PYTHON_WORD ".") : -1;

	(void)snprintf(path, sizeof path, "/proc/%ld/maps", (long)pid);
	FILE *maps = minor < 0 ? fopen(path, "re") : NULL;
	while (maps != NULL && minor < 0 && getline(&line, &room, maps) > 0)
		minor = minor_in(line, PYTHON_WORD ".");
	free(line);
	if (maps != NULL)
		(void)fclose(maps);
	return minor;
}

static int take_from_path(char python[static PATH_MAX], int minor)
{
	const char *path = getenv("PATH");
	char link[PATH_MAX];
	struct stat st;

	for (const char *at = path != NULL ? path : ""; *at != '\0'; at += strspn(at, ":")) {
		int len = (int)strcspn(at, ":");

		if (*at == '/' && len < PATH_MAX - 32) {
			(void)snprintf(link, sizeof link, "%.*s/" PYTHON_WORD ".%d", len, at, minor);
			if (realpath(link, python) != NULL && is_trusted(python, &st) && access(python, X_OK) == 0)
				return 1;
		}
		at += len;
	}
	return 0;
}

int inject_python_find(char python[static PATH_MAX], pid_t pid, struct diag *d)
{
	char own[PATH_MAX];

	if (take_own(python, pid))
		return 0;
	(void)snprintf(own, sizeof own, "%s", python);
	int minor = minor_of(own, pid);

	if (own[0] == '\0' && minor < 0)
		return diag_set(d, PYSTUCK_EPERM, 0,
			"process %ld: its program may not be looked at; that takes the same user, or root with "
			"CAP_SYS_PTRACE",
			(long)pid);
	if (minor < 0)
		return diag_set(d, PYSTUCK_EINVAL, 0, "process %ld runs %s, which is no Python", (long)pid, own);
	if (take_from_path(python, minor))
		return 0;
	return diag_set(d, PYSTUCK_EINVAL, 0,
		"process %ld runs %s: not started with your rights, since others could have changed it, and there is "
		"no python3.%d of root's or yours on $PATH",
		(long)pid, own, minor);
}

/* ---- the call --------------------------------------------------------------------------------- */

static int start(pid_t *child, int said[2], char *const argv[])
{
	posix_spawn_file_actions_t actions;
	int rc = posix_spawn_file_actions_init(&actions);

	if (rc != 0)
		return rc;
	rc = posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
	if (rc == 0)
		rc = posix_spawn_file_actions_adddup2(&actions, said[1], 1);
	if (rc == 0)
		rc = posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
	if (rc == 0)
		rc = posix_spawn(child, argv[0], &actions, NULL, argv, environ);
	(void)posix_spawn_file_actions_destroy(&actions);
	return rc;
}

/* Until the end of what it says. 0: its time is up. */
static int listen_to(int fd, char text[static SAID_MAX], int64_t deadline)
{
	size_t have = 0;

	for (;;) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		int64_t left = deadline - connect_clock();
		int ready = poll(&p, 1, left > 0 ? (int)left : 0);
		ssize_t n = ready > 0 ? read(fd, text + have, SAID_MAX - 1 - have) : -1;

		if (ready == 0)
			return 0;
		if (n == 0)
			return 1;
		have += n > 0 ? (size_t)n : 0;
		text[have] = '\0';
		if (have == SAID_MAX - 1)
			return 1;
	}
}

/* What was wrong, and what to do. */
static int judge(int status, const char *said, pid_t pid, struct diag *d)
{
	switch (WIFEXITED(status) ? WEXITSTATUS(status) : -1) {
	case CALL_DONE:
		return 0;
	case CALL_OLD:
		return diag_set(d, PYSTUCK_EINVAL, 0,
			"process %ld: Python %s cannot: only 3.14 and later run a script that comes from outside; start "
			"the program with PYSTUCK=1 in its environment next time, and look into it now with py-spy",
			(long)pid, said);
	case CALL_RIGHTS:
		return diag_set(d, PYSTUCK_EPERM, 0,
			"process %ld: %s: this takes the right to trace the process: the same user, where "
			"/proc/sys/kernel/yama/ptrace_scope is 0, or CAP_SYS_PTRACE (root)",
			(long)pid, said);
	case CALL_OFF:
		return diag_set(d, PYSTUCK_EPERM, 0,
			"process %ld: remote debugging is switched off in it (PYTHON_DISABLE_REMOTE_DEBUG, -X "
			"disable-remote-debug, or how its Python was built); start it with PYSTUCK=1 in its environment",
			(long)pid);
	case CALL_OTHER:
		return diag_set(d, PYSTUCK_EINVAL, 0, "process %ld: %s", (long)pid, said);
	default:
		return diag_set(d, PYSTUCK_ESYS, 0, "process %ld: the interpreter that was to ask it did not end well",
			(long)pid);
	}
}

int inject_python_call(const char *python, pid_t pid, const char *script, struct diag *d)
{
	char number[24], said[SAID_MAX] = "", copy[PATH_MAX];
	char *const argv[] = {(char *)python, "-I", "-S", "-c", (char *)call_code, number, copy, NULL};
	pid_t child = 0;
	int pipe_[2], status = 0;

	(void)snprintf(number, sizeof number, "%ld", (long)pid);
	(void)snprintf(copy, sizeof copy, "%s", script);
	if (pipe2(pipe_, O_CLOEXEC) != 0)
		return diag_set(d, PYSTUCK_ESYS, errno, "a pipe: %m");
	int rc = start(&child, pipe_, argv);
	close(pipe_[1]);
	if (rc == 0) {
		if (!listen_to(pipe_[0], said, connect_clock() + CALL_MS))
			(void)kill(child, SIGKILL);
		while (waitpid(child, &status, 0) < 0 && errno == EINTR)
			;
		rc = judge(status, said, pid, d);
	} else {
		rc = diag_set(d, PYSTUCK_ESYS, rc, "%s: %s", python, strerror(rc));
	}
	close(pipe_[0]);
	return rc;
}
