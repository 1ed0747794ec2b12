/*
 * raw_value.c: reads values and writes them as Python would. No Python.h, no malloc, no lock; whatever the bytes say, it ends and
 * stays within its bounds.
 */
#include "raw_value.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "raw_code.h"

#define CHARS_MAX RAW_VALUE_MAX /* of a str or bytes that are looked at: more are never shown */
#define DIGIT_BITS 30u
#define DIGITS_MAX ((RAW_VALUE_BITS + DIGIT_BITS - 1) / DIGIT_BITS)
#define BILLION 1000000000u
#define FLOAT_DIGITS 17 /* that always tell a double */
#define NAME_BYTES 100u
#define ENTRIES_MAX 4096u /* of a dict or set that are looked at: many may have been removed */
#define ENTRIES_AT_ONCE 64u

/* What is read, and where its text goes. */
struct writer {
	struct raw_value_reader *r;
	struct pen pen;
};

static void put_value(struct writer *p, uintptr_t object, int depth);

static int get(const struct writer *p, uintptr_t from, void *to, size_t len)
{
	return raw_mem_read(p->r->mem, from, to, len);
}

static int get_word(const struct writer *p, uintptr_t from, uintptr_t *word)
{
	return raw_mem_word(p->r->mem, from, word);
}

/* --- numbers --- */

/* How many digits an int has, and whether it is negative. 0 when there is none. */
static int int_size(const struct writer *p, uintptr_t object, uintptr_t *count, int *negative)
{
	const struct raw_layout *l = p->r->layout;
	uintptr_t size;

	if (!get_word(p, object + (l->int_tag != RAW_NONE ? l->int_tag : l->var_size), &size))
		return 0;
	if (l->int_tag != RAW_NONE) {
		/* Two bits for the sign, one that is CPython's: 0 positive, 1 zero, 2 negative. */
		*negative = (size & 3) == 2;
		*count = (size & 3) == 1 ? 0 : size >> 3;
	} else {
		*negative = (intptr_t)size < 0;
		*count = *negative ? (uintptr_t)0 - size : size;
	}
	return *count <= UINT32_MAX;
}

/* Writes the digits, which it uses up: the last of `count` is not 0. */
static void put_decimal(struct writer *p, uint32_t *digits, size_t count, int negative)
{
	char text[DIGITS_MAX * 10 + 16], *at = text + sizeof text;

	while (count > 0) {
		uint64_t rest = 0;

		for (size_t i = count; i-- > 0;) {
			rest = rest << DIGIT_BITS | digits[i];
			digits[i] = (uint32_t)(rest / BILLION);
			rest %= BILLION;
		}
		while (count > 0 && digits[count - 1] == 0)
			count--;
		for (int i = 0; i < 9 && (count > 0 || rest > 0); i++, rest /= 10)
			*--at = (char)('0' + rest % 10);
	}
	pen_text(&p->pen, negative ? "-" : "");
	pen_put(&p->pen, at, (size_t)(text + sizeof text - at));
}

static void put_int(struct writer *p, uintptr_t object)
{
	uint32_t digits[DIGITS_MAX] = {0}, last = 0;
	uintptr_t count = 0, data = object + p->r->layout->int_digits;
	uint64_t bits;
	int negative = 0, right = int_size(p, object, &count, &negative);

	if (right && count == 0) {
		pen_text(&p->pen, "0");
		return;
	}
	if (!right || !get(p, data + (count - 1) * sizeof last, &last, sizeof last) || last == 0 || last >> DIGIT_BITS != 0) {
		pen_text(&p->pen, "<int>");
		return;
	}
	bits = (uint64_t)(count - 1) * DIGIT_BITS + (32u - (unsigned)__builtin_clz(last));
	if (bits > RAW_VALUE_BITS || !get(p, data, digits, count * sizeof *digits)) {
		pen_format(&p->pen, "<int of %llu bits>", (unsigned long long)bits);
		return;
	}
	for (size_t i = 0; i < count; i++)
		digits[i] &= (1u << DIGIT_BITS) - 1;
	/* The world may be running. */
	if (digits[count - 1] == 0)
		pen_text(&p->pen, "<int>");
	else
		put_decimal(p, digits, count, negative);
}

