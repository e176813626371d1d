/* Observations: what a mapped directory shows is an input of the run. Each call that looks at one
 * asks a question (operation and arguments) and gets an answer (errno, then its outputs). Live, the
 * answer comes from the host and question and answer are recorded together; in a replay the answer
 * comes from the tape, the host is not touched, and a question that differs from the recorded one
 * ends the run as nondeterminism. The workspace records nothing: replay rebuilds it.
 *
 * Record: the question's bytes, then the answer's, little endian (base/str.h). Both are written and
 * read beside each other in the function that makes the call.
 *
 * Changes that were made just before a crash may have been lost from the journal though not from
 * the host. After a replay the first ones are therefore made again, and finding that they are "so
 * already" is success (`redo`), until one is found that is not. An append is so already when its
 * bytes are where the file ended for this guest: that place is known when the file was opened
 * before the crash. Where even its opening was lost, it is appended again.
 *
 * A descriptor that a replay opened has no file behind it. It is opened when the first live call
 * needs it, and must be the file that the tape spoke of. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/base.h"
#include "microsandbox/wasi_impl.h"

struct sh_buf *sh_wasi_question(struct sh_wasi *w) {
    sh_buf_clear(&w->record);
    return &w->record;
}

void sh_wasi_trim_record(struct sh_wasi *w) {
    if (w->record.cap > WASI_SEEN_MAX * 2) { /* large ones are rare */
        sh_buf_done(&w->record);
        sh_buf_init(&w->record, WASI_RECORD_MAX);
    }
    sh_buf_done(&w->kept.bytes);
    sh_buf_init(&w->kept.bytes, WASI_RECORD_MAX);
}

static int differs(struct sh_wasi *w, const char *kind) {
    return sh_guest_end(w->g, SH_E_NONDETERMINISM,
                        "call %llu (\"%s\") has other arguments than in the journal",
                        (unsigned long long)w->g->call_number - 1, kind);
}

int sh_wasi_broken(struct sh_wasi *w, const char *kind) {
    return sh_guest_end(w->g, SH_E_CORRUPT,
                        "the journal's answer to call %llu (\"%s\") cannot be read",
                        (unsigned long long)w->g->call_number - 1, kind);
}

int sh_wasi_recall(struct sh_wasi *w, struct sh_vfs_grant *grant, const char *kind, size_t room,
                   struct sh_reader *ret) {
    struct sh_str s;
    int rc;

    w->record.max = grant->observe ? WASI_RECORD_MAX : SH_VFS_LIST_BYTES;
    if (!grant->observe) {
        sh_buf_clear(&w->record); /* nobody will ask what the question was */
        return 0;
    }
    if (w->kept.busy) {
        return sh_wasi_keep_end(w, kind, ret);
    }
    rc = sh_wasi_kept_fetch(w, kind);
    if (rc) {
        return rc;
    }
    if (!sh_guest_room(w->g, room + w->record.len)) {
        return SH_CALL_PENDING;
    }
    rc = sh_guest_recall(w->g, kind, &s);
    if (rc != 1) {
        w->g->call.c = w->record.len; /* where the answer will begin */
        return rc == -1 ? SH_CALL_END : rc;
    }
    w->redo = true;
    if (w->kept.fetched) {
        sh_wasi_kept_take(w, &s, ret);
        return s.len == w->record.len && memcmp(s.p, w->record.p, s.len) == 0 ? 1
                                                                              : differs(w, kind);
    }
    if (s.len < w->record.len || memcmp(s.p, w->record.p, w->record.len) != 0) {
        return differs(w, kind);
    }
    *ret = (struct sh_reader){.p = (const uint8_t *)s.p + w->record.len,
                              .end = (const uint8_t *)s.p + s.len};
    return 1;
}

int sh_wasi_observed(struct sh_wasi *w, struct sh_vfs_grant *grant, const char *kind,
                     struct sh_reader *ret) {
    size_t start = grant->observe ? (size_t)w->g->call.c : 0;

    SH_ASSERT(!w->record.failed && w->record.len >= start);
    if (grant->observe && sh_wasi_keeps(w, w->record.len - start)) {
        return sh_wasi_keep(w, kind, start, ret);
    }
    if (grant->observe) {
        sh_guest_observed(w->g, kind, sh_buf_str(&w->record));
        if (w->g->ended) {
            return SH_CALL_END;
        }
    }
    *ret = (struct sh_reader){.p = (const uint8_t *)w->record.p + start,
                              .end = (const uint8_t *)w->record.p + w->record.len};
    return 1;
}

int sh_wasi_redone(struct sh_wasi *w, const struct sh_vfs_grant *grant, int rc, bool already_so) {
    if (!grant->observe || !w->redo) {
        return rc;
    }
    if (rc && already_so) {
        return 0;
    }
    if (rc == 0) {
        w->redo = false;
    }
    return rc;
}

void sh_wasi_put_stat(struct sh_buf *b, const struct sh_vfs_stat *st) {
    sh_buf_u8(b, st->type);
    sh_buf_u64(b, st->ino);
    sh_buf_u64(b, st->nlink);
    sh_buf_u64(b, st->size);
    sh_buf_u64(b, st->atim);
    sh_buf_u64(b, st->mtim);
    sh_buf_u64(b, st->ctim);
}

