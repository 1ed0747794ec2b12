/*
 * peercred.h: who is at the other end of a Unix socket, by the kernel's word alone.
 */
#ifndef PYSTUCK_PEERCRED_H
#define PYSTUCK_PEERCRED_H

#include <sys/types.h>

#define PEERCRED_GROUPS_MAX 65536	/* the kernel's NGROUPS_MAX */

struct peercred {
	uid_t uid;		/* (uid_t)-1: unknown, matches nothing */
	gid_t gid;
	pid_t pid;		/* for logs only, never for a decision */
	gid_t *groups;		/* supplementary groups, malloc'd */
	size_t group_count;
};

void peercred_init(struct peercred *p);	/* unknown: uid -1 */
/*
 * Asks the kernel (SO_PEERCRED, SO_PEERGROUPS) right after accept or connect. 0; on any error a PYSTUCK_E* and *p unknown:
 * not AF_UNIX, a short answer, uid -1.
 */
int peercred_get(int fd, struct peercred *p);
void peercred_free(struct peercred *p);
/* The kernel's overflow uid (/proc/sys/kernel/overflowuid), 65534 where it cannot be read. */
uid_t peercred_overflow_uid(void);

#endif
