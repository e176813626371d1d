/* web_search: one question to the search server that the operator named, its answer in one shape
 * whoever gave it. Titles and snippets come from anywhere in the web: they are made plain text and
 * short; results without an http address are left out. */
#include <curl/curl.h>
#include <stdio.h>

#include "tools/secret.h"
#include "tools/tools_private.h"

#define SEARCH_TIMEOUT_MS 30000ULL
#define SEARCH_CONNECT_MS 10000ULL
enum { TITLE_MOST = 300, SNIPPET_MOST = 1000, COUNT_USUAL = 10 };

struct search_run {
    struct sh_tool_run base;
    struct sh_http *http;
    struct sh_secret key;
    struct sh_buf body;
    size_t count;
    uint64_t timeout_ms;
    void (*on_alive)(void *arg);
    void (*done)(void *arg, const struct sh_tool_outcome *outcome);
    void *arg;
};

/* One question, as a request. */
struct asked {
    const json_t *args;
    size_t count;
    const char *base_url;
    char *url;
    struct sh_buf body; /* empty: GET */
};
struct sh_search_provider {
    const char *name, *base_url; /* base_url NULL: the operator must name one */
    const char *key_header, *key_prefix;
    void (*ask)(struct asked *a);
    const char *list[3]; /* where the results are */
    const char *snippet;
    bool needs_key;
};

static void add_query(struct sh_buf *url, const char *name, struct sh_str value) {
    char *coded = value.len ? curl_easy_escape(NULL, value.p, (int)value.len) : NULL;
    if (coded) {
        sh_buf_addf(url, "%c%s=%s", memchr(url->p, '?', url->len) ? '&' : '?', name, coded);
        curl_free(coded);
    }
}

static void ask_searxng(struct asked *a) {
    sh_auto(sh_buf_done) struct sh_buf url = {0};
    sh_buf_init(&url, SH_HTTP_URL_MAX);
    sh_buf_addf(&url, "%s/search", a->base_url);
    add_query(&url, "q", sh_json_get_str(a->args, "query"));
    sh_buf_adds(&url, "&format=json");
    add_query(&url, "language", sh_json_get_str(a->args, "language"));
    add_query(&url, "time_range", sh_json_get_str(a->args, "time_range"));
    a->url = sh_buf_take(&url);
}

static void ask_tavily(struct asked *a) {
    sh_auto(sh_json_done) json_t *body = json_object();
    json_t *range = json_object_get(a->args, "time_range");
    json_object_set(body, "query", json_object_get(a->args, "query"));
    json_object_set_new(body, "max_results", json_integer((json_int_t)a->count));
    if (range) {
        json_object_set(body, "time_range", range);
    }
    sh_json_dump(body, &a->body);
    a->url = sh_asprintf("%s/search", a->base_url);
}

static void ask_brave(struct asked *a) {
    static const char *const ranges[][2] = {
        {"day", "pd"}, {"week", "pw"}, {"month", "pm"}, {"year", "py"}};
    struct sh_str range = sh_json_get_str(a->args, "time_range");
    sh_auto(sh_buf_done) struct sh_buf url = {0};
    sh_buf_init(&url, SH_HTTP_URL_MAX);
    sh_buf_addf(&url, "%s/res/v1/web/search", a->base_url);
    add_query(&url, "q", sh_json_get_str(a->args, "query"));
    sh_buf_addf(&url, "&count=%zu", a->count);
    add_query(&url, "search_lang", sh_json_get_str(a->args, "language"));
    for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
        if (sh_str_eqz(range, ranges[i][0])) {
            add_query(&url, "freshness", sh_str(ranges[i][1]));
        }
    }
    a->url = sh_buf_take(&url);
}

static const struct sh_search_provider providers[] = {
    {"searxng", NULL, "Authorization", "Bearer ", ask_searxng, {"results"}, "content", false},
    {"tavily",
     "https://api.tavily.com",
     "Authorization",
     "Bearer ",
     ask_tavily,
     {"results"},
     "content",
     true},
    {"brave",
     "https://api.search.brave.com",
     "X-Subscription-Token",
     "",
     ask_brave,
     {"web", "results"},
     "description",
     true},
};

