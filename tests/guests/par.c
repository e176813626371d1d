/* Six activities at once; prints them in the order in which their answers come, or, when the input
 * says {"sorted":true}, in the order of their start: that one is the same in every run. */
#include "shannon.h"

#include <stdio.h>
#include <stdlib.h>

enum { N = 6 };

static void show(struct shannon_ctx *ctx, const char *name, int32_t handle) {
    char *result = shannon_take(ctx, handle);

    printf("%s: %s\n", name, result ? result : shannon_error(ctx));
    free(result);
}

int main(void) {
    struct shannon_ctx *ctx = shannon_open();
    static const char *const names[N] = {"calculator", "llm first", "llm second",
                                         "llm third",  "sleep 700", "sleep 900"};
    bool sorted =
        shannon_json_is_true(shannon_json_get(shannon_view(shannon_input(ctx)), "sorted"));
    int32_t handles[N], open[N];
    char *prompts[3];

    handles[0] = shannon_start(ctx, "calculator", "{\"expression\":\"2^10\"}");
    for (int i = 0; i < 3; i++) {
        prompts[i] = shannon_llm_args(ctx, "par-%d of %s", i + 1, shannon_query(ctx));
        handles[i + 1] = shannon_start(ctx, "llm", prompts[i]);
        free(prompts[i]);
    }
    handles[4] = shannon_start(ctx, "sleep", "{\"ms\":700}");
    handles[5] = shannon_start(ctx, "sleep", "{\"ms\":900}");
    for (int i = 0; i < N; i++) {
        open[i] = handles[i];
    }
    for (int left = N; left > 0; left--) {
        int32_t done = shannon_wait_any(ctx, open, N);
        if (done < 0) {
            return shannon_fail(ctx);
        }
        for (int i = 0; i < N; i++) {
            if (open[i] == done) {
                open[i] = 0;
                if (!sorted) {
                    show(ctx, names[i], done);
                }
            }
        }
    }
    for (int i = 0; sorted && i < N; i++) {
        show(ctx, names[i], handles[i]);
    }
    return 0;
}
