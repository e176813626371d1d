/* One attempt at a chat completion: build, send, read, and say whether trying again can help. The
 * engine journals attempts and repeats them; nothing here waits or repeats.
 *
 * A run is pinned while one of its callbacks is on the stack, because on_delta may cancel it. */
#include <stdio.h>

#include "tools/llm_openai.h"
#include "tools/secret.h"

#define LLM_TIMEOUT_MS 300000ULL
#define LLM_CONNECT_MS 10000ULL
#define HINT                                                                                       \
    "; check [llm] base_url and model in shannon.toml, or SHANNON_LLM_BASE_URL and "               \
    "SHANNON_LLM_MODEL"

struct sh_tool_run {
    struct sh_tools *tools;
    struct sh_http *http;
    struct sh_llm_stream stream;
    bool streaming, pinned, canceled;
    struct sh_secret key;
    char *asked_model;
    size_t asked_bytes;
    uint64_t timeout_ms;
    void (*on_delta)(void *arg, struct sh_str text);
    void (*done)(void *arg, const struct sh_tool_outcome *outcome);
    void *arg;
};

/* Configuration. */

static int check_prices(const json_t *prices, struct sh_err *err) {
    static const char *const known[] = {"input", "output", NULL};
    const char *model = NULL;
    json_t *entry = NULL;
    if (prices && !json_is_object(prices)) {
        return sh_fail(
            err, SH_E_INVAL,
            "[llm] prices: expected a table {MODEL = {input, output}} in USD per million "
            "tokens");
    }
    json_object_foreach((json_t *)(uintptr_t)prices, model, entry) {
        int r = json_is_object(entry) ? sh_json_only(entry, known, "[llm] prices entry", err)
                                      : -SH_E_INVAL;
        const char *side = NULL;
        json_t *usd = NULL;
        json_object_foreach(entry, side, usd) {
            double v = json_number_value(usd);
            r = json_is_number(usd) && v >= 0 && v <= 1e9 ? r : -SH_E_INVAL;
        }
        if (r) {
            return sh_fail(err, SH_E_INVAL,
                           "[llm] prices.%.80s: expected {input, output}, each a number from 0: "
                           "USD per million tokens",
                           model);
        }
    }
    return 0;
}

static char *copy_or_null(const char *s) {
    return s && s[0] ? sh_strdup(s) : NULL;
}

int sh_llm_config_init(const struct sh_tools_config *from, struct sh_llm_config *ret,
                       struct sh_err *err) {
    const char *url = from->llm_base_url ? from->llm_base_url : "http://127.0.0.1:11434/v1";
    const char *provider = from->llm_provider ? from->llm_provider : "openai";
    const char *model = from->llm_model ? from->llm_model : "llama3.2";
    if (strcmp(provider, "openai") != 0) {
        return sh_fail(err, SH_E_UNSUPPORTED,
                       "[llm] provider: expected \"openai\" (any server with its chat completions: "
                       "OpenAI, Ollama, llama.cpp, vLLM), not \"%.64s\"",
                       provider);
    }
    if (model[0] == '\0') {
        return sh_fail(err, SH_E_INVAL, "[llm] model: expected the name of a model");
    }
    struct sh_egress_peer peer;
    int r = sh_egress_peer_parse(url, "[llm] base_url", &peer, err);
    if (r == 0) {
        r = check_prices(from->llm_prices, err);
    }
    if (r) {
        return r;
    }
    size_t n = strlen(url);
    while (n && url[n - 1] == '/') {
        n--;
    }
    *ret = (struct sh_llm_config){
        .base_url = sh_strndup0(url, n),
        .url = sh_asprintf("%.*s/chat/completions", (int)n, url),
        .model = sh_strdup(model),
        .provider = sh_strdup(provider),
        .key_env = copy_or_null(from->llm_api_key_env),
        .key_file = copy_or_null(from->llm_api_key_file),
        .timeout_ms = from->llm_timeout_ms ? from->llm_timeout_ms : LLM_TIMEOUT_MS,
        .prices = from->llm_prices ? json_deep_copy(from->llm_prices) : NULL,
        .peer = peer,
    };
    return 0;
}

void sh_llm_config_done(struct sh_llm_config *c) {
    sh_free(c->base_url);
    sh_free(c->url);
    sh_free(c->model);
    sh_free(c->provider);
    sh_free(c->key_env);
    sh_free(c->key_file);
    json_decref(c->prices);
    *c = (struct sh_llm_config){0};
}

