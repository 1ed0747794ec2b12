/*
 * task_stack.c: the frames of a task: from its coroutine to what that awaits, and so on; step by step and not by recursion, since a
 * chain may be as long as it likes. Also here: which functions of asyncio's those are.
 */
#include <Python.h>

#include "tasks_private.h"

#include <stdlib.h>
#include <string.h>

#include "look_dict.h"
#if PY_VERSION_HEX >= 0x030E0000
#include <internal/pycore_frame.h> /* 3.14: the states of a frame are in none of the others */
#endif

#define CHAIN_MAX 1000000u /* of a coroutine that awaits a coroutine that... */

/* --- generators, coroutines, asynchronous generators --- */

enum generator_state { UNBEGUN, SUSPENDED, EXECUTING, FINISHED };

static int is_generator(PyObject *o)
{
	return Py_TYPE(o) == &PyCoro_Type || Py_TYPE(o) == &PyGen_Type || Py_TYPE(o) == &PyAsyncGen_Type;
}

static enum generator_state state_of(PyObject *o)
{
	const PyGenObject *g = (const PyGenObject *)o;
#if PY_VERSION_HEX >= 0x030B0000
	int8_t state = g->gi_frame_state;

	if (state == FRAME_CREATED)
		return UNBEGUN;
	if (state == FRAME_EXECUTING)
		return EXECUTING;
#if PY_VERSION_HEX >= 0x030D0000
	return FRAME_STATE_SUSPENDED(state) ? SUSPENDED : FINISHED;
#else
	return state == FRAME_SUSPENDED ? SUSPENDED : FINISHED;
#endif
#else
	if (g->gi_frame == NULL)
		return FINISHED;
	switch (g->gi_frame->f_state) {
	case FRAME_CREATED:
		return UNBEGUN;
	case FRAME_SUSPENDED:
		return SUSPENDED;
	case FRAME_EXECUTING:
		return EXECUTING;
	default:
		return FINISHED;
	}
#endif
}

/* Its frame, whether it runs or not; not to be asked when it is FINISHED. */
static compat_frame *frame_of(PyObject *o)
{
#if PY_VERSION_HEX >= 0x030B0000
	return (compat_frame *)(void *)((char *)o + offsetof(PyGenObject, gi_iframe));
#else
	return ((PyGenObject *)o)->gi_frame;
#endif
}

compat_frame *task_stack_frame(PyObject *o)
{
	return is_generator(o) && state_of(o) == SUSPENDED ? frame_of(o) : NULL;
}

/* The function behind a builtin type's attribute; it is C code that reads a field. */
static const PyGetSetDef *getter_of(const PyTypeObject *type, const char *name)
{
	for (const PyGetSetDef *def = type->tp_getset; def != NULL && def->name != NULL; def++)
		if (strcmp(def->name, name) == 0)
			return def;
	return NULL;
}

static const PyGetSetDef *awaited_by_coroutine, *awaited_by_generator, *awaited_by_async_generator;

void task_stack_init(void)
{
	awaited_by_coroutine = getter_of(&PyCoro_Type, "cr_await");
	awaited_by_generator = getter_of(&PyGen_Type, "gi_yieldfrom");
	awaited_by_async_generator = getter_of(&PyAsyncGen_Type, "ag_await");
}

static PyObject *get(PyObject *o, const PyGetSetDef *def)
{
	PyObject *value = def != NULL ? def->get(o, def->closure) : NULL;

	if (value == NULL && def != NULL)
		PyErr_Clear();
	if (value == Py_None)
		Py_CLEAR(value);
	return value;
}

/* Helpers that stand between two frames: their first field is what they are about. */
struct helper {
	PyObject base;
	PyObject *inner;
};

