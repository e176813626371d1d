/* See activity.h. The journal decides: a request that it knows is compared and, where it has an
 * outcome, never made again; a request without an outcome is made (again) under the same key. */
#include "engine/private.h"
#include "engine/request.h"

#include <stdio.h>

#define RETRY_AFTER_MAX_MS 60000ULL
#define LOOK_US 15000000LL /* the wall clock may be set: a time of day is looked at again */
#define MUST_ASK 1         /* a person decides */

void sh_activities_init(struct sh_activities *as) {
    *as = (struct sh_activities){0};
    sh_list_init(&as->list);
}

static void activity_free(struct sh_activity *a) {
    struct sh_activities *as = &a->wf->activities;

    sh_timer_stop(&a->timer);
    sh_timer_stop(&a->silence);
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
    json_decref(a->spent);
    sh_retry_done(&a->retry);
    sh_free(a);
}

void sh_activities_stop(struct sh_workflow *wf) {
    while (!sh_list_empty(&wf->activities.list)) {
        activity_free(sh_container_of(wf->activities.list.next, struct sh_activity, link));
    }
}

/* A length of time, at least 1 ms, out of the arguments where it is there. */
static int take_ms(struct sh_activity *a, const char *name, uint64_t *ret_ms, struct sh_err *err) {
    json_t *ms = json_object_get(a->args, name);

    if (ms && (!json_is_integer(ms) || json_integer_value(ms) < 1)) {
        return sh_fail(err, SH_E_INVAL, "%s: expected an integer of at least 1", name);
    }
    *ret_ms = ms ? (uint64_t)json_integer_value(ms) : 0;
    json_object_del(a->args, name);
    return 0;
}

/* The options that any op takes are the engine's; the tool sees the rest. */
static int take_options(struct sh_activity *a, struct sh_err *err) {
    json_t *retry = json_object_get(a->args, "retry");

    if ((retry && sh_retry_parse(retry, &a->retry, err) < 0) ||
        take_ms(a, "timeout_ms", &a->timeout_ms, err) < 0 ||
        take_ms(a, "heartbeat_timeout_ms", &a->heartbeat_ms, err) < 0) {
        return -SH_E_INVAL;
    }
    if (a->heartbeat_ms && sh_child_op(a->tool) && sh_json_get_bool(a->args, "detached", false)) {
        return sh_fail(err, SH_E_INVAL,
                       "heartbeat_timeout_ms: nobody waits for a detached child; leave one of "
                       "the two out");
    }
    if (a->heartbeat_ms && a->tool->kind != SH_TOOL_REMOTE && !sh_child_op(a->tool)) {
        return sh_fail(err, SH_E_INVAL,
                       "heartbeat_timeout_ms: \"%s\" gives no sign of life while it runs; leave it "
                       "out, or start a sleep beside it and wait for either",
                       a->tool->name);
    }
    a->at_most_once = sh_json_get_bool(
        a->args, "at_most_once", a->tool->at_most_once && a->tool->at_most_once(a->tool, a->args));
    json_object_del(a->args, "retry");
    json_object_del(a->args, "at_most_once");
    return 0;
}

static char *rule_for(const struct sh_workflow *wf, const char *tool, bool how) {
    return sh_policy_tool_why(wf->policy, sh_str(wf->spec.agent), &wf->spec.module, sh_str(tool),
                              how);
}

/* What was asked for, which rule denied it, how the operator would grant it. */
static int denied(const struct sh_workflow *wf, const char *tool, const char *why,
                  struct sh_err *err) {
    sh_auto(sh_free_p) char *rule = rule_for(wf, tool, true);

    return sh_fail(err, SH_E_DENIED, "the tool \"%s\" is not granted to agent \"%s\": %s%s", tool,
                   wf->spec.agent, rule, why);
}

