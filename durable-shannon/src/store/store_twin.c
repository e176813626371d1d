/* The in-memory twin as a backend: what is written, what is synced, who waits for what.
 *
 *   commit -> applied to `live`, kept in `log` -> (held?) -> applied to `synced` -> told
 * A power loss throws `live` away and makes it again from `synced` and the part of the log that the
 * test lets survive. */
#include "store/store_twin.h"

#include "store/store_private.h"
#include "store/store_twin_data.h"

struct sh_twin {
    struct sh_list link; /* named ones */
    char *name;          /* NULL: private to one store */
    json_t *live, *synced;
    struct sh_list log; /* struct op, written and not synced */
    bool hold;
    int fail_code;
    bool fail_written;
    struct backend *user;
};

struct backend {
    struct sh_loop *loop;
    struct sh_twin *twin;
    bool cut; /* the power went while this one had it open */
    bool sync;
};

enum op_kind { OP_OPEN, OP_CLOSE, OP_COMMIT, OP_EVENTS, OP_RECORDS };

/* An answer on its way to the loop, or a commit that waits in the log. */
struct op {
    struct sh_msg msg;
    struct sh_list link;
    struct backend *backend;
    enum op_kind kind;
    struct sh_err err;
    char *batch;
    size_t batch_len;
    bool posted;
    json_t *rows;
    size_t total;
    sh_store_done_fn done;
    sh_store_events_fn events;
    sh_store_records_fn records;
    void (*closed)(void *arg);
    void *arg;
};

/* ---- the data ---- */

static struct sh_list *registry(void) {
    static struct sh_list head;
    if (!head.next) {
        sh_list_init(&head);
    }
    return &head;
}

static struct sh_twin *twin_new(const char *name) {
    struct sh_twin *t = sh_new(struct sh_twin);
    t->name = name ? sh_strdup(name) : NULL;
    t->live = sh_twin_state_new();
    t->synced = sh_twin_state_new();
    sh_list_init(&t->log);
    return t;
}

static struct sh_twin *find(const char *name) {
    sh_list_each (node, registry()) {
        struct sh_twin *t = sh_container_of(node, struct sh_twin, link);
        if (sh_str_eqz(sh_str(t->name), name)) {
            return t;
        }
    }
    return NULL;
}

struct sh_twin *sh_twin_named(const char *name) {
    struct sh_twin *t = find(name);
    if (!t) {
        t = twin_new(name);
        sh_list_push(registry(), &t->link);
    }
    return t;
}

static void op_free(struct op *op) {
    sh_list_unlink(&op->link);
    sh_free(op->batch);
    sh_json_done(&op->rows);
    sh_free(op);
}

/* Log entries whose answer is on its way belong to that answer; the others end here. */
static void log_clear(struct sh_twin *t) {
    sh_list_each (node, &t->log) {
        struct op *op = sh_container_of(node, struct op, link);
        sh_list_unlink(&op->link);
        if (!op->done) {
            op_free(op);
        }
    }
}

static void twin_free(struct sh_twin *t) {
    SH_ASSERT(!t->user);
    log_clear(t);
    sh_json_done(&t->live);
    sh_json_done(&t->synced);
    sh_list_unlink(&t->link);
    sh_free(t->name);
    sh_free(t);
}

void sh_twin_forget(const char *name) {
    struct sh_twin *t = find(name);
    if (t) {
        twin_free(t);
    }
}

json_t *sh_twin_snapshot(const struct sh_twin *t) {
    return json_deep_copy(t->synced);
}

/* ---- answers ---- */

static void give_events(struct op *op) {
    size_t n = json_array_size(op->rows);
    struct sh_event_record *events = sh_new_array(struct sh_event_record, n + 1);
    for (size_t i = 0; i < n; i++) {
        const json_t *row = json_array_get(op->rows, i);
        events[i].workflow = sh_strn(op->batch, op->batch_len);
        events[i].seq = (uint64_t)sh_json_get_int(row, "seq", 0);
        events[i].time_us = sh_json_get_int(row, "time_us", 0);
        events[i].type = sh_json_get_str(row, "type");
        events[i].body = sh_json_get_str(row, "body");
        SH_ASSERT(sh_hash_parse(sh_json_get_str(row, "hash"), &events[i].hash) == 0);
    }
    op->events(op->arg, events, n, NULL);
    sh_free(events);
}

