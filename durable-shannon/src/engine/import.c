/* Import: the archive is checked by a pool job, which also puts the module under modules/; then its
 * events are read once more and go into the store, a batch at a time, the row, made from them, with
 * the last. Nothing of it is in memory as a whole. Until that row is
 * there nobody sees the journal; what an interrupted import left is cut off by the next one. */
#include "engine/export.h"
#include "engine/export_blobs.h"

#include <unistd.h>

#include "engine/compact.h"
#include "engine/private.h"

#define BATCH_EVENTS 512
#define BATCH_BLOBS 1000
#define BATCH_BYTES (4 * SH_MIB) /* and the last event of them may have 8 more */

struct import {
    struct sh_job job;
    struct sh_engine *engine;
    int fd; /* the archive */
    struct sh_import im;
    json_t *row;
    struct sh_import_lines lines; /* events that are still to be written */
    json_t *batch;                /* those that are being written: their lines */
    struct sh_event_record events[BATCH_EVENTS];
    size_t n_events;
    uint64_t written;
    size_t blob;  /* to be recorded as named */
    json_t *kept; /* {hash: ...}: named until it is forgotten */
    bool whole;   /* the last of it is being written */
    bool remnant; /* an import was interrupted here */
    struct sh_err err;
    sh_engine_json_fn cb;
    void *arg;
};

static void import_end(struct import *x, const struct sh_err *err) {
    struct sh_engine *e = x->engine;

    x->cb(x->arg, err ? NULL : x->row, err);
    json_decref(x->row);
    json_decref(x->batch);
    sh_import_lines_done(&x->lines);
    json_decref(x->kept);
    sh_import_done(&x->im);
    sh_close_p(&x->fd);
    sh_free(x);
    sh_engine_unpin(e);
}

/* ---- the row, from the events alone ---- */

static void row_start(json_t *row, const json_t *body, int64_t time_us) {
    static const char *const members[] = {"agent",    "module", "query",      "session",
                                          "metadata", "input",  SH_INPUT_KEPT};

    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
        json_object_set(row, members[i], json_object_get(body, members[i]));
    }
    json_object_set_new(row, "created_at", json_integer(time_us));
}

static const char *end_status(const char *type, struct sh_str code, uint64_t seq) {
    if (strcmp(type, "WorkflowCompleted") == 0) {
        return "completed";
    }
    if (strcmp(type, "WorkflowCancelled") == 0) {
        return "canceled";
    }
    if (sh_str_eqz(code, "permission_denied") && seq <= 3) {
        return "rejected";
    }
    return sh_str_eqz(code, "wall_clock_limit") || sh_str_eqz(code, "deadline_exceeded") ? "timeout"
                                                                                         : "failed";
}

static void row_end(json_t *row, const char *type, const json_t *body,
                    const struct sh_event_record *ev) {
    static const char *const members[] = {"result", "output", SH_OUTPUT_KEPT, "exit_status",
                                          "usage"};

    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
        if (json_object_get(body, members[i])) {
            json_object_set(row, members[i], json_object_get(body, members[i]));
        }
    }
    if (json_object_get(body, "code")) {
        json_object_set_new(row, "error",
                            json_pack("{s:O, s:O?}", "code", json_object_get(body, "code"),
                                      "message", json_object_get(body, "message")));
    }
    json_object_set_new(row, "completed_at", json_integer(ev->time_us));
    json_object_set_new(row, "status",
                        json_string(end_status(type, sh_json_get_str(body, "code"), ev->seq)));
}

/* What one event says of the row. */
static int row_learn(json_t *row, json_t *kept, const struct sh_event_record *ev,
                     struct sh_err *err) {
    const char *type = sh_event_type(ev->type);
    bool start = strcmp(type, "WorkflowStarted") == 0, compacted = strcmp(type, "Compacted") == 0;
    sh_auto(sh_json_done) json_t *body = NULL, *state = NULL;
    struct sh_event first;

    bool saved = strcmp(type, "Checkpoint") == 0;
    if (!start && !compacted && !saved && !sh_event_is_final(ev->type)) {
        return 0;
    }
    if (sh_json_parse(ev->body, 2 * SH_EVENT_BODY_MAX, &body, err) < 0) {
        return -err->code;
    }
    sh_payload_names(body, kept);
    if (start) {
        row_start(row, body, ev->time_us);
    } else if (sh_event_is_final(ev->type)) {
        row_end(row, type, body, ev);
    } else if (compacted && sh_compacted_state(body, &state, NULL) == 0 &&
               sh_compacted_kept(state, 0, &first)) {
        row_start(row, first.body, first.time_us);
        sh_payload_names(first.body, kept);
    }
    return 0;
}

