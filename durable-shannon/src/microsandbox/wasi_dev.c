/* /dev: null, zero, random, urandom, the standard streams, and `shannon`, through which programs
 * that cannot import host functions ask for activities.
 *
 * /dev/shannon: each line written starts an activity; reading gives the results, a line each, in
 * the order of the journal, and waits for the next; with nothing outstanding it is the end of file.
 * The lines that ask for a checkpoint or for another input do not return: guest_anew.h.
 * Who opens it for reading and writing has a channel of their own. Who opens it twice, once for
 * each (Python's text files cannot do both), shares one with everybody who does. */
#include "base/base.h"
#include "microsandbox/wasi_impl.h"

static const struct {
    const char *name;
    enum sh_desc_kind kind;
} devices[] = {
    /* by name */
    {"null", DESC_NULL},
    {"random", DESC_RANDOM},
    {"shannon", DESC_SHANNON},
    {"stderr", DESC_STDERR},
    {"stdin", DESC_STDIN},
    {"stdout", DESC_STDOUT},
    {"urandom", DESC_RANDOM},
    {"zero", DESC_ZERO},
    /* there, but not listed: older journals know the others by their numbers */
    {"input", DESC_INPUT},
    {"output", DESC_OUTPUT},
};
enum { N_DEVICES = sizeof(devices) / sizeof(devices[0]), N_LISTED = N_DEVICES - 2, DIR_INO = 1 };

/* --- names ------------------------------------------------------------------------------------ */

/* The device's index, -1 for the directory itself, or an errno in *error. */
static int lookup(const char *path, int *error) {
    size_t n;

    *error = E_OK;
    while (path[0] == '.' && path[1] == '/') {
        path += 1 + strspn(path + 1, "/");
    }
    if (!*path || strcmp(path, ".") == 0) {
        return -1;
    }
    n = strcspn(path, "/");
    if (n == 2 && memcmp(path, "..", 2) == 0) {
        *error = E_PERM;
        return -1;
    }
    for (int i = 0; i < N_DEVICES; i++) {
        if (strlen(devices[i].name) == n && memcmp(devices[i].name, path, n) == 0) {
            *error = path[n] ? E_NOTDIR : E_OK;
            return i;
        }
    }
    *error = E_NOENT;
    return -1;
}

static void fill(int index, struct sh_vfs_stat *ret) {
    *ret = (struct sh_vfs_stat){.type = index < 0 ? SH_VFS_DIR : SH_VFS_CHAR,
                                .ino = (uint64_t)(DIR_INO + 1 + index),
                                .nlink = 1};
}

int sh_wasi_dev_stat(const char *path, struct sh_vfs_stat *ret) {
    int error, i = lookup(path, &error);

    fill(i, ret);
    return error;
}

void sh_wasi_dev_desc_stat(const struct sh_desc *d, struct sh_vfs_stat *ret) {
    fill(-1, ret);
    for (int i = 0; i < N_DEVICES; i++) {
        if (devices[i].kind == d->kind) {
            fill(i, ret);
            return;
        }
    }
}

void sh_wasi_dev_list(struct sh_buf *out, uint32_t *ret_n) {
    static const char *const dots[] = {".", ".."};

    for (int i = 0; i < 2; i++) {
        sh_buf_u64(out, DIR_INO);
        sh_buf_u8(out, SH_VFS_DIR);
        sh_buf_bytes32(out, sh_str(dots[i]));
    }
    for (int i = 0; i < N_LISTED; i++) {
        sh_buf_u64(out, (uint64_t)(DIR_INO + 1 + i));
        sh_buf_u8(out, SH_VFS_CHAR);
        sh_buf_bytes32(out, sh_str(devices[i].name));
    }
    *ret_n = N_LISTED + 2;
}

static void channel_init(struct sh_channel *c) {
    if (!c->handles) {
        c->handles = sh_new_array(int32_t, SH_PARALLEL_ACTIVITIES_MAX);
        sh_buf_init(&c->line, SH_DEV_LINE_MAX);
        sh_buf_init(&c->out, SH_EVENT_BODY_MAX + 1);
    }
}

