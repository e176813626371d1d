/* Calls that take paths, but for path_open. Changes stay within one grant that has WRITE: what
 * would move a file from one to another is EXDEV, and the guest copies instead. */
#include <errno.h>
#include <unistd.h>

#include "base/base.h"
#include "microsandbox/wasi_impl.h"

/* --- looking ---------------------------------------------------------------------------------- */

/* The question of a call on one path; the joined path is part of it. 0 or E_NAMETOOLONG. */
static int ask_path(struct sh_wasi *w, const struct sh_wasi_at *at) {
    struct sh_buf *b = sh_wasi_question(w);
    char *path;

    if (!at->dir->grant->observe) {
        return E_OK;
    }
    path = sh_wasi_join(at->dir, at->path);
    if (!path) {
        return E_NAMETOOLONG;
    }
    sh_buf_bytes32(b, sh_str(path));
    sh_free(path);
    return E_OK;
}

static int stat_live(struct sh_wasi *w, const struct sh_wasi_at *at, bool follow,
                     struct sh_vfs_stat *ret) {
    struct sh_vfs_grant *g = at->dir->grant;
    int dir = sh_wasi_host(w, at->dir), error;
    struct sh_vfs_call c = sh_wasi_call(g, SH_VFS_STAT, dir, at->path);

    c.how.follow = follow;
    error = dir < 0 ? dir : sh_wasi_perform(w, &c);
    error = error ? error : sh_wasi_errno(w, g, c.error);
    if (error == 0) {
        sh_vfs_fill(g, &c.st, NULL, ret);
    }
    return error;
}

static int path_stat(struct sh_wasi *w, const struct sh_wasi_at *at, bool follow,
                     struct sh_vfs_stat *ret) {
    struct sh_vfs_grant *g = at->dir->grant;
    struct sh_reader r;
    int rc, error;

    if (!(g->dir_perms & SH_PERM_READ)) {
        return E_PERM;
    }
    rc = ask_path(w, at);
    if (rc) {
        return rc;
    }
    sh_buf_u8(&w->record, follow);
    rc = sh_wasi_recall(w, g, "stat", 128, &r);
    if (rc == 0) {
        error = stat_live(w, at, follow, ret);
        if (error < 0) {
            return error;
        }
        sh_buf_u32(&w->record, (uint32_t)error);
        if (!error) {
            sh_wasi_put_stat(&w->record, ret);
        }
        rc = sh_wasi_observed(w, g, "stat", &r);
    }
    if (rc < 0) {
        return rc;
    }
    error = (int)sh_reader_u32(&r);
    if (!error) {
        sh_wasi_get_stat(&r, ret);
    }
    return r.failed ? sh_wasi_broken(w, "stat") : error;
}

int sh_wasi_path_filestat_get(struct sh_wasi *w, const struct sh_mem *m, const uint64_t *a) {
    uint8_t *out = mem_at(m, a[4], 64);
    struct sh_wasi_at at;
    struct sh_vfs_stat st;
    int rc = sh_wasi_at(w, m, a[0], a[2], a[3], &at);

    if (rc) {
        return rc;
    }
    if (!out || arg32(a[1]) > LOOKUP_FOLLOW) {
        return out ? E_INVAL : E_FAULT;
    }
    rc = at.dir   ? path_stat(w, &at, arg32(a[1]) & LOOKUP_FOLLOW, &st)
         : at.net ? sh_wasi_net_stat(at.path, &st)
                  : sh_wasi_dev_stat(at.path, &st);
    if (rc == 0) {
        sh_wasi_put_filestat(out,
                             at.dir   ? at.dir->grant->number
                             : at.net ? sh_wasi_net_dev()
                                      : 2,
                             &st);
    }
    return rc;
}

