/* Forgetting: a task that has ended goes, record and journal. The record goes first, together with
 * a note of what is still to do ("forget:ID" in the table meta), so that a crash in the middle
 * leaves no task with half a journal; the journal goes in pieces of a page, between other people's
 * commits.
 *
 * Retention is the same on a schedule: tasks that ended longer ago than the operator keeps them,
 * and notes that a crash left. One task after the other, each a few commits. */
#include "engine/compact.h"
#include "engine/private.h"

#define SWEEP_PAGE 100  /* records of a task, or notes */
#define SWEEP_ROWS 1000 /* tasks: a page costs more, the further on it is */
#define FIRST_SWEEP_NS (10 * 1000000000ULL)
#define SWEEP_NS (3600 * 1000000000ULL)

/* Records of a task besides its row, by "ID/...". */
static const enum sh_table of_task[] = {SH_TABLE_UPDATE, SH_TABLE_PUBLISHED, SH_TABLE_BLOB};

struct forgetting {
    struct sh_engine *engine;
    size_t table; /* of of_task */
    bool swept;   /* the sweep goes on when it is gone */
    char *id;
    sh_engine_json_fn cb;
    void *arg;
};

static void one_swept(struct sh_engine *e);

static void forget_end(struct forgetting *x, const struct sh_err *err) {
    struct sh_engine *e = x->engine;
    json_object_del(e->forgetting, x->id);
    json_t *done = err ? NULL : json_pack("{s:s, s:b}", "id", x->id, "forgotten", 1);

    if (x->cb) {
        x->cb(x->arg, done, err);
    }
    json_decref(done);
    if (x->swept) {
        one_swept(e);
    }
    sh_free(x->id);
    sh_free(x);
    sh_engine_unpin(e);
}

static void reclaimed(void *arg, json_t *records, size_t total, const struct sh_err *err) {
    (void)records;
    (void)total;
    if (err) { /* the data is deleted; only the disk space comes back later */
        sh_log(SH_LOG_WARN, "reclaim-failed", "message=%s", SH_Q(sh_str(err->message)));
    }
    forget_end(arg, NULL);
}

static void swept(void *arg) {
    struct forgetting *x = arg;

    sh_store_reclaim(x->engine->store, reclaimed, x);
}

static void note_gone(void *arg, const struct sh_err *err) {
    struct forgetting *x = arg;

    x->engine->blobs.changed = true;
    if (err || !x->cb) {
        forget_end(x, err);
    } else { /* somebody asked for it: it leaves the disk now */
        sh_blobs_sweep(x->engine, swept, x);
    }
}

static void next_piece(struct forgetting *x);

static void piece_gone(void *arg, const struct sh_err *err) {
    if (err) {
        forget_end(arg, err);
    } else {
        next_piece(arg);
    }
}

static void piece_read(void *arg, const struct sh_event_record *events, size_t n,
                       const struct sh_err *err) {
    struct forgetting *x = arg;
    sh_auto(sh_free_p) char *note = sh_asprintf("forget:%s", x->id);
    sh_auto(sh_json_done) json_t *last = NULL;
    struct sh_put put = {SH_TABLE_META, sh_str(note), NULL};
    struct sh_err bad = {0};

    if (!err && x->engine->stopping) {
        sh_fail(&bad, SH_E_UNAVAILABLE, "the engine is stopping; the rest goes at the next start");
        err = &bad;
    }
    if (err) {
        forget_end(x, err);
        return;
    }
    if (n > 0) {
        last = json_pack("{s:I}", "seq", (json_int_t)events[n - 1].seq);
        put = (struct sh_put){SH_JOURNAL_CUT, sh_str(x->id), last};
    }
    if (sh_engine_append(x->engine, NULL, 0, &put, 1, n > 0 ? piece_gone : note_gone, x, &bad) <
        0) {
        forget_end(x, &bad);
    }
}

/* takes the records */
static void names_gone(struct forgetting *x, struct sh_blob_puts *names) {
    struct sh_err bad = {0};

    if (sh_engine_append(x->engine, NULL, 0, names->v, names->n, piece_gone, x, &bad) < 0) {
        forget_end(x, &bad);
    }
    sh_blob_puts_done(names);
}

