/* The protocol's client. A server is started by the first call that wants it and started again
 * after it died, with growing pauses; calls wait for it to be ready.
 *
 * A tool that changed is not called until the operator has accepted it (mcp_pins.c). Sampling,
 * roots and elicitation are refused. */
#include "tools/mcp.h"

#include <stdio.h>

#include "tools/foreign_schema.h"

#define START_NS (60ULL * 1000000000)
#define CALL_MS 60000ULL
#define PROTOCOL "2025-11-25"
enum { PAGES_MOST = 20, TOOLS_MOST = 512, OPS_MOST = 512, FAILURES_MOST = 7 };

struct mcp_op {
    struct sh_list link;
    struct sh_tool tool; /* its name is "mcp:SERVER/TOOL" */
    struct sh_mcp_server *server;
    char *name;
};

struct mcp_run {
    struct sh_tool_run base;
    struct sh_list link;
    struct sh_mcp_server *server;
    char *tool, *key;
    json_t *args;
    int64_t id; /* 0: not sent yet */
    struct sh_timer late;
    uint64_t timeout_ms;
    void (*on_alive)(void *arg);
    void (*done)(void *arg, const struct sh_tool_outcome *outcome);
    void *arg;
};

struct watcher {
    struct sh_list link;
    void (*cb)(void *arg);
    void *arg;
};

/* Ends of calls. */

static void run_free(struct mcp_run *run) {
    run->base.tools->running--;
    sh_timer_stop(&run->late);
    sh_list_unlink(&run->link);
    json_decref(run->args);
    sh_free(run->tool);
    sh_free(run->key);
    sh_free(run);
}

static void fail(struct mcp_run *run, const struct sh_err *err, bool again) {
    struct sh_tool_outcome outcome = {.err = err, .retryable = again};
    sh_list_unlink(&run->link);
    run->done(run->arg, &outcome);
    run_free(run);
}

static void give_up(const struct mcp_run *run) {
    if (run->id && run->server->state != SH_MCP_DOWN) {
        sh_auto(sh_json_done) json_t *note =
            json_pack("{s:s, s:s, s:{s:I}}", "jsonrpc", "2.0", "method", "notifications/cancelled",
                      "params", "requestId", (json_int_t)run->id);
        sh_mcp_http_forget(run->server, run->id);
        (void)sh_mcp_send(run->server, note, NULL);
    }
}

static void cancel(struct sh_tool_run *base) {
    struct mcp_run *run = (struct mcp_run *)(void *)base;
    give_up(run);
    run_free(run);
}

static void on_late(struct sh_timer *t) {
    struct mcp_run *run = sh_container_of(t, struct mcp_run, late);
    struct sh_err err = {0};
    sh_fail(&err, SH_E_TIMEOUT, "the MCP server %s did not answer %s within %llu ms",
            run->server->name, run->tool, (unsigned long long)run->timeout_ms);
    give_up(run);
    fail(run, &err, true);
}

static void tell_watchers(struct sh_mcp_server *s) {
    struct sh_list *link = NULL;
    while ((link = sh_list_pop(&s->watchers)) != NULL) {
        struct watcher *w = sh_container_of(link, struct watcher, link);
        w->cb(w->arg);
        sh_free(w);
    }
}

void sh_mcp_down(struct sh_mcp_server *s, const struct sh_err *why) {
    struct sh_err err = *why;
    if (s->state == SH_MCP_DOWN) {
        return;
    }
    bool ran = s->state == SH_MCP_READY;
    s->failure = err;
    s->state = SH_MCP_DOWN;
    s->failures = ran ? 1 : s->failures + (s->failures < FAILURES_MOST);
    s->not_before_ns = sh_boot_ns() + (125000000ULL << s->failures); /* 250 ms to 16 s */
    sh_timer_stop(&s->start_timer);
    sh_mcp_transport_stop(s);
    json_decref(s->listing);
    s->listing = NULL;
    s->lists_next = false;
    struct sh_list gone;
    sh_list_init(&gone);
    struct sh_list *link = NULL;
    while ((link = sh_list_pop(&s->runs)) != NULL) { /* done() may start new ones */
        sh_list_push(&gone, link);
    }
    while (!sh_list_empty(&gone)) {
        fail(sh_container_of(gone.next, struct mcp_run, link), &err, true);
    }
    tell_watchers(s);
}

