/* The comfortable layer over the host functions: it turns texts into JSON and answers into texts,
 * keeps the last error, and adds up what the model used. */
#include "shannon.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct shannon_ctx {
    char *input, *query;
    char *model, *system;
    int max_tokens;
    double temperature;
    char *error, *error_code;
    bool error_retryable;
    struct shannon_usage used;
    char *used_model, *used_provider;
};

/* An agent without memory can do nothing useful: it ends, and the host says why. */
static void *need(void *p) {
    if (!p) {
        fputs("shannon: out of memory\n", stderr);
        abort();
    }
    return p;
}

static char *copy_text(const char *text) {
    return text ? need(strdup(text)) : NULL;
}

static void set_text(char **where, const char *text) {
    char *copy = copy_text(text);

    free(*where);
    *where = copy;
}

static char *format_list(const char *format, va_list args) {
    char *text = NULL;

    return need(vasprintf(&text, format, args) < 0 ? NULL : text);
}

char *shannon_format(const char *format, ...) {
    va_list args;
    char *text;

    va_start(args, format);
    text = format_list(format, args);
    va_end(args);
    return text;
}

static char *finish(struct shannon_json *w) {
    return need(shannon_json_take(w));
}

/* ---- errors ---- */

static void no_error(struct shannon_ctx *ctx) {
    set_text(&ctx->error, NULL);
    set_text(&ctx->error_code, NULL);
    ctx->error_retryable = false;
}

static void set_error(struct shannon_ctx *ctx, const char *code, const char *message,
                      bool retryable) {
    set_text(&ctx->error, message);
    set_text(&ctx->error_code, code);
    ctx->error_retryable = retryable;
}

/* A host function refused: `result` is a negated errno. */
static int refused(struct shannon_ctx *ctx, const char *what, int32_t result) {
    char *message = shannon_format("%s: %s", what, strerror(-result));

    set_error(ctx, result == -ECANCELED ? "canceled" : "invalid_argument", message, false);
    free(message);
    return -1;
}

static int settle(struct shannon_ctx *ctx, const char *what, int32_t result) {
    if (result < 0) {
        return refused(ctx, what, result);
    }
    no_error(ctx);
    return 0;
}

const char *shannon_error(const struct shannon_ctx *ctx) {
    return ctx->error;
}

const char *shannon_error_code(const struct shannon_ctx *ctx) {
    return ctx->error_code;
}

bool shannon_error_retryable(const struct shannon_ctx *ctx) {
    return ctx->error_retryable;
}

int shannon_fail(const struct shannon_ctx *ctx) {
    fprintf(stderr, "%s: %s\n", ctx->error_code ? ctx->error_code : "failed",
            ctx->error ? ctx->error : "no error was recorded");
    return 1;
}

/* ---- the task ---- */

struct shannon_ctx *shannon_open(void) {
    struct shannon_ctx *ctx = need(calloc(1, sizeof(*ctx)));
    int32_t n = shannon_raw_input_size();

    n = n > 0 ? n : 0;
    ctx->temperature = -1;
    ctx->input = need(calloc(1, (size_t)n + 1));
    shannon_raw_input_read(ctx->input, (uint32_t)n);
    ctx->query = shannon_json_string(shannon_json_get(shannon_view(ctx->input), "query"));
    if (!ctx->query) {
        ctx->query = copy_text("");
    }
    return ctx;
}

void shannon_close(struct shannon_ctx *ctx) {
    if (!ctx) {
        return;
    }
    free(ctx->input);
    free(ctx->query);
    free(ctx->model);
    free(ctx->system);
    free(ctx->error);
    free(ctx->error_code);
    free(ctx->used_model);
    free(ctx->used_provider);
    free(ctx);
}

const char *shannon_input(const struct shannon_ctx *ctx) {
    return ctx->input;
}

const char *shannon_query(const struct shannon_ctx *ctx) {
    return ctx->query;
}

/* ---- activities ---- */

