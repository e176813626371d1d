/* What the attacks share. The runner maps two directories, so descriptors are known: the writable
 * one, the one that may only be read, the private root, and /dev.
 *
 * An attack says of each attempt what must come of it; an attempt that gets through is printed as
 * ESCAPED and makes the exit status 1. `contained` is what the others end with. */
#ifndef SH_TESTS_ESCAPE_H
#define SH_TESTS_ESCAPE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <wasi/api.h>

enum { RW = 3, RO = 4, ROOT = 5, DEV = 6, PREOPENS = 7, FOLLOW = 1 };
#define ALL_RIGHTS 0x1fffffffULL
#define READ_RIGHT __WASI_RIGHTS_FD_READ
#define WRITE_RIGHT __WASI_RIGHTS_FD_WRITE

static int escaped;

/* It must fail, in whatever way. */
static inline void refused(const char *what, int rc) {
    if (rc == 0) {
        printf("ESCAPED: %s\n", what);
        escaped = 1;
    }
}

/* It must end exactly so. */
static inline void expect(const char *what, int rc, int wanted) {
    if (rc != wanted) {
        printf("ESCAPED: %s gave %d, expected %d\n", what, rc, wanted);
        escaped = 1;
    }
}

static inline void holds(const char *what, bool true_) {
    if (!true_) {
        printf("ESCAPED: %s\n", what);
        escaped = 1;
    }
}

static inline int end(void) {
    if (!escaped) {
        puts("contained");
    }
    return escaped;
}

/* path_open; the descriptor or -errno. */
static inline int open_at(int dir, int lookup, const char *path, int oflags, uint64_t rights) {
    __wasi_fd_t fd = 0;
    int rc = __wasi_path_open(dir, (__wasi_lookupflags_t)lookup, path, (__wasi_oflags_t)oflags,
                              rights, ALL_RIGHTS, 0, &fd);

    return rc ? -rc : (int)fd;
}

static inline void open_refused(const char *what, int dir, int lookup, const char *path, int oflags,
                                uint64_t rights) {
    int fd = open_at(dir, lookup, path, oflags, rights);

    if (fd >= 0) {
        printf("ESCAPED: %s: %s was opened\n", what, path);
        escaped = 1;
        (void)__wasi_fd_close(fd);
    }
}

/* Bytes read from the start, or -errno. */
static inline int read_some(int fd, void *buf, size_t n) {
    __wasi_iovec_t v = {buf, n};
    __wasi_size_t got = 0;
    int rc = __wasi_fd_read(fd, &v, 1, &got);

    return rc ? -rc : (int)got;
}

static inline int write_some(int fd, const void *buf, size_t n) {
    __wasi_ciovec_t v = {buf, n};
    __wasi_size_t put = 0;
    int rc = __wasi_fd_write(fd, &v, 1, &put);

    return rc ? -rc : (int)put;
}

#endif
