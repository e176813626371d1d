/* A guest may nest directories deeper than any path can say and than there are descriptors to walk
 * down with. So nothing walks down: a directory that is not empty is opened, its directories are
 * moved up to the top under names of ours, and then it can go. Each is opened once. */
#include "base/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/mem.h"

enum { PASSES_MAX = 1 << 20 }; /* each pass removes something, or is the last */

static bool is_dots(const char *name) {
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* Gone, or a directory with something in it (-ENOTEMPTY), or another -errno. */
static int remove_one(int dir, const char *name) {
    if (unlinkat(dir, name, 0) == 0 || errno == ENOENT) {
        return 0;
    }
    if (errno != EISDIR && errno != EPERM) { /* EPERM: what POSIX says for a directory */
        return -errno;
    }
    if (unlinkat(dir, name, AT_REMOVEDIR) == 0 || errno == ENOENT) {
        return 0;
    }
    return errno == EEXIST ? -ENOTEMPTY : -errno;
}

static DIR *open_dir(int at, const char *name) {
    int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);

    if (fd >= 0 && !d) {
        (void)close(fd);
    }
    return d;
}

/* Empty the directory `name` of `top`: files go, directories move to `top`. */
static int flatten(int top, const char *name, uint64_t *number) {
    DIR *d = open_dir(top, name);
    int rc = 0;

    if (!d) {
        return -errno;
    }
    for (struct dirent *e; rc == 0 && (e = readdir(d));) {
        if (is_dots(e->d_name)) {
            continue;
        }
        rc = remove_one(dirfd(d), e->d_name);
        for (int tries = 0; rc == -ENOTEMPTY && tries < 1000; tries++) {
            char fresh[40];

            (void)snprintf(fresh, sizeof(fresh), ".removed-%llu", (unsigned long long)++*number);
            rc = renameat(dirfd(d), e->d_name, top, fresh) == 0 ? 0
                 : errno == EEXIST || errno == ENOTEMPTY || errno == ENOTDIR
                     ? -ENOTEMPTY /* a file of a guest has that name: take another */
                     : -errno;
        }
    }
    (void)closedir(d);
    return rc;
}

/* One look through `top`; *ret_n: how many names were there. */
static int pass(DIR *d, uint64_t *number, size_t *ret_n) {
    int rc = 0;

    *ret_n = 0;
    rewinddir(d);
    for (struct dirent *e; (e = readdir(d));) {
        int one;

        if (is_dots(e->d_name)) {
            continue;
        }
        ++*ret_n;
        one = remove_one(dirfd(d), e->d_name);
        if (one == -ENOTEMPTY) {
            one = flatten(dirfd(d), e->d_name, number);
            one = one ? one : remove_one(dirfd(d), e->d_name);
        }
        rc = rc ? rc : one;
    }
    return rc;
}

int sh_tree_remove(const char *path) {
    uint64_t number = 0;
    size_t n = 1;
    DIR *d = SH_FAULT_IO(tree_remove) ? NULL : open_dir(AT_FDCWD, path);
    int rc = 0;

    if (!d) {
        return errno == ENOENT ? 0 : -errno;
    }
    for (int i = 0; n && rc == 0 && i < PASSES_MAX; i++) {
        rc = pass(d, &number, &n);
    }
    (void)closedir(d);
    if (rmdir(path) == 0 || errno == ENOENT) {
        return 0;
    }
    return rc ? rc : -errno;
}
