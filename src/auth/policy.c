/*
 * policy.c: identity + rules -> role: a pure function over a small table, default deny. The
 * system's users and groups are looked up when a rule is added, never when somebody connects.
 */
#include "policy.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>

#define LOOKUP_START 1024u        /* bytes for one entry of the user or group database */
#define LOOKUP_MAX (1024u * 1024) /* a group with this many members is not looked up */
#define KEY_PREFIX "key:"
#define KEY_CHARS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"

void policy_init(struct policy *p, uid_t server_uid, uid_t overflow_uid)
{
	memset(p, 0, sizeof(*p));
	p->server_uid = server_uid;
	p->overflow_uid = overflow_uid;
	p->ceiling = ROLE_EVAL;
}

static enum role cap(const struct policy *p, enum role role)
{
	return role < p->ceiling ? role : p->ceiling;
}

static int in_group(const struct peercred *who, gid_t gid)
{
	if (gid == (gid_t)-1)
		return 0;
	if (who->gid == gid)
		return 1;
	for (size_t i = 0; i < who->group_count; i++) {
		if (who->groups[i] == gid)
			return 1;
	}
	return 0;
}

enum role policy_user_uncapped(const struct policy *p, const struct peercred *who)
{
	enum role best = ROLE_NONE;
	int matched = 0;

	if (who->uid == (uid_t)-1)
		return ROLE_NONE;
	for (size_t i = 0; i < p->count; i++) {
		const struct policy_rule *r = &p->rules[i];

		if (r->subject == POLICY_USER && r->uid == who->uid)
			return r->role;
	}
	/* Whoever has no name here could be anybody: their groups and the default do not count
	 * either. */
	if (who->uid == p->overflow_uid)
		return ROLE_NONE;
	for (size_t i = 0; i < p->count; i++) {
		const struct policy_rule *r = &p->rules[i];

		if (r->subject == POLICY_GROUP && in_group(who, r->gid)) {
			matched = 1;
			if (r->role > best)
				best = r->role;
		}
	}
	if (matched)
		return best;
	return who->uid == p->server_uid || who->uid == 0 ? ROLE_EVAL : ROLE_NONE;
}

enum role policy_user(const struct policy *p, const struct peercred *who)
{
	return cap(p, policy_user_uncapped(p, who));
}

static enum role rules_for_key(const struct policy *p, const char *key_name)
{
	int any = 0;

	for (size_t i = 0; i < p->count; i++) {
		const struct policy_rule *r = &p->rules[i];

		if (r->subject != POLICY_KEY)
			continue;
		if (strcmp(r->key, key_name) == 0)
			return r->role;
		any = 1;
	}
	return any ? ROLE_NONE : ROLE_EVAL;
}

enum role policy_key_uncapped(const struct policy *p, const char *key_name, enum role most)
{
	enum role role = rules_for_key(p, key_name);

	return role < most ? role : most;
}

enum role policy_key(const struct policy *p, const char *key_name, enum role most)
{
	return cap(p, policy_key_uncapped(p, key_name, most));
}

int policy_check(const struct policy *p, struct diag *d)
{
	unsigned long uid = (unsigned long)p->server_uid;

	if (p->server_uid != p->overflow_uid)
		return 0;
	for (size_t i = 0; i < p->count; i++) {
		if (p->rules[i].subject != POLICY_KEY)
			return 0;
	}
	return diag_set(d, PYSTUCK_EINVAL, 0,
		"this program runs as uid %lu, as which the kernel shows users without a name here, "
		"too, so its own user is not let in by default; say who may come: "
		"allow={%lu: \"eval\"}",
		uid, uid);
}

int policy_names_others(const struct policy *p)
{
	for (size_t i = 0; i < p->count; i++) {
		const struct policy_rule *r = &p->rules[i];

		if (r->role == ROLE_NONE)
			continue;
		if (r->subject == POLICY_GROUP)
			return 1;
		if (r->subject == POLICY_USER && r->uid != p->server_uid && r->uid != 0)
			return 1;
	}
	return 0;
}

static int all_digits(const char *text)
{
	return text[0] != '\0' && text[strspn(text, "0123456789")] == '\0';
}

/* A uid or gid in digits. The largest 32-bit number means "none" to the kernel and is refused. */
static int parse_id(const char *digits, const char *subject, uint32_t *out, struct diag *d)
{
	uint64_t value = 0;

	for (; *digits != '\0' && value < UINT32_MAX; digits++)
		value = value * 10 + (uint64_t)(*digits - '0');
	if (value >= UINT32_MAX)
		return diag_set(d, PYSTUCK_EINVAL, 0,
			"rule for \"%s\": no user or group has a number that large", subject);
	*out = (uint32_t)value;
	return 0;
}

/* One answer of getpwnam_r or getgrnam_r, whose result is the number alone. 1 found, 0 no such
 * name, or the errno negated. */
static int lookup_once(const char *name, int group, uint32_t *id, char *space, size_t size)
{
	int rc;

	if (group) {
		struct group entry, *found = NULL;

		rc = getgrnam_r(name, &entry, space, size, &found);
		if (found != NULL)
			*id = found->gr_gid;
		return found != NULL ? 1 : -rc;
	}
	struct passwd entry, *found = NULL;

	rc = getpwnam_r(name, &entry, space, size, &found);
	if (found != NULL)
		*id = found->pw_uid;
	return found != NULL ? 1 : -rc;
}

