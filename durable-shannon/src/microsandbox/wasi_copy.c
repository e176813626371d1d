/* A file of a mapped directory that is opened only to be read is copied first, and read from the
 * copy: what the guest sees of it is one moment, and a replay or a start after a crash sees the
 * same whatever became of the file. Reading it then needs no record at all.
 *
 * The open is recorded as "open.copy" with the bytes of a short file behind the answer, or as
 * "open.copy.kept" with SHA-256 and length of the copy in the folder of blobs. Files that are
 * longer than the mount captures, or past what one agent may keep, are read as they are ("open").
 *
 * A guest that opens the same file to change it expects to read what it wrote: the copies of it end
 * there, and while it is open no new one is made. The same holds for what wasi_ahead.c has read. */
#include <errno.h>
#include <unistd.h>

#include "base/base.h"
#include "microsandbox/wasi_impl.h"

enum { SHORT_MAX = SH_KEPT_MIN - 256 }; /* with the rest of the answer, below what is kept apart */

static struct sh_vfs_grant ours = {.root = -1, .local = true}; /* the calls are on files of ours */

bool sh_wasi_open_to_change(const struct sh_wasi *w, const struct sh_vfs_grant *g, uint64_t ino) {
    for (size_t i = 0; i < w->cap_fds; i++) {
        const struct sh_desc *d = w->fds[i];

        if (d && d->kind == DESC_FILE && d->grant == g && d->seen.ino == ino &&
            d->rights & R_FD_WRITE) {
            return true;
        }
    }
    return false;
}

bool sh_wasi_copies(const struct sh_wasi *w, const struct sh_vfs_grant *g,
                    const struct sh_vfs_how *how, const struct sh_vfs_stat *st) {
    return g->observe && g->capture && w->g->config->blobs && st->type == SH_VFS_FILE &&
           !how->write && !how->trunc && !how->create && !sh_wasi_open_to_change(w, g, st->ino);
}

int sh_wasi_copy(struct sh_wasi *w, struct sh_vfs_grant *g, struct sh_vfs_opened *host,
                 struct sh_vfs_stat *st, struct sh_copy *ret) {
    uint64_t left = SH_KEPT_BYTES_MAX - w->kept.used;
    struct sh_vfs_call c;
    int rc;

    if (w->copying.busy) {
        *host = w->copying.host;
        w->copying.busy = false;
    }
    sh_vfs_fill(g, &host->st, NULL, st);
    if (w->copies > WASI_COPIES_MAX) {
        return E_OK;
    }
    c = sh_wasi_call(g, SH_VFS_COPY, host->fd, w->g->config->blobs);
    c.size = g->capture < left ? g->capture : left;
    sh_buf_init(&c.out, SHORT_MAX);
    rc = sh_wasi_perform(w, &c);
    if (rc == SH_CALL_PENDING) {
        sh_buf_done(&c.out);
        w->copying.busy = true;
        w->copying.host = *host;
        host->fd = -1;
        return rc;
    }
    if (rc == 0 && c.ours) {
        rc = sh_wasi_kept_failed(w, "cannot keep a copy of a mapped file, in", c.path, c.error);
    } else if (rc == 0 && c.error) {
        rc = sh_wasi_errno(w, g, c.error);
    }
    if (rc == 0 && c.n) {
        sh_vfs_fill(g, &c.st, NULL, st);
        ret->kind = c.opened.fd >= 0 ? COPY_FILE : COPY_BYTES;
        ret->bytes = c.opened.fd >= 0 ? NULL : sh_memdup(c.out.p ? c.out.p : "", c.done);
        ret->len = c.done;
        ret->hash = c.hash;
        ret->fd = c.opened.fd;
        w->copies += ret->bytes ? (size_t)ret->len : 0;
    }
    sh_buf_done(&c.out);
    return rc;
}

/* --- the record --------------------------------------------------------------------------------
 */

static const char bytes_kind[] = "open.copy", file_kind[] = "open.copy" SH_GUEST_KEPT;

const char *sh_wasi_copy_kind(const struct sh_copy *c) {
    return c->kind == COPY_BYTES ? bytes_kind : c->kind == COPY_FILE ? file_kind : "open";
}

const char *sh_wasi_copy_next(struct sh_wasi *w) {
    struct sh_str s;

    return sh_guest_kept(w->g, bytes_kind, &s)  ? file_kind
           : sh_guest_next_is(w->g, bytes_kind) ? bytes_kind
                                                : "open";
}

void sh_wasi_copy_put(struct sh_buf *b, const struct sh_copy *c) {
    if (c->kind == COPY_BYTES) {
        sh_buf_bytes32(b, sh_strn(c->bytes, (size_t)c->len));
    } else if (c->kind == COPY_FILE) {
        sh_buf_add(b, c->hash.b, sizeof(c->hash.b));
        sh_buf_u64(b, c->len);
    }
}

