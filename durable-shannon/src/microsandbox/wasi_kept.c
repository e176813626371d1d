/* Large answers of mapped directories (a megabyte that was read, a hundred thousand names) are kept
 * beside the journal: a file named by the hash of its bytes, durable before the event that names
 * it. The event has kind "KIND.kept", and instead of the answer its SHA-256 and length; a replay
 * takes the bytes from there, and believes them only when they have that hash. So a large answer
 * costs the journal, and the thread that writes it, no more than a small one. */
#include <errno.h>
#include <stdio.h>

#include "base/base.h"
#include "microsandbox/wasi_impl.h"

enum { KEPT_REF = SH_HASH_BYTES + 8 };

static struct sh_vfs_grant nowhere = {.root = -1}; /* the calls are on a folder of ours */

int sh_wasi_kept_failed(struct sh_wasi *w, const char *what, const char *path, int error) {
    return sh_guest_end(w->g,
                        error == ENOSPC || error == EDQUOT ? SH_E_NOSPC
                        : error == ENOENT                  ? SH_E_NOT_FOUND
                        : error == EBADMSG                 ? SH_E_CORRUPT
                                                           : SH_E_IO,
                        "%s %.300s: %s", what, path,
                        error == EBADMSG ? "it does not have the bytes that its name promises"
                                         : strerrordesc_np(error));
}

bool sh_wasi_keeps(const struct sh_wasi *w, size_t answer) {
    return w->g->config->blobs && answer >= SH_KEPT_MIN &&
           w->kept.used + answer <= SH_KEPT_BYTES_MAX;
}

int sh_wasi_keep(struct sh_wasi *w, const char *kind, size_t at, struct sh_reader *ret) {
    sh_buf_done(&w->kept.bytes);
    w->kept.bytes = w->record;
    w->kept.at = at;
    w->kept.busy = true;
    sh_buf_init(&w->record, WASI_RECORD_MAX);
    return sh_wasi_keep_end(w, kind, ret);
}

int sh_wasi_keep_end(struct sh_wasi *w, const char *kind, struct sh_reader *ret) {
    const char *blobs = w->g->config->blobs;
    struct sh_str all = sh_buf_str(&w->kept.bytes);
    struct iovec iov = {w->kept.bytes.p + w->kept.at, all.len - w->kept.at};
    struct sh_vfs_call c = sh_wasi_call(&nowhere, SH_VFS_KEEP, -1, blobs);
    char name[32];
    int rc;

    c.iov = &iov;
    c.n_iov = 1;
    c.bytes = iov.iov_len;
    rc = sh_wasi_perform(w, &c);
    if (rc == SH_CALL_PENDING) {
        return rc;
    }
    w->kept.busy = false;
    if (rc || c.error) {
        return rc ? rc
                  : sh_wasi_kept_failed(w, "cannot keep what a mapped directory showed, in", blobs,
                                        c.error);
    }
    sh_buf_clear(&w->record);
    sh_buf_add(&w->record, all.p, w->kept.at);
    sh_buf_add(&w->record, c.hash.b, sizeof(c.hash.b));
    sh_buf_u64(&w->record, iov.iov_len);
    (void)snprintf(name, sizeof(name), "%s%s", kind, SH_GUEST_KEPT);
    sh_guest_observed(w->g, name, sh_buf_str(&w->record));
    if (w->g->ended) {
        return SH_CALL_END;
    }
    w->kept.used += iov.iov_len;
    *ret = (struct sh_reader){.p = iov.iov_base, .end = (const uint8_t *)iov.iov_base + c.bytes};
    return 1;
}

int sh_wasi_kept_fetch(struct sh_wasi *w, const char *kind) {
    sh_auto(sh_free_p) char *path = NULL;
    char hex[SH_HASH_HEX_BYTES];
    struct sh_vfs_call c = sh_wasi_call(&nowhere, SH_VFS_FETCH, -1, NULL);
    struct sh_reader r;
    struct sh_str s;
    int rc;

    if (w->kept.fetched || !sh_guest_kept(w->g, kind, &s)) {
        return 0;
    }
    if (s.len < KEPT_REF || !w->g->config->blobs) {
        return sh_wasi_broken(w, kind);
    }
    r = (struct sh_reader){.p = (const uint8_t *)s.p + s.len - KEPT_REF + SH_HASH_BYTES,
                           .end = (const uint8_t *)s.p + s.len};
    memcpy(c.hash.b, s.p + s.len - KEPT_REF, SH_HASH_BYTES);
    c.size = sh_reader_u64(&r);
    sh_hash_hex(&c.hash, hex);
    path = sh_asprintf("%s/%s", w->g->config->blobs, hex);
    c.path = path;
    sh_buf_init(&c.out, SH_VFS_LIST_BYTES); /* the longest that is ever kept */
    rc = sh_wasi_perform(w, &c);
    if (rc || c.error) {
        sh_buf_done(&c.out);
        return rc ? rc
                  : sh_wasi_kept_failed(w, "cannot read what a mapped directory showed, from", path,
                                        c.error);
    }
    sh_buf_done(&w->kept.bytes);
    w->kept.bytes = c.out;
    w->kept.fetched = true;
    w->kept.used += c.out.len;
    return 0;
}

/* The tape's item was taken: its question in *s, its answer to read in *ret. */
void sh_wasi_kept_take(struct sh_wasi *w, struct sh_str *s, struct sh_reader *ret) {
    w->kept.fetched = false;
    s->len -= KEPT_REF;
    *ret = (struct sh_reader){.p = (const uint8_t *)w->kept.bytes.p,
                              .end = (const uint8_t *)w->kept.bytes.p + w->kept.bytes.len};
}
