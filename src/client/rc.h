/*
 * rc.h: the user's start-up file.
 */
#ifndef PYSTUCK_CLIENT_RC_H
#define PYSTUCK_CLIENT_RC_H

#include <limits.h>

#include "error.h"

#define RC_MAX (256u * 1024) /* bytes */

/*
 * Reads $XDG_CONFIG_HOME/pystuck/rc, else ~/.config/pystuck/rc. 0: *text is its text, the caller's to free; PYSTUCK_ENOENT: there is
 * none; PYSTUCK_EUNSAFE or another error with a sentence: it is not to be used. `path` is set unless there is nowhere to look.
 */
int rc_read(char **text, char path[static PATH_MAX], struct diag *d);

#endif
