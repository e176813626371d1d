/* A workflow in memory: made, launched, stepped, poked, left. The states are drawn in private.h. */
#include "engine/private.h"

#include <errno.h>
#include <search.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

struct sh_input { /* a durable tape item that the agent has not been given */
    struct sh_list link;
    struct sh_tape_item item;
    struct sh_buf bytes;
    char what[24];
};

/* A pool job: the workspace made empty, the agent built in it. */
struct launch {
    struct sh_job job;
    struct sh_workflow *wf; /* pinned */
    struct sh_agent_config config;
    char *workspace, *script_path, *input;
    char **argv, **env;
    struct sh_buf script;
    struct sh_agent *agent, *old; /* old: the one that a checkpoint ends */
    struct sh_buf state;
    struct sh_err err;
};

/* A pool job: the agent freed, its workspace removed. */
struct disposal {
    struct sh_job job;
    struct sh_engine *engine;
    struct sh_agent *agent;
    char *workspace;
};

static int by_id(const void *a, const void *b) {
    return strcmp(((const struct sh_workflow *)a)->id.s, ((const struct sh_workflow *)b)->id.s);
}

struct sh_workflow *sh_workflow_new(struct sh_engine *e, const struct sh_id *id) {
    struct sh_workflow *wf = sh_new(struct sh_workflow);

    wf->engine = e;
    wf->id = *id;
    wf->phase = SH_PHASE_LOADING;
    wf->policy = e->config.policy;
    wf->row = json_object();
    sh_journal_init(&wf->journal, id);
    sh_activities_init(&wf->activities);
    sh_approvals_init(&wf->approvals);
    wf->signals = json_object();
    wf->signal_waits = json_object();
    sh_list_init(&wf->inputs);
    sh_list_init(&wf->subscriptions);
    sh_buf_init(&wf->answer, SH_RESULT_TEXT_MAX);
    sh_buf_init(&wf->stdin_queue, SH_ACTIVITY_RESULT_MAX);
    sh_buf_init(&wf->spec.stdin_bytes, SH_INPUT_MAX * 2);
    sh_list_push(&e->workflows, &wf->link);
    e->n_workflows++;
    e->pins++;
    return wf;
}

void sh_workflow_enter(struct sh_workflow *wf) {
    SH_ASSERT(tsearch(wf, &wf->engine->by_id, by_id));
    wf->entered = true;
}

struct sh_workflow *sh_workflow_find(struct sh_engine *e, struct sh_str id) {
    struct sh_workflow key;
    void *found;

    if (sh_id_parse(id, &key.id) < 0) {
        return NULL;
    }
    found = tfind(&key, &e->by_id, by_id);
    return found ? *(struct sh_workflow **)found : NULL;
}

void sh_spec_done(struct sh_spec *spec) {
    sh_free(spec->script_name);
    sh_free(spec->agent);
    sh_free(spec->session);
    json_decref(spec->argv);
    json_decref(spec->env);
    json_decref(spec->input);
    sh_capabilities_done(&spec->caps);
    sh_buf_done(&spec->stdin_bytes);
    *spec = (struct sh_spec){0};
}

static void input_free(struct sh_input *in) {
    sh_buf_done(&in->bytes);
    sh_list_unlink(&in->link);
    sh_free(in);
}

static void workflow_free(struct sh_workflow *wf) {
    struct sh_engine *e = wf->engine;

    while (!sh_list_empty(&wf->inputs)) {
        input_free(sh_container_of(wf->inputs.next, struct sh_input, link));
    }
    sh_approvals_done(&wf->approvals);
    json_decref(wf->signals);
    json_decref(wf->signal_waits);
    sh_history_done(&wf->history);
    sh_journal_done(&wf->journal);
    sh_spec_done(&wf->spec);
    sh_module_unref(wf->module);
    sh_buf_done(&wf->answer);
    sh_buf_done(&wf->stdin_queue);
    json_decref(wf->output);
    json_decref(wf->row);
    sh_free(wf);
    sh_engine_unpin(e);
}

void sh_workflow_unpin(struct sh_workflow *wf) {
    SH_ASSERT(wf->pins > 0);
    wf->pins--;
    if (wf->leaving && wf->pins == 0) {
        workflow_free(wf);
    }
}

static char *workspace_path(const struct sh_workflow *wf) {
    return sh_asprintf("%s/work/%s%s", wf->engine->config.data_dir, wf->id.s,
                       wf->verify ? ".verify" : "");
}

