/* Schedules over REST: the official clients' words on the outside, the engine's inside. */
#include "http/api.h"
#include "http/task_view.h"

#include <stdio.h>

#define ID_HEADER "X-Schedule-ID"

static void time_member(json_t *to, const char *name, const json_t *record, const char *from) {
    int64_t us = sh_json_get_int(record, from, 0);
    char text[SH_TIME_TEXT];

    if (us > 0 && us < 253402300800000000LL) {
        sh_time_format(us, text);
        json_object_set_new(to, name, json_string(text));
    }
}

/* Two limits have names of their own here. */
static void view_limits(json_t *view, const json_t *limits) {
    struct sh_str deadline = sh_json_get_str(limits, "deadline");
    json_t *budget = json_object_get(limits, "cost_usd");
    uint64_t ms;

    if (budget) {
        json_object_set(view, "max_budget_per_run_usd", budget);
    }
    if (deadline.len && sh_parse_duration_ms(deadline, &ms, NULL) == 0) {
        json_object_set_new(view, "timeout_seconds", json_integer((json_int_t)(ms / 1000)));
    }
}

static json_t *view_of(const json_t *record, const char *status) {
    static const char *const names[][2] = {
        {"id", "schedule_id"},
        {"name", "name"},
        {"cron", "cron_expression"},
        {"timezone", "timezone"},
        {"query", "task_query"},
        {"description", "description"},
        {"agent", "agent"},
        {"input", "input"},
        {"session", "session_id"},
        {"capabilities", "capabilities"},
        {"overlap", "overlap"},
        {"catch_up", "catch_up"},
        {"catch_up_max", "catch_up_max"},
        {"total_runs", "total_runs"},
        {"successful_runs", "successful_runs"},
        {"failed_runs", "failed_runs"},
        {"skipped_runs", "skipped_runs"},
        {"last_task", "last_task_id"},
        {"last_error", "last_error"},
        {"active", "active_task_ids"},
        {"pause_reason", "pause_reason"},
    };
    static const char *const counters[] = {"total_runs", "successful_runs", "failed_runs",
                                           "skipped_runs"};
    const json_t *metadata = json_object_get(record, "metadata");
    json_t *view = json_object();

    for (size_t i = 0; i < sizeof(counters) / sizeof(counters[0]); i++) {
        json_object_set_new(view, counters[i], json_integer(0));
    }
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        json_t *value = json_object_get(record, names[i][0]);
        if (value) {
            json_object_set(view, names[i][1], value);
        }
    }
    if (json_object_get(metadata, "context")) {
        json_object_set(view, "task_context", json_object_get(metadata, "context"));
    }
    if (!json_object_get(view, "task_query")) {
        json_object_set_new(view, "task_query", json_string(""));
    }
    json_object_set_new(view, "status",
                        json_string(status                                            ? status
                                    : json_is_true(json_object_get(record, "paused")) ? "PAUSED"
                                                                                      : "ACTIVE"));
    json_object_set_new(
        view, "queued_runs",
        json_integer((json_int_t)json_array_size(json_object_get(record, "queue"))));
    time_member(view, "created_at", record, "created_at");
    time_member(view, "updated_at", record, "updated_at");
    time_member(view, "paused_at", record, "paused_at");
    view_limits(view, json_object_get(json_object_get(record, "capabilities"), "limits"));
    time_member(view, "last_run_at", record, "last_at");
    if (!json_is_true(json_object_get(record, "paused")) && !status) {
        time_member(view, "next_run_at", record, "next_at");
    }
    return view;
}

/* ---- reading a body ---- */

static int text(const json_t *body, const char *name, const char *to, json_t *doc,
                struct sh_err *err) {
    json_t *value = json_object_get(body, name);

    if (!value || json_is_null(value)) {
        return 0;
    }
    if (!json_is_string(value)) {
        return sh_fail(err, SH_E_INVAL, "%s must be a string", name);
    }
    if (json_string_length(value) > 0) {
        json_object_set(doc, to, value);
    }
    return 0;
}

