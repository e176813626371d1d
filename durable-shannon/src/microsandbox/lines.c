/* Threads that find the places of traps.
 *
 *   WAITING --thread--> RUNNING --child has answered, failed or was stopped--> OVER
 *
 * A thread reads the module's record (guest_lines.h), moves the frames' offsets back to where its
 * author's module has them and, where there is debugging information, lets a child look them up.
 * Whatever fails, the backtrace stays at least what it was: an agent never ends otherwise for it.
 */
#include "microsandbox/lines.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "microsandbox/child.h"
#include "microsandbox/guest_lines.h"

#define ANSWER_BYTES_MAX (1 * SH_MIB)
#define BACKTRACE_BYTES_MAX (256 * SH_KIB)

struct sh_lines_job {
    struct sh_list link;
    struct sh_lines_pool *pool;
    unsigned refs; /* the agent's, the pool's; this and all down to `arg` under the pool's lock */
    bool over;
    void (*ready)(void *arg);
    void *arg;
    /* The thread's until it is over, the agent's after. */
    struct sh_sandbox *sandbox;
    struct sh_hash module;
    int record; /* or -1: it is with the artifacts, if there is one */
    struct sh_buf backtrace;
};

struct sh_lines_pool {
    pthread_mutex_t lock;
    pthread_cond_t work;
    struct sh_list queue;
    unsigned queued, idle, n_threads;
    pthread_t threads[SH_LINES_THREADS];
    atomic_bool stop;
};

/* --- one backtrace ---------------------------------------------------------------------------- */

static json_t *answer_read(int fd) {
    sh_auto(sh_free_p) char *text = sh_try_alloc(ANSWER_BYTES_MAX, ANSWER_BYTES_MAX);
    ssize_t n = text ? pread(fd, text, ANSWER_BYTES_MAX, 0) : -1;
    json_t *places = NULL;

    if (n > 0) {
        (void)sh_json_parse(sh_strn(text, (size_t)n), ANSWER_BYTES_MAX, &places, NULL);
    }
    return places;
}

/* Let a child look the frames up; NULL: it did not come to an answer. */
static json_t *places_ask(struct sh_lines_job *job, int record, const struct sh_buf *addresses) {
    sh_auto(sh_close_p) int asked = sh_child_file("addresses", sh_buf_str(addresses));
    sh_auto(sh_close_p) int answer = sh_child_file("places", (struct sh_str){NULL, 0});
    sh_auto(sh_close_p) int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    struct sh_child child = {.worker = job->sandbox->worker,
                             .lines = true,
                             .fds = {record, null, null, answer, asked, null},
                             .memory_bytes = SH_LINES_MEMORY_BYTES,
                             .file_bytes = ANSWER_BYTES_MAX,
                             .cpu_s = SH_LINES_CPU_S,
                             .wall_ms = SH_LINES_WALL_MS,
                             .stop = &job->pool->stop};
    int status = 0;
    bool late = false;

    if (!child.worker || asked < 0 || answer < 0 || null < 0 ||
        sh_child_run(&child, &status, &late) < 0 || late || !WIFEXITED(status) ||
        WEXITSTATUS(status) != 0) {
        return NULL;
    }
    return answer_read(answer);
}

static void addresses_of(const struct sh_lines *l, const json_t *frames, struct sh_buf *ret) {
    json_t *frame;
    size_t i;

    json_array_foreach(frames, i, frame) {
        int64_t offset = sh_json_get_int(frame, "offset", -1);
        uint64_t address =
            offset < 0 || (uint64_t)offset < l->code ? UINT64_MAX : (uint64_t)offset - l->code;

        sh_buf_add(ret, &address, sizeof(address));
    }
}

static void backtrace_find(struct sh_lines_job *job, int record, const struct sh_lines *l) {
    sh_auto(sh_json_done) json_t *frames = NULL;
    sh_auto(sh_json_done) json_t *places = NULL;
    sh_auto(sh_json_done) json_t *merged = NULL;
    struct sh_buf text, addresses;

    if (sh_json_parse(sh_buf_str(&job->backtrace), BACKTRACE_BYTES_MAX, &frames, NULL) < 0) {
        return;
    }
    sh_lines_move(l, frames);
    if (l->n_sections) {
        sh_buf_init(&addresses, 64 * SH_KIB);
        addresses_of(l, frames, &addresses);
        places = addresses.failed ? NULL : places_ask(job, record, &addresses);
        sh_buf_done(&addresses);
    }
    merged = sh_lines_merge(frames, places);
    sh_buf_init(&text, BACKTRACE_BYTES_MAX);
    sh_json_dump(merged, &text);
    if (!text.failed) {
        sh_buf_done(&job->backtrace);
        job->backtrace = text;
    } else {
        sh_buf_done(&text);
    }
}

static void job_do(struct sh_lines_job *job) {
    sh_auto(sh_close_p) int record = job->record;
    struct sh_lines l;
    struct stat st;
    void *p;

    job->record = -1;
    if (record < 0) {
        record = sh_artifact_lines(job->sandbox, &job->module);
    }
    if (record < 0 || fstat(record, &st) != 0 || st.st_size == 0) {
        return;
    }
    p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, record, 0);
    if (p == MAP_FAILED) {
        return;
    }
    if (sh_lines_read(sh_strn(p, (size_t)st.st_size), &l) == 0) {
        backtrace_find(job, record, &l);
    }
    (void)munmap(p, (size_t)st.st_size);
}

/* --- threads ---------------------------------------------------------------------------------- */

