/*
 * inject.h: a server for a program that has none and was started without pystuck: Python 3.14 and later run a script that
 * somebody with the right to trace the process names (PEP 768, sys.remote_exec).
 */
#ifndef PYSTUCK_CLIENT_INJECT_H
#define PYSTUCK_CLIENT_INJECT_H

#include <stdint.h>
#include <sys/types.h>

#include "error.h"

/*
 * Waits until the process has a server, `timeout_ms` at most; then nothing is left in it that could still run. 0, or
 * PYSTUCK_EPERM (no right to), PYSTUCK_EINVAL (this Python cannot, or no pystuck for it is installed), PYSTUCK_ETIME (its
 * main thread did not come by), PYSTUCK_ENOENT, PYSTUCK_ESYS, with a sentence.
 */
int inject_server(pid_t pid, int64_t timeout_ms, struct diag *d);

#endif
