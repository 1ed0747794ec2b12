/*
 * terminal.c: a terminal by way of terminfo. Not curses: what is shown comes as lines
 * of text in colour, which curses would have to be told cell by cell.
 */
#include "terminal.h"

#include <errno.h>
#include <locale.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>
#include <wchar.h>

#include "signals.h"
#include "terminfo.h"
#include "text.h"

#define TERMINAL_ROWS 24 /* of a terminal that does not say */
#define TERMINAL_COLUMNS 80
#define TERMINAL_KEYS 256       /* bytes typed and not looked at yet */
#define TERMINAL_FRAME (1u << 20) /* bytes on a screen */
#define BELOW "without a terminal each look is printed below the one before: ... | cat"
#define ESCAPE '\033'
#define COLOR_OFF "\033[0m"

static struct {
	struct termios before;
	int is_open, can_reverse;
	char *enter, *leave, *hide, *show, *keypad, *no_keypad, *home, *clear_line, *clear_below;
	struct buf shown; /* what was drawn last */
	struct buf bytes; /* that are to be written */
	uint8_t typed[TERMINAL_KEYS];
	size_t typed_count;
	int gone;
} terminal;

/* --- capabilities --- */

/* NULL: it has none. */
static char *capability(const char *name)
{
	char *text = terminfo.tigetstr(name);

	return text == (char *)-1 || text == NULL || *text == '\0' ? NULL : text;
}

static int put_byte(int c)
{
	uint8_t byte = (uint8_t)c;

	return buf_put(&terminal.bytes, &byte, 1) == 0 ? c : EOF;
}

static void put(char *text)
{
	if (text != NULL)
		(void)terminfo.tputs(text, 1, put_byte);
}

static int no_terminal(struct diag *d, const char *why)
{
	return diag_set(d, PYSTUCK_EINVAL, 0, "%s", why);
}

static int learn(struct diag *d)
{
	const char *why;
	int status = 0;

	if (terminfo_load(&why) != 0)
		return diag_set(d, PYSTUCK_EINVAL, 0, "what this terminal can do can't be known: %s; " BELOW, why);
	if (terminfo.setupterm(NULL, STDOUT_FILENO, &status) != OK)
		return no_terminal(d, "the kind of this terminal ($TERM) is not known here; " BELOW);
	terminal.enter = capability("smcup");
	terminal.leave = capability("rmcup");
	terminal.hide = capability("civis");
	terminal.show = capability("cnorm");
	terminal.keypad = capability("smkx");
	terminal.no_keypad = capability("rmkx");
	terminal.home = capability("home");
	terminal.clear_line = capability("el");
	terminal.clear_below = capability("ed");
	terminal.can_reverse = capability("rev") != NULL;
	if (terminal.home == NULL || terminal.clear_line == NULL || terminal.clear_below == NULL)
		return no_terminal(d, "this terminal ($TERM) cannot be redrawn in place; " BELOW);
	return 0;
}

/* --- bytes out --- */

/* All that was put. The terminal may be somebody's non-blocking file. */
static int write_all(void)
{
	struct pollfd p = {.fd = STDOUT_FILENO, .events = POLLOUT};

	while (buf_len(&terminal.bytes) > 0) {
		ssize_t n = write(STDOUT_FILENO, buf_bytes(&terminal.bytes), buf_len(&terminal.bytes));

		if (n >= 0)
			buf_consume(&terminal.bytes, (size_t)n);
		else if (errno == EAGAIN)
			(void)poll(&p, 1, -1);
		else if (errno != EINTR || signals_want_end()) {
			buf_clear(&terminal.bytes);
			return PYSTUCK_ECLOSED;
		}
	}
	return 0;
}

/* --- taking and giving back --- */

static void take(void)
{
	struct termios raw = terminal.before;

	raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	raw.c_cc[VMIN] = 1;
	raw.c_cc[VTIME] = 0;
	(void)tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
	put(terminal.enter);
	put(terminal.keypad);
	put(terminal.hide);
	(void)write_all();
	buf_clear(&terminal.shown);
	terminal.is_open = 1;
}

