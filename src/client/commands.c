/*
 * commands.c: the % commands of the prompt, one row of a table each.
 */
#include "commands.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <bsd/stdlib.h>

#include "batch.h"
#include "lend.h"
#include "log.h"
#include "sample_command.h"
#include "signals.h"
#include "stacks.h"
#include "tee.h"
#include "watch_command.h"

struct command {
	const char *name;
	int (*run)(const struct commands_context *x, const char *arguments, struct diag *d);
};

static const char help[] =
	"Python, run in the program:\n"
	"  modules['os'].getpid()    any module of the program, imported if need be\n"
	"  modules.__main__.name     the program's own variables\n"
	"  _, __, Out[n], In[n]      earlier values and inputs; a ; at the end silences\n"
	"  name?, name??             what it is, with its source; help(name)\n"
	"  await thing               on the program's own event loop; %loop lists and chooses\n"
	"Commands:\n"
	"  %stacks [OPTIONS] [THREAD] the stacks again: --locals, --raw, --frames N, --no-group\n"
	"  %threads [THREAD]         a line or two for each thread\n"
	"  %locks                    locks that somebody waits for, and who holds them\n"
	"  %sample [SECONDS]         where the time goes; --rate N, --output FILE.svg (.html, .txt, .json)\n"
	"  %tasks                    the tasks of asyncio, and who awaits whom\n"
	"  %greenlets [THREAD]       greenlets, and what each waits for; --generators\n"
	"  %locals THREAD [FRAME]    variables of a frame: 0 is the outermost, -1 the innermost\n"
	"  %frame THREAD [FRAME]     from then on names mean that frame's; %up, %down; %frame off\n"
	"  %debug                    the same for the frames of the last exception here\n"
	"  %jobs                     what goes on in the background; %jobs stop N interrupts it\n"
	"  %time CODE                how long it takes\n"
	"  %watch [SECONDS] CODE     its value again and again, in place, until Ctrl-C\n"
	"  %atomic [--ms N] CODE     run it while no other Python thread runs, 50 ms at most\n"
	"  %main [--timeout S] CODE  run it on the main thread, when that comes by within 2 s\n"
	"  %who, %reset              your names; forget them\n"
	"  %run FILE, %edit [FILE]   run a file of this side; after an editor\n"
	"  %history [N]              what was run here; %save FILE [3-5] writes it to a file\n"
	"  %tee stdout [FILE]        what the program prints, copied here; %tee off; stderr alike\n"
	"  %log FILE, %log off       all that is typed and shown, to a file of this side\n"
	"  %set NAME VALUE           color, pager, history; for good in ~/.config/pystuck/rc\n"
	"  %reconnect                a new session, also with what has taken the program's place\n"
	"  %help                     this text\n"
	"  %quit                     end the client (also: exit, quit, Ctrl-D)\n"
	"Keys:\n"
	"  Ctrl-C                    clear the input, or interrupt what runs; twice: let it go on in the background\n"
	"  Ctrl-R, up, down          the history; Tab completes\n";

static int run_help(const struct commands_context *x, const char *arguments, struct diag *d)
{
	(void)arguments;
	(void)d;
	out_text(x->out, help);
	return 0;
}

static int run_quit(const struct commands_context *x, const char *arguments, struct diag *d)
{
	(void)x;
	(void)arguments;
	(void)d;
	return COMMANDS_QUIT;
}

/* Reads a file of this side, for the program to run. 0, or -1 when it has been said why not. */
static int read_source(const char *path, struct buf *source)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY), rc;
	struct diag d = {0};

	if (fd < 0) {
		out_notice("%s: %s", path, strerror(errno));
		return -1;
	}
	rc = batch_read(fd, source, &d);
	close(fd);
	if (rc < 0)
		out_notice("%s: at most %u bytes can be run", path, MSG_TEXT_MAX);
	return rc < 0 ? -1 : 0;
}

static int run_run(const struct commands_context *x, const char *arguments, struct diag *d)
{
	(void)d;
	if (*arguments == '\0') {
		out_notice("%%run FILE: a file on this side, run in the program");
		return 0;
	}
	return read_source(arguments, x->source) == 0 ? COMMANDS_EVALUATE : 0;
}

/* The user's editor on a file; 1 when it has ended well. */
static int edit(const struct commands_context *x, const char *path)
{
	const char *editor = getenv("VISUAL");
	int status = 0;
	pid_t pid;

	if (editor == NULL || *editor == '\0')
		editor = getenv("EDITOR");
	if (editor == NULL || *editor == '\0')
		editor = "vi";
	pid = fork();
	if (pid == 0) {
		signals_default();
		/* The editor may be several words; the path is one. */
		(void)setenv("PYSTUCK_EDIT", path, 1);
		(void)setenv("PYSTUCK_EDITOR", editor, 1);
		execl("/bin/sh", "sh", "-c", "eval \"$PYSTUCK_EDITOR\" '\"$PYSTUCK_EDIT\"'", (char *)NULL);
		_exit(127);
	}
	if (pid < 0)
		return 0;
	status = lend_until_ended(pid, -1, (struct span){NULL, 0}, x->beside);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 1;
	out_notice("%s did not end well: nothing was run", editor);
	return 0;
}