static void dispose_work(struct sh_job *job) {
    struct disposal *d = sh_container_of(job, struct disposal, job);

    d->agent = sh_agent_free(d->agent);
    sh_tree_remove(d->workspace);
}

static void dispose_done(struct sh_job *job) {
    struct disposal *d = sh_container_of(job, struct disposal, job);
    struct sh_engine *e = d->engine;

    sh_free(d->workspace);
    sh_free(d);
    sh_engine_unpin(e);
}

static void dispose(struct sh_workflow *wf) {
    struct disposal *d = sh_new(struct disposal);

    d->engine = wf->engine;
    d->agent = sh_take(&wf->agent);
    d->workspace = workspace_path(wf);
    d->job.work = dispose_work;
    d->job.done = dispose_done;
    d->engine->pins++;
    sh_loop_submit(d->engine->loop, SH_POOL_FILES, &d->job);
}

void sh_workflow_leave(struct sh_workflow *wf) {
    if (wf->leaving) {
        return;
    }
    wf->leaving = true;
    sh_timer_stop(&wf->sleep_timer);
    sh_timer_stop(&wf->grace_timer);
    sh_timer_stop(&wf->doom_timer);
    sh_wall_stop(wf);
    sh_activities_stop(wf);
    sh_approvals_stop(wf);
    sh_live_detach(wf);
    if (wf->entered) {
        tdelete(wf, &wf->engine->by_id, by_id);
    }
    sh_list_unlink(&wf->link);
    wf->engine->n_workflows--;
    if (wf->phase == SH_PHASE_RUNNABLE) {
        sh_task_interrupt(&wf->task); /* stepped() frees it */
    } else if (wf->agent) {
        dispose(wf);
    }
    wf->pins++;
    sh_workflow_unpin(wf);
}

/* ---- launch ---- */

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
    return sh_file_write(target, sh_buf_str(&l->script), 0644, &l->err);
}

static void launch_work(struct sh_job *job) {
    struct launch *l = sh_container_of(job, struct launch, job);
    struct sh_engine *e = l->wf->engine;

    l->old = sh_agent_free(l->old);
    sh_tree_remove(l->workspace);
    if (check_mounts(l->wf, &l->err) < 0) {
        return;
    }
    if (mkdir(l->workspace, 0700) < 0) {
        sh_fail_errno(&l->err, SH_E_IO, errno, "cannot make the workspace %s", l->workspace);
        return;
    }
    if (l->script_path && script_place(l) < 0) {
        return;
    }
    sh_agent_new(e->config.sandbox, &l->config, &l->agent, &l->err);
}

static bool push_inputs(struct sh_workflow *wf) {
    bool any = !sh_list_empty(&wf->inputs);

    while (!sh_list_empty(&wf->inputs)) {
        struct sh_input *in = sh_container_of(wf->inputs.next, struct sh_input, link);
        in->item.what = sh_str(in->what);
        in->item.bytes = sh_buf_str(&in->bytes);
        sh_agent_push(wf->agent, &in->item);
        input_free(in);
    }
    return any;
}

static void run(struct sh_workflow *wf) {
    push_inputs(wf);
    wf->phase = SH_PHASE_RUNNABLE;
    wf->waiting = false;
    wf->pins++;
    wf->task.agent = wf->agent;
    wf->task.stepped = sh_workflow_stepped;
    sh_executors_run(wf->engine->executors, &wf->task);
    sh_wall_update(wf);
}

static void grace_over(struct sh_timer *t) {
    sh_workflow_doom(sh_container_of(t, struct sh_workflow, grace_timer), SH_E_CANCELED,
                     "canceled; the agent did not end by itself in time");
}

static void grace_begin(struct sh_workflow *wf) {
    sh_timer_start(wf->engine->loop, &wf->grace_timer, SH_CANCEL_GRACE_NS, grace_over);
}

