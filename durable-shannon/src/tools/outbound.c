/* See outbound.h. Redirects are ours to follow: each hop is parsed, put before the rules, resolved
 * and connected like a first request. What an agent gave for one origin (its headers with secrets,
 * a credential) is not taken to another. */
#include "tools/outbound.h"

#include <stdio.h>
#include <strings.h>

#define CONNECT_MS 15000ULL
enum { HEADERS_MOST = 80 };

struct sh_outbound {
    struct sh_tools *tools;
    struct sh_http *http;
    struct sh_egress_target target;
    char *method;
    char *header[HEADERS_MOST];
    size_t n_headers;
    struct sh_buf body, answer_headers, answer_body;
    unsigned redirects, hops;
    size_t max_bytes;
    uint64_t deadline_ns;
    struct sh_egress_gate gate;
    const struct sh_credential *credential;
    struct sh_secret secret;
    void (*on_alive)(void *arg); /* or NULL */
    void (*done)(void *arg, const struct sh_outbound_answer *answer, const struct sh_err *err,
                 bool again);
    void *arg;
};

static void outbound_free(struct sh_outbound *o) {
    sh_egress_target_done(&o->target);
    sh_free(o->method);
    for (size_t i = 0; i < o->n_headers; i++) {
        sh_free(o->header[i]);
    }
    sh_buf_done(&o->body);
    sh_buf_done(&o->answer_headers);
    sh_buf_done(&o->answer_body);
    sh_secret_done(&o->secret);
    sh_free(o);
}

void sh_outbound_cancel(struct sh_outbound *o) {
    if (o) {
        sh_http_cancel(o->http);
        outbound_free(o);
    }
}

struct sh_str sh_header_value(struct sh_str headers, const char *name) {
    size_t n = strlen(name);
    for (size_t i = 0; i < headers.len;) {
        const char *line = headers.p + i;
        const char *end = memchr(line, '\n', headers.len - i);
        size_t len = end ? (size_t)(end - line) : headers.len - i;
        if (len > n && line[n] == ':' && strncasecmp(line, name, n) == 0) {
            size_t from = n + 1;
            while (from < len && (line[from] == ' ' || line[from] == '\t')) {
                from++;
            }
            while (len > from && (line[len - 1] == '\r' || line[len - 1] == ' ')) {
                len--;
            }
            return sh_strn(line + from, len - from);
        }
        i += len + 1;
    }
    return (struct sh_str){0};
}

/* The end: o is gone afterwards. */
static void fail(struct sh_outbound *o, const struct sh_err *why, bool again) {
    struct sh_err err = *why;
    sh_auto(sh_buf_done) struct sh_buf clean = {0};
    sh_buf_init(&clean, sizeof(err.message) * 4);
    sh_secret_redact(&o->secret, sh_str(why->message), &clean);
    snprintf(err.message, sizeof(err.message), "%s", clean.len ? clean.p : "");
    o->done(o->arg, NULL, &err, again);
    outbound_free(o);
}

static void succeed(struct sh_outbound *o, int status, struct sh_str body) {
    sh_auto(sh_buf_done) struct sh_buf clean_body = {0};
    sh_auto(sh_buf_done) struct sh_buf clean_headers = {0};
    sh_buf_init(&clean_body, o->max_bytes * 3 + 1);
    sh_buf_init(&clean_headers, SH_HTTP_HEADER_BYTES_MAX * 3);
    struct sh_outbound_answer answer = {.status = status,
                                        .target = &o->target,
                                        .headers = sh_buf_str(&o->answer_headers),
                                        .body = body};
    if (o->secret.len) {
        sh_secret_redact(&o->secret, body, &clean_body);
        sh_secret_redact(&o->secret, answer.headers, &clean_headers);
        answer.body = sh_buf_str(&clean_body);
        answer.headers = sh_buf_str(&clean_headers);
    }
    o->done(o->arg, &answer, NULL, false);
    outbound_free(o);
}

static bool on_allow(void *arg, const struct sockaddr *addr) {
    struct sh_outbound *o = arg;
    return sh_egress_allows(&o->gate, &o->tools->own, &o->target, o->method, addr);
}

static int send_hop(struct sh_outbound *o, struct sh_err *err);

