/* Sessions: what groups tasks into conversations. The record of a session only says that it exists,
 * when it was last used and which task was its latest; it rides with that task's WorkflowStarted,
 * so that submitting never reads. What a session's tasks add up to is read from their rows.
 *
 * SH_TABLE_SESSION: session id -> {session, workflow, updated_at}; and "title/" + id -> {session,
 * title}, apart because the first is written anew with every task. Ids have no slash. */
#include "engine/call.h"
#include "engine/private.h"

#define TITLE "title/"

struct session_query {
    struct sh_call call; /* name: the title; value: the record, or those that may be shown */
    size_t offset, limit, total, shown; /* shown: of the page, with their titles */
    char *read;                         /* key of the last that was read, or NULL */
    json_t *title;                      /* its record, when it is written */
};

static struct session_query *query_new(struct sh_engine *e, struct sh_str id, sh_engine_json_fn cb,
                                       void *arg) {
    struct session_query *q = sh_new(struct session_query);

    sh_call_init(&q->call, e, id, cb, arg);
    return q;
}

static void query_end(struct session_query *q, json_t *value, const struct sh_err *err) {
    sh_free(q->read);
    json_decref(q->title);
    sh_call_end(&q->call, value, err);
}

static int no_session(struct sh_err *err, const char *id) {
    return sh_fail(err, SH_E_NOT_FOUND, "there is no session \"%.130s\"", id);
}

void sh_session_put(struct sh_workflow *wf) {
    sh_journal_put(wf, SH_TABLE_SESSION, wf->spec.session,
                   json_pack("{s:s, s:s, s:I}", "session", wf->spec.session, "workflow", wf->id.s,
                             "updated_at", (json_int_t)wf->journal.time_us));
}

/* ---- one ---- */

static void title_found(void *arg, json_t *records, size_t total, const struct sh_err *err) {
    struct session_query *q = arg;
    json_t *title = json_object_get(json_array_get(records, 0), "title");

    (void)total;
    if (!err && title) {
        json_object_set(q->call.value, "title", title);
    }
    query_end(q, q->call.value, err);
}

static void record_found(void *arg, json_t *records, size_t total, const struct sh_err *err) {
    struct session_query *q = arg;
    struct sh_err none = {0};
    json_t *record = json_array_get(records, 0);

    (void)total;
    if (!err && !record) {
        no_session(&none, q->call.id);
        err = &none;
    }
    if (err) {
        query_end(q, NULL, err);
        return;
    }
    q->call.value = json_deep_copy(record);
    sh_auto(sh_free_p) char *key = sh_asprintf(TITLE "%s", q->call.id);
    sh_store_get(q->call.engine->store, SH_TABLE_SESSION, sh_str(key), title_found, q);
}

void sh_engine_session_get(struct sh_engine *e, struct sh_str id, sh_engine_json_fn cb, void *arg) {
    sh_store_get(e->store, SH_TABLE_SESSION, id, record_found, query_new(e, id, cb, arg));
}

/* ---- all ---- */

static int latest_first(const void *a, const void *b) {
    const json_t *x = *(json_t *const *)a, *y = *(json_t *const *)b;
    int64_t at = sh_json_get_int(x, "updated_at", 0), bt = sh_json_get_int(y, "updated_at", 0);

    if (at != bt) {
        return at > bt ? -1 : 1;
    }
    return sh_str_cmp(sh_json_get_str(y, "session"), sh_json_get_str(x, "session"));
}

/* The latest of those that were read so far: no more than up to the end of the page are kept. */
static void keep_latest(struct session_query *q) {
    size_t n = json_array_size(q->call.value), most = q->offset + q->limit;
    json_t **sorted = sh_new_array(json_t *, n + 1), *kept = json_array();

    for (size_t i = 0; i < n; i++) {
        sorted[i] = json_array_get(q->call.value, i);
    }
    qsort(sorted, n, sizeof(json_t *), latest_first);
    for (size_t i = 0; i < n && i < most; i++) {
        json_array_append(kept, sorted[i]);
    }
    sh_free(sorted);
    json_decref(q->call.value);
    q->call.value = kept;
}

static void next_title(struct session_query *q);