static void launch_done(struct sh_job *job) {
    struct launch *l = sh_container_of(job, struct launch, job);
    struct sh_workflow *wf = l->wf;

    wf->agent = sh_take(&l->agent);
    if (wf->leaving || wf->engine->stopping) {
        if (wf->agent) {
            dispose(wf);
        }
    } else if (sh_end_is_the_hosts(l->err.code)) {
        sh_workflow_park(wf, l->err.code, l->err.message);
    } else if (l->err.code) {
        sh_workflow_fail(wf, l->err.code, l->err.message);
    } else if (wf->doom) {
        wf->phase = SH_PHASE_HELD;
        sh_workflow_fail(wf, wf->doom, wf->doom_message);
    } else {
        wf->phase = SH_PHASE_HELD;
        wf->waiting = false;
        if (wf->cancel_requested && !wf->verify) {
            grace_begin(wf);
        }
        sh_workflow_poke(wf);
    }
    sh_free(l->workspace);
    sh_free(l->script_path);
    sh_free(l->input);
    strings_free(l->argv);
    strings_free(l->env);
    sh_buf_done(&l->script);
    sh_buf_done(&l->state);
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
    c->state = sh_buf_str(&l->state);
    c->start_us = sh_json_get_int(ckpt, "clock_us", 0);
    c->fuel_used = (uint64_t)sh_json_get_int(ckpt, "fuel_used", 0);
    c->random_pos = (uint64_t)sh_json_get_int(ckpt, "random_pos", 0);
    c->ordinal = (uint64_t)sh_json_get_int(ckpt, "ordinal", 0);
    c->call_number = (uint64_t)sh_json_get_int(ckpt, "call_number", 0);
    c->emitted = (uint64_t)sh_json_get_int(ckpt, "emitted", 0);
    c->published = (uint64_t)sh_json_get_int(ckpt, "published", 0);
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
    l->old = sh_take(&wf->agent);
    l->workspace = workspace_path(wf);
    l->argv = strings(spec->argv);
    l->env = strings(spec->env);
    sh_buf_init(&l->script, SH_MODULE_BYTES_MAX);
    sh_buf_init(&l->state, SH_CHECKPOINT_MAX);
    if (spec->python) {
        l->script_path = sh_modules_path(wf->engine, &spec->module);
    }
    l->input = sh_json_text(spec->input);
    l->config = (struct sh_agent_config){
        .module = wf->module,
        .argv = (const char *const *)l->argv,
        .env = (const char *const *)l->env,
        .input = sh_str(l->input),
        .start_us = spec->started_us,
        .caps = &spec->caps,
        .workspace = l->workspace,
        .stdin_bytes = sh_buf_str(&spec->stdin_bytes),
        .stdin_live = spec->stdin_live,
        .tty = {spec->tty[0], spec->tty[1], spec->tty[2]},
        .observe = wf->engine->config.observe,
        .verify = wf->verify,
    };
    memcpy(l->config.seed, spec->seed, sizeof(l->config.seed));
    from_checkpoint(l, wf->history.checkpoint);
    l->job.work = launch_work;
    l->job.done = launch_done;
    wf->pins++;
    sh_loop_submit(wf->engine->loop, SH_POOL_FILES, &l->job);
}

/* ---- running ---- */

static void doomed(struct sh_timer *t) {
    struct sh_workflow *wf = sh_container_of(t, struct sh_workflow, doom_timer);

    if (wf->phase == SH_PHASE_HELD) {
        sh_workflow_fail(wf, wf->doom, wf->doom_message);
    }
}

/* End it from outside, as soon as the loop has the agent; never inside this call, because callers
 * stand in the middle of what an end takes apart. The first doom stays. */
void sh_workflow_doom(struct sh_workflow *wf, int code, const char *message) {
    if (wf->doom || wf->leaving || wf->phase >= SH_PHASE_ENDING) {
        return;
    }
    wf->doom = code;
    snprintf(wf->doom_message, sizeof(wf->doom_message), "%s", message);
    if (wf->phase == SH_PHASE_RUNNABLE) {
        sh_task_interrupt(&wf->task);
    } else {
        sh_timer_start(wf->engine->loop, &wf->doom_timer, 0, doomed);
    }
}

void sh_workflow_input(struct sh_workflow *wf, const struct sh_tape_item *item) {
    struct sh_input *in = sh_new(struct sh_input);

    in->item = *item;
    sh_buf_init(&in->bytes, SH_JSON_TEXT_MAX);
    sh_buf_add(&in->bytes, item->bytes.p, item->bytes.len);
    snprintf(in->what, sizeof(in->what), "%.*s", (int)item->what.len, item->what.p);
    sh_list_push(&wf->inputs, &in->link);
}

void sh_workflow_poke(struct sh_workflow *wf) {
    if (wf->phase != SH_PHASE_HELD || !wf->agent || wf->paused || wf->doom ||
        wf->engine->stopping || wf->leaving) {
        sh_wall_update(wf);
        return;
    }
    if (!wf->waiting || !sh_list_empty(&wf->inputs)) {
        run(wf);
    }
}

