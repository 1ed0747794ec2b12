/*
 * test_session_request.c: the table of what may be said, and what becomes of who says anything
 * else. Reads docs/PROTOCOL.md: the tests run in the top directory of the source tree.
 */
#include <stdio.h>

#include "session_rig.h"

#define DOCUMENT "docs/PROTOCOL.md"
#define HEADING "## 7. Who may send what when\n"

/* ---- the table ------------------------------------------------------------------------------- */

/* Written down a second time, in another form. */
static enum session_verdict expected(int state, int role, int type, int flags)
{
	int need = -1;

	if (state == SESSION_HELLO)
		return type == MSG_HELLO ? SESSION_ALLOW : SESSION_BREAK;
	if (state != SESSION_OPEN)
		return SESSION_BREAK;
	if (type == MSG_BYE)
		need = ROLE_STACKS;
	if (type == MSG_DUMP)
		need = (flags & DUMP_LOCALS) != 0 ? ROLE_LOCALS : ROLE_STACKS;
	if (type == MSG_EVAL || type == MSG_COMPLETE || type == MSG_WHERE || type == MSG_BACKGROUND || type == MSG_INTERRUPT || type == MSG_DETACH)
		need = ROLE_EVAL;
	if (need < 0)
		return SESSION_BREAK;
	return role >= need ? SESSION_ALLOW : SESSION_DENY;
}

static void test_session_every_type_role_and_state_is_in_the_table_or_denied(void **state)
{
	size_t allowed = 0;

	(void)state;
	for (int s = 0; s < SESSION_STATES; s++)
		for (int role = ROLE_NONE; role <= ROLE_EVAL; role++)
			for (int type = -1; type <= 256; type++)
				for (int flags = 0; flags < 256; flags++) {
					enum session_verdict v =
						session_request_judge((enum session_state)s,
							(enum role)role, type, (uint8_t)flags);

					if (v != expected(s, role, type, flags))
						fail_msg("state %d role %d type %d flags %d: %d", s,
							role, type, flags, (int)v);
					allowed += v == SESSION_ALLOW && flags == 0;
				}
	/* HELLO for 4 roles; DUMP and BYE for 3 roles each; 6 more types for one role. */
	assert_int_equal(allowed, 4 + 3 + 3 + 6);
}

/* ---- the same table in the document, and what happens ---------------------------------------- */

#define COLUMNS 5 /* the message, HELLO, and OPEN with each role */
#define CELL 64

static const char *const row_names[] = {"HELLO", "DUMP without locals", "DUMP with locals",
	"EVAL, COMPLETE, INTERRUPT, DETACH, WHERE, BACKGROUND", "BYE", "any other or unknown type, malformed"};

#define ROWS (sizeof(row_names) / sizeof(row_names[0]))

/* "| a | b |" as cells. Returns how many there are. */
static size_t split_row(char *line, char cells[COLUMNS][CELL])
{
	size_t n = 0;
	char *save = NULL;

	for (char *cell = strtok_r(line, "|\n", &save); cell != NULL && n < COLUMNS;
		cell = strtok_r(NULL, "|\n", &save)) {
		size_t len;

		cell += strspn(cell, " ");
		len = strlen(cell);
		while (len > 0 && cell[len - 1] == ' ')
			len--;
		assert_true(len < CELL);
		memcpy(cells[n], cell, len);
		cells[n++][len] = '\0';
	}
	return n;
}

static void read_document(char table[ROWS][COLUMNS][CELL])
{
	FILE *f = fopen(DOCUMENT, "re");
	char cells[COLUMNS][CELL], line[512];
	size_t rows = 0;

	assert_non_null(f);
	while (fgets(line, sizeof(line), f) != NULL && strcmp(line, HEADING) != 0)
		;
	while (fgets(line, sizeof(line), f) != NULL && line[0] != '|')
		;
	assert_non_null(
		strstr(line, "in HELLO | OPEN, role stacks | OPEN, role locals | OPEN, role eval"));
	assert_non_null(fgets(line, sizeof(line), f));
	while (fgets(line, sizeof(line), f) != NULL && line[0] == '|') {
		assert_true(rows < ROWS);
		assert_int_equal(split_row(line, cells), COLUMNS);
		assert_string_equal(cells[0], row_names[rows]);
		memcpy(table[rows++], cells, sizeof(cells));
	}
	assert_int_equal(rows, ROWS);
	fclose(f);
}

/* Has the session gone on, and does it answer? */
static void goes_on(void)
{
	assert_int_equal(session_state(session), SESSION_OPEN);
	say(client, rig_dump(77, 0));
	turn();
	hears_dump(77, DUMP_HOW_GIL);
}

static void was_accepted(int type)
{
	if (type == MSG_DUMP)
		hears_dump(5, DUMP_HOW_GIL);
	if (type == MSG_EVAL)
		hears_result(5);
	if (type == MSG_COMPLETE)
		hears_matches(5);
	if (type == MSG_WHERE)
		hears_place(5);
	goes_on();
}

static void has_ended(int column, int type)
{
	struct msg m;

	turn();
	if (column == 1) {
		closed_without_a_byte();
		return;
	}
	if (type != MSG_BYE) {
		rig_hear(client, &m, MSG_BYE);
		assert_int_equal(m.bye.reason, REASON_UNKNOWN);
	}
	rig_hear_end(client);
	assert_int_equal(fake.closes, 1);
}

