/* SurrealDB as a backend, through native/: the only file that knows it. Answers come from threads
 * of its own and are posted to the loop; what they carry is decoded there, page by page. */
#include "native.h"
#include "store/store_codec.h"
#include "store/store_private.h"

struct backend {
    struct sh_loop *loop;
    struct sh_native_db *db;
};

enum wait_kind { WAIT_DONE, WAIT_CLOSE, WAIT_EVENTS, WAIT_RECORDS, WAIT_QUERY, WAIT_PAGE };

/* One question under way. */
struct wait {
    struct sh_msg msg;
    struct backend *backend;
    enum wait_kind kind;
    struct sh_native_reply *reply;
    char *workflow; /* of events */
    size_t workflow_len;
    sh_store_done_fn done;
    sh_store_events_fn events;
    sh_store_records_fn records;
    void (*closed)(void *arg);
    void *arg;
};

static const uint8_t *bytes(struct sh_str s) {
    return (const uint8_t *)s.p;
}

static int code_of(int native) {
    switch (native) {
    case SH_NATIVE_INVAL:
        return SH_E_INVAL;
    case SH_NATIVE_EXISTS:
        return SH_E_EXISTS;
    case SH_NATIVE_BUSY:
        return SH_E_BUSY;
    case SH_NATIVE_NOSPC:
        return SH_E_NOSPC;
    case SH_NATIVE_CORRUPT:
        return SH_E_CORRUPT;
    case SH_NATIVE_VERSION:
        return SH_E_VERSION;
    case SH_NATIVE_UNSUPPORTED:
        return SH_E_UNSUPPORTED;
    case SH_NATIVE_DENIED:
        return SH_E_DENIED;
    case SH_NATIVE_LIMIT:
        return SH_E_LIMIT;
    case SH_NATIVE_TIMEOUT:
        return SH_E_TIMEOUT;
    case SH_NATIVE_PANIC:
        return SH_E_INTERNAL;
    case SH_NATIVE_FENCED:
        return SH_E_FENCED;
    default:
        return SH_E_IO;
    }
}

/* The reply's failure, or NULL. */
static const struct sh_err *failure(const struct sh_native_reply *reply, struct sh_err *err) {
    if (reply->code == SH_NATIVE_OK) {
        return NULL;
    }
    sh_fail(err, code_of(reply->code), "%.*s", (int)(reply->len > 400 ? 400 : reply->len),
            reply->len ? (const char *)reply->bytes : "the database failed without a message");
    return err;
}

static struct sh_reader reader(const struct sh_native_reply *reply) {
    return (struct sh_reader){reply->bytes, reply->bytes + reply->len, false};
}

static int corrupt(struct sh_err *err) {
    return sh_fail(err, SH_E_CORRUPT, "the database's answer cannot be read");
}

static int decode_events(struct wait *w, struct sh_event_record **ret, size_t *ret_n,
                         struct sh_err *err) {
    struct sh_reader r = reader(w->reply);
    uint32_t n = sh_reader_u32(&r);
    if (r.failed || n > SH_JOURNAL_PAGE) {
        return corrupt(err);
    }
    struct sh_event_record *events = sh_new_array(struct sh_event_record, n + 1);
    for (uint32_t i = 0; i < n; i++) {
        struct sh_event_record *e = &events[i];
        e->workflow = sh_strn(w->workflow, w->workflow_len);
        e->seq = sh_reader_u64(&r);
        e->time_us = (int64_t)sh_reader_u64(&r);
        e->type = sh_reader_bytes32(&r);
        e->body = sh_reader_bytes32(&r);
        if (r.failed || (size_t)(r.end - r.p) < sizeof(e->hash.b)) {
            sh_free(events);
            return corrupt(err);
        }
        memcpy(e->hash.b, r.p, sizeof(e->hash.b));
        r.p += sizeof(e->hash.b);
    }
    *ret = events;
    *ret_n = n;
    return 0;
}

