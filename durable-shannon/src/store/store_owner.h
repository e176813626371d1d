/* store, inside: the owners of store.h and what the writer asks of them. */
#ifndef SH_STORE_OWNER_H
#define SH_STORE_OWNER_H

#include "store/store_private.h"

struct sh_store_owner {
    unsigned refs; /* its holder, and the appends under way */
    uint64_t epoch;
    struct sh_err lost; /* code 0: it is the owner still, as far as it knows */
};

void sh_store_owner_lose(struct sh_store_owner *o);
void sh_store_owner_unref(struct sh_store_owner *o);

#endif
