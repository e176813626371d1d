/* One attempt at a chat completion: build, send, read, and say whether trying again can help. The
 * engine journals attempts and repeats them; nothing here waits or repeats. Where others may stand
 * in for a model that cannot answer, they are asked in the same attempt, each under a key of its
 * own, as long as no text of an answer was shown.
 *
 * A run is pinned while one of its callbacks is on the stack, because on_delta may cancel it. */
#include <stdio.h>

#include "tools/foreign_schema.h"
#include "tools/llm_wire.h"
#include "tools/secret.h"

#define HINT                                                                                       \
    "; check [llm] base_url and model in shannon.toml, or SHANNON_LLM_BASE_URL and "               \
    "SHANNON_LLM_MODEL"

struct llm_run {
    struct sh_tool_run base;
    struct sh_http *http;
    struct sh_llm_stream stream;
    const struct sh_llm_config *chain[SH_LLM_FALLBACKS_MAX + 1]; /* who is asked, in this order */
    size_t n_chain, turn;
    const struct sh_llm_config *c; /* whose turn it is */
    json_t *args;
    char *idempotency_key, *traceparent; /* or NULL */
    bool streaming, pinned, canceled, shown, again;
    struct sh_secret key;
    char *asked_model;
    size_t asked_bytes;
    uint64_t timeout_ms;
    struct sh_timer silence; /* no byte came for too long */
    void (*on_delta)(void *arg, struct sh_str text);
    void (*on_alive)(void *arg);
    void (*done)(void *arg, const struct sh_tool_outcome *outcome);
    void *arg;
};

/* The end of a run. */

static void run_free(struct llm_run *run) {
    run->base.tools->running--;
    sh_timer_stop(&run->silence);
    json_decref(run->args);
    sh_free(run->idempotency_key);
    sh_free(run->traceparent);
    sh_llm_stream_done(&run->stream);
    sh_secret_done(&run->key);
    sh_free(run->asked_model);
    sh_free(run);
}

static void tell(struct llm_run *run, const struct sh_tool_outcome *outcome) {
    if (!run->canceled) {
        run->done(run->arg, outcome);
    }
}

static void fail_with(struct llm_run *run, const struct sh_err *err, bool retryable,
                      uint64_t retry_after_ms) {
    if (retryable && run->turn + 1 < run->n_chain && !run->shown) {
        run->again = true; /* another stands in */
        return;
    }
    struct sh_tool_outcome outcome = {
        .err = err, .retryable = retryable, .retry_after_ms = retry_after_ms};
    tell(run, &outcome);
}

/* What came instead of an answer: no secrets, one line, short. */
static void quote(const struct llm_run *run, struct sh_str text, char *out, size_t size) {
    sh_auto(sh_buf_done) struct sh_buf clean = {0};
    sh_buf_init(&clean, SH_ACTIVITY_RESULT_MAX);
    size_t n = text.len < 4096 ? text.len : 4096;
    sh_secret_redact(&run->key, sh_strn(text.p, n), &clean);
    snprintf(out, size, "%s", clean.len ? clean.p : "");
}

