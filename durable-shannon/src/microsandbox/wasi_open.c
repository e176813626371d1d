/* Where a path starts, and path_open. */
#include <unistd.h>

#include "base/base.h"
#include "microsandbox/wasi_impl.h"

/* The name of `len` bytes at p, ended by a slash or the end? */
static bool names(const char *p, const char *name) {
    size_t n = strlen(name);

    return strncmp(p, name, n) == 0 && (p[n] == '/' || p[n] == '\0');
}

static const char *next(const char *p) {
    p += strcspn(p, "/");
    return p + strspn(p, "/");
}

/* Below /net, `p` being what comes behind that: always, where a rule speaks of tcp; else a whole
 * target alone, so that whoever opens one is told that it is not allowed. */
static bool is_net(const struct sh_wasi *w, const char *p) {
    struct sh_net_path path;

    return w->net.granted || (sh_net_path(p, &path) == E_OK && path.kind == SH_NET_TARGET);
}

/* In the root of the private directory `dev` is /dev, `net` is /net, and `work` is that root again,
 * wherever the guest's libc cut the path. Only the beginning of a path is looked at. */
static void route(const struct sh_wasi *w, struct sh_wasi_at *at) {
    const char *p = at->path;

    for (;;) {
        while (names(p, ".") && *next(p)) {
            p = next(p);
        }
        if (!names(p, "work")) {
            break;
        }
        p = next(p);
        at->path = *p ? p : ".";
        if (!names(p, "..")) {
            return;
        }
        p = next(p);
        at->path = *p ? p : ".";
    }
    if (names(p, "dev")) {
        at->dir = NULL;
        at->path = *next(p) ? next(p) : ".";
    } else if (names(p, "net") && is_net(w, next(p))) {
        at->dir = NULL;
        at->net = true;
        at->path = *next(p) ? next(p) : ".";
    }
}

int sh_wasi_at(struct sh_wasi *w, const struct sh_mem *m, uint64_t fd, uint64_t ptr, uint64_t len,
               struct sh_wasi_at *ret) {
    struct sh_desc *d = sh_wasi_desc(w, fd);
    uint32_t n = arg32(len);
    const char *p = mem_at(m, ptr, n);

    if (!d) {
        return E_BADF;
    }
    if (!sh_desc_is_dir(d)) {
        return E_NOTDIR;
    }
    if (!p) {
        return E_FAULT;
    }
    if (n > SH_PATH_MAX) {
        return E_NAMETOOLONG;
    }
    if (n == 0) {
        return E_NOENT;
    }
    if (memchr(p, '\0', n)) {
        return E_INVAL;
    }
    if (!sh_utf8_valid(sh_strn(p, n))) {
        return E_ILSEQ;
    }
    if (p[0] == '/') {
        return E_PERM;
    }
    memcpy(ret->buf, p, n);
    ret->buf[n] = '\0';
    ret->path = ret->buf;
    ret->dir = d->kind == DESC_DIR ? d : NULL;
    ret->net = d->kind == DESC_NET;
    if (d->kind == DESC_DIR && d->grant == w->workspace && d->root) {
        route(w, ret);
    }
    return E_OK;
}

char *sh_wasi_join(const struct sh_desc *dir, const char *path) {
    size_t n = dir->path ? strlen(dir->path) : 0, len;
    char *s;

    while (names(path, ".") && *next(path)) {
        path = next(path);
    }
    if (strcmp(path, ".") == 0 && n) {
        return sh_strdup(dir->path);
    }
    len = (n ? n + 1 : 0) + strlen(path);
    if (len >= SH_PATH_MAX) { /* with its NUL: what the kernel takes when a replay opens it */
        return NULL;
    }
    s = sh_alloc(len + 1);
    if (n) {
        memcpy(s, dir->path, n);
        s[n++] = '/';
    }
    memcpy(s + n, path, strlen(path) + 1);
    return s;
}

struct opening {
    struct sh_vfs_how how;
    struct sh_wasi_at at;
    uint64_t rights;
    uint16_t flags;
    char *path;                /* joined, observing grants only */
    struct sh_vfs_opened host; /* fd -1: recalled */
    struct sh_copy copy;
};

static int check(const struct sh_wasi *w, const struct opening *o, uint32_t lookup, uint32_t oflags,
                 uint32_t fdflags) {
    if (lookup > LOOKUP_FOLLOW || oflags > 15 || fdflags > FD_ALL ||
        (o->how.create && o->how.directory)) {
        return E_INVAL;
    }
    return w->n_open >= SH_DESCRIPTORS_MAX ? E_MFILE : E_OK;
}

/* What can be refused before anything is looked at. */
static int refuse(const struct opening *o) {
    const struct sh_vfs_grant *g = o->at.dir->grant;

    if ((o->how.write || o->how.trunc || o->how.create) && !(g->file_perms & SH_PERM_WRITE)) {
        return E_PERM;
    }
    return o->how.create && !(g->dir_perms & SH_PERM_WRITE) ? E_PERM : E_OK;
}

