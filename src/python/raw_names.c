/*
 * raw_names.c: dicts, attributes and threading._active in raw memory. Keys are found by the address of the str, since names in
 * programs are interned: nothing is hashed or compared. Frames are raw_frames.c's.
 */
#include "raw_names.h"

#include "raw_code.h"

#define KEYS_BYTES 64u       /* of the head of a dict's keys */
#define TYPE_BYTES 1024u     /* of a type, as far as it is looked at */
#define SHARED_MAX 4096u     /* keys that objects of a class share: 30 since 3.11, before more */
#define ENTRY_GENERAL 24u    /* hash, key, value */
#define ENTRY_UNICODE 16u    /* key, value */
#define DIGIT_BITS 30u
#define WORD_BYTES 32u   /* longer than any name that is looked for */
#define WORD_KEYS 4096u  /* keys that are compared with one */
#define PREHEADER 3u /* words before an object where its attributes are; 3.11: one further for values */

/* --- dicts --- */

void raw_dict_free(struct raw_dict *d)
{
	raw_array_free(&d->entries);
	raw_array_free(&d->values);
	*d = (struct raw_dict){.count = 0};
}

static uintptr_t word_at(const struct raw_array *a, size_t offset)
{
	return raw_mem_field(a->at, offset);
}

uintptr_t raw_dict_key(const struct raw_dict *d, uint32_t i)
{
	return word_at(&d->entries, (size_t)i * d->size + d->key);
}

uintptr_t raw_dict_value(const struct raw_dict *d, uint32_t i)
{
	return d->split ? word_at(&d->values, (size_t)i * sizeof(uintptr_t))
			: word_at(&d->entries, (size_t)i * d->size + d->value);
}

uintptr_t raw_dict_find(const struct raw_dict *d, uintptr_t key)
{
	for (uint32_t i = 0; key != 0 && i < d->count; i++)
		if (raw_dict_key(d, i) == key)
			return raw_dict_value(d, i);
	return 0;
}

/* Bytes of the index before the entries; 0: it makes no sense. */
static size_t index_bytes(const struct raw_layout *l, const uint8_t *keys)
{
	uintptr_t slots, width;

	if (l->keys_index_log2 != RAW_NONE)
		return keys[l->keys_index_log2] < 32 ? (size_t)1 << keys[l->keys_index_log2] : 0;
	/* 3.10: the number of slots, each as wide as its numbers need. */
	slots = raw_mem_field(keys, l->keys_log2);
	width = slots <= 0xFF ? 1 : slots <= 0xFFFF ? 2 : 4;
	return slots > 0 && slots <= (uintptr_t)RAW_ENTRIES_MAX * 2 ? slots * width : 0;
}

static int read_keys(struct raw_dict *d, struct raw_mem *m, const struct raw_layout *l, uintptr_t keys)
{
	uint8_t head[KEYS_BYTES];
	uintptr_t count;
	size_t before;

	if (keys == 0 || (keys & 7) != 0 || !raw_mem_read(m, keys, head, l->keys_table))
		return 0;
	before = index_bytes(l, head);
	count = raw_mem_field(head, l->keys_count);
	if (before == 0 || count > RAW_ENTRIES_MAX)
		return 0;
	d->size = l->keys_kind != RAW_NONE && head[l->keys_kind] != 0 ? ENTRY_UNICODE : ENTRY_GENERAL;
	d->key = d->size - 2 * (uint32_t)sizeof(uintptr_t);
	d->value = d->size - (uint32_t)sizeof(uintptr_t);
	if (d->most != 0 && count > d->most)
		count = d->most;
	d->count = (uint32_t)count;
	return count == 0 || (raw_array_grow(&d->entries, count * d->size, SIZE_MAX) == 0 &&
				     raw_mem_read(m, keys + l->keys_table + before, d->entries.at, count * d->size));
}

/* Values that stand apart from the keys. */
static int read_values(struct raw_dict *d, struct raw_mem *m, const struct raw_layout *l, uintptr_t values)
{
	size_t bytes = d->count * sizeof(uintptr_t);

	d->split = 1;
	if (d->count > SHARED_MAX)
		return 0;
	return bytes == 0 || (raw_array_grow(&d->values, bytes, SIZE_MAX) == 0 &&
				     raw_mem_read(m, values + l->values_first, d->values.at, bytes));
}

