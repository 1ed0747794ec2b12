/*
 * tids.c: the kernel's ids of threads where Python does not say them, read from memory that may be
 * gone: by a system call that fails at a bad address instead of crashing.
 */
#include "tids.h"

#include <stdatomic.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "compat.h"

/* Reads our own memory by a system call that fails at a bad address instead of crashing. */
static int read_memory(uintptr_t address, void *to, size_t size)
{
	struct iovec local = {to, size}, remote = {(void *)address, size};

	return process_vm_readv(getpid(), &local, 1, &remote, 1, 0) == (ssize_t)size;
}

#if PY_VERSION_HEX < 0x030B0000
/* the C library's record of a thread is searched so far for the kernel's id */
#define TCB_BYTES 2048u

/*
 * 3.10 keeps no kernel ids. A thread's ident is the address of the C library's record of it, which
 * has the id at a place that is found once, by looking for our own (the caller is not the main
 * thread: its id is not the process's). The records of other threads may be gone: they are read by
 * a system call that fails instead of crashing. 0: not found.
 */
static size_t tid_place(void)
{
	static _Atomic uint32_t place; /* 0: not looked for yet; 1: in vain; else the place */
	uint32_t found = atomic_load(&place), own = (uint32_t)PyThread_get_thread_native_id(), word;
	uintptr_t record = (uintptr_t)PyThread_get_thread_ident();

	if (found != 0)
		return found > 1 ? found : 0;
	for (uint32_t at = 4; at < TCB_BYTES && found == 0; at += 4)
		if (read_memory(record + at, &word, sizeof word) && word == own)
			found = at;
	atomic_store(&place, found > 0 ? found : 1);
	return found;
}

uint32_t tids_of_ident(uint64_t ident)
{
	size_t place = tid_place();
	uint32_t tid = 0;

	return place != 0 && read_memory((uintptr_t)ident + place, &tid, sizeof tid) ? tid : 0;
}
#else
uint32_t tids_of_ident(uint64_t ident)
{
	(void)ident;
	return 0;
}
#endif

/* Signal 0: whether there is such a thread of ours, and nothing else. */
uint32_t tids_told(uint32_t told, uint64_t ident)
{
	return syscall(SYS_tgkill, getpid(), (pid_t)told, 0) == 0 ? told : tids_of_ident(ident);
}

#define INTERPRETERS 1000 /* so many are looked through */

/* Whether it is an interpreter of this process: the list is read as it may be gone, too. */
static int is_interpreter(const PyInterpreterState *wanted)
{
	PyInterpreterState *const main = PyInterpreterState_Main();
	PyInterpreterState *at = __atomic_load_n(&_PyRuntime.interpreters.head, __ATOMIC_ACQUIRE);

	if (wanted == main)
		return 1;
	for (int i = 0; i < INTERPRETERS && at != NULL && at != main; i++) {
		if (at == wanted)
			return 1;
		if (!read_memory((uintptr_t)at + offsetof(PyInterpreterState, next), &at, sizeof at))
			return 0;
	}
	return 0;
}

uint32_t tids_at(const PyThreadState *address)
{
	PyThreadState copy;
	uint32_t tid = 0;

	if (address == NULL || !read_memory((uintptr_t)address, &copy, sizeof copy))
		return 0;
	if (!is_interpreter(copy.interp))
		return 0;
	tid = compat_native_tid(&copy);
	return tid != 0 ? tid : tids_of_ident(copy.thread_id);
}
