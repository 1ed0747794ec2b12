/*
 * port_rig.h: a port and its client on a socketpair; the test is the net thread.
 */
#ifndef TEST_PORT_RIG_H
#define TEST_PORT_RIG_H

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "../../src/server/port_private.h"
#include "../../src/server/wake.h"
#include "wire_rig.h"

static int fds[2];
static struct wake wake;
static struct port *port;
static struct channel *client;
static uint8_t kilobyte[1024];

MAYBE_UNUSED static int setup_with(int buffer)
{
	rig_pair(fds, buffer);
	if (wake_open(&wake) != 0)
		return -1;
	port = port_new(channel_new(fds[0], MSG_MAX, 0), &wake.out);
	client = channel_new(fds[1], MSG_MAX, 0);
	memset(kilobyte, 'k', sizeof(kilobyte));
	return port == NULL || client == NULL;
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
	wake_close(&wake);
	return 0;
}

/* How often the net thread was called since the last time. */
MAYBE_UNUSED static uint64_t wakes(void)
{
	int calls = wake_drain(&wake);

	return calls > 0 ? (uint64_t)calls : 0;
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
