/* The store's life, and its reads. A read waits for every append that was submitted before it, then
 * goes to the backend; store_batch.c owns the appends.
 *
 *   OPENING --backend open, schema known--> OPEN --close--> CLOSING --nothing left--> CLOSED
 *      \--any failure--> FAILED --close--> CLOSING
 * Callbacks may do anything, close included: `dispatching` keeps the store until they are back. */
#include "store/store.h"

#include "store/store_codec.h"
#include "store/store_private.h"

const char *sh_table_name(enum sh_table t) {
    static const char *const names[SH_TABLE_COUNT] = {
        [SH_TABLE_META] = "meta",
        [SH_TABLE_WORKFLOW] = "workflow",
        [SH_TABLE_KV] = "kv",
        [SH_TABLE_MODULE] = "module",
        [SH_TABLE_NAME] = "name",
        [SH_TABLE_SESSION] = "session",
        [SH_TABLE_IDEMPOTENCY] = "idempotency",
        [SH_TABLE_PUBLISHED] = "published",
        [SH_TABLE_UPDATE] = "update_call",
        [SH_TABLE_ACTIVE] = "active",
        [SH_TABLE_WAKE] = "wake",
        [SH_TABLE_WAKE_DAY] = "wake_day",
        [SH_TABLE_BLOB] = "blob",
    };
    SH_ASSERT(t < SH_TABLE_COUNT);
    return names[t];
}

static int find_ops(const char *endpoint, const struct sh_store_ops **ret, struct sh_err *err) {
    static const struct {
        const char *prefix;
        const struct sh_store_ops *ops;
    } table[] = {
        {"twin", &sh_store_twin_ops},
        {"memory", &sh_store_surreal_ops},
        {"rocksdb:", &sh_store_surreal_ops},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        if (!sh_str_starts(sh_str(endpoint), sh_str(table[i].prefix))) {
            continue;
        }
        if (!table[i].ops) {
            return sh_fail(err, SH_E_UNSUPPORTED,
                           "the store endpoint \"%s\" needs SurrealDB, which this program was "
                           "linked without; use \"twin\"",
                           endpoint);
        }
        *ret = table[i].ops;
        return 0;
    }
    if (sh_str_starts(sh_str(endpoint), SH_STR("ws:")) ||
        sh_str_starts(sh_str(endpoint), SH_STR("wss:"))) {
        return sh_fail(err, SH_E_UNSUPPORTED,
                       "a remote store (\"%s\") is not supported by this version; use "
                       "\"rocksdb:PATH\"",
                       endpoint);
    }
    return sh_fail(err, SH_E_INVAL,
                   "\"%s\" is no store endpoint; expected \"rocksdb:PATH\" or \"memory\"",
                   endpoint);
}

static void on_kick(struct sh_msg *msg) {
    struct sh_store *s = sh_container_of(msg, struct sh_store, kick);
    s->kicked = false;
    sh_store_advance(s);
}

void sh_store_kick(struct sh_store *s) {
    if (!s->kicked) {
        s->kicked = true;
        s->kick.run = on_kick;
        sh_loop_post(s->loop, &s->kick);
    }
}

/* ---- opening ---- */

static void opened(struct sh_store *s, const struct sh_err *err) {
    s->state = err ? STORE_FAILED : STORE_OPEN;
    s->dispatching++;
    s->open_cb(s->open_arg, err);
    s->dispatching--;
    sh_store_advance(s);
}

static void on_schema_written(void *arg, const struct sh_err *err) {
    opened(arg, err);
}

static void write_schema(struct sh_store *s) {
    sh_auto(sh_json_done) json_t *row = json_pack("{s:i}", "version", SH_STORE_SCHEMA);
    sh_buf_clear(&s->batch);
    sh_store_put_header(&s->batch, &(struct sh_store_header){.n_puts = 1});
    sh_buf_bytes32(&s->batch, sh_str(sh_table_name(SH_TABLE_META)));
    sh_buf_bytes32(&s->batch, SH_STR("schema"));
    sh_buf_u8(&s->batch, 1);
    SH_ASSERT(sh_store_put_value(&s->batch, row));
    if (s->batch.failed) {
        struct sh_err err = {0};
        sh_fail(&err, SH_E_NOMEM, "no memory for the first record");
        opened(s, &err);
        return;
    }
    s->ops->commit(s->backend, sh_buf_str(&s->batch), on_schema_written, s);
}