void sh_wasi_copy_get(struct sh_wasi *w, const char *kind, struct sh_reader *r,
                      struct sh_copy *ret) {
    struct sh_str s;

    if (ret->kind == COPY_NONE && kind == bytes_kind) {
        s = sh_reader_bytes32(r);
        if (!r->failed) {
            *ret = (struct sh_copy){COPY_BYTES, .bytes = sh_memdup(s.p, s.len), .len = s.len,
                                    .fd = -1};
            w->copies += s.len;
        }
    } else if (ret->kind == COPY_NONE && kind == file_kind) {
        *ret = (struct sh_copy){COPY_FILE, .fd = -1};
        for (size_t i = 0; i < SH_HASH_BYTES; i++) {
            ret->hash.b[i] = sh_reader_u8(r);
        }
        ret->len = sh_reader_u64(r);
    }
    if (ret->kind == COPY_FILE) { /* so that live and replay count alike */
        w->kept.used = ret->len < SH_KEPT_BYTES_MAX - w->kept.used ? w->kept.used + ret->len
                                                                   : SH_KEPT_BYTES_MAX;
    }
}

/* --- reading -----------------------------------------------------------------------------------
 */

/* The copy's descriptor: PENDING or END else. */
static int copy_open(struct sh_wasi *w, struct sh_copy *copy) {
    sh_auto(sh_free_p) char *path = NULL;
    char hex[SH_HASH_HEX_BYTES];
    struct sh_vfs_call c = sh_wasi_call(&ours, SH_VFS_COPIED, -1, NULL);
    int rc;

    if (copy->fd >= 0) {
        return 0;
    }
    if (!w->g->config->blobs) {
        return sh_wasi_broken(w, file_kind);
    }
    sh_hash_hex(&copy->hash, hex);
    path = sh_asprintf("%s/%s", w->g->config->blobs, hex);
    c.path = path;
    c.hash = copy->hash;
    c.size = copy->len;
    rc = sh_wasi_perform(w, &c);
    if (rc == 0 && c.error) {
        rc = sh_wasi_kept_failed(w, "cannot read the copy of a mapped file,", path, c.error);
    }
    if (rc == 0) {
        copy->fd = c.opened.fd;
    }
    return rc;
}

void sh_wasi_give(struct sh_wasi *w, size_t n, const char *from) {
    for (size_t i = 0; i < n; i++) {
        memcpy(w->iov[i].iov_base, from, w->iov[i].iov_len);
        from += w->iov[i].iov_len;
    }
}

int sh_wasi_copy_read(struct sh_wasi *w, struct sh_desc *d, size_t n, size_t bytes, uint64_t offset,
                      uint32_t *ret) {
    struct sh_copy *copy = &d->copy;
    struct sh_vfs_call c;
    int rc;

    if (offset >= copy->len) {
        return E_OK;
    }
    bytes = bytes < copy->len - offset ? bytes : (size_t)(copy->len - offset);
    n = sh_wasi_cut(w, n, bytes);
    if (copy->kind == COPY_BYTES) {
        sh_wasi_give(w, n, copy->bytes + offset);
        *ret = (uint32_t)bytes;
        return E_OK;
    }
    rc = copy_open(w, copy);
    if (rc) {
        return rc;
    }
    c = sh_wasi_call(&ours, SH_VFS_READ, copy->fd, NULL);
    c.iov = w->iov;
    c.n_iov = n;
    c.bytes = bytes;
    c.offset = offset;
    rc = sh_wasi_perform(w, &c);
    if (rc == 0 && (c.error || c.done != bytes)) {
        rc = sh_wasi_kept_failed(w, "cannot read the copy of a mapped file, in",
                                 w->g->config->blobs, c.error ? c.error : EBADMSG);
    }
    *ret = rc ? 0 : (uint32_t)bytes;
    return rc;
}

/* --- the end -----------------------------------------------------------------------------------
 */

void sh_wasi_copies_end(struct sh_wasi *w, const struct sh_vfs_grant *g, uint64_t ino) {
    for (size_t i = 0; i < w->cap_fds; i++) {
        struct sh_desc *d = w->fds[i];

        if (d && d->kind == DESC_FILE && d->grant == g && d->seen.ino == ino) {
            sh_copy_done(w, &d->copy);
            sh_ahead_done(w, &d->ahead);
        }
    }
}

void sh_copy_done(struct sh_wasi *w, struct sh_copy *c) {
    if (c->kind == COPY_BYTES) {
        w->copies -= (size_t)c->len;
        sh_free(c->bytes);
    } else if (c->kind == COPY_FILE && c->fd >= 0) {
        close(c->fd);
    }
    *c = (struct sh_copy){.kind = COPY_NONE};
}
