/* No descriptor is a socket, whatever it is called with; a path of the network opens nothing. */
#include "escape.h"

int main(void) {
    static const char *const paths[] = {"net",
                                        "net/tcp",
                                        "net/tcp/127.0.0.1/22",
                                        "dev/tcp/1.1.1.1/80",
                                        "tcp:127.0.0.1:22",
                                        "dev/shannon/x",
                                        "dev/null/.."};
    char buf[16];
    __wasi_iovec_t v = {(uint8_t *)buf, sizeof(buf)};
    __wasi_ciovec_t cv = {(const uint8_t *)buf, sizeof(buf)};
    __wasi_size_t n;
    __wasi_roflags_t ro;
    __wasi_fd_t fd;

    for (int d = 0; d < PREOPENS; d++) {
        refused("accept", __wasi_sock_accept(d, 0, &fd));
        refused("recv", __wasi_sock_recv(d, &v, 1, 0, &n, &ro));
        refused("peek", __wasi_sock_recv(d, &v, 1, 1, &n, &ro));
        refused("send", __wasi_sock_send(d, &cv, 1, 0, &n));
        refused("shutdown", __wasi_sock_shutdown(d, 3));
    }
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        open_refused("open", ROOT, FOLLOW, paths[i], 0, READ_RIGHT | WRITE_RIGHT);
        open_refused("open", DEV, FOLLOW, paths[i], 0, READ_RIGHT | WRITE_RIGHT);
    }
    return end();
}
