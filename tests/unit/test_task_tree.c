/*
 * test_task_tree.c: the tree of tasks, read back: every task is in it once, by itself or as one of a group, or is counted where the tree is
 * cut; and every wait is a line.
 * SOURCES: src/client/task_tree.c src/client/tasks.c src/client/loops.c src/client/waits.c src/client/task_graph.c src/client/deadlock.c
 * SOURCES: src/client/cut.c src/client/dump.c src/client/dump_tasks.c src/client/dump_suspended.c src/client/out.c src/client/signals.c
 */
#include "../../src/client/task_tree.h"

#include "task_rig.h"

#include "../../src/client/tasks.h"

#define N 14
#define DEPTH_MAX 64
#define BAR "\xe2\x94\x82   "
#define TEE "\xe2\x94\x9c\xe2\x94\x80\xe2\x94\x80 "
#define LAST "\xe2\x94\x94\xe2\x94\x80\xe2\x94\x80 "
#define GAP "    "

/* What the lines of a tree say. */
struct reading {
	size_t heads, references, left_out, roots;
	size_t stands_for; /* tasks, by heads: a group below a group counts for each of that one */
	size_t shown[N];   /* how often each has a head of its own, where groups are off */
	size_t group[DEPTH_MAX];
};

static int passes(const char **at, const char *what)
{
	size_t len = strlen(what);

	if (strncmp(*at, what, len) != 0)
		return 0;
	*at += len;
	return 1;
}

/* How deep the line is; *head: it is a task's first one. */
static size_t depth_of(const char **at, int *head)
{
	size_t depth = 0;

	while (passes(at, BAR) || passes(at, GAP))
		depth++;
	*head = passes(at, TEE) || passes(at, LAST);
	depth += (size_t)*head;
	*head |= depth == 0 && **at != ' ';
	return depth;
}

static void read_head(struct reading *r, const char *at, size_t depth)
{
	unsigned long task = 0, count = 1;
	char *end;

	if (strstr(at, "(see above)") || strstr(at, "(a circle: ") || strstr(at, "shown above)") || strstr(at, "(left out above)")) {
		r->references++;
		return;
	}
	r->heads++;
	r->roots += depth == 0;
	if (passes(&at, "<")) {
		count = strtoul(at, &end, 10);
		assert_true(strncmp(end, " tasks> c()", 11) == 0);
	} else {
		assert_true(passes(&at, "t"));
		task = strtoul(at, &end, 10);
		assert_true(strncmp(end, " c()", 4) == 0);
		if (task < N)
			r->shown[task]++;
	}
	assert_true(depth < DEPTH_MAX);
	r->group[depth] = count * (depth > 0 ? r->group[depth - 1] : 1);
	r->stands_for += r->group[depth];
}

static void read_line(struct reading *r, const char *line)
{
	const char *at = line;
	int head;
	size_t depth = depth_of(&at, &head);

	if (head)
		read_head(r, at, depth);
	else if (passes(&at, "  ... "))
		r->left_out += strtoul(at, NULL, 10);
}

static void read_text(struct reading *r, char *text)
{
	char *save = NULL;

	memset(r, 0, sizeof *r);
	for (char *line = strtok_r(text, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save))
		read_line(r, line);
}

/* What is asked of a dump, in a thread of its own, and what came of it. */
struct printing {
	const struct dump *dump;
	struct print_options options;
	char *text;
	int report; /* with the circles above it */
};

static void *print(void *argument)
{
	struct printing *p = argument;
	struct task_graph g;
	struct out o;
	int rc;

	out_init(&o, -1);
	rc = task_graph_open(&g, p->dump);
	if (rc == 0 && p->report)
		tasks_report(&o, &g);
	if (rc == 0)
		rc = task_tree_print(&o, &g, &p->options);
	out_bytes(&o, "", 1);
	p->text = rc == 0 && o.error == 0 ? strdup((const char *)buf_bytes(&o.buf)) : NULL;
	task_graph_close(&g);
	out_free(&o);
	return NULL;
}

static char *text_of(const struct dump *dump, int no_group)
{
	struct printing p = {.dump = dump, .options = {.view = {.no_group = no_group}}};

	(void)print(&p);
	assert_non_null(p.text);
	return p.text;
}

static void make_random(struct dump *dump)
{
	uint32_t awaits[N];
	int one_in = 3 + rand() % 20;

	rig_begin(dump);
	for (uint32_t i = 0; i < N; i++) {
		size_t count = rig_random_awaits(awaits, N, one_in);

		rig_add(dump, i, awaits, count, (uint8_t)((rand() % 6 ? TASK_STILL : 0) | (rand() % 6 ? 0 : TASK_ANY)));
	}
	rig_end(dump, 1);
}

