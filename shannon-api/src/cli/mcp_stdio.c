/* Reading is as in run_stdin.c: what can be polled is polled, files are read in steps. Output never
 * blocks the loop: at most PIPE_BUF bytes go out after poll(2) said that they fit, the rest waits,
 * and while much of it waits nothing more is read, so a client that does not read gets no new
 * calls through. */
#include "cli/mcp_stdio.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#define AGAIN_NS 5000000ULL
#define OUT_MAX (64 * SH_MIB)
#define OUT_HIGH (8 * SH_MIB)

static void read_more(struct sh_mcp_stdio *io);
static void write_more(struct sh_mcp_stdio *io);

void sh_mcp_stdio_init(struct sh_mcp_stdio *io) {
    sh_buf_init(&io->in, SH_MCP_MESSAGE_MAX + 2 * 65536);
    sh_buf_init(&io->out, OUT_MAX);
}

/* --- out -------------------------------------------------------------------------------------- */

static bool is_ready(int fd, short events, int ms) {
    struct pollfd p = {.fd = fd, .events = events};
    return poll(&p, 1, ms) > 0;
}

/* A client that starts us over a socket pair has no PIPE_BUF: only send() can promise. */
static ssize_t put(const char *p, size_t n) {
    ssize_t w = send(STDOUT_FILENO, p, n, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (w < 0 && errno == ENOTSOCK) {
        w = write(STDOUT_FILENO, p, n < PIPE_BUF ? n : PIPE_BUF);
    }
    return w;
}

static void on_out_timer(struct sh_timer *t) {
    write_more(sh_container_of(t, struct sh_mcp_stdio, out_timer));
}

static void write_some(struct sh_mcp_stdio *io, int ms) {
    size_t sent = 0;
    while (sent < io->out.len && !io->broken && is_ready(STDOUT_FILENO, POLLOUT, ms)) {
        ssize_t w = put(io->out.p + sent, io->out.len - sent);
        if (w > 0) {
            sent += (size_t)w;
        } else if (w < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            break;
        } else if (w < 0 && errno != EINTR) {
            io->broken = true;
        }
    }
    sh_buf_drop(&io->out, io->broken ? io->out.len : sent);
}

static void write_more(struct sh_mcp_stdio *io) {
    write_some(io, 0);
    if (io->broken) {
        io->on_end(io->arg);
    } else if (io->out.len && io->loop) {
        sh_timer_start(io->loop, &io->out_timer, AGAIN_NS, on_out_timer);
    }
}

void sh_mcp_stdio_write(struct sh_mcp_stdio *io, struct sh_str text) {
    bool waits = io->out.len > 0;
    if (io->broken) {
        return;
    }
    sh_buf_add(&io->out, text.p, text.len);
    sh_buf_addc(&io->out, '\n');
    if (io->out.failed) { /* 64 MiB that nobody reads */
        sh_buf_clear(&io->out);
        io->broken = true;
        io->on_end(io->arg);
    } else if (!waits) {
        write_more(io);
    }
}

void sh_mcp_stdio_flush(struct sh_mcp_stdio *io, int ms) {
    uint64_t end = sh_mono_ns() + (uint64_t)ms * 1000000;
    while (io->out.len && !io->broken && sh_mono_ns() < end) {
        write_some(io, 50);
    }
}

/* --- in --------------------------------------------------------------------------------------- */

static void take_lines(struct sh_mcp_stdio *io) {
    size_t start = 0;
    for (;;) {
        char *p = io->in.p ? io->in.p + start : NULL;
        char *newline = p ? memchr(p, '\n', io->in.len - start) : NULL;
        if (!newline) {
            break;
        }
        size_t n = (size_t)(newline - p);
        bool too_long = io->skipping || n > SH_MCP_MESSAGE_MAX;
        io->skipping = false;
        if (n || too_long) {
            io->on_line(io->arg, sh_strn(p, too_long ? 0 : n), too_long);
        }
        start += n + 1;
    }
    sh_buf_drop(&io->in, start);
    if (io->in.len > SH_MCP_MESSAGE_MAX) {
        io->skipping = true;
        sh_buf_clear(&io->in);
    }
}

static void on_in_timer(struct sh_timer *t) {
    read_more(sh_container_of(t, struct sh_mcp_stdio, in_timer));
}

static void on_poll(uv_poll_t *poll_handle, int status, int events) {
    (void)status;
    (void)events;
    read_more(poll_handle->data);
}

static void wait_for_more(struct sh_mcp_stdio *io) {
    bool full = io->out.len > OUT_HIGH;
    if (io->polls && !full) {
        uv_poll_start(&io->poll, UV_READABLE | UV_DISCONNECT, on_poll);
        return;
    }
    if (io->polls) {
        uv_poll_stop(&io->poll);
    }
    sh_timer_start(io->loop, &io->in_timer, full || !io->polls ? AGAIN_NS : 0, on_in_timer);
}

static void read_more(struct sh_mcp_stdio *io) {
    if (io->eof || io->out.len > OUT_HIGH || !is_ready(STDIN_FILENO, POLLIN, 0)) {
        if (!io->eof) {
            wait_for_more(io);
        }
        return;
    }
    char *room = sh_buf_room(&io->in, 65536);
    SH_ASSERT(room);
    ssize_t n = read(STDIN_FILENO, room, 65536);
    room[n > 0 ? n : 0] = 0;
    if (n > 0) {
        io->in.len += (size_t)n;
        take_lines(io);
    } else if (n == 0 || (errno != EINTR && errno != EAGAIN)) {
        io->eof = true;
        if (io->polls) {
            uv_poll_stop(&io->poll);
        }
        io->on_end(io->arg);
        return;
    }
    if (io->loop) {
        wait_for_more(io);
    }
}

/* --- both ------------------------------------------------------------------------------------- */

void sh_mcp_stdio_start(struct sh_mcp_stdio *io, struct sh_loop *loop) {
    int flags = fcntl(STDIN_FILENO, F_GETFL);
    io->loop = loop;
    io->polls = uv_poll_init(sh_loop_uv(loop), &io->poll, STDIN_FILENO) == 0;
    if (flags >= 0) { /* libuv made it non-blocking, and with it our parent's */
        fcntl(STDIN_FILENO, F_SETFL, flags);
    }
    io->poll.data = io;
    if (!io->eof) {
        sh_timer_start(loop, &io->in_timer, 0, on_in_timer);
    }
    sh_timer_start(loop, &io->out_timer, 0, on_out_timer);
}

static void on_closed(uv_handle_t *handle) {
    struct sh_mcp_stdio *io = handle->data;
    io->polls = false;
    sh_loop_stop(io->loop);
}

void sh_mcp_stdio_stop(struct sh_mcp_stdio *io) {
    if (!io->loop) {
        return;
    }
    sh_timer_stop(&io->in_timer);
    sh_timer_stop(&io->out_timer);
    if (io->polls) {
        uv_close((uv_handle_t *)&io->poll, on_closed);
        while (io->polls) {
            sh_loop_run(io->loop);
        }
    }
    io->loop = NULL;
}

void sh_mcp_stdio_done(struct sh_mcp_stdio *io) {
    sh_buf_done(&io->in);
    sh_buf_done(&io->out);
}
