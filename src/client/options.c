/*
 * options.c: reads the command line. The texts of --help and pystuck(1) say the same.
 */
#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <bsd/stdlib.h>

#include "addr.h"
#include "sample.h"

#define OPTIONS_TIMEOUT_MS 10000
#define OPTIONS_TIMEOUT_MAX 1e6 /* seconds */
#define OPTIONS_WATCH_MIN 100   /* ms: sooner nobody sees anything */

enum {
	OPT_SOCKET = 256,
	OPT_PID,
	OPT_INJECT,
	OPT_UNIT,
	OPT_KEY,
	OPT_KEYGEN,
	OPT_KEY_NAME,
	OPT_ROLE,
	OPT_ADD,
	OPT_LIST,
	OPT_NO_STACKS,
	OPT_NO_REPL,
	OPT_NO_RC,
	OPT_LOCALS,
	OPT_RAW,
	OPT_GREENLETS,
	OPT_NO_GREENLETS,
	OPT_GENERATORS,
	OPT_CHILDREN,
	OPT_WATCH,
	OPT_DIFF,
	OPT_MERGE,
	OPT_ALL,
	OPT_SAMPLE,
	OPT_RATE,
	OPT_OUTPUT,
	OPT_THREAD,
	OPT_FRAMES,
	OPT_NO_GROUP,
	OPT_TASKS,
	OPT_JSON,
	OPT_TIMEOUT,
	OPT_COLOR,
};

static const struct option long_options[] = {
	{"socket", required_argument, NULL, OPT_SOCKET},
	{"pid", required_argument, NULL, OPT_PID},
	{"inject", required_argument, NULL, OPT_INJECT},
	{"unit", required_argument, NULL, OPT_UNIT},
	{"key", required_argument, NULL, OPT_KEY},
	{"keygen", required_argument, NULL, OPT_KEYGEN},
	{"key-name", required_argument, NULL, OPT_KEY_NAME},
	{"role", required_argument, NULL, OPT_ROLE},
	{"add", no_argument, NULL, OPT_ADD},
	{"list", no_argument, NULL, OPT_LIST},
	{"command", required_argument, NULL, 'c'},
	{"no-stacks", no_argument, NULL, OPT_NO_STACKS},
	{"no-repl", no_argument, NULL, OPT_NO_REPL},
	{"no-rc", no_argument, NULL, OPT_NO_RC},
	{"no-ipython", no_argument, NULL, OPT_NO_REPL},
	{"locals", no_argument, NULL, OPT_LOCALS},
	{"raw", no_argument, NULL, OPT_RAW},
	{"watch", required_argument, NULL, OPT_WATCH},
	{"greenlets", no_argument, NULL, OPT_GREENLETS},
	{"no-greenlets", no_argument, NULL, OPT_NO_GREENLETS},
	{"generators", no_argument, NULL, OPT_GENERATORS},
	{"diff", no_argument, NULL, OPT_DIFF},
	{"merge", no_argument, NULL, OPT_MERGE},
	{"children", no_argument, NULL, OPT_CHILDREN},
	{"all", no_argument, NULL, OPT_ALL},
	{"sample", required_argument, NULL, OPT_SAMPLE},
	{"rate", required_argument, NULL, OPT_RATE},
	{"output", required_argument, NULL, OPT_OUTPUT},
	{"thread", required_argument, NULL, OPT_THREAD},
	{"frames", required_argument, NULL, OPT_FRAMES},
	{"no-group", no_argument, NULL, OPT_NO_GROUP},
	{"tasks", no_argument, NULL, OPT_TASKS},
	{"json", no_argument, NULL, OPT_JSON},
	{"timeout", required_argument, NULL, OPT_TIMEOUT},
	{"color", optional_argument, NULL, OPT_COLOR},
	{"version", no_argument, NULL, 'V'},
	{"help", no_argument, NULL, 'h'},
	{NULL, 0, NULL, 0},
};