/* Configuration. */

int sh_search_config_init(struct sh_tools *t, const struct sh_tools_config *from,
                          struct sh_err *err) {
    struct sh_search_config *c = &t->search;
    const char *name = from->search_provider ? from->search_provider : "searxng";
    for (size_t i = 0; i < sizeof(providers) / sizeof(providers[0]); i++) {
        c->provider = strcmp(providers[i].name, name) == 0 ? &providers[i] : c->provider;
    }
    if (!c->provider) {
        return sh_fail(err, SH_E_UNSUPPORTED,
                       "[search] provider: expected \"searxng\", \"tavily\" or \"brave\", not "
                       "\"%.60s\"",
                       name);
    }
    const char *url = from->search_base_url && from->search_base_url[0] ? from->search_base_url
                                                                        : c->provider->base_url;
    int r = url ? sh_egress_peer_parse(url, "[search] base_url", &c->peer, err) : 0;
    if (r) {
        return r;
    }
    size_t n = url ? strlen(url) : 0;
    while (n && url[n - 1] == '/') {
        n--;
    }
    c->base_url = url ? sh_strndup0(url, n) : NULL;
    c->key_env = from->search_api_key_env ? sh_strdup(from->search_api_key_env) : NULL;
    c->key_file = from->search_api_key_file ? sh_strdup(from->search_api_key_file) : NULL;
    return 0;
}

void sh_search_config_done(struct sh_tools *t) {
    sh_free(t->search.base_url);
    sh_free(t->search.key_env);
    sh_free(t->search.key_file);
}

/* Answers. */

/* Tags away, the five entities that everybody writes undone, blanks folded, and no more than `most`
 * characters. */
static json_t *plain(struct sh_str s, size_t most) {
    static const char *const entities[][2] = {{"&amp;", "&"},   {"&lt;", "<"},   {"&gt;", ">"},
                                              {"&quot;", "\""}, {"&#x27;", "'"}, {"&#39;", "'"}};
    sh_auto(sh_buf_done) struct sh_buf out = {0};
    sh_buf_init(&out, s.len * 3 + 1);
    size_t count = 0;
    bool blank = false;
    for (size_t i = 0; i < s.len;) {
        const char *close = s.p[i] == '<' ? memchr(s.p + i, '>', s.len - i) : NULL;
        char c = s.p[i];
        size_t step = 1;
        bool tag = close && i + 1 < s.len && (s.p[i + 1] == '/' || (s.p[i + 1] | 32) >= 'a') &&
                   (s.p[i + 1] | 32) <= 'z';
        if (tag) {
            i = (size_t)(close - s.p) + 1;
            continue;
        }
        for (size_t k = 0; c == '&' && k < sizeof(entities) / sizeof(entities[0]); k++) {
            if (sh_str_starts(sh_strn(s.p + i, s.len - i), sh_str(entities[k][0]))) {
                c = entities[k][1][0];
                step = strlen(entities[k][0]);
                break;
            }
        }
        i += step;
        if ((unsigned char)c <= 0x20 || c == 0x7f) {
            blank = out.len > 0;
            continue;
        }
        count += ((unsigned char)c & 0xc0) != 0x80;
        if (count > most) {
            break; /* before a character, not within one */
        }
        if (blank) {
            sh_buf_addc(&out, ' ');
            blank = false;
        }
        sh_buf_addc(&out, c);
    }
    return sh_json_string(sh_buf_str(&out));
}

static json_t *result_of(const struct search_run *run, const json_t *list) {
    const struct sh_search_provider *p = run->base.tools->search.provider;
    json_t *results = json_array();
    for (size_t i = 0; i < json_array_size(list) && json_array_size(results) < run->count; i++) {
        const json_t *one = json_array_get(list, i);
        struct sh_str url = sh_json_get_str(one, "url");
        if ((!sh_str_starts(url, SH_STR("http://")) && !sh_str_starts(url, SH_STR("https://"))) ||
            url.len > 2048) {
            continue;
        }
        json_t *o = json_object();
        json_object_set_new(o, "title", plain(sh_json_get_str(one, "title"), TITLE_MOST));
        json_object_set_new(o, "url", sh_json_string(url));
        json_object_set_new(o, "snippet", plain(sh_json_get_str(one, p->snippet), SNIPPET_MOST));
        json_array_append_new(results, o);
    }
    return json_pack("{s:o, s:s}", "results", results, "provider", p->name);
}

