/*
 * session_auth.c: from a fresh connection to a client with a role: the kernel's word on a Unix
 * socket, the handshake on TCP, then HELLO. What follows is session.c's.
 */
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "addr.h"
#include "noise.h"
#include "peercred.h"
#include "replays.h"
#include "session_private.h"
#include "wake.h"

/* A client whose machine is gone gives its place back after about two minutes, without a timer of
 * ours. */
#define KEEPALIVE_IDLE_S 60
#define KEEPALIVE_INTERVAL_S 15
#define KEEPALIVE_COUNT 4

void session_auth_unix(struct session *s)
{
	const struct policy *policy = s->door->policy;
	struct service_client *who = &s->who;
	struct peercred cred;
	char text[64];
	int rc;

	peercred_init(&cred);
	rc = peercred_get(channel_fd(s->channel), &cred);
	who->role = policy_user(policy, &cred);
	s->uncapped = policy_user_uncapped(policy, &cred);
	who->uid = cred.uid;
	who->pid = cred.pid;
	peercred_free(&cred);
	if (rc != 0) {
		session_audit_connect(s);
		session_refuse(s, REASON_DENIED, "the kernel did not say who you are");
		return;
	}
	/* Before anything is said of them. */
	session_audit_connect(s);
	(void)snprintf(who->text, sizeof(who->text), "uid %lu, pid %ld", (unsigned long)who->uid,
		(long)who->pid);
	if (who->role == ROLE_NONE) {
		(void)snprintf(
			text, sizeof(text), "uid %lu has no role here", (unsigned long)who->uid);
		session_refuse(s, REASON_DENIED, text);
	}
}

static int peer_addr(int fd, struct addr *a)
{
	struct sockaddr_storage from;
	socklen_t len = sizeof(from);

	*a = (struct addr){.kind = ADDR_TCP};
	memset(&from, 0, sizeof(from));
	if (getpeername(fd, (struct sockaddr *)&from, &len) != 0)
		return PYSTUCK_ESYS;
	if (from.ss_family != AF_INET && from.ss_family != AF_INET6)
		return PYSTUCK_EINVAL;
	if (getnameinfo((struct sockaddr *)&from, len, a->host, sizeof(a->host), NULL, 0,
		    NI_NUMERICHOST) != 0)
		return PYSTUCK_ESYS;
	a->port = from.ss_family == AF_INET6 ? ntohs(((struct sockaddr_in6 *)&from)->sin6_port)
					     : ntohs(((struct sockaddr_in *)&from)->sin_port);
	return 0;
}

/* "10.0.0.7:5123", "[::1]:5123", or "somewhere". */
static void peer_name(int fd, char out[static ADDR_TEXT])
{
	struct addr a;

	if (peer_addr(fd, &a) == 0)
		addr_format(&a, out);
	else
		(void)snprintf(out, ADDR_TEXT, "somewhere");
}

void session_auth_tcp(struct session *s)
{
	if (s->door->audit != NULL)
		peer_name(channel_fd(s->channel), s->address);
	session_audit_connect(s);
}

/* Comforts of a long session, and not for strangers: without them all works, only later. */
static void set_options(int fd)
{
	static const struct {
		int level, option, value;
	} options[] = {
		{IPPROTO_TCP, TCP_NODELAY, 1},
		{SOL_SOCKET, SO_KEEPALIVE, 1},
		{IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_S},
		{IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S},
		{IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_COUNT},
	};

	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
		(void)setsockopt(fd, options[i].level, options[i].option, &options[i].value,
			sizeof(options[i].value));
}

static void note_role(struct session *s, size_t key)
{
	const struct keyring *keys = s->door->keys;
	const char *name = keyring_name(keys, key);
	enum role most = keyring_role(keys, key);

	s->who.role = policy_key(s->door->policy, name, most);
	s->uncapped = policy_key_uncapped(s->door->policy, name, most);
}

static void note_key(struct session *s, size_t key)
{
	struct service_client *who = &s->who;
	const char *name = keyring_name(s->door->keys, key);
	char from[ADDR_TEXT];

	peer_name(channel_fd(s->channel), from);
	note_role(s, key);
	s->key_id = keyring_id(s->door->keys, key);
	s->keys_turn = s->door->keys_turn;
	(void)snprintf(who->key, sizeof(who->key), "%s", name);
	(void)snprintf(who->text, sizeof(who->text), "key %s from %.100s", name, from);
}

void session_auth_renew(struct session *s)
{
	struct session_door *door = s->door;
	struct keyring *fresh = NULL;
	struct diag d = {0};
	int rc = keyfile_again(door->keys, &fresh, &d);

	if (rc == 0)
		return;
	/* A file that is gone or unfit changes nothing: who edits it badly locks nobody out. */
	if (rc < 0) {
		session_audit_keys(s, d.text);
		return;
	}
	keyring_free(door->keys);
	door->keys = fresh;
	door->keys_turn++;
	session_audit_keys(s, NULL);
	(void)wake_call(&door->wake);
}

