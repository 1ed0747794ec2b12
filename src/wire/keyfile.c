/*
 * keyfile.c: reads the text of a key file, and holds the keys in guarded memory. Files are opened
 * and checked in keyfile_load.c and made in keyfile_make.c; what the keys are used for is in
 * noise.c, who may come with which key in the room auth.
 */
#include "keyfile.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <sodium.h>

#include "keyfile_private.h"
#include "text.h"

#define WORD KEYFILE_WORD
#define WORD_LEN (sizeof WORD - 1)
#define BASE64_LEN KEYFILE_BASE64
/*
 * Zeroed memory of sodium_malloc: guard pages around it, not in core dumps, locked where the kernel
 * allows it (libsodium goes on where it does not, and so do we). A fork's child finds zeros in it.
 *
 * Whole pages: sodium_malloc puts what it gives at the end of a page and its canary right before
 * it. So with whole pages the canary is on a page of its own, which the child inherits, and
 * sodium_free() in the child finds the canary as it was; a wiped canary would make it kill the
 * process.
 */
void *keyfile_guarded(size_t size)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t whole = (size + page - 1) / page * page;
	void *p = sodium_malloc(whole);

	if (!p)
		return NULL;
	/* Kernels before 4.14 don't know it: there keyring_forget wipes the child's copy. */
	(void)madvise(p, whole, MADV_WIPEONFORK);
	memset(p, 0, whole);
	return p;
}

