/* See asleep.h. Going to sleep is a commit of the row alone. Until it is durable the workflow stays
 * as it is, and an event that comes meanwhile takes the mark back in its own transaction: so the
 * store never says of a workflow that it sleeps when its journal has something for it to do. */
#include "engine/asleep.h"

#include "engine/private.h"

#define PAGE 1000          /* SH_STORE_LIST_MAX: what one read gives */
#define LOOK_US 15000000LL /* the wall clock may be set: times of day are looked at again */
#define LONG_US 3600000000LL

struct sh_wake {
    int64_t due_us; /* its key in the table */
    int64_t at_us;  /* on the clock of its kind */
    struct sh_id id;
};
#define NEVER INT64_MAX

/* ---- going to sleep ---- */

struct rest {         /* what it waits for */
    json_t *signals;  /* {name: true} */
    json_t *timers;   /* {name: moment}: moment.h */
    json_t *first;    /* of the timers */
    int64_t boot_us;  /* of the first, or NEVER */
    int64_t until_us; /* or NEVER */
};

static void rest_done(struct rest *r) {
    json_decref(r->signals);
    json_decref(r->timers);
    json_decref(r->first);
}

static void timer_runs(const struct sh_workflow *wf, struct rest *r, const struct sh_timer *t,
                       const char *kind, uint64_t number) {
    char name[40];

    if (t->slot) {
        json_t *moment = sh_moment_new(wf->engine, t);
        int64_t boot_us = (int64_t)(t->due_ns / 1000);
        snprintf(name, sizeof(name), "%s%llu", kind, (unsigned long long)number);
        json_object_set_new(r->timers, name, moment);
        if (boot_us < r->boot_us) {
            json_decref(r->first);
            r->first = json_incref(moment);
            r->boot_us = boot_us;
        }
    }
}

static void until(struct rest *r, int64_t wall_us) {
    r->until_us = wall_us && wall_us < r->until_us ? wall_us : r->until_us;
}

/* Times that come go on being kept, but nothing can be done for it before its budget is raised.
 * Without an agent it has the times that it fell asleep with. */
static void unwaited(const struct sh_workflow *wf, struct rest *r) {
    json_decref(r->first);
    r->first = NULL;
    r->boot_us = r->until_us = NEVER;
    if (!wf->agent && wf->slept) {
        json_object_update_missing(r->timers, wf->slept);
    }
}

/* Does it wait for nothing but times, signals, answers and children? Then `r` has the first two. */
static bool only_waits(const struct sh_workflow *wf, struct rest *r) {
    sh_list_each (node, &wf->activities.list) {
        const struct sh_activity *a = sh_container_of(node, struct sh_activity, link);
        if (a->state == SH_ACTIVITY_ASKED || a->state == SH_ACTIVITY_BROKE) {
            continue; /* the question below has its time; the budget has none */
        }
        if (a->state != SH_ACTIVITY_OUT || a->compensates) {
            return false;
        }
        if (strcmp(a->tool->name, "sleep") == 0) {
            if (!a->timer.slot) {
                return false; /* it is over */
            } else if (json_object_get(a->args, "until")) {
                until(r, a->due_us);
            } else {
                timer_runs(wf, r, &a->timer, "", a->ordinal);
            }
        } else if (strcmp(a->tool->name, "signal") == 0) {
            sh_auto(sh_free_p) char *name = sh_strndup0(sh_json_get_str(a->args, "name").p,
                                                        sh_json_get_str(a->args, "name").len);
            json_object_set_new(r->signals, name, json_true());
        } else if (!sh_child_op(a->tool) || sh_json_get_bool(a->args, "detached", false) ||
                   sh_family_tells(a)) {
            return false;
        }
    }
    if (wf->sleep_timer.slot) {
        timer_runs(wf, r, &wf->sleep_timer, "call ", sh_agent_wait(wf->agent)->call_number);
    }
    if (wf->over_budget) {
        unwaited(wf, r);
    }
    sh_list_each (node, &wf->approvals.pending) {
        const struct sh_approval *ap = sh_container_of(node, struct sh_approval, link);
        timer_runs(wf, r, &ap->timer, "approval ", ap->number);
    }
    timer_runs(wf, r, &wf->heartbeat_timer, SH_HEARTBEAT, 0);
    until(r, wf->spec.deadline_us);
    return true;
}

