/* Tasks: submit, look, control. Each handler asks the engine and replies from its callback. */
#include "http/api.h"
#include "http/large.h"
#include "http/submit_body.h"
#include "http/task_view.h"

#include <stdio.h>

/* --- submit ----------------------------------------------------------------------------------- */

struct submission {
    struct sh_request *r;
    struct sh_submit_body body;
    const char *idempotency_key;
    bool stream;
};

static void submission_free(struct submission *s) {
    sh_submit_body_done(&s->body);
    sh_free(s);
}

static void reply_stream_url(struct sh_request *r, const json_t *row) {
    struct sh_str id = sh_json_get_str(row, "id");
    char url[256], link[300];
    snprintf(url, sizeof(url), "/api/v1/tasks/%.*s/stream", (int)id.len, id.p);
    snprintf(link, sizeof(link), "<%s>; rel=stream", url);
    sh_reply_header(r, "Link", link);
    json_t *view = sh_task_submitted_json(row);
    json_object_set_new(view, "stream_url", json_string(url));
    sh_reply_json(r, 201, view);
}

static void rejected(struct sh_request *r, const json_t *row) {
    struct sh_err err = {0};
    struct sh_str why = sh_json_get_str(json_object_get(row, "error"), "message");
    sh_fail(&err, SH_E_DENIED, "%.*s", why.len ? (int)why.len : 27,
            why.len ? why.p : "the policy rejects the task");
    json_t *body = sh_error_json(&err);
    json_object_set(body, "task_id", json_object_get(row, "id"));
    json_object_set(body, "workflow_id", json_object_get(row, "id"));
    json_object_set_new(body, "status", json_string("TASK_STATUS_FAILED"));
    sh_reply_json(r, 403, body);
}

static void submitted(void *arg, json_t *row, bool cached, const struct sh_err *err) {
    struct submission *s = arg;
    struct sh_request *r = s->r;
    bool stream = s->stream;
    submission_free(s);
    if (err) {
        sh_reply_error(r, err);
        return;
    }
    sh_reply_header(r, "X-Workflow-ID", json_string_value(json_object_get(row, "id")));
    if (json_is_string(json_object_get(row, "session"))) {
        sh_reply_header(r, "X-Session-ID", json_string_value(json_object_get(row, "session")));
    }
    if (cached) {
        sh_reply_header(r, "X-Idempotency-Cached", "true");
    }
    if (sh_str_eqz(sh_json_get_str(row, "status"), "rejected")) {
        rejected(r, row);
    } else if (stream) {
        reply_stream_url(r, row);
    } else {
        sh_reply_json(r, 200, sh_task_submitted_json(row));
    }
}

static void submit(struct submission *s, const char *agent) {
    const struct sh_submit_body *b = &s->body;
    struct sh_submit submit = {
        .agent = sh_str(agent),
        .unnamed = b->via,
        .query = sh_str(b->query),
        .input = b->input,
        .input_text = s->r->input_text.len > 0 ? &s->r->input_text : NULL,
        .session = sh_str(b->session),
        .capabilities = b->capabilities,
        .metadata = b->metadata,
        .args = b->args,
        .stdin_bytes = sh_str(b->stdin_text),
        .has_priority = b->has_priority,
        .priority = b->priority,
        .stdin_live = b->stdin_live,
        .idempotency_key = sh_str(s->idempotency_key),
        .idempotency_digest = s->r->digest,
    };
    sh_engine_submit(s->r->api->app->engine, &submit, submitted, s);
}

/* The modes that clients send without knowing our agents. "standard" is the default agent's. */
static const char *agent_of_mode(const char *mode) {
    static const char *const agents[][2] = {
        {"simple", "chain_of_thought"}, {"complex", "tree_of_thoughts"}, {"supermode", "research"}};
    for (size_t i = 0; mode && i < sizeof(agents) / sizeof(agents[0]); i++) {
        if (strcmp(mode, agents[i][0]) == 0) {
            return agents[i][1];
        }
    }
    return NULL;
}