/* 40 lines of 80 columns: a small terminal shows all of it. */
static const char help[] =
	"Usage: pystuck [options] [host [port]]\n"
	"Show where the threads of a running Python program are and why each waits,\n"
	"then open a prompt in it. The program has: import pystuck; pystuck.run_server()\n"
	"Which program (default: the one server on this machine, or a choice of them)\n"
	"  --socket PATH       the server with this Unix socket\n"
	"  --pid PID           the server of this process\n"
	"  --inject PID        the same, and makes one if there is none (Python 3.14+)\n"
	"  --unit NAME         the server of this unit of systemd (app: app.service)\n"
	"  host [port]         over TCP (default port: 6666)\n"
	"  --list, --all       list the servers on this machine; the stacks of all\n"
	"What to do (default: print the stacks, then a prompt or a script from stdin)\n"
	"  -c, --command CODE  evaluate CODE, print its value, and nothing else\n"
	"  --no-stacks, --no-repl   print no stacks; open no prompt (also: --no-ipython)\n"
	"  --thread NAME       only threads of this name, 'pattern*', ident or tid\n"
	"  --frames N          only the innermost N frames of each thread\n"
	"  --locals            print the variables of each frame too\n"
	"  --no-group          print threads with the same stack one by one\n"
	"  --watch SECONDS     look again and again, in place, and mark what moved\n"
	"  --children          the stacks of its child processes too\n"
	"  --greenlets         greenlets (default: if any); --no-greenlets; --generators\n"
	"  --tasks             print the tasks of asyncio as a tree, not the threads\n"
	"  --raw               read the stacks without the GIL; the program goes on\n"
	"  --sample SECONDS    where the time goes: 100 looks a second (--rate N)\n"
	"  --output FILE       the same as FILE.svg, .html, .txt or .json (speedscope)\n"
	"  --json              print the stacks, or what came of -c or a script, as JSON\n"
	"  --diff A B, --merge FILES   saved dumps: what moved; all of them as one tree\n"
	"Keys, for TCP\n"
	"  --key FILE          key file (default: $PYSTUCK_KEY, ~/.config/pystuck/key)\n"
	"  --key-name NAME     which key of FILE (default: the first that is taken)\n"
	"  --keygen FILE       make a key file (--add: a key more); --key-name names it\n"
	"  --role ROLE         what the new key is limited to: stacks, locals, eval\n"
	"Other\n"
	"  --timeout SECONDS   for connecting and stacks (10), for evaluations (none)\n"
	"  --no-rc             don't run ~/.config/pystuck/rc when the prompt opens\n"
	"  --color WHEN        auto (default), always, never; $NO_COLOR is honoured\n"
	"  -V, --version       print the version; -h, --help: print this text\n"
	"An example: pystuck --json | jq '.threads[].state'\n"
	"Exit status: 0 done, 1 the evaluated code raised, 2 wrong usage,\n"
	"  3 nobody there or connection lost, 4 refused, 5 degraded or cut short\n";

const char *options_help(void)
{
	return help;
}

static int parse_pid(pid_t *pid, const char *option, const char *text, struct diag *d)
{
	char *end = NULL;

	errno = 0;
	long v = strtol(text, &end, 10);
	if (errno != 0 || end == text || *end != '\0' || v <= 0 || v > INT32_MAX)
		return diag_set(d, PYSTUCK_EINVAL, 0, "%s %s: not a process id", option, text);
	*pid = (pid_t)v;
	return 0;
}

int options_seconds(int64_t *ms, const char *option, const char *text, double most, struct diag *d)
{
	char *end = NULL;
	double v = strtod(text, &end);

	if (end == text || *end != '\0' || isnan(v) || v <= 0 || v > most)
		return diag_set(
			d, PYSTUCK_EINVAL, 0, "%s %s: not a number of seconds from 0.001 to %.0f", option, text, most);
	*ms = v * 1000 < 1 ? 1 : (int64_t)(v * 1000);
	return 0;
}

int options_number(uint32_t *number, const char *option, const char *text, uint32_t most, struct diag *d)
{
	const char *error = NULL;
	long long v = strtonum(text, 1, most, &error);

	if (error != NULL)
		return diag_set(d, PYSTUCK_EINVAL, 0, "%s %s: not a number from 1 to %u", option, text, most);
	*number = (uint32_t)v;
	return 0;
}

static int parse_timeout(struct options *o, const char *text, struct diag *d)
{
	o->timeout_given = 1;
	return options_seconds(&o->timeout_ms, "--timeout", text, OPTIONS_TIMEOUT_MAX, d);
}

static int parse_frames(struct options *o, const char *text, struct diag *d)
{
	const char *error = NULL;
	long long v = strtonum(text, 1, UINT32_MAX, &error);

	if (error != NULL)
		return diag_set(d, PYSTUCK_EINVAL, 0, "--frames %s: not a number of frames, 1 or more", text);
	o->frames = (uint32_t)v;
	return 0;
}

