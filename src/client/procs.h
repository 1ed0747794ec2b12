/*
 * procs.h: what /proc says of other processes: which unit of systemd they belong to, and what they
 * are called here when they call themselves by another number. Sockets are places.c's.
 */
#ifndef PYSTUCK_CLIENT_PROCS_H
#define PYSTUCK_CLIENT_PROCS_H

#include <sys/types.h>

#include "error.h"

#define PROCS_UNIT 256 /* bytes of a unit's name with its NUL: systemd's own limit */

/* Process ids. All zeros is an empty one. */
struct procs {
	pid_t *at;
	size_t count, room;
};

void procs_free(struct procs *p);
int procs_has(const struct procs *p, pid_t pid);
/* 0 or PYSTUCK_ENOMEM. */
int procs_add(struct procs *p, pid_t pid);

/*
 * The full name of the unit that a person means: "app" is app.service, "app@" all instances of
 * app@.service. 0, or PYSTUCK_EINVAL for what is no name, and for units that have no processes.
 */
int procs_unit_name(char name[static PROCS_UNIT], const char *word, struct diag *d);

/*
 * From one path of /proc/PID/cgroup: the unit of the system's manager that the process is in, and
 * the one of `uid`'s own manager ("" each when there is none). What lies further down in either was
 * made by the service itself and names nothing.
 */
void procs_path_units(
	char system[static PROCS_UNIT], char own[static PROCS_UNIT], const char *path, uid_t uid);

/* Is `unit` the one of that name (from procs_unit_name), or an instance of that template? */
int procs_unit_is(const char *unit, const char *name);

/*
 * The unit of a process for a table: the service, also the one of the user's own manager; "" where
 * there is none, and for a login.
 */
void procs_unit_of(char unit[static PROCS_UNIT], pid_t pid);

/* The processes of a unit of the system, or of the user's own manager. 0, also for none, or
 * PYSTUCK_ENOMEM. */
int procs_of_unit(struct procs *p, const char *name);

/* The process that made it, or that has it now; 0 when it can't be known. */
pid_t procs_parent(pid_t pid);
/* A process and all that descend from it, parents first. 0 or PYSTUCK_ENOMEM. */
int procs_family(struct procs *p, pid_t root);

/*
 * A server that is process `listener` here says that it is process `told`: which one is that here?
 * The numbers differ in a container. 0 when it can't be known.
 */
pid_t procs_here(pid_t listener, pid_t told);

#endif
