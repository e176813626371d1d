/* A FIFO blocks who opens it, a device does things when it is opened, a socket talks to somebody:
 * only regular files and directories open, and none of it waits. (Opening a FIFO in a mapped
 * directory hung Wasmtime's own WASI for ever.) The devices are there where the test may make them.
 */
#include "escape.h"

int main(void) {
    static const char *const names[] = {"fifo", "socket", "device_null", "device_zero",
                                        "link_fifo"};
    __wasi_filestat_t st;

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        for (int dir = RW; dir <= RO; dir++) {
            for (int oflags = 0; oflags < 16; oflags++) {
                if (oflags & __WASI_OFLAGS_CREAT &&
                    __wasi_path_filestat_get(dir, 0, names[i], &st) != 0) {
                    continue; /* could not be made: a regular file would be */
                }
                open_refused("read", dir, FOLLOW, names[i], oflags, READ_RIGHT);
                open_refused("write", dir, FOLLOW, names[i], oflags, WRITE_RIGHT);
                open_refused("either", dir, 0, names[i], oflags, READ_RIGHT | WRITE_RIGHT);
                open_refused("nothing", dir, 0, names[i], oflags, 0);
            }
        }
    }
    return end();
}
