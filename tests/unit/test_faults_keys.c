/*
 * test_faults_keys.c: key files and clients that prove a key, with each allocation and each system
 * call failing once. A key that is not in the file, or not any more, opens nothing.
 * SOURCES: tests/unit/faults.c
 * LINK: -Wl,@tests/unit/faults.wrap
 */
#include "faults_rig.h"

#define SETTLED_MS 60000 /* after this nobody doubts the times of a file */

static char key_path[PLACE_PATH];

static const char base64_ops[] = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
static const char base64_ci[] = "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=";

/* ---- the file -------------------------------------------------------------------------------- */

/* Another file in its place, as an operator's tool does it. */
static void put_keys(int ops, int ci)
{
	FILE *f;

	(void)snprintf(key_path, sizeof(key_path), "%s/key", place);
	f = fopen(in_place("new"), "we");
	HOLDS(f != NULL && fchmod(fileno(f), 0600) == 0);
	if (ops)
		(void)fprintf(f, "pystuck-key-1 ops %s\n", base64_ops);
	if (ci)
		(void)fprintf(f, "pystuck-key-1 ci %s role=stacks\n", base64_ci);
	HOLDS(fclose(f) == 0);
	HOLDS(rename(in_place("new"), key_path) == 0);
}

static off_t size_of(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0 ? st.st_size : -1;
}

static void load_run(void)
{
	struct keyring *ring;

	memset(&why, 0, sizeof(why));
	put_keys(1, 1);
	INSIDE(ring = keyfile_load(key_path, &why));
	if (ring == NULL) {
		REFUSED(&why);
	} else {
		HOLDS(keyring_count(ring) == 2 && keyring_role(ring, 1) == ROLE_STACKS);
		HOLDS(strcmp(keyring_name(ring, 0), "ops") == 0 && keyring_key(ring, 0)[0] == 1);
	}
	INSIDE(keyring_free(ring));
}

static void test_faults_of_loading_a_key_file_are_said(void **state)
{
	(void)state;
	faults_sweep(load_run);
}

/* From the working directory, which may be another one when the file is read again. */
static void load_relative_run(void)
{
	struct keyring *ring, *fresh = NULL;
	int here = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rc;

	memset(&why, 0, sizeof(why));
	put_keys(1, 1);
	HOLDS(chdir(place) == 0);
	INSIDE(ring = keyfile_load("key", &why));
	HOLDS(fchdir(here) == 0 && close(here) == 0);
	if (ring == NULL) {
		REFUSED(&why);
		return;
	}
	faults_over();
	put_keys(0, 1);
	INSIDE(rc = keyfile_again(ring, &fresh, &why));
	HOLDS(rc == 1 && keyring_count(fresh) == 1);
	keyring_free(ring);
	keyring_free(fresh);
}

static void test_faults_never_give_a_ring_that_is_not_read_again(void **state)
{
	(void)state;
	faults_sweep(load_relative_run);
}

static void credential_run(void)
{
	struct keyring *ring;

	memset(&why, 0, sizeof(why));
	put_keys(1, 0);
	HOLDS(rename(key_path, in_place("pystuck.key")) == 0);
	HOLDS(setenv("CREDENTIALS_DIRECTORY", place, 1) == 0);
	INSIDE(ring = keyfile_credential(&why));
	HOLDS(unsetenv("CREDENTIALS_DIRECTORY") == 0);
	if (ring == NULL)
		REFUSED(&why);
	else
		HOLDS(keyring_count(ring) == 1);
	keyring_free(ring);
}

static void test_faults_of_loading_a_credential_are_said(void **state)
{
	(void)state;
	faults_sweep(credential_run);
}

