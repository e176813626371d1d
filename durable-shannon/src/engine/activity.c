/* See activity.h. The journal decides: a request that it knows is compared and, where it has an
 * outcome, never made again; a request without an outcome is made (again) under the same key. */
#include "engine/private.h"
#include "engine/request.h"

#include <stdio.h>

#define RETRY_AFTER_MAX_MS 60000ULL
#define MUST_ASK 1 /* a person decides */

void sh_activities_init(struct sh_activities *as) {
    *as = (struct sh_activities){0};
    sh_list_init(&as->list);
}

static void activity_free(struct sh_activity *a) {
    struct sh_activities *as = &a->wf->activities;

    sh_timer_stop(&a->timer);
    if (a->run) {
        sh_tool_cancel(a->run);
    }
    if (a->state == SH_ACTIVITY_OUT && a->tool->kind == SH_TOOL_REMOTE) {
        as->n_remote--;
    }
    sh_list_unlink(&a->link);
    as->n--;
    json_decref(a->args);
    json_decref(a->asked_args);
    json_decref(a->id);
    sh_free(a);
}

void sh_activities_stop(struct sh_workflow *wf) {
    while (!sh_list_empty(&wf->activities.list)) {
        activity_free(sh_container_of(wf->activities.list.next, struct sh_activity, link));
    }
}

static int take_retry(struct sh_activity *a, json_t *retry, struct sh_err *err) {
    static const char *const known[] = {"attempts", "backoff_ms", "backoff_max_ms", NULL};
    int64_t attempts, backoff, most;

    if (!json_is_object(retry)) {
        return sh_fail(err, SH_E_INVAL, "retry: expected an object {attempts, backoff_ms, ...}");
    }
    if (sh_json_only(retry, known, "retry", err) < 0) {
        return -SH_E_INVAL;
    }
    attempts = sh_json_get_int(retry, "attempts", a->retry.attempts);
    backoff = sh_json_get_int(retry, "backoff_ms", (int64_t)a->retry.backoff_ms);
    most = sh_json_get_int(retry, "backoff_max_ms", (int64_t)a->retry.backoff_max_ms);
    if (attempts < 1 || attempts > 100 || backoff < 0 || most < 0 || backoff > 86400000 ||
        most > 86400000) {
        return sh_fail(err, SH_E_INVAL,
                       "retry: expected attempts 1..100 and backoffs of 0..86400000 ms, got "
                       "%lld, %lld, %lld",
                       (long long)attempts, (long long)backoff, (long long)most);
    }
    a->retry = (struct sh_retry){.attempts = (unsigned)attempts,
                                 .backoff_ms = (uint64_t)backoff,
                                 .backoff_max_ms = (uint64_t)most};
    return 0;
}

/* The options that any op takes are the engine's; the tool sees the rest. */
static int take_options(struct sh_activity *a, struct sh_err *err) {
    json_t *retry = json_object_get(a->args, "retry");
    json_t *timeout = json_object_get(a->args, "timeout_ms");

    if (retry && take_retry(a, retry, err) < 0) {
        return -SH_E_INVAL;
    }
    if (timeout) {
        if (!json_is_integer(timeout) || json_integer_value(timeout) < 1) {
            return sh_fail(err, SH_E_INVAL, "timeout_ms: expected an integer of at least 1");
        }
        a->timeout_ms = (uint64_t)json_integer_value(timeout);
    }
    a->at_most_once = sh_json_get_bool(a->args, "at_most_once", false);
    json_object_del(a->args, "retry");
    json_object_del(a->args, "timeout_ms");
    json_object_del(a->args, "at_most_once");
    return 0;
}

static int denied(const struct sh_workflow *wf, const char *tool, const char *why,
                  struct sh_err *err) {
    return sh_fail(err, SH_E_DENIED,
                   "the tool \"%s\" is not granted to agent \"%s\"%s; the operator grants it with "
                   "`--tool %s` or in policy.toml",
                   tool, wf->spec.agent, why, tool);
}