static void job_free(struct sh_lines_job *job) {
    sh_close_p(&job->record);
    sh_buf_done(&job->backtrace);
    sh_free(job);
}

/* Under the lock. */
static void job_over(struct sh_lines_job *job) {
    void (*ready)(void *arg) = job->ready;

    job->over = true;
    job->ready = NULL;
    if (ready) {
        ready(job->arg);
    }
    if (--job->refs == 0) {
        job_free(job);
    }
}

static void *thread_main(void *arg) {
    struct sh_lines_pool *p = arg;

    (void)pthread_mutex_lock(&p->lock);
    for (;;) {
        struct sh_list *link = sh_list_pop(&p->queue);

        if (link) {
            struct sh_lines_job *job = sh_container_of(link, struct sh_lines_job, link);

            p->queued--;
            if (!atomic_load(&p->stop)) {
                (void)pthread_mutex_unlock(&p->lock);
                job_do(job);
                (void)pthread_mutex_lock(&p->lock);
            }
            job_over(job);
        } else if (atomic_load(&p->stop)) {
            break;
        } else {
            p->idle++;
            (void)pthread_cond_wait(&p->work, &p->lock);
            p->idle--;
        }
    }
    (void)pthread_mutex_unlock(&p->lock);
    return NULL;
}

/* Under the lock. False: there is no thread, and none can be had. */
static bool ensure_thread(struct sh_lines_pool *p) {
    sigset_t all, old;

    if (p->idle > p->queued || p->n_threads == SH_LINES_THREADS) {
        return true;
    }
    (void)sigfillset(&all); /* signals are the main thread's */
    (void)pthread_sigmask(SIG_BLOCK, &all, &old);
    if (pthread_create(&p->threads[p->n_threads], NULL, thread_main, p) == 0) {
        (void)pthread_setname_np(p->threads[p->n_threads], "lines");
        p->n_threads++;
    }
    (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
    return p->n_threads > 0;
}

struct sh_lines_pool *sh_lines_pool_new(void) {
    struct sh_lines_pool *p = sh_new(struct sh_lines_pool);

    sh_list_init(&p->queue);
    (void)pthread_mutex_init(&p->lock, NULL);
    (void)pthread_cond_init(&p->work, NULL);
    return p;
}

struct sh_lines_pool *sh_lines_pool_free(struct sh_lines_pool *p) {
    if (!p) {
        return NULL;
    }
    (void)pthread_mutex_lock(&p->lock);
    atomic_store(&p->stop, true);
    (void)pthread_cond_broadcast(&p->work);
    (void)pthread_mutex_unlock(&p->lock);
    for (unsigned i = 0; i < p->n_threads; i++) {
        (void)pthread_join(p->threads[i], NULL);
    }
    (void)pthread_cond_destroy(&p->work);
    (void)pthread_mutex_destroy(&p->lock);
    return sh_free(p);
}

/* --- jobs ------------------------------------------------------------------------------------- */

static struct sh_lines_job *job_new(struct sh_module *m, struct sh_str backtrace) {
    struct sh_lines_job *job = sh_new(struct sh_lines_job);

    job->sandbox = m->sandbox;
    job->pool = m->sandbox->lines;
    job->refs = 2;
    job->module = m->hash;
    job->record = m->lines_fd < 0 ? -1 : fcntl(m->lines_fd, F_DUPFD_CLOEXEC, 3);
    sh_buf_init(&job->backtrace, BACKTRACE_BYTES_MAX);
    sh_buf_add(&job->backtrace, backtrace.p, backtrace.len);
    return job;
}

struct sh_lines_job *sh_lines_start(struct sh_module *m, struct sh_str backtrace) {
    struct sh_lines_pool *p = m->sandbox->lines;
    struct sh_lines_job *job;

    if (backtrace.len <= 2) {
        return NULL;
    }
    job = job_new(m, backtrace);
    (void)pthread_mutex_lock(&p->lock);
    if (job->backtrace.failed || p->queued >= SH_LINES_QUEUE_MAX || !ensure_thread(p)) {
        (void)pthread_mutex_unlock(&p->lock);
        job_free(job);
        return NULL;
    }
    p->queued++;
    sh_list_push(&p->queue, &job->link);
    (void)pthread_cond_signal(&p->work);
    (void)pthread_mutex_unlock(&p->lock);
    return job;
}

bool sh_lines_wait(struct sh_lines_job *job, void (*ready)(void *arg), void *arg) {
    bool over;

    (void)pthread_mutex_lock(&job->pool->lock);
    over = job->over;
    if (!over && ready) {
        job->ready = ready;
        job->arg = arg;
    }
    (void)pthread_mutex_unlock(&job->pool->lock);
    return over;
}

void sh_lines_unwait(struct sh_lines_job *job) {
    (void)pthread_mutex_lock(&job->pool->lock);
    job->ready = NULL;
    (void)pthread_mutex_unlock(&job->pool->lock);
}

struct sh_str sh_lines_backtrace(const struct sh_lines_job *job) {
    return sh_buf_str(&job->backtrace);
}

struct sh_lines_job *sh_lines_drop(struct sh_lines_job *job) {
    struct sh_lines_pool *p;
    bool last;

    if (!job) {
        return NULL;
    }
    p = job->pool;
    (void)pthread_mutex_lock(&p->lock);
    job->ready = NULL;
    if (sh_list_linked(&job->link)) { /* nobody has begun it */
        sh_list_unlink(&job->link);
        p->queued--;
        job->refs--;
    }
    last = --job->refs == 0;
    (void)pthread_mutex_unlock(&p->lock);
    if (last) {
        job_free(job);
    }
    return NULL;
}
