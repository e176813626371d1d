/* The REST API as a session reaches it. Both kinds answer from the loop, never inside the call; a
 * remote one whose owner has gone keeps what was asked, so that another can be asked the same. */
#include "mcp/mcp.h"

#include "http/api.h"

#include <stdio.h>

#define CALL_TIMEOUT_MS 600000 /* a module may take minutes to compile */

struct backend {
    struct sh_mcp_backend base;
    struct sh_loop *loop;
    struct sh_api *api; /* of a local one */
    char *sock;         /* of a remote one */
    void (*on_lost)(void *arg);
    void *arg;
    bool lost;
    struct sh_list calls, parked;
};

struct call {
    struct sh_list link;
    struct backend *backend;
    sh_mcp_answer_fn done;
    void *arg;
    struct sh_request *r; /* local */
    struct sh_http *http; /* remote, under way */
    struct sh_msg msg;    /* answers in a turn of its own */
    bool posted;
    struct sh_err err;
    char *method, *path, *key;
    json_t *body;
};

static void call_free(struct call *c) {
    sh_list_unlink(&c->link);
    sh_request_free(c->r);
    sh_free(c->method);
    sh_free(c->path);
    sh_free(c->key);
    json_decref(c->body);
    sh_free(c);
}

/* The API's own error, back to what it was before it became JSON. */
static void refused(int status, const json_t *body, struct sh_err *err) {
    const json_t *error = json_object_get(body, "error");
    const char *code = json_string_value(json_object_get(error, "code"));
    struct sh_str text = sh_json_get_str(error, "message");
    if (code) {
        sh_fail(err, sh_code_from_name(code), "%.*s", (int)text.len, text.p ? text.p : "");
    } else {
        sh_fail(err, SH_E_INTERNAL, "the server answered with status %d", status);
    }
}

static void answer(struct call *c, int status, struct sh_str text) {
    struct sh_err err = c->err;
    json_t *body = NULL;
    if (!err.code && sh_json_parse(text, SH_JSON_TEXT_MAX, &body, &err) == 0 && status >= 400) {
        refused(status, body, &err);
    }
    sh_mcp_answer_fn done = c->done;
    void *arg = c->arg;
    call_free(c);
    done(arg, body, err.code ? &err : NULL);
    json_decref(body);
}

static void on_message(struct sh_msg *msg) {
    struct call *c = sh_container_of(msg, struct call, msg);
    answer(c, c->r ? c->r->status : 0, c->r ? sh_buf_str(&c->r->reply) : (struct sh_str){0});
}

static void post(struct call *c) {
    c->posted = true;
    c->msg.run = on_message;
    sh_loop_post(c->backend->loop, &c->msg);
}

/* --- here ------------------------------------------------------------------------------------- */

static void on_reply(struct sh_request *r) {
    post(r->owner);
}

static void run_here(struct call *c) {
    const struct sh_route *route = NULL;
    const char *mark = strchr(c->path, '?');
    sh_auto(sh_free_p) char *bare =
        sh_strndup0(c->path, mark ? (size_t)(mark - c->path) : strlen(c->path));
    c->r = sh_request_new(c->backend->api, c->method, bare);
    c->r->owner = c;
    c->r->on_reply = on_reply;
    json_object_set_new(c->r->headers, "content-type", json_string("application/json"));
    if (c->key) {
        json_object_set_new(c->r->headers, "idempotency-key", json_string(c->key));
    }
    int rc = mark ? sh_request_query(c->r, sh_str(mark + 1), &c->err) : 0;
    rc = rc < 0 ? rc : sh_route_find(c->method, bare, &route, &c->err);
    if (rc == 0 && c->body) {
        c->r->body.max = (size_t)sh_route_body_max(route) + 1;
        sh_json_dump(c->body, &c->r->body);
        if (c->r->body.failed) {
            rc = sh_fail(&c->err, SH_E_LIMIT, "the request is larger than %llu bytes",
                         (unsigned long long)sh_route_body_max(route));
        }
    }
    if (rc < 0) {
        post(c);
    } else {
        sh_route_run(route, c->r);
    }
}

/* --- over the socket -------------------------------------------------------------------------- */

static void on_done(void *arg, int status, struct sh_str body, uint64_t retry_after_ms,
                    const struct sh_err *err) {
    struct call *c = arg;
    struct backend *b = c->backend;
    (void)retry_after_ms;
    c->http = NULL;
    if (err && err->code == SH_E_UNAVAILABLE) {
        sh_list_unlink(&c->link);
        sh_list_push(&b->parked, &c->link);
        if (!b->lost) {
            b->lost = true;
            b->on_lost(b->arg);
        }
        return;
    }
    if (err) {
        c->err = *err;
    }
    answer(c, status, body);
}