static bool waits_long(const struct sh_workflow *wf) {
    const struct sh_agent_wait *w = sh_agent_wait(wf->agent);

    /* A sleep whose end the journal does not have would begin again with each waking up. */
    return w->kind == SH_WAIT_ACTIVITY || (w->kind == SH_WAIT_SLEEP && wf->sleep_timer.slot != 0 &&
                                           w->delay_ns >= SH_SLEEP_RECORDED_NS);
}

static bool ends_or_leaves(const struct sh_workflow *wf) {
    return wf->phase != SH_PHASE_HELD || wf->leaving || wf->verify || wf->doom ||
           wf->cancel_requested || wf->compensations.end || wf->engine->stopping;
}

static bool has_reads_or_writes_under_way(const struct sh_workflow *wf) {
    return wf->looks > 0 || wf->reading || !sh_list_empty(&wf->journal.draft) ||
           wf->journal.commits_pending > 0;
}

/* Is it as it can be left: nothing under way, nothing to do, nothing that only memory knows? */
static bool at_rest(const struct sh_workflow *wf) {
    bool stands = wf->paused || wf->over_budget; /* whatever has come for it */

    if (ends_or_leaves(wf) || has_reads_or_writes_under_way(wf) || wf->engine->config.passive ||
        !(wf->waiting || stands || !wf->agent) || !(stands || sh_list_empty(&wf->inputs)) ||
        (wf->spec.stdin_live && !wf->stdin_eof) || (sh_net_any(wf) && !wf->paused)) {
        return false;
    }
    if (!wf->agent) {
        return wf->over_budget || sh_approval_start_pending(wf);
    }
    if (wf->history.bodies) { /* a replay that is not over */
        return false;
    }
    return stands || waits_long(wf);
}

static uint64_t limit_ns(const struct sh_engine *e) {
    return e->config.passivate_after_ms * 1000000;
}

static void marked(struct sh_workflow *wf, void *arg, const struct sh_err *err) {
    (void)arg;
    if (err || wf->place != SH_PLACE_ASLEEP || wf->leaving) {
        return; /* lost, or awake again */
    }
    if (!at_rest(wf)) { /* about to add an event, which takes the mark back */
        return;
    }
    sh_workflow_leave(wf);
}

static void add_wake(struct sh_wakes *w, const struct sh_wake *wake);

/* On CLOCK_BOOTTIME, or on the wall clock. */
static int64_t now_us(const struct sh_wakes *w) {
    return w->kind == SH_WAKE_TIMER ? sh_clocks_now().boot_us : sh_clocks_now().wall_us;
}

/* The row says what it waits for, and the commit that says so is on its way. */
static void fall_asleep(struct sh_workflow *wf, struct rest *r) {
    struct sh_engine *e = wf->engine;
    json_t *asleep = json_pack("{s:O, s:O, s:O*, s:I, s:I, s:s}", "signals", r->signals, "timers",
                               r->timers, "first", r->first, "bytes", (json_int_t)wf->journal.bytes,
                               "bytes_max", (json_int_t)wf->journal.bytes_max, "owner", e->owner);

    if (r->boot_us != NEVER) {
        int64_t key_us = r->boot_us - e->clocks.boot_us + e->clocks.wall_us;
        json_object_set_new(asleep, "wake_at_us", json_integer(key_us));
        add_wake(&e->wakes[SH_WAKE_TIMER], &(struct sh_wake){key_us, r->boot_us, wf->id});
    }
    if (r->until_us != NEVER) {
        json_object_set_new(asleep, "until_us", json_integer(r->until_us));
        add_wake(&e->wakes[SH_WAKE_TIME_OF_DAY],
                 &(struct sh_wake){r->until_us, r->until_us, wf->id});
    }
    sh_account_settle(wf);
    if (json_object_get(wf->row, "children")) {
        json_object_set_new(asleep, "account", sh_account_describe(wf));
    }
    json_object_set_new(wf->row, "asleep", asleep);
    sh_workflow_row_update(wf);
    sh_journal_commit(wf, marked, NULL);
}

/* Is there nothing to do for it before long? */
static bool for_long(const struct sh_engine *e, const struct rest *r) {
    struct sh_clocks now = sh_clocks_now();
    int64_t long_us = (int64_t)(limit_ns(e) / 1000);

    return r->boot_us - now.boot_us >= long_us && r->until_us - now.wall_us >= long_us;
}