/* What could not be read whole is no dict. */
static int whole(struct raw_dict *d, int right)
{
	if (!right)
		d->count = 0;
	return right;
}

int raw_dict_read(struct raw_dict *d, struct raw_mem *m, const struct raw_layout *l, uintptr_t dict)
{
	uintptr_t type, keys, values;

	d->count = 0;
	d->split = 0;
	if (dict == 0 || (dict & 7) != 0 || !raw_mem_word(m, dict + l->object_type, &type) || type != l->type_dict ||
		!raw_mem_word(m, dict + l->dict_keys, &keys) || !raw_mem_word(m, dict + l->dict_values, &values))
		return 0;
	return whole(d, read_keys(d, m, l, keys) && (values == 0 || read_values(d, m, l, values)));
}

/* --- ints --- */

uint64_t raw_int_read(struct raw_mem *m, const struct raw_layout *l, uintptr_t object)
{
	uintptr_t type, size;
	uint32_t digits[3] = {0, 0, 0};
	uint64_t value = 0;

	if (object == 0 || (object & 7) != 0 || !raw_mem_word(m, object + l->object_type, &type) || type != l->type_int ||
		!raw_mem_word(m, object + (l->int_tag != RAW_NONE ? l->int_tag : l->var_size), &size))
		return UINT64_MAX;
	if (l->int_tag != RAW_NONE) {
		/* Two bits for the sign, one that is CPython's: 0 positive, 1 zero, 2 negative. */
		if ((size & 3) == 2)
			return UINT64_MAX;
		size >>= 3;
	}
	if (size > 3 || (size > 0 && !raw_mem_read(m, object + l->int_digits, digits, size * sizeof *digits)) ||
		digits[2] >= 16)
		return UINT64_MAX;
	for (uintptr_t i = size; i > 0; i--)
		value = value << DIGIT_BITS | (digits[i - 1] & ((1u << DIGIT_BITS) - 1));
	return value;
}

/* --- attributes --- */

/* Values that are shared with the class's other objects: keys are the class's. */
static int read_shared(struct raw_dict *d, struct raw_mem *m, const struct raw_layout *l, uintptr_t type, uintptr_t values)
{
	uintptr_t keys;

	d->split = 0;
	return whole(d, raw_mem_word(m, type + l->type_cached_keys, &keys) && read_keys(d, m, l, keys) &&
				read_values(d, m, l, values));
}

int raw_attributes_read(struct raw_dict *d, struct raw_mem *m, const struct raw_layout *l, uintptr_t object)
{
	uintptr_t type, flags, offset, words[2], before = PREHEADER + 1;

	d->count = 0;
	if (object == 0 || (object & 7) != 0 || !raw_mem_word(m, object + l->object_type, &type) ||
		(type & 7) != 0 || !raw_mem_word(m, type + l->type_flags, &flags))
		return 0;
	if ((flags & l->flag_managed) == 0) {
		if (!raw_mem_word(m, type + l->type_dictoffset, &offset) || offset == 0 || offset > TYPE_BYTES ||
			!raw_mem_word(m, object + offset, &words[0]))
			return 0;
		return raw_dict_read(d, m, l, words[0]);
	}
	if (!raw_mem_read(m, object - before * sizeof(uintptr_t), words, sizeof words))
		return 0;
	switch (l->attributes) {
	case RAW_ATTRIBUTES_BEFORE:
		return words[0] != 0 ? read_shared(d, m, l, type, words[0]) : raw_dict_read(d, m, l, words[1]);
	case RAW_ATTRIBUTES_TAGGED:
		return (words[1] & 1) != 0 ? read_shared(d, m, l, type, words[1] + 1) : raw_dict_read(d, m, l, words[1]);
	case RAW_ATTRIBUTES_INLINE:
		if (words[1] != 0 || (flags & l->flag_inline) == 0)
			return raw_dict_read(d, m, l, words[1]);
		/* They begin where the object's fixed part ends. */
		if (!raw_mem_word(m, type + l->type_basicsize, &offset) || offset > TYPE_BYTES)
			return 0;
		return read_shared(d, m, l, type, object + offset);
	case RAW_ATTRIBUTES_DICT:
	default:
		return 0;
	}
}

