/* See attempt.h. */
#include "engine/private.h"

#define RETRY_AFTER_MAX_MS 60000ULL

static void call_done(void *arg, const struct sh_tool_outcome *outcome) {
    struct sh_activity *a = arg;
    struct sh_workflow *wf = a->wf;
    struct sh_err err = {0};
    char *text = outcome->result ? sh_json_text(outcome->result) : NULL;

    a->run = NULL;
    if (outcome->err) {
        sh_activity_fail(a, outcome->err, outcome->retryable, outcome->retry_after_ms);
    } else if (strlen(text) > SH_ACTIVITY_RESULT_MAX) {
        sh_fail(&err, SH_E_LIMIT, "the result has %zu bytes, at most %llu can be taken",
                strlen(text), SH_ACTIVITY_RESULT_MAX);
        sh_activity_fail(a, &err, false, 0);
    } else {
        sh_activity_succeed(a, json_incref(outcome->result));
    }
    sh_free(text);
    sh_journal_commit(wf, NULL, NULL);
}

static void call_delta(void *arg, struct sh_str text) {
    struct sh_activity *a = arg;

    sh_activity_alive(a);
    sh_live_delta(a->wf, text, a->ordinal, a->attempt, a->delta_bytes);
    a->delta_bytes += text.len;
}

static void call_alive(void *arg) {
    sh_activity_alive(arg);
}

static void gone_silent(struct sh_timer *t) {
    struct sh_activity *a = sh_container_of(t, struct sh_activity, silence);
    struct sh_workflow *wf = a->wf;
    struct sh_err err = {0};

    sh_tool_cancel(a->run);
    a->run = NULL;
    sh_fail(&err, SH_E_TIMEOUT,
            "no sign of life for %llu ms (heartbeat_timeout_ms); the attempt was given up",
            (unsigned long long)a->heartbeat_ms);
    sh_activity_fail(a, &err, true, 0);
    sh_journal_commit(wf, NULL, NULL);
}

void sh_activity_alive(struct sh_activity *a) {
    if (a->heartbeat_ms && a->state == SH_ACTIVITY_OUT) {
        sh_timer_start(a->wf->engine->loop, &a->silence, a->heartbeat_ms * 1000000, gone_silent);
    }
}

/* The call leaves. Nothing that the guest knew may still be on its way to disk (invariant 2). */
static void call_out(struct sh_activity *a) {
    struct sh_workflow *wf = a->wf;
    struct sh_err err = {0};
    struct sh_tool_call call = {.tool = a->tool,
                                .args = a->args,
                                .idempotency_key = a->key,
                                .timeout_ms = a->timeout_ms,
                                .on_delta = call_delta,
                                .on_alive = call_alive,
                                .may_reach = sh_admit_reach,
                                .may_use = sh_admit_use,
                                .done = call_done,
                                .arg = a};

    a->state = SH_ACTIVITY_OUT;
    a->attempt++;
    a->delta_bytes = 0;
    wf->activities.n_remote++;
    if (SH_FAULT(tool_call)) {
        sh_fail(&err, SH_E_UNAVAILABLE, "the call did not leave, as a fault test asked");
        sh_activity_fail(a, &err, true, 0);
        sh_journal_commit(wf, NULL, NULL);
        return;
    }
    if (sh_tools_call(wf->engine->config.tools, &call, &a->run, &err) < 0) {
        sh_activity_fail(a, &err, false, 0);
        sh_journal_commit(wf, NULL, NULL);
        return;
    }
    sh_activity_alive(a);
    sh_wall_update(wf);
}

static void wait_over(struct sh_timer *t) {
    sh_attempt_now(sh_container_of(t, struct sh_activity, timer));
}

void sh_attempt_now(struct sh_activity *a) {
    a->state = SH_ACTIVITY_READY;
    sh_activities_dispatch(a->wf);
}

void sh_attempt_later(struct sh_activity *a, uint64_t wait_us) {
    a->state = SH_ACTIVITY_BACKOFF;
    sh_timer_start(a->wf->engine->loop, &a->timer, wait_us * 1000, wait_over);
}

bool sh_attempt_goes_on(const struct sh_activity *a, int code) {
    return !a->at_most_once && a->tool->retryable &&
           sh_retry_goes_on(&a->retry, sh_code_info(code)->name, a->attempt);
}

void sh_attempt_retry(struct sh_activity *a, json_t *body, uint64_t retry_after_ms) {
    uint64_t wait_ms = sh_retry_wait_ms(&a->retry, a->wf->spec.seed, a->ordinal, a->attempt);
    uint64_t asked_ms = retry_after_ms > RETRY_AFTER_MAX_MS ? RETRY_AFTER_MAX_MS : retry_after_ms;

    wait_ms = asked_ms > wait_ms ? asked_ms : wait_ms;
    json_object_set_new(body, "next_at_us", json_integer(sh_wall_us() + (int64_t)(wait_ms * 1000)));
    if (sh_journal_add(a->wf, a->compensates ? "CompensationRetried" : "ActivityRetried", body) ==
        0) {
        sh_workflow_doom(a->wf, SH_E_JOURNAL, "the journal limit leaves no room to retry");
        return;
    }
    a->wf->activities.n_remote--;
    sh_attempt_later(a, wait_ms * 1000);
    sh_wall_update(a->wf);
}

static bool may_leave(const struct sh_workflow *wf, const struct sh_activity *a) {
    /* at_most_once waits until its schedule is durable too, that is until no commit is on its way
     */
    return wf->journal.inputs_pending == 0 && !wf->paused && !wf->over_budget &&
           !sh_disk_is_low(wf->engine) &&
           wf->activities.n_remote < wf->spec.caps.limits.parallel_activities &&
           (!a->at_most_once ||
            (wf->journal.commits_pending == 0 && sh_list_empty(&wf->journal.draft)));
}

void sh_activities_dispatch(struct sh_workflow *wf) {
    if (wf->phase == SH_PHASE_ENDING || wf->phase == SH_PHASE_ENDED || wf->engine->stopping) {
        return;
    }
    /* A call that fails at once unlinks its activity: begin again after each. */
    for (bool again = true; again;) {
        again = false;
        sh_list_each (node, &wf->activities.list) {
            struct sh_activity *a = sh_container_of(node, struct sh_activity, link);
            if (a->state == SH_ACTIVITY_READY && may_leave(wf, a)) {
                call_out(a);
                again = true;
                break;
            }
        }
    }
}