static void on_schema_read(void *arg, json_t *records, size_t total, const struct sh_err *err) {
    struct sh_store *s = arg;
    struct sh_err why = {0};
    (void)total;
    if (!err && json_array_size(records) == 0) {
        write_schema(s);
        return;
    }
    if (!err) {
        int64_t version = sh_json_get_int(json_array_get(records, 0), "version", 0);
        if (version >= 1 && version < SH_STORE_SCHEMA) {
            write_schema(s); /* a newer one has more tables, which opening has made, and owners */
            return;
        }
        if (version > SH_STORE_SCHEMA) {
            sh_fail(&why, SH_E_VERSION,
                    "the data was written by a newer version (store schema %lld, this program "
                    "knows %d): use that version, or another data directory",
                    (long long)version, SH_STORE_SCHEMA);
            err = &why;
        } else if (version < 1) {
            sh_fail(&why, SH_E_CORRUPT, "the record meta:schema has no version");
            err = &why;
        }
    }
    opened(s, err);
}

static void on_backend_open(void *arg, const struct sh_err *err) {
    struct sh_store *s = arg;
    if (err) {
        opened(s, err);
        return;
    }
    s->ops->get(s->backend, SH_TABLE_META, SH_STR("schema"), on_schema_read, s);
}

static struct sh_store *store_free(struct sh_store *s) {
    sh_buf_done(&s->batch);
    return sh_free(s);
}

int sh_store_open(struct sh_loop *l, const char *endpoint, const json_t *options,
                  sh_store_done_fn cb, void *arg, struct sh_store **ret, struct sh_err *err) {
    SH_ON_LOOP(l);
    const struct sh_store_ops *ops = NULL;
    int r = find_ops(endpoint, &ops, err);
    if (r < 0) {
        return r;
    }
    if (SH_FAULT(store_open)) {
        return sh_fail(err, SH_E_IO, "the store did not open, as a fault test asked");
    }
    SH_ASSERT(ops);
    struct sh_store *s = sh_new(struct sh_store);
    s->loop = l;
    s->ops = ops;
    s->open_cb = cb;
    s->open_arg = arg;
    sh_list_init(&s->queue);
    sh_list_init(&s->flying);
    sh_list_init(&s->reads);
    sh_buf_init(&s->batch, SH_BATCH_BYTES_MAX + 512); /* the largest batch, its header, its
                                                      owner's row */
    r = ops->open(l, endpoint, options, on_backend_open, s, &s->backend, err);
    if (r < 0) {
        store_free(s);
        return r;
    }
    *ret = s;
    return 0;
}

/* ---- reads ---- */

enum read_kind { READ_EVENTS, READ_GET, READ_LIST, READ_QUERY, READ_RECLAIM };

struct read {
    struct sh_list link;
    struct sh_store *store;
    enum read_kind kind;
    uint64_t ticket; /* appends that were submitted before */
    char *text;      /* workflow, key or query */
    size_t len;
    uint64_t after;
    size_t limit;
    enum sh_table table;
    struct sh_store_filter filter;
    struct sh_err fail; /* code != 0: refused, told later */
    sh_store_events_fn events_cb;
    sh_store_records_fn records_cb;
    void *arg;
};

static void read_free(struct read *r) {
    for (int i = 0; i < 2; i++) {
        sh_free((void *)(uintptr_t)r->filter.member[i]);
        sh_free((void *)(uintptr_t)r->filter.value[i]);
    }
    sh_free((void *)(uintptr_t)r->filter.prefix);
    sh_free((void *)(uintptr_t)r->filter.after);
    sh_free(r->text);
    sh_free(r);
}

