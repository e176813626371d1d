/* Threads that wait for file systems, and one that watches them.
 *
 *   QUEUED --thread takes it--> RUNNING --returns--> DONE
 *      |                           |
 *      +-------- stuck_ms ---------+---> GIVEN_UP   answered EIO; a thread that has it is written
 *                                                   off, and another may start in its place
 *
 * A device on which a call was given up while running is answered EIO at once until that call
 * returns. A thread that comes back from such a call finds its place taken, and ends when there are
 * enough. One lock for all: it is held for list operations only. */
#include "microsandbox/files.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "base/base.h"

enum state { QUEUED, RUNNING, DONE, GIVEN_UP };

struct sh_file {
    struct sh_list link; /* of the pool's queue or of the running ones */
    struct sh_files *pool;
    unsigned refs; /* the agent's, the pool's; all below is under the pool's lock */
    enum state state;
    bool written_off;  /* GIVEN_UP, and so is the thread that has it */
    uint64_t since_ns; /* queued, then running */
    void (*ready)(void *arg);
    void *arg;
    /* The thread's from RUNNING on, the agent's after DONE. */
    struct sh_vfs_call call;
    struct sh_vfs_grant grant;
    struct iovec iov;
    char *bytes;
};

struct sh_files {
    pthread_mutex_t lock;
    pthread_cond_t work, tick, gone;
    struct sh_list queue, running; /* both: oldest first */
    unsigned threads;              /* that can be counted on */
    unsigned idle, stuck;
    dev_t hung[SH_FILE_STUCK_MAX]; /* of the stuck ones */
    uint64_t stuck_ns;
    bool stopping, watcher, watching; /* watching: it will wake by itself */
    unsigned refs;                    /* owner, threads, watcher */
};

/* --- calls ------------------------------------------------------------------------------------ */

static void file_free(struct sh_file *file) {
    struct sh_vfs_call *c = &file->call;

    if (c->op == SH_VFS_OPEN && c->error == 0 && c->opened.fd >= 0) {
        close(c->opened.fd); /* nobody took it */
    }
    sh_close_p(&c->dir);
    sh_close_p(&c->to_dir);
    sh_close_p(&file->grant.root);
    sh_buf_done(&c->out);
    sh_free((void *)(uintptr_t)c->path);
    sh_free((void *)(uintptr_t)c->to);
    sh_free(file->bytes);
    sh_free(file);
}

/* Under the lock. True: it was the last, and the caller frees it after unlocking. */
static bool unref(struct sh_file *file) {
    return --file->refs == 0;
}

static int own(int fd) {
    return fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 3);
}

static void gather(char *to, const struct sh_vfs_call *c) {
    for (size_t i = 0; i < c->n_iov; i++) {
        memcpy(to, c->iov[i].iov_base, c->iov[i].iov_len);
        to += c->iov[i].iov_len;
    }
}

/* A copy that lives by itself, or an errno. */
static int file_new(struct sh_files *f, const struct sh_vfs_call *c, struct sh_file **ret) {
    struct sh_file *file = sh_new(struct sh_file);
    bool out = c->op == SH_VFS_WRITE || c->op == SH_VFS_KEEP;
    bool moves = out || c->op == SH_VFS_READ;
    int rc = 0;

    file->pool = f;
    file->refs = 2;
    file->grant = *c->grant;
    file->call = *c;
    file->call.grant = &file->grant;
    file->call.opened.fd = -1;
    file->call.path = c->path ? sh_strdup(c->path) : NULL;
    file->call.to = c->to ? sh_strdup(c->to) : NULL;
    file->call.dir = own(c->dir);
    file->call.to_dir = own(c->to_dir);
    file->grant.root = own(c->grant->root);
    sh_buf_init(&file->call.out, c->out.max);
    if ((c->dir >= 0 && file->call.dir < 0) || (c->to_dir >= 0 && file->call.to_dir < 0) ||
        (c->grant->root >= 0 && file->grant.root < 0)) {
        rc = EMFILE;
    }
    if (moves && rc == 0) {
        file->bytes = sh_try_alloc(c->bytes, 64 * SH_MIB);
        rc = file->bytes ? 0 : ENOMEM;
    }
    if (rc) {
        file_free(file);
        return rc;
    }
    if (moves) {
        file->iov = (struct iovec){file->bytes, c->bytes};
        file->call.iov = &file->iov;
        file->call.n_iov = 1;
    }
    if (out) {
        gather(file->bytes, c);
    }
    *ret = file;
    return 0;
}