/* The end of a run. */

static void run_free(struct sh_tool_run *run) {
    run->tools->running--;
    sh_llm_stream_done(&run->stream);
    sh_secret_done(&run->key);
    sh_free(run->asked_model);
    sh_free(run);
}

static void tell(struct sh_tool_run *run, const struct sh_tool_outcome *outcome) {
    if (!run->canceled) {
        run->done(run->arg, outcome);
    }
}

static void fail_with(struct sh_tool_run *run, const struct sh_err *err, bool retryable,
                      uint64_t retry_after_ms) {
    struct sh_tool_outcome outcome = {
        .err = err, .retryable = retryable, .retry_after_ms = retry_after_ms};
    tell(run, &outcome);
}

/* What came instead of an answer: no secrets, one line, short. */
static void quote(const struct sh_tool_run *run, struct sh_str text, char *out, size_t size) {
    sh_auto(sh_buf_done) struct sh_buf clean;
    sh_buf_init(&clean, SH_ACTIVITY_RESULT_MAX);
    size_t n = text.len < 4096 ? text.len : 4096;
    sh_secret_redact(&run->key, sh_strn(text.p, n), &clean);
    snprintf(out, size, "%s", clean.len ? clean.p : "");
}

/* No whole answer came over the wire. */
static void fail_transport(struct sh_tool_run *run, const struct sh_err *why) {
    const char *url = run->tools->llm.url;
    struct sh_err err = {0};
    bool retryable = sh_code_info(why->code)->retryable;
    if (why->code == SH_E_TIMEOUT) {
        sh_fail(&err, SH_E_TIMEOUT,
                "the LLM server at %s did not finish its answer within %llu ms (%llu bytes came); "
                "raise timeout_ms, or choose a faster model",
                url, (unsigned long long)run->timeout_ms, (unsigned long long)run->stream.bytes);
    } else if (why->code == SH_E_UNAVAILABLE && run->stream.bytes) {
        sh_fail(&err, SH_E_UPSTREAM,
                "the answer of the LLM server at %s broke off after %llu bytes", url,
                (unsigned long long)run->stream.bytes);
        retryable = true;
    } else if (why->code == SH_E_DENIED) {
        sh_fail(&err, SH_E_DENIED,
                "the LLM server's name in %s stands for an address that must not be connected to "
                "(%s); write the address itself into [llm] base_url if it is meant",
                url, why->message);
    } else if (retryable) {
        sh_fail(&err, SH_E_UNAVAILABLE, "no LLM server answers at %s (%s); start it%s", url,
                why->message, HINT);
    } else {
        sh_fail(&err, why->code, "the LLM server at %s: %s", url, why->message);
    }
    fail_with(run, &err, retryable, 0);
}

/* These 4xx pass: the server was slow (408), busy with the same key (409), early (425), loaded. */
static bool worth_again(int status, struct sh_str code) {
    if (sh_str_eqz(code, "insufficient_quota")) {
        return false; /* OpenAI's 429 for an empty account */
    }
    return status >= 500 || status == 408 || status == 409 || status == 425 || status == 429;
}

static void fail_status(struct sh_tool_run *run, int status, struct sh_str body,
                        uint64_t retry_after_ms) {
    const struct sh_llm_config *c = &run->tools->llm;
    sh_auto(sh_json_done) json_t *doc = NULL;
    struct sh_str code;
    struct sh_str said = sh_openai_error(body, &doc, &code);
    char text[240];
    char hint[160] = "";
    quote(run, said.len ? said : body, text, sizeof(text));
    bool again = worth_again(status, code);
    if (status == 401 && run->key.len == 0) {
        snprintf(hint, sizeof(hint), "; no API key was sent: set the variable %.64s",
                 c->key_env ? c->key_env : "that [llm] api_key_env names");
    } else if (status >= 300 && status < 400) {
        snprintf(hint, sizeof(hint),
                 "; redirects are not followed, write the final URL into [llm] "
                 "base_url");
    } else if (status == 404) {
        snprintf(hint, sizeof(hint), HINT);
    }
    struct sh_err err = {0};
    sh_fail(&err,
            !again          ? SH_E_UPSTREAM_REJECTED
            : status == 429 ? SH_E_RATE
                            : SH_E_UPSTREAM,
            "the LLM server at %.120s answered %d: \"%s\"%s", c->url, status, text, hint);
    fail_with(run, &err, again, retry_after_ms);
}

