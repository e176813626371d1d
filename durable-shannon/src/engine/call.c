/* See call.h. */
#include "engine/call.h"

#include "engine/private.h"

void sh_call_init(struct sh_call *c, struct sh_engine *e, struct sh_str id, sh_engine_json_fn cb,
                  void *arg) {
    SH_ON_LOOP(e->loop);
    c->engine = e;
    c->id = sh_strndup0(id.p ? id.p : "", id.len);
    c->cb = cb;
    c->arg = arg;
    e->pins++;
}

struct sh_call *sh_call_new(struct sh_engine *e, struct sh_str id, sh_engine_json_fn cb,
                            void *arg) {
    struct sh_call *c = sh_new(struct sh_call);

    sh_call_init(c, e, id, cb, arg);
    return c;
}

void sh_call_end(struct sh_call *c, json_t *value, const struct sh_err *err) {
    struct sh_engine *e = c->engine;

    if (c->cb) {
        c->cb(c->arg, err ? NULL : value, err);
    }
    json_decref(c->value);
    sh_free(c->id);
    sh_free(c->name);
    sh_free(c);
    sh_engine_unpin(e);
}