/* The frozen capabilities and the policy in force, on one tool. 0, MUST_ASK, or -SH_E_DENIED. */
static int may_call(const struct sh_workflow *wf, const struct sh_activity *a, struct sh_err *err) {
    const char *tool = a->tool->capability;

    if (!sh_capabilities_tool(&wf->spec.caps, sh_str(tool))) {
        return denied(wf, tool, "", err);
    }
    switch (sh_policy_tool(wf->policy, sh_str(wf->spec.agent), &wf->spec.module, sh_str(tool))) {
    case SH_ALLOW:
        return 0;
    case SH_DENY:
        return denied(wf, tool, " by the policy", err);
    case SH_ASK:
        break;
    }
    switch (sh_approval_known(wf, a->ordinal, tool)) {
    case SH_ASKED_ALLOW:
        return 0;
    case SH_ASKED_MUST_ASK:
        return MUST_ASK;
    case SH_ASKED_DENY:
        break;
    }
    return denied(wf, tool, ": the policy asks a person, and nobody has said yes", err);
}

/* Everything that is decided before an activity may exist. 0, MUST_ASK, or an error. */
static int admit(struct sh_workflow *wf, struct sh_activity *a, const struct sh_request *rq,
                 struct sh_err *err) {
    const struct sh_limits *limits = &wf->spec.caps.limits;
    int asked = 0;

    if (rq->err.code) {
        *err = rq->err;
        return -err->code;
    }
    a->tool = sh_tool_find(sh_str(rq->op));
    if (!a->tool) {
        return sh_fail(err, SH_E_UNKNOWN_TOOL, "there is no tool \"%.60s\"; see `shannon tools`",
                       rq->op);
    }
    if (a->tool->capability) {
        asked = may_call(wf, a, err);
        if (asked < 0) {
            return asked;
        }
    }
    if (a->ordinal >= limits->activities) {
        return sh_fail(err, SH_E_ACTIVITIES, "activity %llu is over the limit of %llu",
                       (unsigned long long)a->ordinal + 1, (unsigned long long)limits->activities);
    }
    if (json_is_object(a->args) && take_options(a, err) < 0) {
        return -err->code;
    }
    return sh_tool_check(a->tool, a->args, err) < 0 ? -err->code : asked;
}

/* Has it an outcome that comes in a later event than its request? */
static bool comes_later(const struct sh_tool *tool) {
    return tool->kind == SH_TOOL_REMOTE || strcmp(tool->name, "sleep") == 0 ||
           strcmp(tool->name, "signal") == 0;
}

static json_t *outcome_body(const struct sh_activity *a) {
    json_t *body = json_object();

    json_object_set_new(body, "ordinal", json_integer((json_int_t)a->ordinal));
    json_object_set_new(body, "op", json_string(a->tool->name));
    json_object_set_new(body, "attempt", json_integer((json_int_t)a->attempt));
    json_object_set_new(body, "spent_us", json_integer((json_int_t)sh_wall_spent_us(a->wf)));
    if (a->id) {
        json_object_set(body, "id", a->id);
    }
    return body;
}

static json_t *error_json(const struct sh_err *why, bool retryable) {
    return json_pack("{s:s, s:o, s:b}", "code", sh_code_info(why->code)->name, "message",
                     sh_json_string(sh_str(why->message)), "retryable", (int)retryable);
}

static void add_outcome(struct sh_activity *a, const char *type, json_t *body) {
    struct sh_workflow *wf = a->wf;

    if (sh_journal_add(wf, type, body) == 0) {
        sh_workflow_doom(wf, SH_E_JOURNAL, "an activity's result does not fit the journal limit");
    }
    activity_free(a);
    sh_wall_update(wf);
}

void sh_activity_succeed(struct sh_activity *a, json_t *result) {
    bool timer = strcmp(a->tool->name, "sleep") == 0;
    json_t *body = outcome_body(a);

    if (!comes_later(a->tool)) { /* one event tells request and result */
        json_object_set(body, "args", a->asked_args);
    }
    json_object_set_new(body, "result", result);
    add_outcome(a, timer ? "TimerFired" : "ActivityCompleted", body);
}

