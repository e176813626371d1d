/* Signed heads: what a data directory's key says about a journal. The statement is
 *   "shannon head 1" | len id | id | u64 seq | 32 bytes hash of that event
 * and covers, by the chain, every event up to that one (SEMANTICS 25).
 *
 * As JSON (member "signed" of a workflow's row, and in exports): {seq, hash, key, signature}, hex.
 */
#ifndef SH_ENGINE_SIGN_H
#define SH_ENGINE_SIGN_H

#include "base/base.h"
#include "base/sign.h"

/* gives  a new reference */
json_t *sh_head_sign(const struct sh_sign_key *key, const char *id, uint64_t seq,
                     const struct sh_hash *head);

struct sh_head {
    uint64_t seq;
    struct sh_hash hash;
    uint8_t key[SH_SIGN_KEY_BYTES];
};
/* Is this a statement about `id` that its key signed?      fails  SH_E_CORRUPT */
int sh_head_check(const json_t *statement, const char *id, struct sh_head *ret, struct sh_err *err);

#endif
