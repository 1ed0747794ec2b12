/*
 * jsonescape.h: the escapes of JSON's strings.
 */
#ifndef PYSTUCK_CLIENT_JSONESCAPE_H
#define PYSTUCK_CLIENT_JSONESCAPE_H

#include <stdint.h>

/*
 * Takes the escapes out of the text of a string, in place: what comes out is never longer. An
 * escape is there as a whole, and *end is the quote behind it. Half of a pair of \u becomes U+FFFD. The new end; NULL: one of them is
 * no escape.
 */
uint8_t *jsonescape_take_out(uint8_t *text, const uint8_t *end);

#endif
