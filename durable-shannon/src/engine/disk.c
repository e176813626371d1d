/* See disk.h. The look is a job of the pool for files, since a file system may take its time; what
 * follows from it is the loop's. */
#include "engine/disk.h"

#include "engine/private.h"

#define LOOK_NS 1000000000ULL
#define BALLAST_LOOK 5 /* the look that makes it first: a start has better things to do */

struct look {
    struct sh_job job;
    struct sh_engine *engine;
    bool ballast;
    uint64_t free_bytes;
    struct sh_err err;
    int made; /* 1: the ballast */
    bool released;
};

static void arm(struct sh_engine *e);

bool sh_disk_is_low(const struct sh_engine *e) {
    return e->disk.low;
}

int sh_disk_check(const struct sh_engine *e, struct sh_err *err) {
    if (!e->disk.low) {
        return 0;
    }
    return sh_fail(err, SH_E_NOSPC,
                   "the disk of %s is full: %llu MiB are free, and less than %llu MiB are for what "
                   "is there already; tasks rest and nothing new is taken until there are %llu MiB "
                   "(free some, or: shannon forget ID)",
                   e->data_dir, (unsigned long long)(e->disk.free_bytes / SH_MIB),
                   (unsigned long long)(SH_DISK_REST / SH_MIB),
                   (unsigned long long)(SH_DISK_REST_OVER / SH_MIB));
}

/* Those in memory, pinned: what is done to one may take others away. */
static struct sh_workflow **all(struct sh_engine *e, size_t *ret_n) {
    struct sh_workflow **list = sh_new_array(struct sh_workflow *, e->n_workflows + 1);
    size_t n = 0;

    sh_list_each (node, &e->workflows) {
        struct sh_workflow *wf = sh_container_of(node, struct sh_workflow, link);
        SH_ASSERT(n < e->n_workflows);
        if (!wf->verify) {
            wf->pins++;
            list[n++] = wf;
        }
    }
    *ret_n = n;
    return list;
}

static void rest(struct sh_workflow *wf) {
    if (wf->phase == SH_PHASE_RUNNABLE) {
        sh_task_interrupt(&wf->task);
    }
    sh_wall_update(wf);
}

static void go_on(struct sh_workflow *wf) {
    if (wf->leaving || wf->engine->stopping) {
        return;
    }
    sh_activities_dispatch(wf);
    sh_workflow_poke(wf);
    sh_wall_update(wf);
}

static void each(struct sh_engine *e, void (*fn)(struct sh_workflow *wf)) {
    size_t n = 0;
    struct sh_workflow **list = all(e, &n);

    for (size_t i = 0; i < n; i++) {
        fn(list[i]);
        sh_workflow_unpin(list[i]);
    }
    sh_free(list);
}

static void judge(struct sh_engine *e, uint64_t free_bytes) {
    struct sh_disk_watch *d = &e->disk;

    d->free_bytes = free_bytes;
    if (!d->low && free_bytes < SH_DISK_REST) {
        d->low = true;
        sh_log(SH_LOG_WARN, "disk-low", "free_bytes=%llu dir=%s", (unsigned long long)free_bytes,
               SH_Q(sh_str(e->data_dir)));
        each(e, rest);
    } else if (d->low && free_bytes >= SH_DISK_REST_OVER) {
        d->low = false;
        sh_log(SH_LOG_INFO, "disk-has-room", "free_bytes=%llu", (unsigned long long)free_bytes);
        each(e, go_on);
        sh_takeup_go_on(e);
        sh_schedules_go_on(e);
    }
}

static void work(struct sh_job *job) {
    struct look *l = sh_container_of(job, struct look, job);
    const char *dir = l->engine->data_dir;

    if (sh_disk_free(dir, &l->free_bytes, &l->err) < 0) {
        return;
    }
    if (l->free_bytes < SH_DISK_FULL) {
        l->released = sh_ballast_release(dir);
    } else if (l->ballast) {
        l->made = sh_ballast_make(dir, &l->err);
    }
    if (l->released || l->made > 0) {
        sh_disk_free(dir, &l->free_bytes, &l->err);
    }
}

static void done(struct sh_job *job) {
    struct look *l = sh_container_of(job, struct look, job);
    struct sh_engine *e = l->engine;

    e->disk.looking = false;
    if (l->released || l->made > 0) {
        sh_log(l->made > 0 ? SH_LOG_INFO : SH_LOG_WARN,
               l->made > 0 ? "ballast-made" : "ballast-released", "free_bytes=%llu",
               (unsigned long long)l->free_bytes);
    }
    if (!e->stopping) {
        if (!l->err.code || l->made < 0) { /* else nobody knows: as it was */
            judge(e, l->free_bytes);
        }
        arm(e);
    }
    sh_free(l);
    sh_engine_unpin(e);
}

static void look(struct sh_timer *t) {
    struct sh_engine *e = sh_container_of(t, struct sh_engine, disk.timer);
    struct look *l = sh_new(struct look);

    l->engine = e;
    l->ballast = ++e->disk.looks >= BALLAST_LOOK && !e->config.passive;
    l->job.work = work;
    l->job.done = done;
    e->disk.looking = true;
    e->pins++;
    sh_loop_submit(e->loop, SH_POOL_FILES, &l->job);
}

static void arm(struct sh_engine *e) {
    sh_timer_start(e->loop, &e->disk.timer, LOOK_NS, look);
}

void sh_disk_start(struct sh_engine *e) {
    struct sh_err err = {0};
    uint64_t free_bytes = 0;

    e->disk.free_bytes = UINT64_MAX;
    if (!e->config.watch_disk) {
        return;
    }
    if (sh_disk_free(e->data_dir, &free_bytes, &err) == 0) {
        judge(e, free_bytes);
    }
    arm(e);
}

void sh_disk_stop(struct sh_engine *e) {
    sh_timer_stop(&e->disk.timer);
}
