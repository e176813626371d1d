/* The same call many times: {"op", "args", "n", "at_once"}. Prints how many had a result, and the
 * first error. */
#include "shannon.h"

#include <stdio.h>
#include <stdlib.h>

enum { AT_ONCE_MAX = 256 };

static long long number(struct shannon_view input, const char *name, long long most) {
    long long n = (long long)shannon_json_number(shannon_json_get(input, name), 1);

    return n < 1 ? 1 : n > most ? most : n;
}

int main(void) {
    struct shannon_ctx *ctx = shannon_open();
    struct shannon_view input = shannon_view(shannon_input(ctx));
    struct shannon_view args = shannon_json_get(input, "args");
    char *op = shannon_json_string(shannon_json_get(input, "op"));
    char *text = shannon_format("%.*s", (int)args.n, args.p ? args.p : "");
    long long n = number(input, "n", 100000), width = number(input, "at_once", AT_ONCE_MAX);
    int32_t handles[AT_ONCE_MAX];
    long long good = 0;

    for (long long done = 0; done < n; done += width) {
        long long now = n - done < width ? n - done : width;
        for (long long i = 0; i < now; i++) {
            handles[i] = shannon_start(ctx, op, text);
        }
        for (long long i = 0; i < now; i++) {
            char *result = handles[i] > 0 && shannon_wait_any(ctx, &handles[i], 1) > 0
                               ? shannon_take(ctx, handles[i])
                               : NULL;
            good += result != NULL;
            if (!result && good == done + i) {
                printf("%s\n", shannon_error(ctx));
            }
            free(result);
        }
    }
    printf("%lld\n", good);
    return 0;
}
