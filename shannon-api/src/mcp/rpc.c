/* A message is an object with jsonrpc "2.0". With a method it is a request (id) or a notification
 * (no id); without one it answers a request of ours. Batches left the protocol with 2025-06-18 and
 * are refused in every version. */
#include "mcp/rpc.h"

static void broken(struct sh_rpc_message *m, int code) {
    m->kind = SH_RPC_BROKEN;
    m->code = code;
}

static bool is_id(const json_t *id) {
    return json_is_integer(id) ||
           (json_is_string(id) && json_string_length(id) <= SH_RPC_ID_BYTES_MAX);
}

static void read_call(struct sh_rpc_message *m, const json_t *method) {
    const json_t *params = json_object_get(m->doc, "params");
    if (!json_is_string(method) || json_string_length(method) > SH_RPC_METHOD_BYTES_MAX) {
        sh_fail(&m->err, SH_E_INVAL, "method must be a string of at most %d bytes",
                SH_RPC_METHOD_BYTES_MAX);
        broken(m, SH_RPC_INVALID);
    } else if (params && !json_is_object(params)) {
        sh_fail(&m->err, SH_E_INVAL, "params must be an object");
        broken(m, m->id ? SH_RPC_PARAMS : SH_RPC_INVALID);
    } else {
        m->kind = m->id ? SH_RPC_REQUEST : SH_RPC_NOTIFICATION;
        m->method = json_string_value(method);
        m->params = params;
    }
}

static void read_answer(struct sh_rpc_message *m) {
    m->result = json_object_get(m->doc, "result");
    m->error = json_object_get(m->doc, "error");
    if (!m->id || !m->result == !m->error || (m->error && !json_is_object(m->error))) {
        sh_fail(&m->err, SH_E_INVAL,
                "expected a method, or an answer with an id and one of result and error");
        broken(m, SH_RPC_INVALID);
    } else {
        m->kind = SH_RPC_ANSWER;
    }
}

void sh_rpc_read(struct sh_str text, struct sh_rpc_message *ret) {
    struct sh_rpc_message *m = ret;
    *m = (struct sh_rpc_message){.kind = SH_RPC_BROKEN};
    if (sh_json_parse(text, SH_MCP_MESSAGE_MAX, &m->doc, &m->err) < 0) {
        broken(m, m->err.code == SH_E_JSON ? SH_RPC_PARSE : SH_RPC_INVALID);
        return;
    }
    if (!json_is_object(m->doc)) {
        sh_fail(&m->err, SH_E_INVAL, "a message is one JSON object; batches are not taken");
        broken(m, SH_RPC_INVALID);
        return;
    }
    const json_t *id = json_object_get(m->doc, "id");
    const json_t *method = json_object_get(m->doc, "method");
    m->id = is_id(id) ? id : NULL;
    if (!sh_str_eqz(sh_json_get_str(m->doc, "jsonrpc"), "2.0")) {
        sh_fail(&m->err, SH_E_INVAL, "jsonrpc must be \"2.0\"");
        broken(m, SH_RPC_INVALID);
    } else if (id && !m->id) {
        sh_fail(&m->err, SH_E_INVAL, "id must be an integer or a string of at most %d bytes",
                SH_RPC_ID_BYTES_MAX);
        broken(m, SH_RPC_INVALID);
    } else if (method) {
        read_call(m, method);
    } else {
        read_answer(m);
    }
}

void sh_rpc_message_done(struct sh_rpc_message *m) {
    json_decref(m->doc);
    *m = (struct sh_rpc_message){0};
}

static json_t *id_json(const json_t *id) {
    return id ? json_incref((json_t *)(uintptr_t)id) : json_null();
}

json_t *sh_rpc_result(const json_t *id, json_t *owned) {
    return json_pack("{s:s, s:o, s:o}", "jsonrpc", "2.0", "id", id_json(id), "result", owned);
}

json_t *sh_rpc_error(const json_t *id, int code, const char *message) {
    return json_pack("{s:s, s:o, s:{s:i, s:o}}", "jsonrpc", "2.0", "id", id_json(id), "error",
                     "code", code, "message", sh_json_string(sh_str(message)));
}

json_t *sh_rpc_request(const char *id, const char *method, json_t *owned_params) {
    return json_pack("{s:s, s:s, s:s, s:o}", "jsonrpc", "2.0", "id", id, "method", method, "params",
                     owned_params);
}

json_t *sh_rpc_notification(const char *method, json_t *owned_params) {
    return json_pack("{s:s, s:s, s:o}", "jsonrpc", "2.0", "method", method, "params", owned_params);
}
