/* A file of the host as it is at one moment. A short one is read into memory; a longer one becomes
 * a file of ours, named by its hash: cloned where the file system can share its blocks, else
 * copied. Who writes to it meanwhile may tear a copy; what was copied is what counts from then on.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/base.h"
#include "microsandbox/vfs_call.h"

enum { PIECE = 128 * 1024 };

static void copied(struct sh_vfs_call *c, uint64_t len) {
    c->n = 1;
    c->done = (size_t)len;
    c->st.st_size = (off_t)len;
}

/* Into memory, unless it has grown past the maximum meanwhile. flags: RWF_NOWAIT or 0. */
static bool copy_short(struct sh_vfs_call *c, int flags) {
    size_t max = c->out.max - 1; /* a buffer stays below its maximum */
    char *p = sh_buf_room(&c->out, max);
    size_t len = 0;

    if (!p) {
        return false;
    }
    while (len < max) {
        struct iovec to = {p + len, max - len};
        ssize_t got = preadv2(c->dir, &to, 1, (off_t)len, flags);

        if (got < 0) {
            return false;
        }
        if (got == 0) {
            c->out.len += len;
            copied(c, len);
            return true;
        }
        len += (size_t)got;
    }
    return false;
}

static bool is_short(const struct sh_vfs_call *c) {
    return (uint64_t)c->st.st_size < c->out.max - 1 && (uint64_t)c->st.st_size <= c->size;
}

/* Copying is not the agent's reading: where the file is ours, its time of access stays. */
static void leave_no_trace(int fd) {
    int flags = fcntl(fd, F_GETFL);

    if (flags >= 0) {
        (void)fcntl(fd, F_SETFL, flags | O_NOATIME);
    }
}

bool sh_vfs_copy_quick(struct sh_vfs_call *c) {
    leave_no_trace(c->dir);
    if (fstat(c->dir, &c->st) != 0) {
        return false;
    }
    if ((uint64_t)c->st.st_size > c->size) {
        return true;
    }
    if (!is_short(c)) {
        return false;
    }
    if (copy_short(c, RWF_NOWAIT)) {
        return true;
    }
    sh_buf_clear(&c->out);
    return false;
}

/* From one file to another (to -1: nowhere) while hashing; 0, EFBIG past `max`, or an errno. */
static int pump(int from, int to, uint64_t max, struct sh_hash *hash, uint64_t *ret_len,
                bool *ours) {
    sh_auto(sh_free_p) char *piece = sh_alloc(PIECE);
    struct sh_hasher h;
    uint64_t len = 0;

    sh_hasher_init(&h);
    for (;;) {
        ssize_t got = pread(from, piece, PIECE, (off_t)len);

        if (got < 0) {
            return errno;
        }
        if (got == 0) {
            sh_hasher_done(&h, hash);
            *ret_len = len;
            return 0;
        }
        if ((uint64_t)got > max - len) {
            return EFBIG;
        }
        sh_hasher_add(&h, piece, (size_t)got);
        if (to >= 0 && pwrite(to, piece, (size_t)got, (off_t)len) != got) {
            *ours = true;
            return errno ? errno : EIO;
        }
        len += (uint64_t)got;
    }
}

static int fill(struct sh_vfs_call *c, int fd, uint64_t *ret_len) {
    int rc;

    if (ioctl(fd, FICLONE, c->dir) == 0) {
        rc = pump(fd, -1, c->size, &c->hash, ret_len, &c->ours);
    } else {
        rc = pump(c->dir, fd, c->size, &c->hash, ret_len, &c->ours);
    }
    if (rc == 0 && fdatasync(fd) != 0) {
        c->ours = true;
        rc = errno;
    }
    return rc;
}

/* Not being able to read the file is no error: reading it will show that. */
static int copy_long(struct sh_vfs_call *c, int dir) {
    static atomic_uint counter;
    char temporary[48], name[SH_HASH_HEX_BYTES];
    sh_auto(sh_close_p) int fd = -1;
    uint64_t len = 0;
    int rc;

    (void)snprintf(temporary, sizeof(temporary), "new.%d.c%u", (int)getpid(),
                   atomic_fetch_add(&counter, 1));
    fd = openat(dir, temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0400);
    if (fd < 0) {
        c->ours = true;
        return errno;
    }
    rc = fill(c, fd, &len);
    if (rc) {
        (void)unlinkat(dir, temporary, 0);
        return c->ours ? rc : 0;
    }
    sh_hash_hex(&c->hash, name);
    (void)futimens(fd, NULL); /* hashing took a while: a young file is not removed */
    if (renameat(dir, temporary, dir, name) != 0 || fsync(dir) != 0) {
        c->ours = true;
        rc = errno;
        (void)unlinkat(dir, temporary, 0);
        return rc;
    }
    copied(c, len);
    c->opened.fd = fd;
    fd = -1;
    return 0;
}

void sh_vfs_copy(struct sh_vfs_call *c) {
    sh_auto(sh_close_p) int dir = -1;

    leave_no_trace(c->dir);
    if (fstat(c->dir, &c->st) != 0) {
        c->error = errno;
        return;
    }
    if (is_short(c)) {
        (void)copy_short(c, 0);
        return;
    }
    if ((uint64_t)c->st.st_size > c->size) {
        return;
    }
    dir = open(c->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0 && errno == ENOENT && mkdir(c->path, 0700) == 0) {
        dir = open(c->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    }
    if (dir < 0) {
        c->ours = true;
        c->error = errno;
        return;
    }
    c->error = copy_long(c, dir);
}

void sh_vfs_copied(struct sh_vfs_call *c) {
    sh_auto(sh_close_p) int fd = open(c->path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    struct sh_hash hash;
    struct stat st;
    uint64_t len = 0;
    bool ours;

    if (fd < 0 || fstat(fd, &st) != 0) {
        c->error = errno;
        return;
    }
    c->error = !S_ISREG(st.st_mode) || (uint64_t)st.st_size != c->size
                   ? EBADMSG
                   : pump(fd, -1, c->size, &hash, &len, &ours);
    if (c->error == EFBIG || (c->error == 0 && !sh_hash_eq(&hash, &c->hash))) {
        c->error = EBADMSG;
    }
    if (c->error == 0) {
        c->opened.fd = fd;
        fd = -1;
    }
}
