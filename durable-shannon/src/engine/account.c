/* See account.h. */
#include "engine/account.h"

#include <search.h>
#include <stdio.h>

#include "engine/private.h"

#define RECORD "family-"
#define RECORD_BYTES (sizeof(RECORD) + SH_ID_MAX)
#define AGAIN_NS 100000000ULL /* whose time is up, and who has not stopped, is told again */

struct climb { /* from a workflow's account to the last one above it */
    struct sh_workflow *wf;
    struct sh_account *at;
    void (*then)(struct sh_workflow *wf, void *arg, const struct sh_err *err);
    void *arg;
};

static int by_id(const void *a, const void *b) {
    return strcmp(((const struct sh_account *)a)->id.s, ((const struct sh_account *)b)->id.s);
}

/* The account of that id, made where there is none; one more holds it. */
static struct sh_account *hold(struct sh_engine *e, const struct sh_id *id) {
    struct sh_account key = {.id = *id}, *a;
    void *found = tfind(&key, &e->accounts, by_id);

    if (found) {
        a = *(struct sh_account **)found;
    } else {
        a = sh_new(struct sh_account);
        a->engine = e;
        a->id = *id;
        SH_ASSERT(tsearch(a, &e->accounts, by_id));
    }
    a->refs++;
    return a;
}

static void drop(struct sh_account *a) {
    while (a && --a->refs == 0) {
        struct sh_account *up = a->up;
        sh_timer_stop(&a->wall_timer);
        tdelete(a, &a->engine->accounts, by_id);
        sh_free(a);
        a = up;
    }
}

static void enter(struct sh_workflow *wf) {
    const struct sh_lineage *l = &wf->spec.lineage;
    struct sh_account *a = wf->account = hold(wf->engine, &wf->id);

    a->wf = wf;
    if (sh_is_attached(wf)) {
        a->parent = l->parent;
    }
    if (wf->wall_from_ns) { /* it runs, and has its first child */
        sh_account_clock(wf, true);
    }
}

void sh_account_join(struct sh_workflow *child, struct sh_workflow *parent) {
    if (!sh_is_attached(child)) {
        return;
    }
    if (!parent->account) { /* its first child */
        enter(parent);
        parent->account->below = parent->account->settled = parent->below;
        parent->account->known = true;
    }
    enter(child);
    child->account->known = true;
    child->account->up = hold(child->engine, &parent->id);
}

void sh_account_leave(struct sh_workflow *wf) {
    struct sh_account *a = sh_take(&wf->account);

    if (!a) {
        return;
    }
    for (struct sh_account *x = a->up; x; x = x->up) {
        sh_spent_move(&x->below, &wf->counted, &wf->charged);
    }
    a->own = wf->counted;
    a->limits = wf->spec.caps.limits;
    a->wf = NULL;
    drop(a);
}

/* ---- sums ---- */

static uint64_t most(uint64_t a, uint64_t b) {
    return a > b ? a : b;
}

void sh_account_charge(struct sh_workflow *wf) {
    struct sh_spent now;

    if (!wf->account || wf->verify) {
        return;
    }
    now = sh_budget_own(wf);
    now.wall_us = wf->wall_spent_us;
    /* an agent that is being replayed has not come to where it was */
    now.fuel = most(now.fuel, wf->counted.fuel);
    now.wall_us = most(now.wall_us, wf->counted.wall_us);
    now.output_bytes = most(now.output_bytes, wf->counted.output_bytes);
    now.activities = most(now.activities, wf->counted.activities);
    for (struct sh_account *x = wf->account->up; x; x = x->up) {
        sh_spent_move(&x->below, &wf->counted, &now);
    }
    wf->counted = now;
}

static void record_key(const struct sh_id *id, char ret[RECORD_BYTES]) {
    snprintf(ret, RECORD_BYTES, RECORD "%s", id->s);
}

