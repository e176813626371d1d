/* See approval.h. */
#include "engine/approval.h"

#include <stdio.h>
#include <stdlib.h>

#include "engine/call.h"
#include "engine/private.h"

void sh_approvals_init(struct sh_approvals *as) {
    *as = (struct sh_approvals){
        .decided = json_object(), .run_grants = json_object(), .answers = json_object()};
    sh_list_init(&as->pending);
}

static void approval_free(struct sh_approval *ap) {
    sh_timer_stop(&ap->timer);
    sh_list_unlink(&ap->link);
    sh_free(ap->tool);
    json_decref(ap->question);
    sh_free(ap);
}

static void drop_pending(struct sh_approvals *as) {
    while (as->pending.next && !sh_list_empty(&as->pending)) {
        approval_free(sh_container_of(as->pending.next, struct sh_approval, link));
    }
}

void sh_approvals_done(struct sh_approvals *as) {
    drop_pending(as);
    json_decref(as->decided);
    json_decref(as->run_grants);
    json_decref(as->answers);
    *as = (struct sh_approvals){0};
}

void sh_approvals_stop(struct sh_workflow *wf) {
    drop_pending(&wf->approvals);
}

static char *grant_key(const struct sh_hash *module, const char *capability) {
    char hex[SH_HASH_HEX_BYTES];

    sh_hash_hex(module, hex);
    return sh_asprintf("grant:%s:%s", hex, capability);
}

bool sh_approval_granted(const struct sh_engine *e, const struct sh_hash *module,
                         const char *capability) {
    sh_auto(sh_free_p) char *key = grant_key(module, capability);

    return json_object_get(e->grants, key) != NULL;
}

static bool is_allowed(const json_t *decided) {
    return sh_str_eqz(sh_json_get_str(decided, "decision"), "allow");
}

/* What an agent is told of a no. */
static void refusal(const json_t *decided, const char *capability, struct sh_err *err) {
    struct sh_str by = sh_json_get_str(decided, "by");

    if (sh_str_eqz(sh_json_get_str(decided, "decision"), "expired")) {
        sh_fail(err, SH_E_DENIED, "%s: nobody answered in time; ask again when somebody is there",
                capability);
    } else {
        sh_fail(err, SH_E_DENIED, "%s: denied by %.*s", capability, by.len ? (int)by.len : 8,
                by.len ? by.p : "a person");
    }
}

enum sh_asked sh_approval_known(const struct sh_workflow *wf, uint64_t ordinal, const char *tool,
                                struct sh_err *err) {
    char number[24];
    sh_auto(sh_free_p) char *capability = sh_asprintf("tool %s", tool);
    const json_t *decided;

    snprintf(number, sizeof(number), "%llu", (unsigned long long)ordinal);
    decided = json_object_get(wf->approvals.decided, number);
    if (decided && !is_allowed(decided)) {
        refusal(decided, capability, err);
        return SH_ASKED_REFUSED;
    }
    if (decided) {
        return SH_ASKED_ALLOW;
    }
    if (json_object_get(wf->approvals.run_grants, tool) ||
        sh_approval_granted(wf->engine, &wf->spec.module, capability)) {
        return SH_ASKED_ALLOW;
    }
    return sh_operator_attends(wf) ? SH_ASKED_MUST_ASK : SH_ASKED_NOBODY;
}

static struct sh_approval *find(struct sh_workflow *wf, uint64_t number) {
    sh_list_each (node, &wf->approvals.pending) {
        struct sh_approval *ap = sh_container_of(node, struct sh_approval, link);
        if (ap->number == number) {
            return ap;
        }
    }
    return NULL;
}

bool sh_approval_pending(const struct sh_workflow *wf, uint64_t ordinal) {
    sh_list_each (node, &wf->approvals.pending) {
        if (sh_container_of(node, struct sh_approval, link)->ordinal == (int64_t)ordinal) {
            return true;
        }
    }
    return false;
}

bool sh_approval_start_pending(const struct sh_workflow *wf) {
    sh_list_each (node, &wf->approvals.pending) {
        if (sh_container_of(node, struct sh_approval, link)->ordinal < 0) {
            return true;
        }
    }
    return false;
}

