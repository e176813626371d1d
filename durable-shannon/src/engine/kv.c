/* kv.*: the durable memory of a session, which its workflows share. A write is in one transaction
 * with the event that tells it. The operations of one session are carried out one after another,
 * each read and write before the next begins: so incrementing and comparing are atomic, and keys
 * can be counted, although the store only reads and appends.
 *
 * SH_TABLE_KV: "session/key" -> {session, key, value}. Session ids have no slash. */
#include "engine/private.h"

#define LIST_DEFAULT 100
#define IDLE_SESSIONS_MAX 256 /* that keep their count */

struct sh_kv_session {
    struct sh_list link; /* engine->kv_sessions */
    char *name;
    struct sh_list ops; /* struct kv_op: the first is being carried out when `busy` */
    bool busy;
    bool counted; /* n_keys is known */
    size_t n_keys;
};

struct kv_op {
    struct sh_list link;
    struct sh_kv_session *session;
    struct sh_workflow *wf; /* pinned */
    uint64_t ordinal;       /* the activity may be gone by then */
    char *record;           /* its key in the table; of a list: the prefix */
};

static void carry_on(struct sh_kv_session *s);

void sh_kv_init(struct sh_engine *e) {
    sh_list_init(&e->kv_sessions);
}

static void session_free(struct sh_kv_session *s) {
    sh_list_unlink(&s->link);
    sh_free(s->name);
    sh_free(s);
}

void sh_kv_done(struct sh_engine *e) {
    while (!sh_list_empty(&e->kv_sessions)) {
        session_free(sh_container_of(e->kv_sessions.next, struct sh_kv_session, link));
    }
}

void sh_kv_forget(struct sh_engine *e) {
    sh_list_each (node, &e->kv_sessions) {
        sh_container_of(node, struct sh_kv_session, link)->counted = false;
    }
}

/* The session's place; the longest idle one goes when there are too many. */
static struct sh_kv_session *session_of(struct sh_engine *e, const char *name) {
    struct sh_kv_session *s, *idle = NULL;
    size_t n = 0;

    sh_list_each (node, &e->kv_sessions) {
        s = sh_container_of(node, struct sh_kv_session, link);
        if (strcmp(s->name, name) == 0) {
            sh_list_unlink(&s->link);
            sh_list_push(&e->kv_sessions, &s->link);
            return s;
        }
        idle = idle || s->busy ? idle : s;
        n++;
    }
    if (n >= IDLE_SESSIONS_MAX && idle) {
        session_free(idle);
    }
    s = sh_new(struct sh_kv_session);
    s->name = sh_strdup(name);
    sh_list_init(&s->ops);
    sh_list_push(&e->kv_sessions, &s->link);
    return s;
}

static struct sh_activity *activity_of(const struct kv_op *op) {
    sh_list_each (node, &op->wf->activities.list) {
        struct sh_activity *a = sh_container_of(node, struct sh_activity, link);
        if (a->ordinal == op->ordinal && a->state == SH_ACTIVITY_OUT) {
            return a;
        }
    }
    return NULL;
}

/* Its event and its write leave as one commit, before the session's next operation reads. */
static void op_end(struct kv_op *op) {
    struct sh_kv_session *s = op->session;
    struct sh_workflow *wf = op->wf;

    s->busy = false;
    sh_list_unlink(&op->link);
    sh_free(op->record);
    sh_free(op);
    sh_journal_commit(wf, NULL, NULL);
    carry_on(s);
    sh_workflow_unpin(wf);
}

static void op_fail(struct kv_op *op, const struct sh_err *why) {
    struct sh_activity *a = activity_of(op);

    if (a && sh_end_is_the_hosts(why->code)) { /* nothing that a guest may learn */
        sh_workflow_park(op->wf, why->code, why->message);
    } else if (a) {
        sh_activity_fail(a, why, false, 0);
    }
    op_end(op);
}

/* ---- writing ---- */

static void write_value(struct kv_op *op, const json_t *key, json_t *value, bool is_new) {
    op->session->n_keys += op->session->counted && is_new;
    sh_journal_put(
        op->wf, SH_TABLE_KV, op->record,
        json_pack("{s:s, s:O, s:O}", "session", op->session->name, "key", key, "value", value));
}

static int check_value(const json_t *value, struct sh_err *err) {
    sh_auto(sh_free_p) char *text = sh_json_text(value);

    if (strlen(text) > SH_KV_VALUE_MAX) {
        return sh_fail(err, SH_E_LIMIT,
                       "value: %zu bytes of JSON, a session keeps at most %llu under one key; "
                       "divide it",
                       strlen(text), SH_KV_VALUE_MAX);
    }
    return 0;
}

