/* Reading and writing. The position of a file is ours and every host call is positional, so that a
 * descriptor whose file a replay never opened behaves the same, and a change that is made again
 * lands where it did before.
 *
 * Mapped directories that are recorded: a read keeps its bytes (at most WASI_READ_MAX a call), a
 * write keeps offset, length and digest of its bytes, and is not made again in a replay. */
#include <errno.h>
#include <unistd.h>

#include "base/base.h"
#include "microsandbox/wasi_impl.h"

int sh_wasi_vectors(struct sh_wasi *w, const struct sh_mem *m, uint64_t ptr, uint64_t count,
                    size_t *ret_n, size_t *ret_bytes) {
    uint32_t n = arg32(count);
    const uint8_t *at;
    size_t left = WASI_IO_MAX, used = 0;

    if (n > SH_IOVECS_MAX) {
        return E_INVAL;
    }
    at = mem_at(m, ptr, (uint64_t)n * 8);
    if (!at) {
        return E_FAULT;
    }
    if (n > w->cap_iov) {
        w->iov = sh_grow(w->iov, n * sizeof(*w->iov));
        w->cap_iov = n;
    }
    for (uint32_t i = 0; i < n; i++) {
        size_t len = get32(at + 8 * (size_t)i + 4);
        void *base = mem_at(m, get32(at + 8 * (size_t)i), len);

        if (!base) {
            return E_FAULT;
        }
        len = len < left ? len : left;
        left -= len;
        if (len) {
            w->iov[used++] = (struct iovec){base, len};
        }
    }
    *ret_n = used;
    *ret_bytes = WASI_IO_MAX - left;
    return E_OK;
}

/* Cut the vector to `bytes`; the number of parts that are left. */
size_t sh_wasi_cut(struct sh_wasi *w, size_t n, size_t bytes) {
    for (size_t i = 0; i < n; i++) {
        if (bytes == 0) {
            return i;
        }
        if (w->iov[i].iov_len > bytes) {
            w->iov[i].iov_len = bytes;
        }
        bytes -= w->iov[i].iov_len;
    }
    return n;
}

/* Drop the first `bytes` of the vector; the number of parts that are left. */
static size_t skip(struct sh_wasi *w, size_t n, size_t bytes) {
    size_t i = 0;

    while (i < n && bytes >= w->iov[i].iov_len) {
        bytes -= w->iov[i++].iov_len;
    }
    if (i > 0) { /* an empty vector may have no storage at all */
        memmove(w->iov, w->iov + i, (n - i) * sizeof(*w->iov));
    }
    if (i < n && bytes) {
        w->iov[0].iov_base = (char *)w->iov[0].iov_base + bytes;
        w->iov[0].iov_len -= bytes;
    }
    return n - i;
}

static uint8_t *scratch(struct sh_wasi *w) {
    if (!w->scratch) {
        w->scratch = sh_alloc(WASI_SEEN_MAX);
    }
    return w->scratch;
}

/* --- files ----------------------------------------------------------------------------------- */

/* What was read, from the guest's vector into the record. */
static void record_vector(struct sh_wasi *w, size_t n, size_t bytes) {
    sh_buf_u32(&w->record, (uint32_t)bytes);
    for (size_t i = 0; i < n && bytes; i++) {
        size_t part = w->iov[i].iov_len < bytes ? w->iov[i].iov_len : bytes;

        sh_buf_add(&w->record, w->iov[i].iov_base, part);
        bytes -= part;
    }
}

int sh_wasi_read_host(struct sh_wasi *w, struct sh_desc *d, struct iovec *iov, size_t n,
                      size_t bytes, uint64_t offset, size_t *ret) {
    int fd = sh_wasi_host(w, d), rc;
    struct sh_vfs_call c = sh_wasi_call(d->grant, SH_VFS_READ, fd, NULL);

    c.iov = iov;
    c.n_iov = n;
    c.bytes = bytes;
    c.offset = offset;
    rc = fd < 0 ? fd : sh_wasi_perform(w, &c);
    *ret = rc ? 0 : c.done;
    return rc ? rc : sh_wasi_errno(w, d->grant, c.error);
}