/* Under the lock. */
static void over(struct sh_file *file, enum state state) {
    void (*ready)(void *arg) = file->ready;

    file->state = state;
    file->ready = NULL;
    if (ready) {
        ready(file->arg);
    }
}

/* --- threads ---------------------------------------------------------------------------------- */

static void pool_unref(struct sh_files *f) { /* takes the lock, held */
    bool last = --f->refs == 0;

    pthread_cond_broadcast(&f->gone);
    pthread_mutex_unlock(&f->lock);
    if (last) {
        pthread_cond_destroy(&f->work);
        pthread_cond_destroy(&f->tick);
        pthread_cond_destroy(&f->gone);
        pthread_mutex_destroy(&f->lock);
        sh_free(f);
    }
}

/* A call that had been given up has come back after all: its device answers again. */
static void unstick(struct sh_files *f, dev_t dev) {
    for (unsigned i = 0; i < f->stuck; i++) {
        if (f->hung[i] == dev) {
            f->hung[i] = f->hung[--f->stuck];
            break;
        }
    }
    f->threads++;
}

static void run_one(struct sh_files *f, struct sh_file *file) {
    bool last;

    file->state = RUNNING;
    file->since_ns = sh_mono_ns();
    sh_list_push(&f->running, &file->link);
    pthread_mutex_unlock(&f->lock);
    SH_HANG_POINT(file_call);
    sh_vfs_call_do(&file->call);
    pthread_mutex_lock(&f->lock);
    if (file->written_off) {
        unstick(f, file->grant.dev);
    }
    if (file->state == RUNNING) {
        sh_list_unlink(&file->link);
        over(file, DONE);
    }
    last = unref(file);
    if (last) { /* closing may take its time */
        pthread_mutex_unlock(&f->lock);
        file_free(file);
        pthread_mutex_lock(&f->lock);
    }
}

static void *thread_main(void *arg) {
    struct sh_files *f = arg;

    pthread_mutex_lock(&f->lock);
    while (f->threads <= SH_FILE_THREADS) {
        struct sh_list *link = sh_list_pop(&f->queue);

        if (link) {
            run_one(f, sh_container_of(link, struct sh_file, link));
        } else if (f->stopping) {
            break;
        } else {
            f->idle++;
            pthread_cond_wait(&f->work, &f->lock);
            f->idle--;
        }
    }
    f->threads--;
    pool_unref(f);
    return NULL;
}

/* Under the lock. */
static int thread_start(struct sh_files *f, void *(*body)(void *), const char *name) {
    static const int faults[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGABRT};
    sigset_t all, old;
    pthread_t thread;
    int rc;

    sigfillset(&all); /* signals are the main thread's, but those of this thread's own faults */
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        sigdelset(&all, faults[i]);
    }
    pthread_sigmask(SIG_BLOCK, &all, &old);
    rc = pthread_create(&thread, NULL, body, f);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (rc == 0) {
        pthread_setname_np(thread, name);
        pthread_detach(thread); /* a stuck one could not be joined */
        f->refs++;
    }
    return rc;
}

/* One more thread, where all are busy and there may be more; without any, an errno. */
static int ensure_thread(struct sh_files *f) {
    if (f->idle || f->threads >= SH_FILE_THREADS ||
        f->threads + f->stuck >= SH_FILE_THREADS + SH_FILE_STUCK_MAX) {
        return 0;
    }
    if (thread_start(f, thread_main, "files") == 0) {
        f->threads++;
    }
    return f->threads + f->stuck ? 0 : ENOMEM;
}

/* --- the watcher ------------------------------------------------------------------------------ */

/* Under the lock. Another thread may take the place of the one that is stuck with this call; past
 * SH_FILE_STUCK_MAX the pool has fewer instead. */
