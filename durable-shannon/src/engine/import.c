/* Import: the archive is checked by a pool job, which also puts the module under modules/; then the
 * events go into the store in batches and the row, made from them, with the last. Until that row is
 * there nobody sees the journal; what an interrupted import left is cut off by the next one. */
#include "engine/export.h"
#include "engine/export_blobs.h"

#include <unistd.h>

#include "engine/compact.h"
#include "engine/private.h"

#define BATCH_EVENTS 512
#define BATCH_BLOBS 1000
#define BATCH_BYTES (4 * SH_MIB)

struct import {
    struct sh_job job;
    struct sh_engine *engine;
    struct sh_str archive; /* borrowed until the answer */
    struct sh_import im;
    json_t *row;
    size_t next;  /* event to be written */
    size_t blob;  /* to be recorded as named */
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
    sh_import_done(&x->im);
    sh_free(x);
    sh_engine_unpin(e);
}

/* ---- the row, from the events alone ---- */

static void row_start(json_t *row, const json_t *body, int64_t time_us) {
    static const char *const members[] = {"agent",   "module",   "query",
                                          "session", "metadata", "input"};

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
    static const char *const members[] = {"result", "output", "exit_status", "usage"};

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

/* An unfinished one stands still here: nobody but a fork goes on with it. */
static json_t *row_of(const struct sh_import *im) {
    const struct sh_event_record *last = &im->events[im->n_events - 1];
    char head[SH_HASH_HEX_BYTES];
    json_t *row;

    sh_hash_hex(&last->hash, head);
    row = json_pack("{s:i, s:s, s:s, s:I, s:I, s:s, s:O, s:I}", "v", 1, "id", im->id.s, "status",
                    "imported", "updated_at", (json_int_t)last->time_us, "seq",
                    (json_int_t)last->seq, "head", head, "signed",
                    json_object_get(im->manifest, "signed"), "imported", (json_int_t)sh_wall_us());
    for (size_t i = 0; i < im->n_events; i++) {
        const struct sh_event_record *ev = &im->events[i];
        const char *type = sh_event_type(ev->type);
        bool start = strcmp(type, "WorkflowStarted") == 0, end = sh_event_is_final(ev->type);
        bool compacted = strcmp(type, "Compacted") == 0;
        sh_auto(sh_json_done) json_t *body = NULL;
        if ((!start && !end && !compacted) ||
            sh_json_parse(ev->body, 2 * SH_EVENT_BODY_MAX, &body, NULL) < 0) {
            continue;
        }
        if (compacted) {
            sh_auto(sh_json_done) json_t *state = NULL;
            struct sh_event first;
            if (sh_compacted_state(body, &state, NULL) == 0 &&
                sh_compacted_kept(state, 0, &first)) {
                row_start(row, first.body, first.time_us);
            }
        } else if (start) {
            row_start(row, body, ev->time_us);
        } else {
            row_end(row, type, body, ev);
        }
    }
    return row;
}

/* ---- the pool's part ---- */

static int keep_blobs(struct import *x) {
    sh_auto(sh_free_p) char *folder = sh_asprintf("%s/blobs", x->engine->config.data_dir);

    for (size_t i = 0; i < x->im.n_blobs; i++) {
        if (sh_blob_import(&x->im.blobs[i].hash, x->im.blobs[i].bytes, folder, &x->err) < 0) {
            return -x->err.code;
        }
    }
    return 0;
}

static int keep_modules(struct import *x) {
    for (size_t i = 0; i < x->im.n_modules; i++) {
        sh_auto(sh_free_p) char *path = sh_modules_path(x->engine, &x->im.modules[i].hash);
        if (access(path, R_OK) < 0 &&
            sh_file_write_durable(path, x->im.modules[i].bytes, 0400, &x->err) < 0) {
            return -x->err.code;
        }
    }
    return 0;
}

/* Is it a journal that this program can read at all? */
static int check_start(struct import *x) {
    const struct sh_event_record *first = &x->im.events[0];
    struct sh_spec spec = {0};
    sh_auto(sh_json_done) json_t *body = NULL;
    int r;

    if (!sh_str_eqz(first->type, "WorkflowStarted")) {
        return sh_str_eqz(first->type, "Compacted")
                   ? 0
                   : sh_fail(&x->err, SH_E_CORRUPT, "the journal has no beginning");
    }
    sh_buf_init_sure(&spec.stdin_bytes, SH_INPUT_MAX * 2);
    r = sh_json_parse(first->body, 2 * SH_EVENT_BODY_MAX, &body, &x->err);
    if (r == 0) {
        r = sh_spec_parse(body, first->time_us, &spec, &x->err);
    }
    sh_spec_done(&spec);
    return r;
}

static void import_work(struct sh_job *job) {
    struct import *x = sh_container_of(job, struct import, job);

    if (sh_import_read(x->archive, &x->im, &x->err) == 0 && check_start(x) == 0 &&
        keep_modules(x) == 0 && keep_blobs(x) == 0) {
        x->row = row_of(&x->im);
    }
}

/* ---- the store's part ---- */

static void written(void *arg, const struct sh_err *err);

static void write_next(struct import *x) {
    struct sh_import *im = &x->im;
    size_t n = 0, bytes = 0, n_puts = 0;
    struct sh_blob_puts names = {0};
    struct sh_put *puts = NULL;
    sh_auto(sh_free_p) char *note = sh_asprintf("forget:%s", im->id.s);
    sh_auto(sh_json_done) json_t *all = json_pack("{s:I}", "seq", (json_int_t)INT64_MAX);
    struct sh_err err = {0};

    while (x->next + n < im->n_events && n < BATCH_EVENTS &&
           (n == 0 || bytes + im->events[x->next + n].body.len < BATCH_BYTES)) {
        bytes += im->events[x->next + n++].body.len;
    }
    for (; names.n < 2 * BATCH_BLOBS && x->blob < im->n_blobs; x->blob++) {
        char hex[SH_HASH_HEX_BYTES];
        sh_hash_hex(&im->blobs[x->blob].hash, hex);
        sh_blob_puts_name(&names, im->id.s, hex, im->events[im->n_events - 1].seq);
    }
    puts = sh_new_array(struct sh_put, names.n + 3);
    if (x->next == 0 && x->remnant) {
        puts[n_puts++] = (struct sh_put){SH_JOURNAL_CUT, sh_str(im->id.s), all};
        puts[n_puts++] = (struct sh_put){SH_TABLE_META, sh_str(note), NULL};
    }
    if (x->next + n == im->n_events && x->blob == im->n_blobs) {
        x->whole = true;
        puts[n_puts++] = (struct sh_put){SH_TABLE_WORKFLOW, sh_str(im->id.s), x->row};
    }
    for (size_t i = 0; i < names.n; i++) {
        puts[n_puts++] = names.v[i];
    }
    size_t first = x->next;
    x->next += n;
    if (sh_engine_append(x->engine, im->events + first, n, puts, n_puts, written, x, &err) < 0) {
        import_end(x, &err);
    }
    sh_free(puts);
    sh_blob_puts_done(&names);
}

static void written(void *arg, const struct sh_err *err) {
    struct import *x = arg;

    if (err || x->whole) {
        import_end(x, err);
    } else {
        write_next(x);
    }
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

void sh_engine_import(struct sh_engine *e, struct sh_str archive, sh_engine_json_fn cb, void *arg) {
    struct import *x = sh_new(struct import);

    SH_ON_LOOP(e->loop);
    x->engine = e;
    x->archive = archive;
    x->cb = cb;
    x->arg = arg;
    x->job.work = import_work;
    x->job.done = import_done;
    e->pins++;
    sh_loop_submit(e->loop, SH_POOL_FILES, &x->job);
}