static int is_helper(PyObject *o)
{
	static const char *const names[] = {"coroutine_wrapper", "async_generator_asend", "async_generator_athrow", "anext_awaitable"};

	/* Types of Python's own: no program makes one without a module in its name... */
	if (Py_TYPE(o)->tp_flags & Py_TPFLAGS_HEAPTYPE)
		return 0;
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (strcmp(Py_TYPE(o)->tp_name, names[i]) == 0)
			return 1;
	return 0;
}

PyObject *task_stack_next(PyObject *o)
{
	if (Py_TYPE(o) == &PyCoro_Type)
		return get(o, awaited_by_coroutine);
	if (Py_TYPE(o) == &PyGen_Type)
		return get(o, awaited_by_generator);
	if (Py_TYPE(o) == &PyAsyncGen_Type)
		return get(o, awaited_by_async_generator);
	return is_helper(o) ? Py_XNewRef(((struct helper *)o)->inner) : NULL;
}

/* --- functions of asyncio --- */

static const struct {
	const char *file, *name;
	enum task_function function;
} functions[] = {
	{"tasks.py", "sleep", FUNCTION_SLEEP},
	{"tasks.py", "_wait", FUNCTION_WAIT},
	{"tasks.py", "wait_for", FUNCTION_WAIT_FOR},
	{"tasks.py", "_wait_for_one", FUNCTION_AS_COMPLETED},
	{"locks.py", "acquire", FUNCTION_LOCK},
	{"locks.py", "wait", FUNCTION_LOCK},
	{"locks.py", "_block", FUNCTION_LOCK},
	{"locks.py", "_wait", FUNCTION_LOCK},
	{"queues.py", "get", FUNCTION_GET},
	{"queues.py", "put", FUNCTION_PUT},
	{"queues.py", "join", FUNCTION_JOIN},
	{"taskgroups.py", "__aexit__", FUNCTION_GROUP},
	{"taskgroups.py", "_aexit", FUNCTION_GROUP},
	{"staggered.py", "staggered_race", FUNCTION_STAGGERED},
	{"streams.py", "_wait_for_data", FUNCTION_READ},
	{"streams.py", "_drain_helper", FUNCTION_DRAIN},
	{"streams.py", "drain", FUNCTION_DRAIN},
	{"selector_events.py", "sock_recv", FUNCTION_SOCK_READ},
	{"selector_events.py", "sock_recv_into", FUNCTION_SOCK_READ},
	{"selector_events.py", "sock_recvfrom", FUNCTION_SOCK_READ},
	{"selector_events.py", "sock_recvfrom_into", FUNCTION_SOCK_READ},
	{"selector_events.py", "sock_sendall", FUNCTION_SOCK_WRITE},
	{"selector_events.py", "sock_sendto", FUNCTION_SOCK_WRITE},
	{"selector_events.py", "sock_accept", FUNCTION_SOCK_CONNECT},
	{"selector_events.py", "sock_connect", FUNCTION_SOCK_CONNECT},
	{"base_subprocess.py", "_wait", FUNCTION_CHILD},
	{"subprocess.py", "wait", FUNCTION_CHILD}, /* where the transport is not asyncio's: uvloop */
	{"events.py", "_run", FUNCTION_RUN},
	{"base_events.py", "_run_once", FUNCTION_RUN_ONCE},
};

static int is_ascii(PyObject *str, const char *text)
{
	size_t len = strlen(text);

	return str != NULL && PyUnicode_Check(str) && PyUnicode_IS_COMPACT_ASCII(str) && (size_t)PyUnicode_GET_LENGTH(str) == len &&
	       memcmp(PyUnicode_DATA(str), text, len) == 0;
}

/* The file's name where it is one of asyncio's; NULL. Bounded by *end. */
static const char *asyncio_file(PyObject *file, const char **end)
{
	static const char dir[] = "/asyncio/";
	const char *text, *last;
	size_t len;

	if (file == NULL || !PyUnicode_Check(file) || !pytext_readable(file) || !PyUnicode_IS_ASCII(file))
		return NULL;
	text = PyUnicode_DATA(file);
	len = (size_t)PyUnicode_GET_LENGTH(file);
	*end = text + len;
	last = memrchr(text, '/', len);
	if (last == NULL || (size_t)(last + 1 - text) < sizeof dir - 1 || memcmp(last + 1 - (sizeof dir - 1), dir, sizeof dir - 1) != 0)
		return NULL;
	return last + 1;
}

