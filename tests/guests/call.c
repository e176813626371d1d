/* Calls what its input names, one after the other: {"calls":[{"op":..., "args":{...}}...]}. Prints
 * a line of JSON for each: {"ok":...} or {"error":{"code","message"}}. */
#include "shannon.h"

#include <stdio.h>
#include <stdlib.h>

int main(void) {
    struct shannon_ctx *ctx = shannon_open();
    struct shannon_view calls = shannon_json_get(shannon_view(shannon_input(ctx)), "calls");

    for (size_t i = 0;; i++) {
        struct shannon_view call = shannon_json_item(calls, i);
        struct shannon_view args = shannon_json_get(call, "args");
        struct shannon_json line = {0};
        char *op, *text, *answer;

        if (!call.p) {
            return 0;
        }
        op = shannon_json_string(shannon_json_get(call, "op"));
        text = args.p ? shannon_format("%.*s", (int)args.n, args.p) : NULL;
        answer = shannon_tool(ctx, op, text);
        shannon_json_open(&line, '{');
        if (answer) {
            shannon_json_key(&line, "ok");
            shannon_json_raw(&line, shannon_view(answer));
        } else {
            shannon_json_key(&line, "error");
            shannon_json_open(&line, '{');
            shannon_json_key(&line, "code");
            shannon_json_str(&line, shannon_error_code(ctx));
            shannon_json_key(&line, "message");
            shannon_json_str(&line, shannon_error(ctx));
            shannon_json_close(&line, '}');
        }
        shannon_json_close(&line, '}');
        free(answer);
        answer = shannon_json_take(&line);
        puts(answer ? answer : "null");
        free(answer);
        free(text);
        free(op);
    }
}
