/*
 * inject_files.h: the private directory with the script that another process is to run, and a pipe for its answer.
 */
#ifndef PYSTUCK_CLIENT_INJECT_FILES_H
#define PYSTUCK_CLIENT_INJECT_FILES_H

#include <limits.h>
#include <sys/types.h>

#include "error.h"

struct inject_files {
	char dir[PATH_MAX]; /* "": none */
	char script[PATH_MAX];
	char pipe[PATH_MAX];
	int at;     /* the directory itself, whatever its name may come to mean; -1: none */
	int answer; /* read end, non-blocking; -1: none */
};

/* 1: nobody but root and us can put something else in the place of what lies in the directory, or is made there. */
int inject_files_is_safe(const char *dir);

/*
 * Makes a directory 0700 of the user `uid`, whom the process runs as, at a place that nobody else can change and that the process
 * sees as we do; the pipe in it. 0 or an error with a sentence; inject_files_remove is needed in both cases.
 */
int inject_files_make(struct inject_files *f, pid_t pid, uid_t uid, struct diag *d);
/* Writes the script and gives all of it to the user. */
int inject_files_write(struct inject_files *f, uid_t uid, const char *script, struct diag *d);
void inject_files_remove(struct inject_files *f);

#endif
