/* Descriptor numbers that were never given: those of the host's own database, locks and sockets
 * have the same small numbers in its process. */
#include "escape.h"

static void try(int fd) {
    __wasi_filestat_t st;
    __wasi_fdstat_t fs;
    __wasi_filesize_t at;
    __wasi_size_t n;
    __wasi_roflags_t ro;
    char buf[256];
    __wasi_iovec_t v = {(uint8_t *)buf, sizeof(buf)};
    __wasi_ciovec_t cv = {(const uint8_t *)"x", 1};

    refused("fdstat", __wasi_fd_fdstat_get(fd, &fs));
    refused("filestat", __wasi_fd_filestat_get(fd, &st));
    refused("read", __wasi_fd_read(fd, &v, 1, &n));
    refused("pread", __wasi_fd_pread(fd, &v, 1, 0, &n));
    refused("write", __wasi_fd_write(fd, &cv, 1, &n));
    refused("pwrite", __wasi_fd_pwrite(fd, &cv, 1, 0, &n));
    refused("seek", __wasi_fd_seek(fd, 0, 0, &at));
    refused("size", __wasi_fd_filestat_set_size(fd, 0));
    refused("sync", __wasi_fd_sync(fd));
    refused("readdir", __wasi_fd_readdir(fd, (uint8_t *)buf, sizeof(buf), 0, &n));
    refused("recv", __wasi_sock_recv(fd, &v, 1, 0, &n, &ro));
    refused("send", __wasi_sock_send(fd, &cv, 1, 0, &n));
    refused("shutdown", __wasi_sock_shutdown(fd, 3));
    open_refused("open", fd, 0, "x", 0, READ_RIGHT);
    refused("close", __wasi_fd_close(fd));
}

int main(void) {
    static const int others[] = {-1, -3, INT32_MIN, INT32_MAX, 65536, 1 << 20, 0x1000003};

    for (int fd = PREOPENS; fd < 1100; fd++) {
        try(fd);
    }
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        try(others[i]);
    }
    return end();
}