void sh_account_settle(struct sh_workflow *wf) {
    char key[RECORD_BYTES];

    if (!wf->account || wf->verify) {
        return;
    }
    sh_account_charge(wf);
    for (struct sh_account *x = wf->account->up; x; x = x->up) {
        if (!x->ended) {
            sh_spent_move(&x->settled, &wf->charged, &wf->counted);
            record_key(&x->id, key);
            sh_journal_put(wf, SH_TABLE_META, key, sh_spent_json(&x->settled));
        }
    }
    wf->charged = wf->counted;
    json_object_set_new(wf->row, "charged", sh_spent_json(&wf->charged));
}

void sh_account_end(struct sh_workflow *wf) {
    char key[RECORD_BYTES];

    if (wf->account) {
        wf->account->ended = true;
    }
    json_object_del(wf->row, "charged");
    if (json_object_get(wf->row, "children")) {
        record_key(&wf->id, key);
        sh_journal_put(wf, SH_TABLE_META, key, NULL);
    }
}

struct sh_spent sh_account_spent(const struct sh_account *a) {
    struct sh_spent sum = a->wf ? a->wf->counted : a->own;
    static const struct sh_spent none;

    sh_spent_move(&sum, &none, &a->below);
    if (a->n_clocks > 0) {
        sum.wall_us += (a->n_clocks * sh_boot_ns() - a->clocks_from_ns) / 1000;
    }
    return sum;
}

/* ---- time ---- */

static bool is_below(const struct sh_workflow *wf, const struct sh_account *a) {
    const struct sh_account *x = wf->account;

    while (x && x != a) {
        x = x->up;
    }
    return x != NULL;
}

static void time_is_up(struct sh_timer *t);

static void arm(struct sh_account *a) {
    uint64_t limit_us = sh_account_limits(a)->wall_clock_ms * 1000;
    uint64_t spent_us = sh_account_spent(a).wall_us;
    uint64_t wait_ns = AGAIN_NS;

    if (a->n_clocks == 0 || limit_us == 0) {
        sh_timer_stop(&a->wall_timer);
        return;
    }
    if (spent_us < limit_us) { /* it is over when it is passed: a millisecond later */
        wait_ns = (limit_us - spent_us) * 1000 / a->n_clocks + 1000000;
    }
    sh_timer_start(a->engine->loop, &a->wall_timer, wait_ns, time_is_up);
}

/* Who runs is told; who waits finds out when it goes on. The limit may have been raised meanwhile.
 */
static void time_is_up(struct sh_timer *t) {
    struct sh_account *a = sh_container_of(t, struct sh_account, wall_timer);

    sh_list_each (node, &a->engine->workflows) {
        struct sh_workflow *wf = sh_container_of(node, struct sh_workflow, link);
        if (wf->wall_from_ns && is_below(wf, a)) {
            sh_budget_look(wf);
        }
    }
    arm(a);
}

void sh_account_clock(struct sh_workflow *wf, bool runs) {
    if (!runs) {
        sh_account_charge(wf);
    }
    for (struct sh_account *a = wf->account; a; a = a->up) {
        a->n_clocks += runs ? 1 : -1U;
        a->clocks_from_ns += runs ? wf->wall_from_ns : -wf->wall_from_ns;
        arm(a);
    }
}

const struct sh_limits *sh_account_limits(const struct sh_account *a) {
    return a->wf ? &a->wf->spec.caps.limits : &a->limits;
}

/* ---- in the store ---- */

json_t *sh_account_describe(const struct sh_workflow *wf) {
    const struct sh_limits *l = &wf->spec.caps.limits;

    return json_pack("{s:{s:I, s:f, s:I, s:I, s:I, s:I}, s:o}", "limits", "tokens",
                     (json_int_t)l->tokens, "cost_usd", l->cost_usd, "fuel", (json_int_t)l->fuel,
                     "wall_clock_ms", (json_int_t)l->wall_clock_ms, "output",
                     (json_int_t)l->output_bytes, "activities", (json_int_t)l->activities, "own",
                     sh_spent_json(&wf->counted));
}

