/*
 * peercred.c: who is at the other end of a Unix socket, by the kernel's word alone. What they may
 * do is policy.c's matter; /proc/PID is never asked, since a pid can be somebody else by now.
 */
#include "peercred.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "error.h"

#define OVERFLOW_UID_FILE "/proc/sys/kernel/overflowuid"
#define OVERFLOW_UID_DEFAULT 65534u

#ifndef SO_PEERGROUPS
#define SO_PEERGROUPS 59 /* Linux 4.13; missing from older headers */
#endif

/* The list is fixed when the peer connects, so the second try fits; one more for a kernel that
 * disagrees. */
#define GROUP_TRIES 3

void peercred_init(struct peercred *p)
{
	p->uid = (uid_t)-1;
	p->gid = (gid_t)-1;
	p->pid = 0;
	p->groups = NULL;
	p->group_count = 0;
}

void peercred_free(struct peercred *p)
{
	free(p->groups);
	peercred_init(p);
}

/* An option of a fixed size: an answer of another length is no answer. */
static int get_exact(int fd, int option, void *out, socklen_t size)
{
	socklen_t len = size;

	if (getsockopt(fd, SOL_SOCKET, option, out, &len) != 0)
		return PYSTUCK_ESYS;
	return len == size ? 0 : PYSTUCK_EFORMAT;
}

static int get_groups(int fd, struct peercred *p)
{
	gid_t *groups = NULL;
	socklen_t len = 0;
	int rc = PYSTUCK_ESYS;

	for (int i = 0; i < GROUP_TRIES; i++) {
		socklen_t had = len;

		if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len) == 0) {
			rc = len <= had && len % sizeof(gid_t) == 0 ? 0 : PYSTUCK_EFORMAT;
			break;
		}
		/* Too short: len now says how many bytes it takes. */
		if (errno != ERANGE)
			break;
		if (len <= had || len > PEERCRED_GROUPS_MAX * sizeof(gid_t)) {
			rc = PYSTUCK_ETOOBIG;
			break;
		}
		free(groups);
		groups = malloc(len);
		if (groups == NULL) {
			rc = PYSTUCK_ENOMEM;
			break;
		}
	}
	if (rc == 0) {
		p->groups = groups;
		p->group_count = len / sizeof(gid_t);
		groups = NULL;
	}
	free(groups);
	return rc;
}

int peercred_get(int fd, struct peercred *p)
{
	/* Preset to nobody: SO_PEERCRED "succeeds" on sockets that have no peer credentials. */
	struct ucred cred = {.pid = 0, .uid = (uid_t)-1, .gid = (gid_t)-1};
	int domain = -1;
	int rc;

	peercred_init(p);
	rc = get_exact(fd, SO_DOMAIN, &domain, sizeof(domain));
	if (rc != 0)
		return rc;
	if (domain != AF_UNIX)
		return PYSTUCK_EINVAL;
	rc = get_exact(fd, SO_PEERCRED, &cred, sizeof(cred));
	if (rc != 0)
		return rc;
	if (cred.uid == (uid_t)-1 || cred.gid == (gid_t)-1)
		return PYSTUCK_EAUTH;
	rc = get_groups(fd, p);
	if (rc != 0)
		return rc;
	p->uid = cred.uid;
	p->gid = cred.gid;
	p->pid = cred.pid;
	return 0;
}

uid_t peercred_overflow_uid(void)
{
	char text[16];
	unsigned long value = 0;
	ssize_t n = -1;
	int fd = open(OVERFLOW_UID_FILE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd >= 0) {
		n = read(fd, text, sizeof(text) - 1);
		close(fd);
	}
	for (ssize_t i = 0; i < n && text[i] >= '0' && text[i] <= '9'; i++)
		value = value * 10 + (unsigned long)(text[i] - '0');
	/* Nothing read, or nonsense: the kernel's own default. The file cannot hold more than
	 * 65535. */
	return value > 0 && value <= 65535 ? (uid_t)value : OVERFLOW_UID_DEFAULT;
}
