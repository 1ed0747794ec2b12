/*
 * test_policy.c: identity + rules -> role. The numbers are made up; names are looked up only where
 * a test says so.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "policy.h"

#define SERVER 1000
#define OVERFLOW 65534

static struct policy p;
static struct diag d;

static int setup(void **state)
{
	(void)state;
	policy_init(&p, SERVER, OVERFLOW);
	memset(&d, 0, sizeof(d));
	return 0;
}

static enum role role_of(uid_t uid, gid_t gid, gid_t *groups, size_t count)
{
	struct peercred who = {.uid = uid, .gid = gid, .groups = groups, .group_count = count};

	return policy_user(&p, &who);
}

static enum role role_of_uid(uid_t uid)
{
	return role_of(uid, 7777, NULL, 0);
}

static void add(const char *subject, const char *role)
{
	assert_int_equal(policy_add(&p, subject, role, &d), 0);
}

static void assert_refused(const char *subject, const char *role, int code, const char *says)
{
	size_t before = p.count;

	memset(&d, 0, sizeof(d));
	assert_int_equal(policy_add(&p, subject, role, &d), code);
	assert_int_equal(d.code, code);
	if (strstr(d.text, says) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", d.text, says);
	assert_int_equal(p.count, before);
}

static void test_policy_default_is_the_servers_uid_and_root_alone(void **state)
{
	(void)state;
	assert_int_equal(role_of_uid(SERVER), ROLE_EVAL);
	assert_int_equal(role_of_uid(0), ROLE_EVAL);
	assert_int_equal(role_of_uid(1001), ROLE_NONE);
	assert_int_equal(role_of(1001, SERVER, NULL, 0), ROLE_NONE);
	assert_int_equal(role_of(1001, 0, NULL, 0), ROLE_NONE);
}

static void test_policy_a_rule_for_a_uid_counts_for_that_uid(void **state)
{
	(void)state;
	add("1001", "stacks");
	add("1002", "locals");
	assert_int_equal(policy_add_uid(&p, 1003, "eval", &d), 0);
	assert_int_equal(role_of_uid(1001), ROLE_STACKS);
	assert_int_equal(role_of_uid(1002), ROLE_LOCALS);
	assert_int_equal(role_of_uid(1003), ROLE_EVAL);
	assert_int_equal(role_of_uid(1004), ROLE_NONE);
	assert_int_equal(role_of_uid(SERVER), ROLE_EVAL);
}

static void test_policy_a_rule_can_lower_root_and_the_server_itself(void **state)
{
	(void)state;
	add("0", "stacks");
	add("1000", "none");
	assert_int_equal(role_of_uid(0), ROLE_STACKS);
	assert_int_equal(role_of_uid(SERVER), ROLE_NONE);
}

static void test_policy_the_uid_counts_before_its_groups(void **state)
{
	gid_t groups[] = {50};

	(void)state;
	add("@50", "eval");
	add("1001", "stacks");
	assert_int_equal(role_of(1001, 50, groups, 1), ROLE_STACKS);
	assert_int_equal(role_of(1002, 50, NULL, 0), ROLE_EVAL);
}

static void test_policy_the_highest_of_the_groups_counts(void **state)
{
	gid_t groups[] = {40, 50, 60};

	(void)state;
	add("@40", "stacks");
	add("@60", "locals");
	add("@70", "eval");
	assert_int_equal(role_of(1001, 1, groups, 3), ROLE_LOCALS);
	assert_int_equal(role_of(1001, 40, NULL, 0), ROLE_STACKS);
	assert_int_equal(role_of(1001, 70, groups, 3), ROLE_EVAL);
	assert_int_equal(role_of(1001, 1, NULL, 0), ROLE_NONE);
}

static void test_policy_a_rule_for_a_group_of_the_server_counts_before_the_default(void **state)
{
	(void)state;
	add("@50", "stacks");
	assert_int_equal(role_of(SERVER, 50, NULL, 0), ROLE_STACKS);
	assert_int_equal(role_of(0, 50, NULL, 0), ROLE_STACKS);
	assert_int_equal(role_of(SERVER, 51, NULL, 0), ROLE_EVAL);
}

static void test_policy_uid_minus_one_matches_nothing(void **state)
{
	gid_t groups[] = {50};

	(void)state;
	add("@50", "eval");
	policy_init(&p, (uid_t)-1, OVERFLOW);
	assert_int_equal(role_of((uid_t)-1, (gid_t)-1, NULL, 0), ROLE_NONE);
	add("@50", "eval");
	assert_int_equal(role_of((uid_t)-1, 50, groups, 1), ROLE_NONE);
}

static void test_policy_the_overflow_uid_needs_a_rule_of_its_own(void **state)
{
	gid_t groups[] = {50};

	(void)state;
	policy_init(&p, OVERFLOW, OVERFLOW);
	assert_int_equal(role_of_uid(OVERFLOW), ROLE_NONE);
	add("@50", "eval");
	assert_int_equal(role_of(OVERFLOW, 50, groups, 1), ROLE_NONE);
	add("65534", "stacks");
	assert_int_equal(role_of(OVERFLOW, 50, groups, 1), ROLE_STACKS);
	/* Root may be the overflow uid too, where no uid is mapped. */
	policy_init(&p, SERVER, 0);
	assert_int_equal(role_of_uid(0), ROLE_NONE);
}

