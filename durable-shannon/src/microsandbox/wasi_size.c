/* Sizes, times and syncing of open files. Changes to mapped directories are recorded with their
 * outcome and not made again in a replay; setting a size or a time twice would do no harm. */
#include <errno.h>
#include <unistd.h>

#include "base/base.h"
#include "microsandbox/wasi_impl.h"

enum { ADVICE_LAST = 5 };
enum { SET_ATIM = 1, SET_ATIM_NOW = 2, SET_MTIM = 4, SET_MTIM_NOW = 8, SET_ALL = 15 };

int sh_wasi_fd_advise(struct sh_wasi *w, const struct sh_mem *m, const uint64_t *a) {
    struct sh_desc *d = sh_wasi_desc(w, a[0]);

    (void)m;
    if (!d || sh_desc_is_dir(d)) {
        return E_BADF;
    }
    if (d->kind != DESC_FILE) {
        return E_SPIPE;
    }
    return a[1] > INT64_MAX || a[2] > INT64_MAX || arg32(a[3]) > ADVICE_LAST ? E_INVAL : E_OK;
}

/* A file of the private directory gets `size` bytes; or stays, when that is less and it may only
 * grow. What the guest sees of it follows from its node. */
static int set_own_size(struct sh_wasi *w, struct sh_desc *d, uint64_t size, bool only_grow) {
    uint64_t old = d->node->size;
    int rc;

    if (only_grow && size <= old) {
        return E_OK;
    }
    rc = only_grow ? sh_wasi_room(w, size - old) : E_OK; /* room was asked for, not a length */
    if (rc) {
        return rc;
    }
    rc = sh_vfs_node_resize(&w->space, d->node, size);
    if (rc == 0 && ftruncate(d->host, (off_t)size) != 0) {
        rc = errno;
        (void)sh_vfs_node_resize(&w->space, d->node, old);
    }
    if (rc == 0) {
        d->node->mtim = d->node->ctim = (uint64_t)sh_guest_clock_ns(w->g);
    }
    return sh_wasi_errno(w, d->grant, rc);
}

static int set_size(struct sh_wasi *w, struct sh_desc *d, uint64_t size, bool only_grow) {
    struct sh_buf *b = sh_wasi_question(w);
    struct sh_reader r;
    uint64_t grown;
    int rc, error;

    if (d->node) {
        return set_own_size(w, d, size, only_grow);
    }
    sh_buf_bytes32(b, sh_str(d->path));
    sh_buf_u64(b, size);
    sh_buf_u8(b, only_grow);
    rc = sh_wasi_recall(w, d->grant, "size", 64, &r);
    if (rc == 0) {
        int fd = sh_wasi_host(w, d);
        struct sh_vfs_call c = sh_wasi_call(d->grant, SH_VFS_SIZE, fd, NULL);

        c.size = size;
        c.only_grow = only_grow;
        rc = fd < 0 ? fd : sh_wasi_perform(w, &c);
        error = rc ? rc : sh_wasi_errno(w, d->grant, c.error);
        if (error < 0) {
            return error;
        }
        sh_buf_u32(b, (uint32_t)error);
        sh_buf_u64(b, c.grown);
        rc = sh_wasi_observed(w, d->grant, "size", &r);
    }
    if (rc < 0) {
        return rc;
    }
    error = (int)sh_reader_u32(&r);
    grown = sh_reader_u64(&r);
    if (r.failed || grown > d->grant->bytes_left) {
        return sh_wasi_broken(w, "size");
    }
    if (error == 0 && (!only_grow || size > d->seen.size)) {
        d->seen.size = size;
    }
    d->grant->written = true;
    d->grant->bytes_left -= grown;
    return error;
}

int sh_wasi_fd_filestat_set_size(struct sh_wasi *w, const struct sh_mem *m, const uint64_t *a) {
    struct sh_desc *d = sh_wasi_desc(w, a[0]);

    (void)m;
    if (!d || d->kind != DESC_FILE) {
        return !d || sh_desc_is_dir(d) ? E_BADF : E_INVAL;
    }
    if (!(d->rights & R_FD_FILESTAT_SET_SIZE) || a[1] > INT64_MAX) {
        return a[1] > INT64_MAX ? E_INVAL : E_BADF;
    }
    return set_size(w, d, a[1], false);
}

/* Room is promised by charging it; the host is not asked to set blocks aside. */
int sh_wasi_fd_allocate(struct sh_wasi *w, const struct sh_mem *m, const uint64_t *a) {
    struct sh_desc *d = sh_wasi_desc(w, a[0]);

    (void)m;
    if (!d || sh_desc_is_dir(d)) {
        return E_BADF;
    }
    if (d->kind != DESC_FILE) {
        return E_SPIPE;
    }
    if (!(d->rights & R_FD_ALLOCATE)) {
        return E_BADF;
    }
    if (a[1] > INT64_MAX || a[2] == 0 || a[2] > INT64_MAX) {
        return E_INVAL;
    }
    if (a[2] > INT64_MAX - a[1]) {
        return E_FBIG;
    }
    return set_size(w, d, a[1] + a[2], true);
}

