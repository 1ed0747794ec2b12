/*
 * account_private.h: what account.c and account_start.c share. Nobody else includes it.
 */
#ifndef PYSTUCK_ACCOUNT_PRIVATE_H
#define PYSTUCK_ACCOUNT_PRIVATE_H

#include "account.h"

/*
 * Starts the program `path` with one end of a fresh stream socket as its standard input and nothing else of this process: no
 * fd, no environment, a session of its own. It is nobody's child but init's: the program that we are a guest of gets no SIGCHLD
 * for it, and no wait() of its finds it. *fd: the other end, non-blocking.
 */
int account_start_program(const char *path, int *fd, struct diag *d);
/*
 * 1 when this process adopts orphans (it is process 1 or a subreaper): a helper that it starts would become a child that it can
 * see.
 */
int account_start_adopts(void);

#endif
