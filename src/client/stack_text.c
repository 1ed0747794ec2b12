/*
 * stack_text.c: names for files. Everything goes through text.c here; what else a format escapes is its own business.
 */
#include "stack_text.h"

#include <stdlib.h>
#include <string.h>

#include "out.h"
#include "text.h"

#define TEXT_MAX (1u << 20)

void stack_text_open(struct stack_text *t, const struct profile *p)
{
	t->p = p;
	buf_init(&t->buf, TEXT_MAX);
}

void stack_text_close(struct stack_text *t)
{
	buf_free(&t->buf);
}

/* "NAME (BEHIND:NUMBER)", where BEHIND may be missing, or the number. */
static struct span put(struct stack_text *t, struct span name, const char *word, struct span behind, uint32_t number)
{
	char digits[OUT_DIGITS] = "";
	const char *end = out_decimal(digits, number);
	int rc;

	buf_clear(&t->buf);
	rc = text_append(&t->buf, name, TEXT_LINE);
	if (rc == 0 && (behind.len > 0 || *word != '\0')) {
		rc = buf_put(&t->buf, " (", 2);
		rc = rc == 0 ? text_append(&t->buf, behind, TEXT_LINE) : rc;
		rc = rc == 0 ? buf_put(&t->buf, word, strlen(word)) : rc;
		rc = rc == 0 && number != 0 ? buf_put(&t->buf, end, strlen(end)) : rc;
		rc = rc == 0 ? buf_put(&t->buf, ")", 1) : rc;
	}
	return rc == 0 ? buf_span(&t->buf) : span_text("");
}

struct span stack_text_place(struct stack_text *t, uint32_t place)
{
	const struct profile_place *p = &t->p->places[place];
	const struct profile_code *code = &t->p->codes[p->code];

	return put(t, code->function, p->line != 0 ? ":" : "", code->file, p->line);
}

struct span stack_text_function(struct stack_text *t, uint32_t place)
{
	const struct profile_code *code = &t->p->codes[t->p->places[place].code];

	return put(t, code->function, "", code->file, 0);
}

struct span stack_text_thread(struct stack_text *t, uint32_t thread)
{
	const struct profile_thread *p = &t->p->threads[thread];

	if (p->name.len == 0)
		return span_text("(other threads)");
	return put(t, p->name, p->tid != 0 ? "tid " : "", span_text(""), p->tid);
}

struct span stack_text_node(struct stack_text *t, uint32_t node)
{
	const struct profile_node *n = &t->p->nodes[node];

	return n->parent == PROFILE_NONE ? stack_text_thread(t, n->thread) : stack_text_place(t, n->place);
}

uint32_t stack_text_deepest(const struct profile *p)
{
	uint32_t *depths = calloc((size_t)p->node_count + 1, sizeof *depths), deepest = 0;

	/* Without memory: as deep as there are nodes. */
	if (depths == NULL)
		return p->node_count;
	for (uint32_t i = 0; i < p->node_count; i++) {
		depths[i] = p->nodes[i].parent == PROFILE_NONE ? 1 : depths[p->nodes[i].parent] + 1;
		deepest = depths[i] > deepest ? depths[i] : deepest;
	}
	free(depths);
	return deepest;
}

uint32_t stack_text_path(const struct profile *p, uint32_t node, uint32_t *path)
{
	uint32_t depth = 0;

	for (; node != PROFILE_NONE; node = p->nodes[node].parent)
		path[depth++] = node;
	return depth;
}

size_t stack_text_self(const struct profile *p, uint32_t node, struct stack_text_self self[static STACK_TEXT_SELVES])
{
	static const char *const words[PROFILE_STATES] = {
		[STATE_UNKNOWN] = "[state not known]",
		[STATE_GIL] = "[waiting for the GIL]",
		[STATE_LOCK] = "[waiting for a lock]",
		[STATE_SLEEP] = "[sleeping]",
		[STATE_IO] = "[in I/O]",
		[STATE_CHILD] = "[waiting for a child process]",
		[STATE_C] = "[in C code]",
		[STATE_IDLE] = "[idle]",
	};
	const struct profile_node *n = &p->nodes[node];
	uint64_t cpu = profile_self(n).cpu;
	size_t count = 0;

	if (cpu > 0)
		self[count++] = (struct stack_text_self){NULL, cpu};
	for (int state = 0; state < PROFILE_STATES; state++)
		if (!profile_is_cpu(state) && n->self[state] > 0)
			self[count++] = (struct stack_text_self){words[state], n->self[state]};
	return count;
}
