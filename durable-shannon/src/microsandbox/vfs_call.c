/* Calls on files as values. What is quick is decided by the kernel, not guessed: RESOLVE_CACHED
 * walks only what is in memory, RWF_NOWAIT reads and writes only there. Where either says "not
 * now", or where nothing can be asked (changes, listings, syncing), the call may block. */
#include "microsandbox/vfs_call.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/base.h"

/* Magic numbers of linux/magic.h and of the file systems' own sources. */
bool sh_vfs_local(int fd) {
    static const unsigned long local[] = {
        0xef53,     /* ext2, ext3, ext4 */
        0x58465342, /* xfs */
        0x9123683e, /* btrfs */
        0x01021994, /* tmpfs */
        0x858458f6, /* ramfs */
        0x794c7630, /* overlayfs */
        0xf2f52010, /* f2fs */
        0x2fc12fc1, /* zfs */
        0xca451a4e, /* bcachefs */
    };
    struct statfs fs;

    if (fstatfs(fd, &fs) != 0) {
        return false;
    }
    for (size_t i = 0; i < sizeof(local) / sizeof(local[0]); i++) {
        if ((unsigned long)fs.f_type == local[i]) {
            return true;
        }
    }
    return false;
}

enum { COMPARED = 64 * 1024 };

/* --- reading and writing ---------------------------------------------------------------------- */

static void do_read(struct sh_vfs_call *c) {
    ssize_t got = preadv(c->dir, c->iov, (int)c->n_iov, (off_t)c->offset);

    c->error = got < 0 ? errno : 0;
    c->done = got < 0 ? 0 : (size_t)got;
}

/* Are the bytes in the file at c->size already? */
static bool there_already(const struct sh_vfs_call *c) {
    sh_auto(sh_free_p) char *piece = sh_alloc(COMPARED);
    uint64_t at = c->size;

    for (size_t i = 0; i < c->n_iov; i++) {
        const char *want = c->iov[i].iov_base;

        for (size_t done = 0; done < c->iov[i].iov_len;) {
            size_t n = c->iov[i].iov_len - done;

            n = n < COMPARED ? n : COMPARED;
            if (pread(c->dir, piece, n, (off_t)at) != (ssize_t)n ||
                memcmp(piece, want + done, n) != 0) {
                return false;
            }
            done += n;
            at += n;
        }
    }
    return true;
}

/* Settles where an append goes, once: a write that is tried again lands there again. */
static bool placed(struct sh_vfs_call *c) {
    struct stat st;

    if (c->offset != UINT64_MAX) {
        return true;
    }
    if (fstat(c->dir, &st) != 0) {
        c->error = errno;
        return false;
    }
    c->offset = (uint64_t)st.st_size;
    return true;
}

static void do_write(struct sh_vfs_call *c) {
    ssize_t put;

    if (c->offset == UINT64_MAX && c->redo && there_already(c)) {
        c->offset = c->size;
        c->done = c->bytes;
        c->already = true;
        c->error = c->data_only && fdatasync(c->dir) != 0 ? errno : 0;
        return;
    }
    if (!placed(c)) {
        return;
    }
    put = pwritev(c->dir, c->iov, (int)c->n_iov, (off_t)c->offset);
    if (put < 0 || (put > 0 && c->data_only && fdatasync(c->dir) != 0)) {
        c->error = errno;
        return;
    }
    c->done = (size_t)put;
}

/* Less than was asked for is an answer only where the file ends: else the rest is on the disk. */
static bool quick_read(struct sh_vfs_call *c) {
    struct stat st;
    ssize_t got;

    if (c->bytes > SH_VFS_QUICK_BYTES) {
        return false;
    }
    got = preadv2(c->dir, c->iov, (int)c->n_iov, (off_t)c->offset, RWF_NOWAIT);
    if (got < 0) {
        return false; /* the pool finds out whether that was an error */
    }
    if ((size_t)got < c->bytes &&
        (fstat(c->dir, &st) != 0 || c->offset + (uint64_t)got < (uint64_t)st.st_size)) {
        return false;
    }
    c->done = (size_t)got;
    return true;
}

static bool quick_write(struct sh_vfs_call *c) {
    ssize_t put;

    if (c->bytes > SH_VFS_QUICK_BYTES || c->data_only || c->redo || !placed(c)) {
        c->error = 0;
        return false;
    }
    put = pwritev2(c->dir, c->iov, (int)c->n_iov, (off_t)c->offset, RWF_NOWAIT);
    if (put < 0 || (size_t)put != c->bytes) {
        return false; /* a part that was written is written again */
    }
    c->done = (size_t)put;
    return true;
}

/* --- sizes ------------------------------------------------------------------------------------ */

/* The file gets `size` bytes; or stays when that is less and it may only grow. */
static void do_size(struct sh_vfs_call *c) {
    uint64_t now;

    if (fstat(c->dir, &c->st) != 0) {
        c->error = errno;
        return;
    }
    now = (uint64_t)c->st.st_size;
    if (c->size > now && c->size - now > c->grant->bytes_left) {
        c->error = SH_VFS_E_BYTES;
    } else if (c->size > now || (c->size < now && !c->only_grow)) {
        c->error = ftruncate(c->dir, (off_t)c->size) == 0 ? 0 : errno;
    }
    c->grown = c->error == 0 && c->size > now ? c->size - now : 0;
}

/* --- changes ---------------------------------------------------------------------------------- */

