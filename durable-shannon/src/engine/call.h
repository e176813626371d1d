/* A request from outside while the engine works on the answer: who asked, and what it is about. It
 * keeps the engine until it is answered, once. What needs more members than these begins with it:
 *
 *     struct page { struct sh_call call; size_t offset; };      or sh_call_new where these are
 * enough
 */
#ifndef SH_ENGINE_CALL_H
#define SH_ENGINE_CALL_H

#include "engine/engine.h"

struct sh_call {
    struct sh_engine *engine;
    sh_engine_json_fn cb; /* or NULL: nobody waits for it */
    void *arg;
    char *id, *name; /* what it is about, owned; or NULL */
    uint64_t number;
    json_t *value; /* the answer while it is put together, owned; or NULL */
};

/* c: at the start of what sh_new gave; all else in it stays. id: copied; may be empty */
void sh_call_init(struct sh_call *c, struct sh_engine *e, struct sh_str id, sh_engine_json_fn cb,
                  void *arg);
struct sh_call *sh_call_new(struct sh_engine *e, struct sh_str id, sh_engine_json_fn cb, void *arg);
/* Tell the answer: err, or else value, which is borrowed. takes  c, with the memory it begins */
void sh_call_end(struct sh_call *c, json_t *value, const struct sh_err *err);

#endif
