/* TCP connections on libuv.
 *
 *   RESOLVING -> CONNECTING to one allowed address after the other -> CONNECTED
 *       any of them, after sh_tcp_close: LEAVING, until its handles are closed; then it is freed
 *
 * Each address is tried on a handle of its own, because a libuv handle connects once. The time that
 * is left is divided among the addresses that are left, so that a dead one hides no good one. */
#include <errno.h>
#include <netdb.h>
#include <stdio.h>

#include "loop/internal.h"

enum { ADDRESSES_MAX = 8, READ_AT_ONCE = 16 * 1024 };

struct attempt {
    uv_tcp_t handle;
    uv_connect_t request;
    struct sh_tcp *tcp;
};

struct sh_tcp {
    struct sh_list link; /* of the loop */
    struct sh_loop *loop;
    bool (*allow)(void *arg, const struct sockaddr *addr);
    void (*changed)(void *arg);
    void *arg;
    uv_getaddrinfo_t resolve;
    bool resolving, connected, ended, shut, reading;
    bool leaving; /* closed by its owner */
    int error;
    uint16_t port;
    struct sockaddr_storage addresses[ADDRESSES_MAX];
    size_t n_addresses, next;
    struct attempt *attempt; /* that connects, or is connected */
    unsigned handles;        /* attempts whose handles are not closed yet */
    unsigned pins;           /* callbacks on the stack */
    struct sh_timer timer;
    uint64_t deadline_ns;
    struct sh_buf in;
    size_t to_send;
};

struct sending {
    uv_write_t request;
    struct sh_tcp *tcp;
    size_t n;
    char bytes[];
};

static void connect_next(struct sh_tcp *t);

static void free_if_over(struct sh_tcp *t) {
    if (t->leaving && !t->resolving && t->handles == 0 && t->pins == 0) {
        sh_timer_stop(&t->timer);
        sh_list_unlink(&t->link);
        sh_buf_done(&t->in);
        sh_free(t);
    }
}

static void tell(struct sh_tcp *t) {
    if (!t->leaving) {
        t->changed(t->arg);
    }
}

/* ---- handles ---- */

static void on_closed(uv_handle_t *handle) {
    struct attempt *a = handle->data;
    struct sh_tcp *t = a->tcp;

    t->handles--;
    sh_free(a);
    free_if_over(t);
}

static void drop_attempt(struct sh_tcp *t) {
    if (t->attempt) {
        uv_close((uv_handle_t *)&t->attempt->handle, on_closed);
        t->attempt = NULL;
        t->reading = false;
    }
}

static void fail(struct sh_tcp *t, int error) {
    sh_timer_stop(&t->timer);
    drop_attempt(t);
    t->error = t->error ? t->error : error;
    t->ended = true;
    t->connected = false;
    t->to_send = 0;
    tell(t);
}

/* ---- receiving ---- */

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret) {
    struct sh_tcp *t = ((struct attempt *)handle->data)->tcp;
    size_t room = SH_NET_BUFFER_MAX - t->in.len;

    (void)suggested;
    room = room < READ_AT_ONCE ? room : READ_AT_ONCE;
    ret->base = sh_buf_room(&t->in, room);
    ret->len = ret->base ? room : 0;
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf) {
    struct sh_tcp *t = ((struct attempt *)stream->data)->tcp;

    (void)buf;
    t->pins++;
    if (n > 0) {
        t->in.len += (size_t)n;
        t->in.p[t->in.len] = '\0';
        if (t->in.len == SH_NET_BUFFER_MAX) {
            uv_read_stop(stream);
            t->reading = false;
        }
        tell(t);
    } else if (n == UV_EOF) {
        uv_read_stop(stream);
        t->reading = false;
        t->ended = true;
        tell(t);
    } else if (n < 0) {
        fail(t, (int)-n);
    }
    t->pins--;
    free_if_over(t);
}

static void read_on(struct sh_tcp *t) {
    if (t->connected && !t->ended && !t->reading && t->in.len < SH_NET_BUFFER_MAX) {
        t->reading = uv_read_start((uv_stream_t *)&t->attempt->handle, on_alloc, on_read) == 0;
    }
}

void sh_tcp_take(struct sh_tcp *t, size_t n) {
    SH_ON_LOOP(t->loop);
    SH_ASSERT(n <= t->in.len);
    if (n == t->in.len) { /* an idle connection holds no buffer */
        sh_buf_done(&t->in);
        sh_buf_init(&t->in, SH_NET_BUFFER_MAX + 1);
    } else {
        sh_buf_drop(&t->in, n);
    }
    read_on(t);
}

