/* Worker pools of our own, because libuv's is shared with DNS: two threads for calls that wait for
 * a disk, two for computing, and for compiling, which may take minutes, up to four. A job belongs
 * to its thread from submit until its done() runs. */
#include <signal.h>

#include "loop/internal.h"

static void on_done(struct sh_msg *msg) {
    struct sh_job *job = sh_container_of(msg, struct sh_job, msg);
    atomic_fetch_sub(&job->loop->jobs, 1);
    job->done(job);
}

/* NULL when the pool stops. */
static struct sh_job *next_job(struct sh_workers *w) {
    pthread_mutex_lock(&w->lock);
    while (sh_list_empty(&w->queue) && !w->stopping) {
        pthread_cond_wait(&w->wake, &w->lock);
    }
    struct sh_list *link = sh_list_pop(&w->queue);
    pthread_mutex_unlock(&w->lock);
    return link ? sh_container_of(link, struct sh_job, link) : NULL;
}

static void *worker(void *arg) {
    struct sh_workers *w = arg;
    struct sh_job *job = NULL;
    while ((job = next_job(w)) != NULL) {
        job->work(job);
        sh_loop_post(job->loop, &job->msg);
    }
    return NULL;
}

void sh_loop_submit(struct sh_loop *l, enum sh_pool pool, struct sh_job *job) {
    SH_ASSERT((size_t)pool < SH_POOLS && job->work && job->done);
    struct sh_workers *w = &l->pools[pool];
    job->loop = l;
    job->msg.run = on_done;
    atomic_fetch_add(&l->jobs, 1);
    pthread_mutex_lock(&w->lock);
    SH_ASSERT(!w->stopping);
    sh_list_push(&w->queue, &job->link);
    pthread_cond_signal(&w->wake);
    pthread_mutex_unlock(&w->lock);
}

int sh_workers_start(struct sh_workers *w, const char *name, size_t n_threads, struct sh_err *err) {
    SH_ASSERT(n_threads <= sizeof(w->threads) / sizeof(w->threads[0]));
    SH_ASSERT(pthread_mutex_init(&w->lock, NULL) == 0);
    SH_ASSERT(pthread_cond_init(&w->wake, NULL) == 0);
    sh_list_init(&w->queue);
    sigset_t all;
    sigset_t old;
    sigfillset(&all);
    /* But what the processor raises: blocked, it would kill the process past every handler, that
     * of a sandbox which makes an agent here among them. */
    static const int faults[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGABRT};
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        sigdelset(&all, faults[i]);
    }
    int rc = 0;
    pthread_sigmask(SIG_BLOCK, &all,
                    &old); /* signals are the main thread's; threads inherit this */
    while (rc == 0 && w->n_threads < n_threads) {
        rc = pthread_create(&w->threads[w->n_threads], NULL, worker, w);
        if (rc == 0) {
            pthread_setname_np(w->threads[w->n_threads], name);
            w->n_threads++;
        }
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return rc ? sh_fail_errno(err, SH_E_IO, rc, "the thread %s cannot be started", name) : 0;
}

void sh_workers_stop(struct sh_workers *w) {
    if (!w->queue.next) {
        return; /* never started */
    }
    pthread_mutex_lock(&w->lock);
    w->stopping = true;
    pthread_cond_broadcast(&w->wake);
    pthread_mutex_unlock(&w->lock);
    for (size_t i = 0; i < w->n_threads; i++) {
        pthread_join(w->threads[i], NULL);
    }
    pthread_cond_destroy(&w->wake);
    pthread_mutex_destroy(&w->lock);
}