static void test_policy_a_server_of_the_overflow_uid_needs_rules(void **state)
{
	(void)state;
	assert_int_equal(policy_check(&p, &d), 0);
	policy_init(&p, OVERFLOW, OVERFLOW);
	assert_int_equal(policy_check(&p, &d), PYSTUCK_EINVAL);
	assert_non_null(strstr(d.text, "allow={65534: \"eval\"}"));
	add("key:ci", "eval");
	assert_int_equal(policy_check(&p, &d), PYSTUCK_EINVAL);
	add("65534", "eval");
	assert_int_equal(policy_check(&p, &d), 0);
	assert_int_equal(role_of_uid(OVERFLOW), ROLE_EVAL);
	policy_init(&p, OVERFLOW, OVERFLOW);
	add("@50", "stacks");
	assert_int_equal(policy_check(&p, &d), 0);
}

static void test_policy_gid_minus_one_matches_nothing(void **state)
{
	(void)state;
	p.rules[0] =
		(struct policy_rule){.subject = POLICY_GROUP, .gid = (gid_t)-1, .role = ROLE_EVAL};
	p.count = 1;
	assert_int_equal(role_of(1001, (gid_t)-1, NULL, 0), ROLE_NONE);
}

static void test_policy_no_client_gets_more_than_the_ceiling(void **state)
{
	struct peercred who = {.uid = SERVER, .gid = 1};

	(void)state;
	p.ceiling = ROLE_LOCALS;
	add("1001", "stacks");
	assert_int_equal(role_of_uid(SERVER), ROLE_LOCALS);
	assert_int_equal(role_of_uid(1001), ROLE_STACKS);
	assert_int_equal(policy_key(&p, "ci", ROLE_EVAL), ROLE_LOCALS);
	assert_int_equal(policy_user_uncapped(&p, &who), ROLE_EVAL);
	assert_int_equal(policy_key_uncapped(&p, "ci", ROLE_EVAL), ROLE_EVAL);
}

static void test_policy_without_rules_for_keys_each_key_may_do_everything(void **state)
{
	(void)state;
	assert_int_equal(policy_key(&p, "ci", ROLE_EVAL), ROLE_EVAL);
	add("1001", "stacks");
	add("@50", "stacks");
	assert_int_equal(policy_key(&p, "ci", ROLE_EVAL), ROLE_EVAL);
}

static void test_policy_with_a_rule_for_one_key_the_others_may_do_nothing(void **state)
{
	(void)state;
	add("key:ci", "stacks");
	assert_int_equal(policy_key(&p, "ci", ROLE_EVAL), ROLE_STACKS);
	assert_int_equal(policy_key(&p, "c", ROLE_EVAL), ROLE_NONE);
	assert_int_equal(policy_key(&p, "ci2", ROLE_EVAL), ROLE_NONE);
	assert_int_equal(policy_key(&p, "", ROLE_EVAL), ROLE_NONE);
}

