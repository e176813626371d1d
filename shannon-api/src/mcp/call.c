/* One tool call from its request to its answer, and the ways it may end early.
 *
 *   started --(steps: the backend answers)--> answered --(owed == 0)--> freed
 *      \--canceled--------------------------------^
 *
 * Answered: exactly one `last` went out. What the backend still owes then comes to nobody; only a
 * submission that was canceled under way is looked at, so that its task is canceled, too. */
#include "mcp/mcp_private.h"

#include <stdarg.h>
#include <stdio.h>

static void call_free(struct sh_mcp_call *call) {
    struct sh_mcp_session *s = call->session;
    sh_list_unlink(&call->link);
    sh_mcp_questions_drop(call);
    json_decref(call->id);
    json_decref(call->args);
    json_decref(call->progress);
    json_decref(call->approvals);
    sh_buf_done(&call->out[0]);
    sh_buf_done(&call->out[1]);
    sh_free(call->task);
    sh_free(call);
    if (s->closed && sh_list_empty(&s->calls)) {
        sh_free(s);
    }
}

struct asked {
    struct sh_mcp_call *call;
    sh_mcp_step_fn step;
};

static void cancel_task(struct sh_mcp_call *call);

static void step_done(void *arg, json_t *body, const struct sh_err *err) {
    struct asked *asked = arg;
    struct sh_mcp_call *call = asked->call;
    sh_mcp_step_fn step = asked->step;
    sh_free(asked);
    if (!call->answered) {
        step(call, body, err);
    } else if (call->canceled && !call->task) {
        const char *task = json_string_value(json_object_get(body, "task_id"));
        call->task = task ? sh_strdup(task) : NULL;
        cancel_task(call);
    }
    call->owed--;
    if (call->answered && call->owed == 0) {
        call_free(call);
    }
}

void sh_mcp_call_ask(struct sh_mcp_call *call, const struct sh_mcp_ask *ask, sh_mcp_step_fn step) {
    struct asked *asked = sh_new(struct asked);
    asked->call = call;
    asked->step = step;
    call->owed++;
    call->session->backend->call(call->session->backend, ask, step_done, asked);
}

/* Frees the call, unless the backend owes it something: nothing of it may be touched afterwards by
 * whoever does not run inside a step. */
static void end(struct sh_mcp_call *call, json_t *owned) {
    SH_ASSERT(!call->answered);
    call->answered = true;
    call->session->n_calls--;
    if (!call->gone) {
        call->session->send(call->session->arg, call->channel, owned, true);
    }
    json_decref(owned);
    sh_mcp_questions_drop(call);
    if (call->owed == 0) {
        call_free(call);
    }
}

void sh_mcp_call_drop(struct sh_mcp_call *call) {
    end(call, NULL);
}

void sh_mcp_call_answer(struct sh_mcp_call *call, struct sh_str text, json_t *structured,
                        bool is_error) {
    json_t *content = json_pack("[{s:s, s:o}]", "type", "text", "text", sh_json_string(text));
    end(call, sh_rpc_result(call->id,
                            json_pack("{s:o, s:o, s:b}", "content", content, "structuredContent",
                                      structured, "isError", (int)is_error)));
}

void sh_mcp_call_fail(struct sh_mcp_call *call, const struct sh_err *err) {
    const char *code = sh_code_info(err->code)->name;
    sh_auto(sh_free_p) char *text = sh_asprintf("%s: %s", code, err->message);
    json_t *error =
        json_pack("{s:s, s:o}", "code", code, "message", sh_json_string(sh_str(err->message)));
    json_t *structured = json_pack("{s:s, s:o}", "status", "failed", "error", error);
    if (call->task) {
        json_object_set_new(structured, "task_id", json_string(call->task));
    }
    sh_mcp_call_answer(call, sh_str(text), structured, true);
}

void sh_mcp_call_tell(struct sh_mcp_call *call, const char *format, ...) {
    char text[400];
    va_list args;
    if (!call->progress || call->gone || call->answered || call->told >= SH_MCP_PROGRESS_MAX) {
        return;
    }
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    json_t *note = sh_rpc_notification("notifications/progress",
                                       json_pack("{s:O, s:I, s:o}", "progressToken", call->progress,
                                                 "progress", (json_int_t)++call->told, "message",
                                                 sh_json_string(sh_str(text))));
    call->session->send(call->session->arg, call->channel, note, false);
    json_decref(note);
}

