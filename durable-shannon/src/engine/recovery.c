/* What a stop, a crash or a power cut left: journals are read and checked, and the workflows that
 * were active get their turn (takeup.c). One that the host failed gets another one later. */
#include "engine/compact.h"
#include "engine/private.h"

/* Events that are read, checked and applied in one turn of the loop: by their sizes in the page
 * before, so that a turn is short and a page fits memory. */
#define FIRST_PAGE 128
#define LEAST_PAGE 8
#define PAGE_BYTES (512 * SH_KIB)

struct loader {
    struct sh_workflow *wf; /* pinned */
    sh_loader_each_fn each;
    sh_loader_lean_fn each_lean;
    sh_loader_done_fn done;
    void *arg;
    size_t page; /* events of the page that was asked for */
    bool asked;  /* it is on its way: the store reads while we work on the one before */
    bool over;   /* what comes yet is not wanted: only waited for */
    struct sh_err failed;
};

/* The workflows that were active when the last process ended. */
struct recovery {
    struct sh_engine *engine;
    char *listed;     /* key of the last record */
    json_t *suspects; /* ids of those under which the process died: they come last */
    sh_store_done_fn cb;
    void *arg;
};

/* A workflow that the host failed: it is tried again in a while. */
struct parked {
    struct sh_list link; /* engine->parked */
    struct sh_timer timer;
    struct sh_engine *engine;
    char *id;
};

/* ---- reading one journal ---- */

static void loader_end(struct loader *l, const struct sh_err *err) {
    struct sh_workflow *wf = l->wf;

    wf->reading = false;
    sh_journal_release(wf->engine, wf->id.s);
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
    if (strcmp(ev->type, "WorkflowStarted") == 0 || strcmp(ev->type, "Claimed") == 0) {
        sh_runtime_seen(wf, ev->body);
    }
    if (strcmp(ev->type, "WorkflowStarted") == 0) {
        return sh_spec_parse(ev->body, ev->time_us, &wf->spec, err);
    }
    if (strcmp(ev->type, "PolicyDecided") == 0) {
        return sh_capabilities_parse(json_object_get(ev->body, "capabilities"), NULL, NULL,
                                     &wf->spec.caps, err);
    }
    if (strcmp(ev->type, "Forked") == 0) {
        return sh_fork_apply(&wf->spec, ev->body, err);
    }
    if (strcmp(ev->type, "Output") == 0 && sh_json_get_int(ev->body, "stream", 0) == 1) {
        struct sh_buf bytes;
        sh_buf_init_sure(&bytes, SH_EVENT_BODY_MAX);
        sh_base64_decode(&bytes, sh_json_get_str(ev->body, "data"));
        sh_workflow_keep_answer(wf, sh_buf_str(&bytes));
        sh_buf_done(&bytes);
    }
    return 0;
}

static int load_one(struct loader *l, const struct sh_event *ev, struct sh_err *err) {
    struct sh_workflow *wf = l->wf;
    int r = load_head(wf, ev, err);

    if (r == 0) {
        r = sh_history_add(&wf->history, ev, err);
    }
    if (r == 0) {
        sh_workflow_apply(wf, ev);
        if (l->each) {
            l->each(wf, ev, l->arg);
        }
    }
    return r;
}

/* The same without a body, where the text alone will do. 0: it will not */
static int load_lean(struct loader *l, const struct sh_event_record *record,
                     const struct sh_event *ev, struct sh_err *err) {
    struct sh_workflow *wf = l->wf;
    struct sh_lean lean;

    if ((l->each && !l->each_lean) || record->body.len > SH_EVENT_BODY_MAX ||
        !sh_lean_read(record->type, record->body, &lean) ||
        (lean.args.len == 0 && !sh_history_activity(&wf->history, lean.ordinal))) {
        return 0;
    }
    if (sh_history_add_lean(&wf->history, ev, &lean, err) < 0) {
        return -err->code;
    }
    sh_workflow_apply_lean(wf, ev, &lean);
    if (l->each_lean) {
        l->each_lean(wf, ev, &lean, l->arg);
    }
    return 1;
}

/* What stands for the journal's beginning: the events that made the workflow, then what all others
 * left in it. */
static int load_compacted(struct loader *l, const struct sh_event *ev, struct sh_err *err) {
    struct sh_workflow *wf = l->wf;
    sh_auto(sh_json_done) json_t *state = NULL;
    struct sh_event kept;
    int r;

    r = sh_compacted_state(ev->body, &state, err);
    for (size_t i = 0; r == 0 && sh_compacted_kept(state, i, &kept); i++) {
        r = load_one(l, &kept, err);
    }
    if (r == 0) {
        r = sh_compacted_restore(wf, state, err);
    }
    if (r == 0 && l->each) {
        l->each(wf, ev, l->arg);
    }
    return r;
}

