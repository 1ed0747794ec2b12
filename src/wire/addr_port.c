/*
 * addr_port.c: a port as a person writes it. Apart from addr.c because it is the one place that needs libbsd, which the extension
 * can then do without: programs that are looked into load one library less.
 */
#include "addr.h"

#include <bsd/stdlib.h>
#include <string.h>

#include "text.h"

#define PORT_MAX 65535
#define SHOWN_MAX 64 /* bytes of what was given that a message shows */

int addr_parse_port(const char *text, uint16_t *port, struct diag *d)
{
	struct span s = span_text(text);
	char shown[SHOWN_MAX];
	const char *error = "not a number";
	long long value = 0;

	/* strtonum passes over blanks and takes a sign: a port has neither. */
	if (s.len > 0 && strspn(text, "0123456789") == s.len)
		value = strtonum(text, 1, PORT_MAX, &error);
	if (error)
		return diag_set(d, PYSTUCK_EINVAL, 0, "port '%s': %s; must be from 1 to %d",
			text_copy(shown, sizeof shown, s, TEXT_LINE), error, PORT_MAX);
	*port = (uint16_t)value;
	return 0;
}
