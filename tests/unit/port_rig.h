/*
 * port_rig.h: a port and its client on a socketpair; the test is the net thread.
 */
#ifndef TEST_PORT_RIG_H
#define TEST_PORT_RIG_H

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/eventfd.h>

#include "../../src/server/port_private.h"
#include "wire_rig.h"

static int fds[2];
static int wake_fd;
static struct port *port;
static struct channel *client;
static uint8_t kilobyte[1024];

MAYBE_UNUSED static int setup_with(int buffer)
{
	rig_pair(fds, buffer);
	wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	port = port_new(channel_new(fds[0], MSG_MAX, 0), wake_fd);
	client = channel_new(fds[1], MSG_MAX, 0);
	memset(kilobyte, 'k', sizeof(kilobyte));
	return port == NULL || client == NULL || wake_fd < 0;
}

MAYBE_UNUSED static int setup(void **state)
{
	(void)state;
	return setup_with(0);
}

MAYBE_UNUSED static int setup_narrow(void **state)
{
	(void)state;
	return setup_with(4096);
}

MAYBE_UNUSED static int teardown(void **state)
{
	(void)state;
	port_close(port);
	port_unref(port);
	channel_free(client);
	close(wake_fd);
	return 0;
}

/* How often the net thread was called since the last time. */
MAYBE_UNUSED static uint64_t wakes(void)
{
	uint64_t count = 0;

	return read(wake_fd, &count, sizeof(count)) == sizeof(count) ? count : 0;
}

MAYBE_UNUSED static size_t pending(void)
{
	struct port_load load;

	port_load(port, &load);
	return load.bytes;
}

MAYBE_UNUSED static int blocked(void)
{
	struct port_load load;

	port_load(port, &load);
	return load.blocked;
}

MAYBE_UNUSED static int write_kilobyte(uint32_t id)
{
	struct msg m = rig_output(id, (struct span){kilobyte, sizeof(kilobyte)});

	return port_try_write(port, &m);
}

/* Reads and pumps until nothing is left; how many messages came. */
MAYBE_UNUSED static size_t drain(void)
{
	struct msg m;
	size_t n = 0;

	for (;;) {
		(void)port_pump(port);
		if (rig_hear_within(client, &m, 0) == 1)
			n++;
		else if (pending() == 0 && rig_hear_within(client, &m, 0) != 1)
			return n;
	}
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
#define NARROW(f) cmocka_unit_test_setup_teardown(f, setup_narrow, teardown)

#endif