/* The row shows what waits, so that a list of questions is a list of rows. */
static void row_update(struct sh_workflow *wf) {
    json_t *pending = json_array();

    sh_list_each (node, &wf->approvals.pending) {
        json_array_append(pending, sh_container_of(node, struct sh_approval, link)->question);
    }
    if (json_array_size(pending) > 0) {
        json_object_set_new(wf->row, "approval_pending", json_string("yes"));
    } else {
        json_object_del(wf->row, "approval_pending");
    }
    json_object_set_new(wf->row, "approvals", pending);
    sh_workflow_row_update(wf);
}

static struct sh_approval *approval_new(struct sh_workflow *wf, json_t *question) {
    struct sh_approval *ap = sh_new(struct sh_approval);
    struct sh_str tool = sh_json_get_str(question, "tool");

    ap->wf = wf;
    ap->number = (uint64_t)sh_json_get_int(question, "approval", 0);
    ap->ordinal = sh_json_get_int(question, "ordinal", -1);
    ap->tool = tool.len ? sh_strndup0(tool.p, tool.len) : NULL;
    ap->question = json_incref(question);
    sh_list_push(&wf->approvals.pending, &ap->link);
    return ap;
}

void sh_approval_request(struct sh_workflow *wf, json_t *asks, json_t *request, const char *tool) {
    json_t *question = request ? request : json_object();
    int64_t ordinal = sh_json_get_int(question, "ordinal", -1);
    int64_t now_us = sh_wall_us();
    int64_t timeout_ms = (int64_t)wf->engine->config.approval_timeout_ms;

    if (sh_approval_pending(wf, (uint64_t)ordinal)) {
        json_decref(asks);
        json_decref(question);
        return;
    }
    json_object_set_new(question, "approval", json_integer((json_int_t)++wf->approvals.made));
    json_object_set_new(question, "asks", asks);
    json_object_set_new(question, "at_us", json_integer(now_us));
    timeout_ms = sh_json_get_int(question, "timeout_ms", timeout_ms);
    json_object_set_new(question, "expires_us", json_integer(now_us + timeout_ms * 1000));
    if (tool) {
        json_object_set_new(question, "tool", json_string(tool));
    }
    approval_new(wf, question);
    if (sh_journal_add(wf, "ApprovalRequested", question) == 0) {
        sh_workflow_doom(wf, SH_E_JOURNAL, "a request for approval does not fit the journal limit");
    }
    row_update(wf);
    sh_approvals_arm(wf);
}

/* ---- decisions ---- */

static void keep_grants(struct sh_workflow *wf, const struct sh_approval *ap, const char *by) {
    json_t *ask;
    size_t i;

    json_array_foreach(json_object_get(ap->question, "asks"), i, ask) {
        const char *capability = json_string_value(json_object_get(ask, "capability"));
        sh_auto(sh_free_p) char *key = grant_key(&wf->spec.module, capability);
        json_t *grant = json_pack("{s:s, s:s, s:s, s:I}", "capability", capability, "agent",
                                  wf->spec.agent, "by", by, "at", (json_int_t)sh_wall_us());
        json_object_set(wf->engine->grants, key, grant);
        sh_journal_put(wf, SH_TABLE_META, key, grant);
    }
}

static void refuse(struct sh_workflow *wf, const struct sh_approval *ap, const json_t *decided) {
    json_t *ask = json_array_get(json_object_get(ap->question, "asks"), 0);
    struct sh_err err = {0};

    refusal(decided, json_string_value(json_object_get(ask, "capability")), &err);
    if (ap->ordinal >= 0) {
        sh_activity_denied(wf, (uint64_t)ap->ordinal, &err);
    } else {
        sh_workflow_fail(wf, SH_E_DENIED, err.message);
    }
}

/* The call may come after its answer: the agent is not there again yet after a restart. */
static void remember(struct sh_workflow *wf, json_t *decided) {
    int64_t ordinal = sh_json_get_int(decided, "ordinal", -1);
    char number[24];

    if (ordinal >= 0) {
        snprintf(number, sizeof(number), "%lld", (long long)ordinal);
        json_object_set(wf->approvals.decided, number, decided);
    }
}