static void down(struct sh_mcp_server *s, int code, const char *what) {
    struct sh_err err = {0};
    sh_fail(&err, code, "the MCP server %s: %s%s%s", s->name, what, s->said[0] ? "; it said: " : "",
            s->said);
    sh_mcp_down(s, &err);
}

/* Calls that leave. */

static int send_call(struct mcp_run *run, struct sh_err *err) {
    struct sh_mcp_server *s = run->server;
    if (!json_object_get(s->listed, run->tool)) {
        return sh_fail(err, SH_E_UNKNOWN_TOOL,
                       "the MCP server %s has no tool %.60s; `shannon tools` lists them", s->name,
                       run->tool);
    }
    if (sh_mcp_is_changed(s, run->tool)) {
        return sh_fail(err, SH_E_DENIED,
                       "the MCP tool mcp:%s/%s is not what it was when it was allowed: look at it "
                       "(`shannon tools mcp:%s/%s`), then accept it (`shannon tools --accept "
                       "mcp:%s/%s`)",
                       s->name, run->tool, s->name, run->tool, s->name, run->tool);
    }
    sh_auto(sh_free_p) char *op = sh_mcp_op_name(s, run->tool);
    const json_t *schema = json_object_get(json_object_get(s->listed, run->tool), "inputSchema");
    if (schema && sh_foreign_schema_check(schema, run->args, op, err) != 0) {
        return -err->code;
    }
    run->id = ++s->next_id;
    sh_auto(sh_json_done) json_t *message = json_pack(
        "{s:s, s:I, s:s, s:{s:s, s:O, s:{s:s, s:I}}}", "jsonrpc", "2.0", "id", (json_int_t)run->id,
        "method", "tools/call", "params", "name", run->tool, "arguments", run->args, "_meta",
        "shannon/idempotency-key", run->key, "progressToken", (json_int_t)run->id);
    return sh_mcp_send(s, message, err);
}

static void send_waiting(struct sh_mcp_server *s) {
    for (bool again = true; again && s->state == SH_MCP_READY;) {
        again = false;
        sh_list_each (node, &s->runs) {
            struct mcp_run *run = sh_container_of(node, struct mcp_run, link);
            struct sh_err err = {0};
            if (!run->id) {
                again = true;
                if (send_call(run, &err) != 0) {
                    fail(run, &err, sh_code_info(err.code)->retryable);
                }
                break; /* the list may be another one now */
            }
        }
    }
}

/* Starting. */

static void request(struct sh_mcp_server *s, const char *method, json_t *params) {
    struct sh_err err = {0};
    s->list_id = ++s->next_id;
    sh_auto(sh_json_done) json_t *message =
        json_pack("{s:s, s:I, s:s, s:o}", "jsonrpc", "2.0", "id", (json_int_t)s->list_id, "method",
                  method, "params", params);
    if (sh_mcp_send(s, message, &err) != 0) {
        down(s, err.code, err.message);
    }
}

static void on_start_late(struct sh_timer *t) {
    down(sh_container_of(t, struct sh_mcp_server, start_timer), SH_E_TIMEOUT,
         "it did not say what it can do within 60 s");
}

static int start(struct sh_mcp_server *s, struct sh_err *err) {
    if (s->state != SH_MCP_DOWN) {
        return 0;
    }
    if (s->failures && sh_boot_ns() < s->not_before_ns) {
        return sh_fail(err, SH_E_UNAVAILABLE,
                       "the MCP server %s has just failed and is not started again yet%s%s",
                       s->name, s->said[0] ? "; it said: " : "", s->said);
    }
    int r = sh_mcp_transport_start(s, err);
    if (r) {
        return r;
    }
    s->state = SH_MCP_STARTING;
    sh_timer_start(s->tools->loop, &s->start_timer, START_NS, on_start_late);
    request(s, "initialize",
            json_pack("{s:s, s:{}, s:{s:s, s:s}}", "protocolVersion", PROTOCOL, "capabilities",
                      "clientInfo", "name", "shannon", "version", "0.1"));
    return s->state == SH_MCP_DOWN
               ? sh_fail(err, SH_E_UNAVAILABLE, "the MCP server %s cannot be reached", s->name)
               : 0;
}

