/* The streamable HTTP transport: POST /mcp takes one message. What is answered at once is answered
 * as JSON; a tool call gets an event stream with its progress, questions to the person, and its
 * answer. There is no stream apart from those (GET is 405, which clients know), so nothing is ever
 * sent that nobody asked for. A client that leaves stops nothing: its tasks are durable.
 *
 * Sessions live in memory: after a restart the client's next message is answered with 404, and it
 * starts anew, as the protocol says. */
#include "http/api.h"
#include "http/pipe.h"
#include "mcp/mcp.h"

#include <strings.h>

#define SESSION_HEADER "Mcp-Session-Id"
#define STREAM_MAX (4 * SH_MIB) /* waiting for a slow client: some of the largest answers */

struct sh_mcp_server {
    struct sh_api *api;
    struct sh_mcp_backend *backend;
    struct sh_list sessions; /* the one that rested longest first */
    size_t n;
};

struct session {
    struct sh_list link;
    struct sh_mcp_session *session;
    struct sh_id id;
};

/* One POST that is a request. */
struct channel {
    struct session *session;
    struct sh_pipe *pipe;
    json_t *answer; /* came while the message was being taken */
    bool receiving;
};

/* --- channels --------------------------------------------------------------------------------- */

static void on_gone(void *arg) {
    struct channel *c = arg;
    sh_mcp_channel_gone(c->session->session, c);
    sh_pipe_end(c->pipe);
    json_decref(c->answer);
    sh_free(c);
}

static void send_on(void *arg, void *channel, const json_t *message, bool last) {
    struct channel *c = channel;
    (void)arg;
    if (c->receiving && last) {
        c->answer = message ? json_incref((json_t *)(uintptr_t)message) : json_null();
        return;
    }
    if (!c->pipe) {
        c->pipe = sh_pipe_new(STREAM_MAX, on_gone, c);
    }
    if (message) {
        sh_auto(sh_buf_done) struct sh_buf text = {0};
        sh_buf_init(&text, STREAM_MAX);
        sh_json_dump(message, &text);
        sh_pipe_event(c->pipe, sh_buf_str(&text));
    }
    if (last) {
        sh_pipe_end(c->pipe);
        sh_free(c);
    }
}

/* --- sessions --------------------------------------------------------------------------------- */

static void session_end(struct sh_mcp_server *server, struct session *s) {
    sh_list_unlink(&s->link);
    server->n--;
    sh_mcp_session_close(s->session);
    sh_free(s);
}

/* Make room: of those that have nothing under way, the one that rested longest. */
static bool make_room(struct sh_mcp_server *server) {
    sh_list_each (node, &server->sessions) {
        struct session *s = sh_container_of(node, struct session, link);
        if (sh_mcp_session_calls(s->session) == 0) {
            session_end(server, s);
            return true;
        }
    }
    return false;
}

static struct session *session_new(struct sh_mcp_server *server, struct sh_err *err) {
    uint8_t bytes[24];
    sh_auto(sh_buf_done) struct sh_buf hex = {0};
    if (server->n >= SH_MCP_SESSIONS_MAX && !make_room(server)) {
        sh_fail(err, SH_E_RATE, "%d sessions are busy; end one of them", SH_MCP_SESSIONS_MAX);
        return NULL;
    }
    struct session *s = sh_new(struct session);
    sh_buf_init(&hex, sizeof(s->id.s));
    sh_random_bytes(bytes, sizeof(bytes));
    sh_hex_encode(&hex, bytes, sizeof(bytes));
    SH_ASSERT(sh_id_parse(sh_buf_str(&hex), &s->id) == 0);
    s->session = sh_mcp_session_new(server->backend, send_on, NULL);
    sh_list_push(&server->sessions, &s->link);
    server->n++;
    return s;
}

static struct session *session_find(struct sh_request *r, struct sh_err *err) {
    struct sh_mcp_server *server = r->api->mcp;
    const char *id = sh_request_header(r, "mcp-session-id");
    if (!id) {
        sh_fail(err, SH_E_INVAL, "the header " SESSION_HEADER " is missing; initialize gives it");
        return NULL;
    }
    sh_list_each (node, &server->sessions) {
        struct session *s = sh_container_of(node, struct session, link);
        if (sh_secret_eq(sh_str(s->id.s), sh_str(id))) {
            sh_list_unlink(node);
            sh_list_push(&server->sessions, node);
            return s;
        }
    }
    sh_fail(err, SH_E_NOT_FOUND, "this session has ended; initialize a new one");
    return NULL;
}

/* --- requests --------------------------------------------------------------------------------- */

