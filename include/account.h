/*
 * account.h: asks PAM whether an account may come in now, without PAM in this process: the helper pystuck-pam does the check, and
 * only its word "success" lets anybody in. Whatever else happens is a refusal with a reason: another code, no helper, a crash, an
 * answer that is cut or too long. How long to wait is the caller's matter.
 *
 * Nothing here waits for the helper; starting one takes about a millisecond. One thread at a time for each check.
 */
#ifndef PYSTUCK_ACCOUNT_H
#define PYSTUCK_ACCOUNT_H

#include "acctmsg.h"
#include "error.h"

#define ACCOUNT_SOCKET "/run/pystuck-pam.sock"	/* where systemd listens for pystuck-pam.socket */

enum account_way {
	ACCOUNT_NONE = 0,	/* nobody is asked */
	ACCOUNT_BY_SOCKET,	/* root's helper, or whoever listens at `path` */
	ACCOUNT_BY_PROGRAM,	/* each check starts `path`, with the rights of this process */
};

struct account_helper {
	enum account_way way;
	char path[1024];
};

/*
 * Finds the helper: at `path` (absolute: its socket or its program), or with NULL ACCOUNT_SOCKET, else the installed program.
 * PYSTUCK_ENOENT: there is none; PYSTUCK_EUNSAFE: others could have changed the program; PYSTUCK_EINVAL.
 */
int account_find(struct account_helper *h, const char *path, struct diag *d);

struct account;

/* Asks. NULL: it could not be asked, and d says why: denied. */
struct account *account_start(
	const struct account_helper *h, const struct acctmsg_request *r, struct diag *d);
int account_fd(const struct account *a);	/* poll it for POLLIN, then call account_verdict */
/*
 * 0: the account may come in. PYSTUCK_EAGAIN: no verdict yet. PYSTUCK_EPERM: denied, d says why. Once there is a verdict it stays
 * the same.
 */
int account_verdict(struct account *a, struct diag *d);
/* Also before there is a verdict: the helper then ends by itself. NULL is fine. */
void account_free(struct account *a);

#endif
