/* /net/tcp/HOST/PORT: connections that are opened like files. The guest never touches a socket:
 * each call that needs one suspends (SH_WAIT_NET), the engine acts, and its answer is an
 * observation that is on the tape before the call goes on. So a replay has every byte, and no
 * network.
 *
 * An observation is the question (what the call was made with) and the answer behind it; a replay
 * whose question differs is nondeterminism. What one read brings is a piece: smaller reads are
 * served from it without another event. A connection is named by the number of the call that opened
 * it. When it is lost, a read says ECONNRESET once, and from then on it is at its end; a write is
 * EPIPE. */
#include "base/base.h"
#include "microsandbox/wasi_impl.h"

enum { NET_DEV = 0x7fffffff, INO_ROOT = 1, INO_TCP = 2, INO_HOST = 3, INO_CONN = 16 };
enum { RECV_PEEK = 1, RECV_WAITALL = 2 };
enum { SHUT_WASI_RD = 1, SHUT_WASI_WR = 2 };

/* --- names ------------------------------------------------------------------------------------ */

static const char *component(const char *p, size_t *ret_n) {
    *ret_n = strcspn(p, "/");
    return p + *ret_n + strspn(p + *ret_n, "/");
}

static bool good_host(const char *p, size_t n) {
    if (n == 0 || n >= SH_NET_HOST_BYTES || p[0] == '.') {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        char c = p[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              (c && strchr("-_.:[]", c)))) {
            return false;
        }
    }
    return true;
}

/* 1 to 65535 without zeros before it; 0 else. */
static uint16_t read_port(const char *p, size_t n) {
    uint32_t port = 0;

    if (n == 0 || n > 5 || p[0] == '0') {
        return 0;
    }
    for (size_t i = 0; i < n; i++) {
        if (p[i] < '0' || p[i] > '9') {
            return 0;
        }
        port = port * 10 + (uint32_t)(p[i] - '0');
    }
    return port <= UINT16_MAX ? (uint16_t)port : 0;
}

int sh_net_path(const char *path, struct sh_net_path *ret) {
    const char *p = path, *next;
    size_t n;

    *ret = (struct sh_net_path){.kind = SH_NET_ROOT};
    while ((next = component(p, &n)), n == 1 && *p == '.') {
        p = next;
    }
    if (!*p) {
        return E_OK;
    }
    if (n == 2 && memcmp(p, "..", 2) == 0) {
        return E_PERM;
    }
    if (n != 3 || memcmp(p, "tcp", 3) != 0) {
        return E_NOENT;
    }
    ret->kind = SH_NET_TCP;
    p = next;
    if (!*p) {
        return E_OK;
    }
    next = component(p, &n);
    if (!good_host(p, n)) {
        return n == 2 && memcmp(p, "..", 2) == 0 ? E_PERM : E_NOENT;
    }
    ret->kind = SH_NET_HOST;
    memcpy(ret->host, p, n);
    ret->host[n] = '\0';
    p = next;
    if (!*p) {
        return E_OK;
    }
    next = component(p, &n);
    ret->port = read_port(p, n);
    if (!ret->port) {
        return E_NOENT;
    }
    ret->kind = SH_NET_TARGET;
    return p[n] ? E_NOTDIR : E_OK;
}

int sh_wasi_net_stat(const char *path, struct sh_vfs_stat *ret) {
    struct sh_net_path p;
    int error = sh_net_path(path, &p);

    *ret = (struct sh_vfs_stat){.type = p.kind == SH_NET_TARGET ? SH_VFS_SOCKET : SH_VFS_DIR,
                                .ino = p.kind == SH_NET_ROOT  ? INO_ROOT
                                       : p.kind == SH_NET_TCP ? INO_TCP
                                                              : INO_HOST,
                                .nlink = 1};
    return error;
}

void sh_wasi_net_desc_stat(const struct sh_desc *d, struct sh_vfs_stat *ret) {
    *ret = (struct sh_vfs_stat){.type = d->net ? SH_VFS_SOCKET : SH_VFS_DIR,
                                .ino = d->net ? INO_CONN + d->net->id : INO_ROOT,
                                .nlink = 1};
}

uint32_t sh_wasi_net_dev(void) {
    return NET_DEV;
}

