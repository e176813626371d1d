/* See takeup.h. A turn reads the row and the journal, loads the module, claims the workflow by an
 * event of its own and launches the agent, which replays. After a crash that was stamped there is
 * one turn at a time, over when its agent has reached a suspension. */
#include "engine/takeup.h"

#include <search.h>

#include "engine/private.h"

#define TURNS_AT_ONCE 16
#define PROOF_NS 2000000000ULL /* of running, and the agent has not crashed us */

struct waiter { /* for a workflow to be there */
    struct sh_list link;
    sh_takeup_fn fn;
    void *arg;
};

struct sh_proof {
    struct sh_timer timer;
    struct sh_engine *engine;
    struct sh_workflow *wf;
};

static int by_id(const void *a, const void *b) {
    return strcmp(((const struct sh_turn *)a)->id.s, ((const struct sh_turn *)b)->id.s);
}

void sh_takeup_init(struct sh_engine *e) {
    sh_list_init(&e->takeup.turns);
    sh_list_init(&e->takeup.queue);
    sh_list_init(&e->takeup.taking);
}

bool sh_takeup_idle(const struct sh_engine *e) {
    return e->takeup.waiting == 0 && e->takeup.under_way == 0;
}

/* ---- the end of a turn ---- */

static void tell(struct sh_turn *t, struct sh_workflow *wf) {
    struct sh_list *node;

    while ((node = sh_list_pop(&t->waiters))) {
        struct waiter *w = sh_container_of(node, struct waiter, link);
        w->fn(t->engine, wf, w->arg);
        sh_free(w);
    }
}

/* It is in memory (wf), or will not be (NULL). */
static void turn_end(struct sh_turn *t, struct sh_workflow *wf) {
    struct sh_engine *e = t->engine;

    sh_list_unlink(&t->link);
    tdelete(t, &e->takeup.by_id, by_id);
    tell(t, wf);
    sh_free(t->agent);
    sh_free(t->session);
    sh_free(t);
}

static void slot_free(struct sh_engine *e) {
    e->takeup.under_way--;
    sh_takeup_go_on(e);
}

void sh_workflow_proven(struct sh_workflow *wf) {
    struct sh_proof *p = sh_take(&wf->proof);

    if (p) {
        sh_timer_stop(&p->timer);
        sh_free(p);
        slot_free(wf->engine);
    }
}

static void ran_long_enough(struct sh_timer *t) {
    sh_workflow_proven(sh_container_of(t, struct sh_proof, timer)->wf);
}

/* The next one may come: now, or when this one is proven. */
static void next_may_come(struct sh_engine *e, struct sh_workflow *wf) {
    struct sh_proof *p;

    if (!e->careful || !wf || wf->leaving || wf->phase >= SH_PHASE_HELD) {
        slot_free(e);
        return;
    }
    p = wf->proof = sh_new(struct sh_proof);
    p->engine = e;
    p->wf = wf;
    sh_timer_start(e->loop, &p->timer, PROOF_NS, ran_long_enough);
}

static void give_up(struct sh_turn *t, const struct sh_err *err) {
    struct sh_engine *e = t->engine;

    if (sh_end_is_the_hosts(err->code)) {
        sh_park_id(e, &t->id, err->code, err->message);
    } else {
        sh_log(SH_LOG_ERROR, "recovery-failed", "id=%s code=%s message=%s", t->id.s,
               sh_code_info(err->code)->name, SH_Q(sh_str(err->message)));
    }
    if (t->wf) {
        sh_workflow_leave(t->wf);
        sh_workflow_unpin(t->wf);
    }
    turn_end(t, NULL);
    slot_free(e);
    sh_engine_unpin(e);
}

/* ---- a turn ---- */

void sh_claim(struct sh_workflow *wf) {
    sh_journal_add(wf, "Claimed",
                   json_pack("{s:s, s:I, s:s}", "owner", wf->engine->owner, "epoch",
                             (json_int_t)wf->engine->epoch, "runtime",
                             sh_sandbox_runtime(wf->engine->config.sandbox)));
}

