/*
 * fuzz_session.c: a client that may say anything at any time, a service that answers at any time,
 * and a clock that jumps: plain, behind a handshake with a known key, and instead of a handshake.
 *
 * The input: one byte for the transport and the role, then what happens, one byte each: below 160
 * the client says that many bytes of what follows, else something of the list in happen().
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../src/server/port_private.h"
#include "../../src/server/session.h"
#include "../../src/server/wake.h"
#include "channel.h"
#include "noise.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MS 1000000ull
#define KEY_LINE "pystuck-key-1 fuzz AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\n"
#define RECORD_MAX_SAID (2 + 160 + NOISE_TAG)
#define ANSWERS_MAX 65536 /* bytes of answers that may be over the mark */

enum transport { PLAIN, SEALED, UNPROVED };

static struct {
	int opens, closes;
	int dump_open, eval_open; /* asked for, and not yet answered */
	uint32_t dump_id, eval_id;
	struct port *port;
} service;

static struct {
	enum transport transport;
	struct policy policy;
	struct session_door door;
	struct session *session;
	struct channel *client;
	struct noise_cipher seal;
	uint64_t now;
	int spoilt; /* the next record is changed on the way */
} world;

static void require(int what)
{
	if (!what)
		abort();
}

/* ---- the service ----------------------------------------------------------------------------- */

static void *service_open(void *context, const struct service_client *who, struct port *port)
{
	(void)context;
	require(who->role > ROLE_NONE && who->role <= world.policy.ceiling);
	require(service.opens == service.closes);
	service.opens++;
	service.port = port_ref(port);
	return &service;
}

static void service_dump(void *handle, const struct msg_dump *request)
{
	require(handle == &service && service.opens == service.closes + 1);
	require(!service.dump_open);
	service.dump_open = 1;
	service.dump_id = request->id;
}

static void service_eval(void *handle, const struct msg_eval *request)
{
	require(handle == &service && service.opens == service.closes + 1);
	require(!service.eval_open);
	service.eval_open = 1;
	service.eval_id = request->id;
}

static void service_complete(void *handle, const struct msg_complete *request)
{
	require(handle == &service && service.opens == service.closes + 1);
	require(!service.eval_open);
	service.eval_open = 1;
	service.eval_id = request->id;
}

static void service_dump_late(void *handle, const struct msg_dump *request, uint64_t waited_us, int last)
{
	(void)last;
	require(handle == &service && service.dump_open && request->id == service.dump_id);
	require(waited_us >= 1000000);
	require(port_claim(service.port, PORT_DUMP, request->id) == 0);
	port_done(service.port, PORT_DUMP, request->id);
	service.dump_open = 0;
}

static void service_eval_late(void *handle, uint32_t id, uint64_t waited_us)
{
	(void)waited_us;
	require(handle == &service && id == service.eval_id);
	service.eval_open = 0;
}

static void service_interrupt(void *handle, uint32_t id)
{
	(void)id;
	require(handle == &service && service.opens == service.closes + 1);
}

static void service_detach(void *handle, uint32_t id)
{
	require(handle == &service && id == service.eval_id);
	/* Once claimed it is nobody's from here on; before that it is in the way until it is
	 * claimed. */
	if (port_request(service.port, PORT_EVAL) != PORT_EXPECTED)
		service.eval_open = 0;
}

static void service_where(void *handle, uint32_t id)
{
	(void)id;
	require(handle == &service && service.opens == service.closes + 1);
}

static void service_close(void *handle)
{
	require(handle == &service && service.opens == service.closes + 1);
	service.closes++;
	service.dump_open = service.eval_open = 0;
}

static const struct msg_welcome *service_welcome(void *context)
{
	static const struct msg_welcome welcome = {.pid = 1};

	(void)context;
	return &welcome;
}