static json_t *limits_of(json_t *doc) {
    json_t *caps = json_object_get(doc, "capabilities"), *limits;

    if (!caps) {
        caps = json_object();
        json_object_set_new(doc, "capabilities", caps);
    }
    limits = json_object_get(caps, "limits");
    if (!json_is_object(limits)) {
        limits = json_object();
        json_object_set_new(caps, "limits", limits);
    }
    return limits;
}

static int read_limits(const json_t *body, json_t *doc, struct sh_err *err) {
    json_t *budget = json_object_get(body, "max_budget_per_run_usd");
    json_t *timeout = json_object_get(body, "timeout_seconds");

    if (budget && !json_is_null(budget)) {
        if (!json_is_number(budget) || json_number_value(budget) < 0) {
            return sh_fail(err, SH_E_INVAL, "max_budget_per_run_usd must be a number");
        }
        if (json_number_value(budget) > 0) { /* 0 is how clients say "none" */
            json_object_set_new(limits_of(doc), "cost_usd", json_real(json_number_value(budget)));
        }
    }
    if (timeout && !json_is_null(timeout)) {
        if (!json_is_integer(timeout) || json_integer_value(timeout) < 0 ||
            json_integer_value(timeout) > 31536000) {
            return sh_fail(err, SH_E_INVAL, "timeout_seconds must be a number of seconds");
        }
        if (json_integer_value(timeout) > 0) {
            char duration[32];
            snprintf(duration, sizeof(duration), "%llds", (long long)json_integer_value(timeout));
            json_object_set_new(limits_of(doc), "deadline", json_string(duration));
        }
    }
    return 0;
}

static int read_context(const json_t *body, json_t *doc, struct sh_err *err) {
    json_t *context = json_object_get(body, "task_context");
    struct sh_str agent = sh_json_get_str(context, "agent");

    if (sh_json_get_bool(body, "clear_task_context", false)) {
        json_object_del(doc, "metadata");
    }
    if (!context || json_is_null(context)) {
        return 0;
    }
    if (!json_is_object(context)) {
        return sh_fail(err, SH_E_INVAL, "task_context must be an object");
    }
    json_object_set_new(doc, "metadata", json_pack("{s:O}", "context", context));
    if (agent.len && !json_object_get(doc, "agent")) {
        json_object_set_new(doc, "agent", sh_json_string(agent));
    }
    return 0;
}

static int read_body(const json_t *body, json_t *doc, struct sh_err *err) {
    static const char *const known[] = {"name",
                                        "cron_expression",
                                        "task_query",
                                        "description",
                                        "timezone",
                                        "agent",
                                        "task_context",
                                        "session_id",
                                        "max_budget_per_run_usd",
                                        "timeout_seconds",
                                        "clear_task_context",
                                        "input",
                                        "capabilities",
                                        "overlap",
                                        "catch_up",
                                        "catch_up_max",
                                        "paused",
                                        NULL};
    static const char *const texts[][2] = {
        {"name", "name"},       {"cron_expression", "cron"},    {"task_query", "query"},
        {"agent", "agent"},     {"description", "description"}, {"timezone", "timezone"},
        {"overlap", "overlap"}, {"catch_up", "catch_up"},       {"session_id", "session"},
    };
    static const char *const as_is[] = {"input", "capabilities", "catch_up_max", "paused"};
    int r = sh_json_only(body, known, "the body", err);

    for (size_t i = 0; r == 0 && i < sizeof(texts) / sizeof(texts[0]); i++) {
        r = text(body, texts[i][0], texts[i][1], doc, err);
    }
    for (size_t i = 0; r == 0 && i < sizeof(as_is) / sizeof(as_is[0]); i++) {
        json_t *value = json_object_get(body, as_is[i]);
        if (value && !json_is_null(value)) {
            json_object_set_new(doc, as_is[i], json_deep_copy(value));
        }
    }
    r = r < 0 ? r : read_context(body, doc, err);
    return r < 0 ? r : read_limits(body, doc, err);
}

/* ---- handlers ---- */

static void saved(void *arg, json_t *record, const struct sh_err *err) {
    struct sh_request *r = arg;

    if (err) {
        sh_reply_error(r, err);
        return;
    }
    json_t *view = view_of(record, NULL);
    json_object_set_new(view, "message",
                        json_string(r->id ? "schedule changed" : "schedule created"));
    sh_reply_header(r, ID_HEADER, json_string_value(json_object_get(record, "id")));
    sh_reply_json(r, 200, view);
}

