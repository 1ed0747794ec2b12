/*
 * session_lead.c: who watches an open session: the net thread, or the thread that evaluates for it.
 * Reading and what follows are session.c's, whoever does it; waiting is port_wait.c's.
 *
 * From the second request for it on a session is led by its evaluation thread: it polls the fd when it has
 * nothing else to do, and runs the session when something comes, with the turn, as the net thread
 * would. A request to evaluate is then its own, without a wake-up of anybody.
 *
 * Who watches meanwhile? The net thread looks now and then while evaluations come, and takes the
 * session back when it sees one that has been running since it last looked. So an interrupt, a hang-up or
 * a dump beside an evaluation is seen LOOK_MS late at most. Nothing comes: it sleeps, and the next
 * request calls it once.
 *
 * A wrong guess about who polls costs time alone: whoever has the turn may run the session.
 */
#include <poll.h>

#include "session_private.h"
#include "wake.h"

#define MS 1000000u /* ns */
#define LOOK_MS 20
#define LEAD_FROM 2 /* requests: who asks once and leaves is served as before */

static void call(const struct session *s)
{
	(void)wake_call(&s->door->wake);
}

/* Calls the net thread if it would sleep past what it has to do for this session. */
static void call_in_time(const struct session *s)
{
	struct turn *turn = s->door->turn;
	uint64_t audit = audit_deadline(s->door->audit), due = service_due(s->door->service);
	uint64_t next = session_deadline(s);

	if (audit < next)
		next = audit;
	if (due < next)
		next = due;
	if (next >= turn->until)
		return;
	turn->until = next;
	call(s);
}

/* Is it all as it is between two evaluations? */
static int is_quiet(const struct session *s)
{
	return s->state == SESSION_OPEN && !s->has_aside && session_events(s) == POLLIN &&
	       port_request(s->port, PORT_EVAL) == PORT_FREE;
}

int session_lead(struct session *s)
{
	if (s->led)
		return 1;
	if (s->door->turn->parked || s->asked < LEAD_FROM || !is_quiet(s))
		return 0;
	s->led = 1;
	s->look_at = UINT64_MAX;
	s->looked = s->asked;
	/* It polls the fd until it is told. */
	call(s);
	return 1;
}

void session_unlead(struct session *s)
{
	if (!s->led)
		return;
	s->led = 0;
	call(s);
}

void session_lead_asked(struct session *s)
{
	s->asked++;
	/* Also when the net thread has read it, which had not been told yet that the session is led. */
	if (s->look_at == UINT64_MAX)
		s->look_at = s->now + (uint64_t)LOOK_MS * MS;
}

int session_act(struct session *s, short revents, uint64_t now)
{
	if (!s->led)
		return 0;
	/* Somebody has closed the fd behind our back. */
	if ((revents & POLLNVAL) != 0)
		revents = POLLERR;
	session_run(s, revents, now);
	if (s->state != SESSION_OPEN || (revents & ~POLLIN) != 0 || session_events(s) != POLLIN) {
		session_unlead(s);
		return 1;
	}
	call_in_time(s);
	return 1;
}

int session_is_led(struct session *s)
{
	/* The net thread is to poll for more than what the client says. */
	if (s->led && session_events(s) != POLLIN)
		s->led = 0;
	return s->led;
}

void session_look(struct session *s, uint64_t now)
{
	int running = port_request(s->port, PORT_EVAL) != PORT_FREE;

	if (!s->led || now < s->look_at)
		return;
	if (running && now >= s->eval_since + (uint64_t)LOOK_MS * MS)
		s->led = 0;
	else if (running)
		s->look_at = s->eval_since + (uint64_t)LOOK_MS * MS;
	else
		s->look_at = s->asked != s->looked ? now + (uint64_t)LOOK_MS * MS : UINT64_MAX;
	s->looked = s->asked;
}
