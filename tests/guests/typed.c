/* Asks a model about each line of its standard input, as it comes, until there are no more. */
#include "shannon.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(void) {
    struct shannon_ctx *ctx = shannon_open();
    char line[100];

    while (fgets(line, sizeof(line), stdin)) {
        line[strcspn(line, "\n")] = '\0';
        char *answer = shannon_llm(ctx, "What is %s?", line);
        if (!answer) {
            return shannon_fail(ctx);
        }
        printf("read %s\n", line);
        free(answer);
    }
    puts("end");
    return 0;
}