static void list_begins(struct sh_mcp_server *s) {
    json_decref(s->listing);
    s->listing = json_object();
    s->pages = 0;
    s->listed_bytes = 0;
    s->state = SH_MCP_LISTING;
    sh_timer_start(s->tools->loop, &s->start_timer, START_NS, on_start_late);
    request(s, "tools/list", json_object());
}

static void started(struct sh_mcp_server *s, const json_t *result) {
    struct sh_str version = sh_json_get_str(result, "protocolVersion");
    static const char *const known[] = {"2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05",
                                        NULL};
    bool good = false;
    for (size_t i = 0; known[i]; i++) {
        good = good || sh_str_eqz(version, known[i]);
    }
    if (!good) {
        down(s, SH_E_UPSTREAM, "it speaks a version of the protocol that is not known here");
        return;
    }
    snprintf(s->version, sizeof(s->version), "%.*s", (int)version.len, version.p);
    sh_auto(sh_json_done) json_t *note =
        json_pack("{s:s, s:s}", "jsonrpc", "2.0", "method", "notifications/initialized");
    struct sh_err err = {0};
    if (sh_mcp_send(s, note, &err) != 0) {
        down(s, err.code, err.message);
        return;
    }
    s->list_id = 0; /* that request is answered */
    if (s->program) {
        list_begins(s);
    } else { /* requests must not overtake it, which two connections allow */
        s->lists_next = true;
    }
}

void sh_mcp_sent(struct sh_mcp_server *s) {
    if (s->lists_next) {
        s->lists_next = false;
        list_begins(s);
    }
}

/* Only names that a policy can speak of. */
static bool good_name(struct sh_str name) {
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
    for (size_t i = 0; i < name.len; i++) {
        if (!name.p[i] || !strchr(letters, name.p[i])) {
            return false;
        }
    }
    return name.len > 0 && name.len <= 64;
}

static void page_came(struct sh_mcp_server *s, const json_t *result) {
    const json_t *tools = json_object_get(result, "tools");
    for (size_t i = 0; i < json_array_size(tools); i++) {
        static const char *const members[] = {"description", "inputSchema", "annotations", NULL};
        const json_t *tool = json_array_get(tools, i);
        struct sh_str name = sh_json_get_str(tool, "name");
        if (!good_name(name) || json_object_size(s->listing) >= TOOLS_MOST) {
            continue;
        }
        json_t *kept = json_object();
        for (size_t k = 0; members[k]; k++) {
            if (json_object_get(tool, members[k])) {
                json_object_set(kept, members[k], json_object_get(tool, members[k]));
            }
        }
        sh_auto(sh_free_p) char *text = sh_json_text(kept);
        s->listed_bytes += strlen(text);
        if (s->listed_bytes > SH_MCP_LISTED_MAX) {
            json_decref(kept);
            down(s, SH_E_LIMIT, "the descriptions of its tools have more than 8 MiB");
            return;
        }
        sh_auto(sh_free_p) char *digest = sh_mcp_digest(text);
        json_object_set_new(kept, "digest", json_string(digest));
        sh_auto(sh_free_p) char *copy = sh_strndup0(name.p, name.len);
        json_object_set_new(s->listing, copy, kept);
    }
    json_t *cursor = json_object_get(result, "nextCursor");
    if (json_is_string(cursor) && ++s->pages < PAGES_MOST) {
        request(s, "tools/list", json_pack("{s:O}", "cursor", cursor));
        return;
    }
    json_decref(s->listed);
    s->listed = s->listing;
    s->listing = NULL;
    s->state = SH_MCP_READY;
    s->failures = 0;
    sh_timer_stop(&s->start_timer);
    sh_mcp_pin_new(s);
    if (!s->program) {
        sh_mcp_http_listen(s);
    }
    tell_watchers(s);
    send_waiting(s);
}

/* Messages that come. */

static struct mcp_run *find_run(struct sh_mcp_server *s, int64_t id) {
    sh_list_each (node, &s->runs) {
        struct mcp_run *run = sh_container_of(node, struct mcp_run, link);
        if (run->id == id) {
            return run;
        }
    }
    return NULL;
}