int32_t shannon_start(struct shannon_ctx *ctx, const char *op, const char *args_json) {
    const char *args = args_json ? args_json : "{}";
    int32_t handle =
        shannon_raw_activity_start(op, (uint32_t)strlen(op), args, (uint32_t)strlen(args));

    return settle(ctx, op, handle) < 0 ? -1 : handle;
}

int32_t shannon_wait_any(struct shannon_ctx *ctx, const int32_t *handles, size_t n) {
    int32_t *open = need(calloc(n + 1, sizeof(*open)));
    uint32_t n_open = 0;
    int32_t handle;

    for (size_t i = 0; i < n; i++) {
        if (handles[i] > 0) {
            open[n_open++] = handles[i];
        }
    }
    handle = shannon_raw_activity_wait(open, n_open);
    free(open);
    return settle(ctx, "wait", handle) < 0 ? -1 : handle;
}

/* {"ok":...} gives the text of what is inside; {"error":...} and all else sets the error. */
static char *unwrap(struct shannon_ctx *ctx, struct shannon_view result) {
    struct shannon_view ok = shannon_json_get(result, "ok");
    char *code, *message;

    if (ok.p) {
        no_error(ctx);
        return need(strndup(ok.p, ok.n));
    }
    code = shannon_json_string(shannon_json_get(result, "error.code"));
    message = shannon_json_string(shannon_json_get(result, "error.message"));
    set_error(ctx, code ? code : "internal_error", message ? message : "the answer has no message",
              shannon_json_is_true(shannon_json_get(result, "error.retryable")));
    free(code);
    free(message);
    return NULL;
}

char *shannon_take(struct shannon_ctx *ctx, int32_t handle) {
    int32_t n = shannon_raw_activity_size(handle);
    char *text, *ok;

    if (n < 0) {
        refused(ctx, "take", n);
        return NULL;
    }
    text = need(calloc(1, (size_t)n + 1));
    shannon_raw_activity_read(handle, text, (uint32_t)n);
    shannon_raw_activity_drop(handle);
    ok = unwrap(ctx, shannon_view_n(text, (size_t)n));
    free(text);
    return ok;
}

void shannon_drop(int32_t handle) {
    if (handle > 0) {
        shannon_raw_activity_drop(handle);
    }
}

char *shannon_tool(struct shannon_ctx *ctx, const char *op, const char *args_json) {
    int32_t handle = shannon_start(ctx, op, args_json);

    if (handle < 0) {
        return NULL;
    }
    if (shannon_wait_any(ctx, &handle, 1) < 0) { /* canceled: nobody will read the answer */
        shannon_raw_activity_drop(handle);
        return NULL;
    }
    return shannon_take(ctx, handle);
}

/* An op whose answer carries nothing. */
static int perform(struct shannon_ctx *ctx, const char *op, struct shannon_json *args) {
    char *json = finish(args);
    char *answer = shannon_tool(ctx, op, json);

    free(json);
    free(answer);
    return answer ? 0 : -1;
}

int shannon_sleep_ms(struct shannon_ctx *ctx, uint64_t ms) {
    struct shannon_json w = {0};

    shannon_json_open(&w, '{');
    shannon_json_key(&w, "ms");
    shannon_json_int(&w, (long long)ms);
    shannon_json_close(&w, '}');
    return perform(ctx, "sleep", &w);
}

int shannon_approval(struct shannon_ctx *ctx, const char *message, const char *data_json,
                     uint64_t timeout_ms) {
    struct shannon_json w = {0};
    char *json, *answer;
    int yes;

    shannon_json_open(&w, '{');
    shannon_json_key(&w, "message");
    shannon_json_str(&w, message);
    if (data_json) {
        shannon_json_key(&w, "data");
        shannon_json_raw(&w, shannon_view(data_json));
    }
    if (timeout_ms) {
        shannon_json_key(&w, "timeout_ms");
        shannon_json_int(&w, (long long)timeout_ms);
    }
    shannon_json_close(&w, '}');
    json = finish(&w);
    answer = shannon_tool(ctx, "approval", json);
    free(json);
    if (!answer) {
        return -1;
    }
    yes = shannon_json_is_true(shannon_json_get(shannon_view(answer), "approved"));
    free(answer);
    return yes;
}

