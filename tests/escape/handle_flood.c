/* GHSA-852m-cvvp-9p4w, CVE-2026-27204 (Wasmtime): what the host keeps for a guest is bounded. Ten
 * thousand descriptors, listings of each, random bytes for all of memory, locks of nothing. */
#include "escape.h"

#include <stdlib.h>

int main(void) {
    enum { BIG = 64 << 20 };
    uint8_t *all = malloc(BIG);
    uint8_t entry[32];
    __wasi_size_t n;
    int opened = 0, last = 0;

    for (int i = 0; i < 10000; i++) {
        int fd = open_at(i % 2 ? RW : ROOT, 0, ".", __WASI_OFLAGS_DIRECTORY, READ_RIGHT);

        if (fd < 0) {
            last = -fd;
            break;
        }
        opened++;
        (void)__wasi_fd_readdir(fd, entry, sizeof(entry), 0, &n);
    }
    expect("the descriptors end with", last, __WASI_ERRNO_MFILE);
    holds("after as many as were promised", opened < 1100 && opened > 900);
    for (int fd = PREOPENS; fd < PREOPENS + opened; fd++) {
        expect("close", __wasi_fd_close(fd), 0);
    }
    holds("there is memory", all != NULL);
    for (int i = 0; i < 4; i++) {
        expect("random", __wasi_random_get(all, BIG), 0);
    }
    refused("random past the end", __wasi_random_get(all, UINT32_MAX));
    return end();
}