/* An unfinished one stands still here: nobody but a fork goes on with it. */
static json_t *row_new(void) {
    return json_pack("{s:i, s:s, s:I}", "v", 1, "status", "imported", "imported",
                     (json_int_t)sh_wall_us());
}

static void row_finish(json_t *row, const struct sh_import *im, int64_t last_us,
                       const struct sh_hash *last) {
    char head[SH_HASH_HEX_BYTES];

    sh_hash_hex(last, head);
    json_object_set_new(row, "id", json_string(im->id.s));
    json_object_set_new(row, "updated_at", json_integer(last_us));
    json_object_set_new(row, "seq", json_integer((json_int_t)im->last));
    json_object_set_new(row, "head", json_string(head));
    json_object_set(row, "signed", json_object_get(im->manifest, "signed"));
}

/* ---- the pool's part ---- */

static int keep_blobs(struct import *x) {
    sh_auto(sh_free_p) char *folder = sh_asprintf("%s/blobs", x->engine->config.data_dir);

    for (size_t i = 0; i < x->im.n_blobs; i++) {
        if (sh_blob_import(&x->im, &x->im.blobs[i], folder, &x->err) < 0) {
            return -x->err.code;
        }
    }
    return 0;
}

static int keep_modules(struct import *x) {
    for (size_t i = 0; i < x->im.n_modules; i++) {
        const struct sh_import_part *m = &x->im.modules[i];
        sh_auto(sh_free_p) char *path = sh_modules_path(x->engine, &m->hash);
        if (access(path, R_OK) < 0 &&
            sh_file_copy_durable(path, x->fd, m->at, m->bytes, 0400, &x->err) < 0) {
            return -x->err.code;
        }
    }
    return 0;
}

/* Is it a journal that this program can read at all? */
static int check_start(const struct sh_event_record *first, struct sh_err *err) {
    struct sh_spec spec = {0};
    sh_auto(sh_json_done) json_t *body = NULL;
    int r;

    if (!sh_str_eqz(first->type, "WorkflowStarted")) {
        return sh_str_eqz(first->type, "Compacted")
                   ? 0
                   : sh_fail(err, SH_E_CORRUPT, "the journal has no beginning");
    }
    sh_buf_init_sure(&spec.stdin_bytes, SH_INPUT_MAX * 2);
    r = sh_json_parse(first->body, 2 * SH_EVENT_BODY_MAX, &body, err);
    if (r == 0) {
        r = sh_spec_parse(body, first->time_us, &spec, err);
    }
    sh_spec_done(&spec);
    return r;
}

struct learning {
    json_t *row, *kept;
    uint64_t n;
    int64_t last_us;
    struct sh_hash head;
};

static int learn(void *arg, const struct sh_event_record *ev, struct sh_err *err) {
    struct learning *l = arg;

    l->last_us = ev->time_us;
    l->head = ev->hash;
    if (l->n++ == 0 && check_start(ev, err) < 0) {
        return -err->code;
    }
    return row_learn(l->row, l->kept, ev, err);
}

static void import_work(struct sh_job *job) {
    struct import *x = sh_container_of(job, struct import, job);
    struct learning l = {.row = row_new(), .kept = json_object()};

    x->row = l.row;
    x->kept = l.kept;
    if (sh_import_read(x->fd, learn, &l, &x->im, &x->err) == 0 && keep_modules(x) == 0 &&
        keep_blobs(x) == 0) {
        row_finish(x->row, &x->im, l.last_us, &l.head);
        sh_import_lines_init(&x->lines, &x->im);
    }
}

/* The next events to be written. */
static void batch_work(struct sh_job *job) {
    struct import *x = sh_container_of(job, struct import, job);
    size_t bytes = 0;
    int r = 1;

    json_array_clear(x->batch);
    x->n_events = 0;
    while (x->n_events < BATCH_EVENTS && bytes < BATCH_BYTES && r > 0) {
        json_t *line = NULL;
        r = sh_import_next(&x->lines, &line, &x->events[x->n_events], &x->err);
        if (r > 0) {
            json_array_append_new(x->batch, line);
            bytes += x->events[x->n_events++].body.len;
        }
    }
}

/* ---- the store's part ---- */

static void write_next(struct import *x);