/* The fewest digits that mean this very number, as an integer and its exponent of ten. What separates them is the locale's. */
static size_t shortest(double v, char digits[static FLOAT_DIGITS + 1], int *exponent)
{
	char text[64];
	size_t n = 0;

	for (int precision = 0; precision < FLOAT_DIGITS; precision++) {
		snprintf(text, sizeof text, "%.*e", precision, v);
		if (strtod(text, NULL) == v)
			break;
	}
	for (const char *at = text; *at != '\0' && *at != 'e'; at++)
		if (*at >= '0' && *at <= '9' && n < FLOAT_DIGITS)
			digits[n++] = *at;
	*exponent = strchr(text, 'e') != NULL ? (int)strtol(strchr(text, 'e') + 1, NULL, 10) : 0;
	while (n > 1 && digits[n - 1] == '0')
		n--;
	return n;
}

/* As repr() writes a float. */
static void put_float(struct writer *p, double v)
{
	char digits[FLOAT_DIGITS + 1];
	int exponent = 0;
	size_t n;

	if (__builtin_isnan(v) || __builtin_isinf(v)) {
		pen_text(&p->pen, __builtin_isnan(v) ? "nan" : v < 0 ? "-inf" : "inf");
		return;
	}
	pen_text(&p->pen, __builtin_signbit(v) ? "-" : "");
	n = shortest(__builtin_fabs(v), digits, &exponent);
	if (exponent < -4 || exponent >= 16) {
		pen_put(&p->pen, digits, 1);
		pen_text(&p->pen, n > 1 ? "." : "");
		pen_put(&p->pen, digits + 1, n - 1);
		pen_format(&p->pen, "e%c%02d", exponent < 0 ? '-' : '+', abs(exponent));
		return;
	}
	for (int i = exponent < 0 ? exponent : 0; i < (int)n || i <= exponent + 1; i++) {
		if (i == exponent + 1)
			pen_text(&p->pen, ".");
		pen_put(&p->pen, i >= 0 && i < (int)n ? digits + i : "0", 1);
	}
}

/* --- texts --- */

/* Characters of `kind` bytes each in the quotes that Python would choose, which looks no further than can be shown. */
static void put_chars(struct writer *p, const uint8_t *data, unsigned kind, size_t chars, int raw)
{
	int single = 0, twice = 0;
	char quote;

	for (size_t i = 0; i < chars; i++) {
		uint32_t c = raw_str_char(data, kind, i);

		single |= c == '\'';
		twice |= c == '"';
	}
	quote = single && !twice ? '"' : '\'';
	pen_put(&p->pen, &quote, 1);
	for (size_t i = 0; i < chars && !p->pen.full; i++)
		pen_quoted(&p->pen, raw_str_char(data, kind, i), quote, raw);
	pen_put(&p->pen, &quote, 1);
}

static void put_str(struct writer *p, uintptr_t object)
{
	const struct raw_layout *l = p->r->layout;
	uint8_t head[RAW_STR_MAX], data[CHARS_MAX * 4];
	struct raw_str s = {.kind = 0};

	if (get(p, object, head, l->str_bytes))
		s = raw_str_view(l, object, head);
	if (s.chars > CHARS_MAX)
		s.chars = CHARS_MAX;
	if (s.kind == 0 || !get(p, s.data, data, s.chars * s.kind))
		pen_text(&p->pen, "<str>");
	else
		put_chars(p, data, s.kind, s.chars, 0);
}

