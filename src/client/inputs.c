/*
 * inputs.c: a growing list of texts.
 */
#include "inputs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void inputs_free(struct inputs *i)
{
	for (size_t n = 0; n < i->count; n++)
		free(i->list[n].text);
	free(i->list);
	*i = (struct inputs){NULL, 0};
}

static void drop_oldest(struct inputs *i)
{
	free(i->list[0].text);
	memmove(i->list, i->list + 1, (i->count - 1) * sizeof *i->list);
	i->count--;
}

void inputs_add(struct inputs *i, uint32_t cell, const char *text)
{
	char *copy = strdup(text);
	struct input *list;

	if (copy == NULL)
		return;
	if (i->count == INPUTS_MAX)
		drop_oldest(i);
	list = realloc(i->list, (i->count + 1) * sizeof *list);
	if (list == NULL) {
		free(copy);
		return;
	}
	i->list = list;
	i->list[i->count++] = (struct input){cell, copy};
}

void inputs_show(const struct inputs *i, struct out *o, size_t most)
{
	for (size_t n = i->count > most ? i->count - most : 0; n < i->count; n++) {
		out_number(o, i->list[n].cell);
		out_text(o, ": ");
		out_safe(o, span_text(i->list[n].text), TEXT_BLOCK);
		out_text(o, "\n");
	}
}

static int write_all(int fd, const char *text, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, text, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		text += n;
		len -= (size_t)n;
	}
	return 0;
}

int inputs_save(const struct inputs *i, const char *path, uint32_t first, uint32_t last, size_t *written, struct diag *d)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666), rc = 0;

	*written = 0;
	if (fd < 0)
		return diag_set(d, PYSTUCK_ESYS, errno, "%s: %s", path, strerror(errno));
	for (size_t n = 0; rc == 0 && n < i->count; n++) {
		const struct input *one = &i->list[n];

		if (one->cell < first || one->cell > last)
			continue;
		rc = write_all(fd, one->text, strlen(one->text));
		if (rc == 0)
			rc = write_all(fd, "\n", 1);
		*written += rc == 0;
	}
	if (close(fd) != 0 || rc != 0)
		return diag_set(d, PYSTUCK_ESYS, errno, "%s: %s", path, strerror(errno));
	return 0;
}
