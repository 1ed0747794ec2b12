/*
 * terminfo.h: the three functions of libtinfo that are used, as pointers. It is loaded when a terminal is to be redrawn and not
 * before, as edit_library.h does it with the prompt's library. For terminal.c alone.
 */
#ifndef PYSTUCK_CLIENT_TERMINFO_H
#define PYSTUCK_CLIENT_TERMINFO_H

#include <curses.h>
#include <term.h>
/* Names that the header takes away from everybody. */
#undef lines
#undef columns
#undef newline

struct terminfo {
	__typeof__(&setupterm) setupterm;
	__typeof__(&tigetstr) tigetstr;
	__typeof__(&tputs) tputs;
};

/* Nothing in it is to be touched before terminfo_load has said that it is there. */
extern struct terminfo terminfo;

/* 0, or -1 where it is not to be had: the loader's words are in *why, which are static. */
int terminfo_load(const char **why);

#endif
