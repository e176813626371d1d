/* Reading: rows and journals, from memory where a workflow is alive, else from the store. */
#include "engine/call.h"
#include "engine/compact.h"
#include "engine/private.h"

struct page { /* of a journal */
    struct sh_call call;
    size_t limit;
    uint64_t after;
};

int sh_no_workflow(struct sh_err *err, const char *id) {
    return sh_fail(err, SH_E_NOT_FOUND, "there is no task \"%.130s\"; `shannon tasks` lists them",
                   id);
}

static void got(void *arg, json_t *records, size_t total, const struct sh_err *err) {
    struct sh_call *q = arg;
    struct sh_err none = {0};
    json_t *row = json_array_get(records, 0);

    (void)total;
    if (!err && !row) {
        sh_no_workflow(&none, q->id);
        err = &none;
    }
    sh_call_end(q, err ? NULL : row, err);
}

void sh_engine_get(struct sh_engine *e, struct sh_str id, sh_engine_json_fn cb, void *arg) {
    sh_store_get(e->store, SH_TABLE_WORKFLOW, id, got, sh_call_new(e, id, cb, arg));
}

static void listed(void *arg, json_t *records, size_t total, const struct sh_err *err) {
    json_t *page =
        err ? NULL : json_pack("{s:O, s:I}", "tasks", records, "total", (json_int_t)total);

    sh_call_end(arg, page, err);
    json_decref(page);
}

void sh_engine_list(struct sh_engine *e, const char *status, const char *session, size_t offset,
                    size_t limit, sh_engine_json_fn cb, void *arg) {
    struct sh_store_filter f = {.newest_first = true, .offset = offset, .limit = limit};
    size_t n = 0;

    if (status) {
        f.member[n] = "status";
        f.value[n++] = status;
    }
    if (session) {
        f.member[n] = "session";
        f.value[n++] = session;
    }
    sh_store_list(e->store, SH_TABLE_WORKFLOW, &f, listed,
                  sh_call_new(e, (struct sh_str){0}, cb, arg));
}

void sh_engine_list_family(struct sh_engine *e, const char *member, struct sh_str id, size_t offset,
                           size_t limit, sh_engine_json_fn cb, void *arg) {
    struct sh_call *q = sh_call_new(e, id, cb, arg);
    struct sh_store_filter f = {.member = {member},
                                .value = {q->id},
                                .newest_first = true,
                                .offset = offset,
                                .limit = limit};

    sh_store_list(e->store, SH_TABLE_WORKFLOW, &f, listed, q);
}

static json_t *event_json(const struct sh_event_record *ev) {
    char hash[SH_HASH_HEX_BYTES];
    json_t *body = NULL;

    sh_hash_hex(&ev->hash, hash);
    if (sh_json_parse(ev->body, SH_JSON_TEXT_MAX, &body, NULL) < 0) {
        body = sh_json_string(ev->body);
    }
    return json_pack("{s:I, s:I, s:o, s:o, s:s}", "seq", (json_int_t)ev->seq, "time_us",
                     (json_int_t)ev->time_us, "type", sh_json_string(ev->type), "body", body,
                     "hash", hash);
}

static void exists(void *arg, json_t *records, size_t total, const struct sh_err *err) {
    struct sh_call *q = arg;
    struct sh_err none = {0};
    json_t *page = NULL;

    (void)total;
    if (!err && json_array_size(records) == 0) {
        sh_no_workflow(&none, q->id);
        err = &none;
    }
    if (!err) {
        page = json_pack("{s:[], s:b}", "events", "more", 0);
    }
    sh_call_end(q, page, err);
    json_decref(page);
}

static void events_read(void *arg, const struct sh_event_record *events, size_t n,
                        const struct sh_err *err) {
    struct page *q = arg;
    struct sh_err gone = {0};
    json_t *list, *page;

    if (!err && n > 0 && q->after > 0 && q->after < events[0].seq - 1 &&
        sh_compacted_hides(&events[0], q->after, &gone)) {
        err = &gone;
    }
    if (err) {
        sh_call_end(&q->call, NULL, err);
        return;
    }
    if (n == 0) { /* past the end of a journal, or no workflow at all? */
        sh_store_get(q->call.engine->store, SH_TABLE_WORKFLOW, sh_str(q->call.id), exists, q);
        return;
    }
    list = json_array();
    for (size_t i = 0; i < n; i++) {
        json_array_append_new(list, event_json(&events[i]));
    }
    page = json_pack("{s:o, s:b}", "events", list, "more", (int)(n == q->limit));
    sh_call_end(&q->call, page, NULL);
    json_decref(page);
}

void sh_engine_events(struct sh_engine *e, struct sh_str id, uint64_t after, size_t limit,
                      sh_engine_json_fn cb, void *arg) {
    struct page *q = sh_new(struct page);

    sh_call_init(&q->call, e, id, cb, arg);
    q->after = after;
    q->limit = limit == 0 || limit > SH_JOURNAL_PAGE ? SH_JOURNAL_PAGE : limit;
    sh_store_read_events(e->store, id, after, q->limit, events_read, q);
}
