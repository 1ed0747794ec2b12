/*
 * complete.c: collects names by what context.c says is being typed, as look.c finds them. Which are wanted and how they are
 * answered is bag.c's.
 */
#include <Python.h>

#include "complete.h"

#include <dirent.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "bag.h"
#include "compat.h"
#include "context.h"
#include "gil.h"
#include "locals.h"
#include "msg.h"
#include "pytext.h"
#include "signature.h"
#include "ucs.h"

/* A name that can be written after a dot. */
static int add_identifier(void *context, PyObject *name)
{
	return PyUnicode_IsIdentifier(name) == 1 ? bag_add_str(context, name) : 0;
}

static void add_words(struct bag *b, const char *const *words)
{
	for (; *words != NULL; words++)
		bag_add(b, *words, strlen(*words));
}

/* --- names ---------------------------------------------------------------- */

static const char *const keywords[] = {"False", "None", "True", "and", "as", "assert", "async", "await", "break", "class",
	"continue", "def", "del", "elif", "else", "except", "finally", "for", "from", "global", "if", "import", "in", "is",
	"lambda", "match", "nonlocal", "not", "or", "pass", "raise", "return", "try", "while", "with", "yield", NULL};

static struct span part_of(const struct bag *b, struct context_part part)
{
	return (struct span){b->c->source.data + part.at, part.len};
}

/* What a row stands for: as look_row, and where that is not enough and running code is allowed, by that. */
static PyObject *ask_row(struct bag *b, struct span row)
{
	const char *at = (const char *)row.data, *end = at + row.len;
	struct context_step step;
	PyObject *object = NULL, *next, *name;
	struct span first;
	int bound, unasked = 0;

	if (context_step(&step, &at, end, 1) != 1)
		return NULL;
	first = (struct span){row.data, (size_t)(at - (const char *)row.data)};
	object = look_row(&b->c->spaces, first, &bound, &unasked);
	while (object != NULL && context_step(&step, &at, end, 0) == 1) {
		if (step.kind == CONTEXT_STEP_INDEX)
			name = PyLong_FromLong(step.index);
		else
			name = PyUnicode_DecodeUTF8(step.text, (Py_ssize_t)step.len, "replace");
		if (name == NULL)
			next = NULL;
		else if (step.kind == CONTEXT_STEP_NAME)
			next = PyObject_GetAttr(object, name);
		else
			next = PyObject_GetItem(object, name);
		Py_XDECREF(name);
		Py_SETREF(object, next);
	}
	return object;
}

static PyObject *find_row(struct bag *b, struct context_part part, int *bound)
{
	int unasked = 0;
	PyObject *found = look_row(&b->c->spaces, part_of(b, part), bound, &unasked);

	if (found != NULL || !unasked)
		return found;
	b->c->flags |= MATCHES_UNASKED;
	if (!b->c->ask)
		return NULL;
	*bound = 0;
	found = ask_row(b, part_of(b, part));
	PyErr_Clear();
	return found;
}

static void add_spaces(struct bag *b)
{
	/* Before anything is typed: the user's own names, without all that Python has. */
	size_t spaces = b->prefix_len > 0 ? LOOK_SPACES : LOOK_SPACES - 1;

	for (size_t i = 0; i < spaces; i++)
		look_dict_names(b->c->spaces.dicts[i], add_identifier, b);
	if (b->prefix_len > 0)
		add_words(b, keywords);
}

static void add_arguments(struct bag *b)
{
	int bound = 0;
	PyObject *callable = find_row(b, b->where.callee, &bound);

	if (callable == NULL)
		return;
	b->suffix = "=";
	signature_names(callable, bound, bag_add_str, b);
	b->suffix = "";
	Py_DECREF(callable);
}

static void add_signature(struct bag *b)
{
	int bound = 0;
	PyObject *callable = find_row(b, b->where.callee, &bound);
	struct span row = part_of(b, b->where.callee);
	struct buf *out = &b->c->signature;

	if (callable == NULL)
		return;
	if (buf_put(out, row.data, row.len) != 0 || !signature_put(out, callable, bound))
		buf_clear(out);
	Py_DECREF(callable);
}

/* dir(object), by the program's own code. */
static void ask_names(struct bag *b, PyObject *object)
{
	PyObject *names = PyObject_Dir(object);

	for (Py_ssize_t i = 0; names != NULL && PyList_CheckExact(names) && i < PyList_GET_SIZE(names); i++) {
		PyObject *name = PyList_GET_ITEM(names, i);

		if (PyUnicode_CheckExact(name) && add_identifier(b, name) != 0)
			break;
	}
	Py_XDECREF(names);
	PyErr_Clear();
}

