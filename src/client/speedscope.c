/*
 * speedscope.c: a profile as speedscope reads it. Stacks are lists of indexes into one list of frames: the places first, and then what
 * threads may wait for.
 */
#include "speedscope.h"

#include <stdlib.h>

#include "json_private.h"
#include "sample_print.h"
#include "stack_text.h"
#include "version.h"

struct writer {
	struct json j;
	const struct sample *s;
	uint32_t *first, *next; /* nodes of a thread, the last one first; each one more, 0: no more */
	uint32_t *path;
	const char *words[STACK_TEXT_SELVES]; /* of those that waited */
	uint32_t word_count;
};

/* --- frames --- */

static uint32_t word_index(struct writer *w, const char *word)
{
	uint32_t i = 0;

	while (i < w->word_count && w->words[i] != word)
		i++;
	if (i == w->word_count)
		w->words[w->word_count++] = word;
	return w->s->profile.place_count + i;
}

/* So that all words are known before the list of frames is written. */
static void find_words(struct writer *w)
{
	struct stack_text_self self[STACK_TEXT_SELVES];

	for (uint32_t i = 0; i < w->s->profile.node_count; i++) {
		size_t count = stack_text_self(&w->s->profile, i, self);

		for (size_t k = 0; k < count; k++)
			if (self[k].word != NULL)
				(void)word_index(w, self[k].word);
	}
}

static void put_frames(struct writer *w)
{
	struct json *j = &w->j;
	const struct profile *p = &w->s->profile;

	key(j, "frames");
	begin(j, "[");
	for (uint32_t i = 0; i < p->place_count; i++) {
		const struct profile_code *code = &p->codes[p->places[i].code];

		element(j);
		begin(j, "{");
		key_string(j, "name", code->function);
		if (code->file.len > 0)
			key_string(j, "file", code->file);
		if (p->places[i].line != 0)
			key_number(j, "line", p->places[i].line);
		end(j, "}");
	}
	for (uint32_t i = 0; i < w->word_count; i++) {
		element(j);
		begin(j, "{");
		key_string(j, "name", span_text(w->words[i]));
		end(j, "}");
	}
	end(j, "]");
}

/* --- profiles --- */

/* What a thread's nodes have in themselves, on CPU or waiting: their stacks, or what these weigh. Returns the sum of the weights. */
static uint64_t put_selves(struct writer *w, uint32_t thread, int wait, int stacks)
{
	const struct profile *p = &w->s->profile;
	struct stack_text_self self[STACK_TEXT_SELVES];
	uint64_t sum = 0;

	for (uint32_t node = w->first[thread]; node != 0; node = w->next[node - 1]) {
		size_t count = stack_text_self(p, node - 1, self);
		uint32_t depth = stack_text_path(p, node - 1, w->path);

		for (size_t k = 0; k < count; k++) {
			uint64_t us = sample_us(w->s, self[k].count);

			if ((self[k].word != NULL) != wait)
				continue;
			sum += us;
			element(&w->j);
			if (!stacks) {
				out_number(w->j.o, us);
				continue;
			}
			begin(&w->j, "[");
			for (uint32_t i = depth - 1; i-- > 0;) {
				element(&w->j);
				out_number(w->j.o, p->nodes[w->path[i]].place);
			}
			if (wait) {
				element(&w->j);
				out_number(w->j.o, word_index(w, self[k].word));
			}
			end(&w->j, "]");
		}
	}
	return sum;
}

static void put_profile(struct writer *w, struct stack_text *t, uint32_t thread, int wait)
{
	struct json *j = &w->j;
	uint64_t sum;

	element(j);
	begin(j, "{");
	key_string(j, "type", span_text("sampled"));
	key(j, "name");
	out_text(j->o, "\"");
	out_safe(j->o, stack_text_thread(t, thread), TEXT_JSON);
	out_text(j->o, wait ? ", waiting\"" : ", on CPU\"");
	key_string(j, "unit", span_text("microseconds"));
	key_number(j, "startValue", 0);
	key(j, "samples");
	begin(j, "[");
	(void)put_selves(w, thread, wait, 1);
	end(j, "]");
	key(j, "weights");
	begin(j, "[");
	sum = put_selves(w, thread, wait, 0);
	end(j, "]");
	key_number(j, "endValue", sum);
	end(j, "}");
}

static void put_profiles(struct writer *w)
{
	uint32_t *order = sample_threads(w->s);
	const struct profile *p = &w->s->profile;
	struct stack_text t;

	stack_text_open(&t, p);
	key(&w->j, "profiles");
	begin(&w->j, "[");
	for (uint32_t i = 0; order != NULL && i < p->thread_count; i++) {
		if (p->threads[order[i]].total.cpu > 0)
			put_profile(w, &t, order[i], 0);
		if (p->threads[order[i]].total.wait > 0)
			put_profile(w, &t, order[i], 1);
	}
	end(&w->j, "]");
	if (order == NULL && w->j.o->error == 0)
		w->j.o->error = PYSTUCK_ENOMEM;
	stack_text_close(&t);
	free(order);
}

/* --- the whole file --- */

static int open_writer(struct writer *w)
{
	const struct profile *p = &w->s->profile;

	w->first = calloc((size_t)p->thread_count + 1, sizeof *w->first);
	w->next = calloc((size_t)p->node_count + 1, sizeof *w->next);
	w->path = malloc(((size_t)stack_text_deepest(p) + 1) * sizeof *w->path);
	if (w->first == NULL || w->next == NULL || w->path == NULL)
		return PYSTUCK_ENOMEM;
	for (uint32_t i = 0; i < p->node_count; i++) {
		w->next[i] = w->first[p->nodes[i].thread];
		w->first[p->nodes[i].thread] = i + 1;
	}
	find_words(w);
	return 0;
}

void speedscope_write(struct out *o, const struct sample *s, const struct msg_welcome *peer)
{
	struct writer w = {.j = {.o = o, .first = 1}, .s = s};
	struct json *j = &w.j;
	int rc = open_writer(&w);

	begin(j, "{");
	key_string(j, "$schema", span_text("https://www.speedscope.app/file-format-schema.json"));
	key_string(j, "exporter", span_text("pystuck " PYSTUCK_VERSION));
	key(j, "name");
	out_text(o, "\"pid ");
	out_number(o, peer->pid);
	out_text(o, "\"");
	key_number(j, "activeProfileIndex", 0);
	if (rc == 0) {
		key(j, "shared");
		begin(j, "{");
		put_frames(&w);
		end(j, "}");
		put_profiles(&w);
	} else if (o->error == 0) {
		o->error = rc;
	}
	end(j, "}");
	out_text(o, "\n");
	free(w.first);
	free(w.next);
	free(w.path);
}