static void rested(struct sh_timer *t) {
    struct sh_workflow *wf = sh_container_of(t, struct sh_workflow, rest_timer);
    struct rest r = {.boot_us = NEVER, .until_us = NEVER};

    if (wf->leaving || wf->phase != SH_PHASE_HELD) {
        return;
    }
    r.signals = json_object();
    r.timers = json_object();
    if (at_rest(wf) && only_waits(wf, &r) && for_long(wf->engine, &r)) {
        fall_asleep(wf, &r);
    } else {
        sh_asleep_rest(wf); /* later, perhaps */
    }
    rest_done(&r);
}

void sh_asleep_rest(struct sh_workflow *wf) {
    if (!wf->verify && !wf->leaving && !wf->engine->config.passive && limit_ns(wf->engine)) {
        sh_timer_start(wf->engine->loop, &wf->rest_timer, limit_ns(wf->engine), rested);
    }
}

static void remove_wake(struct sh_wakes *w, int64_t due_us, const struct sh_id *id);

void sh_asleep_touched(struct sh_workflow *wf) {
    if (wf->place != SH_PLACE_ASLEEP || wf->dozing || sh_list_empty(&wf->journal.draft)) {
        return;
    }
    for (enum sh_wake_kind k = 0; k < SH_WAKE_KINDS; k++) {
        if (wf->wake_us[k]) {
            remove_wake(&wf->engine->wakes[k], wf->wake_us[k], &wf->id);
        }
    }
    json_object_del(wf->row, "asleep");
    sh_family_awake(wf);
    sh_workflow_row_update(wf);
    sh_asleep_rest(wf); /* nothing else may come: what it awaits may be another event */
}

bool sh_asleep_awaits(const json_t *row, struct sh_str signal) {
    sh_auto(sh_free_p) char *name = sh_strndup0(signal.p, signal.len);

    return json_object_get(json_object_get(json_object_get(row, "asleep"), "signals"), name);
}

/* ---- waking up ---- */

static void arm(struct sh_wakes *w);

static void time_came(struct sh_timer *t) {
    struct sh_wakes *w = sh_container_of(t, struct sh_wakes, timer);
    int64_t now = now_us(w);
    size_t kept = 0;

    for (size_t i = 0; i < w->n; i++) {
        const struct sh_wake wake = w->page[i];
        if (wake.at_us <= now && wake.due_us == SH_RAISE_DUE_US) {
            sh_budget_wake_family(w->engine, &wake.id, "");
        } else if (wake.at_us <= now) {
            sh_takeup_wake(w->engine, &wake.id, w->kind, wake.due_us);
        } else {
            w->page[kept++] = wake;
        }
    }
    w->n = kept;
    arm(w);
    sh_wakes_go_on(w->engine);
}

static void arm(struct sh_wakes *w) {
    int64_t left_us = w->kind == SH_WAKE_TIMER ? LONG_US : LOOK_US, now = now_us(w);

    if (w->n == 0) {
        sh_timer_stop(&w->timer);
        return;
    }
    for (size_t i = 0; i < w->n; i++) { /* what earlier processes wrote may be out of order */
        int64_t theirs_us = w->page[i].at_us > now ? w->page[i].at_us - now : 0;
        left_us = theirs_us < left_us ? theirs_us : left_us;
    }
    sh_timer_start(w->engine->loop, &w->timer, (uint64_t)left_us * 1000, time_came);
}

