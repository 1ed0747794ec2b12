/*
 * test_faults_serve.c: a server on Unix sockets, from its start to the last client, with each
 * allocation and each system call failing once. Who is let in, what is logged and what is
 * evaluated never gets more by a fault.
 * SOURCES: tests/unit/faults.c
 * LINK: -Wl,@tests/unit/faults.wrap
 */
#include "faults_rig.h"

#include <grp.h>
#include <pwd.h>

#include "account.h"
#include "acctmsg.h"

static int listener = -1; /* of the helper */

/* ---- who comes and what they get ------------------------------------------------------------- */

static void unix_run(void)
{
	struct server_listener_options o = faults_options();
	struct got got = {0};

	if (faults_server() != 0)
		return;
	if (faults_listen(&o, "s") == 0) {
		got = converse(faults_dial("s", 0));
		if (faults_clean())
			HOLDS(got.welcome && got.dump && got.result && !got.denied);
		faults_over();
		got = converse(faults_dial("s", 0));
		HOLDS(got.welcome && got.dump && got.result && got.role == ROLE_EVAL);
	}
	faults_server_end();
}

static void test_faults_open_no_door_on_a_unix_socket(void **state)
{
	(void)state;
	faults_sweep(unix_run);
}

/* What a worker has to say of a request is an error alone: if there is no memory for that, then the end. */
static void error_run(void)
{
	struct server_listener_options o = faults_options();
	struct got got;

	if (faults_server() != 0)
		return;
	served.refuse = 1;
	if (faults_listen(&o, "s") == 0) {
		got = converse(faults_dial("s", 0));
		HOLDS(!got.dump && !got.result);
		HOLDS(got.denied || got.end);
		faults_over();
		got = converse(faults_dial("s", 0));
		HOLDS(got.welcome && !got.dump && got.denied);
	}
	faults_server_end();
}

static void test_faults_of_an_answer_end_the_session_and_not_in_silence(void **state)
{
	(void)state;
	faults_sweep(error_run);
}

static void denied_run(void)
{
	struct server_listener_options o = faults_options();
	struct got got;

	if (faults_server() != 0)
		return;
	/* The group would let us in; the rule for the user is the one that counts. */
	o.policy.rules[0] = (struct policy_rule){
		.subject = POLICY_USER, .uid = geteuid(), .gid = (gid_t)-1, .role = ROLE_NONE};
	o.policy.rules[1] = (struct policy_rule){
		.subject = POLICY_GROUP, .uid = (uid_t)-1, .gid = getegid(), .role = ROLE_EVAL};
	o.policy.count = 2;
	if (faults_listen(&o, "s") == 0) {
		for (int i = 0; i < 2; i++) {
			got = converse(faults_dial("s", 0));
			HOLDS(!got.welcome && !got.dump && !got.result && got.end);
			faults_over();
		}
		HOLDS(got.refused);
	}
	HOLDS(served.opened == 0);
	faults_server_end();
}

static void test_faults_never_let_in_who_is_denied(void **state)
{
	(void)state;
	faults_sweep(denied_run);
}

/* Without its groups we would be the server's own user, who may do everything. */
static void group_run(void)
{
	struct server_listener_options o = faults_options();
	struct got got;

	if (faults_server() != 0)
		return;
	o.policy.rules[0] = (struct policy_rule){
		.subject = POLICY_GROUP, .uid = (uid_t)-1, .gid = getegid(), .role = ROLE_STACKS};
	o.policy.count = 1;
	if (faults_listen(&o, "s") == 0) {
		for (int i = 0; i < 2; i++) {
			got = converse(faults_dial("s", 0));
			HOLDS(got.role <= ROLE_STACKS && !got.result);
			faults_over();
		}
		HOLDS(got.role == ROLE_STACKS && got.dump && got.denied);
	}
	HOLDS(served.highest <= ROLE_STACKS && served.evals == 0);
	faults_server_end();
}

static void test_faults_with_groups_give_no_higher_role(void **state)
{
	(void)state;
	faults_sweep(group_run);
}

static void veto_run(void)
{
	struct server_listener_options o = faults_options();
	struct got got;

	if (faults_server() != 0)
		return;
	served.veto = 1;
	if (faults_listen(&o, "s") == 0) {
		got = converse(faults_dial("s", 0));
		HOLDS(!got.welcome && got.end);
		HOLDS(served.opened == 0);
		faults_over();
		served.veto = 0;
		got = converse(faults_dial("s", 0));
		HOLDS(got.welcome && got.result);
	}
	faults_server_end();
}

static void test_faults_keep_the_programs_veto(void **state)
{
	(void)state;
	faults_sweep(veto_run);
}

