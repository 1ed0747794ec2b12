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

#include <dlfcn.h>
#include <string.h>

struct edit_library edit;

/* An address goes through a pointer to it: ISO C has no conversion between data and functions. */
static int find(void *library, const char *name, void *pointer)
{
	void *found = dlsym(library, name);

	memcpy(pointer, &found, sizeof found);
	return found != NULL;
}

int edit_library_load(const char **why)
{
	static void *library;
	int all;

	if (library == NULL)
		library = dlopen(EDIT_SONAME, RTLD_NOW | RTLD_LOCAL);
	all = library != NULL;
#define FIND(name) all = all && find(library, #name, &edit.name);
	EDIT_NAMES(FIND)
	*why = all ? "" : dlerror();
	return all ? 0 : -1;
}

#endif