/* Write the answer. A yes has its effect when it is durable; a refusal is in the same commit. */
static void decide(struct sh_approval *ap, const char *decision, const char *scope, const char *by,
                   const char *reason) {
    struct sh_workflow *wf = ap->wf;
    bool allow = strcmp(decision, "allow") == 0;
    json_t *body =
        json_pack("{s:I, s:s, s:s, s:o, s:o}", "approval", (json_int_t)ap->number, "decision",
                  decision, "scope", scope, "by", sh_json_string(sh_str(by ? by : "")), "reason",
                  sh_json_string(sh_str(reason ? reason : "")));

    if (ap->ordinal >= 0) {
        json_object_set_new(body, "ordinal", json_integer(ap->ordinal));
        json_object_set(body, ap->tool ? "tool" : "op",
                        json_object_get(ap->question, ap->tool ? "tool" : "op"));
    }
    if (allow && strcmp(scope, "always") == 0) {
        keep_grants(wf, ap, by ? by : "");
    }
    sh_list_unlink(&ap->link);
    sh_journal_add(wf, "ApprovalDecided", json_incref(body));
    remember(wf, body);
    row_update(wf);
    if (sh_question_is(body)) {
        sh_question_answered(wf, body);
    } else if (!allow) {
        refuse(wf, ap, body);
    }
    json_decref(body);
    approval_free(ap);
}

static void expired(struct sh_timer *t) {
    struct sh_approval *ap = sh_container_of(t, struct sh_approval, timer);
    struct sh_workflow *wf = ap->wf;

    decide(ap, "expired", "once", "", "");
    sh_journal_commit(wf, NULL, NULL);
}

void sh_approvals_arm(struct sh_workflow *wf) {
    int64_t now_us = sh_wall_us();

    sh_list_each (node, &wf->approvals.pending) {
        struct sh_approval *ap = sh_container_of(node, struct sh_approval, link);
        int64_t expires_us = sh_json_get_int(ap->question, "expires_us", 0);
        int64_t most_us = expires_us - sh_json_get_int(ap->question, "at_us", now_us);
        char name[40];
        if (ap->timer.slot) {
            continue; /* it runs, and no wall clock moves it */
        }
        snprintf(name, sizeof(name), "approval %llu", (unsigned long long)ap->number);
        int64_t left_us = sh_moment_left_us(wf->engine, wf->slept, name);
        left_us = left_us != INT64_MAX ? left_us : expires_us - now_us;
        left_us = left_us < most_us ? left_us : most_us;
        sh_timer_start(wf->engine->loop, &ap->timer, left_us > 0 ? (uint64_t)left_us * 1000 : 0,
                       expired);
    }
}

void sh_approval_apply_requested(struct sh_workflow *wf, const struct sh_event *ev) {
    uint64_t number = (uint64_t)sh_json_get_int(ev->body, "approval", 0);

    if (wf->phase == SH_PHASE_LOADING && !find(wf, number)) {
        wf->approvals.made = number;
        approval_new(wf, ev->body);
    }
}

void sh_approval_apply_decided(struct sh_workflow *wf, const struct sh_event *ev) {
    struct sh_approval *ap = find(wf, (uint64_t)sh_json_get_int(ev->body, "approval", 0));
    int64_t ordinal = sh_json_get_int(ev->body, "ordinal", -1);
    bool allow = is_allowed(ev->body);

    if (ap) { /* a journal being read: live, the question went when the answer was written */
        approval_free(ap);
    }
    remember(wf, ev->body);
    if (sh_question_is(ev->body)) {
        sh_question_apply(wf, ev->body);
        return;
    }
    if (allow && !sh_str_eqz(sh_json_get_str(ev->body, "scope"), "once") && ordinal >= 0) {
        json_object_set_new(wf->approvals.run_grants,
                            json_string_value(json_object_get(ev->body, "tool")), json_true());
    }
    if (wf->phase == SH_PHASE_LOADING || !allow) {
        return;
    }
    if (ordinal >= 0) {
        sh_activity_approved(wf, (uint64_t)ordinal);
    } else {
        sh_workflow_launch(wf);
    }
}

/* ---- the outside ---- */