/* A client whose HELLO has been read is told why, by the message that is due; a stranger nothing.
 */
static void end_by_key(struct session *s, const char *text)
{
	if (s->state == SESSION_ACCOUNT || s->state == SESSION_ADMIT)
		session_refuse(s, REASON_DENIED, text);
	else
		session_break(s, REASON_DENIED, text);
}

void session_auth_recheck(struct session *s)
{
	const struct keyring *keys = s->door->keys;
	enum role before = s->who.role, uncapped = s->uncapped;
	char text[96];
	size_t i = 0;

	if (s->key_id == 0 || s->keys_turn == s->door->keys_turn || s->state == SESSION_CLOSING ||
		s->state == SESSION_CLOSED)
		return;
	s->keys_turn = s->door->keys_turn;
	while (i < keyring_count(keys) && keyring_id(keys, i) != s->key_id)
		i++;
	/* Under another name it is somebody else, to the rules, to PAM and in the log. */
	if (i == keyring_count(keys) || strcmp(keyring_name(keys, i), s->who.key) != 0) {
		end_by_key(s, "your key has been taken out of the key file");
		return;
	}
	note_role(s, i);
	/* Before WELCOME and the audit hooks nobody has heard of the role. */
	if (s->who.role == before || s->state == SESSION_HELLO ||
		(s->state == SESSION_ACCOUNT && s->who.role != ROLE_NONE))
		return;
	if (s->who.role > before) {
		/* As they have been told. */
		s->who.role = before;
		s->uncapped = uncapped;
		return;
	}
	(void)snprintf(text, sizeof(text), "the role of your key is \"%s\" now; connect again",
		role_name((int)s->who.role));
	end_by_key(s, text);
}

/* Tries the keys of the ring, at most KEYRING_MAX, each with a fresh state. The key's index or -1;
 * then *hs is its state. */
static int find_key(const struct keyring *keys, struct span first, struct noise_handshake *hs)
{
	uint8_t payload[1];
	size_t len = 0;

	for (size_t i = 0; i < keyring_count(keys); i++) {
		noise_start(hs, NOISE_RESPONDER, keyring_key(keys, i), NOISE_PROLOGUE,
			NOISE_PROLOGUE_LEN);
		if (noise_read(hs, first.data, first.len, payload, 0, &len) == 0)
			return (int)i;
		noise_wipe(hs);
	}
	return -1;
}

/* Answers the first message. 0 when it was made with one of our keys. */
static int shake(struct session *s, struct span first)
{
	struct noise_handshake hs;
	struct noise_cipher send, receive;
	uint8_t second[NOISE_MESSAGE];
	size_t len = 0;
	int key;
	int rc;

	memset(&hs, 0, sizeof(hs));
	if (replays_has(s->door->replays, first.data)) {
		session_why(s, "a recorded first message, played again");
		return PYSTUCK_EAUTH;
	}
	session_auth_renew(s);
	key = find_key(s->door->keys, first, &hs);
	rc = key < 0 ? PYSTUCK_EAUTH : 0;
	if (rc == 0)
		replays_note(s->door->replays, first.data);
	if (rc == 0)
		rc = noise_write(&hs, NULL, 0, second, sizeof(second), &len);
	if (rc == 0)
		rc = channel_put_record(s->channel, (struct span){second, len});
	if (rc == 0)
		rc = noise_split(&hs, &send, &receive, NULL);
	if (rc == 0) {
		channel_seal(s->channel, &send, &receive);
		note_key(s, (size_t)key);
		set_options(channel_fd(s->channel));
	}
	noise_wipe(&hs);
	return rc;
}

/* All failures look alike: closed, without a byte. */
void session_auth_handshake(struct session *s)
{
	struct span first;
	int rc = channel_take_record(s->channel, NOISE_MESSAGE, &first);

	if (rc == PYSTUCK_EAGAIN)
		return;
	if (rc == 0)
		rc = shake(s, first);
	/* Still a stranger: a recorded first message gets this far, and nothing after it verifies.
	 */
	if (rc == 0)
		rc = port_pump(s->port);
	if (rc != 0 && rc != PYSTUCK_EAGAIN)
		session_why(s, "the handshake failed: not one of our keys, or no handshake at all");
	session_move(s, rc == 0 || rc == PYSTUCK_EAGAIN ? SESSION_HELLO : SESSION_CLOSED);
}