bool sh_mcp_waits(const struct sh_mcp_server *s, int64_t id) {
    if (id && id == s->list_id && (s->state == SH_MCP_STARTING || s->state == SH_MCP_LISTING)) {
        return true;
    }
    sh_list_each (node, &s->runs) {
        if (id && sh_container_of(node, struct mcp_run, link)->id == id) {
            return true;
        }
    }
    return false;
}

void sh_mcp_failed(struct sh_mcp_server *s, int64_t id, const struct sh_err *why) {
    struct mcp_run *run = id ? find_run(s, id) : NULL;
    if (run) {
        struct sh_err err = *why;
        fail(run, &err, sh_code_info(err.code)->retryable);
    } else if (id ? sh_mcp_waits(s, id) : s->lists_next) {
        sh_mcp_down(s, why);
    }
}

static void answer_call(struct mcp_run *run, const json_t *message) {
    json_t *error = json_object_get(message, "error");
    const json_t *result = json_object_get(message, "result");
    json_t *content = json_object_get(result, "content");
    json_t *structured = json_object_get(result, "structuredContent");
    struct sh_err err = {0};
    if (error || !json_is_object(result)) {
        struct sh_str said = sh_json_get_str(error, "message");
        sh_fail(&err, SH_E_UPSTREAM_REJECTED, "the MCP server %s refused %s: %.300s",
                run->server->name, run->tool,
                said.len && sh_utf8_valid(said) ? said.p : "no result, and no reason");
        fail(run, &err, false);
        return;
    }
    sh_auto(sh_json_done) json_t *out = json_pack(
        "{s:O*, s:O*, s:b}", "content", json_is_array(content) ? content : NULL, "structured",
        structured, "is_error", (int)sh_json_get_bool(result, "isError", false));
    struct sh_tool_outcome outcome = {.result = out};
    sh_list_unlink(&run->link);
    run->done(run->arg, &outcome);
    run_free(run);
}

void sh_mcp_alive(struct sh_mcp_server *s, int64_t id) {
    const struct mcp_run *run = id > 0 ? find_run(s, id) : NULL;
    if (run && run->on_alive) {
        run->on_alive(run->arg);
    }
}

/* The server asks or tells. */
static void asked(struct sh_mcp_server *s, struct sh_str method, json_t *id, const json_t *params) {
    if (!id && sh_str_eqz(method, "notifications/progress")) {
        sh_mcp_alive(s, sh_json_get_int(params, "progressToken", 0));
        return;
    }
    if (!id) {
        if (sh_str_eqz(method, "notifications/tools/list_changed") && s->state == SH_MCP_READY) {
            list_begins(s);
        }
        return;
    }
    sh_auto(sh_json_done) json_t *reply =
        sh_str_eqz(method, "ping")
            ? json_pack("{s:s, s:O, s:{}}", "jsonrpc", "2.0", "id", id, "result")
            : json_pack("{s:s, s:O, s:{s:i, s:s}}", "jsonrpc", "2.0", "id", id, "error", "code",
                        -32601, "message", "this client does not offer that");
    (void)sh_mcp_send(s, reply, NULL);
}

static void control_answer(struct sh_mcp_server *s, const json_t *message) {
    const json_t *result = json_object_get(message, "result");
    if (!json_is_object(result)) {
        down(s, SH_E_UPSTREAM, "it refused to begin");
    } else if (s->state == SH_MCP_STARTING) {
        started(s, result);
    } else if (s->state == SH_MCP_LISTING) {
        page_came(s, result);
    }
}

void sh_mcp_message(struct sh_mcp_server *s, struct sh_str text) {
    sh_auto(sh_json_done) json_t *message = NULL;
    if (sh_json_parse_foreign(text, SH_MCP_MESSAGE_MAX, &message, NULL) != 0 ||
        !json_is_object(message)) {
        down(s, SH_E_UPSTREAM, "it sent something that is no message");
        return;
    }
    struct sh_str method = sh_json_get_str(message, "method");
    json_t *id = json_object_get(message, "id");
    int64_t number = sh_json_get_int(message, "id", -1);
    if (method.len) {
        asked(s, method, id, json_object_get(message, "params"));
    } else if (number == s->list_id && s->state != SH_MCP_READY) {
        control_answer(s, message);
    } else if (number > 0) {
        struct mcp_run *run = find_run(s, number);
        if (run) {
            answer_call(run, message);
        } /* else it was given up */
    }
}

