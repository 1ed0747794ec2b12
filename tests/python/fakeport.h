/*
 * fakeport.h: a port (port.h) that keeps what is answered, for tests without a server.
 */
#ifndef PYSTUCK_TESTS_FAKEPORT_H
#define PYSTUCK_TESTS_FAKEPORT_H

#include <pthread.h>
#include <stdint.h>

#include "buf.h"
#include "port.h"

struct port {
	pthread_mutex_t lock;
	pthread_cond_t change;
	int references;
	int done;
	int claimed;
	int late; /* claims are refused */
	uint64_t answered_ns;
	struct buf bytes;
};

/* With one reference. Ends the process without memory. */
struct port *fakeport_new(void);

#endif
