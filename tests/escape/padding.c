/* Uninitialised padding (Wasmtime: bytes of fd_readdir entries were the host's memory): every byte
 * of a structure that is no member of it is zero, wherever the answer is put. */
#include "escape.h"

static uint8_t area[65536];

static void zero(const char *what, size_t at, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (area[at + i] != 0) {
            printf("ESCAPED: %s: byte %zu is %02x\n", what, i, area[at + i]);
            escaped = 1;
            return;
        }
    }
}

static void poison(void) {
    memset(area, 0xa5, sizeof(area));
}

static void entries(int fd) {
    __wasi_size_t used = 0;
    size_t at = 0;

    poison();
    expect("readdir", __wasi_fd_readdir(fd, area, sizeof(area), 0, &used), 0);
    while (at + 24 <= used) {
        uint32_t name;

        memcpy(&name, area + at + 16, 4);
        zero("padding of a directory entry", at + 21, 3);
        at += 24 + name;
    }
    holds("nothing lies behind the last entry", used == sizeof(area) || area[used] == 0xa5);
}

int main(void) {
    __wasi_size_t n = 0;
    __wasi_subscription_t sub = {.userdata = 7};
    int fd = open_at(RW, 0, "file", 0, READ_RIGHT);
    static const int all[] = {0, 1, 2, RW, RO, ROOT, DEV};

    entries(RW);
    entries(RO);
    entries(ROOT);
    entries(DEV);
    for (size_t i = 0; i <= sizeof(all) / sizeof(all[0]); i++) {
        int which = i < sizeof(all) / sizeof(all[0]) ? all[i] : fd;

        poison();
        expect("fdstat", __wasi_fd_fdstat_get(which, (void *)area), 0);
        zero("padding of fdstat", 1, 1);
        zero("padding of fdstat", 4, 4);
        poison();
        expect("filestat", __wasi_fd_filestat_get(which, (void *)area), 0);
        zero("padding of filestat", 17, 7);
        poison();
        if (__wasi_fd_prestat_get(which, (void *)area) == 0) {
            zero("padding of prestat", 1, 3);
        }
    }
    poison();
    expect("path_filestat_get", __wasi_path_filestat_get(RW, 0, "file", (void *)area), 0);
    zero("padding of filestat", 17, 7);
    sub.u.tag = __WASI_EVENTTYPE_CLOCK;
    poison();
    expect("poll", __wasi_poll_oneoff(&sub, (void *)area, 1, &n), 0);
    zero("padding of a clock event", 11, 5);
    zero("what a clock event does not use", 16, 16);
    sub.u.tag = __WASI_EVENTTYPE_FD_READ;
    sub.u.u.fd_read.file_descriptor = fd;
    poison();
    expect("poll", __wasi_poll_oneoff(&sub, (void *)area, 1, &n), 0);
    zero("padding of a file event", 11, 5);
    zero("padding of a file event", 26, 6);
    return end();
}
