/* path_open "l/" on a symbolic link that leads out: the slash makes the kernel follow a link that
 * was not to be followed. Wasmtime's WASI and Go's os.Root (CVE-2026-39822). */
#include "escape.h"

int main(void) {
    static const char *const paths[] = {"link_out/",  "link_out//",     "link_out/.",
                                        "link_abs/",  "link_root/",     "link_up/",
                                        "link_proc/", "dir/link_deep/", "link_out/./",
                                        "link_file/", "chain_1/",       "link_out/dir/.."};
    __wasi_filestat_t st;

    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        for (int dir = RW; dir <= RO; dir++) {
            for (int lookup = 0; lookup <= FOLLOW; lookup++) {
                open_refused("open", dir, lookup, paths[i], 0, READ_RIGHT);
                open_refused("as a directory", dir, lookup, paths[i], __WASI_OFLAGS_DIRECTORY,
                             ALL_RIGHTS);
                open_refused("create", dir, lookup, paths[i], __WASI_OFLAGS_CREAT, WRITE_RIGHT);
                refused("stat", __wasi_path_filestat_get(dir, (uint32_t)lookup, paths[i], &st));
                refused("times",
                        __wasi_path_filestat_set_times(dir, (uint32_t)lookup, paths[i], 0, 0, 5));
            }
            refused("rmdir", __wasi_path_remove_directory(dir, paths[i]));
            refused("mkdir", __wasi_path_create_directory(dir, paths[i]));
            refused("rename", __wasi_path_rename(dir, paths[i], RW, "stolen"));
        }
    }
    return end();
}