/* Appends errno and target to the record. */
static int readlink_live(struct sh_wasi *w, const struct sh_wasi_at *at) {
    struct sh_vfs_grant *g = at->dir->grant;
    int dir = sh_wasi_host(w, at->dir), error;
    struct sh_vfs_call c = sh_wasi_call(g, SH_VFS_READLINK, dir, at->path);

    sh_buf_init(&c.out, SH_PATH_MAX);
    error = dir < 0 ? dir : sh_wasi_perform(w, &c);
    error = error ? error : sh_wasi_errno(w, g, c.error);
    if (error >= 0) {
        sh_buf_u32(&w->record, (uint32_t)error);
        sh_buf_bytes32(&w->record, error ? (struct sh_str){NULL, 0} : sh_buf_str(&c.out));
    }
    sh_buf_done(&c.out);
    return error < 0 ? error : 0;
}

int sh_wasi_path_readlink(struct sh_wasi *w, const struct sh_mem *m, const uint64_t *a) {
    uint32_t cap = arg32(a[4]);
    uint8_t *to = mem_at(m, a[3], cap), *out = mem_at(m, a[5], 4);
    struct sh_wasi_at at;
    struct sh_reader r;
    struct sh_str s;
    size_t n;
    int rc = sh_wasi_at(w, m, a[0], a[1], a[2], &at), error;

    if (rc) {
        return rc;
    }
    if (!to || !out) {
        return E_FAULT;
    }
    if (!at.dir || !(at.dir->grant->dir_perms & SH_PERM_READ)) {
        return at.dir ? E_PERM : E_INVAL;
    }
    rc = ask_path(w, &at);
    if (rc) {
        return rc;
    }
    rc = sh_wasi_recall(w, at.dir->grant, "readlink", SH_PATH_MAX + 64, &r);
    if (rc == 0) {
        rc = readlink_live(w, &at);
        rc = rc ? rc : sh_wasi_observed(w, at.dir->grant, "readlink", &r);
    }
    if (rc < 0) {
        return rc;
    }
    error = (int)sh_reader_u32(&r);
    s = sh_reader_bytes32(&r);
    if (r.failed) {
        return sh_wasi_broken(w, "readlink");
    }
    if (!error) {
        n = s.len < cap ? s.len : cap;
        memcpy(to, s.p, n);
        put32(out, (uint32_t)n);
    }
    return error;
}

/* --- changing --------------------------------------------------------------------------------- */

struct changing {
    enum sh_vfs_op op;        /* MKDIR to SYMLINK */
    struct sh_wasi_at *a, *b; /* b: RENAME and LINKS */
    const char *target;       /* SYMLINK */
    struct sh_vfs_grant *grant;
};

static const char *kind_of(const struct changing *c) {
    static const char *const kinds[] = {"mkdir", "rmdir", "unlink", "rename", "link", "symlink"};

    return kinds[c->op - SH_VFS_MKDIR];
}

/* May it be done at all? Needs no look at the host. */
static int allowed(struct changing *c) {
    if (!c->a->dir || (c->b && !c->b->dir)) {
        return !c->a->dir && (!c->b || !c->b->dir) ? E_PERM : E_XDEV;
    }
    c->grant = c->a->dir->grant;
    if (!(c->grant->dir_perms & SH_PERM_WRITE) ||
        (c->b && !(c->b->dir->grant->dir_perms & SH_PERM_WRITE))) {
        return E_PERM;
    }
    return c->b && c->b->dir->grant != c->grant ? E_XDEV : E_OK;
}

static int change_live(struct sh_wasi *w, struct changing *c) {
    struct sh_vfs_grant *g = c->grant;
    int dir = sh_wasi_host(w, c->a->dir);
    int to_dir = dir < 0 || !c->b ? -1 : sh_wasi_host(w, c->b->dir);
    struct sh_vfs_call call = sh_wasi_call(g, c->op, dir, c->a->path);
    int rc;

    if (dir < 0 || (c->b && to_dir < 0)) {
        return dir < 0 ? dir : to_dir;
    }
    call.to_dir = to_dir;
    call.to = c->b ? c->b->path : c->target;
    call.redo = w->redo && g->observe;
    call.now_ns = g->space ? (uint64_t)sh_guest_clock_ns(w->g) : 0;
    rc = sh_wasi_perform(w, &call);
    if (rc) {
        return rc;
    }
    return sh_wasi_errno(w, g, sh_wasi_redone(w, g, call.error, call.already));
}