static void rows_listed(void *arg, json_t *records, size_t total, const struct sh_err *err) {
    sh_auto(sh_json_done) json_t *list = json_array();
    json_t *row, *question;
    size_t i, k;

    (void)total;
    json_array_foreach(records, i, row) {
        json_array_foreach(json_object_get(row, "approvals"), k, question) {
            json_t *item = json_deep_copy(question);
            char id[32];
            snprintf(id, sizeof(id), "ap-%lld",
                     (long long)sh_json_get_int(question, "approval", 0));
            json_object_set_new(item, "approval_id", json_string(id));
            json_object_set(item, "workflow_id", json_object_get(row, "id"));
            json_object_set(item, "agent", json_object_get(row, "agent"));
            json_array_append_new(list, item);
        }
    }
    sh_call_end(arg, err ? NULL : list, err);
}

void sh_engine_approvals(struct sh_engine *e, sh_engine_json_fn cb, void *arg) {
    struct sh_store_filter f = {
        .member = {"approval_pending"}, .value = {"yes"}, .limit = SH_STORE_LIST_MAX};

    sh_store_list(e->store, SH_TABLE_WORKFLOW, &f, rows_listed,
                  sh_call_new(e, (struct sh_str){0}, cb, arg));
}

/* Not pending: no such task, or one whose question has been answered. */
static void not_pending(void *arg, json_t *row, const struct sh_err *err) {
    struct sh_call *a = arg;
    struct sh_err state = {0};

    (void)row;
    if (!err) {
        sh_fail(&state, SH_E_STATE,
                "approval ap-%llu of this task is not pending; `shannon "
                "approvals` lists those that are",
                (unsigned long long)a->number);
        err = &state;
    }
    sh_call_end(a, NULL, err);
}

static void written(struct sh_workflow *wf, void *arg, const struct sh_err *err) {
    sh_call_end(arg, err ? NULL : wf->row, err);
}

void sh_engine_decide(struct sh_engine *e, struct sh_str workflow, struct sh_str approval,
                      bool allow, const char *scope, const char *by, const char *reason,
                      sh_engine_json_fn cb, void *arg) {
    struct sh_workflow *wf = sh_workflow_find(e, workflow);
    const struct sh_asked_for asked = {SH_ASK_DECIDE,  .name = approval, .allow = allow,
                                       .scope = scope, .by = by,         .reason = reason,
                                       .cb = cb,       .arg = arg};
    sh_auto(sh_free_p) char *text = sh_strndup0(approval.p, approval.len);
    struct sh_approval *ap;
    struct sh_call *a;

    if (sh_defer(e, wf, workflow, &asked)) {
        return;
    }
    a = sh_call_new(e, workflow, cb, arg);
    a->number = strncmp(text, "ap-", 3) == 0 ? strtoull(text + 3, NULL, 10) : 0;
    if (wf && wf->reading) {
        struct sh_err later = {0};
        sh_workflow_is_reading(&later);
        sh_call_end(a, NULL, &later);
        return;
    }
    ap = wf && wf->phase < SH_PHASE_ENDING && !wf->leaving ? find(wf, a->number) : NULL;
    if (!ap) {
        sh_engine_get(e, workflow, not_pending, a);
        return;
    }
    if (sh_question_is(ap->question) && strcmp(scope, "once") != 0) {
        struct sh_err once = {0};
        sh_fail(&once, SH_E_INVAL,
                "scope: a question that the agent asks is answered once, got \"%s\"", scope);
        sh_call_end(a, NULL, &once);
        return;
    }
    decide(ap, allow ? "allow" : "deny", scope, by, reason);
    sh_journal_commit(wf, written, a);
}

/* ---- grants that are kept ---- */

struct grants {
    struct sh_engine *engine;
    sh_store_done_fn cb;
    void *arg;
};

static void grants_listed(void *arg, json_t *records, size_t total, const struct sh_err *err) {
    struct grants *g = arg;
    size_t i;
    json_t *record;

    (void)total;
    json_array_foreach(records, i, record) {
        json_object_set(g->engine->grants, json_string_value(json_object_get(record, "id")),
                        record);
    }
    g->cb(g->arg, err);
    sh_free(g);
}

void sh_approvals_load(struct sh_engine *e, sh_store_done_fn cb, void *arg) {
    struct sh_store_filter f = {.prefix = "grant:", .limit = SH_STORE_LIST_MAX};
    struct grants *g = sh_new(struct grants);

    g->engine = e;
    g->cb = cb;
    g->arg = arg;
    sh_store_list(e->store, SH_TABLE_META, &f, grants_listed, g);
}
