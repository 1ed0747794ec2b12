/*
 * service_rig.h: a service that is played, keys, and the client's half of the handshake; for tests
 * of session and server.
 */
#ifndef TEST_SERVICE_RIG_H
#define TEST_SERVICE_RIG_H

#include <pthread.h>

#include <sodium.h>

#include "keyfile.h"
#include "noise.h"
#include "service.h"
#include "wire_rig.h"

enum fake_mode {
	FAKE_ANSWER, /* at once, from within the call */
	FAKE_CLAIM,  /* claims and leaves the rest to the test */
	FAKE_HOLD,   /* leaves it all to the test */
};

/* What the service was asked, and how it behaves. */
static struct fake {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	int opens, closes, dumps, evals, completes, dumps_late, evals_late, interrupts, detaches, backgrounds;
	int slow_late; /* a late dump is answered only at the last moment */
	uint32_t dump_id, eval_id, interrupt_id, detach_id;
	uint64_t waited_us;
	struct service_client who; /* the last one that was opened */
	struct port *port;         /* its port, with a reference */
	struct port **handle;      /* what open returned for it */
	int refuse_open;
	int admit;  /* what admit returns; 0: nobody is asked */
	int admits; /* how often it was called */
	enum fake_mode dump_mode, eval_mode;
	_Atomic unsigned due_ms; /* how long after an evaluation has come the service wants to be looked after; 0: not */
	_Atomic uint64_t due_at;
	int ticks;
	pid_t net_tid; /* as the server says */
} fake = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void fake_count(int *counter)
{
	pthread_mutex_lock(&fake.lock);
	(*counter)++;
	pthread_cond_broadcast(&fake.changed);
	pthread_mutex_unlock(&fake.lock);
}

/* Waits until a counter has got there. */
MAYBE_UNUSED static void fake_await(const int *counter, int value)
{
	struct timespec until;
	int got;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += PATIENCE_MS / 1000;
	pthread_mutex_lock(&fake.lock);
	while (*counter < value)
		if (pthread_cond_timedwait(&fake.changed, &fake.lock, &until) != 0)
			break;
	got = *counter;
	pthread_mutex_unlock(&fake.lock);
	assert_int_equal(got, value);
}

MAYBE_UNUSED static int fake_get(const int *counter)
{
	int got;

	pthread_mutex_lock(&fake.lock);
	got = *counter;
	pthread_mutex_unlock(&fake.lock);
	return got;
}

static int fake_admit(void *context, const struct service_client *who, struct port *port)
{
	(void)context;
	(void)who;
	(void)port;
	fake_count(&fake.admits);
	return fake.admit;
}

static void *fake_open(void *context, const struct service_client *who, struct port *port)
{
	struct port **handle;

	(void)context;
	if (fake.refuse_open)
		return NULL;
	handle = malloc(sizeof(*handle));
	*handle = port_ref(port);
	pthread_mutex_lock(&fake.lock);
	if (fake.port != NULL)
		port_unref(fake.port);
	fake.port = port_ref(port);
	fake.who = *who;
	fake.handle = handle;
	pthread_mutex_unlock(&fake.lock);
	fake_count(&fake.opens);
	return handle;
}

static void fake_answer_dump(struct port *port, uint32_t id, enum dump_how how)
{
	struct buf run;
	struct msg m = {.type = MSG_DUMP_BEGIN};

	buf_init(&run, 4096);
	m.dump_begin = (struct msg_dump_begin){.id = id, .how = (uint8_t)how};
	(void)channel_frame(&run, &m);
	m = (struct msg){.type = MSG_DUMP_END};
	m.dump_end = (struct msg_dump_end){.id = id};
	(void)channel_frame(&run, &m);
	(void)port_answer_framed(port, &run);
	buf_free(&run);
}

static void fake_dump(void *session, const struct msg_dump *request)
{
	struct port *port = *(struct port **)session;

	fake.dump_id = request->id;
	if (fake.dump_mode != FAKE_HOLD && port_claim(port, PORT_DUMP, request->id) == 0 &&
		fake.dump_mode == FAKE_ANSWER) {
		fake_answer_dump(port, request->id, DUMP_HOW_GIL);
		port_done(port, PORT_DUMP, request->id);
	}
	fake_count(&fake.dumps);
}

/* For tests in which evaluations may come meanwhile. */
MAYBE_UNUSED static void fake_set_eval_mode(enum fake_mode mode)
{
	pthread_mutex_lock(&fake.lock);
	fake.eval_mode = mode;
	pthread_mutex_unlock(&fake.lock);
}