/* May this device be opened so? i < 0: the directory. */
static int refuse(int i, bool read, bool write, unsigned oflags) {
    if ((oflags & O_WASI_CREAT) && (oflags & O_WASI_EXCL)) {
        return E_EXIST;
    }
    if (i < 0) {
        return write || (oflags & O_WASI_TRUNC) ? E_ISDIR : E_OK;
    }
    if (oflags & O_WASI_DIRECTORY) {
        return E_NOTDIR;
    }
    switch (devices[i].kind) {
    case DESC_STDIN:
    case DESC_INPUT:
        return write ? E_PERM : E_OK;
    case DESC_OUTPUT:
        return read || !write ? E_PERM : E_OK;
    case DESC_STDOUT:
    case DESC_STDERR:
        return write ? E_OK : E_PERM;
    default:
        return E_OK;
    }
}

static struct sh_desc *device(struct sh_wasi *w, enum sh_desc_kind kind, bool read, bool write) {
    struct sh_desc *d = sh_desc_new(kind);

    d->rights = R_FD_FDSTAT_SET_FLAGS | R_FD_FILESTAT_GET | R_POLL_FD_READWRITE |
                (read ? R_FD_READ : 0) | (write ? R_FD_WRITE : 0);
    if ((kind >= DESC_NULL && kind <= DESC_RANDOM) || kind == DESC_INPUT || kind == DESC_OUTPUT) {
        d->rights |= R_FD_SEEK | R_FD_TELL; /* else libc takes it for a terminal */
    }
    if (kind == DESC_STDOUT || kind == DESC_STDERR) {
        d->rights &= ~R_FD_READ;
    }
    if (kind == DESC_SHANNON) {
        d->channel = read && write ? sh_new(struct sh_channel) : &w->channel;
        channel_init(d->channel);
    }
    return d;
}

int sh_wasi_dev_open(struct sh_wasi *w, const char *path, uint64_t rights, unsigned oflags,
                     uint16_t flags, struct sh_desc **ret) {
    int error, i = lookup(path, &error);
    bool read = rights & R_FD_READ, write = rights & R_FD_WRITE;

    if (error) {
        return error == E_NOENT && (oflags & O_WASI_CREAT) ? E_PERM : error;
    }
    error = refuse(i, read, write, oflags);
    if (!error && i >= 0 && devices[i].kind == DESC_OUTPUT) {
        error = sh_wasi_given_open(w);
    }
    if (error) {
        return error;
    }
    if (i < 0) {
        *ret = sh_desc_new(DESC_DEV);
        sh_desc_dir_rights(*ret);
    } else {
        *ret = device(w, devices[i].kind, read || !write, write);
    }
    (*ret)->flags = flags;
    return E_OK;
}

/* --- standard input --------------------------------------------------------------------------- */

static struct sh_str stdin_bytes(const struct sh_wasi *w) {
    return w->g->config->stdin_live ? sh_buf_str(&w->stdin_chunk) : w->g->config->stdin_bytes;
}

size_t sh_wasi_stdin_left(const struct sh_wasi *w) {
    return stdin_bytes(w).len - w->stdin_at;
}

int sh_wasi_stdin_take(struct sh_wasi *w, struct sh_str chunk) {
    sh_buf_clear(&w->stdin_chunk);
    sh_buf_add(&w->stdin_chunk, chunk.p, chunk.len);
    if (w->stdin_chunk.failed) {
        return sh_guest_end(w->g, SH_E_LIMIT, "a chunk of standard input has %zu bytes", chunk.len);
    }
    w->stdin_at = 0;
    w->stdin_eof = chunk.len == 0;
    return E_OK;
}

int sh_wasi_stdin_fetch(struct sh_wasi *w) {
    struct sh_guest *g = w->g;
    struct sh_str s;
    int rc = sh_guest_recall(g, "stdin", &s);

    if (rc < 0) {
        return SH_CALL_END;
    }
    if (rc == 0) {
        g->wait = (struct sh_agent_wait){.kind = SH_WAIT_STDIN,
                                         .call_number = g->call_number,
                                         .clock_us = g->clock_ns / 1000,
                                         .max_bytes = WASI_SEEN_MAX};
        return SH_CALL_PENDING;
    }
    return sh_wasi_stdin_take(w, s);
}

