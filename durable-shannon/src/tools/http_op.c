/* The op `http`: one request, one answer, whatever its status. What an agent writes becomes header
 * lines and a URL only after it was checked part by part.
 *
 * GET, HEAD, PUT, DELETE and OPTIONS may be repeated (RFC 9110, 9.2.2). POST and PATCH carry the
 * activity's Idempotency-Key, but few servers look at it: they are made at most once, unless the
 * agent says `"at_most_once": false` of a server that does. */
#include "tools/outbound.h"

#include <strings.h>

#define HTTP_OP_BYTES (1 * SH_MIB) /* of a response, where the agent names no max_bytes */
enum { REDIRECTS = 5, LINES_MOST = 72 };

struct http_run {
    struct sh_tool_run base;
    struct sh_outbound *out;
    void (*on_alive)(void *arg);
    void (*done)(void *arg, const struct sh_tool_outcome *outcome);
    void *arg;
};

/* What is made of the arguments for one request. */
struct asked {
    char *url, *line[LINES_MOST + 1];
    size_t n;
    struct sh_buf body;
};

static void asked_done(struct asked *a) {
    for (size_t i = 0; i < a->n; i++) {
        sh_free(a->line[i]);
    }
    sh_free(a->url);
    sh_buf_done(&a->body);
}

static const char *method_of(const json_t *args) {
    const char *method = json_string_value(json_object_get(args, "method"));
    return method ? method : "GET";
}

bool sh_http_op_at_most_once(const struct sh_tool *tool, const json_t *args) {
    (void)tool;
    const char *method = method_of(args);
    return strcmp(method, "POST") == 0 || strcmp(method, "PATCH") == 0;
}

static void run_free(struct http_run *run) {
    run->base.tools->running--;
    sh_free(run);
}

static void cancel(struct sh_tool_run *base) {
    struct http_run *run = (struct http_run *)(void *)base;
    sh_outbound_cancel(run->out);
    run_free(run);
}

/* {name in lower case: value}; lines of one name are joined as RFC 9110, 5.3 says, cookies by line.
 */
static json_t *headers_json(struct sh_str headers) {
    json_t *o = json_object();
    for (size_t i = 0; i < headers.len;) {
        const char *line = headers.p + i;
        const char *end = memchr(line, '\n', headers.len - i);
        size_t len = end ? (size_t)(end - line) : headers.len - i;
        const char *colon = memchr(line, ':', len);
        i += len + 1;
        if (!colon || colon == line) {
            continue;
        }
        sh_auto(sh_free_p) char *name = sh_strndup0(line, (size_t)(colon - line));
        for (char *p = name; *p; p++) {
            *p = *p >= 'A' && *p <= 'Z' ? (char)(*p + 32) : *p;
        }
        struct sh_str value = sh_header_value(sh_strn(line, len), name);
        json_t *before = sh_utf8_valid(sh_str(name)) ? json_object_get(o, name) : NULL;
        if (!sh_utf8_valid(sh_str(name))) {
            continue;
        }
        sh_auto(sh_buf_done) struct sh_buf all = {0};
        sh_buf_init(&all, SH_HTTP_HEADER_BYTES_MAX * 2);
        if (before) {
            sh_buf_addf(&all, "%s%s", json_string_value(before),
                        strcmp(name, "set-cookie") == 0 ? "\n" : ", ");
        }
        sh_buf_add(&all, value.p, value.len);
        json_object_set_new(o, name, sh_json_string(sh_buf_str(&all)));
    }
    return o;
}

static json_t *result_of(const struct sh_outbound_answer *a) {
    json_t *o = json_object();
    json_object_set_new(o, "status", json_integer(a->status));
    json_object_set_new(o, "url", sh_json_string(sh_str(a->target->url)));
    json_object_set_new(o, "headers", headers_json(a->headers));
    if (sh_utf8_valid(a->body) && (!a->body.len || !memchr(a->body.p, 0, a->body.len))) {
        json_object_set_new(o, "body", sh_json_string(a->body));
    } else {
        sh_auto(sh_buf_done) struct sh_buf text = {0};
        sh_buf_init(&text, SH_ACTIVITY_RESULT_MAX * 2);
        sh_base64_encode(&text, a->body.p, a->body.len);
        json_object_set_new(o, "body_base64", sh_json_string(sh_buf_str(&text)));
    }
    return o;
}

