#include "http/session_view.h"

#include "http/task_view.h"

#include <stdio.h>

void sh_session_sum_done(struct sh_session_sum *sum) {
    sh_free(sum->latest_query);
    *sum = (struct sh_session_sum){0};
}

static void copy_cut(char *to, size_t size, struct sh_str text) {
    snprintf(to, size, "%.*s", (int)(text.len < size ? text.len : size - 1), text.p ? text.p : "");
}

void sh_session_sum_add(struct sh_session_sum *sum, const json_t *row) {
    json_t *usage = json_object_get(row, "usage");
    json_t *cost = json_object_get(usage, "cost_usd");
    struct sh_str status = sh_json_get_str(row, "status");
    int64_t created = sh_json_get_int(row, "created_at", 0);
    int64_t updated = sh_json_get_int(row, "updated_at", created);
    if (!sum->has_latest) {
        struct sh_str query = sh_json_get_str(row, "query");
        sum->has_latest = true;
        sum->latest_query = sh_strndup0(query.p, query.len);
        copy_cut(sum->latest_status, sizeof(sum->latest_status), sh_str(sh_task_status(status)));
    }
    copy_cut(sum->first_mode, sizeof(sum->first_mode),
             sh_json_get_str(json_object_get(row, "metadata"), "mode"));
    sum->created_us = created;
    sum->updated_us = updated > sum->updated_us ? updated : sum->updated_us;
    sum->tokens += sh_json_get_int(usage, "total_tokens", 0);
    sum->cost_usd += json_is_number(cost) ? json_number_value(cost) : 0.0;
    if (!sh_row_ended(row)) {
        sum->open++;
    } else if (sh_str_eqz(status, "completed")) {
        sum->completed++;
    } else {
        sum->failed++;
    }
}

static json_t *time_json(int64_t us) {
    char text[SH_TIME_TEXT];
    sh_time_format(us, text);
    return json_string(text);
}

json_t *sh_session_json(const json_t *record, const struct sh_session_sum *sum) {
    int64_t used = sh_json_get_int(record, "updated_at", 0);
    int64_t updated = sum->updated_us > used ? sum->updated_us : used;
    int64_t created = sum->created_us > 0 ? sum->created_us : used;
    size_t ended = sum->completed + sum->failed, seen = ended + sum->open;
    json_t *view = json_pack(
        "{s:o, s:s, s:o, s:o, s:o, s:I, s:I, s:f, s:f, s:f, s:f, s:b, s:I, s:I, s:b}", "session_id",
        sh_json_string(sh_json_get_str(record, "session")), "user_id", "local", "created_at",
        time_json(created), "updated_at", time_json(updated), "last_activity_at",
        time_json(updated), "task_count", (json_int_t)sum->task_count, "tokens_used",
        (json_int_t)sum->tokens, "cost_usd", sum->cost_usd, "total_cost_usd", sum->cost_usd,
        "average_cost_per_task", seen ? sum->cost_usd / (double)seen : 0.0, "success_rate",
        ended ? (double)sum->completed / (double)ended : 0.0, "is_active", sum->open > 0,
        "successful_tasks", (json_int_t)sum->completed, "failed_tasks", (json_int_t)sum->failed,
        "is_research_session", 0);
    struct sh_str title = sh_json_get_str(record, "title");
    if (title.len) {
        json_object_set_new(view, "title", sh_json_string(title));
    }
    if (sum->has_latest) {
        json_object_set_new(view, "latest_task_query", sh_json_string(sh_str(sum->latest_query)));
        json_object_set_new(view, "latest_task_status", json_string(sum->latest_status));
    }
    if (sum->first_mode[0]) {
        json_object_set_new(view, "first_task_mode", sh_json_string(sh_str(sum->first_mode)));
    }
    return view;
}

json_t *sh_session_task_json(const json_t *row) {
    static const char *const kept[] = {"task_id",      "workflow_id", "query",      "result",
                                       "status",       "error",       "error_code", "agent",
                                       "completed_at", "model_used",  "provider",   "mode"};
    sh_auto(sh_json_done) json_t *task = sh_task_json(row);
    json_t *item = json_pack("{s:O, s:O, s:O}", "started_at", json_object_get(task, "created_at"),
                             "created_at", json_object_get(task, "created_at"), "total_tokens",
                             json_object_get(json_object_get(task, "usage"), "total_tokens"));
    for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++) {
        json_t *value = json_object_get(task, kept[i]);
        if (value) {
            json_object_set(item, kept[i], value);
        }
    }
    return item;
}
