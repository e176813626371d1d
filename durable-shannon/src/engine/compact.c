/* Compacting a journal: it is read up to its last checkpoint, and what that reading leaves in a
 * workflow becomes the event Compacted (compact_state.c). The events before go in slices, between
 * other people's commits; with each slice Compacted takes the place of the last that went, so that
 * after a power cut at any of them the journal is whole. A note ("compact:ID" in the table meta)
 * makes the next start go on with it.
 *
 * One journal at a time. Nobody begins while somebody reads that journal page by page; who begins
 * to read meanwhile meets Compacted in the first page and needs nothing that still goes. */
#include "engine/compact.h"
#include "engine/private.h"

#define SLICE 512        /* events of one commit */
#define LARGE_SLICE 4000 /* where the body itself is what costs */
#define LARGE_BODY (64 * SH_KIB)
#define SWEEP_PAGE 100

struct sh_compactor {
    json_t *held;    /* {id: how many read it} */
    json_t *queue;   /* {id: seq of the checkpoint} */
    char *under_way; /* id, or NULL */
    bool stopped;
};

struct compaction {
    struct sh_engine *engine;
    char *id;
    uint64_t checkpoint, k, cut; /* cut: where Compacted stands */
    struct sh_hash hash;
    int64_t time_us;
    uint64_t bytes;  /* of the events that go */
    uint64_t before; /* what was compacted before */
    json_t *begin;   /* [[seq, time_us, type, body]] */
    struct sh_buf body;
    bool asked; /* by a person, who waits until the space is free */
    json_t *row;
    sh_engine_json_fn cb;
    void *arg;
};

/* ---- who reads, who waits ---- */

void sh_compactor_start(struct sh_engine *e) {
    struct sh_compactor *cc = e->compactor = sh_new(struct sh_compactor);

    cc->held = json_object();
    cc->queue = json_object();
}

void sh_compactor_stop(struct sh_engine *e) {
    e->compactor->stopped = true;
    json_object_clear(e->compactor->queue);
}

void sh_compactor_free(struct sh_engine *e) {
    if (e->compactor) {
        json_decref(e->compactor->held);
        json_decref(e->compactor->queue);
        e->compactor = sh_free(e->compactor);
    }
}

void sh_journal_hold(struct sh_engine *e, const char *id) {
    json_object_set_new(e->compactor->held, id,
                        json_integer(sh_json_get_int(e->compactor->held, id, 0) + 1));
}

void sh_journal_release(struct sh_engine *e, const char *id) {
    int64_t n = sh_json_get_int(e->compactor->held, id, 0);

    if (n > 1) {
        json_object_set_new(e->compactor->held, id, json_integer(n - 1));
    } else {
        json_object_del(e->compactor->held, id);
    }
}

bool sh_compact_under_way(const struct sh_engine *e, const char *id) {
    return e->compactor->under_way && strcmp(e->compactor->under_way, id) == 0;
}

static struct compaction *compaction_new(struct sh_engine *e, const char *id) {
    struct compaction *x = sh_new(struct compaction);

    x->engine = e;
    x->id = sh_strdup(id);
    x->begin = json_array();
    sh_buf_init(&x->body, SH_EVENT_BODY_MAX + 1);
    e->compactor->under_way = x->id;
    e->pins++;
    return x;
}

static void next_in_queue(struct sh_engine *e);

static void compaction_end(struct compaction *x, const struct sh_err *err) {
    struct sh_engine *e = x->engine;
    json_t *done = err ? NULL
                       : json_pack("{s:s, s:I, s:I}", "id", x->id, "compacted", (json_int_t)x->k,
                                   "events", (json_int_t)(x->k - x->before));

    e->compactor->under_way = NULL;
    if (x->cb) {
        x->cb(x->arg, done, err);
    } else if (err) {
        sh_log(SH_LOG_INFO, "not-compacted", "id=%s message=%s", x->id, SH_Q(sh_str(err->message)));
    }
    json_decref(done);
    json_decref(x->begin);
    json_decref(x->row);
    sh_buf_done(&x->body);
    sh_free(x->id);
    sh_free(x);
    next_in_queue(e);
    sh_engine_unpin(e);
}

