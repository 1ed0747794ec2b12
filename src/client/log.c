/*
 * log.c: the file of %log. It holds what somebody did in a production process, so it is kept as the
 * history is. There is one session, so there is one log.
 */
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "out.h"
#include "text.h"

#define LOG_TYPED_MAX (8u << 20)

static int log_fd = -1;
static char *log_name;
/* Where in a colour's sequence the last piece ended. */
static enum { PLAIN, ESCAPE, SEQUENCE } state;

static int unsafe(const char *path, const struct stat *st, struct diag *d)
{
	if (!S_ISREG(st->st_mode))
		return diag_set(d, PYSTUCK_EUNSAFE, 0, "%s is not a file", path);
	if (st->st_uid != geteuid())
		return diag_set(d, PYSTUCK_EUNSAFE, 0, "%s belongs to somebody else", path);
	if ((st->st_mode & 077) != 0)
		return diag_set(d, PYSTUCK_EUNSAFE, 0, "%s: mode %04o lets others at it; chmod 600 it", path,
			(unsigned)st->st_mode & 07777);
	return 0;
}

int log_file(const char *path, struct diag *d)
{
	int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0600);
	struct stat st;
	int rc;

	if (fd < 0)
		return diag_set(d, PYSTUCK_ESYS, errno, "%s: %s", path,
			errno == ELOOP ? "a symbolic link; name the file itself" : strerror(errno));
	rc = fstat(fd, &st) == 0 ? unsafe(path, &st, d) : diag_set(d, PYSTUCK_ESYS, errno, "%s: %s", path, strerror(errno));
	if (rc == 0)
		return fd;
	close(fd);
	return rc;
}

int log_open(const char *path, struct diag *d)
{
	int fd = log_file(path, d);
	char *name = fd >= 0 ? strdup(path) : NULL;

	if (fd < 0)
		return fd;
	if (name == NULL) {
		close(fd);
		return diag_set(d, PYSTUCK_ENOMEM, 0, "%s", error_text(PYSTUCK_ENOMEM));
	}
	log_close();
	log_fd = fd;
	log_name = name;
	state = PLAIN;
	out_copy(log_shown);
	return 0;
}

void log_close(void)
{
	out_copy(NULL);
	if (log_fd >= 0)
		close(log_fd);
	log_fd = -1;
	free(log_name);
	log_name = NULL;
}

const char *log_path(void)
{
	return log_name;
}

/* A disk that is full ends the log, and is said once. */
static void put(const char *bytes, size_t len)
{
	while (len > 0 && log_fd >= 0) {
		ssize_t n = write(log_fd, bytes, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			int error = errno;

			close(log_fd);
			log_fd = -1;
			out_notice("%s: %s; the log ends here", log_name, strerror(error));
			return;
		}
		bytes += n;
		len -= (size_t)n;
	}
}

void log_shown(const void *bytes, size_t len)
{
	const char *at = bytes, *end = at + len, *plain = at;

	for (; at < end; at++) {
		if (state == PLAIN && *at == '\033') {
			put(plain, (size_t)(at - plain));
			state = ESCAPE;
		} else if (state == ESCAPE) {
			state = SEQUENCE;
		} else if (state == SEQUENCE && *at >= '@') {
			state = PLAIN;
			plain = at + 1;
		}
	}
	if (state == PLAIN)
		put(plain, (size_t)(end - plain));
}

void log_typed(const char *prompt, const char *line)
{
	struct buf safe;

	if (log_fd < 0)
		return;
	buf_init(&safe, LOG_TYPED_MAX);
	if (buf_put(&safe, prompt, strlen(prompt)) == 0 && text_append(&safe, span_text(line), TEXT_BLOCK) == 0 &&
		buf_put(&safe, "\n", 1) == 0)
		put((const char *)buf_bytes(&safe), buf_len(&safe));
	buf_free(&safe);
}
