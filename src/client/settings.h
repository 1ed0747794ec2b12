/*
 * settings.h: what a user can set: by %set at the prompt, and in the start-up file.
 */
#ifndef PYSTUCK_CLIENT_SETTINGS_H
#define PYSTUCK_CLIENT_SETTINGS_H

#include "error.h"

struct settings {
	int color;       /* 1: with escape sequences */
	int color_auto;  /* what it is unless somebody says otherwise */
	int color_given; /* the command line has said */
};

/*
 * "color never", "pager less -R", "history 500"; see pystuck(1). In the start-up file (`at_start`) the command line has the
 * last word. 0, or PYSTUCK_EINVAL with a sentence.
 */
int settings_change(struct settings *s, const char *text, int at_start, struct diag *d);

#endif
