/* kv.get and kv.put: durable memory of a session. A write is in one transaction with the event that
 * tells it; a read is made by the store after every write that was submitted before it. */
#include "engine/private.h"

#define KV_KEY_MAX 512

struct kv_read {
    struct sh_workflow *wf; /* pinned */
    uint64_t ordinal;       /* the activity may be gone by then */
};

/* The record's key; sessions are ids, so the first slash ends them. */
static char *record_key(const struct sh_activity *a, struct sh_str key) {
    return sh_asprintf("%s/%.*s", a->wf->spec.session, (int)key.len, key.p);
}

static struct sh_activity *find(struct sh_workflow *wf, uint64_t ordinal) {
    sh_list_each (node, &wf->activities.list) {
        struct sh_activity *a = sh_container_of(node, struct sh_activity, link);
        if (a->ordinal == ordinal) {
            return a;
        }
    }
    return NULL;
}

static void got(void *arg, json_t *records, size_t total, const struct sh_err *err) {
    struct kv_read *read = arg;
    struct sh_workflow *wf = read->wf;
    struct sh_activity *a = find(wf, read->ordinal);
    json_t *record = json_array_get(records, 0);
    json_t *value = json_object_get(record, "value");

    (void)total;
    sh_free(read);
    if (a && err) {
        sh_activity_fail(a, err, false, 0);
    } else if (a) {
        sh_activity_succeed(a, json_pack("{s:b, s:O?}", "found", record != NULL, "value",
                                         value ? value : json_null()));
    }
    if (a) {
        sh_journal_commit(wf, NULL, NULL);
    }
    sh_workflow_unpin(wf);
}

static void get(struct sh_activity *a, const char *key) {
    struct kv_read *read = sh_new(struct kv_read);

    a->state = SH_ACTIVITY_OUT;
    read->wf = a->wf;
    read->ordinal = a->ordinal;
    a->wf->pins++;
    sh_store_get(a->wf->engine->store, SH_TABLE_KV, sh_str(key), got, read);
}

void sh_kv_run(struct sh_activity *a) {
    struct sh_str key = sh_json_get_str(a->args, "key");
    struct sh_err err = {0};

    if (key.len == 0 || key.len > KV_KEY_MAX) {
        sh_fail(&err, SH_E_INVAL, "key: expected 1 to %d bytes, got %zu", KV_KEY_MAX, key.len);
        sh_activity_fail(a, &err, false, 0);
        return;
    }
    sh_auto(sh_free_p) char *record = record_key(a, key);
    if (strcmp(a->tool->name, "kv.get") == 0) {
        get(a, record);
        return;
    }
    sh_journal_put(a->wf, SH_TABLE_KV, record,
                   json_pack("{s:s, s:o, s:O}", "session", a->wf->spec.session, "key",
                             sh_json_string(key), "value", json_object_get(a->args, "value")));
    sh_activity_succeed(a, json_object());
}
