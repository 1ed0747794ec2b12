/*
 * suspended.c: the second request of a look. What is kept of its answer: dump_suspended.c; how it looks: greenlets.c, generators.c.
 */
#include "suspended.h"

#include <stdlib.h>

#include "out.h"

uint8_t suspended_wanted(const struct dump *dump, const struct suspended_options *o)
{
	int there = dump->end.flags & DUMP_HAS_GREENLETS, greenlets;

	greenlets = o->greenlets == SUSPENDED_ALWAYS || (o->greenlets == SUSPENDED_AUTO && there);
	return (uint8_t)((greenlets ? DUMP_GREENLETS : 0) | (o->generators ? DUMP_GENERATORS : 0));
}

static const char *what(uint8_t flags)
{
	return flags == DUMP_GENERATORS ? "generators" : flags == DUMP_GREENLETS ? "greenlets" : "greenlets and generators";
}

static void forget(struct dump *dump)
{
	dump_free(dump->suspended);
	free(dump->suspended);
	dump->suspended = NULL;
}

int suspended_try(struct connection *c, uint32_t id, struct dump *dump, uint8_t flags, int *pending, int64_t deadline, int stop_fd,
	struct diag *d)
{
	int rc = 0;

	if (!*pending) {
		dump->suspended = malloc(sizeof *dump->suspended);
		if (dump->suspended == NULL)
			return diag_set(d, PYSTUCK_ENOMEM, 0, "%s", error_text(PYSTUCK_ENOMEM));
		dump_init(dump->suspended);
		dump->suspended->what = what(flags);
		dump->suspended->asked = flags;
		rc = dump_ask(c, id, flags, d);
		*pending = 1;
	}
	if (rc == 0)
		rc = dump_await(c, id, dump->suspended, deadline, stop_fd, d);
	if (rc == DUMP_STOPPED)
		return rc;
	*pending = 0;
	if (rc == 0)
		return 0;
	forget(dump);
	return rc;
}

int suspended_await(struct connection *c, uint32_t id, struct dump *dump, uint8_t flags, int *pending, int64_t deadline, int stop_fd,
	struct diag *d)
{
	int rc = suspended_try(c, id, dump, flags, pending, deadline, stop_fd, d);

	if (rc == 0 || rc == DUMP_STOPPED)
		return rc;
	/* The threads are there all the same. A connection that is lost shows itself again. */
	out_notice("%s", d->text);
	return rc == PYSTUCK_ENOMEM ? rc : 0;
}
