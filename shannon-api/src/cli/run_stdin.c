/* Pipes, terminals and sockets are polled. Files and devices that cannot be polled (/dev/null)
 * never wait for long, so they are read in small steps from a timer. The engine's queue is bounded:
 * what it refuses is kept and offered again, and nothing more is read until then. */
#include "cli/run_stdin.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#define AGAIN_NS 5000000ULL

static void step(struct sh_run_stdin *in);

static void on_timer(struct sh_timer *t) {
    step(sh_container_of(t, struct sh_run_stdin, timer));
}

static void on_poll(uv_poll_t *poll, int status, int events) {
    (void)status;
    (void)events;
    step(poll->data);
}

static void wait_for_more(struct sh_run_stdin *in) {
    if (in->polls && in->n_pending == 0) {
        uv_poll_start(&in->poll, UV_READABLE | UV_DISCONNECT, on_poll);
        return;
    }
    if (in->polls) {
        uv_poll_stop(&in->poll);
    }
    sh_timer_start(in->loop, &in->timer, in->n_pending ? AGAIN_NS : 0, on_timer);
}

/* Nothing is read ahead of a poll that said so: a terminal would block the loop. */
static bool is_ready(void) {
    struct pollfd p = {.fd = STDIN_FILENO, .events = POLLIN};
    return poll(&p, 1, 0) > 0;
}

static void read_some(struct sh_run_stdin *in) {
    if (!is_ready()) {
        return;
    }
    ssize_t n = read(STDIN_FILENO, in->pending, sizeof(in->pending));
    if (n > 0) {
        in->n_pending = (size_t)n;
    } else if (n == 0 || (errno != EINTR && errno != EAGAIN)) {
        in->eof = true;
    }
}

static void step(struct sh_run_stdin *in) {
    if (in->n_pending == 0 && !in->eof) {
        read_some(in);
    }
    if (in->n_pending || in->eof) {
        int rc = in->give(in->arg, sh_strn(in->pending, in->n_pending), in->eof);
        if (rc == 0) {
            in->n_pending = 0;
        } else if (rc != -SH_E_LIMIT) {
            in->eof = true; /* the agent has ended or takes no more */
            in->n_pending = 0;
        }
        if (rc != -SH_E_LIMIT && in->eof) {
            if (in->polls) {
                uv_poll_stop(&in->poll);
            }
            return;
        }
    }
    wait_for_more(in);
}

void sh_run_stdin_start(struct sh_run_stdin *in, struct sh_loop *loop, sh_run_stdin_fn give,
                        void *arg) {
    in->loop = loop;
    in->give = give;
    in->arg = arg;
    in->started = true;
    int flags = fcntl(STDIN_FILENO, F_GETFL);
    in->polls = uv_poll_init(sh_loop_uv(loop), &in->poll, STDIN_FILENO) == 0;
    if (flags >=
        0) { /* libuv made it non-blocking, and with it a terminal's stdout and our parent's */
        fcntl(STDIN_FILENO, F_SETFL, flags);
    }
    in->poll.data = in;
    struct stat st;
    in->eof = fstat(STDIN_FILENO, &st) < 0;
    sh_timer_start(loop, &in->timer, 0, on_timer);
}

static void on_closed(uv_handle_t *handle) {
    struct sh_run_stdin *in = handle->data;
    in->polls = false;
    sh_loop_stop(in->loop);
}

void sh_run_stdin_stop(struct sh_run_stdin *in) {
    if (!in->started) {
        return;
    }
    sh_timer_stop(&in->timer);
    if (in->polls) {
        uv_close((uv_handle_t *)&in->poll, on_closed);
        while (in->polls) {
            sh_loop_run(in->loop);
        }
    }
    in->started = false;
}
