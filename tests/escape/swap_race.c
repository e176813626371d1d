/* CVE-2021-30465 (runc) and Wasmer issue 2432: while one agent opens a path, others exchange a
 * directory on it for a symbolic link that leads out. argv[1]: `swap` or `open`, argv[2]: turns. */
#include "escape.h"

#include <stdlib.h>

static void swap(const char *mine, long turns) {
    char parked[32], link[32];

    (void)snprintf(parked, sizeof(parked), "parked_%s", mine);
    (void)snprintf(link, sizeof(link), "evil_%s", mine);
    (void)__wasi_path_symlink("../outside", RW, link);
    for (long i = 0; i < turns; i++) {
        if (__wasi_path_rename(RW, "race", RW, parked) == 0) {
            (void)__wasi_path_rename(RW, link, RW, "race");
            (void)__wasi_path_rename(RW, "race", RW, link);
            (void)__wasi_path_rename(RW, parked, RW, "race");
        }
    }
}

static void open_all(long turns) {
    char text[64] = "";
    int opened = 0;

    for (long i = 0; i < turns; i++) {
        int fd = open_at(RW, FOLLOW, "race/secret", 0, READ_RIGHT);

        if (fd >= 0) {
            int n = read_some(fd, text, sizeof(text));

            opened++;
            holds("what was read lay inside", n == 6 && memcmp(text, "inside", 6) == 0);
            (void)__wasi_fd_close(fd);
        }
        open_refused("made outside", RW, FOLLOW, "race/../../outside/made", __WASI_OFLAGS_CREAT,
                     WRITE_RIGHT);
        fd = open_at(RW, FOLLOW, "race/planted", __WASI_OFLAGS_CREAT, WRITE_RIGHT);
        if (fd >= 0) {
            (void)write_some(fd, "planted", 7);
            (void)__wasi_fd_close(fd);
        }
        (void)__wasi_path_unlink_file(RW, "race/victim");
        (void)__wasi_path_rename(RW, "race/secret2", RW, "stolen");
        (void)__wasi_path_create_directory(RW, "race/made");
    }
    printf("opened %s\n", opened ? "some" : "none");
}

int main(int argc, char **argv) {
    long turns = argc > 2 ? strtol(argv[2], NULL, 10) : 100;

    if (argc > 1 && strncmp(argv[1], "swap", 4) == 0) {
        swap(argv[1], turns);
    } else {
        open_all(turns);
    }
    return end();
}
