/* Start and stop. Everything that outlives a call (a pool job, a store read, a workflow) holds a
 * pin of the engine; the last pin frees it. */
#include "engine/compact.h"
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

    if (SH_FAULT_IO(data_folder) || (mkdir(path, 0700) < 0 && errno != EEXIST)) {
        return sh_fail_errno(err, SH_E_IO, errno, "cannot make %s", path);
    }
    return 0;
}

static char *copy(const char *text) {
    return text ? sh_strdup(text) : NULL;
}

static void engine_free(struct sh_engine *e) {
    sh_store_disown(e->as);
    sh_sign_key_done(&e->key);
    sh_free(e->data_dir);
    sh_free(e->default_agent);
    sh_free(e->python);
    json_decref(e->limits);
    sh_free(e->python_module);
    sh_free(e->python_image);
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
    sh_registry_done(&e->registry);
    sh_kv_done(e);
    json_decref(e->grants);
    json_decref(e->forgetting);
    json_decref(e->blobs.held);
    sh_compactor_free(e);
    json_decref(e->crashes);
    sh_crash_close(e->crash);
    sh_wakes_done(e);
    SH_ASSERT(!e->accounts); /* each was held by a workflow, and they are gone */
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
    if (err->code == SH_E_NOSPC && e->config.watch_disk && sh_ballast_release(e->data_dir)) {
        sh_log(SH_LOG_WARN, "ballast-released", "dir=%s", SH_Q(sh_str(e->data_dir)));
    }
    if (e->config.fatal) {
        e->config.fatal(e->config.fatal_arg, err);
    }
}

static void schedules_loaded(void *arg, const struct sh_err *err) {
    struct sh_engine *e = arg;

    if (err) {
        e->started(e->started_arg, err);
    } else {
        sh_retention_start(e);
        sh_engine_recover(e, e->started, e->started_arg);
    }
    sh_engine_unpin(e);
}

static void crashes_counted(void *arg, const struct sh_err *err) {
    struct sh_engine *e = arg;

    if (err) {
        e->started(e->started_arg, err);
    } else {
        sh_schedules_load(e, schedules_loaded, e);
        return;
    }
    sh_engine_unpin(e);
}

static void grants_loaded(void *arg, const struct sh_err *err) {
    struct sh_engine *e = arg;

    if (err) {
        e->started(e->started_arg, err);
        sh_engine_unpin(e);
    } else {
        sh_quarantine_load(e, crashes_counted, e);
    }
}

/* From here on what this engine writes counts, and what one before it writes does not. */
static void owned(void *arg, struct sh_store_owner *o, const struct sh_err *err) {
    struct sh_engine *e = arg;

    e->as = o;
    e->epoch = sh_store_epoch(o);
    if (err) {
        e->started(e->started_arg, err);
        sh_engine_unpin(e);
    } else {
        sh_approvals_load(e, grants_loaded, e);
    }
}

int sh_engine_append(struct sh_engine *e, const struct sh_event_record *events, size_t n_events,
                     const struct sh_put *puts, size_t n_puts, sh_store_done_fn cb, void *arg,
                     struct sh_err *err) {
    int r = sh_store_append_as(e->store, e->as, events, n_events, puts, n_puts, cb, arg, err);

    if (r == 0 && e->stopping) { /* no turn of the loop sends it any more */
        sh_store_flush(e->store);
    }
    return r;
}

static void turn_over(void *arg) {
    struct sh_engine *e = arg;
    struct sh_err lost = {0};

    sh_store_flush(e->store);
    if (!e->dead && sh_store_lost(e->as, &lost)) {
        sh_engine_fatal(e, &lost);
    }
}

void sh_engine_catch_crashes(void) {
    sh_crash_handlers();
}