enum task_function task_function_of(const PyCodeObject *code)
{
	const char *end = NULL, *file = asyncio_file(code->co_filename, &end);

	if (file == NULL)
		return FUNCTION_OTHER;
	for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
		if (strlen(functions[i].file) == (size_t)(end - file) && memcmp(file, functions[i].file, (size_t)(end - file)) == 0 &&
			is_ascii(code->co_name, functions[i].name))
			return functions[i].function;
	return FUNCTION_INSIDE;
}

/* The same, remembered for each code object. */
static enum task_function function_of(struct tasks *t, uint32_t code)
{
	uint32_t wanted = t->frames->code_count + 64;
	uint8_t *grown;

	if (code >= t->function_count) {
		wanted = wanted < t->function_count * 2 ? t->function_count * 2 : wanted;
		grown = realloc(t->functions, wanted);
		if (grown == NULL)
			return task_function_of(t->frames->codes[code].code);
		memset(grown + t->function_count, 0, wanted - t->function_count);
		t->functions = grown;
		t->function_count = wanted;
	}
	if (t->functions[code] == 0)
		t->functions[code] = (uint8_t)(task_function_of(t->frames->codes[code].code) + 1);
	return (enum task_function)(t->functions[code] - 1);
}

PyObject *task_variable(const struct tasks_known *k, const compat_frame *frame, const PyCodeObject *code, enum task_word word)
{
	PyObject *name, *value;

	for (Py_ssize_t i = 0; i < compat_slots(code); i++) {
		value = compat_slot(frame, code, i, &name);
		if (value != NULL && name == k->words[word])
			return value;
	}
	return NULL;
}

/* --- chains --- */

/* One more frame, further in than all before it. */
static void add(struct tasks *t, struct tasks_one *one, compat_frame *frame, struct task_tail *tail)
{
	PyCodeObject *code = compat_code(frame);
	int32_t offset;
	uint32_t index;
	int complete;

	if (code == NULL)
		return;
	offset = compat_offset(frame, code, &complete);
	if (t->frames_total >= TASKS_FRAMES_TOTAL || frames_add_one(t->frames, code, offset, frame, &index) != 0) {
		one->omitted++;
		t->cut = 1;
		return;
	}
	t->frames_total++;
	one->count++;
	memmove(&tail->frames[1], &tail->frames[0], (TASK_TAIL - 1) * sizeof tail->frames[0]);
	tail->frames[0].frame = frame;
	tail->frames[0].code = code;
	tail->frames[0].function = function_of(t, index);
	tail->count += tail->count < TASK_TAIL;
}

uint32_t task_stack_executing(PyObject *o, compat_frame ***frames)
{
	const compat_frame *outermost = is_generator(o) && state_of(o) == EXECUTING ? frame_of(o) : NULL;
	compat_frame **found = outermost != NULL ? calloc(FRAMES_PER_THREAD_MAX, sizeof(uintptr_t)) : NULL;
	uint32_t count = 0;

	*frames = NULL;
	if (found == NULL || !compat_head_lock()) {
		free(found);
		return 0;
	}
	for (PyThreadState *s = compat_first_thread(); s != NULL; s = compat_next_thread(s)) {
		compat_frame *f = compat_top_frame(s);

		for (count = 0; f != NULL && f != outermost && count < FRAMES_PER_THREAD_MAX - 1; f = compat_back(f)) {
			const PyCodeObject *code = compat_code(f);
			int complete = 0;

			if (code != NULL)
				(void)compat_offset(f, code, &complete);
			if (complete)
				found[count++] = f;
		}
		if (f == outermost) {
			found[count++] = f;
			break;
		}
		count = 0;
	}
	compat_head_unlock();
	*frames = found;
	return count;
}

