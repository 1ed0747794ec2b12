/*
 * inject.c: brings a server into a process that has none: the script that it runs, and what becomes of
 * it. The files are inject_files.c's, the call inject_python.c's.
 */
#include "inject.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "connect.h"
#include "inject_files.h"
#include "inject_python.h"
#include "text.h"

#define NOTHING "/dev/null" /* an empty script */
#define ANSWER_MAX 1024
#define GRACE_MS 200 /* for one that has begun just when we gave up */
#define OK "ok"

/*
 * Runs in the program, on its main thread: imports nothing that is not there already, leaves no name behind, prints nothing. The
 * pipe comes first: where nobody listens any more it takes the files away and does nothing else. %s: paths, in hexadecimal.
 */
static const char script_code[] =
	"def pystuck_inject():\n"
	"    import posix, sys\n"
	"    files, pipe = bytes.fromhex('%s'), bytes.fromhex('%s')\n"
	"    script, home = bytes.fromhex('%s'), bytes.fromhex('%s')\n"
	"    try:\n"
	"        answer = posix.open(pipe, posix.O_WRONLY | posix.O_NONBLOCK | posix.O_CLOEXEC)\n"
	"    except OSError:\n"
	"        try:\n"
	"            posix.unlink(script), posix.unlink(pipe), posix.rmdir(files)\n"
	"        except OSError:\n"
	"            pass\n"
	"        return\n"
	"    def load():\n"
	"        import _imp, _frozen_importlib, _frozen_importlib_external\n"
	"        base = home.decode(sys.getfilesystemencoding(), 'surrogateescape')\n"
	"        version = '%%d.%%d' %% sys.version_info[:2]\n"
	"        places = [base + '/python']\n"
	"        for lib in ('python' + version, 'python3'):\n"
	"            for kind in ('site', 'dist'):\n"
	"                places.append(base + '/../lib/' + lib + '/' + kind + '-packages')\n"
	"        for place in places:\n"
	"            for suffix in _imp.extension_suffixes():\n"
	"                path = place + '/pystuck/__init__' + suffix\n"
	"                try:\n"
	"                    posix.stat(path)\n"
	"                except OSError:\n"
	"                    continue\n"
	"                spec = _frozen_importlib_external.spec_from_file_location('pystuck', path, "
	"submodule_search_locations=[place + '/pystuck'])\n"
	"                module = _frozen_importlib.module_from_spec(spec)\n"
	"                sys.modules['pystuck'] = module\n"
	"                try:\n"
	"                    spec.loader.exec_module(module)\n"
	"                except BaseException:\n"
	"                    del sys.modules['pystuck']\n"
	"                    raise\n"
	"                return module\n"
	"        raise ImportError('no pystuck for Python %%s is installed (looked on its sys.path and in %%s): "
	"make PYTHON=python%%s install' %% (version, ', '.join(places), version))\n"
	"    try:\n"
	"        was_there = 'pystuck' in sys.modules\n"
	"        try:\n"
	"            import pystuck\n"
	"        except ModuleNotFoundError as e:\n"
	"            if e.name != 'pystuck':\n"
	"                raise\n"
	"            pystuck = load()\n"
	"        if not hasattr(pystuck, '_activate') and getattr(pystuck, '__file__', None) is None and not was_there:\n"
	"            del sys.modules['pystuck']\n"
	"            pystuck = load()\n"
	"        if not hasattr(pystuck, '_activate'):\n"
	"            raise ImportError('another module called pystuck: %%s' %% pystuck.__file__)\n"
	"        pystuck._activate()\n"
	"        text = '" OK "'\n"
	"    except Exception as e:\n"
	"        text = '%%s: %%s' %% (type(e).__name__, e)\n"
	"    posix.write(answer, text.encode('utf-8', 'replace')[:1000])\n"
	"    posix.close(answer)\n"
	"pystuck_inject()\n";

static char *hex(char out[static 2 * PATH_MAX + 1], const char *text)
{
	size_t i = 0;

	for (; i < PATH_MAX && text[i] != '\0'; i++)
		(void)snprintf(out + 2 * i, 3, "%02x", (unsigned)(unsigned char)text[i]);
	out[2 * i] = '\0';
	return out;
}

/* Where this client lies: the extension is beside it, or below the same prefix. */
static void own_dir(char dir[static PATH_MAX])
{
	ssize_t n = readlink("/proc/self/exe", dir, PATH_MAX - 1);

	dir[n > 0 ? n : 0] = '\0';
	char *slash = strrchr(dir, '/');
	if (slash != NULL)
		*slash = '\0';
}

