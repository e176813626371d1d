/* tools.h for tests of the engine: the same ops by name, and an `llm` that answers from its
 * arguments after a delay, notes each idempotency key, and fails when told to. Included by a test's
 * source, so that it takes the place of the real tools in that program alone. */
#include "fake_tools.h"

#include <stdio.h>

static const struct sh_tool calculator = {
    .name = "calculator", .capability = "calculator", .args_schema = "{}", .kind = SH_TOOL_PURE};
static const struct sh_tool kv_get = {
    .name = "kv.get", .capability = "kv", .args_schema = "{}", .kind = SH_TOOL_ENGINE};
static const struct sh_tool kv_put = {
    .name = "kv.put", .capability = "kv", .args_schema = "{}", .kind = SH_TOOL_ENGINE};
#define FAKE_KV(id, op)                                                                            \
    static const struct sh_tool id = {                                                             \
        .name = op, .capability = "kv", .args_schema = "{}", .kind = SH_TOOL_ENGINE}
FAKE_KV(kv_cas, "kv.cas");
FAKE_KV(kv_delete, "kv.delete");
FAKE_KV(kv_increment, "kv.increment");
FAKE_KV(kv_list, "kv.list");
static const struct sh_tool sleep_tool = {
    .name = "sleep", .args_schema = "{}", .kind = SH_TOOL_ENGINE};
static const struct sh_tool signal_tool = {
    .name = "signal", .args_schema = "{}", .kind = SH_TOOL_ENGINE};
static const struct sh_tool approval_tool = {
    .name = "approval", .args_schema = "{}", .kind = SH_TOOL_ENGINE};
static const struct sh_tool reply_tool = {
    .name = "signal.reply", .args_schema = "{}", .kind = SH_TOOL_ENGINE};
static const struct sh_tool publish_tool = {
    .name = "publish", .args_schema = "{}", .kind = SH_TOOL_ENGINE};
static const struct sh_tool compensate_tool = {
    .name = "compensate", .args_schema = "{}", .kind = SH_TOOL_ENGINE};
static const struct sh_tool input_tool = {
    .name = "input", .args_schema = "{}", .kind = SH_TOOL_ENGINE};
static const struct sh_tool state_tool = {
    .name = "state", .args_schema = "{}", .kind = SH_TOOL_ENGINE};
static const struct sh_tool workflow_tool = {
    .name = "workflow", .capability = "workflow", .args_schema = "{}", .kind = SH_TOOL_ENGINE};
static const struct sh_tool python_tool = {
    .name = "python", .capability = "python", .args_schema = "{}", .kind = SH_TOOL_ENGINE};
static const struct sh_tool llm = {.name = "llm",
                                   .capability = "llm",
                                   .args_schema = "{}",
                                   .kind = SH_TOOL_REMOTE,
                                   .retryable = true};
static const struct sh_tool secret = {
    .name = "web_search", .capability = "web_search", .args_schema = "{}", .kind = SH_TOOL_REMOTE};
static const struct sh_tool *const tools[] = {
    &calculator,   &kv_cas,        &kv_delete,   &kv_get,          &kv_increment,
    &kv_list,      &kv_put,        &sleep_tool,  &signal_tool,     &approval_tool,
    &input_tool,   &llm,           &secret,      &compensate_tool, &reply_tool,
    &publish_tool, &workflow_tool, &python_tool, &state_tool,      NULL};

struct sh_tools {
    struct sh_loop *loop;
};

struct sh_tool_run {
    struct sh_timer timer, beat;
    uint64_t beat_ms;
    struct sh_tool_call call;
    json_t *args;
};

struct fake_llm fake_llm = {.delay_ms = 1};

const struct sh_tool *sh_tool_find(struct sh_str op) {
    for (size_t i = 0; tools[i]; i++) {
        if (sh_str_eqz(op, tools[i]->name)) {
            return tools[i];
        }
    }
    return NULL;
}

const struct sh_tool *sh_tools_find(struct sh_tools *t, struct sh_str op) {
    (void)t;
    return sh_tool_find(op);
}

const struct sh_tool *const *sh_tools_list(void) {
    return tools;
}

int sh_tool_check(const struct sh_tool *t, const json_t *args, struct sh_err *err) {
    return json_is_object(args) ? 0 : sh_fail(err, SH_E_INVAL, "%s: expected an object", t->name);
}

int sh_tools_ready(struct sh_tools *t, const struct sh_tool_call *call, struct sh_err *err) {
    (void)t;
    return json_object_get(call->args, "unconfigured")
               ? sh_fail(err, SH_E_UNCONFIGURED, "nothing is set up for this")
               : 0;
}

int sh_tools_new(struct sh_loop *l, const struct sh_tools_config *config, struct sh_tools **ret,
                 struct sh_err *err) {
    (void)config;
    (void)err;
    *ret = sh_new(struct sh_tools);
    (*ret)->loop = l;
    return 0;
}

struct sh_tools *sh_tools_free(struct sh_tools *t) {
    return sh_free(t);
}

/* "calculator" doubles {"n": N}. */
int sh_tools_compute(const struct sh_tool *tool, const json_t *args, json_t **ret_result,
                     struct sh_err *err) {
    json_int_t n = sh_json_get_int(args, "n", -1);

    (void)tool;
    if (n < 0) {
        return sh_fail(err, SH_E_INVAL, "n: expected a number of at least 0");
    }
    *ret_result = json_pack("{s:I}", "value", n * 2);
    return 0;
}