/* The sum, or NULL: what is kept is no whole number, or the sum does not fit one. */
static json_t *sum(const json_t *value, const json_t *by, struct sh_err *err) {
    json_int_t a = value ? json_integer_value(value) : 0, b = by ? json_integer_value(by) : 1;
    json_int_t total;

    if ((value && !json_is_integer(value)) || (by && !json_is_integer(by))) {
        sh_fail(err, SH_E_INVAL, "%s: expected a whole number",
                value && !json_is_integer(value) ? "the value under this key" : "by");
        return NULL;
    }
    if (__builtin_add_overflow(a, b, &total)) {
        sh_fail(err, SH_E_INVAL, "the sum does not fit 64 bits");
        return NULL;
    }
    return json_integer(total);
}

/* Put, increment or compare and put: `current` is what is kept now, or NULL. */
static void change(struct kv_op *op, struct sh_activity *a, json_t *current) {
    const char *name = a->tool->name;
    json_t *key = json_object_get(a->args, "key");
    struct sh_err err = {0};
    json_t *value = NULL;
    bool write = true;

    if (strcmp(name, "kv.increment") == 0) {
        value = sum(current, json_object_get(a->args, "by"), &err);
    } else if (check_value(json_object_get(a->args, "value"), &err) == 0) {
        value = json_incref(json_object_get(a->args, "value"));
    }
    if (!value) {
        op_fail(op, &err);
        return;
    }
    json_incref(key);
    if (strcmp(name, "kv.cas") == 0) {
        json_t *expect = json_object_get(a->args, "expect");
        json_t *kept = current ? current : json_null();
        write = expect ? current && json_equal(expect, current) : !current;
        sh_activity_succeed(
            a, json_pack("{s:b, s:O}", "swapped", (int)write, "value", write ? value : kept));
    } else if (strcmp(name, "kv.increment") == 0) {
        sh_activity_succeed(a, json_pack("{s:O}", "value", value));
    } else {
        sh_activity_succeed(a, json_object());
    }
    if (write) { /* after its event: a journal that is full takes neither */
        write_value(op, key, value, !current);
    }
    json_decref(key);
    json_decref(value);
    op_end(op);
}

/* A new key: is there room for it? */
static void make_room(struct kv_op *op, struct sh_activity *a) {
    struct sh_err err = {0};

    if (op->session->n_keys >= SH_KV_KEYS_MAX) {
        sh_fail(&err, SH_E_LIMIT, "the session keeps %zu keys, as many as it may; delete some",
                op->session->n_keys);
        op_fail(op, &err);
    } else {
        change(op, a, NULL);
    }
}

static void counted(void *arg, json_t *records, size_t total, const struct sh_err *err) {
    struct kv_op *op = arg;
    struct sh_activity *a = activity_of(op);

    (void)records;
    if (err || !a) {
        if (err) {
            op_fail(op, err);
        } else {
            op_end(op);
        }
        return;
    }
    op->session->counted = true;
    op->session->n_keys = total;
    make_room(op, a);
}

static void count(struct kv_op *op) {
    sh_auto(sh_free_p) char *prefix = sh_asprintf("%s/", op->session->name);
    struct sh_store_filter f = {.prefix = prefix, .limit = 1};

    sh_store_list(op->wf->engine->store, SH_TABLE_KV, &f, counted, op);
}

/* ---- reading ---- */

static void got(void *arg, json_t *records, size_t total, const struct sh_err *err) {
    struct kv_op *op = arg;
    struct sh_activity *a = activity_of(op);
    json_t *record = json_array_get(records, 0);
    json_t *value = json_object_get(record, "value");

    (void)total;
    if (err || !a) {
        if (err) {
            op_fail(op, err);
        } else {
            op_end(op);
        }
    } else if (strcmp(a->tool->name, "kv.get") == 0) {
        sh_activity_succeed(a, json_pack("{s:b, s:O}", "found", record != NULL, "value",
                                         value ? value : json_null()));
        op_end(op);
    } else if (strcmp(a->tool->name, "kv.delete") == 0) {
        sh_activity_succeed(a, json_pack("{s:b}", "deleted", record != NULL));
        if (record) {
            op->session->n_keys -= op->session->counted;
            sh_journal_put(op->wf, SH_TABLE_KV, op->record, NULL);
        }
        op_end(op);
    } else if (record) {
        change(op, a, value ? value : json_null());
    } else if (op->session->counted) {
        make_room(op, a);
    } else {
        count(op);
    }
}

