/* An agent for a workflow, first or again: its workspace is made empty and the agent built in it by
 * a pool job, from what WorkflowStarted froze and from the last checkpoint. */
#include "engine/private.h"
#include "engine/workspace.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* A pool job: the workspace made empty, the agent built in it. */
struct launch {
    struct sh_job job;
    struct sh_workflow *wf; /* pinned */
    struct sh_agent_config config;
    struct sh_capabilities caps; /* as they were: they may be raised meanwhile */
    char *workspace, *script_path, *input;
    struct sh_buf input_text; /* kept beside the journal, instead of input */
    char **argv, **env;
    struct sh_buf script;
    struct sh_agent *agent, *old; /* old: the one that a checkpoint ends */
    struct sh_buf state;
    json_t *kept; /* the files that a checkpoint kept, or NULL */
    char *blobs;
    struct sh_err err;
};

static char **strings(const json_t *array) {
    size_t n = json_array_size(array);
    char **list = sh_new_array(char *, n + 1);

    for (size_t i = 0; i < n; i++) {
        list[i] = sh_strdup(json_string_value(json_array_get(array, i)));
    }
    return list;
}

static void strings_free(char **list) {
    for (size_t i = 0; list && list[i]; i++) {
        sh_free(list[i]);
    }
    sh_free(list);
}

/* At its first start a workflow's mapped directories must be there; a replay may not need them. */
static int check_mounts(const struct sh_workflow *wf, struct sh_err *err) {
    for (size_t i = 0; i < wf->spec.caps.n_mounts && !wf->history.bodies; i++) {
        const char *host = wf->spec.caps.mounts[i].host;
        struct stat st;
        if (stat(host, &st) < 0) {
            return sh_fail(err, SH_E_NOT_FOUND,
                           "there is no directory %s to map to %s: create it or name another", host,
                           wf->spec.caps.mounts[i].guest);
        }
        if (!S_ISDIR(st.st_mode)) {
            return sh_fail(err, SH_E_INVAL, "%s, to be mapped to %s, is not a directory", host,
                           wf->spec.caps.mounts[i].guest);
        }
        if (access(host, R_OK | X_OK) < 0) {
            return sh_fail(err, SH_E_DENIED, "%s, to be mapped to %s, may not be read by us", host,
                           wf->spec.caps.mounts[i].guest);
        }
    }
    return 0;
}

/* The script out of modules/ into the workspace, under the name that argv gives. */
static int script_place(struct launch *l) {
    const struct sh_spec *spec = &l->wf->spec;
    sh_auto(sh_free_p) char *target = sh_asprintf("%s/%s", l->workspace, spec->script_name);
    struct sh_hash actual;
    int r = sh_file_read(l->script_path, SH_MODULE_BYTES_MAX, &l->script, &l->err);

    if (r < 0) {
        return r;
    }
    sh_sha256(l->script.p, l->script.len, &actual);
    if (!sh_hash_eq(&actual, &spec->module)) {
        return sh_fail(&l->err, SH_E_CORRUPT,
                       "%s is not the script that was submitted: its bytes do not have the hash "
                       "that is its name; put the original back",
                       l->script_path);
    }
    r = sh_file_write(target, sh_buf_str(&l->script), 0644, &l->err);
    return r < 0
               ? r
               : sh_pysdk_place(l->wf->engine, spec, sh_buf_str(&l->script), l->workspace, &l->err);
}

static void launch_make(struct launch *l, struct sh_engine *e) {
    l->old = sh_agent_free(l->old);
    sh_tree_remove(l->workspace);
    if (check_mounts(l->wf, &l->err) < 0) {
        return;
    }
    if (SH_FAULT_IO(workspace_make) || mkdir(l->workspace, 0700) < 0) {
        sh_fail_errno(&l->err, SH_E_IO, errno, "cannot make the workspace %s", l->workspace);
        return;
    }
    if (l->kept && sh_workspace_restore(l->kept, l->blobs, l->workspace, &l->err) < 0) {
        return;
    }
    if (l->script_path && script_place(l) < 0) {
        return;
    }
    if (l->wf->spec.input_kept.bytes > 0) {
        if (sh_payload_read(l->blobs, &l->wf->spec.input_kept, &l->input_text, &l->err) < 0) {
            return;
        }
        l->config.input_text = &l->input_text;
    }
    sh_agent_new(e->config.sandbox, &l->config, &l->agent, &l->err);
}

static void launch_work(struct sh_job *job) {
    struct launch *l = sh_container_of(job, struct launch, job);
    struct sh_engine *e = l->wf->engine;

    sh_crash_enter(e->crash, l->wf->id.s, SH_CRASH_LAUNCH);
    launch_make(l, e);
    sh_crash_leave(e->crash);
}

static void grace_over(struct sh_timer *t) {
    sh_workflow_doom(sh_container_of(t, struct sh_workflow, grace_timer), SH_E_CANCELED,
                     "canceled; the agent did not end by itself in time");
}

void sh_workflow_grace(struct sh_workflow *wf) {
    if (!wf->leaving) { /* a commit that a stop did not wait for: nobody would stop the timer */
        sh_timer_start(wf->engine->loop, &wf->grace_timer,
                       wf->engine->config.cancel_grace_ms * 1000000, grace_over);
    }
}

