/* Answers a question in one sentence. */
#include <stdlib.h>

#include "shannon.h"

int main(void) {
    struct shannon_ctx *ctx = shannon_open();
    struct shannon_json result = {0};
    char *answer;

    (void)shannon_progress(ctx, "asking the model");
    answer = shannon_llm(ctx, "Answer in one sentence: %s", shannon_query(ctx));
    if (!answer) {
        return shannon_fail(ctx);
    }
    shannon_json_open(&result, '{');
    shannon_json_key(&result, "answer");
    shannon_json_str(&result, answer);
    shannon_json_close(&result, '}');
    return shannon_output(ctx, shannon_json_take(&result)) < 0 ? shannon_fail(ctx) : 0;
}
