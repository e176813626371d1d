/* The fixture, and the cases that every store must pass. */
#include "store_cases.h"

#include <ftw.h>
#include <stdio.h>
#include <unistd.h>

/* ---- fixture ---- */

void fx_done(void *arg, const struct sh_err *err) {
    struct fx *f = arg;
    if (err) {
        f->err = *err;
    }
    ck_assert_uint_gt(f->waiting, 0);
    if (--f->waiting == 0) {
        sh_loop_stop(f->loop);
    }
}

static void flush(void *arg) {
    struct fx *f = arg;
    if (f->store) {
        sh_store_flush(f->store);
    }
}

void fx_wait(struct fx *f) {
    while (f->waiting > 0) {
        sh_loop_run(f->loop);
    }
}

static void begin(struct fx *f) {
    f->err = (struct sh_err){0};
    f->waiting++;
}

static int outcome(struct fx *f) {
    fx_wait(f);
    return -f->err.code;
}

int fx_open(struct fx *f) {
    struct sh_store *s = NULL;
    begin(f);
    int r = sh_store_open(f->loop, f->endpoint, NULL, fx_done, f, &s, &f->err);
    if (r < 0) {
        f->waiting--;
        return r;
    }
    f->store = s;
    return outcome(f);
}

static void closed(void *arg) {
    fx_done(arg, NULL);
}

void fx_close(struct fx *f) {
    if (f->store) {
        struct sh_store *s = f->store;
        f->store = NULL;
        f->waiting++;
        sh_store_close(s, closed, f);
        fx_wait(f);
    }
}