/* mode and context.strategy choose an agent where one has that name; then the mode's own. */
static void modules_listed(void *arg, json_t *modules, const struct sh_err *err) {
    struct submission *s = arg;
    const char *const wanted[] = {s->body.hints[0], s->body.hints[1],
                                  agent_of_mode(s->body.hints[0])};
    const char *agent = NULL;
    for (size_t k = 0; !err && k < sizeof(wanted) / sizeof(wanted[0]) && !agent; k++) {
        size_t i;
        json_t *module;
        json_array_foreach(modules, i, module) {
            if (wanted[k] && sh_str_eqz(sh_json_get_str(module, "name"), wanted[k])) {
                agent = wanted[k];
            }
        }
    }
    submit(s, agent);
}

static int read_submission(struct sh_request *r, struct submission *s, struct sh_err *err) {
    int rc = sh_submit_body_parse(sh_buf_str(&r->body), r->input_text.len > 0, &s->body, err);
    const char *session = sh_request_header(r, "x-session-id");
    struct sh_id id;
    if (rc == 0 && !s->body.session && session && *session) {
        if (sh_id_parse(sh_str(session), &id) < 0) {
            return sh_fail(err, SH_E_INVAL, "X-Session-ID has characters that ids may not have");
        }
        s->body.session = session;
    }
    s->idempotency_key = sh_request_header(r, "idempotency-key");
    if (rc == 0 && s->idempotency_key && strlen(s->idempotency_key) > 256) {
        return sh_fail(err, SH_E_INVAL, "Idempotency-Key is longer than 256 characters");
    }
    return rc;
}

static void start_submission(struct sh_request *r, bool stream, const struct sh_err *bad) {
    struct sh_err err = {0};
    if (bad) {
        sh_reply_error(r, bad);
        return;
    }
    struct submission *s = sh_new(struct submission);
    s->r = r;
    s->stream = stream;
    if (read_submission(r, s, &err) < 0) {
        submission_free(s);
        sh_reply_error(r, &err);
    } else if (!s->body.agent && s->body.hints[0]) {
        sh_engine_module_list(r->api->app->engine, modules_listed, s);
    } else {
        submit(s, s->body.agent);
    }
}

static void submit_plain(struct sh_request *r, const struct sh_err *err) {
    start_submission(r, false, err);
}

static void submit_stream(struct sh_request *r, const struct sh_err *err) {
    start_submission(r, true, err);
}

void sh_handle_submit(struct sh_request *r) {
    sh_request_cut(r, submit_plain);
}

void sh_handle_submit_stream(struct sh_request *r) {
    sh_request_cut(r, submit_stream);
}

/* --- look ------------------------------------------------------------------------------------- */

static void row_reply(struct sh_request *r, json_t *row, const struct sh_err *err,
                      json_t *(*view)(const json_t *row)) {
    if (err) {
        sh_reply_error(r, err);
    } else {
        sh_reply_header(r, "X-Workflow-ID", r->id);
        sh_reply_json(r, 200, view(row));
    }
}

static void got_task(void *arg, json_t *row, const struct sh_err *err) {
    row_reply(arg, row, err, sh_task_json);
}

static void got_output(void *arg, json_t *row, const struct sh_err *err) {
    row_reply(arg, row, err, sh_task_output_json);
}

static void got_control(void *arg, json_t *row, const struct sh_err *err) {
    row_reply(arg, row, err, sh_task_control_json);
}

static json_t *progress_json(const json_t *row) {
    json_t *task = sh_task_json(row);
    json_t *view =
        json_pack("{s:O, s:O, s:O}", "task_id", json_object_get(task, "task_id"), "status",
                  json_object_get(task, "status"), "progress", json_object_get(task, "progress"));
    json_decref(task);
    return view;
}

static void got_progress(void *arg, json_t *row, const struct sh_err *err) {
    row_reply(arg, row, err, progress_json);
}

static void get(struct sh_request *r, sh_engine_json_fn cb) {
    sh_engine_get(r->api->app->engine, sh_str(r->id), cb, r);
}

