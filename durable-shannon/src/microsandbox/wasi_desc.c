/* The table of descriptors, and the calls that only look at it. Numbers are the lowest that are
 * free, as every Unix guest expects. */
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base.h"
#include "microsandbox/wasi_impl.h"

#define RIGHTS_FILE_ALWAYS                                                                         \
    (R_FD_DATASYNC | R_FD_SEEK | R_FD_FDSTAT_SET_FLAGS | R_FD_SYNC | R_FD_TELL | R_FD_ADVISE |     \
     R_FD_FILESTAT_GET | R_FD_FILESTAT_SET_TIMES | R_POLL_FD_READWRITE)
#define RIGHTS_FILE_WRITE (R_FD_WRITE | R_FD_ALLOCATE | R_FD_FILESTAT_SET_SIZE)
#define RIGHTS_DIR                                                                                 \
    (R_FD_FDSTAT_SET_FLAGS | R_FD_SYNC | R_FD_DATASYNC | R_PATH_CREATE_DIRECTORY |                 \
     R_PATH_CREATE_FILE | R_PATH_LINK_SOURCE | R_PATH_LINK_TARGET | R_PATH_OPEN | R_FD_READDIR |   \
     R_PATH_READLINK | R_PATH_RENAME_SOURCE | R_PATH_RENAME_TARGET | R_PATH_FILESTAT_GET |         \
     R_PATH_FILESTAT_SET_TIMES | R_FD_FILESTAT_GET | R_FD_FILESTAT_SET_TIMES | R_PATH_SYMLINK |    \
     R_PATH_REMOVE_DIRECTORY | R_PATH_UNLINK_FILE)

struct sh_desc *sh_wasi_desc(const struct sh_wasi *w, uint64_t fd) {
    uint32_t n = arg32(fd);

    return n < w->cap_fds ? w->fds[n] : NULL;
}

struct sh_desc *sh_desc_new(enum sh_desc_kind kind) {
    struct sh_desc *d = sh_new(struct sh_desc);

    d->kind = kind;
    d->host = -1;
    d->ahead.next = UINT64_MAX;
    return d;
}

void sh_desc_free(struct sh_wasi *w, struct sh_desc *d) {
    if (!d) {
        return;
    }
    sh_desc_forget_listing(w, d);
    sh_copy_done(w, &d->copy);
    sh_ahead_done(w, &d->ahead);
    sh_wasi_close_host(w, d->grant, d->host);
    if (d->node) {
        sh_vfs_node_unref(d->grant->space, d->node);
    }
    if (d->channel && d->channel != &w->channel) {
        sh_channel_done(w, d->channel);
        sh_free(d->channel);
    }
    sh_net_conn_free(d->net);
    sh_free(d->path);
    sh_free(d->preopen);
    sh_free(d);
}

int sh_wasi_install(struct sh_wasi *w, struct sh_desc *d) {
    size_t fd = 0;

    while (fd < w->cap_fds && w->fds[fd]) {
        fd++;
    }
    if (fd == w->cap_fds) {
        size_t cap = w->cap_fds ? w->cap_fds * 2 : 16;

        if (w->cap_fds >= SH_DESCRIPTORS_MAX) {
            sh_desc_free(w, d);
            return -1;
        }
        w->fds = sh_grow(w->fds, cap * sizeof(struct sh_desc *));
        memset(w->fds + w->cap_fds, 0, (cap - w->cap_fds) * sizeof(struct sh_desc *));
        w->cap_fds = cap;
    }
    w->fds[fd] = d;
    w->n_open++;
    return (int)fd;
}

void sh_desc_file_rights(struct sh_desc *d, bool read, bool write) {
    d->rights = RIGHTS_FILE_ALWAYS | (read ? R_FD_READ : 0) | (write ? RIGHTS_FILE_WRITE : 0);
    d->inheriting = 0;
}