static size_t place_of(const struct sh_wakes *w, int64_t due_us) {
    size_t low = 0, high = w->n;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (w->page[middle].due_us <= due_us) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* One that goes to sleep: into the page if it is among the earliest, else the table has it. */
static void add_wake(struct sh_wakes *w, const struct sh_wake *wake) {
    size_t at = place_of(w, wake->due_us);

    w->stale = w->loading;
    if (at == PAGE || (at == w->n && w->more)) {
        w->more = true;
        return;
    }
    if (w->n == PAGE) {
        w->n--;
        w->more = true;
    }
    memmove(w->page + at + 1, w->page + at, (w->n - at) * sizeof(*w->page));
    w->page[at] = *wake;
    w->n++;
    arm(w);
}

static void remove_wake(struct sh_wakes *w, int64_t due_us, const struct sh_id *id) {
    for (size_t i = place_of(w, due_us - 1); i < w->n && w->page[i].due_us == due_us; i++) {
        if (strcmp(w->page[i].id.s, id->s) == 0) {
            w->n--;
            memmove(w->page + i, w->page + i + 1, (w->n - i) * sizeof(*w->page));
            arm(w);
            return;
        }
    }
}

/* A record of the table; those without a moment have a time of the wall clock. */
static bool wake_read(const struct sh_wakes *w, const json_t *record, struct sh_wake *ret) {
    const struct sh_clocks *began = &w->engine->clocks;
    const json_t *timer = json_object_get(record, "timer");

    ret->due_us = ret->at_us = sh_json_get_int(record, "due_us", 0);
    if (timer) {
        ret->at_us = sh_moment_boot_us(w->engine, timer);
    } else if (w->kind == SH_WAKE_TIMER) {
        ret->at_us += began->boot_us - began->wall_us;
    }
    return sh_id_parse(sh_json_get_str(record, "workflow"), &ret->id) == 0;
}

static void load(struct sh_wakes *w);

static void page_read(void *arg, json_t *records, size_t total, const struct sh_err *err) {
    struct sh_wakes *w = arg;
    struct sh_engine *e = w->engine;
    json_t *record;
    size_t i;

    (void)total;
    w->loading = false;
    if (err) {
        sh_log(SH_LOG_ERROR, "sleepers-unread", "message=%s", SH_Q(sh_str(err->message)));
    } else if (!e->stopping) {
        w->n = 0;
        w->more = json_array_size(records) == PAGE;
        json_array_foreach(records, i, record) {
            w->n += wake_read(w, record, &w->page[w->n]);
        }
        if (w->n > 0 && w->more && strcmp(w->first.s, w->page[0].id.s) == 0) {
            /* a page of workflows that cannot be taken up: what is behind it waits for a start */
            sh_log(SH_LOG_ERROR, "sleepers-stuck", "first=%s", w->first.s);
            w->more = false;
        }
        w->first = w->n > 0 ? w->page[0].id : (struct sh_id){0};
        arm(w);
        if (w->stale) {
            load(w);
        }
    }
    sh_engine_unpin(e);
}

static void load(struct sh_wakes *w) {
    struct sh_store_filter f = {.uncounted = true, .limit = PAGE};

    if (!w->page) {
        w->page = sh_new_array(struct sh_wake, PAGE);
    }
    if (!w->loading && !w->engine->stopping) {
        w->loading = true;
        w->stale = false;
        w->engine->pins++;
        sh_store_list(w->engine->store, sh_index_wake_table(w->kind), &f, page_read, w);
    }
}

void sh_wakes_init(struct sh_engine *e) {
    for (enum sh_wake_kind k = 0; k < SH_WAKE_KINDS; k++) {
        e->wakes[k].engine = e;
        e->wakes[k].kind = k;
    }
}

void sh_wakes_done(struct sh_engine *e) {
    for (enum sh_wake_kind k = 0; k < SH_WAKE_KINDS; k++) {
        sh_free(e->wakes[k].page);
    }
}

void sh_wakes_load(struct sh_engine *e) {
    for (enum sh_wake_kind k = 0; k < SH_WAKE_KINDS; k++) {
        load(&e->wakes[k]);
    }
}

static void forgotten(void *arg, const struct sh_err *err) {
    (void)err;
    sh_engine_unpin(arg);
}

void sh_wakes_forget(struct sh_engine *e, enum sh_wake_kind kind, int64_t due_us,
                     const struct sh_id *id) {
    char key[SH_INDEX_KEY_BYTES];
    struct sh_err err = {0};

    sh_index_wake_key(due_us, id->s, key);
    e->pins++;
    if (sh_engine_append(e, NULL, 0, &(struct sh_put){sh_index_wake_table(kind), sh_str(key), NULL},
                         1, forgotten, e, &err) < 0) {
        sh_engine_unpin(e);
    }
}

/* A page is used up. Those of it that are still being taken up have their records yet. */
void sh_wakes_go_on(struct sh_engine *e) {
    for (enum sh_wake_kind k = 0; k < SH_WAKE_KINDS; k++) {
        struct sh_wakes *w = &e->wakes[k];
        if (w->page && w->n == 0 && w->more && sh_takeup_idle(e)) {
            load(w);
        }
    }
}

void sh_wakes_stop(struct sh_engine *e) {
    for (enum sh_wake_kind k = 0; k < SH_WAKE_KINDS; k++) {
        sh_timer_stop(&e->wakes[k].timer);
        e->wakes[k].n = 0;
        e->wakes[k].more = false;
    }
}
