/* web_fetch: the rules of a site, then the page, hop by hop, then its text. */
#include "tools/fetch.h"

#include <stdio.h>
#include <strings.h>

#define FETCH_TIMEOUT_MS 60000ULL
enum { CHARS_USUAL = 50000 };

static void on_wake(struct sh_timer *timer) {
    struct sh_tools *t = sh_container_of(timer, struct sh_tools, fetch_wake);
    sh_fetch_robots_wake(t);
    sh_fetch_read_wake(t);
}

void sh_fetch_wake(struct sh_tools *t) {
    if (!sh_list_empty(&t->fetch_waiting) || !sh_list_empty(&t->fetch_queue)) {
        sh_timer_start(t->loop, &t->fetch_wake, 0, on_wake);
    }
}

static void run_free(struct sh_fetch *f) {
    struct sh_tools *t = f->base.tools;
    t->running--;
    t->fetch_readers -= f->reader != NULL;
    sh_timer_stop(&f->late);
    sh_list_unlink(&f->link);
    sh_process_close(f->reader);
    sh_egress_target_done(&f->target);
    sh_buf_done(&f->page);
    sh_buf_done(&f->read);
    sh_free(f);
    sh_fetch_wake(t);
}

static void cancel(struct sh_tool_run *base) {
    struct sh_fetch *f = (struct sh_fetch *)(void *)base;
    sh_outbound_cancel(f->out);
    run_free(f);
}

/* The end of a f, one way or the other. */
void sh_fetch_fail(struct sh_fetch *f, const struct sh_err *err, bool again) {
    struct sh_tool_outcome outcome = {.err = err, .retryable = again};
    f->done(f->arg, &outcome);
    run_free(f);
}

void sh_fetch_succeed(struct sh_fetch *f, json_t *readable) {
    json_object_set_new(readable, "url", sh_json_string(sh_str(f->target.url)));
    json_object_set_new(readable, "content_type", sh_json_string(sh_str(f->type)));
    struct sh_tool_outcome outcome = {.result = readable};
    f->done(f->arg, &outcome);
    run_free(f);
}

void sh_fetch_alive(void *arg) {
    struct sh_fetch *f = arg;
    if (f->on_alive) {
        f->on_alive(f->arg);
    }
}

uint64_t sh_fetch_left_ms(const struct sh_fetch *f) {
    uint64_t now = sh_boot_ns();
    return now < f->deadline_ns ? (f->deadline_ns - now) / 1000000 + 1 : 1;
}

/* "text/html; charset=utf-8" -> type in lower case, and the charset, cleaned. */
static void split_type(struct sh_str value, char *type, size_t size, char charset[41]) {
    size_t n = 0;
    while (n < value.len && n + 1 < size && value.p[n] != ';' && value.p[n] != ' ') {
        char c = value.p[n];
        type[n] = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c > 0x20 && c < 0x7f ? c : '?');
        n++;
    }
    type[n] = '\0';
    charset[0] = '\0';
    for (size_t i = n; i + 8 < value.len; i++) {
        if (strncasecmp(value.p + i, "charset=", 8) == 0) {
            size_t from = i + 8 + (value.p[i + 8] == '"');
            size_t k = 0;
            while (from + k < value.len && k < 40 && value.p[from + k] > 0x20 &&
                   !strchr("\";,", value.p[from + k])) {
                charset[k] = value.p[from + k];
                k++;
            }
            charset[k] = '\0';
            return;
        }
    }
}

static bool is_texty(const char *type) {
    static const char *const types[] = {"application/json",
                                        "application/xml",
                                        "application/javascript",
                                        "application/x-ndjson",
                                        "application/yaml",
                                        "application/toml",
                                        NULL};
    size_t n = strlen(type);
    for (size_t i = 0; types[i]; i++) {
        if (strcmp(types[i], type) == 0) {
            return true;
        }
    }
    return strncmp(type, "text/", 5) == 0 || (n > 5 && strcmp(type + n - 5, "+json") == 0) ||
           (n > 4 && strcmp(type + n - 4, "+xml") == 0);
}

static int find_kind(struct sh_fetch *f, struct sh_str body, struct sh_err *err) {
    const char *type = f->type;
    if (type[0] == '\0') {
        bool markup = body.len && memchr(body.p, '<', body.len < 512 ? body.len : 512);
        snprintf(f->type, sizeof(f->type), "%s",
                 sh_str_starts(body, SH_STR("%PDF-")) ? "application/pdf"
                 : markup                             ? "text/html"
                                                      : "text/plain");
    }
    if (strcmp(type, "text/html") == 0 || strcmp(type, "application/xhtml+xml") == 0) {
        f->kind = SH_FETCH_HTML;
    } else if (strcmp(type, "application/pdf") == 0) {
        f->kind = SH_FETCH_PDF;
    } else if (is_texty(type)) {
        f->kind = SH_FETCH_TEXT;
    } else {
        return sh_fail(err, SH_E_UNSUPPORTED,
                       "%.200s is %s; web_fetch reads HTML, text and PDF (use http for bytes)",
                       f->target.url, type);
    }
    return 0;
}

