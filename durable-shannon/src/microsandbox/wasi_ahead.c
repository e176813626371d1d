/* A file of a mapped directory that is too long to be copied at its opening (wasi_copy.c) is read
 * as it is, and what was read is recorded. Who reads it from one end to the other in small pieces
 * would fill the journal with its bytes. So the second of two reads that follow each other takes
 * WASI_AHEAD_MAX bytes from the host: one observation, "read.ahead", large enough to be kept beside
 * the journal. The reads that follow are answered from it and need no record.
 *
 * What is not there for the whole of a read is read anew, so no read becomes shorter than the file
 * makes it. Whoever goes back reads the file again. A guest that opens the file to change it
 * expects to read what it wrote: nothing is read ahead while it is open, and what was ends. A mount
 * that captures nothing is one whose files are watched while they change: nothing is read ahead.
 *
 * In a replay the tape says what was read ahead, so older journals replay. */
#include "base/base.h"
#include "microsandbox/wasi_impl.h"

static const char kind[] = "read.ahead";

/* All of it, for a read that begins where the last one ended. */
static bool at_hand(const struct sh_ahead *h, size_t bytes, uint64_t offset) {
    return h->bytes && offset == h->next && offset >= h->at && offset <= h->at + h->len &&
           bytes <= h->at + h->len - offset;
}

bool sh_wasi_reads_ahead(struct sh_wasi *w, const struct sh_desc *d, size_t bytes,
                         uint64_t offset) {
    struct sh_str s;

    if (at_hand(&d->ahead, bytes, offset) || sh_guest_next_is(w->g, kind) ||
        sh_guest_kept(w->g, kind, &s)) {
        return true;
    }
    return offset == d->ahead.next && bytes < SH_KEPT_MIN && d->grant->capture &&
           !sh_guest_next_is(w->g, "read") && !sh_guest_kept(w->g, "read", &s) &&
           w->copies <= WASI_COPIES_MAX && sh_wasi_keeps(w, WASI_AHEAD_MAX) &&
           !sh_wasi_open_to_change(w, d->grant, d->seen.ino);
}

/* Ask the host for a piece; its errno and bytes go to the record. 0, PENDING or END. */
static int look(struct sh_wasi *w, struct sh_desc *d, uint64_t offset) {
    sh_auto(sh_free_p) char *piece = sh_alloc(WASI_AHEAD_MAX);
    struct iovec to = {piece, WASI_AHEAD_MAX};
    size_t got;
    int error = sh_wasi_read_host(w, d, &to, 1, WASI_AHEAD_MAX, offset, &got);

    if (error < 0) {
        return error;
    }
    sh_buf_u32(&w->record, (uint32_t)error);
    sh_buf_bytes32(&w->record, sh_strn(piece, got));
    return 0;
}

/* The next piece, in the place of the one before. errno, PENDING or END. */
static int fetch(struct sh_wasi *w, struct sh_desc *d, uint64_t offset) {
    struct sh_buf *b = sh_wasi_question(w);
    struct sh_reader r;
    struct sh_str data;
    int rc, error;

    sh_buf_bytes32(b, sh_str(d->path));
    sh_buf_u64(b, offset);
    rc = sh_wasi_recall(w, d->grant, kind, SH_KEPT_MIN, &r);
    if (rc == 0) {
        rc = look(w, d, offset);
        rc = rc < 0 ? rc : sh_wasi_observed(w, d->grant, kind, &r);
    }
    if (rc < 0) {
        return rc;
    }
    error = (int)sh_reader_u32(&r);
    data = sh_reader_bytes32(&r);
    if (r.failed || data.len > WASI_AHEAD_MAX) {
        return sh_wasi_broken(w, kind);
    }
    sh_ahead_done(w, &d->ahead);
    d->ahead.bytes = sh_memdup(data.p ? data.p : "", data.len);
    d->ahead.at = offset;
    d->ahead.len = data.len;
    w->copies += data.len;
    sh_wasi_trim_record(w);
    return error;
}

int sh_wasi_read_ahead(struct sh_wasi *w, struct sh_desc *d, size_t n, size_t bytes,
                       uint64_t offset, uint32_t *ret) {
    struct sh_ahead *h = &d->ahead;
    size_t left;
    int rc = at_hand(h, bytes, offset) ? E_OK : fetch(w, d, offset);

    if (rc) {
        return rc;
    }
    left = (size_t)(h->at + h->len - offset);
    bytes = bytes < left ? bytes : left;
    sh_wasi_give(w, sh_wasi_cut(w, n, bytes), h->bytes + (offset - h->at));
    *ret = (uint32_t)bytes;
    if (bytes == left) { /* used up: many files that were read to their end hold nothing */
        sh_ahead_done(w, h);
    }
    return E_OK;
}

void sh_ahead_done(struct sh_wasi *w, struct sh_ahead *h) {
    w->copies -= h->bytes ? h->len : 0;
    h->bytes = sh_free(h->bytes);
    h->len = 0;
}
