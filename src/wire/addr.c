/*
 * addr.c: where a server is, parsed, checked and printed. It opens no socket and looks at no file:
 * listen.c and the client's connect.c do.
 */
#include "addr.h"

#include <errno.h>
#include <limits.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <netinet/in.h>


#include "text.h"

#define SHOWN_MAX 200 /* bytes of an address in a message */
#define PORT_MAX 65535

_Static_assert(sizeof((struct sockaddr_un *)0)->sun_path == ADDR_PATH_MAX + 1, "sun_path");

/* A path that is being put together: what does not fit is counted, not kept. */
struct path {
	char text[ADDR_PATH_MAX + 1];
	size_t len;
};

static void path_add(struct path *p, const char *text, size_t len)
{
	if (p->len < sizeof p->text)
		memcpy(p->text + p->len, text,
			len < sizeof p->text - p->len ? len : sizeof p->text - p->len);
	p->len += len;
}

/* The length of the {word} at the start of text, braces included; 0 when it is no such thing. */
static size_t placeholder_len(const char *text)
{
	size_t n;

	if (text[0] != '{')
		return 0;
	n = 1 + strcspn(text + 1, "{}/");
	return text[n] == '}' ? n + 1 : 0;
}

/* The working directory and a slash, in front of a relative path. */
static int path_add_cwd(struct path *p, struct diag *d)
{
	char cwd[PATH_MAX];
	int saved;

	if (!getcwd(cwd, sizeof cwd)) {
		saved = errno;
		return diag_set(d, PYSTUCK_ESYS, saved,
			"the working directory cannot be found (%s); give an absolute path",
			strerror(saved));
	}
	path_add(p, cwd, strlen(cwd));
	if (strcmp(cwd, "/") != 0)
		path_add(p, "/", 1);
	return 0;
}

static int path_add_expanded(struct path *p, const char *text, struct diag *d)
{
	char pid[24], shown[SHOWN_MAX];
	size_t n;

	snprintf(pid, sizeof pid, "%ld", (long)getpid());
	while (*text) {
		n = placeholder_len(text);
		if (n == 0) {
			path_add(p, text++, 1);
			continue;
		}
		if (n != strlen("{pid}") || memcmp(text, "{pid}", n) != 0) {
			text_copy(shown, sizeof shown, (struct span){(const uint8_t *)text, n},
				TEXT_LINE);
			return diag_set(d, PYSTUCK_EINVAL, 0,
				"socket path: %s means nothing here; only {pid} is replaced",
				shown);
		}
		path_add(p, pid, strlen(pid));
		text += n;
	}
	return 0;
}

int addr_unix(struct addr *a, const char *path, struct diag *d)
{
	struct path full = {.len = 0};
	char shown[SHOWN_MAX];
	int r;

	memset(a, 0, sizeof *a);
	if (!path || !*path)
		return diag_set(d, PYSTUCK_EINVAL, 0, "socket path: empty; give a file name");
	if (*path != '/') {
		r = path_add_cwd(&full, d);
		if (r)
			return r;
	}
	r = path_add_expanded(&full, path, d);
	if (r)
		return r;
	if (full.len > ADDR_PATH_MAX)
		return diag_set(d, PYSTUCK_ETOOBIG, 0,
			"socket path %s: %zu bytes, but a Unix socket's path has at most %d; "
			"choose a shorter one",
			text_copy(shown, sizeof shown, span_text(path), TEXT_LINE), full.len,
			ADDR_PATH_MAX);
	memcpy(a->path, full.text, full.len);
	a->kind = ADDR_UNIX;
	return 0;
}

/* The host without the brackets that an IPv6 address may stand in. */
static struct span host_bare(const char *host)
{
	struct span s = span_text(host);

	if (s.len >= 2 && s.data[0] == '[' && s.data[s.len - 1] == ']' &&
		memchr(s.data, ':', s.len)) {
		s.data++;
		s.len -= 2;
	}
	return s;
}

/* A host is one word: blanks and control characters in it are a slip of the caller's. */
static int is_one_word(struct span s)
{
	size_t i;

	for (i = 0; i < s.len; i++)
		if (s.data[i] <= 0x20 || s.data[i] == 0x7f)
			return 0;
	return 1;
}