static const struct service played = {
	.open = service_open,
	.dump = service_dump,
	.eval = service_eval,
	.complete = service_complete,
	.dump_late = service_dump_late,
	.eval_late = service_eval_late,
	.interrupt = service_interrupt,
	.detach = service_detach,
	.where = service_where,
	.background = service_detach,
	.close = service_close,
	.welcome = service_welcome,
};

static int put_output(void)
{
	static const uint8_t block[4096];
	struct msg m = {.type = MSG_OUTPUT};

	if (service.port == NULL)
		return -1;
	m.output = (struct msg_output){
		.id = service.eval_id, .stream = 1, .text = {block, sizeof(block)}};
	return port_try_write(service.port, &m);
}

static void finish(enum port_kind kind)
{
	struct msg m = {.type = MSG_RESULT};

	if (service.port == NULL)
		return;
	if (kind == PORT_EVAL) {
		(void)port_claim(service.port, PORT_EVAL, service.eval_id);
		m.result.id = service.eval_id;
	} else {
		(void)port_claim(service.port, PORT_DUMP, service.dump_id);
		m.type = MSG_DUMP_END;
		m.dump_end.id = service.dump_id;
	}
	(void)port_answer(service.port, &m);
}

static void done(enum port_kind kind)
{
	if (service.port != NULL)
		port_done(
			service.port, kind, kind == PORT_EVAL ? service.eval_id : service.dump_id);
}

/* What the session believes to be over is over for the service too. */
static void notice_ends(void)
{
	if (service.port == NULL)
		return;
	if (port_request(service.port, PORT_DUMP) == PORT_FREE)
		service.dump_open = 0;
	if (port_request(service.port, PORT_EVAL) == PORT_FREE)
		service.eval_open = 0;
}

/* ---- the client and the net thread ----------------------------------------------------------- */

static void turn(void)
{
	struct pollfd p = {
		.fd = session_fd(world.session), .events = session_events(world.session)};

	notice_ends();
	if (poll(&p, 1, 0) < 0)
		p.revents = 0;
	session_run(world.session, p.revents, world.now);
	notice_ends();
	require(session_state(world.session) == SESSION_CLOSED ||
		session_deadline(world.session) > world.now);
	require((session_state(world.session) == SESSION_OPEN) ==
		(service.opens == service.closes + 1));
	require(world.door.clients == (unsigned)(service.opens - service.closes));
}

static void check_load(void)
{
	struct port_load load;

	if (service.port == NULL)
		return;
	port_load(service.port, &load);
	require(load.bytes <= PORT_HIGH_WATER + ANSWERS_MAX);
}