static void put_bytes(struct writer *p, uintptr_t object)
{
	const struct raw_layout *l = p->r->layout;
	uint8_t data[CHARS_MAX];
	uintptr_t count;

	if (!get_word(p, object + l->var_size, &count) || count > PTRDIFF_MAX ||
		!get(p, object + l->bytes_data, data, count < CHARS_MAX ? count : CHARS_MAX)) {
		pen_text(&p->pen, "<bytes>");
		return;
	}
	pen_text(&p->pen, "b");
	put_chars(p, data, 1, count < CHARS_MAX ? count : CHARS_MAX, 1);
}

/* --- containers --- */

/* Between elements. 0: no more of them. */
static int put_comma(struct writer *p, uintptr_t i)
{
	if (i > 0)
		pen_text(&p->pen, ", ");
	if (i == RAW_VALUE_ITEMS)
		pen_text(&p->pen, "...");
	return !p->pen.full && i < RAW_VALUE_ITEMS;
}

static void put_sequence(struct writer *p, uintptr_t object, int list, int depth)
{
	uintptr_t items[RAW_VALUE_ITEMS] = {0}, count = 0, at = object + p->r->values->tuple_items;
	int right = get_word(p, object + p->r->layout->var_size, &count) && count <= PTRDIFF_MAX &&
		    (!list || get_word(p, object + p->r->values->list_items, &at));
	size_t n = count < RAW_VALUE_ITEMS ? count : RAW_VALUE_ITEMS;

	pen_text(&p->pen, list ? "[" : "(");
	if (!right || (count > 0 && depth >= RAW_VALUE_DEPTH) || !get(p, at, items, n * sizeof *items))
		pen_text(&p->pen, "...");
	else
		for (uintptr_t i = 0; i < count && put_comma(p, i); i++)
			put_value(p, items[i], depth + 1);
	pen_text(&p->pen, !list && count == 1 && depth < RAW_VALUE_DEPTH ? "," : "");
	pen_text(&p->pen, list ? "]" : ")");
}

static void put_dict(struct writer *p, uintptr_t object, int depth)
{
	struct raw_dict *d = &p->r->dicts[depth];
	uintptr_t used = 0, shown = 0;

	pen_text(&p->pen, "{");
	d->most = ENTRIES_MAX;
	if (!get_word(p, object + p->r->values->dict_used, &used) || (used > 0 && depth >= RAW_VALUE_DEPTH) ||
		!raw_dict_read(d, p->r->mem, p->r->layout, object)) {
		pen_text(&p->pen, "...}");
		return;
	}
	for (uint32_t i = 0; i < d->count && shown < used; i++) {
		uintptr_t key = raw_dict_key(d, i), value = raw_dict_value(d, i);

		if (key == 0 || value == 0)
			continue;
		if (!put_comma(p, shown++))
			break;
		put_value(p, key, depth + 1);
		pen_text(&p->pen, ": ");
		put_value(p, value, depth + 1);
	}
	if (shown < used && shown <= RAW_VALUE_ITEMS)
		pen_text(&p->pen, shown > 0 ? ", ..." : "...");
	pen_text(&p->pen, "}");
}

/* An entry of a set: a key and its hash, which is -1 where one was removed. */
struct entry {
	uintptr_t key, hash;
};

static void put_entries(struct writer *p, uintptr_t table, uintptr_t mask, uintptr_t used, int depth)
{
	struct entry entries[ENTRIES_AT_ONCE] = {{0, 0}};
	uintptr_t shown = 0;

	for (uintptr_t i = 0; i <= mask && i < ENTRIES_MAX && shown < used && shown <= RAW_VALUE_ITEMS; i++) {
		const struct entry *e = &entries[i % ENTRIES_AT_ONCE];
		size_t left = mask - i < ENTRIES_AT_ONCE ? (size_t)(mask - i) + 1 : ENTRIES_AT_ONCE;

		if (depth >= RAW_VALUE_DEPTH ||
			(i % ENTRIES_AT_ONCE == 0 && !get(p, table + i * sizeof *e, entries, left * sizeof *e)))
			break;
		if (e->key != 0 && e->hash != UINTPTR_MAX && put_comma(p, shown++))
			put_value(p, e->key, depth + 1);
	}
	if (shown < used && shown <= RAW_VALUE_ITEMS)
		pen_text(&p->pen, shown > 0 ? ", ..." : "...");
}