static void run_free(struct search_run *run) {
    run->base.tools->running--;
    sh_secret_done(&run->key);
    sh_buf_done(&run->body);
    sh_free(run);
}

static void cancel(struct sh_tool_run *base) {
    struct search_run *run = (struct search_run *)(void *)base;
    sh_http_cancel(run->http);
    run_free(run);
}

static void fail(struct search_run *run, const struct sh_err *err, bool again, uint64_t wait_ms) {
    struct sh_tool_outcome outcome = {.err = err, .retryable = again, .retry_after_ms = wait_ms};
    run->done(run->arg, &outcome);
}

static void fail_status(struct search_run *run, int status, struct sh_str body, uint64_t wait_ms) {
    const struct sh_search_config *c = &run->base.tools->search;
    struct sh_err err = {0};
    char said[200];
    sh_auto(sh_buf_done) struct sh_buf clean = {0};
    sh_buf_init(&clean, 8192);
    sh_secret_redact(&run->key, sh_strn(body.p, body.len < 1000 ? body.len : 1000), &clean);
    snprintf(said, sizeof(said), "%s", clean.len ? clean.p : "");
    bool again = status >= 500 || status == 408 || status == 425 || status == 429;
    const char *hint = status == 401 || (status == 403 && c->provider->needs_key)
                           ? "; check [search] api_key_env"
                       : status == 403 ? "; a SearXNG server answers in JSON only where its "
                                         "settings.yml lists json under search.formats"
                                       : "";
    sh_fail(&err,
            !again          ? SH_E_UPSTREAM_REJECTED
            : status == 429 ? SH_E_RATE
                            : SH_E_UPSTREAM,
            "the search server at %.120s answered %d: \"%s\"%s", c->base_url, status, said, hint);
    fail(run, &err, again, wait_ms);
}

static void read_answer(struct search_run *run, struct sh_str body) {
    const struct sh_search_config *c = &run->base.tools->search;
    sh_auto(sh_json_done) json_t *doc = NULL;
    struct sh_err err = {0};
    struct sh_err why = {0};
    const json_t *list = NULL;
    if (sh_json_parse_foreign(body, SH_SEARCH_RESPONSE_MAX, &doc, &why) == 0) {
        list = doc;
        for (size_t i = 0; c->provider->list[i]; i++) {
            list = json_object_get(list, c->provider->list[i]);
        }
        /* Brave leaves "web" out when it found nothing. */
        if (!list && json_is_object(doc) && c->provider->list[1] &&
            !json_object_get(doc, c->provider->list[0])) {
            sh_auto(sh_json_done) json_t *none = result_of(run, NULL);
            struct sh_tool_outcome outcome = {.result = none};
            run->done(run->arg, &outcome);
            return;
        }
    }
    if (!json_is_array(list)) {
        sh_fail(&err, SH_E_UPSTREAM, "the search server at %.120s did not answer with results (%s)",
                c->base_url, why.code ? why.message : "they are missing from its JSON");
        fail(run, &err, false, 0);
        return;
    }
    sh_auto(sh_json_done) json_t *result = sh_secret_clean(&run->key, result_of(run, list));
    struct sh_tool_outcome outcome = {.result = result};
    run->done(run->arg, &outcome);
}

static void on_done(void *arg, int status, struct sh_str body, uint64_t retry_after_ms,
                    const struct sh_err *http_err) {
    struct search_run *run = arg;
    const char *url = run->base.tools->search.base_url;
    struct sh_err err = {0};
    (void)body;
    run->http = NULL;
    if (http_err) {
        sh_fail(
            &err, http_err->code, "the search server at %.120s: %.240s%s", url, http_err->message,
            http_err->code == SH_E_UNAVAILABLE ? "; check [search] base_url in shannon.toml" : "");
        fail(run, &err, sh_code_info(http_err->code)->retryable, 0);
    } else if (status < 200 || status >= 300) {
        fail_status(run, status, sh_buf_str(&run->body), retry_after_ms);
    } else {
        read_answer(run, sh_buf_str(&run->body));
    }
    run_free(run);
}

