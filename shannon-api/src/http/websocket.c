/* WebSocket (RFC 6455): each message is one full event as JSON. Frames are wslay's business, the
 * handshake and the socket ours. Nothing is taken from the client but pings, pongs and close.
 *
 *   open --> feeding <--> paused (more than the high-water mark is queued)
 *         \--> closing (close frame queued) --> shut (poll closed, socket given back to the daemon)
 *
 * A closing socket waits for the client's close frame, two heartbeats at most: closed before it, it
 * would answer that frame with a reset, which takes what the client has not read yet with it. */
#include "http/door.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <strings.h>
#include <sys/socket.h>
#include <wslay/wslay.h>

#define MESSAGE_MAX (64 * SH_KIB) /* from the client, who has nothing to say */

struct socket {
    struct sh_list link;
    struct sh_door *door;
    struct MHD_UpgradeResponseHandle *upgrade;
    int fd;
    uv_poll_t poll;
    wslay_event_context_ptr ws;
    struct sh_feed feed;
    struct sh_buf early; /* bytes that came with the handshake */
    bool dead, closing, shut, unanswered;
};

/* What the upgrade callback needs; freed by the response. */
struct opening {
    struct sh_door *door;
    char *workflow, *types;
    uint64_t after;
};

static void pump(struct socket *s);

static ssize_t on_recv(wslay_event_context_ptr ws, uint8_t *buf, size_t len, int flags, void *arg) {
    struct socket *s = arg;
    (void)flags;
    if (s->early.len) {
        size_t n = s->early.len < len ? s->early.len : len;
        memcpy(buf, s->early.p, n);
        sh_buf_drop(&s->early, n);
        return (ssize_t)n;
    }
    /* Each ping queues a pong: a peer that sends and never reads would grow memory without end. */
    if (wslay_event_get_queued_msg_length(ws) > 4 * SH_STREAM_HIGH_WATER) {
        wslay_event_set_error(ws, WSLAY_ERR_WOULDBLOCK);
        return -1;
    }
    ssize_t n = recv(s->fd, buf, len, 0);
    if (n > 0) {
        return n;
    }
    bool again = n < 0 && (errno == EAGAIN || errno == EINTR);
    s->dead = s->dead || !again;
    wslay_event_set_error(ws, again ? WSLAY_ERR_WOULDBLOCK : WSLAY_ERR_CALLBACK_FAILURE);
    return -1;
}

static ssize_t on_send(wslay_event_context_ptr ws, const uint8_t *data, size_t len, int flags,
                       void *arg) {
    struct socket *s = arg;
    (void)flags;
    ssize_t n = send(s->fd, data, len, MSG_NOSIGNAL);
    if (n >= 0) {
        return n;
    }
    bool again = errno == EAGAIN || errno == EINTR;
    s->dead = s->dead || !again;
    wslay_event_set_error(ws, again ? WSLAY_ERR_WOULDBLOCK : WSLAY_ERR_CALLBACK_FAILURE);
    return -1;
}

static void on_message(wslay_event_context_ptr ws, const struct wslay_event_on_msg_recv_arg *msg,
                       void *arg) {
    struct socket *s = arg;
    (void)ws;
    if (msg->opcode == WSLAY_PONG) {
        s->unanswered = false;
    }
}

static void on_frame(void *arg, const struct sh_frame *frame) {
    struct socket *s = arg;
    if (s->dead || s->closing) {
        return;
    }
    if (!frame->data) {
        s->closing = true;
        wslay_event_queue_close(s->ws, WSLAY_CODE_NORMAL_CLOSURE, NULL, 0);
    } else {
        sh_auto(sh_buf_done) struct sh_buf text = {0};
        sh_buf_init(&text, 2 * SH_EVENT_BODY_MAX);
        sh_frame_text(frame, &text);
        struct wslay_event_msg msg = {WSLAY_TEXT_FRAME, (const uint8_t *)text.p, text.len};
        if (text.failed || wslay_event_queue_msg(s->ws, &msg) != 0) {
            s->dead = true;
        }
        if (wslay_event_get_queued_msg_length(s->ws) > SH_STREAM_HIGH_WATER) {
            sh_feed_pause(&s->feed);
        }
    }
    pump(s);
}

