/* Waiting with a limit, signals and updates, the rest of a session's memory: what is made of the
 * functions of shannon.c alone. */
#include "shannon.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *must(void *p) {
    if (!p) {
        fputs("shannon: out of memory\n", stderr);
        abort();
    }
    return p;
}

/* {"name": text} of up to two members; the second may be raw JSON. */
static char *object(const char *name, const char *text, const char *name2, const char *json2) {
    struct shannon_json w = {0};

    shannon_json_open(&w, '{');
    shannon_json_key(&w, name);
    shannon_json_str(&w, text);
    if (name2) {
        shannon_json_key(&w, name2);
        shannon_json_raw(&w, shannon_view(json2 ? json2 : "null"));
    }
    shannon_json_close(&w, '}');
    return must(shannon_json_take(&w));
}

static char *call(struct shannon_ctx *ctx, const char *op, char *args) {
    char *answer = shannon_tool(ctx, op, args);

    free(args);
    return answer;
}

static int done(char *answer) {
    free(answer);
    return answer ? 0 : -1;
}

/* ---- waiting ---- */

static int32_t start_timer(struct shannon_ctx *ctx, uint64_t ms) {
    char *args = shannon_format("{\"ms\":%llu}", (unsigned long long)ms);
    int32_t timer = shannon_start(ctx, "sleep", args);

    free(args);
    return timer;
}

int32_t shannon_wait_any_ms(struct shannon_ctx *ctx, const int32_t *handles, size_t n,
                            uint64_t timeout_ms) {
    int32_t *all = must(calloc(n + 1, sizeof(*all)));
    int32_t timer = timeout_ms ? start_timer(ctx, timeout_ms) : 0;
    int32_t first = -1;

    if (timer >= 0) {
        memcpy(all, handles, n * sizeof(*all));
        all[n] = timer;
        first = shannon_wait_any(ctx, all, n + 1);
    }
    if (timer > 0) {
#ifdef __wasm__
        shannon_raw_activity_drop(timer);
#endif
        first = first == timer ? 0 : first;
    }
    free(all);
    return first;
}

int shannon_wait_all(struct shannon_ctx *ctx, const int32_t *handles, size_t n,
                     uint64_t timeout_ms) {
    int32_t *open = must(calloc(n + 1, sizeof(*open)));
    int32_t timer = timeout_ms ? start_timer(ctx, timeout_ms) : 0;
    size_t left = 0;
    int result = timer < 0 ? -1 : 0;

    memcpy(open, handles, n * sizeof(*open));
    open[n] = timer;
    for (size_t i = 0; i < n; i++) {
        left += handles[i] > 0;
    }
    while (left > 0 && result == 0) {
        int32_t first = shannon_wait_any(ctx, open, n + 1);
        if (first < 0 || first == timer) {
            result = first < 0 ? -1 : 1;
        }
        for (size_t i = 0; i < n; i++) {
            if (open[i] == first && first > 0) {
                open[i] = 0;
                left--;
            }
        }
    }
    if (timer > 0) {
#ifdef __wasm__
        shannon_raw_activity_drop(timer);
#endif
    }
    free(open);
    return result;
}

/* ---- signals and updates ---- */

char *shannon_signal(struct shannon_ctx *ctx, const char *name, char **ret_update) {
    char *answer = call(ctx, "signal", object("name", name, NULL, NULL));
    struct shannon_view payload, update;
    char *text;

    if (ret_update) {
        *ret_update = NULL;
    }
    if (!answer) {
        return NULL;
    }
    payload = shannon_json_get(shannon_view(answer), "payload");
    update = shannon_json_get(shannon_view(answer), "update");
    if (ret_update && update.p) {
        *ret_update = shannon_json_string(update);
    }
    text = must(payload.p ? strndup(payload.p, payload.n) : strdup("null"));
    free(answer);
    return text;
}

int shannon_reply(struct shannon_ctx *ctx, const char *update, const char *result_json) {
    return done(call(ctx, "signal.reply", object("id", update, "result", result_json)));
}

int shannon_reply_error(struct shannon_ctx *ctx, const char *update, const char *message) {
    char *error = object("message", message, NULL, NULL);
    int r = done(call(ctx, "signal.reply", object("id", update, "error", error)));

    free(error);
    return r;
}

int shannon_compensate(struct shannon_ctx *ctx, const char *op, const char *args_json) {
    return done(call(ctx, "compensate", object("op", op, "args", args_json ? args_json : "{}")));
}

/* ---- memory ---- */

int shannon_kv_delete(struct shannon_ctx *ctx, const char *key) {
    return done(call(ctx, "kv.delete", object("key", key, NULL, NULL)));
}

int shannon_kv_increment(struct shannon_ctx *ctx, const char *key, long long by,
                         long long *ret_sum) {
    char *number = shannon_format("%lld", by);
    char *answer = call(ctx, "kv.increment", object("key", key, "by", number));
    struct shannon_view value;

    free(number);
    if (!answer) {
        return -1;
    }
    value = shannon_json_get(shannon_view(answer), "value");
    if (ret_sum && value.p) {
        *ret_sum = strtoll(value.p, NULL, 10);
    }
    free(answer);
    return 0;
}
