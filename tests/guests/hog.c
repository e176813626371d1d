/* A bad neighbour, for ever, as {"mode": ...} of its input says. */
#include "shannon.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <wasi/api.h>

enum { MANY = 1000000 };

/* Opens until it is refused, 10,000 times over. */
static void descriptors(void) {
    for (int i = 0; i < 10000; i++) {
        (void)open("/dev/null", O_RDONLY);
    }
    for (int fd = 5; fd < 1100; fd++) {
        (void)close(fd);
    }
}

/* All names of a directory of the host's. */
static void directory(void) {
    static uint8_t names[65536];
    int fd = open("/many", O_RDONLY | O_DIRECTORY);
    __wasi_dircookie_t cookie = 0;
    __wasi_size_t used = sizeof(names);

    while (fd >= 0 && used == sizeof(names)) {
        __wasi_dirent_t entry;
        size_t at = 0;

        if (__wasi_fd_readdir(fd, names, sizeof(names), cookie, &used) != 0) {
            break;
        }
        while (at + sizeof(entry) <= used) {
            memcpy(&entry, names + at, sizeof(entry));
            at += sizeof(entry) + entry.d_namlen;
            cookie = at <= used ? entry.d_next : cookie;
        }
    }
    (void)close(fd);
}

static void path(char *text) {
    memset(text, 'a', 1000000);
    text[1000000] = '\0';
    (void)open(text, O_RDONLY);
}

static void vectors(__wasi_ciovec_t *v) {
    __wasi_size_t n;

    for (int i = 0; i < MANY; i++) {
        v[i] = (__wasi_ciovec_t){(const uint8_t *)v, 1};
    }
    (void)__wasi_fd_write(1, v, MANY, &n);
}

/* All the memory that there is, touched. */
static void bomb(void) {
    static char *last;
    char *p = malloc(1 << 20);

    if (p) {
        memset(p, 1, 1 << 20);
        last = p;
    } else if (last) {
        memset(last, 2, 1 << 20);
    }
}

static void calls(void) {
    for (int i = 0; i < 10000; i++) {
        (void)__wasi_sched_yield();
    }
}

int main(void) {
    struct shannon_ctx *ctx = shannon_open();
    struct shannon_view mode = shannon_json_get(shannon_view(shannon_input(ctx)), "mode");
    char *room = strncmp(mode.p, "\"bomb", 5) ? malloc((size_t)MANY * sizeof(__wasi_ciovec_t)) : 0;

    for (;;) {
        if (strncmp(mode.p, "\"descriptors", 6) == 0) {
            descriptors();
        } else if (strncmp(mode.p, "\"directory", 6) == 0) {
            directory();
        } else if (strncmp(mode.p, "\"path", 5) == 0) {
            path(room);
        } else if (strncmp(mode.p, "\"vectors", 5) == 0) {
            vectors((__wasi_ciovec_t *)(void *)room);
        } else if (strncmp(mode.p, "\"bomb", 5) == 0) {
            bomb();
        } else {
            calls();
        }
    }
}