static void write_off(struct sh_files *f, struct sh_file *file) {
    if (f->stuck < SH_FILE_STUCK_MAX) {
        file->written_off = true;
        f->hung[f->stuck++] = file->grant.dev;
        f->threads--;
        (void)ensure_thread(f);
    }
}

/* Under the lock. Gives up what has lasted too long; when the next one is due, 0: none. */
static uint64_t give_up(struct sh_files *f) {
    struct sh_list *lists[] = {&f->running, &f->queue};
    uint64_t now = sh_mono_ns(), next = 0;

    for (size_t i = 0; i < 2; i++) {
        while (!sh_list_empty(lists[i])) {
            struct sh_file *file = sh_container_of(lists[i]->next, struct sh_file, link);
            uint64_t due = file->since_ns + f->stuck_ns;

            if (due > now) {
                next = next == 0 || due < next ? due : next;
                break;
            }
            sh_list_unlink(&file->link);
            over(file, GIVEN_UP);
            if (i == 0) { /* the thread keeps its reference, and goes on waiting */
                write_off(f, file);
            } else if (unref(file)) {
                file_free(file);
            }
        }
    }
    return next;
}

static void *watch_main(void *arg) {
    struct sh_files *f = arg;

    pthread_mutex_lock(&f->lock);
    while (!f->stopping) {
        uint64_t next = give_up(f);
        struct timespec at = {.tv_sec = (time_t)(next / 1000000000ULL),
                              .tv_nsec = (long)(next % 1000000000ULL)};

        f->watching = next != 0;
        if (next) {
            pthread_cond_timedwait(&f->tick, &f->lock, &at);
        } else {
            pthread_cond_wait(&f->tick, &f->lock);
        }
    }
    pool_unref(f);
    return NULL;
}

/* --- the pool --------------------------------------------------------------------------------- */

struct sh_files *sh_files_new(uint64_t stuck_ms) {
    struct sh_files *f = sh_new(struct sh_files);
    pthread_condattr_t attr;

    f->stuck_ns = (stuck_ms ? stuck_ms : SH_FILE_STUCK_MS) * 1000000;
    f->refs = 1;
    sh_list_init(&f->queue);
    sh_list_init(&f->running);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&f->lock, NULL);
    pthread_cond_init(&f->work, NULL);
    pthread_cond_init(&f->tick, &attr);
    pthread_cond_init(&f->gone, &attr);
    pthread_condattr_destroy(&attr);
    return f;
}

struct sh_files *sh_files_free(struct sh_files *f) {
    uint64_t until = sh_mono_ns() + 1000000000ULL;
    struct timespec at = {.tv_sec = (time_t)(until / 1000000000ULL),
                          .tv_nsec = (long)(until % 1000000000ULL)};

    if (!f) {
        return NULL;
    }
    pthread_mutex_lock(&f->lock);
    f->stopping = true;
    pthread_cond_broadcast(&f->work);
    pthread_cond_broadcast(&f->tick);
    while (f->refs > 1 && pthread_cond_timedwait(&f->gone, &f->lock, &at) == 0) {
    }
    pool_unref(f);
    return NULL;
}

static bool hangs(const struct sh_files *f, dev_t dev) {
    for (unsigned i = 0; i < f->stuck; i++) {
        if (f->hung[i] == dev) {
            return true;
        }
    }
    return false;
}

int sh_files_start(struct sh_files *f, const struct sh_vfs_call *c, struct sh_file **ret) {
    struct sh_file *file;
    int rc = file_new(f, c, &file);

    if (rc) {
        return rc;
    }
    pthread_mutex_lock(&f->lock);
    if (hangs(f, c->grant->dev)) {
        file->state = GIVEN_UP;
        file->refs = 1;
    } else if ((rc = ensure_thread(f)) == 0) {
        file->since_ns = sh_mono_ns();
        sh_list_push(&f->queue, &file->link);
        pthread_cond_signal(&f->work);
        if (!f->watcher) {
            f->watcher = thread_start(f, watch_main, "files-watch") == 0;
        } else if (!f->watching) {
            f->watching = true;
            pthread_cond_signal(&f->tick);
        }
    }
    pthread_mutex_unlock(&f->lock);
    if (rc) {
        file_free(file);
        return rc;
    }
    *ret = file;
    return 0;
}

