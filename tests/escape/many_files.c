/* More files than the private directory may hold, and more bytes: each ends with an error of its
 * own. */
#include "escape.h"

#include <stdlib.h>

int main(void) {
    enum { CHUNK = 1 << 20 };
    char name[32], *bytes = calloc(1, CHUNK);
    int last = 0, files = 0, fd;
    long total = 0;

    fd = open_at(ROOT, 0, "big", __WASI_OFLAGS_CREAT, WRITE_RIGHT);
    for (int i = 0; i < 1000 && last == 0; i++) {
        int n = write_some(fd, bytes, CHUNK);

        last = n < 0 ? -n : 0;
        total += n > 0 ? n : 0;
    }
    expect("the bytes end with", last, __WASI_ERRNO_NOSPC);
    holds("at the quota", total <= 256L << 20);
    (void)__wasi_fd_close(fd);
    (void)__wasi_path_unlink_file(ROOT, "big");
    last = 0;
    for (int i = 0; i < 100000 && last == 0; i++) {
        (void)snprintf(name, sizeof(name), "%d", i);
        fd = open_at(ROOT, 0, name, __WASI_OFLAGS_CREAT, WRITE_RIGHT);
        last = fd < 0 ? -fd : 0;
        if (fd >= 0) {
            files++;
            (void)__wasi_fd_close(fd);
        }
    }
    expect("the files end with", last, __WASI_ERRNO_DQUOT);
    holds("at the quota", files <= 65536);
    expect("and so do links", __wasi_path_link(ROOT, 0, "0", ROOT, "one more"), __WASI_ERRNO_DQUOT);
    return end();
}