static int do_change(const struct sh_vfs_call *c) {
    switch (c->op) {
    case SH_VFS_MKDIR:
        return sh_vfs_mkdir(c->grant, c->dir, c->path, c->now_ns);
    case SH_VFS_RMDIR:
        return sh_vfs_rmdir(c->grant, c->dir, c->path, c->now_ns);
    case SH_VFS_UNLINK:
        return sh_vfs_unlink(c->grant, c->dir, c->path, c->now_ns);
    case SH_VFS_RENAME:
        return sh_vfs_rename(c->grant, c->dir, c->path, c->to_dir, c->to, c->now_ns);
    case SH_VFS_LINKS:
        return sh_vfs_link(c->grant, c->dir, c->path, c->to_dir, c->to, c->now_ns);
    default:
        return sh_vfs_symlink(c->grant, c->to, c->dir, c->path, c->now_ns);
    }
}

/* Is what was asked for there already, as if it had been done before? */
static bool already_so(const struct sh_vfs_call *c) {
    struct sh_vfs_grant *g = c->grant;
    struct stat a, b;
    char target[SH_PATH_MAX];
    size_t n;

    switch (c->op) {
    case SH_VFS_MKDIR:
        return c->error == EEXIST && sh_vfs_stat(g, c->dir, c->path, false, &a) == 0 &&
               S_ISDIR(a.st_mode);
    case SH_VFS_RMDIR:
    case SH_VFS_UNLINK:
        return c->error == ENOENT;
    case SH_VFS_RENAME:
        return c->error == ENOENT && sh_vfs_stat(g, c->to_dir, c->to, false, &b) == 0;
    case SH_VFS_LINKS:
        if (c->error == ENOENT) { /* and the first name renamed or removed after that */
            return sh_vfs_stat(g, c->to_dir, c->to, false, &b) == 0;
        }
        return c->error == EEXIST && sh_vfs_stat(g, c->dir, c->path, false, &a) == 0 &&
               sh_vfs_stat(g, c->to_dir, c->to, false, &b) == 0 && a.st_ino == b.st_ino;
    default:
        return c->error == EEXIST &&
               sh_vfs_readlink(g, c->dir, c->path, target, sizeof(target), &n) == 0 &&
               sh_str_eqz(sh_strn(target, n), c->to);
    }
}

/* --- looking ---------------------------------------------------------------------------------- */

static void do_readlink(struct sh_vfs_call *c) {
    char target[SH_PATH_MAX];
    size_t n = 0;

    c->error = sh_vfs_readlink(c->grant, c->dir, c->path, target, sizeof(target), &n);
    if (c->error == 0) {
        sh_buf_add(&c->out, target, n);
    }
}

static bool quick_stat(struct sh_vfs_call *c) {
    int flags = O_PATH | (c->how.follow ? 0 : O_NOFOLLOW);
    sh_auto(sh_close_p) int fd = sh_vfs_walk_cached(c->dir, c->path, flags);

    if (fd < 0) {
        c->error = -fd;
        return c->error != EAGAIN;
    }
    c->error = fstat(fd, &c->st) != 0 ? errno : c->st.st_dev == c->grant->dev ? 0 : EPERM;
    return true;
}

static bool quick_open(struct sh_vfs_call *c) {
    struct sh_vfs_how how = c->how;

    if (how.create || how.trunc) {
        return false;
    }
    how.cached = true;
    c->error = sh_vfs_open(c->grant, c->dir, c->path, &how, c->now_ns, &c->opened);
    return c->error != EAGAIN;
}

bool sh_vfs_call_quick(struct sh_vfs_call *c) {
    switch (c->op) {
    case SH_VFS_OPEN:
        return quick_open(c);
    case SH_VFS_STAT:
        return quick_stat(c);
    case SH_VFS_FSTAT:
        sh_vfs_call_do(c);
        return true;
    case SH_VFS_READ:
        return quick_read(c);
    case SH_VFS_WRITE:
        return quick_write(c);
    case SH_VFS_COPY:
        return sh_vfs_copy_quick(c);
    default:
        return false;
    }
}

void sh_vfs_call_do(struct sh_vfs_call *c) {
    switch (c->op) {
    case SH_VFS_OPEN:
        c->error = sh_vfs_open(c->grant, c->dir, c->path, &c->how, c->now_ns, &c->opened);
        break;
    case SH_VFS_STAT:
        c->error = sh_vfs_stat(c->grant, c->dir, c->path, c->how.follow, &c->st);
        break;
    case SH_VFS_FSTAT:
        c->error = fstat(c->dir, &c->st) == 0 ? 0 : errno;
        break;
    case SH_VFS_READLINK:
        do_readlink(c);
        break;
    case SH_VFS_LIST:
        c->error = sh_vfs_list(c->grant, c->dir, &c->out, &c->n);
        break;
    case SH_VFS_READ:
        do_read(c);
        break;
    case SH_VFS_WRITE:
        do_write(c);
        break;
    case SH_VFS_SIZE:
        do_size(c);
        break;
    case SH_VFS_SYNC:
        c->error = (c->data_only ? fdatasync(c->dir) : fsync(c->dir)) == 0 ? 0 : errno;
        break;
    case SH_VFS_TIMES:
        c->error = sh_vfs_times(c->grant, c->dir, c->path, c->how.follow, c->times[0], c->times[1],
                                c->now_ns);
        break;
    case SH_VFS_KEEP:
        sh_vfs_keep(c);
        break;
    case SH_VFS_FETCH:
        sh_vfs_fetch(c);
        break;
    case SH_VFS_COPY:
        sh_vfs_copy(c);
        break;
    case SH_VFS_COPIED:
        sh_vfs_copied(c);
        break;
    case SH_VFS_CLOSE:
        break;
    default:
        c->error = do_change(c);
        c->already = c->error && c->redo && already_so(c);
    }
}
