/* Counts in the memory of its session, in every way that writes there, and gives what it then
 * holds: after a second task of the session, twice of everything and not once more. */
#include "shannon.h"

#include <stdio.h>
#include <stdlib.h>

int main(void) {
    struct shannon_ctx *ctx = shannon_open();
    char *answer, *kept, *list;

    for (int i = 1; i <= 3; i++) {
        if (shannon_kv_increment(ctx, "sum", i, NULL) < 0) {
            return shannon_fail(ctx);
        }
    }
    answer = shannon_llm(ctx, "remember: %s", shannon_query(ctx));
    kept = shannon_kv_get(ctx, "note");
    printf("first: %d\n", shannon_kv_cas(ctx, "note", kept, kept ? "2" : "1"));
    free(kept);
    shannon_kv_put(ctx, "gone", "[]");
    shannon_kv_increment(ctx, "sum", 100, NULL);
    shannon_kv_delete(ctx, "gone");
    list = shannon_kv_list(ctx, NULL);
    if (!answer || !list || shannon_output(ctx, list) < 0) {
        return shannon_fail(ctx);
    }
    free(answer);
    free(list);
    return 0;
}