static void save(struct sh_request *r, json_t *doc) {
    struct sh_err err = {0};
    sh_auto(sh_json_done) json_t *body = NULL;

    if (sh_request_json(r, false, &body, &err) < 0 || read_body(body, doc, &err) < 0) {
        sh_reply_error(r, &err);
    } else {
        sh_engine_schedule_save(r->api->app->engine, r->id ? sh_str(r->id) : (struct sh_str){0},
                                doc, saved, r);
    }
    json_decref(doc);
}

void sh_handle_schedule_add(struct sh_request *r) {
    save(r, json_object());
}

/* PUT: what the body leaves out stays as it is. */
static void found_for_change(void *arg, json_t *record, const struct sh_err *err) {
    static const char *const said[] = {
        "name",         "cron",     "timezone",    "agent",   "query",    "input",        "session",
        "capabilities", "metadata", "description", "overlap", "catch_up", "catch_up_max", "paused"};
    struct sh_request *r = arg;

    if (err) {
        sh_reply_error(r, err);
        return;
    }
    json_t *doc = json_object();
    for (size_t i = 0; i < sizeof(said) / sizeof(said[0]); i++) {
        json_t *value = json_object_get(record, said[i]);
        if (value) {
            json_object_set_new(doc, said[i], json_deep_copy(value));
        }
    }
    save(r, doc);
}

void sh_handle_schedule_change(struct sh_request *r) {
    sh_engine_schedule_get(r->api->app->engine, sh_str(r->id), found_for_change, r);
}

static void got(void *arg, json_t *record, const struct sh_err *err) {
    if (err) {
        sh_reply_error(arg, err);
    } else {
        sh_reply_json(arg, 200, view_of(record, NULL));
    }
}

void sh_handle_schedule_get(struct sh_request *r) {
    sh_engine_schedule_get(r->api->app->engine, sh_str(r->id), got, r);
}

/* page (from 1) and page_size, as the official clients ask; or offset and limit. */
static int page_of(const struct sh_request *r, size_t *ret_from, size_t *ret_n,
                   struct sh_err *err) {
    uint64_t page, size, limit, offset;

    if (sh_request_number(r, "page_size", 50, 1, 100, &size, err) < 0 ||
        sh_request_number(r, "page", 1, 1, INT32_MAX, &page, err) < 0 ||
        sh_request_number(r, "limit", size, 1, 100, &limit, err) < 0 ||
        sh_request_number(r, "offset", (page - 1) * size, 0, INT64_MAX, &offset, err) < 0) {
        return -SH_E_INVAL;
    }
    *ret_from = offset;
    *ret_n = limit;
    return 0;
}

static void listed(void *arg, json_t *records, const struct sh_err *err) {
    struct sh_request *r = arg;
    size_t i;
    json_t *record;

    if (err) {
        sh_reply_error(r, err);
        return;
    }
    struct sh_str status = sh_str(sh_request_param(r, "status"));
    json_t *list = json_array();
    json_int_t total = 0;
    size_t from = 0, n = 0;
    (void)page_of(r, &from, &n, NULL); /* checked when it was asked for */
    json_array_foreach(records, i, record) {
        json_t *view = view_of(record, NULL);
        if (!status.len || sh_str_eq(status, sh_json_get_str(view, "status"))) {
            if ((size_t)total >= from && json_array_size(list) < n) {
                json_array_append(list, view);
            }
            total++;
        }
        json_decref(view);
    }
    sh_reply_json(r, 200, json_pack("{s:o, s:I}", "schedules", list, "total_count", total));
}

void sh_handle_schedule_list(struct sh_request *r) {
    struct sh_err err = {0};
    size_t from, n;

    if (page_of(r, &from, &n, &err) < 0) {
        sh_reply_error(r, &err);
        return;
    }
    sh_engine_schedules(r->api->app->engine, listed, r);
}