void sh_desc_dir_rights(struct sh_desc *d) {
    d->rights = RIGHTS_DIR;
    d->inheriting = RIGHTS_DIR | RIGHTS_FILE_ALWAYS | RIGHTS_FILE_WRITE | R_FD_READ;
}

int sh_wasi_fd_close(struct sh_wasi *w, const struct sh_mem *m, const uint64_t *a) {
    struct sh_desc *d = sh_wasi_desc(w, a[0]);
    int rc = E_OK;

    (void)m;
    if (!d) {
        return E_BADF;
    }
    w->fds[arg32(a[0])] = NULL;
    w->n_open--;
    sh_wasi_net_closed(w, d);
    if (d->kind == DESC_OUTPUT) {
        rc = sh_wasi_given_close(w);
    }
    sh_desc_free(w, d);
    return rc;
}

int sh_wasi_fd_renumber(struct sh_wasi *w, const struct sh_mem *m, const uint64_t *a) {
    struct sh_desc *from = sh_wasi_desc(w, a[0]), *to = sh_wasi_desc(w, a[1]);

    (void)m;
    if (!from || !to) {
        return E_BADF;
    }
    if (from == to) {
        return E_OK;
    }
    w->fds[arg32(a[1])] = from;
    w->fds[arg32(a[0])] = NULL;
    w->n_open--;
    int rc = to->kind == DESC_OUTPUT ? sh_wasi_given_close(w) : E_OK;
    sh_wasi_net_closed(w, to);
    sh_desc_free(w, to);
    return rc;
}

/* Standard streams and devices are a terminal or a file, as Wasmtime says it too. */
static uint8_t type_of(const struct sh_wasi *w, const struct sh_desc *d) {
    switch (d->kind) {
    case DESC_STDIN:
    case DESC_STDOUT:
    case DESC_STDERR:
        return w->g->config->tty[d->kind - DESC_STDIN] ? SH_VFS_CHAR : SH_VFS_FILE;
    case DESC_DIR:
    case DESC_DEV:
    case DESC_NET:
        return SH_VFS_DIR;
    case DESC_SOCKET:
        return SH_VFS_SOCKET;
    case DESC_FILE:
        return SH_VFS_FILE;
    default:
        return SH_VFS_CHAR;
    }
}

int sh_wasi_fd_fdstat_get(struct sh_wasi *w, const struct sh_mem *m, const uint64_t *a) {
    struct sh_desc *d = sh_wasi_desc(w, a[0]);
    uint8_t *out = mem_at(m, a[1], 24);

    if (!d) {
        return E_BADF;
    }
    if (!out) {
        return E_FAULT;
    }
    memset(out, 0, 24);
    out[0] = type_of(w, d);
    out[2] = (uint8_t)d->flags;
    put64(out + 8, d->rights);
    put64(out + 16, d->inheriting);
    return E_OK;
}

int sh_wasi_fd_fdstat_set_flags(struct sh_wasi *w, const struct sh_mem *m, const uint64_t *a) {
    struct sh_desc *d = sh_wasi_desc(w, a[0]);

    (void)m;
    if (!d) {
        return E_BADF;
    }
    if (arg32(a[1]) & ~(uint32_t)FD_ALL) {
        return E_INVAL;
    }
    d->flags = (uint16_t)arg32(a[1]);
    return E_OK;
}

/* Rights are reported and follow from the grant; they are not a second set of permissions that a
 * guest manages. Guests that find NOTSUP do without, as they do on Wasmtime. */
int sh_wasi_fd_fdstat_set_rights(struct sh_wasi *w, const struct sh_mem *m, const uint64_t *a) {
    (void)m;
    return sh_wasi_desc(w, a[0]) ? E_NOTSUP : E_BADF;
}

void sh_wasi_put_filestat(uint8_t *at, uint32_t dev, const struct sh_vfs_stat *st) {
    memset(at, 0, 64);
    put64(at, dev);
    put64(at + 8, st->ino);
    at[16] = st->type;
    put64(at + 24, st->nlink);
    put64(at + 32, st->size);
    put64(at + 40, st->atim);
    put64(at + 48, st->mtim);
    put64(at + 56, st->ctim);
}