/* Copies into the vector; how much. */
static uint32_t give(struct sh_wasi *w, size_t n_iov, const char *p, size_t n) {
    size_t done = 0;

    for (size_t i = 0; i < n_iov && done < n; i++) {
        size_t part = w->iov[i].iov_len < n - done ? w->iov[i].iov_len : n - done;

        memcpy(w->iov[i].iov_base, p + done, part);
        done += part;
    }
    return (uint32_t)done;
}

static int stdin_read(struct sh_wasi *w, struct sh_desc *d, size_t n_iov, uint32_t *ret) {
    if (!sh_wasi_stdin_left(w) && w->g->config->stdin_live && !w->stdin_eof) {
        int rc = d->flags & FD_NONBLOCK ? E_AGAIN : sh_wasi_stdin_fetch(w);

        if (rc) {
            return rc;
        }
    }
    if (sh_wasi_stdin_left(w)) {
        *ret = give(w, n_iov, stdin_bytes(w).p + w->stdin_at, sh_wasi_stdin_left(w));
        w->stdin_at += *ret;
    }
    return E_OK;
}

/* --- /dev/shannon ----------------------------------------------------------------------------- */

void sh_channel_done(struct sh_wasi *w, struct sh_channel *c) {
    for (size_t i = 0; i < c->n_handles; i++) {
        (void)sh_guest_drop(w->g, c->handles[i]);
    }
    sh_free(c->handles);
    sh_buf_done(&c->line);
    sh_buf_done(&c->out);
    memset(c, 0, sizeof(*c));
}

int sh_channel_wait(struct sh_wasi *w, struct sh_channel *c) {
    int handle = sh_guest_wait(w->g, c->handles, c->n_handles);
    struct sh_str result = {NULL, 0};
    size_t i = 0;

    if (handle < 0) {
        return handle == SH_CALL_PENDING || handle == SH_CALL_END ? handle : -handle;
    }
    if (sh_guest_result(w->g, handle, &result) != 0) {
        return E_IO;
    }
    sh_buf_clear(&c->out);
    c->out_at = 0;
    sh_buf_add(&c->out, result.p, result.len);
    sh_buf_addc(&c->out, '\n');
    (void)sh_guest_drop(w->g, handle);
    while (c->handles[i] != handle) {
        i++;
    }
    memmove(c->handles + i, c->handles + i + 1, (--c->n_handles - i) * sizeof(*c->handles));
    return c->out.failed ? sh_guest_end(w->g, SH_E_NOMEM, "no memory for a result") : E_OK;
}

static int channel_read(struct sh_wasi *w, struct sh_desc *d, size_t n_iov, uint32_t *ret) {
    struct sh_channel *c = d->channel;

    if (c->out_at == c->out.len) {
        int rc;

        if (!c->n_handles) {
            return E_OK; /* end of file */
        }
        rc = d->flags & FD_NONBLOCK ? E_AGAIN : sh_channel_wait(w, c);
        if (rc) {
            return rc;
        }
    }
    *ret = give(w, n_iov, c->out.p + c->out_at, c->out.len - c->out_at);
    c->out_at += *ret;
    if (c->out_at == c->out.len) {
        sh_buf_done(&c->out);
        sh_buf_init(&c->out, SH_EVENT_BODY_MAX + 1);
        c->out_at = 0;
    }
    return E_OK;
}

/* The line is whole: start its activity, or begin anew. 0, PENDING, END, or an errno. */
static int line_ends(struct sh_wasi *w, struct sh_channel *c) {
    struct sh_str line = sh_buf_str(&c->line);
    int handle, rc;

    if (c->skip) {
        c->skip = false;
        return E_OK;
    }
    if (line.len && line.p[line.len - 1] == '\r') {
        line.len--;
    }
    if (!line.len) {
        sh_buf_clear(&c->line);
        return E_OK;
    }
    rc = sh_guest_line(w->g, line);
    if (rc == SH_CALL_PENDING || rc == SH_CALL_END) {
        return rc;
    }
    if (rc < 0) {
        sh_guest_line_done(w->g);
        sh_buf_clear(&c->line);
        return -rc;
    }
    handle = sh_guest_start(w->g, (struct sh_str){NULL, 0}, line);
    if (handle != SH_CALL_PENDING) {
        sh_guest_line_done(w->g);
    }
    if (handle == SH_CALL_PENDING || handle == SH_CALL_END || handle == -E_MFILE) {
        return handle == -E_MFILE ? E_MFILE : handle; /* the line stays */
    }
    sh_buf_clear(&c->line);
    if (handle < 0) {
        return -handle;
    }
    SH_ASSERT(c->n_handles < SH_PARALLEL_ACTIVITIES_MAX);
    c->handles[c->n_handles++] = handle;
    return E_OK;
}

