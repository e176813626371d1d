/* Opening: look first (O_PATH), judge what was found, then open that very file through its
 * descriptor, so that nobody can put another thing in its place in between. Only regular files and
 * directories are ever opened; a FIFO or a device could block, or act. */
#include "microsandbox/vfs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/base.h"

static void remember(struct sh_vfs_grant *g, struct sh_vfs_opened *o) {
    if (g->space) {
        o->node = sh_vfs_node(g->space, &o->st);
        o->node->refs++;
    }
}

static int reopen(int path_fd, const struct sh_vfs_how *how, bool both) {
    char name[40];
    int access = both || (how->read && (how->write || how->trunc)) ? O_RDWR
                 : how->write || how->trunc                        ? O_WRONLY
                                                                   : O_RDONLY;

    (void)snprintf(name, sizeof(name), "/proc/self/fd/%d", path_fd);
    return open(name, access | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

static int truncate_now(struct sh_vfs_grant *g, struct sh_vfs_opened *o, uint64_t now_ns) {
    if (ftruncate(o->fd, 0) != 0) {
        return errno;
    }
    o->st.st_size = 0;
    if (o->node) {
        (void)sh_vfs_node_resize(g->space, o->node, 0);
        o->node->mtim = o->node->ctim = now_ns;
    }
    return 0;
}

/* What O_PATH found, judged and opened for real. Takes path_fd. */
static int open_found(struct sh_vfs_grant *g, int path_fd, const struct sh_vfs_how *how,
                      uint64_t now_ns, struct sh_vfs_opened *ret) {
    sh_auto(sh_close_p) int fd = path_fd;
    int rc = 0;

    if (how->create && how->excl) {
        return EEXIST;
    }
    if (fstat(fd, &ret->st) != 0) {
        return errno;
    }
    if (S_ISLNK(ret->st.st_mode)) {
        return ELOOP;
    }
    if (ret->st.st_dev != g->dev || (!S_ISREG(ret->st.st_mode) && !S_ISDIR(ret->st.st_mode))) {
        return EPERM;
    }
    if (S_ISDIR(ret->st.st_mode)) {
        if (how->write || how->trunc || how->create) {
            return EISDIR;
        }
        ret->fd = fd;
        fd = -1;
    } else {
        ret->fd = reopen(fd, how, g->space != NULL);
        if (ret->fd < 0) {
            return errno;
        }
    }
    remember(g, ret);
    if (how->trunc) {
        rc = truncate_now(g, ret, now_ns);
        if (rc) {
            close(ret->fd);
            sh_vfs_node_unref(g->space, ret->node);
        }
    }
    return rc;
}

static int create(struct sh_vfs_grant *g, const struct sh_vfs_name *n, uint64_t now_ns,
                  struct sh_vfs_opened *ret) {
    int rc;

    if (n->special || n->slash) {
        return EISDIR;
    }
    rc = sh_vfs_room(g, n);
    if (rc) {
        return rc;
    }
    ret->fd =
        openat(n->parent, n->name, O_CREAT | O_EXCL | O_NOFOLLOW | O_RDWR | O_NOCTTY | O_CLOEXEC,
               g->space ? 0600 : 0666);
    if (ret->fd < 0) {
        return errno;
    }
    if (fstat(ret->fd, &ret->st) != 0) {
        rc = errno;
        close(ret->fd);
        return rc;
    }
    if (g->space) {
        sh_vfs_node_new(g->space, &ret->st, now_ns);
        sh_vfs_touch(g, n->parent, now_ns);
    }
    remember(g, ret);
    return 0;
}

/* The name is a link to nothing: the path of what it names, from the same start. */
static int follow_dangling(const struct sh_vfs_name *n, char *path) {
    char target[SH_PATH_MAX + 1];
    ssize_t len = readlinkat(n->parent, n->name, target, SH_PATH_MAX);
    size_t at = strlen(path);

    if (len < 0) {
        return errno == EINVAL ? EAGAIN : errno; /* another kind of file by now: look again */
    }
    target[len] = '\0';
    if (target[0] == '/') {
        return EPERM;
    }
    while (at && path[at - 1] != '/') {
        at--;
    }
    if (at + (size_t)len > SH_PATH_MAX) {
        return ENAMETOOLONG;
    }
    memcpy(path + at, target, (size_t)len + 1);
    return 0;
}

int sh_vfs_open(struct sh_vfs_grant *g, int dir, const char *path, const struct sh_vfs_how *how,
                uint64_t now_ns, struct sh_vfs_opened *ret) {
    bool fresh = how->create && how->excl; /* then the name itself must be free: a link is one */
    int flags =
        O_PATH | (how->follow && !fresh ? 0 : O_NOFOLLOW) | (how->directory ? O_DIRECTORY : 0);
    char at[SH_PATH_MAX + 1];
    size_t len = strlen(path);

    if (len > SH_PATH_MAX) {
        return ENAMETOOLONG;
    }
    memcpy(at, path, len + 1);
    for (int i = 0; i < SH_VFS_HOPS; i++) {
        struct sh_vfs_name n;
        int rc, fd = (how->cached ? sh_vfs_walk_cached : sh_vfs_walk)(dir, at, flags);

        memset(ret, 0, sizeof(*ret));
        if (fd >= 0) {
            return open_found(g, fd, how, now_ns, ret);
        }
        if (fd != -ENOENT || !how->create) {
            return -fd;
        }
        rc = sh_vfs_split(dir, at, &n);
        if (rc == 0) {
            rc = create(g, &n, now_ns, ret);
        }
        if (rc == EEXIST && !how->excl) { /* a link to nothing, or a race */
            rc = how->follow ? follow_dangling(&n, at) : ELOOP;
            if (rc == 0) {
                rc = EAGAIN;
            }
        }
        sh_vfs_name_done(&n);
        if (rc != EAGAIN) {
            return rc;
        }
    }
    return ELOOP;
}