/* ---- connecting ---- */

static void on_connected(uv_connect_t *request, int status) {
    struct attempt *a = request->data;
    struct sh_tcp *t = a->tcp;

    if (t->attempt != a) {
        return; /* given up; its handle is closing */
    }
    t->pins++;
    if (status < 0) {
        drop_attempt(t);
        t->error = -status;
        connect_next(t);
    } else {
        sh_timer_stop(&t->timer);
        t->error = 0;
        t->connected = true;
        (void)uv_tcp_nodelay(&a->handle, 1); /* the agent's writes are already whole pieces */
        read_on(t);
        tell(t);
    }
    t->pins--;
    free_if_over(t);
}

static void timed_out(struct sh_timer *timer) {
    struct sh_tcp *t = sh_container_of(timer, struct sh_tcp, timer);

    t->pins++;
    t->error = ETIMEDOUT;
    drop_attempt(t);
    if (t->resolving) {
        (void)uv_cancel((uv_req_t *)&t->resolve);
        fail(t, ETIMEDOUT);
    } else {
        connect_next(t);
    }
    t->pins--;
    free_if_over(t);
}

/* The next address that may be reached; none left: it has failed, as the last one did. */
static void connect_next(struct sh_tcp *t) {
    uint64_t now = sh_boot_ns();

    while (t->next < t->n_addresses && now < t->deadline_ns) {
        const struct sockaddr *addr = (const struct sockaddr *)&t->addresses[t->next++];
        struct attempt *a;
        int rc;

        if (t->allow && !t->allow(t->arg, addr)) {
            t->error = t->error ? t->error : EACCES;
            continue;
        }
        a = sh_new(struct attempt);
        a->tcp = t;
        SH_ASSERT(uv_tcp_init(&t->loop->uv, &a->handle) == 0);
        a->handle.data = a;
        a->request.data = a;
        t->attempt = a;
        t->handles++;
        rc = uv_tcp_connect(&a->request, &a->handle, addr, on_connected);
        if (rc == 0) {
            sh_timer_start(t->loop, &t->timer,
                           (t->deadline_ns - now) / (t->n_addresses - t->next + 1), timed_out);
            return;
        }
        t->error = -rc;
        drop_attempt(t);
    }
    fail(t, t->error ? t->error : ETIMEDOUT);
}

static int resolver_errno(int status) {
    switch (status) {
    case UV_EAI_NONAME:
    case UV_EAI_NODATA:
        return ENOENT;
    case UV_EAI_MEMORY:
        return ENOMEM;
    default:
        return EHOSTUNREACH;
    }
}

static void on_resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *list) {
    struct sh_tcp *t = request->data;

    t->resolving = false;
    atomic_fetch_sub(&t->loop->jobs, 1);
    for (struct addrinfo *i = list; i && t->n_addresses < ADDRESSES_MAX; i = i->ai_next) {
        if (i->ai_addrlen <= sizeof(t->addresses[0]) &&
            (i->ai_family == AF_INET || i->ai_family == AF_INET6)) {
            memcpy(&t->addresses[t->n_addresses++], i->ai_addr, i->ai_addrlen);
        }
    }
    uv_freeaddrinfo(list);
    t->pins++;
    if (t->leaving || t->error) {
        /* closed, or timed out, meanwhile */
    } else if (status < 0) {
        fail(t, resolver_errno(status));
    } else {
        connect_next(t);
    }
    t->pins--;
    free_if_over(t);
}

int sh_tcp_open(struct sh_loop *l, const struct sh_tcp_options *o, struct sh_tcp **ret,
                struct sh_err *err) {
    const struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    size_t n = strlen(o->host);
    bool brackets = n > 2 && o->host[0] == '[' && o->host[n - 1] == ']';
    sh_auto(sh_free_p) char *host = sh_strndup0(o->host + brackets, n - 2 * (size_t)brackets);
    struct sh_tcp *t;
    char port[8];
    int rc;

    SH_ON_LOOP(l);
    t = sh_new(struct sh_tcp);
    t->loop = l;
    t->allow = o->allow;
    t->changed = o->changed;
    t->arg = o->arg;
    t->port = o->port;
    t->resolve.data = t;
    sh_buf_init(&t->in, SH_NET_BUFFER_MAX + 1);
    snprintf(port, sizeof(port), "%u", o->port);
    rc = uv_getaddrinfo(&l->uv, &t->resolve, on_resolved, host, port, &hints);
    if (rc < 0) {
        sh_free(t);
        return sh_fail(err, SH_E_INVAL, "the host \"%.100s\" is no name: %s", o->host,
                       uv_strerror(rc));
    }
    t->resolving = true;
    atomic_fetch_add(&l->jobs, 1);
    sh_list_push(&l->tcps, &t->link);
    t->deadline_ns = sh_boot_ns() + o->timeout_ms * 1000000;
    sh_timer_start(l, &t->timer, o->timeout_ms * 1000000, timed_out);
    *ret = t;
    return 0;
}

