/* Server-sent events. Frames collect in a small buffer; the daemon's reader empties it and suspends
 * the connection when there is nothing. A client that does not read fills its socket, the reader is
 * no longer asked, the buffer passes the high-water mark and the feed is paused: the journal keeps
 * the rest. The daemon's connection timeout ends a client that reads nothing at all. */
#include "http/door.h"

#include <sys/socket.h>

struct stream {
    struct sh_list link;
    struct sh_door *door;
    struct MHD_Connection *connection;
    struct sh_feed feed;
    struct sh_buf out;
    bool suspended, ended;
};

static void wake(struct stream *st) {
    if (st->suspended) {
        st->suspended = false;
        MHD_resume_connection(st->connection);
        sh_door_kick(st->door);
    }
}

static void on_frame(void *arg, const struct sh_frame *frame) {
    struct stream *st = arg;
    sh_frame_sse(frame, &st->out);
    if (!frame->data) {
        st->ended = true;
    }
    if (st->out.failed) {
        st->ended = true; /* one frame beyond all bounds: end here, the client resumes at its id */
        sh_buf_clear(&st->out);
    }
    if (st->out.len > SH_STREAM_HIGH_WATER) {
        sh_feed_pause(&st->feed);
    }
    wake(st);
}

static ssize_t on_read(void *arg, uint64_t pos, char *buf, size_t max) {
    struct stream *st = arg;
    (void)pos;
    size_t n = st->out.len < max ? st->out.len : max;
    if (n) {
        memcpy(buf, st->out.p, n);
        sh_buf_drop(&st->out, n);
        if (st->out.len < SH_STREAM_HIGH_WATER / 4) {
            sh_feed_resume(&st->feed);
        }
        return (ssize_t)n;
    }
    if (st->ended) {
        return MHD_CONTENT_READER_END_OF_STREAM;
    }
    st->suspended = true;
    MHD_suspend_connection(st->connection);
    return 0;
}

static void on_free(void *arg) {
    struct stream *st = arg;
    sh_feed_stop(&st->feed);
    sh_list_unlink(&st->link);
    st->door->server->api->streams--;
    sh_buf_done(&st->out);
    sh_free(st);
}

static struct stream *stream_new(struct sh_exchange *x, struct sh_err *err) {
    struct stream *st = sh_new(struct stream);
    st->door = x->door;
    st->connection = x->connection;
    sh_buf_init(&st->out, 2 * SH_EVENT_BODY_MAX + SH_STREAM_HIGH_WATER);
    sh_buf_adds(&st->out, ": connected\n\n");
    const struct sh_stream_ask *ask = &x->r->stream;
    if (sh_feed_start(&st->feed, x->r->api->app->engine, ask->workflow, ask->types, ask->after,
                      on_frame, st, err) < 0) {
        sh_buf_done(&st->out);
        return sh_free(st);
    }
    sh_list_push(&x->door->server->streams, &st->link);
    x->r->api->streams++;
    return st;
}

enum MHD_Result sh_sse_open(struct sh_exchange *x) {
    struct sh_err err = {0};
    struct stream *st = stream_new(x, &err);
    if (!st) {
        return sh_exchange_error(x, &err);
    }
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(x->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    int small = 16 * 1024; /* or a stalled client hides behind the kernel's buffer */
    setsockopt(info->connect_fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
    struct MHD_Response *response =
        MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 4096, on_read, st, on_free);
    if (!response) {
        on_free(st);
        return MHD_NO;
    }
    sh_exchange_headers(x, response);
    MHD_add_response_header(response, "Content-Type", "text/event-stream");
    MHD_add_response_header(response, "X-Accel-Buffering", "no");
    MHD_add_response_header(response, "X-Workflow-ID", x->r->stream.workflow);
    enum MHD_Result result = MHD_queue_response(x->connection, 200, response);
    MHD_destroy_response(response);
    return result;
}

void sh_sse_heartbeat(struct sh_server *s) {
    sh_list_each (node, &s->streams) {
        struct stream *st = sh_container_of(node, struct stream, link);
        if (st->out.len == 0 && !st->ended) {
            sh_buf_adds(&st->out, ": ping\n\n");
            wake(st);
        }
    }
}

void sh_sse_end_all(struct sh_server *s) {
    sh_list_each (node, &s->streams) {
        struct stream *st = sh_container_of(node, struct stream, link);
        sh_feed_stop(&st->feed);
        st->ended = true;
        wake(st);
    }
}