/* Operations. */

static bool is_at_most_once(const struct sh_tool *tool, const json_t *args) {
    struct sh_tool *own = (struct sh_tool *)(uintptr_t)tool; /* only the others are constant */
    const struct mcp_op *op = sh_container_of(own, struct mcp_op, tool);
    const char *name = strchr(op->name, '/') + 1;
    const json_t *hints = json_object_get(json_object_get(op->server->listed, name), "annotations");
    (void)args;
    return !sh_json_get_bool(hints, "readOnlyHint", false) &&
           !sh_json_get_bool(hints, "idempotentHint", false);
}

static struct sh_mcp_server *find_server(struct sh_tools *t, struct sh_str name) {
    sh_list_each (node, &t->mcp) {
        struct sh_mcp_server *s = sh_container_of(node, struct sh_mcp_server, link);
        if (sh_str_eqz(name, s->name)) {
            return s;
        }
    }
    return NULL;
}

const struct sh_tool *sh_mcp_find(struct sh_tools *t, struct sh_str op) {
    const char *slash = op.len > 4 ? memchr(op.p + 4, '/', op.len - 4) : NULL;
    if (!slash || !sh_str_starts(op, SH_STR("mcp:"))) {
        return NULL;
    }
    struct sh_mcp_server *s = find_server(t, sh_strn(op.p + 4, (size_t)(slash - op.p - 4)));
    if (!s || !good_name(sh_strn(slash + 1, op.len - (size_t)(slash + 1 - op.p)))) {
        return NULL;
    }
    sh_list_each (node, &s->ops) {
        struct mcp_op *known = sh_container_of(node, struct mcp_op, link);
        if (sh_str_eqz(op, known->name)) {
            return &known->tool;
        }
    }
    if (s->n_ops == OPS_MOST) {
        return NULL;
    }
    struct mcp_op *new = sh_new(struct mcp_op);
    new->server = s;
    new->name = sh_strndup0(op.p, op.len);
    new->tool = (struct sh_tool){
        .name = new->name,
        .capability = new->name,
        .category = "mcp",
        .description = "A tool of an MCP server.",
        .args_schema = "{\"type\":\"object\"}",
        .result_schema = "{\"type\":\"object\"}",
        .kind = SH_TOOL_REMOTE,
        .retryable = true,
        .at_most_once = is_at_most_once,
    };
    sh_list_push(&s->ops, &new->link);
    s->n_ops++;
    return &new->tool;
}

int sh_mcp_start(struct sh_tools *t, const struct sh_tool_call *call, struct sh_tool_run **ret,
                 struct sh_err *err) {
    struct sh_tool *own = (struct sh_tool *)(uintptr_t)call->tool;
    struct mcp_op *op = sh_container_of(own, struct mcp_op, tool);
    struct sh_mcp_server *s = op->server;
    int r = start(s, err);
    if (r) {
        return r;
    }
    struct mcp_run *run = sh_new(struct mcp_run);
    *run = (struct mcp_run){
        .base = {t, cancel},
        .server = s,
        .tool = sh_strdup(strchr(op->name, '/') + 1),
        .key = sh_strdup(call->idempotency_key ? call->idempotency_key : ""),
        .args = json_deep_copy(call->args),
        .timeout_ms = call->timeout_ms ? call->timeout_ms : CALL_MS,
        .on_alive = call->on_alive,
        .done = call->done,
        .arg = call->arg,
    };
    t->running++;
    sh_list_push(&s->runs, &run->link);
    if (s->state == SH_MCP_READY) {
        r = send_call(run, err);
        if (r) {
            run_free(run);
            return r;
        }
    }
    sh_timer_start(t->loop, &run->late, run->timeout_ms * 1000000, on_late);
    *ret = &run->base;
    return 0;
}

/* For `shannon tools`. */

int sh_tools_mcp_watch(struct sh_tools *t, struct sh_str server, void (*cb)(void *arg), void *arg,
                       struct sh_err *err) {
    struct sh_mcp_server *s = find_server(t, server);
    SH_ASSERT(s);
    int r = start(s, err);
    if (r == 0) {
        struct watcher *w = sh_new(struct watcher);
        *w = (struct watcher){.cb = cb, .arg = arg};
        sh_list_push(&s->watchers, &w->link);
    }
    return r;
}