static void go_live(struct sh_workflow *wf) {
    sh_budget_settle_lost(wf, sh_wall_us());
    sh_claim(wf);
    if (wf->place_queued) {
        json_object_del(wf->row, "queue");
        sh_workflow_row_update(wf);
    }
    if (wf->over_budget) {
        sh_budget_rests_record(wf, true); /* earlier versions kept none */
    }
    sh_journal_commit(wf, NULL, NULL);
    sh_approvals_arm(wf);
    if (wf->compensations.end) {
        sh_compensate_resume(wf);
        return;
    }
    sh_deadline_arm(wf);
    sh_heartbeat_arm(wf);
    sh_family_check_parent(wf);
    if (wf->cancel_requested) {
        sh_family_cancel(wf, "the workflow that started it was canceled");
    }
    if (sh_quarantine_end(wf)) {
        return; /* it has no agent any more, and never will */
    }
    if (wf->over_budget || sh_approval_start_pending(wf)) {
        wf->phase = SH_PHASE_HELD; /* without an agent, until a person has answered */
        wf->waiting = true;
        sh_asleep_rest(wf);
    } else {
        sh_workflow_launch(wf);
    }
}

static void module_ready(void *arg, struct sh_module *m, const struct sh_err *err) {
    struct sh_turn *t = arg;
    struct sh_workflow *wf = t->wf;
    struct sh_engine *e = t->engine;

    if (err) {
        give_up(t, err);
        return;
    }
    wf->reading = false;
    if (!e->stopping && !wf->leaving) {
        wf->module = sh_module_ref(m);
        go_live(wf);
    }
    turn_end(t, wf->leaving ? NULL : wf);
    next_may_come(e, wf);
    sh_workflow_unpin(wf);
    sh_engine_unpin(e);
}

static void accounts_read(struct sh_workflow *wf, void *arg, const struct sh_err *err) {
    struct sh_turn *t = arg;

    if (err) {
        give_up(t, err);
        return;
    }
    sh_modules_load(t->engine, wf->spec.python ? &wf->spec.interpreter : &wf->spec.module,
                    module_ready, t);
}

static void loaded(struct sh_workflow *wf, const struct sh_err *err, void *arg) {
    struct sh_turn *t = arg;
    struct sh_engine *e = t->engine;

    if (err) {
        give_up(t, err);
        return;
    }
    if (wf->history.final || e->stopping || wf->leaving) {
        sh_workflow_leave(wf);
        turn_end(t, NULL);
        slot_free(e);
        sh_workflow_unpin(wf);
        sh_engine_unpin(e);
        return;
    }
    wf->reading = true; /* until it is claimed */
    /* what was typed before is in the journal; nobody is there to type more, unless it never ran */
    wf->stdin_eof = !wf->place_queued;
    wf->journal.bytes_max = wf->spec.caps.limits.journal_bytes;
    sh_account_load(wf, accounts_read, t);
}

/* Is there something to do for it? A child's end is nothing yet for one that is paused, which will
 * look at its children when it goes on. */
static bool wants(const struct sh_turn *t, const json_t *row) {
    bool paused = sh_str_eqz(sh_json_get_str(row, "status"), "paused");

    return sh_index_is_open(row) && (t->asked || t->due_us != SH_FAMILY_DUE_US || !paused ||
                                     !json_object_get(row, "asleep"));
}