static int read_seen(struct sh_wasi *w, struct sh_desc *d, size_t n, size_t bytes, uint64_t offset,
                     uint32_t *ret) {
    struct sh_buf *b = sh_wasi_question(w);
    size_t want = bytes < WASI_READ_MAX ? bytes : WASI_READ_MAX;
    struct sh_reader r;
    struct sh_str data;
    int rc, error;

    sh_buf_bytes32(b, sh_str(d->path));
    sh_buf_u64(b, offset);
    rc = sh_wasi_recall(w, d->grant, "read", want + 64, &r);
    if (rc == 0) {
        size_t got;

        n = sh_wasi_cut(w, n, want);
        error = sh_wasi_read_host(w, d, w->iov, n, want, offset, &got);
        if (error < 0) {
            return error;
        }
        sh_buf_u32(b, (uint32_t)error);
        record_vector(w, n, got);
        rc = sh_wasi_observed(w, d->grant, "read", &r);
    }
    if (rc < 0) {
        return rc;
    }
    error = (int)sh_reader_u32(&r);
    data = sh_reader_bytes32(&r);
    if (r.failed || data.len > bytes) {
        return sh_wasi_broken(w, "read");
    }
    for (size_t i = 0, done = 0; i < n && done < data.len; i++) {
        size_t part = w->iov[i].iov_len < data.len - done ? w->iov[i].iov_len : data.len - done;

        memcpy(w->iov[i].iov_base, data.p + done, part);
        done += part;
    }
    *ret = (uint32_t)data.len;
    sh_wasi_trim_record(w);
    return error;
}

static int file_read(struct sh_wasi *w, struct sh_desc *d, size_t n, size_t bytes, uint64_t offset,
                     uint32_t *ret) {
    size_t got;
    int rc;

    *ret = 0;
    if (offset > INT64_MAX) {
        return E_INVAL;
    }
    if (bytes == 0 || bytes > INT64_MAX - offset) { /* so far out nothing can be */
        return E_OK;
    }
    if (d->copy.kind) {
        return sh_wasi_copy_read(w, d, n, bytes, offset, ret);
    }
    if (d->grant->observe) {
        rc = sh_wasi_reads_ahead(w, d, bytes, offset)
                 ? sh_wasi_read_ahead(w, d, n, bytes, offset, ret)
                 : read_seen(w, d, n, bytes, offset, ret);
        d->ahead.next = rc ? d->ahead.next : offset + *ret;
        return rc;
    }
    rc = sh_wasi_read_host(w, d, w->iov, n, bytes, offset, &got);
    *ret = (uint32_t)got;
    return rc;
}

/* The private directory: what fits the quota is written whole, or the run stops. */
static int write_own(struct sh_wasi *w, struct sh_desc *d, size_t n, size_t bytes, uint64_t offset,
                     uint32_t *ret) {
    struct sh_vfs_space *s = &w->space;
    uint64_t left = s->bytes < s->bytes_max ? s->bytes_max - s->bytes : 0;
    uint64_t end = d->node->size + left; /* no byte may lie behind it */
    size_t done = 0;
    int rc;

    if (offset >= end) {
        return E_NOSPC;
    }
    bytes = bytes < end - offset ? bytes : (size_t)(end - offset);
    rc = sh_wasi_room(w, bytes);
    if (rc) {
        return rc;
    }
    n = sh_wasi_cut(w, n, bytes);
    while (done < bytes) {
        ssize_t put = pwritev(d->host, w->iov, (int)n, (off_t)(offset + done));

        if (put <= 0) {
            return sh_wasi_errno(w, d->grant, put < 0 ? errno : EIO);
        }
        done += (size_t)put;
        n = skip(w, n, (size_t)put);
    }
    if (offset + bytes > d->node->size) {
        (void)sh_vfs_node_resize(s, d->node, offset + bytes);
    }
    d->node->mtim = d->node->ctim = (uint64_t)sh_guest_clock_ns(w->g);
    *ret = (uint32_t)bytes;
    return E_OK;
}