static void records_listed(void *arg, json_t *records, size_t total, const struct sh_err *err) {
    struct forgetting *x = arg;
    size_t n = json_array_size(records);
    struct sh_put *puts = sh_new_array(struct sh_put, n + 1);
    struct sh_blob_puts names = {0};
    struct sh_err bad = {0};

    (void)total;
    for (size_t i = 0; i < n; i++) {
        json_t *record = json_array_get(records, i);
        const char *hex = json_string_value(json_object_get(record, "blob"));
        puts[i] = (struct sh_put){.table = of_task[x->table], .key = sh_json_get_str(record, "id")};
        if (of_task[x->table] == SH_TABLE_BLOB && hex) {
            sh_blob_puts_drop(&names, x->id, hex);
        }
    }
    x->table += n == 0;
    if (names.n > 0) {
        names_gone(x, &names);
        sh_free(puts);
        return;
    }
    if (err || sh_engine_append(x->engine, NULL, 0, puts, n, piece_gone, x, &bad) < 0) {
        forget_end(x, err ? err : &bad);
    }
    sh_free(puts);
}

static void next_piece(struct forgetting *x) {
    sh_auto(sh_free_p) char *prefix = sh_asprintf("%s/", x->id);
    struct sh_store_filter f = {.prefix = prefix, .limit = SWEEP_PAGE};

    if (x->table < sizeof(of_task) / sizeof(of_task[0]) && !x->engine->stopping) {
        sh_store_list(x->engine->store, of_task[x->table], &f, records_listed, x);
        return;
    }
    sh_store_read_events(x->engine->store, sh_str(x->id), 0, SH_JOURNAL_PAGE, piece_read, x);
}

static void row_read(void *arg, json_t *row, const struct sh_err *err) {
    struct forgetting *x = arg;
    struct sh_str status = sh_json_get_str(row, "status");
    sh_auto(sh_free_p) char *note = sh_asprintf("forget:%s", x->id);
    sh_auto(sh_json_done) json_t *value = json_pack("{s:s}", "workflow", x->id);
    struct sh_err bad = {0};

    if (!err && (sh_workflow_find(x->engine, sh_str(x->id)) ||
                 (!json_object_get(row, "completed_at") && !sh_str_eqz(status, "imported")))) {
        sh_fail(&bad, SH_E_STATE, "the task has not ended (%.*s); cancel it first", (int)status.len,
                status.p ? status.p : "");
        err = &bad;
    }
    if (!err && sh_compact_under_way(x->engine, x->id)) {
        sh_fail(&bad, SH_E_UNAVAILABLE,
                "the task's journal is being compacted; try again in a moment");
        err = &bad;
    }
    struct sh_put puts[] = {{SH_TABLE_WORKFLOW, sh_str(x->id), NULL},
                            {SH_TABLE_META, sh_str(note), value}};
    if (err || sh_engine_append(x->engine, NULL, 0, puts, 2, piece_gone, x, &bad) < 0) {
        forget_end(x, err ? err : &bad);
    }
}

static struct forgetting *forgetting_new(struct sh_engine *e, struct sh_str id,
                                         sh_engine_json_fn cb, void *arg) {
    struct forgetting *x = sh_new(struct forgetting);

    x->engine = e;
    x->id = sh_strndup0(id.p, id.len);
    x->cb = cb;
    x->arg = arg;
    e->pins++;
    json_object_set_new(e->forgetting, x->id, json_true());
    return x;
}

void sh_engine_forget(struct sh_engine *e, struct sh_str id, sh_engine_json_fn cb, void *arg) {
    SH_ON_LOOP(e->loop);
    sh_engine_get(e, id, row_read, forgetting_new(e, id, cb, arg));
}

/* ---- on a schedule ---- */