static void row_read(void *arg, json_t *records, size_t total, const struct sh_err *err) {
    struct sh_turn *t = arg;
    struct sh_engine *e = t->engine;
    json_t *row = json_array_get(records, 0);

    (void)total;
    if (err) {
        give_up(t, err);
        return;
    }
    if (!e->stopping && !sh_index_is_open(row) && t->due_us == SH_FAMILY_DUE_US) {
        sh_family_find_children(e, &t->id);
    } else if (!e->stopping && t->due_us && !wants(t, row)) {
        sh_wakes_forget(e, t->due_kind, t->due_us, &t->id);
    }
    if (!wants(t, row) || e->stopping || sh_workflow_find(e, sh_str(t->id.s))) {
        turn_end(t, sh_workflow_find(e, sh_str(t->id.s)));
        slot_free(e);
        sh_engine_unpin(e);
        return;
    }
    t->wf = sh_workflow_new(e, &t->id);
    t->wf->pins++;
    json_decref(t->wf->row);
    t->wf->row = json_deep_copy(row);
    sh_index_read(t->wf);
    t->wf->slept = json_incref(json_object_get(json_object_get(row, "asleep"), "timers"));
    struct sh_operator own = {0};
    struct sh_err bad = {0};
    if (sh_operator_read(e->config.policy, json_object_get(row, "operator"), &own, &bad) < 0) {
        give_up(t, &bad);
        return;
    }
    sh_operator_rules(t->wf, &own);
    sh_workflow_enter(t->wf);
    sh_live_attach(t->wf);
    sh_loader_start(t->wf, NULL, NULL, loaded, t);
}

static void turn_begin(struct sh_turn *t) {
    struct sh_engine *e = t->engine;

    sh_list_unlink(&t->link);
    sh_list_push(&e->takeup.taking, &t->link);
    e->takeup.waiting -= !t->queued;
    e->takeup.queued -= t->queued;
    e->takeup.under_way++;
    e->pins++;
    sh_store_get(e->store, SH_TABLE_WORKFLOW, sh_str(t->id.s), row_read, t);
}

void sh_takeup_go_on(struct sh_engine *e) {
    size_t at_once = e->careful ? 1 : TURNS_AT_ONCE;
    struct sh_turn *queued;

    if (e->stopping || e->takeup.held) {
        return;
    }
    sh_list_each (node, &e->takeup.turns) {
        struct sh_turn *t = sh_container_of(node, struct sh_turn, link);
        if (e->takeup.under_way >= at_once) {
            break;
        }
        struct sh_workflow *wf = sh_workflow_find(e, sh_str(t->id.s));
        if (sh_disk_is_low(e) && sh_list_empty(&t->waiters)) {
            continue; /* nobody asks for it, and it would rest */
        }
        if (!sh_workflow_being_disposed(e, &t->id) && !(wf && wf->dozing)) {
            turn_begin(t);
        }
    }
    while (!sh_disk_is_low(e) && e->takeup.under_way < at_once && (queued = sh_queue_next(e))) {
        turn_begin(queued);
    }
    sh_wakes_go_on(e);
}

/* ---- asking for a turn ---- */

struct telling { /* that it is in memory already */
    struct sh_msg msg;
    struct sh_engine *engine;
    struct sh_id id;
    sh_takeup_fn fn;
    void *arg;
};

static void tell_later(struct sh_msg *msg) {
    struct telling *l = sh_container_of(msg, struct telling, msg);
    struct sh_engine *e = l->engine;

    l->fn(e, sh_workflow_find(e, sh_str(l->id.s)), l->arg);
    sh_free(l);
    sh_engine_unpin(e);
}

static struct sh_turn *turn_of(struct sh_engine *e, const struct sh_id *id) {
    struct sh_turn key = {.id = *id};
    void *found = tfind(&key, &e->takeup.by_id, by_id);

    return found ? *(struct sh_turn **)found : NULL;
}

bool sh_takeup_has(struct sh_engine *e, struct sh_str id) {
    struct sh_id checked;

    return sh_id_parse(id, &checked) == 0 && turn_of(e, &checked);
}

static bool is_in(const struct sh_list *list, const struct sh_list *wanted) {
    sh_list_each (node, list) {
        if (node == wanted) {
            return true;
        }
    }
    return false;
}

bool sh_takeup_waits(struct sh_engine *e, struct sh_str id) {
    struct sh_id checked;
    struct sh_turn *t = sh_id_parse(id, &checked) == 0 ? turn_of(e, &checked) : NULL;

    return t && t->queued && is_in(&e->takeup.queue, &t->link);
}

