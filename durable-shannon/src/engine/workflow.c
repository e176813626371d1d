/* A workflow in memory: made, found, doomed, left. The states are drawn in private.h; launch.c
 * gives it an agent, run.c steps that, apply.c is what durable events do to it. */
#include "engine/private.h"

#include <search.h>
#include <stdio.h>

struct sh_input { /* a durable tape item that the agent has not been given */
    struct sh_list link;
    struct sh_tape_item item;
    struct sh_buf bytes;
    char what[24];
};

/* A pool job: the agent freed, its workspace removed. */
struct disposal {
    struct sh_job job;
    struct sh_list link; /* engine->disposals */
    struct sh_id id;
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
    wf->number = ++e->made;
    wf->phase = SH_PHASE_LOADING;
    wf->policy = e->config.policy;
    wf->row = json_object();
    sh_journal_init(&wf->journal, id);
    sh_activities_init(&wf->activities);
    sh_approvals_init(&wf->approvals);
    wf->signals = json_object();
    wf->signal_waits = json_object();
    wf->updates = json_object();
    sh_list_init(&wf->inputs);
    sh_net_init(&wf->net);
    sh_list_init(&wf->subscriptions);
    sh_buf_init_sure(&wf->answer, SH_RESULT_TEXT_MAX);
    sh_buf_init_sure(&wf->stdin_queue, SH_ACTIVITY_RESULT_MAX);
    sh_buf_init_sure(&wf->spec.stdin_bytes, SH_INPUT_MAX * 2);
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

static void input_free(struct sh_input *in) {
    sh_buf_done(&in->bytes);
    sh_list_unlink(&in->link);
    sh_free(in);
}

void sh_workflow_drop_inputs(struct sh_workflow *wf) {
    while (!sh_list_empty(&wf->inputs)) {
        input_free(sh_container_of(wf->inputs.next, struct sh_input, link));
    }
}

static void workflow_free(struct sh_workflow *wf) {
    struct sh_engine *e = wf->engine;

    sh_workflow_drop_inputs(wf);
    sh_approvals_done(&wf->approvals);
    sh_compensations_done(&wf->compensations);
    json_decref(wf->signals);
    json_decref(wf->signal_waits);
    json_decref(wf->updates);
    sh_history_done(&wf->history);
    sh_journal_done(&wf->journal);
    sh_spec_done(&wf->spec);
    sh_operator_done(&wf->own);
    sh_module_unref(wf->module);
    sh_buf_done(&wf->answer);
    sh_buf_done(&wf->stdin_queue);
    json_decref(wf->output);
    json_decref(wf->slept);
    json_decref(wf->row);
    sh_free(wf->other_runtime);
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

char *sh_workspace_path(const struct sh_workflow *wf) {
    return wf->verify ? sh_asprintf("%s/work/%s.verify-%llu", wf->engine->config.data_dir, wf->id.s,
                                    (unsigned long long)wf->number)
                      : sh_asprintf("%s/work/%s", wf->engine->config.data_dir, wf->id.s);
}

static void dispose_work(struct sh_job *job) {
    struct disposal *d = sh_container_of(job, struct disposal, job);

    d->agent = sh_agent_free(d->agent);
    sh_tree_remove(d->workspace);
}

static void dispose_done(struct sh_job *job) {
    struct disposal *d = sh_container_of(job, struct disposal, job);
    struct sh_engine *e = d->engine;

    sh_list_unlink(&d->link);
    sh_free(d->workspace);
    sh_free(d);
    sh_takeup_go_on(e);
    sh_engine_unpin(e);
}

void sh_workflow_dispose(struct sh_workflow *wf) {
    struct disposal *d = sh_new(struct disposal);

    d->engine = wf->engine;
    d->id = wf->id;
    sh_list_push(&wf->engine->disposals, &d->link);
    d->agent = sh_take(&wf->agent);
    d->workspace = sh_workspace_path(wf);
    d->job.work = dispose_work;
    d->job.done = dispose_done;
    d->engine->pins++;
    sh_loop_submit(d->engine->loop, SH_POOL_FILES, &d->job);
}

bool sh_workflow_being_disposed(const struct sh_engine *e, const struct sh_id *id) {
    sh_list_each (node, &e->disposals) {
        const struct disposal *d = sh_container_of(node, struct disposal, link);
        if (strcmp(d->id.s, id->s) == 0) {
            return true;
        }
    }
    return false;
}

void sh_workflow_leave(struct sh_workflow *wf) {
    struct sh_engine *e = wf->engine;

    if (wf->leaving) {
        return;
    }
    wf->leaving = true;
    sh_workflow_proven(wf);
    sh_timer_stop(&wf->sleep_timer);
    sh_timer_stop(&wf->grace_timer);
    sh_timer_stop(&wf->doom_timer);
    sh_timer_stop(&wf->deadline_timer);
    sh_timer_stop(&wf->budget_timer);
    sh_timer_stop(&wf->rest_timer);
    sh_timer_stop(&wf->heartbeat_timer);
    sh_wall_stop(wf);
    sh_account_leave(wf);
    sh_activities_stop(wf);
    sh_approvals_stop(wf);
    sh_net_stop(wf);
    sh_live_detach(wf);
    if (wf->entered) {
        tdelete(wf, &wf->engine->by_id, by_id);
    }
    sh_list_unlink(&wf->link);
    wf->engine->n_workflows--;
    if (wf->phase == SH_PHASE_RUNNABLE) {
        sh_task_interrupt(&wf->task); /* stepped() frees it */
    } else if (wf->agent) {
        sh_workflow_dispose(wf);
    }
    wf->pins++;
    sh_workflow_unpin(wf);
    sh_takeup_go_on(e);
}

void sh_workflow_abandon(struct sh_workflow *wf, int code, const char *message) {
    void (*fn)(void *, const struct sh_err *) = wf->on_abandoned;
    void *arg = wf->on_end_arg;
    struct sh_err err = {0};

    sh_fail(&err, code, "%s", message);
    sh_workflow_leave(wf);
    if (fn) { /* else its journal is still being read, and who reads it says so */
        fn(arg, &err);
    }
}

static void doomed(struct sh_timer *t) {
    struct sh_workflow *wf = sh_container_of(t, struct sh_workflow, doom_timer);

    if (wf->phase == SH_PHASE_HELD) {
        sh_workflow_fail(wf, wf->doom, wf->doom_message);
    }
}

/* End it from outside, as soon as the loop has the agent; never inside this call, because callers
 * stand in the middle of what an end takes apart. The first doom stays. */
void sh_workflow_doom(struct sh_workflow *wf, int code, const char *message) {
    if (wf->doom || wf->leaving || wf->phase >= SH_PHASE_COMPENSATING) {
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

void sh_workflow_journal_full(struct sh_workflow *wf) {
    char message[160];

    snprintf(message, sizeof(message),
             "the journal reached its limit of %llu bytes; raise limits.journal to allow more%s",
             (unsigned long long)wf->journal.bytes_max,
             wf->spec.caps.n_mounts ? ", or `capture` of a mount whose files are read" : "");
    sh_workflow_doom(wf, SH_E_JOURNAL, message);
}

void sh_workflow_input(struct sh_workflow *wf, const struct sh_tape_item *item) {
    struct sh_input *in = sh_new(struct sh_input);

    in->item = *item;
    sh_buf_init_sure(&in->bytes, SH_JSON_TEXT_MAX);
    sh_buf_add(&in->bytes, item->bytes.p, item->bytes.len);
    snprintf(in->what, sizeof(in->what), "%.*s", (int)item->what.len, item->what.p);
    sh_list_push(&wf->inputs, &in->link);
}

bool sh_workflow_push_inputs(struct sh_workflow *wf) {
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
