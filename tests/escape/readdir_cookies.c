/* Cookies that nobody gave, buffers of every small size (a name cut in the middle), a directory
 * that changes between two calls, and reading a file as a directory. */
#include "escape.h"

int main(void) {
    static const uint64_t cookies[] = {5,         100,        UINT32_MAX,     1ULL << 32,
                                       INT64_MAX, 1ULL << 63, UINT64_MAX - 1, UINT64_MAX};
    static uint8_t buf[4096];
    __wasi_size_t n = 0;
    int file = open_at(RW, 0, "file", 0, READ_RIGHT);

    for (int fd = RW; fd <= DEV; fd++) {
        for (size_t i = 0; i < sizeof(cookies) / sizeof(cookies[0]); i++) {
            n = 77777;
            if (__wasi_fd_readdir(fd, buf, sizeof(buf), cookies[i], &n) == 0) {
                holds("no more than the buffer", n <= sizeof(buf));
            }
        }
        for (uint32_t size = 0; size < 64; size++) {
            memset(buf, 0x5a, sizeof(buf));
            expect("a small buffer", __wasi_fd_readdir(fd, buf, size, 0, &n), 0);
            holds("it was not written past", n <= size && buf[size] == 0x5a);
        }
    }
    for (int i = 0; i < 50; i++) {
        char name[16];

        (void)snprintf(name, sizeof(name), "n%d", i);
        (void)__wasi_path_create_directory(ROOT, name);
        expect("while it grows", __wasi_fd_readdir(ROOT, buf, 100, (uint64_t)i, &n), 0);
        if (i % 3 == 0) {
            (void)__wasi_path_remove_directory(ROOT, name);
        }
    }
    refused("a file", __wasi_fd_readdir(file, buf, sizeof(buf), 0, &n));
    refused("a stream", __wasi_fd_readdir(1, buf, sizeof(buf), 0, &n));
    return end();
}
