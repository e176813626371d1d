/* Bytes as a file that is named by their hash, in a folder of ours; and back. */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "base/base.h"
#include "microsandbox/vfs_call.h"

static int write_all(int fd, const char *p, size_t n) {
    while (n) {
        ssize_t put = write(fd, p, n);

        if (put <= 0) {
            return put < 0 ? errno : EIO;
        }
        p += put;
        n -= (size_t)put;
    }
    return fdatasync(fd) == 0 ? 0 : errno;
}

static int keep_in(int dir, const char *name, const char *p, size_t n) {
    static atomic_uint counter;
    char temporary[48];
    sh_auto(sh_close_p) int fd = -1;
    struct stat st;
    int rc;

    /* One that is there is made young, so that nobody removes it as one that nobody needs. */
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
        (size_t)st.st_size == n && utimensat(dir, name, NULL, AT_SYMLINK_NOFOLLOW) == 0) {
        return fsync(dir) == 0 ? 0 : errno; /* its name may be newer than what is on disk */
    }
    (void)snprintf(temporary, sizeof(temporary), "new.%d.k%u", (int)getpid(),
                   atomic_fetch_add(&counter, 1));
    fd = openat(dir, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0400);
    if (fd < 0) {
        return errno;
    }
    rc = write_all(fd, p, n);
    if (rc == 0 && renameat(dir, temporary, dir, name) != 0) {
        rc = errno;
    }
    if (rc == 0) {
        return fsync(dir) == 0 ? 0 : errno;
    }
    (void)unlinkat(dir, temporary, 0);
    return rc;
}

void sh_vfs_keep(struct sh_vfs_call *c) {
    char name[SH_HASH_HEX_BYTES];
    sh_auto(sh_close_p) int dir = -1;

    SH_ASSERT(c->n_iov == 1);
    sh_sha256(c->iov->iov_base, c->iov->iov_len, &c->hash);
    sh_hash_hex(&c->hash, name);
    dir = open(c->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0 && errno == ENOENT && mkdir(c->path, 0700) == 0) {
        dir = open(c->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    }
    c->error = dir < 0 ? errno : keep_in(dir, name, c->iov->iov_base, c->iov->iov_len);
}

void sh_vfs_fetch(struct sh_vfs_call *c) {
    sh_auto(sh_close_p) int fd = open(c->path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    struct sh_hash got;
    struct stat st;
    char *p;

    if (fd < 0 || fstat(fd, &st) != 0) {
        c->error = errno;
        return;
    }
    p = S_ISREG(st.st_mode) && (uint64_t)st.st_size == c->size && c->size < c->out.max
            ? sh_buf_room(&c->out, (size_t)c->size)
            : NULL;
    if (!p) {
        c->error = EBADMSG;
        return;
    }
    for (size_t done = 0; done < c->size;) {
        ssize_t n = read(fd, p + done, (size_t)c->size - done);

        if (n <= 0) {
            c->error = n < 0 ? errno : EBADMSG;
            return;
        }
        done += (size_t)n;
    }
    c->out.len += (size_t)c->size;
    sh_sha256(p, (size_t)c->size, &got);
    c->error = sh_hash_eq(&got, &c->hash) ? 0 : EBADMSG;
}