/* malloc'd; NULL: no memory. */
static char *make_script(const struct inject_files *f)
{
	static char files[2 * PATH_MAX + 1], pipe[2 * PATH_MAX + 1], script[2 * PATH_MAX + 1],
		home[2 * PATH_MAX + 1];
	char dir[PATH_MAX], *text = NULL;

	own_dir(dir);
	if (asprintf(&text, script_code, hex(files, f->dir), hex(pipe, f->pipe), hex(script, f->script),
		    hex(home, dir)) < 0)
		return NULL;
	return text;
}

/* The user whom the process acts as; (uid_t)-1: there is no such process. */
static uid_t user_of(pid_t pid)
{
	char path[64], *line = NULL;
	size_t room = 0;
	unsigned long uid = (uid_t)-1;

	(void)snprintf(path, sizeof path, "/proc/%ld/status", (long)pid);
	FILE *status = fopen(path, "re");
	while (status != NULL && getline(&line, &room, status) > 0)
		if (strncmp(line, "Uid:", 4) == 0) {
			char *effective = line + 4;

			(void)strtoul(effective, &effective, 10);
			uid = strtoul(effective, NULL, 10);
		}
	free(line);
	if (status != NULL)
		(void)fclose(status);
	return (uid_t)uid;
}

/* One write of less than a pipe's buffer: all of it comes at once. 1: it is there; 0: the time is up; -1: the process has ended. */
static int await_answer(int answer, int process, char text[static ANSWER_MAX], int64_t deadline)
{
	for (;;) {
		struct pollfd p[2] = {{.fd = answer, .events = POLLIN}, {.fd = process, .events = POLLIN}};
		int64_t left = deadline - connect_clock();
		int ready = poll(p, 2, left > 0 ? (int)left : 0);
		ssize_t n = p[0].revents != 0 ? read(answer, text, ANSWER_MAX - 1) : -1;

		if (n > 0) {
			text[n] = '\0';
			return 1;
		}
		if (ready > 0 && (p[1].revents != 0 || n == 0))
			return -1;
		if (ready == 0)
			return 0;
	}
}

static int judge(int outcome, const char *answer, pid_t pid, struct diag *d)
{
	char shown[ANSWER_MAX];

	if (outcome < 0)
		return diag_set(d, PYSTUCK_ENOENT, 0, "process %ld ended before it had a server", (long)pid);
	if (outcome == 0)
		return diag_set(d, PYSTUCK_ETIME, 0,
			"process %ld: its main thread did not come by to run the script, and the request has been taken "
			"back: it comes by between two instructions of Python only, not in C code (a lock, a read, a long "
			"query)",
			(long)pid);
	if (strcmp(answer, OK) == 0)
		return 0;
	return diag_set(d, PYSTUCK_EINVAL, 0, "process %ld: %s", (long)pid,
		text_copy(shown, sizeof shown, span_text(answer), TEXT_LINE));
}

/* The script is there; from the call on it is either run or taken back. */
static int run_script(const struct inject_files *f, const char *python, pid_t pid, int64_t timeout_ms, struct diag *d)
{
	char answer[ANSWER_MAX] = "";
	struct diag ignored;
	int process = (int)syscall(SYS_pidfd_open, pid, 0);
	int rc = inject_python_call(python, pid, f->script, d);

	if (rc == 0) {
		int outcome = await_answer(f->answer, process, answer, connect_clock() + timeout_ms);

		/* Or the main thread, when it comes by at last, would complain about a script that is not there. */
		if (outcome == 0) {
			(void)inject_python_call(python, pid, NOTHING, &ignored);
			outcome = await_answer(f->answer, process, answer, connect_clock() + GRACE_MS);
		}
		rc = judge(outcome, answer, pid, d);
	}
	if (process >= 0)
		close(process);
	return rc;
}

int inject_server(pid_t pid, int64_t timeout_ms, struct diag *d)
{
	char python[PATH_MAX], *script = NULL;
	struct inject_files f = {.at = -1, .answer = -1};
	uid_t uid = user_of(pid);

	if (uid == (uid_t)-1)
		return diag_set(d, PYSTUCK_ENOENT, 0, "there is no process %ld", (long)pid);
	if (geteuid() != 0 && geteuid() != uid)
		return diag_set(d, PYSTUCK_EPERM, 0,
			"process %ld runs as uid %lu: only that user and root (CAP_SYS_PTRACE) may trace it", (long)pid,
			(unsigned long)uid);
	int rc = inject_python_find(python, pid, d);
	if (rc == 0)
		rc = inject_files_make(&f, pid, uid, d);
	if (rc == 0 && (script = make_script(&f)) == NULL)
		rc = diag_set(d, PYSTUCK_ENOMEM, 0, "%s", error_text(PYSTUCK_ENOMEM));
	if (rc == 0)
		rc = inject_files_write(&f, uid, script, d);
	if (rc == 0)
		rc = run_script(&f, python, pid, timeout_ms, d);
	free(script);
	inject_files_remove(&f);
	return rc;
}
