/* Checkpoints (SEMANTICS 11): what the workspace holds becomes blobs (a pool job), then state,
 * counters and the blobs' manifest go into the journal as one event; when that is durable the guest
 * starts anew from it, live exactly as after a crash. From begin to that start nobody steps the
 * agent: inputs that arrive meanwhile are for the next one. */
#include "engine/private.h"
#include "engine/workspace.h"

struct keep {
    struct sh_job job;
    struct sh_workflow *wf; /* pinned */
    char *workspace, *blobs;
    json_t *kept;  /* or NULL: nothing is there */
    json_t *names; /* {hash: ...} of its blobs */
    struct sh_err err;
};

char *sh_checkpoint_blobs(const struct sh_workflow *wf) {
    return sh_asprintf("%s/blobs", wf->engine->config.data_dir);
}

static json_t *body_of(const struct sh_workflow *wf) {
    const struct sh_agent_wait *w = sh_agent_wait(wf->agent);
    struct sh_agent_counters c = sh_agent_counters(wf->agent);
    struct sh_buf state;
    json_t *body;

    sh_buf_init_sure(&state, SH_EVENT_BODY_MAX);
    sh_base64_encode(&state, w->state.p, w->state.len);
    body = json_pack("{s:s%, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:[I,I], s:I}", "state",
                     state.p ? state.p : "", state.len, "clock_us", (json_int_t)c.clock_us,
                     "fuel_used", (json_int_t)c.fuel_used, "random_pos", (json_int_t)c.random_pos,
                     "ordinal", (json_int_t)c.ordinal, "call_number", (json_int_t)c.call_number,
                     "emitted", (json_int_t)c.emitted, "published", (json_int_t)c.published,
                     "output_offset", (json_int_t)c.output_offset[0],
                     (json_int_t)c.output_offset[1], "spent_us", (json_int_t)sh_wall_spent_us(wf));
    sh_buf_done(&state);
    if (w->input.len > 0) { /* continue as new */
        json_object_set_new(body, "input", sh_guest_json(w->input));
    }
    if (wf->output) { /* a result given before is not forgotten, nor given twice */
        json_object_set(body, "output", wf->output);
    } else if (wf->output_kept.bytes > 0) {
        json_object_set_new(body, SH_OUTPUT_KEPT, sh_payload_json(&wf->output_kept));
    }
    json_object_set_new(body, "signal_waits", json_deep_copy(wf->signal_waits));
    return body;
}

static void write_event(struct sh_workflow *wf, json_t *kept, const json_t *names) {
    json_t *body = body_of(wf);

    if (kept) {
        json_object_set(body, "workspace", kept);
    }
    if (sh_journal_add(wf, "Checkpoint", body) == 0) {
        sh_workflow_doom(wf, SH_E_JOURNAL, "a checkpoint does not fit the journal limit");
    } else {
        sh_blobs_named(wf, names, wf->journal.seq);
        sh_workflow_sign_head(wf);
        sh_workflow_row_update(wf);
    }
    sh_journal_commit(wf, NULL, NULL);
}

static void keep_work(struct sh_job *job) {
    struct keep *k = sh_container_of(job, struct keep, job);

    (void)sh_workspace_keep(k->workspace, k->blobs, &k->kept, &k->err);
    const char *manifest = json_string_value(json_object_get(k->kept, "manifest"));
    if (manifest) {
        json_object_set_new(k->names, manifest, json_true());
        if (sh_blobs_of_manifest(k->blobs, manifest, k->names, &k->err) < 0 ||
            sh_blobs_touch(k->blobs, k->names, &k->err) < 0) {
            k->err.code = SH_E_IO; /* the host's: it is tried again */
        }
    }
}

static void keep_end(struct keep *k) {
    struct sh_workflow *wf = k->wf;

    if (!wf->leaving && wf->phase == SH_PHASE_HELD && !wf->doom && !wf->engine->stopping) {
        if (sh_end_is_the_hosts(k->err.code)) {
            sh_workflow_park(wf, k->err.code, k->err.message);
        } else if (k->err.code) {
            sh_workflow_fail(wf, k->err.code, k->err.message);
        } else {
            write_event(wf, k->kept, k->names);
        }
    }
    json_decref(k->kept);
    json_decref(k->names);
    sh_free(k->workspace);
    sh_free(k->blobs);
    sh_free(k);
    sh_workflow_unpin(wf);
}

static void names_written(void *arg, const struct sh_err *err) {
    struct keep *k = arg;

    k->err = err ? *err : k->err;
    keep_end(k);
}

static void keep_done(struct sh_job *job) {
    struct keep *k = sh_container_of(job, struct keep, job);

    if (k->err.code || json_object_size(k->names) <= SH_BLOBS_AT_ONCE) {
        keep_end(k);
    } else { /* more than the commit of an event can hold */
        sh_blobs_name_all(k->wf->engine, k->wf->id.s, k->names, INT64_MAX, names_written, k);
    }
}

void sh_checkpoint_begin(struct sh_workflow *wf) {
    struct keep *k = sh_new(struct keep);

    wf->waiting = true;
    wf->anew = true;
    k->wf = wf;
    k->workspace = sh_workspace_path(wf);
    k->blobs = sh_checkpoint_blobs(wf);
    k->names = json_object();
    k->job.work = keep_work;
    k->job.done = keep_done;
    wf->pins++;
    sh_loop_submit(wf->engine->loop, SH_POOL_FILES, &k->job);
}

/* The state is what the agent that asks began from: it is there, for it has just asked. */
void sh_checkpoint_state_run(struct sh_activity *a) {
    struct sh_err err = {0};
    struct sh_str state = {NULL, 0};

    if (!a->wf->agent) {
        sh_fail(&err, SH_E_INTERNAL, "the agent that asks for its state is not in memory");
        sh_activity_fail(a, &err, true, 0);
        return;
    }
    state = sh_agent_state(a->wf->agent);
    sh_activity_succeed(
        a, json_pack("{s:b, s:o}", "found", state.len > 0, "state", sh_guest_json(state)));
}
