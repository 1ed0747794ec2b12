/*
 * edit_library.c: the table of edit_library.h, filled by the linker or by the loader.
 */
#include "edit_library.h"

#ifndef EDIT_SONAME

#define POINTER(name) .name = &(name),
struct edit_library edit = {EDIT_NAMES(POINTER)};

int edit_library_load(const char **why)
{
	*why = "";
	return 0;
}

#else

#include "library.h"

struct edit_library edit;

int edit_library_load(const char **why)
{
	static void *library;
	int all;

	if (library == NULL)
		library = dlopen(EDIT_SONAME, RTLD_NOW | RTLD_LOCAL);
	all = library != NULL;
#define FIND(name) all = all && library_find(library, #name, &edit.name);
	EDIT_NAMES(FIND)
	*why = all ? "" : dlerror();
	return all ? 0 : -1;
}

#endif
