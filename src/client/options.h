/*
 * options.h: the command line, checked: what it says and what contradicts itself. Does nothing.
 */
#ifndef PYSTUCK_CLIENT_OPTIONS_H
#define PYSTUCK_CLIENT_OPTIONS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "error.h"
#include "suspended.h"

enum options_action {
	OPTIONS_CONNECT,
	OPTIONS_LIST,
	OPTIONS_KEYGEN,
	OPTIONS_DIFF,
	OPTIONS_MERGE,
	OPTIONS_HELP,
	OPTIONS_VERSION,
};

#define OPTIONS_THREADS_MAX 32

enum options_color { OPTIONS_COLOR_AUTO, OPTIONS_COLOR_ALWAYS, OPTIONS_COLOR_NEVER };

/* The strings are those of argv. */
struct options {
	enum options_action action;
	const char *socket; /* NULL: not given */
	pid_t pid;          /* 0: not given */
	pid_t inject;       /* 0: not given */
	const char *unit;   /* NULL: not given */
	const char *host;   /* NULL: no TCP */
	uint16_t port;
	const char *key; /* NULL: not given */
	const char *keygen;
	const char *key_name;
	const char *role; /* for --keygen; NULL: not given */
	int add;          /* for --keygen: to the file that is there */
	const char *command; /* -c; NULL: not given */
	int stacks;          /* 1 unless --no-stacks or -c */
	int rc;              /* 1 unless --no-rc */
	int repl;            /* 1 unless --no-repl, --json or -c */
	int locals;
	int raw;
	struct suspended_options suspended; /* --greenlets, --no-greenlets, --generators */
	int children; /* with the processes that descend from it */
	int all;      /* every process of this machine that has a server */
	int64_t sample_ms;  /* --sample; 0: not given */
	uint32_t rate;      /* dumps in a second; 0: not given */
	const char *output; /* the file for --sample; NULL: not given */
	const char *threads[OPTIONS_THREADS_MAX]; /* --thread, as often as it is given */
	size_t thread_count;
	uint32_t frames; /* 0: all */
	int no_group;
	int tasks; /* those of asyncio in full, and not the threads */
	int json;
	enum options_color color;
	char *const *files; /* for --diff and --merge */
	int file_count;
	int64_t watch_ms; /* 0: one look */
	int64_t timeout_ms;
	int timeout_given; /* evaluations are bounded only then */
};

/* 0, or PYSTUCK_EINVAL with a sentence. */
int options_parse(struct options *o, int argc, char **argv, struct diag *d);
/* Numbers as options have them; `option` is its name, for the sentence. 0, or PYSTUCK_EINVAL with it. */
int options_seconds(int64_t *ms, const char *option, const char *text, double most, struct diag *d);
int options_number(uint32_t *number, const char *option, const char *text, uint32_t most, struct diag *d);
/* The part of it that looks for contradictions: the same. */
int options_check(const struct options *o, struct diag *d);
/* The text of --help. */
const char *options_help(void);

#endif
