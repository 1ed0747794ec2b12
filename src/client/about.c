/*
 * about.c: the words for a server and its program: its command line, how long it has been up. Stacks are print.c's.
 */
#include "about.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define ABOUT_COMMAND 70 /* bytes of a command line in the first line */

/* How long the directories before the last name of a word are, if it is a path from the root. */
static size_t directories(const char *word, size_t len)
{
	const char *slash = word[0] == '/' ? memrchr(word, '/', len) : NULL;

	return slash != NULL ? (size_t)(slash - word) + 1 : 0;
}

/* Takes directories away, from the left on, until it is no longer than that: what a program is called says more. */
static void shorten(char *text, size_t most)
{
	char *word = text;

	while (strlen(text) > most && *word != '\0') {
		size_t len = strcspn(word, " "), extra = directories(word, len);

		memmove(word, word + extra, strlen(word + extra) + 1);
		word += len - extra;
		word += strspn(word, " ");
	}
}

char *about_command(char *text, size_t size, struct span command)
{
	uint8_t spaced[MSG_COMMAND_MAX];
	char whole[MSG_COMMAND_MAX * 6 + 1];
	size_t len = 0;

	while (command.len > 0 && command.data[command.len - 1] == '\0')
		command.len--;
	for (; len < command.len && len < sizeof spaced; len++)
		spaced[len] = command.data[len] != '\0' ? command.data[len] : ' ';
	text_copy(whole, sizeof whole, (struct span){spaced, len}, TEXT_LINE);
	shorten(whole, size - 1);
	len = strlen(whole);
	if (len < size) {
		memcpy(text, whole, len + 1);
		return text;
	}
	/* What is in `whole` is safe already: only its characters must stay whole. */
	len = text_whole(span_text(whole), size - sizeof "...");
	memcpy(text, whole, len);
	memcpy(text + len, "...", sizeof "...");
	return text;
}

char *about_age(char text[static ABOUT_AGE], uint64_t since_ns)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	uint64_t now_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
	unsigned long long s = since_ns < now_ns ? (now_ns - since_ns) / 1000000000u : 0;

	if (s < 60)
		snprintf(text, ABOUT_AGE, "%llu s", s);
	else if (s < 3600)
		snprintf(text, ABOUT_AGE, "%llu min", s / 60);
	else if (s < 86400)
		snprintf(text, ABOUT_AGE, "%llu h %llu min", s / 3600, s / 60 % 60);
	else
		snprintf(text, ABOUT_AGE, "%llu d %llu h", s / 86400, s / 3600 % 24);
	return text;
}

void about_server(struct out *o, const struct msg_welcome *w, int color)
{
	char command[ABOUT_COMMAND], age[ABOUT_AGE];

	out_text(o, color ? "\033[2m" : "");
	out_text(o, "pystuck: pid ");
	out_number(o, w->pid);
	out_text(o, " (");
	out_text(o, about_command(command, sizeof command, w->command));
	out_text(o, "), Python ");
	out_safe(o, w->python, TEXT_LINE);
	out_text(o, ", up ");
	out_text(o, about_age(age, w->started_ns));
	out_text(o, color ? "\033[0m" : "");
	out_text(o, "\n");
}
