/* The agent that every SDK has an example of: a few steps, two of them side by side. */
#include <stdlib.h>

#include "shannon.h"

static int32_t ask(struct shannon_ctx *ctx, const char *who) {
    char *args = shannon_llm_args(ctx, "%s: %s", who, shannon_query(ctx));
    int32_t handle = shannon_start(ctx, "llm", args);

    free(args);
    return handle;
}

/* Both answers, in the order in which they were asked for. */
static int both(struct shannon_ctx *ctx, int32_t handles[2], char *texts[2]) {
    int32_t open[2] = {handles[0], handles[1]};

    for (int n = 0; n < 2; n++) {
        int32_t first = shannon_wait_any(ctx, open, 2);
        if (first < 0) {
            return -1;
        }
        open[first == open[0] ? 0 : 1] = 0;
    }
    for (int i = 0; i < 2; i++) {
        char *answer = shannon_take(ctx, handles[i]);
        if (!answer) {
            return -1;
        }
        texts[i] = shannon_json_string(shannon_json_get(shannon_view(answer), "content"));
        free(answer);
    }
    return texts[0] && texts[1] ? 0 : -1;
}

static char *as_array(char *const texts[2]) {
    struct shannon_json w = {0};

    shannon_json_open(&w, '[');
    shannon_json_str(&w, texts[0]);
    shannon_json_str(&w, texts[1]);
    shannon_json_close(&w, ']');
    return shannon_json_take(&w);
}

static char *as_result(char *const texts[2], const char *sum) {
    struct shannon_json w = {0};
    char *answer = shannon_format("%s / %s", texts[0], texts[1]);

    shannon_json_open(&w, '{');
    shannon_json_key(&w, "answer");
    shannon_json_str(&w, answer);
    shannon_json_key(&w, "value");
    shannon_json_raw(&w, shannon_json_get(shannon_view(sum), "value"));
    shannon_json_close(&w, '}');
    free(answer);
    return shannon_json_take(&w);
}

int main(void) {
    struct shannon_ctx *ctx = shannon_open();
    char *sum, *texts[2] = {0};
    int32_t handles[2];

    (void)shannon_progress(ctx, "begin");
    sum = shannon_tool(ctx, "calculator", "{\"expression\":\"6*7\"}");
    if (!sum) {
        return shannon_fail(ctx);
    }
    handles[0] = ask(ctx, "one");
    handles[1] = ask(ctx, "two");
    if (handles[0] < 0 || handles[1] < 0 || both(ctx, handles, texts) < 0 ||
        shannon_kv_put(ctx, "last", as_array(texts)) < 0 || shannon_sleep_ms(ctx, 20) < 0 ||
        shannon_output(ctx, as_result(texts, sum)) < 0) {
        return shannon_fail(ctx);
    }
    return 0;
}