static void give_back(void)
{
	buf_clear(&terminal.bytes);
	put(terminal.show);
	put(terminal.no_keypad);
	if (terminal.leave == NULL)
		put(terminal.clear_below);
	put(terminal.leave);
	(void)write_all();
	(void)tcsetattr(STDIN_FILENO, TCSADRAIN, &terminal.before);
	terminal.is_open = 0;
}

int terminal_open(struct diag *d)
{
	int rc;

	if (!isatty(STDOUT_FILENO) || tcgetattr(STDIN_FILENO, &terminal.before) != 0)
		return no_terminal(d, "standard input and output are no terminal");
	rc = learn(d);
	if (rc != 0)
		return rc;
	/* For the widths of characters; what is shown is UTF-8 whatever the user's locale says. */
	(void)setlocale(LC_CTYPE, "C.UTF-8");
	buf_init(&terminal.shown, TERMINAL_FRAME);
	buf_init(&terminal.bytes, 2 * TERMINAL_FRAME);
	take();
	return 0;
}

void terminal_close(void)
{
	if (!terminal.is_open)
		return;
	give_back();
	buf_free(&terminal.shown);
	buf_free(&terminal.bytes);
}

void terminal_stop(void)
{
	give_back();
	signals_stop();
	/* Somebody may have set it otherwise meanwhile. */
	(void)tcgetattr(STDIN_FILENO, &terminal.before);
	take();
}

void terminal_size(int *rows, int *columns)
{
	struct winsize size = {.ws_row = 0};

	(void)ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
	*rows = size.ws_row > 0 ? size.ws_row : TERMINAL_ROWS;
	*columns = size.ws_col > 0 ? size.ws_col : TERMINAL_COLUMNS;
}

/* --- keys --- */

/* What xterm and its like send, whatever terminfo says of them, and what terminfo says. */
static const struct {
	const char *capability, *bytes;
	int key;
} sequences[] = {
	{"kcuu1", "\033[A", TERMINAL_UP},
	{"kcud1", "\033[B", TERMINAL_DOWN},
	{"kcuf1", "\033[C", TERMINAL_RIGHT},
	{"kcub1", "\033[D", TERMINAL_LEFT},
	{"kpp", "\033[5~", TERMINAL_PAGE_UP},
	{"knp", "\033[6~", TERMINAL_PAGE_DOWN},
	{"khome", "\033[H", TERMINAL_HOME},
	{"kend", "\033[F", TERMINAL_END},
};
#define SEQUENCES (sizeof sequences / sizeof sequences[0])

void terminal_feed(void)
{
	size_t room = sizeof terminal.typed - terminal.typed_count;
	ssize_t n = room > 0 ? read(STDIN_FILENO, terminal.typed + terminal.typed_count, room) : 1;

	if (n > 0 && room > 0)
		terminal.typed_count += (size_t)n;
	else if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN))
		terminal.gone = 1;
}

static void drop(size_t n)
{
	terminal.typed_count -= n;
	memmove(terminal.typed, terminal.typed + n, terminal.typed_count);
}

/* 1: the bytes begin with the sequence; -1: they may, when more of them come. */
static int begins_with(const char *sequence)
{
	size_t len = strlen(sequence);
	size_t n = len < terminal.typed_count ? len : terminal.typed_count;

	if (memcmp(terminal.typed, sequence, n) != 0)
		return 0;
	return n == len ? 1 : -1;
}

/* A sequence of a key that means nothing here: all of it. */
static size_t unknown_sequence(void)
{
	size_t n = 1;

	if (terminal.typed_count < 2 || (terminal.typed[1] != '[' && terminal.typed[1] != 'O'))
		return n;
	for (n = 2; n < terminal.typed_count && (terminal.typed[n] < '@' || terminal.typed[n] > '~'); n++)
		;
	return n < terminal.typed_count ? n + 1 : n;
}