static void fake_eval(void *session, const struct msg_eval *request)
{
	struct port *port = *(struct port **)session;
	struct msg m = rig_result(request->id);
	enum fake_mode mode;
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	if (fake.due_ms != 0)
		fake.due_at = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec + fake.due_ms * (uint64_t)1000000;
	pthread_mutex_lock(&fake.lock);
	mode = fake.eval_mode;
	fake.eval_id = request->id;
	pthread_mutex_unlock(&fake.lock);
	if (mode != FAKE_HOLD && port_claim(port, PORT_EVAL, request->id) == 0 &&
		mode == FAKE_ANSWER) {
		(void)port_answer(port, &m);
		port_done(port, PORT_EVAL, request->id);
	}
	fake_count(&fake.evals);
}

static void fake_dump_late(void *session, const struct msg_dump *request, uint64_t waited_us, int last)
{
	struct port *port = *(struct port **)session;

	fake.waited_us = waited_us;
	if ((last || !fake.slow_late) && port_claim(port, PORT_DUMP, request->id) == 0) {
		fake_answer_dump(port, request->id, DUMP_HOW_OS);
		port_done(port, PORT_DUMP, request->id);
	}
	fake_count(&fake.dumps_late);
}

static void fake_eval_late(void *session, uint32_t id, uint64_t waited_us)
{
	struct msg m = {.type = MSG_ERROR};

	fake.waited_us = waited_us;
	m.error = (struct msg_error){.id = id, .reason = REASON_GIL, .text = span_text("late")};
	(void)port_answer(*(struct port **)session, &m);
	fake_count(&fake.evals_late);
}

static void fake_interrupt(void *session, uint32_t id)
{
	(void)session;
	fake.interrupt_id = id;
	fake_count(&fake.interrupts);
}

static void fake_detach(void *session, uint32_t id)
{
	(void)session;
	fake.detach_id = id;
	fake_count(&fake.detaches);
}

static void fake_close(void *session)
{
	struct port **handle = session;

	port_unref(*handle);
	free(handle);
	fake_count(&fake.closes);
}

static const struct msg_welcome *fake_welcome(void *context)
{
	static struct msg_welcome welcome;

	(void)context;
	welcome = (struct msg_welcome){.pid = 4242,
		.uid = 7,
		.started_ns = 1,
		.pystuck = span_text("0.1.0"),
		.python = span_text("3.11.2"),
		.command = span_text("python")};
	return &welcome;
}

static void fake_complete(void *session, const struct msg_complete *request)
{
	struct port *port = *(struct port **)session;
	struct msg m = {.type = MSG_MATCHES, .matches = {.id = request->id, .from = (uint32_t)request->source.len}};

	if (fake.eval_mode != FAKE_HOLD && port_claim(port, PORT_EVAL, request->id) == 0 &&
		fake.eval_mode == FAKE_ANSWER) {
		(void)port_answer(port, &m);
		port_done(port, PORT_EVAL, request->id);
	}
	fake_count(&fake.completes);
}

static void fake_where(void *session, uint32_t id)
{
	struct msg m = {.type = MSG_PLACE, .place = {.id = id, .text = span_text("time.sleep")}};

	(void)port_answer(*(struct port **)session, &m);
}

static void fake_background(void *session, uint32_t id)
{
	(void)session;
	(void)id;
	fake_count(&fake.backgrounds);
}

static uint64_t fake_due(void)
{
	return fake.due_at != 0 ? fake.due_at : UINT64_MAX;
}

static void fake_tick(uint64_t now)
{
	/* Too soon does not count. */
	if (fake.due_at == 0 || now < fake.due_at)
		return;
	fake.due_at = 0;
	fake_count(&fake.ticks);
}

static void fake_thread(pid_t tid)
{
	pthread_mutex_lock(&fake.lock);
	fake.net_tid = tid;
	pthread_mutex_unlock(&fake.lock);
}

static const struct service fake_service MAYBE_UNUSED = {
	.admit = fake_admit,
	.open = fake_open,
	.dump = fake_dump,
	.eval = fake_eval,
	.complete = fake_complete,
	.dump_late = fake_dump_late,
	.eval_late = fake_eval_late,
	.interrupt = fake_interrupt,
	.detach = fake_detach,
	.where = fake_where,
	.background = fake_background,
	.close = fake_close,
	.due = fake_due,
	.tick = fake_tick,
	.thread = fake_thread,
	.welcome = fake_welcome,
};

/* Every session that was opened has been closed, once. */
MAYBE_UNUSED static void fake_reset(void)
{
	port_unref(fake.port);
	fake.port = NULL;
	assert_int_equal(fake.opens, fake.closes);
	fake.opens = fake.closes = fake.dumps = fake.evals = 0;
	fake.slow_late = fake.dumps_late = fake.completes = fake.evals_late = fake.interrupts = fake.detaches = fake.backgrounds = 0;
	fake.refuse_open = fake.admit = fake.admits = 0;
	fake.eval_id = 0;
	fake.due_ms = 0;
	fake.due_at = 0;
	fake.ticks = 0;
	fake.dump_mode = fake.eval_mode = FAKE_ANSWER;
}