/* Open descriptors that a replay may have to open later go by their paths: keep these true. */
static void follow_rename(struct sh_wasi *w, struct changing *c) {
    char *from = sh_wasi_join(c->a->dir, c->a->path), *to = sh_wasi_join(c->b->dir, c->b->path);
    size_t n = from ? strlen(from) : 0, n_to = to ? strlen(to) : 0;

    for (size_t i = 0; from && to && i < w->cap_fds; i++) {
        struct sh_desc *d = w->fds[i];

        if (d && d->grant == c->grant && d->path && strncmp(d->path, from, n) == 0 &&
            (d->path[n] == '\0' || d->path[n] == '/') && strlen(d->path) - n + n_to < SH_PATH_MAX) {
            char *path = sh_asprintf("%s%s", to, d->path + n);

            sh_free(d->path);
            d->path = path;
        }
    }
    sh_free(from);
    sh_free(to);
}

static int ask_change(struct sh_wasi *w, struct changing *c) {
    char *to;
    int rc = ask_path(w, c->a);

    if (rc || !c->grant->observe) {
        return rc;
    }
    if (c->b) {
        to = sh_wasi_join(c->b->dir, c->b->path);
        if (!to) {
            return E_NAMETOOLONG;
        }
        sh_buf_bytes32(&w->record, sh_str(to));
        sh_free(to);
    }
    if (c->target) {
        sh_buf_bytes32(&w->record, sh_str(c->target));
    }
    return E_OK;
}

static int change(struct sh_wasi *w, struct changing *c) {
    struct sh_reader r;
    int rc = allowed(c), error;

    if (rc == 0) {
        rc = ask_change(w, c);
    }
    if (rc) {
        return rc;
    }
    rc = sh_wasi_recall(w, c->grant, kind_of(c), 64, &r);
    if (rc == 0) {
        error = change_live(w, c);
        if (error < 0) {
            return error;
        }
        sh_buf_u32(&w->record, (uint32_t)error);
        rc = sh_wasi_observed(w, c->grant, kind_of(c), &r);
    }
    if (rc < 0) {
        return rc;
    }
    error = (int)sh_reader_u32(&r);
    if (r.failed) {
        return sh_wasi_broken(w, kind_of(c));
    }
    if (!error) {
        c->grant->written = true;
        if (c->op == SH_VFS_RENAME && c->grant->observe) {
            follow_rename(w, c);
        }
    }
    return error;
}

static int change_one(struct sh_wasi *w, const struct sh_mem *m, const uint64_t *a,
                      enum sh_vfs_op op) {
    struct sh_wasi_at at;
    int rc = sh_wasi_at(w, m, a[0], a[1], a[2], &at);

    return rc ? rc : change(w, &(struct changing){.op = op, .a = &at});
}

int sh_wasi_path_create_directory(struct sh_wasi *w, const struct sh_mem *m, const uint64_t *a) {
    return change_one(w, m, a, SH_VFS_MKDIR);
}

int sh_wasi_path_remove_directory(struct sh_wasi *w, const struct sh_mem *m, const uint64_t *a) {
    return change_one(w, m, a, SH_VFS_RMDIR);
}

int sh_wasi_path_unlink_file(struct sh_wasi *w, const struct sh_mem *m, const uint64_t *a) {
    return change_one(w, m, a, SH_VFS_UNLINK);
}

int sh_wasi_path_rename(struct sh_wasi *w, const struct sh_mem *m, const uint64_t *a) {
    struct sh_wasi_at from, to;
    int rc = sh_wasi_at(w, m, a[0], a[1], a[2], &from);

    if (rc == 0) {
        rc = sh_wasi_at(w, m, a[3], a[4], a[5], &to);
    }
    return rc ? rc : change(w, &(struct changing){.op = SH_VFS_RENAME, .a = &from, .b = &to});
}

