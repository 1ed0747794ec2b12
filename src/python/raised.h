/*
 * raised.h: an exception as text, as Python itself prints it, with source lines also for what was
 * typed at the prompt.
 */
#ifndef PYSTUCK_PYTHON_RAISED_H
#define PYSTUCK_PYTHON_RAISED_H

#include <Python.h>

/* The sources of a session's cells, bounded: the oldest are forgotten. */
struct raised_sources {
	PyObject *by_file; /* file name -> str, or an entry for linecache once one was needed */
	size_t chars;      /* of all of them */
};

/* The GIL is held in all of these. */
int raised_sources_init(struct raised_sources *s); /* 0, or -1 with an exception */
/* The source of the cell with this file's name, a new reference; NULL without an exception: there is none. */
PyObject *raised_source(const struct raised_sources *s, PyObject *file);
void raised_sources_clear(struct raised_sources *s);
/* 0, or -1 with an exception. */
int raised_keep_source(struct raised_sources *s, PyObject *file, PyObject *source);

/*
 * The traceback as a str, a new reference; NULL only without memory, and no exception is set then.
 * `raised` and what it holds are not kept. Runs code of the program: the __str__ of exceptions.
 */
PyObject *raised_text(PyObject *raised, struct raised_sources *s);
/* "ValueError: x", one line or more, without a traceback. The same rules. */
PyObject *raised_line(PyObject *raised);

/* "ValueError", "json.decoder.JSONDecodeError": how a traceback calls it, a new reference. The same rules. */
PyObject *raised_type(PyObject *raised);

/* In a forked child: no other thread is in here. */
void raised_forget(void);

#endif