static void attempt_again(struct sh_timer *t);

void sh_activity_fail(struct sh_activity *a, const struct sh_err *why, bool retryable,
                      uint64_t retry_after_ms) {
    json_t *body = outcome_body(a);

    json_object_set_new(body, "error", error_json(why, retryable));
    if (retryable && !a->at_most_once && a->tool->retryable && a->attempt < a->retry.attempts) {
        unsigned doublings = a->attempt - 1 < 20 ? a->attempt - 1 : 20;
        uint64_t wait_ms = a->retry.backoff_ms << doublings;
        wait_ms = wait_ms > a->retry.backoff_max_ms ? a->retry.backoff_max_ms : wait_ms;
        wait_ms = retry_after_ms > wait_ms ? retry_after_ms : wait_ms;
        wait_ms = wait_ms > RETRY_AFTER_MAX_MS ? RETRY_AFTER_MAX_MS : wait_ms;
        json_object_set_new(body, "next_at_us",
                            json_integer(sh_wall_us() + (int64_t)(wait_ms * 1000)));
        if (sh_journal_add(a->wf, "ActivityRetried", body) == 0) {
            sh_workflow_doom(a->wf, SH_E_JOURNAL, "the journal limit leaves no room to retry");
            return;
        }
        a->state = SH_ACTIVITY_BACKOFF;
        a->wf->activities.n_remote--;
        sh_timer_start(a->wf->engine->loop, &a->timer, wait_ms * 1000000, attempt_again);
        sh_wall_update(a->wf);
        return;
    }
    if (!comes_later(a->tool)) {
        json_object_set(body, "args", a->asked_args);
    }
    add_outcome(a, "ActivityFailed", body);
}

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

    sh_live_delta(a->wf, text, a->ordinal, a->attempt, a->delta_bytes);
    a->delta_bytes += text.len;
}

/* The call leaves. Nothing that the guest knew may still be on its way to disk (invariant 2). */
static void call_out(struct sh_activity *a) {
    struct sh_err err = {0};
    struct sh_tool_call call = {.tool = a->tool,
                                .args = a->args,
                                .idempotency_key = a->key,
                                .timeout_ms = a->timeout_ms,
                                .on_delta = call_delta,
                                .done = call_done,
                                .arg = a};

    a->state = SH_ACTIVITY_OUT;
    a->attempt++;
    a->delta_bytes = 0;
    a->wf->activities.n_remote++;
    if (sh_tools_call(a->wf->engine->config.tools, &call, &a->run, &err) < 0) {
        sh_activity_fail(a, &err, false, 0);
        sh_journal_commit(a->wf, NULL, NULL);
        return;
    }
    sh_wall_update(a->wf);
}

static void attempt_again(struct sh_timer *t) {
    struct sh_activity *a = sh_container_of(t, struct sh_activity, timer);

    a->state = SH_ACTIVITY_READY;
    sh_activities_dispatch(a->wf);
}

static void timer_fired(struct sh_timer *t) {
    struct sh_activity *a = sh_container_of(t, struct sh_activity, timer);
    struct sh_workflow *wf = a->wf;

    sh_activity_succeed(a, json_pack("{s:I}", "slept_ms", (json_int_t)sh_sleep_ms(a)));
    sh_journal_commit(wf, NULL, NULL);
}