static void welcome(struct session *s)
{
	struct session_door *door = s->door;
	struct msg m = {.type = MSG_WELCOME};

	m.welcome = *door->service->welcome(door->context);
	m.welcome.version = PROTOCOL_VERSION;
	m.welcome.role = (uint8_t)s->who.role;
	session_move(s, SESSION_OPEN);
	channel_limit_in(s->channel, MSG_MAX);
	if (port_answer(s->port, &m) != 0)
		session_move(s, SESSION_CLOSED);
}

/* There may be no place left for somebody about whom PAM had to be asked. */
static int is_full(struct session *s)
{
	char text[96];

	if (s->door->clients < s->door->max_clients)
		return 0;
	(void)snprintf(text, sizeof(text), "%u clients are connected, as many as allowed",
		s->door->clients);
	session_refuse(s, REASON_FULL, text);
	return 1;
}

static void open_session(struct session *s)
{
	struct session_door *door = s->door;

	s->handle = door->service->open(door->context, &s->who, s->port);
	if (s->handle == NULL)
		session_refuse(s, REASON_LIMIT, "the server is out of memory");
	else
		welcome(s);
}

/*
 * The program's own say. Nothing is read meanwhile, and a hook that never returns is bounded by the
 * deadline of strangers. The answer may be there before admit has returned.
 */
static void ask_program(struct session *s)
{
	struct session_door *door = s->door;
	int asked = 0;

	if (door->service->admit != NULL) {
		port_expect(
			s->port, PORT_ADMIT, 0, s->now + (uint64_t)door->gil_timeout_ms * 1000000u);
		session_move(s, SESSION_ADMIT);
		asked = door->service->admit(door->context, &s->who, s->port);
	}
	if (asked > 0)
		return;
	(void)port_expire(s->port, PORT_ADMIT, UINT64_MAX);
	if (asked == 0)
		open_session(s);
	else
		session_refuse(s, REASON_LIMIT,
			"the program's audit hooks are to be asked first, and cannot be: no memory "
			"or no thread");
}

void session_auth_admit(struct session *s)
{
	char text[PORT_VETO_MAX + 1];
	uint32_t id;

	if (s->state != SESSION_ADMIT)
		return;
	if (port_expire(s->port, PORT_ADMIT, s->now))
		session_refuse(s, REASON_GIL,
			"the program's audit hooks are to be asked first, and could not be in "
			"time: "
			"the GIL is not given up, or a hook does not return");
	else if (port_request(s->port, PORT_ADMIT) != PORT_FREE)
		return;
	else if (port_vetoed(s->port, PORT_ADMIT, &id, text))
		session_refuse(s, REASON_VETO, text);
	else
		open_session(s);
}

/* On a Unix socket the kernel's uid is the account, on TCP the name of the key. */
static void ask_account(struct session *s)
{
	struct acctmsg_request request = {.by = ACCTMSG_UID, .uid = s->who.uid};
	struct addr from;
	struct diag d;

	if (s->door->keys != NULL) {
		request.by = ACCTMSG_NAME;
		request.uid = UINT32_MAX;
		(void)snprintf(request.name, sizeof(request.name), "%s", s->who.key);
		if (peer_addr(channel_fd(s->channel), &from) == 0)
			(void)snprintf(request.from, sizeof(request.from), "%.*s",
				(int)sizeof(request.from) - 1, from.host);
	}
	s->account = account_start(s->door->account, &request, &d);
	if (s->account == NULL)
		session_refuse(s, REASON_DENIED, d.text);
	else
		session_move(s, SESSION_ACCOUNT);
}

void session_auth_account(struct session *s)
{
	struct diag d;
	int rc = account_verdict(s->account, &d);

	if (rc == PYSTUCK_EAGAIN && s->now < s->deadline)
		return;
	if (rc == PYSTUCK_EAGAIN)
		(void)diag_set(&d, PYSTUCK_ETIME, 0, "PAM said nothing for %u ms",
			s->door->times.account_ms);
	if (rc != 0)
		session_refuse(s, REASON_DENIED, d.text);
	else if (!is_full(s))
		ask_program(s);
}

void session_auth_hello(struct session *s, const struct msg_hello *hello)
{
	char text[96];

	if (!span_equals(hello->magic, PROTOCOL_MAGIC)) {
		session_why(s, "not a client of pystuck");
		session_move(s, SESSION_CLOSED);
	} else if (hello->version != PROTOCOL_VERSION) {
		(void)snprintf(text, sizeof(text),
			"this server speaks version %d of the protocol, not %u", PROTOCOL_VERSION,
			(unsigned)hello->version);
		session_refuse(s, REASON_VERSION, text);
	} else if (s->who.role == ROLE_NONE) {
		(void)snprintf(text, sizeof(text), "key %s has no role here", s->who.key);
		session_refuse(s, REASON_DENIED, text);
	} else if (!is_full(s)) {
		if (s->door->account != NULL)
			ask_account(s);
		else
			ask_program(s);
	}
}