static void test_policy_a_key_gets_the_lower_of_its_rule_and_its_line(void **state)
{
	(void)state;
	for (int line = ROLE_NONE; line <= ROLE_EVAL; line++) {
		policy_init(&p, SERVER, OVERFLOW);
		assert_int_equal(policy_key(&p, "ci", (enum role)line), line);
		for (int rule = ROLE_NONE; rule <= ROLE_EVAL; rule++) {
			policy_init(&p, SERVER, OVERFLOW);
			add("key:ci", role_name(rule));
			assert_int_equal(policy_key(&p, "ci", (enum role)line),
				rule < line ? rule : line);
			/* A line gives nothing to a key that the rules pass over. */
			assert_int_equal(policy_key(&p, "other", (enum role)line), ROLE_NONE);
			p.ceiling = ROLE_LOCALS;
			assert_true(policy_key(&p, "ci", (enum role)line) <= ROLE_LOCALS);
			assert_int_equal(policy_key_uncapped(&p, "ci", (enum role)line),
				rule < line ? rule : line);
		}
	}
}

static void test_policy_a_user_is_no_key_and_a_key_no_user(void **state)
{
	(void)state;
	add("key:1001", "eval");
	assert_int_equal(role_of_uid(1001), ROLE_NONE);
	add("1002", "eval");
	assert_int_equal(policy_key(&p, "1002", ROLE_EVAL), ROLE_NONE);
}

static void test_policy_names_others_is_about_users_and_groups_with_a_role(void **state)
{
	(void)state;
	assert_int_equal(policy_names_others(&p), 0);
	add("0", "stacks");
	add("1000", "stacks");
	add("key:ci", "eval");
	add("1001", "none");
	assert_int_equal(policy_names_others(&p), 0);
	add("1002", "stacks");
	assert_int_equal(policy_names_others(&p), 1);
	policy_init(&p, SERVER, OVERFLOW);
	add("@50", "stacks");
	assert_int_equal(policy_names_others(&p), 1);
}

static void test_policy_looks_up_the_names_of_users_and_groups(void **state)
{
	struct passwd *user = getpwnam("daemon");
	struct group *group;

	(void)state;
	if (user == NULL)
		skip();
	add("daemon", "stacks");
	assert_int_equal(p.rules[0].subject, POLICY_USER);
	assert_int_equal(p.rules[0].uid, user->pw_uid);
	group = getgrnam("daemon");
	if (group == NULL)
		skip();
	add("@daemon", "locals");
	assert_int_equal(p.rules[1].subject, POLICY_GROUP);
	assert_int_equal(p.rules[1].gid, group->gr_gid);
}

static void test_policy_add_refuses_who_does_not_exist(void **state)
{
	(void)state;
	assert_refused("nobody-of-this-name", "eval", PYSTUCK_EINVAL, "no user");
	assert_refused("@no-group-of-this-name", "eval", PYSTUCK_EINVAL, "no group");
}

static void test_policy_add_refuses_an_empty_name(void **state)
{
	(void)state;
	assert_refused("", "eval", PYSTUCK_EINVAL, "empty");
	assert_refused("@", "eval", PYSTUCK_EINVAL, "empty");
	assert_refused("key:", "eval", PYSTUCK_EINVAL, "1 to 32");
	assert_refused(NULL, "eval", PYSTUCK_EINVAL, "needs");
}

static void test_policy_add_refuses_a_role_that_is_none(void **state)
{
	(void)state;
	assert_refused("1001", "root", PYSTUCK_EINVAL, "roles are");
	assert_refused("1001", "", PYSTUCK_EINVAL, "roles are");
	assert_refused("1001", "Eval", PYSTUCK_EINVAL, "roles are");
	assert_refused("1001", NULL, PYSTUCK_EINVAL, "roles are");
}

static void test_policy_add_refuses_numbers_that_mean_nobody(void **state)
{
	(void)state;
	assert_refused("4294967295", "eval", PYSTUCK_EINVAL, "number");
	assert_refused("@4294967295", "eval", PYSTUCK_EINVAL, "number");
	assert_refused("4294967296", "eval", PYSTUCK_EINVAL, "number");
	assert_refused("99999999999999999999999999", "eval", PYSTUCK_EINVAL, "number");
	assert_int_equal(policy_add_uid(&p, (uid_t)-1, "eval", &d), PYSTUCK_EINVAL);
	add("4294967294", "stacks");
	assert_int_equal(p.rules[0].uid, 4294967294u);
}