static void read_over(struct read *r) {
    struct sh_store *s = r->store;
    s->dispatching--;
    s->reads_out--;
    read_free(r);
    sh_store_advance(s);
}

static void on_events(void *arg, const struct sh_event_record *events, size_t n,
                      const struct sh_err *err) {
    struct read *r = arg;
    r->store->dispatching++;
    r->events_cb(r->arg, err ? NULL : events, err ? 0 : n, err);
    read_over(r);
}

static void on_records(void *arg, json_t *records, size_t total, const struct sh_err *err) {
    struct read *r = arg;
    r->store->dispatching++;
    r->records_cb(r->arg, err ? NULL : records, err ? 0 : total, err);
    read_over(r);
}

static void read_start(struct sh_store *s, struct read *r) {
    struct sh_str text = sh_strn(r->text, r->len);
    s->reads_out++;
    switch (r->kind) {
    case READ_EVENTS:
        s->ops->read_events(s->backend, text, r->after, r->limit, on_events, r);
        break;
    case READ_GET:
        s->ops->get(s->backend, r->table, text, on_records, r);
        break;
    case READ_LIST:
        s->ops->list(s->backend, r->table, &r->filter, on_records, r);
        break;
    case READ_QUERY:
        s->ops->query(s->backend, text, on_records, r);
        break;
    case READ_RECLAIM:
        s->ops->reclaim(s->backend, on_records, r);
        break;
    }
}

/* Refused reads fail in their turn, from a message of their own. */
static void read_refuse(struct sh_store *s, struct read *r) {
    s->reads_out++;
    if (r->kind == READ_EVENTS) {
        on_events(r, NULL, 0, &r->fail);
    } else {
        on_records(r, NULL, 0, &r->fail);
    }
}

static struct read *read_new(struct sh_store *s, enum read_kind kind, struct sh_str text,
                             void *arg) {
    SH_ON_LOOP(s->loop);
    struct read *r = sh_new(struct read);
    r->store = s;
    r->kind = kind;
    r->ticket = s->submitted;
    r->text = sh_strndup0(text.p ? text.p : "", text.len);
    r->len = text.len;
    r->arg = arg;
    if (s->state != STORE_OPEN) {
        sh_fail(&r->fail, SH_E_STATE, "the store is not open");
    } else if (SH_FAULT(store_read)) {
        sh_fail(&r->fail, SH_E_IO, "the read failed, as a fault test asked");
    } else if (!sh_utf8_valid(text)) {
        sh_fail(&r->fail, SH_E_INVAL, "the store reads UTF-8 text only");
    }
    return r;
}

/* At once when nothing is before it; a kick also sends the appends that it waits for. */
static void read_submit(struct sh_store *s, struct read *r) {
    if (!r->fail.code && sh_list_empty(&s->reads) && s->settled == r->ticket) {
        read_start(s, r);
        return;
    }
    sh_list_push(&s->reads, &r->link);
    sh_store_kick(s);
}

void sh_store_read_events(struct sh_store *s, struct sh_str workflow, uint64_t after, size_t limit,
                          sh_store_events_fn cb, void *arg) {
    struct read *r = read_new(s, READ_EVENTS, workflow, arg);
    r->after = after;
    r->limit = limit;
    r->events_cb = cb;
    if (!r->fail.code && limit > SH_JOURNAL_PAGE) {
        sh_fail(&r->fail, SH_E_LIMIT, "%zu events in one read: at most %d", limit, SH_JOURNAL_PAGE);
    }
    read_submit(s, r);
}

void sh_store_get(struct sh_store *s, enum sh_table t, struct sh_str key, sh_store_records_fn cb,
                  void *arg) {
    struct read *r = read_new(s, READ_GET, key, arg);
    r->table = t;
    r->records_cb = cb;
    read_submit(s, r);
}

static char *dup_or_null(const char *s) {
    return s ? sh_strdup(s) : NULL;
}

/* One that needs no quoting wherever it is written. */
static bool plain_key(const char *key) {
    return key[0] &&
           !key[strspn(key, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
                            ":_-./")];
}

