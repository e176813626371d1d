/* What can be done with names: each takes a parent and one component, and keeps the nodes of the
 * workspace in step with what the host did. */
#include "microsandbox/vfs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/base.h"

int sh_vfs_stat(struct sh_vfs_grant *g, int dir, const char *path, bool follow, struct stat *ret) {
    sh_auto(sh_close_p) int fd = sh_vfs_walk(dir, path, O_PATH | (follow ? 0 : O_NOFOLLOW));

    if (fd < 0) {
        return -fd;
    }
    if (fstat(fd, ret) != 0) {
        return errno;
    }
    return ret->st_dev == g->dev ? 0 : EPERM;
}

static bool exists(const struct sh_vfs_name *n) {
    struct stat st;

    return fstatat(n->parent, n->name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

int sh_vfs_room(const struct sh_vfs_grant *g, const struct sh_vfs_name *n) {
    if (!g->space || g->space->files < g->space->files_max) {
        return 0;
    }
    return exists(n) ? EEXIST : SH_VFS_E_FILES; /* that is the answer then, quota or not */
}

static void named(struct sh_vfs_grant *g, const struct sh_vfs_name *n, uint64_t now_ns) {
    struct stat st;

    if (g->space && fstatat(n->parent, n->name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
        sh_vfs_node_new(g->space, &st, now_ns);
        sh_vfs_touch(g, n->parent, now_ns);
    }
}

/* A name of the file `st` went. */
static void unnamed(struct sh_vfs_grant *g, const struct stat *st, uint64_t now_ns) {
    if (!g->space) {
        return;
    }
    if (S_ISDIR(st->st_mode) || st->st_nlink <= 1) {
        sh_vfs_node_gone(g->space, st);
    } else {
        sh_vfs_node(g->space, st)->ctim = now_ns;
        g->space->files--;
    }
}

static int mkdir_at(struct sh_vfs_grant *g, const struct sh_vfs_name *n, uint64_t now_ns) {
    int rc;

    if (n->special) {
        return EEXIST;
    }
    rc = sh_vfs_room(g, n);
    if (rc) {
        return rc;
    }
    if (mkdirat(n->parent, n->name, g->space ? 0700 : 0777) != 0) {
        return errno;
    }
    named(g, n, now_ns);
    return 0;
}

int sh_vfs_mkdir(struct sh_vfs_grant *g, int dir, const char *path, uint64_t now_ns) {
    sh_auto(sh_vfs_name_done) struct sh_vfs_name n = {0};
    int rc = sh_vfs_split(dir, path, &n);

    return rc ? rc : mkdir_at(g, &n, now_ns);
}

int sh_vfs_rmdir(struct sh_vfs_grant *g, int dir, const char *path, uint64_t now_ns) {
    sh_auto(sh_vfs_name_done) struct sh_vfs_name n = {0};
    struct stat st;
    int rc = sh_vfs_split(dir, path, &n);

    if (rc) {
        return rc;
    }
    if (n.special) {
        return n.dotdot ? ENOTEMPTY : EINVAL;
    }
    if (fstatat(n.parent, n.name, &st, AT_SYMLINK_NOFOLLOW) != 0 ||
        unlinkat(n.parent, n.name, AT_REMOVEDIR) != 0) {
        return errno;
    }
    unnamed(g, &st, now_ns);
    sh_vfs_touch(g, n.parent, now_ns);
    return 0;
}

int sh_vfs_unlink(struct sh_vfs_grant *g, int dir, const char *path, uint64_t now_ns) {
    sh_auto(sh_vfs_name_done) struct sh_vfs_name n = {0};
    struct stat st;
    int rc = sh_vfs_split(dir, path, &n);

    if (rc) {
        return rc;
    }
    if (n.special) {
        return EISDIR;
    }
    if (fstatat(n.parent, n.name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
        return errno;
    }
    if (S_ISDIR(st.st_mode) || n.slash) {
        return S_ISDIR(st.st_mode) ? EISDIR : ENOTDIR;
    }
    if (unlinkat(n.parent, n.name, 0) != 0) {
        return errno;
    }
    unnamed(g, &st, now_ns);
    sh_vfs_touch(g, n.parent, now_ns);
    return 0;
}

static int rename_at(struct sh_vfs_grant *g, const struct sh_vfs_name *from,
                     const struct sh_vfs_name *to, uint64_t now_ns) {
    struct stat st, old;
    bool replaces;

    if (from->special || to->special) {
        return EBUSY;
    }
    if (fstatat(from->parent, from->name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
        return errno;
    }
    if ((from->slash || to->slash) && !S_ISDIR(st.st_mode)) {
        return ENOTDIR;
    }
    replaces = fstatat(to->parent, to->name, &old, AT_SYMLINK_NOFOLLOW) == 0;
    if (renameat(from->parent, from->name, to->parent, to->name) != 0) {
        return errno;
    }
    if (g->space && !(replaces && old.st_ino == st.st_ino)) { /* two names of one file: no-op */
        if (replaces) {
            unnamed(g, &old, now_ns);
        }
        sh_vfs_node(g->space, &st)->ctim = now_ns;
        sh_vfs_touch(g, from->parent, now_ns);
        sh_vfs_touch(g, to->parent, now_ns);
    }
    return 0;
}

int sh_vfs_rename(struct sh_vfs_grant *g, int dir, const char *path, int to_dir, const char *to,
                  uint64_t now_ns) {
    sh_auto(sh_vfs_name_done) struct sh_vfs_name a = {0};
    sh_auto(sh_vfs_name_done) struct sh_vfs_name b = {0};
    int rc = sh_vfs_split(dir, path, &a);

    if (rc == 0) {
        rc = sh_vfs_split(to_dir, to, &b);
    }
    return rc ? rc : rename_at(g, &a, &b, now_ns);
}

/* May a new name be made here? A trailing slash asks for a directory, which this will not be. */
static int name_free(const struct sh_vfs_name *n) {
    struct stat st;

    if (n->special) {
        return EEXIST;
    }
    if (!n->slash) {
        return 0; /* the call itself says EEXIST */
    }
    if (fstatat(n->parent, n->name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
        return errno;
    }
    return S_ISDIR(st.st_mode) ? EEXIST : ENOTDIR;
}

/* One more name for the file `st`. How many it may have must not depend on the file system. */
static int link_room(const struct sh_vfs_grant *g, const struct stat *st,
                     const struct sh_vfs_name *to) {
    int rc = name_free(to);

    if (rc == 0) {
        rc = sh_vfs_room(g, to);
    }
    if (rc == 0 && g->space && st->st_nlink >= SH_WORKSPACE_LINKS_MAX) {
        rc = exists(to) ? EEXIST : EMLINK;
    }
    return rc;
}

static int link_at(struct sh_vfs_grant *g, const struct sh_vfs_name *from,
                   const struct sh_vfs_name *to, uint64_t now_ns) {
    struct stat st;
    int rc;

    if (from->special) {
        return EPERM; /* a directory */
    }
    if (fstatat(from->parent, from->name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
        return errno;
    }
    if (S_ISDIR(st.st_mode)) {
        return EPERM;
    }
    if (from->slash) {
        return ENOTDIR;
    }
    if (!S_ISREG(st.st_mode) && !S_ISLNK(st.st_mode)) {
        return EPERM;
    }
    rc = link_room(g, &st, to);
    if (rc) {
        return rc;
    }
    if (linkat(from->parent, from->name, to->parent, to->name, 0) != 0) {
        return errno;
    }
    if (g->space) {
        sh_vfs_node(g->space, &st)->ctim = now_ns;
        sh_vfs_touch(g, to->parent, now_ns);
        g->space->files++;
    }
    return 0;
}

int sh_vfs_link(struct sh_vfs_grant *g, int dir, const char *path, int to_dir, const char *to,
                uint64_t now_ns) {
    sh_auto(sh_vfs_name_done) struct sh_vfs_name a = {0};
    sh_auto(sh_vfs_name_done) struct sh_vfs_name b = {0};
    int rc = sh_vfs_split(dir, path, &a);

    if (rc == 0) {
        rc = sh_vfs_split(to_dir, to, &b);
    }
    return rc ? rc : link_at(g, &a, &b, now_ns);
}

int sh_vfs_symlink(struct sh_vfs_grant *g, const char *target, int dir, const char *path,
                   uint64_t now_ns) {
    sh_auto(sh_vfs_name_done) struct sh_vfs_name n = {0};
    int rc;

    if (target[0] == '/') {
        return EPERM;
    }
    if (g->space && strlen(target) > SH_WORKSPACE_TARGET_MAX) {
        return ENAMETOOLONG; /* on every file system */
    }
    rc = sh_vfs_split(dir, path, &n);
    if (rc == 0) {
        rc = name_free(&n);
    }
    if (rc == 0) {
        rc = sh_vfs_room(g, &n);
    }
    if (rc) {
        return rc;
    }
    if (g->space && g->space->bytes + strlen(target) > g->space->bytes_max) {
        return exists(&n) ? EEXIST : SH_VFS_E_BYTES;
    }
    if (symlinkat(target, n.parent, n.name) != 0) {
        return errno;
    }
    named(g, &n, now_ns);
    return 0;
}

int sh_vfs_readlink(struct sh_vfs_grant *g, int dir, const char *path, char *buf, size_t cap,
                    size_t *ret_n) {
    sh_auto(sh_vfs_name_done) struct sh_vfs_name n = {0};
    char target[SH_PATH_MAX + 1];
    ssize_t len;
    int rc = sh_vfs_split(dir, path, &n);

    (void)g;
    if (rc) {
        return rc;
    }
    if (n.special || n.slash) {
        return EINVAL;
    }
    len = readlinkat(n.parent, n.name, target, sizeof(target));
    if (len < 0) {
        return errno;
    }
    if (len && target[0] == '/') {
        return EPERM;
    }
    *ret_n = (size_t)len < cap ? (size_t)len : cap;
    memcpy(buf, target, *ret_n);
    return 0;
}

static struct timespec host_time(uint64_t ns) {
    struct timespec t = {.tv_nsec = UTIME_OMIT};

    if (ns != UINT64_MAX) {
        t.tv_sec = (time_t)(ns / 1000000000ULL);
        t.tv_nsec = (long)(ns % 1000000000ULL);
    }
    return t;
}

int sh_vfs_times(struct sh_vfs_grant *g, int dir, const char *path, bool follow, uint64_t atim,
                 uint64_t mtim, uint64_t now_ns) {
    struct timespec times[2] = {host_time(atim), host_time(mtim)};
    sh_auto(sh_close_p) int fd = -1;
    struct stat st;

    if (path) {
        fd = sh_vfs_walk(dir, path, O_PATH | (follow ? 0 : O_NOFOLLOW));
        if (fd < 0) {
            return -fd;
        }
    }
    if (fstat(path ? fd : dir, &st) != 0) {
        return errno;
    }
    if (st.st_dev != g->dev ||
        !(S_ISREG(st.st_mode) || S_ISDIR(st.st_mode) || S_ISLNK(st.st_mode)) ||
        !((S_ISDIR(st.st_mode) ? g->dir_perms : g->file_perms) & SH_PERM_WRITE)) {
        return EPERM;
    }
    if (!g->space) {
        return utimensat(path ? fd : dir, "", times, AT_EMPTY_PATH) == 0 ? 0 : errno;
    }
    struct sh_vfs_node *n = sh_vfs_node(g->space, &st);

    n->atim = atim == UINT64_MAX ? n->atim : atim;
    n->mtim = mtim == UINT64_MAX ? n->mtim : mtim;
    n->ctim = now_ns;
    return 0;
}
