/* fd_readdir. A listing is taken when a guest begins to read (cookie 0) and kept with the
 * descriptor; a cookie is the index of the next entry in it. So entries that are removed while
 * being listed neither repeat nor hide others. All listings of an agent share a budget: past it the
 * one unused for longest is dropped, and taken anew when its reader comes back. */
#include "base/base.h"
#include "microsandbox/wasi_impl.h"

enum { DIRENT = 24 };

void sh_desc_forget_listing(struct sh_wasi *w, struct sh_desc *d) {
    w->listings -= d->listing.len + d->listing.n * sizeof(*d->listing.at);
    d->listing.bytes = sh_free(d->listing.bytes);
    d->listing.at = sh_free(d->listing.at);
    d->listing.len = 0;
    d->listing.n = 0;
}

static void make_room(struct sh_wasi *w, const struct sh_desc *but) {
    while (w->listings > WASI_LISTINGS_MAX) {
        struct sh_desc *oldest = NULL;

        for (size_t i = 0; i < w->cap_fds; i++) {
            struct sh_desc *d = w->fds[i];

            if (d && d != but && d->listing.bytes &&
                (!oldest || d->listing.used < oldest->listing.used)) {
                oldest = d;
            }
        }
        if (!oldest) {
            return;
        }
        sh_desc_forget_listing(w, oldest);
    }
}

/* Keep what the answer says: count, then entries as sh_vfs_list wrote them. False: broken. */
static bool keep(struct sh_wasi *w, struct sh_desc *d, struct sh_reader *r) {
    uint32_t n = sh_reader_u32(r);
    size_t len = (size_t)(r->end - r->p);

    if (r->failed || n > len / 13) { /* the least an entry can be */
        return false;
    }
    sh_desc_forget_listing(w, d);
    d->listing.bytes = sh_try_alloc(len + 1, SH_VFS_LIST_BYTES + 1);
    d->listing.at = sh_try_alloc((n + 1) * sizeof(*d->listing.at), SH_VFS_LIST_BYTES);
    if (!d->listing.bytes || !d->listing.at) {
        (void)sh_guest_end(w->g, SH_E_NOMEM, "no memory for a listing of %u names", n);
        return false;
    }
    memcpy(d->listing.bytes, r->p, len);
    d->listing.len = len;
    d->listing.n = n;
    w->listings += len + n * sizeof(*d->listing.at);
    for (uint32_t i = 0; i < n; i++) {
        d->listing.at[i] = (uint32_t)(len - (size_t)(r->end - r->p));
        (void)sh_reader_u64(r);
        (void)sh_reader_u8(r);
        (void)sh_reader_bytes32(r);
    }
    make_room(w, d);
    return !r->failed;
}

/* What a listing may have: one that goes into the journal itself has to fit an event. */
static size_t list_max(const struct sh_wasi *w, const struct sh_desc *d) {
    return !d->grant->observe || sh_wasi_keeps(w, SH_VFS_LIST_BYTES) ? SH_VFS_LIST_BYTES - 64
                                                                     : WASI_RECORD_MAX / 2;
}

/* Appends errno and entries to the record. errno (all are answers), PENDING or END. */
static int list_live(struct sh_wasi *w, struct sh_desc *d) {
    struct sh_buf *b = &w->record;
    int fd = sh_wasi_host(w, d), error;
    struct sh_vfs_call c = sh_wasi_call(d->grant, SH_VFS_LIST, fd, NULL);

    sh_buf_init(&c.out, list_max(w, d));
    error = fd < 0 ? fd : sh_wasi_perform(w, &c);
    error = error ? error : sh_wasi_errno(w, d->grant, c.error);
    if (error >= 0) {
        sh_buf_u32(b, (uint32_t)error);
    }
    if (error == 0) {
        b->max = b->max > SH_VFS_LIST_BYTES + SH_MIB ? b->max : SH_VFS_LIST_BYTES + SH_MIB;
        sh_buf_u32(b, c.n);
        sh_buf_add(b, c.out.p, c.out.len);
    }
    sh_buf_done(&c.out);
    return error;
}

static int take(struct sh_wasi *w, struct sh_desc *d) {
    struct sh_buf *b = sh_wasi_question(w);
    struct sh_reader r;
    int rc, error;

    sh_buf_bytes32(b, sh_str(d->path));
    rc = sh_wasi_recall(w, d->grant, "readdir", WASI_RECORD_MAX, &r);
    if (rc == 0) {
        error = list_live(w, d);
        if (error < 0) {
            return error;
        }
        rc = sh_wasi_observed(w, d->grant, "readdir", &r);
    }
    if (rc < 0) {
        return rc;
    }
    error = (int)sh_reader_u32(&r);
    if (!error && !keep(w, d, &r)) {
        return sh_wasi_broken(w, "readdir");
    }
    sh_wasi_trim_record(w);
    return error;
}

static int take_dev(struct sh_wasi *w, struct sh_desc *d) {
    struct sh_buf *b = sh_wasi_question(w);
    struct sh_reader r;
    uint32_t n = 0;

    sh_buf_u32(b, 0);
    if (d->kind == DESC_NET) {
        sh_wasi_net_list(b, &n);
    } else {
        sh_wasi_dev_list(b, &n);
    }
    memcpy(b->p, &n, sizeof(n));
    r = (struct sh_reader){.p = (const uint8_t *)b->p, .end = (const uint8_t *)b->p + b->len};
    return keep(w, d, &r) ? E_OK : E_IO;
}

/* Entries from `cookie` on, the last one cut where the buffer ends; bytes used. */
static uint32_t fill(const struct sh_desc *d, uint64_t cookie, uint8_t *to, uint32_t cap) {
    uint32_t used = 0;

    for (uint64_t i = cookie; i < d->listing.n && used < cap; i++) {
        struct sh_reader r = {.p = d->listing.bytes + d->listing.at[i],
                              .end = d->listing.bytes + d->listing.len};
        uint8_t head[DIRENT] = {0};
        uint64_t ino = sh_reader_u64(&r);
        uint8_t type = sh_reader_u8(&r);
        struct sh_str name = sh_reader_bytes32(&r);
        size_t part;

        put64(head, i + 1);
        put64(head + 8, ino);
        put32(head + 16, (uint32_t)name.len);
        head[20] = type;
        part = cap - used < DIRENT ? cap - used : DIRENT;
        memcpy(to + used, head, part);
        used += (uint32_t)part;
        part = cap - used < name.len ? cap - used : name.len;
        memcpy(to + used, name.p, part);
        used += (uint32_t)part;
    }
    return used;
}

int sh_wasi_fd_readdir(struct sh_wasi *w, const struct sh_mem *m, const uint64_t *a) {
    struct sh_desc *d = sh_wasi_desc(w, a[0]);
    uint32_t cap = arg32(a[2]);
    uint8_t *to = mem_at(m, a[1], cap), *out = mem_at(m, a[4], 4);
    int rc;

    if (!d) {
        return E_BADF;
    }
    if (!sh_desc_is_dir(d)) {
        return E_NOTDIR;
    }
    if (!to || !out) {
        return E_FAULT;
    }
    if (d->grant && !(d->grant->dir_perms & SH_PERM_READ)) {
        return E_PERM;
    }
    if (a[3] == 0 || !d->listing.bytes) {
        rc = d->grant ? take(w, d) : take_dev(w, d);
        if (rc) {
            return rc;
        }
    }
    d->listing.used = ++w->tick;
    put32(out, fill(d, a[3], to, cap));
    return E_OK;
}
