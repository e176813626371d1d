/* GHSA-4ch3-9j33-3pmj, RUSTSEC-2026-0188 (Wasmtime): a file that one grant only lets read was
 * linked, or renamed, into one that lets write, and written there. */
#include "escape.h"

static void try(int from, const char *name, int to) {
    for (int lookup = 0; lookup <= FOLLOW; lookup++) {
        refused("link", __wasi_path_link(from, lookup, name, to, "stolen"));
        refused("link deeper", __wasi_path_link(from, lookup, name, to, "dir/stolen"));
    }
    refused("rename", __wasi_path_rename(from, name, to, "stolen"));
    refused("rename over", __wasi_path_rename(from, name, to, "file"));
}

int main(void) {
    static const char *const names[] = {"file", "dir", "dir/inner/file", "link_in", "."};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        try(RO, names[i], RW);
        try(RO, names[i], ROOT);
        try(RW, names[i], RO);
        try(RW, names[i], ROOT);
        try(DEV, names[i], RW);
        try(RW, names[i], DEV);
    }
    /* Directories opened from a grant keep its permissions, whatever rights were asked for. */
    int inner = open_at(RO, 0, "dir/inner", __WASI_OFLAGS_DIRECTORY, ALL_RIGHTS);
    if (inner >= 0) {
        try(inner, "file", RW);
        open_refused("write below a directory of a read-only grant", inner, 0, "file", 0,
                     WRITE_RIGHT);
        refused("unlink there", __wasi_path_unlink_file(inner, "file"));
        refused("link within", __wasi_path_link(inner, 0, "file", inner, "stolen"));
    }
    return end();
}