static void fail_answer(struct sh_tool_run *run, const struct sh_err *why, bool retryable,
                        struct sh_str body) {
    char text[120];
    char reason[240];
    struct sh_err err = {0};
    quote(run, body, text, sizeof(text));
    quote(run, sh_str(why->message), reason, sizeof(reason));
    sh_fail(&err, why->code,
            "the answer of the LLM server at %.120s cannot be used: %s; it says "
            "\"%s\"",
            run->tools->llm.url, reason, text);
    fail_with(run, &err, retryable, 0);
}

static void succeed(struct sh_tool_run *run, const struct sh_llm_answer *answer) {
    struct sh_err err = {0};
    json_t *result = NULL;
    int r = sh_openai_result(&run->tools->llm, answer, sh_str(run->asked_model), run->asked_bytes,
                             &result, &err);
    if (r) {
        fail_answer(run, &err, false, (struct sh_str){0});
        return;
    }
    struct sh_tool_outcome outcome = {.result = result};
    tell(run, &outcome);
    json_decref(result);
}

static void read_plain(struct sh_tool_run *run, struct sh_str body) {
    struct sh_llm_answer answer;
    struct sh_err err = {0};
    sh_llm_answer_init(&answer);
    if (sh_openai_read(body, &answer, &err) != 0) {
        fail_answer(run, &err, false, body);
    } else {
        struct sh_str text = sh_buf_str(&answer.content);
        if (run->on_delta && text.len) {
            run->on_delta(run->arg, text);
        }
        succeed(run, &answer);
    }
    sh_llm_answer_done(&answer);
}

static void read_stream(struct sh_tool_run *run) {
    struct sh_llm_stream *s = &run->stream;
    struct sh_str seen = s->said ? sh_str(s->said) : sh_buf_str(&s->plain);
    bool empty = !s->answer.finish_reason && !s->answer.content.len && !s->answer.n_calls;
    if (s->err.code) {
        fail_answer(run, &s->err, s->retryable, seen);
    } else if (s->done && !empty) {
        succeed(run, &s->answer);
    } else {
        struct sh_err err = {0};
        sh_fail(&err, SH_E_UPSTREAM, "%s", empty ? "it is no answer" : "it ends too early");
        fail_answer(run, &err, !empty, seen);
    }
}

static void on_http_done(void *arg, int status, struct sh_str body, uint64_t retry_after_ms,
                         const struct sh_err *err) {
    struct sh_tool_run *run = arg;
    run->pinned = true;
    run->http = NULL;
    if (run->streaming && !run->canceled) {
        sh_llm_stream_finish(&run->stream);
        body = sh_buf_str(&run->stream.plain);
    } else {
        run->stream.bytes = body.len;
    }
    if (err && !(run->streaming && run->stream.done && run->stream.err.code == 0)) {
        fail_transport(run, err);
    } else if (!err && (status < 200 || status >= 300)) {
        fail_status(run, status, body, retry_after_ms);
    } else if (!run->streaming || (run->stream.mode == SH_STREAM_PLAIN && !run->stream.err.code)) {
        read_plain(run, body);
    } else {
        read_stream(run);
    }
    run_free(run);
}

static void on_http_data(void *arg, struct sh_str bytes) {
    struct sh_tool_run *run = arg;
    run->pinned = true;
    sh_llm_stream_feed(&run->stream, bytes);
    run->pinned = false;
    if (run->canceled) {
        run_free(run);
    }
}

static bool on_http_allow(void *arg, const struct sockaddr *addr) {
    const struct sh_tool_run *run = arg;
    return sh_egress_peer_allows(&run->tools->llm.peer, addr);
}

void sh_tool_cancel(struct sh_tool_run *run) {
    if (!run || run->canceled) {
        return;
    }
    SH_ON_LOOP(run->tools->loop);
    run->canceled = true;
    run->stream.on_delta = NULL;
    run->on_delta = NULL;
    sh_http_cancel(run->http);
    run->http = NULL;
    if (!run->pinned) {
        run_free(run);
    }
}

/* The start of a run. */

/* Header lines, owned; the secret one is wiped. */
struct headers {
    char *line[6];
    size_t n;
};