int sh_engine_start(const struct sh_engine_config *config, sh_store_done_fn cb, void *arg,
                    struct sh_engine **ret, struct sh_err *err) {
    struct sh_engine *e;
    struct sh_id owner;

    sh_auto(sh_free_p) char *key = sh_asprintf("%s/signing-key", config->data_dir);

    if (make_folder(config->data_dir, "modules", err) < 0 ||
        make_folder(config->data_dir, "work", err) < 0) {
        return -err->code;
    }
    sh_engine_catch_crashes();
    e = sh_new(struct sh_engine);
    e->config = *config;
    e->config.data_dir = e->data_dir = copy(config->data_dir);
    e->config.default_agent = e->default_agent = copy(config->default_agent);
    e->config.python = e->python = copy(config->python);
    e->limits = config->agent_max_running ? json_deep_copy(config->agent_max_running) : NULL;
    e->config.agent_max_running = e->limits;
    e->config.python_module = e->python_module = copy(config->python_module);
    e->config.python_image = e->python_image = copy(config->python_image);
    if (e->config.approval_timeout_ms == 0) {
        e->config.approval_timeout_ms = 600000;
    }
    if (e->config.cancel_grace_ms == 0) {
        e->config.cancel_grace_ms = 2000;
    }
    e->store = config->store;
    e->loop = config->loop;
    e->pins = 1;
    sh_list_init(&e->workflows);
    sh_list_init(&e->modules.loaded);
    sh_list_init(&e->registry.known);
    sh_list_init(&e->subscriptions);
    sh_list_init(&e->schedules);
    sh_list_init(&e->pending_keys);
    sh_list_init(&e->update_waiters);
    sh_kv_init(e);
    sh_list_init(&e->parked);
    sh_list_init(&e->disposals);
    sh_list_init(&e->family_raises);
    sh_takeup_init(e);
    e->takeup.held = true;
    e->config.passivate_after_ms =
        e->config.passivate_after_ms ? e->config.passivate_after_ms : SH_PASSIVATE_AFTER_MS;
    sh_id_new(&owner, "owner-");
    snprintf(e->owner, sizeof(e->owner), "%.39s", owner.s);
    e->clocks = sh_clocks_now();
    sh_wakes_init(e);
    if (sh_sign_key_load(key, true, &e->key, err) < 0) {
        engine_free(e);
        return -err->code;
    }
    if (sh_executors_new(e->loop, config->executors, &e->executors, err) < 0) {
        engine_free(e);
        return -err->code;
    }
    sh_loop_on_turn(e->loop, turn_over, e);
    e->grants = json_object();
    e->crashes = json_object();
    e->forgetting = json_object();
    sh_compactor_start(e);
    sh_disk_start(e);
    e->pins++;
    e->started = cb;
    e->started_arg = arg;
    *ret = e;
    sh_store_own(e->store, e->owner, owned, e);
    return 0;
}

void sh_engine_stop(struct sh_engine *e, void (*cb)(void *arg), void *arg) {
    SH_ON_LOOP(e->loop);
    e->stopping = true;
    e->stopped = cb;
    e->stopped_arg = arg;
    sh_disk_stop(e);
    sh_parked_stop(e);
    sh_engine_updates_release(e);
    sh_retention_stop(e);
    sh_compactor_stop(e);
    sh_schedules_stop(e);
    sh_wakes_stop(e);
    sh_takeup_stop(e);
    while (!sh_list_empty(&e->workflows)) {
        sh_workflow_abandon(sh_container_of(e->workflows.next, struct sh_workflow, link),
                            SH_E_UNAVAILABLE, "the engine is stopping");
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
    waiting += (json_int_t)e->n_asleep;
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "workflows",
                     (json_int_t)(e->n_workflows + e->n_asleep), "queued",
                     (json_int_t)e->takeup.queued, "in_memory", (json_int_t)e->n_workflows,
                     "passivated", (json_int_t)e->n_asleep, "running", running, "waiting", waiting,
                     "paused", paused, "disk_low", (json_int_t)e->disk.low, "activities_in_flight",
                     activities, "executors", (json_int_t)sh_executors_count(e->executors));
}