void sh_handle_task_get(struct sh_request *r) {
    get(r, got_task);
}

void sh_handle_task_output(struct sh_request *r) {
    get(r, got_output);
}

void sh_handle_task_progress(struct sh_request *r) {
    get(r, got_progress);
}

void sh_handle_control_state(struct sh_request *r) {
    get(r, got_control);
}

static void listed(void *arg, json_t *value, const struct sh_err *err) {
    struct sh_request *r = arg;
    if (err) {
        sh_reply_error(r, err);
        return;
    }
    json_t *items = json_array();
    size_t i;
    json_t *row;
    json_array_foreach(json_object_get(value, "tasks"), i, row) {
        json_array_append_new(items, sh_task_item_json(row));
    }
    sh_reply_json(r, 200,
                  json_pack("{s:o, s:I}", "tasks", items, "total_count",
                            (json_int_t)sh_json_get_int(value, "total", 0)));
}

/* ?parent_id= or ?root_id=, which take no other condition. true: answered, or will be. */
static bool list_family(struct sh_request *r, size_t offset, size_t limit) {
    const char *parent = sh_request_param(r, "parent_id"), *root = sh_request_param(r, "root_id");
    const char *id = parent && *parent ? parent : root, *status = sh_request_param(r, "status");
    struct sh_err err = {0};
    struct sh_id checked;
    if (!id || !*id) {
        return false;
    }
    if (sh_id_parse(sh_str(id), &checked) < 0 || (parent && *parent && root && *root) ||
        (status && *status)) {
        sh_fail(&err, SH_E_INVAL, "expected one of parent_id and root_id, an id, and no status");
        sh_reply_error(r, &err);
    } else {
        sh_engine_list_family(r->api->app->engine, id == parent ? "parent" : "root", sh_str(id),
                              offset, limit, listed, r);
    }
    return true;
}

void sh_handle_task_list(struct sh_request *r) {
    struct sh_err err = {0};
    uint64_t limit = 0, offset = 0;
    const char *status = sh_request_param(r, "status"),
               *session = sh_request_param(r, "session_id");
    struct sh_id id;
    if (sh_request_number(r, "limit", 20, 1, 100, &limit, &err) < 0 ||
        sh_request_number(r, "offset", 0, 0, INT32_MAX, &offset, &err) < 0) {
        sh_reply_error(r, &err);
        return;
    }
    if (list_family(r, (size_t)offset, (size_t)limit)) {
        return;
    }
    if (status && *status && !sh_row_status(status)) {
        sh_fail(
            &err, SH_E_INVAL,
            "status is \"%.40s\"; expected QUEUED, RUNNING, PAUSED, COMPLETED, FAILED, CANCELLED "
            "or TIMEOUT",
            status);
        sh_reply_error(r, &err);
        return;
    }
    if (session && *session && sh_id_parse(sh_str(session), &id) < 0) {
        sh_fail(&err, SH_E_INVAL, "session_id has characters that ids may not have");
        sh_reply_error(r, &err);
        return;
    }
    sh_engine_list(r->api->app->engine, status && *status ? sh_row_status(status) : NULL,
                   session && *session ? session : NULL, (size_t)offset, (size_t)limit, listed, r);
}

/* --- control ---------------------------------------------------------------------------------- */

typedef void (*control_fn)(struct sh_engine *e, struct sh_str id, const char *by,
                           const char *reason, sh_engine_json_fn cb, void *arg);

static void controlled(void *arg, json_t *row, const struct sh_err *err) {
    struct sh_request *r = arg;
    if (err) {
        sh_reply_error(r, err);
        return;
    }
    const char *slash = strrchr(r->path, '/');
    char message[64];
    snprintf(message, sizeof(message), "%s accepted", slash ? slash + 1 : "request");
    sh_reply_header(r, "X-Workflow-ID", r->id);
    sh_reply_json(r, 202,
                  json_pack("{s:b, s:s, s:s, s:s}", "success", 1, "message", message, "task_id",
                            r->id, "status", sh_task_status(sh_json_get_str(row, "status"))));
}

