/* Sleeps `times` times for `ms` milliseconds, as its input says. */
#include "shannon.h"

#include <stdio.h>

static long number(const struct shannon_ctx *ctx, const char *name, long otherwise) {
    struct shannon_view value = shannon_json_get(shannon_view(shannon_input(ctx)), name);

    return (long)shannon_json_number(value, (double)otherwise);
}

int main(void) {
    struct shannon_ctx *ctx = shannon_open();
    long times = number(ctx, "times", 1), ms = number(ctx, "ms", 100);

    for (long i = 0; i < times; i++) {
        if (shannon_sleep_ms(ctx, (uint64_t)ms) < 0) {
            return shannon_fail(ctx);
        }
    }
    printf("slept %ld times\n", times);
    return 0;
}
