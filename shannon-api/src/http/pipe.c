#include "http/pipe.h"

struct sh_pipe {
    struct sh_pipe_reader reader;
    void (*on_gone)(void *arg);
    void *arg;
    bool done, left; /* writer and door have gone */
};

struct sh_pipe *sh_pipe_new(size_t max, void (*on_gone)(void *arg), void *arg) {
    struct sh_pipe *p = sh_new(struct sh_pipe);
    sh_buf_init(&p->reader.out, max);
    p->on_gone = on_gone;
    p->arg = arg;
    return p;
}

static void pipe_free(struct sh_pipe *p) {
    sh_buf_done(&p->reader.out);
    sh_free(p);
}

static void wake(struct sh_pipe *p) {
    if (p->reader.wake) {
        p->reader.wake(p->reader.wake_arg);
    }
}

void sh_pipe_event(struct sh_pipe *p, struct sh_str data) {
    struct sh_buf *out = &p->reader.out;
    if (p->left || p->reader.ended) {
        return;
    }
    sh_buf_adds(out, "event: message\ndata: ");
    sh_buf_add(out, data.p, data.len);
    sh_buf_adds(out, "\n\n");
    if (out->failed) { /* the client does not read: what it has is all it gets */
        sh_buf_clear(out);
        p->reader.ended = true;
    }
    wake(p);
}

void sh_pipe_end(struct sh_pipe *p) {
    p->done = p->reader.ended = true;
    if (p->left) {
        pipe_free(p);
    } else {
        wake(p);
    }
}

struct sh_pipe_reader *sh_pipe_reader(struct sh_pipe *p) {
    return &p->reader;
}

void sh_pipe_leave(struct sh_pipe *p) {
    p->left = true;
    p->reader.wake = NULL;
    if (p->done) {
        pipe_free(p);
    } else {
        p->on_gone(p->arg);
    }
}