static void woken(struct sh_timer *t) {
    struct sh_workflow *wf = sh_container_of(t, struct sh_workflow, sleep_timer);

    sh_agent_wake(wf->agent);
    wf->waiting = false;
    sh_workflow_poke(wf);
}

static int64_t recorded_due(const struct sh_workflow *wf, uint64_t call) {
    for (size_t i = 0; i < wf->history.n_sleeps; i++) {
        if (wf->history.sleeps[i].call == call) {
            return wf->history.sleeps[i].due_us;
        }
    }
    return 0;
}

/* poll_oneoff on clocks (SEMANTICS 4): replayed without waiting, and from one second on the due
 * time is in the journal so that a restart does not begin the delay again. */
static void sleep_begin(struct sh_workflow *wf, const struct sh_agent_wait *w) {
    struct sh_agent_counters counters = sh_agent_counters(wf->agent);
    int64_t now_us = sh_wall_us();
    int64_t due_us = recorded_due(wf, w->call_number);
    uint64_t delay_ns = w->delay_ns;
    bool past = wf->verify || (wf->history.bodies && !sh_history_over(&wf->history, &counters)) ||
                w->clock_us + (int64_t)(w->delay_ns / 1000) <= wf->history.last_us;

    if (due_us && !wf->verify) {
        delay_ns = due_us > now_us ? (uint64_t)(due_us - now_us) * 1000 : 0;
    } else if (past) {
        delay_ns = 0;
    } else if (delay_ns >= 1000000000ULL) {
        sh_journal_add(wf, "Observed",
                       json_pack("{s:I, s:s, s:I}", "call", (json_int_t)w->call_number, "kind",
                                 "sleep", "due_us",
                                 (json_int_t)(now_us + (int64_t)(delay_ns / 1000))));
        sh_journal_commit(wf, NULL, NULL);
    }
    sh_timer_start(wf->engine->loop, &wf->sleep_timer, delay_ns, woken);
}

/* Give waiting input to a read. The read's chunk is an event before the guest sees it. */
static void stdin_begin(struct sh_workflow *wf, const struct sh_agent_wait *w) {
    size_t n = wf->stdin_queue.len < w->max_bytes ? wf->stdin_queue.len : w->max_bytes;
    struct sh_buf data;

    if ((n == 0 && !wf->stdin_eof) || wf->stdin_reading) {
        return;
    }
    wf->stdin_reading = true;
    sh_buf_init(&data, SH_EVENT_BODY_MAX);
    sh_base64_encode(&data, wf->stdin_queue.p, n);
    sh_journal_add(wf, "Observed",
                   json_pack("{s:I, s:s, s:s%}", "call", (json_int_t)w->call_number, "kind",
                             "stdin", "data", data.p ? data.p : "", data.len));
    sh_buf_done(&data);
    sh_buf_drop(&wf->stdin_queue, n);
    sh_journal_commit(wf, NULL, NULL);
}

void sh_workflow_stdin_ready(struct sh_workflow *wf) {
    const struct sh_agent_wait *w;

    if (wf->phase == SH_PHASE_HELD && wf->agent && wf->waiting) {
        w = sh_agent_wait(wf->agent);
        if (w->kind == SH_WAIT_STDIN) {
            stdin_begin(wf, w);
        }
    }
}

/* The agent suspended for an answer that is not on its tape. */
static void wait_begin(struct sh_workflow *wf) {
    const struct sh_agent_wait *w = sh_agent_wait(wf->agent);

    wf->waiting = w->kind != SH_WAIT_ROOM;
    if (!wf->waiting || !sh_list_empty(&wf->inputs)) {
        sh_workflow_poke(wf);
    } else if (w->kind == SH_WAIT_SLEEP) {
        sleep_begin(wf, w);
    } else if (wf->verify) {
        wf->on_end(wf, wf->on_end_arg);
        return;
    } else if (w->kind == SH_WAIT_STDIN) {
        stdin_begin(wf, w);
    }
    sh_wall_update(wf);
}

static bool workspace_is_empty(const struct sh_workflow *wf) {
    sh_auto(sh_free_p) char *path = workspace_path(wf);

    return rmdir(path) == 0 && mkdir(path, 0700) == 0;
}

