/* Elicitation: the person behind the client is shown a question of a task, and what they answer is
 * the decision. The model that called the tool has no part in it. "Always" is not offered: a grant
 * that outlives the run is given where the operator sees all of them. */
#include "mcp/mcp_private.h"

#include <stdio.h>

#define ARGS_SHOWN 2000 /* bytes of a call's arguments: what a person can judge */

struct question {
    struct sh_list link; /* session->questions */
    struct sh_mcp_call *call;
    char id[32], *approval;
};

static void question_free(struct question *q) {
    sh_list_unlink(&q->link);
    q->call->questions--;
    sh_free(q->approval);
    sh_free(q);
}

static json_t *form(void) {
    return json_pack("{s:s, s:{s:{s:s, s:s, s:s, s:[s,s,s]}}, s:[s]}", "type", "object",
                     "properties", "decision", "type", "string", "title", "Decision", "description",
                     "once: this call only; run: until this task ends; deny: refuse it", "enum",
                     "once", "run", "deny", "required", "decision");
}

static json_t *wording(const struct sh_mcp_call *call, const json_t *approval) {
    struct sh_str tool = sh_json_get_str(approval, "tool");
    struct sh_str agent = sh_json_get_str(approval, "agent");
    sh_auto(sh_buf_done) struct sh_buf args = {0};
    sh_buf_init(&args, SH_EVENT_BODY_MAX);
    json_t *shown = json_object_get(approval, "args");
    sh_json_dump(shown ? shown : json_object_get(approval, "asks"), &args);
    bool cut = args.len > ARGS_SHOWN;
    return json_sprintf(
        "The sandboxed task %s (agent %.*s) asks for %.*s, which your policy leaves "
        "to you.\n%.*s%s\nAllow it?",
        call->task, (int)(agent.len < 100 ? agent.len : 100), agent.p ? agent.p : "",
        tool.len ? (int)(tool.len < 100 ? tool.len : 100) : 12, tool.len ? tool.p : "capabilities",
        (int)(cut ? ARGS_SHOWN : args.len), args.p ? args.p : "", cut ? " ..." : "");
}

void sh_mcp_question(struct sh_mcp_call *call, const json_t *approval) {
    struct sh_mcp_session *s = call->session;
    struct sh_str id = sh_json_get_str(approval, "approval_id");
    json_t *text = wording(call, approval);
    if (!text) { /* a cut through a character */
        text = json_sprintf("The sandboxed task %s asks for something that your policy leaves to "
                            "you; `shannon approvals` shows it whole. Allow it?",
                            call->task);
    }
    struct question *q = sh_new(struct question);
    q->call = call;
    q->approval = sh_strndup0(id.p, id.len);
    snprintf(q->id, sizeof(q->id), "q%llu", (unsigned long long)++s->asked);
    sh_list_push(&s->questions, &q->link);
    call->questions++;
    json_t *message =
        sh_rpc_request(q->id, "elicitation/create",
                       json_pack("{s:o, s:o}", "message", text, "requestedSchema", form()));
    s->send(s->arg, call->channel, message, false);
    json_decref(message);
}

/* Whether it was taken shows in the journal, which is followed. */
static void decided(struct sh_mcp_call *call, json_t *body, const struct sh_err *err) {
    (void)body;
    if (err && err->code != SH_E_STATE) { /* somebody else was faster */
        sh_mcp_call_fail(call, err);
    }
}

static void decide(struct sh_mcp_call *call, const char *approval, const char *scope) {
    bool deny = !scope;
    sh_auto(sh_json_done) json_t *body = json_pack(
        "{s:s, s:s, s:b, s:s, s:s}", "workflow_id", call->task, "approval_id", approval, "approved",
        (int)!deny, "scope", deny ? "once" : scope, "feedback", "answered in an MCP client");
    sh_mcp_call_ask(
        call,
        &(struct sh_mcp_ask){.method = "POST", .path = "/api/v1/approvals/decision", .body = body},
        decided);
}

void sh_mcp_question_answered(struct sh_mcp_session *s, const struct sh_rpc_message *m) {
    sh_list_each (node, &s->questions) {
        struct question *q = sh_container_of(node, struct question, link);
        if (!json_is_string(m->id) || strcmp(q->id, json_string_value(m->id)) != 0) {
            continue;
        }
        struct sh_str action = sh_json_get_str(m->result, "action");
        struct sh_str choice = sh_json_get_str(json_object_get(m->result, "content"), "decision");
        bool accept = sh_str_eqz(action, "accept");
        if (accept && (sh_str_eqz(choice, "once") || sh_str_eqz(choice, "run"))) {
            decide(q->call, q->approval, sh_str_eqz(choice, "run") ? "run" : "once");
        } else if (sh_str_eqz(action, "decline") || (accept && sh_str_eqz(choice, "deny"))) {
            decide(q->call, q->approval, NULL);
        } else { /* it stays open, for `shannon approve`: the person closed the form */
            q->call->dismissed = true;
        }
        uint64_t least = sh_boot_ns() + SH_MCP_WAIT_DEFAULT_S * 1000000000ULL;
        q->call->until_ns = q->call->until_ns > least ? q->call->until_ns : least;
        question_free(q);
        return;
    }
}

void sh_mcp_questions_drop(struct sh_mcp_call *call) {
    sh_list_each (node, &call->session->questions) {
        struct question *q = sh_container_of(node, struct question, link);
        if (q->call == call) {
            question_free(q);
        }
    }
}