/* No whole answer came over the wire. */
static void fail_transport(struct llm_run *run, const struct sh_err *why) {
    const char *url = run->c->url;
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

static void fail_status(struct llm_run *run, int status, struct sh_str body,
                        uint64_t retry_after_ms) {
    const struct sh_llm_config *c = run->c;
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

static void fail_answer(struct llm_run *run, const struct sh_err *why, bool retryable,
                        struct sh_str body) {
    char text[120];
    char reason[240];
    struct sh_err err = {0};
    quote(run, body, text, sizeof(text));
    quote(run, sh_str(why->message), reason, sizeof(reason));
    sh_fail(&err, why->code,
            "the answer of the LLM server at %.120s cannot be used: %s; it says "
            "\"%s\"",
            run->c->url, reason, text);
    fail_with(run, &err, retryable, 0);
}

/* "```json ... ```", which models put around what they were asked to give bare. */
static struct sh_str unfenced(struct sh_str s) {
    while (s.len && strchr(" \t\r\n", s.p[s.len - 1]) && s.p[s.len - 1]) {
        s.len--;
    }
    while (s.len && strchr(" \t\r\n", *s.p) && *s.p) {
        s = sh_strn(s.p + 1, s.len - 1);
    }
    const char *line = s.len ? memchr(s.p, '\n', s.len) : NULL;
    if (line && s.len > 6 && memcmp(s.p, "```", 3) == 0 && memcmp(s.p + s.len - 3, "```", 3) == 0 &&
        line < s.p + s.len - 3) {
        return sh_strn(line + 1, (size_t)(s.p + s.len - 3 - line - 1));
    }
    return s;
}

/* The call by which a protocol gives JSON answers becomes the answer. */
static void take_json_tool(struct sh_llm_answer *a) {
    for (size_t i = 0; i < a->n_calls; i++) {
        struct sh_llm_call *call = &a->calls[i];
        if (call->name && strcmp(call->name, SH_LLM_JSON_TOOL) == 0) {
            sh_buf_clear(&a->content);
            sh_buf_add(&a->content, call->arguments.p, call->arguments.len);
            sh_free(call->id);
            sh_free(call->name);
            sh_buf_done(&call->arguments);
            a->calls[i] = a->calls[--a->n_calls];
            if (a->n_calls == 0) {
                a->finish_reason = sh_free(a->finish_reason);
                a->finish_reason = sh_strdup("stop");
            }
            return;
        }
    }
}

/* An answer that was asked for as JSON is JSON, and fits its schema. */
static int check_format(const struct llm_run *run, struct sh_llm_answer *a, struct sh_err *err) {
    const json_t *format = json_object_get(run->args, "response_format");
    struct sh_str type = sh_json_get_str(format, "type");
    const json_t *schema = json_object_get(json_object_get(format, "json_schema"), "schema");
    bool by_schema = sh_str_eqz(type, "json_schema");
    sh_auto(sh_json_done) json_t *value = NULL;
    struct sh_err why = {0};
    if (!by_schema && !sh_str_eqz(type, "json_object")) {
        return 0;
    }
    take_json_tool(a);
    if (a->n_calls) {
        return 0; /* it wants to know more before it answers */
    }
    struct sh_str text = unfenced(sh_buf_str(&a->content));
    sh_auto(sh_free_p) char *copy = sh_strndup0(text.p ? text.p : "", text.len);
    if (sh_json_parse_foreign(text, SH_ACTIVITY_RESULT_MAX, &value, &why) != 0) {
        return sh_fail(err, SH_E_UPSTREAM, "JSON was asked for and it is none (%s%s)", why.message,
                       a->finish_reason && strcmp(a->finish_reason, "length") == 0
                           ? "; it was cut off: raise max_tokens"
                           : "");
    }
    if (!by_schema && !json_is_object(value)) {
        return sh_fail(err, SH_E_UPSTREAM, "a JSON object was asked for and it is none");
    }
    if (by_schema && schema && sh_foreign_schema_check(schema, value, "content", &why) != 0) {
        return sh_fail(err, why.code == SH_E_LIMIT ? SH_E_LIMIT : SH_E_UPSTREAM,
                       "it does not fit the schema that was asked for: %s", why.message);
    }
    sh_buf_clear(&a->content);
    sh_buf_adds(&a->content, copy);
    return 0;
}

static void succeed(struct llm_run *run, struct sh_llm_answer *answer) {
    struct sh_err err = {0};
    json_t *result = NULL;
    int r = check_format(run, answer, &err);
    if (r) {
        sh_auto(sh_free_p) char *said =
            sh_strndup0(answer->content.p ? answer->content.p : "",
                        answer->content.len < 400 ? answer->content.len : 400);
        fail_answer(run, &err, r == -SH_E_UPSTREAM, sh_str(said));
        return;
    }
    r = sh_openai_result(run->c, answer, sh_str(run->asked_model), run->asked_bytes, &result, &err);
    if (r) {
        fail_answer(run, &err, false, (struct sh_str){0});
        return;
    }
    result = sh_secret_clean(&run->key, result);
    struct sh_tool_outcome outcome = {.result = result};
    tell(run, &outcome);
    json_decref(result);
}

static void read_plain(struct llm_run *run, struct sh_str body) {
    struct sh_llm_answer answer;
    struct sh_err err = {0};
    sh_llm_answer_init(&answer);
    if (run->c->wire->read(body, &answer, &err) != 0) {
        fail_answer(run, &err, false, body);
    } else {
        struct sh_str text = sh_buf_str(&answer.content);
        if (run->on_delta && text.len) {
            run->shown = true;
            run->on_delta(run->arg, text);
        }
        succeed(run, &answer);
    }
    sh_llm_answer_done(&answer);
}

static void read_stream(struct llm_run *run) {
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

static int send_request(struct llm_run *run, struct sh_err *err);

/* After an outcome: the next in the chain, or the end. */
static void go_on(struct llm_run *run) {
    struct sh_err err = {0};
    while (run->again && !run->canceled) {
        run->again = false;
        run->turn++;
        if (send_request(run, &err) == 0) {
            run->pinned = false;
            return;
        }
        fail_with(run, &err, run->turn + 1 < run->n_chain, 0);
    }
    run_free(run);
}

static void on_http_done(void *arg, int status, struct sh_str body, uint64_t retry_after_ms,
                         const struct sh_err *err) {
    struct llm_run *run = arg;
    run->pinned = true;
    run->http = NULL;
    sh_timer_stop(&run->silence);
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
    go_on(run);
}

/* Connected, and then nothing: a model that hangs is given up long before the whole time is. */
static void on_silence(struct sh_timer *t) {
    struct llm_run *run = sh_container_of(t, struct llm_run, silence);
    struct sh_err err = {0};
    run->pinned = true;
    sh_http_cancel(run->http);
    run->http = NULL;
    bool none = run->stream.bytes == 0;
    sh_fail(&err, SH_E_TIMEOUT, "the LLM server at %s %s for %llu ms ([llm] %s); %llu bytes came",
            run->c->url, none ? "sent nothing" : "fell silent",
            (unsigned long long)(none ? run->c->first_ms : run->c->between_ms),
            none ? "first_token_timeout" : "between_tokens_timeout",
            (unsigned long long)run->stream.bytes);
    fail_with(run, &err, true, 0);
    go_on(run);
}

static void listen_for(struct llm_run *run, uint64_t ms) {
    if (run->streaming && ms) {
        sh_timer_start(run->base.tools->loop, &run->silence, ms * 1000000, on_silence);
    }
}

static void on_http_data(void *arg, struct sh_str bytes) {
    struct llm_run *run = arg;
    run->pinned = true;
    if (run->on_alive) {
        run->on_alive(run->arg);
    }
    listen_for(run, run->c->between_ms);
    sh_llm_stream_feed(&run->stream, bytes);
    run->pinned = false;
    if (run->canceled) {
        run_free(run);
    }
}

static bool on_http_allow(void *arg, const struct sockaddr *addr) {
    const struct llm_run *run = arg;
    return sh_egress_peer_allows(&run->c->peer, addr);
}

static void cancel(struct sh_tool_run *base) {
    struct llm_run *run = (struct llm_run *)(void *)base;
    if (run->canceled) {
        return;
    }
    run->canceled = true;
    run->stream.on_delta = NULL;
    run->on_delta = NULL;
    sh_timer_stop(&run->silence);
    sh_http_cancel(run->http);
    run->http = NULL;
    if (!run->pinned) {
        run_free(run);
    }
}

/* The start of a run. */

/* Header lines, owned; the secret one is wiped. */
struct headers {
    char *line[7];
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

static int make_headers(const struct llm_run *run, struct headers *h, struct sh_err *err) {
    const struct sh_llm_wire *wire = run->c->wire;
    int r = 0;
    h->line[h->n++] = sh_strdup("Content-Type: application/json");
    h->line[h->n++] = sh_strdup(run->streaming ? "Accept: text/event-stream, application/json"
                                               : "Accept: application/json");
    if (wire->extra_header) {
        h->line[h->n++] = sh_strdup(wire->extra_header);
    }
    if (run->idempotency_key) { /* another body gets another key (SEMANTICS 9) */
        char suffix[24] = "";
        if (run->turn) {
            snprintf(suffix, sizeof(suffix), ".f%zu", run->turn);
        }
        sh_auto(sh_free_p) char *key = sh_asprintf("%s%s", run->idempotency_key, suffix);
        r = add_header(h, "Idempotency-Key", key, err);
    }
    if (r == 0 && run->traceparent) {
        r = add_header(h, "traceparent", run->traceparent, err);
    }
    if (r == 0 && run->key.len) { /* checked when it was read */
        h->line[h->n++] = sh_asprintf("%s: %s%s", wire->key_header, wire->key_prefix, run->key.p);
    }
    return r;
}

/* The arguments without what is ours, and without a model that this server does not have. */
static json_t *args_for_turn(struct llm_run *run) {
    json_t *args = json_copy(run->args);
    struct sh_str model = sh_json_get_str(args, "model");
    if (run->turn || sh_llm_model_find(run->base.tools, model)) {
        json_object_del(args, "model");
        model = (struct sh_str){0};
    }
    sh_free(run->asked_model);
    run->asked_model = model.len ? sh_strndup0(model.p, model.len) : sh_strdup(run->c->model);
    json_object_del(args, "fallback");
    return args;
}

static void on_text(void *arg, struct sh_str text) {
    struct llm_run *run = arg;
    run->shown = true;
    if (run->on_delta && sh_secret_in(&run->key, text)) {
        sh_auto(sh_buf_done) struct sh_buf clean = {0};
        sh_buf_init(&clean, text.len * 3 + 1);
        sh_secret_redact(&run->key, text, &clean);
        run->on_delta(run->arg, sh_buf_str(&clean));
    } else if (run->on_delta) {
        run->on_delta(run->arg, text);
    }
}

static int send_request(struct llm_run *run, struct sh_err *err) {
    const struct sh_llm_config *c = run->c = run->chain[run->turn];
    sh_auto(headers_done) struct headers headers = {.n = 0};
    sh_auto(sh_json_done) json_t *args = args_for_turn(run);
    sh_auto(sh_buf_done) struct sh_buf body = {0};
    sh_buf_init(&body, SH_ACTIVITY_ARGS_MAX * 2);
    sh_llm_stream_done(&run->stream);
    sh_llm_stream_init(&run->stream, on_text, run);
    run->stream.chunk = c->wire->chunk;
    sh_secret_done(&run->key);
    int r = sh_secret_read(c->key_env, c->key_file, &run->key, err);
    r = r ? r : c->wire->request(c, args, run->streaming, &body, err);
    if (r == 0 && body.failed) {
        r = sh_fail(err, SH_E_LIMIT, "llm: the request is larger than 2 MiB; send fewer messages");
    }
    r = r ? r : make_headers(run, &headers, err);
    if (r) {
        return r;
    }
    const char *lines[8] = {NULL};
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
        .connect_timeout_ms = run->timeout_ms < c->connect_ms ? run->timeout_ms : c->connect_ms,
        .allow = on_http_allow,
        .on_data = run->streaming ? on_http_data : NULL,
        .done = on_http_done,
        .arg = run,
    };
    r = sh_http_start(run->base.tools->loop, &request, &run->http, err);
    if (r == 0) {
        listen_for(run, c->first_ms);
    }
    return r;
}

/* Who is asked: the model that was named, or the default and those that stand in for it, unless the
 * arguments name others. */
static int make_chain(struct llm_run *run, struct sh_err *err) {
    const struct sh_tools *t = run->base.tools;
    struct sh_str model = sh_json_get_str(run->args, "model");
    const json_t *fallback = json_object_get(run->args, "fallback");
    const struct sh_llm_config *named = sh_llm_model_find(t, model);
    run->chain[run->n_chain++] = named ? named : &t->llm[0];
    for (size_t i = 0; !fallback && !model.len && i < t->n_fallback; i++) {
        run->chain[run->n_chain++] = t->fallback[i];
    }
    for (size_t i = 0; i < json_array_size(fallback); i++) {
        const char *name = json_string_value(json_array_get(fallback, i));
        const struct sh_llm_config *c = sh_llm_model_find(t, sh_str(name));
        if (!c) {
            return sh_fail(err, SH_E_INVAL,
                           "llm.fallback: there is no model \"%.60s\"; the operator names them in "
                           "[llm.models.NAME] of shannon.toml",
                           name ? name : "");
        }
        run->chain[run->n_chain++] = c;
    }
    return 0;
}

/* Can one of them be asked? The first that cannot says why. */
int sh_llm_ready(const struct sh_tools *t, const json_t *args, struct sh_err *err) {
    struct llm_run run = {.base = {.tools = (struct sh_tools *)(uintptr_t)t},
                          .args = (json_t *)(uintptr_t)args};
    struct sh_err why = {0};
    int r = make_chain(&run, err);
    if (r) {
        return r;
    }
    for (size_t i = 0; i < run.n_chain; i++) {
        const struct sh_llm_config *c = run.chain[i];
        struct sh_secret key = {0};
        struct sh_err *first = i ? NULL : &why;
        int unread = sh_secret_read(c->key_env, c->key_file, &key, first);
        bool missing = key.len == 0 && c->needs_key;
        sh_secret_done(&key);
        if (!unread && !missing) {
            return 0;
        }
        if (!unread) {
            sh_fail(first, SH_E_UNCONFIGURED,
                    "%s needs a key: set the variable %s, or name another in [llm] api_key_env of "
                    "shannon.toml",
                    c->provider, c->key_env ? c->key_env : "that api_key_env names");
        }
    }
    *err = why;
    return -why.code;
}

int sh_llm_start(struct sh_tools *t, const struct sh_tool_call *call, struct sh_tool_run **ret,
                 struct sh_err *err) {
    struct llm_run *run = sh_new(struct llm_run);
    *run = (struct llm_run){
        .base = {t, cancel},
        .args = json_incref((json_t *)(uintptr_t)call->args),
        .idempotency_key = call->idempotency_key ? sh_strdup(call->idempotency_key) : NULL,
        .traceparent = call->traceparent ? sh_strdup(call->traceparent) : NULL,
        .streaming = call->on_delta != NULL,
        .timeout_ms = call->timeout_ms ? call->timeout_ms : t->llm[0].timeout_ms,
        .on_delta = call->on_delta,
        .on_alive = call->on_alive,
        .done = call->done,
        .arg = call->arg,
    };
    sh_llm_stream_init(&run->stream, NULL, NULL);
    t->running++;
    int r = make_chain(run, err);
    r = r ? r : send_request(run, err);
    if (r) {
        run_free(run);
        return r;
    }
    *ret = &run->base;
    return 0;
}
