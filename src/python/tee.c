/*
 * tee.c: the list of those who want copies. The switch in sys.stdout (stream_type.c) hands over what
 * it has passed on; where it stands is stream.c's.
 */
#include <Python.h>

#include "tee.h"

#include <stdio.h>
#include <stdlib.h>

#include "error.h"
#include "stream_type.h"
#include "text.h"

#define TEE_CHUNK (32u * 1024)

struct tee {
	struct tee *next;
	struct port *port;
	uint32_t id;
	int which;
	int gone;       /* its client is */
	uint64_t dropped; /* bytes since the last line that said so */
};

static struct tee *tees;

static struct tee *find(const struct port *port, int which)
{
	struct tee *t = tees;

	while (t != NULL && (t->port != port || t->which != which))
		t = t->next;
	return t;
}

int tee_start(struct port *port, uint32_t id, int which)
{
	struct tee *t = find(port, which);

	if (t != NULL) {
		t->id = id;
		return 0;
	}
	t = calloc(1, sizeof *t);
	if (t == NULL) {
		PyErr_NoMemory();
		return -1;
	}
	if (stream_hold() != 0) {
		free(t);
		return -1;
	}
	*t = (struct tee){.next = tees, .port = port_ref(port), .id = id, .which = which};
	tees = t;
	return 0;
}

static int send(struct tee *t, struct span text)
{
	struct msg m = {.type = MSG_OUTPUT, .output = {.id = t->id, .stream = (uint8_t)(t->which + 1), .text = text}};

	return port_try_copy(t->port, &m);
}

/* 0 when there is nothing more to be said of it. */
static int say_dropped(struct tee *t)
{
	char text[64];

	if (t->dropped == 0)
		return 0;
	snprintf(text, sizeof text, "\n... %llu bytes dropped ...\n", (unsigned long long)t->dropped);
	int rc = send(t, span_text(text));

	if (rc == 0)
		t->dropped = 0;
	return rc;
}

static void copy(struct tee *t, struct span text)
{
	int rc = say_dropped(t);

	while (rc == 0 && text.len > 0) {
		struct span chunk = {text.data, text_whole(text, TEE_CHUNK)};

		rc = send(t, chunk);
		if (rc != 0)
			break;
		text.data += chunk.len;
		text.len -= chunk.len;
	}
	t->dropped += text.len;
	t->gone = rc == PYSTUCK_ECLOSED;
}

/* Takes those out that are marked. */
static void drop_gone(void)
{
	struct tee **at = &tees, *gone = NULL, *t;

	while ((t = *at) != NULL) {
		if (!t->gone) {
			at = &t->next;
			continue;
		}
		*at = t->next;
		t->next = gone;
		gone = t;
	}
	/* Letting go of the streams may run code that comes back here: the list is whole by then. */
	while ((t = gone) != NULL) {
		gone = t->next;
		(void)say_dropped(t);
		port_unref(t->port);
		free(t);
		stream_release();
	}
}

void tee_stop(struct port *port, int which)
{
	for (struct tee *t = tees; t != NULL; t = t->next)
		if (t->port == port && (which == TEE_BOTH || t->which == which))
			t->gone = 1;
	drop_gone();
}

int tee_wants(int which)
{
	for (const struct tee *t = tees; t != NULL; t = t->next)
		if (t->which == which)
			return 1;
	return 0;
}

static int copy_to_all(int which, struct span text)
{
	int any_gone = 0;

	for (struct tee *t = tees; t != NULL; t = t->next)
		if (t->which == which) {
			copy(t, text);
			any_gone |= t->gone;
		}
	return any_gone;
}

void tee_copy(int which, PyObject *text)
{
	PyObject *bytes = NULL;
	struct span span;

	if (!PyUnicode_Check(text))
		return;
	if (PyUnicode_IS_ASCII(text)) {
		span = (struct span){PyUnicode_DATA(text), (size_t)PyUnicode_GET_LENGTH(text)};
	} else {
		bytes = PyUnicode_AsEncodedString(text, "utf-8", STREAM_ERRORS);
		if (bytes == NULL) {
			PyErr_Clear();
			return;
		}
		span = (struct span){(const uint8_t *)PyBytes_AS_STRING(bytes), (size_t)PyBytes_GET_SIZE(bytes)};
	}
	int any_gone = copy_to_all(which, span);

	Py_XDECREF(bytes);
	if (any_gone)
		drop_gone();
}

void tee_forget(void)
{
	/* What they refer to is the parent's: it is left alone. */
	tees = NULL;
}
