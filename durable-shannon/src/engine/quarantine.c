/* See quarantine.h. A crash is counted once, however often the counting itself is interrupted: the
 * record names the process that died, and its file is given up only when the counts are durable. */
#include "engine/quarantine.h"

#include "engine/private.h"

#define PREFIX "crash:"

struct counting {
    struct sh_engine *engine;
    json_t *found; /* what sh_crash_read gave, or NULL */
    sh_store_done_fn cb;
    void *arg;
};

static void counting_end(struct counting *c, const struct sh_err *err) {
    struct sh_err why = {0};

    if (!err && sh_crash_open(c->engine->config.data_dir, &c->engine->crash, &why) < 0) {
        sh_log(SH_LOG_WARN, "crashes-not-counted", "message=%s", SH_Q(sh_str(why.message)));
    } else if (!err) {
        sh_executors_watch(c->engine->executors, c->engine->crash);
    }
    c->cb(c->arg, err);
    json_decref(c->found);
    sh_free(c);
}

static void counted(void *arg, const struct sh_err *err) {
    counting_end(arg, err);
}

/* One more for this workflow, unless this very crash is in its record. */
static json_t *one_more(const json_t *old, const json_t *found, const json_t *item) {
    struct sh_str stamp = sh_json_get_str(found, "stamp");
    int64_t count = sh_json_get_int(old, "count", 0);

    count += sh_str_eq(sh_json_get_str(old, "stamp"), stamp) ? 0 : 1;
    return json_pack("{s:I, s:O, s:O, s:O, s:I}", "count", (json_int_t)count, "stamp",
                     json_object_get(found, "stamp"), "signal", json_object_get(found, "signal"),
                     "phase", json_object_get(item, "phase"), "at", (json_int_t)sh_wall_us());
}

static void count(struct counting *c) {
    json_t *crashes = c->engine->crashes;
    json_t *stamped = json_object_get(c->found, "stamped"), *item;
    size_t n = json_array_size(stamped), i;
    struct sh_put *puts = sh_new_array(struct sh_put, n + 1);
    char **keys = sh_new_array(char *, n + 1);
    struct sh_err err = {0};
    int r;

    json_array_foreach(stamped, i, item) {
        const char *id = json_string_value(json_object_get(item, "workflow"));
        json_t *record = one_more(json_object_get(crashes, id), c->found, item);
        sh_log(SH_LOG_WARN, "workflow-crashed-process", "id=%s count=%lld signal=%lld phase=%s", id,
               (long long)sh_json_get_int(record, "count", 0),
               (long long)sh_json_get_int(record, "signal", 0),
               json_string_value(json_object_get(item, "phase")));
        json_object_set_new(crashes, id, record);
        keys[i] = sh_asprintf(PREFIX "%s", id);
        puts[i] = (struct sh_put){.table = SH_TABLE_META, .key = sh_str(keys[i]), .value = record};
    }
    c->engine->careful = n > 0;
    r = sh_engine_append(c->engine, NULL, 0, puts, n, counted, c, &err);
    for (i = 0; i < n; i++) {
        sh_free(keys[i]);
    }
    sh_free(keys);
    sh_free(puts);
    if (r < 0) {
        counting_end(c, &err);
    }
}

static void listed(void *arg, json_t *records, size_t total, const struct sh_err *err) {
    struct counting *c = arg;
    json_t *record;
    size_t i;

    (void)total;
    if (err) {
        counting_end(c, err);
        return;
    }
    json_array_foreach(records, i, record) {
        const char *key = json_string_value(json_object_get(record, "id"));
        json_object_set(c->engine->crashes, key + sizeof(PREFIX) - 1, record);
        json_object_del(record, "id");
    }
    c->found = sh_crash_read(c->engine->config.data_dir);
    count(c);
}

void sh_quarantine_load(struct sh_engine *e, sh_store_done_fn cb, void *arg) {
    struct sh_store_filter f = {.prefix = PREFIX, .limit = SH_STORE_LIST_MAX};
    struct counting *c = sh_new(struct counting);

    c->engine = e;
    c->cb = cb;
    c->arg = arg;
    sh_store_list(e->store, SH_TABLE_META, &f, listed, c);
}

unsigned sh_quarantine_count(const struct sh_engine *e, const char *workflow) {
    return (unsigned)sh_json_get_int(json_object_get(e->crashes, workflow), "count", 0);
}

void sh_quarantine_progress(struct sh_workflow *wf) {
    json_t *crashes = wf->engine->crashes;
    sh_auto(sh_free_p) char *key = NULL;

    if (json_object_size(crashes) == 0 || wf->verify || !json_object_get(crashes, wf->id.s)) {
        return;
    }
    sh_list_each (node, &wf->journal.draft) {
        if (strcmp(sh_container_of(node, struct sh_event, link)->type, "Claimed") != 0) {
            key = sh_asprintf(PREFIX "%s", wf->id.s);
            json_object_del(crashes, wf->id.s);
            sh_journal_put(wf, SH_TABLE_META, key, NULL);
            return;
        }
    }
}

bool sh_quarantine_end(struct sh_workflow *wf) {
    unsigned n = sh_quarantine_count(wf->engine, wf->id.s);
    char hex[SH_HASH_HEX_BYTES], message[400];

    if (n < SH_CRASHES_MAX) {
        return false;
    }
    sh_hash_hex(&wf->spec.module, hex);
    snprintf(message, sizeof(message),
             "the process died %u times of a signal while this task ran, with nothing done in "
             "between, so it is not run again; module %s is suspect: report it with the log's "
             "workflow-crashed-process lines, and submit the task anew once it is mended",
             n, hex);
    sh_workflow_fail(wf, SH_E_QUARANTINED, message);
    return true;
}
