/* Files from before 1970 and from far ahead (Wasmtime: a panic in stat), and times that overflow
 * when they are set. The runner gives `old_*` their times. */
#include "escape.h"

int main(void) {
    static const char *const names[] = {"old_minus_one", "old_1901", "old_1800", "old_2500"};
    static const uint64_t times[] = {0,          1,
                                     INT64_MAX,  (uint64_t)INT64_MAX + 1,
                                     UINT64_MAX, UINT64_MAX - 1,
                                     999999999,  18446744073000000000ULL};
    __wasi_filestat_t st;
    int fd;

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        expect("stat", __wasi_path_filestat_get(RW, 0, names[i], &st), 0);
        fd = open_at(RW, 0, names[i], 0,
                     READ_RIGHT | WRITE_RIGHT | __WASI_RIGHTS_FD_FILESTAT_SET_TIMES);
        holds("it opens", fd > 0);
        expect("stat of the open file", __wasi_fd_filestat_get(fd, &st), 0);
        for (size_t t = 0; t < sizeof(times) / sizeof(times[0]); t++) {
            (void)__wasi_path_filestat_set_times(RW, 0, names[i], times[t], times[t], 5);
            (void)__wasi_fd_filestat_set_times(fd, times[t], times[t], 5);
            expect("stat again", __wasi_fd_filestat_get(fd, &st), 0);
        }
        expect("contradicting flags", __wasi_fd_filestat_set_times(fd, 0, 0, 3),
               __WASI_ERRNO_INVAL);
        expect("unknown flags", __wasi_fd_filestat_set_times(fd, 0, 0, 0x40), __WASI_ERRNO_INVAL);
        (void)__wasi_fd_close(fd);
    }
    return end();
}