/* Of one that sleeps; of one that does not, its journal will say it. */
static void described(struct sh_account *a, const json_t *row) {
    const json_t *account = json_object_get(json_object_get(row, "asleep"), "account");
    const json_t *l = json_object_get(account, "limits");

    a->limits = (struct sh_limits){
        .tokens = (uint64_t)sh_json_get_int(l, "tokens", 0),
        .cost_usd = json_number_value(json_object_get(l, "cost_usd")),
        .fuel = (uint64_t)sh_json_get_int(l, "fuel", 0),
        .wall_clock_ms = (uint64_t)sh_json_get_int(l, "wall_clock_ms", 0),
        .output_bytes = (uint64_t)sh_json_get_int(l, "output", 0),
        .activities = (uint64_t)sh_json_get_int(l, "activities", 0),
    };
    a->own = (struct sh_spent){0};
    sh_spent_add_json(&a->own, json_object_get(account, "own"));
    a->ended = !sh_index_is_open(row);
    if (!sh_json_get_bool(row, "detached", false)) {
        (void)sh_id_parse(sh_json_get_str(row, "parent"), &a->parent);
    }
}

static void climb_on(struct climb *c);

static void climb_end(struct climb *c, const struct sh_err *err) {
    struct sh_workflow *wf = c->wf;

    drop(c->at);
    c->then(wf, c->arg, err);
    sh_free(c);
    sh_workflow_unpin(wf);
}

static void record_read(void *arg, json_t *records, size_t total, const struct sh_err *err) {
    struct climb *c = arg;
    struct sh_account *a = c->at;
    const json_t *record = json_array_get(records, 0);

    (void)total;
    if (err) {
        climb_end(c, err);
        return;
    }
    if (!a->known) {
        const struct sh_spent none = {0};
        if (record) {
            sh_spent_add_json(&a->settled, record);
        } else if (a->wf) {
            a->settled = a->wf->below;
        }
        sh_spent_move(&a->below, &none, &a->settled);
        a->known = true;
    }
    climb_on(c);
}

static void read_record(struct climb *c) {
    char key[RECORD_BYTES];

    record_key(&c->at->id, key);
    sh_store_get(c->wf->engine->store, SH_TABLE_META, sh_str(key), record_read, c);
}

static void row_read(void *arg, json_t *records, size_t total, const struct sh_err *err) {
    struct climb *c = arg;

    (void)total;
    if (err) {
        climb_end(c, err);
        return;
    }
    if (!c->at->wf && !c->at->known) {
        described(c->at, json_array_get(records, 0));
    }
    read_record(c);
}

static void climb_on(struct climb *c) {
    struct sh_account *a = c->at;

    while (a->known) {
        if (!a->parent.s[0]) {
            climb_end(c, NULL);
            return;
        }
        if (!a->up) {
            a->up = hold(a->engine, &a->parent);
        }
        c->at = hold(a->engine, &a->parent);
        drop(a);
        a = c->at;
    }
    if (a->wf) {
        read_record(c);
    } else {
        sh_store_get(c->wf->engine->store, SH_TABLE_WORKFLOW, sh_str(a->id.s), row_read, c);
    }
}

void sh_account_load(struct sh_workflow *wf,
                     void (*then)(struct sh_workflow *wf, void *arg, const struct sh_err *err),
                     void *arg) {
    struct climb *c;

    if (!sh_is_attached(wf) && !json_object_get(wf->row, "children")) {
        then(wf, arg, NULL);
        return;
    }
    wf->charged = (struct sh_spent){0};
    sh_spent_add_json(&wf->charged, json_object_get(wf->row, "charged"));
    wf->counted = wf->charged;
    enter(wf);
    c = sh_new(struct climb);
    c->wf = wf;
    c->at = hold(wf->engine, &wf->id);
    c->then = then;
    c->arg = arg;
    wf->pins++;
    climb_on(c);
}
