/* Start and stop. Everything that outlives a call (a pool job, a store read, a workflow) holds a
 * pin of the engine; the last pin frees it. */
#include "engine/private.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

struct ending {
    struct sh_msg msg;
    struct sh_engine *engine;
};

static int make_folder(const char *data_dir, const char *name, struct sh_err *err) {
    sh_auto(sh_free_p) char *path = sh_asprintf("%s/%s", data_dir, name);

    if (mkdir(path, 0700) < 0 && errno != EEXIST) {
        return sh_fail_errno(err, SH_E_IO, errno, "cannot make %s", path);
    }
    return 0;
}

static char *copy(const char *text) {
    return text ? sh_strdup(text) : NULL;
}

static void engine_free(struct sh_engine *e) {
    sh_free(e->data_dir);
    sh_free(e->default_agent);
    sh_free(e->python);
    sh_free(e);
}

static void engine_end(struct sh_msg *msg) {
    struct ending *ending = sh_container_of(msg, struct ending, msg);
    struct sh_engine *e = ending->engine;
    void (*cb)(void *arg) = e->stopped;
    void *arg = e->stopped_arg;

    while (sh_list_pop(&e->subscriptions)) {
        /* their owners free them */
    }
    sh_module_cache_done(&e->modules);
    json_decref(e->grants);
    engine_free(e);
    sh_free(ending);
    if (cb) {
        cb(arg);
    }
}

void sh_engine_unpin(struct sh_engine *e) {
    struct ending *ending;

    SH_ASSERT(e->pins > 0);
    if (--e->pins > 0) {
        return;
    }
    ending = sh_new(struct ending);
    ending->engine = e;
    ending->msg.run = engine_end;
    sh_loop_post(e->loop, &ending->msg);
}

/* The store cannot say what is durable: nothing more may be told to anyone (SEMANTICS 24). */
void sh_engine_fatal(struct sh_engine *e, const struct sh_err *err) {
    if (e->dead) {
        return;
    }
    e->dead = true;
    e->stopping = true;
    if (e->config.fatal) {
        e->config.fatal(e->config.fatal_arg, err);
    }
}

static void grants_loaded(void *arg, const struct sh_err *err) {
    struct sh_engine *e = arg;

    if (err) {
        e->started(e->started_arg, err);
    } else {
        sh_engine_recover(e, e->started, e->started_arg);
    }
    sh_engine_unpin(e);
}

static void turn_over(void *arg) {
    struct sh_engine *e = arg;

    sh_store_flush(e->store);
}

int sh_engine_start(const struct sh_engine_config *config, sh_store_done_fn cb, void *arg,
                    struct sh_engine **ret, struct sh_err *err) {
    struct sh_engine *e;
    struct sh_id owner;

    if (make_folder(config->data_dir, "modules", err) < 0 ||
        make_folder(config->data_dir, "work", err) < 0) {
        return -err->code;
    }
    e = sh_new(struct sh_engine);
    e->config = *config;
    e->config.data_dir = e->data_dir = copy(config->data_dir);
    e->config.default_agent = e->default_agent = copy(config->default_agent);
    e->config.python = e->python = copy(config->python);
    if (e->config.approval_timeout_ms == 0) {
        e->config.approval_timeout_ms = 600000;
    }
    e->store = config->store;
    e->loop = config->loop;
    e->pins = 1;
    sh_list_init(&e->workflows);
    sh_list_init(&e->modules.loaded);
    sh_list_init(&e->subscriptions);
    sh_list_init(&e->pending_keys);
    sh_list_init(&e->parked);
    sh_id_new(&owner, "owner-");
    snprintf(e->owner, sizeof(e->owner), "%.39s", owner.s);
    if (sh_executors_new(e->loop, config->executors, &e->executors, err) < 0) {
        engine_free(e);
        return -err->code;
    }
    sh_loop_on_turn(e->loop, turn_over, e);
    e->grants = json_object();
    e->pins++;
    e->started = cb;
    e->started_arg = arg;
    *ret = e;
    sh_approvals_load(e, grants_loaded, e);
    return 0;
}

void sh_engine_stop(struct sh_engine *e, void (*cb)(void *arg), void *arg) {
    SH_ON_LOOP(e->loop);
    e->stopping = true;
    e->stopped = cb;
    e->stopped_arg = arg;
    sh_parked_stop(e);
    while (!sh_list_empty(&e->workflows)) {
        sh_workflow_leave(sh_container_of(e->workflows.next, struct sh_workflow, link));
    }
    e->executors = sh_executors_free(e->executors);
    sh_store_flush(e->store);
    sh_loop_on_turn(e->loop, NULL, NULL);
    sh_engine_unpin(e);
}

json_t *sh_engine_stats(struct sh_engine *e) {
    json_int_t running = 0, waiting = 0, paused = 0, activities = 0;

    sh_list_each (node, &e->workflows) {
        struct sh_workflow *wf = sh_container_of(node, struct sh_workflow, link);
        running += wf->phase == SH_PHASE_RUNNABLE;
        waiting += wf->phase == SH_PHASE_HELD;
        paused += wf->paused;
        activities += (json_int_t)wf->activities.n;
    }
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "workflows", (json_int_t)e->n_workflows,
                     "running", running, "waiting", waiting, "paused", paused,
                     "activities_in_flight", activities, "executors",
                     (json_int_t)sh_executors_count(e->executors));
}
