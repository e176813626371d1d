/* See defer.h. A signal for which a sleeping workflow does not wait, and a pause, need its
 * journal's end and nothing else: its row has that, so a workflow is made from the row alone
 * ("dozing"), given the event, and let go when it is durable. */
#include "engine/defer.h"

#include "engine/private.h"

struct deferred {
    struct sh_engine *engine;
    struct sh_asked_for what;
    char *id, *by, *reason, *scope, *name;
    json_t *payload;
    bool behind; /* another one, which is taken up for it */
};

static char *copy(const char *text) {
    return text ? sh_strdup(text) : NULL;
}

static struct deferred *deferred_new(struct sh_engine *e, struct sh_str id,
                                     const struct sh_asked_for *what) {
    struct deferred *d = sh_new(struct deferred);

    d->engine = e;
    d->what = *what;
    d->id = sh_strndup0(id.p, id.len);
    d->what.by = d->by = copy(what->by);
    d->what.reason = d->reason = copy(what->reason);
    d->what.scope = d->scope = copy(what->scope);
    d->name = sh_strndup0(what->name.p ? what->name.p : "", what->name.len);
    d->what.name = sh_strn(d->name, what->name.len);
    d->what.payload = d->payload = what->payload ? json_deep_copy(what->payload) : NULL;
    e->pins++;
    return d;
}

static void deferred_free(struct deferred *d) {
    struct sh_engine *e = d->engine;

    sh_free(d->id);
    sh_free(d->by);
    sh_free(d->reason);
    sh_free(d->scope);
    sh_free(d->name);
    json_decref(d->payload);
    sh_free(d);
    sh_engine_unpin(e);
}

/* As good as it gets: whatever is there now is what the request is about. */
static void ask_again(struct sh_engine *e, struct sh_workflow *wf, void *arg) {
    struct deferred *d = arg;
    const struct sh_asked_for *w = &d->what;
    struct sh_str id = sh_str(d->id);

    e->deferring = true;
    e->deferred_in_vain = d->behind && !wf;
    switch (w->kind) {
    case SH_ASK_CANCEL:
        sh_engine_cancel(e, id, w->by, w->reason, w->cb, w->arg);
        break;
    case SH_ASK_PAUSE:
        sh_engine_pause(e, id, w->by, w->reason, w->cb, w->arg);
        break;
    case SH_ASK_RESUME:
        sh_engine_resume(e, id, w->by, w->reason, w->cb, w->arg);
        break;
    case SH_ASK_SIGNAL:
        sh_engine_signal(e, id, w->name, w->payload, w->cb, w->arg);
        break;
    case SH_ASK_DECIDE:
        sh_engine_decide(e, id, w->name, w->allow, w->scope, w->by, w->reason, w->cb, w->arg);
        break;
    case SH_ASK_RAISE:
        sh_engine_raise(e, id, w->payload, w->by, w->reason, w->cb, w->arg);
        break;
    }
    e->deferring = e->deferred_in_vain = false;
    deferred_free(d);
}

/* ---- dozing ---- */

static void dozed(struct sh_workflow *wf, void *arg, const struct sh_err *err) {
    struct sh_engine *e = wf->engine;

    sh_control_written(wf, arg, err);
    sh_workflow_leave(wf);
    sh_takeup_go_on(e);
}

/* The member that says how its journal ends: of one that sleeps, or waits in the queue. */
static const char *row_rests(const json_t *row) {
    return json_object_get(row, "asleep") ? "asleep" : "queue";
}

static struct sh_workflow *doze(struct sh_engine *e, const json_t *row) {
    const json_t *asleep = json_object_get(row, row_rests(row));
    struct sh_workflow *wf;
    struct sh_hash head;
    struct sh_id id;

    if (sh_id_parse(sh_json_get_str(row, "id"), &id) < 0 ||
        sh_hash_parse(sh_json_get_str(row, "head"), &head) < 0) {
        return NULL;
    }
    wf = sh_workflow_new(e, &id);
    json_decref(wf->row);
    wf->row = json_deep_copy(row);
    sh_index_read(wf);
    wf->dozing = wf->reading = true;
    wf->paused = sh_str_eqz(sh_json_get_str(row, "status"), "paused");
    wf->journal.seq = wf->journal.durable_seq = (uint64_t)sh_json_get_int(row, "seq", 0);
    wf->journal.head = head;
    wf->journal.time_us = sh_json_get_int(row, "updated_at", 0);
    wf->journal.bytes = (uint64_t)sh_json_get_int(asleep, "bytes", 0);
    wf->journal.bytes_max = (uint64_t)sh_json_get_int(asleep, "bytes_max", 0);
    sh_workflow_enter(wf);
    sh_live_attach(wf);
    return wf;
}

