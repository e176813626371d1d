/* Which directories may be mapped at all (SEMANTICS 20). A policy compares paths as text, so the
 * path that it allowed must be the one that is opened: not one symbolic link is followed on the
 * way. What the opened directory is, is then asked of the kernel: by device and inode, so that a
 * bind mount is as good a way to be found out as the name. */
#include "microsandbox/vfs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/base.h"

enum { UP_MAX = SH_PATH_MAX / 2 }; /* components that a path can have */

int sh_vfs_open_host(const char *host) {
    struct open_how how = {.flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
                           .resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};

    for (int i = 0; i < SH_VFS_TRIES; i++) {
        long fd = syscall(SYS_openat2, AT_FDCWD, host, &how, sizeof(how));

        if (fd >= 0) {
            return (int)fd;
        }
        if (errno != EAGAIN && errno != EINTR) {
            return -errno;
        }
    }
    return -EAGAIN;
}

static bool same(const struct stat *a, const struct stat *b) {
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* Is `fd` the directory `top`, or somewhere below it? Where a directory on the way up may not be
 * searched, what lies above it is not ours to protect: nobody here can reach it either. */
static bool within(int fd, const struct stat *top) {
    sh_auto(sh_close_p) int at = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    struct stat here, above;

    if (at < 0 || fstat(at, &here) != 0) {
        return true; /* out of descriptors: not shown to be harmless */
    }
    for (int i = 0; i < UP_MAX; i++) {
        int up;

        if (same(&here, top)) {
            return true;
        }
        up = openat(at, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (up < 0 || fstat(up, &above) != 0) {
            sh_close_p(&up);
            return errno != EACCES && errno != ENOENT;
        }
        (void)close(at);
        at = up;
        if (same(&above, &here)) {
            return false; /* the root is its own parent */
        }
        here = above;
    }
    return true;
}

static bool parent_within(const char *file, const struct stat *top) {
    const char *slash = strrchr(file, '/');
    sh_auto(sh_free_p) char *folder = sh_strndup0(file, slash > file ? (size_t)(slash - file) : 1);
    sh_auto(sh_close_p) int fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);

    return fd < 0 || within(fd, top);
}

static int refuse(struct sh_err *err, const char *host, const char *how, const char *path) {
    return sh_fail(err, SH_E_DENIED,
                   "%.140s cannot be mapped: it %s %.140s, which agents must not reach; map a "
                   "directory that has nothing to do with it",
                   host, how, path);
}

int sh_vfs_unprotected(int fd, const char *host, const char *const *paths, struct sh_err *err) {
    struct stat mapped, kept;

    if (fstat(fd, &mapped) != 0) {
        return sh_fail_errno(err, SH_E_IO, errno, "cannot look at the mapped directory %s", host);
    }
    for (size_t i = 0; paths && paths[i]; i++) {
        sh_auto(sh_close_p) int top = open(paths[i], O_PATH | O_CLOEXEC);

        if (top < 0 && (errno == ENOENT || errno == ENOTDIR || errno == EACCES)) {
            continue; /* nothing there that an agent could be given */
        }
        if (top < 0 || fstat(top, &kept) != 0) {
            return sh_fail_errno(err, SH_E_IO, errno, "cannot look at %s", paths[i]);
        }
        if (same(&mapped, &kept)) {
            return refuse(err, host, "is", paths[i]);
        }
        if (S_ISDIR(kept.st_mode) && within(fd, &kept)) {
            return refuse(err, host, "lies in", paths[i]);
        }
        if (S_ISDIR(kept.st_mode) ? within(top, &mapped) : parent_within(paths[i], &mapped)) {
            return refuse(err, host, "contains", paths[i]);
        }
    }
    return 0;
}
