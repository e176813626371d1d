/* Writes to its private directory, asks a model, and writes again: a line for what became of each
 * write. */
#include "shannon.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void put(const char *when) {
    int fd = open("/file", O_WRONLY | O_CREAT | O_APPEND, 0600);
    ssize_t n = fd < 0 ? -1 : write(fd, "0123456789", 10);

    printf("%s %s\n", when, n == 10 ? "written" : errno == ENOSPC ? "no space" : "failed");
    fflush(stdout);
    close(fd);
}

int main(void) {
    struct shannon_ctx *ctx = shannon_open();
    char *answer;

    put("before");
    answer = shannon_tool(ctx, "llm", "{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}");
    if (!answer) {
        printf("%s\n", shannon_error(ctx));
    }
    free(answer);
    put("after");
    shannon_close(ctx);
    return 0;
}
