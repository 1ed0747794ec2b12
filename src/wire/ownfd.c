/*
 * ownfd.c: which fds are ours, by the identity of their files. What is done with them is their
 * owners' business.
 *
 * The table of all of them is for ownfd_close_all alone, which must work in a child that was forked
 * at any moment: atomics, no locks, and memory that is never given back.
 */
#include "ownfd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "error.h"

#define CHUNK 64
#define HIGH 512 /* not higher: the kernel keeps, and copies at a fork, a table up to the highest */

enum { SLOT_FREE = 0, SLOT_TAKEN = 1, SLOT_SET = 2 };

struct slot {
	atomic_int state; /* SLOT_SET: o is whole */
	struct ownfd o;
};

struct chunk {
	_Atomic(struct chunk *) next;
	struct slot slots[CHUNK];
};

static struct chunk first;

static struct slot *take_slot(struct chunk *c)
{
	for (size_t i = 0; i < CHUNK; i++) {
		int state = SLOT_FREE;

		if (atomic_compare_exchange_strong(&c->slots[i].state, &state, SLOT_TAKEN))
			return &c->slots[i];
	}
	return NULL;
}

/* The chunk behind c, made if need be; NULL without memory. */
static struct chunk *next_chunk(struct chunk *c)
{
	struct chunk *next = atomic_load(&c->next);
	struct chunk *made;

	if (next != NULL)
		return next;
	made = calloc(1, sizeof(*made));
	if (made != NULL && !atomic_compare_exchange_strong(&c->next, &next, made)) {
		free(made);
		return next; /* another thread was first */
	}
	return made;
}

int ownfd_raise(int fd)
{
	int sys = errno;
	int high = fcntl(fd, F_DUPFD_CLOEXEC, HIGH);
	struct stat low, same;

	errno = sys;
	if (high < 0)
		return fd;
	if (fstat(fd, &low) == 0 && fstat(high, &same) == 0 && low.st_dev == same.st_dev &&
		low.st_ino == same.st_ino)
		close(fd);
	return high;
}

int ownfd_take(struct ownfd *o, int fd)
{
	struct slot *s = NULL;
	struct stat st;

	*o = (struct ownfd){.fd = -1};
	if (fstat(fd, &st) != 0)
		return PYSTUCK_ESYS;
	for (struct chunk *c = &first; s == NULL; c = next_chunk(c)) {
		if (c == NULL)
			return PYSTUCK_ENOMEM;
		s = take_slot(c);
	}
	*o = (struct ownfd){
		.fd = fd, .device = st.st_dev, .inode = st.st_ino, .slot = s};
	s->o = *o;
	atomic_store(&s->state, SLOT_SET);
	return 0;
}

int ownfd_is(const struct ownfd *o)
{
	struct stat st;
	int sys = errno;
	int same;

	if (o->fd < 0)
		return 0;
	same = fstat(o->fd, &st) == 0 && st.st_dev == o->device && st.st_ino == o->inode;
	errno = sys;
	return same;
}

static int is_same(const struct ownfd *a, const struct ownfd *b)
{
	return a->fd == b->fd && a->device == b->device && a->inode == b->inode;
}

/* In a forked child the slot may be another's by now: they were all given back at the fork. */
static void give_slot(const struct ownfd *o)
{
	struct slot *s = o->slot;

	if (s != NULL && atomic_load(&s->state) == SLOT_SET && is_same(&s->o, o))
		atomic_store(&s->state, SLOT_FREE);
}

int ownfd_drop(struct ownfd *o)
{
	int ours = ownfd_is(o);

	give_slot(o);
	*o = (struct ownfd){.fd = -1};
	return ours;
}

void ownfd_close(struct ownfd *o)
{
	int fd = o->fd;

	if (ownfd_drop(o))
		close(fd);
}

void ownfd_close_all(void)
{
	for (struct chunk *c = &first; c != NULL; c = atomic_load(&c->next))
		for (size_t i = 0; i < CHUNK; i++) {
			struct slot *s = &c->slots[i];

			if (atomic_load(&s->state) == SLOT_SET && ownfd_is(&s->o))
				close(s->o.fd);
			atomic_store(&s->state, SLOT_FREE);
		}
}
