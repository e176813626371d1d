/* The state of tasks and sessions, seen from outside: what a task published, updates, and what a
 * session keeps. */
#include "http/api.h"
#include "http/task_view.h"

#define UPDATE_WAIT_MS 30000
#define UPDATE_WAIT_MAX_MS 120000

static void set_time(json_t *view, const char *name, const json_t *source, const char *member) {
    int64_t us = sh_json_get_int(source, member, 0);
    char text[SH_TIME_TEXT];

    if (us) {
        sh_time_format(us, text);
        json_object_set_new(view, name, json_string(text));
    }
}

static int page(const struct sh_request *r, uint64_t *ret_offset, uint64_t *ret_limit,
                struct sh_err *err) {
    int rc = sh_request_number(r, "limit", 100, 1, 1000, ret_limit, err);

    return rc < 0 ? rc : sh_request_number(r, "offset", 0, 0, UINT32_MAX, ret_offset, err);
}

/* ---- queries ---- */

static json_t *published_view(const json_t *published) {
    json_t *view =
        json_pack("{s:O, s:O, s:O}", "name", json_object_get(published, "name"), "data",
                  json_object_get(published, "data"), "seq", json_object_get(published, "seq"));

    set_time(view, "updated_at", published, "at_us");
    return view;
}

static void queried(void *arg, json_t *published, const struct sh_err *err) {
    struct sh_request *r = arg;

    if (err) {
        sh_reply_error(r, err);
        return;
    }
    json_t *view = published_view(published);
    json_object_set_new(view, "task_id", json_string(r->id));
    sh_reply_json(r, 200, view);
}

void sh_handle_query(struct sh_request *r) {
    sh_engine_query(r->api->app->engine, sh_str(r->id), sh_str(r->name), queried, r);
}

static void queries_listed(void *arg, json_t *list, const struct sh_err *err) {
    struct sh_request *r = arg;
    json_t *views = json_array(), *item;
    size_t i;

    if (err) {
        json_decref(views);
        sh_reply_error(r, err);
        return;
    }
    json_array_foreach(json_object_get(list, "queries"), i, item) {
        json_array_append_new(views, published_view(item));
    }
    sh_reply_json(r, 200,
                  json_pack("{s:s, s:o, s:O}", "task_id", r->id, "queries", views, "total",
                            json_object_get(list, "total")));
}

void sh_handle_query_list(struct sh_request *r) {
    uint64_t offset = 0, limit = 0;
    struct sh_err err = {0};

    if (page(r, &offset, &limit, &err) < 0) {
        sh_reply_error(r, &err);
        return;
    }
    sh_engine_query_list(r->api->app->engine, sh_str(r->id), (size_t)offset, (size_t)limit,
                         queries_listed, r);
}

/* ---- updates ---- */

static void updated(void *arg, json_t *update, const struct sh_err *err) {
    struct sh_request *r = arg;

    if (err) {
        sh_reply_error(r, err);
        return;
    }
    json_t *view =
        json_pack("{s:s, s:O, s:O, s:O, s:O*, s:O*}", "task_id", r->id, "update_id",
                  json_object_get(update, "update"), "name", json_object_get(update, "name"),
                  "status", json_object_get(update, "status"), "result",
                  json_object_get(update, "result"), "error", json_object_get(update, "error"));
    bool open = sh_str_eqz(sh_json_get_str(update, "status"), "accepted");
    set_time(view, "created_at", update, "received_us");
    set_time(view, "answered_at", update, "answered_us");
    sh_reply_header(r, "X-Workflow-ID", r->id);
    sh_reply_json(r, open ? 202 : 200, view);
}

static int read_wait(const json_t *body, uint64_t *ret_ms, struct sh_err *err) {
    json_t *wait = json_object_get(body, "wait_ms");

    *ret_ms = UPDATE_WAIT_MS;
    if (!wait) {
        return 0;
    }
    if (!json_is_integer(wait) || json_integer_value(wait) < 0 ||
        json_integer_value(wait) > UPDATE_WAIT_MAX_MS) {
        return sh_fail(err, SH_E_INVAL, "wait_ms: expected a whole number of 0..%d",
                       UPDATE_WAIT_MAX_MS);
    }
    *ret_ms = (uint64_t)json_integer_value(wait);
    return 0;
}

void sh_handle_update(struct sh_request *r) {
    static const char *const known[] = {"payload", "update_id", "wait_ms", NULL};
    sh_auto(sh_json_done) json_t *body = NULL;
    struct sh_update u = {.name = sh_str(r->name)};
    struct sh_err err = {0};

    if (sh_request_json(r, true, &body, &err) < 0 ||
        sh_json_only(body, known, "the body", &err) < 0 || read_wait(body, &u.wait_ms, &err) < 0) {
        sh_reply_error(r, &err);
        return;
    }
    const char *key = sh_request_header(r, "idempotency-key");
    u.id = sh_json_get_str(body, "update_id");
    if (u.id.len == 0 && key) {
        u.id = sh_str(key);
    }
    u.payload = json_object_get(body, "payload");
    sh_engine_update(r->api->app->engine, sh_str(r->id), &u, updated, r);
}

void sh_handle_update_get(struct sh_request *r) {
    uint64_t wait_ms = 0;
    struct sh_err err = {0};

    if (sh_request_number(r, "wait_ms", 0, 0, UPDATE_WAIT_MAX_MS, &wait_ms, &err) < 0) {
        sh_reply_error(r, &err);
        return;
    }
    sh_engine_update_get(r->api->app->engine, sh_str(r->id), sh_str(r->name), wait_ms, updated, r);
}

/* ---- what a session keeps ---- */

static void kv_listed(void *arg, json_t *list, const struct sh_err *err) {
    struct sh_request *r = arg;

    if (err) {
        sh_reply_error(r, err);
        return;
    }
    sh_reply_json(r, 200,
                  json_pack("{s:s, s:O, s:O}", "session_id", r->id, "items",
                            json_object_get(list, "items"), "total",
                            json_object_get(list, "total")));
}

void sh_handle_kv_list(struct sh_request *r) {
    const char *prefix = sh_request_param(r, "prefix");
    uint64_t offset = 0, limit = 0;
    struct sh_err err = {0};

    if (page(r, &offset, &limit, &err) < 0) {
        sh_reply_error(r, &err);
        return;
    }
    sh_engine_kv_list(r->api->app->engine, sh_str(r->id), sh_str(prefix ? prefix : ""),
                      (size_t)offset, (size_t)limit, kv_listed, r);
}

static void kv_got(void *arg, json_t *item, const struct sh_err *err) {
    if (err) {
        sh_reply_error(arg, err);
    } else {
        sh_reply_json(arg, 200, json_incref(item));
    }
}

void sh_handle_kv_get(struct sh_request *r) {
    sh_engine_kv_get(r->api->app->engine, sh_str(r->id), sh_str(r->name), kv_got, r);
}