void fx_start(struct fx *f, const char *kind) {
    *f = (struct fx){0};
    if (strcmp(kind, "rocksdb") == 0) {
        f->dir = sh_strdup("/tmp/shannon-store-XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(f->dir));
        f->endpoint = sh_asprintf("rocksdb:%s/db", f->dir);
    } else {
        f->endpoint = sh_strdup(strcmp(kind, "twin") == 0 ? "twin:case" : kind);
    }
    sh_buf_init(&f->text, 64 * SH_MIB);
    ck_assert_ptr_nonnull(sh_buf_room(&f->text, 4096)); /* no fault test shall meet the fixture */
    sh_assert_ok(sh_loop_new(&f->loop, &f->err), &f->err);
    sh_loop_on_turn(f->loop, flush, f);
    sh_assert_ok(fx_open(f), &f->err);
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw) {
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

void fx_stop(struct fx *f) {
    fx_close(f);
    sh_loop_free(f->loop);
    if (f->dir) {
        nftw(f->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    }
    sh_free(f->dir);
    sh_free(f->endpoint);
    sh_json_done(&f->records);
    sh_free(f->events);
    sh_buf_done(&f->text);
}

struct sh_event_record fx_event(const char *workflow, uint64_t seq, const char *body) {
    struct sh_event_record e = {.workflow = sh_str(workflow),
                                .seq = seq,
                                .time_us = 1700000000000000 + (int64_t)seq,
                                .type = SH_STR("Emitted"),
                                .body = sh_str(body)};
    sh_sha256(body, strlen(body), &e.hash);
    return e;
}

int fx_append(struct fx *f, const struct sh_event_record *events, size_t n_events,
              const struct sh_put *puts, size_t n_puts) {
    begin(f);
    int r = sh_store_append(f->store, events, n_events, puts, n_puts, fx_done, f, &f->err);
    if (r < 0) {
        f->waiting--;
        return r;
    }
    return outcome(f);
}

int fx_append_one(struct fx *f, const char *workflow, uint64_t seq) {
    struct sh_event_record e = fx_event(workflow, seq, "{}");
    return fx_append(f, &e, 1, NULL, 0);
}

int fx_put(struct fx *f, enum sh_table t, const char *key, const char *json) {
    json_t *value = json ? json_loads(json, 0, NULL) : NULL;
    ck_assert(!json || value);
    struct sh_put put = {t, sh_str(key), value};
    int r = fx_append(f, NULL, 0, &put, 1);
    json_decref(value);
    return r;
}

static struct sh_str keep(struct fx *f, struct sh_str s) {
    size_t at = f->text.len;
    sh_buf_add(&f->text, s.p, s.len);
    return (struct sh_str){(const char *)(uintptr_t)at, s.len};
}

static void on_events(void *arg, const struct sh_event_record *events, size_t n,
                      const struct sh_err *err) {
    struct fx *f = arg;
    sh_buf_clear(&f->text);
    f->n_events = n;
    f->events = sh_grow(f->events, (n + 1) * sizeof(*f->events));
    for (size_t i = 0; i < n; i++) {
        f->events[i] = events[i];
        f->events[i].workflow = keep(f, events[i].workflow);
        f->events[i].type = keep(f, events[i].type);
        f->events[i].body = keep(f, events[i].body);
    }
    ck_assert(!f->text.failed);
    for (size_t i = 0; i < n; i++) { /* offsets become views once the text stands still */
        f->events[i].workflow.p = f->text.p + (uintptr_t)f->events[i].workflow.p;
        f->events[i].type.p = f->text.p + (uintptr_t)f->events[i].type.p;
        f->events[i].body.p = f->text.p + (uintptr_t)f->events[i].body.p;
    }
    fx_done(f, err);
}

static void on_records(void *arg, json_t *records, size_t total, const struct sh_err *err) {
    struct fx *f = arg;
    sh_json_done(&f->records);
    f->records = json_incref(records);
    f->total = total;
    fx_done(f, err);
}

int fx_read(struct fx *f, const char *workflow, uint64_t after, size_t limit) {
    begin(f);
    sh_store_read_events(f->store, sh_str(workflow), after, limit, on_events, f);
    return outcome(f);
}

int fx_get(struct fx *f, enum sh_table t, const char *key) {
    begin(f);
    sh_store_get(f->store, t, sh_str(key), on_records, f);
    return outcome(f);
}

int fx_list(struct fx *f, enum sh_table t, const struct sh_store_filter *filter) {
    begin(f);
    sh_store_list(f->store, t, filter, on_records, f);
    return outcome(f);
}

int fx_query(struct fx *f, const char *surql) {
    begin(f);
    sh_store_query(f->store, sh_str(surql), on_records, f);
    return outcome(f);
}

/* ---- cases ---- */

static const char *const *case_kinds;

static void assert_json(const json_t *value, const char *want) {
    json_t *expected = json_loads(want, JSON_DECODE_ANY, NULL);
    char *got = sh_json_text(value);
    ck_assert_msg(expected && json_equal(value, expected), "expected %s, got %s", want, got);
    json_decref(expected);
    sh_free(got);
}

START_TEST(a_journal_reads_back_in_order_from_any_place) {
    struct fx f;
    fx_start(&f, case_kinds[_i]);
    struct sh_event_record e[30];
    char bodies[30][32];
    for (size_t i = 0; i < 30; i++) {
        snprintf(bodies[i], sizeof(bodies[i]), "{\"n\":%zu,\"s\":\"\\u00e9\"}", i);
        e[i] = fx_event(i % 3 ? "wf-a" : "wf-b", 1 + i / 3 + (i % 3 == 2 ? 10 : 0), bodies[i]);
    }
    sh_assert_ok(fx_append(&f, e, 30, NULL, 0), &f.err);
    sh_assert_ok(fx_read(&f, "wf-a", 0, 512), &f.err);
    ck_assert_uint_eq(f.n_events, 20);
    for (size_t i = 0; i < 20; i++) {
        ck_assert_uint_eq(f.events[i].seq, i + 1);
        ck_assert_int_eq(f.events[i].time_us, 1700000000000000 + (int64_t)i + 1);
    }
    sh_assert_str(f.events[0].body, bodies[1]);
    sh_assert_str(f.events[0].type, "Emitted");
    sh_assert_str(f.events[0].workflow, "wf-a");
    ck_assert(sh_hash_eq(&f.events[0].hash, &e[1].hash));
    sh_assert_ok(fx_read(&f, "wf-a", 17, 512), &f.err);
    ck_assert_uint_eq(f.n_events, 3);
    sh_assert_ok(fx_read(&f, "wf-a", 4, 2), &f.err);
    ck_assert_uint_eq(f.n_events, 2);
    ck_assert_uint_eq(f.events[0].seq, 5);
    sh_assert_ok(fx_read(&f, "wf-a", 20, 512), &f.err);
    ck_assert_uint_eq(f.n_events, 0);
    sh_assert_ok(fx_read(&f, "wf-a", UINT64_MAX, 512), &f.err);
    ck_assert_uint_eq(f.n_events, 0);
    sh_assert_ok(fx_read(&f, "wf", 0, 512), &f.err);
    ck_assert_uint_eq(f.n_events, 0);
    sh_assert_fails(fx_read(&f, "wf-a", 0, SH_JOURNAL_PAGE + 1), SH_E_LIMIT, &f.err);
    fx_stop(&f);
}
END_TEST

START_TEST(a_journal_whose_beginning_was_compacted_reads_whole) {
    static const uint64_t starts[] = {2, 9, 10, 11, 500, 3000};
    struct fx f;
    fx_start(&f, case_kinds[_i]);
    for (size_t s = 0; s < sizeof(starts) / sizeof(starts[0]); s++) {
        char id[16];
        struct sh_event_record e[35];
        snprintf(id, sizeof(id), "wf-%zu", s);
        for (size_t i = 0; i < 35; i++) {
            e[i] = fx_event(id, starts[s] + i, "{}");
        }
        sh_assert_ok(fx_append(&f, e, 35, NULL, 0), &f.err);
        uint64_t after = 0, want = starts[s];
        do {
            sh_assert_ok(fx_read(&f, id, after, 10), &f.err);
            for (size_t i = 0; i < f.n_events; i++) {
                ck_assert_uint_eq(f.events[i].seq, want++);
            }
            after = want - 1;
        } while (f.n_events == 10);
        ck_assert_uint_eq(want, starts[s] + 35);
    }
    fx_stop(&f);
}
END_TEST

static void reclaimed(void *arg, json_t *records, size_t total, const struct sh_err *err) {
    (void)records;
    (void)total;
    fx_done(arg, err);
}

START_TEST(the_beginning_of_a_journal_is_cut_off_and_replaced_in_one_transaction) {
    struct fx f;
    fx_start(&f, case_kinds[_i]);
    for (uint64_t i = 1; i <= 40; i++) {
        struct sh_event_record e[2] = {fx_event("wf-a", i, "{}"), fx_event("wf-b", i, "{}")};
        sh_assert_ok(fx_append(&f, e, 2, NULL, 0), &f.err);
    }
    json_t *to_30 = json_pack("{s:i}", "seq", 30), *to_0 = json_pack("{s:i}", "seq", 0);
    json_t *to_end = json_pack("{s:I}", "seq", (json_int_t)INT64_MAX);
    struct sh_put cut = {SH_JOURNAL_CUT, SH_STR("wf-a"), to_30};
    struct sh_event_record taken[2] = {fx_event("wf-a", 30, "{\"k\":30}"),
                                       fx_event("wf-b", 40, "{}")};
    sh_assert_fails(fx_append(&f, taken, 2, &cut, 1), SH_E_EXISTS, &f.err);
    sh_assert_ok(fx_read(&f, "wf-a", 0, 100), &f.err);
    ck_assert_uint_eq(f.n_events, 40); /* refused whole */
    sh_assert_ok(fx_append(&f, taken, 1, &cut, 1), &f.err);
    sh_assert_ok(fx_read(&f, "wf-a", 0, 100), &f.err);
    ck_assert_uint_eq(f.n_events, 11);
    ck_assert_uint_eq(f.events[0].seq, 30);
    sh_assert_str(f.events[0].body, "{\"k\":30}");
    ck_assert_uint_eq(f.events[10].seq, 40);
    sh_assert_ok(fx_read(&f, "wf-b", 0, 100), &f.err);
    ck_assert_uint_eq(f.n_events, 40);
    f.waiting++;
    f.err = (struct sh_err){0};
    sh_store_reclaim(f.store, reclaimed, &f);
    fx_wait(&f);
    ck_assert_msg(f.err.code == 0, "%s", f.err.message);
    struct sh_put all = {SH_JOURNAL_CUT, SH_STR("wf-a"), to_end};
    sh_assert_ok(fx_append(&f, NULL, 0, &all, 1), &f.err);
    sh_assert_ok(fx_read(&f, "wf-a", 0, 100), &f.err);
    ck_assert_uint_eq(f.n_events, 0);
    sh_assert_ok(fx_read(&f, "wf-b", 0, 100), &f.err);
    ck_assert_uint_eq(f.n_events, 40);
    sh_assert_ok(fx_append_one(&f, "wf-a", 1), &f.err);
    struct sh_put wrong = {SH_JOURNAL_CUT, SH_STR(""), to_30};
    sh_assert_fails(fx_append(&f, NULL, 0, &wrong, 1), SH_E_INVAL, &f.err);
    wrong = (struct sh_put){SH_JOURNAL_CUT, SH_STR("wf-a"), to_0};
    sh_assert_fails(fx_append(&f, NULL, 0, &wrong, 1), SH_E_INVAL, &f.err);
    json_decref(to_30);
    json_decref(to_0);
    json_decref(to_end);
    fx_stop(&f);
}
END_TEST

START_TEST(an_event_that_exists_refuses_its_batch_whole) {
    struct fx f;
    fx_start(&f, case_kinds[_i]);
    sh_assert_ok(fx_append_one(&f, "wf-a", 1), &f.err);
    struct sh_event_record e[2] = {fx_event("wf-b", 1, "{}"), fx_event("wf-a", 1, "{}")};
    json_t *row = json_pack("{s:i}", "n", 1);
    struct sh_put put = {SH_TABLE_KV, SH_STR("s/k"), row};
    sh_assert_fails(fx_append(&f, e, 2, &put, 1), SH_E_EXISTS, &f.err);
    json_decref(row);
    sh_assert_ok(fx_read(&f, "wf-b", 0, 10), &f.err);
    ck_assert_uint_eq(f.n_events, 0);
    sh_assert_ok(fx_get(&f, SH_TABLE_KV, "s/k"), &f.err);
    ck_assert_uint_eq(f.total, 0);
    sh_assert_ok(fx_append_one(&f, "wf-a", 2), &f.err); /* the store goes on */
    fx_stop(&f);
}
END_TEST

START_TEST(what_64_callers_append_in_one_turn_is_one_transaction) {
    struct fx f;
    fx_start(&f, case_kinds[_i]);
    uint64_t before = sh_store_stats(f.store).transactions;
    for (int i = 0; i < 64; i++) {
        char id[16];
        snprintf(id, sizeof(id), "wf-%d", i);
        struct sh_event_record e = fx_event(id, 1, "{}");
        f.waiting++;
        sh_assert_ok(sh_store_append(f.store, &e, 1, NULL, 0, fx_done, &f, &f.err), &f.err);
    }
    fx_wait(&f);
    ck_assert_int_eq(f.err.code, 0);
    struct sh_store_stats stats = sh_store_stats(f.store);
    ck_assert_uint_eq(stats.transactions - before, 1);
    ck_assert_uint_eq(stats.events, 64);
    ck_assert_uint_eq(stats.largest_batch, 64);
    fx_stop(&f);
}
END_TEST

static struct sh_err outcomes[16];
struct tagged {
    struct fx *f;
    size_t i;
};
static void tag_done(void *arg, const struct sh_err *err) {
    struct tagged *t = arg;
    outcomes[t->i] = err ? *err : (struct sh_err){0};
    fx_done(t->f, NULL);
}

START_TEST(only_the_guilty_and_what_follows_it_in_its_workflow_fail) {
    struct fx f;
    struct tagged tags[16];
    fx_start(&f, case_kinds[_i]);
    sh_assert_ok(fx_append_one(&f, "wf-5", 1), &f.err);
    sh_assert_ok(fx_append_one(&f, "wf-12", 1), &f.err);
    for (size_t i = 0; i < 16; i++) {
        char id[16];
        snprintf(id, sizeof(id), "wf-%zu", i == 9 ? (size_t)5 : i); /* 9 goes on where 5 fails */
        struct sh_event_record e = fx_event(id, i == 9 ? 2 : 1, "{}");
        tags[i] = (struct tagged){&f, i};
        f.waiting++;
        sh_assert_ok(sh_store_append(f.store, &e, 1, NULL, 0, tag_done, &tags[i], &f.err), &f.err);
    }
    fx_wait(&f);
    for (size_t i = 0; i < 16; i++) {
        bool guilty = i == 5 || i == 9 || i == 12;
        ck_assert_msg(outcomes[i].code == (guilty ? SH_E_EXISTS : 0), "%zu: %s", i,
                      outcomes[i].message);
    }
    sh_assert_ok(fx_read(&f, "wf-5", 0, 10), &f.err);
    ck_assert_uint_eq(f.n_events, 1);
    sh_assert_ok(fx_read(&f, "wf-15", 0, 10), &f.err);
    ck_assert_uint_eq(f.n_events, 1);
    fx_stop(&f);
}
END_TEST

START_TEST(records_are_replaced_whole_and_deleted) {
    struct fx f;
    fx_start(&f, case_kinds[_i]);
    sh_assert_ok(fx_get(&f, SH_TABLE_KV, "absent"), &f.err);
    ck_assert_uint_eq(json_array_size(f.records), 0);
    sh_assert_ok(fx_put(&f, SH_TABLE_KV, "s/k", "{\"a\":1,\"b\":{\"c\":[null,true,2.5]}}"), &f.err);
    sh_assert_ok(fx_put(&f, SH_TABLE_KV, "s/k", "{\"id\":\"ignored\",\"v\":7}"), &f.err);
    sh_assert_ok(fx_get(&f, SH_TABLE_KV, "s/k"), &f.err);
    assert_json(f.records, "[{\"id\":\"s/k\",\"v\":7}]");
    sh_assert_ok(fx_put(&f, SH_TABLE_KV, "s/k", NULL), &f.err);
    sh_assert_ok(fx_put(&f, SH_TABLE_KV, "s/k", NULL), &f.err);
    sh_assert_ok(fx_get(&f, SH_TABLE_KV, "s/k"), &f.err);
    assert_json(f.records, "[]");
    fx_stop(&f);
}
END_TEST

START_TEST(values_come_back_exactly) {
    struct fx f;
    fx_start(&f, case_kinds[_i]);
    const char *json = "{\"a\":1,\"b\":{\"c\":[null,true,false,2.5,[],{}]},\"f\":"
                       "0.30000000000000004,\"one\":1.0,\"min\":-9223372036854775807,\"s\":"
                       "\"\\u00e9\\ud83d\\ude00 'x' `y`\",\"\":\"\",\"big\":1e300,"
                       "\"third\":0.33333333333333331}";
    sh_assert_ok(fx_put(&f, SH_TABLE_KV, "s/k'`\"\xc3\xa9", json), &f.err);
    sh_assert_ok(fx_get(&f, SH_TABLE_KV, "s/k'`\"\xc3\xa9"), &f.err);
    ck_assert_uint_eq(json_array_size(f.records), 1);
    json_t *row = json_array_get(f.records, 0);
    sh_assert_str(sh_json_get_str(row, "id"), "s/k'`\"\xc3\xa9");
    json_object_del(row, "id");
    assert_json(row, json);
    fx_stop(&f);
}
END_TEST

START_TEST(the_last_value_of_a_key_wins_within_one_transaction) {
    struct fx f;
    fx_start(&f, case_kinds[_i]);
    sh_assert_ok(fx_put(&f, SH_TABLE_KV, "gone", "{\"n\":0}"), &f.err);
    for (int i = 0; i < 5; i++) {
        json_t *row = json_pack("{s:i}", "n", i);
        struct sh_put puts[2] = {{SH_TABLE_KV, SH_STR("k"), row},
                                 {SH_TABLE_KV, SH_STR("gone"), i % 2 ? row : NULL}};
        f.waiting++;
        sh_assert_ok(sh_store_append(f.store, NULL, 0, puts, 2, fx_done, &f, &f.err), &f.err);
        json_decref(row);
    }
    fx_wait(&f);
    ck_assert_uint_eq(sh_store_stats(f.store).records, 3); /* "gone" once before, then both once */
    json_t *many[100];
    struct sh_put puts[100];
    char keys[100][16];
    for (int i = 0; i < 100; i++) {
        snprintf(keys[i], sizeof(keys[i]), "m%d", i);
        many[i] = json_pack("{s:i}", "n", i);
        puts[i] = (struct sh_put){SH_TABLE_NAME, sh_str(keys[i]), many[i]};
    }
    sh_assert_ok(fx_append(&f, NULL, 0, puts, 100), &f.err);
    for (int i = 0; i < 100; i++) {
        json_decref(many[i]);
    }
    sh_assert_ok(fx_get(&f, SH_TABLE_NAME, "m99"), &f.err);
    assert_json(f.records, "[{\"id\":\"m99\",\"n\":99}]");
    sh_assert_ok(fx_get(&f, SH_TABLE_KV, "k"), &f.err);
    assert_json(f.records, "[{\"id\":\"k\",\"n\":4}]");
    sh_assert_ok(fx_get(&f, SH_TABLE_KV, "gone"), &f.err);
    assert_json(f.records, "[]");
    fx_stop(&f);
}
END_TEST

static void assert_ids(const struct fx *f, size_t total, const char *want) {
    json_t *ids = json_array();
    for (size_t i = 0; i < json_array_size(f->records); i++) {
        json_array_append(ids, json_object_get(json_array_get(f->records, i), "id"));
    }
    assert_json(ids, want);
    json_decref(ids);
    ck_assert_uint_eq(f->total, total);
}

START_TEST(lists_filter_sort_page_and_count) {
    struct fx f;
    fx_start(&f, case_kinds[_i]);
    static const char *const rows[][3] = {
        {"wf-1", "running", "s1"}, {"wf-2", "failed", "s1"},  {"wf-3", "running", "s2"},
        {"wf-4", "running", "s1"}, {"wg-1", "running", "s1"}, {"w", "failed", "s2"},
    };
    for (size_t i = 0; i < 6; i++) {
        char json[80];
        snprintf(json, sizeof(json), "{\"status\":\"%s\",\"session\":\"%s\"}", rows[i][1],
                 rows[i][2]);
        sh_assert_ok(fx_put(&f, SH_TABLE_WORKFLOW, rows[i][0], json), &f.err);
    }
    struct sh_store_filter all = {.limit = 1000};
    sh_assert_ok(fx_list(&f, SH_TABLE_WORKFLOW, &all), &f.err);
    assert_ids(&f, 6, "[\"w\",\"wf-1\",\"wf-2\",\"wf-3\",\"wf-4\",\"wg-1\"]");
    struct sh_store_filter newest = {.newest_first = true, .offset = 1, .limit = 2};
    sh_assert_ok(fx_list(&f, SH_TABLE_WORKFLOW, &newest), &f.err);
    assert_ids(&f, 6, "[\"wf-4\",\"wf-3\"]");
    struct sh_store_filter prefix = {.prefix = "wf-", .offset = 2, .limit = 1};
    sh_assert_ok(fx_list(&f, SH_TABLE_WORKFLOW, &prefix), &f.err);
    assert_ids(&f, 4, "[\"wf-3\"]");
    struct sh_store_filter one = {.member = {"status"}, .value = {"running"}, .limit = 10};
    sh_assert_ok(fx_list(&f, SH_TABLE_WORKFLOW, &one), &f.err);
    assert_ids(&f, 4, "[\"wf-1\",\"wf-3\",\"wf-4\",\"wg-1\"]");
    struct sh_store_filter both = {.member = {"status", "session"},
                                   .value = {"running", "s1"},
                                   .prefix = "wf-",
                                   .newest_first = true,
                                   .limit = 1};
    sh_assert_ok(fx_list(&f, SH_TABLE_WORKFLOW, &both), &f.err);
    assert_ids(&f, 2, "[\"wf-4\"]");
    struct sh_store_filter beyond = {.offset = 10, .limit = 5};
    sh_assert_ok(fx_list(&f, SH_TABLE_WORKFLOW, &beyond), &f.err);
    assert_ids(&f, 6, "[]");
    sh_assert_ok(fx_list(&f, SH_TABLE_MODULE, &all), &f.err);
    assert_ids(&f, 0, "[]");
    struct sh_store_filter many = {.limit = SH_STORE_LIST_MAX + 1};
    sh_assert_fails(fx_list(&f, SH_TABLE_WORKFLOW, &many), SH_E_LIMIT, &f.err);
    fx_stop(&f);
}
END_TEST

/* Reads may overtake each other: each is held to what was submitted before it. */
struct at_least {
    struct fx *f;
    uint64_t n;
};

static void sees_at_least(void *arg, const struct sh_event_record *events, size_t n,
                          const struct sh_err *err) {
    const struct at_least *want = arg;
    (void)events;
    ck_assert_uint_ge(n, want->n);
    fx_done(want->f, err);
}

START_TEST(a_read_sees_every_append_that_was_submitted_before_it) {
    struct fx f;
    struct at_least want[21];
    fx_start(&f, case_kinds[_i]);
    for (uint64_t i = 1; i <= 20; i++) {
        struct sh_event_record e = fx_event("wf-a", i, "{}");
        f.waiting += 2;
        sh_assert_ok(sh_store_append(f.store, &e, 1, NULL, 0, fx_done, &f, &f.err), &f.err);
        if (i == 10) {
            sh_store_flush(f.store); /* a transaction under way, ten more waiting */
        }
        want[i] = (struct at_least){&f, i};
        sh_store_read_events(f.store, SH_STR("wf-a"), 0, 512, sees_at_least, &want[i]);
    }
    fx_wait(&f);
    ck_assert_int_eq(f.err.code, 0);
    fx_stop(&f);
}
END_TEST

START_TEST(close_finishes_what_was_submitted_and_reopen_finds_it) {
    struct fx f;
    fx_start(&f, case_kinds[_i]);
    bool persistent = strcmp(case_kinds[_i], "memory") != 0;
    struct sh_event_record e = fx_event("wf-a", 1, "{\"x\":1}");
    json_t *row = json_pack("{s:s}", "status", "running");
    struct sh_put put = {SH_TABLE_WORKFLOW, SH_STR("wf-a"), row};
    f.waiting += 2;
    sh_assert_ok(sh_store_append(f.store, &e, 1, &put, 1, fx_done, &f, &f.err), &f.err);
    sh_store_get(f.store, SH_TABLE_WORKFLOW, SH_STR("wf-a"), on_records, &f);
    json_decref(row);
    fx_close(&f);
    ck_assert_int_eq(f.err.code, 0);
    assert_json(f.records, "[{\"id\":\"wf-a\",\"status\":\"running\"}]");
    sh_assert_ok(fx_open(&f), &f.err);
    sh_assert_ok(fx_read(&f, "wf-a", 0, 10), &f.err);
    ck_assert_uint_eq(f.n_events, persistent ? 1 : 0);
    fx_stop(&f);
}
END_TEST

START_TEST(a_page_that_is_not_counted_is_read_in_key_order) {
    struct fx f;
    struct sh_store_filter page = {.uncounted = true, .limit = 2};
    fx_start(&f, case_kinds[_i]);
    sh_assert_ok(fx_list(&f, SH_TABLE_WAKE, &page), &f.err);
    ck_assert_uint_eq(f.total, 0);
    sh_assert_ok(fx_put(&f, SH_TABLE_WAKE, "00b-x", "{\"due_us\":11}"), &f.err);
    sh_assert_ok(fx_put(&f, SH_TABLE_WAKE, "00a-y", "{\"due_us\":10}"), &f.err);
    sh_assert_ok(fx_put(&f, SH_TABLE_WAKE, "010-a:b.c", "{\"due_us\":16,\"n\":[1.5,null]}"),
                 &f.err);
    sh_assert_ok(fx_list(&f, SH_TABLE_WAKE, &page), &f.err);
    ck_assert_uint_eq(f.total, 2);
    assert_json(f.records, "[{\"due_us\":10,\"id\":\"00a-y\"},{\"due_us\":11,\"id\":\"00b-x\"}]");
    page.offset = 2;
    sh_assert_ok(fx_list(&f, SH_TABLE_WAKE, &page), &f.err);
    ck_assert_uint_eq(f.total, 1);
    assert_json(f.records, "[{\"due_us\":16,\"id\":\"010-a:b.c\",\"n\":[1.5,null]}]");
    static const char *const behind[] = {"00a-y", "00a-z", "010-a:b.c", "/"};
    static const char *const first[] = {"00b-x", "00b-x", NULL, "00a-y"};
    page.offset = 0;
    page.limit = 1;
    for (size_t i = 0; i < 4; i++) {
        page.after = behind[i];
        sh_assert_ok(fx_list(&f, SH_TABLE_WAKE, &page), &f.err);
        ck_assert_uint_eq(f.total, first[i] ? 1 : 0);
        ck_assert_msg(!first[i] ||
                          sh_str_eqz(sh_json_get_str(json_array_get(f.records, 0), "id"), first[i]),
                      "%s", behind[i]);
    }
    page.after = "a`b";
    sh_assert_fails(fx_list(&f, SH_TABLE_WAKE, &page), SH_E_INVAL, &f.err);
    page.after = NULL;
    page.newest_first = true;
    sh_assert_fails(fx_list(&f, SH_TABLE_WAKE, &page), SH_E_INVAL, &f.err);
    fx_stop(&f);
}
END_TEST

START_TEST(data_of_a_newer_version_is_refused) {
    struct fx f;
    fx_start(&f, case_kinds[_i]);
    if (strcmp(case_kinds[_i], "memory") != 0) {
        sh_assert_ok(fx_put(&f, SH_TABLE_META, "schema", "{\"version\":1000}"), &f.err);
        fx_close(&f);
        sh_assert_fails(fx_open(&f), SH_E_VERSION, &f.err);
        fx_close(&f);
        sh_assert_fails(fx_open(&f), SH_E_VERSION, &f.err); /* and stays as it was */
    }
    fx_stop(&f);
}
END_TEST

START_TEST(data_of_an_older_version_is_taken_up) {
    struct fx f;
    fx_start(&f, case_kinds[_i]);
    if (strcmp(case_kinds[_i], "memory") != 0) {
        sh_assert_ok(fx_put(&f, SH_TABLE_META, "schema", "{\"version\":1}"), &f.err);
        fx_close(&f);
        sh_assert_ok(fx_open(&f), &f.err);
        sh_assert_ok(fx_get(&f, SH_TABLE_META, "schema"), &f.err);
        assert_json(f.records, "[{\"id\":\"schema\",\"version\":5}]");
    }
    fx_stop(&f);
}
END_TEST

START_TEST(a_batch_at_its_limits_is_taken_and_one_past_them_is_not) {
    struct fx f;
    fx_start(&f, case_kinds[_i]);
    size_t n = SH_BATCH_RECORDS_MAX + 1;
    struct sh_event_record *e = sh_new_array(struct sh_event_record, n);
    for (size_t i = 0; i < n; i++) {
        e[i] = fx_event("wf-a", i + 1, "{}");
    }
    sh_assert_ok(fx_append(&f, e, n - 1, NULL, 0), &f.err);
    sh_assert_fails(fx_append(&f, e, n, NULL, 0), SH_E_LIMIT, &f.err);
    sh_free(e);
    char *body = sh_alloc(SH_EVENT_BODY_MAX + 2);
    memset(body, ' ', SH_EVENT_BODY_MAX + 1);
    body[SH_EVENT_BODY_MAX + 1] = '\0';
    struct sh_event_record big[2] = {fx_event("wf-b", 1, body), fx_event("wf-b", 2, body)};
    sh_assert_fails(fx_append(&f, big, 1, NULL, 0), SH_E_LIMIT, &f.err);
    big[0].body.len = SH_EVENT_BODY_MAX;
    sh_assert_ok(fx_append(&f, big, 1, NULL, 0), &f.err);
    big[0].seq = 2;
    big[1].seq = 3;
    big[1].body.len = SH_EVENT_BODY_MAX;
    sh_assert_fails(fx_append(&f, big, 2, NULL, 0), SH_E_LIMIT, &f.err); /* with their headers */
    sh_assert_ok(fx_read(&f, "wf-b", 0, 2), &f.err);
    ck_assert_uint_eq(f.n_events, 1);
    ck_assert_uint_eq(f.events[0].body.len, SH_EVENT_BODY_MAX);
    sh_free(body);
    fx_stop(&f);
}
END_TEST

START_TEST(what_is_over_the_limit_waits_for_the_next_transaction) {
    struct fx f;
    fx_start(&f, case_kinds[_i]);
    size_t each = SH_BATCH_RECORDS_MAX / 2 + 1;
    struct sh_event_record *e = sh_new_array(struct sh_event_record, each);
    for (int call = 0; call < 3; call++) {
        for (size_t i = 0; i < each; i++) {
            e[i] = fx_event(call == 0 ? "wf-a" : call == 1 ? "wf-b" : "wf-c", i + 1, "{}");
        }
        f.waiting++;
        sh_assert_ok(sh_store_append(f.store, e, each, NULL, 0, fx_done, &f, &f.err), &f.err);
    }
    fx_wait(&f);
    ck_assert_int_eq(f.err.code, 0);
    ck_assert_uint_eq(sh_store_stats(f.store).transactions, 3);
    ck_assert_uint_eq(sh_store_stats(f.store).largest_batch, each);
    sh_free(e);
    fx_stop(&f);
}
END_TEST

START_TEST(what_no_store_can_keep_is_refused_at_once) {
    struct fx f;
    fx_start(&f, case_kinds[_i]);
    struct sh_event_record e = fx_event("wf-a", 0, "{}");
    sh_assert_fails(fx_append(&f, &e, 1, NULL, 0), SH_E_INVAL, &f.err);
    e = fx_event("", 1, "{}");
    sh_assert_fails(fx_append(&f, &e, 1, NULL, 0), SH_E_INVAL, &f.err);
    e = fx_event("wf-a", 1, "\xff");
    sh_assert_fails(fx_append(&f, &e, 1, NULL, 0), SH_E_INVAL, &f.err);
    sh_assert_fails(fx_put(&f, SH_TABLE_KV, "", "{}"), SH_E_INVAL, &f.err);
    sh_assert_fails(fx_put(&f, SH_TABLE_KV, "k", "[]"), SH_E_INVAL, &f.err);
    json_t *deep = json_object();
    for (int i = 0; i < 128; i++) {
        deep = json_pack("{s:o}", "d", deep);
    }
    struct sh_put put = {SH_TABLE_KV, SH_STR("deep"), deep};
    sh_assert_ok(fx_append(&f, NULL, 0, &put, 1), &f.err);
    sh_assert_ok(fx_get(&f, SH_TABLE_KV, "deep"), &f.err);
    ck_assert_uint_eq(f.total, 1);
    json_t *deeper = json_pack("{s:O}", "d", deep);
    put.value = deeper;
    sh_assert_fails(fx_append(&f, NULL, 0, &put, 1), SH_E_INVAL, &f.err);
    json_decref(deep);
    json_decref(deeper);
    fx_stop(&f);
}
END_TEST

void fx_add_cases(TCase *tcase, const char *const kinds[]) {
    int n = 0;
    while (kinds[n]) {
        n++;
    }
    case_kinds = kinds;
    tcase_add_loop_test(tcase, a_journal_reads_back_in_order_from_any_place, 0, n);
    tcase_add_loop_test(tcase, a_journal_whose_beginning_was_compacted_reads_whole, 0, n);
    tcase_add_loop_test(tcase, an_event_that_exists_refuses_its_batch_whole, 0, n);
    tcase_add_loop_test(
        tcase, the_beginning_of_a_journal_is_cut_off_and_replaced_in_one_transaction, 0, n);
    tcase_add_loop_test(tcase, what_64_callers_append_in_one_turn_is_one_transaction, 0, n);
    tcase_add_loop_test(tcase, only_the_guilty_and_what_follows_it_in_its_workflow_fail, 0, n);
    tcase_add_loop_test(tcase, records_are_replaced_whole_and_deleted, 0, n);
    tcase_add_loop_test(tcase, values_come_back_exactly, 0, n);
    tcase_add_loop_test(tcase, the_last_value_of_a_key_wins_within_one_transaction, 0, n);
    tcase_add_loop_test(tcase, lists_filter_sort_page_and_count, 0, n);
    tcase_add_loop_test(tcase, a_read_sees_every_append_that_was_submitted_before_it, 0, n);
    tcase_add_loop_test(tcase, close_finishes_what_was_submitted_and_reopen_finds_it, 0, n);
    tcase_add_loop_test(tcase, a_page_that_is_not_counted_is_read_in_key_order, 0, n);
    tcase_add_loop_test(tcase, data_of_a_newer_version_is_refused, 0, n);
    tcase_add_loop_test(tcase, data_of_an_older_version_is_taken_up, 0, n);
    tcase_add_loop_test(tcase, a_batch_at_its_limits_is_taken_and_one_past_them_is_not, 0, n);
    tcase_add_loop_test(tcase, what_is_over_the_limit_waits_for_the_next_transaction, 0, n);
    tcase_add_loop_test(tcase, what_no_store_can_keep_is_refused_at_once, 0, n);
}