/* The state goes into the journal; when it is durable the guest starts anew from it, live exactly
 * as after a crash (SEMANTICS 11). A guest with files in its workspace is refused: they would be
 * lost. */
static void checkpoint_begin(struct sh_workflow *wf) {
    const struct sh_agent_wait *w = sh_agent_wait(wf->agent);
    struct sh_agent_counters c = sh_agent_counters(wf->agent);
    struct sh_buf state;

    if (!workspace_is_empty(wf)) {
        sh_workflow_fail(wf, SH_E_UNSUPPORTED,
                         "checkpoint: the workspace holds files, which a checkpoint does not keep; "
                         "remove them first, or keep them in the state");
        return;
    }
    sh_buf_init(&state, SH_EVENT_BODY_MAX);
    sh_base64_encode(&state, w->state.p, w->state.len);
    json_t *body = json_pack(
        "{s:s%, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:[I,I], s:I}", "state", state.p ? state.p : "",
        state.len, "clock_us", (json_int_t)c.clock_us, "fuel_used", (json_int_t)c.fuel_used,
        "random_pos", (json_int_t)c.random_pos, "ordinal", (json_int_t)c.ordinal, "call_number",
        (json_int_t)c.call_number, "emitted", (json_int_t)c.emitted, "published",
        (json_int_t)c.published, "output_offset", (json_int_t)c.output_offset[0],
        (json_int_t)c.output_offset[1], "spent_us", (json_int_t)sh_wall_spent_us(wf));
    sh_buf_done(&state);
    wf->waiting = true;
    json_object_set_new(body, "signal_waits", json_deep_copy(wf->signal_waits));
    if (sh_journal_add(wf, "Checkpoint", body) == 0) {
        sh_workflow_doom(wf, SH_E_JOURNAL, "a checkpoint does not fit the journal limit");
    }
    sh_journal_commit(wf, NULL, NULL);
}

/* Nothing is left that the agent did before: the run is live. */
static void history_release(struct sh_workflow *wf) {
    struct sh_agent_counters counters;

    if (wf->phase != SH_PHASE_HELD || !wf->history.bodies || wf->history.final || wf->verify) {
        return;
    }
    counters = sh_agent_counters(wf->agent);
    if (sh_history_over(&wf->history, &counters)) {
        sh_history_done(&wf->history);
    }
}

void sh_workflow_stepped(struct sh_task *task) {
    struct sh_workflow *wf = sh_container_of(task, struct sh_workflow, task);

    wf->phase = SH_PHASE_HELD;
    if (wf->leaving) {
        dispose(wf);
    } else if (!wf->engine->stopping && sh_workflow_effects(wf)) {
        if (wf->doom) {
            sh_workflow_fail(wf, wf->doom, wf->doom_message);
        } else if (task->status == SH_AGENT_FINISHED) {
            sh_workflow_finish(wf, sh_agent_end(wf->agent));
        } else if (task->status == SH_AGENT_CHECKPOINT) {
            checkpoint_begin(wf);
        } else if (task->status == SH_AGENT_WAITING) {
            wait_begin(wf);
            history_release(wf);
        } else {
            wf->waiting = false;
            sh_workflow_poke(wf);
        }
    }
    sh_workflow_unpin(wf);
}

/* ---- what durable events do ---- */

static void apply_outcome(struct sh_workflow *wf, const struct sh_event *ev) {
    json_t *usage = json_object_get(json_object_get(ev->body, "result"), "usage");
    uint64_t spent = (uint64_t)sh_json_get_int(ev->body, "spent_us", 0);
    struct sh_buf text;

    sh_buf_init(&text, SH_JSON_TEXT_MAX);
    sh_activity_result_text(ev->body, &text);
    sh_workflow_input(
        wf, &(struct sh_tape_item){.kind = SH_TAPE_COMPLETION,
                                   .seq = ev->seq,
                                   .time_us = ev->time_us,
                                   .number = (uint64_t)sh_json_get_int(ev->body, "ordinal", 0) + 1,
                                   .bytes = sh_buf_str(&text)});
    sh_buf_done(&text);
    if (usage && sh_str_eqz(sh_json_get_str(ev->body, "op"), "llm")) {
        json_t *result = json_object_get(ev->body, "result");
        wf->usage_input += (uint64_t)sh_json_get_int(usage, "input_tokens", 0);
        wf->usage_output += (uint64_t)sh_json_get_int(usage, "output_tokens", 0);
        wf->usage_total += (uint64_t)sh_json_get_int(usage, "total_tokens", 0);
        wf->usage_cost += json_number_value(json_object_get(usage, "cost_usd"));
        json_object_set(wf->row, "model", json_object_get(result, "model"));
        json_object_set(wf->row, "provider", json_object_get(result, "provider"));
    }
    if (wf->phase == SH_PHASE_LOADING && spent > wf->wall_spent_us) {
        wf->wall_spent_us = spent;
    }
}

