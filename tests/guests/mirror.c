/* Its result is its input, byte for byte. Between the two it sleeps: time for a kill. */
#include "shannon.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(void) {
    static const char args[] = "{\"ms\":300}";
    uint32_t n = (uint32_t)shannon_raw_input_size();
    char *input = malloc(n);
    int32_t sleep, given;

    if (!input || shannon_raw_input_read(input, n) != (int32_t)n) {
        fputs("no room for the input\n", stderr);
        return 1;
    }
    sleep = shannon_raw_activity_start("sleep", 5, args, (uint32_t)strlen(args));
    if (sleep < 0 || shannon_raw_activity_wait(&sleep, 1) != sleep) {
        fputs("no sleep\n", stderr);
        return 2;
    }
    given = shannon_raw_output(input, n);
    if (given < 0) {
        fprintf(stderr, "output: %d\n", (int)given);
        return 3;
    }
    return 0;
}
