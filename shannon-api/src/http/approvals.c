/* What people say to a task that waits for them: answers to questions, and signals. */
#include "http/api.h"
#include "http/task_view.h"

static void listed(void *arg, json_t *list, const struct sh_err *err) {
    struct sh_request *r = arg;
    size_t i;
    json_t *item;

    if (err) {
        sh_reply_error(r, err);
        return;
    }
    json_array_foreach(list, i, item) {
        char text[SH_TIME_TEXT];
        sh_time_format(sh_json_get_int(item, "at_us", 0), text);
        json_object_set_new(item, "created_at", json_string(text));
        sh_time_format(sh_json_get_int(item, "expires_us", 0), text);
        json_object_set_new(item, "expires_at", json_string(text));
        json_object_set_new(item, "status", json_string("pending"));
    }
    sh_reply_json(
        r, 200,
        json_pack("{s:O, s:I}", "approvals", list, "count", (json_int_t)json_array_size(list)));
}

void sh_handle_approval_list(struct sh_request *r) {
    const char *status = sh_request_param(r, "status");
    struct sh_err err = {0};

    if (status && *status && strcmp(status, "pending") != 0) {
        sh_fail(&err, SH_E_INVAL,
                "status: expected pending; answered questions are in the journal");
        sh_reply_error(r, &err);
        return;
    }
    sh_engine_approvals(r->api->app->engine, listed, r);
}

/* {approval_id, workflow_id, approved, scope?, feedback?} */
static int check_answer(const json_t *body, struct sh_err *err) {
    static const char *const known[] = {"approval_id", "workflow_id", "approved", "scope",
                                        "feedback",    "run_id",      NULL};
    struct sh_str scope = sh_json_get_str(body, "scope");
    struct sh_id id;

    if (sh_json_only(body, known, "the body", err) < 0) {
        return -err->code;
    }
    if (sh_id_parse(sh_json_get_str(body, "workflow_id"), &id) < 0 ||
        sh_json_get_str(body, "approval_id").len == 0) {
        return sh_fail(err, SH_E_INVAL,
                       "expected workflow_id and approval_id, as in the list of "
                       "approvals");
    }
    if (!json_is_boolean(json_object_get(body, "approved"))) {
        return sh_fail(err, SH_E_INVAL, "approved: expected true or false");
    }
    if (scope.len && !sh_str_eqz(scope, "once") && !sh_str_eqz(scope, "run") &&
        !sh_str_eqz(scope, "always")) {
        return sh_fail(err, SH_E_INVAL, "scope: expected once, run or always, got \"%.*s\"",
                       (int)(scope.len > 40 ? 40 : scope.len), scope.p);
    }
    return 0;
}

struct decision {
    struct sh_request *r;
    json_t *answer;
};

static void decided(void *arg, json_t *row, const struct sh_err *err) {
    struct decision *d = arg;

    (void)row;
    if (err) {
        sh_reply_error(d->r, err);
    } else {
        sh_reply_json(d->r, 200, json_incref(d->answer));
    }
    json_decref(d->answer);
    sh_free(d);
}

void sh_handle_approval_decision(struct sh_request *r) {
    sh_auto(sh_json_done) json_t *body = NULL;
    struct sh_err err = {0};

    if (sh_request_json(r, false, &body, &err) < 0 || check_answer(body, &err) < 0) {
        sh_reply_error(r, &err);
        return;
    }
    bool approved = json_is_true(json_object_get(body, "approved"));
    const char *scope = json_string_value(json_object_get(body, "scope"));
    const char *feedback = json_string_value(json_object_get(body, "feedback"));
    struct decision *d = sh_new(struct decision);
    d->r = r;
    d->answer =
        json_pack("{s:b, s:s, s:O, s:O}", "success", 1, "status", approved ? "approved" : "denied",
                  "workflow_id", json_object_get(body, "workflow_id"), "approval_id",
                  json_object_get(body, "approval_id"));
    sh_engine_decide(r->api->app->engine, sh_json_get_str(body, "workflow_id"),
                     sh_json_get_str(body, "approval_id"), approved, scope ? scope : "once", "user",
                     feedback ? feedback : "", decided, d);
}

static void signaled(void *arg, json_t *row, const struct sh_err *err) {
    struct sh_request *r = arg;

    if (err) {
        sh_reply_error(r, err);
        return;
    }
    sh_reply_header(r, "X-Workflow-ID", r->id);
    sh_reply_json(r, 202,
                  json_pack("{s:b, s:s, s:s, s:s}", "success", 1, "message", "signal accepted",
                            "task_id", r->id, "status",
                            sh_task_status(sh_json_get_str(row, "status"))));
}

void sh_handle_signal(struct sh_request *r) {
    static const char *const known[] = {"name", "payload", NULL};
    sh_auto(sh_json_done) json_t *body = NULL;
    struct sh_err err = {0};

    if (sh_request_json(r, false, &body, &err) < 0 ||
        sh_json_only(body, known, "the body", &err) < 0) {
        sh_reply_error(r, &err);
        return;
    }
    sh_engine_signal(r->api->app->engine, sh_str(r->id), sh_json_get_str(body, "name"),
                     json_object_get(body, "payload"), signaled, r);
}