static void wait_for(struct sh_turn *t, sh_takeup_fn fn, void *arg) {
    struct waiter *w = sh_new(struct waiter);

    w->fn = fn;
    w->arg = arg;
    sh_list_push(&t->waiters, &w->link);
}

static struct sh_turn *turn_new(struct sh_engine *e, const struct sh_id *id) {
    struct sh_turn *t = sh_new(struct sh_turn);

    t->engine = e;
    t->id = *id;
    sh_list_init(&t->waiters);
    SH_ASSERT(tsearch(t, &e->takeup.by_id, by_id));
    return t;
}

void sh_takeup_queue(struct sh_engine *e, const json_t *record) {
    struct sh_str agent = sh_json_get_str(record, "agent");
    struct sh_str session = sh_json_get_str(record, "session");
    struct sh_id id;
    struct sh_turn *t;

    if (e->stopping || sh_id_parse(sh_json_get_str(record, "workflow"), &id) < 0 ||
        turn_of(e, &id)) {
        return; /* stopping: its row says where the next start finds it */
    }
    t = turn_new(e, &id);
    t->queued = true;
    t->priority = (int)sh_json_get_int(record, "priority", SH_PRIORITY_DEFAULT);
    t->agent = sh_strndup0(agent.p ? agent.p : "", agent.len);
    t->session = sh_strndup0(session.p ? session.p : "", session.len);
    sh_list_push(&e->takeup.queue, &t->link);
    e->takeup.queued++;
    sh_takeup_go_on(e);
}

/* Somebody wants it here: it does not wait for others to end. */
static void out_of_the_queue(struct sh_turn *t) {
    if (t->queued && !t->wf && is_in(&t->engine->takeup.queue, &t->link)) {
        sh_list_unlink(&t->link);
        t->queued = false;
        t->engine->takeup.queued--;
        t->engine->takeup.waiting++;
        sh_list_push(&t->engine->takeup.turns, &t->link);
    }
}

void sh_takeup_add(struct sh_engine *e, struct sh_str id, sh_takeup_fn fn, void *arg) {
    struct sh_workflow *wf;
    struct sh_id checked;
    struct sh_turn *t;

    if (sh_id_parse(id, &checked) < 0) {
        return;
    }
    t = turn_of(e, &checked);
    wf = sh_workflow_find(e, id);
    if (e->stopping || (!t && wf && !wf->dozing)) { /* stopping: no turn will ever come */
        if (fn) {
            struct telling *l = sh_new(struct telling);
            *l = (struct telling){
                .msg.run = tell_later, .engine = e, .id = checked, .fn = fn, .arg = arg};
            e->pins++;
            sh_loop_post(e->loop, &l->msg);
        }
        return;
    }
    if (!t) {
        t = turn_new(e, &checked);
        sh_list_push(&e->takeup.turns, &t->link);
        e->takeup.waiting++;
    } else {
        out_of_the_queue(t);
    }
    t->asked = true;
    if (fn) {
        wait_for(t, fn, arg);
    }
    sh_takeup_go_on(e);
}

void sh_takeup_wake(struct sh_engine *e, const struct sh_id *id, enum sh_wake_kind kind,
                    int64_t due_us) {
    struct sh_turn *t = turn_of(e, id);
    bool asked = t && t->asked;

    sh_takeup_add(e, sh_str(id->s), NULL, NULL);
    t = turn_of(e, id);
    if (t) {
        t->asked = asked;
        t->due_us = due_us;
        t->due_kind = kind;
    }
}

void sh_takeup_stop(struct sh_engine *e) {
    struct sh_list *node;

    while ((node = sh_list_pop(&e->takeup.turns))) {
        turn_end(sh_container_of(node, struct sh_turn, link), NULL);
    }
    while ((node = sh_list_pop(&e->takeup.queue))) {
        turn_end(sh_container_of(node, struct sh_turn, link), NULL);
    }
    e->takeup.waiting = e->takeup.queued = 0;
}