/* One record of a journal that somebody may have edited: sequence, chain, type and JSON are checked
 * before it is believed. */
static int load_event(struct loader *l, const struct sh_event_record *record, struct sh_err *err) {
    struct sh_workflow *wf = l->wf;
    struct sh_journal *j = &wf->journal;
    struct sh_event ev = {.seq = record->seq, .time_us = record->time_us, .hash = record->hash};
    int r;

    if (sh_journal_skips(j, record->seq)) {
        return 0;
    }
    if (sh_journal_follow(j, record, err) < 0) {
        return -err->code;
    }
    ev.type = sh_event_type(record->type);
    if (!ev.type) {
        return sh_fail(err, SH_E_VERSION,
                       "event %llu has the unknown type \"%.*s\": it was written "
                       "by a newer version",
                       (unsigned long long)record->seq, (int)record->type.len, record->type.p);
    }
    j->durable_seq = j->seq;
    j->bytes += record->body.len;
    j->compacted_bytes += strcmp(ev.type, "Compacted") == 0 ? record->body.len : 0;
    r = load_lean(l, record, &ev, err);
    if (r != 0) {
        return r < 0 ? r : 0;
    }
    if (sh_json_parse(record->body, SH_EVENT_BODY_MAX * 2, &ev.body, err) < 0) {
        return -err->code;
    }
    ev.seq = j->seq; /* of what was compacted: the last that it stands for */
    r = strcmp(ev.type, "Compacted") == 0 ? load_compacted(l, &ev, err) : load_one(l, &ev, err);
    json_decref(ev.body);
    return r;
}

static void page_loaded(void *arg, const struct sh_event_record *events, size_t n,
                        const struct sh_err *err);

static void read_page(struct loader *l, uint64_t after) {
    l->asked = true;
    sh_store_read_events(l->wf->engine->store, sh_str(l->wf->id.s), after, l->page, page_loaded, l);
}

/* events: one at least */
static size_t next_page(const struct sh_event_record *events, size_t n) {
    size_t bytes = 1;

    SH_ASSERT(n > 0);
    for (size_t i = 0; i < n; i++) {
        bytes += events[i].body.len;
    }
    size_t fit = PAGE_BYTES / (bytes / n + 1);
    return fit < LEAST_PAGE ? LEAST_PAGE : fit > SH_JOURNAL_PAGE ? SH_JOURNAL_PAGE : fit;
}

/* gives  how many of the events were wanted and believed; fewer than n: it ends there */
static size_t load_page(struct loader *l, const struct sh_event_record *events, size_t n) {
    const struct sh_workflow *wf = l->wf;
    size_t i = 0;

    for (; i < n; i++) {
        if ((wf->load_to && sh_compacted_hides(&events[i], wf->load_to, &l->failed)) ||
            (wf->load_to && events[i].seq > wf->load_to) ||
            (wf->load_open && sh_event_is_final(events[i].type)) ||
            load_event(l, &events[i], &l->failed) < 0) {
            break;
        }
    }
    return i;
}

static void page_loaded(void *arg, const struct sh_event_record *events, size_t n,
                        const struct sh_err *err) {
    struct loader *l = arg;
    bool full = !err && n == l->page;

    l->asked = false;
    if (full && !l->over) {
        l->page = next_page(events, n);
        if (l->wf->journal.seq > 0) { /* else it may begin with what stands for many */
            read_page(l, events[n - 1].seq);
        }
    }
    if (!l->over && err) {
        l->failed = *err;
    } else if (!l->over && load_page(l, events, n) == n && full) {
        if (!l->asked) {
            read_page(l, l->wf->journal.seq);
        }
        return;
    }
    l->over = true;
    if (l->asked) {
        return;
    }
    if (!l->failed.code && !l->wf->spec.agent) {
        sh_fail(&l->failed, SH_E_CORRUPT, "the journal has no beginning");
    }
    loader_end(l, l->failed.code ? &l->failed : NULL);
}

void sh_loader_start(struct sh_workflow *wf, sh_loader_each_fn each, sh_loader_lean_fn each_lean,
                     sh_loader_done_fn done, void *arg) {
    struct loader *l = sh_new(struct loader);

    l->wf = wf;
    l->each = each;
    l->each_lean = each_lean;
    l->done = done;
    l->arg = arg;
    l->page = FIRST_PAGE;
    wf->pins++;
    wf->reading = true;
    sh_journal_hold(wf->engine, wf->id.s);
    sh_history_init(&wf->history);
    read_page(l, 0);
}