static void steered(void *arg, json_t *record, const struct sh_err *err) {
    struct sh_request *r = arg;
    const char *slash = strrchr(r->path, '/');
    sh_auto(sh_json_done) json_t *view = err ? NULL : view_of(record, NULL);

    if (err) {
        sh_reply_error(r, err);
        return;
    }
    sh_reply_json(r, 200,
                  json_pack("{s:b, s:s, s:s, s:O}", "success", 1, "message",
                            slash && strcmp(slash, "/run") == 0 ? "run queued" : "schedule changed",
                            "schedule_id", r->id, "status", json_object_get(view, "status")));
}

void sh_handle_schedule_pause(struct sh_request *r) {
    sh_auto(sh_json_done) json_t *body = NULL;
    struct sh_err err = {0};

    if (sh_request_json(r, true, &body, &err) < 0) {
        sh_reply_error(r, &err);
        return;
    }
    sh_engine_schedule_pause(r->api->app->engine, sh_str(r->id), true,
                             json_string_value(json_object_get(body, "reason")), steered, r);
}

void sh_handle_schedule_resume(struct sh_request *r) {
    sh_engine_schedule_pause(r->api->app->engine, sh_str(r->id), false, NULL, steered, r);
}

void sh_handle_schedule_run(struct sh_request *r) {
    sh_engine_schedule_run(r->api->app->engine, sh_str(r->id), steered, r);
}

static void removed(void *arg, json_t *record, const struct sh_err *err) {
    struct sh_request *r = arg;

    (void)record;
    if (err) {
        sh_reply_error(r, err);
    } else {
        sh_reply_json(r, 200,
                      json_pack("{s:b, s:s, s:s, s:s}", "success", 1, "message", "schedule removed",
                                "schedule_id", r->id, "status", "DELETED"));
    }
}

void sh_handle_schedule_remove(struct sh_request *r) {
    sh_engine_schedule_remove(r->api->app->engine, sh_str(r->id), removed, r);
}

static json_t *run_of(const json_t *row) {
    int64_t from = sh_json_get_int(row, "created_at", 0),
            to = sh_json_get_int(row, "completed_at", 0);
    struct sh_str why = sh_json_get_str(json_object_get(row, "error"), "message");
    const json_t *usage = json_object_get(row, "usage");
    sh_auto(sh_json_done) json_t *said =
        json_pack("{s:O*, s:O*}", "model_used", json_object_get(row, "model"), "provider",
                  json_object_get(row, "provider"));
    json_t *run =
        json_pack("{s:O, s:O, s:O, s:s, s:I}", "workflow_id", json_object_get(row, "id"), "task_id",
                  json_object_get(row, "id"), "query", json_object_get(row, "query"), "status",
                  sh_task_status(sh_json_get_str(row, "status")), "duration_ms",
                  (json_int_t)(to > from ? (to - from) / 1000 : 0));

    time_member(run, "triggered_at", row, "created_at");
    time_member(run, "started_at", row, "created_at");
    time_member(run, "due_at", row, "due_at");
    json_object_set_new(run, "total_tokens",
                        json_integer(sh_json_get_int(usage, "total_tokens", 0)));
    json_object_set_new(run, "total_cost_usd",
                        json_real(json_number_value(json_object_get(usage, "cost_usd"))));
    json_object_update_missing(run, said);
    time_member(run, "completed_at", row, "completed_at");
    json_object_set_new(run, "result", sh_json_string(sh_json_get_str(row, "result")));
    if (why.len) {
        json_object_set_new(run, "error_message", sh_json_string(why));
    }
    return run;
}

static void runs_listed(void *arg, json_t *page, const struct sh_err *err) {
    struct sh_request *r = arg;
    size_t i;
    json_t *row;

    if (err) {
        sh_reply_error(r, err);
        return;
    }
    json_t *runs = json_array();
    json_array_foreach(json_object_get(page, "tasks"), i, row) {
        json_array_append_new(runs, run_of(row));
    }
    sh_reply_json(r, 200,
                  json_pack("{s:o, s:I}", "runs", runs, "total_count",
                            (json_int_t)sh_json_get_int(page, "total", 0)));
}

void sh_handle_schedule_runs(struct sh_request *r) {
    struct sh_err err = {0};
    size_t from, n;

    if (page_of(r, &from, &n, &err) < 0) {
        sh_reply_error(r, &err);
        return;
    }
    sh_engine_list_family(r->api->app->engine, "schedule", sh_str(r->id), from, n, runs_listed, r);
}
