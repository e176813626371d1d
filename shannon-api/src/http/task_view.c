#include "http/task_view.h"

#include <strings.h>

static const struct {
    const char *row, *task;
    bool ended;
} statuses[] = {
    {"queued", "TASK_STATUS_QUEUED", false},   {"running", "TASK_STATUS_RUNNING", false},
    {"paused", "TASK_STATUS_PAUSED", false},   {"completed", "TASK_STATUS_COMPLETED", true},
    {"failed", "TASK_STATUS_FAILED", true},    {"canceled", "TASK_STATUS_CANCELLED", true},
    {"timeout", "TASK_STATUS_TIMEOUT", true},  {"rejected", "TASK_STATUS_FAILED", true},
    {"imported", "TASK_STATUS_PAUSED", false},
};
#define N_STATUSES (sizeof(statuses) / sizeof(statuses[0]))

const char *sh_task_status(struct sh_str row_status) {
    for (size_t i = 0; i < N_STATUSES; i++) {
        if (sh_str_eqz(row_status, statuses[i].row)) {
            return statuses[i].task;
        }
    }
    return "TASK_STATUS_FAILED";
}

const char *sh_row_status(const char *task_status) {
    for (size_t i = 0; i < N_STATUSES; i++) {
        if (strcasecmp(task_status, statuses[i].task) == 0 ||
            strcasecmp(task_status, statuses[i].task + sizeof("TASK_STATUS_") - 1) == 0 ||
            strcasecmp(task_status, statuses[i].row) == 0) {
            return statuses[i].row;
        }
    }
    return NULL;
}

bool sh_row_ended(const json_t *row) {
    struct sh_str status = sh_json_get_str(row, "status");
    for (size_t i = 0; i < N_STATUSES; i++) {
        if (sh_str_eqz(status, statuses[i].row)) {
            return statuses[i].ended;
        }
    }
    return false;
}

static void copy_text(json_t *to, const char *to_name, const json_t *row, const char *name) {
    struct sh_str text = sh_json_get_str(row, name);
    if (text.len) {
        json_object_set_new(to, to_name, sh_json_string(text));
    }
}

static void copy_time(json_t *to, const char *name, const json_t *row, const char *row_name) {
    int64_t us = sh_json_get_int(row, row_name, 0);
    if (us > 0) {
        char text[SH_TIME_TEXT];
        sh_time_format(us, text);
        json_object_set_new(to, name, json_string(text));
    }
}

/* What a client said of the task travels in its metadata; a row may say it itself. */
static json_t *said(const json_t *row, const char *name) {
    json_t *own = json_object_get(row, name);
    return own && !json_is_null(own) ? own
                                     : json_object_get(json_object_get(row, "metadata"), name);
}

static void copy_said(json_t *to, const json_t *row, const char *name, json_type type) {
    json_t *value = said(row, name);
    if (value && json_typeof(value) == type) {
        json_object_set(to, name, value);
    }
}

/* created_at is mandatory for the clients, even of a row that lost it. */
static void copy_created(json_t *to, const json_t *row) {
    char text[SH_TIME_TEXT];
    sh_time_format(sh_json_get_int(row, "created_at", 0), text);
    json_object_set_new(to, "created_at", json_string(text));
}

static json_t *status_json(const json_t *row) {
    return json_string(sh_task_status(sh_json_get_str(row, "status")));
}

static json_t *text_json(const json_t *row, const char *name) {
    return sh_json_string(sh_json_get_str(row, name));
}

/* The answer as text: what the agent printed, else its result as JSON. Empty where that is kept
 * apart: GET .../result has it. */
static json_t *result_json(const json_t *row) {
    struct sh_str text = sh_json_get_str(row, "result");
    json_t *output = json_object_get(row, "output");
    if (text.len || !output || json_is_null(output)) {
        return sh_json_string(text);
    }
    sh_auto(sh_buf_done) struct sh_buf dump = {0};
    sh_buf_init(&dump, SH_EVENT_BODY_MAX);
    sh_json_dump(output, &dump);
    return sh_json_string(sh_buf_str(&dump));
}

static json_t *usage_json(const json_t *row) {
    json_t *usage = json_object_get(row, "usage");
    json_t *cost = json_object_get(usage, "cost_usd");
    json_t *view =
        json_pack("{s:I, s:I, s:I, s:o}", "total_tokens",
                  (json_int_t)sh_json_get_int(usage, "total_tokens", 0), "input_tokens",
                  (json_int_t)sh_json_get_int(usage, "input_tokens", 0), "output_tokens",
                  (json_int_t)sh_json_get_int(usage, "output_tokens", 0), "estimated_cost",
                  json_real(json_is_number(cost) ? json_number_value(cost) : 0.0));
    json_t *fuel = json_object_get(usage, "fuel");
    if (fuel) {
        json_object_set(view, "fuel", fuel);
    }
    return view;
}