static int add_thread(struct options *o, const char *text, struct diag *d)
{
	if (o->thread_count == OPTIONS_THREADS_MAX)
		return diag_set(d, PYSTUCK_EINVAL, 0, "--thread can be given %d times: a pattern such as 'worker-*' means many",
			OPTIONS_THREADS_MAX);
	o->threads[o->thread_count++] = text;
	return 0;
}

static int parse_color(struct options *o, const char *text, struct diag *d)
{
	if (text == NULL || strcmp(text, "always") == 0)
		o->color = OPTIONS_COLOR_ALWAYS;
	else if (strcmp(text, "auto") == 0)
		o->color = OPTIONS_COLOR_AUTO;
	else if (strcmp(text, "never") == 0)
		o->color = OPTIONS_COLOR_NEVER;
	else
		return diag_set(d, PYSTUCK_EINVAL, 0, "--color %s: auto, always or never", text);
	return 0;
}

/* One option that takes a value, or changes what is done. 0 or an error. */
static int take(struct options *o, int opt, const char *arg, struct diag *d)
{
	switch (opt) {
	case OPT_SOCKET:
		o->socket = arg;
		return 0;
	case OPT_PID:
		return parse_pid(&o->pid, "--pid", arg, d);
	case OPT_INJECT:
		return parse_pid(&o->inject, "--inject", arg, d);
	case OPT_UNIT:
		o->unit = arg;
		return 0;
	case OPT_KEY:
		o->key = arg;
		return 0;
	case OPT_KEYGEN:
		o->keygen = arg;
		return 0;
	case OPT_KEY_NAME:
		o->key_name = arg;
		return 0;
	case OPT_ROLE:
		o->role = arg;
		return 0;
	case OPT_ADD:
		o->add = 1;
		return 0;
	case OPT_LIST:
		o->action = OPTIONS_LIST;
		return 0;
	case 'c':
		o->command = arg;
		return 0;
	case OPT_NO_STACKS:
		o->stacks = 0;
		return 0;
	case OPT_NO_REPL:
		o->repl = 0;
		return 0;
	case OPT_NO_RC:
		o->rc = 0;
		return 0;
	case OPT_LOCALS:
		o->locals = 1;
		return 0;
	case OPT_RAW:
		o->raw = 1;
		return 0;
	case OPT_WATCH:
		return options_seconds(&o->watch_ms, "--watch", arg, OPTIONS_TIMEOUT_MAX, d);
	case OPT_GREENLETS:
		o->suspended.greenlets = SUSPENDED_ALWAYS;
		return 0;
	case OPT_NO_GREENLETS:
		o->suspended.greenlets = SUSPENDED_NEVER;
		return 0;
	case OPT_GENERATORS:
		o->suspended.generators = 1;
		return 0;
	case OPT_DIFF:
		o->action = OPTIONS_DIFF;
		return 0;
	case OPT_MERGE:
		o->action = OPTIONS_MERGE;
		return 0;
	case OPT_CHILDREN:
		o->children = 1;
		return 0;
	case OPT_ALL:
		o->all = 1;
		return 0;
	case OPT_SAMPLE:
		return options_seconds(&o->sample_ms, "--sample", arg, SAMPLE_SECONDS_MAX, d);
	case OPT_RATE:
		return options_number(&o->rate, "--rate", arg, SAMPLE_RATE_MAX, d);
	case OPT_OUTPUT:
		o->output = arg;
		return 0;
	case OPT_THREAD:
		return add_thread(o, arg, d);
	case OPT_FRAMES:
		return parse_frames(o, arg, d);
	case OPT_NO_GROUP:
		o->no_group = 1;
		return 0;
	case OPT_TASKS:
		o->tasks = 1;
		return 0;
	case OPT_JSON:
		o->json = 1;
		return 0;
	case OPT_TIMEOUT:
		return parse_timeout(o, arg, d);
	case OPT_COLOR:
		return parse_color(o, arg, d);
	default:
		return PYSTUCK_EINVAL;
	}
}