static void test_policy_add_refuses_key_names_that_no_key_can_have(void **state)
{
	(void)state;
	assert_refused("key:a b", "eval", PYSTUCK_EINVAL, "characters");
	assert_refused("key:a/b", "eval", PYSTUCK_EINVAL, "characters");
	assert_refused("key:123456789012345678901234567890123", "eval", PYSTUCK_EINVAL, "1 to 32");
	add("key:12345678901234567890123456789012", "eval");
}

static void test_policy_add_refuses_the_same_subject_twice(void **state)
{
	(void)state;
	add("1001", "stacks");
	add("@1001", "stacks");
	add("key:1001", "stacks");
	assert_refused("1001", "eval", PYSTUCK_EINVAL, "already");
	assert_refused("01001", "eval", PYSTUCK_EINVAL, "already");
	assert_refused("@1001", "eval", PYSTUCK_EINVAL, "already");
	assert_refused("key:1001", "stacks", PYSTUCK_EINVAL, "already");
	assert_int_equal(policy_add_uid(&p, 1001, "eval", &d), PYSTUCK_EINVAL);
	add("root", "stacks");
	assert_refused("0", "eval", PYSTUCK_EINVAL, "already");
}

static void test_policy_add_refuses_more_rules_than_the_table_holds(void **state)
{
	(void)state;
	for (uid_t i = 0; i < POLICY_RULES_MAX; i++)
		assert_int_equal(policy_add_uid(&p, 5000 + i, "stacks", &d), 0);
	assert_refused("1001", "eval", PYSTUCK_ETOOBIG, "64");
	assert_int_equal(role_of_uid(5000 + POLICY_RULES_MAX - 1), ROLE_STACKS);
}

static void test_policy_messages_hold_no_control_characters(void **state)
{
	(void)state;
	assert_int_equal(policy_add(&p, "a\x1b[31m\nb", "eval", &d), PYSTUCK_EINVAL);
	for (const char *c = d.text; *c != '\0'; c++)
		assert_true((unsigned char)*c >= 0x20 && *c != 0x7f);
}

#define T(f) cmocka_unit_test_setup(f, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_policy_default_is_the_servers_uid_and_root_alone),
		T(test_policy_a_rule_for_a_uid_counts_for_that_uid),
		T(test_policy_a_rule_can_lower_root_and_the_server_itself),
		T(test_policy_the_uid_counts_before_its_groups),
		T(test_policy_the_highest_of_the_groups_counts),
		T(test_policy_a_rule_for_a_group_of_the_server_counts_before_the_default),
		T(test_policy_uid_minus_one_matches_nothing),
		T(test_policy_the_overflow_uid_needs_a_rule_of_its_own),
		T(test_policy_a_server_of_the_overflow_uid_needs_rules),
		T(test_policy_gid_minus_one_matches_nothing),
		T(test_policy_no_client_gets_more_than_the_ceiling),
		T(test_policy_without_rules_for_keys_each_key_may_do_everything),
		T(test_policy_with_a_rule_for_one_key_the_others_may_do_nothing),
		T(test_policy_a_key_gets_the_lower_of_its_rule_and_its_line),
		T(test_policy_a_user_is_no_key_and_a_key_no_user),
		T(test_policy_names_others_is_about_users_and_groups_with_a_role),
		T(test_policy_looks_up_the_names_of_users_and_groups),
		T(test_policy_add_refuses_who_does_not_exist),
		T(test_policy_add_refuses_an_empty_name),
		T(test_policy_add_refuses_a_role_that_is_none),
		T(test_policy_add_refuses_numbers_that_mean_nobody),
		T(test_policy_add_refuses_key_names_that_no_key_can_have),
		T(test_policy_add_refuses_the_same_subject_twice),
		T(test_policy_add_refuses_more_rules_than_the_table_holds),
		T(test_policy_messages_hold_no_control_characters),
	};

	alarm(60);
	return cmocka_run_group_tests_name("policy", tests, NULL, NULL);
}