static void say(const uint8_t *bytes, size_t len)
{
	uint8_t record[RECORD_MAX_SAID];

	if (world.client == NULL || len == 0)
		return;
	if (world.transport == SEALED) {
		require(noise_seal(&world.seal, bytes, len, record + 2) == 0);
		be16_put(record, (uint16_t)(len + NOISE_TAG));
		record[2] ^= (uint8_t)world.spoilt;
		bytes = record;
		len += 2 + NOISE_TAG;
	}
	(void)!send(channel_fd(world.client), bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* Throws away what the server said; how much it was. */
static size_t hear(void)
{
	static uint8_t bytes[65536];
	size_t total = 0;
	ssize_t n;

	if (world.client == NULL)
		return 0;
	while ((n = recv(channel_fd(world.client), bytes, sizeof(bytes), MSG_DONTWAIT)) > 0)
		total += (size_t)n;
	return total;
}

static void hang_up(void)
{
	channel_free(world.client);
	world.client = NULL;
}

static void happen(uint8_t what)
{
	switch (what % 16) {
	case 0:
	case 1:
		turn();
		break;
	case 2:
		world.now += 100 * MS;
		break;
	case 3:
		world.now += 1000 * MS;
		break;
	case 4:
		finish(PORT_DUMP);
		break;
	case 5:
		finish(PORT_EVAL);
		break;
	case 6:
		done(PORT_DUMP);
		break;
	case 7:
		done(PORT_EVAL);
		break;
	case 8:
		(void)put_output();
		break;
	case 9:
		for (int i = 0; i < 200 && put_output() == 0; i++)
			turn();
		break;
	case 10:
		(void)hear();
		break;
	case 11:
		if (world.client != NULL)
			(void)shutdown(channel_fd(world.client), SHUT_WR);
		break;
	case 12:
		world.now += 31000 * MS;
		break;
	case 13:
		world.spoilt ^= 1;
		break;
	case 14:
		hang_up();
		break;
	default:
		if (service.port != NULL)
			(void)port_claim(service.port, PORT_EVAL, service.eval_id);
		break;
	}
}

/* ---- a run ----------------------------------------------------------------------------------- */

static void shake(void)
{
	struct noise_handshake hs;
	struct noise_cipher receive;
	uint8_t key[NOISE_KEY], bytes[2 + NOISE_MESSAGE], none[1];
	size_t len = 0;

	memset(key, 1, sizeof(key));
	noise_start(&hs, NOISE_INITIATOR, key, NOISE_PROLOGUE, NOISE_PROLOGUE_LEN);
	be16_put(bytes, NOISE_MESSAGE);
	require(noise_write(&hs, NULL, 0, bytes + 2, NOISE_MESSAGE, &len) == 0);
	require(send(channel_fd(world.client), bytes, sizeof(bytes), 0) == sizeof(bytes));
	turn();
	require(recv(channel_fd(world.client), bytes, sizeof(bytes), MSG_DONTWAIT) ==
		sizeof(bytes));
	require(noise_read(&hs, bytes + 2, NOISE_MESSAGE, none, 0, &len) == 0);
	require(noise_split(&hs, &world.seal, &receive, NULL) == 0);
}

static void begin(uint8_t how)
{
	static const char *const roles[] = {"eval", "eval", "locals", "stacks"};
	static struct keyring *keys;
	static struct wake wake;
	int fds[2];

	if (keys == NULL) {
		require(noise_init() == 0);
		keys = keyfile_parse(span_text(KEY_LINE), "fuzz", NULL);
		require(keys != NULL && wake_open(&wake) == 0);
	}
	memset(&service, 0, sizeof(service));
	world.transport = (enum transport)(how % 3);
	world.spoilt = 0;
	world.now = 1000000 * MS;
	policy_init(&world.policy, geteuid(), 65534);
	require(policy_add_uid(&world.policy, geteuid(), roles[how / 3 % 4], NULL) == 0);
	require(policy_add(&world.policy, "key:fuzz", roles[how / 3 % 4], NULL) == 0);
	if (how >= 128)
		world.policy.ceiling = ROLE_LOCALS;
	world.door = (struct session_door){.service = &played,
		.policy = &world.policy,
		.keys = world.transport == PLAIN ? NULL : keys,
		.max_clients = 1,
		.gil_timeout_ms = 1000,
		.wake = wake.out,
		.times = {.stranger_ms = 5000, .stall_ms = 30000, .linger_ms = 1000}};
	require(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
	world.session = session_new(&world.door, fds[0], world.now);
	world.client = channel_new(fds[1], MSG_MAX, 0);
	require(world.session != NULL && world.client != NULL);
	if (world.transport == SEALED)
		shake();
}

static void end(void)
{
	turn();
	/* Without the key not one byte, and nobody is told. */
	if (world.transport == UNPROVED) {
		require(hear() == 0);
		require(service.opens == 0);
	}
	session_free(world.session);
	require(service.opens == service.closes);
	require(world.door.clients == 0);
	hang_up();
	port_unref(service.port);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	begin(data[0]);
	for (data++, size--; size > 0;) {
		uint8_t what = *data++;
		size_t len = what;

		size--;
		if (what >= 160) {
			happen(what);
		} else {
			if (len > size)
				len = size;
			say(data, len);
			data += len;
			size -= len;
			turn();
		}
		check_load();
	}
	end();
	return 0;
}
