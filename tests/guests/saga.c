/* Registers what undoes each step, and fails: the host asks for the undoing, the last one first. */
#include "shannon.h"

#include <stdio.h>
#include <stdlib.h>

static int undo(struct shannon_ctx *ctx, const char *what) {
    char *llm = shannon_llm_args(ctx, "undo %s of %s", what, shannon_query(ctx));
    int r = shannon_compensate(ctx, "llm", llm);

    free(llm);
    return r;
}

int main(void) {
    struct shannon_ctx *ctx = shannon_open();

    for (int i = 1; i <= 2; i++) {
        char *name = shannon_format("step %d", i);
        char *answer;

        if (undo(ctx, name) < 0) {
            return shannon_fail(ctx);
        }
        answer = shannon_llm(ctx, "%s of %s", name, shannon_query(ctx));
        printf("%s: %s\n", name, answer ? answer : shannon_error(ctx));
        free(answer);
        free(name);
    }
    if (shannon_compensate(ctx, "kv.put", "{\"key\":\"undone\",\"value\":true}") < 0) {
        return shannon_fail(ctx);
    }
    shannon_sleep_ms(ctx, 10);
    return 3;
}