/* Several systems report a missing name as an error of their own choice. */
static int means_missing(int sys)
{
	return sys == 0 || sys == ENOENT || sys == ESRCH || sys == EBADF || sys == EPERM;
}

static int lookup(const char *name, int group, uint32_t *id, struct diag *d)
{
	const char *what = group ? "group" : "user";
	char *space = NULL;
	int found = -ERANGE;

	for (size_t size = LOOKUP_START; found == -ERANGE && size <= LOOKUP_MAX; size *= 2) {
		free(space);
		space = malloc(size);
		if (space == NULL)
			return diag_set(d, PYSTUCK_ENOMEM, 0, "out of memory looking up %s \"%s\"",
				what, name);
		found = lookup_once(name, group, id, space, size);
	}
	free(space);
	if (found == 1)
		return 0;
	if (means_missing(-found))
		return diag_set(d, PYSTUCK_EINVAL, 0,
			"there is no %s \"%s\" on this system; give a name from %s, or a number",
			what, name, group ? "getent group" : "getent passwd");
	errno = -found;
	return diag_set(d, PYSTUCK_EINVAL, 0, "%s \"%s\" could not be looked up: %m", what, name);
}

static int name_or_number(
	const char *name, const char *subject, int group, uint32_t *id, struct diag *d)
{
	if (name[0] == '\0')
		return diag_set(d, PYSTUCK_EINVAL, 0,
			"rule for \"%s\": the name is empty; write \"alice\", \"@group\" or "
			"\"key:name\"",
			subject);
	if (all_digits(name))
		return parse_id(name, subject, id, d);
	return lookup(name, group, id, d);
}

static int parse_key(struct policy_rule *r, const char *name, struct diag *d)
{
	size_t len = strlen(name);

	if (len == 0 || len > KEY_NAME_MAX || strspn(name, KEY_CHARS) != len)
		return diag_set(d, PYSTUCK_EINVAL, 0,
			"rule for \"" KEY_PREFIX "%s\": a key's name is 1 to %d characters of "
			"A-Z a-z 0-9 . _ -",
			name, KEY_NAME_MAX);
	memcpy(r->key, name, len + 1);
	r->subject = POLICY_KEY;
	return 0;
}

static int parse_subject(struct policy_rule *r, const char *subject, struct diag *d)
{
	uint32_t id = 0;
	int rc;

	if (strncmp(subject, KEY_PREFIX, strlen(KEY_PREFIX)) == 0)
		return parse_key(r, subject + strlen(KEY_PREFIX), d);
	if (subject[0] == '@') {
		rc = name_or_number(subject + 1, subject, 1, &id, d);
		r->subject = POLICY_GROUP;
		r->gid = id;
		return rc;
	}
	rc = name_or_number(subject, subject, 0, &id, d);
	r->subject = POLICY_USER;
	r->uid = id;
	return rc;
}

static int same_subject(const struct policy_rule *a, const struct policy_rule *b)
{
	if (a->subject != b->subject)
		return 0;
	switch (a->subject) {
	case POLICY_USER:
		return a->uid == b->uid;
	case POLICY_GROUP:
		return a->gid == b->gid;
	case POLICY_KEY:
		return strcmp(a->key, b->key) == 0;
	}
	return 0;
}

/* `subject` is the rule as it was written, for the messages. */
static int add_rule(struct policy *p, struct policy_rule *r, const char *subject, const char *role,
	struct diag *d)
{
	int parsed = role == NULL ? PYSTUCK_EINVAL : role_parse(role);

	if (parsed < 0)
		return diag_set(d, PYSTUCK_EINVAL, 0,
			"rule for \"%s\": \"%s\" is no role; the roles are \"stacks\", \"locals\" "
			"and \"eval\"",
			subject, role == NULL ? "" : role);
	r->role = (enum role)parsed;
	for (size_t i = 0; i < p->count; i++) {
		if (same_subject(&p->rules[i], r))
			return diag_set(d, PYSTUCK_EINVAL, 0,
				"rule for \"%s\": there is a rule for the same user, group or key "
				"already; keep one",
				subject);
	}
	if (p->count == POLICY_RULES_MAX)
		return diag_set(d, PYSTUCK_ETOOBIG, 0,
			"rule for \"%s\": %d rules are the most there can be; use groups", subject,
			POLICY_RULES_MAX);
	p->rules[p->count++] = *r;
	return 0;
}

int policy_add(struct policy *p, const char *subject, const char *role, struct diag *d)
{
	struct policy_rule r = {.uid = (uid_t)-1, .gid = (gid_t)-1, .role = ROLE_NONE};
	int rc;

	if (subject == NULL)
		return diag_set(d, PYSTUCK_EINVAL, 0, "a rule needs a user, a group or a key");
	rc = parse_subject(&r, subject, d);
	if (rc != 0)
		return rc;
	return add_rule(p, &r, subject, role, d);
}

int policy_add_uid(struct policy *p, uid_t uid, const char *role, struct diag *d)
{
	struct policy_rule r = {
		.subject = POLICY_USER, .uid = uid, .gid = (gid_t)-1, .role = ROLE_NONE};
	char text[16];
	size_t at = sizeof(text) - 1;
	uint32_t left = uid;

	text[at] = '\0';
	do {
		text[--at] = (char)('0' + left % 10);
		left /= 10;
	} while (left > 0);
	if (uid == (uid_t)-1)
		return diag_set(d, PYSTUCK_EINVAL, 0, "rule for uid %s: that number means nobody",
			text + at);
	return add_rule(p, &r, text + at, role, d);
}
