/* A task followed through its journal, page by page. The journal is asked again when it has nothing
 * new for POLL_S, so a client that resets its patience at each progress notification hears from us
 * at least that often.
 *
 *   poll --events--> poll ... --final event, pause, time is up--> finish --> answered
 *     \--ApprovalRequested--> approvals --(the person can be asked)--> poll
 *                                       \--(not)--------------------> finish */
#include "mcp/mcp_private.h"

#include <stdio.h>

#define POLL_S 10
#define NS 1000000000ULL

static void ask_journal(struct sh_mcp_call *call);

/* --- the end ---------------------------------------------------------------------------------- */

static void fetched(struct sh_mcp_call *call, json_t *body, const struct sh_err *err) {
    if (err) {
        sh_mcp_call_fail(call, err);
    } else {
        sh_mcp_answer_task(call, body);
    }
}

static void approvals_known(struct sh_mcp_call *call, json_t *body, const struct sh_err *err);

void sh_mcp_finish(struct sh_mcp_call *call) {
    sh_auto(sh_free_p) char *path = sh_asprintf("/api/v1/tasks/%s", call->task);
    sh_mcp_call_ask(call, &(struct sh_mcp_ask){.method = "GET", .path = path}, fetched);
}

/* --- questions -------------------------------------------------------------------------------- */

static void find_approvals(struct sh_mcp_call *call) {
    sh_mcp_call_ask(call, &(struct sh_mcp_ask){.method = "GET", .path = "/api/v1/approvals"},
                    approvals_known);
}

/* The list is new each time; a question is shown once. */
static void approvals_known(struct sh_mcp_call *call, json_t *body, const struct sh_err *err) {
    size_t i, k;
    json_t *item, *old;
    if (err) {
        sh_mcp_call_fail(call, err);
        return;
    }
    json_t *open = json_array();
    json_array_foreach(json_object_get(body, "approvals"), i, item) {
        if (!sh_str_eqz(sh_json_get_str(item, "workflow_id"), call->task)) {
            continue;
        }
        bool known = false;
        json_array_foreach(call->approvals, k, old) {
            known = known || sh_str_eq(sh_json_get_str(old, "approval_id"),
                                       sh_json_get_str(item, "approval_id"));
        }
        json_array_append(open, item);
        if (!known) {
            struct sh_str tool = sh_json_get_str(item, "tool");
            sh_mcp_call_tell(call, "waits for a person's approval: %.*s",
                             (int)(tool.len < 100 ? tool.len : 100), tool.p ? tool.p : "");
        }
        if (!known && call->session->can_ask && !call->gone && !call->tool->reads) {
            sh_mcp_question(call, item);
        }
    }
    json_decref(call->approvals);
    call->approvals = open;
    if (json_array_size(open) && call->questions == 0) {
        sh_mcp_finish(call); /* nobody here can be asked: whoever called is told who can */
    } else {
        ask_journal(call);
    }
}

/* --- events ----------------------------------------------------------------------------------- */

static void on_output(struct sh_mcp_call *call, const json_t *body) {
    size_t k = sh_json_get_int(body, "stream", 1) == 2 ? 1 : 0;
    sh_auto(sh_buf_done) struct sh_buf bytes = {0};
    sh_buf_init(&bytes, SH_EVENT_BODY_MAX);
    if (sh_base64_decode(&bytes, sh_json_get_str(body, "data")) < 0) {
        return;
    }
    uint64_t offset = (uint64_t)sh_json_get_int(body, "offset", 0);
    if (offset != call->out_bytes[k]) {
        return; /* told before */
    }
    size_t room = call->out[k].max - call->out[k].len - 1;
    call->out_bytes[k] += bytes.len;
    sh_buf_add(&call->out[k], bytes.p, bytes.len < room ? bytes.len : room);
}

