/*
 * terminfo.c: the table of terminfo.h, filled by the linker or by the loader.
 */
#include "terminfo.h"

#ifndef TINFO_SONAME

struct terminfo terminfo = {setupterm, tigetstr, tputs};

int terminfo_load(const char **why)
{
	*why = "";
	return 0;
}

#else

#include <dlfcn.h>
#include <string.h>

struct terminfo terminfo;

/* An address goes through a pointer to it: ISO C has no conversion between data and functions. */
static int find(void *library, const char *name, void *pointer)
{
	void *found = dlsym(library, name);

	memcpy(pointer, &found, sizeof found);
	return found != NULL;
}

int terminfo_load(const char **why)
{
	void *library = dlopen(TINFO_SONAME, RTLD_NOW | RTLD_LOCAL);
	int all = library != NULL && find(library, "setupterm", &terminfo.setupterm) && find(library, "tigetstr", &terminfo.tigetstr) &&
		  find(library, "tputs", &terminfo.tputs);

	*why = all ? "" : dlerror();
	return all ? 0 : -1;
}

#endif
