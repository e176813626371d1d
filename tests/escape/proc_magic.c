/* /proc and its magic links: CVE-2019-5736 (/proc/self/exe), CVE-2024-21626 (/proc/self/fd, runc),
 * `openat2` without NO_MAGICLINKS. */
#include "escape.h"

int main(void) {
    static const char *const paths[] = {"/proc/self/exe",
                                        "/proc/self/cwd/x",
                                        "/proc/self/root/etc/passwd",
                                        "/proc/self/fd/0",
                                        "/proc/self/fd/3",
                                        "/proc/self/environ",
                                        "/proc/self/mem",
                                        "/proc/1/root",
                                        "/proc/sys/kernel/core_pattern",
                                        "/proc/self/task",
                                        "/sys/kernel",
                                        "/dev/fd/3",
                                        "/dev/shm",
                                        "/dev/pts/0",
                                        "/dev/../proc/self/exe",
                                        "/run/secrets",
                                        "/var/run/docker.sock",
                                        "/dev/tcp/127.0.0.1/22",
                                        "/net/tcp/127.0.0.1/22"};
    static const char *const magic[] = {"link_proc/exe",     "link_proc/root/etc/passwd",
                                        "link_proc/environ", "link_proc_fd/0",
                                        "link_proc_fd/3",    "link_proc_fd/4",
                                        "link_proc_fd/5"};

    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        open_refused("open", ROOT, FOLLOW, paths[i], 0, READ_RIGHT);
        open_refused("open", RW, FOLLOW, paths[i] + 1, 0, READ_RIGHT);
        open_refused("write", ROOT, FOLLOW, paths[i], 0, WRITE_RIGHT);
        open_refused("directory", ROOT, FOLLOW, paths[i], __WASI_OFLAGS_DIRECTORY, 0);
        if (fopen(paths[i], "r")) {
            printf("ESCAPED: the C library opens %s\n", paths[i]);
            escaped = 1;
        }
    }
    for (size_t i = 0; i < sizeof(magic) / sizeof(magic[0]); i++) {
        open_refused("a magic link", RW, FOLLOW, magic[i], 0, READ_RIGHT);
        open_refused("a magic link", RO, FOLLOW, magic[i], 0, READ_RIGHT);
        open_refused("a magic link", RW, FOLLOW, magic[i], __WASI_OFLAGS_CREAT, WRITE_RIGHT);
    }
    return end();
}