static bool may_leave(const struct sh_workflow *wf, const struct sh_activity *a) {
    /* at_most_once waits until its schedule is durable too, that is until no commit is on its way
     */
    return wf->journal.inputs_pending == 0 && !wf->paused &&
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

/* ---- operations that the engine answers ---- */

static void sleep_until(struct sh_activity *a, int64_t due_us) {
    int64_t left_us = due_us - sh_wall_us();

    a->state = SH_ACTIVITY_OUT;
    a->due_us = due_us;
    sh_timer_start(a->wf->engine->loop, &a->timer, left_us > 0 ? (uint64_t)left_us * 1000 : 0,
                   timer_fired);
}

static void run_engine_op(struct sh_activity *a) {
    const char *op = a->tool->name;
    struct sh_workflow *wf = a->wf;

    if (strcmp(op, "signal") == 0) {
        sh_signal_run(a);
    } else if (strncmp(op, "kv.", 3) == 0) {
        sh_kv_run(a);
    } else if (strcmp(op, "input") == 0) {
        sh_activity_succeed(a, json_incref(wf->spec.input));
    } else { /* output, emit, publish: that they are journaled is their effect */
        sh_activity_succeed(a, json_object());
    }
}

static void run_pure(struct sh_activity *a) {
    struct sh_err err = {0};
    json_t *result = NULL;

    if (sh_tools_compute(a->tool, a->args, &result, &err) < 0) {
        sh_activity_fail(a, &err, false, 0);
    } else {
        sh_activity_succeed(a, result);
    }
}

/* Scheduled by itself: an operation whose outcome comes later than its request. */
static bool schedule(struct sh_activity *a, json_t *body, struct sh_err *err) {
    if (strcmp(a->tool->name, "sleep") == 0) {
        if (sh_sleep_due(a, sh_wall_us(), &a->due_us, err) < 0) {
            json_decref(body);
            return false;
        }
        json_object_set_new(body, "due_us", json_integer(a->due_us));
    } else if (a->tool->kind == SH_TOOL_REMOTE) {
        json_object_set_new(body, "key", json_string(a->key));
    }
    if (sh_journal_add(a->wf, "ActivityScheduled", body) == 0) {
        sh_workflow_doom(a->wf, SH_E_JOURNAL, "an activity does not fit the journal limit");
    }
    return true;
}

static void go(struct sh_activity *a, const struct sh_past_activity *past) {
    struct sh_err err = {0};

    if (a->tool->kind == SH_TOOL_PURE) {
        run_pure(a);
    } else if (a->due_us != 0) {
        sleep_until(a, a->due_us);
    } else if (a->tool->kind == SH_TOOL_ENGINE) {
        run_engine_op(a);
    } else if (past && a->at_most_once) {
        sh_fail(&err, SH_E_OUTCOME_UNKNOWN,
                "a crash came after the call may have left; it is marked at_most_once");
        a->state = SH_ACTIVITY_OUT;
        a->wf->activities.n_remote++;
        sh_activity_fail(a, &err, false, 0);
    } else if (past && past->next_at_us > sh_wall_us()) {
        a->state = SH_ACTIVITY_BACKOFF;
        sh_timer_start(a->wf->engine->loop, &a->timer,
                       (uint64_t)(past->next_at_us - sh_wall_us()) * 1000, attempt_again);
    }
}

static void refuse(struct sh_workflow *wf, json_t *body, const struct sh_err *why) {
    json_object_set_new(body, "error", error_json(why, false));
    if (sh_journal_add(wf, "ActivityFailed", body) == 0) {
        sh_workflow_doom(wf, SH_E_JOURNAL, "an activity does not fit the journal limit");
    }
}

/* It may go: journaled where its outcome comes later, then on its way. */
static void begin(struct sh_activity *a, json_t *body, const struct sh_past_activity *past) {
    bool separate = comes_later(a->tool);
    struct sh_err err = {0};

    past = past && past->scheduled ? past : NULL;
    a->state = SH_ACTIVITY_READY;
    a->attempt = past ? past->attempts : 0;
    a->due_us = past ? past->due_us : 0;
    if (!past && separate && !schedule(a, json_incref(body), &err)) {
        refuse(a->wf, json_incref(body), &err);
        activity_free(a);
    } else {
        go(a, past);
    }
}

/* The policy asks: the question is an event, the activity rests until it is answered. */
static void ask(struct sh_activity *a, json_t *body) {
    const char *tool = a->tool->capability;

    a->state = SH_ACTIVITY_ASKED;
    sh_approval_request(a->wf,
                        json_pack("[{s:o, s:s}]", "capability", json_sprintf("tool %s", tool),
                                  "rule", "the policy asks"),
                        json_incref(body), tool);
}

static void activity_new(struct sh_workflow *wf, uint64_t ordinal, const struct sh_request *rq,
                         const struct sh_past_activity *past) {
    struct sh_activity *a = sh_new(struct sh_activity);
    struct sh_err err = {0};
    json_t *body = sh_request_body(rq, ordinal);
    int r;

    a->wf = wf;
    a->ordinal = ordinal;
    a->args = json_deep_copy(rq->args);
    a->asked_args = json_incref(rq->args);
    a->id = json_incref(rq->id);
    a->signal_number = rq->signal_number;
    a->retry = (struct sh_retry){.attempts = 4, .backoff_ms = 500, .backoff_max_ms = 30000};
    snprintf(a->key, sizeof(a->key), "%s:%llu", wf->id.s, (unsigned long long)ordinal);
    sh_list_push(&wf->activities.list, &a->link);
    wf->activities.n++;
    r = admit(wf, a, rq, &err);
    if (r < 0) {
        refuse(wf, json_incref(body), &err);
        activity_free(a);
    } else if (r == MUST_ASK) {
        ask(a, body);
    } else {
        begin(a, body, past);
    }
    json_decref(body);
}

static struct sh_activity *asked(struct sh_workflow *wf, uint64_t ordinal) {
    sh_list_each (node, &wf->activities.list) {
        struct sh_activity *a = sh_container_of(node, struct sh_activity, link);
        if (a->ordinal == ordinal && a->state == SH_ACTIVITY_ASKED) {
            return a;
        }
    }
    return NULL;
}

/* The request as it was journaled with the question: options and all. */
static json_t *asked_body(const struct sh_activity *a) {
    json_t *body = json_pack("{s:I, s:s, s:O}", "ordinal", (json_int_t)a->ordinal, "op",
                             a->tool->name, "args", a->asked_args);

    if (a->id) {
        json_object_set(body, "id", a->id);
    }
    return body;
}

void sh_activity_approved(struct sh_workflow *wf, uint64_t ordinal) {
    struct sh_activity *a = asked(wf, ordinal);

    if (a) {
        json_t *body = asked_body(a);
        begin(a, body, NULL);
        json_decref(body);
        sh_journal_commit(wf, NULL, NULL);
        if (wf->journal.inputs_pending == 0) {
            sh_activities_dispatch(wf);
        }
    }
}

void sh_activity_denied(struct sh_workflow *wf, uint64_t ordinal, const struct sh_err *why) {
    struct sh_activity *a = asked(wf, ordinal);

    if (a) {
        refuse(wf, asked_body(a), why);
        activity_free(a);
    }
}

bool sh_activity_start(struct sh_workflow *wf, uint64_t ordinal, struct sh_str op,
                       struct sh_str args) {
    struct sh_past_activity *past = sh_history_activity(&wf->history, ordinal);
    struct sh_request rq;
    bool ok = true;

    sh_request_parse(op, args, &rq);
    if (strcmp(rq.op, "output") == 0 && json_object_get(rq.args, "value")) {
        json_decref(wf->output);
        wf->output = json_incref(json_object_get(rq.args, "value"));
    }
    if (strcmp(rq.op, "signal") == 0) {
        sh_signal_count(wf, sh_json_get_str(rq.args, "name"), &rq.signal_number);
    }
    if (past) {
        ok = sh_request_same(wf, past, &rq);
        if (ok && !past->matched) {
            past->matched = true;
            wf->history.unmatched--;
        }
    }
    if (ok && !wf->verify && !(past && past->finished)) {
        activity_new(wf, ordinal, &rq, past);
    }
    sh_request_done(&rq);
    return ok;
}

void sh_activity_result_text(const json_t *event_body, struct sh_buf *out) {
    json_t *id = json_object_get(event_body, "id");
    json_t *error = json_object_get(event_body, "error");
    json_t *result = json_object_get(event_body, "result");
    json_t *answer = json_object();

    if (id) {
        json_object_set(answer, "id", id);
    }
    if (error) {
        json_object_set(answer, "error", error);
    } else {
        json_object_set(answer, "ok", result);
    }
    sh_json_dump(answer, out);
    json_decref(answer);
}
