/* Files of the host as a guest may touch them: one grant is one directory with permissions.
 *
 * Only the kernel walks paths (openat2 beneath the grant, no magic links, no other mount); all
 * other calls take a parent descriptor and one component. Functions return 0 or an errno of the
 * host, or SH_VFS_E_*; what a guest sees of it is decided by its caller.
 *
 * The workspace is more: it is rebuilt by replay, so all that a guest sees of it must follow from
 * what the guest did. Its inode numbers, times and sizes therefore live in a table of nodes here
 * (struct sh_vfs_space), and the host's own are never shown. */
#ifndef SH_VFS_H
#define SH_VFS_H

#include <dirent.h>
#include <sys/stat.h>

#include "policy/policy.h"

enum {
    SH_VFS_E_BYTES = 5001, /* the quota of bytes is used up */
    SH_VFS_E_FILES = 5002, /* the quota of files is used up */
    SH_VFS_TRIES = 16,     /* openat2 says EAGAIN when a rename raced with it */
    SH_VFS_HOPS = 16,      /* dangling links followed by a creating open */
    SH_VFS_NAME_MAX = 255,
    SH_VFS_LIST_BYTES = 32 * 1024 * 1024, /* one listing: 100,000 of the longest names */
};

/* WASI's file types. */
enum {
    SH_VFS_UNKNOWN = 0,
    SH_VFS_BLOCK = 1,
    SH_VFS_CHAR = 2,
    SH_VFS_DIR = 3,
    SH_VFS_FILE = 4,
    SH_VFS_SOCKET = 6,
    SH_VFS_LINK = 7,
};

/* One file of the workspace; lives while it has a name or is open. */
struct sh_vfs_node {
    struct sh_vfs_node *next; /* same bucket */
    ino_t host;
    uint64_t ino;  /* what the guest sees: counted up, never used again */
    uint64_t size; /* bytes charged; the truth for regular files, since nobody else writes here */
    uint64_t atim, mtim, ctim; /* ns */
    uint32_t refs;             /* open descriptors */
    bool dead; /* no name left; the number of the host may come again for another file */
};

struct sh_vfs_space {
    struct sh_vfs_node **buckets; /* a power of two; live nodes by host number */
    size_t n_buckets, n_nodes;
    uint64_t bytes, bytes_max;
    uint64_t files, files_max; /* names, and files that are open without one */
    uint64_t next_ino;
    struct sh_vfs_node nameless; /* stands for directories that were removed while open */
    uint64_t born_ns;            /* times of files that were there before the guest */
};

struct sh_vfs_grant {
    int root; /* O_PATH; -1 when it could not be opened (error says why) */
    int error;
    dev_t dev;
    uint32_t number;                /* the device that the guest sees */
    unsigned dir_perms, file_perms; /* enum sh_perm */
    uint64_t bytes_left;            /* that may still be written; mounts only */
    uint64_t capture; /* files up to so long are copied when opened only to be read; mounts only */
    bool observe;     /* answers are recorded and recalled */
    bool written;     /* the guest has changed something here */
    bool local;       /* on a file system of this machine */
    const char *host, *guest;
    struct sh_vfs_space *space; /* the workspace's, else NULL */
};

struct sh_vfs_stat {
    uint8_t type;
    uint64_t ino, nlink, size, atim, mtim, ctim;
};

/* --- vfs_space.c --- */
void sh_vfs_space_init(struct sh_vfs_space *s, uint64_t bytes_max, uint64_t born_ns);
void sh_vfs_space_done(struct sh_vfs_space *s);
void sh_vfs_space_forget(struct sh_vfs_space *s); /* all nodes; the charges stay */
/* Something in the directory `dir` changed: its times become now. */
void sh_vfs_touch(struct sh_vfs_grant *g, int dir, uint64_t now_ns);
struct sh_vfs_node *sh_vfs_node(struct sh_vfs_space *s, const struct stat *st); /* never NULL */
struct sh_vfs_node *sh_vfs_node_find(struct sh_vfs_space *s, ino_t host);       /* or NULL */
/* Charge a file that is about to have `size` bytes; SH_VFS_E_BYTES when that is too much. */
int sh_vfs_node_resize(struct sh_vfs_space *s, struct sh_vfs_node *n, uint64_t size);
void sh_vfs_node_new(struct sh_vfs_space *s, const struct stat *st, uint64_t now_ns);
void sh_vfs_node_gone(struct sh_vfs_space *s, const struct stat *st); /* its last name went */
void sh_vfs_node_unref(struct sh_vfs_space *s, struct sh_vfs_node *n);
/* What the guest sees of `st`; n: its node where that is known (it may have no name), or NULL. */
void sh_vfs_fill(const struct sh_vfs_grant *g, const struct stat *st, const struct sh_vfs_node *n,
                 struct sh_vfs_stat *ret);