void sh_wasi_net_list(struct sh_buf *out, uint32_t *ret_n) {
    static const char *const names[] = {".", "..", "tcp"};

    for (size_t i = 0; i < 3; i++) {
        sh_buf_u64(out, i == 2 ? INO_TCP : INO_ROOT);
        sh_buf_u8(out, SH_VFS_DIR);
        sh_buf_bytes32(out, sh_str(names[i]));
    }
    *ret_n = 3;
}

/* --- questions and answers -------------------------------------------------------------------- */

/* Ask what is in w->record: 1 with the answer behind the errno in *ret and that in *error; PENDING
 * or END. `ask` is what the engine is told. */
static int ask(struct sh_wasi *w, const char *kind, struct sh_net_ask *ask_for,
               struct sh_reader *ret, int *error) {
    struct sh_guest *g = w->g;
    struct sh_str q = sh_buf_str(&w->record), s;
    int rc = sh_guest_recall(g, kind, &s);

    if (rc < 0) {
        return SH_CALL_END;
    }
    if (rc == 0) {
        ask_for->kind = kind;
        ask_for->question = q;
        g->wait = (struct sh_agent_wait){.kind = SH_WAIT_NET,
                                         .call_number = g->call_number,
                                         .clock_us = g->clock_ns / 1000,
                                         .max_bytes = ask_for->for_stdin ? WASI_SEEN_MAX : 0,
                                         .net = *ask_for};
        return SH_CALL_PENDING;
    }
    if (s.len < q.len || memcmp(s.p, q.p, q.len) != 0) {
        return sh_guest_end(g, SH_E_NONDETERMINISM,
                            "call %llu (\"%s\") has other arguments than in the journal",
                            (unsigned long long)g->call_number - 1, kind);
    }
    sh_guest_reveal_recalled(g);
    *ret =
        (struct sh_reader){.p = (const uint8_t *)s.p + q.len, .end = (const uint8_t *)s.p + s.len};
    *error = (int)sh_reader_u32(ret);
    return ret->failed || *error < 0 || *error > E_WASI_LAST ? sh_wasi_broken(w, kind) : 1;
}

/* --- opening ---------------------------------------------------------------------------------- */

/* What can be refused before anybody is asked. */
static int refuse(const struct sh_wasi *w, const struct sh_net_path *p, bool write,
                  unsigned oflags) {
    if ((oflags & O_WASI_CREAT) && (oflags & O_WASI_EXCL)) {
        return E_EXIST;
    }
    if (p->kind != SH_NET_TARGET) {
        return write || (oflags & O_WASI_TRUNC) ? E_ISDIR : p->kind == SH_NET_ROOT ? E_OK : E_PERM;
    }
    if (oflags & O_WASI_DIRECTORY) {
        return E_NOTDIR;
    }
    return w->net.n_open >= SH_NET_CONNECTIONS_MAX ? E_MFILE : E_OK;
}

static int connect_to(struct sh_wasi *w, const struct sh_net_path *p) {
    struct sh_buf *b = sh_wasi_question(w);
    struct sh_net_ask q = {.host = w->net.host, .port = p->port};
    struct sh_reader r;
    int rc, error;

    memcpy(w->net.host, p->host, sizeof(p->host));
    sh_buf_bytes32(b, sh_str(p->host));
    sh_buf_u32(b, p->port);
    rc = ask(w, SH_NET_OPEN, &q, &r, &error);
    return rc == 1 ? error : rc;
}

int sh_wasi_net_open(struct sh_wasi *w, const char *path, uint64_t rights, unsigned oflags,
                     uint16_t flags, struct sh_desc **ret) {
    bool read = rights & R_FD_READ, write = rights & R_FD_WRITE;
    struct sh_net_path p;
    int error = sh_net_path(path, &p);

    if (error) {
        return error == E_NOENT && (oflags & O_WASI_CREAT) ? E_PERM : error;
    }
    error = refuse(w, &p, write, oflags);
    if (error == 0 && p.kind == SH_NET_TARGET) {
        error = connect_to(w, &p);
    }
    if (error) {
        return error;
    }
    *ret = sh_desc_new(p.kind == SH_NET_TARGET ? DESC_SOCKET : DESC_NET);
    (*ret)->flags = flags;
    if (p.kind != SH_NET_TARGET) {
        sh_desc_dir_rights(*ret);
        return E_OK;
    }
    (*ret)->rights = R_FD_FDSTAT_SET_FLAGS | R_FD_FILESTAT_GET | R_POLL_FD_READWRITE |
                     R_SOCK_SHUTDOWN | (read || !write ? R_FD_READ : 0) | (write ? R_FD_WRITE : 0);
    (*ret)->net = sh_new(struct sh_net_conn);
    (*ret)->net->id = w->g->call_number - 1;
    sh_buf_init(&(*ret)->net->in, SH_NET_PIECE_MAX + 1);
    w->net.n_open++;
    return E_OK;
}

