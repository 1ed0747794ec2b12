/*
 * saved_value.h: what a value of a saved dump means, which is the one that was read last: times, addresses, words with a number. What
 * is not as it should be is 0.
 */
#ifndef PYSTUCK_CLIENT_SAVED_VALUE_H
#define PYSTUCK_CLIENT_SAVED_VALUE_H

#include <stdint.h>

#include "jsonread.h"

uint64_t saved_number(const struct jsonread *json, enum jsonread_token token);
uint32_t saved_number32(const struct jsonread *json, enum jsonread_token token);
/* "12.345678" seconds, in microseconds. */
uint64_t saved_microseconds(const struct jsonread *json, enum jsonread_token token);
/* "2026-01-31T12:00:00.123456Z", in ns since the epoch. */
uint64_t saved_time_ns(const struct jsonread *json, enum jsonread_token token);
/* The number whose name it is; `last` is the greatest, and 0 is "not known". */
uint8_t saved_named(const struct jsonread *json, enum jsonread_token token, const char *(*name)(int), int last);
/* "0x7f12...", which is a string. */
uint64_t saved_address(const struct jsonread *json);

#endif