static int open_live(struct sh_wasi *w, struct opening *o, struct sh_vfs_stat *ret) {
    struct sh_vfs_grant *g = o->at.dir->grant;
    int dir = sh_wasi_host(w, o->at.dir), rc;
    struct sh_vfs_call c = sh_wasi_call(g, SH_VFS_OPEN, dir, o->at.path);
    unsigned perms;

    if (dir < 0) {
        return dir;
    }
    if (w->copying.busy) { /* opened already */
        return sh_wasi_copy(w, g, &o->host, ret, &o->copy);
    }
    c.how = o->how;
    if (g->space && (o->how.create || o->how.trunc)) {
        c.now_ns = (uint64_t)sh_guest_clock_ns(w->g);
    }
    rc = sh_wasi_perform(w, &c);
    if (rc || c.error) {
        return rc ? rc : sh_wasi_errno(w, g, c.error);
    }
    o->host = c.opened;
    sh_vfs_fill(g, &o->host.st, o->host.node, ret);
    perms = ret->type == SH_VFS_DIR ? g->dir_perms : g->file_perms;
    if ((o->how.read || ret->type == SH_VFS_DIR) && !(perms & SH_PERM_READ)) {
        close(o->host.fd);
        sh_vfs_node_unref(g->space, o->host.node);
        o->host = (struct sh_vfs_opened){.fd = -1};
        return E_PERM;
    }
    return sh_wasi_copies(w, g, &o->how, ret) ? sh_wasi_copy(w, g, &o->host, ret, &o->copy) : E_OK;
}

static int open_seen(struct sh_wasi *w, struct opening *o, struct sh_vfs_stat *ret) {
    struct sh_vfs_grant *g = o->at.dir->grant;
    struct sh_buf *b = sh_wasi_question(w);
    const char *kind = g->observe ? sh_wasi_copy_next(w) : "open";
    struct sh_reader r;
    int rc, error;

    sh_buf_bytes32(b, sh_str(o->path));
    sh_buf_u8(b,
              (uint8_t)(o->how.follow | o->how.create << 1 | o->how.excl << 2 | o->how.trunc << 3 |
                        o->how.directory << 4 | o->how.read << 5 | o->how.write << 6));
    rc = sh_wasi_recall(w, g, kind, 128 + (g->capture ? SH_KEPT_MIN : 0), &r);
    if (rc == 0) {
        error = open_live(w, o, ret);
        if (error < 0) {
            return error;
        }
        sh_buf_u32(b, (uint32_t)error);
        if (!error) {
            sh_wasi_put_stat(b, ret);
            sh_wasi_copy_put(b, &o->copy);
        }
        kind = sh_wasi_copy_kind(&o->copy);
        rc = sh_wasi_observed(w, g, kind, &r);
    }
    if (rc < 0) {
        return rc;
    }
    error = (int)sh_reader_u32(&r);
    if (!error) {
        sh_wasi_get_stat(&r, ret);
        sh_wasi_copy_get(w, kind, &r, &o->copy);
    }
    return r.failed ? sh_wasi_broken(w, "open") : error;
}

static int open_host(struct sh_wasi *w, struct opening *o, struct sh_desc **ret) {
    struct sh_vfs_stat st;
    struct sh_vfs_grant *g = o->at.dir->grant;
    struct sh_desc *d;
    int rc = refuse(o);

    if (rc) {
        return rc;
    }
    if (g->observe) {
        o->path = sh_wasi_join(o->at.dir, o->at.path);
        if (!o->path) {
            return E_NAMETOOLONG;
        }
    }
    rc = open_seen(w, o, &st);
    if (rc) {
        if (o->host.fd >= 0) { /* opened, but it could not be recorded */
            close(o->host.fd);
            sh_vfs_node_unref(g->space, o->host.node);
        }
        sh_copy_done(w, &o->copy);
        return rc;
    }
    if (o->how.write || o->how.trunc) {
        sh_wasi_copies_end(w, g, st.ino);
    }
    d = sh_desc_new(st.type == SH_VFS_DIR ? DESC_DIR : DESC_FILE);
    d->grant = g;
    d->host = o->host.fd;
    d->node = o->host.node;
    d->path = sh_take(&o->path);
    d->follow = o->how.follow;
    d->recalled = d->host < 0;
    d->seen = st;
    d->copy = o->copy;
    d->root = d->node && d->node == w->root_node;
    d->flags = o->flags;
    if (d->kind == DESC_DIR) {
        sh_desc_dir_rights(d);
    } else {
        sh_desc_file_rights(d, o->how.read, o->how.write);
    }
    g->written = g->written || o->how.create || o->how.trunc;
    *ret = d;
    return E_OK;
}

int sh_wasi_path_open(struct sh_wasi *w, const struct sh_mem *m, const uint64_t *a) {
    uint8_t *out = mem_at(m, a[8], 4);
    uint32_t oflags = arg32(a[4]);
    struct opening o = {.rights = a[5], .flags = (uint16_t)arg32(a[7]), .host.fd = -1};
    struct sh_desc *d = NULL;
    int rc = sh_wasi_at(w, m, a[0], a[2], a[3], &o.at);

    if (rc) {
        return rc;
    }
    o.how = (struct sh_vfs_how){.follow = arg32(a[1]) & LOOKUP_FOLLOW,
                                .create = oflags & O_WASI_CREAT,
                                .excl = oflags & O_WASI_EXCL,
                                .trunc = oflags & O_WASI_TRUNC,
                                .directory = oflags & O_WASI_DIRECTORY,
                                .read = a[5] & R_FD_READ,
                                .write = a[5] & R_FD_WRITE};
    o.how.read = o.how.read || !o.how.write; /* a descriptor without either still reads */
    rc = out ? check(w, &o, arg32(a[1]), oflags, arg32(a[7])) : E_FAULT;
    if (rc) {
        return rc;
    }
    rc = o.at.dir   ? open_host(w, &o, &d)
         : o.at.net ? sh_wasi_net_open(w, o.at.path, o.rights, oflags, o.flags, &d)
                    : sh_wasi_dev_open(w, o.at.path, o.rights, oflags, o.flags, &d);
    sh_free(o.path);
    if (rc) {
        return rc;
    }
    rc = sh_wasi_install(w, d);
    SH_ASSERT(rc >= 0); /* counted above */
    put32(out, (uint32_t)rc);
    return E_OK;
}