static void create_run(void)
{
	struct keyring *ring;
	int rc;

	memset(&why, 0, sizeof(why));
	(void)snprintf(key_path, sizeof(key_path), "%s/key", place);
	(void)unlink(key_path);
	INSIDE(rc = keyfile_create(key_path, "ops", "locals", &why));
	if (rc != 0) {
		REFUSED(&why);
		HOLDS(inode_of(key_path) == 0);
		return;
	}
	faults_over();
	HOLDS(mode_of(key_path) == 0600);
	ring = keyfile_load(key_path, &why);
	HOLDS(ring != NULL && keyring_count(ring) == 1 && keyring_role(ring, 0) == ROLE_LOCALS);
	keyring_free(ring);
}

static void test_faults_of_making_a_key_file_leave_none(void **state)
{
	(void)state;
	faults_sweep(create_run);
}

static void append_run(void)
{
	struct keyring *ring;
	off_t size;
	int rc;

	memset(&why, 0, sizeof(why));
	put_keys(1, 0);
	size = size_of(key_path);
	INSIDE(rc = keyfile_append(key_path, "new", NULL, &why));
	if (rc != 0) {
		REFUSED(&why);
		HOLDS(size_of(key_path) == size);
	}
	faults_over();
	ring = keyfile_load(key_path, &why);
	HOLDS(ring != NULL && keyring_count(ring) == (rc == 0 ? 2u : 1u));
	keyring_free(ring);
}

static void test_faults_of_adding_a_key_leave_the_file_as_it_was(void **state)
{
	(void)state;
	faults_sweep(append_run);
}

static void again_run(void)
{
	struct keyring *ring, *fresh = NULL;
	int rc;

	memset(&why, 0, sizeof(why));
	put_keys(1, 1);
	ring = keyfile_load(key_path, &why);
	HOLDS(ring != NULL);
	put_keys(0, 1);
	/* The file is old by now: nothing but what the fault left makes it be read again. */
	faults_pass_ms(SETTLED_MS);
	INSIDE(rc = keyfile_again(ring, &fresh, &why));
	if (rc < 0)
		REFUSED(&why);
	faults_over();
	if (rc <= 0) {
		HOLDS(fresh == NULL);
		HOLDS(keyring_count(ring) == 2);
		INSIDE(rc = keyfile_again(ring, &fresh, &why));
	}
	HOLDS(rc == 1 && keyring_count(fresh) == 1 && strcmp(keyring_name(fresh, 0), "ci") == 0);
	keyring_free(ring);
	keyring_free(fresh);
}

static void test_faults_of_reading_keys_again_are_made_good_the_next_time(void **state)
{
	(void)state;
	faults_sweep(again_run);
}

/* ---- clients --------------------------------------------------------------------------------- */

/* The handshake with the key of bytes `byte`. The channel, or NULL: the server has hung up. */
static struct channel *prove(uint8_t byte)
{
	struct channel *ch = faults_dial("t", 1);
	struct noise_handshake hs;
	struct noise_cipher send, receive;
	uint8_t key[NOISE_KEY], first[NOISE_MESSAGE], none[1];
	struct span record;
	size_t len = 0;
	int rc;

	memset(key, byte, sizeof(key));
	noise_start(&hs, NOISE_INITIATOR, key, NOISE_PROLOGUE, NOISE_PROLOGUE_LEN);
	HOLDS(noise_write(&hs, NULL, 0, first, sizeof(first), &len) == 0);
	HOLDS(channel_put_record(ch, (struct span){first, sizeof(first)}) == 0);
	(void)rig_flush(ch);
	while ((rc = channel_take_record(ch, NOISE_MESSAGE, &record)) == PYSTUCK_EAGAIN) {
		rc = channel_fill(ch);
		if (rc == PYSTUCK_EAGAIN)
			rc = faults_wait(ch) == 0 ? PYSTUCK_EAGAIN : PYSTUCK_ETIME;
		else if (rc == 0 || rc == PYSTUCK_ESYS)
			rc = PYSTUCK_ECLOSED;
		if (rc < 0 && rc != PYSTUCK_EAGAIN)
			break;
	}
	HOLDS(rc == 0 || rc == PYSTUCK_ECLOSED); /* not silence */
	if (rc == 0) {
		HOLDS(noise_read(&hs, record.data, record.len, none, 0, &len) == 0);
		HOLDS(noise_split(&hs, &send, &receive, NULL) == 0);
		channel_seal(ch, &send, &receive);
		return ch;
	}
	noise_wipe(&hs);
	channel_free(ch);
	return NULL;
}

