/* See executor.h. One mutex guards both queues: a task is taken and given back once a slice, that
 * is every few milliseconds or once a durable step, so it is never contended for long. */
#include "engine/executor.h"

#include <pthread.h>
#include <unistd.h>

struct seat { /* of one thread; under the mutex */
    struct sh_executors *x;
    pthread_t thread;
    uint64_t since_ns; /* its step began; 0: none */
    bool held;
};

struct sh_executors {
    struct sh_loop *loop;
    _Atomic(struct sh_crash *) crash;
    pthread_mutex_t mutex;
    pthread_cond_t more, tick;
    struct sh_list answered, sliced;
    struct seat *seats; /* n, then spares */
    unsigned n, n_seats, busy, held;
    pthread_t watcher;
    bool stop, watching, watched; /* watched: the watcher was started */
};

static void stepped(struct sh_msg *msg) {
    struct sh_task *task = sh_container_of(msg, struct sh_task, msg);

    task->stepped(task);
}

static bool queued(const struct sh_executors *x) {
    return !sh_list_empty(&x->answered) || !sh_list_empty(&x->sliced);
}

/* May one more thread step an agent? Those that are held do not count. */
static bool seat_free(const struct sh_executors *x) {
    return x->busy - x->held < x->n;
}

/* The step of this seat is over; the next task, or NULL: the executors stop. */
static struct sh_task *take(struct seat *seat) {
    struct sh_executors *x = seat->x;
    struct sh_list *node;

    pthread_mutex_lock(&x->mutex);
    if (seat->since_ns) {
        x->busy--;
        x->held -= seat->held;
        seat->held = false;
        seat->since_ns = 0;
    }
    while (!x->stop && !(queued(x) && seat_free(x))) {
        pthread_cond_wait(&x->more, &x->mutex);
    }
    node = sh_list_pop(sh_list_empty(&x->answered) ? &x->sliced : &x->answered);
    if (node) {
        x->busy++;
        seat->since_ns = sh_mono_ns();
    }
    pthread_mutex_unlock(&x->mutex);
    return node ? sh_container_of(node, struct sh_task, link) : NULL;
}

/* Under the mutex. True: the watcher is to look, because the task may have to wait for long. */
static bool queue(struct sh_executors *x, struct sh_list *list, struct sh_task *task) {
    bool look = !x->watching && !seat_free(x);

    sh_list_push(list, &task->link);
    x->watching |= look;
    return look;
}

static void wake(struct sh_executors *x, bool look) {
    pthread_cond_signal(&x->more);
    if (look) {
        pthread_cond_signal(&x->tick);
    }
}

/* By a thread that the executors outlive. It wakes without the mutex: the woken one would have to
 * wait for it, and sleep again. */
static void put(struct sh_executors *x, struct sh_list *list, struct sh_task *task) {
    bool look;

    pthread_mutex_lock(&x->mutex);
    look = queue(x, list, task);
    pthread_mutex_unlock(&x->mutex);
    wake(x, look);
}

static bool stopping(struct sh_executors *x) {
    bool stop;

    pthread_mutex_lock(&x->mutex);
    stop = x->stop;
    pthread_mutex_unlock(&x->mutex);
    return stop;
}

/* The file call of a parked task is over. thread: the pool's, under its lock */
static void file_ready(void *arg) {
    struct sh_task *task = arg;
    struct sh_executors *x = task->executors;

    pthread_mutex_lock(&x->mutex);
    if (task->parked) {
        task->parked = false;
        wake(x, queue(x, &x->answered, task));
    } else {
        task->ready = true; /* before it was parked */
    }
    pthread_mutex_unlock(&x->mutex);
}

/* Leave the agent to its file call. False: it goes to the loop. */
static bool park(struct sh_executors *x, struct sh_task *task) {
    bool kept = true;

    task->ready = false;
    if (sh_agent_file_wait(task->agent, file_ready, task)) {
        put(x, &x->answered, task);
        return true;
    }
    pthread_mutex_lock(&x->mutex);
    if (atomic_load(&task->interrupt) || x->stop) {
        kept = false;
    } else if (task->ready) {
        wake(x, queue(x, &x->answered, task));
    } else {
        task->parked = true;
    }
    pthread_mutex_unlock(&x->mutex);
    if (!kept) {
        sh_agent_file_unwait(task->agent);
    }
    return kept;
}

/* Can it go on without the loop? Then it is where it goes on. */
static bool keep(struct sh_executors *x, struct sh_task *task) {
    size_t n_effects = 0;

    sh_agent_effects(task->agent, &n_effects);
    if (n_effects > 0 || atomic_load(&task->interrupt)) {
        return false;
    }
    if (task->status == SH_AGENT_YIELDED) {
        put(x, &x->sliced, task);
        return true;
    }
    return task->status == SH_AGENT_WAITING && sh_agent_wait(task->agent)->kind == SH_WAIT_FILE &&
           park(x, task);
}

