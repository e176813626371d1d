/* One call on the files of a grant as a value: what it needs, and what came of it. So it can be
 * carried out where it is made, or by a thread of a pool while the agent waits (files.h). */
#ifndef SH_VFS_CALL_H
#define SH_VFS_CALL_H

#include <sys/uio.h>

#include "microsandbox/vfs.h"

enum sh_vfs_op {
    SH_VFS_OPEN,
    SH_VFS_STAT,
    SH_VFS_FSTAT,
    SH_VFS_READLINK,
    SH_VFS_LIST,
    SH_VFS_READ,
    SH_VFS_WRITE,
    SH_VFS_SIZE,
    SH_VFS_SYNC,
    SH_VFS_TIMES,
    SH_VFS_MKDIR,
    SH_VFS_RMDIR,
    SH_VFS_UNLINK,
    SH_VFS_RENAME,
    SH_VFS_LINKS, /* SH_VFS_LINK is a file type */
    SH_VFS_SYMLINK,
    SH_VFS_KEEP,  /* the bytes into the folder `path`, under their hash */
    SH_VFS_FETCH, /* `size` bytes of the file `path`, which must have `hash` */
    SH_VFS_COPY,  /* the open file `dir`, up to `size` bytes: short ones into `out`, others into the
                     folder `path`, under their hash, and `opened` */
    SH_VFS_COPIED, /* open what COPY kept, the file `path`: it must have `hash` and `size` */
    SH_VFS_CLOSE,  /* nothing but the closing of `dir` */
};

/* Inline up to here: copying more from the page cache takes an executor's time. */
enum { SH_VFS_QUICK_BYTES = 1024 * 1024 };

struct sh_vfs_call {
    enum sh_vfs_op op;
    struct sh_vfs_grant *grant;
    int dir, to_dir;       /* where the paths start; or the open file itself */
    const char *path, *to; /* to: of RENAME and LINKS; of SYMLINK what the link says */
    struct sh_vfs_how how; /* OPEN; of STAT and TIMES only `follow` */
    uint64_t offset;       /* READ, WRITE; UINT64_MAX: append, and set to where that was */
    uint64_t size; /* SIZE, FETCH, COPY, COPIED; WRITE with redo: where an append was to go */
    uint64_t times[2];
    struct sh_hash hash;
    uint64_t now_ns; /* the workspace's clock */
    struct iovec *iov;
    size_t n_iov;
    size_t bytes;   /* of iov */
    bool data_only; /* WRITE: sync the data after it; SYNC: the data alone */
    bool only_grow; /* SIZE */
    bool redo;      /* is it so already? Asked of a change that cannot be made, and of an append */
    /* the answer */
    int error;    /* of the host, or SH_VFS_E_* */
    bool already; /* it failed because it is so already (redo) */
    bool ours;    /* COPY: the error is of our folder, not of the file */
    size_t done;  /* bytes read or written */
    uint64_t grown;
    uint32_t n; /* LIST: entries; COPY: 1 when it was copied, 0 when it is too long */
    struct stat st;
    struct sh_vfs_opened opened;
    struct sh_buf out; /* LIST, READLINK, FETCH, COPY; its maximum is the caller's choice */
};

/* Carries it out; may block as long as the file system does. */
void sh_vfs_call_do(struct sh_vfs_call *c);
/* Carries it out when that needs no waiting for a disk, as far as the kernel can say beforehand;
 * false: nothing was done, and it may have to wait. needs  a grant on a local file system */
bool sh_vfs_call_quick(struct sh_vfs_call *c);
/* vfs_keep.c: FETCH's error is EBADMSG when the bytes are not those */
void sh_vfs_keep(struct sh_vfs_call *c);
void sh_vfs_fetch(struct sh_vfs_call *c);
/* vfs_copy.c: done: bytes of the copy; st: the file, as long as its copy. COPIED's error as
 * FETCH's. quick: as sh_vfs_call_quick. */
void sh_vfs_copy(struct sh_vfs_call *c);
bool sh_vfs_copy_quick(struct sh_vfs_call *c);
void sh_vfs_copied(struct sh_vfs_call *c);
/* Is this a file system of this machine, whose cached inodes answer without a server? */
bool sh_vfs_local(int fd);

#endif