static void headers_done(struct headers *h) {
    for (size_t i = 0; i < h->n; i++) {
        explicit_bzero(h->line[i], strlen(h->line[i]));
        sh_free(h->line[i]);
    }
}

/* A value from outside: one line of printable ASCII. */
static int add_header(struct headers *h, const char *name, const char *value, struct sh_err *err) {
    size_t n = strlen(value);
    bool good = n > 0 && n <= 512;
    for (size_t i = 0; i < n; i++) {
        good = good && value[i] >= 0x20 && value[i] < 0x7f;
    }
    if (!good) {
        return sh_fail(err, SH_E_INVAL,
                       "the header %s: expected 1 to 512 printable ASCII characters; what was "
                       "given has %zu bytes or a control character",
                       name, n);
    }
    h->line[h->n++] = sh_asprintf("%s: %s", name, value);
    return 0;
}

static int make_headers(const struct sh_tool_run *run, const struct sh_tool_call *call,
                        struct headers *h, struct sh_err *err) {
    h->line[h->n++] = sh_strdup("Content-Type: application/json");
    h->line[h->n++] = sh_strdup(run->streaming ? "Accept: text/event-stream, application/json"
                                               : "Accept: application/json");
    int r = 0;
    if (call->idempotency_key) {
        r = add_header(h, "Idempotency-Key", call->idempotency_key, err);
    }
    if (r == 0 && call->traceparent) {
        r = add_header(h, "traceparent", call->traceparent, err);
    }
    if (r == 0 && run->key.len) { /* checked when it was read */
        h->line[h->n++] = sh_asprintf("Authorization: Bearer %s", run->key.p);
    }
    return r;
}

static int send_request(struct sh_tool_run *run, const struct sh_tool_call *call,
                        struct sh_err *err) {
    const struct sh_llm_config *c = &run->tools->llm;
    sh_auto(headers_done) struct headers headers = {.n = 0};
    sh_auto(sh_buf_done) struct sh_buf body;
    sh_buf_init(&body, SH_ACTIVITY_ARGS_MAX * 2);
    sh_openai_request(c, call->args, run->streaming, &body);
    if (body.failed) {
        return sh_fail(err, SH_E_LIMIT,
                       "llm: the request is larger than 2 MiB; send fewer messages");
    }
    int r = make_headers(run, call, &headers, err);
    if (r) {
        return r;
    }
    const char *lines[7] = {NULL};
    for (size_t i = 0; i < headers.n; i++) {
        lines[i] = headers.line[i];
    }
    run->asked_bytes = body.len;
    struct sh_http_request request = {
        .method = "POST",
        .url = c->url,
        .headers = lines,
        .body = sh_buf_str(&body),
        .max_response_bytes = run->streaming ? SH_LLM_RESPONSE_MAX : SH_ACTIVITY_RESULT_MAX * 2,
        .timeout_ms = run->timeout_ms,
        .connect_timeout_ms = run->timeout_ms < LLM_CONNECT_MS ? run->timeout_ms : LLM_CONNECT_MS,
        .allow = on_http_allow,
        .on_data = run->streaming ? on_http_data : NULL,
        .done = on_http_done,
        .arg = run,
    };
    return sh_http_start(run->tools->loop, &request, &run->http, err);
}

int sh_llm_start(struct sh_tools *t, const struct sh_tool_call *call, struct sh_tool_run **ret,
                 struct sh_err *err) {
    struct sh_secret key = {0};
    int r = sh_secret_read(t->llm.key_env, t->llm.key_file, &key, err);
    if (r) {
        return r;
    }
    struct sh_str model = sh_json_get_str(call->args, "model");
    struct sh_tool_run *run = sh_new(struct sh_tool_run);
    *run = (struct sh_tool_run){
        .tools = t,
        .streaming = call->on_delta != NULL,
        .key = key,
        .asked_model = model.len ? sh_strndup0(model.p, model.len) : sh_strdup(t->llm.model),
        .timeout_ms = call->timeout_ms ? call->timeout_ms : t->llm.timeout_ms,
        .on_delta = call->on_delta,
        .done = call->done,
        .arg = call->arg,
    };
    sh_llm_stream_init(&run->stream, call->on_delta, call->arg);
    t->running++;
    r = send_request(run, call, err);
    if (r) {
        run_free(run);
        return r;
    }
    *ret = run;
    return 0;
}
