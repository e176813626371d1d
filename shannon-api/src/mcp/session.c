/* The protocol of one client: who it is, what it may call, what it asked for and no longer wants.
 *
 *   new --initialize--> initialized --(close)--> closed --(last call freed)--> gone
 *
 * Versions: the client names one, we answer with it or, when we do not know it, with our newest. */
#include "mcp/mcp_private.h"
#include "version.h"

static const char *const versions[] = {"2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"};

bool sh_mcp_version_known(const char *version) {
    for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++) {
        if (strcmp(versions[i], version) == 0) {
            return true;
        }
    }
    return false;
}

struct sh_mcp_session *sh_mcp_session_new(struct sh_mcp_backend *backend, sh_mcp_send_fn send,
                                          void *arg) {
    struct sh_mcp_session *s = sh_new(struct sh_mcp_session);
    s->backend = backend;
    s->send = send;
    s->arg = arg;
    sh_list_init(&s->calls);
    sh_list_init(&s->questions);
    return s;
}

static void answer(struct sh_mcp_session *s, void *channel, json_t *owned) {
    s->send(s->arg, channel, owned, true);
    json_decref(owned);
}

/* Form elicitation came with 2025-06-18; since 2025-11-25 a client may have others only. */
static bool shows_forms(const json_t *params) {
    const json_t *elicitation =
        json_object_get(json_object_get(params, "capabilities"), "elicitation");
    return json_is_object(elicitation) &&
           (json_object_size(elicitation) == 0 || json_object_get(elicitation, "form"));
}

static const char instructions[] =
    "Shannon runs code and agents in a WebAssembly sandbox on this machine. Nothing is given to "
    "them that the operator's policy does not allow: no files, no network, no tools by default. "
    "Every run is a durable task with an id: its journal can be verified and replayed, and "
    "task_status finds it later, also after a restart. When a task waits for an approval, only a "
    "person can give it; never try to get around that.";

static void initialize(struct sh_mcp_session *s, const struct sh_rpc_message *m, void *channel) {
    const char *asked = json_string_value(json_object_get(m->params, "protocolVersion"));
    if (!asked || !json_is_object(json_object_get(m->params, "capabilities"))) {
        answer(s, channel,
               sh_rpc_error(m->id, SH_RPC_PARAMS,
                            "initialize needs protocolVersion (a string) and capabilities (an "
                            "object)"));
        return;
    }
    if (s->initialized) {
        answer(s, channel, sh_rpc_error(m->id, SH_RPC_INVALID, "initialize came twice"));
        return;
    }
    s->initialized = true;
    s->can_ask = shows_forms(m->params);
    json_t *info = json_pack("{s:s, s:s, s:s}", "name", "shannon", "title",
                             "Shannon: durable, sandboxed runs", "version", SH_VERSION);
    answer(s, channel,
           sh_rpc_result(m->id, json_pack("{s:s, s:{s:{}}, s:o, s:s}", "protocolVersion",
                                          sh_mcp_version_known(asked) ? asked : versions[0],
                                          "capabilities", "tools", "serverInfo", info,
                                          "instructions", instructions)));
}

static void request(struct sh_mcp_session *s, const struct sh_rpc_message *m, void *channel) {
    if (strcmp(m->method, "ping") == 0) {
        answer(s, channel, sh_rpc_result(m->id, json_object()));
    } else if (strcmp(m->method, "initialize") == 0) {
        initialize(s, m, channel);
    } else if (!s->initialized) {
        answer(s, channel, sh_rpc_error(m->id, SH_RPC_INVALID, "initialize must come first"));
    } else if (strcmp(m->method, "tools/list") == 0) {
        answer(s, channel, sh_rpc_result(m->id, json_pack("{s:o}", "tools", sh_mcp_tools_json())));
    } else if (strcmp(m->method, "tools/call") == 0) {
        sh_mcp_call_start(s, m, channel);
    } else {
        struct sh_err err = {0};
        sh_fail(&err, SH_E_NOT_FOUND,
                "there is no method %.60s; this server has ping, tools/list and tools/call",
                m->method);
        answer(s, channel, sh_rpc_error(m->id, SH_RPC_NO_METHOD, err.message));
    }
}

void sh_mcp_receive(struct sh_mcp_session *s, const struct sh_rpc_message *m, void *channel) {
    switch (m->kind) {
    case SH_RPC_BROKEN:
        answer(s, channel, sh_rpc_error(m->id, m->code, m->err.message));
        break;
    case SH_RPC_REQUEST:
        request(s, m, channel);
        break;
    case SH_RPC_NOTIFICATION:
        if (strcmp(m->method, "notifications/cancelled") == 0) {
            sh_mcp_call_cancel(s, json_object_get(m->params, "requestId"));
        }
        break;
    case SH_RPC_ANSWER:
        sh_mcp_question_answered(s, m);
        break;
    }
}

void sh_mcp_channel_gone(struct sh_mcp_session *s, const void *channel) {
    sh_list_each (node, &s->calls) {
        struct sh_mcp_call *call = sh_container_of(node, struct sh_mcp_call, link);
        call->gone = call->gone || call->channel == channel;
    }
}

size_t sh_mcp_session_calls(const struct sh_mcp_session *s) {
    return s->n_calls;
}

void sh_mcp_session_use(struct sh_mcp_session *s, struct sh_mcp_backend *backend) {
    s->backend = backend;
}

void sh_mcp_session_close(struct sh_mcp_session *s) {
    sh_list_each (node, &s->calls) {
        struct sh_mcp_call *call = sh_container_of(node, struct sh_mcp_call, link);
        if (!call->answered) {
            sh_mcp_call_drop(call);
        }
    }
    s->closed = true;
    if (sh_list_empty(&s->calls)) {
        sh_free(s);
    }
}
