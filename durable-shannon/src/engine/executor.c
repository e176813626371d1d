/* See executor.h. One mutex guards both queues: a task is taken and given back once a slice, that
 * is every few milliseconds or once a durable step, so it is never contended for long. */
#include "engine/executor.h"

#include <pthread.h>
#include <unistd.h>

struct sh_executors {
    struct sh_loop *loop;
    pthread_mutex_t mutex;
    pthread_cond_t more;
    struct sh_list answered, sliced;
    pthread_t *threads;
    unsigned n;
    bool stop;
};

static void stepped(struct sh_msg *msg) {
    struct sh_task *task = sh_container_of(msg, struct sh_task, msg);

    task->stepped(task);
}

static struct sh_task *take(struct sh_executors *x) {
    struct sh_list *node;

    pthread_mutex_lock(&x->mutex);
    while (!x->stop && sh_list_empty(&x->answered) && sh_list_empty(&x->sliced)) {
        pthread_cond_wait(&x->more, &x->mutex);
    }
    node = sh_list_pop(sh_list_empty(&x->answered) ? &x->sliced : &x->answered);
    pthread_mutex_unlock(&x->mutex);
    return node ? sh_container_of(node, struct sh_task, link) : NULL;
}

static void put(struct sh_executors *x, struct sh_list *queue, struct sh_task *task) {
    pthread_mutex_lock(&x->mutex);
    sh_list_push(queue, &task->link);
    pthread_cond_signal(&x->more);
    pthread_mutex_unlock(&x->mutex);
}

static bool stopping(struct sh_executors *x) {
    bool stop;

    pthread_mutex_lock(&x->mutex);
    stop = x->stop;
    pthread_mutex_unlock(&x->mutex);
    return stop;
}

static void *executor_main(void *arg) {
    struct sh_executors *x = arg;
    struct sh_task *task;

    while ((task = take(x))) {
        size_t n_effects = 0;

        if (stopping(x)) {
            task->status = SH_AGENT_YIELDED;
            sh_loop_post(x->loop, &task->msg);
            continue;
        }
        task->status = sh_agent_step(task->agent);
        sh_agent_effects(task->agent, &n_effects);
        if (task->status == SH_AGENT_YIELDED && n_effects == 0 && !atomic_load(&task->interrupt)) {
            put(x, &x->sliced, task);
        } else {
            sh_loop_post(x->loop, &task->msg);
        }
    }
    return NULL;
}

int sh_executors_new(struct sh_loop *loop, unsigned n, struct sh_executors **ret,
                     struct sh_err *err) {
    struct sh_executors *x = sh_new(struct sh_executors);
    long cores = sysconf(_SC_NPROCESSORS_ONLN);

    x->loop = loop;
    sh_list_init(&x->answered);
    sh_list_init(&x->sliced);
    pthread_mutex_init(&x->mutex, NULL);
    pthread_cond_init(&x->more, NULL);
    n = n ? n : (unsigned)(cores > 0 ? cores : 1);
    x->threads = sh_new_array(pthread_t, n);
    for (; x->n < n; x->n++) {
        int e = pthread_create(&x->threads[x->n], NULL, executor_main, x);
        if (e != 0) {
            sh_executors_free(x);
            return sh_fail_errno(err, SH_E_NOMEM, e, "cannot start executor thread %u", x->n);
        }
    }
    *ret = x;
    return 0;
}

void sh_executors_run(struct sh_executors *x, struct sh_task *task) {
    task->msg.run = stepped;
    atomic_store(&task->interrupt, false);
    put(x, &x->answered, task);
}

void sh_task_interrupt(struct sh_task *task) {
    atomic_store(&task->interrupt, true);
}

struct sh_executors *sh_executors_free(struct sh_executors *x) {
    if (!x) {
        return NULL;
    }
    pthread_mutex_lock(&x->mutex);
    x->stop = true;
    pthread_cond_broadcast(&x->more);
    pthread_mutex_unlock(&x->mutex);
    for (unsigned i = 0; i < x->n; i++) {
        pthread_join(x->threads[i], NULL);
    }
    pthread_cond_destroy(&x->more);
    pthread_mutex_destroy(&x->mutex);
    sh_free(x->threads);
    return sh_free(x);
}

unsigned sh_executors_count(const struct sh_executors *x) {
    return x->n;
}
