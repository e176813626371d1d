/* Writes to stdout without end, or as many MiB as its argument says. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv) {
    static char block[1 << 16];
    long long left = argc > 1 ? strtoll(argv[1], NULL, 10) * 16 : -1;

    memset(block, 'x', sizeof(block));
    block[sizeof(block) - 1] = '\n';
    while (left < 0 || left-- > 0) {
        if (fwrite(block, 1, sizeof(block), stdout) != sizeof(block)) {
            return 1;
        }
    }
    return 0;
}
