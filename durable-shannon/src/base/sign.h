/* Ed25519 signatures (RFC 8032), from libsodium. */
#ifndef SH_BASE_SIGN_H
#define SH_BASE_SIGN_H

#include "base/err.h"
#include "base/str.h"

#define SH_SIGN_KEY_BYTES 32 /* of a public key */
#define SH_SIGN_BYTES 64     /* of a signature */
#define SH_SIGN_KEY_HEX_BYTES 65

struct sh_sign_key {
    uint8_t secret[64];
    uint8_t public[SH_SIGN_KEY_BYTES];
};

/* A key from the kernel's randomness. */
void sh_sign_key_new(struct sh_sign_key *ret);
/* The key of the file `path` (its seed, 64 hex digits, a newline; mode 0600), made when absent and
 * `create`. Blocks for a moment.
 * fails  SH_E_NOT_FOUND (absent), SH_E_DENIED (others may read it), SH_E_CORRUPT, SH_E_IO */
int sh_sign_key_load(const char *path, bool create, struct sh_sign_key *ret, struct sh_err *err);
void sh_sign_key_done(struct sh_sign_key *key); /* wipes it */
void sh_sign_key_hex(const uint8_t public[SH_SIGN_KEY_BYTES], char ret[SH_SIGN_KEY_HEX_BYTES]);

void sh_sign(const struct sh_sign_key *key, struct sh_str message, uint8_t ret[SH_SIGN_BYTES]);
bool sh_sign_check(const uint8_t public[SH_SIGN_KEY_BYTES], struct sh_str message,
                   const uint8_t signature[SH_SIGN_BYTES]);

#endif
