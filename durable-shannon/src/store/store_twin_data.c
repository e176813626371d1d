/* The twin's data. jansson keeps it: a snapshot is then a value that tests can compare and print.
 * Journals are arrays in order of seq; tables are objects, sorted when listed. */
#include "store/store_twin_data.h"

#include <stdlib.h>

#include "store/store_codec.h"

#define EVENTS "event"

json_t *sh_twin_state_new(void) {
    json_t *state = json_object();
    json_object_set_new(state, EVENTS, json_object());
    for (int t = 0; t < SH_TABLE_COUNT; t++) {
        json_object_set_new(state, sh_table_name((enum sh_table)t), json_object());
    }
    return state;
}

json_t *sh_twin_state_copy(const json_t *state) {
    json_t *copy = json_object();
    const char *name = NULL;
    const json_t *table = NULL;
    json_t *from = (json_t *)(uintptr_t)state; /* jansson iterates through plain pointers */
    json_object_foreach(from, name, table) {
        json_t *to = json_copy((json_t *)(uintptr_t)table);
        json_object_set_new(copy, name, to);
    }
    const char *workflow = NULL;
    void *next = NULL;
    json_t *journal = NULL;
    json_t *journals = json_object_get(copy, EVENTS);
    json_object_foreach_safe(journals, next, workflow, journal) {
        json_object_set_new(journals, workflow, json_copy(journal));
    }
    return copy;
}

static uint64_t seq_at(const json_t *journal, size_t i) {
    return (uint64_t)sh_json_get_int(json_array_get(journal, i), "seq", 0);
}