static void on_done(void *arg, const struct sh_outbound_answer *answer, const struct sh_err *err,
                    bool again) {
    struct http_run *run = arg;
    run->out = NULL;
    if (answer) {
        json_t *result = result_of(answer);
        struct sh_tool_outcome outcome = {.result = result};
        run->done(run->arg, &outcome);
        json_decref(result);
    } else {
        struct sh_tool_outcome outcome = {.err = err, .retryable = again};
        run->done(run->arg, &outcome);
    }
    run_free(run);
}

static void on_alive(void *arg) {
    struct http_run *run = arg;
    if (run->on_alive) {
        run->on_alive(run->arg);
    }
}

static bool is_token(const char *s) {
    bool good = *s != '\0';
    for (; *s; s++) {
        good = good && ((*s >= '0' && *s <= '9') || (*s >= 'A' && *s <= 'Z') ||
                        (*s >= 'a' && *s <= 'z') || strchr("!#$%&'*+-.^_`|~", *s));
    }
    return good;
}

/* These say where a message goes or how it is framed, or are ours to give. */
static bool is_ours(const char *name) {
    static const char *const names[] = {"host",
                                        "content-length",
                                        "transfer-encoding",
                                        "connection",
                                        "upgrade",
                                        "expect",
                                        "te",
                                        "trailer",
                                        "keep-alive",
                                        "proxy-authorization",
                                        "proxy-connection",
                                        "accept-encoding",
                                        NULL};
    for (size_t i = 0; names[i]; i++) {
        if (strcasecmp(names[i], name) == 0) {
            return true;
        }
    }
    return false;
}

static int add_line(struct asked *a, const char *name, const char *value, struct sh_err *err) {
    for (const char *p = value; *p; p++) {
        if (((unsigned char)*p < 0x20 && *p != '\t') || *p == 0x7f) {
            return sh_fail(err, SH_E_INVAL,
                           "http.headers: the value of %.60s holds a control "
                           "character",
                           name);
        }
    }
    SH_ASSERT(a->n < LINES_MOST);
    a->line[a->n++] = sh_asprintf("%s: %s", name, value);
    return 0;
}

static int read_headers(const json_t *headers, const struct sh_credential *credential,
                        struct asked *a, bool *ret_has_key, bool *ret_has_type,
                        struct sh_err *err) {
    const char *name = NULL;
    json_t *value = NULL;
    json_object_foreach((json_t *)(uintptr_t)headers, name, value) {
        if (!is_token(name) || strlen(name) > 128 || !json_is_string(value)) {
            return sh_fail(err, SH_E_INVAL,
                           "http.headers: expected {NAME: text}, not \"%.60s\": ...", name);
        }
        if (is_ours(name) || (credential && strcasecmp(credential->header, name) == 0)) {
            return sh_fail(err, SH_E_INVAL, "http.headers: %.60s is not the agent's to set", name);
        }
        *ret_has_key |= strcasecmp(name, "idempotency-key") == 0;
        *ret_has_type |= strcasecmp(name, "content-type") == 0;
        int r = add_line(a, name, json_string_value(value), err);
        if (r) {
            return r;
        }
    }
    return 0;
}

/* A string is sent as it is; another value as JSON. */
static int read_body(const json_t *args, struct asked *a, bool *ret_is_json, struct sh_err *err) {
    const json_t *body = json_object_get(args, "body");
    struct sh_str coded = sh_json_get_str(args, "body_base64");
    if (body && coded.len) {
        return sh_fail(err, SH_E_INVAL, "http: expected body or body_base64, not both");
    }
    if (coded.len) {
        return sh_base64_decode(&a->body, coded) == 0
                   ? 0
                   : sh_fail(err, SH_E_INVAL, "http.body_base64: expected base64 (RFC 4648)");
    }
    if (json_is_string(body)) {
        sh_buf_add(&a->body, json_string_value(body), json_string_length(body));
    } else if (body) {
        sh_json_dump(body, &a->body);
        *ret_is_json = true;
    }
    return 0;
}

