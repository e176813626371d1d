/* Taking up what a stop, a crash or a power cut left: every unfinished workflow is read from its
 * journal, claimed by an event of its own, and launched; its agent replays. */
#include "engine/private.h"

#define RECOVERIES_AT_ONCE 16

struct loader {
    struct sh_workflow *wf; /* pinned */
    sh_loader_each_fn each;
    sh_loader_done_fn done;
    void *arg;
};

struct recovery {
    struct sh_engine *engine;
    json_t *rows; /* still to be taken up */
    size_t next, under_way;
    size_t list; /* which status is being listed */
    struct sh_msg start;
    sh_store_done_fn cb;
    void *arg;
};

/* A workflow being taken up, until its module is there. */
struct taking {
    struct recovery *recovery;
    struct sh_workflow *wf; /* pinned */
};

/* A workflow that the host failed: it is tried again in a while. */
struct parked {
    struct sh_list link; /* engine->parked */
    struct sh_timer timer;
    struct sh_engine *engine;
    json_t *row;
};

static const char *const unfinished[] = {"running", "paused", "queued"};

/* ---- reading one journal ---- */

static void loader_end(struct loader *l, const struct sh_err *err) {
    struct sh_workflow *wf = l->wf;

    wf->reading = false;
    wf->answer.len = wf->answer_kept; /* the rest comes again by replay */
    l->done(wf, err, l->arg);
    sh_free(l);
    sh_workflow_unpin(wf);
}

static int load_head(struct sh_workflow *wf, const struct sh_event *ev, struct sh_err *err) {
    if ((strcmp(ev->type, "WorkflowStarted") == 0 && ev->seq != 1) ||
        (strcmp(ev->type, "PolicyDecided") == 0 && ev->seq != 2)) {
        return sh_fail(err, SH_E_CORRUPT, "event %llu is %s, which only begins a journal",
                       (unsigned long long)ev->seq, ev->type);
    }
    if (strcmp(ev->type, "WorkflowStarted") == 0) {
        return sh_spec_parse(ev->body, ev->time_us, &wf->spec, err);
    }
    if (strcmp(ev->type, "PolicyDecided") == 0) {
        return sh_capabilities_parse(json_object_get(ev->body, "capabilities"), NULL, NULL,
                                     &wf->spec.caps, err);
    }
    if (strcmp(ev->type, "Output") == 0 && sh_json_get_int(ev->body, "stream", 0) == 1) {
        struct sh_buf bytes;
        sh_buf_init(&bytes, SH_EVENT_BODY_MAX);
        sh_base64_decode(&bytes, sh_json_get_str(ev->body, "data"));
        sh_workflow_keep_answer(wf, sh_buf_str(&bytes));
        sh_buf_done(&bytes);
    }
    return 0;
}

/* One record of a journal that somebody may have edited: sequence, chain, type and JSON are checked
 * before it is believed. */
static int load_event(struct loader *l, const struct sh_event_record *record, struct sh_err *err) {
    struct sh_workflow *wf = l->wf;
    struct sh_journal *j = &wf->journal;
    struct sh_event ev = {.seq = record->seq, .time_us = record->time_us, .hash = record->hash};
    struct sh_hash hash;
    int r;

    if (record->seq != j->seq + 1) {
        return sh_fail(err, SH_E_CORRUPT, "event %llu is missing: the journal goes on with %llu",
                       (unsigned long long)j->seq + 1, (unsigned long long)record->seq);
    }
    sh_journal_hash(&j->head, record->seq, record->time_us, record->type, record->body, &hash);
    if (!sh_hash_eq(&hash, &record->hash)) {
        return sh_fail(err, SH_E_CORRUPT,
                       "event %llu does not match its hash: the journal was damaged or edited",
                       (unsigned long long)record->seq);
    }
    ev.type = sh_event_type(record->type);
    if (!ev.type) {
        return sh_fail(err, SH_E_VERSION,
                       "event %llu has the unknown type \"%.*s\": it was written "
                       "by a newer version",
                       (unsigned long long)record->seq, (int)record->type.len, record->type.p);
    }
    if (sh_json_parse(record->body, SH_EVENT_BODY_MAX * 2, &ev.body, err) < 0) {
        return -err->code;
    }
    j->seq = j->durable_seq = record->seq;
    j->head = hash;
    j->time_us = record->time_us;
    j->bytes += record->body.len;
    r = load_head(wf, &ev, err);
    if (r == 0) {
        r = sh_history_add(&wf->history, &ev, err);
    }
    if (r == 0) {
        sh_workflow_apply(wf, &ev);
        if (l->each) {
            l->each(wf, &ev, l->arg);
        }
    }
    json_decref(ev.body);
    return r;
}

