/* A task as the answer to a tool call: as text for the model, and as an object for programs. The
 * text says everything that matters, because many clients show a model nothing else. */
#include "mcp/mcp_private.h"

#include <ctype.h>

#define RESULT_TEXT_MAX (256 * SH_KIB)

/* "TASK_STATUS_COMPLETED" -> "completed" */
static void status_text(const json_t *task, char out[32]) {
    struct sh_str s = sh_json_get_str(task, "status");
    struct sh_str prefix = SH_STR("TASK_STATUS_");
    size_t n = 0, i = sh_str_starts(s, prefix) ? prefix.len : 0;
    for (; i < s.len && n < 31; i++) {
        out[n++] = (char)tolower((unsigned char)s.p[i]);
    }
    out[n] = 0;
}

static bool is_bad(const char *status) {
    return strcmp(status, "failed") == 0 || strcmp(status, "timeout") == 0 ||
           strcmp(status, "cancelled") == 0;
}

static const char *hint(const struct sh_mcp_call *call, const char *status) {
    if (json_array_size(call->approvals)) {
        return "It waits for a person, who answers with `shannon approve TASK APPROVAL` or "
               "`shannon "
               "deny TASK APPROVAL`. Tell them; then ask task_status.";
    }
    if (strcmp(status, "running") == 0 || strcmp(status, "queued") == 0) {
        return "It goes on; ask task_status with this task_id, with wait_s.";
    }
    if (strcmp(status, "paused") == 0) {
        return "It rests until a person resumes it.";
    }
    return NULL;
}

static void set_text(json_t *to, const char *name, const struct sh_buf *text) {
    json_object_set_new(to, name, sh_json_string(sh_buf_str(text)));
}

/* The agent's own result; of those that have none, what they printed. Left out when it is larger
 * than an answer should be. */
static void set_result(json_t *to, const json_t *task, bool printed, bool *cut) {
    json_t *result = json_object_get(task, "output");
    *cut |= json_object_get(task, "output_kept") != NULL;
    if (!result || json_is_null(result)) {
        result = printed ? NULL : json_object_get(task, "result");
    }
    if (!result || (json_is_string(result) && json_string_length(result) == 0)) {
        return;
    }
    sh_auto(sh_buf_done) struct sh_buf dump = {0};
    sh_buf_init(&dump, RESULT_TEXT_MAX);
    sh_json_dump(result, &dump);
    if (dump.failed) {
        *cut = true;
    } else {
        json_object_set(to, "result", result);
    }
}

static json_t *structured(const struct sh_mcp_call *call, const json_t *task, const char *status) {
    bool cut = call->out_bytes[0] > call->out[0].len || call->out_bytes[1] > call->out[1].len;
    json_t *s = json_pack("{s:s, s:s, s:I}", "task_id", call->task, "status", status,
                          "journal_events", (json_int_t)sh_json_get_int(task, "seq", 0));
    if (call->follows) {
        set_text(s, "stdout", &call->out[0]);
        set_text(s, "stderr", &call->out[1]);
    }
    set_result(s, task, call->out_bytes[0] > 0, &cut);
    json_object_set_new(s, "truncated", json_boolean(cut));
    json_t *exit_status = json_object_get(task, "exit_status");
    if (json_is_integer(exit_status)) {
        json_object_set(s, "exit_status", exit_status);
    }
    struct sh_str code = sh_json_get_str(task, "error_code");
    if (code.len) {
        json_object_set_new(s, "error",
                            json_pack("{s:o, s:o}", "code", sh_json_string(code), "message",
                                      sh_json_string(sh_json_get_str(task, "error"))));
    }
    if (json_array_size(call->approvals)) {
        json_object_set(s, "approvals", call->approvals);
    }
    if (hint(call, status)) {
        json_object_set_new(s, "hint", json_string(hint(call, status)));
    }
    return s;
}

static void add_line(struct sh_buf *text) {
    if (text->len && text->p[text->len - 1] != '\n') {
        sh_buf_addc(text, '\n');
    }
}

static void as_text(const json_t *s, struct sh_buf *text) {
    struct sh_str out = sh_json_get_str(s, "stdout"), err = sh_json_get_str(s, "stderr");
    const json_t *result = json_object_get(s, "result");
    const json_t *error = json_object_get(s, "error");
    sh_buf_add(text, out.p, out.len);
    if (result) {
        add_line(text);
        if (json_is_string(result)) {
            sh_buf_add(text, json_string_value(result), json_string_length(result));
        } else {
            sh_json_dump(result, text);
        }
    }
    if (err.len) {
        add_line(text);
        sh_buf_adds(text, "[stderr]\n");
        sh_buf_add(text, err.p, err.len);
    }
    if (error) {
        struct sh_str code = sh_json_get_str(error, "code"),
                      why = sh_json_get_str(error, "message");
        add_line(text);
        sh_buf_addf(text, "[%.*s: %.*s]", (int)code.len, code.p, (int)why.len, why.p ? why.p : "");
    }
    add_line(text);
    if (sh_json_get_bool(s, "truncated", false)) {
        sh_buf_adds(text, "[cut: the whole is in the task's journal]\n");
    }
    if (json_object_get(s, "approvals")) {
        sh_json_dump(json_object_get(s, "approvals"), text);
        sh_buf_addc(text, '\n');
    }
    struct sh_str note = sh_json_get_str(s, "hint");
    struct sh_str task = sh_json_get_str(s, "task_id"), status = sh_json_get_str(s, "status");
    sh_buf_addf(text, "[task %.*s: %.*s%s%.*s]", (int)task.len, task.p, (int)status.len, status.p,
                note.len ? ". " : "", (int)note.len, note.p ? note.p : "");
}

void sh_mcp_answer_task(struct sh_mcp_call *call, const json_t *task) {
    char status[32];
    sh_auto(sh_buf_done) struct sh_buf text = {0};
    status_text(task, status);
    json_t *s = structured(call, task, status);
    sh_buf_init(&text, SH_MIB);
    as_text(s, &text);
    /* A status that was asked for is an answer, whatever it says. */
    sh_mcp_call_answer(call, text.failed ? SH_STR("see structuredContent") : sh_buf_str(&text), s,
                       call->follows && is_bad(status));
}
