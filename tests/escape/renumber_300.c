/* GHSA-fm79-3f68-h2fc, CVE-2025-53901 (Wasmtime: fd_renumber onto an open descriptor, then a
 * panic), and the leak of what was overwritten: 300 times, then over what was given. */
#include "escape.h"

int main(void) {
    __wasi_prestat_t pre;
    __wasi_fdstat_t st;
    char text[16];
    int a = open_at(RW, 0, "file", 0, READ_RIGHT), b;

    for (int i = 0; i < 300; i++) {
        b = open_at(RW, 0, i % 2 ? "file" : "dir", 0, READ_RIGHT);
        holds("there is a descriptor left", b > 0);
        expect("renumber", __wasi_fd_renumber(b, a), 0);
        refused("the old number", __wasi_fd_fdstat_get(b, &st));
    }
    expect("onto itself", __wasi_fd_renumber(a, a), 0);
    refused("from nothing", __wasi_fd_renumber(4000, a));
    refused("to nothing", __wasi_fd_renumber(a, 4000));
    refused("far away", __wasi_fd_renumber(a, INT32_MAX));
    refused("below zero", __wasi_fd_renumber(a, -1));
    refused("from below zero", __wasi_fd_renumber(-1, a));
    /* Over a preopened directory: its name and its permissions may not stay behind. */
    b = open_at(RO, 0, "file", 0, READ_RIGHT);
    if (__wasi_fd_renumber(b, RW) == 0) {
        refused("it is a directory still", __wasi_fd_prestat_get(RW, &pre));
        open_refused("open below a file", RW, 0, "file", 0, READ_RIGHT);
        holds("write", write_some(RW, "x", 1) < 0);
        holds("it reads", read_some(RW, text, sizeof(text)) == 9);
    }
    if (__wasi_fd_renumber(RO, RW) == 0) {
        open_refused("create in the read-only one under its new number", RW, 0, "new",
                     __WASI_OFLAGS_CREAT, WRITE_RIGHT);
        refused("mkdir", __wasi_path_create_directory(RW, "new"));
    }
    return end();
}
