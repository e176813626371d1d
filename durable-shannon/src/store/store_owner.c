/* Owners of a store, and the fence between them. One record says who the owner is:
 *
 *   meta:owner   {epoch, owner, at_us}
 *
 * What an owner writes is written only where that record has its epoch, in one transaction that
 * reads the record for update: it cannot be committed when a takeover wrote the record after that
 * reading. From the takeover on nothing of the owner before it goes in, whatever it still
 * believes. Taking over is a batch of the owner before. */
#include "store/store_owner.h"

#include "store/store_codec.h"

#define TRIES_MAX 64 /* others start at the same time */

struct claiming {
    struct sh_store *store;
    char *name;
    sh_store_owner_fn cb;
    void *arg;
    unsigned tries;
    struct sh_store_owner *before;
};

static struct sh_store_owner *owner_new(uint64_t epoch) {
    struct sh_store_owner *o = sh_new(struct sh_store_owner);
    o->refs = 1;
    o->epoch = epoch;
    return o;
}

void sh_store_owner_lose(struct sh_store_owner *o) {
    sh_fail(&o->lost, SH_E_FENCED,
            "another process has taken over what this one wrote (its epoch %llu is past); nothing "
            "that it did since has been kept",
            (unsigned long long)o->epoch);
}

void sh_store_owner_unref(struct sh_store_owner *o) {
    if (o && --o->refs == 0) {
        sh_free(o);
    }
}

void sh_store_disown(struct sh_store_owner *o) {
    sh_store_owner_unref(o);
}

uint64_t sh_store_epoch(const struct sh_store_owner *o) {
    return o ? o->epoch : 0;
}

bool sh_store_lost(const struct sh_store_owner *o, struct sh_err *ret) {
    if (!o || !o->lost.code) {
        return false;
    }
    *ret = o->lost;
    return true;
}

/* ---- taking over ---- */

static void look(struct claiming *c);

static void end(struct claiming *c, const struct sh_err *err) {
    struct sh_store_owner *o = err ? NULL : owner_new(sh_store_epoch(c->before) + 1);

    sh_store_owner_unref(c->before);
    c->cb(c->arg, o, err);
    sh_free(c->name);
    sh_free(c);
}

static void taken(void *arg, const struct sh_err *err) {
    struct claiming *c = arg;

    if (err && err->code == SH_E_FENCED && ++c->tries < TRIES_MAX) {
        look(c); /* somebody else took over meanwhile */
    } else {
        end(c, err);
    }
}

static void record_read(void *arg, json_t *records, size_t total, const struct sh_err *err) {
    struct claiming *c = arg;
    int64_t epoch = sh_json_get_int(json_array_get(records, 0), "epoch", 0);
    struct sh_err bad = {0};

    (void)total;
    if (err) {
        end(c, err);
        return;
    }
    if (epoch < 0 || epoch >= INT64_MAX) {
        sh_fail(&bad, SH_E_CORRUPT, "the record meta:owner has the epoch %lld", (long long)epoch);
        end(c, &bad);
        return;
    }
    sh_store_owner_unref(c->before);
    c->before = owner_new((uint64_t)epoch);
    sh_auto(sh_json_done) json_t *record =
        json_pack("{s:I, s:s, s:I}", "epoch", (json_int_t)epoch + 1, "owner", c->name, "at_us",
                  (json_int_t)sh_wall_us());
    struct sh_put put = {SH_TABLE_META, SH_STR(SH_STORE_OWNER), record};
    if (sh_store_append_as(c->store, c->before, NULL, 0, &put, 1, taken, c, &bad) < 0) {
        end(c, &bad);
    }
}

static void look(struct claiming *c) {
    sh_store_get(c->store, SH_TABLE_META, SH_STR(SH_STORE_OWNER), record_read, c);
}

void sh_store_own(struct sh_store *s, const char *name, sh_store_owner_fn cb, void *arg) {
    struct claiming *c = sh_new(struct claiming);

    SH_ON_LOOP(s->loop);
    c->store = s;
    c->name = sh_strdup(name);
    c->cb = cb;
    c->arg = arg;
    look(c);
}
