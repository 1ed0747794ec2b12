/*
 * fuzz_policy.c: rules as people write them, then questions. Each line of the input is a subject, a
 * tab and a role. The system's users and groups are played here.
 *
 * LINK: -Wl,--wrap=getpwnam_r -Wl,--wrap=getgrnam_r
 */
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int __wrap_getpwnam_r(
	const char *name, struct passwd *pw, char *space, size_t size, struct passwd **found);
int __wrap_getgrnam_r(
	const char *name, struct group *gr, char *space, size_t size, struct group **found);

#define LINE_MAX_BYTES 256
#define SERVER 1000
#define OVERFLOW_UID 65534

static void require(int what)
{
	if (!what)
		abort();
}

/* Names that begin with 'h' are huge, 'e' an error, 'u' unknown; others have a number of their own.
 */
static int play(const char *name, size_t size, uint32_t *id)
{
	require(name[0] != '\0' && size >= 1024);
	if (name[0] == 'h' && size < 65536)
		return ERANGE;
	if (name[0] == 'H')
		return ERANGE;
	if (name[0] == 'e')
		return EIO;
	*id = 2000 + (uint8_t)name[0];
	return 0;
}

int __wrap_getpwnam_r(
	const char *name, struct passwd *pw, char *space, size_t size, struct passwd **found)
{
	uint32_t id = 0;
	int rc = play(name, size, &id);

	memset(space, 0, size);
	pw->pw_uid = id;
	*found = rc == 0 && name[0] != 'u' ? pw : NULL;
	return rc;
}

int __wrap_getgrnam_r(
	const char *name, struct group *gr, char *space, size_t size, struct group **found)
{
	uint32_t id = 0;
	int rc = play(name, size, &id);

	memset(space, 0, size);
	gr->gr_gid = id;
	*found = rc == 0 && name[0] != 'u' ? gr : NULL;
	return rc;
}

static void add_line(struct policy *p, char *line)
{
	char *tab = strchr(line, '\t');
	size_t before = p->count;
	struct diag d = {0};
	int rc;

	if (tab != NULL)
		*tab = '\0';
	rc = policy_add(p, line, tab != NULL ? tab + 1 : NULL, &d);
	require(rc == 0 ? p->count == before + 1 : p->count == before);
	require(rc == d.code && (rc == 0) == (d.text[0] == '\0'));
	require(p->count <= POLICY_RULES_MAX);
	for (const char *c = d.text; *c != '\0'; c++)
		require((unsigned char)*c >= 0x20 && *c != 0x7f);
	if (rc != 0)
		return;
	/* Once more is once too often. */
	require(policy_add(p, line, tab + 1, &d) < 0);
	require(p->rules[before].uid != (uid_t)-1 || p->rules[before].subject != POLICY_USER);
	require(strlen(p->rules[before].key) <= KEY_NAME_MAX);
}

static int has_rule(const struct policy *p, enum policy_subject subject, uint32_t id)
{
	for (size_t i = 0; i < p->count; i++) {
		const struct policy_rule *r = &p->rules[i];

		if (r->subject == subject &&
			(subject == POLICY_USER ? r->uid == id
						: subject != POLICY_GROUP || r->gid == id))
			return 1;
	}
	return 0;
}

static void ask(const struct policy *p, uint32_t uid, uint32_t gid)
{
	gid_t groups[1] = {gid};
	struct peercred who = {.uid = uid, .gid = 1, .groups = groups, .group_count = 1};
	enum role role = policy_user(p, &who);

	require(role >= ROLE_NONE && role <= p->ceiling);
	require(role == policy_user_uncapped(p, &who) ||
		p->ceiling < policy_user_uncapped(p, &who));
	if (has_rule(p, POLICY_USER, uid))
		return;
	if (uid == (uid_t)-1 || uid == OVERFLOW_UID)
		require(role == ROLE_NONE);
	else if (!has_rule(p, POLICY_GROUP, gid) && !has_rule(p, POLICY_GROUP, 1))
		require(role == (uid == 0 || uid == SERVER ? p->ceiling : ROLE_NONE));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct policy p;
	char line[LINE_MAX_BYTES];

	policy_init(&p, SERVER, OVERFLOW_UID);
	if (size > 0 && data[0] % 2 == 1)
		p.ceiling = ROLE_LOCALS;
	while (size > 0) {
		const uint8_t *end = memchr(data, '\n', size);
		size_t len = end != NULL ? (size_t)(end - data) : size;
		size_t kept = len < sizeof(line) ? len : sizeof(line) - 1;

		memcpy(line, data, kept);
		line[kept] = '\0';
		add_line(&p, line);
		data += len;
		size -= len;
		if (size > 0) {
			data++;
			size--;
		}
	}
	for (uint32_t i = 0; i < 300; i++)
		ask(&p, 1950 + i, 2300 - i);
	ask(&p, 0, 0);
	ask(&p, SERVER, SERVER);
	ask(&p, OVERFLOW_UID, 2097);
	ask(&p, (uint32_t)-1, 2097);
	require(policy_key(&p, "ci", ROLE_EVAL) == p.ceiling || has_rule(&p, POLICY_KEY, 0));
	(void)policy_names_others(&p);
	return 0;
}