int keyfile_is_name(struct span s)
{
	static const char allowed[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
	size_t i;

	if (s.len < 1 || s.len > KEY_NAME_MAX)
		return 0;
	for (i = 0; i < s.len; i++)
		if (!memchr(allowed, s.data[i], sizeof allowed - 1))
			return 0;
	return 1;
}

/* The one way to write these 32 bytes, or PYSTUCK_EFORMAT. */
static int decode_key(uint8_t key[static NOISE_KEY], struct span text)
{
	char again[BASE64_LEN + 1];
	size_t len = 0;
	int r = PYSTUCK_EFORMAT;

	if (text.len != BASE64_LEN)
		return r;
	if (sodium_base642bin(key, NOISE_KEY, (const char *)text.data, text.len, NULL, &len, NULL,
		    sodium_base64_VARIANT_ORIGINAL) ||
		len != NOISE_KEY)
		goto out;
	/* The bits that fill up the last character must be zero; libsodium says so too, but does
	 * not promise it. */
	sodium_bin2base64(again, sizeof again, key, NOISE_KEY, sodium_base64_VARIANT_ORIGINAL);
	if (sodium_memcmp(again, text.data, BASE64_LEN) == 0)
		r = 0;
out:
	sodium_memzero(again, sizeof again);
	return r;
}

/* What stands behind the key: nothing, or " role=" and one. 0 or PYSTUCK_EFORMAT. */
static int decode_role(enum role *role, struct span text)
{
	char word[16] = "";
	size_t prefix = sizeof KEYFILE_ROLE_WORD - 1;
	int parsed;

	*role = ROLE_EVAL;
	if (text.len == 0)
		return 0;
	if (text.len <= prefix || text.len - prefix >= sizeof word ||
		memcmp(text.data, KEYFILE_ROLE_WORD, prefix) != 0 ||
		memchr(text.data, '\0', text.len) != NULL)
		return PYSTUCK_EFORMAT;
	memcpy(word, text.data + prefix, text.len - prefix);
	parsed = role_parse(word);
	if (parsed < 0)
		return PYSTUCK_EFORMAT;
	*role = (enum role)parsed;
	return 0;
}

static int is_taken(const struct keyring *ring, const struct entry *e)
{
	size_t i;

	for (i = 0; i < ring->count; i++)
		if (strcmp(ring->entries[i].name, e->name) == 0 ||
			sodium_memcmp(ring->entries[i].key, e->key, NOISE_KEY) == 0)
			return 1;
	return 0;
}

/* One line without its newline, with a key in it. What is wrong with it, or NULL. Nothing of the
 * line goes into the text. */
static const char *parse_line(struct keyring *ring, struct span line)
{
	struct entry *e = &ring->entries[ring->count];
	struct span name, key;
	const uint8_t *blank;

	if (memchr(line.data, '\r', line.len))
		return "a carriage return in it; lines end with a newline alone";
	if (line.len < WORD_LEN || memcmp(line.data, WORD, WORD_LEN) != 0)
		return "is not of the form '" WORD "NAME BASE64'";
	line.data += WORD_LEN;
	line.len -= WORD_LEN;
	blank = memchr(line.data, ' ', line.len);
	if (!blank)
		return "is not of the form '" WORD "NAME BASE64'";
	name = (struct span){line.data, (size_t)(blank - line.data)};
	if (!keyfile_is_name(name))
		return "the name must be 1 to 32 of the characters A-Z a-z 0-9 . _ -";
	memcpy(e->name, name.data, name.len);
	key = (struct span){blank + 1, line.len - name.len - 1};
	blank = memchr(key.data, ' ', key.len);
	line = (struct span){key.data + key.len, 0};
	if (blank) {
		line = (struct span){blank, key.len - (size_t)(blank - key.data)};
		key.len -= line.len;
	}
	if (decode_key(e->key, key))
		return "after the name must come the base64 of 32 bytes (44 characters) alone";
	if (decode_role(&e->role, line))
		return "after the key may come role=none, role=stacks, role=locals or role=eval "
		       "alone";
	if (sodium_is_zero(e->key, NOISE_KEY))
		return "the key is all zeros; make one with pystuck --keygen";
	if (is_taken(ring, e))
		return "an earlier line has this name or this key already";
	e->id = ++ring->last_id;
	ring->count++;
	return NULL;
}

static int parse_lines(struct keyring *ring, struct span text, const char *shown, struct diag *d)
{
	const uint8_t *newline;
	const char *wrong;
	struct span line;
	size_t number;

	for (number = 1; text.len > 0; number++) {
		newline = memchr(text.data, '\n', text.len);
		if (!newline)
			return diag_set(d, PYSTUCK_EFORMAT, 0,
				"key file %s: line %zu: cut short: no newline at its end", shown,
				number);
		line = (struct span){text.data, (size_t)(newline - text.data)};
		text.data += line.len + 1;
		text.len -= line.len + 1;
		if (line.len == 0 || line.data[0] == '#')
			continue;
		if (ring->count == KEYRING_MAX)
			return diag_set(d, PYSTUCK_ETOOBIG, 0,
				"key file %s: line %zu: more than %d keys", shown, number,
				KEYRING_MAX);
		wrong = parse_line(ring, line);
		if (wrong)
			return diag_set(d, PYSTUCK_EFORMAT, 0, "key file %s: line %zu: %s", shown,
				number, wrong);
	}
	if (ring->count == 0)
		return diag_set(d, PYSTUCK_EFORMAT, 0,
			"key file %s: no key in it; make one with pystuck --keygen", shown);
	return 0;
}

int keyfile_prepare(const char *shown, struct diag *d)
{
	if (noise_init())
		return diag_set(d, PYSTUCK_ESYS, ENOSYS,
			"key file %s: libsodium cannot be loaded or set up; is it installed?", shown);
	return 0;
}

struct keyring *keyfile_parse(struct span text, const char *name, struct diag *d)
{
	struct keyring *ring = NULL;
	char shown[KEYFILE_SHOWN];

	text_copy(shown, sizeof shown, span_text(name), TEXT_LINE);
	if (text.len > KEYFILE_MAX) {
		diag_set(d, PYSTUCK_ETOOBIG, 0, "key file %s: more than %d bytes", shown,
			KEYFILE_MAX);
		return NULL;
	}
	if (keyfile_prepare(shown, d))
		return NULL;
	ring = keyfile_guarded(sizeof *ring);
	if (!ring) {
		diag_set(d, PYSTUCK_ENOMEM, 0, "key file %s: out of memory for keys", shown);
		return NULL;
	}
	if (parse_lines(ring, text, shown, d)) {
		keyring_free(ring);
		return NULL;
	}
	return ring;
}

size_t keyring_count(const struct keyring *ring)
{
	return ring->count;
}

const char *keyring_name(const struct keyring *ring, size_t i)
{
	return i < ring->count ? ring->entries[i].name : NULL;
}

const uint8_t *keyring_key(const struct keyring *ring, size_t i)
{
	return i < ring->count ? ring->entries[i].key : NULL;
}

enum role keyring_role(const struct keyring *ring, size_t i)
{
	return i < ring->count ? ring->entries[i].role : ROLE_NONE;
}

uint32_t keyring_id(const struct keyring *ring, size_t i)
{
	return i < ring->count ? ring->entries[i].id : 0;
}

void keyring_free(struct keyring *ring)
{
	sodium_free(ring); /* wipes; NULL is fine */
}

/* The child has zeros, or a copy where the kernel could not wipe; keyfile_guarded says why
 * sodium_free is safe with both. */
void keyring_forget(struct keyring *ring)
{
	sodium_free(ring);
}