/* The frozen capabilities and the policy in force, on one tool. 0, MUST_ASK, or -SH_E_DENIED. */
static int may_call(const struct sh_workflow *wf, const struct sh_activity *a, const char *tool,
                    struct sh_err *err) {
    enum sh_verdict verdict =
        sh_policy_tool(wf->policy, sh_str(wf->spec.agent), &wf->spec.module, sh_str(tool));

    if (!sh_capabilities_tool(&wf->spec.caps, sh_str(tool))) {
        return denied(wf, tool,
                      verdict == SH_ALLOW ? ", but this task was not given it: neither its request "
                                            "nor the agent's manifest asks for it; add it there"
                                          : "",
                      err);
    }
    switch (verdict) {
    case SH_ALLOW:
        return 0;
    case SH_DENY:
        return denied(wf, tool, "", err);
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
    return denied(wf, tool, "; nobody has said yes", err);
}

static bool may_reach(void *arg, const struct sh_net_rule *what, bool written_out);
static bool may_use(void *arg, struct sh_str tool);

/* Nobody is asked to allow what cannot work, because it is not set up or leads nowhere. */
static int can_work(struct sh_activity *a, struct sh_err *err) {
    struct sh_tool_call call = {
        .tool = a->tool, .args = a->args, .may_reach = may_reach, .may_use = may_use, .arg = a};

    return a->tool->kind == SH_TOOL_REMOTE ? sh_tools_ready(a->wf->engine->config.tools, &call, err)
                                           : 0;
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
    a->tool = sh_tools_find(wf->engine->config.tools, sh_str(rq->op));
    if (!a->tool) {
        return sh_fail(err, SH_E_UNKNOWN_TOOL, "there is no tool \"%.60s\"; see `shannon tools`",
                       rq->op);
    }
    if (a->tool->capability) {
        asked = may_call(wf, a, a->tool->capability, err);
    } else if (strcmp(a->tool->name, "compensate") == 0) { /* asked for what it names */
        asked = sh_activity_probe(wf, a->ordinal, a->args, err);
    }
    if (asked < 0) {
        return asked;
    }
    if (a->ordinal >= limits->activities) {
        return sh_fail(err, SH_E_ACTIVITIES, "activity %llu is over the limit of %llu",
                       (unsigned long long)a->ordinal + 1, (unsigned long long)limits->activities);
    }
    if (json_is_object(a->args) && take_options(a, err) < 0) {
        return -err->code;
    }
    return sh_tool_check(a->tool, a->args, err) < 0 || can_work(a, err) < 0 ? -err->code : asked;
}

int sh_activity_probe(struct sh_workflow *wf, uint64_t ordinal, const json_t *args,
                      struct sh_err *err) {
    json_t *inner = json_object_get(args, "args");
    struct sh_activity a = {.wf = wf, .ordinal = ordinal};
    int r = 0;

    a.tool = sh_compensate_tool(args, err);
    if (!a.tool) {
        return -err->code;
    }
    a.args = inner ? json_deep_copy(inner) : json_object();
    sh_retry_init(&a.retry);
    if (a.tool->capability) {
        r = may_call(wf, &a, a.tool->capability, err);
    }
    if (r >= 0 && ((json_is_object(a.args) && take_options(&a, err) < 0) ||
                   sh_tool_check(a.tool, a.args, err) < 0 || can_work(&a, err) < 0)) {
        r = -err->code;
    }
    sh_retry_done(&a.retry);
    json_decref(a.args);
    return r;
}

/* Has it an outcome that comes in a later event than its request? */
static bool comes_later(const struct sh_tool *tool) {
    return tool->kind == SH_TOOL_REMOTE || strcmp(tool->name, "sleep") == 0 ||
           strcmp(tool->name, "signal") == 0 || strcmp(tool->name, "approval") == 0 ||
           sh_child_op(tool);
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
    if (a->spent) {
        json_object_set(body, "spent", a->spent);
    }
    return body;
}

static json_t *error_json(const struct sh_err *why, bool retryable) {
    return json_pack("{s:s, s:o, s:b}", "code", sh_code_info(why->code)->name, "message",
                     sh_json_string(sh_str(why->message)), "retryable", (int)retryable);
}

static void add_outcome(struct sh_activity *a, const char *type, json_t *body) {
    struct sh_workflow *wf = a->wf;

    if (a->compensates) {
        sh_compensate_outcome(wf, body);
    } else if (sh_journal_add(wf, type, body) == 0) {
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

    sh_timer_stop(&a->silence);
    json_object_set_new(body, "error", error_json(why, retryable));
    if (retryable && !a->at_most_once && a->tool->retryable &&
        sh_retry_goes_on(&a->retry, sh_code_info(why->code)->name, a->attempt)) {
        uint64_t wait_ms = sh_retry_wait_ms(&a->retry, a->wf->spec.seed, a->ordinal, a->attempt);
        uint64_t asked_ms =
            retry_after_ms > RETRY_AFTER_MAX_MS ? RETRY_AFTER_MAX_MS : retry_after_ms;
        wait_ms = asked_ms > wait_ms ? asked_ms : wait_ms;
        json_object_set_new(body, "next_at_us",
                            json_integer(sh_wall_us() + (int64_t)(wait_ms * 1000)));
        if (sh_journal_add(a->wf, a->compensates ? "CompensationRetried" : "ActivityRetried",
                           body) == 0) {
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

/* The frozen capabilities, and the policy in force, which may have become narrower since. */
static bool may_reach(void *arg, const struct sh_net_rule *what, bool written_out) {
    const struct sh_activity *a = arg;
    const struct sh_workflow *wf = a->wf;

    return sh_capabilities_net(&wf->spec.caps, what, written_out) &&
           sh_policy_net(wf->policy, sh_str(wf->spec.agent), &wf->spec.module, what, written_out) !=
               SH_DENY;
}

static bool may_use(void *arg, struct sh_str tool) {
    const struct sh_activity *a = arg;
    const struct sh_workflow *wf = a->wf;

    return sh_capabilities_tool(&wf->spec.caps, tool) &&
           sh_policy_tool(wf->policy, sh_str(wf->spec.agent), &wf->spec.module, tool) == SH_ALLOW;
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
                                .may_reach = may_reach,
                                .may_use = may_use,
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

/* ---- operations that the engine answers ---- */

static void look_at_the_clock(struct sh_timer *t) {
    struct sh_activity *a = sh_container_of(t, struct sh_activity, timer);
    int64_t left_us = a->due_us - sh_wall_us();

    if (left_us <= 0) {
        timer_fired(t);
    } else {
        sh_timer_start(a->wf->engine->loop, t,
                       left_us < LOOK_US ? (uint64_t)left_us * 1000 : LOOK_US * 1000ULL,
                       look_at_the_clock);
    }
}

/* A relative sleep goes by the clock that nobody sets: where it slept before, and else, after a
 * restart, for what is left by the wall clock, never more than was asked for. */
static void sleep_until(struct sh_activity *a, int64_t due_us) {
    int64_t left_us = due_us - sh_wall_us(), most_us = sh_sleep_ms(a) * 1000, slept_us;
    char name[24];

    a->state = SH_ACTIVITY_OUT;
    a->due_us = due_us;
    if (json_object_get(a->args, "until")) {
        sh_timer_start(a->wf->engine->loop, &a->timer, 0, look_at_the_clock);
        return;
    }
    snprintf(name, sizeof(name), "%llu", (unsigned long long)a->ordinal);
    slept_us = sh_moment_left_us(a->wf->engine, a->wf->slept, name);
    left_us = slept_us != INT64_MAX ? slept_us : left_us;
    left_us = left_us < most_us ? left_us : most_us;
    sh_timer_start(a->wf->engine->loop, &a->timer, left_us > 0 ? (uint64_t)left_us * 1000 : 0,
                   timer_fired);
}

static void run_engine_op(struct sh_activity *a) {
    const char *op = a->tool->name;

    if (strcmp(op, "signal") == 0) {
        sh_signal_run(a);
    } else if (strcmp(op, "approval") == 0) {
        sh_question_run(a);
    } else if (sh_child_op(a->tool)) {
        sh_child_again(a);
    } else if (strncmp(op, "kv.", 3) == 0) {
        sh_kv_run(a);
    } else if (strcmp(op, "signal.reply") == 0) {
        sh_update_reply_run(a);
    } else if (strcmp(op, "compensate") == 0) {
        sh_compensate_run(a);
    } else if (strcmp(op, "publish") == 0) {
        sh_publish_run(a);
    } else if (strcmp(op, "input") == 0) {
        sh_input_run(a);
    } else if (strcmp(op, "state") == 0) {
        sh_checkpoint_state_run(a);
    } else { /* output, emit: that they are journaled is their effect */
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
        int64_t left_us = past->next_at_us - sh_wall_us();

        left_us = left_us < past->backoff_us ? left_us : past->backoff_us; /* as for a sleep */
        a->state = SH_ACTIVITY_BACKOFF;
        sh_timer_start(a->wf->engine->loop, &a->timer, (uint64_t)left_us * 1000, attempt_again);
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
    if (past) {
        const json_t *reserved = json_object_get(past->request, "reserved");
        a->reserved_tokens = (uint64_t)sh_json_get_int(reserved, "tokens", 0);
        a->reserved_usd = json_number_value(json_object_get(reserved, "cost_usd"));
    }
    if (!past && !sh_budget_reserve(a, body)) {
        a->state = SH_ACTIVITY_BROKE;
    } else if (!past && sh_child_op(a->tool)) {
        sh_child_start(a);
    } else if (!past && separate && !schedule(a, json_incref(body), &err)) {
        refuse(a->wf, json_incref(body), &err);
        activity_free(a);
    } else {
        go(a, past);
    }
}

/* The policy asks: the question is an event, the activity rests until it is answered. */
static void ask(struct sh_activity *a, json_t *body) {
    const struct sh_tool *named =
        a->tool->capability ? a->tool : sh_compensate_tool(a->asked_args, NULL);
    const char *tool = named->capability;
    sh_auto(sh_free_p) char *rule = rule_for(a->wf, tool, false);

    a->state = SH_ACTIVITY_ASKED;
    sh_approval_request(
        a->wf, json_pack("[{s:o, s:s}]", "capability", json_sprintf("tool %s", tool), "rule", rule),
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
    sh_retry_init(&a->retry);
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

static void compensate_now(struct sh_timer *t) {
    struct sh_activity *a = sh_container_of(t, struct sh_activity, timer);
    struct sh_workflow *wf = a->wf;

    if (a->tool->kind == SH_TOOL_REMOTE) {
        attempt_again(t);
    } else {
        sh_kv_run(a);
        sh_journal_commit(wf, NULL, NULL);
    }
}

/* May it still be done? It was granted when it was registered, under the policy of then. */
static int readmit(struct sh_activity *a, const json_t *item, struct sh_err *err) {
    int r = 0;

    a->tool = sh_compensate_tool(item, err);
    if (!a->tool) {
        return -err->code;
    }
    if (a->tool->capability) {
        r = may_call(a->wf, a, a->tool->capability, err);
    }
    if (r == MUST_ASK) {
        r = sh_fail(err, SH_E_DENIED, "the policy asks a person, and an end does not wait for one");
    }
    r = r < 0 ? r : take_options(a, err);
    a->at_most_once = false; /* at least once, whatever the operation says of itself */
    return r;
}

void sh_activity_compensate(struct sh_workflow *wf, const json_t *item) {
    struct sh_activity *a = sh_new(struct sh_activity);
    int64_t next_us = sh_json_get_int(item, "next_at_us", 0);
    int64_t most_us = next_us - sh_json_get_int(item, "retried_us", 0);
    int64_t left_us = next_us - sh_wall_us();
    struct sh_err err = {0};

    a->wf = wf;
    a->compensates = true;
    a->ordinal = (uint64_t)sh_json_get_int(item, "ordinal", 0);
    a->args = json_deep_copy(json_object_get(item, "args"));
    a->attempt = (unsigned)sh_json_get_int(item, "attempts", 0);
    a->state = SH_ACTIVITY_BACKOFF;
    sh_retry_init(&a->retry);
    snprintf(a->key, sizeof(a->key), "%s:c%llu", wf->id.s, (unsigned long long)a->ordinal);
    sh_list_push(&wf->activities.list, &a->link);
    wf->activities.n++;
    if (readmit(a, item, &err) < 0) {
        sh_compensate_outcome(wf, json_pack("{s:I, s:O, s:o}", "ordinal", (json_int_t)a->ordinal,
                                            "op", json_object_get(item, "op"), "error",
                                            error_json(&err, false)));
        activity_free(a);
        sh_journal_commit(wf, NULL, NULL);
        return;
    }
    left_us = left_us < most_us ? left_us : most_us; /* the clock may have been set back */
    sh_timer_start(wf->engine->loop, &a->timer, left_us > 0 ? (uint64_t)left_us * 1000 : 0,
                   compensate_now);
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

json_t *sh_activity_request_body(const struct sh_activity *a) {
    json_t *body = json_pack("{s:I, s:s, s:O}", "ordinal", (json_int_t)a->ordinal, "op",
                             a->tool->name, "args", a->asked_args);

    if (a->id) {
        json_object_set(body, "id", a->id);
    }
    return body;
}

void sh_activities_resume(struct sh_workflow *wf) {
    for (struct sh_list *node = wf->activities.list.next; node != &wf->activities.list;) {
        struct sh_activity *a = sh_container_of(node, struct sh_activity, link);
        node = node->next; /* begin may free it */
        if (a->state == SH_ACTIVITY_BROKE && !wf->over_budget) {
            json_t *body = sh_activity_request_body(a);
            begin(a, body, NULL);
            json_decref(body);
        }
    }
    sh_journal_commit(wf, NULL, NULL);
    if (wf->journal.inputs_pending == 0) {
        sh_activities_dispatch(wf);
    }
}

void sh_activity_refuse(struct sh_activity *a, const struct sh_err *why) {
    refuse(a->wf, sh_activity_request_body(a), why);
    activity_free(a);
}

void sh_activity_approved(struct sh_workflow *wf, uint64_t ordinal) {
    struct sh_activity *a = asked(wf, ordinal);

    if (a) {
        json_t *body = sh_activity_request_body(a);
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
        sh_activity_refuse(a, why);
    }
}

static void matched(struct sh_workflow *wf, struct sh_past_activity *past) {
    if (!past->matched) {
        past->matched = true;
        wf->history.unmatched--;
    }
}

/* The usual case of a replay, in which nothing has to be read. */
static bool is_over(const struct sh_workflow *wf, const struct sh_past_activity *past,
                    struct sh_str op, struct sh_str args) {
    return past && (wf->verify || past->finished) && !sh_str_eqz(op, "output") &&
           !sh_str_eqz(op, "signal") && sh_past_is(past, op, args);
}

bool sh_activity_start(struct sh_workflow *wf, uint64_t ordinal, struct sh_str op,
                       struct sh_str args) {
    struct sh_past_activity *past = sh_history_activity(&wf->history, ordinal);
    struct sh_request rq;
    bool ok = true;

    if (is_over(wf, past, op, args)) {
        matched(wf, past);
        return true;
    }
    sh_request_parse(op, args, &rq);
    if (strcmp(rq.op, "output") == 0 && json_object_get(rq.args, "value")) {
        json_decref(wf->output);
        wf->output = json_incref(json_object_get(rq.args, "value"));
        wf->output_kept = (struct sh_payload){0};
    }
    if (strcmp(rq.op, "signal") == 0) {
        sh_signal_count(wf, sh_json_get_str(rq.args, "name"), &rq.signal_number);
    }
    if (past) {
        ok = sh_request_same(wf, past, &rq);
        if (ok) {
            matched(wf, past);
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