void sh_wasi_net_closed(struct sh_wasi *w, const struct sh_desc *d) {
    if (d->net) {
        w->net.n_open--;
        sh_guest_effect(w->g, SH_EFFECT_NET_CLOSE, 0, d->net->id, (struct sh_str){NULL, 0},
                        (struct sh_str){NULL, 0});
    }
}

void sh_net_conn_free(struct sh_net_conn *c) {
    if (c) {
        sh_buf_done(&c->in);
        sh_free(c);
    }
}

/* --- reading ---------------------------------------------------------------------------------- */

size_t sh_net_left(const struct sh_net_conn *c) {
    return c->in.len - c->at;
}

/* The next piece. errno, PENDING or END. */
static int fetch(struct sh_wasi *w, struct sh_net_conn *c) {
    struct sh_buf *b = sh_wasi_question(w);
    struct sh_net_ask q = {.connection = c->id};
    struct sh_reader r;
    struct sh_str piece;
    int rc, error;

    if (c->late) {
        error = c->late;
        c->late = 0;
        c->ended = true;
        return error;
    }
    sh_buf_u64(b, c->id);
    rc = ask(w, SH_NET_READ, &q, &r, &error);
    if (rc != 1) {
        return rc;
    }
    c->announced = 0;
    if (error) {
        c->ended = c->lost = true;
        return error;
    }
    piece = sh_reader_bytes32(&r);
    sh_buf_clear(&c->in);
    c->at = 0;
    sh_buf_add(&c->in, piece.p, piece.len);
    if (r.failed || c->in.failed) {
        return sh_wasi_broken(w, SH_NET_READ);
    }
    c->ended = piece.len == 0;
    return E_OK;
}

/* Copies what is left of the piece into the vector, from `skip` bytes on; how much. */
static size_t give(const struct sh_wasi *w, const struct sh_net_conn *c, size_t n_iov,
                   size_t skip) {
    size_t done = 0, left = sh_net_left(c);

    for (size_t i = 0; i < n_iov && done < left; i++) {
        size_t len = w->iov[i].iov_len, from = skip < len ? skip : len;
        size_t part = len - from < left - done ? len - from : left - done;

        skip -= from;
        if (part) {
            memcpy((char *)w->iov[i].iov_base + from, c->in.p + c->at + done, part);
        }
        done += part;
    }
    return done;
}

static void consume(struct sh_net_conn *c, size_t n) {
    c->at += n;
    if (c->at == c->in.len) { /* a sleeping agent holds no more than it has to */
        sh_buf_done(&c->in);
        sh_buf_init(&c->in, SH_NET_PIECE_MAX + 1);
        c->at = 0;
    }
}

/* It does not want to wait, and no poll has said that it need not. */
static bool must_wait(const struct sh_desc *d) {
    return (d->flags & FD_NONBLOCK) && !d->net->announced && !d->net->late;
}

int sh_wasi_net_read(struct sh_wasi *w, struct sh_desc *d, size_t n_iov, uint32_t *ret) {
    struct sh_net_conn *c = d->net;
    size_t n;

    if (!sh_net_left(c) && !c->ended && !c->shut_read) {
        int rc = must_wait(d) ? E_AGAIN : fetch(w, c);

        if (rc) {
            return rc;
        }
    }
    n = c->shut_read ? 0 : give(w, c, n_iov, 0);
    consume(c, n);
    *ret = (uint32_t)n;
    return E_OK;
}

/* As a read; but all that was asked for, if nothing is wrong before. call.a: what is there already.
 */