static struct got come(uint8_t byte)
{
	struct channel *ch = prove(byte);

	return ch != NULL ? converse(ch) : (struct got){.end = 1};
}

static int start(struct server_listener_options *o)
{
	put_keys(1, 1);
	if (faults_server() != 0)
		return -1;
	/* What address a client has is only asked for when there is a log. */
	INSIDE(o->audit = audit_syslog_at("here", "/nonexistent", "/nonexistent"));
	HOLDS(o->audit != NULL || faults_struck());
	memset(&why, 0, sizeof(why));
	INSIDE(o->keys = keyfile_load(key_path, &why));
	if (o->keys == NULL) {
		REFUSED(&why);
		audit_free(o->audit);
	} else if (faults_listen(o, "t") == 0) {
		return 0;
	}
	faults_server_end();
	return -1;
}

static void end(void)
{
	faults_server_end();
	(void)unlink(in_place("t"));
}

static void handshake_run(void)
{
	struct server_listener_options o = faults_options();
	struct got got;

	if (start(&o) != 0)
		return;
	got = come(3);
	HOLDS(!got.welcome && got.end && served.opened == 0);
	got = come(2);
	HOLDS(got.role <= ROLE_STACKS && !got.result && served.evals == 0);
	got = come(1);
	if (faults_clean())
		HOLDS(got.welcome && got.dump && got.result);
	faults_over();
	got = come(3);
	HOLDS(!got.welcome && got.end);
	got = come(2);
	HOLDS(got.role == ROLE_STACKS && got.dump && got.denied);
	got = come(1);
	HOLDS(got.role == ROLE_EVAL && got.dump && got.result);
	end();
}

static void test_faults_of_a_handshake_open_no_door(void **state)
{
	(void)state;
	faults_sweep(handshake_run);
}

/* The key is taken out of the file while its holder is connected. */
static void revoke_run(void)
{
	struct server_listener_options o = faults_options();
	struct got got = {0};
	struct channel *ch;
	int evals;

	if (start(&o) != 0)
		return;
	ch = prove(1);
	if (ch != NULL) {
		faults_say(ch, rig_hello());
		got.welcome = hear_until(ch, MSG_WELCOME, &got);
	}
	put_keys(0, 1);
	faults_pass_ms(SETTLED_MS);
	evals = served.evals;
	/* A fault may keep the server from noticing, but not for longer than it lasts. */
	for (int i = 0; ch != NULL && !got.end && i < 2; i++) {
		faults_say(ch, rig_eval(10 + (uint32_t)i));
		(void)hear_until(ch, MSG_RESULT, &got);
		if (i == 0 && !faults_struck())
			HOLDS(served.evals == evals);
		faults_over();
		if (i == 0)
			evals = served.evals;
	}
	HOLDS(served.evals == evals);
	channel_free(ch);
	faults_over();
	got = come(1);
	HOLDS(!got.welcome && got.end);
	got = come(2);
	HOLDS(got.role == ROLE_STACKS && got.dump);
	end();
}

static void test_faults_do_not_keep_a_revoked_key_alive(void **state)
{
	(void)state;
	faults_sweep(revoke_run);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_faults_of_loading_a_key_file_are_said),
		T(test_faults_never_give_a_ring_that_is_not_read_again),
		T(test_faults_of_loading_a_credential_are_said),
		T(test_faults_of_making_a_key_file_leave_none),
		T(test_faults_of_adding_a_key_leave_the_file_as_it_was),
		T(test_faults_of_reading_keys_again_are_made_good_the_next_time),
		T(test_faults_of_a_handshake_open_no_door),
		T(test_faults_do_not_keep_a_revoked_key_alive),
	};

	alarm(550);
	return noise_init() != 0 || cmocka_run_group_tests(tests, NULL, NULL);
}
