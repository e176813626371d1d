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
static const struct sh_tool sleep_tool = {
    .name = "sleep", .args_schema = "{}", .kind = SH_TOOL_ENGINE};
static const struct sh_tool signal_tool = {
    .name = "signal", .args_schema = "{}", .kind = SH_TOOL_ENGINE};
static const struct sh_tool input_tool = {
    .name = "input", .args_schema = "{}", .kind = SH_TOOL_ENGINE};
static const struct sh_tool llm = {.name = "llm",
                                   .capability = "llm",
                                   .args_schema = "{}",
                                   .kind = SH_TOOL_REMOTE,
                                   .retryable = true};
static const struct sh_tool secret = {
    .name = "web_search", .capability = "web_search", .args_schema = "{}", .kind = SH_TOOL_REMOTE};
static const struct sh_tool *const tools[] = {
    &calculator, &kv_get, &kv_put, &sleep_tool, &signal_tool, &input_tool, &llm, &secret, NULL};

struct sh_tools {
    struct sh_loop *loop;
};

struct sh_tool_run {
    struct sh_timer timer;
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

const struct sh_tool *const *sh_tools_list(void) {
    return tools;
}

int sh_tool_check(const struct sh_tool *t, const json_t *args, struct sh_err *err) {
    return json_is_object(args) ? 0 : sh_fail(err, SH_E_INVAL, "%s: expected an object", t->name);
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

static void answered(struct sh_timer *t) {
    struct sh_tool_run *run = sh_container_of(t, struct sh_tool_run, timer);
    struct sh_tool_outcome outcome = {0};
    struct sh_err err = {0};
    sh_auto(sh_free_p) char *args = sh_json_text(run->args);
    json_t *result =
        json_pack("{s:o, s:s, s:s, s:{s:i,s:i,s:i,s:f}}", "content", sh_json_string(sh_str(args)),
                  "model", "fake", "provider", "fake", "usage", "input_tokens", 2, "output_tokens",
                  3, "total_tokens", 5, "cost_usd", 0.0);

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
    run->call.done(run->call.arg, &outcome);
    json_decref(result);
    json_decref(run->args);
    sh_free(run);
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
    *ret = run;
    return 0;
}

void sh_tool_cancel(struct sh_tool_run *run) {
    fake_llm.canceled++;
    sh_timer_stop(&run->timer);
    json_decref(run->args);
    sh_free(run);
}
