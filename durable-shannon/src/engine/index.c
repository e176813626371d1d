/* See index.h. An index of unfinished workflows, because finding them by their rows would read
 * every row there ever was. */
#include "engine/index.h"

#include <stdio.h>

#include "engine/private.h"

#define INDEX_KEY "index"
#define COUNT_KEY "asleep"
#define PAGE 100 /* rows read at once: each may hold a result */

static const char *const unfinished[] = {"running", "paused", "queued"};

void sh_index_active_key(const json_t *row, char ret[SH_INDEX_KEY_BYTES]) {
    int64_t priority = sh_json_get_int(row, "priority", SH_PRIORITY_DEFAULT);
    struct sh_str id = sh_json_get_str(row, "id");

    snprintf(ret, SH_INDEX_KEY_BYTES, "%d-%016llx-%.*s", (int)(SH_PRIORITY_MAX - priority),
             (unsigned long long)sh_json_get_int(row, "created_at", 0), (int)id.len, id.p);
}

void sh_index_wake_key(int64_t due_us, const char *id, char ret[SH_INDEX_KEY_BYTES]) {
    snprintf(ret, SH_INDEX_KEY_BYTES, "%016llx-%s", (unsigned long long)(due_us > 0 ? due_us : 0),
             id);
}

enum sh_table sh_index_wake_table(enum sh_wake_kind kind) {
    return kind == SH_WAKE_TIMER ? SH_TABLE_WAKE : SH_TABLE_WAKE_DAY;
}

static void wakes_drop(struct sh_workflow *wf) {
    char key[SH_INDEX_KEY_BYTES];

    for (enum sh_wake_kind k = 0; k < SH_WAKE_KINDS; k++) {
        if (wf->wake_us[k]) {
            sh_index_wake_key(wf->wake_us[k], wf->id.s, key);
            sh_journal_put(wf, sh_index_wake_table(k), key, NULL);
        }
    }
}

static void wakes_put(struct sh_workflow *wf, const json_t *asleep) {
    char key[SH_INDEX_KEY_BYTES];

    for (enum sh_wake_kind k = 0; k < SH_WAKE_KINDS; k++) {
        json_t *timer = k == SH_WAKE_TIMER ? json_object_get(asleep, "first") : NULL;
        if (wf->wake_us[k]) {
            sh_index_wake_key(wf->wake_us[k], wf->id.s, key);
            sh_journal_put(wf, sh_index_wake_table(k), key,
                           json_pack("{s:s, s:I, s:O*}", "workflow", wf->id.s, "due_us",
                                     (json_int_t)wf->wake_us[k], "timer", timer));
        }
    }
}

/* asleep: the member of a row, or NULL */
static void wakes_read(struct sh_workflow *wf, const json_t *asleep) {
    wf->wake_us[SH_WAKE_TIMER] = sh_json_get_int(asleep, "wake_at_us", 0);
    wf->wake_us[SH_WAKE_TIME_OF_DAY] = sh_json_get_int(asleep, "until_us", 0);
}

bool sh_index_is_open(const json_t *row) {
    struct sh_str status = sh_json_get_str(row, "status");

    for (size_t i = 0; i < sizeof(unfinished) / sizeof(unfinished[0]); i++) {
        if (sh_str_eqz(status, unfinished[i])) {
            return true;
        }
    }
    return false;
}

static bool is_queued(const json_t *row) {
    return sh_str_eqz(sh_json_get_str(row, "status"), "queued");
}

json_t *sh_index_active_record(const json_t *row) {
    json_t *record = json_object();

    json_object_set(record, "workflow", json_object_get(row, "id"));
    if (is_queued(row)) {
        json_object_set_new(record, "queued", json_true());
        json_object_set(record, "agent", json_object_get(row, "agent"));
        json_object_set(record, "session", json_object_get(row, "session"));
        json_object_set(record, "priority", json_object_get(row, "priority"));
    }
    return record;
}

static void drop(struct sh_workflow *wf) {
    char key[SH_INDEX_KEY_BYTES];

    if (wf->place == SH_PLACE_ACTIVE) {
        sh_index_active_key(wf->row, key);
        sh_journal_put(wf, SH_TABLE_ACTIVE, key, NULL);
    } else if (wf->place == SH_PLACE_ASLEEP) {
        wakes_drop(wf);
    }
}

/* How many sleep is kept, because counting them would read them. */
static void count(struct sh_workflow *wf, int change) {
    struct sh_engine *e = wf->engine;

    if (change == 0 || (change < 0 && e->n_asleep == 0)) {
        return;
    }
    e->n_asleep += change > 0 ? 1 : (size_t)-1;
    sh_journal_put(wf, SH_TABLE_META, COUNT_KEY, json_pack("{s:I}", "n", (json_int_t)e->n_asleep));
}