int shannon_kv_put(struct shannon_ctx *ctx, const char *key, const char *value_json) {
    struct shannon_json w = {0};

    shannon_json_open(&w, '{');
    shannon_json_key(&w, "key");
    shannon_json_str(&w, key);
    shannon_json_key(&w, "value");
    shannon_json_raw(&w, shannon_view(value_json));
    shannon_json_close(&w, '}');
    return perform(ctx, "kv.put", &w);
}

char *shannon_kv_get(struct shannon_ctx *ctx, const char *key) {
    struct shannon_json w = {0};
    struct shannon_view value;
    char *json, *answer, *text = NULL;

    shannon_json_open(&w, '{');
    shannon_json_key(&w, "key");
    shannon_json_str(&w, key);
    shannon_json_close(&w, '}');
    json = finish(&w);
    answer = shannon_tool(ctx, "kv.get", json);
    value = shannon_json_get(shannon_view(answer), "value");
    if (value.p && shannon_json_is_true(shannon_json_get(shannon_view(answer), "found"))) {
        text = need(strndup(value.p, value.n));
    }
    free(json);
    free(answer);
    return text;
}

/* ---- the language model ---- */

void shannon_llm_model(struct shannon_ctx *ctx, const char *model) {
    set_text(&ctx->model, model);
}

void shannon_llm_system(struct shannon_ctx *ctx, const char *text) {
    set_text(&ctx->system, text);
}

void shannon_llm_max_tokens(struct shannon_ctx *ctx, int n) {
    ctx->max_tokens = n;
}

void shannon_llm_temperature(struct shannon_ctx *ctx, double t) {
    ctx->temperature = t;
}

struct shannon_usage shannon_usage(const struct shannon_ctx *ctx) {
    struct shannon_usage used = ctx->used;

    used.model = ctx->used_model ? ctx->used_model : "";
    used.provider = ctx->used_provider ? ctx->used_provider : "";
    return used;
}

static void add_message(struct shannon_json *w, const char *role, const char *content) {
    shannon_json_open(w, '{');
    shannon_json_key(w, "role");
    shannon_json_str(w, role);
    shannon_json_key(w, "content");
    shannon_json_str(w, content);
    shannon_json_close(w, '}');
}

static char *user_messages(const struct shannon_ctx *ctx, const char *prompt) {
    struct shannon_json w = {0};

    shannon_json_open(&w, '[');
    if (ctx->system) {
        add_message(&w, "system", ctx->system);
    }
    add_message(&w, "user", prompt);
    shannon_json_close(&w, ']');
    return finish(&w);
}

static char *request(const struct shannon_ctx *ctx, const char *messages_json) {
    struct shannon_json w = {0};

    shannon_json_open(&w, '{');
    shannon_json_key(&w, "messages");
    shannon_json_raw(&w, shannon_view(messages_json));
    if (ctx->model) {
        shannon_json_key(&w, "model");
        shannon_json_str(&w, ctx->model);
    }
    if (ctx->max_tokens > 0) {
        shannon_json_key(&w, "max_tokens");
        shannon_json_int(&w, ctx->max_tokens);
    }
    if (ctx->temperature >= 0) {
        shannon_json_key(&w, "temperature");
        shannon_json_double(&w, ctx->temperature);
    }
    shannon_json_close(&w, '}');
    return finish(&w);
}

static void count(struct shannon_ctx *ctx, struct shannon_view answer) {
    struct shannon_usage *used = &ctx->used;
    char *model = shannon_json_string(shannon_json_get(answer, "model"));
    char *provider = shannon_json_string(shannon_json_get(answer, "provider"));

    used->calls++;
    used->input_tokens +=
        (long long)shannon_json_number(shannon_json_get(answer, "usage.input_tokens"), 0);
    used->output_tokens +=
        (long long)shannon_json_number(shannon_json_get(answer, "usage.output_tokens"), 0);
    used->total_tokens +=
        (long long)shannon_json_number(shannon_json_get(answer, "usage.total_tokens"), 0);
    set_text(&ctx->used_model, model);
    set_text(&ctx->used_provider, provider);
    free(model);
    free(provider);
}