/* ---- 3: the slices ---- */

static void cut_next(struct compaction *x);

static void reclaimed(void *arg, json_t *records, size_t total, const struct sh_err *err) {
    (void)records;
    (void)total;
    (void)err; /* the events are gone; their space comes back by itself, later */
    compaction_end(arg, NULL);
}

static void slice_gone(void *arg, const struct sh_err *err) {
    struct compaction *x = arg;
    struct sh_workflow *wf = sh_workflow_find(x->engine, sh_str(x->id));

    if (err) {
        compaction_end(x, err);
        return;
    }
    if (x->cut < x->k) {
        cut_next(x);
        return;
    }
    if (wf && !wf->reading) { /* its journal's limit counts what it has */
        uint64_t gone = x->bytes > x->body.len ? x->bytes - x->body.len : 0;
        wf->journal.bytes -= gone < wf->journal.bytes ? gone : wf->journal.bytes;
        wf->journal.compacted = x->k;
        wf->journal.compacted_bytes = x->body.len;
    }
    sh_blobs_cut(x->engine, x->id, x->k);
    if (x->asked) {
        sh_store_reclaim(x->engine->store, reclaimed, x);
    } else {
        compaction_end(x, NULL);
    }
}

static void cut_next(struct compaction *x) {
    uint64_t set = x->engine->config.compact_slice;
    uint64_t slice = set ? set : x->body.len > LARGE_BODY ? LARGE_SLICE : SLICE;
    uint64_t last = x->k - x->cut > slice ? x->cut + slice : x->k;
    sh_auto(sh_free_p) char *note = sh_asprintf("compact:%s", x->id);
    sh_auto(sh_json_done) json_t *to = json_pack("{s:I}", "seq", (json_int_t)last);
    sh_auto(sh_json_done) json_t *value = json_pack("{s:s}", "workflow", x->id);
    struct sh_put puts[] = {{SH_JOURNAL_CUT, sh_str(x->id), to},
                            {SH_TABLE_META, sh_str(note), last < x->k ? value : NULL}};
    struct sh_event_record ev = {.workflow = sh_str(x->id),
                                 .seq = last,
                                 .time_us = x->time_us,
                                 .type = SH_STR("Compacted"),
                                 .body = sh_buf_str(&x->body),
                                 .hash = x->hash};
    struct sh_err err = {0};

    if (x->engine->stopping || json_object_get(x->engine->forgetting, x->id)) {
        sh_fail(&err, SH_E_UNAVAILABLE, "%s",
                x->engine->stopping ? "the engine is stopping; the rest goes at the next start"
                                    : "the task is being forgotten");
        compaction_end(x, &err);
        return;
    }
    x->cut = last;
    if (sh_engine_append(x->engine, &ev, 1, puts, 2, slice_gone, x, &err) < 0) {
        compaction_end(x, &err);
    }
}

/* ---- 2: what stands for them ---- */

static void each_event(struct sh_workflow *wf, const struct sh_event *ev, void *arg) {
    struct compaction *x = arg;

    if (sh_compacted_keeps(ev->type)) {
        json_array_append_new(x->begin, json_pack("[I, I, s, O]", (json_int_t)ev->seq,
                                                  (json_int_t)ev->time_us, ev->type, ev->body));
    }
    if (ev->seq + 1 == x->checkpoint) {
        x->hash = ev->hash;
        x->time_us = ev->time_us;
        x->bytes = wf->journal.bytes;
    }
}

static int make_body(struct compaction *x, const struct sh_workflow *wf, struct sh_err *err) {
    struct sh_compacted at = {x->id, x->k, x->time_us, x->hash};

    if (wf->journal.seq != x->checkpoint || !wf->history.checkpoint) {
        return sh_fail(err, SH_E_CORRUPT, "event %llu is not the checkpoint that it was",
                       (unsigned long long)x->checkpoint);
    }
    if (json_object_get(x->engine->compactor->held, x->id) ||
        json_object_get(x->engine->forgetting, x->id)) {
        return sh_fail(err, SH_E_UNAVAILABLE,
                       "the journal is being read by another request; try again in a moment");
    }
    return sh_compacted_body(wf, &at, x->begin, &x->body, err);
}