void sh_index_place(struct sh_workflow *wf, const char *status) {
    const json_t *asleep = json_object_get(wf->row, "asleep");
    bool open = strcmp(status, "running") == 0 || strcmp(status, "paused") == 0 ||
                strcmp(status, "queued") == 0;
    enum sh_place place = !open ? SH_PLACE_NONE : asleep ? SH_PLACE_ASLEEP : SH_PLACE_ACTIVE;
    bool queued = strcmp(status, "queued") == 0;
    char key[SH_INDEX_KEY_BYTES];

    if (place == wf->place && queued == wf->place_queued) {
        return;
    }
    json_object_set_new(wf->row, "id", json_string(wf->id.s));
    if (place != wf->place) {
        drop(wf);
        count(wf, (place == SH_PLACE_ASLEEP) - (wf->place == SH_PLACE_ASLEEP));
    }
    wf->place = place;
    wf->place_queued = queued;
    wakes_read(wf, place == SH_PLACE_ASLEEP ? asleep : NULL);
    if (place == SH_PLACE_ACTIVE) {
        sh_index_active_key(wf->row, key);
        sh_journal_put(wf, SH_TABLE_ACTIVE, key, sh_index_active_record(wf->row));
    } else {
        wakes_put(wf, asleep);
    }
}

void sh_index_read(struct sh_workflow *wf) {
    const json_t *asleep = json_object_get(wf->row, "asleep");

    wf->place = asleep ? SH_PLACE_ASLEEP : SH_PLACE_ACTIVE;
    wf->place_queued = is_queued(wf->row);
    wakes_read(wf, asleep);
}

/* ---- data without an index ---- */

struct indexing {
    struct sh_engine *engine;
    char *read; /* the last row's key: the next page begins behind it */
    sh_store_done_fn cb;
    void *arg;
};

static void indexing_end(struct indexing *x, const struct sh_err *err) {
    x->cb(x->arg, err);
    sh_free(x->read);
    sh_free(x);
}

static void list_rows(struct indexing *x);

static void page_indexed(void *arg, const struct sh_err *err) {
    struct indexing *x = arg;

    if (err) {
        indexing_end(x, err);
    } else {
        list_rows(x);
    }
}

static void finished(void *arg, const struct sh_err *err) {
    indexing_end(arg, err);
}

static void put_all(struct indexing *x, json_t *rows, sh_store_done_fn then) {
    struct sh_put puts[PAGE + 1];
    char keys[PAGE][SH_INDEX_KEY_BYTES];
    json_t *records[PAGE + 1];
    struct sh_err err = {0};
    size_t i, n = 0;
    json_t *row;

    json_array_foreach(rows, i, row) {
        if (sh_index_is_open(row)) {
            sh_index_active_key(row, keys[n]);
            records[n] = sh_index_active_record(row);
            puts[n] = (struct sh_put){SH_TABLE_ACTIVE, sh_str(keys[n]), records[n]};
            n++;
        }
    }
    if (then == finished) {
        records[n] = json_pack("{s:i}", "version", 1);
        puts[n] = (struct sh_put){SH_TABLE_META, SH_STR(INDEX_KEY), records[n]};
        n++;
    }
    if (n == 0) {
        then(x, NULL);
    } else if (sh_engine_append(x->engine, NULL, 0, puts, n, then, x, &err) < 0) {
        indexing_end(x, &err);
    }
    for (i = 0; i < n; i++) {
        json_decref(records[i]);
    }
}

static void rows_listed(void *arg, json_t *records, size_t total, const struct sh_err *err) {
    struct indexing *x = arg;
    size_t n = json_array_size(records);

    if (err) {
        indexing_end(x, err);
        return;
    }
    if (n > 0) {
        const json_t *last = json_array_get(records, n - 1);
        sh_free(x->read);
        x->read = sh_strdup(json_string_value(json_object_get(last, "id")));
    }
    put_all(x, records, total < PAGE ? finished : page_indexed);
}

static void list_rows(struct indexing *x) {
    struct sh_store_filter f = {.uncounted = true, .after = x->read, .limit = PAGE};

    sh_store_list(x->engine->store, SH_TABLE_WORKFLOW, &f, rows_listed, x);
}

static void index_found(void *arg, json_t *records, size_t total, const struct sh_err *err) {
    struct indexing *x = arg;

    (void)total;
    if (err || json_array_size(records) > 0 || x->engine->config.passive) {
        indexing_end(x, err);
    } else {
        list_rows(x);
    }
}

static void count_found(void *arg, json_t *records, size_t total, const struct sh_err *err) {
    struct indexing *x = arg;
    int64_t n = sh_json_get_int(json_array_get(records, 0), "n", 0);

    (void)total;
    if (err) {
        indexing_end(x, err);
        return;
    }
    x->engine->n_asleep = n > 0 ? (size_t)n : 0;
    sh_store_get(x->engine->store, SH_TABLE_META, SH_STR(INDEX_KEY), index_found, x);
}

void sh_index_load(struct sh_engine *e, sh_store_done_fn cb, void *arg) {
    struct indexing *x = sh_new(struct indexing);

    x->engine = e;
    x->cb = cb;
    x->arg = arg;
    sh_store_get(e->store, SH_TABLE_META, SH_STR(COUNT_KEY), count_found, x);
}
