/* Absolute paths through a descriptor that is no root; wasmer's GHSA-4mq4-7rw3-vm5j. The private
 * root is one, so there `/etc` is its own. argv[1] is the real path of a file outside. */
#include "escape.h"

int main(int argc, char **argv) {
    const char *const paths[] = {argc > 1 ? argv[1] : "/etc/passwd",
                                 "/",
                                 "//",
                                 "/etc/passwd",
                                 "//etc/passwd",
                                 "/./etc/passwd",
                                 "/proc/self/environ",
                                 "/dev/mem",
                                 "/dev/tty",
                                 "/tmp"};
    __wasi_filestat_t st;

    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        for (int dir = RW; dir <= RO; dir++) {
            open_refused("open", dir, FOLLOW, paths[i], 0, READ_RIGHT);
            open_refused("open a directory", dir, 0, paths[i], __WASI_OFLAGS_DIRECTORY, 0);
            refused("stat", __wasi_path_filestat_get(dir, FOLLOW, paths[i], &st));
            refused("rename", __wasi_path_rename(dir, paths[i], RW, "stolen"));
            refused("link", __wasi_path_link(dir, FOLLOW, paths[i], RW, "stolen"));
        }
        open_refused("create", RW, FOLLOW, paths[i], __WASI_OFLAGS_CREAT, WRITE_RIGHT);
        if (i != 1 && i != 2) {
            open_refused("the root is the host's", ROOT, FOLLOW, paths[i], 0, READ_RIGHT);
            refused("a link to an absolute path", __wasi_path_symlink(paths[i], RW, "absolute"));
        }
    }
    return end();
}
