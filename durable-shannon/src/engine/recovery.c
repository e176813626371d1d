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

struct sh_recovery {
    struct sh_engine *engine;
    json_t *rows; /* still to be taken up */
    size_t next, under_way;
    size_t list; /* which status is being listed */
    sh_store_done_fn cb;
    void *arg;
};

static const char *const unfinished[] = {"running", "paused", "queued"};

/* ---- reading one journal ---- */

static void loader_end(struct loader *l, const struct sh_err *err) {
    struct sh_workflow *wf = l->wf;

    wf->answer.len = wf->answer_kept; /* the rest comes again by replay */
    l->done(wf, err, l->arg);
    sh_free(l);
    sh_workflow_unpin(wf);
}

static int load_head(struct sh_workflow *wf, const struct sh_event *ev, struct sh_err *err) {
    if (strcmp(ev->type, "WorkflowStarted") == 0) {
        return sh_spec_parse(ev->body, ev->time_us, &wf->spec, err);
    }
    if (strcmp(ev->type, "PolicyDecided") == 0) {
        return sh_capabilities_parse(json_object_get(ev->body, "capabilities"), NULL, NULL,
                                     &wf->spec.caps, err);
    }
    if (strcmp(ev->type, "Output") == 0 && sh_json_get_int(ev->body, "stream", 0) == 1) {
        sh_base64_decode(&wf->answer, sh_json_get_str(ev->body, "data"));
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
    sh_history_init(&wf->history);
    sh_store_read_events(wf->engine->store, sh_str(wf->id.s), 0, SH_JOURNAL_PAGE, page_loaded, l);
}

/* ---- taking workflows up ---- */

static void take_next(struct sh_recovery *r);

static void one_done(struct sh_recovery *r) {
    r->under_way--;
    take_next(r);
}

static void give_up(struct sh_workflow *wf, const struct sh_err *err) {
    sh_log(SH_LOG_ERROR, "recovery-failed", "id=%s code=%s message=\"%s\"", wf->id.s,
           sh_code_info(err->code)->name, err->message);
    sh_workflow_leave(wf);
}

static void module_ready(void *arg, struct sh_module *m, const struct sh_err *err) {
    struct sh_workflow *wf = arg;
    struct sh_recovery *r = wf->engine->recovery;

    if (err) {
        give_up(wf, err);
    } else if (!wf->engine->stopping) {
        wf->module = sh_module_ref(m);
        sh_journal_add(wf, "Claimed",
                       json_pack("{s:s, s:s}", "owner", wf->engine->owner, "runtime",
                                 sh_sandbox_runtime(wf->engine->config.sandbox)));
        sh_journal_commit(wf, NULL, NULL);
        sh_workflow_launch(wf);
    }
    one_done(r);
    sh_workflow_unpin(wf);
}

static void loaded(struct sh_workflow *wf, const struct sh_err *err, void *arg) {
    struct sh_recovery *r = arg;

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
    sh_modules_load(wf->engine, wf->spec.python ? &wf->spec.interpreter : &wf->spec.module,
                    module_ready, wf);
}

static void recovered(struct sh_recovery *r, const struct sh_err *err) {
    struct sh_engine *e = r->engine;

    e->recovery = NULL;
    r->cb(r->arg, err);
    json_decref(r->rows);
    sh_free(r);
    sh_engine_unpin(e);
}

static void take_up(struct sh_recovery *r, json_t *row) {
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

static void take_next(struct sh_recovery *r) {
    while (r->under_way < RECOVERIES_AT_ONCE && r->next < json_array_size(r->rows) &&
           !r->engine->stopping) {
        take_up(r, json_array_get(r->rows, r->next++));
    }
    if (r->under_way == 0) {
        recovered(r, NULL);
    }
}

static void list_next(struct sh_recovery *r, size_t offset);

static void rows_listed(void *arg, json_t *records, size_t total, const struct sh_err *err) {
    struct sh_recovery *r = arg;

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

static void list_next(struct sh_recovery *r, size_t offset) {
    struct sh_store_filter f = {
        .member = {"status"}, .value = {unfinished[r->list]}, .offset = offset, .limit = 1000};

    sh_store_list(r->engine->store, SH_TABLE_WORKFLOW, &f, rows_listed, r);
}

void sh_engine_recover(struct sh_engine *e, sh_store_done_fn cb, void *arg) {
    struct sh_recovery *r = sh_new(struct sh_recovery);

    r->engine = e;
    r->rows = json_array();
    r->cb = cb;
    r->arg = arg;
    e->recovery = r;
    e->pins++;
    list_next(r, 0);
}
