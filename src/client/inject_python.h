/*
 * inject_python.h: asking a process to run a script, by the interpreter that it runs itself: that one knows the layout of its memory.
 */
#ifndef PYSTUCK_CLIENT_INJECT_PYTHON_H
#define PYSTUCK_CLIENT_INJECT_PYTHON_H

#include <limits.h>
#include <sys/types.h>

#include "error.h"

/*
 * An interpreter of the process's version that may be run with our rights: it belongs to root or to us, and nobody else can have
 * changed it. The process's own program if that is one, else python3.N of $PATH. 0 or an error with a sentence.
 */
int inject_python_find(char python[static PATH_MAX], pid_t pid, struct diag *d);
/* sys.remote_exec(pid, script). 0, or PYSTUCK_EPERM, PYSTUCK_EINVAL, PYSTUCK_ESYS with a sentence. */
int inject_python_call(const char *python, pid_t pid, const char *script, struct diag *d);

#endif