static void title_of_page(void *arg, json_t *records, size_t total, const struct sh_err *err) {
    struct session_query *q = arg;
    json_t *title = json_object_get(json_array_get(records, 0), "title");

    (void)total;
    if (err) {
        query_end(q, NULL, err);
        return;
    }
    if (title) {
        json_object_set(json_array_get(q->call.value, q->offset + q->shown), "title", title);
    }
    q->shown++;
    next_title(q);
}

static void next_title(struct session_query *q) {
    const char *id = json_string_value(
        json_object_get(json_array_get(q->call.value, q->offset + q->shown), "session"));
    json_t *list, *page;

    if (id) {
        sh_auto(sh_free_p) char *key = sh_asprintf(TITLE "%s", id);
        sh_store_get(q->call.engine->store, SH_TABLE_SESSION, sh_str(key), title_of_page, q);
        return;
    }
    list = json_array();
    for (size_t i = 0; i < q->shown; i++) {
        json_array_append(list, json_array_get(q->call.value, q->offset + i));
    }
    page = json_pack("{s:o, s:I}", "sessions", list, "total", (json_int_t)q->total);
    query_end(q, page, NULL);
    json_decref(page);
}

static void listed(void *arg, json_t *records, size_t total, const struct sh_err *err);

static void list_next(struct session_query *q) {
    struct sh_store_filter f = {.uncounted = true, .after = q->read, .limit = SH_STORE_LIST_MAX};

    sh_store_list(q->call.engine->store, SH_TABLE_SESSION, &f, listed, q);
}

static void listed(void *arg, json_t *records, size_t total, const struct sh_err *err) {
    struct session_query *q = arg;
    size_t i;
    json_t *record;

    if (err) {
        query_end(q, NULL, err);
        return;
    }
    json_array_foreach(records, i, record) {
        if (!json_object_get(record, "title")) {
            json_array_append_new(q->call.value, json_deep_copy(record));
            q->total++;
        }
    }
    keep_latest(q);
    if (total == SH_STORE_LIST_MAX) {
        sh_free(q->read);
        q->read =
            sh_strdup(json_string_value(json_object_get(json_array_get(records, i - 1), "id")));
        list_next(q);
    } else {
        next_title(q);
    }
}

void sh_engine_session_list(struct sh_engine *e, size_t offset, size_t limit, sh_engine_json_fn cb,
                            void *arg) {
    struct session_query *q = query_new(e, (struct sh_str){0}, cb, arg);

    q->offset = offset;
    q->limit = limit;
    q->call.value = json_array();
    list_next(q);
}

/* ---- changes ---- */

static void written(void *arg, const struct sh_err *err) {
    struct session_query *q = arg;

    query_end(q, q->call.value, err);
}

static void write_now(void *arg, json_t *records, size_t total, const struct sh_err *err) {
    struct session_query *q = arg;
    struct sh_err why = {0};
    json_t *record = json_array_get(records, 0);
    sh_auto(sh_free_p) char *key = sh_asprintf(TITLE "%s", q->call.id);
    struct sh_put puts[2] = {{SH_TABLE_SESSION, sh_str(key), NULL},
                             {SH_TABLE_SESSION, sh_str(q->call.id), NULL}};

    (void)total;
    if (!err && !record) {
        no_session(&why, q->call.id);
        err = &why;
    }
    if (err) {
        query_end(q, NULL, err);
        return;
    }
    q->call.value = json_deep_copy(record);
    if (q->call.name) {
        q->title = json_pack("{s:s, s:s}", "session", q->call.id, "title", q->call.name);
        puts[0].value = q->title;
        json_object_set_new(q->call.value, "title", json_string(q->call.name));
    }
    if (sh_engine_append(q->call.engine, NULL, 0, puts, q->call.name ? 1 : 2, written, q, &why) <
        0) {
        query_end(q, NULL, &why);
    }
}

void sh_engine_session_title(struct sh_engine *e, struct sh_str id, const char *title,
                             sh_engine_json_fn cb, void *arg) {
    struct session_query *q = query_new(e, id, cb, arg);

    q->call.name = sh_strdup(title);
    sh_store_get(e->store, SH_TABLE_SESSION, id, write_now, q);
}

void sh_engine_session_forget(struct sh_engine *e, struct sh_str id, sh_engine_json_fn cb,
                              void *arg) {
    sh_store_get(e->store, SH_TABLE_SESSION, id, write_now, query_new(e, id, cb, arg));
}