void sh_wasi_get_stat(struct sh_reader *r, struct sh_vfs_stat *st) {
    st->type = sh_reader_u8(r);
    st->ino = sh_reader_u64(r);
    st->nlink = sh_reader_u64(r);
    st->size = sh_reader_u64(r);
    st->atim = sh_reader_u64(r);
    st->mtim = sh_reader_u64(r);
    st->ctim = sh_reader_u64(r);
}

static const struct {
    int host, wasi;
} errnos[] = {
    {0, E_OK},
    {E2BIG, E_2BIG},
    {EACCES, E_ACCES},
    {EAGAIN, E_AGAIN},
    {EBADF, E_BADF},
    {EBUSY, E_BUSY},
    {EDQUOT, E_DQUOT},
    {EEXIST, E_EXIST},
    {EFBIG, E_FBIG},
    {EINTR, E_INTR},
    {EINVAL, E_INVAL},
    {EISDIR, E_ISDIR},
    {ELOOP, E_LOOP},
    {EMLINK, E_MLINK},
    {ENAMETOOLONG, E_NAMETOOLONG},
    {ENODEV, E_NODEV},
    {ENOENT, E_NOENT},
    {ENOSPC, E_NOSPC},
    {ENOTDIR, E_NOTDIR},
    {ENOTEMPTY, E_NOTEMPTY},
    {ENOTSUP, E_NOTSUP},
    {ENXIO, E_NXIO},
    {EOVERFLOW, E_OVERFLOW},
    {EPERM, E_PERM},
    {EROFS, E_ROFS},
    {ESTALE, E_STALE},
    {ETXTBSY, E_TXTBSY},
    {EXDEV, E_PERM}, /* openat2: the path left the grant */
    {SH_VFS_E_BYTES, E_NOSPC},
    {SH_VFS_E_FILES, E_DQUOT},
};

/* What a guest may learn about its private directory follows from what it did there. */
static bool follows_from_guest(int host) {
    switch (host) {
    case 0:
    case EBUSY:
    case EEXIST:
    case EFBIG:
    case EINVAL:
    case EISDIR:
    case ELOOP:
    case EMLINK:
    case ENAMETOOLONG:
    case ENOENT:
    case ENOTDIR:
    case ENOTEMPTY:
    case EOVERFLOW:
    case EPERM:
    case EXDEV:
    case SH_VFS_E_BYTES:
    case SH_VFS_E_FILES:
        return true;
    default:
        return false;
    }
}

int sh_wasi_errno(struct sh_wasi *w, const struct sh_vfs_grant *grant, int host) {
    int code = host == ENOMEM || host == EMFILE || host == ENFILE ? SH_E_NOMEM
               : host == ENOSPC || host == EDQUOT                 ? SH_E_NOSPC
                                                                  : SH_E_IO;

    if (code == SH_E_NOMEM || (grant->space && !follows_from_guest(host))) {
        return sh_guest_end(w->g, code, "%s of the agent: %s",
                            grant->space ? "the private directory" : "a mapped directory",
                            strerrordesc_np(host));
    }
    for (size_t i = 0; i < sizeof(errnos) / sizeof(errnos[0]); i++) {
        if (errnos[i].host == host) {
            return errnos[i].wasi;
        }
    }
    return E_IO;
}

static int changed(struct sh_wasi *w, const struct sh_desc *d, const char *how) {
    return sh_guest_end(w->g, SH_E_INPUT_CHANGED,
                        "%s/%s %s since the journal was written; put it back as it was, or start "
                        "the task anew",
                        d->grant->host, d->path ? d->path : "", how);
}

int sh_wasi_host(struct sh_wasi *w, struct sh_desc *d) {
    struct sh_vfs_how how = {.follow = d->follow,
                             .directory = d->kind == DESC_DIR,
                             .read = d->rights & R_FD_READ,
                             .write = d->rights & R_FD_WRITE};
    struct sh_vfs_opened o;
    struct sh_vfs_stat st;
    struct sh_vfs_call c;
    int rc;

    if (d->host >= 0) {
        return d->host;
    }
    if (d->grant->root < 0) {
        return sh_guest_end(w->g, SH_E_INPUT_CHANGED,
                            "the mapped directory %s cannot be opened: %s", d->grant->host,
                            strerrordesc_np(d->grant->error));
    }
    c = sh_wasi_call(d->grant, SH_VFS_OPEN, d->grant->root, d->path && *d->path ? d->path : ".");
    c.how = how;
    rc = sh_wasi_perform(w, &c);
    if (rc) {
        return rc;
    }
    if (c.error == EIO || c.error == ENOMEM || c.error == EMFILE || c.error == ENFILE) {
        return sh_guest_end(w->g, SH_E_IO, "%s/%s cannot be opened: %s", d->grant->host,
                            d->path ? d->path : "", strerrordesc_np(c.error));
    }
    if (c.error) {
        return changed(w, d, "is gone, or cannot be opened,");
    }
    o = c.opened;
    sh_vfs_fill(d->grant, &o.st, o.node, &st);
    if (!d->root && (st.ino != d->seen.ino || st.type != d->seen.type)) {
        close(o.fd);
        return changed(w, d, "is another file");
    }
    if (d->kind == DESC_FILE && !how.write && !d->grant->written &&
        (st.size != d->seen.size || st.mtim != d->seen.mtim)) {
        close(o.fd);
        return changed(w, d, "has changed");
    }
    d->host = o.fd;
    return d->host;
}