static void test_task_tree_has_each_task_once_and_each_wait(void **state)
{
	enum { ROUNDS = 3000 };
	struct dump dump;

	(void)state;
	srand(1);
	for (int round = 0; round < ROUNDS; round++) {
		struct reading r;
		size_t waits = 0;
		char *text;

		make_random(&dump);
		for (size_t i = 0; i < N; i++)
			waits += dump.tasks[i].await_count;
		text = text_of(&dump, 1);
		read_text(&r, text);
		free(text);
		assert_int_equal(r.heads, N);
		for (size_t i = 0; i < N; i++)
			assert_int_equal(r.shown[i], 1);
		assert_int_equal(r.heads + r.references, r.roots + waits);
		text = text_of(&dump, 0);
		read_text(&r, text);
		free(text);
		assert_int_equal(r.stands_for, N);
		dump_free(&dump);
	}
}

/* Everybody awaits two, of whom nobody else knows: whole levels are alike, and are one line each. */
static void test_task_tree_groups_whole_branches_that_are_alike(void **state)
{
	enum { TASKS = 127 };
	struct reading r;
	struct dump dump;
	char *text;

	(void)state;
	rig_begin(&dump);
	for (uint32_t i = 0; i < TASKS; i++) {
		const uint32_t below[] = {2 * i + 1, 2 * i + 2};

		rig_add(&dump, i, below, below[1] < TASKS ? 2 : 0, TASK_STILL);
	}
	rig_end(&dump, 1);
	text = text_of(&dump, 0);
	assert_non_null(strstr(text, "t0 c()  waiting for 2 tasks\n" LAST "<2 tasks> c()  waiting for 2 tasks\n" GAP "  t1, t2\n"));
	read_text(&r, text);
	free(text);
	assert_int_equal(r.heads, 7);
	assert_int_equal(r.references, 0);
	assert_int_equal(r.stands_for, TASKS);
	text = text_of(&dump, 1);
	read_text(&r, text);
	free(text);
	assert_int_equal(r.heads, TASKS);
	dump_free(&dump);
}

static void test_task_tree_names_are_in_the_order_in_which_people_count(void **state)
{
	struct dump dump;
	char *text;

	(void)state;
	rig_begin(&dump);
	for (uint32_t i = 12; i > 0; i--)
		rig_add(&dump, i, NULL, 0, TASK_STILL);
	rig_end(&dump, 1);
	text = text_of(&dump, 0);
	assert_string_equal(text, "<12 tasks> c()  waiting for what has ended\n  t1, t2, t3, t4, t5 and 7 more\n");
	free(text);
	dump_free(&dump);
}

static void test_task_tree_of_a_long_chain_is_cut_and_says_so(void **state)
{
	struct printing p = {.report = 1};
	struct reading r;
	struct dump dump;

	(void)state;
	for (int circle = 0; circle < 2; circle++) {
		uint32_t count = circle ? 1000 : 10000;

		rig_chain(&dump, count, circle);
		p.dump = &dump;
		rig_without_recursion(print, &p);
		assert_non_null(p.text);
		assert_true(strlen(p.text) < 20000);
		if (circle) {
			assert_non_null(strstr(p.text, "Deadlock: 1000 tasks wait for each other\n"));
			assert_non_null(strstr(p.text, "  ... 980 more of the same circle\n"));
		}
		char *tree = strstr(p.text, "\nt0 c()");
		read_text(&r, tree != NULL ? tree : p.text);
		assert_int_equal(r.roots, 1);
		assert_int_equal(r.references, 0);
		assert_int_equal(r.heads + r.left_out, count);
		free(p.text);
		dump_free(&dump);
	}
}

/* The first waits for a chain that is cut, the second for one that is left out in it. */
static void test_task_tree_refers_to_what_it_has_left_out_as_such(void **state)
{
	enum { CHAIN = 60 };
	struct dump dump;
	char *text;

	(void)state;
	rig_begin(&dump);
	for (uint32_t i = 0; i < CHAIN; i++) {
		const uint32_t next = i + 1;

		rig_add(&dump, i, &next, i + 1 < CHAIN, TASK_STILL);
	}
	const uint32_t late = CHAIN - 5;
	rig_add(&dump, CHAIN, &late, 1, TASK_STILL);
	rig_end(&dump, 1);
	text = text_of(&dump, 0);
	assert_non_null(strstr(text, "  ... 19 tasks below it left out\n"));
	assert_non_null(strstr(text, "t60 c()  waiting for t55 c()\n" LAST "t55 c()  waiting for t56 c()  (left out above)\n"));
	free(text);
	dump_free(&dump);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_task_tree_has_each_task_once_and_each_wait),
		cmocka_unit_test(test_task_tree_groups_whole_branches_that_are_alike),
		cmocka_unit_test(test_task_tree_names_are_in_the_order_in_which_people_count),
		cmocka_unit_test(test_task_tree_of_a_long_chain_is_cut_and_says_so),
		cmocka_unit_test(test_task_tree_refers_to_what_it_has_left_out_as_such),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
