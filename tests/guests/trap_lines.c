/* Traps below an inlined function, among bulk instructions, which move code when they are metered.
 * The comments that begin with "line" are what the test looks for. */
#include <stdio.h>
#include <string.h>

#define BULK __attribute__((noinline, target("bulk-memory")))

static char to[4096], from[4096];

static inline __attribute__((always_inline)) int inlined(int n) {
    if (n > 0) {
        __builtin_trap(); /* line of inlined */
    }
    return n;
}

BULK static int below(int n) {
    memcpy(to, from, (size_t)n * 100);
    memset(to, n, (size_t)n * 50);
    int r = inlined(n); /* line of below */
    memcpy(from, to, (size_t)n * 10);
    return r + 1;
}

BULK static int above(int n) {
    memcpy(from, to, (size_t)n * 200);
    int r = below(n); /* line of above */
    memcpy(to, from, (size_t)n * 20);
    return r + 1;
}

int main(int argc, char **argv) {
    (void)argv;
    return above(argc); /* line of main */
}