/* Index of the first event with seq > after. */
static size_t first_after(const json_t *journal, uint64_t after) {
    size_t low = 0, high = json_array_size(journal);
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (seq_at(journal, middle) <= after) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static int add_event(json_t *state, const struct sh_event_record *e, struct sh_err *err) {
    json_t *journals = json_object_get(state, EVENTS);
    json_t *journal = json_object_getn(journals, e->workflow.p, e->workflow.len);
    if (!journal) {
        journal = json_array();
        json_object_setn_new(journals, e->workflow.p, e->workflow.len, journal);
    }
    size_t at = first_after(journal, e->seq);
    if (at > 0 && seq_at(journal, at - 1) == e->seq) {
        return sh_fail(err, SH_E_EXISTS, "event:['%.*s', %llu] exists", (int)e->workflow.len,
                       e->workflow.p, (unsigned long long)e->seq);
    }
    char hash[SH_HASH_HEX_BYTES];
    sh_hash_hex(&e->hash, hash);
    json_t *event = json_pack("{s:I, s:I, s:s%, s:s%, s:s}", "seq", (json_int_t)e->seq, "time_us",
                              (json_int_t)e->time_us, "type", e->type.p, e->type.len, "body",
                              e->body.p ? e->body.p : "", e->body.len, "hash", hash);
    if (!event) {
        return sh_fail(err, SH_E_INVAL, "an event holds text that is not UTF-8");
    }
    json_array_insert_new(journal, at, event);
    return 0;
}

static int malformed(struct sh_err *err) {
    return sh_fail(err, SH_E_INVAL, "malformed batch");
}

static int apply_puts(json_t *state, struct sh_reader *r, uint32_t n, struct sh_err *err) {
    for (uint32_t i = 0; i < n; i++) {
        struct sh_store_put_view put = {0};
        if (!sh_store_get_put(r, &put)) {
            return malformed(err);
        }
        if (put.cut) {
            continue;
        }
        json_t *table = json_object_get(state, sh_table_name(put.table));
        if (put.value) {
            json_object_del(put.value, "id");
            json_object_setn_new(table, put.key.p, put.key.len, put.value);
        } else {
            json_object_deln(table, put.key.p, put.key.len);
        }
    }
    return 0;
}

/* Cuts come before the batch's events, though they stand behind them. */
static int apply_cuts(json_t *state, struct sh_reader r, uint32_t n_events, uint32_t n_puts,
                      struct sh_err *err) {
    for (uint32_t i = 0; i < n_events; i++) {
        struct sh_event_record e;
        if (!sh_store_get_event(&r, &e)) {
            return malformed(err);
        }
    }
    for (uint32_t i = 0; i < n_puts; i++) {
        struct sh_store_put_view put = {0};
        if (!sh_store_get_put(&r, &put)) {
            return malformed(err);
        }
        json_t *journal =
            put.cut ? json_object_getn(json_object_get(state, EVENTS), put.key.p, put.key.len)
                    : NULL;
        while (journal && json_array_size(journal) > 0 && seq_at(journal, 0) <= put.cut) {
            json_array_remove(journal, 0);
        }
        json_decref(put.value);
    }
    return 0;
}

static json_t *owner_of(const json_t *state) {
    return json_object_get(json_object_get(state, sh_table_name(SH_TABLE_META)), SH_STORE_OWNER);
}

static uint64_t epoch_of(const json_t *state) {
    return (uint64_t)sh_json_get_int(owner_of(state), "epoch", 0);
}

static int apply_in_place(json_t *state, struct sh_str batch, struct sh_err *err) {
    struct sh_reader r = {(const uint8_t *)batch.p, (const uint8_t *)batch.p + batch.len, false};
    struct sh_store_header h = {0};
    if (!sh_store_get_header(&r, &h)) {
        return malformed(err);
    }
    if (apply_cuts(state, r, h.n_events, h.n_puts, err) < 0) {
        return -SH_E_INVAL;
    }
    for (uint32_t i = 0; i < h.n_events; i++) {
        struct sh_event_record e;
        if (!sh_store_get_event(&r, &e)) {
            return malformed(err);
        }
        int failed = add_event(state, &e, err);
        if (failed < 0) {
            return failed;
        }
    }
    int failed = apply_puts(state, &r, h.n_puts, err);
    if (failed == 0 && r.p != r.end) {
        return malformed(err);
    }
    return failed;
}

static void copy_journal(json_t *to, const json_t *state, struct sh_str workflow) {
    json_t *journals = json_object_get(to, EVENTS);
    json_t *journal = json_object_getn(json_object_get(state, EVENTS), workflow.p, workflow.len);
    if (journal && !json_object_getn(journals, workflow.p, workflow.len)) {
        json_object_setn_new(journals, workflow.p, workflow.len, json_copy(journal));
    }
}

/* A state with all that decides whether the batch can be applied: the journals that it touches. */
static json_t *touched(const json_t *state, struct sh_str batch) {
    struct sh_reader r = {(const uint8_t *)batch.p, (const uint8_t *)batch.p + batch.len, false};
    json_t *copy = sh_twin_state_new();
    struct sh_store_header h = {0};
    (void)sh_store_get_header(&r, &h); /* what it is not, is told when it is applied */
    struct sh_event_record e;
    struct sh_store_put_view put = {0};
    for (uint32_t i = 0; i < h.n_events && sh_store_get_event(&r, &e); i++) {
        copy_journal(copy, state, e.workflow);
    }
    for (uint32_t i = 0; i < h.n_puts && sh_store_get_put(&r, &put); i++) {
        if (put.cut) {
            copy_journal(copy, state, put.key);
        }
        json_decref(put.value);
        put.value = NULL;
    }
    return copy;
}

int sh_twin_state_apply(json_t *state, struct sh_str batch, struct sh_err *err) {
    struct sh_reader r = {(const uint8_t *)batch.p, (const uint8_t *)batch.p + batch.len, false};
    struct sh_store_header h = {0};
    if (sh_store_get_header(&r, &h) && h.fenced && epoch_of(state) != h.epoch) {
        return sh_fail(err, SH_E_FENCED, "the owner is another one");
    }
    return sh_twin_state_keep(state, batch, err);
}

int sh_twin_state_keep(json_t *state, struct sh_str batch, struct sh_err *err) {
    /* Tried on a copy: a batch that fails in the middle leaves nothing. */
    sh_auto(sh_json_done) json_t *copy = touched(state, batch);
    int r = apply_in_place(copy, batch, err);
    return r == 0 ? apply_in_place(state, batch, err) : r;
}

json_t *sh_twin_state_events(const json_t *state, struct sh_str workflow, uint64_t after,
                             size_t limit) {
    json_t *page = json_array();
    const json_t *journals = json_object_get(state, EVENTS);
    const json_t *journal =
        workflow.len ? json_object_getn(journals, workflow.p, workflow.len) : NULL;
    size_t n = json_array_size(journal);
    for (size_t i = first_after(journal, after); i < n && json_array_size(page) < limit; i++) {
        json_array_append(page, json_array_get(journal, i));
    }
    return page;
}

static json_t *with_id(const json_t *record, struct sh_str key) {
    json_t *copy = json_copy((json_t *)(uintptr_t)record);
    json_object_set_new(copy, "id", sh_json_string(key));
    return copy;
}

json_t *sh_twin_state_get(const json_t *state, enum sh_table t, struct sh_str key) {
    json_t *found = json_array();
    const json_t *table = json_object_get(state, sh_table_name(t));
    const json_t *record = key.len ? json_object_getn(table, key.p, key.len) : NULL;
    if (record) {
        json_array_append_new(found, with_id(record, key));
    }
    return found;
}

struct row {
    struct sh_str key;
    const json_t *record;
};

static int by_key(const void *a, const void *b) {
    return sh_str_cmp(((const struct row *)a)->key, ((const struct row *)b)->key);
}

static bool matches(const struct row *row, const struct sh_store_filter *f) {
    if (f->prefix && !sh_str_starts(row->key, sh_str(f->prefix))) {
        return false;
    }
    if (f->after && sh_str_cmp(row->key, sh_str(f->after)) <= 0) {
        return false;
    }
    for (int i = 0; i < 2; i++) {
        if (f->member[i] && f->value[i] &&
            !sh_str_eqz(sh_json_get_str(row->record, f->member[i]), f->value[i])) {
            return false;
        }
    }
    return true;
}

json_t *sh_twin_state_list(const json_t *state, enum sh_table t, const struct sh_store_filter *f,
                           size_t *ret_total) {
    json_t *table = json_object_get(state, sh_table_name(t));
    size_t n = 0, size = json_object_size(table);
    struct row *rows = sh_new_array(struct row, size + 1);
    struct row row = {{0}, NULL};
    json_t *record = NULL;
    json_object_keylen_foreach(table, row.key.p, row.key.len, record) {
        row.record = record;
        if (matches(&row, f)) {
            rows[n++] = row;
        }
    }
    qsort(rows, n, sizeof(*rows), by_key);
    json_t *page = json_array();
    for (size_t i = f->offset; i < n && json_array_size(page) < f->limit; i++) {
        const struct row *it = &rows[f->newest_first ? n - 1 - i : i];
        json_array_append_new(page, with_id(it->record, it->key));
    }
    sh_free(rows);
    *ret_total = f->uncounted ? json_array_size(page) : n;
    return page;
}
