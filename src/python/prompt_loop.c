/*
 * prompt_loop.c: %loop. Loops are found by loops.c, threads by target.c.
 */
#include <Python.h>

#include "prompt_loop.h"

#include <string.h>

#include "loops.h"
#include "target.h"

#define TEXT_MAX 65536

static void put_loop(struct buf *out, const struct loops_one *one, uint64_t chosen)
{
	struct target t;
	const char *type = Py_TYPE(one->loop)->tp_name;

	if (target_of_thread(&t, one->ident))
		target_name(&t, out);
	target_free(&t);
	(void)buf_put(out, ": ", 2);
	(void)buf_put(out, type, strlen(type));
	if (one->ident == chosen)
		(void)buf_put(out, ", chosen", 8);
	(void)buf_put(out, "\n", 1);
}

static int list(const struct prompt *p)
{
	struct loops l;
	struct buf text;
	int rc = loops_find(&l);

	buf_init(&text, TEXT_MAX);
	for (size_t i = 0; rc == 0 && i < l.count; i++)
		put_loop(&text, &l.list[i], p->space->loop);
	if (l.count == 0)
		(void)buf_put(&text, "no event loop runs\n", 19);
	loops_clear(&l);
	(void)buf_put_u8(&text, 0);
	if (rc == 0)
		rc = prompt_say((const char *)buf_bytes(&text));
	buf_free(&text);
	return rc;
}

int prompt_loop(const struct prompt *p, struct span arguments)
{
	struct target t;
	int rc;

	if (arguments.len == 0)
		return list(p);
	if (span_equals(arguments, "off")) {
		p->space->loop = 0;
		return 0;
	}
	rc = target_find(&t, arguments, "%loop");
	if (rc == 1) {
		p->space->loop = t.thread->ident;
		rc = 0;
	}
	target_free(&t);
	return rc;
}
