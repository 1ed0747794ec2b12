/*
 * ucs.h: one Unicode character as UTF-8. What a str looks like is its callers' business.
 */
#ifndef PYSTUCK_UCS_H
#define PYSTUCK_UCS_H

#include <stddef.h>
#include <stdint.h>

#define UCS_UTF8_MAX 6 /* bytes that ucs_utf8 writes at most */

/* Returns how many bytes. A lone surrogate is spelled out, as \udcff; what is no character at all is U+FFFD. */
size_t ucs_utf8(char out[static UCS_UTF8_MAX], uint32_t c);

#endif