/* ---- at start ---- */

static void recovered(struct recovery *r, const struct sh_err *err) {
    struct sh_engine *e = r->engine;
    json_t *id;
    size_t i;

    json_array_foreach(r->suspects, i, id) {
        sh_takeup_add(e, sh_str(json_string_value(id)), NULL, NULL);
    }
    e->takeup.held = false;
    r->cb(r->arg, err);
    if (!err && !e->config.passive) {
        sh_wakes_load(e);
        sh_takeup_go_on(e);
    }
    json_decref(r->suspects);
    sh_free(r->listed);
    sh_free(r);
    sh_engine_unpin(e);
}

static void list_next(struct recovery *r);

static void page_listed(void *arg, json_t *records, size_t total, const struct sh_err *err) {
    struct recovery *r = arg;
    json_t *record;
    size_t i;

    json_array_foreach(records, i, record) {
        struct sh_str id = sh_json_get_str(record, "workflow");
        sh_auto(sh_free_p) char *text = sh_strndup0(id.p, id.len);
        if (sh_quarantine_count(r->engine, text) > 0) {
            json_array_append_new(r->suspects, sh_json_string(id));
        } else if (sh_json_get_bool(record, "queued", false)) {
            sh_takeup_queue(r->engine, record);
        } else {
            sh_takeup_add(r->engine, id, NULL, NULL);
        }
    }
    if (i > 0) {
        sh_free(r->listed);
        r->listed =
            sh_strdup(json_string_value(json_object_get(json_array_get(records, i - 1), "id")));
    }
    if (err || total < SH_STORE_LIST_MAX || r->engine->stopping) {
        recovered(r, err);
    } else {
        list_next(r);
    }
}

/* All are listed before the first is taken up: a page begins where the one before it ended, and
 * nothing may leave the table meanwhile. */
static void list_next(struct recovery *r) {
    struct sh_store_filter f = {.uncounted = true, .after = r->listed, .limit = SH_STORE_LIST_MAX};

    sh_store_list(r->engine->store, SH_TABLE_ACTIVE, &f, page_listed, r);
}

static void indexed(void *arg, const struct sh_err *err) {
    struct recovery *r = arg;

    if (err || r->engine->config.passive) {
        recovered(r, err);
    } else {
        list_next(r);
    }
}

void sh_engine_recover(struct sh_engine *e, sh_store_done_fn cb, void *arg) {
    struct recovery *r = sh_new(struct recovery);

    r->engine = e;
    r->suspects = json_array();
    r->cb = cb;
    r->arg = arg;
    e->pins++;
    e->takeup.held = true;
    sh_index_load(e, indexed, r);
}

/* ---- parking ---- */

static void parked_free(struct parked *p) {
    sh_timer_stop(&p->timer);
    sh_list_unlink(&p->link);
    sh_free(p->id);
    sh_free(p);
}

static void try_again(struct sh_timer *t) {
    struct parked *p = sh_container_of(t, struct parked, timer);

    sh_takeup_add(p->engine, sh_str(p->id), NULL, NULL);
    parked_free(p);
}

void sh_workflow_adopt(struct sh_engine *e, const json_t *row) {
    sh_takeup_add(e, sh_json_get_str(row, "id"), NULL, NULL);
}

void sh_park_id(struct sh_engine *e, const struct sh_id *id, int code, const char *message) {
    struct parked *p;

    if (e->stopping) {
        return;
    }
    p = sh_new(struct parked);
    sh_log(SH_LOG_WARN, "workflow-parked", "id=%s code=%s again_in_ms=%llu message=%s", id->s,
           sh_code_info(code)->name, SH_PARK_NS / 1000000, SH_Q(sh_str(message)));
    p->engine = e;
    p->id = sh_strdup(id->s);
    sh_list_push(&e->parked, &p->link);
    sh_timer_start(e->loop, &p->timer, SH_PARK_NS, try_again);
}

void sh_workflow_park(struct sh_workflow *wf, int code, const char *message) {
    if (wf->verify) {
        sh_workflow_abandon(wf, code, message);
        return;
    }
    sh_park_id(wf->engine, &wf->id, code, message);
    sh_workflow_leave(wf);
}

void sh_parked_stop(struct sh_engine *e) {
    while (!sh_list_empty(&e->parked)) {
        parked_free(sh_container_of(e->parked.next, struct parked, link));
    }
}
