/*
 * lineedit_libedit.c: libedit, where its face of readline is none: keys, pastes, and where on the screen the line stands. Empty where
 * the client is built with readline.
 */
#include "lineedit_private.h"

#ifdef PYSTUCK_LIBEDIT

#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <wchar.h>

#include "buf.h"
#include "lineedit.h"
#include "msg.h"

#define PASTE_ON "\033[?2004h"
#define PASTE_OFF "\033[?2004l"
#define PASTE_END "\033[201~"
#define CLEAR_BELOW "\033[J"

static int prompt_columns; /* of the line that is edited */
static int ends_block;     /* what was pasted ended with a line end, and so does the line */

void lineedit_lib_prepare(void)
{
}

/*
 * A terminal that was asked to says where a paste begins and ends, or its line ends would be taken for Enter. All of it is read here:
 * the terminal has it at hand.
 */
static int on_paste(int count, int key)
{
	static const char end[] = PASTE_END;
	struct buf text;
	size_t matched = 0, len;
	char c;

	(void)count;
	(void)key;
	buf_init(&text, MSG_TEXT_MAX);
	while (matched < sizeof end - 1 && read(fileno(*edit.rl_instream), &c, 1) == 1) {
		(void)buf_put_u8(&text, (uint8_t)(c == '\r' ? '\n' : c));
		matched = c == end[matched] ? matched + 1 : c == end[0];
	}
	len = buf_len(&text) - (matched < buf_len(&text) ? matched : buf_len(&text));
	/* A line end at the very end is Enter to the library, pasted or not. */
	for (; len > 0 && buf_bytes(&text)[len - 1] == '\n'; len--)
		ends_block = 1;
	char *copy = strndup((const char *)buf_bytes(&text), len);

	if (copy != NULL)
		lineedit_lib_insert(copy);
	free(copy);
	buf_free(&text);
	return 0;
}

void lineedit_lib_bind(rl_command_func_t *tab)
{
	/* Its rl_bind_key knows no function but one. A function with a name comes with a key, which is then given back. */
	edit.rl_add_defun("pystuck-tab", tab, '\t');
	edit.rl_add_defun("pystuck-paste", on_paste, '~');
	edit.rl_parse_and_bind("bind ~ ed-insert");
	edit.rl_parse_and_bind("bind ^[[200~ pystuck-paste");
}

void lineedit_lib_begin(const char *prompt)
{
	prompt_columns = (int)strlen(prompt);
	ends_block = 0;
	/* It still has those of the line before. */
	*edit.rl_point = *edit.rl_end = 0;
	edit.rl_resize_terminal();
	if (isatty(fileno(*edit.rl_outstream)))
		fputs(PASTE_ON, *edit.rl_outstream);
}

char *lineedit_lib_line(char *line)
{
	size_t len = line != NULL ? strlen(line) : 0;
	char *longer = len > 0 && ends_block ? realloc(line, len + 2) : NULL;

	if (longer == NULL)
		return line;
	longer[len] = '\n';
	longer[len + 1] = '\0';
	return longer;
}

void lineedit_lib_end(void)
{
	if (isatty(fileno(*edit.rl_outstream)))
		fputs(PASTE_OFF, *edit.rl_outstream);
	fflush(*edit.rl_outstream);
}

/* The row, from that of the prompt on, in which the first n bytes of the line end. */
static int row_of(int n)
{
	int rows, columns, row = 0, column = prompt_columns, len;
	mbstate_t state = {0};

	lineedit_size(&rows, &columns);
	for (int i = 0; i < n; i += len) {
		wchar_t c = L'?';
		size_t got = mbrtowc(&c, *edit.rl_line_buffer + i, (size_t)(n - i), &state);
		int width = wcwidth(c);

		len = got > 0 && got <= (size_t)(n - i) ? (int)got : 1;
		width = c == L'\n' ? 0 : width < 0 ? 2 : width; /* control characters are written as ^A */
		if (c == L'\n' || column + width > columns) {
			row++;
			column = 0;
		}
		column += width;
	}
	return row + (column >= columns);
}

void lineedit_lib_hide(void)
{
	int row = row_of(*edit.rl_point);

	if (row > 0)
		fprintf(*edit.rl_outstream, "\033[%dA", row);
	fputs("\r" CLEAR_BELOW, *edit.rl_outstream);
	fflush(*edit.rl_outstream);
}

void lineedit_lib_show(void)
{
	/* rl_redisplay would type Ctrl-R here, which searches the history. */
	edit.rl_forced_update_display();
}


void lineedit_lib_insert(const char *text)
{
	lineedit_lib_hide();
	edit.rl_insert_text(text);
	lineedit_lib_show();
}

void lineedit_lib_replace(int from, const char *text)
{
	size_t typed = (size_t)(*edit.rl_point - from), before = (size_t)from, len = strlen(text);
	char *line;

	/* What is completed mostly begins with what was typed. */
	if (len >= typed && memcmp(text, *edit.rl_line_buffer + from, typed) == 0) {
		lineedit_lib_insert(text + typed);
		return;
	}
	line = malloc(before + len + (size_t)(*edit.rl_end - *edit.rl_point) + 1);
	if (line == NULL)
		return;
	memcpy(line, *edit.rl_line_buffer, before);
	memcpy(line + before, text, len);
	memcpy(line + before + len, *edit.rl_line_buffer + *edit.rl_point, (size_t)(*edit.rl_end - *edit.rl_point));
	line[before + len + (size_t)(*edit.rl_end - *edit.rl_point)] = '\0';
	lineedit_lib_hide();
	/* Its rl_delete_text does nothing; and the cursor is at the end after this. */
	edit.rl_replace_line("", 0);
	edit.rl_insert_text(line);
	lineedit_lib_show();
	free(line);
}

void lineedit_lib_below(const char *mark)
{
	int below = row_of(*edit.rl_end) - row_of(*edit.rl_point);

	if (below > 0)
		fprintf(*edit.rl_outstream, "\033[%dB", below);
	fprintf(*edit.rl_outstream, "%s\r\n", mark);
	fflush(*edit.rl_outstream);
}

#endif
