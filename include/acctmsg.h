/*
 * acctmsg.h: what a server and the helper pystuck-pam say to each other about one account check: a request, then an answer,
 * over a stream socket. Each side shuts down its writing after its message, so that the end of input is the end of the message:
 * a cut one and one with something behind it are both refused. docs/PROTOCOL.md has the bytes.
 */
#ifndef PYSTUCK_ACCTMSG_H
#define PYSTUCK_ACCTMSG_H

#include <stdint.h>

#include "buf.h"

#define ACCTMSG_VERSION 1

#define ACCTMSG_NAME_MAX 64	/* bytes of a user's name */
#define ACCTMSG_FROM_MAX 64	/* bytes of a numeric address */
#define ACCTMSG_TEXT_MAX 255	/* bytes of the sentence in an answer */

#define ACCTMSG_REQUEST_MAX (1 + 1 + 4 + 4 + ACCTMSG_NAME_MAX + 4 + ACCTMSG_FROM_MAX)
#define ACCTMSG_ANSWER_MAX (1 + 4 + 4 + ACCTMSG_TEXT_MAX)

#define ACCTMSG_SUCCESS 0	/* PAM_SUCCESS, the only code that lets anybody in */

enum acctmsg_by {
	ACCTMSG_UID = 1,	/* the kernel's word: the helper looks up the name */
	ACCTMSG_NAME = 2,	/* the name of a key */
};

struct acctmsg_request {
	uint8_t by;		/* enum acctmsg_by */
	uint32_t uid;		/* ACCTMSG_UID; else UINT32_MAX */
	char name[ACCTMSG_NAME_MAX + 1];	/* ACCTMSG_NAME: A-Z a-z 0-9 . _ -, no "-" in front; else "" */
	char from[ACCTMSG_FROM_MAX + 1];	/* numeric address of the client on TCP; "" on a Unix socket */
};

struct acctmsg_answer {
	uint32_t code;		/* of PAM */
	char text[ACCTMSG_TEXT_MAX + 1];	/* what PAM calls it; made safe for a terminal */
};

/* Appends the whole message. 0, PYSTUCK_EINVAL (a field that is not as above), PYSTUCK_ETOOBIG, PYSTUCK_ENOMEM. */
int acctmsg_put_request(struct buf *b, const struct acctmsg_request *r);
int acctmsg_put_answer(struct buf *b, const struct acctmsg_answer *a);	/* cuts the text where it is too long */

/* Reads one whole message. 0, or PYSTUCK_EFORMAT with everything zero. */
int acctmsg_get_request(struct acctmsg_request *r, struct span bytes);
int acctmsg_get_answer(struct acctmsg_answer *a, struct span bytes);

#endif
