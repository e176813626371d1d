/* wasi_calls OP N: N calls of one kind on a file of 4 MiB in the root. OP none makes the file only:
 * what it takes is to be subtracted. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOCK 4096
#define BLOCKS 1024

static char block[BLOCK];

static int one(const char *op, int fd, long i) {
    struct stat st;
    int other;

    if (strcmp(op, "read") == 0) {
        return pread(fd, block, BLOCK, i % BLOCKS * BLOCK) == BLOCK ? 0 : -1;
    }
    if (strcmp(op, "write") == 0) {
        return pwrite(fd, block, BLOCK, i % BLOCKS * BLOCK) == BLOCK ? 0 : -1;
    }
    if (strcmp(op, "fstat") == 0) {
        return fstat(fd, &st);
    }
    if (strcmp(op, "open") == 0) {
        other = open("/file", O_RDONLY);
        return other < 0 ? -1 : close(other);
    }
    return 0;
}

int main(int argc, char **argv) {
    const char *op = argc > 2 ? argv[1] : "none";
    long n = argc > 2 ? atol(argv[2]) : 0;
    int fd = open("/file", O_RDWR | O_CREAT, 0600);

    for (long i = 0; i < BLOCKS && fd >= 0; i++) {
        if (pwrite(fd, block, BLOCK, i * BLOCK) != BLOCK) {
            fd = -1;
        }
    }
    for (long i = 0; i < n && fd >= 0; i++) {
        if (one(op, fd, i) < 0) {
            fd = -1;
        }
    }
    if (fd < 0) {
        perror(op);
        return 1;
    }
    return 0;
}
