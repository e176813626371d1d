/* The loop and its inbox. Any thread appends a message to a list under a mutex; whoever makes the
 * list non-empty sends the one uv_async. The loop takes the whole list at once and runs it in
 * order.
 *
 * The turn hook runs in libuv's prepare phase, right before the loop may sleep, like Redis's
 * beforeSleep: whatever ran since the last sleep (messages, timers, jobs, descriptors, handles of
 * other users of the loop, close callbacks) is one turn, and the hook cannot run inside any of
 * it. */
#include <errno.h>
#include <signal.h>
#include <unistd.h>

#include "loop/internal.h"

static void run_hook(struct sh_loop *l) {
    if (l->hook) {
        l->hook(l->hook_arg);
    }
}

static void on_before_sleep(uv_prepare_t *handle) {
    run_hook(handle->data);
}

/* True when there was something to run. */
static bool run_inbox(struct sh_loop *l) {
    pthread_mutex_lock(&l->inbox_lock);
    struct sh_msg *msg = l->inbox;
    l->inbox = NULL;
    l->inbox_end = &l->inbox;
    pthread_mutex_unlock(&l->inbox_lock);
    bool any = msg != NULL;
    while (msg) {
        struct sh_msg *next = msg->next; /* run() may free msg or post it again */
        msg->next = NULL;
        msg->run(msg);
        msg = next;
    }
    return any;
}

/* Adaptive: who posts wakes the loop under the lock and leaves it a microsecond later, so the woken
 * loop spins for it instead of sleeping again. */
static void inbox_init(struct sh_loop *l) {
    pthread_mutexattr_t attr;

    l->inbox_end = &l->inbox;
    SH_ASSERT(pthread_mutexattr_init(&attr) == 0);
    SH_ASSERT(pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ADAPTIVE_NP) == 0);
    SH_ASSERT(pthread_mutex_init(&l->inbox_lock, &attr) == 0);
    pthread_mutexattr_destroy(&attr);
}

static void on_wake(uv_async_t *handle) {
    run_inbox(handle->data);
}

void sh_loop_post(struct sh_loop *l, struct sh_msg *msg) {
    msg->next = NULL;
    pthread_mutex_lock(&l->inbox_lock);
    bool first = l->inbox == NULL;
    *l->inbox_end = msg;
    l->inbox_end = &msg->next;
    if (first) { /* under the lock: the loop may be freed as soon as the last message was run */
        uv_async_send(&l->inbox_wake);
    }
    pthread_mutex_unlock(&l->inbox_lock);
}

static int uv_failed(struct sh_err *err, const char *what, int rc) {
    return sh_fail_errno(err, SH_E_IO, -rc, "the event loop could not start: %s", what);
}

/* What libuv needs; all of these close through close_handles(). */
static int open_handles(struct sh_loop *l, struct sh_err *err) {
    int rc = uv_async_init(&l->uv, &l->inbox_wake, on_wake);
    if (rc) {
        return uv_failed(err, "uv_async_init", rc);
    }
    l->inbox_wake.data = l;
    SH_ASSERT(uv_prepare_init(&l->uv, &l->before_sleep) == 0);
    l->before_sleep.data = l;
    SH_ASSERT(uv_prepare_start(&l->before_sleep, on_before_sleep) == 0);
    return sh_timers_init(l, err);
}

static void close_handle(void *handle) {
    uv_handle_t *h = handle;
    if (h->type != UV_UNKNOWN_HANDLE && !uv_is_closing(h)) {
        uv_close(h, NULL);
    }
}

static void close_all(struct sh_loop *l) {
    for (size_t i = 0; i < SH_POOLS; i++) {
        sh_workers_stop(&l->pools[i]);
    }
    if (l->http) {
        sh_http_client_close(l->http);
    }
    sh_tcps_close(l);
    sh_timers_close(l);
    close_handle(&l->before_sleep);
    close_handle(&l->inbox_wake);
    for (int i = 0; i < 3; i++) { /* closing never waits; one turn may go to a stop left over */
        uv_run(&l->uv, UV_RUN_NOWAIT);
    }
    l->http = sh_http_client_free(l->http);
    SH_ASSERT(uv_loop_close(&l->uv) == 0); /* fails when someone left a handle open */
    pthread_mutex_destroy(&l->inbox_lock);
    sh_free(l);
}

int sh_loop_new(struct sh_loop **ret, struct sh_err *err) {
    static const char *const names[SH_POOLS] = {"shannon-files", "shannon-compute",
                                                "shannon-compile"};
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    const size_t threads[SH_POOLS] = {2, 2, cores < 2 ? 2 : cores > 4 ? 4 : (size_t)cores};
    struct sh_loop *l = sh_new(struct sh_loop);
    int rc = uv_loop_init(&l->uv);
    if (rc) {
        sh_free(l);
        return uv_failed(err, "uv_loop_init", rc);
    }
    /* A peer that hangs up is an error of that connection, never the end of the process; curl is
     * told to leave signals alone. */
    signal(SIGPIPE, SIG_IGN);
    l->thread = pthread_self();
    sh_list_init(&l->tcps);
    l->timers.fd = -1;
    inbox_init(l);
    rc = open_handles(l, err);
    for (size_t i = 0; rc == 0 && i < SH_POOLS; i++) {
        rc = sh_workers_start(&l->pools[i], names[i], threads[i], err);
    }
    if (rc) {
        close_all(l);
        return rc;
    }
    *ret = l;
    return 0;
}

void sh_loop_run(struct sh_loop *l) {
    SH_ON_LOOP(l);
    uv_run(&l->uv, UV_RUN_DEFAULT);
    run_hook(l); /* the turn that stopped the loop is a turn, too */
}

void sh_loop_stop(struct sh_loop *l) {
    SH_ON_LOOP(l);
    uv_stop(&l->uv);
}

struct sh_loop *sh_loop_free(struct sh_loop *l) {
    if (!l) {
        return NULL;
    }
    SH_ON_LOOP(l);
    l->hook = NULL; /* its owner may be gone */
    while (run_inbox(l) || atomic_load(&l->jobs) || sh_tcps_linger(l)) {
        /* every job's done() runs; it may free what it hangs on */
        if (atomic_load(&l->jobs) || sh_tcps_linger(l)) {
            uv_run(&l->uv, UV_RUN_ONCE);
        }
    }
    close_all(l);
    return NULL;
}

struct uv_loop_s *sh_loop_uv(struct sh_loop *l) {
    return &l->uv;
}

bool sh_loop_is_current(const struct sh_loop *l) {
    return pthread_equal(l->thread, pthread_self());
}

void sh_loop_on_turn(struct sh_loop *l, void (*hook)(void *arg), void *arg) {
    SH_ON_LOOP(l);
    SH_ASSERT(!hook || !l->hook);
    l->hook = hook;
    l->hook_arg = arg;
}