static void launch_done(struct sh_job *job) {
    struct launch *l = sh_container_of(job, struct launch, job);
    struct sh_workflow *wf = l->wf;

    wf->agent = sh_take(&l->agent);
    if (wf->leaving || wf->engine->stopping) {
        if (wf->agent) {
            sh_workflow_dispose(wf);
        }
    } else if (sh_end_is_the_hosts(l->err.code)) {
        sh_workflow_park(wf, l->err.code, l->err.message);
    } else if (l->err.code) {
        sh_workflow_fail(wf, l->err.code, l->err.message);
    } else if (wf->retake) {
        sh_budget_retake(wf);
    } else if (wf->doom) {
        wf->phase = SH_PHASE_HELD;
        sh_workflow_fail(wf, wf->doom, wf->doom_message);
    } else {
        wf->phase = SH_PHASE_HELD;
        wf->waiting = false;
        if (wf->cancel_requested && !wf->verify) {
            sh_workflow_grace(wf);
        }
        if (wf->paused) {
            sh_workflow_proven(wf);
        }
        sh_workflow_poke(wf);
    }
    sh_free(l->workspace);
    sh_free(l->script_path);
    sh_free(l->input);
    sh_buf_done(&l->input_text);
    strings_free(l->argv);
    strings_free(l->env);
    sh_buf_done(&l->script);
    sh_buf_done(&l->state);
    json_decref(l->kept);
    sh_free(l->blobs);
    sh_free(l);
    sh_workflow_unpin(wf);
}

/* Where the last checkpoint left the counters; a first start begins at zero. */
static void from_checkpoint(struct launch *l, const json_t *ckpt) {
    struct sh_agent_config *c = &l->config;
    json_t *waits = json_object_get(ckpt, "signal_waits");

    if (!ckpt) {
        return;
    }
    if (json_is_object(waits)) {
        json_decref(l->wf->signal_waits);
        l->wf->signal_waits = json_deep_copy(waits);
    }
    sh_base64_decode(&l->state, sh_json_get_str(ckpt, "state"));
    l->kept = json_deep_copy(json_object_get(ckpt, "workspace"));
    c->state = sh_buf_str(&l->state);
    c->start_us = sh_json_get_int(ckpt, "clock_us", 0);
    c->fuel_used = (uint64_t)sh_json_get_int(ckpt, "fuel_used", 0);
    c->random_pos = (uint64_t)sh_json_get_int(ckpt, "random_pos", 0);
    c->ordinal = (uint64_t)sh_json_get_int(ckpt, "ordinal", 0);
    c->call_number = (uint64_t)sh_json_get_int(ckpt, "call_number", 0);
    c->emitted = (uint64_t)sh_json_get_int(ckpt, "emitted", 0);
    c->published = (uint64_t)sh_json_get_int(ckpt, "published", 0);
    c->result_given = json_object_get(ckpt, "output") || json_object_get(ckpt, SH_OUTPUT_KEPT);
    for (size_t i = 0; i < 2; i++) {
        c->output_offset[i] =
            (uint64_t)json_integer_value(json_array_get(json_object_get(ckpt, "output_offset"), i));
    }
}

void sh_workflow_launch(struct sh_workflow *wf) {
    struct launch *l = sh_new(struct launch);
    const struct sh_spec *spec = &wf->spec;

    wf->phase = SH_PHASE_LOADING;
    l->wf = wf;
    l->blobs = sh_checkpoint_blobs(wf);
    l->old = sh_take(&wf->agent);
    l->workspace = sh_workspace_path(wf);
    l->argv = strings(spec->argv);
    l->env = strings(spec->env);
    sh_buf_init(&l->script, SH_MODULE_BYTES_MAX);
    sh_buf_init_sure(&l->state, SH_CHECKPOINT_MAX);
    if (spec->python) {
        l->script_path = sh_modules_path(wf->engine, &spec->module);
    }
    l->input = spec->input ? sh_json_text(spec->input) : NULL;
    l->caps = spec->caps;
    l->config = (struct sh_agent_config){
        .module = wf->module,
        .argv = (const char *const *)l->argv,
        .env = (const char *const *)l->env,
        .input = sh_str(l->input),
        .start_us = spec->started_us,
        .caps = &l->caps,
        .workspace = l->workspace,
        .blobs = l->blobs,
        .stdin_bytes = sh_buf_str(&spec->stdin_bytes),
        .stdin_live = spec->stdin_live,
        .tty = {spec->tty[0], spec->tty[1], spec->tty[2]},
        .observe = wf->engine->config.observe,
        .again = wf->history.bodies != NULL,
        .verify = wf->verify,
        .cut = wf->verify && sh_verify_ended_outside(&wf->history),
    };
    memcpy(l->config.seed, spec->seed, sizeof(l->config.seed));
    memcpy(l->config.reseeds, spec->reseeds, sizeof(l->config.reseeds));
    l->config.n_reseeds = spec->n_reseeds;
    from_checkpoint(l, wf->history.checkpoint);
    l->job.work = launch_work;
    l->job.done = launch_done;
    wf->pins++;
    sh_loop_submit(wf->engine->loop, SH_POOL_FILES, &l->job);
}
