/*
 * history.h: the file of what was typed at the prompt: private, bounded, one entry a line. Knows no
 * line editor.
 */
#ifndef PYSTUCK_CLIENT_HISTORY_H
#define PYSTUCK_CLIENT_HISTORY_H

#include <stddef.h>

#define HISTORY_MAX 10000 /* entries */

/*
 * Opens $XDG_STATE_HOME/pystuck/history, else ~/.local/state/pystuck/history, making directories
 * where they miss, and calls each(entry) for every entry, oldest first. A file that is a symlink,
 * no regular file or another user's is left alone: there is no history then. Entries with newlines
 * are one entry.
 */
void history_open(void (*each)(const char *entry));
/*
 * Appends an entry at once, so that it survives whatever comes. Empty ones and those that begin
 * with a space are not kept.
 */
void history_add(const char *entry);
/* Only the newest `entries` are kept from here on, at most HISTORY_MAX; 0: none are. */
void history_keep(size_t entries);
void history_close(void);

/* One line of the file: newline is written \n and a backslash \\. malloc'd, or NULL. */
char *history_escape(const char *entry);
/* The reverse, in place. */
void history_unescape(char *line);

#endif
