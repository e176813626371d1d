/* A tree of directories deeper than any path is long, which the host has to remove after the run:
 * by recursion it would run out of stack, by path out of name, with one descriptor a level out of
 * those. */
#include "escape.h"

int main(void) {
    int dir = ROOT, next, depth = 0;

    for (; depth < 5000; depth++) {
        if (__wasi_path_create_directory(dir, "d") != 0) {
            break;
        }
        next = open_at(dir, 0, "d", __WASI_OFLAGS_DIRECTORY, ALL_RIGHTS);
        if (next < 0) {
            break;
        }
        if (dir != ROOT) {
            (void)__wasi_fd_close(dir);
        }
        dir = next;
        if (depth % 100 == 0) {
            (void)__wasi_path_symlink("../d", dir, "l");
            (void)__wasi_fd_close(open_at(dir, 0, "f", __WASI_OFLAGS_CREAT, WRITE_RIGHT));
        }
    }
    printf("%s\n", depth > 1000 ? "deep" : "shallow");
    open_refused("out at the bottom", dir, FOLLOW, "../../../outside", 0, READ_RIGHT);
    return end();
}