/* getopt's own messages go out by stdio with argv[0]; ours name the option and where help is. */
static int bad_option(int opt, char **argv, struct diag *d)
{
	const char *word = argv[optind > 0 ? optind - 1 : 0];
	char letter[3] = {'-', (char)optopt, '\0'};

	/* A cluster of short options is not over yet: then the word is the next one. */
	if (optopt != 0 && optopt < 256 && strncmp(word, "--", 2) != 0)
		word = letter;
	if (opt == ':')
		return diag_set(d, PYSTUCK_EINVAL, 0, "%s needs a value; see pystuck --help", word);
	if (optopt >= 256)
		return diag_set(
			d, PYSTUCK_EINVAL, 0, "%s takes no value; see pystuck --help", word);
	return diag_set(d, PYSTUCK_EINVAL, 0, "unknown option %s; see pystuck --help", word);
}

static int only_digits(const char *text)
{
	return *text != '\0' && text[strspn(text, "0123456789")] == '\0';
}

/* --diff A B, --merge FILES: what is left are files, and nothing else is asked. */
static int take_files(struct options *o, int argc, char **argv, struct diag *d)
{
	o->files = argv + optind;
	o->file_count = argc - optind;
	if (o->action == OPTIONS_DIFF && o->file_count != 2)
		return diag_set(d, PYSTUCK_EINVAL, 0, "--diff takes two files: an earlier dump and a later one, as pystuck --json writes them");
	if (o->action == OPTIONS_MERGE && o->file_count == 0)
		return diag_set(d, PYSTUCK_EINVAL, 0, "--merge takes files of dumps, directories of *.json, or - for standard input");
	if (o->action == OPTIONS_DIFF && o->json)
		return diag_set(d, PYSTUCK_EINVAL, 0, "--diff prints text: it does not go with --json");
	return 0;
}

static int parse_positionals(struct options *o, int argc, char **argv, struct diag *d)
{
	if (optind < argc)
		o->host = argv[optind++];
	if (o->host != NULL && *o->host == '\0')
		return diag_set(d, PYSTUCK_EINVAL, 0, "the host is empty");
	/* "6666" is an IPv4 address to the C library; nobody means that one. */
	if (o->host != NULL && only_digits(o->host))
		return diag_set(d, PYSTUCK_EINVAL, 0,
			"%s is no host: the host comes first, then the port: pystuck %s %s",
			o->host, ADDR_DEFAULT_HOST, o->host);
	if (optind < argc) {
		int rc = addr_parse_port(argv[optind++], &o->port, d);
		if (rc != 0)
			return rc;
	}
	if (optind < argc)
		return diag_set(d, PYSTUCK_EINVAL, 0,
			"%s: one argument too many; see pystuck --help", argv[optind]);
	return 0;
}

int options_parse(struct options *o, int argc, char **argv, struct diag *d)
{
	int opt, rc = 0;

	*o = (struct options){
		.action = OPTIONS_CONNECT,
		.port = ADDR_DEFAULT_PORT,
		.stacks = 1,
		.repl = 1,
		.rc = 1,
		.timeout_ms = OPTIONS_TIMEOUT_MS,
	};
	opterr = 0;
	while (rc == 0 && (opt = getopt_long(argc, argv, ":c:hV", long_options, NULL)) != -1) {
		if (opt == 'h' || opt == 'V') {
			o->action = opt == 'h' ? OPTIONS_HELP : OPTIONS_VERSION;
			return 0;
		}
		rc = opt == '?' || opt == ':' ? bad_option(opt, argv, d) : take(o, opt, optarg, d);
	}
	if (rc == 0 && (o->action == OPTIONS_DIFF || o->action == OPTIONS_MERGE))
		rc = take_files(o, argc, argv, d);
	else if (rc == 0)
		rc = parse_positionals(o, argc, argv, d);
	if (rc == 0)
		rc = options_check(o, d);
	if (rc != 0)
		return rc;
	if (o->watch_ms > 0 && o->watch_ms < OPTIONS_WATCH_MIN)
		o->watch_ms = OPTIONS_WATCH_MIN;
	if (o->keygen != NULL)
		o->action = OPTIONS_KEYGEN;
	if (o->command != NULL || o->sample_ms != 0)
		o->stacks = 0;
	/* As JSON either the stacks are printed, or the outcome of a script. */
	if (o->command != NULL || (o->json && o->stacks) || o->children || o->all || o->sample_ms != 0 || o->watch_ms > 0)
		o->repl = 0;
	return 0;
}