/* ---- PAM ------------------------------------------------------------------------------------- */

static uint32_t pam_code;

/* The helper: takes whoever asks and says pam_code. */
static void pam_answers(void)
{
	uint8_t bytes[ACCTMSG_REQUEST_MAX + 1];
	int fd;

	while ((fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0) {
		struct acctmsg_answer a = {.code = pam_code, .text = "as told"};
		struct buf b;

		while (recv(fd, bytes, sizeof(bytes), 0) > 0)
			;
		buf_init(&b, ACCTMSG_ANSWER_MAX);
		HOLDS(acctmsg_put_answer(&b, &a) == 0);
		(void)send(fd, buf_bytes(&b), buf_len(&b), MSG_NOSIGNAL);
		buf_free(&b);
		close(fd);
	}
}

static void pam_run(void)
{
	struct server_listener_options o = faults_options();
	struct got got;
	int rc;

	listener = bind_at(in_place("pam"), SOCK_STREAM);
	HOLDS(listen(listener, 16) == 0 && fcntl(listener, F_SETFL, O_NONBLOCK) == 0);
	if (faults_server() == 0) {
		INSIDE(rc = account_find(&o.account, in_place("pam"), &why));
		if (rc != 0)
			REFUSED(&why);
		else if (faults_listen(&o, "s") == 0) {
			meanwhile = pam_answers;
			pam_code = 7;
			got = converse(faults_dial("s", 0));
			HOLDS(!got.welcome && served.opened == 0);
			pam_code = ACCTMSG_SUCCESS;
			got = converse(faults_dial("s", 0));
			if (!faults_struck())
				HOLDS(got.welcome && got.result);
			faults_over();
			got = converse(faults_dial("s", 0));
			HOLDS(got.welcome && got.dump && got.result);
			pam_code = 7;
			got = converse(faults_dial("s", 0));
			HOLDS(!got.welcome && got.refused);
		}
		faults_server_end();
	}
	close(listener);
	(void)unlink(in_place("pam"));
}

static void test_faults_while_pam_is_asked_let_nobody_in(void **state)
{
	(void)state;
	faults_sweep(pam_run);
}

/* The program in the place of the helper says nothing: denied, and no child is left. */
static void pam_program_run(void)
{
	struct account_helper h;
	struct account *a;
	const struct acctmsg_request r = {.by = ACCTMSG_UID, .uid = geteuid()};
	int rc;

	memset(&why, 0, sizeof(why));
	INSIDE(rc = account_find(&h, "/bin/true", &why));
	if (rc != 0) {
		REFUSED(&why);
		return;
	}
	INSIDE(a = account_start(&h, &r, &why));
	if (a == NULL) {
		/* A helper that has ended before it was asked is no fault of the call. */
		HOLDS(why.code != 0 && why.text[0] != '\0');
		return;
	}
	do {
		struct pollfd p = {.fd = account_fd(a), .events = POLLIN};

		HOLDS(poll(&p, 1, PATIENCE_MS) == 1);
		INSIDE(rc = account_verdict(a, &why));
	} while (rc == PYSTUCK_EAGAIN);
	HOLDS(rc == PYSTUCK_EPERM && why.text[0] != '\0');
	INSIDE(account_free(a));
	HOLDS(waitpid(-1, NULL, WNOHANG | __WALL) < 0);
}

static void test_faults_of_starting_a_helper_leave_no_child(void **state)
{
	(void)state;
	faults_sweep(pam_program_run);
}

/* ---- the log --------------------------------------------------------------------------------- */

static int journal = -1;
static int logged_evals;

static void read_journal(void)
{
	static const char field[] = "PYSTUCK_ACTION=eval\n";
	char text[AUDIT_DATAGRAM_MAX];
	ssize_t n;

	while ((n = recv(journal, text, sizeof(text), MSG_DONTWAIT)) > 0)
		logged_evals += memmem(text, (size_t)n, field, strlen(field)) != NULL;
}

static void audit_run(void)
{
	struct server_listener_options o = faults_options();
	struct got got;
	char journal_path[PLACE_PATH], nobody_path[PLACE_PATH]; /* for as long as the log lives */

	(void)snprintf(journal_path, sizeof(journal_path), "%s/journal", place);
	(void)snprintf(nobody_path, sizeof(nobody_path), "%s/nobody", place);
	journal = bind_at(journal_path, SOCK_DGRAM);
	logged_evals = 0;
	if (faults_server() == 0) {
		INSIDE(o.audit = audit_syslog_at("here", journal_path, nobody_path));
		o.audit_required = 1;
		HOLDS(o.audit != NULL || faults_struck());
		if (o.audit != NULL && faults_listen(&o, "s") == 0) {
			got = converse(faults_dial("s", 0));
			read_journal();
			/* What was evaluated stands in the log. */
			HOLDS(served.evals <= logged_evals);
			faults_over();
			got = converse(faults_dial("s", 0));
			read_journal();
			HOLDS(got.welcome && got.result);
			HOLDS(served.evals <= logged_evals);
		}
		faults_server_end();
	}
	close(journal);
	(void)unlink(journal_path);
}

static void test_faults_never_evaluate_what_is_not_logged(void **state)
{
	(void)state;
	faults_sweep(audit_run);
}

/* ---- the end, parking, a fork ----------------------------------------------------------------- */

static void end_run(void)
{
	struct server_listener_options o = faults_options();
	struct channel *ch;
	struct got got = {0};
	struct msg m;
	int rc;

	memset(&served, 0, sizeof(served));
	server = server_new(&visit_service, &why);
	HOLDS(server != NULL);
	{
		struct listen_options at = {.mode = 0600, .group = (gid_t)-1};
		uint32_t id;

		HOLDS(addr_unix(&at.addr, in_place("s"), &why) == 0);
		HOLDS(listen_open(&o.socket, &at, &why) == 0);
		HOLDS(server_add(server, &o, &id, &why) == 0);
	}
	ch = faults_dial("s", 0);
	faults_say(ch, rig_hello());
	got.welcome = hear_until(ch, MSG_WELCOME, &got);
	INSIDE(server_free(server));
	server = NULL;
	HOLDS(served.opened == served.closed);
	/* Goodbye, or the end at least. */
	while (got.welcome && (rc = rig_hear_within(ch, &m, 0)) == 1)
		;
	if (got.welcome)
		HOLDS(rc == 0);
	channel_free(ch);
	/* Where the file could not be looked at or removed, it lies there dead. */
	if (inode_of(in_place("s")) != 0) {
		HOLDS(faults_hit("lstat") || faults_hit("unlink"));
		HOLDS(try_connect(in_place("s")) == ECONNREFUSED);
		(void)unlink(in_place("s"));
	}
}

static void test_faults_at_the_end_leave_nothing(void **state)
{
	(void)state;
	faults_sweep(end_run);
}

static void park_run(void)
{
	struct server_listener_options o = faults_options();
	struct channel *ch;
	struct msg m;
	int rc;

	if (faults_server() != 0)
		return;
	if (faults_listen(&o, "s") == 0) {
		for (int i = 0; i < 2; i++) {
			memset(&why, 0, sizeof(why));
			INSIDE(rc = server_resume(server, &why));
			if (rc != 0) {
				REFUSED(&why);
				HOLDS(!server_running(server));
				faults_over();
				HOLDS(server_resume(server, &why) == 0);
			}
			ch = faults_dial("s", 0);
			faults_say(ch, rig_hello());
			HOLDS(rig_hear_within(ch, &m, PATIENCE_MS) == 1 && m.type == MSG_WELCOME);
			INSIDE(server_park(server));
			HOLDS(!server_running(server));
			channel_free(ch);
		}
	}
	faults_over();
	faults_server_end();
}

static void test_faults_of_starting_the_thread_are_said_and_a_later_start_works(void **state)
{
	(void)state;
	faults_sweep(park_run);
}

static void forget_run(void)
{
	struct server_listener_options o = faults_options();

	if (faults_server() != 0)
		return;
	if (faults_listen(&o, "s") == 0) {
		INSIDE(server_forget(server));
		/* The parent's, who still serves there. */
		HOLDS(inode_of(in_place("s")) != 0);
		(void)unlink(in_place("s"));
	} else {
		INSIDE(server_forget(server));
	}
	server = NULL;
}

static void test_faults_in_a_forked_child_leave_nothing(void **state)
{
	(void)state;
	faults_sweep(forget_run);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_faults_open_no_door_on_a_unix_socket),
		T(test_faults_of_an_answer_end_the_session_and_not_in_silence),
		T(test_faults_never_let_in_who_is_denied),
		T(test_faults_with_groups_give_no_higher_role),
		T(test_faults_keep_the_programs_veto),
		T(test_faults_while_pam_is_asked_let_nobody_in),
		T(test_faults_of_starting_a_helper_leave_no_child),
		T(test_faults_never_evaluate_what_is_not_logged),
		T(test_faults_at_the_end_leave_nothing),
		T(test_faults_of_starting_the_thread_are_said_and_a_later_start_works),
		T(test_faults_in_a_forked_child_leave_nothing),
	};

	alarm(550);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