static void page_loaded(void *arg, const struct sh_event_record *events, size_t n,
                        const struct sh_err *err) {
    struct loader *l = arg;
    struct sh_err bad = {0};

    for (size_t i = 0; i < n && !err; i++) {
        if (load_event(l, &events[i], &bad) < 0) {
            err = &bad;
        }
    }
    if (!err && n == SH_JOURNAL_PAGE) {
        sh_store_read_events(l->wf->engine->store, sh_str(l->wf->id.s), l->wf->journal.seq,
                             SH_JOURNAL_PAGE, page_loaded, l);
        return;
    }
    if (!err && !l->wf->spec.agent) {
        sh_fail(&bad, SH_E_CORRUPT, "the journal has no beginning");
        err = &bad;
    }
    loader_end(l, err);
}

void sh_loader_start(struct sh_workflow *wf, sh_loader_each_fn each, sh_loader_done_fn done,
                     void *arg) {
    struct loader *l = sh_new(struct loader);

    l->wf = wf;
    l->each = each;
    l->done = done;
    l->arg = arg;
    wf->pins++;
    wf->reading = true;
    sh_history_init(&wf->history);
    sh_store_read_events(wf->engine->store, sh_str(wf->id.s), 0, SH_JOURNAL_PAGE, page_loaded, l);
}

/* ---- taking workflows up ---- */

static void take_next(struct recovery *r);

static void one_done(struct recovery *r) {
    r->under_way--;
    take_next(r);
}

static void give_up(struct sh_workflow *wf, const struct sh_err *err) {
    sh_log(SH_LOG_ERROR, "recovery-failed", "id=%s code=%s message=%s", wf->id.s,
           sh_code_info(err->code)->name, SH_Q(sh_str(err->message)));
    sh_workflow_leave(wf);
}

static void module_ready(void *arg, struct sh_module *m, const struct sh_err *err) {
    struct taking *t = arg;
    struct sh_workflow *wf = t->wf;
    struct recovery *r = t->recovery;

    sh_free(t);
    if (err) {
        give_up(wf, err);
    } else if (!wf->engine->stopping) {
        wf->module = sh_module_ref(m);
        sh_journal_add(wf, "Claimed",
                       json_pack("{s:s, s:s}", "owner", wf->engine->owner, "runtime",
                                 sh_sandbox_runtime(wf->engine->config.sandbox)));
        sh_journal_commit(wf, NULL, NULL);
        sh_approvals_arm(wf);
        if (sh_approval_start_pending(wf)) {
            wf->phase = SH_PHASE_HELD; /* without an agent, until a person has answered */
        } else {
            sh_workflow_launch(wf);
        }
    }
    one_done(r);
    sh_workflow_unpin(wf);
}

static void loaded(struct sh_workflow *wf, const struct sh_err *err, void *arg) {
    struct recovery *r = arg;
    struct taking *t;

    if (err || wf->history.final || wf->engine->stopping) {
        if (err) {
            give_up(wf, err);
        } else {
            sh_workflow_leave(wf);
        }
        one_done(r);
        return;
    }
    wf->stdin_eof =
        true; /* what was typed before is in the journal; nobody is there to type more */
    wf->journal.bytes_max = wf->spec.caps.limits.journal_bytes;
    wf->pins++;
    t = sh_new(struct taking);
    t->recovery = r;
    t->wf = wf;
    sh_modules_load(wf->engine, wf->spec.python ? &wf->spec.interpreter : &wf->spec.module,
                    module_ready, t);
}

