/* Paths that are no text: a NUL in the middle that one reader stops at and the next does not, bytes
 * that are not UTF-8, a path of a megabyte, a name of 256 bytes, ten thousand dots. */
#include "escape.h"

#include <stdlib.h>

__attribute__((import_module("wasi_snapshot_preview1"), import_name("path_open"))) int32_t
raw_open(int32_t dir, int32_t lookup, const char *path, uint32_t len, int32_t oflags,
         uint64_t rights, uint64_t inheriting, int32_t flags, uint32_t *fd);

static void raw(const char *what, const char *path, uint32_t len) {
    uint32_t fd = 0;

    for (int oflags = 0; oflags < 2; oflags++) {
        refused(what, raw_open(RW, 1, path, len, oflags, READ_RIGHT, 0, 0, &fd));
        refused(what, raw_open(ROOT, 0, path, len, oflags, READ_RIGHT, 0, 0, &fd));
    }
}

int main(void) {
    enum { MEGABYTE = 1 << 20 };
    char *big = malloc(MEGABYTE);

    raw("a NUL that hides the rest", "file\0/../../outside/secret", 26);
    raw("a NUL at the end", "file\0", 5);
    raw("a NUL at the start", "\0file", 5);
    raw("not UTF-8", "\xff\xfe", 2);
    raw("half a character", "\xe2\x82", 2);
    raw("a surrogate", "\xed\xa0\x80", 3);
    raw("nothing", "", 0);
    memset(big, 'a', MEGABYTE);
    raw("a name of a megabyte", big, MEGABYTE);
    raw("a name of 256 bytes", big, 256);
    raw("a path of 4097 bytes", big, 4097);
    for (int i = 0; i < MEGABYTE; i += 2) {
        memcpy(big + i, "./", 2);
    }
    raw("a megabyte of ./", big, MEGABYTE);
    for (int i = 0; i + 3 <= 4095; i += 3) {
        memcpy(big + i, "../", 3);
    }
    raw("../ as often as a path may hold", big, 4095);
    memset(big, '/', MEGABYTE);
    raw("a megabyte of slashes", big, MEGABYTE);
    raw("a length that is the whole memory", big, UINT32_MAX);
    return end();
}
