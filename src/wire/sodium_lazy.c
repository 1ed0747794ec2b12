/*
 * sodium_lazy.c: libsodium, loaded when the first key is, and not before: a program that serves on a
 * Unix socket alone has 110 KiB less of other people's code and data in it, and the client starts
 * sooner. The functions have libsodium's own names and only pass on; with LIBRARIES=linked both are
 * linked with the library itself.
 *
 * Everything that needs a key goes through sodium_init() first, which is where the library is loaded.
 * What is called without a key, to wipe and to ask, is answered here.
 */
#define SODIUM_STATIC 1 /* our definitions, not the library's */
#include <sodium.h>

#include <stdatomic.h>
#include <string.h>

#include "library.h"

/* SODIUM_SONAME: what a program that is linked with the library would ask for, from the Makefile. */

#define FUNCTIONS(X)                                                                               \
	X(int, crypto_scalarmult,                                                                  \
		(unsigned char *q, const unsigned char *n, const unsigned char *p), (q, n, p))     \
	X(int, crypto_scalarmult_base, (unsigned char *q, const unsigned char *n), (q, n))         \
	X(int, crypto_aead_chacha20poly1305_ietf_encrypt,                                          \
		(unsigned char *c, unsigned long long *clen, const unsigned char *m,               \
			unsigned long long mlen, const unsigned char *ad,                          \
			unsigned long long adlen, const unsigned char *nsec,                       \
			const unsigned char *npub, const unsigned char *k),                        \
		(c, clen, m, mlen, ad, adlen, nsec, npub, k))                                      \
	X(int, crypto_aead_chacha20poly1305_ietf_decrypt,                                          \
		(unsigned char *m, unsigned long long *mlen, unsigned char *nsec,                  \
			const unsigned char *c, unsigned long long clen, const unsigned char *ad,  \
			unsigned long long adlen, const unsigned char *npub,                       \
			const unsigned char *k),                                                   \
		(m, mlen, nsec, c, clen, ad, adlen, npub, k))                                      \
	X(int, crypto_generichash_init,                                                            \
		(crypto_generichash_state *state, const unsigned char *key, size_t keylen,         \
			size_t outlen),                                                            \
		(state, key, keylen, outlen))                                                      \
	X(int, crypto_generichash_update,                                                          \
		(crypto_generichash_state *state, const unsigned char *in, unsigned long long n),  \
		(state, in, n))                                                                    \
	X(int, crypto_generichash_final,                                                           \
		(crypto_generichash_state *state, unsigned char *out, size_t outlen),              \
		(state, out, outlen))                                                              \
	X(void, randombytes_buf, (void *buf, size_t size), (buf, size))                            \
	X(int, sodium_memcmp, (const void *a, const void *b, size_t len), (a, b, len))             \
	X(void *, sodium_malloc, (size_t size), (size))                                            \
	X(char *, sodium_bin2base64,                                                               \
		(char *b64, size_t most, const unsigned char *bin, size_t len, int variant),       \
		(b64, most, bin, len, variant))                                                    \
	X(int, sodium_base642bin,                                                                  \
		(unsigned char *bin, size_t most, const char *b64, size_t b64len,                  \
			const char *ignore, size_t *len, const char **end, int variant),           \
		(bin, most, b64, b64len, ignore, len, end, variant))

/* NOLINTBEGIN(bugprone-macro-parentheses): the arguments are parts of declarations. */
#define DEFINE(type, name, parameters, arguments)                                                  \
	static type(*real_##name) parameters;                                                      \
	type name parameters                                                                       \
	{                                                                                          \
		return real_##name arguments;                                                      \
	}

FUNCTIONS(DEFINE)
/* NOLINTEND(bugprone-macro-parentheses) */

static int (*real_sodium_init)(void);
static void (*real_sodium_free)(void *);
static atomic_int loaded;

/*
 * Two threads at once find the same things. It stays loaded: others may use it by now, and unloading
 * libraries helps nobody.
 */
static void load(void)
{
	void *library = dlopen(SODIUM_SONAME, RTLD_NOW | RTLD_LOCAL);
	int all = library != NULL;

#define FIND(type, name, parameters, arguments) all = all && library_find(library, #name, &real_##name);
	FUNCTIONS(FIND)
#undef FIND
	all = all && library_find(library, "sodium_init", &real_sodium_init);
	all = all && library_find(library, "sodium_free", &real_sodium_free);
	atomic_store(&loaded, all);
}

int sodium_init(void)
{
	if (!atomic_load(&loaded))
		load();
	return atomic_load(&loaded) ? real_sodium_init() : -1;
}

void sodium_free(void *p)
{
	if (p != NULL)
		real_sodium_free(p);
}

void sodium_memzero(void *p, size_t len)
{
	explicit_bzero(p, len);
}

int sodium_is_zero(const unsigned char *n, size_t len)
{
	volatile unsigned char seen = 0;

	for (size_t i = 0; i < len; i++)
		seen |= n[i];
	return seen == 0;
}
