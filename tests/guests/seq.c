/* Five activities, one after the other. Prints nothing that a clock or chance decides. */
#include "shannon.h"

#include <stdio.h>
#include <stdlib.h>

static int show(struct shannon_ctx *ctx, const char *what, char *json) {
    if (!json) {
        printf("%s failed: %s\n", what, shannon_error(ctx) ? shannon_error(ctx) : "nothing there");
        return 1;
    }
    printf("%s: %s\n", what, json);
    free(json);
    return 0;
}

int main(void) {
    struct shannon_ctx *ctx = shannon_open();
    int failed = 0;
    char *answer;

    failed |= show(ctx, "calculator", shannon_tool(ctx, "calculator", "{\"expression\":\"6*7\"}"));
    if (shannon_kv_put(ctx, "seq", "{\"n\":[1,2,3]}") < 0) {
        printf("kv.put failed: %s\n", shannon_error(ctx));
        failed = 1;
    }
    failed |= show(ctx, "kv.get", shannon_kv_get(ctx, "seq"));
    answer = shannon_llm(ctx, "Summarise: %s", shannon_query(ctx));
    failed |= show(ctx, "llm", answer);
    if (shannon_sleep_ms(ctx, 20) < 0) {
        printf("sleep failed: %s\n", shannon_error(ctx));
        failed = 1;
    }
    shannon_emit(ctx, "progress", "{\"message\":\"all five done\"}");
    if (shannon_output(ctx, failed ? "{\"ok\":false}" : "{\"ok\":true}") < 0) {
        return shannon_fail(ctx);
    }
    return failed;
}
