/* The entries of a directory in an order of our own: `.`, `..`, then by the bytes of the names. */
#include "microsandbox/vfs.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/base.h"

struct entry {
    size_t name; /* in names */
    ino_t ino;
    uint8_t type;
};
struct list {
    struct sh_buf names; /* NUL-terminated each */
    struct entry *e;
    size_t n, cap;
};

static void list_done(struct list *l) {
    sh_buf_done(&l->names);
    sh_free(l->e);
}

static int by_name(const void *a, const void *b, void *names) {
    const char *base = names;

    return strcmp(base + ((const struct entry *)a)->name, base + ((const struct entry *)b)->name);
}

static uint8_t type_of(unsigned char d_type) {
    switch (d_type) {
    case DT_REG:
        return SH_VFS_FILE;
    case DT_DIR:
        return SH_VFS_DIR;
    case DT_LNK:
        return SH_VFS_LINK;
    case DT_CHR:
        return SH_VFS_CHAR;
    case DT_BLK:
        return SH_VFS_BLOCK;
    case DT_SOCK:
        return SH_VFS_SOCKET;
    default:
        return SH_VFS_UNKNOWN;
    }
}

static int add(struct list *l, int fd, const struct dirent *d) {
    struct entry e = {.name = l->names.len, .ino = d->d_ino, .type = type_of(d->d_type)};

    if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0 ||
        !sh_utf8_valid(sh_str(d->d_name))) {
        return 0;
    }
    if (d->d_type == DT_UNKNOWN) { /* the file system does not say */
        struct sh_vfs_stat seen;
        struct sh_vfs_grant plain = {.number = 0};
        struct stat st;

        if (fstatat(fd, d->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
            return errno == ENOENT ? 0 : errno;
        }
        sh_vfs_fill(&plain, &st, NULL, &seen);
        e.type = seen.type;
    }
    sh_buf_add(&l->names, d->d_name, strlen(d->d_name) + 1);
    if (l->names.failed) {
        return EOVERFLOW;
    }
    if (l->n == l->cap) {
        l->cap = l->cap ? l->cap * 2 : 32;
        l->e = sh_grow(l->e, l->cap * sizeof(*l->e));
    }
    l->e[l->n++] = e;
    return 0;
}

static int collect(struct list *l, int dir) {
    int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = 0;
    DIR *d = fd < 0 ? NULL : fdopendir(fd);

    if (!d) {
        rc = errno;
        if (fd >= 0) {
            close(fd);
        }
        return rc;
    }
    for (;;) {
        errno = 0;
        struct dirent *e = readdir(d);

        if (!e) {
            rc = errno;
            break;
        }
        rc = add(l, fd, e);
        if (rc) {
            break;
        }
    }
    closedir(d);
    return rc;
}

static uint64_t ino_of(struct sh_vfs_grant *g, int dir, const char *name, ino_t host) {
    struct sh_vfs_node *n;
    struct stat st;

    if (!g->space) {
        return sh_vfs_ino(g, host);
    }
    n = sh_vfs_node_find(g->space, host);
    if (!n && fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
        n = sh_vfs_node(g->space, &st);
    }
    return n ? n->ino : 0;
}

static void put(struct sh_buf *out, uint64_t ino, uint8_t type, const char *name) {
    sh_buf_u64(out, ino);
    sh_buf_u8(out, type);
    sh_buf_bytes32(out, sh_str(name));
}

int sh_vfs_list(struct sh_vfs_grant *g, int dir, struct sh_buf *out, uint32_t *ret_n) {
    sh_auto(list_done) struct list l = {0};
    struct stat here, up, top;
    bool root;
    int rc;

    sh_buf_init(&l.names, SH_VFS_LIST_BYTES);
    if (fstat(dir, &here) != 0) {
        return errno;
    }
    root = fstat(g->root, &top) == 0 && top.st_ino == here.st_ino;
    if (root || fstatat(dir, "..", &up, 0) != 0) {
        up = here;
    }
    rc = collect(&l, dir);
    if (rc) {
        return rc;
    }
    if (l.n) {
        qsort_r(l.e, l.n, sizeof(*l.e), by_name, l.names.p);
    }
    put(out, ino_of(g, dir, ".", here.st_ino), SH_VFS_DIR, ".");
    put(out, ino_of(g, dir, root ? "." : "..", up.st_ino), SH_VFS_DIR, "..");
    for (size_t i = 0; i < l.n; i++) {
        const char *name = l.names.p + l.e[i].name;

        put(out, ino_of(g, dir, name, l.e[i].ino), l.e[i].type, name);
    }
    *ret_n = (uint32_t)(l.n + 2);
    return out->failed ? EOVERFLOW : 0;
}
