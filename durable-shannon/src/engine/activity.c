/* See activity.h. The journal decides: a request that it knows is compared and, where it has an
 * outcome, never made again; a request without an outcome is made (again) under the same key.
 * Whether it may exist is admit.h's, when its call leaves attempt.h's. */
#include "engine/private.h"
#include "engine/request.h"

#include <stdio.h>

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

void sh_activity_fail(struct sh_activity *a, const struct sh_err *why, bool retryable,
                      uint64_t retry_after_ms) {
    json_t *body = outcome_body(a);

    sh_timer_stop(&a->silence);
    json_object_set_new(body, "error", error_json(why, retryable));
    if (retryable && sh_attempt_goes_on(a, why->code)) {
        sh_attempt_retry(a, body, retry_after_ms);
        return;
    }
    if (!comes_later(a->tool)) {
        json_object_set(body, "args", a->asked_args);
    }
    add_outcome(a, "ActivityFailed", body);
}

/* ---- operations that the engine answers ---- */

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
        sh_sleep_run(a);
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
        sh_attempt_later(a, (uint64_t)left_us);
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
    sh_auto(sh_free_p) char *rule = sh_admit_rule(a->wf, tool, false);

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
    r = sh_admit(a, rq, &err);
    if (r < 0) {
        refuse(wf, json_incref(body), &err);
        activity_free(a);
    } else if (r == SH_ADMIT_ASK) {
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
        sh_attempt_now(a);
    } else {
        sh_kv_run(a);
        sh_journal_commit(wf, NULL, NULL);
    }
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
    if (sh_admit_again(a, item, &err) < 0) {
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
