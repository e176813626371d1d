/* Takes memory until none is left, then gives up as a program does that cannot go on. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(void) {
    for (;;) {
        char *volatile p = malloc(1 << 20); /* volatile: else all of this is optimised away */
        if (!p) {
            fprintf(stderr, "no memory left\n");
            abort();
        }
        memset(p, 1, 1 << 20);
    }
}