/* A mapped directory. *offset UINT64_MAX: at the end, and set to where that was. */
static int write_mapped(struct sh_wasi *w, struct sh_desc *d, size_t n, size_t bytes,
                        uint64_t *offset, uint32_t *ret) {
    struct sh_vfs_grant *grant = d->grant;
    struct sh_buf *b = sh_wasi_question(w);
    struct sh_reader r;
    int rc, error;

    bytes = bytes < grant->bytes_left ? bytes : (size_t)grant->bytes_left;
    if (bytes == 0) {
        return E_NOSPC;
    }
    n = sh_wasi_cut(w, n, bytes);
    if (grant->observe) {
        struct sh_hasher h;
        struct sh_hash hash;

        sh_hasher_init(&h);
        for (size_t i = 0; i < n; i++) {
            sh_hasher_add(&h, w->iov[i].iov_base, w->iov[i].iov_len);
        }
        sh_hasher_done(&h, &hash);
        sh_buf_bytes32(b, sh_str(d->path));
        sh_buf_u64(b, *offset);
        sh_buf_u64(b, bytes);
        sh_buf_add(b, hash.b, sizeof(hash.b));
    }
    rc = sh_wasi_recall(w, grant, "write", 64, &r);
    if (rc == 0) {
        int fd = sh_wasi_host(w, d);
        struct sh_vfs_call c = sh_wasi_call(grant, SH_VFS_WRITE, fd, NULL);

        c.iov = w->iov;
        c.n_iov = n;
        c.bytes = bytes;
        c.offset = *offset;
        c.data_only = d->flags & (FD_SYNC | FD_DSYNC);
        c.redo = w->redo && d->recalled && *offset == UINT64_MAX; /* see wasi_tape.c */
        c.size = d->seen.size;
        rc = fd < 0 ? fd : sh_wasi_perform(w, &c);
        error = rc ? rc : sh_wasi_errno(w, grant, c.error);
        if (error < 0) {
            return error;
        }
        w->redo = w->redo && !(c.redo && !c.already && error == 0);
        sh_buf_u32(b, (uint32_t)error);
        sh_buf_u32(b, (uint32_t)c.done);
        sh_buf_u64(b, c.offset);
        rc = sh_wasi_observed(w, grant, "write", &r);
    }
    if (rc < 0) {
        return rc;
    }
    error = (int)sh_reader_u32(&r);
    *ret = sh_reader_u32(&r);
    *offset = sh_reader_u64(&r);
    if (r.failed || *ret > bytes) {
        return sh_wasi_broken(w, "write");
    }
    if (error == 0 && *offset + *ret > d->seen.size) {
        d->seen.size = *offset + *ret;
    }
    grant->bytes_left -= *ret;
    grant->written = true;
    return error;
}

static int file_write(struct sh_wasi *w, struct sh_desc *d, size_t n, size_t bytes, bool append,
                      uint64_t *offset, uint32_t *ret) {
    *ret = 0;
    if (!append && *offset > INT64_MAX) {
        return E_INVAL;
    }
    if (bytes == 0) { /* an append of nothing does not even move to the end */
        return E_OK;
    }
    if (append) {
        *offset = d->node ? d->node->size : UINT64_MAX;
    }
    if (*offset != UINT64_MAX && bytes > INT64_MAX - *offset) {
        return E_FBIG;
    }
    return d->node ? write_own(w, d, n, bytes, *offset, ret)
                   : write_mapped(w, d, n, bytes, offset, ret);
}

/* --- the calls ------------------------------------------------------------------------------- */