/* Frames of a thread, from the innermost one, put down in the other order. */
static void read_executing(struct tasks *t, struct tasks_one *one, PyObject *coroutine, struct task_tail *tail)
{
	compat_frame **found;
	uint32_t count = task_stack_executing(coroutine, &found);

	one->omitted += count > TASKS_FRAMES_MAX ? count - TASKS_FRAMES_MAX : 0;
	for (uint32_t i = count < TASKS_FRAMES_MAX ? count : TASKS_FRAMES_MAX; i > 0; i--)
		add(t, one, found[i - 1], tail);
	free(found);
}

/* How many frames the chain has. */
static uint32_t length_of(PyObject *coroutine)
{
	PyObject *o = Py_NewRef(coroutine), *next;
	uint32_t count = 0;

	for (uint32_t i = 0; o != NULL && i < CHAIN_MAX; i++) {
		count += is_generator(o) && state_of(o) == SUSPENDED;
		next = task_stack_next(o);
		Py_DECREF(o);
		o = next;
	}
	Py_XDECREF(o);
	return count;
}

/* The innermost first, as threads' frames are. */
static void reverse(struct frames_frame *frames, uint32_t count)
{
	for (uint32_t i = 0; i < count / 2; i++) {
		struct frames_frame one = frames[i];

		frames[i] = frames[count - 1 - i];
		frames[count - 1 - i] = one;
	}
}

/* What there is at one step of the chain: how far in, and how many of the outermost frames are to be left out. */
static void read_step(struct tasks *t, struct tasks_one *one, PyObject *o, uint32_t step, uint32_t left_out, struct task_tail *tail)
{
	enum generator_state state = is_generator(o) ? state_of(o) : FINISHED;

	tail->end = is_generator(o) || is_helper(o) ? NULL : o;
	if (!is_generator(o))
		return;
	if (state == EXECUTING) {
		tail->executing = 1;
		read_executing(t, one, o, tail);
	} else if (state == UNBEGUN && step == 0) {
		tail->unbegun = 1;
		add(t, one, frame_of(o), tail);
	} else if (state == SUSPENDED && one->omitted < left_out) {
		one->omitted++;
	} else if (state == SUSPENDED) {
		add(t, one, frame_of(o), tail);
	}
}

/* 1: all of it. 0: there are more frames than a task may have. */
static int read_chain(struct tasks *t, struct tasks_one *one, PyObject *coroutine, uint32_t left_out, struct task_tail *tail)
{
	PyObject *o = Py_NewRef(coroutine), *next;

	/* Each is kept alive by the frame before it, as long as the GIL is held. */
	for (uint32_t n = 0; o != NULL && n < CHAIN_MAX && one->count <= TASKS_FRAMES_MAX; n++) {
		read_step(t, one, o, n, left_out, tail);
		next = tail->executing ? NULL : task_stack_next(o);
		Py_DECREF(o);
		o = next;
	}
	Py_XDECREF(o);
	return one->count <= TASKS_FRAMES_MAX;
}

void task_stack_read(struct tasks *t, uint32_t i, PyObject *coroutine, struct task_tail *tail)
{
	struct tasks_one *one = &t->items[i];
	uint32_t total = t->frames_total;

	one->first = t->frames->frame_count;
	if (!read_chain(t, one, coroutine, 0, tail)) {
		/* Rare: once more, with those left out that are outermost. */
		t->frames->frame_count = one->first;
		t->frames_total = total;
		one->count = one->omitted = 0;
		*tail = (struct task_tail){.count = 0};
		(void)read_chain(t, one, coroutine, length_of(coroutine) - TASKS_FRAMES_MAX, tail);
	}
	reverse(t->frames->frames + one->first, one->count);
}