/* A message of this type in that state with that role: does what the cell says come about? */
static void try_cell(const char *cell, int column, int type, struct span bytes)
{
	struct msg m;

	(void)setup(NULL);
	if (column == 1)
		connect_with(0);
	else
		welcome_as((enum role)(ROLE_STACKS + column - 2));
	assert_int_equal(channel_put(client, bytes), 0);
	assert_int_equal(rig_flush(client), 0);
	turn();
	if (strcmp(cell, "WELCOME or REFUSED") == 0) {
		rig_hear(client, &m, MSG_WELCOME);
		goes_on();
	} else if (strcmp(cell, "accepted") == 0) {
		was_accepted(type);
	} else if (strcmp(cell, "DENIED") == 0) {
		hears_error(5, REASON_DENIED);
		goes_on();
	} else if (strcmp(cell, "ends") == 0) {
		has_ended(column, type);
	} else {
		fail_msg("%s: what does \"%s\" mean?", DOCUMENT, cell);
	}
	(void)teardown(NULL);
}

static void try_row(char row[COLUMNS][CELL], int type, struct span bytes)
{
	for (int column = 1; column < COLUMNS; column++)
		try_cell(row[column], column, type, bytes);
}

static void try_message(char row[COLUMNS][CELL], struct msg m)
{
	struct buf b;

	buf_init(&b, MSG_MAX);
	assert_int_equal(msg_encode(&b, &m), 0);
	try_row(row, (int)m.type, buf_span(&b));
	buf_free(&b);
}

static void test_session_does_what_the_table_of_the_protocol_says(void **state)
{
	char table[ROWS][COLUMNS][CELL];

	(void)state;
	read_document(table);
	try_message(table[0], rig_hello());
	try_message(table[1], rig_dump(5, 0));
	try_message(table[1], rig_dump(5, DUMP_OURS));
	try_message(table[2], rig_dump(5, DUMP_LOCALS));
	try_message(table[2], rig_dump(5, DUMP_LOCALS | DUMP_OURS));
	try_message(table[3], rig_eval(5));
	try_message(table[3], rig_complete(5, 0));
	try_message(table[3], rig_complete(5, COMPLETE_ASK));
	try_message(table[3], rig_interrupt(5));
	try_message(table[3], rig_detach(5));
	try_message(table[3], rig_where(5));
	try_message(table[3], rig_background(5));
	try_message(table[4], rig_bye());
	/* A type byte alone: of another type, of none, or one of these cut short. */
	for (int type = 0; type < 256; type++) {
		const uint8_t byte = (uint8_t)type;

		try_row(table[5], -1, (struct span){&byte, 1});
	}
}

static void test_session_messages_of_a_server_end_an_open_session_with_a_word(void **state)
{
	const enum msg_type types[] = {MSG_HELLO, MSG_WELCOME, MSG_REFUSED, MSG_ERROR, MSG_RESULT,
		MSG_OUTPUT, MSG_DUMP_END};
	struct msg m;

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		m = (struct msg){.type = types[i]};
		welcome();
		if (types[i] == MSG_HELLO)
			m = rig_hello();
		if (types[i] == MSG_WELCOME)
			m.welcome.role = ROLE_EVAL;
		if (types[i] == MSG_REFUSED || types[i] == MSG_ERROR)
			m.refused.reason = m.error.reason = REASON_DENIED;
		if (types[i] == MSG_REFUSED)
			m.refused = (struct msg_refused){.version = 1, .reason = 1};
		if (types[i] == MSG_OUTPUT)
			m.output.stream = 1;
		say(client, m);
		turn();
		rig_hear(client, &m, MSG_BYE);
		assert_int_equal(m.bye.reason, REASON_UNKNOWN);
		assert_int_equal(session_state(session), SESSION_CLOSING);
		assert_int_equal(fake.closes, 1);
		(void)teardown(state);
		(void)setup(state);
	}
}

static void test_session_bytes_that_are_no_message_end_it_with_a_word(void **state)
{
	uint8_t junk[] = {MSG_DUMP, 1, 2, 3};
	struct msg m;

	(void)state;
	welcome();
	assert_int_equal(channel_put(client, (struct span){junk, sizeof(junk)}), 0);
	assert_int_equal(rig_flush(client), 0);
	turn();
	rig_hear(client, &m, MSG_BYE);
	assert_int_equal(m.bye.reason, REASON_UNKNOWN);
}

static void test_session_a_message_over_the_limit_ends_it_with_a_word(void **state)
{
	const uint8_t header[] = {0, 0x10, 0, 1}; /* MSG_MAX + 1 */
	struct msg m;

	(void)state;
	welcome();
	assert_int_equal(send(channel_fd(client), header, 4, 0), 4);
	turn();
	rig_hear(client, &m, MSG_BYE);
	assert_int_equal(m.bye.reason, REASON_LIMIT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_session_every_type_role_and_state_is_in_the_table_or_denied),
		cmocka_unit_test(test_session_does_what_the_table_of_the_protocol_says),
		T(test_session_messages_of_a_server_end_an_open_session_with_a_word),
		T(test_session_bytes_that_are_no_message_end_it_with_a_word),
		T(test_session_a_message_over_the_limit_ends_it_with_a_word),
	};

	alarm(110);
	return cmocka_run_group_tests_name("session_request", tests, NULL, NULL);
}
