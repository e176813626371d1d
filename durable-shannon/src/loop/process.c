/* Child processes on the loop: pipes for its three descriptors, a pidfd for its end. A child is the
 * head of its own process group, which dies as one: when it is closed, when it ended, and (through
 * PDEATHSIG) the child itself with us.
 *
 * The end is told after the last byte of output, unless a descendant that left the group keeps the
 * pipe open: then GRACE later. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "loop/internal.h"
#include "loop/process_internal.h"

#define GRACE_NS 500000000ULL
enum { CHILD_STACK = 65536 };

struct sh_process {
    struct sh_loop *loop;
    pid_t pid;
    int pidfd, status;
    uv_pipe_t in, out, err;
    uv_poll_t end;
    struct sh_timer grace;
    unsigned handles; /* open ones, of uv */
    bool in_open, ended, closed, told;
    unsigned streams; /* of out and err: not at their end */
    void (*on_out)(void *arg, struct sh_str bytes);
    void (*on_err)(void *arg, struct sh_str bytes);
    void (*on_exit)(void *arg, int status, int signal);
    void *arg;
};

struct write {
    uv_write_t request;
    size_t n;
    char bytes[];
};

static void on_closed(uv_handle_t *handle) {
    struct sh_process *p = handle->data;
    if (--p->handles == 0) {
        sh_free(p);
    }
}

static void close_handle(uv_handle_t *handle) {
    if (!uv_is_closing(handle)) {
        uv_close(handle, on_closed);
    }
}

static void kill_group(struct sh_process *p) {
    (void)kill(-p->pid, SIGKILL);
}

void sh_process_close(struct sh_process *p) {
    if (!p || p->closed) {
        return;
    }
    SH_ON_LOOP(p->loop);
    p->closed = true;
    if (!p->ended) {
        kill_group(p);
        (void)waitpid(p->pid, NULL, 0); /* it was killed: this is short */
    }
    close(p->pidfd);
    sh_timer_stop(&p->grace);
    close_handle((uv_handle_t *)&p->in);
    close_handle((uv_handle_t *)&p->out);
    close_handle((uv_handle_t *)&p->err);
    close_handle((uv_handle_t *)&p->end);
}

static void tell_end(struct sh_process *p) {
    if (p->closed || p->told || !p->ended) {
        return;
    }
    p->told = true;
    sh_timer_stop(&p->grace);
    p->on_exit(p->arg, WIFEXITED(p->status) ? WEXITSTATUS(p->status) : -1,
               WIFSIGNALED(p->status) ? WTERMSIG(p->status) : 0);
}

static void on_grace(struct sh_timer *t) {
    tell_end(sh_container_of(t, struct sh_process, grace));
}

static void on_end(uv_poll_t *handle, int status, int events) {
    struct sh_process *p = handle->data;
    (void)status;
    (void)events;
    if (p->ended || waitpid(p->pid, &p->status, WNOHANG) != p->pid) {
        return;
    }
    p->ended = true;
    uv_poll_stop(handle);
    kill_group(p); /* what it left behind; its number is kept by what is in the group */
    if (p->streams == 0) {
        tell_end(p);
    } else {
        sh_timer_start(p->loop, &p->grace, GRACE_NS, on_grace);
    }
}

static void on_alloc(uv_handle_t *handle, size_t wish, uv_buf_t *buf) {
    enum { CHUNK = 65536 };
    (void)handle;
    (void)wish;
    *buf = uv_buf_init(sh_alloc(CHUNK), CHUNK);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf) {
    struct sh_process *p = stream->data;
    bool is_out = stream == (uv_stream_t *)&p->out;
    void (*fn)(void *arg, struct sh_str bytes) = is_out ? p->on_out : p->on_err;
    if (n > 0 && fn && !p->closed && !p->told) {
        fn(p->arg, sh_strn(buf->base, (size_t)n));
    }
    sh_free(buf->base);
    if (n < 0 && !p->closed) {
        uv_read_stop(stream);
        p->streams--;
        if (p->streams == 0) {
            tell_end(p);
        }
    }
}

static void on_written(uv_write_t *request, int status) {
    (void)status; /* a child that does not read will end, and that is told */
    sh_free(request->data);
}

int sh_process_write(struct sh_process *p, struct sh_str bytes, size_t most, struct sh_err *err) {
    SH_ON_LOOP(p->loop);
    size_t queued = uv_stream_get_write_queue_size((uv_stream_t *)&p->in);
    if (p->closed || !p->in_open || p->ended) {
        return sh_fail(err, SH_E_UNAVAILABLE, "the process takes no input any more");
    }
    if (bytes.len > most || queued > most - bytes.len) {
        return sh_fail(err, SH_E_LIMIT, "the process does not read: %zu bytes wait for it", queued);
    }
    struct write *w = sh_alloc(sizeof(*w) + bytes.len);
    w->n = bytes.len;
    w->request.data = w;
    memcpy(w->bytes, bytes.p, bytes.len);
    uv_buf_t buf = uv_buf_init(w->bytes, (unsigned)w->n);
    int rc = uv_write(&w->request, (uv_stream_t *)&p->in, &buf, 1, on_written);
    if (rc < 0) {
        sh_free(w);
        return sh_fail(err, SH_E_UNAVAILABLE, "cannot write to the process: %s", uv_strerror(rc));
    }
    return 0;
}

