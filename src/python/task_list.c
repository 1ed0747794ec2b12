/*
 * task_list.c: where asyncio keeps its tasks: in a WeakSet and a set up to 3.13; from 3.14 on in a list of each thread's, with one of
 * the interpreter's for threads that have ended, and in those sets what is no task of C's. All of it changes whenever the GIL is given
 * back.
 */
#include <Python.h>

#include "tasks_private.h"

#include <stdlib.h>

#include "look_dict.h"
#if PY_VERSION_HEX >= 0x030E0000
#include <internal/pycore_llist.h>
#include <internal/pycore_tstate.h>

#include "raw_mem.h"
#endif

#define BATCH 256      /* tasks that are taken between two looks at the clock */
#define RESTARTS 16    /* of a set that is made anew again and again */
#define STATES_MAX 4096u

/* --- sets --- */

/* What a weak reference refers to, borrowed; NULL: it is going, or gone. */
static PyObject *referent(PyObject *ref)
{
	PyObject *object = PyWeakref_Check(ref) ? ((PyWeakReference *)ref)->wr_object : NULL;

	return object != NULL && object != Py_None && Py_REFCNT(object) > 0 ? object : NULL;
}

/* Of the entries that come next, and of what those that come sooner refer to. */
static void fetch_entries(const PySetObject *so, Py_ssize_t at, int weak)
{
	Py_ssize_t near = at + TASKS_AHEAD, far = near + TASKS_AHEAD;
	PyObject *object;

	if (far <= so->mask && so->table[far].key != NULL)
		tasks_fetch(so->table[far].key);
	if (!weak || near > so->mask || so->table[near].key == NULL)
		return;
	object = referent(so->table[near].key);
	if (object != NULL)
		__builtin_prefetch(object);
}

static void take_set(struct tasks *t, PyObject *set, int weak, uint8_t flags)
{
	const PySetObject *so = (const PySetObject *)set;
	const void *table = NULL;
	Py_ssize_t at = 0, mask = -1;
	PyObject *key, *task;
	int more = so->table != NULL;

	for (int restarts = 0; more && restarts < RESTARTS;) {
		/* Made anew meanwhile: places mean nothing any more. Who has been taken is known. */
		if (so->table != table || so->mask != mask) {
			at = 0;
			table = so->table;
			mask = so->mask;
			restarts++;
		}
		for (int i = 0; i < BATCH && more; i++) {
			fetch_entries(so, at, weak);
			more = compat_set_next(set, &at, &key);
			task = !more ? NULL : weak ? referent(key) : key;
			if (task != NULL)
				(void)tasks_take(t, task, flags);
		}
		if (more && !tasks_pause(t))
			break;
	}
	t->cut |= more;
}

static void take_named_set(struct tasks *t, const char *name, uint8_t flags)
{
	PyObject *set = look_name(t->known->tasks, span_text(name)), *data = NULL;

	if (set != NULL && PySet_CheckExact(set)) {
		take_set(t, set, 0, flags);
	} else if (set != NULL) {
		data = task_peek(t->known, set, TASK_WORD_DATA);
		if (data != NULL && PySet_CheckExact(data))
			take_set(t, data, 1, flags);
	}
	Py_XDECREF(data);
	Py_XDECREF(set);
}

/* --- lists --- */

#if PY_VERSION_HEX >= 0x030E0000
/* A list: a thread state's, or (NULL) the interpreter's. */
struct list {
	PyThreadState *state;
	uint64_t id; /* of the thread state: its address may be another's later */
};

/* The node is the last thing in a task. */
static size_t node_at(const struct tasks *t)
{
	return (size_t)t->known->c_task->tp_basicsize - sizeof(struct llist_node);
}

static PyObject *task_of(const struct tasks *t, struct llist_node *node)
{
	return (PyObject *)((char *)node - node_at(t));
}

/* Where the node is stands in no header: whether it is right is read so that it may be wrong. */
static int is_task_there(const struct tasks *t, const struct llist_node *node)
{
	uintptr_t type = 0;
	struct raw_own own;
	int found = 0;

	if (raw_own_open(&own) == 0 && raw_mem_word(&own.mem, (uintptr_t)node - node_at(t) + offsetof(PyObject, ob_type), &type))
		for (int i = 0; !found && type != 0 && i < 32; i++) {
			found = type == (uintptr_t)t->known->c_task;
			if (!found && !raw_mem_word(&own.mem, type + offsetof(PyTypeObject, tp_base), &type))
				type = 0;
		}
	raw_own_close(&own);
	return found;
}

/* NULL: the thread has ended, and the interpreter has its tasks. */
static struct llist_node *head_of(const struct list *l)
{
	PyThreadState *state;

	if (l->state == NULL)
		return &PyInterpreterState_Main()->asyncio_tasks_head;
	if (!compat_head_lock())
		return NULL;
	for (state = compat_first_thread(); state != NULL; state = compat_next_thread(state))
		if (state == l->state && state->id == l->id)
			break;
	compat_head_unlock();
	return state != NULL ? &((_PyThreadStateImpl *)state)->asyncio_tasks_head : NULL;
}

/*
 * From where to go on: behind the last one of those taken that is in the list still. New ones are put at its end, so all behind that
 * one are new.
 */
static struct llist_node *resume(const struct tasks *t, struct llist_node *head, uint32_t first)
{
	for (uint32_t i = t->count; i > first; i--) {
		struct llist_node *node = (struct llist_node *)((char *)t->items[i - 1].object + node_at(t));

		if (node->next != NULL)
			return node->next;
	}
	return head->next;
}

static void take_list(struct tasks *t, const struct list *l)
{
	struct llist_node *head = head_of(l), *node = head != NULL ? head->next : NULL;
	uint32_t first = t->count, before;

	if (node == NULL || node == head || !is_task_there(t, node))
		return;
	while (node != head) {
		before = t->count;
		for (int i = 0; i < BATCH && node != head; i++, node = node->next)
			if (Py_REFCNT(task_of(t, node)) > 0)
				(void)tasks_take(t, task_of(t, node), 0);
		/* What has no room is no place to go on from. */
		if (node == head || (t->count == before && t->omitted > 0) || !tasks_pause(t))
			break;
		head = head_of(l);
		if (head == NULL || head->next == head)
			return;
		node = resume(t, head, first);
	}
	t->cut |= node != head;
}

static void take_lists(struct tasks *t)
{
	struct list *lists = calloc(STATES_MAX, sizeof *lists);
	uint32_t count = 0;

	if (lists == NULL || t->known->c_task == NULL || !compat_head_lock()) {
		free(lists);
		t->cut = 1;
		return;
	}
	for (PyThreadState *s = compat_first_thread(); s != NULL && count < STATES_MAX; s = compat_next_thread(s))
		if (((_PyThreadStateImpl *)s)->asyncio_tasks_head.next != &((_PyThreadStateImpl *)s)->asyncio_tasks_head)
			lists[count++] = (struct list){s, s->id};
	compat_head_unlock();
	for (uint32_t i = 0; i < count && !t->over; i++)
		take_list(t, &lists[i]);
	take_list(t, &(struct list){NULL, 0});
	free(lists);
}
#endif

void task_list_take(struct tasks *t)
{
	/* First those that may become ordinary ones while we look. */
	take_named_set(t, "_eager_tasks", TASK_EAGER);
#if PY_VERSION_HEX >= 0x030E0000
	take_lists(t);
#endif
	take_named_set(t, "_scheduled_tasks", 0);
	take_named_set(t, "_all_tasks", 0);
}
