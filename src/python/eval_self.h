/*
 * eval_self.h: what the code that carries out an evaluation may ask of the thread that it is on, without knowing it. The GIL is held
 * in all of these, and they are called on an evaluation thread.
 */
#ifndef PYSTUCK_PYTHON_EVAL_SELF_H
#define PYSTUCK_PYTHON_EVAL_SELF_H

#include <Python.h>
#include <stdint.h>

struct relay;
struct eval_alarm;

/* The type of exception that an interrupted evaluation is hit with. Borrowed. */
PyObject *eval_interrupt_type(void);
/* From now on interrupts go to the relay; NULL: to the evaluation's own code. 1 when one has come already. */
int eval_set_relay(struct relay *relay);
/* 1 when the evaluation has been interrupted: what was raised may have been lost in code that swallows it. */
int eval_was_interrupted(void);
/* 1 when the program ends: nobody gets the answer, and what is not needed to leave is not to be done, imports above all. */
int eval_is_ending(void);
/*
 * After this time `first` is called on the courier, without the GIL, and then the evaluation is interrupted, unless eval_alarm_end
 * comes before. NULL: no memory, or no thread.
 */
struct eval_alarm *eval_alarm_begin(uint64_t pause_ns, void (*first)(void));
/* 1 when it has interrupted. Frees it. */
int eval_alarm_end(struct eval_alarm *a);

#endif
