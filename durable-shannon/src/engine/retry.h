/* When an attempt that failed is made again: what an agent may say in `retry`, and how long the
 * engine waits. Pure, so that a recovered run computes what the lost one did. */
#ifndef SH_ENGINE_RETRY_H
#define SH_ENGINE_RETRY_H

#include "base/base.h"

struct sh_retry {
    unsigned attempts; /* in all, the first one too */
    uint64_t backoff_ms, backoff_max_ms;
    double factor;    /* of a wait to the one before */
    double jitter;    /* the part of a wait that chance may take away: 0 to 1 */
    json_t *no_retry; /* array of error codes that end the activity at once, or NULL */
};
/* 4 attempts, 500 ms doubling up to 30 s, a tenth of it by chance. */
void sh_retry_init(struct sh_retry *r);
void sh_retry_done(struct sh_retry *r);
/* Read {attempts, backoff_ms, backoff_max_ms, factor, jitter, no_retry} over what *r says.
 * fails  SH_E_INVAL naming the member, what was expected and what came */
int sh_retry_parse(const json_t *options, struct sh_retry *r, struct sh_err *err);
/* May an error of this code be followed by another attempt, after `attempt` (from 1)? */
bool sh_retry_goes_on(const struct sh_retry *r, const char *code, unsigned attempt);
/* The wait after `attempt`. Chance is SHA-256(seed | ordinal | attempt). */
uint64_t sh_retry_wait_ms(const struct sh_retry *r, const uint8_t seed[32], uint64_t ordinal,
                          unsigned attempt);

#endif
