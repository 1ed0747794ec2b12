/*
 * repl_lend.c: the prompt while a pager or an editor has the terminal: messages are taken as ever, so that the server is not kept
 * waiting, a tee's file goes on and an evaluation in the background prints on; lines for the screen wait.
 */
#include "repl_private.h"

static int on_message(void *context)
{
	struct repl *r = context;
	struct msg m;
	int rc;

	r->lent = 1;
	while ((rc = connect_next(r->c, &m, &r->lent_why)) == 1)
		;
	r->lent = 0;
	r->lent_over = rc < 0;
	return rc == 0;
}

const struct lend *repl_beside(struct repl *r)
{
	r->beside = (struct lend){.fd = r->lost ? -1 : connect_fd(r->c), .read = on_message, .context = r};
	return &r->beside;
}

void repl_hold(struct repl *r, int stream, struct span line)
{
	uint8_t *room;

	/* Where there was no room for one line, none that comes later stands in its place. */
	if (r->left_out == 0 && buf_reserve(&r->held, 1 + sizeof(uint32_t) + line.len, &room) == 0) {
		(void)buf_put_u8(&r->held, (uint8_t)stream);
		(void)buf_put_string(&r->held, line);
	} else {
		r->left_out++;
	}
}

void repl_returned(struct repl *r)
{
	struct span rest = buf_span(&r->held), line;
	uint8_t stream;

	while (span_get_u8(&rest, &stream) == 0 && span_get_string(&rest, &line) == 0)
		repl_job_line(r, stream, line);
	if (r->left_out > 0)
		out_notice("and %u lines more, of which there were too many", r->left_out);
	r->left_out = 0;
	buf_clear(&r->held);
	if (r->lent_over)
		repl_lost(r, &r->lent_why);
	r->lent_over = 0;
}
