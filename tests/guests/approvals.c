/* Asks a person twice, with work before, between and behind. */
#include "shannon.h"

#include <stdio.h>
#include <stdlib.h>

int main(void) {
    struct shannon_ctx *ctx = shannon_open();
    char *draft = shannon_llm(ctx, "draft: %s", shannon_query(ctx));
    char *sent;
    int first, second;

    first = shannon_approval(ctx, "Send it?", "{\"to\":\"everyone\"}", 0);
    shannon_emit(ctx, "asked", "{\"n\":1}");
    second = shannon_approval(ctx, "Delete the draft?", NULL, 0);
    sent = first == 1 ? shannon_llm(ctx, "send: %s", draft ? draft : "") : NULL;
    printf("%d %d: %s\n", first, second, sent ? sent : "not sent");
    free(draft);
    free(sent);
    return first < 0 || second < 0;
}
