/* registry: which module a name or a hash stands for, as the store has it. The last that were asked
 * for are remembered, so that one task after another of an agent reads nothing. */
#ifndef SH_ENGINE_REGISTRY_H
#define SH_ENGINE_REGISTRY_H

#include "engine/engine.h"

#define SH_REGISTRY_KNOWN_MAX 64 /* answers that are remembered; the oldest goes */

struct sh_registry {
    struct sh_list known; /* private to registry.c; the oldest first */
    size_t n_known;
    uint64_t changes; /* an answer that was asked for before the last change is not remembered */
};
void sh_registry_done(struct sh_registry *r);

/* record: of the module; name: a name that a module asked for by its hash is registered under, else
 * empty. Both are borrowed, and the record is shared: it is not changed. */
typedef void (*sh_registry_fn)(void *arg, json_t *record, struct sh_str name,
                               const struct sh_err *err);
/* gives  cb once, on the loop, never before return      fails  by cb: SH_E_NOT_FOUND; the store's
 * thread loop */
void sh_registry_find(struct sh_engine *e, struct sh_str name_or_hash, sh_registry_fn cb,
                      void *arg);
/* Modules or their names are about to be written or removed: to be called before that append. What
 * is asked for after it waits for it, because reads wait for the appends before them. */
void sh_registry_changes(struct sh_engine *e);

#endif
