/*
 * signals.h: the client's signals as bytes in a pipe, so that a poll(2) notices them and nothing
 * happens inside a handler. A write(2) or read(2) that blocks ends with EINTR (no SA_RESTART):
 * whoever sees that asks signals_want_end().
 */
#ifndef PYSTUCK_CLIENT_SIGNALS_H
#define PYSTUCK_CLIENT_SIGNALS_H

/* SIGPIPE is ignored from here on: a reader that went away is an error of write(2). */
void signals_quiet(void);

/*
 * Catches SIGINT; with `prompt` also those that would leave the terminal as the prompt set it
 * (SIGTERM, SIGHUP, SIGQUIT, SIGTSTP) and SIGWINCH. A signal that is ignored when the client starts
 * (nohup) stays ignored. 0 or PYSTUCK_ESYS. May be called again: with `prompt` it adds to the
 * first.
 */
int signals_catch(int prompt);
int signals_fd(void);      /* readable when a signal has come; -1 before signals_catch */
int signals_pending(void); /* 1 when signals_take would give one; costs no system call */
int signals_want_end(
	void);          /* 1 when SIGINT or a fatal one has come and nothing has been taken since */
int signals_take(void); /* the next signal's number, or 0 */
int signals_are_fatal(
	int sig); /* SIGTERM, SIGHUP, SIGQUIT: the caller cleans up and ends with signals_die */
void signals_default(void); /* in a child, before it runs another program */
void signals_stop(void); /* what SIGTSTP does by default: returns when the job goes on */
_Noreturn void signals_die(int sig); /* ends the process as the signal would have */

#endif
