/* Starts as many children as the input's "children" says, all of the agent "agent" ("signal" when
 * it is not said), and prints how each ended, in the order of their start. Canceled, it says so
 * and cleans up with one more activity. */
#include "shannon.h"

#include <stdio.h>
#include <stdlib.h>

enum { MOST = 16 };

int main(void) {
    struct shannon_ctx *ctx = shannon_open();
    struct shannon_view input = shannon_view(shannon_input(ctx));
    int n = (int)shannon_json_number(shannon_json_get(input, "children"), 1);
    char *agent = shannon_json_string(shannon_json_get(input, "agent"));
    int32_t handles[MOST], open[MOST];
    char *args = shannon_format("{\"agent\":\"%s\",\"query\":\"q\"}", agent ? agent : "signal");

    n = n < 1 || n > MOST ? 1 : n;
    for (int i = 0; i < n; i++) {
        handles[i] = open[i] = shannon_start(ctx, "workflow", args);
    }
    for (int left = n; left > 0;) {
        int32_t done = shannon_wait_any(ctx, open, (size_t)n);
        if (done < 0) {
            char *sum = shannon_tool(ctx, "calculator", "{\"expression\":\"1+1\"}");
            printf("canceled, cleaned up: %s\n", sum ? sum : "no");
            return 0;
        }
        for (int i = 0; i < n; i++) {
            if (open[i] == done) {
                open[i] = 0;
                left--;
            }
        }
    }
    for (int i = 0; i < n; i++) {
        char *result = shannon_take(ctx, handles[i]);
        printf("%d: %s\n", i, result ? result : shannon_error(ctx));
        free(result);
    }
    return 0;
}