static void pad(json_t *result) {
    sh_auto(sh_free_p) char *text = sh_json_text(result);
    size_t n = fake_llm.result_bytes - strlen(text) +
               json_string_length(json_object_get(result, "content"));
    sh_auto(sh_free_p) char *content = sh_alloc(n + 1);

    memset(content, 'x', n);
    content[n] = '\0';
    json_object_set_new(result, "content", json_string(content));
}

static void answered(struct sh_timer *t) {
    struct sh_tool_run *run = sh_container_of(t, struct sh_tool_run, timer);
    struct sh_tool_outcome outcome = {0};
    struct sh_err err = {0};
    sh_auto(sh_free_p) char *args = sh_json_text(run->args);
    json_t *result =
        json_pack("{s:o, s:s, s:s, s:{s:i,s:i,s:i,s:f}}", "content", sh_json_string(sh_str(args)),
                  "model", "fake", "provider", "fake", "usage", "input_tokens", 2, "output_tokens",
                  3, "total_tokens", 5, "cost_usd", 0.0);

    if (fake_llm.result_bytes > 0) {
        json_object_set_new(result, "content", json_string(""));
        pad(result);
    }
    fake_llm.answered++;
    if (fake_llm.failures > 0) {
        fake_llm.failures--;
        sh_fail(&err, SH_E_UPSTREAM, "the fake server is busy");
        outcome.err = &err;
        outcome.retryable = fake_llm.retryable;
        outcome.retry_after_ms = 1;
    } else {
        outcome.result = result;
    }
    sh_timer_stop(&run->beat);
    run->call.done(run->call.arg, &outcome);
    json_decref(result);
    json_decref(run->args);
    sh_free(run);
}

/* {"beat_ms": N}: a sign of life every N ms. */
static void beat(struct sh_timer *t) {
    struct sh_tool_run *run = sh_container_of(t, struct sh_tool_run, beat);

    sh_timer_start(t->loop, t, run->beat_ms * 1000000, beat);
    run->call.on_alive(run->call.arg);
}

int sh_tools_call(struct sh_tools *t, const struct sh_tool_call *call, struct sh_tool_run **ret,
                  struct sh_err *err) {
    struct sh_tool_run *run = sh_new(struct sh_tool_run);
    uint64_t delay_ms =
        (uint64_t)sh_json_get_int(call->args, "delay_ms", (int64_t)fake_llm.delay_ms);

    (void)err;
    run->call = *call;
    run->args = json_deep_copy(call->args);
    if (fake_llm.n_keys < sizeof(fake_llm.keys) / sizeof(fake_llm.keys[0])) {
        snprintf(fake_llm.keys[fake_llm.n_keys++], sizeof(fake_llm.keys[0]), "%s",
                 call->idempotency_key);
    }
    if (call->on_delta) {
        call->on_delta(call->arg, SH_STR("partial"));
    }
    sh_timer_start(t->loop, &run->timer, delay_ms * 1000000, answered);
    run->beat_ms = (uint64_t)sh_json_get_int(call->args, "beat_ms", 0);
    if (run->beat_ms) {
        sh_timer_start(t->loop, &run->beat, run->beat_ms * 1000000, beat);
    }
    *ret = run;
    return 0;
}

void sh_tool_cancel(struct sh_tool_run *run) {
    fake_llm.canceled++;
    sh_timer_stop(&run->timer);
    sh_timer_stop(&run->beat);
    json_decref(run->args);
    sh_free(run);
}

/* Connections are real, rules are asked for the name alone. */
struct sh_dial {
    struct sh_tcp *tcp;
    struct sh_dial_request req;
};

static void dial_changed(void *arg) {
    struct sh_dial *d = arg;

    d->req.changed(d->req.arg);
}

int sh_tools_dial(struct sh_tools *t, const struct sh_dial_request *req, struct sh_dial **ret,
                  struct sh_err *err) {
    const struct sh_net_rule rule = {.scheme = (char *)(uintptr_t)"tcp",
                                     .host = (char *)(uintptr_t)req->host,
                                     .port = req->port};
    struct sh_dial *d = sh_new(struct sh_dial);
    int r = 0;

    d->req = *req;
    if (!req->may_reach(req->arg, &rule, false)) {
        r = sh_fail(err, SH_E_DENIED, "no rule for tcp://%s:%u", req->host, req->port);
    } else {
        const struct sh_tcp_options o = {.host = req->host,
                                         .port = req->port,
                                         .timeout_ms = 20000,
                                         .changed = dial_changed,
                                         .arg = d};
        r = sh_tcp_open(t->loop, &o, &d->tcp, err);
    }
    if (r) {
        sh_free(d);
        return r;
    }
    *ret = d;
    return 0;
}

struct sh_tcp *sh_dial_tcp(const struct sh_dial *d) {
    return d->tcp;
}

void sh_dial_failure(const struct sh_dial *d, struct sh_err *err) {
    sh_fail(err, SH_E_UNAVAILABLE, "error %d", sh_tcp_status(d->tcp).error);
}

void sh_dial_close(struct sh_dial *d, bool now) {
    if (d) {
        sh_tcp_close(d->tcp, now);
        sh_free(d);
    }
}