static void apply_observed(struct sh_workflow *wf, const struct sh_event *ev) {
    struct sh_str kind = sh_json_get_str(ev->body, "kind");
    bool is_stdin = sh_str_eqz(kind, "stdin");
    struct sh_buf bytes;

    /* live, the agent made the others itself */
    if (sh_str_eqz(kind, "sleep") || (wf->phase != SH_PHASE_LOADING && !is_stdin)) {
        return;
    }
    sh_buf_init(&bytes, SH_JSON_TEXT_MAX);
    sh_base64_decode(&bytes, sh_json_get_str(ev->body, "data"));
    sh_workflow_input(
        wf, &(struct sh_tape_item){.kind = SH_TAPE_OBSERVED,
                                   .seq = ev->seq,
                                   .time_us = ev->time_us,
                                   .number = (uint64_t)sh_json_get_int(ev->body, "call", 0),
                                   .what = kind,
                                   .bytes = sh_buf_str(&bytes)});
    sh_buf_done(&bytes);
    wf->stdin_reading = false;
}

static void apply_checkpoint(struct sh_workflow *wf, const struct sh_event *ev) {
    struct sh_err err = {0};

    while (!sh_list_empty(&wf->inputs)) {
        input_free(sh_container_of(wf->inputs.next, struct sh_input, link));
    }
    wf->answer_kept = wf->answer.len;
    if (wf->phase == SH_PHASE_LOADING) {
        return; /* the loader's history has it */
    }
    sh_history_done(&wf->history);
    sh_history_init(&wf->history);
    sh_history_add(&wf->history, ev, &err);
    if (!wf->leaving) {
        sh_workflow_launch(wf);
    }
}

static void apply_control(struct sh_workflow *wf, const struct sh_event *ev) {
    if (strcmp(ev->type, "Resumed") == 0) {
        wf->paused = false;
        sh_activities_dispatch(wf);
        sh_workflow_poke(wf);
        return;
    }
    if (strcmp(ev->type, "Paused") == 0) {
        wf->paused = true;
        if (wf->phase == SH_PHASE_RUNNABLE) {
            sh_task_interrupt(&wf->task);
        }
        return;
    }
    wf->cancel_requested = true;
    sh_workflow_input(
        wf, &(struct sh_tape_item){.kind = SH_TAPE_CANCEL, .seq = ev->seq, .time_us = ev->time_us});
    if (wf->phase != SH_PHASE_LOADING) {
        grace_begin(wf);
    }
}

void sh_workflow_apply(struct sh_workflow *wf, const struct sh_event *ev) {
    const char *type = ev->type;

    if (strcmp(type, "ActivityCompleted") == 0 || strcmp(type, "ActivityFailed") == 0 ||
        strcmp(type, "TimerFired") == 0) {
        apply_outcome(wf, ev);
    } else if (strcmp(type, "Observed") == 0) {
        apply_observed(wf, ev);
    } else if (strcmp(type, "SignalReceived") == 0) {
        sh_signal_apply(wf, ev);
    } else if (strcmp(type, "ApprovalRequested") == 0) {
        sh_approval_apply_requested(wf, ev);
    } else if (strcmp(type, "ApprovalDecided") == 0) {
        sh_approval_apply_decided(wf, ev);
    } else if (strcmp(type, "Checkpoint") == 0) {
        apply_checkpoint(wf, ev);
    } else if (strcmp(type, "CancelRequested") == 0 || strcmp(type, "Paused") == 0 ||
               strcmp(type, "Resumed") == 0) {
        apply_control(wf, ev);
    } else if (sh_event_is_final(sh_str(type)) && wf->phase == SH_PHASE_ENDING) {
        wf->phase = SH_PHASE_ENDED;
        sh_workflow_leave(wf);
        return;
    }
    if (wf->phase == SH_PHASE_HELD && !sh_list_empty(&wf->inputs)) {
        sh_workflow_poke(wf);
    }
}