static void on_closed(uv_handle_t *handle) {
    struct socket *s = handle->data;
    struct sh_door *door = s->door;
    MHD_upgrade_action(s->upgrade, MHD_UPGRADE_ACTION_CLOSE);
    sh_door_kick(door);
    sh_list_unlink(&s->link);
    door->server->api->streams--;
    wslay_event_context_free(s->ws);
    sh_buf_done(&s->early);
    sh_free(s);
}

static void shut(struct socket *s) {
    if (!s->shut) {
        s->shut = true;
        sh_feed_stop(&s->feed);
        uv_poll_stop(&s->poll);
        uv_close((uv_handle_t *)&s->poll, on_closed);
    }
}

static void on_poll(uv_poll_t *poll, int status, int events);

/* Send what can be sent, then ask for the events that matter now. */
static void pump(struct socket *s) {
    if (s->shut) {
        return;
    }
    if (!s->dead && wslay_event_want_write(s->ws) && wslay_event_send(s->ws) != 0) {
        s->dead = true;
    }
    bool want_read = wslay_event_want_read(s->ws), want_write = wslay_event_want_write(s->ws);
    if (s->dead || (!want_write && !want_read)) {
        shut(s);
        return;
    }
    if (wslay_event_get_queued_msg_length(s->ws) < SH_STREAM_HIGH_WATER / 4) {
        sh_feed_resume(&s->feed);
    }
    uv_poll_start(&s->poll, (want_read ? UV_READABLE : 0) | (want_write ? UV_WRITABLE : 0),
                  on_poll);
}

static void on_poll(uv_poll_t *poll, int status, int events) {
    struct socket *s = poll->data;
    if (status < 0) {
        s->dead = true;
    } else if ((events & UV_READABLE) && wslay_event_recv(s->ws) != 0) {
        s->dead = true;
    }
    pump(s);
}

static const struct wslay_event_callbacks callbacks = {
    .recv_callback = on_recv,
    .send_callback = on_send,
    .on_msg_recv_callback = on_message,
};

static struct socket *socket_new(struct opening *o, int fd,
                                 struct MHD_UpgradeResponseHandle *upgrade, struct sh_err *err) {
    struct socket *s = sh_new(struct socket);
    struct sh_server *server = o->door->server;
    struct uv_loop_s *loop = sh_loop_uv(server->api->app->loop);
    s->door = o->door;
    s->upgrade = upgrade;
    s->fd = fd;
    sh_buf_init(&s->early, 16 * SH_KIB);
    if (wslay_event_context_server_init(&s->ws, &callbacks, s) != 0 ||
        sh_feed_start(&s->feed, server->api->app->engine, o->workflow, o->types, o->after, on_frame,
                      s, err) < 0) {
        if (s->ws) {
            wslay_event_context_free(s->ws);
        }
        return sh_free(s);
    }
    wslay_event_config_set_max_recv_msg_length(s->ws, MESSAGE_MAX);
    SH_ASSERT(uv_poll_init_socket(loop, &s->poll, fd) == 0);
    s->poll.data = s;
    sh_list_push(&server->sockets, &s->link);
    server->api->streams++;
    return s;
}

static void on_upgraded(void *arg, struct MHD_Connection *connection, void *con_cls,
                        const char *extra, size_t extra_len, MHD_socket fd,
                        struct MHD_UpgradeResponseHandle *upgrade) {
    struct opening *o = arg;
    struct sh_err err = {0};
    (void)connection;
    (void)con_cls;
    int one = 1;
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    struct socket *s = o->door->server->draining ? NULL : socket_new(o, fd, upgrade, &err);
    if (!s) {
        MHD_upgrade_action(upgrade, MHD_UPGRADE_ACTION_CLOSE);
        return;
    }
    sh_buf_add(&s->early, extra, extra_len);
    if (s->early.failed || (s->early.len && wslay_event_recv(s->ws) != 0)) {
        s->dead = true;
    }
    pump(s);
}

/* --- handshake -------------------------------------------------------------------------------- */

static bool has_token(const char *list, const char *token) {
    size_t n = strlen(token);
    for (const char *p = list; p && *p;) {
        p += strspn(p, ", \t");
        size_t len = strcspn(p, ", \t");
        if (len == n && strncasecmp(p, token, n) == 0) {
            return true;
        }
        p += len;
    }
    return false;
}

