/*
 * raw_value_layout.c: where the fields of values and variables lie, from the headers that this was compiled with. Whether they are right
 * is tried out by raw_locals_check.c. Reads nothing.
 */
#include <Python.h>

#include "raw_value.h"

#include <stddef.h>
#include <string.h>

#include "compat.h"

#define AT(type, field) ((uint32_t)offsetof(type, field))

static void lay_code(struct raw_value_layout *v)
{
	v->flag_function = CO_OPTIMIZED;
	v->code_names[1] = v->code_names[2] = v->code_kinds = RAW_NONE;
#if PY_VERSION_HEX >= 0x030D0000
	/* 3.13: as the interpreter itself says, see raw_layout.c. */
	v->code_names[0] = (uint32_t)_PyRuntime.debug_offsets.code_object.localsplusnames;
	v->code_kinds = (uint32_t)_PyRuntime.debug_offsets.code_object.localspluskinds;
#elif PY_VERSION_HEX >= 0x030B0000
	v->code_names[0] = AT(PyCodeObject, co_localsplusnames);
	v->code_kinds = AT(PyCodeObject, co_localspluskinds);
#else
	v->code_names[0] = AT(PyCodeObject, co_varnames);
	v->code_names[1] = AT(PyCodeObject, co_cellvars);
	v->code_names[2] = AT(PyCodeObject, co_freevars);
#endif
#if PY_VERSION_HEX >= 0x030B0000
	v->kind_cell = CO_FAST_CELL | CO_FAST_FREE;
#else
	v->kind_cell = 1;
#endif
}

static void lay_frame(struct raw_value_layout *v, const struct raw_layout *l)
{
#if PY_VERSION_HEX >= 0x030B0000
	v->frame_slots = l->frame_bytes; /* which go as far as there */
	v->frame_namespace = AT(compat_frame, f_locals);
#else
	(void)l;
	v->frame_slots = AT(PyFrameObject, f_localsplus);
	v->frame_namespace = AT(PyFrameObject, f_locals);
#endif
}

void raw_value_layout_init(struct raw_value_layout *v, const struct raw_layout *l)
{
	memset(v, 0, sizeof *v);
	lay_code(v);
	lay_frame(v, l);
	v->float_value = AT(PyFloatObject, ob_fval);
	v->list_items = AT(PyListObject, ob_item);
	v->tuple_items = AT(PyTupleObject, ob_item);
	v->dict_used = AT(PyDictObject, ma_used);
	v->set_used = AT(PySetObject, used);
	v->set_mask = AT(PySetObject, mask);
	v->set_table = AT(PySetObject, table);
	v->cell_value = AT(PyCellObject, ob_ref);
	v->type_float = (uintptr_t)&PyFloat_Type;
	v->type_list = (uintptr_t)&PyList_Type;
	v->type_tuple = (uintptr_t)&PyTuple_Type;
	v->type_set = (uintptr_t)&PySet_Type;
	v->type_frozenset = (uintptr_t)&PyFrozenSet_Type;
	v->type_cell = (uintptr_t)&PyCell_Type;
	v->type_function = (uintptr_t)&PyFunction_Type;
	v->type_c_function = (uintptr_t)&PyCFunction_Type;
	v->object_false = (uintptr_t)Py_False;
	v->object_ellipsis = (uintptr_t)Py_Ellipsis;
	v->flag_type = Py_TPFLAGS_TYPE_SUBCLASS;
}