static void remnant_read(void *arg, const struct sh_event_record *events, size_t n,
                         const struct sh_err *err);

static void loaded(struct sh_workflow *wf, const struct sh_err *err, void *arg) {
    struct compaction *x = arg;
    struct sh_err bad = {0};

    x->before = wf->journal.compacted;
    if (!err && x->engine->stopping) {
        sh_fail(&bad, SH_E_UNAVAILABLE, "the engine is stopping");
        err = &bad;
    } else if (!err && x->before < x->k && make_body(x, wf, &bad) < 0) {
        err = &bad;
    }
    wf->phase = SH_PHASE_ENDED;
    sh_workflow_leave(wf);
    if (err) {
        compaction_end(x, err);
    } else if (x->before >= x->k) { /* or has begun to be, and was interrupted */
        sh_store_read_events(x->engine->store, sh_str(x->id), 0, 1, remnant_read, x);
    } else {
        x->cut = x->before;
        cut_next(x);
    }
}

static void load(struct compaction *x) {
    struct sh_workflow *wf;
    struct sh_id id;

    x->k = x->checkpoint - 1;
    (void)sh_id_parse(sh_str(x->id), &id);
    wf = sh_workflow_new(x->engine, &id);
    wf->verify = true;
    wf->load_to = x->checkpoint;
    json_decref(wf->row);
    wf->row = x->row ? json_deep_copy(x->row) : json_object();
    sh_loader_start(wf, each_event, NULL, loaded, x);
}

/* ---- 1: by itself, or because somebody asks ---- */

static void next_in_queue(struct sh_engine *e) {
    void *first = json_object_iter(e->compactor->queue);

    if (e->compactor->under_way || !first || e->stopping || e->compactor->stopped) {
        return;
    }
    struct compaction *x = compaction_new(e, json_object_iter_key(first));
    x->checkpoint = (uint64_t)json_integer_value(json_object_iter_value(first));
    json_object_del(e->compactor->queue, x->id);
    load(x);
}

void sh_compact_checkpointed(struct sh_workflow *wf, uint64_t seq) {
    struct sh_engine *e = wf->engine;
    const struct sh_journal *j = &wf->journal;
    uint64_t after = e->config.compact_after, bytes = e->config.compact_bytes;
    bool many = after > 0 && seq - 1 >= j->compacted + after;
    bool large = bytes > 0 && seq > j->compacted + 2 && j->bytes >= j->compacted_bytes + bytes;

    if (wf->verify || (!many && !large)) {
        return;
    }
    json_object_set_new(e->compactor->queue, wf->id.s, json_integer((json_int_t)seq));
    next_in_queue(e);
}

/* The whole journal was read: where is its last checkpoint? */
static void checkpoint_event(struct sh_workflow *wf, const struct sh_event *ev, void *arg) {
    struct compaction *x = arg;

    (void)wf;
    if (strcmp(ev->type, "Checkpoint") == 0) {
        x->checkpoint = ev->seq;
    }
}

static void checkpoint_known(struct sh_workflow *wf, const struct sh_err *err, void *arg) {
    struct compaction *x = arg;
    struct sh_err none = {0};

    if (!err && x->checkpoint < 2) {
        sh_fail(&none, SH_E_STATE,
                "the task has made no checkpoint: all of its journal is needed to replay it");
        err = &none;
    }
    wf->phase = SH_PHASE_ENDED;
    sh_workflow_leave(wf);
    if (err) {
        compaction_end(x, err);
    } else {
        load(x);
    }
}

