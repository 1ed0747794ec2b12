/*
 * server_rig.h: a server with its net thread and real sockets, and clients for it.
 */
#ifndef TEST_SERVER_RIG_H
#define TEST_SERVER_RIG_H

#include <netinet/in.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>

#include "../../src/server/server_private.h"
#include "place.h"
#include "service_rig.h"

static struct server *server;
static struct server_listener_options options;
static struct diag d;
static uint32_t unix_id, tcp_id;
static uint16_t tcp_port;

MAYBE_UNUSED static int setup(void **state)
{
	memset(&options, 0, sizeof(options));
	options.max_clients = 16;
	options.gil_timeout_ms = 1000;
	policy_init(&options.policy, geteuid(), 65534);
	server = server_new(&fake_service, &d);
	return server == NULL ? -1 : place_make(state);
}

MAYBE_UNUSED static int teardown(void **state)
{
	server_free(server);
	server = NULL;
	fake_reset();
	return place_remove(state);
}

MAYBE_UNUSED static void add_unix(const char *name, void *context)
{
	struct listen_options o = {.mode = 0600, .group = (gid_t)-1};

	assert_int_equal(addr_unix(&o.addr, in_place(name), &d), 0);
	if (listen_open(&options.socket, &o, &d) != 0)
		fail_msg("%s", d.text);
	options.keys = NULL;
	options.context = context;
	assert_int_equal(server_add(server, &options, &unix_id, &d), 0);
}

MAYBE_UNUSED static void add_tcp(void)
{
	struct listen_options o = {.group = (gid_t)-1};

	assert_int_equal(addr_tcp(&o.addr, "127.0.0.1", 0, &d), 0);
	if (listen_open(&options.socket, &o, &d) != 0)
		fail_msg("%s", d.text);
	tcp_port = options.socket.addr.port;
	options.keys = rig_keys(1);
	assert_int_equal(server_add(server, &options, &tcp_id, &d), 0);
}

MAYBE_UNUSED static void serve(void)
{
	if (server_resume(server, &d) != 0)
		fail_msg("%s", d.text);
}

MAYBE_UNUSED static int dial_fd(const char *name)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memcpy(to.sun_path, in_place(name), strlen(in_place(name)) + 1);
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0) {
		close(fd);
		return -1;
	}
	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	return fd;
}

MAYBE_UNUSED static struct channel *dial(const char *name)
{
	int fd = dial_fd(name);

	assert_true(fd >= 0);
	return channel_new(fd, MSG_MAX, 0);
}

MAYBE_UNUSED static int dial_tcp_fd(void)
{
	struct sockaddr_in to = {.sin_family = AF_INET,
		.sin_port = htons(tcp_port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	return fd;
}

MAYBE_UNUSED static struct channel *dial_tcp(void)
{
	struct channel *ch = channel_new(dial_tcp_fd(), MSG_MAX, 1);
	struct noise_handshake hs;
	uint8_t first[NOISE_MESSAGE];

	rig_shake_begin(&hs, 0, first);
	assert_int_equal(channel_put_record(ch, (struct span){first, sizeof(first)}), 0);
	assert_int_equal(rig_flush(ch), 0);
	assert_int_equal(rig_shake_end(&hs, ch), 0);
	return ch;
}

MAYBE_UNUSED static void greet(struct channel *ch)
{
	struct msg m;

	say(ch, rig_hello());
	rig_hear(ch, &m, MSG_WELCOME);
}

MAYBE_UNUSED static void asks(struct channel *ch, uint32_t id)
{
	struct msg m;

	say(ch, rig_dump(id, 0));
	rig_hear(ch, &m, MSG_DUMP_BEGIN);
	assert_int_equal(m.dump_begin.id, id);
	rig_hear(ch, &m, MSG_DUMP_END);
	say(ch, rig_eval(id));
	rig_hear(ch, &m, MSG_RESULT);
	assert_int_equal(m.result.id, id);
}

MAYBE_UNUSED static void pause_ms(long ms)
{
	const struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};

	nanosleep(&t, NULL);
}

/* Parked, so that it may be looked at. */
MAYBE_UNUSED static size_t count_of(enum session_state state)
{
	size_t n;

	server_park(server);
	n = server_sessions(server, state);
	serve();
	return n;
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

#endif
