/* What people see of a session's memory. It is read from the store alone. */
#include "engine/call.h"
#include "engine/private.h"

static void end(struct sh_call *c, json_t *value, const struct sh_err *err) {
    c->value = value;
    sh_call_end(c, value, err);
}

static json_t *item_json(const json_t *record) {
    json_t *value = json_object_get(record, "value");

    return json_pack("{s:O, s:O}", "key", json_object_get(record, "key"), "value",
                     value ? value : json_null());
}

static void listed(void *arg, json_t *records, size_t total, const struct sh_err *err) {
    json_t *items = json_array(), *record;
    size_t i;

    json_array_foreach(records, i, record) {
        json_array_append_new(items, item_json(record));
    }
    end(arg, json_pack("{s:o, s:I}", "items", items, "total", (json_int_t)total), err);
}

void sh_engine_kv_list(struct sh_engine *e, struct sh_str session, struct sh_str prefix,
                       size_t offset, size_t limit, sh_engine_json_fn cb, void *arg) {
    sh_auto(sh_free_p) char *start = sh_asprintf("%.*s/%.*s", (int)session.len, session.p,
                                                 (int)prefix.len, prefix.p ? prefix.p : "");
    struct sh_store_filter f = {.prefix = start, .offset = offset, .limit = limit};

    sh_store_list(e->store, SH_TABLE_KV, &f, listed, sh_call_new(e, session, cb, arg));
}

static void got(void *arg, json_t *records, size_t total, const struct sh_err *err) {
    struct sh_call *v = arg;
    json_t *record = json_array_get(records, 0);
    struct sh_err none = {0};

    (void)total;
    if (!err && !record) {
        sh_fail(&none, SH_E_NOT_FOUND, "the session keeps nothing under \"%.200s\"", v->name);
        err = &none;
    }
    end(v, record ? item_json(record) : NULL, err);
}

void sh_engine_kv_get(struct sh_engine *e, struct sh_str session, struct sh_str key,
                      sh_engine_json_fn cb, void *arg) {
    sh_auto(sh_free_p) char *record =
        sh_asprintf("%.*s/%.*s", (int)session.len, session.p, (int)key.len, key.p);
    struct sh_call *v = sh_call_new(e, session, cb, arg);

    v->name = sh_strndup0(key.p, key.len);
    sh_store_get(e->store, SH_TABLE_KV, sh_str(record), got, v);
}
