/*
 * library.h: a symbol of a library that is loaded at run time. Which libraries are, and why: sodium_lazy.c, edit_library.h, terminfo.h.
 */
#ifndef PYSTUCK_LIBRARY_H
#define PYSTUCK_LIBRARY_H

#include <dlfcn.h>
#include <string.h>

/* The address of a function or a variable into *pointer, which is a pointer to it: ISO C has no conversion between the two. 0: there is none. */
static inline int library_find(void *library, const char *name, void *pointer)
{
	void *found = dlsym(library, name);

	memcpy(pointer, &found, sizeof found);
	return found != NULL;
}

#endif