static void written(void *arg, const struct sh_err *err) {
    struct import *x = arg;

    if (err || x->whole) {
        import_end(x, err);
    } else {
        write_next(x);
    }
}

static void write_batch(struct import *x) {
    struct sh_import *im = &x->im;
    size_t n_puts = 0;
    struct sh_blob_puts names = {0};
    struct sh_put *puts = NULL;
    sh_auto(sh_free_p) char *note = sh_asprintf("forget:%s", im->id.s);
    sh_auto(sh_json_done) json_t *all = json_pack("{s:I}", "seq", (json_int_t)INT64_MAX);
    struct sh_err err = {0};

    for (; names.n < 2 * BATCH_BLOBS && x->blob < im->n_blobs; x->blob++) {
        char hex[SH_HASH_HEX_BYTES];
        sh_hash_hex(&im->blobs[x->blob].hash, hex);
        sh_blob_puts_name(&names, im->id.s, hex,
                          json_object_get(x->kept, hex) ? INT64_MAX : im->last);
    }
    puts = sh_new_array(struct sh_put, names.n + 3);
    if (x->written == 0 && x->remnant) {
        puts[n_puts++] = (struct sh_put){SH_JOURNAL_CUT, sh_str(im->id.s), all};
        puts[n_puts++] = (struct sh_put){SH_TABLE_META, sh_str(note), NULL};
    }
    x->written += x->n_events;
    if (x->written == im->n_events && x->blob == im->n_blobs) {
        x->whole = true;
        puts[n_puts++] = (struct sh_put){SH_TABLE_WORKFLOW, sh_str(im->id.s), x->row};
    }
    for (size_t i = 0; i < names.n; i++) {
        puts[n_puts++] = names.v[i];
    }
    if (sh_engine_append(x->engine, x->events, x->n_events, puts, n_puts, written, x, &err) < 0) {
        import_end(x, &err);
    }
    sh_free(puts);
    sh_blob_puts_done(&names);
}

static void batch_done(struct sh_job *job) {
    struct import *x = sh_container_of(job, struct import, job);

    if (x->err.code) {
        import_end(x, &x->err);
    } else {
        write_batch(x);
    }
}

static void write_next(struct import *x) {
    x->job.work = batch_work;
    x->job.done = batch_done;
    sh_loop_submit(x->engine->loop, SH_POOL_FILES, &x->job);
}

static void remnant_looked_up(void *arg, const struct sh_event_record *events, size_t n,
                              const struct sh_err *err) {
    struct import *x = arg;

    (void)events;
    x->remnant = n > 0;
    if (err) {
        import_end(x, err);
    } else {
        write_next(x);
    }
}

static void row_looked_up(void *arg, json_t *records, size_t total, const struct sh_err *err) {
    struct import *x = arg;
    struct sh_err known = {0};

    (void)total;
    if (!err && json_array_size(records) > 0) {
        sh_fail(&known, SH_E_EXISTS,
                "the task %s is here already; remove it with: shannon forget %s", x->im.id.s,
                x->im.id.s);
        err = &known;
    } else if (!err && json_object_get(x->engine->forgetting, x->im.id.s)) {
        sh_fail(&known, SH_E_UNAVAILABLE, "the task %s is being forgotten; try again in a moment",
                x->im.id.s);
        err = &known;
    }
    if (err) {
        import_end(x, err);
    } else {
        sh_store_read_events(x->engine->store, sh_str(x->im.id.s), 0, 1, remnant_looked_up, x);
    }
}

static void import_done(struct sh_job *job) {
    struct import *x = sh_container_of(job, struct import, job);

    if (!x->err.code) {
        sh_disk_check(x->engine, &x->err);
    }
    if (!x->err.code && x->engine->stopping) {
        sh_fail(&x->err, SH_E_UNAVAILABLE, "the engine is stopping; import again later");
    }
    if (x->err.code) {
        import_end(x, &x->err);
    } else {
        sh_store_get(x->engine->store, SH_TABLE_WORKFLOW, sh_str(x->im.id.s), row_looked_up, x);
    }
}

void sh_engine_import(struct sh_engine *e, int fd, sh_engine_json_fn cb, void *arg) {
    struct import *x = sh_new(struct import);

    SH_ON_LOOP(e->loop);
    x->engine = e;
    x->fd = fd;
    x->batch = json_array();
    x->cb = cb;
    x->arg = arg;
    x->job.work = import_work;
    x->job.done = import_done;
    e->pins++;
    sh_loop_submit(e->loop, SH_POOL_FILES, &x->job);
}
