/* See registry.h. This engine is the only writer of the two tables as long as it may write at all
 * (store_owner.c), so that what it has read stays true until it changes it itself. */
#include "engine/registry.h"

#include "engine/private.h"

struct known {
    struct sh_list link;
    char *asked, *name;
    json_t *record;
};

/* A question under way. */
struct looking {
    struct sh_msg later; /* of an answer that was known */
    struct sh_engine *engine;
    char *asked, *name;
    json_t *record;
    uint64_t changes; /* when it was asked */
    sh_registry_fn cb;
    void *arg;
};

static void known_free(struct known *k) {
    sh_free(k->asked);
    sh_free(k->name);
    json_decref(k->record);
    sh_free(k);
}

void sh_registry_done(struct sh_registry *r) {
    while (!sh_list_empty(&r->known)) {
        known_free(sh_container_of(sh_list_pop(&r->known), struct known, link));
    }
    r->n_known = 0;
}

void sh_registry_changes(struct sh_engine *e) {
    e->registry.changes++;
    sh_registry_done(&e->registry);
}

static const struct known *recall(const struct sh_registry *r, const char *asked) {
    sh_list_each (node, &r->known) {
        const struct known *k = sh_container_of(node, struct known, link);
        if (strcmp(k->asked, asked) == 0) {
            return k;
        }
    }
    return NULL;
}

static void remember(struct sh_registry *r, const struct looking *l) {
    struct known *k;

    if (l->changes != r->changes || recall(r, l->asked)) {
        return;
    }
    if (r->n_known == SH_REGISTRY_KNOWN_MAX) {
        known_free(sh_container_of(sh_list_pop(&r->known), struct known, link));
        r->n_known--;
    }
    k = sh_new(struct known);
    k->asked = sh_strdup(l->asked);
    k->name = sh_strdup(l->name);
    k->record = json_incref(l->record);
    sh_list_push(&r->known, &k->link);
    r->n_known++;
}

static void end(struct looking *l, const struct sh_err *err) {
    struct sh_engine *e = l->engine;

    if (!err) {
        remember(&e->registry, l);
    }
    l->cb(l->arg, err ? NULL : l->record, sh_str(err ? "" : l->name), err);
    json_decref(l->record);
    sh_free(l->name);
    sh_free(l->asked);
    sh_free(l);
    sh_engine_unpin(e);
}

static void tell(struct sh_msg *msg) {
    end(sh_container_of(msg, struct looking, later), NULL);
}

static void set_name(struct looking *l, struct sh_str name) {
    sh_free(l->name);
    l->name = sh_strndup0(name.p ? name.p : "", name.len);
}

static void name_found(void *arg, json_t *records, size_t total, const struct sh_err *err) {
    struct looking *l = arg;

    (void)total;
    set_name(l, sh_json_get_str(json_array_get(records, 0), "name"));
    end(l, err);
}

static void module_found(void *arg, json_t *record, const struct sh_err *err) {
    struct looking *l = arg;
    struct sh_store_filter named = {.member = {"hash"}, .value = {l->asked}, .limit = 1};
    struct sh_hash hash;

    l->record = record ? json_incref(record) : NULL;
    if (!err && sh_hash_parse(sh_str(l->asked), &hash) == 0) {
        sh_store_list(l->engine->store, SH_TABLE_NAME, &named, name_found, l);
    } else {
        end(l, err);
    }
}

void sh_registry_find(struct sh_engine *e, struct sh_str name_or_hash, sh_registry_fn cb,
                      void *arg) {
    struct looking *l = sh_new(struct looking);
    const struct known *k;

    SH_ON_LOOP(e->loop);
    l->engine = e;
    l->asked = sh_strndup0(name_or_hash.p ? name_or_hash.p : "", name_or_hash.len);
    l->changes = e->registry.changes;
    l->cb = cb;
    l->arg = arg;
    e->pins++;
    k = recall(&e->registry, l->asked);
    set_name(l, k ? sh_str(k->name) : (struct sh_str){0});
    if (k) {
        l->record = json_incref(k->record);
        l->later.run = tell;
        sh_loop_post(e->loop, &l->later);
    } else {
        sh_modules_find(e, name_or_hash, module_found, l);
    }
}
