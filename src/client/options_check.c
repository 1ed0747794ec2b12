/*
 * options_check.c: what contradicts itself on the command line. Each word by itself has been understood by options.c.
 */
#include "options.h"

/* Saved dumps need no server. */
static const char *wrong_with_saved(const struct options *o, int places)
{
	if (o->action != OPTIONS_DIFF && o->action != OPTIONS_MERGE)
		return NULL;
	if (places > 0 || o->all || o->children || o->watch_ms > 0 || o->sample_ms != 0 || o->command != NULL || o->keygen != NULL ||
		o->locals || o->raw || !o->stacks)
		return "--diff and --merge read saved dumps: leave out what is about a server";
	return NULL;
}

/* What goes with --children and --all. NULL: what was said makes sense. */
static const char *wrong_with_several(const struct options *o, int places)
{
	if (o->all && (places > 0 || o->children))
		return "--all is every server of this machine: leave out the address and --children";
	if (o->children && o->host != NULL)
		return "--children looks at processes of this machine: it does not go with a host";
	if ((o->all || o->children) && o->watch_ms > 0)
		return "--watch looks at one program: it does not go with --children and --all";
	if ((o->all || o->children) && (!o->stacks || o->command != NULL || o->keygen != NULL || o->action == OPTIONS_LIST))
		return "--children and --all print stacks: they do not go with --no-stacks, -c, --list or --keygen";
	return NULL;
}

/* What goes with --sample, and with nothing else. NULL: what was said makes sense. */
static const char *wrong_with_sample(const struct options *o)
{
	int looks = o->thread_count > 0 || o->frames > 0 || o->no_group || o->locals || o->json;

	if (o->sample_ms == 0)
		return o->rate != 0 || o->output != NULL ? "--rate and --output go with --sample" : NULL;
	if (!o->stacks || o->command != NULL || o->keygen != NULL || o->action == OPTIONS_LIST || o->children || o->all)
		return "--sample prints where the time goes in one program: it does not go with --no-stacks, -c, --children, --all, "
		       "--list or --keygen";
	if (looks)
		return "--sample has all threads and frames, and no variables: --thread, --frames, --no-group, --locals and --json do not "
		       "go with it; --output FILE.json writes a file";
	return NULL;
}

/* What goes with --greenlets and --generators. NULL: what was said makes sense. */
static const char *wrong_with_suspended(const struct options *o)
{
	const struct suspended_options *s = &o->suspended;

	if ((s->greenlets != SUSPENDED_AUTO || s->generators) && (!o->stacks || o->command != NULL || o->sample_ms > 0))
		return "--greenlets, --no-greenlets and --generators go with the stacks: they do not go with --no-stacks, -c or --sample";
	return NULL;
}

int options_check(const struct options *o, struct diag *d)
{
	int looks = o->thread_count > 0 || o->frames > 0 || o->no_group;
	int places = (o->socket != NULL) + (o->pid != 0) + (o->inject != 0) + (o->unit != NULL) + (o->host != NULL);
	const char *text = NULL;

	if (places > 1)
		text = "--socket, --pid, --inject, --unit and a host each say where the server is: give "
		       "one of them";
	else if (o->keygen != NULL &&
		 (places > 0 || o->command != NULL || o->action == OPTIONS_LIST))
		text = "--keygen only makes a key file: leave out what is about a server";
	else if (o->key_name != NULL && o->keygen == NULL && o->host == NULL)
		text = "--key-name goes with --keygen, or with a host";
	else if ((o->role != NULL || o->add) && o->keygen == NULL)
		text = "--role and --add go with --keygen";
	else if (o->action == OPTIONS_LIST && (places > 0 || o->command != NULL))
		text = "--list lists the servers of this machine: leave out the address and -c";
	else if (o->json && !o->stacks && !o->repl && o->command == NULL)
		text = "--json prints the stacks, or the outcome of -c or of a script: with --no-stacks and --no-repl "
		       "there is nothing to print";
	else if (o->locals && !o->stacks && o->command == NULL)
		text = "--locals goes with the stacks: it does not go with --no-stacks";
	else if (o->raw && (!o->stacks || o->command != NULL))
		text = "--raw goes with the stacks: it does not go with --no-stacks or -c";
	else if (looks && (!o->stacks || o->command != NULL))
		text = "--thread, --frames and --no-group go with the stacks: they do not go with --no-stacks or -c";
	else if (o->tasks && (!o->stacks || o->command != NULL || o->raw || o->locals || o->thread_count > 0 || o->children || o->all))
		text = "--tasks prints tasks: it does not go with --no-stacks, -c, --raw, --locals, --thread, --children or --all";
	else if (o->tasks && o->json)
		text = "--json has the tasks: --tasks does not go with it";
	else if (looks && o->json)
		text = "--json has all threads and frames: --thread, --frames and --no-group do not go with it";
	else if (o->locals && o->command != NULL)
		text = "-c prints no stacks: it does not go with --locals";
	else if (o->watch_ms > 0 && (!o->stacks || o->command != NULL || o->keygen != NULL || o->action == OPTIONS_LIST))
		text = "--watch looks at stacks: it does not go with --no-stacks, -c, --list or --keygen";
	else if (o->watch_ms > 0 && o->sample_ms != 0)
		text = "--watch shows each look and --sample what many have in common: give one of them";
	if (text == NULL)
		text = wrong_with_saved(o, places);
	if (text == NULL)
		text = wrong_with_several(o, places);
	if (text == NULL)
		text = wrong_with_sample(o);
	if (text == NULL)
		text = wrong_with_suspended(o);
	return text != NULL ? diag_set(d, PYSTUCK_EINVAL, 0, "%s", text) : 0;
}