/* All of it, however often room has to be made: whoever writes to a pipe on Unix expects no less.
 * call.a: what was taken before the call had to wait. */
static int output(struct sh_wasi *w, struct sh_desc *d, size_t n, size_t bytes, uint32_t *ret) {
    uint8_t *to = scratch(w);

    n = skip(w, n, w->g->call.a);
    while (n) {
        size_t len = 0;
        int rc;

        for (size_t i = 0; i < n && len < WASI_SEEN_MAX; i++) {
            size_t part = w->iov[i].iov_len;

            part = part < WASI_SEEN_MAX - len ? part : WASI_SEEN_MAX - len;
            memcpy(to + len, w->iov[i].iov_base, part);
            len += part;
        }
        rc = sh_guest_output(w->g, d->kind == DESC_STDOUT ? 1 : 2, sh_strn(to, len));
        if (rc) {
            return rc;
        }
        w->g->call.a += len;
        n = skip(w, n, len);
    }
    *ret = (uint32_t)bytes;
    return E_OK;
}

int sh_wasi_fd_read(struct sh_wasi *w, const struct sh_mem *m, const uint64_t *a) {
    struct sh_desc *d = sh_wasi_desc(w, a[0]);
    uint8_t *out = mem_at(m, a[3], 4);
    size_t n, bytes;
    uint32_t got = 0;
    int rc;

    if (!d) {
        return E_BADF;
    }
    if (sh_desc_is_dir(d)) {
        return E_ISDIR;
    }
    if (!(d->rights & R_FD_READ)) {
        return E_BADF;
    }
    rc = out ? sh_wasi_vectors(w, m, a[1], a[2], &n, &bytes) : E_FAULT;
    if (rc) {
        return rc;
    }
    if (d->kind == DESC_FILE) {
        rc = file_read(w, d, n, bytes, d->offset, &got);
        if (rc == 0) {
            d->offset += got;
        }
    } else if (d->kind == DESC_SOCKET) {
        rc = bytes ? sh_wasi_net_read(w, d, n, &got) : E_OK;
    } else {
        rc = bytes ? sh_wasi_dev_read(w, d, n, &got) : E_OK;
    }
    if (rc == 0) {
        put32(out, got);
    }
    return rc;
}

int sh_wasi_fd_write(struct sh_wasi *w, const struct sh_mem *m, const uint64_t *a) {
    struct sh_desc *d = sh_wasi_desc(w, a[0]);
    uint8_t *out = mem_at(m, a[3], 4);
    size_t n, bytes;
    uint32_t put = 0;
    int rc;

    if (!d) {
        return E_BADF;
    }
    if (sh_desc_is_dir(d)) {
        return E_ISDIR;
    }
    if (!(d->rights & R_FD_WRITE)) {
        return E_BADF;
    }
    rc = out ? sh_wasi_vectors(w, m, a[1], a[2], &n, &bytes) : E_FAULT;
    if (rc) {
        return rc;
    }
    if (d->kind == DESC_FILE) {
        uint64_t offset = d->offset;

        rc = file_write(w, d, n, bytes, d->flags & FD_APPEND, &offset, &put);
        if (rc == 0) {
            d->offset = offset + put;
        }
    } else if (d->kind == DESC_STDOUT || d->kind == DESC_STDERR) {
        rc = output(w, d, n, bytes, &put);
    } else if (d->kind == DESC_SOCKET) {
        rc = bytes ? sh_wasi_net_write(w, d, n, bytes, &put) : E_OK;
    } else {
        rc = sh_wasi_dev_write(w, d, n, &put);
    }
    if (rc == 0) {
        put32(out, put);
    }
    return rc;
}

/* What fd_pread and fd_pwrite have in common: only files have positions. */
static int positional(struct sh_desc *d, uint64_t right) {
    if (!d) {
        return E_BADF;
    }
    if (sh_desc_is_dir(d)) {
        return E_ISDIR;
    }
    if (!(d->rights & right)) {
        return E_BADF;
    }
    return d->kind == DESC_FILE ? E_OK : E_SPIPE;
}