static int read_all(struct sh_wasi *w, struct sh_desc *d, size_t n_iov, size_t bytes,
                    uint32_t *ret) {
    struct sh_net_conn *c = d->net;
    uint64_t *done = &w->g->call.a;

    for (;;) {
        size_t n = c->shut_read ? 0 : give(w, c, n_iov, (size_t)*done);
        int rc;

        consume(c, n);
        *done += n;
        if (*done == bytes || c->ended || c->shut_read) {
            break;
        }
        rc = must_wait(d) ? E_AGAIN : fetch(w, c);
        if (rc < 0) {
            return rc;
        }
        if (rc) {
            if (*done == 0) {
                return rc;
            }
            if (rc != E_AGAIN) { /* a short read; the next one says why */
                c->late = (uint16_t)rc;
                c->ended = false;
            }
            break;
        }
    }
    *ret = (uint32_t)*done;
    return E_OK;
}

/* --- writing ---------------------------------------------------------------------------------- */

int sh_wasi_net_write(struct sh_wasi *w, struct sh_desc *d, size_t n_iov, size_t bytes,
                      uint32_t *ret) {
    struct sh_net_conn *c = d->net;
    struct sh_buf *b = sh_wasi_question(w);
    uint64_t left = SH_NET_SENT_MAX - w->net.sent;
    struct sh_net_ask q = {.connection = c->id};
    struct sh_hash hash;
    struct sh_reader r;
    int rc, error;

    if (c->shut_write || c->lost) {
        return E_PIPE;
    }
    if (left == 0) {
        return E_DQUOT;
    }
    bytes = bytes < SH_NET_PIECE_MAX ? bytes : SH_NET_PIECE_MAX;
    bytes = bytes < left ? bytes : (size_t)left;
    n_iov = sh_wasi_cut(w, n_iov, bytes);
    sh_buf_clear(&w->net.out);
    for (size_t i = 0; i < n_iov; i++) {
        sh_buf_add(&w->net.out, w->iov[i].iov_base, w->iov[i].iov_len);
    }
    q.bytes = sh_buf_str(&w->net.out);
    sh_sha256(q.bytes.p, q.bytes.len, &hash);
    sh_buf_u64(b, c->id);
    sh_buf_u32(b, (uint32_t)bytes);
    sh_buf_add(b, hash.b, sizeof(hash.b));
    rc = ask(w, SH_NET_WRITE, &q, &r, &error);
    if (rc == SH_CALL_PENDING) {
        return rc;
    }
    sh_buf_done(&w->net.out);
    sh_buf_init(&w->net.out, SH_NET_PIECE_MAX + 1);
    if (rc != 1 || error) {
        c->lost = c->lost || rc == 1;
        return rc == 1 ? error : rc;
    }
    w->net.sent += bytes;
    *ret = (uint32_t)bytes;
    return E_OK;
}

/* --- waiting ---------------------------------------------------------------------------------- */

bool sh_net_readable(const struct sh_net_conn *c) {
    return sh_net_left(c) || c->ended || c->shut_read || c->announced || c->late;
}

int sh_wasi_net_poll(struct sh_wasi *w, const struct sh_net_waits *what, bool *ret_timed_out) {
    struct sh_buf *b = sh_wasi_question(w);
    struct sh_net_ask q = {
        .n_poll = what->n, .timeout_ns = what->timeout_ns, .for_stdin = what->for_stdin};
    bool mixture = strcmp(what->kind, SH_POLL) == 0;
    struct sh_reader r;
    int rc, error;

    for (size_t i = 0; i < what->n; i++) {
        w->net.poll[i] = what->conns[i]->id;
        sh_buf_u64(b, what->conns[i]->id);
    }
    sh_buf_u64(b, what->timeout_ns);
    if (mixture) {
        sh_buf_u8(b, what->for_stdin);
    }
    if (w->g->call.stage == 0) {
        w->g->call.stage = 1;
        w->g->call.a = ++w->net.polls;
    }
    q.poll = w->net.poll;
    q.poll_serial = w->g->call.a;
    rc = ask(w, what->kind, &q, &r, &error);
    if (rc != 1) {
        return rc;
    }
    *ret_timed_out = sh_reader_u8(&r);
    for (size_t i = 0; i < what->n; i++) {
        uint32_t announced = sh_reader_u32(&r);

        what->conns[i]->announced = announced ? announced : what->conns[i]->announced;
    }
    rc = E_OK;
    if (mixture && sh_reader_u8(&r)) {
        struct sh_str chunk = sh_reader_bytes32(&r);

        rc = !r.failed && what->for_stdin ? sh_wasi_stdin_take(w, chunk) : E_OK;
    }
    return r.failed ? sh_wasi_broken(w, what->kind) : rc ? rc : error;
}

