/* SHA-256, ChaCha20 and random bytes: thin doors to libsodium. */
#include "base/hash.h"

#include <sodium.h>

#include "base/err.h"

_Static_assert(sizeof(crypto_hash_sha256_state) <= sizeof(((struct sh_hasher *)NULL)->state),
               "struct sh_hasher has room for libsodium's state");
_Static_assert(SH_HASH_BYTES == crypto_hash_sha256_BYTES, "SHA-256");

__attribute__((constructor)) static void start_sodium(void) {
    SH_ASSERT(sodium_init() >= 0);
}

static crypto_hash_sha256_state *state_of(struct sh_hasher *h) {
    return (crypto_hash_sha256_state *)(void *)h->state;
}

void sh_hasher_init(struct sh_hasher *h) {
    crypto_hash_sha256_init(state_of(h));
}

void sh_hasher_add(struct sh_hasher *h, const void *p, size_t n) {
    if (n) {
        crypto_hash_sha256_update(state_of(h), p, n);
    }
}

void sh_hasher_u64(struct sh_hasher *h, uint64_t v) {
    uint8_t bytes[8];
    for (int i = 0; i < 8; i++) {
        bytes[i] = (uint8_t)(v >> (8 * i));
    }
    sh_hasher_add(h, bytes, sizeof(bytes));
}

void sh_hasher_str(struct sh_hasher *h, struct sh_str s) {
    sh_hasher_u64(h, s.len);
    sh_hasher_add(h, s.p, s.len);
}

void sh_hasher_done(struct sh_hasher *h, struct sh_hash *ret) {
    crypto_hash_sha256_final(state_of(h), ret->b);
}

void sh_sha256(const void *p, size_t n, struct sh_hash *ret) {
    struct sh_hasher h;
    sh_hasher_init(&h);
    sh_hasher_add(&h, p, n);
    sh_hasher_done(&h, ret);
}

void sh_hash_hex(const struct sh_hash *h, char out[SH_HASH_HEX_BYTES]) {
    sodium_bin2hex(out, SH_HASH_HEX_BYTES, h->b, SH_HASH_BYTES);
}

int sh_hash_parse(struct sh_str hex, struct sh_hash *ret) {
    struct sh_hash h;
    if (sh_hex_decode(hex, h.b, SH_HASH_BYTES) != 0) {
        return -SH_E_INVAL;
    }
    *ret = h;
    return 0;
}

bool sh_hash_eq(const struct sh_hash *a, const struct sh_hash *b) {
    return memcmp(a->b, b->b, SH_HASH_BYTES) == 0;
}

void sh_random_bytes(void *out, size_t n) {
    randombytes_buf(out, n);
}

void sh_random_stream(const uint8_t seed[32], uint64_t pos, void *out, size_t n) {
    enum { BLOCK = 64 };
    static const uint8_t nonce[crypto_stream_chacha20_NONCEBYTES] = {0};
    uint8_t *to = out;
    size_t skip = (size_t)(pos % BLOCK);
    uint64_t block = pos / BLOCK; /* 2^58 blocks at most: the counter never wraps */
    if (n == 0) {
        return;
    }
    memset(to, 0, n);
    if (skip) { /* the rest of a block that an earlier read began */
        uint8_t first[BLOCK] = {0};
        size_t part = n < BLOCK - skip ? n : BLOCK - skip;
        crypto_stream_chacha20_xor_ic(first, first, BLOCK, nonce, block, seed);
        memcpy(to, first + skip, part);
        to += part;
        n -= part;
        block++;
    }
    if (n) {
        crypto_stream_chacha20_xor_ic(to, to, n, nonce, block, seed);
    }
}

bool sh_secret_eq(struct sh_str a, struct sh_str b) {
    return a.len == b.len && (a.len == 0 || sodium_memcmp(a.p, b.p, a.len) == 0);
}
