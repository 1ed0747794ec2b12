/*
 * pam_trouble.c: a PAM module for tests of the helper, which does in its account check what the line of the service file says:
 * code NUMBER, rename, kill, hang, talk, ask, print, or note PATH.
 */
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define PAM_SM_ACCOUNT
#include <security/pam_appl.h>
#include <security/pam_modules.h>

extern char **environ;

static void note_item(FILE *out, pam_handle_t *pam, int item, const char *name)
{
	const void *value = NULL;

	(void)pam_get_item(pam, item, &value);
	fprintf(out, "%s=%s\n", name, value ? (const char *)value : "(none)");
}

static void note_signals(FILE *out)
{
	sigset_t mask;
	int blocked = 0, ignored = 0;

	sigprocmask(SIG_SETMASK, NULL, &mask);
	for (int number = 1; number < SIGRTMIN; number++) {
		struct sigaction now;

		blocked += sigismember(&mask, number) == 1;
		if (number != SIGPIPE && sigaction(number, NULL, &now) == 0)
			ignored += now.sa_handler != SIG_DFL;
	}
	fprintf(out, "blocked=%d\nnot default=%d\n", blocked, ignored);
}

/* Besides the one that reads the list, and the file itself. */
static void note_fds(FILE *out)
{
	DIR *list = opendir("/proc/self/fd");
	struct dirent *entry;

	fprintf(out, "fds=");
	while (list && (entry = readdir(list)) != NULL) {
		char link[64], to[256] = "";
		ssize_t n;

		if (entry->d_name[0] == '.')
			continue;
		snprintf(link, sizeof link, "/proc/self/fd/%.20s", entry->d_name);
		n = readlink(link, to, sizeof to - 1);
		to[n > 0 ? n : 0] = '\0';
		if (strncmp(to, "/proc/", 6) != 0)
			fprintf(out, "%s:%.250s ", entry->d_name, to);
	}
	fprintf(out, "\n");
	if (list)
		closedir(list);
}

static int note(pam_handle_t *pam, const char *path)
{
	FILE *out;
	struct rlimit core;
	char where[256];

	note_fds(stdout);	/* nobody sees that */
	out = fopen(path, "we");
	if (!out)
		return PAM_SYSTEM_ERR;
	note_item(out, pam, PAM_SERVICE, "service");
	note_item(out, pam, PAM_USER, "user");
	note_item(out, pam, PAM_RUSER, "ruser");
	note_item(out, pam, PAM_RHOST, "rhost");
	note_item(out, pam, PAM_TTY, "tty");
	note_signals(out);
	fprintf(out, "environment=%d\n", environ && environ[0] ? 1 : 0);
	fprintf(out, "pid=%d\nppid=%d\nsid=%d\n", (int)getpid(), (int)getppid(), (int)getsid(0));
	fprintf(out, "cwd=%s\n", getcwd(where, sizeof where) ? where : "?");
	fprintf(out, "core=%d\n", getrlimit(RLIMIT_CORE, &core) == 0 && core.rlim_max == 0 ? 0 : 1);
	note_fds(out);
	fclose(out);
	return PAM_SUCCESS;
}

static int talk(pam_handle_t *pam, int style)
{
	const void *item = NULL;
	const struct pam_conv *conv;
	const struct pam_message message = { .msg_style = style, .msg = "your account expires tomorrow" };
	const struct pam_message *messages[] = { &message };
	struct pam_response *responses = NULL;

	if (pam_get_item(pam, PAM_CONV, &item) != PAM_SUCCESS || !item)
		return PAM_SYSTEM_ERR;
	conv = item;
	return conv->conv(1, messages, &responses, conv->appdata_ptr);
}

static int print_something(void)
{
	puts("text on standard output");
	fputs("text on standard error\n", stderr);
	fflush(NULL);
	return PAM_SUCCESS;
}

__attribute__((visibility("default"))) int pam_sm_acct_mgmt(pam_handle_t *pam, int flags, int argc, const char **argv)
{
	const char *what = argc > 0 ? argv[0] : "success";
	sigset_t all;

	(void)flags;
	if (strcmp(what, "code") == 0)
		return argc > 1 ? atoi(argv[1]) : PAM_SUCCESS;
	if (strcmp(what, "rename") == 0)
		return pam_set_item(pam, PAM_USER, "somebody-else");
	if (strcmp(what, "note") == 0)
		return note(pam, argc > 1 ? argv[1] : "/dev/null");
	if (strcmp(what, "talk") == 0)
		return talk(pam, PAM_TEXT_INFO);
	if (strcmp(what, "ask") == 0)
		return talk(pam, PAM_PROMPT_ECHO_OFF);
	if (strcmp(what, "print") == 0)
		return print_something();
	if (strcmp(what, "kill") == 0)
		raise(SIGKILL);
	if (strcmp(what, "hang") == 0) {
		if (argc > 1)
			(void)note(pam, argv[1]);
		/* Deaf to what could be caught. */
		if (argc > 2) {
			sigfillset(&all);
			sigprocmask(SIG_SETMASK, &all, NULL);
		}
		for (;;)
			pause();
	}
	return PAM_SUCCESS;
}