static void add_attributes(struct bag *b, look_visit *visit)
{
	int bound, unasked = 0;
	PyObject *object = find_row(b, b->where.object, &bound);

	if (object == NULL)
		return;
	look_names(object, visit, b, &unasked);
	if (unasked)
		b->c->flags |= MATCHES_UNASKED;
	if (unasked && b->c->ask)
		ask_names(b, object);
	Py_DECREF(object);
}

/* --- keys ----------------------------------------------------------------- */

/* What may stand between quotes without an escape, and those two that get one. */
static int put_escaped(struct buf *out, PyObject *key, char quote)
{
	char text[UCS_UTF8_MAX];
	int rc = 0;

	for (Py_ssize_t i = 0; rc == 0 && i < PyUnicode_GET_LENGTH(key); i++) {
		Py_UCS4 c = PyUnicode_READ_CHAR(key, i);

		if (c < 0x20 || c == 0x7F)
			return -1;
		if (c == (Py_UCS4)quote || c == '\\')
			rc = buf_put(out, "\\", 1);
		if (rc == 0)
			rc = buf_put(out, text, ucs_utf8(text, c));
	}
	return rc;
}

static int add_str_key(struct bag *b, PyObject *key)
{
	char quote = b->where.quote != 0 ? b->where.quote : '\'';
	struct buf text;
	int rc = 0;

	if (!pytext_readable(key) || PyUnicode_GET_LENGTH(key) > BAG_NAME_MAX)
		return 0;
	buf_init(&text, 8 * BAG_NAME_MAX);
	if ((b->where.quote != 0 || buf_put(&text, &quote, 1) == 0) && put_escaped(&text, key, quote) == 0 &&
		buf_put(&text, &quote, 1) == 0 && buf_put(&text, "]", 1) == 0)
		rc = bag_add(b, (const char *)buf_bytes(&text), buf_len(&text));
	buf_free(&text);
	return rc;
}

static int add_key(void *context, PyObject *key)
{
	struct bag *b = context;
	char text[LOCALS_VALUE_MAX + 1];
	size_t len;

	if (PyUnicode_CheckExact(key))
		return add_str_key(b, key);
	if (b->where.quote != 0 || !PyLong_CheckExact(key))
		return 0;
	len = locals_render(text, key);
	if (*text == '<')
		return 0;
	text[len] = ']';
	return bag_add(b, text, len + 1);
}

/* What IPython asks an object for, or its keys(). */
static void ask_keys(struct bag *b, PyObject *object)
{
	PyObject *keys = PyObject_CallMethod(object, "_ipython_key_completions_", NULL);
	PyObject *list = NULL;

	PyErr_Clear();
	if (keys == NULL)
		keys = PyObject_CallMethod(object, "keys", NULL);
	if (keys != NULL)
		list = PySequence_List(keys);
	for (Py_ssize_t i = 0; list != NULL && i < PyList_GET_SIZE(list); i++)
		if (add_key(b, PyList_GET_ITEM(list, i)) != 0)
			break;
	Py_XDECREF(list);
	Py_XDECREF(keys);
	PyErr_Clear();
}

static void add_keys(struct bag *b)
{
	int bound, unasked = 0;
	PyObject *object = find_row(b, b->where.object, &bound);

	if (object == NULL)
		return;
	b->hide = 0;
	look_keys(object, add_key, b, &unasked);
	if (unasked)
		b->c->flags |= MATCHES_UNASKED;
	if (unasked && b->c->ask)
		ask_keys(b, object);
	Py_DECREF(object);
}

/* --- modules, threads, files ---------------------------------------------- */

static void add_modules(struct bag *b)
{
	PyObject *set = PySys_GetObject("stdlib_module_names"), *name;
	Py_ssize_t at = 0;

	look_dict_names(PyImport_GetModuleDict(), bag_add_str, b);
	while (set != NULL && PyAnySet_CheckExact(set) && compat_set_next(set, &at, &name))
		if (PyUnicode_CheckExact(name) && bag_add_str(b, name) != 0)
			break;
}

static void add_from(struct bag *b)
{
	PyObject *module = look_module(part_of(b, b->where.object));

	if (module == NULL)
		return;
	if (PyModule_Check(module))
		look_dict_names(PyModule_GetDict(module), add_identifier, b);
	Py_DECREF(module);
}

/* Names of threads, as threading knows them, for the commands that take one. */
static void add_threads(struct bag *b)
{
	PyObject *threading = look_module(span_text("threading")), *active = NULL, *key, *thread, *name;
	Py_ssize_t at = 0;
	int bound, unasked = 0;

	b->hide = 0;
	if (threading != NULL && PyModule_Check(threading))
		active = look_name(PyModule_GetDict(threading), span_text("_active"));
	while (active != NULL && PyDict_Check(active) && PyDict_Next(active, &at, &key, &thread)) {
		name = look_attribute(thread, span_text("_name"), &bound, &unasked);
		if (name != NULL && PyUnicode_CheckExact(name))
			bag_add_str(b, name);
		Py_XDECREF(name);
	}
	Py_XDECREF(active);
	Py_XDECREF(threading);
}

