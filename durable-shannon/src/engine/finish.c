/* Ends: how an agent's end becomes the last event of a journal and the last state of a row. */
#include "engine/private.h"

#define ROW_FRAMES_MAX 32 /* all of them are in the journal's last event */

static const char *status_of(const struct sh_workflow *wf, const char *type, int code) {
    if (strcmp(type, "WorkflowCompleted") == 0) {
        return "completed";
    }
    if (strcmp(type, "WorkflowCancelled") == 0) {
        return "canceled";
    }
    if (code == SH_E_DENIED && wf->journal.seq <= 3) {
        return "rejected";
    }
    return code == SH_E_WALL_CLOCK || code == SH_E_DEADLINE ? "timeout" : "failed";
}

void sh_workflow_sign_head(struct sh_workflow *wf) {
    json_object_set_new(
        wf->row, "signed",
        sh_head_sign(&wf->engine->key, wf->id.s, wf->journal.seq, &wf->journal.head));
}

void sh_workflow_row_put(struct sh_workflow *wf, const char *status) {
    char head[SH_HASH_HEX_BYTES];
    json_t *row = wf->row;

    sh_hash_hex(&wf->journal.head, head);
    json_object_set_new(row, "status", json_string(status));
    json_object_set_new(row, "updated_at", json_integer(wf->journal.time_us));
    json_object_set_new(row, "seq", json_integer((json_int_t)wf->journal.seq));
    json_object_set_new(row, "head", json_string(head));
    json_object_set_new(row, "owner", json_string(wf->engine->owner));
    json_object_set_new(row, "epoch", json_integer((json_int_t)wf->engine->epoch));
    sh_index_place(wf, status);
    sh_journal_put(wf, SH_TABLE_WORKFLOW, wf->id.s, json_deep_copy(row));
}

void sh_workflow_row_update(struct sh_workflow *wf) {
    sh_workflow_row_put(wf,
                        wf->paused || json_object_get(wf->row, "budget") ? "paused" : "running");
}

static json_t *usage_json(const struct sh_workflow *wf, uint64_t fuel) {
    return json_pack("{s:I, s:I, s:I, s:f, s:I}", "input_tokens", (json_int_t)wf->usage_input,
                     "output_tokens", (json_int_t)wf->usage_output, "total_tokens",
                     (json_int_t)wf->usage_total, "cost_usd", wf->usage_cost, "fuel",
                     (json_int_t)fuel);
}

/* A frame as a line: "function at FILE:LINE". */
static json_t *frame_text(const json_t *frame) {
    struct sh_str function = sh_json_get_str(frame, "function");
    struct sh_str file = sh_json_get_str(frame, "file");
    struct sh_buf line;
    json_t *text;

    sh_buf_init_sure(&line, 1024);
    sh_buf_adds(&line, function.len ? "" : "(unnamed)");
    sh_buf_add(&line, function.p ? function.p : "", function.len);
    if (file.len) {
        sh_buf_addf(&line, " at %.*s:%lld", (int)file.len, file.p,
                    (long long)sh_json_get_int(frame, "line", 0));
    }
    text = sh_json_string(sh_buf_str(&line));
    sh_buf_done(&line);
    return text;
}

/* What a row says of a failure: code, message and the innermost frames. */
static json_t *error_json(const json_t *body) {
    json_t *error = json_pack("{s:O, s:O}", "code", json_object_get(body, "code"), "message",
                              json_object_get(body, "message"));
    json_t *frame, *lines = json_array();
    size_t i;

    json_array_foreach(json_object_get(body, "backtrace"), i, frame) {
        if (i < ROW_FRAMES_MAX) {
            json_array_append_new(lines, frame_text(frame));
        }
    }
    if (json_array_size(lines)) {
        json_object_set(error, "backtrace", lines);
    }
    json_decref(lines);
    return error;
}

/* The answer as text: the output's "answer" or the output itself, else what stdout said. Nothing of
 * an output that is kept beside the journal: it is no value. */
static json_t *result_text(const struct sh_workflow *wf) {
    size_t len = wf->answer.len;
    json_t *answer = json_object_get(wf->output, "answer");

    if (json_is_string(answer)) {
        return json_incref(answer);
    }
    if (json_is_string(wf->output)) {
        return json_incref(wf->output);
    }
    if (wf->output) {
        sh_auto(sh_free_p) char *text = sh_json_text(wf->output);
        return json_string(text);
    }
    if (wf->output_kept.bytes > 0) {
        return json_string("");
    }
    while (len > 0 && (wf->answer.p[len - 1] == '\n' || wf->answer.p[len - 1] == '\r')) {
        len--;
    }
    return sh_json_string(sh_strn(wf->answer.p, len));
}

static void end_with(struct sh_workflow *wf, const char *type, json_t *body, int code) {
    uint64_t fuel = wf->agent ? sh_agent_counters(wf->agent).fuel_used : 0;
    const char *status = status_of(wf, type, code);

    json_object_set_new(body, "fuel", json_integer((json_int_t)fuel));
    json_object_set_new(body, "usage", usage_json(wf, fuel));
    json_object_set_new(body, "spent_us", json_integer((json_int_t)sh_wall_spent_us(wf)));
    if (wf->verify) {
        wf->end_type = type;
        wf->end_body = body;
        wf->phase = SH_PHASE_ENDING;
        wf->on_end(wf, wf->on_end_arg);
        return;
    }
    sh_timer_stop(&wf->sleep_timer);
    sh_timer_stop(&wf->grace_timer);
    sh_timer_stop(&wf->deadline_timer);
    sh_timer_stop(&wf->budget_timer);
    sh_timer_stop(&wf->heartbeat_timer);
    sh_wall_stop(wf);
    struct sh_spent spent = sh_budget_spent(wf);
    json_object_set_new(wf->row, "spent", sh_spent_json(&spent));
    sh_account_settle(wf);
    json_object_del(wf->row, "budget");
    sh_activities_stop(wf);
    sh_approvals_stop(wf);
    sh_net_stop(wf);
    if (!sh_compensate_begin(wf, type, status, body)) {
        sh_workflow_end(wf, type, status, body);
    }
}

