/* Waits in every way there is: a sleep of its own that is recorded, one that is not, durable timers
 * side by side, and limits of waits for what never comes. Prints nothing that a clock decides. */
#include "shannon.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static void own_sleep(long ms) {
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};

    printf("own sleep %ld: %d\n", ms, nanosleep(&t, NULL));
}

int main(void) {
    struct shannon_ctx *ctx = shannon_open();
    int32_t never = shannon_start(ctx, "signal", "{\"name\":\"never\"}");
    int32_t timers[3];
    char *answer = shannon_llm(ctx, "before: %s", shannon_query(ctx));

    printf("%s\n", answer ? answer : shannon_error(ctx));
    free(answer);
    own_sleep(20);
    own_sleep(1000);
    timers[0] = shannon_start(ctx, "sleep", "{\"ms\":500}");
    timers[1] = shannon_start(ctx, "sleep", "{\"ms\":1}");
    timers[2] = shannon_start(ctx, "sleep", "{\"ms\":250}");
    printf("limit of a wait: %d\n", shannon_wait_any_ms(ctx, &never, 1, 60));
    printf("all in time: %d\n", shannon_wait_all(ctx, timers, 3, 600000));
    for (int i = 0; i < 3; i++) {
        answer = shannon_take(ctx, timers[i]);
        printf("%d: %s\n", i, answer ? answer : shannon_error(ctx));
        free(answer);
    }
    answer = shannon_llm(ctx, "after: %s", shannon_query(ctx));
    printf("%s\n", answer ? answer : shannon_error(ctx));
    free(answer);
    return 0;
}