char *shannon_llm_messages(struct shannon_ctx *ctx, const char *messages_json) {
    char *args = request(ctx, messages_json);
    char *answer = shannon_tool(ctx, "llm", args);

    free(args);
    if (answer) {
        count(ctx, shannon_view(answer));
    }
    return answer;
}

char *shannon_llm(struct shannon_ctx *ctx, const char *format, ...) {
    char *prompt, *messages, *answer, *content;
    va_list args;

    va_start(args, format);
    prompt = format_list(format, args);
    va_end(args);
    messages = user_messages(ctx, prompt);
    answer = shannon_llm_messages(ctx, messages);
    free(prompt);
    free(messages);
    if (!answer) {
        return NULL;
    }
    content = shannon_json_string(shannon_json_get(shannon_view(answer), "content"));
    free(answer);
    return content ? content : copy_text(""); /* a model may answer with tool calls alone */
}

char *shannon_llm_args(struct shannon_ctx *ctx, const char *format, ...) {
    char *prompt, *messages, *json;
    va_list args;

    va_start(args, format);
    prompt = format_list(format, args);
    va_end(args);
    messages = user_messages(ctx, prompt);
    json = request(ctx, messages);
    free(prompt);
    free(messages);
    return json;
}

/* ---- what others see ---- */

int shannon_emit(struct shannon_ctx *ctx, const char *type, const char *data_json) {
    const char *data = data_json ? data_json : "null";

    return settle(ctx, "emit",
                  shannon_raw_emit(type, (uint32_t)strlen(type), data, (uint32_t)strlen(data)));
}

static int emit_message(struct shannon_ctx *ctx, const char *type, const char *format,
                        va_list args) {
    struct shannon_json w = {0};
    char *text = format_list(format, args), *json;
    int result;

    shannon_json_open(&w, '{');
    shannon_json_key(&w, "message");
    shannon_json_str(&w, text);
    shannon_json_close(&w, '}');
    json = finish(&w);
    result = shannon_emit(ctx, type, json);
    free(text);
    free(json);
    return result;
}

int shannon_progress(struct shannon_ctx *ctx, const char *format, ...) {
    va_list args;
    int result;

    va_start(args, format);
    result = emit_message(ctx, "progress", format, args);
    va_end(args);
    return result;
}

int shannon_log(struct shannon_ctx *ctx, const char *format, ...) {
    va_list args;
    int result;

    va_start(args, format);
    result = emit_message(ctx, "log", format, args);
    va_end(args);
    return result;
}

int shannon_publish(struct shannon_ctx *ctx, const char *name, const char *data_json) {
    const char *data = data_json ? data_json : "null";

    return settle(ctx, "publish",
                  shannon_raw_publish(name, (uint32_t)strlen(name), data, (uint32_t)strlen(data)));
}

int shannon_output(struct shannon_ctx *ctx, const char *json) {
    return settle(ctx, "output", shannon_raw_output(json, (uint32_t)strlen(json)));
}

int shannon_checkpoint(struct shannon_ctx *ctx, const void *state, size_t n) {
    fflush(NULL); /* what is in buffers would go with this start */
    return settle(ctx, "checkpoint", shannon_raw_checkpoint(state, (uint32_t)n));
}

int shannon_continue_as_new(struct shannon_ctx *ctx, const char *input_json) {
    fflush(NULL);
    return settle(ctx, "continue_as_new",
                  shannon_raw_continue_as_new(input_json, (uint32_t)strlen(input_json)));
}

void *shannon_state(struct shannon_ctx *ctx, size_t *ret_n) {
    int32_t n = shannon_raw_checkpoint_size();
    char *state;

    no_error(ctx);
    *ret_n = 0;
    if (n <= 0) {
        return NULL;
    }
    state = need(calloc(1, (size_t)n + 1));
    shannon_raw_checkpoint_read(state, (uint32_t)n);
    *ret_n = (size_t)n;
    return state;
}
