/*
 * text.h: makes text from the other side safe for a terminal, a log or a JSON file. All text that a peer sent goes
 * through here before a person or a parser sees it.
 */
#ifndef PYSTUCK_TEXT_H
#define PYSTUCK_TEXT_H

#include "buf.h"

enum text_mode {
	TEXT_LINE = 0,		/* one line: newline and tab are made visible too */
	TEXT_BLOCK = 1,		/* newline and tab pass, everything else as for a line */
	TEXT_JSON = 2,		/* the inside of a JSON string: JSON escapes, bad UTF-8 becomes U+FFFD */
};

/*
 * Appends `in` to out. Printable UTF-8 passes; C0, DEL, C1, invalid UTF-8, surrogates, bidirectional controls,
 * zero-width and other format characters, line and paragraph separators come out as \xNN, \uNNNN or \UNNNNNNNN (in JSON
 * \uNNNN, twice above U+FFFF). So do variation selectors (an emoji's U+FE0F too), noncharacters and private use: what
 * cannot be seen, or not be told apart, is written out. C0, DEL and each byte that is not UTF-8 are \xNN, the rest \uNNNN.
 * At most 6 bytes out for a byte in. 0, PYSTUCK_ETOOBIG or PYSTUCK_ENOMEM (out as before).
 */
int text_append(struct buf *out, struct span in, enum text_mode mode);

/* The same into a fixed array, always NUL-terminated, cut at a whole character or escape; returns out. */
char *text_copy(char *out, size_t size, struct span in, enum text_mode mode);

/*
 * The longest prefix of `in` that does not end in the middle of a UTF-8 character, at most `most` bytes: 0 when that is less
 * than the first character. Bytes that can't become a character count as one each.
 */
size_t text_whole(struct span in, size_t most);

#endif