/* jansson's own parser: what the database gives may be nested deeper than what clients may send. */
static json_t *parse(struct sh_str text) {
    return json_loadb(text.p, text.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
}

static json_t *decode_records(const struct sh_native_reply *reply, size_t *ret_total) {
    struct sh_reader r = reader(reply);
    *ret_total = (size_t)sh_reader_u64(&r);
    uint32_t n = sh_reader_u32(&r);
    sh_auto(sh_json_done) json_t *records = json_array();
    for (uint32_t i = 0; i < n; i++) {
        struct sh_str key = sh_reader_bytes32(&r);
        struct sh_str text = sh_reader_bytes32(&r);
        json_t *record = r.failed ? NULL : parse(text);
        if (!json_is_object(record)) {
            json_decref(record);
            return NULL;
        }
        json_object_set_new(record, "id", sh_json_string(key));
        json_array_append_new(records, record);
    }
    return r.failed ? NULL : sh_take(&records);
}

static void tell_events(struct wait *w) {
    struct sh_err err = {0};
    struct sh_event_record *events = NULL;
    size_t n = 0;
    const struct sh_err *failed = failure(w->reply, &err);
    if (!failed && decode_events(w, &events, &n, &err) < 0) {
        failed = &err;
    }
    w->events(w->arg, events, n, failed);
    sh_free(events);
}

static void tell_records(struct wait *w) {
    struct sh_err err = {0};
    sh_auto(sh_json_done) json_t *records = NULL;
    size_t total = 0;
    const struct sh_err *failed = failure(w->reply, &err);
    if (!failed && w->kind == WAIT_QUERY) {
        records = parse(sh_strn(w->reply->bytes, w->reply->len));
        total = json_array_size(records);
    } else if (!failed && w->kind == WAIT_PAGE) {
        sh_auto(sh_json_done) json_t *results = parse(sh_strn(w->reply->bytes, w->reply->len));
        json_t *page = json_array_get(results, 0);
        records = json_is_array(page) ? json_incref(page) : NULL;
        total = json_array_size(records);
    } else if (!failed) {
        records = decode_records(w->reply, &total);
    }
    if (!failed && !records) {
        corrupt(&err);
        failed = &err;
    }
    w->records(w->arg, records, total, failed);
}

static void on_loop(struct sh_msg *msg) {
    struct wait *w = sh_container_of(msg, struct wait, msg);
    struct sh_err err = {0};
    switch (w->kind) {
    case WAIT_DONE:
        w->done(w->arg, failure(w->reply, &err));
        break;
    case WAIT_CLOSE: /* a failure here loses nothing: what was told is on disk */
        sh_free(w->backend);
        w->closed(w->arg);
        break;
    case WAIT_EVENTS:
        tell_events(w);
        break;
    case WAIT_RECORDS:
    case WAIT_QUERY:
    case WAIT_PAGE:
        tell_records(w);
        break;
    }
    sh_native_reply_free(w->reply);
    sh_free(w->workflow);
    sh_free(w);
}

/* Any thread. */
static void on_reply(void *arg, struct sh_native_reply *reply) {
    struct wait *w = arg;
    w->reply = reply;
    sh_loop_post(w->backend->loop, &w->msg);
}

static struct wait *wait_new(struct backend *b, enum wait_kind kind, void *arg) {
    struct wait *w = sh_new(struct wait);
    w->backend = b;
    w->kind = kind;
    w->arg = arg;
    w->msg.run = on_loop;
    return w;
}

static char *open_options(const json_t *options, struct sh_err *err) {
    static const char *const known[] = {"sync", NULL};
    if (options && sh_json_only(options, known, "store options", err) < 0) {
        return NULL;
    }
    struct sh_str sync = sh_json_get_str(options, "sync");
    if (!sync.len) {
        sync = SH_STR("every");
    }
    sh_auto(sh_json_done) json_t *tables = json_pack("[s]", "event");
    for (int t = 0; t < SH_TABLE_COUNT; t++) {
        json_array_append_new(tables, json_string(sh_table_name((enum sh_table)t)));
    }
    sh_auto(sh_json_done) json_t *all = json_pack("{s:s%, s:i, s:O}", "sync", sync.p, sync.len,
                                                  "schema", SH_STORE_SCHEMA, "tables", tables);
    return sh_json_text(all);
}

static int surreal_open(struct sh_loop *l, const char *endpoint, const json_t *options,
                        sh_store_done_fn cb, void *arg, void **ret, struct sh_err *err) {
    sh_auto(sh_free_p) char *text = open_options(options, err);
    if (!text) {
        return -SH_E_INVAL;
    }
    struct backend *b = sh_new(struct backend);
    b->loop = l;
    struct wait *w = wait_new(b, WAIT_DONE, arg);
    w->done = cb;
    *ret = b;
    struct sh_str e = sh_str(endpoint), o = sh_str(text);
    b->db = sh_native_open(bytes(e), e.len, bytes(o), o.len, on_reply, w);
    return 0;
}

static void surreal_close(void *backend, void (*cb)(void *arg), void *arg) {
    struct backend *b = backend;
    struct wait *w = wait_new(b, WAIT_CLOSE, arg);
    w->closed = cb;
    sh_native_close(b->db, on_reply, w);
}

static void surreal_commit(void *backend, struct sh_str batch, sh_store_done_fn cb, void *arg) {
    struct backend *b = backend;
    struct wait *w = wait_new(b, WAIT_DONE, arg);
    w->done = cb;
    sh_native_commit(b->db, bytes(batch), batch.len, on_reply, w);
}

static void surreal_read_events(void *backend, struct sh_str workflow, uint64_t after, size_t limit,
                                sh_store_events_fn cb, void *arg) {
    struct backend *b = backend;
    struct wait *w = wait_new(b, WAIT_EVENTS, arg);
    w->events = cb;
    w->workflow = sh_strndup0(workflow.p, workflow.len);
    w->workflow_len = workflow.len;
    sh_native_read_events(b->db, bytes(workflow), workflow.len, after, limit, on_reply, w);
}

static void surreal_get(void *backend, enum sh_table t, struct sh_str key, sh_store_records_fn cb,
                        void *arg) {
    struct backend *b = backend;
    struct wait *w = wait_new(b, WAIT_RECORDS, arg);
    struct sh_str table = sh_str(sh_table_name(t));
    w->records = cb;
    sh_native_get(b->db, bytes(table), table.len, bytes(key), key.len, on_reply, w);
}

static char *filter_text(enum sh_table t, const struct sh_store_filter *f) {
    sh_auto(sh_json_done) json_t *where = json_array();
    for (int i = 0; i < 2; i++) {
        if (f->member[i] && f->value[i]) {
            json_t *value = sh_json_string(sh_str(f->value[i]));
            json_array_append_new(where, json_pack("[s, o]", f->member[i], value));
        }
    }
    sh_auto(sh_json_done) json_t *all = json_pack(
        "{s:s, s:O, s:b, s:I, s:I}", "table", sh_table_name(t), "where", where, "newest_first",
        f->newest_first, "offset", (json_int_t)f->offset, "limit", (json_int_t)f->limit);
    if (f->prefix) {
        json_object_set_new(all, "prefix", sh_json_string(sh_str(f->prefix)));
    }
    return sh_json_text(all);
}

/* A page of a whole table in key order, which is how the database keeps it: it reads no further. A
 * range of keys would be read to its end before the limit is looked at; keys that a condition
 * passes over are not decoded, and cost a microsecond each. */
static void surreal_page(struct backend *b, enum sh_table t, const struct sh_store_filter *f,
                         sh_store_records_fn cb, void *arg) {
    struct wait *w = wait_new(b, WAIT_PAGE, arg);
    const char *table = sh_table_name(t);
    sh_auto(sh_free_p) char *behind =
        f->after ? sh_asprintf(" WHERE id > %s:`%s`", table, f->after) : sh_strdup("");
    sh_auto(sh_free_p) char *text =
        sh_asprintf("SELECT *, record::id(id) AS id FROM %s%s LIMIT %zu START %zu", table, behind,
                    f->limit, f->offset);
    struct sh_str s = sh_str(text);
    w->records = cb;
    sh_native_query(b->db, bytes(s), s.len, NULL, 0, on_reply, w);
}

static void surreal_list(void *backend, enum sh_table t, const struct sh_store_filter *f,
                         sh_store_records_fn cb, void *arg) {
    struct backend *b = backend;
    if (f->uncounted) {
        surreal_page(b, t, f, cb, arg);
        return;
    }
    struct wait *w = wait_new(b, WAIT_RECORDS, arg);
    sh_auto(sh_free_p) char *text = filter_text(t, f);
    struct sh_str s = sh_str(text);
    w->records = cb;
    sh_native_list(b->db, bytes(s), s.len, on_reply, w);
}

static void surreal_query(void *backend, struct sh_str surql, sh_store_records_fn cb, void *arg) {
    struct backend *b = backend;
    struct wait *w = wait_new(b, WAIT_QUERY, arg);
    w->records = cb;
    sh_native_query(b->db, bytes(surql), surql.len, NULL, 0, on_reply, w);
}

static void surreal_reclaim(void *backend, sh_store_records_fn cb, void *arg) {
    struct backend *b = backend;
    struct wait *w = wait_new(b, WAIT_RECORDS, arg);
    w->records = cb;
    sh_native_reclaim(b->db, on_reply, w);
}

const struct sh_store_ops sh_store_surreal_ops = {
    .open = surreal_open,
    .close = surreal_close,
    .commit = surreal_commit,
    .read_events = surreal_read_events,
    .get = surreal_get,
    .list = surreal_list,
    .reclaim = surreal_reclaim,
    .query = surreal_query,
};