static void read_page(struct sh_fetch *f, const struct sh_outbound_answer *a) {
    struct sh_err err = {0};
    split_type(sh_header_value(a->headers, "content-type"), f->type, sizeof(f->type), f->charset);
    if (find_kind(f, a->body, &err) != 0) {
        sh_fetch_fail(f, &err, false);
        return;
    }
    sh_buf_add(&f->page, a->body.p, a->body.len);
    sh_fetch_read(f);
}

/* The page. */

static int next_hop(struct sh_fetch *f, struct sh_err *err) {
    int r = sh_egress_check(&f->gate, &f->target, "GET", err);
    return r ? r : sh_fetch_robots(f, err);
}

static void follow(struct sh_fetch *f, struct sh_str location) {
    struct sh_egress_target next = {0};
    struct sh_err err = {0};
    sh_auto(sh_free_p) char *text = sh_strndup0(location.p, location.len);
    if (++f->hops > SH_FETCH_HOPS) {
        sh_fail(&err, SH_E_LIMIT, "%.200s: more than %d redirects", f->target.url, SH_FETCH_HOPS);
    } else if (sh_egress_target_parse(text, f->target.url, &next, &err) == 0) {
        sh_egress_target_done(&f->target);
        f->target = next;
        if (next_hop(f, &err) == 0) {
            return;
        }
    }
    sh_fetch_fail(f, &err, false);
}

static void on_page(void *arg, const struct sh_outbound_answer *a, const struct sh_err *why,
                    bool again) {
    struct sh_fetch *f = arg;
    struct sh_err err = {0};
    f->out = NULL;
    if (!a) {
        sh_fetch_fail(f, why, again);
        return;
    }
    struct sh_str location = sh_header_value(a->headers, "location");
    if (a->status >= 300 && a->status < 400 && location.len) {
        follow(f, location);
    } else if (a->status < 200 || a->status >= 300) {
        bool passes = a->status >= 500 || a->status == 408 || a->status == 425 || a->status == 429;
        sh_fail(&err,
                !passes            ? SH_E_UPSTREAM_REJECTED
                : a->status == 429 ? SH_E_RATE
                                   : SH_E_UPSTREAM,
                "%.200s answered %d", f->target.url, a->status);
        sh_fetch_fail(f, &err, passes);
    } else {
        read_page(f, a);
    }
}

int sh_fetch_page(struct sh_fetch *f, struct sh_err *err) {
    static const char *const headers[] = {
        SH_FETCH_AGENT,
        "Accept: text/html,application/xhtml+xml,text/plain;q=0.9,application/pdf;q=0.8", NULL};
    struct sh_outbound_request request = {
        .method = "GET",
        .url = f->target.url,
        .headers = headers,
        .max_bytes = f->bytes,
        .timeout_ms = sh_fetch_left_ms(f),
        .gate = f->gate,
        .on_alive = sh_fetch_alive,
        .done = on_page,
        .arg = f,
    };
    return sh_outbound_start(f->base.tools, &request, &f->out, err);
}

int sh_fetch_start(struct sh_tools *t, const struct sh_tool_call *call, struct sh_tool_run **ret,
                   struct sh_err *err) {
    uint64_t ms = call->timeout_ms ? call->timeout_ms : FETCH_TIMEOUT_MS;
    struct sh_fetch *f = sh_new(struct sh_fetch);
    *f = (struct sh_fetch){
        .base = {t, cancel},
        .gate = {call->may_reach, call->arg},
        .deadline_ns = sh_boot_ns() + ms * 1000000,
        .chars = (size_t)sh_json_get_int(call->args, "max_chars", CHARS_USUAL),
        .bytes = (size_t)sh_json_get_int(call->args, "max_bytes", SH_FETCH_BYTES_MAX),
        .on_alive = call->on_alive,
        .done = call->done,
        .arg = call->arg,
    };
    sh_buf_init(&f->page, SH_FETCH_BYTES_MAX);
    sh_buf_init(&f->read, SH_ACTIVITY_RESULT_MAX * 2);
    t->running++;
    sh_auto(sh_free_p) char *url = sh_strdup(json_string_value(json_object_get(call->args, "url")));
    int r = sh_egress_target_parse(url, NULL, &f->target, err);
    r = r ? r : next_hop(f, err);
    if (r) {
        run_free(f);
        return r;
    }
    *ret = &f->base;
    return 0;
}