static bool is_redirect(int status) {
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

static bool carries_secret(const char *line) {
    return strncasecmp(line, "authorization:", 14) == 0 || strncasecmp(line, "cookie:", 7) == 0 ||
           strncasecmp(line, "proxy-authorization:", 20) == 0 ||
           strncasecmp(line, "x-api-key:", 10) == 0;
}

static void forget_secrets(struct sh_outbound *o) {
    size_t kept = 0;
    for (size_t i = 0; i < o->n_headers; i++) {
        if (carries_secret(o->header[i])) {
            sh_free(o->header[i]);
        } else {
            o->header[kept++] = o->header[i];
        }
    }
    o->n_headers = kept;
    o->credential = NULL; /* the secret stays, to be recognised in an echo */
}

static int follow(struct sh_outbound *o, struct sh_str location, struct sh_err *err) {
    struct sh_egress_target next = {0};
    sh_auto(sh_free_p) char *text = sh_strndup0(location.p, location.len);
    int r = sh_egress_target_parse(text, o->target.url, &next, err);
    r = r ? r : sh_egress_check(&o->gate, &next, o->method, err);
    if (r) {
        struct sh_err why = *err;
        sh_egress_target_done(&next);
        return sh_fail(err, why.code, "redirect %u, from %.100s: %s", o->hops + 1, o->target.url,
                       why.message);
    }
    if (!sh_egress_same_origin(&o->target, &next)) {
        forget_secrets(o);
    } else if (o->credential && sh_credential_check(o->credential, &next, o->method, NULL) != 0) {
        o->credential = NULL;
    }
    sh_egress_target_done(&o->target);
    o->target = next;
    o->hops++;
    return send_hop(o, err);
}

static void on_data(void *arg, struct sh_str bytes) {
    struct sh_outbound *o = arg;
    sh_buf_add(&o->answer_body, bytes.p, bytes.len); /* bounded: the request's max_response_bytes */
    if (o->on_alive) {
        o->on_alive(o->arg);
    }
}

static void on_done(void *arg, int status, struct sh_str body, uint64_t retry_after_ms,
                    const struct sh_err *http_err) {
    struct sh_outbound *o = arg;
    struct sh_err err = {0};
    (void)retry_after_ms;
    (void)body;
    o->http = NULL;
    if (http_err && http_err->code == SH_E_DENIED) {
        sh_fail(&err, SH_E_DENIED,
                "%.200s stands for an address that is not public or is this machine's (%.120s); "
                "only a network rule that writes that address out allows it",
                o->target.url, http_err->message);
        fail(o, &err, false);
        return;
    }
    if (http_err) {
        sh_fail(&err, http_err->code, "%s %.200s: %.200s", o->method, o->target.url,
                http_err->message);
        fail(o, &err, sh_code_info(http_err->code)->retryable);
        return;
    }
    struct sh_str location = sh_header_value(sh_buf_str(&o->answer_headers), "location");
    bool follows = strcmp(o->method, "GET") == 0 || strcmp(o->method, "HEAD") == 0;
    if (!is_redirect(status) || !location.len || !follows || o->redirects == 0) {
        succeed(o, status, sh_buf_str(&o->answer_body));
    } else if (o->hops >= o->redirects) {
        sh_fail(&err, SH_E_LIMIT, "%.200s: more than %u redirects", o->target.url, o->redirects);
        fail(o, &err, false);
    } else if (follow(o, location, &err) != 0) {
        fail(o, &err, false);
    }
}

/* The header lines of this hop, the credential's among them, wiped by the caller. */
static int send_hop(struct sh_outbound *o, struct sh_err *err) {
    const char *lines[HEADERS_MOST + 2] = {NULL};
    uint64_t now = sh_boot_ns();
    if (now >= o->deadline_ns) {
        return sh_fail(err, SH_E_TIMEOUT, "no time was left for %.200s", o->target.url);
    }
    uint64_t left_ms = (o->deadline_ns - now) / 1000000 + 1;
    char *secret = o->credential ? sh_asprintf("%s: %s%s", o->credential->header,
                                               o->credential->prefix, o->secret.p)
                                 : NULL;
    for (size_t i = 0; i < o->n_headers; i++) {
        lines[i] = o->header[i];
    }
    lines[o->n_headers] = secret;
    sh_buf_clear(&o->answer_headers);
    sh_buf_clear(&o->answer_body);
    struct sh_http_request request = {
        .method = o->method,
        .url = o->target.url,
        .headers = lines,
        .body = sh_buf_str(&o->body),
        .max_response_bytes = o->max_bytes,
        .timeout_ms = left_ms,
        .connect_timeout_ms = left_ms < CONNECT_MS ? left_ms : CONNECT_MS,
        .allow = on_allow,
        .response_headers = &o->answer_headers,
        .on_data = on_data,
        .done = on_done,
        .arg = o,
    };
    int r = sh_http_start(o->tools->loop, &request, &o->http, err);
    if (secret) {
        explicit_bzero(secret, strlen(secret));
        sh_free(secret);
    }
    return r;
}

static int prepare(struct sh_outbound *o, const struct sh_outbound_request *req,
                   struct sh_err *err) {
    int r = sh_egress_target_parse(req->url, NULL, &o->target, err);
    r = r ? r : sh_egress_check(&o->gate, &o->target, o->method, err);
    if (r == 0 && o->credential) {
        r = sh_credential_check(o->credential, &o->target, o->method, err);
        r = r ? r : sh_secret_read(o->credential->env, o->credential->file, &o->secret, err);
        if (r == 0 && o->secret.len == 0) {
            r = sh_fail(err, SH_E_INVAL, "the credential \"%s\" has no value: set the variable %s",
                        o->credential->name, o->credential->env);
        }
    }
    for (size_t i = 0; r == 0 && req->headers && req->headers[i]; i++) {
        if (o->n_headers == HEADERS_MOST) {
            return sh_fail(err, SH_E_LIMIT, "more than %d header lines", HEADERS_MOST);
        }
        o->header[o->n_headers++] = sh_strdup(req->headers[i]);
    }
    return r;
}

int sh_outbound_start(struct sh_tools *t, const struct sh_outbound_request *req,
                      struct sh_outbound **ret, struct sh_err *err) {
    struct sh_outbound *o = sh_new(struct sh_outbound);
    *o = (struct sh_outbound){
        .tools = t,
        .method = sh_strdup(req->method),
        .redirects = req->redirects,
        .max_bytes = req->max_bytes,
        .deadline_ns = sh_boot_ns() + req->timeout_ms * 1000000,
        .gate = req->gate,
        .credential = req->credential,
        .on_alive = req->on_alive,
        .done = req->done,
        .arg = req->arg,
    };
    sh_buf_init(&o->body, SH_ACTIVITY_ARGS_MAX);
    sh_buf_init(&o->answer_headers, SH_HTTP_HEADER_BYTES_MAX);
    sh_buf_init(&o->answer_body, req->max_bytes);
    sh_buf_add(&o->body, req->body.p, req->body.len);
    int r = prepare(o, req, err);
    r = r ? r : send_hop(o, err);
    if (r) {
        outbound_free(o);
        return r;
    }
    *ret = o;
    return 0;
}
