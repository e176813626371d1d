/* Everything that changes a directory or a file, through a grant that only lets read: the check
 * must not be made for one flag and the deed done by another. */
#include "escape.h"

int main(void) {
    static const char *const names[] = {"new", "file", "dir", "dir/new", "dir/inner", "link_in"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const char *n = names[i];

        for (int oflags = 0; oflags < 16; oflags++) {
            if (oflags & (__WASI_OFLAGS_CREAT | __WASI_OFLAGS_TRUNC)) {
                open_refused("create or truncate", RO, FOLLOW, n, oflags, ALL_RIGHTS);
                open_refused("create or truncate", RO, 0, n, oflags, READ_RIGHT);
            }
        }
        open_refused("write", RO, FOLLOW, n, 0, WRITE_RIGHT);
        refused("mkdir", __wasi_path_create_directory(RO, n));
        refused("rmdir", __wasi_path_remove_directory(RO, n));
        refused("unlink", __wasi_path_unlink_file(RO, n));
        refused("times", __wasi_path_filestat_set_times(RO, 0, n, 0, 0, 5));
        refused("symlink", __wasi_path_symlink("file", RO, n));
        refused("rename", __wasi_path_rename(RO, n, RO, "other"));
        refused("rename over", __wasi_path_rename(RO, "file", RO, n));
        refused("link", __wasi_path_link(RO, 0, "file", RO, n));
    }
    refused("times of the directory", __wasi_fd_filestat_set_times(RO, 0, 0, 5));
    refused("rename it", __wasi_path_rename(RO, ".", RO, "x"));
    return end();
}
