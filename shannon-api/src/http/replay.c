/* Replay as of an event, forks, forgetting and compaction. */
#include "http/api.h"
#include "http/task_view.h"

static void replayed(void *arg, json_t *seen, const struct sh_err *err) {
    struct sh_request *r = arg;
    if (err) {
        sh_reply_error(r, err);
    } else {
        sh_reply_json(r, 200, json_incref(seen));
    }
}

void sh_handle_replay(struct sh_request *r) {
    struct sh_err err = {0};
    uint64_t to = 0;
    if (sh_request_number(r, "to", 0, 0, INT64_MAX, &to, &err) < 0) {
        sh_reply_error(r, &err);
    } else {
        sh_engine_replay(r->api->app->engine, sh_str(r->id), to, replayed, r);
    }
}

static void forked(void *arg, json_t *row, const struct sh_err *err) {
    struct sh_request *r = arg;
    if (err) {
        sh_reply_error(r, err);
    } else {
        sh_reply_json(r, 200, sh_task_json(row));
    }
}

void sh_handle_fork(struct sh_request *r) {
    static const char *const known[] = {"at", NULL};
    struct sh_err err = {0};
    sh_auto(sh_json_done) json_t *body = NULL;
    int rc = sh_request_json(r, true, &body, &err);
    rc = rc < 0 ? rc : sh_json_only(body, known, "the body", &err);
    json_t *at = json_object_get(body, "at");
    if (rc == 0 && at && (!json_is_integer(at) || json_integer_value(at) < 2)) {
        rc = sh_fail(&err, SH_E_INVAL, "at must be the number of an event, 2 or more");
    }
    if (rc < 0) {
        sh_reply_error(r, &err);
        return;
    }
    sh_engine_fork(r->api->app->engine, sh_str(r->id), (uint64_t)json_integer_value(at), forked, r);
}

void sh_handle_forget(struct sh_request *r) {
    sh_engine_forget(r->api->app->engine, sh_str(r->id), replayed, r);
}

void sh_handle_compact(struct sh_request *r) {
    sh_engine_compact(r->api->app->engine, sh_str(r->id), replayed, r);
}