static void sync_op(struct op *op) {
    if (sh_list_linked(&op->link)) {
        struct sh_twin *t = op->backend->twin;
        SH_ASSERT(sh_twin_state_keep(t->synced, sh_strn(op->batch, op->batch_len), NULL) == 0);
        sh_list_unlink(&op->link);
    }
}

static void end_commit(struct op *op) {
    if (!op->err.code && op->backend->cut) {
        sh_fail(&op->err, SH_E_IO, "the power went before the commit was told");
    } else if (!op->err.code && op->backend->sync) {
        sync_op(op);
    }
}

static void give(struct sh_msg *msg) {
    struct op *op = sh_container_of(msg, struct op, msg);
    struct backend *b = op->backend;
    if (op->kind == OP_COMMIT) {
        end_commit(op);
    }
    switch (op->kind) {
    case OP_CLOSE:
        if (b->twin->user == b) {
            b->twin->user = NULL;
        }
        if (!b->twin->name) {
            twin_free(b->twin);
        }
        sh_free(b);
        op->closed(op->arg);
        break;
    case OP_COMMIT:
    case OP_OPEN:
        op->done(op->arg, op->err.code ? &op->err : NULL);
        break;
    case OP_EVENTS:
        if (op->err.code) {
            op->events(op->arg, NULL, 0, &op->err);
        } else {
            give_events(op);
        }
        break;
    case OP_RECORDS:
        op->records(op->arg, op->err.code ? NULL : op->rows, op->total,
                    op->err.code ? &op->err : NULL);
        break;
    }
    if (op->kind == OP_COMMIT && sh_list_linked(&op->link)) {
        op->done = NULL; /* told and not synced: it stays in the log */
        return;
    }
    op_free(op);
}

static struct op *op_new(struct backend *b, enum op_kind kind, void *arg) {
    struct op *op = sh_new(struct op);
    op->backend = b;
    op->kind = kind;
    op->arg = arg;
    op->msg.run = give;
    return op;
}

static void post(struct op *op) {
    op->posted = true;
    sh_loop_post(op->backend->loop, &op->msg);
}

/* ---- the backend ---- */

static int twin_open(struct sh_loop *l, const char *endpoint, const json_t *options,
                     sh_store_done_fn cb, void *arg, void **ret, struct sh_err *err) {
    static const char *const known[] = {"sync", NULL};
    struct sh_str sync = sh_json_get_str(options, "sync");
    if (options && sh_json_only(options, known, "store options", err) < 0) {
        return -SH_E_INVAL;
    }
    if (sync.len && !sh_str_eqz(sync, "every") && !sh_str_eqz(sync, "never")) {
        return sh_fail(err, SH_E_INVAL, "store sync is neither \"every\" nor \"never\"");
    }
    bool named = sh_str_starts(sh_str(endpoint), SH_STR("twin:"));
    if (!named && !sh_str_eqz(sh_str(endpoint), "twin")) {
        return sh_fail(err, SH_E_INVAL, "\"%s\" is no store endpoint; expected \"twin:NAME\"",
                       endpoint);
    }
    struct backend *b = sh_new(struct backend);
    b->loop = l;
    b->sync = !sh_str_eqz(sync, "never");
    b->twin = named ? sh_twin_named(endpoint + 5) : twin_new(NULL);
    struct op *op = op_new(b, OP_OPEN, arg);
    op->done = cb;
    if (b->twin->user) {
        sh_fail(&op->err, SH_E_BUSY, "another store has %s open", endpoint);
    } else {
        b->twin->user = b;
    }
    post(op);
    *ret = b;
    return 0;
}

static void twin_close(void *backend, void (*cb)(void *arg), void *arg) {
    struct backend *b = backend;
    struct op *op = op_new(b, OP_CLOSE, arg);
    op->closed = cb;
    post(op);
}

static void twin_commit(void *backend, struct sh_str batch, sh_store_done_fn cb, void *arg) {
    struct backend *b = backend;
    struct sh_twin *t = b->twin;
    struct op *op = op_new(b, OP_COMMIT, arg);
    op->done = cb;
    op->batch = sh_memdup(batch.p, batch.len);
    op->batch_len = batch.len;
    int fail = t->fail_code;
    t->fail_code = 0;
    if (b->cut) {
        sh_fail(&op->err, SH_E_IO, "the power is off");
    } else if (fail && !t->fail_written) {
        sh_fail(&op->err, fail, "the commit failed, as the test asked");
    } else if (sh_twin_state_apply(t->live, batch, &op->err) == 0) {
        sh_list_push(&t->log, &op->link);
        if (fail) {
            sync_op(op);
            sh_fail(&op->err, fail, "the commit failed, as the test asked");
        } else if (t->hold) {
            return;
        }
    }
    post(op);
}