json_t *sh_tools_mcp_servers(struct sh_tools *t) {
    json_t *list = json_array();
    sh_list_each (node, &t->mcp) {
        struct sh_mcp_server *s = sh_container_of(node, struct sh_mcp_server, link);
        struct sh_err err = {0};
        (void)start(s, &err);
        const char *state = s->state == SH_MCP_READY  ? "ready"
                            : s->state == SH_MCP_DOWN ? "down"
                                                      : "starting";
        json_t *one = json_pack("{s:s, s:s, s:I}", "server", s->name, "state", state, "tools",
                                (json_int_t)json_object_size(s->listed));
        if (s->state == SH_MCP_DOWN) {
            const char *why = s->failure.code ? s->failure.message : err.message;
            json_object_set_new(one, "error", sh_json_string(sh_str(why)));
        }
        json_array_append_new(list, one);
    }
    return list;
}

json_t *sh_tools_mcp_list(struct sh_tools *t, struct sh_str server) {
    const struct sh_mcp_server *s = find_server(t, server);
    json_t *list = json_array();
    const char *name = NULL;
    json_t *tool = NULL;
    json_object_foreach(s ? s->listed : NULL, name, tool) {
        sh_auto(sh_free_p) char *op = sh_mcp_op_name(s, name);
        json_t *schema = json_object_get(tool, "inputSchema");
        json_t *hints = json_object_get(tool, "annotations");
        json_array_append_new(list,
                              json_pack("{s:s, s:s, s:s, s:o, s:o, s:o, s:{s:s}, s:O*, s:b}",
                                        "name", op, "capability", op, "category", "mcp", "origin",
                                        json_sprintf("mcp:%s", s->name), "description",
                                        sh_json_string(sh_json_get_str(tool, "description")),
                                        "parameters", schema ? json_incref(schema) : json_object(),
                                        "result", "type", "object", "annotations", hints, "changed",
                                        (int)sh_mcp_is_changed(s, name)));
    }
    return list;
}

/* Configuration. */

int sh_mcp_config_init(struct sh_tools *t, const json_t *doc, struct sh_err *err) {
    const char *name = NULL;
    json_t *entry = NULL;
    json_object_foreach((json_t *)(uintptr_t)doc, name, entry) {
        struct sh_mcp_server *s = sh_new(struct sh_mcp_server);
        s->tools = t;
        s->name = sh_strdup(name);
        sh_list_init(&s->runs);
        sh_list_init(&s->ops);
        sh_list_init(&s->posts);
        sh_list_init(&s->partings);
        sh_list_init(&s->watchers);
        sh_buf_init(&s->line, SH_MCP_MESSAGE_MAX);
        sh_list_push(&t->mcp, &s->link);
        if (!good_name(sh_str(name))) {
            return sh_fail(err, SH_E_INVAL,
                           "[mcp.%.60s]: expected a name of letters, digits, _ . -", name);
        }
        int r = sh_mcp_transport_init(s, entry, err);
        if (r) {
            return r;
        }
    }
    return 0;
}

void sh_mcp_config_done(struct sh_tools *t) {
    struct sh_list *link = NULL;
    sh_list_each (node, &t->mcp) {
        struct sh_mcp_server *s = sh_container_of(node, struct sh_mcp_server, link);
        s->state = SH_MCP_DOWN;
        sh_timer_stop(&s->start_timer);
        sh_mcp_transport_stop(s);
    }
    sh_mcp_http_part(t);
    while ((link = sh_list_pop(&t->mcp)) != NULL) {
        struct sh_mcp_server *s = sh_container_of(link, struct sh_mcp_server, link);
        sh_mcp_transport_done(s);
        while ((link = sh_list_pop(&s->ops)) != NULL) {
            struct mcp_op *op = sh_container_of(link, struct mcp_op, link);
            sh_free(op->name);
            sh_free(op);
        }
        while ((link = sh_list_pop(&s->watchers)) != NULL) {
            sh_free(sh_container_of(link, struct watcher, link));
        }
        json_decref(s->listed);
        json_decref(s->listing);
        sh_buf_done(&s->line);
        sh_free(s->name);
        sh_free(s);
    }
}
