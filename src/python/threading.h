/*
 * threading.h: the program's module `threading`, kept as it would be without us. The GIL is held in
 * all of these, and no exception is set before or after.
 */
#ifndef PYSTUCK_PYTHON_THREADING_H
#define PYSTUCK_PYTHON_THREADING_H

/*
 * To be called on a thread of ours before it runs anybody's code. When the program has not imported
 * threading, imports it, as if its main thread had done so: the thread that imports it first is
 * taken for the main thread otherwise, and at exit the program waits for that one's end.
 */
void threading_import(void);

/*
 * Code that asked for threading.current_thread() has made itself known there as a dummy: the
 * program must not find the calling thread in threading.enumerate().
 */
void threading_forget_us(void);

#endif
