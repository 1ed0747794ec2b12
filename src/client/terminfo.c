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

#include "library.h"

struct terminfo terminfo;

int terminfo_load(const char **why)
{
	void *library = dlopen(TINFO_SONAME, RTLD_NOW | RTLD_LOCAL);
	int all = library != NULL && library_find(library, "setupterm", &terminfo.setupterm) && library_find(library, "tigetstr", &terminfo.tigetstr) &&
		  library_find(library, "tputs", &terminfo.tputs);

	*why = all ? "" : dlerror();
	return all ? 0 : -1;
}

#endif
