/*
 * log.h: a session written to a file of this side (%log): what was typed, and what came of it.
 */
#ifndef PYSTUCK_CLIENT_LOG_H
#define PYSTUCK_CLIENT_LOG_H

#include "buf.h"
#include "error.h"

/* Opens a file of this side for what comes from a program: made mode 0600, or one that nobody else may read. The fd, or an error. */
int log_file(const char *path, struct diag *d);
/* Goes on at the end of the file, which nobody else may read, or makes it, mode 0600. 0 or an error with a sentence. */
int log_open(const char *path, struct diag *d);
void log_close(void);
/* The file's name; NULL: there is none. */
const char *log_path(void);
/* A line that was typed behind this prompt. */
void log_typed(const char *prompt, const char *line);
/* What was written to the terminal: text that is safe already, with our colours, which are left out. */
void log_shown(const void *bytes, size_t len);

#endif
