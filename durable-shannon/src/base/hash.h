/* SHA-256 and random bytes, from libsodium. */
#ifndef SH_BASE_HASH_H
#define SH_BASE_HASH_H

#include "base/str.h"

#define SH_HASH_BYTES 32
#define SH_HASH_HEX_BYTES 65 /* with the NUL */

struct sh_hash {
    uint8_t b[SH_HASH_BYTES];
};

struct sh_hasher {
    uint8_t state[128]; /* room for crypto_hash_sha256_state, checked in hash.c */
} __attribute__((aligned(16)));

void sh_hasher_init(struct sh_hasher *h);
void sh_hasher_add(struct sh_hasher *h, const void *p, size_t n);
void sh_hasher_u64(struct sh_hasher *h, uint64_t v);      /* little endian, fixed width */
void sh_hasher_str(struct sh_hasher *h, struct sh_str s); /* u64 length, then the bytes */
void sh_hasher_done(struct sh_hasher *h, struct sh_hash *ret);

void sh_sha256(const void *p, size_t n, struct sh_hash *ret);
void sh_hash_hex(const struct sh_hash *h, char out[SH_HASH_HEX_BYTES]);
int sh_hash_parse(struct sh_str hex, struct sh_hash *ret); /* 64 hex digits, else -SH_E_INVAL */
bool sh_hash_eq(const struct sh_hash *a, const struct sh_hash *b);

/* From the kernel. */
void sh_random_bytes(void *out, size_t n);
/* The bytes [pos, pos + n) of the ChaCha20 (RFC 8439, 64-bit counter) key stream of `seed`: the
 * randomness of a workflow, the same for the same seed and position, whatever the read sizes. */
void sh_random_stream(const uint8_t seed[32], uint64_t pos, void *out, size_t n);
/* Constant-time comparison, for keys. */
bool sh_secret_eq(struct sh_str a, struct sh_str b);

#endif