/* --- types --- */

size_t raw_type_name(struct raw_mem *m, const struct raw_layout *l, uintptr_t type, char *out, size_t most)
{
	char text[256];
	const char *dot;
	uintptr_t name;
	size_t n = 0, len;

	if (type == 0 || (type & 7) != 0 || !raw_mem_word(m, type + l->type_name, &name) || name == 0)
		return 0;
	/* Byte by byte beyond the first ones that can be had together: what follows the NUL may not be there. */
	if (raw_mem_read(m, name, text, sizeof text))
		n = sizeof text;
	while (n < sizeof text && raw_mem_read(m, name + n, text + n, 1) && text[n] != '\0')
		n++;
	len = strnlen(text, n);
	if (len == sizeof text)
		return 0;
	text[len] = '\0';
	dot = strrchr(text, '.');
	if (dot != NULL && dot[1] != '\0')
		len -= (size_t)(dot + 1 - text);
	else
		dot = NULL;
	if (len > most)
		len = most;
	memcpy(out, dot != NULL ? dot + 1 : text, len);
	return len;
}

/* --- threading --- */

/*
 * The value for a name. Another interpreter may have strings of its own: there it is looked for by its characters too.
 */
static uintptr_t find_word(const struct raw_dict *d, struct raw_mem *m, const struct raw_layout *l, uintptr_t key, const char *word)
{
	uintptr_t value = raw_dict_find(d, key);
	char text[WORD_BYTES];

	for (uint32_t i = 0; value == 0 && l->is_other && i < d->count && i < WORD_KEYS; i++) {
		size_t len = raw_str_read(m, l, raw_dict_key(d, i), text, sizeof text);

		if (len == strlen(word) && memcmp(text, word, len) == 0)
			value = raw_dict_value(d, i);
	}
	return value;
}

/* threading._active, or 0. */
static uintptr_t find_active(struct raw_dict *d, struct raw_mem *m, const struct raw_layout *l)
{
	uintptr_t modules, module, type, names;

	if (!raw_mem_word(m, l->interp + l->interp_modules, &modules) || !raw_dict_read(d, m, l, modules))
		return 0;
	module = find_word(d, m, l, l->word_threading, "threading");
	if (module == 0 || (module & 7) != 0 || !raw_mem_word(m, module + l->object_type, &type) ||
		type != l->type_module || !raw_mem_word(m, module + l->module_dict, &names) ||
		!raw_dict_read(d, m, l, names))
		return 0;
	return find_word(d, m, l, l->word_active, "_active");
}

static void read_thread(struct raw_name *n, struct raw_dict *d, struct raw_mem *m, const struct raw_layout *l, uintptr_t thread)
{
	uintptr_t type;
	uint64_t id;

	if ((thread & 7) == 0 && raw_mem_word(m, thread + l->object_type, &type))
		n->class_len = raw_type_name(m, l, type, n->class_name, sizeof n->class_name);
	if (!raw_attributes_read(d, m, l, thread))
		return;
	n->name_len = raw_str_read(m, l, find_word(d, m, l, l->word_name, "_name"), n->name, sizeof n->name);
	n->daemon = find_word(d, m, l, l->word_daemonic, "_daemonic") == l->object_true;
	id = raw_int_read(m, l, find_word(d, m, l, l->word_native_id, "_native_id"));
	n->native_id = id <= INT32_MAX ? (uint32_t)id : 0;
}

int raw_names_read(struct raw_mem *m, const struct raw_layout *l, void (*take)(void *to, const struct raw_name *name), void *to)
{
	struct raw_dict active = {.count = 0}, other = {.count = 0};
	int right = raw_dict_read(&active, m, l, find_active(&other, m, l));

	for (uint32_t i = 0; i < active.count; i++) {
		uintptr_t thread = raw_dict_value(&active, i);
		struct raw_name n = {.ident = raw_int_read(m, l, raw_dict_key(&active, i))};

		if (thread == 0 || n.ident == UINT64_MAX)
			continue;
		read_thread(&n, &other, m, l, thread);
		take(to, &n);
	}
	raw_dict_free(&active);
	raw_dict_free(&other);
	return right;
}
