/* web_fetch: robots.txt, then the page, hop by hop, then a child process that makes text of it. The
 * server itself looks at headers and robots.txt only; documents are parsed where nothing else is.
 *
 *   ROBOTS (unless this site's are known) -> PAGE -> READING -> the result
 *      ^----------- a redirect ----------------' */
#include <stdio.h>
#include <strings.h>
#include <unistd.h>

#include "tools/outbound.h"
#include "tools/readable.h"
#include "tools/robots.h"

#define FETCH_TIMEOUT_MS 60000ULL
#define ROBOTS_KEPT_NS (3600ULL * 1000000000)
#define READ_MEMORY_BYTES (1 * SH_GIB)
#define AGENT "User-Agent: Shannon/0.1 (an agent runtime on a person's own machine)"
enum { HOPS_MOST = 5, READ_CPU_SECONDS = 20, CHARS_USUAL = 50000, ROBOTS_SITES = 64 };

/* robots.txt of one site. */
struct sh_robots_entry {
    char *origin, *rules;
    uint64_t until_ns;
};

enum kind { KIND_HTML, KIND_TEXT, KIND_PDF };

struct fetch_run {
    struct sh_tool_run base;
    struct sh_outbound *out;
    struct sh_process *process;
    struct sh_timer late;
    struct sh_egress_target target; /* of this hop */
    struct sh_egress_gate gate;
    unsigned hops;
    uint64_t deadline_ns;
    size_t chars, bytes;
    enum kind kind;
    char type[64];
    struct sh_buf read; /* what the child said */
    void (*on_alive)(void *arg);
    void (*done)(void *arg, const struct sh_tool_outcome *outcome);
    void *arg;
};

static void run_free(struct fetch_run *run) {
    run->base.tools->running--;
    sh_timer_stop(&run->late);
    sh_process_close(run->process);
    sh_egress_target_done(&run->target);
    sh_buf_done(&run->read);
    sh_free(run);
}

static void cancel(struct sh_tool_run *base) {
    struct fetch_run *run = (struct fetch_run *)(void *)base;
    sh_outbound_cancel(run->out);
    run_free(run);
}

/* The end of a run, one way or the other. */
static void fail(struct fetch_run *run, const struct sh_err *err, bool again) {
    struct sh_tool_outcome outcome = {.err = err, .retryable = again};
    run->done(run->arg, &outcome);
    run_free(run);
}

static void succeed(struct fetch_run *run, json_t *readable) {
    json_object_set_new(readable, "url", sh_json_string(sh_str(run->target.url)));
    json_object_set_new(readable, "content_type", sh_json_string(sh_str(run->type)));
    struct sh_tool_outcome outcome = {.result = readable};
    run->done(run->arg, &outcome);
    run_free(run);
}

static void on_alive(void *arg) {
    struct fetch_run *run = arg;
    if (run->on_alive) {
        run->on_alive(run->arg);
    }
}

static uint64_t left_ms(const struct fetch_run *run) {
    uint64_t now = sh_boot_ns();
    return now < run->deadline_ns ? (run->deadline_ns - now) / 1000000 + 1 : 1;
}

/* Reading: the child. */

static void on_output(void *arg, struct sh_str bytes) {
    struct fetch_run *run = arg;
    sh_buf_add(&run->read, bytes.p, bytes.len);
}

static void reading_failed(struct fetch_run *run, const char *why) {
    struct sh_err err = {0};
    sh_fail(&err, SH_E_UPSTREAM, "%.200s (%s) could not be made text: %s", run->target.url,
            run->type, why);
    fail(run, &err, false);
}

static void on_exit_of_reader(void *arg, int status, int sig) {
    struct fetch_run *run = arg;
    json_t *result = NULL;
    char why[80];
    snprintf(why, sizeof(why), "its reader ended with %s %d", sig ? "signal" : "status",
             sig ? sig : status);
    bool pdf = run->kind == KIND_PDF;
    if (status != 0 || (run->read.failed && !pdf)) {
        reading_failed(run, why);
    } else if (pdf) {
        sh_auto(sh_buf_done) struct sh_buf text;
        sh_buf_init(&text, SH_FETCH_BYTES_MAX * 4);
        sh_charset_convert(NULL, sh_buf_str(&run->read), &text);
        succeed(run, result = sh_readable_text(sh_buf_str(&text), run->chars));
    } else if (sh_json_parse(sh_buf_str(&run->read), SH_ACTIVITY_RESULT_MAX * 2, &result, NULL) !=
                   0 ||
               !json_is_object(result)) {
        reading_failed(run, "its reader said nothing that makes sense");
    } else {
        succeed(run, result);
    }
    json_decref(result);
}