static void *executor_main(void *arg) {
    struct seat *seat = arg;
    struct sh_executors *x = seat->x;
    struct sh_task *task;
    void *stack = sh_crash_stack_new();

    while ((task = take(seat))) {
        if (stopping(x)) {
            task->status = SH_AGENT_YIELDED;
            sh_loop_post(x->loop, &task->msg);
            continue;
        }
        sh_crash_enter(atomic_load(&x->crash), task->workflow, SH_CRASH_RUN);
        task->status = sh_agent_step(task->agent);
        sh_crash_leave(atomic_load(&x->crash));
        if (!keep(x, task)) {
            sh_loop_post(x->loop, &task->msg);
        }
    }
    sh_crash_stack_free(stack);
    return NULL;
}

/* Under the mutex, or before there are threads. */
static int seat_add(struct sh_executors *x) {
    struct seat *seat = &x->seats[x->n_seats];
    int e;

    *seat = (struct seat){.x = x};
    e = pthread_create(&seat->thread, NULL, executor_main, seat);
    x->n_seats += e == 0;
    return e;
}

/* Under the mutex. Steps that hold their thread for too long are marked, and somebody else is
 * found for what waits. */
static void look_for_held(struct sh_executors *x) {
    uint64_t now = sh_mono_ns();

    for (unsigned i = 0; i < x->n_seats; i++) {
        struct seat *seat = &x->seats[i];

        if (seat->since_ns && !seat->held &&
            now - seat->since_ns > SH_EXECUTOR_HELD_MS * 1000000ULL &&
            x->held < SH_EXECUTOR_SPARES_MAX) {
            seat->held = true;
            x->held++;
            if (x->busy < x->n_seats) {
                pthread_cond_signal(&x->more);
            } else {
                (void)seat_add(x); /* without it, things are slower and no worse */
            }
        }
    }
}

/* Looks only while somebody waits. */
static void *watch_main(void *arg) {
    struct sh_executors *x = arg;

    pthread_mutex_lock(&x->mutex);
    while (!x->stop) {
        if (!queued(x)) {
            x->watching = false;
            pthread_cond_wait(&x->tick, &x->mutex);
        } else {
            uint64_t next = sh_mono_ns() + 10000000ULL;
            struct timespec at = {.tv_sec = (time_t)(next / 1000000000ULL),
                                  .tv_nsec = (long)(next % 1000000000ULL)};

            look_for_held(x);
            pthread_cond_timedwait(&x->tick, &x->mutex, &at);
        }
    }
    pthread_mutex_unlock(&x->mutex);
    return NULL;
}

int sh_executors_new(struct sh_loop *loop, unsigned n, struct sh_executors **ret,
                     struct sh_err *err) {
    struct sh_executors *x = sh_new(struct sh_executors);
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    pthread_condattr_t attr;
    int e = 0;

    x->loop = loop;
    sh_list_init(&x->answered);
    sh_list_init(&x->sliced);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&x->mutex, NULL);
    pthread_cond_init(&x->more, NULL);
    pthread_cond_init(&x->tick, &attr);
    pthread_condattr_destroy(&attr);
    x->n = n ? n : (unsigned)(cores > 0 ? cores : 1);
    x->seats = sh_new_array(struct seat, x->n + SH_EXECUTOR_SPARES_MAX);
    pthread_mutex_lock(&x->mutex);
    while (e == 0 && x->n_seats < x->n) {
        e = seat_add(x);
    }
    e = e ? e : pthread_create(&x->watcher, NULL, watch_main, x);
    x->watched = e == 0;
    pthread_mutex_unlock(&x->mutex);
    if (e != 0) {
        sh_executors_free(x);
        return sh_fail_errno(err, SH_E_NOMEM, e, "cannot start %u executor threads", x->n);
    }
    *ret = x;
    return 0;
}

void sh_executors_watch(struct sh_executors *x, struct sh_crash *c) {
    atomic_store(&x->crash, c);
}

void sh_executors_run(struct sh_executors *x, struct sh_task *task) {
    task->msg.run = stepped;
    task->executors = x;
    task->parked = false;
    atomic_store(&task->interrupt, false);
    put(x, &x->answered, task);
}

void sh_task_interrupt(struct sh_task *task) {
    struct sh_executors *x = task->executors;
    bool was_parked;

    atomic_store(&task->interrupt, true);
    pthread_mutex_lock(&x->mutex);
    was_parked = task->parked;
    task->parked = false;
    pthread_mutex_unlock(&x->mutex);
    if (was_parked) {
        sh_agent_file_unwait(task->agent);
        sh_loop_post(x->loop, &task->msg);
    }
}

struct sh_executors *sh_executors_free(struct sh_executors *x) {
    if (!x) {
        return NULL;
    }
    pthread_mutex_lock(&x->mutex);
    x->stop = true;
    pthread_cond_broadcast(&x->more);
    pthread_cond_broadcast(&x->tick);
    pthread_mutex_unlock(&x->mutex);
    if (x->watched) { /* first: it adds seats */
        pthread_join(x->watcher, NULL);
    }
    for (unsigned i = 0; i < x->n_seats; i++) {
        pthread_join(x->seats[i].thread, NULL);
    }
    pthread_cond_destroy(&x->more);
    pthread_cond_destroy(&x->tick);
    pthread_mutex_destroy(&x->mutex);
    sh_free(x->seats);
    return sh_free(x);
}

unsigned sh_executors_count(const struct sh_executors *x) {
    return x->n;
}