static int check(const struct sh_request *r, struct sh_err *err) {
    const char *type = sh_request_header(r, "content-type");
    const char *version = sh_request_header(r, "mcp-protocol-version");
    if (!r->api->mcp) {
        return sh_fail(err, SH_E_UNAVAILABLE,
                       "this process does not serve /mcp; `shannon serve` does");
    }
    if (version && !sh_mcp_version_known(version)) {
        return sh_fail(err, SH_E_INVAL, "MCP-Protocol-Version %.40s is not spoken here", version);
    }
    if (strcmp(r->method, "POST") == 0 && (!type || strncasecmp(type, "application/json", 16))) {
        return sh_fail(err, SH_E_INVAL, "Content-Type must be application/json");
    }
    if (strcmp(r->method, "POST") == 0 && !r->can_stream) {
        return sh_fail(err, SH_E_UNSUPPORTED, "streams need a connection of their own");
    }
    return 0;
}

static void receive(struct sh_request *r, struct session *s, const struct sh_rpc_message *m) {
    struct channel *c = sh_new(struct channel);
    c->session = s;
    c->receiving = true;
    sh_mcp_receive(s->session, m, c);
    c->receiving = false;
    if (c->answer && !c->pipe) {
        json_t *answer = c->answer;
        sh_free(c);
        sh_reply_json(r, 200, answer);
        return;
    }
    if (!c->pipe) {
        c->pipe = sh_pipe_new(STREAM_MAX, on_gone, c);
    }
    struct sh_pipe *pipe = c->pipe;
    if (c->answer) {
        json_t *answer = sh_take(&c->answer);
        send_on(NULL, c, answer, true);
        json_decref(answer);
    }
    sh_reply_pipe(r, pipe);
}

static void take(struct sh_request *r, const struct sh_rpc_message *m) {
    struct sh_err err = {0};
    bool opens = m->kind == SH_RPC_REQUEST && strcmp(m->method, "initialize") == 0 &&
                 !sh_request_header(r, "mcp-session-id");
    struct session *s = opens ? session_new(r->api->mcp, &err) : session_find(r, &err);
    if (!s) {
        sh_reply_error(r, &err);
    } else if (m->kind == SH_RPC_REQUEST) {
        sh_reply_header(r, SESSION_HEADER, s->id.s);
        receive(r, s, m);
    } else {
        sh_mcp_receive(s->session, m, NULL);
        sh_reply_text(r, 202, NULL, (struct sh_str){0});
    }
}

void sh_handle_mcp_post(struct sh_request *r) {
    struct sh_err err = {0};
    if (check(r, &err) < 0) {
        sh_reply_error(r, &err);
        return;
    }
    struct sh_rpc_message m;
    sh_rpc_read(sh_buf_str(&r->body), &m);
    if (m.kind == SH_RPC_BROKEN) {
        sh_reply_json(r, 400, sh_rpc_error(m.id, m.code, m.err.message));
    } else {
        take(r, &m);
    }
    sh_rpc_message_done(&m);
}

void sh_handle_mcp_get(struct sh_request *r) {
    struct sh_err err = {0};
    sh_fail(&err, SH_E_UNSUPPORTED,
            "there is no stream apart from those of calls: POST the messages here");
    json_t *body = sh_error_json(&err);
    sh_reply_header(r, "Allow", "POST, DELETE");
    sh_reply_json(r, 405, body);
}

void sh_handle_mcp_delete(struct sh_request *r) {
    struct sh_err err = {0};
    struct session *s = check(r, &err) < 0 ? NULL : session_find(r, &err);
    if (!s) {
        sh_reply_error(r, &err);
        return;
    }
    session_end(r->api->mcp, s);
    sh_reply_text(r, 204, NULL, (struct sh_str){0});
}

/* --- the whole -------------------------------------------------------------------------------- */

struct sh_mcp_server *sh_mcp_server_new(struct sh_api *api) {
    struct sh_mcp_server *server = sh_new(struct sh_mcp_server);
    server->api = api;
    server->backend = sh_mcp_local_new(api);
    sh_list_init(&server->sessions);
    api->mcp = server;
    return server;
}

void sh_mcp_server_drain(struct sh_mcp_server *server) {
    while (server && !sh_list_empty(&server->sessions)) {
        session_end(server, sh_container_of(server->sessions.next, struct session, link));
    }
}

void sh_mcp_server_free(struct sh_mcp_server *server) {
    if (server) {
        sh_mcp_server_drain(server);
        server->api->mcp = NULL;
        sh_mcp_backend_free(server->backend);
        sh_free(server);
    }
}
