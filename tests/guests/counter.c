/* A counter that people talk to: updates "add" with a number are answered with the sum, anything
 * else with an error; the signal "stop" ends it. What it knows is published and kept. */
#include "shannon.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(void) {
    struct shannon_ctx *ctx = shannon_open();
    int32_t stop = shannon_start(ctx, "signal", "{\"name\":\"stop\"}");
    int32_t handles[2] = {shannon_start(ctx, "signal", "{\"name\":\"add\"}"), stop};
    long long sum = 0;

    shannon_publish(ctx, "sum", "0");
    for (;;) {
        int32_t first = shannon_wait_any_ms(ctx, handles, 2, 600000);
        if (first != handles[0]) {
            break;
        }
        char *message = shannon_take(ctx, first);
        struct shannon_view v = shannon_view(message);
        char *update = shannon_json_string(shannon_json_get(v, "update"));
        struct shannon_view payload = shannon_json_get(v, "payload");
        double n = shannon_json_number(payload, 1e9);
        if (update && n == 1e9) {
            shannon_reply_error(ctx, update, "expected a number");
        } else {
            shannon_kv_increment(ctx, "counter/total", (long long)n, NULL);
            sum += (long long)n;
            char *text = shannon_format("%lld", sum);
            shannon_publish(ctx, "sum", text);
            if (update) {
                shannon_reply(ctx, update, text);
            }
            free(text);
        }
        free(update);
        free(message);
        handles[0] = shannon_start(ctx, "signal", "{\"name\":\"add\"}");
    }
    printf("%lld\n", sum);
    return 0;
}
