/* store, inside: the owners of store.h and what the writer asks of them. */
#ifndef SH_STORE_OWNER_H
#define SH_STORE_OWNER_H

#include "store/store_private.h"

/* So many of an owner's rows stay behind the last one. */
#define SH_STORE_OWNER_ROWS 256

struct sh_store_owner {
    unsigned refs; /* its holder, and the appends under way */
    uint64_t epoch;
    uint64_t next;      /* number that its next batch takes */
    char journal[40];   /* "~owner/EPOCH", which no workflow can be called */
    struct sh_err lost; /* code 0: it is the owner still, as far as it knows */
};

/* The row that the next batch takes. */
struct sh_event_record sh_store_fence(const struct sh_store_owner *o);
/* Is this refusal of a batch about that row? */
bool sh_store_fenced_by(const struct sh_store_owner *o, const struct sh_err *err);
void sh_store_owner_lose(struct sh_store_owner *o);
void sh_store_owner_unref(struct sh_store_owner *o);

#endif
