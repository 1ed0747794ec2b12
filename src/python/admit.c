/*
 * admit.c: the audit hooks of the program have a say in who comes in. Nothing here waits on the net
 * thread; the hooks run on a lane of their own, since one that blocks must hold up nobody else.
 */
#include <Python.h>

#include "admit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compat.h"
#include "compat_eval.h"
#include "lane.h"
#include "raised.h"

#define WHO_MAX 160

struct admit_job {
	struct gil_job job; /* first: the lane knows only this */
	struct port *port;
	enum role role;
	char who[WHO_MAX];
};

/* GIL held, an exception is set. The first line of it goes to the client and to the log. */
static void veto(struct port *port)
{
	PyObject *raised = compat_take_raised();
	PyObject *line = raised != NULL ? raised_line(raised) : NULL;
	Py_ssize_t len = 0;
	const char *text = line != NULL ? PyUnicode_AsUTF8AndSize(line, &len) : NULL;
	struct span words = {(const uint8_t *)text, (size_t)len};

	port_veto(port, PORT_ADMIT, 0,
		text != NULL ? words : span_text("an audit hook of the program said no"));
	PyErr_Clear();
	Py_XDECREF(line);
	Py_XDECREF(raised);
}

static void admit_run(struct gil_job *job)
{
	struct admit_job *j = (struct admit_job *)job;
	struct gil_hold hold;

	lane_enter(&hold);
	if (port_claim(j->port, PORT_ADMIT, 0) == 0) {
		if (PySys_Audit("pystuck.connect", "ss", j->who, role_name((int)j->role)) != 0)
			veto(j->port);
		port_done(j->port, PORT_ADMIT, 0);
	}
	lane_leave(&hold);
	port_unref(j->port);
	free(j);
}

int admit_request(struct port *port, const char *who, enum role role)
{
	struct admit_job *j;

	if (!compat_has_audit_hooks())
		return 0;
	j = malloc(sizeof *j);
	if (j == NULL)
		return -1;
	j->job = (struct gil_job){.run = admit_run};
	j->port = port_ref(port);
	j->role = role;
	(void)snprintf(j->who, sizeof j->who, "%s", who);
	if (lane_submit(LANE_ADMIT, &j->job) == 0)
		return 1;
	port_unref(j->port);
	free(j);
	return -1;
}