static void on_emitted(struct sh_mcp_call *call, const json_t *body) {
    struct sh_str type = sh_json_get_str(body, "type");
    sh_auto(sh_buf_done) struct sh_buf text = {0};
    sh_buf_init(&text, SH_EVENT_BODY_MAX);
    json_t *data = json_object_get(body, "data");
    if (data && !json_is_null(data)) {
        sh_json_dump(data, &text);
    }
    sh_mcp_call_tell(call, "%.*s %.200s", (int)(type.len < 60 ? type.len : 60),
                     type.p ? type.p : "", text.len && !text.failed ? text.p : "");
}

static void forget_approval(struct sh_mcp_call *call, int64_t number) {
    for (size_t i = json_array_size(call->approvals); i-- > 0;) {
        if (sh_json_get_int(json_array_get(call->approvals, i), "approval", 0) == number) {
            json_array_remove(call->approvals, i);
        }
    }
}

/* gives  whether somebody is asked something */
static bool on_event(struct sh_mcp_call *call, const json_t *event) {
    struct sh_str type = sh_json_get_str(event, "type");
    const json_t *body = json_object_get(event, "body");
    call->after = (uint64_t)sh_json_get_int(event, "seq", (int64_t)call->after);
    if (sh_str_eqz(type, "Output")) {
        on_output(call, body);
    } else if (sh_str_eqz(type, "Emitted")) {
        on_emitted(call, body);
    } else if (sh_str_eqz(type, "ActivityScheduled")) {
        struct sh_str op = sh_json_get_str(body, "op");
        sh_mcp_call_tell(call, "calls %.*s", (int)(op.len < 100 ? op.len : 100), op.p ? op.p : "");
    } else if (sh_str_eqz(type, "ApprovalRequested")) {
        return true;
    } else if (sh_str_eqz(type, "ApprovalDecided")) {
        forget_approval(call, sh_json_get_int(body, "approval", 0));
    } else if (sh_str_eqz(type, "WorkflowCompleted") || sh_str_eqz(type, "WorkflowFailed") ||
               sh_str_eqz(type, "WorkflowCancelled") || sh_str_eqz(type, "Paused")) {
        call->ended = true;
        json_array_clear(call->approvals);
    } else if (sh_str_eqz(type, "Resumed")) {
        call->ended = false;
    }
    return false;
}

static void page(struct sh_mcp_call *call, json_t *body, const struct sh_err *err) {
    size_t i;
    json_t *event;
    bool asks = false;
    if (err) {
        sh_mcp_call_fail(call, err);
        return;
    }
    json_array_foreach(json_object_get(body, "events"), i, event) {
        asks = on_event(call, event) || asks;
    }
    bool more = i > 0 && sh_json_get_bool(body, "more", false);
    bool late = call->questions == 0 && (sh_boot_ns() >= call->until_ns ||
                                         (call->dismissed && json_array_size(call->approvals)));
    if (more) {
        ask_journal(call);
    } else if (!call->ended && asks) {
        find_approvals(call);
    } else if (call->ended || late) {
        sh_mcp_finish(call);
    } else {
        if (i == 0) {
            sh_mcp_call_tell(call, "still running");
        }
        ask_journal(call);
    }
}

static void ask_journal(struct sh_mcp_call *call) {
    uint64_t now = sh_boot_ns();
    uint64_t left = call->until_ns > now ? (call->until_ns - now + NS - 1) / NS : 0;
    uint64_t wait = call->ended ? 0 : call->questions ? 1 : left < POLL_S ? left : POLL_S;
    sh_auto(sh_free_p) char *path =
        sh_asprintf("/api/v1/tasks/%s/journal?after=%llu&wait=%llu", call->task,
                    (unsigned long long)call->after, (unsigned long long)wait);
    sh_mcp_call_ask(call, &(struct sh_mcp_ask){.method = "GET", .path = path}, page);
}

/* A status asked for without waiting shows the open questions, too. */
void sh_mcp_follow(struct sh_mcp_call *call) {
    if (!call->follows && !call->ended) {
        find_approvals(call);
    } else if (call->ended) {
        sh_mcp_finish(call);
    } else {
        ask_journal(call);
    }
}