static void recovered(struct recovery *r, const struct sh_err *err) {
    struct sh_engine *e = r->engine;

    if (r->cb) {
        r->cb(r->arg, err);
    }
    json_decref(r->rows);
    sh_free(r);
    sh_engine_unpin(e);
}

static void take_up(struct recovery *r, json_t *row) {
    struct sh_workflow *wf;
    struct sh_id id;

    if (sh_id_parse(sh_json_get_str(row, "id"), &id) < 0) {
        return;
    }
    wf = sh_workflow_new(r->engine, &id);
    json_decref(wf->row);
    wf->row = json_deep_copy(row);
    sh_workflow_enter(wf);
    r->under_way++;
    sh_loader_start(wf, NULL, loaded, r);
}

static void take_next(struct recovery *r) {
    while (r->under_way < RECOVERIES_AT_ONCE && r->next < json_array_size(r->rows) &&
           !r->engine->stopping) {
        take_up(r, json_array_get(r->rows, r->next++));
    }
    if (r->under_way == 0) {
        recovered(r, NULL);
    }
}

static void list_next(struct recovery *r, size_t offset);

static void rows_listed(void *arg, json_t *records, size_t total, const struct sh_err *err) {
    struct recovery *r = arg;

    if (err) {
        recovered(r, err);
        return;
    }
    json_array_extend(r->rows, records);
    if (json_array_size(records) == 1000 && json_array_size(r->rows) < total) {
        list_next(r, json_array_size(r->rows));
    } else if (++r->list < sizeof(unfinished) / sizeof(unfinished[0])) {
        list_next(r, 0);
    } else {
        take_next(r);
    }
}

static void list_next(struct recovery *r, size_t offset) {
    struct sh_store_filter f = {
        .member = {"status"}, .value = {unfinished[r->list]}, .offset = offset, .limit = 1000};

    sh_store_list(r->engine->store, SH_TABLE_WORKFLOW, &f, rows_listed, r);
}

static void nothing_to_take(struct sh_msg *msg) {
    take_next(sh_container_of(msg, struct recovery, start));
}

void sh_engine_recover(struct sh_engine *e, sh_store_done_fn cb, void *arg) {
    struct recovery *r = sh_new(struct recovery);

    r->engine = e;
    r->rows = json_array();
    r->cb = cb;
    r->arg = arg;
    e->pins++;
    if (e->config.passive) { /* nothing is taken up; the answer still comes in a later turn */
        r->start.run = nothing_to_take;
        sh_loop_post(e->loop, &r->start);
    } else {
        list_next(r, 0);
    }
}

/* ---- parking ---- */

static void parked_free(struct parked *p) {
    sh_timer_stop(&p->timer);
    sh_list_unlink(&p->link);
    json_decref(p->row);
    sh_free(p);
}

static void try_again(struct sh_timer *t) {
    struct parked *p = sh_container_of(t, struct parked, timer);
    struct recovery *r = sh_new(struct recovery);

    r->engine = p->engine;
    r->engine->pins++;
    r->rows = json_pack("[O]", p->row);
    parked_free(p);
    take_next(r);
}

void sh_workflow_park(struct sh_workflow *wf, int code, const char *message) {
    struct parked *p = sh_new(struct parked);

    sh_log(SH_LOG_WARN, "workflow-parked", "id=%s code=%s again_in_ms=%llu message=%s", wf->id.s,
           sh_code_info(code)->name, SH_PARK_NS / 1000000, SH_Q(sh_str(message)));
    p->engine = wf->engine;
    p->row = json_deep_copy(wf->row);
    sh_list_push(&wf->engine->parked, &p->link);
    sh_timer_start(wf->engine->loop, &p->timer, SH_PARK_NS, try_again);
    sh_workflow_leave(wf);
}

void sh_parked_stop(struct sh_engine *e) {
    while (!sh_list_empty(&e->parked)) {
        parked_free(sh_container_of(e->parked.next, struct parked, link));
    }
}
