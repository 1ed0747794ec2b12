/*
 * status.c: from an error to an exit status, in one place.
 */
#include "status.h"

#include "out.h"

int status_of(int code)
{
	switch (code) {
	case PYSTUCK_OK:
		return STATUS_DONE;
	case PYSTUCK_EINVAL:
	case PYSTUCK_ETOOBIG:
		return STATUS_USAGE;
	case PYSTUCK_EAUTH:
	case PYSTUCK_EPERM:
	case PYSTUCK_EUNSAFE:
		return STATUS_REFUSED;
	default:
		return STATUS_LOST;
	}
}

int status_fail(const struct diag *d, long long timeout_ms)
{
	if (d->code == PYSTUCK_ETIME)
		out_notice("%s (waited %g s; see --timeout)", d->text, (double)timeout_ms / 1000);
	else
		out_notice("%s", d->text);
	return status_of(d->code);
}