static int read_asked(const struct sh_tool_call *call, const struct sh_credential *credential,
                      struct asked *a, struct sh_err *err) {
    bool has_key = false;
    bool has_type = false;
    bool is_json = false;
    struct sh_str url = sh_json_get_str(call->args, "url");
    a->url = sh_strndup0(url.p, url.len);
    int r = read_headers(json_object_get(call->args, "headers"), credential, a, &has_key, &has_type,
                         err);
    r = r ? r : read_body(call->args, a, &is_json, err);
    if (r == 0 && is_json && !has_type) {
        r = add_line(a, "Content-Type", "application/json", err);
    }
    const char *method = method_of(call->args);
    bool safe =
        strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0 || strcmp(method, "OPTIONS") == 0;
    if (r == 0 && !safe && !has_key && call->idempotency_key) {
        r = add_line(a, "Idempotency-Key", call->idempotency_key, err);
    }
    if (r == 0 && call->traceparent) {
        r = add_line(a, "traceparent", call->traceparent, err);
    }
    return r;
}

/* The agent must have been granted it, and be granted it still. */
static int find_credential(const struct sh_tools *t, const struct sh_tool_call *call,
                           const struct sh_credential **ret, struct sh_err *err) {
    struct sh_str name = sh_json_get_str(call->args, "credential");
    *ret = NULL;
    if (!name.len) {
        return 0;
    }
    sh_auto(sh_free_p) char *tool = sh_asprintf("credential:%.*s", (int)name.len, name.p);
    if (!call->may_use || !call->may_use(call->arg, sh_str(tool))) {
        return sh_fail(err, SH_E_DENIED,
                       "the credential \"%.*s\" is not granted to this agent; the operator grants "
                       "it with `--tool %s` or in policy.toml",
                       (int)name.len, name.p, tool);
    }
    *ret = sh_credential_find(t, name);
    return *ret ? 0
                : sh_fail(err, SH_E_UNCONFIGURED,
                          "there is no credential \"%.*s\"; the operator names it in "
                          "[http.credentials.%.*s] of shannon.toml",
                          (int)name.len, name.p, (int)name.len, name.p);
}

/* Its place and its credential, before it leaves. */
int sh_http_op_ready(const struct sh_tools *t, const struct sh_tool_call *call,
                     struct sh_err *err) {
    const struct sh_credential *credential = NULL;
    struct sh_str name = sh_json_get_str(call->args, "credential");
    struct sh_egress_target target;
    struct sh_egress_gate gate = {call->may_reach, call->arg};
    if (name.len && !sh_credential_find(t, name)) {
        return find_credential(t, call, &credential, err);
    }
    int r = sh_egress_target_parse(json_string_value(json_object_get(call->args, "url")), NULL,
                                   &target, err);
    if (r) {
        return r;
    }
    r = sh_egress_check(&gate, &target, method_of(call->args), err);
    sh_egress_target_done(&target);
    return r;
}

int sh_http_op_start(struct sh_tools *t, const struct sh_tool_call *call, struct sh_tool_run **ret,
                     struct sh_err *err) {
    const struct sh_credential *credential = NULL;
    sh_auto(asked_done) struct asked asked = {.n = 0};
    sh_buf_init(&asked.body, SH_ACTIVITY_ARGS_MAX);
    int r = find_credential(t, call, &credential, err);
    r = r ? r : read_asked(call, credential, &asked, err);
    if (r) {
        return r;
    }
    struct http_run *run = sh_new(struct http_run);
    *run = (struct http_run){
        .base = {t, cancel}, .on_alive = call->on_alive, .done = call->done, .arg = call->arg};
    t->running++;
    struct sh_outbound_request request = {
        .method = method_of(call->args),
        .url = asked.url,
        .headers = (const char *const *)asked.line,
        .body = sh_buf_str(&asked.body),
        .redirects = (unsigned)sh_json_get_int(call->args, "redirects", REDIRECTS),
        .max_bytes = (size_t)sh_json_get_int(call->args, "max_bytes", HTTP_OP_BYTES),
        .timeout_ms = call->timeout_ms ? call->timeout_ms : t->http_timeout_ms,
        .gate = {call->may_reach, call->arg},
        .credential = credential,
        .on_alive = on_alive,
        .done = on_done,
        .arg = run,
    };
    r = sh_outbound_start(t, &request, &run->out, err);
    if (r) {
        run_free(run);
        return r;
    }
    *ret = &run->base;
    return 0;
}