static void on_late(struct sh_timer *t) {
    struct fetch_run *run = sh_container_of(t, struct fetch_run, late);
    struct sh_err err = {0};
    sh_fail(&err, SH_E_TIMEOUT, "making text of %.200s took too long", run->target.url);
    fail(run, &err, false);
}

static int start_reader(struct fetch_run *run, const char *charset, struct sh_err *err) {
    const struct sh_tools *t = run->base.tools;
    char chars[24];
    snprintf(chars, sizeof(chars), "%zu", run->chars);
    const char *const reader[] = {
        "shannon", "read-worker",   run->kind == KIND_HTML ? "html" : "text",
        charset,   run->target.url, chars,
        NULL};
    const char *const pdf[] = {"pdftotext", "-q", "-nopgbrk", "-enc", "UTF-8", "-", "-", NULL};
    const char *const env[] = {"LC_ALL=C.UTF-8", NULL};
    bool is_pdf = run->kind == KIND_PDF;
    const char *program = is_pdf ? t->pdftotext : t->worker;
    if (!program || access(program, X_OK) != 0) {
        return sh_fail(err, SH_E_UNSUPPORTED,
                       is_pdf ? "%.200s is a PDF, and pdftotext is not installed here (Debian: "
                                "apt-get install poppler-utils)"
                              : "%.200s cannot be read: there is no reader",
                       run->target.url);
    }
    struct sh_process_options o = {
        .program = program,
        .argv = is_pdf ? pdf : reader,
        .env = env,
        .memory_bytes = READ_MEMORY_BYTES,
        .cpu_seconds = READ_CPU_SECONDS,
        .confined = true,
        .on_out = on_output,
        .on_exit = on_exit_of_reader,
        .arg = run,
    };
    return sh_process_start(t->loop, &o, &run->process, err);
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

static int find_kind(struct fetch_run *run, struct sh_str body, struct sh_err *err) {
    const char *type = run->type;
    if (type[0] == '\0') {
        bool markup = body.len && memchr(body.p, '<', body.len < 512 ? body.len : 512);
        snprintf(run->type, sizeof(run->type), "%s",
                 sh_str_starts(body, SH_STR("%PDF-")) ? "application/pdf"
                 : markup                             ? "text/html"
                                                      : "text/plain");
    }
    if (strcmp(type, "text/html") == 0 || strcmp(type, "application/xhtml+xml") == 0) {
        run->kind = KIND_HTML;
    } else if (strcmp(type, "application/pdf") == 0) {
        run->kind = KIND_PDF;
    } else if (is_texty(type)) {
        run->kind = KIND_TEXT;
    } else {
        return sh_fail(err, SH_E_UNSUPPORTED,
                       "%.200s is %s; web_fetch reads HTML, text and PDF (use http for bytes)",
                       run->target.url, type);
    }
    return 0;
}

static void read_page(struct fetch_run *run, const struct sh_outbound_answer *a) {
    struct sh_err err = {0};
    char charset[41];
    split_type(sh_header_value(a->headers, "content-type"), run->type, sizeof(run->type), charset);
    int r = find_kind(run, a->body, &err);
    r = r ? r : start_reader(run, charset, &err);
    if (r) {
        fail(run, &err, false);
        return;
    }
    sh_timer_start(run->base.tools->loop, &run->late, left_ms(run) * 1000000, on_late);
    if (a->body.len) {
        (void)sh_process_write(run->process, a->body, SH_FETCH_BYTES_MAX, NULL);
    }
    sh_process_end_input(run->process);
}

/* The page. */

static int next_hop(struct fetch_run *run, struct sh_err *err);

static void follow(struct fetch_run *run, struct sh_str location) {
    struct sh_egress_target next = {0};
    struct sh_err err = {0};
    sh_auto(sh_free_p) char *text = sh_strndup0(location.p, location.len);
    if (++run->hops > HOPS_MOST) {
        sh_fail(&err, SH_E_LIMIT, "%.200s: more than %d redirects", run->target.url, HOPS_MOST);
    } else if (sh_egress_target_parse(text, run->target.url, &next, &err) == 0) {
        sh_egress_target_done(&run->target);
        run->target = next;
        if (next_hop(run, &err) == 0) {
            return;
        }
    }
    fail(run, &err, false);
}

static void on_page(void *arg, const struct sh_outbound_answer *a, const struct sh_err *why,
                    bool again) {
    struct fetch_run *run = arg;
    struct sh_err err = {0};
    run->out = NULL;
    if (!a) {
        fail(run, why, again);
        return;
    }
    struct sh_str location = sh_header_value(a->headers, "location");
    if (a->status >= 300 && a->status < 400 && location.len) {
        follow(run, location);
    } else if (a->status < 200 || a->status >= 300) {
        bool passes = a->status >= 500 || a->status == 408 || a->status == 425 || a->status == 429;
        sh_fail(&err,
                !passes            ? SH_E_UPSTREAM_REJECTED
                : a->status == 429 ? SH_E_RATE
                                   : SH_E_UPSTREAM,
                "%.200s answered %d", run->target.url, a->status);
        fail(run, &err, passes);
    } else {
        read_page(run, a);
    }
}

static int start_page(struct fetch_run *run, struct sh_err *err) {
    static const char *const headers[] = {
        AGENT, "Accept: text/html,application/xhtml+xml,text/plain;q=0.9,application/pdf;q=0.8",
        NULL};
    struct sh_outbound_request request = {
        .method = "GET",
        .url = run->target.url,
        .headers = headers,
        .max_bytes = run->bytes,
        .timeout_ms = left_ms(run),
        .gate = run->gate,
        .on_alive = on_alive,
        .done = on_page,
        .arg = run,
    };
    return sh_outbound_start(run->base.tools, &request, &run->out, err);
}

/* robots.txt. */

void sh_robots_cache_done(struct sh_tools *t) {
    for (size_t i = 0; i < t->n_robots; i++) {
        sh_free(t->robots[i].origin);
        sh_free(t->robots[i].rules);
    }
    t->robots = sh_free(t->robots);
    t->n_robots = 0;
}

static char *origin_of(const struct sh_egress_target *t) {
    return sh_asprintf("%s://%s:%u", t->scheme, t->host, t->port);
}

static const struct sh_robots_entry *robots_known(const struct sh_tools *t, const char *origin) {
    for (size_t i = 0; i < t->n_robots; i++) {
        if (strcmp(t->robots[i].origin, origin) == 0 && t->robots[i].until_ns > sh_boot_ns()) {
            return &t->robots[i];
        }
    }
    return NULL;
}

/* In the place of the same site's, or a free one, or the one that goes first. */
static void robots_keep(struct sh_tools *t, char *origin, char *rules) {
    size_t at = t->n_robots;
    if (!t->robots) {
        t->robots = sh_new_array(struct sh_robots_entry, ROBOTS_SITES);
    }
    for (size_t i = 0; i < t->n_robots; i++) {
        bool same = strcmp(t->robots[i].origin, origin) == 0;
        bool older = at < t->n_robots && t->robots[i].until_ns < t->robots[at].until_ns;
        if (same || (t->n_robots == ROBOTS_SITES && (at == t->n_robots || older))) {
            at = i;
            if (same) {
                break;
            }
        }
    }
    if (at == t->n_robots) {
        t->n_robots++;
    } else {
        sh_free(t->robots[at].origin);
        sh_free(t->robots[at].rules);
    }
    t->robots[at] = (struct sh_robots_entry){origin, rules, sh_boot_ns() + ROBOTS_KEPT_NS};
}

static const char *path_and_query(const struct sh_egress_target *t) {
    const char *host = strstr(t->url, "://");
    const char *path = host ? strchr(host + 3, '/') : NULL;
    return path ? path : "/";
}

static int obey(const struct fetch_run *run, const char *rules, struct sh_err *err) {
    if (sh_robots_allow(sh_str(rules), path_and_query(&run->target))) {
        return 0;
    }
    return sh_fail(err, SH_E_UPSTREAM_REJECTED,
                   "the robots.txt of %s asks programs not to read %.200s", run->target.host,
                   run->target.url);
}

static void on_robots(void *arg, const struct sh_outbound_answer *a, const struct sh_err *why,
                      bool again) {
    struct fetch_run *run = arg;
    struct sh_err err = {0};
    sh_auto(sh_buf_done) struct sh_buf rules;
    sh_buf_init(&rules, SH_ROBOTS_BYTES_MAX);
    run->out = NULL;
    bool too_large = why && why->code == SH_E_LIMIT;
    if ((why && !too_large) || (a && a->status >= 500)) { /* RFC 9309, 2.3.1.4: assume the worst */
        sh_fail(&err, why ? why->code : SH_E_UPSTREAM,
                "the robots.txt of %s cannot be read, and without it nothing there is (%.300s)",
                run->target.host, why ? why->message : "the site is in trouble");
        fail(run, &err, why ? again : true);
        return;
    }
    if (a && a->status >= 200 && a->status < 300) {
        sh_robots_parse(a->body, "shannon", &rules);
    }
    char *kept = rules.len ? sh_strndup0(rules.p, rules.len) : sh_strdup("");
    int r = obey(run, kept, &err);
    robots_keep(run->base.tools, origin_of(&run->target), kept);
    r = r ? r : start_page(run, &err);
    if (r) {
        fail(run, &err, false);
    }
}

/* robots.txt is ours to read: what the agent may read of the site decides. */
static bool robots_reachable(void *arg, const struct sh_net_rule *what, bool written_out) {
    const struct fetch_run *run = arg;
    struct sh_net_rule rule = *what;
    if (rule.path && strcmp(rule.path, "/robots.txt") == 0 && rule.port == run->target.port &&
        strcmp(rule.scheme, run->target.scheme) == 0) {
        rule.path = run->target.path;
    }
    return run->gate.may_reach && run->gate.may_reach(run->gate.arg, &rule, written_out);
}

static int next_hop(struct fetch_run *run, struct sh_err *err) {
    static const char *const headers[] = {AGENT, NULL};
    sh_auto(sh_free_p) char *origin = origin_of(&run->target);
    int r = sh_egress_check(&run->gate, &run->target, "GET", err);
    const struct sh_robots_entry *known = robots_known(run->base.tools, origin);
    if (r) {
        return r;
    }
    if (known) {
        r = obey(run, known->rules, err);
        return r ? r : start_page(run, err);
    }
    sh_auto(sh_free_p) char *url = sh_asprintf("%s/robots.txt", origin);
    struct sh_outbound_request request = {
        .method = "GET",
        .url = url,
        .headers = headers,
        .redirects = HOPS_MOST,
        .max_bytes = SH_MIB / 2,
        .timeout_ms = left_ms(run),
        .gate = {robots_reachable, run},
        .on_alive = on_alive,
        .done = on_robots,
        .arg = run,
    };
    return sh_outbound_start(run->base.tools, &request, &run->out, err);
}

int sh_fetch_start(struct sh_tools *t, const struct sh_tool_call *call, struct sh_tool_run **ret,
                   struct sh_err *err) {
    uint64_t ms = call->timeout_ms ? call->timeout_ms : FETCH_TIMEOUT_MS;
    struct fetch_run *run = sh_new(struct fetch_run);
    *run = (struct fetch_run){
        .base = {t, cancel},
        .gate = {call->may_reach, call->arg},
        .deadline_ns = sh_boot_ns() + ms * 1000000,
        .chars = (size_t)sh_json_get_int(call->args, "max_chars", CHARS_USUAL),
        .bytes = (size_t)sh_json_get_int(call->args, "max_bytes", SH_FETCH_BYTES_MAX),
        .on_alive = call->on_alive,
        .done = call->done,
        .arg = call->arg,
    };
    sh_buf_init(&run->read, SH_ACTIVITY_RESULT_MAX * 2);
    t->running++;
    sh_auto(sh_free_p) char *url = sh_strdup(json_string_value(json_object_get(call->args, "url")));
    int r = sh_egress_target_parse(url, NULL, &run->target, err);
    r = r ? r : next_hop(run, err);
    if (r) {
        run_free(run);
        return r;
    }
    *ret = &run->base;
    return 0;
}