int sh_wasi_fd_pread(struct sh_wasi *w, const struct sh_mem *m, const uint64_t *a) {
    struct sh_desc *d = sh_wasi_desc(w, a[0]);
    uint8_t *out = mem_at(m, a[4], 4);
    size_t n, bytes;
    uint32_t got = 0;
    int rc = positional(d, R_FD_READ);

    if (rc == 0) {
        rc = out ? sh_wasi_vectors(w, m, a[1], a[2], &n, &bytes) : E_FAULT;
    }
    if (rc == 0) {
        rc = file_read(w, d, n, bytes, a[3], &got);
    }
    if (rc == 0) {
        put32(out, got);
    }
    return rc;
}

int sh_wasi_fd_pwrite(struct sh_wasi *w, const struct sh_mem *m, const uint64_t *a) {
    struct sh_desc *d = sh_wasi_desc(w, a[0]);
    uint8_t *out = mem_at(m, a[4], 4);
    uint64_t offset = a[3];
    size_t n, bytes;
    uint32_t put = 0;
    int rc = positional(d, R_FD_WRITE);

    if (rc == 0) {
        rc = out ? sh_wasi_vectors(w, m, a[1], a[2], &n, &bytes) : E_FAULT;
    }
    if (rc == 0) {
        rc = file_write(w, d, n, bytes, false, &offset, &put);
    }
    if (rc == 0) {
        put32(out, put);
    }
    return rc;
}

enum { SEEK_WASI_SET = 0, SEEK_WASI_CUR = 1, SEEK_WASI_END = 2 };

int sh_wasi_fd_seek(struct sh_wasi *w, const struct sh_mem *m, const uint64_t *a) {
    struct sh_desc *d = sh_wasi_desc(w, a[0]);
    uint8_t *out = mem_at(m, a[3], 8);
    uint32_t whence = arg32(a[2]);
    int64_t from = 0, to;
    int rc;

    if (!d || sh_desc_is_dir(d)) {
        return E_BADF;
    }
    if (!out) {
        return E_FAULT;
    }
    if (d->kind >= DESC_NULL && d->kind <= DESC_RANDOM) { /* as on Linux: always at 0 */
        put64(out, 0);
        return E_OK;
    }
    if (d->kind != DESC_FILE && d->kind != DESC_INPUT) {
        return E_SPIPE;
    }
    if (whence > SEEK_WASI_END) {
        return E_INVAL;
    }
    if (whence == SEEK_WASI_CUR) {
        from = (int64_t)d->offset;
    } else if (whence == SEEK_WASI_END && d->kind == DESC_INPUT) {
        from = (int64_t)w->g->config->input.len;
    } else if (whence == SEEK_WASI_END) {
        struct sh_vfs_stat st;

        rc = sh_wasi_fdstat(w, d, &st);
        if (rc) {
            return rc;
        }
        from = (int64_t)st.size;
    }
    if (__builtin_add_overflow(from, (int64_t)a[1], &to) || to < 0) {
        return E_INVAL;
    }
    d->offset = (uint64_t)to;
    put64(out, d->offset);
    return E_OK;
}

int sh_wasi_fd_tell(struct sh_wasi *w, const struct sh_mem *m, const uint64_t *a) {
    struct sh_desc *d = sh_wasi_desc(w, a[0]);
    uint8_t *out = mem_at(m, a[1], 8);

    if (!d || sh_desc_is_dir(d)) {
        return E_BADF;
    }
    if (!out) {
        return E_FAULT;
    }
    if (d->kind != DESC_FILE && d->kind != DESC_INPUT &&
        !(d->kind >= DESC_NULL && d->kind <= DESC_RANDOM)) {
        return E_SPIPE;
    }
    put64(out, d->offset);
    return E_OK;
}