int sh_wasi_path_link(struct sh_wasi *w, const struct sh_mem *m, const uint64_t *a) {
    struct sh_wasi_at from, to;
    int rc = sh_wasi_at(w, m, a[0], a[2], a[3], &from);

    if (rc == 0) {
        rc = sh_wasi_at(w, m, a[4], a[5], a[6], &to);
    }
    if (rc) {
        return rc;
    }
    if (arg32(a[1])) { /* a link to what a link names: refused, as Wasmtime does */
        return E_INVAL;
    }
    return change(w, &(struct changing){.op = SH_VFS_LINKS, .a = &from, .b = &to});
}

int sh_wasi_path_symlink(struct sh_wasi *w, const struct sh_mem *m, const uint64_t *a) {
    uint32_t n = arg32(a[1]);
    const char *target = mem_at(m, a[0], n);
    char text[SH_PATH_MAX + 1];
    struct sh_wasi_at at;
    int rc = sh_wasi_at(w, m, a[2], a[3], a[4], &at);

    if (rc) {
        return rc;
    }
    if (!target) {
        return E_FAULT;
    }
    if (n == 0 || n >= SH_PATH_MAX) {
        return n ? E_NAMETOOLONG : E_NOENT;
    }
    if (memchr(target, '\0', n) || !sh_utf8_valid(sh_strn(target, n))) {
        return memchr(target, '\0', n) ? E_INVAL : E_ILSEQ;
    }
    memcpy(text, target, n);
    text[n] = '\0';
    return text[0] == '/'
               ? E_PERM
               : change(w, &(struct changing){.op = SH_VFS_SYMLINK, .a = &at, .target = text});
}

/* --- times ------------------------------------------------------------------------------------ */

int sh_wasi_path_filestat_set_times(struct sh_wasi *w, const struct sh_mem *m, const uint64_t *a) {
    bool follow = arg32(a[1]) & LOOKUP_FOLLOW;
    uint64_t times[2];
    struct sh_vfs_grant *g;
    struct sh_wasi_at at;
    struct sh_reader r;
    int rc = sh_wasi_at(w, m, a[0], a[2], a[3], &at), error;

    if (rc == 0) {
        rc = arg32(a[1]) > LOOKUP_FOLLOW ? E_INVAL : sh_wasi_times(w, a[4], a[5], a[6], times);
    }
    if (rc == 0 && !at.dir) {
        rc = E_PERM;
    }
    if (rc == 0) {
        rc = ask_path(w, &at);
    }
    if (rc) {
        return rc;
    }
    g = at.dir->grant;
    if (!((g->dir_perms | g->file_perms) & SH_PERM_WRITE)) {
        return E_PERM;
    }
    sh_buf_u8(&w->record, follow);
    sh_buf_u64(&w->record, times[0]);
    sh_buf_u64(&w->record, times[1]);
    rc = sh_wasi_recall(w, g, "times", 64, &r);
    if (rc == 0) {
        int dir = sh_wasi_host(w, at.dir);
        struct sh_vfs_call c = sh_wasi_call(g, SH_VFS_TIMES, dir, at.path);

        c.how.follow = follow;
        memcpy(c.times, times, sizeof(times));
        c.now_ns = g->space && dir >= 0 ? (uint64_t)sh_guest_clock_ns(w->g) : 0;
        rc = dir < 0 ? dir : sh_wasi_perform(w, &c);
        error = rc ? rc : sh_wasi_errno(w, g, c.error);
        if (error < 0) {
            return error;
        }
        sh_buf_u32(&w->record, (uint32_t)error);
        rc = sh_wasi_observed(w, g, "times", &r);
    }
    if (rc < 0) {
        return rc;
    }
    error = (int)sh_reader_u32(&r);
    g->written = true;
    return r.failed ? sh_wasi_broken(w, "times") : error;
}