void sh_store_list(struct sh_store *s, enum sh_table t, const struct sh_store_filter *f,
                   sh_store_records_fn cb, void *arg) {
    struct read *r = read_new(s, READ_LIST, (struct sh_str){0}, arg);
    r->table = t;
    r->records_cb = cb;
    r->filter = *f;
    r->filter.prefix = dup_or_null(f->prefix);
    r->filter.after = dup_or_null(f->after);
    for (int i = 0; i < 2; i++) {
        bool both = f->member[i] && f->value[i];
        r->filter.member[i] = both ? sh_strdup(f->member[i]) : NULL;
        r->filter.value[i] = both ? sh_strdup(f->value[i]) : NULL;
    }
    if (!r->fail.code && f->limit > SH_STORE_LIST_MAX) {
        sh_fail(&r->fail, SH_E_LIMIT, "%zu records in one page: at most %d", f->limit,
                SH_STORE_LIST_MAX);
    }
    if (!r->fail.code && f->uncounted && (f->prefix || f->newest_first || r->filter.member[0])) {
        sh_fail(&r->fail, SH_E_INVAL, "a page that is not counted is one of a whole table");
    }
    if (!r->fail.code && f->after && (!f->uncounted || !plain_key(f->after))) {
        sh_fail(&r->fail, SH_E_INVAL,
                "only a page that is not counted begins behind a key, of the characters of ids");
    }
    read_submit(s, r);
}

void sh_store_query(struct sh_store *s, struct sh_str surql, sh_store_records_fn cb, void *arg) {
    struct read *r = read_new(s, READ_QUERY, surql, arg);
    r->records_cb = cb;
    read_submit(s, r);
}

void sh_store_reclaim(struct sh_store *s, sh_store_records_fn cb, void *arg) {
    struct read *r = read_new(s, READ_RECLAIM, (struct sh_str){0}, arg);
    r->records_cb = cb;
    read_submit(s, r);
}

/* ---- going on ---- */

static void start_reads(struct sh_store *s) {
    size_t n = 0;
    sh_list_each (node, &s->reads) {
        n++;
    }
    while (n-- > 0) {
        struct read *r = sh_container_of(s->reads.next, struct read, link);
        if (s->settled < r->ticket) {
            return;
        }
        sh_list_unlink(&r->link);
        if (r->fail.code) {
            read_refuse(s, r);
        } else {
            read_start(s, r);
        }
    }
}

static void on_backend_closed(void *arg) {
    struct sh_store *s = arg;
    void (*cb)(void *) = s->close_cb;
    void *cb_arg = s->close_arg;
    store_free(s);
    if (cb) {
        cb(cb_arg);
    }
}

static void close_when_idle(struct sh_store *s) {
    bool busy = s->dispatching || s->in_flight || s->reads_out || s->kicked ||
                !sh_list_empty(&s->queue) || !sh_list_empty(&s->flying) ||
                !sh_list_empty(&s->reads);
    if (s->state == STORE_CLOSING && !busy) {
        s->state = STORE_CLOSED;
        s->ops->close(s->backend, on_backend_closed, s);
    }
}

/* Everything that may have become possible. Not re-entered: what a callback makes possible is done
 * by the advance that called it, or by a kick. */
void sh_store_advance(struct sh_store *s) {
    if (s->dispatching) {
        return;
    }
    s->dispatching++;
    if (s->poison.code && !s->in_flight) {
        sh_store_batch_fail_all(s);
    }
    sh_store_batch_done(s);
    start_reads(s);
    s->dispatching--;
    sh_store_flush(s);
    close_when_idle(s);
}

void sh_store_close(struct sh_store *s, void (*cb)(void *arg), void *arg) {
    SH_ON_LOOP(s->loop);
    SH_ASSERT(s->state == STORE_OPEN || s->state == STORE_FAILED);
    s->state = STORE_CLOSING;
    s->close_cb = cb;
    s->close_arg = arg;
    sh_store_kick(s);
}

struct sh_store_stats sh_store_stats(const struct sh_store *s) {
    return s->stats;
}