void sh_files_close(struct sh_files *f, int fd) {
    struct sh_vfs_grant none = {.root = -1};
    struct sh_vfs_call c = {.op = SH_VFS_CLOSE, .grant = &none, .dir = -1, .to_dir = -1};
    struct sh_file *file = NULL;

    if (file_new(f, &c, &file) != 0) {
        close(fd);
        return;
    }
    file->call.dir = fd;
    file->refs = 1;
    pthread_mutex_lock(&f->lock);
    if (ensure_thread(f) == 0) {
        file->since_ns = sh_mono_ns();
        sh_list_push(&f->queue, &file->link);
        pthread_cond_signal(&f->work);
        file = NULL;
    }
    pthread_mutex_unlock(&f->lock);
    if (file) {
        file_free(file);
    }
}

struct sh_files_counts sh_files_counts(struct sh_files *f) {
    struct sh_files_counts n;

    pthread_mutex_lock(&f->lock);
    n = (struct sh_files_counts){.threads = f->threads, .stuck = f->stuck};
    sh_list_each (node, &f->queue) {
        n.queued++;
    }
    pthread_mutex_unlock(&f->lock);
    return n;
}

/* --- one call --------------------------------------------------------------------------------- */

bool sh_file_wait(struct sh_file *file, void (*ready)(void *arg), void *arg) {
    bool is_over;

    pthread_mutex_lock(&file->pool->lock);
    is_over = file->state >= DONE;
    if (!is_over) {
        file->ready = ready;
        file->arg = arg;
    }
    pthread_mutex_unlock(&file->pool->lock);
    return is_over;
}

void sh_file_unwait(struct sh_file *file) {
    pthread_mutex_lock(&file->pool->lock);
    file->ready = NULL;
    pthread_mutex_unlock(&file->pool->lock);
}

bool sh_file_over(struct sh_file *file) {
    bool is_over;

    pthread_mutex_lock(&file->pool->lock);
    is_over = file->state >= DONE;
    pthread_mutex_unlock(&file->pool->lock);
    return is_over;
}

static void scatter(const struct sh_vfs_call *c, const char *from, size_t n) {
    for (size_t i = 0; i < c->n_iov && n; i++) {
        size_t part = c->iov[i].iov_len < n ? c->iov[i].iov_len : n;

        memcpy(c->iov[i].iov_base, from, part);
        from += part;
        n -= part;
    }
}

void sh_file_answer(struct sh_file *file, struct sh_vfs_call *c) {
    enum state state;

    pthread_mutex_lock(&file->pool->lock);
    state = file->state;
    pthread_mutex_unlock(&file->pool->lock);
    SH_ASSERT(state >= DONE && file->call.op == c->op);
    if (state == GIVEN_UP) { /* what the call says may be being written at this moment */
        c->error = EIO;
        return;
    }
    c->error = file->call.error;
    c->already = file->call.already;
    c->ours = file->call.ours;
    c->done = file->call.done;
    c->offset = file->call.offset;
    c->grown = file->call.grown;
    c->n = file->call.n;
    c->st = file->call.st;
    c->hash = file->call.hash;
    c->opened = file->call.opened;
    file->call.opened.fd = -1;
    if (c->op == SH_VFS_READ) {
        scatter(c, file->bytes, c->done);
    }
    if (c->op == SH_VFS_LIST || c->op == SH_VFS_READLINK || c->op == SH_VFS_FETCH ||
        c->op == SH_VFS_COPY) {
        sh_buf_done(&c->out);
        c->out = file->call.out;
        sh_buf_init(&file->call.out, 0);
    }
}

struct sh_file *sh_file_drop(struct sh_file *file) {
    struct sh_files *f;
    bool last;

    if (!file) {
        return NULL;
    }
    f = file->pool;
    pthread_mutex_lock(&f->lock);
    file->ready = NULL;
    if (file->state == QUEUED) {
        sh_list_unlink(&file->link);
        (void)unref(file);
    }
    last = unref(file);
    pthread_mutex_unlock(&f->lock);
    if (last) {
        file_free(file);
    }
    return NULL;
}
