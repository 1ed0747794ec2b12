/*
 * settings.c: a table of settings, one function each.
 */
#include "settings.h"

#include <stdlib.h>
#include <string.h>

#include <bsd/stdlib.h>

#include "history.h"
#include "lineedit.h"
#include "out.h"
#include "pager.h"

static int set_color(struct settings *s, const char *value, int at_start, struct diag *d)
{
	int color = strcmp(value, "always") == 0 ? 1 : strcmp(value, "never") == 0 ? 0 : s->color_auto;

	if (strcmp(value, "always") != 0 && strcmp(value, "never") != 0 && strcmp(value, "auto") != 0)
		return diag_set(d, PYSTUCK_EINVAL, 0, "%%set color: auto, always or never");
	if (!(at_start && s->color_given))
		s->color = color;
	out_notice_color(s->color);
	return 0;
}

static int set_history(const char *value, struct diag *d)
{
	const char *error = NULL;
	long long n = strtonum(value, 0, HISTORY_MAX, &error);

	if (error != NULL)
		return diag_set(d, PYSTUCK_EINVAL, 0, "%%set history: how many entries are kept, from 0 to %d",
			HISTORY_MAX);
	lineedit_keep((size_t)n);
	return 0;
}

int settings_change(struct settings *s, const char *text, int at_start, struct diag *d)
{
	size_t len = strcspn(text, " \t");
	const char *value = text + len + strspn(text + len, " \t");

	if (len == 5 && memcmp(text, "color", len) == 0)
		return set_color(s, value, at_start, d);
	if (len == 7 && memcmp(text, "history", len) == 0)
		return set_history(value, d);
	if (len == 5 && memcmp(text, "pager", len) == 0)
		return pager_set(value) == 0 ? 0 : diag_set(d, PYSTUCK_ENOMEM, 0, "%s", error_text(PYSTUCK_ENOMEM));
	return diag_set(d, PYSTUCK_EINVAL, 0, "%%set color WHEN, %%set history N, or %%set pager COMMAND");
}