static int run_edit(const struct commands_context *x, const char *arguments, struct diag *d)
{
	const char *tmp = getenv("TMPDIR");
	char path[PATH_MAX];
	size_t last = x->inputs->count;
	int fd, rc = 0;

	(void)d;
	if (*arguments != '\0') {
		if (edit(x, arguments))
			rc = read_source(arguments, x->source);
		else
			rc = -1;
		return rc == 0 && buf_len(x->source) > 0 ? COMMANDS_EVALUATE : 0;
	}
	snprintf(path, sizeof path, "%s/pystuck-XXXXXX.py", tmp != NULL && *tmp == '/' ? tmp : "/tmp");
	fd = mkostemps(path, 3, O_CLOEXEC);
	if (fd < 0) {
		out_notice("%s: %s", path, strerror(errno));
		return 0;
	}
	if (last > 0)
		(void)dprintf(fd, "%s\n", x->inputs->list[last - 1].text);
	close(fd);
	rc = edit(x, path) ? read_source(path, x->source) : -1;
	unlink(path);
	return rc == 0 && buf_len(x->source) > 0 ? COMMANDS_EVALUATE : 0;
}

static int run_history(const struct commands_context *x, const char *arguments, struct diag *d)
{
	const char *error = NULL;
	long long most = *arguments != '\0' ? strtonum(arguments, 1, INPUTS_MAX, &error) : INPUTS_MAX;

	(void)d;
	if (error != NULL)
		out_notice("%%history %s: how many, from 1 to %d", arguments, INPUTS_MAX);
	else
		inputs_show(x->inputs, x->out, (size_t)most);
	return 0;
}

/* %save FILE, %save FILE 3, %save FILE 3-5 */
static int run_save(const struct commands_context *x, const char *arguments, struct diag *d)
{
	size_t len = strcspn(arguments, " \t"), written;
	char path[PATH_MAX], end[2];
	unsigned first = 0, last = UINT32_MAX;
	const char *cells = arguments + len + strspn(arguments + len, " \t");
	struct diag why = {0};

	(void)d;
	int n = *cells != '\0' ? sscanf(cells, "%9u-%9u%1s", &first, &last, end) : 2;
	if (n == 1 && strchr(cells, '-') == NULL)
		last = first;
	if (len == 0 || len >= sizeof path || n < 1 || n > 2) {
		out_notice("%%save FILE, or %%save FILE 3, or %%save FILE 3-5: inputs to a new file");
		return 0;
	}
	snprintf(path, sizeof path, "%.*s", (int)len, arguments);
	if (inputs_save(x->inputs, path, first, last, &written, &why) != 0)
		out_notice("%s", why.text);
	else
		out_notice("%zu inputs are in %s", written, path);
	return 0;
}

/* %jobs, %jobs stop 2 */
static int run_jobs(const struct commands_context *x, const char *arguments, struct diag *d)
{
	struct msg m = {.type = MSG_INTERRUPT};
	const char *error = NULL;

	if (*arguments == '\0') {
		jobs_list(x->jobs, x->out);
		return 0;
	}
	if (strncmp(arguments, "stop ", 5) == 0)
		m.interrupt.id = jobs_find(x->jobs, (unsigned)strtonum(arguments + 5, 1, 1000000, &error));
	if (m.interrupt.id == 0) {
		out_notice("%%jobs %s: say %%jobs for a list, %%jobs stop NUMBER to interrupt one", arguments);
		return 0;
	}
	int rc = connect_queue(x->c, &m, d);
	return rc == 0 ? connect_flush(x->c, d) : rc;
}

static int run_reconnect(const struct commands_context *x, const char *arguments, struct diag *d)
{
	(void)x;
	(void)arguments;
	(void)d;
	return COMMANDS_RECONNECT;
}

static int run_set(const struct commands_context *x, const char *arguments, struct diag *d)
{
	struct diag why = {0};

	(void)d;
	if (settings_change(x->settings, arguments, x->at_start, &why) != 0)
		out_notice("%s", why.text);
	return 0;
}

/* %log, %log FILE, %log off */
static int run_log(const struct commands_context *x, const char *arguments, struct diag *d)
{
	struct diag why = {0};

	(void)x;
	(void)d;
	if (*arguments == '\0' && log_path() == NULL)
		out_notice("this session is not logged; %%log FILE begins");
	else if (*arguments == '\0')
		out_notice("this session is logged to %s; %%log off ends that", log_path());
	else if (strcmp(arguments, "off") == 0)
		log_close();
	else if (log_open(arguments, &why) != 0)
		out_notice("%s", why.text);
	return 0;
}

static const struct command commands[] = {
	{"%reconnect", run_reconnect},
	{"%log", run_log},
	{"%set", run_set},
	{"%tee", tee_run},
	{"%watch", watch_command},
	{"%jobs", run_jobs},
	{"%run", run_run},
	{"%edit", run_edit},
	{"%history", run_history},
	{"%save", run_save},
	{"%stacks", stacks_run},
	{"%threads", stacks_threads},
	{"%locks", stacks_locks},
	{"%sample", sample_prompt},
	{"%greenlets", stacks_greenlets},
	{"%tasks", stacks_tasks},
	{"%show", stacks_show},
	{"%help", run_help},
	{"%quit", run_quit},
	{"%exit", run_quit},
	{"exit", run_quit},
	{"quit", run_quit},
	{"exit()", run_quit},
	{"quit()", run_quit},
};

int commands_has(const char *line)
{
	size_t len = strcspn(line, " \t");

	for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
		if (strlen(commands[i].name) == len && memcmp(commands[i].name, line, len) == 0)
			return 1;
	return 0;
}

int commands_run(const struct commands_context *x, const char *line, struct diag *d)
{
	size_t len = strcspn(line, " \t");
	const char *arguments = line + len + strspn(line + len, " \t");

	for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
		if (strlen(commands[i].name) == len && memcmp(commands[i].name, line, len) == 0)
			return commands[i].run(x, arguments, d);
	out_notice("unknown command %.*s: %%help lists them", (int)(len < 40 ? len : 40), line);
	return 0;
}
