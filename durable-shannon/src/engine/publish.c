/* Queries: what a workflow published last under a name, kept beside its journal so that reading it
 * needs neither the journal nor the guest. A record is written in one commit with its event. */
#include "engine/call.h"
#include "engine/private.h"

#define NAME_MAX_BYTES 256 /* as the host function publish takes */

static char *record_key(const char *workflow, struct sh_str name) {
    return sh_asprintf("%s/%.*s", workflow, (int)name.len, name.p);
}

void sh_publish_put(struct sh_workflow *wf, json_t *name, json_t *data, uint64_t seq) {
    sh_auto(sh_free_p) char *key = record_key(wf->id.s, sh_str(json_string_value(name)));

    sh_journal_put(wf, SH_TABLE_PUBLISHED, key,
                   json_pack("{s:s, s:O, s:O, s:I, s:I}", "workflow", wf->id.s, "name", name,
                             "data", data ? data : json_null(), "seq", (json_int_t)seq, "at_us",
                             (json_int_t)wf->journal.time_us));
}

/* The same through /dev/shannon, where it is an activity. */
void sh_publish_run(struct sh_activity *a) {
    struct sh_workflow *wf = a->wf;
    json_t *name = json_object_get(a->args, "name"), *data = json_object_get(a->args, "data");
    sh_auto(sh_free_p) char *text = data ? sh_json_text(data) : NULL;
    struct sh_str bytes = sh_json_get_str(a->args, "name");
    struct sh_err err = {0};

    if (bytes.len == 0 || bytes.len > NAME_MAX_BYTES) {
        sh_fail(&err, SH_E_INVAL, "name: expected 1 to %d bytes of text, got %zu", NAME_MAX_BYTES,
                bytes.len);
    } else if (text && strlen(text) > SH_EMIT_MAX - bytes.len) {
        sh_fail(&err, SH_E_LIMIT,
                "data: %zu bytes of JSON, with its name at most %llu can be taken", strlen(text),
                SH_EMIT_MAX);
    }
    if (err.code) {
        sh_activity_fail(a, &err, false, 0);
        return;
    }
    json_incref(name);
    json_incref(data);
    sh_activity_succeed(a, json_object());
    sh_publish_put(wf, name, data, wf->journal.seq);
    json_decref(name);
    json_decref(data);
}

/* ---- reading ---- */

/* Nothing was found: is there such a workflow at all? */
static void row_read(void *arg, json_t *row, const struct sh_err *err) {
    struct sh_call *q = arg;
    struct sh_err none = {0};

    (void)row;
    if (!err && q->name) {
        sh_fail(&none, SH_E_NOT_FOUND,
                "the task has published nothing under \"%.100s\"; `shannon query %s` lists what it "
                "has",
                q->name, q->id);
        err = &none;
    }
    sh_call_end(q, q->value, err);
}

static json_t *published_json(json_t *record) {
    json_t *data = json_object_get(record, "data");

    return json_pack("{s:O, s:O, s:O, s:O}", "name", json_object_get(record, "name"), "data",
                     data ? data : json_null(), "seq", json_object_get(record, "seq"), "at_us",
                     json_object_get(record, "at_us"));
}

static void got(void *arg, json_t *records, size_t total, const struct sh_err *err) {
    struct sh_call *q = arg;

    (void)total;
    if (err || json_array_size(records) > 0) {
        q->value = err ? NULL : published_json(json_array_get(records, 0));
        sh_call_end(q, q->value, err);
    } else {
        sh_engine_get(q->engine, sh_str(q->id), row_read, q);
    }
}

void sh_engine_query(struct sh_engine *e, struct sh_str workflow, struct sh_str name,
                     sh_engine_json_fn cb, void *arg) {
    struct sh_call *q = sh_call_new(e, workflow, cb, arg);
    sh_auto(sh_free_p) char *key = record_key(q->id, name);

    q->name = sh_strndup0(name.p, name.len);
    sh_store_get(e->store, SH_TABLE_PUBLISHED, sh_str(key), got, q);
}

static void listed(void *arg, json_t *records, size_t total, const struct sh_err *err) {
    struct sh_call *q = arg;
    json_t *list = json_array(), *record;
    size_t i;

    json_array_foreach(records, i, record) {
        json_array_append_new(list, published_json(record));
    }
    q->value = json_pack("{s:o, s:I}", "queries", list, "total", (json_int_t)total);
    if (err || total > 0) {
        sh_call_end(q, q->value, err);
    } else {
        sh_engine_get(q->engine, sh_str(q->id), row_read, q);
    }
}

void sh_engine_query_list(struct sh_engine *e, struct sh_str workflow, size_t offset, size_t limit,
                          sh_engine_json_fn cb, void *arg) {
    struct sh_call *q = sh_call_new(e, workflow, cb, arg);
    sh_auto(sh_free_p) char *prefix = record_key(q->id, (struct sh_str){.p = "", .len = 0});
    struct sh_store_filter f = {.prefix = prefix, .offset = offset, .limit = limit};

    sh_store_list(e->store, SH_TABLE_PUBLISHED, &f, listed, q);
}