/* What a crash left. A task of that id that is here was imported since: it stays. */
static void row_of_note(void *arg, json_t *records, size_t total, const struct sh_err *err) {
    struct forgetting *x = arg;

    (void)total;
    if (err || json_array_size(records) > 0) {
        forget_end(x, err);
    } else {
        next_piece(x);
    }
}

static void notes_listed(void *arg, json_t *records, size_t total, const struct sh_err *err) {
    struct sh_engine *e = arg;

    (void)total;
    for (size_t i = 0; !err && i < json_array_size(records); i++) {
        struct sh_str id = sh_json_get_str(json_array_get(records, i), "workflow");
        if (id.len > 0 && !e->stopping) {
            sh_store_get(e->store, SH_TABLE_WORKFLOW, id, row_of_note,
                         forgetting_new(e, id, NULL, NULL));
        }
    }
    sh_engine_unpin(e);
}

static bool is_over(const struct sh_engine *e, const json_t *row, int64_t now_us) {
    struct sh_str status = sh_json_get_str(row, "status");
    bool good = sh_str_eqz(status, "completed");
    uint64_t keep_ms =
        good || !e->config.keep_failed_ms ? e->config.keep_ms : e->config.keep_failed_ms;
    int64_t ended_us = sh_json_get_int(row, "completed_at", 0);

    return keep_ms > 0 && ended_us > 0 && ended_us < now_us - (int64_t)(keep_ms * 1000);
}

static void sweep_page(struct sh_engine *e);

/* The next page follows when all that goes of this one is gone: never more than a page at once. */
static void one_swept(struct sh_engine *e) {
    if (--e->sweep_left == 0 && e->swept && !e->stopping) {
        sweep_page(e);
    }
}

static void rows_listed(void *arg, json_t *records, size_t total, const struct sh_err *err) {
    struct sh_engine *e = arg;
    size_t n = json_array_size(records);
    int64_t now_us = sh_wall_us();

    (void)total;
    e->swept = sh_free(e->swept);
    if (!err && n == SWEEP_ROWS) {
        e->swept =
            sh_strdup(json_string_value(json_object_get(json_array_get(records, n - 1), "id")));
    }
    for (size_t i = 0; !err && i < n && !e->stopping; i++) {
        json_t *row = json_array_get(records, i);
        struct sh_str id = sh_json_get_str(row, "id");
        if (is_over(e, row, now_us) && !json_object_getn(e->forgetting, id.p, id.len)) {
            struct forgetting *x = forgetting_new(e, id, NULL, NULL);
            x->swept = true;
            e->sweep_left++;
            row_read(x, row, NULL);
        }
    }
    one_swept(e); /* the page itself */
    sh_engine_unpin(e);
}

static void sweep_page(struct sh_engine *e) {
    struct sh_store_filter f = {.uncounted = true, .after = e->swept, .limit = SWEEP_ROWS};

    e->pins++;
    e->sweep_left = 1;
    sh_store_list(e->store, SH_TABLE_WORKFLOW, &f, rows_listed, e);
}

static void sweep(struct sh_timer *t) {
    struct sh_engine *e = sh_container_of(t, struct sh_engine, sweep_timer);
    struct sh_store_filter f = {.prefix = "forget:", .limit = SWEEP_PAGE};

    e->pins++;
    sh_store_list(e->store, SH_TABLE_META, &f, notes_listed, e);
    sh_compactor_sweep(e);
    sh_blobs_sweep(e, NULL, NULL);
    if ((e->config.keep_ms || e->config.keep_failed_ms) && e->sweep_left == 0) {
        sweep_page(e);
    }
    sh_timer_start(e->loop, t, SWEEP_NS, sweep);
}

void sh_retention_start(struct sh_engine *e) {
    if (!e->config.passive) {
        sh_timer_start(e->loop, &e->sweep_timer,
                       e->config.first_sweep_ns ? e->config.first_sweep_ns : FIRST_SWEEP_NS, sweep);
    }
}

void sh_retention_stop(struct sh_engine *e) {
    sh_timer_stop(&e->sweep_timer);
    e->swept = sh_free(e->swept);
    sh_blobs_stop(e);
}
