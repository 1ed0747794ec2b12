/*
 * target.c: finds a thread and a frame among those that a dump would show, in the same order.
 */
#include <Python.h>

#include "target.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compat_eval.h"
#include "prompt.h"

/* --- words ---------------------------------------------------------------- */

static struct span unquoted(struct span s)
{
	if (s.len >= 2 && (s.data[0] == '"' || s.data[0] == '\'') && s.data[s.len - 1] == s.data[0])
		return (struct span){s.data + 1, s.len - 2};
	return s;
}

/* A whole number, with a sign: 1. */
static int is_number(struct span s, long long *number)
{
	char text[24], *end;

	if (s.len == 0 || s.len >= sizeof text)
		return 0;
	memcpy(text, s.data, s.len);
	text[s.len] = '\0';
	*number = strtoll(text, &end, 10);
	return *end == '\0';
}

/* "Thread-1" is enough for "Thread-1 (worker)", as Python calls them by itself. */
static int is_name(struct span name, struct span text)
{
	if (text.len == 0 || name.len < text.len || memcmp(name.data, text.data, text.len) != 0)
		return 0;
	return name.len == text.len || (name.len > text.len + 1 && memcmp(name.data + text.len, " (", 2) == 0);
}

/* --- threads and frames --------------------------------------------------- */

/* How many threads are meant; the last of them is noted. */
static uint32_t find_thread(struct target *t, struct span text)
{
	long long number = 0;
	uint32_t found = 0;
	int numeric;

	text = unquoted(text);
	numeric = is_number(text, &number);
	for (uint32_t i = 0; i < t->frames.thread_count; i++) {
		const struct frames_thread *one = &t->frames.threads[i];

		if (is_name(pytext_span(&t->frames.text, one->name), text) ||
			(numeric && number > 0 && ((uint64_t)number == one->ident || number == one->tid))) {
			t->thread = one;
			found++;
		}
	}
	return found;
}

/* What stands behind the last space, and *text without it. */
static struct span last_word(struct span *text)
{
	size_t at = text->len;
	struct span word;

	while (at > 0 && text->data[at - 1] != ' ' && text->data[at - 1] != '\t')
		at--;
	word = (struct span){text->data + at, text->len - at};
	while (at > 0 && (text->data[at - 1] == ' ' || text->data[at - 1] == '\t'))
		at--;
	text->len = at;
	return word;
}

static int collect(struct target *t)
{
	*t = (struct target){.thread = NULL};
	frames_init(&t->frames);
	if (frames_collect(&t->frames, 0, 0, NULL) == 0)
		return 0;
	PyErr_SetString(PyExc_RuntimeError, "the list of threads cannot be had now");
	return -1;
}

/* Counted from the outermost, or, negative, from the innermost. 1 when there is one. */
static int choose_frame(struct target *t, long long number)
{
	long long count = t->thread->count;

	if (number < 0)
		number += count;
	if (number < 0 || number >= count)
		return 0;
	t->frame = (uint32_t)number;
	return 1;
}

static int complain(const char *words, const char *why, struct span text)
{
	char line[160];

	snprintf(line, sizeof line, "%s: %s", words, why);
	return prompt_complain(line, text) == 0 ? 0 : -1;
}

int target_find(struct target *t, struct span text, const char *words)
{
	struct span thread = text, frame;
	long long number = -1;
	uint32_t found;
	char range[64];

	if (collect(t) != 0)
		return -1;
	found = find_thread(t, text);
	if (found == 0) {
		frame = last_word(&thread);
		if (thread.len > 0 && is_number(frame, &number))
			found = find_thread(t, thread);
	}
	if (found == 0)
		return complain(words, "no thread has this name, ident or tid (%threads lists them): ", text);
	if (found > 1)
		return complain(words, "several threads have this name; say a tid (%threads lists them): ", text);
	if (choose_frame(t, number))
		return 1;
	snprintf(range, sizeof range, "0 is the outermost, %u the innermost or -1; not ", t->thread->count - 1);
	return complain(words, t->thread->count > 0 ? range : "this thread runs no Python code now: ", text);
}

int target_of_thread(struct target *t, uint64_t ident)
{
	if (collect(t) != 0) {
		PyErr_Clear();
		return 0;
	}
	for (uint32_t i = 0; i < t->frames.thread_count; i++)
		if (t->frames.threads[i].ident == ident)
			t->thread = &t->frames.threads[i];
	return t->thread != NULL;
}

int target_again(struct target *t, uint64_t ident, const compat_frame *at)
{
	if (!target_of_thread(t, ident))
		return 0;
	for (uint32_t i = 0; i < t->thread->count; i++)
		if (t->frames.frames[t->thread->first + i].at == (uintptr_t)at) {
			t->frame = t->thread->count - 1 - i;
			return 1;
		}
	return 0;
}

void target_free(struct target *t)
{
	PyObject *raised = compat_take_raised();

	frames_release(&t->frames);
	frames_free(&t->frames);
	if (raised != NULL)
		compat_set_raised(raised);
}

const compat_frame *target_at(const struct target *t)
{
	uint32_t i = t->thread->first + (t->thread->count - 1 - t->frame);

	return (const compat_frame *)t->frames.frames[i].at;
}

void target_name(const struct target *t, struct buf *out)
{
	struct span name = pytext_span(&t->frames.text, t->thread->name);
	char tid[32];

	snprintf(tid, sizeof tid, name.len > 0 ? " (tid %u)" : "tid %u", t->thread->tid);
	(void)buf_put(out, name.data, name.len);
	(void)buf_put(out, tid, strlen(tid));
}

/* --- frames as objects ---------------------------------------------------- */

/* Borrowed; NULL: no such thread any more. */
static PyThreadState *state_of(uint64_t ident)
{
	PyThreadState *t = NULL;

	if (!compat_head_lock())
		return NULL;
	for (t = compat_first_thread(); t != NULL && t->thread_id != ident; t = compat_next_thread(t))
		;
	compat_head_unlock();
	return t;
}

/* The object that stands for the frame, borrowed; NULL: none yet. */
static PyFrameObject *object_of(const compat_frame *f)
{
#if PY_VERSION_HEX >= 0x030B0000
	return f->frame_obj;
#else
	/* 3.10: frames are objects. */
	return (PyFrameObject *)f;
#endif
}

/* Python makes the objects from the innermost frame outwards. No collection may come in between, which could run code. */
PyFrameObject *target_object(const struct target *t)
{
	PyThreadState *state = state_of(t->thread->ident);
	const compat_frame *at = target_at(t);
	int collecting = PyGC_Disable();
	PyFrameObject *frame = state != NULL ? PyThreadState_GetFrame(state) : NULL, *back;

	while (frame != NULL && object_of(at) != frame) {
		back = PyFrame_GetBack(frame);
		Py_DECREF(frame);
		frame = back;
	}
	if (collecting)
		PyGC_Enable();
	return frame;
}

PyFrameObject *target_live(uint64_t ident, const compat_frame *at, const void *object)
{
	PyThreadState *state = state_of(ident);

	for (compat_frame *f = state != NULL ? compat_top_frame(state) : NULL; f != NULL; f = compat_back(f))
		if (f == at)
			return compat_code(f) != NULL && object_of(f) == object ? (PyFrameObject *)Py_NewRef(object_of(f)) : NULL;
	return NULL;
}