uint64_t sh_vfs_ino(const struct sh_vfs_grant *g, ino_t host); /* of a mount: a hash */

/* --- vfs_walk.c --- */
int sh_vfs_walk(int dir, const char *path, int flags); /* descriptor or -errno */
/* Only through what is in memory; -EAGAIN when more would be needed. */
int sh_vfs_walk_cached(int dir, const char *path, int flags);
/* A path split into an opened parent and one component. `special`: there is no component to work
 * on (empty, `.` or `..`); slash: it ended with one. */
struct sh_vfs_name {
    int parent;
    bool owned, slash, special, dotdot;
    char name[SH_VFS_NAME_MAX + 1];
};
int sh_vfs_split(int dir, const char *path, struct sh_vfs_name *ret);
void sh_vfs_name_done(struct sh_vfs_name *n);
/* SH_E_UNSUPPORTED when the kernel lacks openat2 or /proc is missing. */
int sh_vfs_probe(struct sh_err *err);
/* SEMANTICS 20: SH_E_DENIED for a directory of a pseudo file system. */
int sh_vfs_grantable(int fd, const char *host, struct sh_err *err);
/* --- vfs_guard.c --- */
/* A directory to be mapped, without following a symbolic link anywhere: descriptor or -errno, ELOOP
 * where there is one. */
int sh_vfs_open_host(const char *host);
/* SEMANTICS 20: SH_E_DENIED when the directory is, contains or lies in one of `paths` (absolute,
 * NULL-terminated, or NULL). A file may stand there too: then it is about what contains it. */
int sh_vfs_unprotected(int fd, const char *host, const char *const *paths, struct sh_err *err);
/* Count what lies in a workspace that is not empty. fails SH_E_IO, SH_E_LIMIT */
int sh_vfs_scan(struct sh_vfs_grant *g, struct sh_err *err);

/* --- vfs_open.c --- */
struct sh_vfs_how {
    bool follow, create, excl, trunc, directory, read, write;
    bool cached; /* EAGAIN where the path is not in memory; needs neither create nor trunc */
};
struct sh_vfs_opened {
    int fd;
    struct stat st;
    struct sh_vfs_node *node; /* with one more reference, workspace only */
};
int sh_vfs_open(struct sh_vfs_grant *g, int dir, const char *path, const struct sh_vfs_how *how,
                uint64_t now_ns, struct sh_vfs_opened *ret);

/* --- vfs_ops.c --- */
int sh_vfs_stat(struct sh_vfs_grant *g, int dir, const char *path, bool follow, struct stat *ret);
/* Has the workspace room for one more name? Else SH_VFS_E_FILES, or EEXIST if this one is there. */
int sh_vfs_room(const struct sh_vfs_grant *g, const struct sh_vfs_name *n);
int sh_vfs_mkdir(struct sh_vfs_grant *g, int dir, const char *path, uint64_t now_ns);
int sh_vfs_rmdir(struct sh_vfs_grant *g, int dir, const char *path, uint64_t now_ns);
int sh_vfs_unlink(struct sh_vfs_grant *g, int dir, const char *path, uint64_t now_ns);
int sh_vfs_rename(struct sh_vfs_grant *g, int dir, const char *path, int to_dir, const char *to,
                  uint64_t now_ns);
int sh_vfs_link(struct sh_vfs_grant *g, int dir, const char *path, int to_dir, const char *to,
                uint64_t now_ns);
int sh_vfs_symlink(struct sh_vfs_grant *g, const char *target, int dir, const char *path,
                   uint64_t now_ns);
/* Up to `cap` bytes of the target. Absolute targets are refused: they name the host's tree. */
int sh_vfs_readlink(struct sh_vfs_grant *g, int dir, const char *path, char *buf, size_t cap,
                    size_t *ret_n);
/* Times in ns; UINT64_MAX leaves one as it is. path NULL: `dir` itself. */
int sh_vfs_times(struct sh_vfs_grant *g, int dir, const char *path, bool follow, uint64_t atim,
                 uint64_t mtim, uint64_t now_ns);
/* All entries, `.` and `..` first, then by bytes: u64 ino, u8 type, name as bytes32. Names that are
 * not UTF-8 cannot be named in WASI and are left out. */
int sh_vfs_list(struct sh_vfs_grant *g, int dir, struct sh_buf *out, uint32_t *ret_n);

#endif
