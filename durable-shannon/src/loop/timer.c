/* Timers: a binary heap by due time over one timerfd on CLOCK_BOOTTIME, exact to the microsecond
 * (libuv's own count in milliseconds and stop while the machine sleeps). The descriptor is set
 * again only when an earlier timer comes, or when it fires; a stopped timer leaves it too early at
 * worst, which costs one empty wake-up. */
#include <errno.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "loop/internal.h"

static bool before(const struct sh_heap_entry *a, const struct sh_heap_entry *b) {
    return a->due_ns != b->due_ns ? a->due_ns < b->due_ns : a->order < b->order;
}

static void place(struct sh_timers *ts, size_t i, struct sh_heap_entry e) {
    ts->heap[i] = e;
    e.timer->slot = i + 1;
}

/* Put e where position i is free: up as long as it is before its parent, else down. */
static void settle(struct sh_timers *ts, size_t i, struct sh_heap_entry e) {
    while (i && before(&e, &ts->heap[(i - 1) / 2])) {
        place(ts, i, ts->heap[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    for (size_t child = 2 * i + 1; child < ts->n; child = 2 * i + 1) {
        if (child + 1 < ts->n && before(&ts->heap[child + 1], &ts->heap[child])) {
            child++;
        }
        if (before(&e, &ts->heap[child])) {
            break;
        }
        place(ts, i, ts->heap[child]);
        i = child;
    }
    place(ts, i, e);
}

static void take_out(struct sh_timers *ts, struct sh_timer *t) {
    size_t i = t->slot - 1;
    SH_ASSERT(i < ts->n && ts->heap[i].timer == t);
    struct sh_heap_entry last = ts->heap[--ts->n];
    t->slot = 0;
    if (last.timer != t) {
        settle(ts, i, last);
    }
}

/* Set the descriptor to the first timer if that is not covered by what it is set to. */
static void arm(struct sh_timers *ts) {
    if (ts->n == 0 || (ts->armed_ns && ts->armed_ns <= ts->heap[0].due_ns)) {
        return;
    }
    uint64_t due = ts->heap[0].due_ns;
    struct itimerspec when = {
        .it_value = {.tv_sec = (time_t)(due / 1000000000u), .tv_nsec = (long)(due % 1000000000u)}};
    SH_ASSERT(timerfd_settime(ts->fd, TFD_TIMER_ABSTIME, &when, NULL) == 0);
    ts->armed_ns = due;
}

void sh_timer_start(struct sh_loop *l, struct sh_timer *t, uint64_t delay_ns,
                    void (*fn)(struct sh_timer *t)) {
    SH_ON_LOOP(l);
    sh_timer_stop(t);
    struct sh_timers *ts = &l->timers;
    uint64_t now = sh_boot_ns();
    /* The kernel takes signed nanoseconds; 292 years are as good as never. */
    uint64_t due = delay_ns < INT64_MAX - now ? now + delay_ns : INT64_MAX;
    t->loop = l;
    t->fn = fn;
    t->due_ns = due;
    if (ts->n == ts->cap) {
        ts->cap = ts->cap ? ts->cap * 2 : 64;
        ts->heap = sh_grow(ts->heap, ts->cap * sizeof(ts->heap[0]));
    }
    ts->n++;
    settle(ts, ts->n - 1, (struct sh_heap_entry){due, ts->next_order++, t});
    arm(ts);
}

void sh_timer_stop(struct sh_timer *t) {
    if (t->slot) {
        SH_ON_LOOP(t->loop);
        take_out(&t->loop->timers, t);
    }
}

/* A timer that is started by what runs here waits for the next round, so that one which starts
 * itself again with no delay does not keep the loop. */
static void on_readable(uv_poll_t *handle, int status, int events) {
    (void)status;
    (void)events;
    struct sh_loop *l = handle->data;
    struct sh_timers *ts = &l->timers;
    uint64_t expirations = 0;
    ssize_t n = read(ts->fd, &expirations, sizeof(expirations));
    SH_ASSERT(n == sizeof(expirations) || errno == EAGAIN || errno == EINTR);
    uint64_t now = sh_boot_ns();
    uint64_t end = ts->next_order;
    while (ts->n && ts->heap[0].due_ns <= now && ts->heap[0].order < end) {
        struct sh_timer *t = ts->heap[0].timer;
        take_out(ts, t);
        t->fn(t);
    }
    ts->armed_ns = 0;
    arm(ts);
}

int sh_timers_init(struct sh_loop *l, struct sh_err *err) {
    struct sh_timers *ts = &l->timers;
    ts->fd = timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC);
    if (ts->fd < 0) {
        return sh_fail_errno(err, SH_E_IO, errno, "timerfd_create(CLOCK_BOOTTIME) failed");
    }
    int rc = uv_poll_init(&l->uv, &ts->poll, ts->fd);
    ts->poll.data = l;
    if (rc == 0) {
        rc = uv_poll_start(&ts->poll, UV_READABLE, on_readable);
    }
    return rc ? sh_fail_errno(err, SH_E_IO, -rc, "the timer descriptor cannot be watched") : 0;
}

static void on_closed(uv_handle_t *handle) {
    struct sh_loop *l = handle->data;
    sh_close_p(&l->timers.fd);
}

void sh_timers_close(struct sh_loop *l) {
    struct sh_timers *ts = &l->timers;
    for (size_t i = 0; i < ts->n; i++) {
        ts->heap[i].timer->slot = 0; /* stopping it later finds nothing to do */
    }
    ts->n = 0;
    ts->heap = sh_free(ts->heap);
    if (ts->poll.type == UV_POLL && !uv_is_closing((uv_handle_t *)&ts->poll)) {
        uv_close((uv_handle_t *)&ts->poll, on_closed);
    } else {
        sh_close_p(&ts->fd);
    }
}