/* Bytes of one part of the vector; *at counts those taken, newline included. */
static int take(struct sh_wasi *w, struct sh_channel *c, const char *p, size_t n, size_t *at) {
    while (*at < n) {
        const char *end = memchr(p + *at, '\n', n - *at);
        size_t part = (end ? (size_t)(end - p) : n) - *at;
        int rc;

        if (!c->skip && part) {
            sh_buf_add(&c->line, p + *at, part);
            if (c->line.failed) { /* too long: all of the line is refused */
                sh_buf_clear(&c->line);
                c->skip = true;
                return E_MSGSIZE;
            }
        }
        *at += part;
        if (end) {
            rc = line_ends(w, c);
            if (rc == SH_CALL_PENDING || rc == SH_CALL_END || rc == E_MFILE) {
                return rc;
            }
            ++*at;
            if (rc) {
                return rc;
            }
        }
    }
    return E_OK;
}

static int channel_write(struct sh_wasi *w, struct sh_desc *d, size_t n_iov, uint32_t *ret) {
    uint64_t *done = &w->g->call.a; /* taken by this call, before it had to wait */
    uint64_t start = 0;

    for (size_t i = 0; i < n_iov; i++) {
        size_t len = w->iov[i].iov_len;

        if (*done < start + len) {
            size_t at = (size_t)(*done - start);
            int rc = take(w, d->channel, w->iov[i].iov_base, len, &at);

            *done = start + at;
            if (rc == E_MFILE && *done) { /* a short write; the next one says why */
                break;
            }
            if (rc) {
                return rc;
            }
        }
        start += len;
    }
    *ret = (uint32_t)*done;
    return E_OK;
}

/* --- reading and writing ---------------------------------------------------------------------- */

static uint32_t input_read(struct sh_wasi *w, struct sh_desc *d, size_t n_iov) {
    struct sh_str input = w->g->config->input;
    uint32_t n = 0;

    if (d->offset < input.len) {
        n = give(w, n_iov, input.p + d->offset, input.len - (size_t)d->offset);
        d->offset += n;
    }
    return n;
}

static uint32_t total(const struct sh_wasi *w, size_t n_iov) {
    size_t n = 0;

    for (size_t i = 0; i < n_iov; i++) {
        n += w->iov[i].iov_len;
    }
    return (uint32_t)n;
}

int sh_wasi_dev_read(struct sh_wasi *w, struct sh_desc *d, size_t n_iov, uint32_t *ret) {
    size_t part;

    switch (d->kind) {
    case DESC_ZERO:
        for (size_t i = 0; i < n_iov; i++) {
            memset(w->iov[i].iov_base, 0, w->iov[i].iov_len);
        }
        *ret = total(w, n_iov);
        return E_OK;
    case DESC_RANDOM: /* one part at a time: reads may be short */
        part = n_iov == 0 ? 0 : w->iov[0].iov_len;
        part = part < WASI_SEEN_MAX ? part : WASI_SEEN_MAX;
        if (part) {
            sh_guest_random(w->g, w->iov[0].iov_base, part);
        }
        *ret = (uint32_t)part;
        return E_OK;
    case DESC_STDIN:
        return stdin_read(w, d, n_iov, ret);
    case DESC_SHANNON:
        return channel_read(w, d, n_iov, ret);
    case DESC_INPUT:
        *ret = input_read(w, d, n_iov);
        return E_OK;
    default:
        return E_OK; /* null */
    }
}

int sh_wasi_dev_write(struct sh_wasi *w, struct sh_desc *d, size_t n_iov, uint32_t *ret) {
    if (d->kind == DESC_SHANNON) {
        return channel_write(w, d, n_iov, ret);
    }
    if (d->kind == DESC_OUTPUT) {
        return sh_wasi_given_write(w, n_iov, ret);
    }
    *ret = total(w, n_iov);
    return E_OK;
}