int sh_wasi_fdstat(struct sh_wasi *w, struct sh_desc *d, struct sh_vfs_stat *ret) {
    struct sh_buf *b = sh_wasi_question(w);
    struct sh_reader r;
    int rc, error;

    if (d->copy.kind && !d->copy.touched) { /* what is read from it has that size and time */
        *ret = d->seen;
        return E_OK;
    }
    sh_buf_bytes32(b, sh_str(d->path));
    rc = sh_wasi_recall(w, d->grant, "fdstat", 128, &r);
    if (rc == 0) {
        int fd = sh_wasi_host(w, d);
        struct sh_vfs_call c = sh_wasi_call(d->grant, SH_VFS_FSTAT, fd, NULL);

        rc = fd < 0 ? fd : sh_wasi_perform(w, &c);
        error = rc ? rc : sh_wasi_errno(w, d->grant, c.error);
        if (error < 0) {
            return error;
        }
        sh_buf_u32(b, (uint32_t)error);
        if (!error) {
            sh_vfs_fill(d->grant, &c.st, d->node, ret);
            sh_wasi_put_stat(b, ret);
        }
        rc = sh_wasi_observed(w, d->grant, "fdstat", &r);
    }
    if (rc < 0) {
        return rc;
    }
    error = (int)sh_reader_u32(&r);
    if (!error) {
        sh_wasi_get_stat(&r, ret);
        d->seen = *ret;
    }
    return r.failed ? sh_wasi_broken(w, "fdstat") : error;
}

int sh_wasi_fd_filestat_get(struct sh_wasi *w, const struct sh_mem *m, const uint64_t *a) {
    struct sh_desc *d = sh_wasi_desc(w, a[0]);
    uint8_t *out = mem_at(m, a[1], 64);
    struct sh_vfs_stat st;
    int rc;

    if (!d) {
        return E_BADF;
    }
    if (!out) {
        return E_FAULT;
    }
    if (d->grant) {
        rc = sh_wasi_fdstat(w, d, &st);
        if (rc) {
            return rc;
        }
        sh_wasi_put_filestat(out, d->grant->number, &st);
        return E_OK;
    }
    if (d->kind == DESC_NET || d->kind == DESC_SOCKET) {
        sh_wasi_net_desc_stat(d, &st);
        sh_wasi_put_filestat(out, sh_wasi_net_dev(), &st);
        return E_OK;
    }
    sh_wasi_dev_desc_stat(d, &st);
    st.type = type_of(w, d);
    sh_wasi_put_filestat(out, d->kind <= DESC_STDERR ? 1 : 2, &st);
    return E_OK;
}

int sh_wasi_fd_prestat_get(struct sh_wasi *w, const struct sh_mem *m, const uint64_t *a) {
    struct sh_desc *d = sh_wasi_desc(w, a[0]);
    uint8_t *out = mem_at(m, a[1], 8);

    if (!d || !d->preopen) {
        return E_BADF;
    }
    if (!out) {
        return E_FAULT;
    }
    memset(out, 0, 8); /* tag 0: a directory */
    put32(out + 4, (uint32_t)strlen(d->preopen));
    return E_OK;
}

int sh_wasi_fd_prestat_dir_name(struct sh_wasi *w, const struct sh_mem *m, const uint64_t *a) {
    struct sh_desc *d = sh_wasi_desc(w, a[0]);
    size_t len;
    char *out;

    if (!d || !d->preopen) {
        return E_BADF;
    }
    len = strlen(d->preopen);
    if (arg32(a[2]) < len) {
        return E_NAMETOOLONG;
    }
    out = mem_at(m, a[1], len);
    if (!out) {
        return E_FAULT;
    }
    memcpy(out, d->preopen, len);
    return E_OK;
}