/* The event goes to the journal's end; the workflow sleeps on. false: that cannot be. */
static bool add_where_it_lies(struct deferred *d, const json_t *row) {
    const struct sh_asked_for *w = &d->what;
    struct sh_engine *e = d->engine;
    struct sh_workflow *wf = doze(e, row);
    struct sh_control *c;
    json_t *body;

    if (!wf) {
        return false;
    }
    if (!sh_str_eqz(sh_json_get_str(json_object_get(wf->row, row_rests(row)), "owner"), e->owner)) {
        sh_claim(wf);
    }
    c = sh_control_new(e, w->kind == SH_ASK_PAUSE ? "pause" : "signal", w->cb, w->arg);
    if (w->kind == SH_ASK_PAUSE) {
        body = json_pack("{s:o, s:o, s:I}", "by", sh_json_string(sh_str(w->by ? w->by : "")),
                         "reason", sh_json_string(sh_str(w->reason ? w->reason : "")), "at",
                         (json_int_t)sh_wall_us());
        json_object_set(wf->row, "pause", body);
    } else {
        body = json_pack("{s:o, s:o}", "name", sh_json_string(w->name), "payload",
                         w->payload ? json_deep_copy(w->payload) : json_null());
    }
    if (sh_journal_add(wf, w->kind == SH_ASK_PAUSE ? "Paused" : "SignalReceived", body) == 0) {
        struct sh_err err = {0};
        sh_fail(&err, SH_E_JOURNAL, "the task's journal has reached its size limit");
        sh_control_end(c, NULL, &err);
        sh_workflow_leave(wf);
    } else {
        json_t *asleep = json_object_get(wf->row, row_rests(row));
        json_object_set_new(asleep, "bytes", json_integer((json_int_t)wf->journal.bytes));
        json_object_set_new(asleep, "owner", json_string(e->owner));
        sh_workflow_row_put(wf, wf->place_queued                        ? "queued"
                                : wf->paused || w->kind == SH_ASK_PAUSE ? "paused"
                                                                        : "running");
        sh_journal_commit(wf, dozed, c);
    }
    deferred_free(d);
    return true;
}

/* ---- */

static bool concerns(const json_t *row, const struct sh_asked_for *w) {
    switch (w->kind) {
    case SH_ASK_PAUSE:
        return sh_str_eqz(sh_json_get_str(row, "status"), "paused");
    case SH_ASK_SIGNAL:
        return sh_asleep_awaits(row, w->name);
    default:
        return true;
    }
}

/* Can the event be added without taking it up? */
static bool lies(struct sh_engine *e, const json_t *row, const struct deferred *d) {
    if (json_object_get(row, "queue")) {
        return d->what.kind == SH_ASK_SIGNAL && sh_takeup_waits(e, sh_str(d->id));
    }
    return json_object_get(row, "asleep") && !concerns(row, &d->what) &&
           !sh_takeup_has(e, sh_str(d->id));
}

static void row_found(void *arg, json_t *records, size_t total, const struct sh_err *err) {
    struct deferred *d = arg;
    struct sh_engine *e = d->engine;
    const json_t *row = json_array_get(records, 0);
    struct sh_workflow *wf = sh_workflow_find(e, sh_str(d->id));

    (void)total;
    if (err || e->stopping || !sh_index_is_open(row) || (wf && !wf->reading)) {
        ask_again(e, wf, d);
    } else if (!wf && lies(e, row, d)) {
        if (!add_where_it_lies(d, row)) {
            ask_again(e, NULL, d);
        }
    } else {
        sh_takeup_add(e, sh_str(d->id), ask_again, d);
    }
}

bool sh_defer(struct sh_engine *e, struct sh_workflow *wf, struct sh_str id,
              const struct sh_asked_for *what) {
    struct sh_id checked;

    if (e->deferring || e->stopping || (wf && !wf->reading) || sh_id_parse(id, &checked) < 0) {
        return false;
    }
    if (wf) {
        sh_takeup_add(e, id, ask_again, deferred_new(e, id, what));
    } else {
        sh_store_get(e->store, SH_TABLE_WORKFLOW, id, row_found, deferred_new(e, id, what));
    }
    return true;
}

bool sh_defer_behind(struct sh_engine *e, const struct sh_id *first, struct sh_str id,
                     const struct sh_asked_for *what) {
    struct deferred *d;

    if (!first || e->deferred_in_vain || e->stopping) {
        return false;
    }
    d = deferred_new(e, id, what);
    d->behind = true;
    sh_takeup_add(e, sh_str(first->s), ask_again, d);
    return true;
}