static void copy_error(json_t *to, const json_t *row) {
    json_t *error = json_object_get(row, "error");
    copy_text(to, "error", error, "message");
    copy_text(to, "error_code", error, "code");
    if (json_object_get(error, "backtrace")) {
        json_object_set(to, "backtrace", json_object_get(error, "backtrace"));
    }
}

json_t *sh_task_json(const json_t *row) {
    static const char *const copied[] = {"metadata", "exit_status", "output",        "output_kept",
                                         "seq",      "head",        "compensations", "depth",
                                         "detached", "children",    "budget",        "spent"};
    json_t *task = json_pack("{s:o, s:o, s:o, s:o, s:o}", "task_id", text_json(row, "id"),
                             "workflow_id", text_json(row, "id"), "status", status_json(row),
                             "query", text_json(row, "query"), "usage", usage_json(row));
    copy_created(task, row);
    copy_time(task, "updated_at", row, "updated_at");
    copy_time(task, "completed_at", row, "completed_at");
    copy_time(task, "deadline_at", row, "deadline_at");
    copy_text(task, "parent_id", row, "parent");
    copy_text(task, "root_id", row, "root");
    if (sh_row_ended(row)) {
        json_object_set_new(task, "result", result_json(row));
    }
    copy_error(task, row);
    copy_text(task, "session_id", row, "session");
    copy_text(task, "agent", row, "agent");
    copy_text(task, "module", row, "module");
    copy_text(task, "model_used", row, "model");
    copy_text(task, "provider", row, "provider");
    copy_said(task, row, "mode", JSON_STRING);
    copy_said(task, row, "context", JSON_OBJECT);
    for (size_t i = 0; i < sizeof(copied) / sizeof(copied[0]); i++) {
        json_t *value = json_object_get(row, copied[i]);
        if (value && !json_is_null(value)) {
            json_object_set(task, copied[i], value);
        }
    }
    json_object_set_new(task, "progress", json_real(sh_row_ended(row) ? 1.0 : 0.0));
    return task;
}

json_t *sh_task_item_json(const json_t *row) {
    json_t *usage = json_object_get(row, "usage");
    json_t *cost = json_object_get(usage, "cost_usd");
    json_t *item = json_pack("{s:o, s:o, s:o, s:o}", "task_id", text_json(row, "id"), "workflow_id",
                             text_json(row, "id"), "query", text_json(row, "query"), "status",
                             status_json(row));
    copy_created(item, row);
    copy_time(item, "completed_at", row, "completed_at");
    copy_text(item, "parent_id", row, "parent");
    copy_text(item, "agent", row, "agent");
    copy_text(item, "session_id", row, "session");
    copy_said(item, row, "mode", JSON_STRING);
    json_object_set_new(
        item, "total_token_usage",
        json_pack("{s:I, s:o, s:I, s:I}", "total_tokens",
                  (json_int_t)sh_json_get_int(usage, "total_tokens", 0), "cost_usd",
                  json_real(json_is_number(cost) ? json_number_value(cost) : 0.0), "prompt_tokens",
                  (json_int_t)sh_json_get_int(usage, "input_tokens", 0), "completion_tokens",
                  (json_int_t)sh_json_get_int(usage, "output_tokens", 0)));
    return item;
}

json_t *sh_task_submitted_json(const json_t *row) {
    bool rejected = sh_str_eqz(sh_json_get_str(row, "status"), "rejected");
    json_t *view = json_pack("{s:o, s:o, s:o, s:s}", "task_id", text_json(row, "id"), "workflow_id",
                             text_json(row, "id"), "status", status_json(row), "message",
                             rejected ? "rejected by the policy" : "task accepted");
    copy_created(view, row);
    copy_text(view, "session_id", row, "session");
    return view;
}

json_t *sh_task_control_json(const json_t *row) {
    json_t *pause = json_object_get(row, "pause"), *cancel = json_object_get(row, "cancel");
    bool is_paused = sh_str_eqz(sh_json_get_str(row, "status"), "paused");
    json_t *view = json_pack("{s:o, s:b, s:b}", "task_id", text_json(row, "id"), "is_paused",
                             is_paused, "is_cancelled", json_is_object(cancel));
    if (is_paused) {
        copy_time(view, "paused_at", pause, "at");
        copy_text(view, "pause_reason", pause, "reason");
        copy_text(view, "paused_by", pause, "by");
    }
    copy_text(view, "cancel_reason", cancel, "reason");
    copy_text(view, "cancelled_by", cancel, "by");
    return view;
}

json_t *sh_task_output_json(const json_t *row) {
    json_t *view = json_pack("{s:o, s:o, s:o}", "task_id", text_json(row, "id"), "status",
                             status_json(row), "output", result_json(row));
    json_t *result = json_object_get(row, "output");
    if (result && !json_is_null(result)) {
        json_object_set(view, "result", result);
    }
    if (json_object_get(row, "output_kept")) {
        json_object_set(view, "output_kept", json_object_get(row, "output_kept"));
    }
    copy_error(view, row);
    return view;
}
