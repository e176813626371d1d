/* The run digest (SEMANTICS 26): what a run did, without when and in how many pieces it was written
 * down. */
#ifndef SH_ENGINE_DIGEST_H
#define SH_ENGINE_DIGEST_H

#include "engine/history.h"

struct sh_digest_entry { /* of an activity: JSON texts, {NULL, 0} for null */
    struct sh_str op, args, outcome;
    struct sh_str whole; /* of a compensation: all of it */
};

struct sh_digest {
    struct sh_digest_entry *entries; /* by ordinal */
    size_t n, cap;
    struct sh_texts texts;
    struct sh_hasher stream[2], emitted;
};
void sh_digest_init(struct sh_digest *d);
void sh_digest_done(struct sh_digest *d);
void sh_digest_add(struct sh_digest *d, const struct sh_event *ev);
void sh_digest_add_lean(struct sh_digest *d, const struct sh_lean *lean);
/* All events were added. */
void sh_digest_end(struct sh_digest *d, const struct sh_history *h, char hex[SH_HASH_HEX_BYTES]);

#endif