/* --- sock_* ----------------------------------------------------------------------------------- */

/* A connection, with this right; else what the call answers. */
static int socket_of(const struct sh_wasi *w, uint64_t fd, uint64_t right, struct sh_desc **ret) {
    struct sh_desc *d = sh_wasi_desc(w, fd);

    if (!d || sh_desc_is_dir(d)) {
        return E_BADF;
    }
    *ret = d;
    return d->kind != DESC_SOCKET ? E_NOTSOCK : (d->rights & right) == right ? E_OK : E_BADF;
}

int sh_wasi_sock_accept(struct sh_wasi *w, const struct sh_mem *m, const uint64_t *a) {
    struct sh_desc *d;
    int rc = socket_of(w, a[0], 0, &d);

    (void)m;
    return rc ? rc : E_INVAL; /* it does not listen */
}

int sh_wasi_sock_recv(struct sh_wasi *w, const struct sh_mem *m, const uint64_t *a) {
    uint8_t *out = mem_at(m, a[4], 4), *flags = mem_at(m, a[5], 2);
    uint32_t how = arg32(a[3]), got = 0;
    struct sh_desc *d;
    size_t n, bytes;
    int rc = socket_of(w, a[0], R_FD_READ, &d);

    if (rc == 0) {
        rc = !out || !flags ? E_FAULT : how > (RECV_PEEK | RECV_WAITALL) ? E_INVAL : E_OK;
    }
    rc = rc ? rc : sh_wasi_vectors(w, m, a[1], a[2], &n, &bytes);
    if (rc) {
        return rc;
    }
    if (bytes == 0) {
        rc = E_OK;
    } else if (how & RECV_PEEK) { /* of what is at hand: one piece at most */
        struct sh_net_conn *c = d->net;

        if (!sh_net_left(c) && !c->ended && !c->shut_read) {
            rc = must_wait(d) ? E_AGAIN : fetch(w, c);
        }
        got = rc || c->shut_read ? 0 : (uint32_t)give(w, c, n, 0);
    } else {
        rc = how & RECV_WAITALL ? read_all(w, d, n, bytes, &got) : sh_wasi_net_read(w, d, n, &got);
    }
    if (rc == 0) {
        put32(out, got);
        memset(flags, 0, 2);
    }
    return rc;
}

int sh_wasi_sock_send(struct sh_wasi *w, const struct sh_mem *m, const uint64_t *a) {
    uint8_t *out = mem_at(m, a[4], 4);
    struct sh_desc *d;
    size_t n, bytes;
    uint32_t put = 0;
    int rc = socket_of(w, a[0], R_FD_WRITE, &d);

    if (rc == 0) {
        rc = !out ? E_FAULT : arg32(a[3]) ? E_INVAL : E_OK;
    }
    rc = rc ? rc : sh_wasi_vectors(w, m, a[1], a[2], &n, &bytes);
    if (rc == 0 && bytes) {
        rc = sh_wasi_net_write(w, d, n, bytes, &put);
    }
    if (rc == 0) {
        put32(out, put);
    }
    return rc;
}

int sh_wasi_sock_shutdown(struct sh_wasi *w, const struct sh_mem *m, const uint64_t *a) {
    uint32_t how = arg32(a[1]);
    struct sh_desc *d;
    struct sh_reader r;
    int rc = socket_of(w, a[0], R_SOCK_SHUTDOWN, &d), error = 0;

    (void)m;
    if (rc || how == 0 || how > (SHUT_WASI_RD | SHUT_WASI_WR)) {
        return rc ? rc : E_INVAL;
    }
    if (d->net->lost) {
        return E_NOTCONN;
    }
    if ((how & SHUT_WASI_WR) && !d->net->shut_write) {
        struct sh_buf *b = sh_wasi_question(w);
        struct sh_net_ask q = {.connection = d->net->id};

        sh_buf_u64(b, d->net->id);
        rc = ask(w, SH_NET_SHUT, &q, &r, &error);
        if (rc != 1) {
            return rc;
        }
        d->net->shut_write = error == 0;
        d->net->lost = d->net->lost || error;
    }
    d->net->shut_read = d->net->shut_read || (how & SHUT_WASI_RD);
    return error;
}