void sh_twin_fail_next(struct sh_twin *t, int code, bool written) {
    t->fail_code = code;
    t->fail_written = written;
}

void sh_twin_hold(struct sh_twin *t, bool hold) {
    t->hold = hold;
}

size_t sh_twin_held(const struct sh_twin *t) {
    size_t n = 0;
    sh_list_each (node, &t->log) {
        n += !sh_container_of(node, struct op, link)->posted;
    }
    return n;
}

size_t sh_twin_release(struct sh_twin *t, size_t n) {
    size_t released = 0;
    sh_list_each (node, &t->log) {
        struct op *op = sh_container_of(node, struct op, link);
        if (!op->posted && released < n) {
            post(op);
            released++;
        }
    }
    return released;
}

static bool survives(enum sh_twin_loss loss, bool is_first, bool is_last) {
    switch (loss) {
    case SH_TWIN_LOSE_ALL:
        return false;
    case SH_TWIN_LOSE_NONE:
        return true;
    case SH_TWIN_LOSE_FIRST:
        return !is_first;
    case SH_TWIN_LOSE_LAST:
        return !is_last;
    }
    return false;
}

void sh_twin_power_loss(struct sh_twin *t, enum sh_twin_loss loss) {
    sh_list_each (node, &t->log) {
        struct op *op = sh_container_of(node, struct op, link);
        if (survives(loss, node->prev == &t->log, node->next == &t->log)) {
            /* Without the commits before it, one that only deletes or inserts still applies. */
            SH_ASSERT(sh_twin_state_keep(t->synced, sh_strn(op->batch, op->batch_len), NULL) == 0);
        }
    }
    sh_twin_release(t, SIZE_MAX);
    log_clear(t);
    sh_json_done(&t->live);
    t->live = sh_twin_state_copy(t->synced);
    t->hold = false;
    if (t->user) {
        t->user->cut = true;
    }
}

static void twin_read_events(void *backend, struct sh_str workflow, uint64_t after, size_t limit,
                             sh_store_events_fn cb, void *arg) {
    struct backend *b = backend;
    struct op *op = op_new(b, OP_EVENTS, arg);
    op->events = cb;
    op->batch = sh_memdup(workflow.p, workflow.len);
    op->batch_len = workflow.len;
    op->rows = sh_twin_state_events(b->twin->live, workflow, after, limit);
    post(op);
}

static void twin_get(void *backend, enum sh_table t, struct sh_str key, sh_store_records_fn cb,
                     void *arg) {
    struct backend *b = backend;
    struct op *op = op_new(b, OP_RECORDS, arg);
    op->records = cb;
    op->rows = sh_twin_state_get(b->twin->live, t, key);
    op->total = json_array_size(op->rows);
    post(op);
}

static void twin_list(void *backend, enum sh_table t, const struct sh_store_filter *f,
                      sh_store_records_fn cb, void *arg) {
    struct backend *b = backend;
    struct op *op = op_new(b, OP_RECORDS, arg);
    op->records = cb;
    op->rows = sh_twin_state_list(b->twin->live, t, f, &op->total);
    post(op);
}

static void twin_reclaim(void *backend, sh_store_records_fn cb, void *arg) {
    struct op *op = op_new(backend, OP_RECORDS, arg);
    op->records = cb;
    op->rows = json_array();
    post(op);
}

static void twin_query(void *backend, struct sh_str surql, sh_store_records_fn cb, void *arg) {
    struct op *op = op_new(backend, OP_RECORDS, arg);
    (void)surql;
    op->records = cb;
    sh_fail(&op->err, SH_E_UNSUPPORTED,
            "the in-memory twin knows no SurrealQL; use a rocksdb: or memory store");
    post(op);
}

const struct sh_store_ops sh_store_twin_ops = {
    .open = twin_open,
    .close = twin_close,
    .commit = twin_commit,
    .read_events = twin_read_events,
    .get = twin_get,
    .list = twin_list,
    .reclaim = twin_reclaim,
    .query = twin_query,
};
