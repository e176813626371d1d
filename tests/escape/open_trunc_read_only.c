/* GHSA-2r75-cxrj-cmph, CVE-2026-47261 (Wasmtime): O_TRUNC alone, with only the right to read,
 * emptied a file whose grant had no WRITE. */
#include "escape.h"

int main(void) {
    static const uint64_t rights[] = {0,
                                      READ_RIGHT,
                                      WRITE_RIGHT,
                                      READ_RIGHT | WRITE_RIGHT,
                                      __WASI_RIGHTS_FD_FILESTAT_SET_SIZE,
                                      ALL_RIGHTS,
                                      UINT64_MAX};
    __wasi_filestat_t st;
    char text[16];
    int fd;

    for (size_t i = 0; i < sizeof(rights) / sizeof(rights[0]); i++) {
        for (int oflags = __WASI_OFLAGS_TRUNC; oflags < 16; oflags++) {
            open_refused("truncate", RO, FOLLOW, "file", oflags, rights[i]);
            open_refused("truncate below", RO, 0, "dir/inner/file", oflags, rights[i]);
        }
    }
    fd = open_at(RO, 0, "file", 0, READ_RIGHT);
    holds("it opens for reading", fd > 0);
    refused("set_size", __wasi_fd_filestat_set_size(fd, 0));
    refused("allocate", __wasi_fd_allocate(fd, 0, 1000000));
    refused("set_times", __wasi_fd_filestat_set_times(fd, 0, 0, 5));
    holds("write", write_some(fd, "x", 1) < 0);
    refused("more rights", __wasi_fd_fdstat_set_rights(fd, ALL_RIGHTS, ALL_RIGHTS));
    (void)__wasi_fd_fdstat_set_flags(fd, __WASI_FDFLAGS_APPEND);
    holds("append", write_some(fd, "x", 1) < 0);
    expect("stat", __wasi_fd_filestat_get(fd, &st), 0);
    holds("its size is what it was", st.size == 9);
    holds("its text is what it was",
          read_some(fd, text, sizeof(text)) == 9 && memcmp(text, "read only", 9) == 0);
    return end();
}