static struct sh_mcp_call *find(const struct sh_mcp_session *s, const json_t *id) {
    sh_list_each (node, &s->calls) {
        struct sh_mcp_call *call = sh_container_of(node, struct sh_mcp_call, link);
        if (!call->answered && json_equal(call->id, id)) {
            return call;
        }
    }
    return NULL;
}

static json_t *read_progress(const json_t *params) {
    json_t *token = json_object_get(json_object_get(params, "_meta"), "progressToken");
    bool ok = json_is_integer(token) ||
              (json_is_string(token) && json_string_length(token) <= SH_RPC_ID_BYTES_MAX);
    return ok ? json_incref(token) : NULL;
}

/* NULL and what to answer, when this cannot become a call. */
static const struct sh_mcp_tool *check(const struct sh_mcp_session *s,
                                       const struct sh_rpc_message *m, struct sh_err *err) {
    const char *name = json_string_value(json_object_get(m->params, "name"));
    const json_t *args = json_object_get(m->params, "arguments");
    const struct sh_mcp_tool *tool = name ? sh_mcp_tool_find(name) : NULL;
    if (!tool) {
        sh_fail(err, SH_E_UNKNOWN_TOOL, "there is no tool \"%.60s\"; tools/list names them",
                name ? name : "");
    } else if (args && !json_is_object(args)) {
        sh_fail(err, SH_E_INVAL, "arguments must be an object");
    } else if (find(s, m->id)) {
        sh_fail(err, SH_E_INVAL, "a request with this id is still under way");
    } else if (s->n_calls >= SH_MCP_CALLS_MAX) {
        sh_fail(err, SH_E_RATE, "%d calls are under way; wait for one of them", SH_MCP_CALLS_MAX);
    }
    return err->code ? NULL : tool;
}

void sh_mcp_call_start(struct sh_mcp_session *s, const struct sh_rpc_message *m, void *channel) {
    struct sh_err err = {0};
    const struct sh_mcp_tool *tool = check(s, m, &err);
    if (!tool) {
        json_t *error = sh_rpc_error(m->id, SH_RPC_PARAMS, err.message);
        s->send(s->arg, channel, error, true);
        json_decref(error);
        return;
    }
    struct sh_mcp_call *call = sh_new(struct sh_mcp_call);
    json_t *args = json_object_get(m->params, "arguments");
    call->session = s;
    call->channel = channel;
    call->tool = tool;
    call->id = json_incref((json_t *)(uintptr_t)m->id);
    call->args = args ? json_incref(args) : json_object();
    call->progress = read_progress(m->params);
    call->approvals = json_array();
    sh_buf_init(&call->out[0], SH_MCP_STREAM_TEXT_MAX);
    sh_buf_init(&call->out[1], SH_MCP_STREAM_TEXT_MAX);
    sh_list_push(&s->calls, &call->link);
    s->n_calls++;
    if (tool->start(call, &err) < 0) {
        sh_mcp_call_fail(call, &err);
    }
}

static void canceled(struct sh_mcp_call *call, json_t *body, const struct sh_err *err) {
    (void)call;
    (void)body;
    (void)err;
}

static void cancel_task(struct sh_mcp_call *call) {
    if (!call->task || !call->tool->owns) {
        return;
    }
    sh_auto(sh_free_p) char *path = sh_asprintf("/api/v1/tasks/%s/cancel", call->task);
    sh_auto(sh_json_done) json_t *body = json_pack("{s:s}", "reason", "canceled by the MCP client");
    sh_mcp_call_ask(call, &(struct sh_mcp_ask){.method = "POST", .path = path, .body = body},
                    canceled);
}

void sh_mcp_call_cancel(struct sh_mcp_session *s, const json_t *id) {
    struct sh_mcp_call *call = id ? find(s, id) : NULL;
    if (call) {
        call->canceled = true;
        cancel_task(call);
        end(call, NULL); /* a canceled request gets no answer */
    }
}