/* ---- keys ------------------------------------------------------------------------------------ */

/* Key i has the name "keyI" and 32 bytes of i + 1. */
MAYBE_UNUSED static struct keyring *rig_keys(size_t count)
{
	char text[KEYFILE_MAX] = "";
	size_t used = 0;
	struct keyring *ring;

	for (size_t i = 0; i < count; i++) {
		uint8_t key[NOISE_KEY];
		char base64[64];

		memset(key, (int)(i + 1), sizeof(key));
		sodium_bin2base64(
			base64, sizeof(base64), key, sizeof(key), sodium_base64_VARIANT_ORIGINAL);
		used += (size_t)snprintf(
			text + used, sizeof(text) - used, "pystuck-key-1 key%zu %s\n", i, base64);
	}
	ring = keyfile_parse(span_text(text), "test", NULL);
	assert_non_null(ring);
	return ring;
}

/* The first message of a client with key i; the state goes on with rig_shake_end. */
MAYBE_UNUSED static void rig_shake_begin(
	struct noise_handshake *hs, size_t i, uint8_t out[NOISE_MESSAGE])
{
	uint8_t key[NOISE_KEY];
	size_t len = 0;

	memset(key, (int)(i + 1), sizeof(key));
	noise_start(hs, NOISE_INITIATOR, key, NOISE_PROLOGUE, NOISE_PROLOGUE_LEN);
	assert_int_equal(noise_write(hs, NULL, 0, out, NOISE_MESSAGE, &len), 0);
	assert_int_equal(len, NOISE_MESSAGE);
}

/* After the server's message is there: 0, or what was wrong. */
MAYBE_UNUSED static int rig_shake_end(struct noise_handshake *hs, struct channel *ch)
{
	struct noise_cipher send, receive;
	struct span record;
	uint8_t none[1];
	size_t len = 0;
	int rc;

	while ((rc = channel_take_record(ch, NOISE_MESSAGE, &record)) == PYSTUCK_EAGAIN) {
		rc = channel_fill(ch);
		if (rc == PYSTUCK_EAGAIN && rig_poll(channel_fd(ch), POLLIN, PATIENCE_MS) == 0)
			return PYSTUCK_ETIME;
		if (rc == 0)
			return PYSTUCK_ECLOSED;
		if (rc < 0 && rc != PYSTUCK_EAGAIN)
			return rc;
	}
	if (rc == 0)
		rc = noise_read(hs, record.data, record.len, none, 0, &len);
	if (rc == 0)
		rc = noise_split(hs, &send, &receive, NULL);
	if (rc == 0)
		channel_seal(ch, &send, &receive);
	return rc;
}

/* ---- what clients say ------------------------------------------------------------------------ */

MAYBE_UNUSED static struct msg rig_hello(void)
{
	struct msg m = {.type = MSG_HELLO};

	m.hello = (struct msg_hello){.magic = span_text(PROTOCOL_MAGIC),
		.version = PROTOCOL_VERSION,
		.client = span_text("0.1.0")};
	return m;
}

MAYBE_UNUSED static struct msg rig_dump(uint32_t id, uint8_t flags)
{
	struct msg m = {.type = MSG_DUMP};

	m.dump = (struct msg_dump){.id = id, .flags = flags};
	return m;
}

MAYBE_UNUSED static struct msg rig_eval(uint32_t id)
{
	struct msg m = {.type = MSG_EVAL};

	m.eval = (struct msg_eval){.id = id, .source = span_text("1+1")};
	return m;
}

MAYBE_UNUSED static struct msg rig_complete(uint32_t id, uint8_t flags)
{
	struct msg m = {.type = MSG_COMPLETE};

	m.complete = (struct msg_complete){.id = id, .flags = flags, .source = span_text("os.")};
	return m;
}

MAYBE_UNUSED static struct msg rig_interrupt(uint32_t id)
{
	struct msg m = {.type = MSG_INTERRUPT};

	m.interrupt.id = id;
	return m;
}

MAYBE_UNUSED static struct msg rig_where(uint32_t id)
{
	struct msg m = {.type = MSG_WHERE};

	m.where.id = id;
	return m;
}

MAYBE_UNUSED static struct msg rig_background(uint32_t id)
{
	struct msg m = {.type = MSG_BACKGROUND};

	m.background.id = id;
	return m;
}

MAYBE_UNUSED static struct msg rig_detach(uint32_t id)
{
	struct msg m = {.type = MSG_DETACH};

	m.detach.id = id;
	return m;
}

MAYBE_UNUSED static struct msg rig_bye(void)
{
	struct msg m = {.type = MSG_BYE};

	return m;
}

MAYBE_UNUSED static void say(struct channel *ch, struct msg m)
{
	assert_int_equal(rig_say(ch, &m), 0);
}

#endif