static const char *header(const struct sh_exchange *x, const char *name) {
    const char *value = MHD_lookup_connection_value(x->connection, MHD_HEADER_KIND, name);
    return value ? value : "";
}

static int check_handshake(const struct sh_exchange *x, struct sh_err *err) {
    const char *key = header(x, "Sec-WebSocket-Key");
    sh_auto(sh_buf_done) struct sh_buf nonce = {0};
    sh_buf_init(&nonce, 64);
    if (!has_token(header(x, "Upgrade"), "websocket") ||
        !has_token(header(x, "Connection"), "upgrade")) {
        return sh_fail(err, SH_E_INVAL,
                       "this path speaks WebSocket; ask with Connection: Upgrade, or use "
                       "/api/v1/stream/sse");
    }
    if (strcmp(header(x, "Sec-WebSocket-Version"), "13") != 0) {
        return sh_fail(err, SH_E_INVAL, "Sec-WebSocket-Version must be 13");
    }
    if (sh_base64_decode(&nonce, sh_str(key)) < 0 || nonce.len != 16) {
        return sh_fail(err, SH_E_INVAL, "Sec-WebSocket-Key must be 16 bytes in base64");
    }
    return 0;
}

/* RFC 6455, 4.2.2: base64(SHA-1(key + GUID)). */
static void accept_value(const char *key, struct sh_buf *out) {
    sh_auto(sh_free_p) char *text = sh_asprintf("%s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key);
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    SH_ASSERT(EVP_Digest(text, strlen(text), digest, &n, EVP_sha1(), NULL) == 1);
    sh_base64_encode(out, digest, n);
}

static void opening_free(struct opening *o) {
    sh_free(o->workflow);
    sh_free(o->types);
    sh_free(o);
}

/* The daemon frees an upgrade response's argument nowhere, so the one call that gets it does. */
static void on_upgraded_once(void *arg, struct MHD_Connection *connection, void *con_cls,
                             const char *extra, size_t extra_len, MHD_socket fd,
                             struct MHD_UpgradeResponseHandle *upgrade) {
    on_upgraded(arg, connection, con_cls, extra, extra_len, fd, upgrade);
    opening_free(arg);
}

enum MHD_Result sh_websocket_open(struct sh_exchange *x) {
    struct sh_err err = {0};
    if (check_handshake(x, &err) < 0) {
        return sh_exchange_error(x, &err);
    }
    sh_auto(sh_buf_done) struct sh_buf accept = {0};
    sh_buf_init(&accept, 64);
    accept_value(header(x, "Sec-WebSocket-Key"), &accept);
    struct opening *o = sh_new(struct opening);
    *o = (struct opening){.door = x->door,
                          .workflow = sh_take(&x->r->stream.workflow),
                          .types = sh_take(&x->r->stream.types),
                          .after = x->r->stream.after};
    struct MHD_Response *response = MHD_create_response_for_upgrade(on_upgraded_once, o);
    MHD_add_response_header(response, "Upgrade", "websocket");
    MHD_add_response_header(response, "Sec-WebSocket-Accept", accept.p);
    enum MHD_Result result = MHD_queue_response(x->connection, 101, response);
    MHD_destroy_response(response);
    if (result != MHD_YES) {
        opening_free(o);
    }
    return result;
}

void sh_websocket_heartbeat(struct sh_server *s) {
    sh_list_each (node, &s->sockets) {
        struct socket *socket = sh_container_of(node, struct socket, link);
        if (socket->unanswered) {
            socket->dead = true; /* two beats without an answer: the peer has gone */
        } else if (!socket->closing) {
            struct wslay_event_msg ping = {WSLAY_PING, NULL, 0};
            wslay_event_queue_msg(socket->ws, &ping);
        }
        socket->unanswered = true;
        pump(socket);
    }
}

void sh_websocket_end_all(struct sh_server *s) {
    sh_list_each (node, &s->sockets) {
        struct socket *socket = sh_container_of(node, struct socket, link);
        sh_feed_stop(&socket->feed);
        wslay_event_queue_close(socket->ws, WSLAY_CODE_GOING_AWAY, NULL, 0);
        wslay_event_send(socket->ws);
        shut(socket);
    }
}