/* UINT64_MAX is kept for "leave it": the year 2554 is as near as it gets. */
static uint64_t one_time(uint64_t value, bool set, bool now, uint64_t clock) {
    if (now) {
        return clock;
    }
    return !set ? UINT64_MAX : value == UINT64_MAX ? UINT64_MAX - 1 : value;
}

int sh_wasi_times(struct sh_wasi *w, uint64_t atim, uint64_t mtim, uint64_t flags,
                  uint64_t ret[2]) {
    uint32_t f = arg32(flags);
    uint64_t clock = (uint64_t)w->g->clock_ns;

    if ((f & ~(uint32_t)SET_ALL) || ((f & SET_ATIM) && (f & SET_ATIM_NOW)) ||
        ((f & SET_MTIM) && (f & SET_MTIM_NOW))) {
        return E_INVAL;
    }
    ret[0] = one_time(atim, f & SET_ATIM, f & SET_ATIM_NOW, clock);
    ret[1] = one_time(mtim, f & SET_MTIM, f & SET_MTIM_NOW, clock);
    return E_OK;
}

static int own_times(struct sh_wasi *w, struct sh_desc *d, const uint64_t times[2]) {
    d->node->atim = times[0] == UINT64_MAX ? d->node->atim : times[0];
    d->node->mtim = times[1] == UINT64_MAX ? d->node->mtim : times[1];
    d->node->ctim = (uint64_t)sh_guest_clock_ns(w->g);
    return E_OK;
}

int sh_wasi_fd_filestat_set_times(struct sh_wasi *w, const struct sh_mem *m, const uint64_t *a) {
    struct sh_desc *d = sh_wasi_desc(w, a[0]);
    struct sh_buf *b = sh_wasi_question(w);
    struct sh_reader r;
    uint64_t times[2];
    int rc, error;

    (void)m;
    if (!d) {
        return E_BADF;
    }
    rc = sh_wasi_times(w, a[1], a[2], a[3], times);
    if (rc) {
        return rc;
    }
    if (!d->grant) {
        return E_PERM;
    }
    if (!((d->kind == DESC_DIR ? d->grant->dir_perms : d->grant->file_perms) & SH_PERM_WRITE)) {
        return E_PERM;
    }
    if (d->node) {
        return own_times(w, d, times);
    }
    sh_buf_bytes32(b, sh_str(d->path));
    sh_buf_u64(b, times[0]);
    sh_buf_u64(b, times[1]);
    rc = sh_wasi_recall(w, d->grant, "fdtimes", 64, &r);
    if (rc == 0) {
        int fd = sh_wasi_host(w, d);
        struct sh_vfs_call c = sh_wasi_call(d->grant, SH_VFS_TIMES, fd, NULL);

        memcpy(c.times, times, sizeof(times));
        rc = fd < 0 ? fd : sh_wasi_perform(w, &c);
        error = rc ? rc : sh_wasi_errno(w, d->grant, c.error);
        if (error < 0) {
            return error;
        }
        sh_buf_u32(b, (uint32_t)error);
        rc = sh_wasi_observed(w, d->grant, "fdtimes", &r);
    }
    if (rc < 0) {
        return rc;
    }
    error = (int)sh_reader_u32(&r);
    d->grant->written = true;
    d->copy.touched = true;
    return r.failed ? sh_wasi_broken(w, "fdtimes") : error;
}

/* The private directory needs no syncing: what it holds follows from the journal. */
static int sync_file(struct sh_wasi *w, struct sh_desc *d, bool data) {
    struct sh_buf *b = sh_wasi_question(w);
    struct sh_reader r;
    int rc, error;

    if (!d) {
        return E_BADF;
    }
    if (!d->grant || d->node) {
        return d->grant || sh_desc_is_dir(d) ? E_OK : E_INVAL;
    }
    sh_buf_bytes32(b, sh_str(d->path));
    rc = sh_wasi_recall(w, d->grant, "sync", 64, &r);
    if (rc == 0) {
        int fd = sh_wasi_host(w, d);
        struct sh_vfs_call c = sh_wasi_call(d->grant, SH_VFS_SYNC, fd, NULL);

        c.data_only = data;
        rc = fd < 0 ? fd : 0;
        if (rc == 0 && d->kind != DESC_DIR) { /* O_PATH: nothing is promised for a directory */
            rc = sh_wasi_perform(w, &c);
        }
        error = rc ? rc : sh_wasi_errno(w, d->grant, c.error);
        if (error < 0) {
            return error;
        }
        sh_buf_u32(b, (uint32_t)error);
        rc = sh_wasi_observed(w, d->grant, "sync", &r);
    }
    if (rc < 0) {
        return rc;
    }
    error = (int)sh_reader_u32(&r);
    return r.failed ? sh_wasi_broken(w, "sync") : error;
}

int sh_wasi_fd_sync(struct sh_wasi *w, const struct sh_mem *m, const uint64_t *a) {
    (void)m;
    return sync_file(w, sh_wasi_desc(w, a[0]), false);
}

int sh_wasi_fd_datasync(struct sh_wasi *w, const struct sh_mem *m, const uint64_t *a) {
    (void)m;
    return sync_file(w, sh_wasi_desc(w, a[0]), true);
}
