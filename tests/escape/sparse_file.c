/* Sizes and positions at the end of 64 bits: a write there, an allocation, a seek that overflows, a
 * file of 2^62 bytes that costs nothing until somebody copies it. */
#include "escape.h"

int main(void) {
    static const uint64_t far[] = {1ULL << 40,     1ULL << 62, INT64_MAX, (uint64_t)INT64_MAX + 1,
                                   UINT64_MAX - 1, UINT64_MAX};
    __wasi_filesize_t at;
    __wasi_size_t n = 0;
    __wasi_ciovec_t v = {(const uint8_t *)"xx", 2};

    for (int dir = RW; dir <= ROOT; dir += 2) {
        int fd = open_at(dir, 0, "sparse", __WASI_OFLAGS_CREAT, ALL_RIGHTS);

        holds("it opens", fd > 0);
        /* In a mapped directory, bytes that are not there cost nothing and are not counted. */
        for (size_t i = dir == RW; i < sizeof(far) / sizeof(far[0]); i++) {
            refused("write there", __wasi_fd_pwrite(fd, &v, 1, far[i], &n));
            refused("allocate", __wasi_fd_allocate(fd, 0, far[i]));
            refused("allocate there", __wasi_fd_allocate(fd, far[i], 2));
            refused("size", __wasi_fd_filestat_set_size(fd, far[i]));
            (void)__wasi_fd_advise(fd, far[i], far[i], 0);
        }
        expect("seek", __wasi_fd_seek(fd, INT64_MAX, __WASI_WHENCE_SET, &at), 0);
        refused("past the end of numbers", __wasi_fd_seek(fd, 1, __WASI_WHENCE_CUR, &at));
        refused("write at the end of numbers", __wasi_fd_write(fd, &v, 1, &n));
        refused("before the start", __wasi_fd_seek(fd, INT64_MIN, __WASI_WHENCE_SET, &at));
        refused("whence", __wasi_fd_seek(fd, 0, 9, &at));
        (void)__wasi_fd_close(fd);
        (void)__wasi_path_unlink_file(dir, "sparse");
    }
    return end();
}
