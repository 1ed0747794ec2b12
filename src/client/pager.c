/*
 * pager.c: runs the pager with the text on a pipe. The terminal is the pager's meanwhile, and Ctrl-C is for it alone.
 */
#include "pager.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "signals.h"
#include "text.h"

#define PAGER_DEFAULT "less"
#define PAGER_BYTES_MAX (32u << 20) /* escaped */
#define PAGER_MISSING 127           /* what a shell says that does not find it */

static char *chosen; /* by pager_set */

int pager_set(const char *command)
{
	char *copy = strdup(command);

	if (copy == NULL)
		return PYSTUCK_ENOMEM;
	free(chosen);
	chosen = copy;
	return 0;
}

static const char *pager_command(void)
{
	const char *pager = chosen != NULL ? chosen : getenv("PAGER");

	if (pager == NULL)
		return PAGER_DEFAULT;
	return *pager == '\0' || strcmp(pager, "cat") == 0 ? NULL : pager;
}

/* In the child. */
static _Noreturn void run(const char *command, int fd)
{
	signals_default();
	/* As git sets it: colours, and no clearing of the screen. */
	(void)setenv("LESS", "FRX", 0);
	if (dup2(fd, STDIN_FILENO) >= 0)
		execl("/bin/sh", "sh", "-c", command, (char *)NULL);
	_exit(PAGER_MISSING);
}

/* 1 when it has been shown. */
static int page(const char *command, struct span text, const struct lend *beside)
{
	int ends[2], status;
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) != 0)
		return 0;
	pid = fork();
	if (pid == 0)
		run(command, ends[0]);
	close(ends[0]);
	if (pid < 0) {
		close(ends[1]);
		return 0;
	}
	status = lend_until_ended(pid, ends[1], text, beside);
	return !WIFEXITED(status) || WEXITSTATUS(status) != PAGER_MISSING;
}

static int count_lines(struct span text)
{
	int n = 0;

	for (size_t i = 0; i < text.len; i++)
		n += text.data[i] == '\n';
	return n;
}

void pager_show(struct out *o, struct span text, int rows, const struct lend *beside)
{
	const char *command = count_lines(text) >= rows ? pager_command() : NULL;
	struct buf safe;

	buf_init(&safe, PAGER_BYTES_MAX);
	out_end_line(o);
	out_flush(o);
	if (command == NULL || text_append(&safe, text, TEXT_BLOCK) != 0 || !page(command, buf_span(&safe), beside))
		out_safe(o, text, TEXT_BLOCK);
	buf_free(&safe);
}
