/*
 * kernel.h: what a system call waits for, said more exactly than by its name: which file, between which addresses, who holds
 * the lock on the file, which child.
 */
#ifndef PYSTUCK_PYTHON_KERNEL_H
#define PYSTUCK_PYTHON_KERNEL_H

#include "wait.h"

/*
 * Any thread, no GIL. Fills in what there is to say of the call that `view` was in. Only while the thread is in that very call
 * does an fd mean what it says, so the caller throws it away when the thread has moved meanwhile (waits_same).
 */
void kernel_describe(struct wait *w, struct pytext *text, const struct waits_view *view);
/* What an fd is open on, as /proc has it; 0 when there is no such fd. */
#define KERNEL_PATH 4096u
size_t kernel_path(char out[static KERNEL_PATH], int fd);
/* "name" of a process, as /proc has it; empty when it is gone. */
#define KERNEL_COMM 32
void kernel_comm(char out[static KERNEL_COMM], uint32_t pid);

#endif
