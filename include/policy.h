/*
 * policy.h: identity + rules -> role. A pure function over a small table; default deny.
 *
 * Rules name a user, a group or a key. For a user of a Unix socket the most specific rule counts: one for the uid, else the
 * highest of those for the gid and the supplementary groups, else the default: the server's own uid and root have ROLE_EVAL,
 * everybody else ROLE_NONE. For a key: its rule; with no rule for any key at all, every key of the ring has ROLE_EVAL; else
 * ROLE_NONE; and never more than its line in the key file says (keyfile.h). Uid -1 and the overflow uid match no rule and no default by uid, except a rule that names the overflow uid.
 */
#ifndef PYSTUCK_POLICY_H
#define PYSTUCK_POLICY_H

#include <sys/types.h>

#include "error.h"
#include "keyfile.h"
#include "msg.h"
#include "peercred.h"

#define POLICY_RULES_MAX 64	/* held by value: a group says in one rule what many users have in common */

enum policy_subject { POLICY_USER, POLICY_GROUP, POLICY_KEY };

struct policy_rule {
	enum policy_subject subject;
	uid_t uid;
	gid_t gid;
	char key[KEY_NAME_MAX + 1];
	enum role role;
};

struct policy {
	uid_t server_uid;	/* effective uid of the server process */
	uid_t overflow_uid;
	enum role ceiling;	/* no client gets more: ROLE_EVAL, or ROLE_LOCALS for eval=False */
	size_t count;
	struct policy_rule rules[POLICY_RULES_MAX];
};

void policy_init(struct policy *p, uid_t server_uid, uid_t overflow_uid);
/*
 * Adds a rule written as a person writes it: "deploy" (user), "@ops" (group), "key:ci", "1000" (uid), "@50" (gid), with a role
 * name. Users and groups are looked up in the system's databases, now. PYSTUCK_EINVAL with a sentence: unknown user, group or
 * role, an empty name, the same subject twice; PYSTUCK_ETOOBIG: more than POLICY_RULES_MAX.
 */
int policy_add(struct policy *p, const char *subject, const char *role, struct diag *d);
int policy_add_uid(struct policy *p, uid_t uid, const char *role, struct diag *d);

enum role policy_user(const struct policy *p, const struct peercred *who);
/* `most` is keyring_role(). */
enum role policy_key(const struct policy *p, const char *key_name, enum role most);
/* The same without the ceiling: tells "your role is too low" from "this server has it switched off". */
enum role policy_user_uncapped(const struct policy *p, const struct peercred *who);
enum role policy_key_uncapped(const struct policy *p, const char *key_name, enum role most);
/*
 * 0 when a Unix socket may be served by these rules. PYSTUCK_EINVAL with a sentence when the server itself runs as the overflow
 * uid and no rule for a user or group says who may come: the kernel shows strangers without a name here as that uid, too, so
 * that even the server's own user is nobody by default.
 */
int policy_check(const struct policy *p, struct diag *d);
/* 1 when a rule lets in somebody besides the server's own uid and root: then a socket open to others makes sense. */
int policy_names_others(const struct policy *p);

#endif