struct sh_tcp_status sh_tcp_status(const struct sh_tcp *t) {
    return (struct sh_tcp_status){.connected = t->connected,
                                  .ended = t->ended,
                                  .error = t->ended ? t->error : 0,
                                  .received = sh_buf_str(&t->in),
                                  .to_send = t->to_send};
}

/* ---- sending ---- */

static void on_sent(uv_write_t *request, int status) {
    struct sending *s = request->data;
    struct sh_tcp *t = s->tcp;

    t->pins++;
    t->to_send -= t->to_send < s->n ? t->to_send : s->n;
    sh_free(s);
    if (status < 0 && t->connected) {
        fail(t, -status);
    } else if (t->leaving && t->to_send == 0) {
        drop_attempt(t);
    } else if (t->connected) {
        tell(t);
    }
    t->pins--;
    free_if_over(t);
}

void sh_tcp_send(struct sh_tcp *t, struct sh_str bytes) {
    struct sending *s;
    uv_buf_t buf;

    SH_ON_LOOP(t->loop);
    if (!t->connected || t->shut || bytes.len == 0) {
        return;
    }
    s = sh_alloc(sizeof(*s) + bytes.len);
    s->tcp = t;
    s->n = bytes.len;
    s->request.data = s;
    memcpy(s->bytes, bytes.p, bytes.len);
    buf = uv_buf_init(s->bytes, (unsigned)s->n);
    if (uv_write(&s->request, (uv_stream_t *)&t->attempt->handle, &buf, 1, on_sent) < 0) {
        sh_free(s); /* the stream has failed; reading it says so */
        return;
    }
    t->to_send += bytes.len;
}

static void on_shut(uv_shutdown_t *request, int status) {
    (void)status; /* an error is one of the connection, which reading shows */
    sh_free(request);
}

void sh_tcp_end(struct sh_tcp *t) {
    uv_shutdown_t *request;

    SH_ON_LOOP(t->loop);
    if (!t->connected || t->shut) {
        return;
    }
    t->shut = true;
    request = sh_new(uv_shutdown_t);
    if (uv_shutdown(request, (uv_stream_t *)&t->attempt->handle, on_shut) < 0) {
        sh_free(request);
    }
}

/* ---- the end ---- */

static void lingered(struct sh_timer *timer) {
    struct sh_tcp *t = sh_container_of(timer, struct sh_tcp, timer);

    drop_attempt(t);
    free_if_over(t);
}

void sh_tcp_close(struct sh_tcp *t, bool now) {
    if (!t) {
        return;
    }
    SH_ON_LOOP(t->loop);
    t->leaving = true;
    sh_timer_stop(&t->timer);
    if (t->resolving) {
        (void)uv_cancel((uv_req_t *)&t->resolve);
    }
    if (t->attempt && t->connected && t->to_send > 0 && !now) {
        uv_read_stop((uv_stream_t *)&t->attempt->handle);
        sh_timer_start(t->loop, &t->timer, SH_NET_LINGER_MS * 1000000, lingered);
        return;
    }
    if (t->attempt && t->connected && now) {
        uv_tcp_t *handle = &t->attempt->handle;

        t->attempt = NULL;
        if (uv_tcp_close_reset(handle, on_closed) < 0) { /* it was shut down for sending */
            uv_close((uv_handle_t *)handle, on_closed);
        }
    }
    drop_attempt(t);
    free_if_over(t);
}

bool sh_tcps_linger(const struct sh_loop *l) {
    sh_list_each (node, &l->tcps) {
        const struct sh_tcp *t = sh_container_of(node, struct sh_tcp, link);

        if (t->leaving && t->attempt && t->to_send > 0) {
            return true;
        }
    }
    return false;
}

void sh_tcps_close(struct sh_loop *l) {
    while (!sh_list_empty(&l->tcps)) {
        struct sh_tcp *t = sh_container_of(l->tcps.next, struct sh_tcp, link);

        SH_ASSERT(t->leaving && !t->resolving); /* its owner is gone; it only lingers */
        sh_timer_stop(&t->timer);
        sh_list_unlink(&t->link);
        drop_attempt(t);
    }
}