int addr_tcp(struct addr *a, const char *host, long port, struct diag *d)
{
	struct span bare = host_bare(host);
	char shown[SHOWN_MAX];

	memset(a, 0, sizeof *a);
	text_copy(shown, sizeof shown, span_text(host), TEXT_LINE);
	if (bare.len == 0)
		return diag_set(d, PYSTUCK_EINVAL, 0,
			"host: empty; give an address such as " ADDR_DEFAULT_HOST);
	if (bare.len >= sizeof a->host)
		return diag_set(d, PYSTUCK_ETOOBIG, 0,
			"host %s: %zu bytes, at most %zu are possible", shown, bare.len,
			sizeof a->host - 1);
	if (!is_one_word(bare))
		return diag_set(d, PYSTUCK_EINVAL, 0,
			"host '%s': a blank or control character in it", shown);
	if (port < 0 || port > PORT_MAX)
		return diag_set(
			d, PYSTUCK_EINVAL, 0, "port %ld: must be from 0 to %d", port, PORT_MAX);
	memcpy(a->host, bare.data, bare.len);
	a->port = (uint16_t)port;
	a->kind = ADDR_TCP;
	return 0;
}

static void resolve_unix(const struct addr *a, struct sockaddr_storage *out, socklen_t *len)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	size_t n = strlen(a->path);

	memcpy(un.sun_path, a->path, n);
	memset(out, 0, sizeof *out);
	memcpy(out, &un, sizeof un);
	*len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + 1);
}

/* getaddrinfo(3) takes "1" for 0.0.0.1 and "010.1" for 8.0.0.1: such an address is a slip, not a
 * wish. */
static int is_sloppy(const struct addr *a, const struct addrinfo *found)
{
	struct in_addr unused;

	return found->ai_family == AF_INET && inet_pton(AF_INET, a->host, &unused) != 1;
}

static int resolve_failed(const struct addr *a, int numeric_only, int why, int sys, struct diag *d)
{
	char shown[SHOWN_MAX];

	text_copy(shown, sizeof shown, span_text(a->host), TEXT_LINE);
	if (why == EAI_SYSTEM)
		return diag_set(d, PYSTUCK_ESYS, sys, "host %s: %s", shown, strerror(sys));
	if (why == EAI_MEMORY)
		return diag_set(d, PYSTUCK_ENOMEM, 0, "host %s: out of memory", shown);
	if (numeric_only)
		return diag_set(d, PYSTUCK_EINVAL, 0,
			"host %s: not a numeric address; write it as in 127.0.0.1 or ::1", shown);
	return diag_set(d, PYSTUCK_ENOENT, 0, "host %s: %s", shown, gai_strerror(why));
}

static int resolve_tcp(const struct addr *a, int numeric_only, struct sockaddr_storage *out,
	socklen_t *len, struct diag *d)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
	struct addrinfo *list = NULL, *found;
	char port[8];
	int r, sys;

	if (numeric_only)
		hints.ai_flags |= AI_NUMERICHOST;
	snprintf(port, sizeof port, "%u", a->port);
	r = getaddrinfo(a->host, port, &hints, &list);
	sys = errno;
	if (r)
		return resolve_failed(a, numeric_only, r, sys, d);
	for (found = list; found; found = found->ai_next)
		if ((found->ai_family == AF_INET || found->ai_family == AF_INET6) &&
			found->ai_addrlen <= sizeof *out)
			break;
	if (!found || (numeric_only && is_sloppy(a, found))) {
		r = resolve_failed(a, numeric_only, EAI_NONAME, 0, d);
		goto out;
	}
	memset(out, 0, sizeof *out);
	memcpy(out, found->ai_addr, found->ai_addrlen);
	*len = found->ai_addrlen;
out:
	freeaddrinfo(list);
	return r;
}

int addr_resolve(const struct addr *a, int numeric_only, struct sockaddr_storage *out,
	socklen_t *len, struct diag *d)
{
	switch (a->kind) {
	case ADDR_UNIX:
		resolve_unix(a, out, len);
		return 0;
	case ADDR_TCP:
		return resolve_tcp(a, numeric_only, out, len, d);
	case ADDR_NONE:
		break;
	}
	return diag_set(d, PYSTUCK_EINVAL, 0, "no address given");
}

char *addr_format(const struct addr *a, char out[static ADDR_TEXT])
{
	char host[ADDR_TEXT - sizeof "[]:65535"];

	switch (a->kind) {
	case ADDR_UNIX:
		return text_copy(out, ADDR_TEXT, span_text(a->path), TEXT_LINE);
	case ADDR_TCP:
		text_copy(host, sizeof host, span_text(a->host), TEXT_LINE);
		snprintf(out, ADDR_TEXT, strchr(host, ':') ? "[%s]:%u" : "%s:%u", host, a->port);
		return out;
	case ADDR_NONE:
		break;
	}
	return text_copy(out, ADDR_TEXT, span_text("no address"), TEXT_LINE);
}