static void control(struct sh_request *r, control_fn fn) {
    struct sh_err err = {0};
    sh_auto(sh_json_done) json_t *body = NULL;
    if (sh_request_json(r, true, &body, &err) < 0) {
        sh_reply_error(r, &err);
        return;
    }
    json_t *reason = json_object_get(body, "reason");
    if (reason && !json_is_null(reason) &&
        (!json_is_string(reason) || json_string_length(reason) > 1000)) {
        sh_fail(&err, SH_E_INVAL, "reason must be a string of at most 1000 bytes");
        sh_reply_error(r, &err);
        return;
    }
    fn(r->api->app->engine, sh_str(r->id), "user",
       json_is_string(reason) ? json_string_value(reason) : "", controlled, r);
}

void sh_handle_cancel(struct sh_request *r) {
    control(r, sh_engine_cancel);
}

void sh_handle_pause(struct sh_request *r) {
    control(r, sh_engine_pause);
}

void sh_handle_resume(struct sh_request *r) {
    control(r, sh_engine_resume);
}

/* {tokens?, cost_usd?, fuel?, wall_clock_ms?, output?, activities?, reason?} */
void sh_handle_raise(struct sh_request *r) {
    struct sh_err err = {0};
    sh_auto(sh_json_done) json_t *body = NULL;
    if (sh_request_json(r, false, &body, &err) < 0) {
        sh_reply_error(r, &err);
        return;
    }
    sh_auto(sh_json_done) json_t *reason = json_incref(json_object_get(body, "reason"));
    json_object_del(body, "reason");
    if (reason && (!json_is_string(reason) || json_string_length(reason) > 1000)) {
        sh_fail(&err, SH_E_INVAL, "reason must be a string of at most 1000 bytes");
        sh_reply_error(r, &err);
        return;
    }
    sh_engine_raise(r->api->app->engine, sh_str(r->id), body, "user",
                    reason ? json_string_value(reason) : "", controlled, r);
}

static void verified(void *arg, json_t *value, const struct sh_err *err) {
    struct sh_request *r = arg;
    if (err) {
        sh_reply_error(r, err);
    } else {
        sh_reply_json(r, 200, json_incref(value));
    }
}

void sh_handle_verify(struct sh_request *r) {
    sh_engine_verify(r->api->app->engine, sh_str(r->id), verified, r);
}

/* {"data": "text"} or {"base64": "..."}, and "eof": true after the last. */
void sh_handle_stdin(struct sh_request *r) {
    struct sh_err err = {0};
    sh_auto(sh_json_done) json_t *body = NULL;
    sh_auto(sh_buf_done) struct sh_buf bytes = {0};
    sh_buf_init(&bytes, SH_MIB);
    int rc = sh_request_json(r, false, &body, &err);
    if (rc == 0) {
        static const char *const known[] = {"data", "base64", "eof", NULL};
        rc = sh_json_only(body, known, "the body", &err);
    }
    if (rc == 0) {
        struct sh_str data = sh_json_get_str(body, "data"),
                      encoded = sh_json_get_str(body, "base64");
        sh_buf_add(&bytes, data.p, data.len);
        bool bad = encoded.len && sh_base64_decode(&bytes, encoded) < 0;
        if (bytes.failed) {
            rc = sh_fail(&err, SH_E_NOMEM, "no memory for it; send it again later");
        } else if (bad) {
            rc = sh_fail(&err, SH_E_INVAL, "base64 is not valid base64");
        }
    }
    if (rc == 0) {
        rc = sh_engine_stdin(r->api->app->engine, sh_str(r->id), sh_buf_str(&bytes),
                             sh_json_get_bool(body, "eof", false), &err);
    }
    if (rc < 0) {
        sh_reply_error(r, &err);
    } else {
        sh_reply_json(r, 200,
                      json_pack("{s:b, s:I}", "success", 1, "bytes", (json_int_t)bytes.len));
    }
}