void sh_workflow_end(struct sh_workflow *wf, const char *type, const char *status, json_t *body) {
    wf->phase = SH_PHASE_ENDING;
    json_object_del(wf->row, "approvals");
    json_object_del(wf->row, "approval_pending");
    json_object_set(wf->row, "result", json_object_get(body, "result"));
    json_object_set(wf->row, "output", json_object_get(body, "output"));
    json_object_set(wf->row, SH_OUTPUT_KEPT, json_object_get(body, SH_OUTPUT_KEPT));
    json_object_set(wf->row, "exit_status", json_object_get(body, "exit_status"));
    json_object_set(wf->row, "usage", json_object_get(body, "usage"));
    if (json_object_get(body, "code")) {
        json_object_set_new(wf->row, "error", error_json(body));
    }
    sh_account_end(wf);
    if (wf->over_budget) {
        sh_budget_rests_record(wf, false);
    }
    sh_family_ends(wf);
    sh_schedule_task_ends(wf, strcmp(type, "WorkflowCompleted") == 0);
    sh_journal_add(wf, type, body);
    json_object_set_new(wf->row, "completed_at", json_integer(wf->journal.time_us));
    sh_workflow_sign_head(wf);
    sh_workflow_row_put(wf, status);
    sh_journal_commit(wf, NULL, NULL);
}

static json_t *failure_body(int code, const char *message, int exit_status) {
    return json_pack("{s:s, s:o, s:i}", "code", sh_code_info(code)->name, "message",
                     sh_json_string(sh_str(message)), "exit_status", exit_status);
}

void sh_workflow_fail(struct sh_workflow *wf, int code, const char *message) {
    sh_auto(sh_free_p) char *both = NULL;

    if (wf->phase >= SH_PHASE_COMPENSATING || wf->leaving) {
        return;
    }
    if (code == SH_E_CANCELED) {
        end_with(wf, "WorkflowCancelled",
                 json_pack("{s:o}", "reason", sh_json_string(sh_str(message))), code);
        return;
    }
    if (code == SH_E_NONDETERMINISM && wf->other_runtime) {
        message = both = sh_asprintf("%s; %s", message, wf->other_runtime);
    }
    end_with(wf, "WorkflowFailed", failure_body(code, message, sh_code_info(code)->exit_status),
             code);
}

/* The journal knows of things that this run ended without doing. */
static bool left_over(struct sh_workflow *wf) {
    struct sh_buf what;
    char message[200];
    uint64_t seq;

    if (!wf->history.bodies) {
        return false;
    }
    sh_buf_init_sure(&what, sizeof(message));
    seq = sh_history_first_unmatched(&wf->history, &what);
    snprintf(message, sizeof(message), "event %llu: the journal has %.120s, the agent ended",
             (unsigned long long)seq, what.p ? what.p : "");
    sh_buf_done(&what);
    if (seq != 0) {
        sh_workflow_fail(wf, SH_E_NONDETERMINISM, message);
    }
    return seq != 0;
}

bool sh_end_is_the_hosts(int code) {
    return code == SH_E_NOMEM || code == SH_E_NOSPC || code == SH_E_IO || code == SH_E_UNAVAILABLE;
}

/* Its journal has a cancel: perhaps one that is not durable yet, so that nobody has seen it; but a
 * replay will, and it comes before the end. */
static bool is_canceled(const struct sh_workflow *wf) {
    return wf->cancel_requested || (!wf->verify && json_object_get(wf->row, "cancel"));
}

void sh_workflow_finish(struct sh_workflow *wf, const struct sh_agent_end *end) {
    bool canceled = is_canceled(wf);
    json_t *body;

    if (sh_end_is_the_hosts(end->code)) {
        sh_workflow_park(wf, end->code, end->message);
        return;
    }
    if (left_over(wf) || sh_budget_rests(wf, end)) {
        return;
    }
    if (end->code == SH_OK || canceled) {
        body = json_pack("{s:i, s:o}", "exit_status", end->exit_status, "result", result_text(wf));
        if (wf->output) {
            json_object_set(body, "output", wf->output);
        } else if (wf->output_kept.bytes > 0) {
            json_object_set_new(body, SH_OUTPUT_KEPT, sh_payload_json(&wf->output_kept));
        }
        end_with(wf, canceled ? "WorkflowCancelled" : "WorkflowCompleted", body, end->code);
        return;
    }
    body = failure_body(end->code, end->message,
                        end->code == SH_E_EXIT ? end->exit_status
                                               : sh_code_info(end->code)->exit_status);
    json_object_set_new(body, "result", result_text(wf));
    if (end->trap) {
        json_object_set_new(body, "trap", json_string(end->trap));
    }
    if (end->backtrace.len > 0) {
        json_t *frames = NULL;
        if (sh_json_parse(end->backtrace, SH_JSON_TEXT_MAX, &frames, NULL) == 0) {
            json_object_set_new(body, "backtrace", frames);
        }
    }
    json_object_set_new(body, "peak_memory_bytes",
                        json_integer((json_int_t)end->peak_memory_bytes));
    end_with(wf, "WorkflowFailed", body, end->code);
}
