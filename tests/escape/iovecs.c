/* Vectors: a million of them (GHSA-852m-cvvp-9p4w, memory of the host at the guest's word), vectors
 * that the call itself overwrites, lengths whose sum wraps (CVE-2022-39974, wasm3 issues 323, 574).
 */
#include "escape.h"

#include <stdlib.h>

enum { MILLION = 1000000 };

static void overwritten(void) {
    /* The file's bytes land on the vectors that say where the next bytes go. */
    struct {
        __wasi_iovec_t v[3];
    } *trap = calloc(1, sizeof(*trap));
    __wasi_size_t n = 0;
    int fd = open_at(RW, 0, "ff", 0, READ_RIGHT); /* 64 bytes of 0xff */

    trap->v[0] = (__wasi_iovec_t){(uint8_t *)&trap->v[1], sizeof(trap->v[1])};
    trap->v[1] = (__wasi_iovec_t){(uint8_t *)malloc(16), 16};
    trap->v[2] = (__wasi_iovec_t){(uint8_t *)malloc(16), 16};
    (void)__wasi_fd_read(fd, trap->v, 3, &n);
    holds("no more than was asked for", n <= 64);
    /* The number of bytes is put over the vectors, too. */
    trap->v[0] = (__wasi_iovec_t){(uint8_t *)malloc(16), 16};
    (void)__wasi_fd_read(fd, trap->v, 1, (__wasi_size_t *)(void *)&trap->v[0].buf_len);
    (void)__wasi_fd_close(fd);
}

int main(void) {
    __wasi_ciovec_t *many = calloc(MILLION, sizeof(*many));
    __wasi_size_t n = 0;
    int fd = open_at(RW, 0, "file", 0, READ_RIGHT | WRITE_RIGHT);

    holds("there is memory", many && fd > 0);
    for (int i = 0; i < MILLION; i++) {
        many[i] = (__wasi_ciovec_t){(const uint8_t *)many, MILLION};
    }
    expect("write", __wasi_fd_write(fd, many, MILLION, &n), __WASI_ERRNO_INVAL);
    expect("pwrite", __wasi_fd_pwrite(fd, many, MILLION, 0, &n), __WASI_ERRNO_INVAL);
    expect("read", __wasi_fd_read(fd, (void *)many, MILLION, &n), __WASI_ERRNO_INVAL);
    expect("to a stream", __wasi_fd_write(1, many, MILLION, &n), __WASI_ERRNO_INVAL);
    expect("send", __wasi_sock_send(fd, many, MILLION, 0, &n), __WASI_ERRNO_NOTSOCK);
    many[0].buf = (const uint8_t *)(uintptr_t)0xfffffff0U;
    expect("past the end", __wasi_fd_write(fd, many, 1, &n), __WASI_ERRNO_FAULT);
    many[0] = (__wasi_ciovec_t){(const uint8_t *)many, 0x80000000U};
    many[1] = many[0];
    expect("lengths that wrap", __wasi_fd_write(fd, many, 2, &n), __WASI_ERRNO_FAULT);
    overwritten();
    return end();
}