static json_t *items_json(json_t *records, bool values) {
    json_t *items = json_array(), *record;
    size_t i;

    json_array_foreach(records, i, record) {
        json_t *value = json_object_get(record, "value");
        json_t *item = json_pack("{s:O}", "key", json_object_get(record, "key"));
        if (values) {
            json_object_set(item, "value", value ? value : json_null());
        }
        json_array_append_new(items, item);
    }
    return items;
}

static void listed(void *arg, json_t *records, size_t total, const struct sh_err *err) {
    struct kv_op *op = arg;
    struct sh_activity *a = activity_of(op);
    struct sh_err large = {0};

    if (!err && a) {
        json_t *result = json_pack("{s:o, s:I}", "items",
                                   items_json(records, sh_json_get_bool(a->args, "values", true)),
                                   "total", (json_int_t)total);
        sh_auto(sh_free_p) char *text = sh_json_text(result);
        if (strlen(text) <= SH_ACTIVITY_RESULT_MAX) {
            sh_activity_succeed(a, result);
        } else {
            json_decref(result);
            sh_fail(&large, SH_E_LIMIT,
                    "the list has %zu bytes, at most %llu can be taken; give a smaller limit, or "
                    "\"values\": false",
                    strlen(text), SH_ACTIVITY_RESULT_MAX);
            err = &large;
        }
    }
    if (err) {
        op_fail(op, err);
    } else {
        op_end(op);
    }
}

static void carry_out(struct kv_op *op, const struct sh_activity *a) {
    struct sh_store *store = op->wf->engine->store;
    struct sh_store_filter f = {.prefix = op->record};

    if (strcmp(a->tool->name, "kv.list") != 0) {
        sh_store_get(store, SH_TABLE_KV, sh_str(op->record), got, op);
        return;
    }
    f.limit = (size_t)sh_json_get_int(a->args, "limit", LIST_DEFAULT);
    f.offset = (size_t)sh_json_get_int(a->args, "offset", 0);
    sh_store_list(store, SH_TABLE_KV, &f, listed, op);
}

static void carry_on(struct sh_kv_session *s) {
    while (!s->busy && !sh_list_empty(&s->ops)) {
        struct kv_op *op = sh_container_of(s->ops.next, struct kv_op, link);
        struct sh_activity *a = activity_of(op);
        s->busy = true;
        if (a) {
            carry_out(op, a);
        } else {
            op_end(op);
        }
    }
}

static int check(const struct sh_activity *a, struct sh_err *err) {
    bool list = strcmp(a->tool->name, "kv.list") == 0;
    struct sh_str key = sh_json_get_str(a->args, list ? "prefix" : "key");
    int64_t limit = sh_json_get_int(a->args, "limit", LIST_DEFAULT);

    if ((key.len == 0 && !list) || key.len > SH_KV_KEY_MAX) {
        return sh_fail(err, SH_E_INVAL, "%s: expected 1 to %d bytes, got %zu",
                       list ? "prefix" : "key", SH_KV_KEY_MAX, key.len);
    }
    if (list &&
        (limit < 1 || limit > SH_STORE_LIST_MAX || sh_json_get_int(a->args, "offset", 0) < 0)) {
        return sh_fail(err, SH_E_INVAL, "limit: expected 1..%d, and an offset of at least 0",
                       SH_STORE_LIST_MAX);
    }
    return 0;
}

void sh_kv_run(struct sh_activity *a) {
    struct sh_workflow *wf = a->wf;
    bool list = strcmp(a->tool->name, "kv.list") == 0;
    struct sh_str key = sh_json_get_str(a->args, list ? "prefix" : "key");
    struct sh_err err = {0};
    struct kv_op *op;

    if (check(a, &err) < 0) {
        sh_activity_fail(a, &err, false, 0);
        return;
    }
    op = sh_new(struct kv_op);
    op->session = session_of(wf->engine, wf->spec.session);
    op->wf = wf;
    op->ordinal = a->ordinal;
    op->record = sh_asprintf("%s/%.*s", wf->spec.session, (int)key.len, key.p ? key.p : "");
    wf->pins++;
    a->state = SH_ACTIVITY_OUT;
    sh_list_push(&op->session->ops, &op->link);
    carry_on(op->session);
}