static int sequence_key(void)
{
	for (size_t i = 0; i < SEQUENCES; i++) {
		char *own = capability(sequences[i].capability);
		const char *const candidates[] = {own, sequences[i].bytes};

		for (size_t k = 0; k < 2; k++) {
			int rc = candidates[k] != NULL ? begins_with(candidates[k]) : 0;

			if (rc < 0)
				return TERMINAL_NONE;
			if (rc > 0) {
				drop(strlen(candidates[k]));
				return sequences[i].key;
			}
		}
	}
	drop(unknown_sequence());
	return -1;
}

int terminal_key(void)
{
	while (terminal.typed_count > 0) {
		int key = terminal.typed[0];

		if (key == ESCAPE)
			key = sequence_key();
		else
			drop(1);
		if (key >= 0)
			return key;
	}
	return terminal.gone ? TERMINAL_GONE : TERMINAL_NONE;
}

/* --- lines --- */

/* How long a colour of ours is that begins here; 0: none does. */
static size_t color_length(struct span s)
{
	size_t n = 2;

	if (s.len < 3 || s.data[0] != ESCAPE || s.data[1] != '[')
		return 0;
	while (n < s.len && s.data[n] != 'm')
		n++;
	return n < s.len ? n + 1 : s.len;
}

/* The next character: its bytes, and how many columns it takes. */
static size_t character(struct span s, mbstate_t *state, size_t *wide)
{
	wchar_t c = L'\0';
	size_t len = mbrtowc(&c, (const char *)s.data, s.len, state);

	*wide = 1;
	if (len == 0 || len > s.len) {
		memset(state, 0, sizeof *state);
		return 1;
	}
	int columns = wcwidth(c);
	if (columns >= 0)
		*wide = (size_t)columns;
	return len;
}

void terminal_clip(struct buf *out, struct span line, size_t left, size_t columns)
{
	mbstate_t state = {0};
	size_t column = 0, wide, len;
	int colored = 0;

	/* Colours are taken also from where nothing is seen: they go on. */
	for (size_t at = 0; at < line.len; at += len) {
		struct span rest = {line.data + at, line.len - at};

		len = color_length(rest);
		if (len > 0) {
			colored = 1;
			(void)buf_put(out, rest.data, len);
			continue;
		}
		len = character(rest, &state, &wide);
		if (column >= left && column + wide <= left + columns)
			(void)buf_put(out, rest.data, len);
		column += wide;
	}
	if (colored)
		(void)buf_put(out, COLOR_OFF, sizeof COLOR_OFF - 1);
}

void terminal_reverse(struct buf *out, struct span text)
{
	const char *on = terminal.can_reverse ? "\033[7m" : "", *off = terminal.can_reverse ? COLOR_OFF : "";

	(void)buf_put(out, on, strlen(on));
	(void)buf_put(out, text.data, text.len);
	(void)buf_put(out, off, strlen(off));
}

int terminal_draw(struct span text)
{
	const uint8_t *at = text.data, *end = text.data + text.len;

	if (text.len == buf_len(&terminal.shown) && text.len > 0 && memcmp(buf_bytes(&terminal.shown), text.data, text.len) == 0)
		return 0;
	buf_clear(&terminal.shown);
	(void)buf_put(&terminal.shown, text.data, text.len);
	put(terminal.home);
	while (at < end) {
		const uint8_t *line_end = memchr(at, '\n', (size_t)(end - at));
		size_t len = (size_t)((line_end != NULL ? line_end : end) - at);

		(void)buf_put(&terminal.bytes, at, len);
		/* Behind the text, so that nothing is dark for a moment. */
		put(terminal.clear_line);
		if (line_end != NULL)
			(void)buf_put(&terminal.bytes, "\r\n", 2);
		at += len + (line_end != NULL);
	}
	put(terminal.clear_below);
	return write_all();
}