static void on_data(void *arg, struct sh_str bytes) {
    struct search_run *run = arg;
    sh_buf_add(&run->body, bytes.p, bytes.len);
    if (run->on_alive) {
        run->on_alive(run->arg);
    }
}

static bool on_allow(void *arg, const struct sockaddr *addr) {
    const struct search_run *run = arg;
    return sh_egress_peer_allows(&run->base.tools->search.peer, addr);
}

/* The start of a run. */

static int send_request(struct search_run *run, const struct sh_tool_call *call,
                        struct sh_err *err) {
    const struct sh_search_config *c = &run->base.tools->search;
    struct asked asked = {.args = call->args, .count = run->count, .base_url = c->base_url};
    sh_buf_init(&asked.body, 64 * SH_KIB);
    c->provider->ask(&asked);
    char *key = run->key.len ? sh_asprintf("%s: %s%s", c->provider->key_header,
                                           c->provider->key_prefix, run->key.p)
                             : NULL;
    const char *lines[] = {"Accept: application/json", "Content-Type: application/json", key, NULL};
    struct sh_http_request request = {
        .method = asked.body.len ? "POST" : "GET",
        .url = asked.url ? asked.url : "",
        .headers = lines,
        .body = sh_buf_str(&asked.body),
        .max_response_bytes = SH_SEARCH_RESPONSE_MAX,
        .timeout_ms = run->timeout_ms,
        .connect_timeout_ms =
            run->timeout_ms < SEARCH_CONNECT_MS ? run->timeout_ms : SEARCH_CONNECT_MS,
        .allow = on_allow,
        .on_data = on_data,
        .done = on_done,
        .arg = run,
    };
    int r = sh_http_start(run->base.tools->loop, &request, &run->http, err);
    if (key) {
        explicit_bzero(key, strlen(key));
        sh_free(key);
    }
    sh_free(asked.url);
    sh_buf_done(&asked.body);
    return r;
}

static int read_key(const struct sh_search_config *c, struct sh_secret *ret, struct sh_err *err) {
    if (!c->base_url) {
        return sh_fail(err, SH_E_UNCONFIGURED,
                       "no search server is set up: name one in [search] of shannon.toml, such as "
                       "base_url = \"http://127.0.0.1:8888\" for a SearXNG, or provider = "
                       "\"tavily\" and api_key_env");
    }
    int r = sh_secret_read(c->key_env, c->key_file, ret, err);
    return r || ret->len || !c->provider->needs_key
               ? r
               : sh_fail(err, SH_E_UNCONFIGURED,
                         "%s needs a key: name the variable that holds it in [search] api_key_env "
                         "of shannon.toml%s%s",
                         c->provider->name, c->key_env ? ", and set it: " : "",
                         c->key_env ? c->key_env : "");
}

int sh_search_ready(const struct sh_tools *t, struct sh_err *err) {
    struct sh_secret key = {0};
    int r = read_key(&t->search, &key, err);
    sh_secret_done(&key);
    return r;
}

int sh_search_start(struct sh_tools *t, const struct sh_tool_call *call, struct sh_tool_run **ret,
                    struct sh_err *err) {
    struct sh_secret key = {0};
    int r = read_key(&t->search, &key, err);
    if (r) {
        return r;
    }
    struct search_run *run = sh_new(struct search_run);
    *run = (struct search_run){
        .base = {t, cancel},
        .key = key,
        .count = (size_t)sh_json_get_int(call->args, "count", COUNT_USUAL),
        .timeout_ms = call->timeout_ms ? call->timeout_ms : SEARCH_TIMEOUT_MS,
        .on_alive = call->on_alive,
        .done = call->done,
        .arg = call->arg,
    };
    sh_buf_init(&run->body, SH_SEARCH_RESPONSE_MAX);
    t->running++;
    r = send_request(run, call, err);
    if (r) {
        run_free(run);
        return r;
    }
    *ret = &run->base;
    return 0;
}