static int check_row(const struct compaction *x, const json_t *row, struct sh_err *err) {
    const struct sh_workflow *wf = sh_workflow_find(x->engine, sh_str(x->id));

    if (json_object_get(row, "imported")) {
        return sh_fail(err, SH_E_STATE, "a task that was imported is kept as it came");
    }
    if ((wf && wf->reading) || json_object_get(x->engine->forgetting, x->id)) {
        return sh_fail(err, SH_E_UNAVAILABLE,
                       "the task's journal is in use; try again in a moment");
    }
    return 0;
}

static void row_found(void *arg, json_t *row, const struct sh_err *err) {
    struct compaction *x = arg;
    struct sh_workflow *wf;
    struct sh_err bad = {0};
    struct sh_id id;

    if (!err && check_row(x, row, &bad) < 0) {
        err = &bad;
    }
    if (err || sh_id_parse(sh_str(x->id), &id) < 0) {
        compaction_end(x, err);
        return;
    }
    x->row = json_incref(row);
    wf = sh_workflow_new(x->engine, &id);
    wf->verify = true;
    sh_loader_start(wf, checkpoint_event, NULL, checkpoint_known, x);
}

void sh_engine_compact(struct sh_engine *e, struct sh_str id, sh_engine_json_fn cb, void *arg) {
    sh_auto(sh_free_p) char *text = sh_strndup0(id.p, id.len);
    struct sh_err busy = {0};

    SH_ON_LOOP(e->loop);
    if (e->compactor->under_way || e->stopping) {
        sh_fail(&busy, SH_E_UNAVAILABLE,
                "another journal is being compacted; try again in a moment");
        cb(arg, NULL, &busy);
        return;
    }
    struct compaction *x = compaction_new(e, text);
    x->asked = true;
    x->cb = cb;
    x->arg = arg;
    sh_engine_get(e, id, row_found, x);
}

/* ---- what a crash interrupted ---- */

static void remnant_read(void *arg, const struct sh_event_record *events, size_t n,
                         const struct sh_err *err) {
    struct compaction *x = arg;
    sh_auto(sh_free_p) char *note = sh_asprintf("compact:%s", x->id);
    struct sh_put put = {SH_TABLE_META, sh_str(note), NULL};
    struct sh_err bad = {0};

    if (err) {
        compaction_end(x, err);
        return;
    }
    x->k = n > 0 ? sh_compacted_k(&events[0]) : 0;
    if (x->k > 0 && events[0].seq < x->k) {
        x->before = x->cut = events[0].seq;
        x->hash = events[0].hash;
        x->time_us = events[0].time_us;
        sh_buf_add(&x->body, events[0].body.p, events[0].body.len);
        if (x->body.failed) {
            sh_fail(&bad, SH_E_NOMEM, "no memory for what stands for the journal's beginning");
            compaction_end(x, &bad);
            return;
        }
        cut_next(x);
        return;
    }
    if (x->asked) {
        sh_fail(&bad, SH_E_STATE,
                "the journal is as short as it can be: it begins with its last checkpoint");
        compaction_end(x, &bad);
        return;
    }
    x->cut = x->k; /* nothing is left to do, or the task was forgotten */
    if (sh_engine_append(x->engine, NULL, 0, &put, 1, slice_gone, x, &bad) < 0) {
        compaction_end(x, &bad);
    }
}

static void notes_listed(void *arg, json_t *records, size_t total, const struct sh_err *err) {
    struct sh_engine *e = arg;
    const char *id = json_string_value(json_object_get(json_array_get(records, 0), "workflow"));

    (void)total;
    if (!err && id && !e->stopping && !e->compactor->under_way &&
        !json_object_get(e->forgetting, id)) {
        struct compaction *x = compaction_new(e, id);
        sh_store_read_events(e->store, sh_str(x->id), 0, 1, remnant_read, x);
    }
    sh_engine_unpin(e);
}

void sh_compactor_sweep(struct sh_engine *e) {
    struct sh_store_filter f = {.prefix = "compact:", .limit = SWEEP_PAGE};

    e->pins++;
    sh_store_list(e->store, SH_TABLE_META, &f, notes_listed, e);
}