static void put_set(struct writer *p, uintptr_t object, int frozen, int depth)
{
	const struct raw_value_layout *v = p->r->values;
	uintptr_t used = 0, mask = 0, table = 0;

	if (!get_word(p, object + v->set_used, &used) || !get_word(p, object + v->set_mask, &mask) ||
		!get_word(p, object + v->set_table, &table)) {
		pen_text(&p->pen, "<set>");
		return;
	}
	if (used == 0) {
		pen_text(&p->pen, frozen ? "frozenset()" : "set()");
		return;
	}
	pen_text(&p->pen, frozen ? "frozenset({" : "{");
	put_entries(p, table, mask, used, depth);
	pen_text(&p->pen, frozen ? "})" : "}");
}

/* --- any value --- */

static void put_object(struct writer *p, uintptr_t object, uintptr_t type)
{
	char name[NAME_BYTES];
	size_t n = raw_type_name(p->r->mem, p->r->layout, type, name, sizeof name);

	for (size_t i = 0; i < n; i++)
		if (name[i] < ' ' || name[i] > '~')
			name[i] = '?';
	pen_text(&p->pen, "<");
	pen_put(&p->pen, n > 0 ? name : "?", n > 0 ? n : 1);
	pen_format(&p->pen, " object at 0x%llx>", (unsigned long long)object);
}

/* 1 when it was told without looking for others. */
static int put_plain(struct writer *p, uintptr_t object, uintptr_t type)
{
	const struct raw_value_layout *v = p->r->values;
	const struct raw_layout *l = p->r->layout;
	double number;

	if (object == l->object_none)
		pen_text(&p->pen, "None");
	else if (object == l->object_true || object == v->object_false)
		pen_text(&p->pen, object == l->object_true ? "True" : "False");
	else if (object == v->object_ellipsis)
		pen_text(&p->pen, "Ellipsis");
	else if (type == l->type_int)
		put_int(p, object);
	else if (type == v->type_float && get(p, object + v->float_value, &number, sizeof number))
		put_float(p, number);
	else if (type == l->type_str)
		put_str(p, object);
	else if (type == l->type_str_bytes)
		put_bytes(p, object);
	else
		return 0;
	return 1;
}

/* Calls itself for the elements of containers, RAW_VALUE_DEPTH deep, whatever they hold. */
static void put_value(struct writer *p, uintptr_t object, int depth)
{
	const struct raw_value_layout *v = p->r->values;
	uintptr_t type;

	if (object == 0)
		pen_text(&p->pen, "<NULL>"); /* a tuple or list that is still being filled */
	else if ((object & 7) != 0 || !get_word(p, object + p->r->layout->object_type, &type))
		pen_text(&p->pen, "<?>");
	else if (put_plain(p, object, type))
		return;
	else if (type == v->type_list || type == v->type_tuple)
		put_sequence(p, object, type == v->type_list, depth);
	else if (type == p->r->layout->type_dict)
		put_dict(p, object, depth);
	else if (type == v->type_set || type == v->type_frozenset)
		put_set(p, object, type == v->type_frozenset, depth);
	else
		put_object(p, object, type);
}

void raw_value_open(struct raw_value_reader *r, struct raw_mem *m, const struct raw_layout *l, const struct raw_value_layout *v)
{
	*r = (struct raw_value_reader){.mem = m, .layout = l, .values = v};
}

void raw_value_close(struct raw_value_reader *r)
{
	for (size_t i = 0; i < sizeof r->dicts / sizeof *r->dicts; i++)
		raw_dict_free(&r->dicts[i]);
}

size_t raw_value_text(struct raw_value_reader *r, uintptr_t object, char out[static RAW_VALUE_MAX])
{
	struct writer p = {.r = r};

	put_value(&p, object, 0);
	return pen_end(&p.pen, out);
}