static int is_command(const struct bag *b, const char *const *names)
{
	struct span command = part_of(b, b->where.object);

	for (; *names != NULL; names++)
		if (span_equals(command, *names))
			return 1;
	return 0;
}

static void add_of_command(struct bag *b)
{
	static const char *const of_threads[] = {"%stacks", "%threads", "%locals", "%frame", "%loop", NULL};
	static const char *const stacks[] = {"%stacks", NULL};
	static const char *const options[] = {"--frames", "--locals", "--no-group", "--raw", NULL};
	static const char *const with_off[] = {"%frame", "%loop", NULL};
	static const char *const off[] = {"off", NULL};

	if (is_command(b, stacks))
		add_words(b, options);
	if (is_command(b, with_off))
		add_words(b, off);
	if (is_command(b, of_threads))
		add_threads(b);
}

/* One entry of a directory; a directory with a slash. */
static int add_file(struct bag *b, int fd, const struct dirent *entry, const char *dir, size_t dir_len)
{
	char name[PATH_MAX + 2];
	size_t len = strlen(entry->d_name);
	struct stat st;
	int is_dir = entry->d_type == DT_DIR;

	if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 || dir_len + len > PATH_MAX)
		return 0;
	/* Hidden ones only when their dot has been typed. */
	if (*entry->d_name == '.' && b->prefix_len == dir_len)
		return 0;
	if (entry->d_type == DT_LNK && fstatat(fd, entry->d_name, &st, 0) == 0)
		is_dir = S_ISDIR(st.st_mode);
	memcpy(name, dir, dir_len);
	memcpy(name + dir_len, entry->d_name, len);
	if (is_dir)
		name[dir_len + len++] = '/';
	return bag_add(b, name, dir_len + len);
}

/* Without the GIL: a file system may keep one waiting. */
static void read_directory(struct bag *b, const char *path, const char *dir, size_t dir_len)
{
	const struct dirent *entry;
	DIR *d = opendir(path);

	while (d != NULL && (entry = readdir(d)) != NULL)
		if (add_file(b, dirfd(d), entry, dir, dir_len) != 0)
			break;
	if (d != NULL)
		closedir(d);
}

static void add_files(struct bag *b)
{
	const char *typed = b->prefix;
	const char *slash = memrchr(typed, '/', b->prefix_len);
	size_t dir_len = slash != NULL ? (size_t)(slash - typed) + 1 : 0;
	char path[PATH_MAX];

	if (dir_len >= sizeof path || memchr(typed, '\n', b->prefix_len) != NULL)
		return;
	memcpy(path, typed, dir_len);
	path[dir_len] = '\0';
	Py_BEGIN_ALLOW_THREADS read_directory(b, dir_len > 0 ? path : ".", path, dir_len);
	Py_END_ALLOW_THREADS
}

/* --- the answer ----------------------------------------------------------- */

static void collect(struct bag *b)
{
	switch (b->where.kind) {
	case CONTEXT_NAME:
		if (b->where.has_call)
			add_arguments(b);
		add_spaces(b);
		break;
	case CONTEXT_ATTRIBUTE:
		add_attributes(b, add_identifier);
		break;
	case CONTEXT_KEY:
		add_keys(b);
		if (b->where.quote == 0 && b->prefix_len > 0)
			add_spaces(b);
		break;
	case CONTEXT_IMPORT:
		add_modules(b);
		break;
	case CONTEXT_FROM:
		add_from(b);
		break;
	case CONTEXT_FILE:
		add_files(b);
		break;
	case CONTEXT_ARGUMENT:
		add_of_command(b);
		break;
	case CONTEXT_NOTHING:
	default:
		break;
	}
	if (b->where.has_call)
		add_signature(b);
}

void complete_find(struct complete *c)
{
	struct bag b = {.c = c, .suffix = "", .until = gil_now_ns() + COMPLETE_NS};

	buf_init(&c->signature, MSG_SENTENCE_MAX);
	buf_init(&c->matches, MSG_COMPLETE_MAX + 1);
	c->flags = 0;
	c->total = 0;
	context_find(&b.where, (const char *)c->source.data, c->source.len);
	c->from = (uint32_t)b.where.from;
	b.prefix = (const char *)c->source.data + b.where.from;
	b.prefix_len = c->source.len - b.where.from;
	b.hide = b.prefix_len == 0 && b.where.kind != CONTEXT_FILE;
	bag_init(&b);
	collect(&b);
	bag_put(&b);
	PyErr_Clear();
	bag_free(&b);
}

void complete_free(struct complete *c)
{
	buf_free(&c->signature);
	buf_free(&c->matches);
}