static void on_shutdown(uv_shutdown_t *request, int status) {
    (void)status;
    struct sh_process *p = request->data;
    if (!p->closed && p->in_open) {
        p->in_open = false;
        close_handle((uv_handle_t *)&p->in);
    }
    sh_free(request);
}

void sh_process_end_input(struct sh_process *p) {
    SH_ON_LOOP(p->loop);
    uv_shutdown_t *request = sh_new(uv_shutdown_t);
    request->data = p;
    if (p->closed || !p->in_open || uv_shutdown(request, (uv_stream_t *)&p->in, on_shutdown) < 0) {
        sh_free(request);
    }
}

static int pipes_open(int fd[3][2], struct sh_err *err) {
    for (int i = 0; i < 3; i++) {
        fd[i][0] = fd[i][1] = -1;
    }
    for (int i = 0; i < 3; i++) {
        if (pipe2(fd[i], O_CLOEXEC) != 0) {
            return sh_fail_errno(err, SH_E_IO, errno, "cannot make pipes for a process");
        }
    }
    return 0;
}

static void pipes_close(int fd[3][2]) {
    for (int i = 0; i < 3; i++) {
        sh_close_p(&fd[i][0]);
        sh_close_p(&fd[i][1]);
    }
}

static void watch(struct sh_process *p, int fd[3][2]) {
    struct uv_loop_s *uv = &p->loop->uv;
    uv_pipe_t *pipes[] = {&p->in, &p->out, &p->err};
    for (int i = 0; i < 3; i++) {
        SH_ASSERT(uv_pipe_init(uv, pipes[i], 0) == 0);
        int *ours = i == 0 ? &fd[i][1] : &fd[i][0];
        SH_ASSERT(uv_pipe_open(pipes[i], *ours) == 0);
        *ours = -1;
        pipes[i]->data = p;
    }
    SH_ASSERT(uv_poll_init(uv, &p->end, p->pidfd) == 0);
    p->end.data = p;
    p->handles = 4;
    p->in_open = true;
    p->streams = 2;
    SH_ASSERT(uv_poll_start(&p->end, UV_READABLE, on_end) == 0);
    SH_ASSERT(uv_read_start((uv_stream_t *)&p->out, on_alloc, on_read) == 0);
    SH_ASSERT(uv_read_start((uv_stream_t *)&p->err, on_alloc, on_read) == 0);
}

struct birth {
    const struct sh_process_options *o;
    pid_t parent;
    int from[3];
};

static int born(void *arg) {
    const struct birth *b = arg;
    sh_process_child(b->o, b->parent, b->from);
}

/* As vfork, with a stack of its own: a copy of the page tables of a server that reserves terabytes
 * of addresses takes milliseconds, in which the loop stands still. No handler of a signal may run
 * in the child while it has our memory, so all are blocked until it has given them up. */
static pid_t give_birth(const struct birth *b) {
    _Alignas(16) char stack[CHILD_STACK];
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    int shared = 0; /* what they know of memory is not to be changed by two */
#else
    int shared = CLONE_VM | CLONE_VFORK;
#endif
    sigset_t all, before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    pid_t pid = clone(born, stack + sizeof(stack), shared | SIGCHLD, (void *)(uintptr_t)b);
    int error = errno;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = error;
    return pid;
}

int sh_process_start(struct sh_loop *l, const struct sh_process_options *o, struct sh_process **ret,
                     struct sh_err *err) {
    int fd[3][2];
    SH_ON_LOOP(l);
    int r = pipes_open(fd, err);
    const struct birth birth = {o, getpid(), {fd[0][0], fd[1][1], fd[2][1]}};
    pid_t pid = r == 0 ? give_birth(&birth) : -1;
    int pidfd = pid > 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
    if (r == 0 && (pid < 0 || pidfd < 0)) {
        r = sh_fail_errno(err, SH_E_IO, errno, "cannot start %s", o->program);
    }
    if (r) {
        if (pid > 0) {
            (void)kill(pid, SIGKILL);
            (void)waitpid(pid, NULL, 0);
        }
        pipes_close(fd);
        return r;
    }
    (void)setpgid(pid, pid); /* the child does the same; whoever is first */
    struct sh_process *p = sh_new(struct sh_process);
    *p = (struct sh_process){.loop = l,
                             .pid = pid,
                             .pidfd = pidfd,
                             .on_out = o->on_out,
                             .on_err = o->on_err,
                             .on_exit = o->on_exit,
                             .arg = o->arg};
    watch(p, fd);
    pipes_close(fd);
    *ret = p;
    return 0;
}