static void run_remote(struct call *c) {
    sh_auto(sh_free_p) char *url = sh_asprintf("http://localhost%s", c->path);
    sh_auto(sh_free_p) char *key = sh_asprintf("Idempotency-Key: %s", c->key ? c->key : "");
    const char *const headers[] = {"Content-Type: application/json", c->key ? key : NULL, NULL};
    sh_auto(sh_buf_done) struct sh_buf body = {0};
    sh_buf_init(&body, SH_HTTP_MODULE_BODY_MAX);
    if (c->body) {
        sh_json_dump(c->body, &body);
    }
    struct sh_http_request request = {
        .method = c->method,
        .url = url,
        .headers = headers,
        .body = sh_buf_str(&body),
        .max_response_bytes = SH_JSON_TEXT_MAX,
        .timeout_ms = CALL_TIMEOUT_MS,
        .connect_timeout_ms = 5000,
        .unix_socket = c->backend->sock,
        .done = on_done,
        .arg = c,
    };
    if (sh_http_start(c->backend->loop, &request, &c->http, &c->err) < 0) {
        post(c);
    }
}

/* --- both ------------------------------------------------------------------------------------- */

static void start(struct backend *b, struct call *c) {
    c->backend = b;
    if (b->lost) {
        sh_list_push(&b->parked, &c->link);
        return;
    }
    sh_list_push(&b->calls, &c->link);
    if (b->api) {
        run_here(c);
    } else {
        run_remote(c);
    }
}

static void backend_call(struct sh_mcp_backend *base, const struct sh_mcp_ask *ask,
                         sh_mcp_answer_fn done, void *arg) {
    struct call *c = sh_new(struct call);
    c->done = done;
    c->arg = arg;
    c->method = sh_strdup(ask->method);
    c->path = sh_strdup(ask->path);
    c->key = ask->key ? sh_strdup(ask->key) : NULL;
    c->body = ask->body ? json_incref((json_t *)(uintptr_t)ask->body) : NULL;
    start(sh_container_of(base, struct backend, base), c);
}

static struct backend *backend_new(struct sh_loop *loop) {
    struct backend *b = sh_new(struct backend);
    b->base.call = backend_call;
    b->loop = loop;
    sh_list_init(&b->calls);
    sh_list_init(&b->parked);
    return b;
}

struct sh_mcp_backend *sh_mcp_local_new(struct sh_api *api) {
    struct backend *b = backend_new(api->app->loop);
    b->api = api;
    return &b->base;
}

struct sh_mcp_backend *sh_mcp_remote_new(struct sh_loop *loop, const char *sock,
                                         void (*on_lost)(void *arg), void *arg) {
    struct backend *b = backend_new(loop);
    b->sock = sh_strdup(sock);
    b->on_lost = on_lost;
    b->arg = arg;
    return &b->base;
}

void sh_mcp_backend_move(struct sh_mcp_backend *from, struct sh_mcp_backend *to) {
    struct backend *source = sh_container_of(from, struct backend, base);
    struct sh_list moved;
    sh_list_init(&moved);
    sh_list_move(&moved, &source->parked);
    /* The rest was asked of an owner that has gone as well; its connections only do not know yet.
     */
    sh_list_each (node, &source->calls) {
        struct call *c = sh_container_of(node, struct call, link);
        if (c->http) {
            sh_http_cancel(c->http);
            c->http = NULL;
            sh_list_unlink(&c->link);
            sh_list_push(&moved, &c->link);
        }
    }
    while (!sh_list_empty(&moved)) {
        struct sh_list *node = sh_list_pop(&moved);
        start(sh_container_of(to, struct backend, base), sh_container_of(node, struct call, link));
    }
}

struct last {
    struct sh_msg msg;
    struct sh_loop *loop;
    bool ran;
};

static void last_ran(struct sh_msg *msg) {
    struct last *last = sh_container_of(msg, struct last, msg);
    last->ran = true;
    sh_loop_stop(last->loop);
}

/* Messages run in the order of posting, so one more tells that those before it have run. */
static void flush(struct sh_loop *loop) {
    struct last last = {.msg.run = last_ran, .loop = loop};
    sh_loop_post(loop, &last.msg);
    while (!last.ran) {
        sh_loop_run(loop);
    }
}

void sh_mcp_backend_free(struct sh_mcp_backend *base) {
    if (!base) {
        return;
    }
    struct backend *b = sh_container_of(base, struct backend, base);
    b->lost = true; /* whatever an answer asks for next is parked, and answered below as well */
    flush(b->loop);
    sh_list_move(&b->parked, &b->calls);
    while (!sh_list_empty(&b->parked)) {
        struct call *c = sh_container_of(b->parked.next, struct call, link);
        if (c->http) {
            sh_http_cancel(c->http);
        }
        sh_fail(&c->err, SH_E_UNAVAILABLE, "the server is stopping; try again when it runs");
        answer(c, 0, (struct sh_str){0});
    }
    sh_free(b->sock);
    sh_free(b);
}
