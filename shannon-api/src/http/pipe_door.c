/* libmicrohttpd's side of a pipe: as sse.c, but what is sent comes from a handler. */
#include "http/door.h"
#include "http/pipe.h"

struct flow {
    struct sh_list link;
    struct sh_door *door;
    struct MHD_Connection *connection;
    struct sh_pipe *pipe;
    bool suspended;
};

static void wake(void *arg) {
    struct flow *f = arg;
    if (f->suspended) {
        f->suspended = false;
        MHD_resume_connection(f->connection);
        sh_door_kick(f->door);
    }
}

static ssize_t on_read(void *arg, uint64_t pos, char *buf, size_t max) {
    struct flow *f = arg;
    struct sh_pipe_reader *in = sh_pipe_reader(f->pipe);
    size_t n = in->out.len < max ? in->out.len : max;
    (void)pos;
    if (n) {
        memcpy(buf, in->out.p, n);
        sh_buf_drop(&in->out, n);
        return (ssize_t)n;
    }
    if (in->ended) {
        return MHD_CONTENT_READER_END_OF_STREAM;
    }
    f->suspended = true;
    MHD_suspend_connection(f->connection);
    return 0;
}

static void on_free(void *arg) {
    struct flow *f = arg;
    sh_list_unlink(&f->link);
    f->door->server->api->streams--;
    sh_pipe_leave(f->pipe);
    sh_free(f);
}

enum MHD_Result sh_pipe_open(struct sh_exchange *x) {
    struct flow *f = sh_new(struct flow);
    f->door = x->door;
    f->connection = x->connection;
    f->pipe = sh_take(&x->r->pipe);
    sh_list_push(&x->door->server->pipes, &f->link);
    x->r->api->streams++;
    struct sh_pipe_reader *in = sh_pipe_reader(f->pipe);
    in->wake = wake;
    in->wake_arg = f;
    struct MHD_Response *response =
        MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 4096, on_read, f, on_free);
    if (!response) {
        on_free(f);
        return MHD_NO;
    }
    sh_exchange_headers(x, response);
    MHD_add_response_header(response, "Content-Type", "text/event-stream");
    MHD_add_response_header(response, "X-Accel-Buffering", "no");
    enum MHD_Result result = MHD_queue_response(x->connection, 200, response);
    MHD_destroy_response(response);
    return result;
}

/* A client that has gone shows only when something is written. */
void sh_pipe_heartbeat(struct sh_server *s) {
    sh_list_each (node, &s->pipes) {
        struct flow *f = sh_container_of(node, struct flow, link);
        struct sh_pipe_reader *in = sh_pipe_reader(f->pipe);
        if (in->out.len == 0 && !in->ended) {
            sh_buf_adds(&in->out, ": ping\n\n");
            wake(f);
        }
    }
}
