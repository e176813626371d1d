/* What every store must do between owners. */
#include "store_cases.h"

#include <stdio.h>

static const char *const *case_kinds;

struct owning {
    struct fx *f;
    struct sh_store_owner *owner;
};

static void on_owned(void *arg, struct sh_store_owner *o, const struct sh_err *err) {
    struct owning *w = arg;

    w->owner = o;
    fx_done(w->f, err);
}

static struct sh_store_owner *own(struct fx *f, const char *name) {
    struct owning w = {.f = f};

    f->err = (struct sh_err){0};
    f->waiting++;
    sh_store_own(f->store, name, on_owned, &w);
    fx_wait(f);
    sh_assert_ok(-f->err.code, &f->err);
    ck_assert_ptr_nonnull(w.owner);
    return w.owner;
}

/* Begins; fx_wait ends it. */
static void begin_as(struct fx *f, struct sh_store_owner *o, const char *workflow, uint64_t seq) {
    struct sh_event_record e = fx_event(workflow, seq, "{}");

    f->waiting++;
    sh_assert_ok(sh_store_append_as(f->store, o, &e, 1, NULL, 0, fx_done, f, &f->err), &f->err);
}

static int write_as(struct fx *f, struct sh_store_owner *o, const char *workflow, uint64_t seq) {
    f->err = (struct sh_err){0};
    begin_as(f, o, workflow, seq);
    fx_wait(f);
    return -f->err.code;
}

/* A record alone: no id of an event could refuse it. */
static int put_as(struct fx *f, struct sh_store_owner *o, const char *key) {
    sh_auto(sh_json_done) json_t *value = json_pack("{s:i}", "x", 1);
    struct sh_put put = {SH_TABLE_WORKFLOW, sh_str(key), value};

    f->err = (struct sh_err){0};
    f->waiting++;
    sh_assert_ok(sh_store_append_as(f->store, o, NULL, 0, &put, 1, fx_done, f, &f->err), &f->err);
    fx_wait(f);
    return -f->err.code;
}

START_TEST(epochs_rise_and_outlive_the_store) {
    struct fx f;
    fx_start(&f, case_kinds[_i]);
    for (uint64_t epoch = 1; epoch <= 3; epoch++) {
        struct sh_store_owner *o = own(&f, "one");
        ck_assert_uint_eq(sh_store_epoch(o), epoch);
        ck_assert_int_eq(write_as(&f, o, "wf-1", epoch), 0);
        sh_store_disown(o);
    }
    bool kept = strcmp(case_kinds[_i], "memory") != 0;
    fx_close(&f);
    sh_assert_ok(fx_open(&f), &f.err);
    struct sh_store_owner *o = own(&f, "two");
    ck_assert_uint_eq(sh_store_epoch(o), kept ? 4 : 1);
    sh_assert_ok(fx_get(&f, SH_TABLE_META, "owner"), &f.err);
    ck_assert_int_eq(sh_json_get_int(json_array_get(f.records, 0), "epoch", 0), kept ? 4 : 1);
    sh_store_disown(o);
    sh_store_disown(NULL);
    fx_stop(&f);
}
END_TEST

START_TEST(what_a_past_owner_writes_is_refused_whole_whatever_it_is) {
    struct fx f;
    fx_start(&f, case_kinds[_i]);
    struct sh_store_owner *a = own(&f, "a");
    ck_assert_int_eq(write_as(&f, a, "wf-1", 1), 0);
    ck_assert_int_eq(put_as(&f, a, "wf-1"), 0);
    struct sh_store_owner *b = own(&f, "b");
    struct sh_err lost = {0};
    ck_assert(!sh_store_lost(a, &lost)); /* it does not know yet */
    ck_assert_int_eq(put_as(&f, a, "wf-2"), -SH_E_FENCED);
    ck_assert_msg(strstr(f.err.message, "another process has taken over"), "%s", f.err.message);
    ck_assert(sh_store_lost(a, &lost) && !sh_store_lost(b, &lost));
    ck_assert_int_eq(write_as(&f, a, "wf-3", 1), -SH_E_FENCED); /* and for good */
    sh_assert_ok(fx_get(&f, SH_TABLE_WORKFLOW, "wf-2"), &f.err);
    ck_assert_uint_eq(json_array_size(f.records), 0);
    sh_assert_ok(fx_read(&f, "wf-3", 0, 10), &f.err);
    ck_assert_uint_eq(f.n_events, 0);
    ck_assert_int_eq(write_as(&f, b, "wf-1", 2), 0);
    ck_assert_int_eq(fx_append_one(&f, "wf-4", 1), 0); /* nobody's writes are not fenced */
    sh_store_disown(a);
    sh_store_disown(b);
    fx_stop(&f);
}
END_TEST

START_TEST(a_batch_of_many_of_a_past_owner_is_refused_and_the_others_go_in) {
    struct fx f;
    fx_start(&f, case_kinds[_i]);
    struct sh_store_owner *a = own(&f, "a"), *b = own(&f, "b");
    f.err = (struct sh_err){0};
    for (int i = 0; i < 24; i++) {
        char id[16];
        snprintf(id, sizeof(id), "wf-%d", i);
        begin_as(&f, i % 3 == 0 ? b : a, id, 1);
    }
    fx_wait(&f);
    ck_assert_int_eq(f.err.code, SH_E_FENCED);
    for (int i = 0; i < 24; i++) {
        char id[16];
        snprintf(id, sizeof(id), "wf-%d", i);
        sh_assert_ok(fx_read(&f, id, 0, 10), &f.err);
        ck_assert_uint_eq(f.n_events, i % 3 == 0);
    }
    sh_store_disown(a);
    sh_store_disown(b);
    fx_stop(&f);
}
END_TEST

/* Of meta:owner. */
static int64_t owner_member(struct fx *f, const char *name) {
    sh_assert_ok(fx_get(f, SH_TABLE_META, "owner"), &f->err);
    ck_assert_uint_eq(json_array_size(f->records), 1);
    return sh_json_get_int(json_array_get(f->records, 0), name, -1);
}

START_TEST(an_owner_that_wrote_for_long_is_fenced_too_and_leaves_one_record) {
    struct fx f;
    fx_start(&f, case_kinds[_i]);
    struct sh_store_owner *a = own(&f, "a");
    for (uint64_t i = 1; i <= 300; i++) {
        ck_assert_int_eq(write_as(&f, a, "wf-1", i), 0);
    }
    ck_assert_int_eq(owner_member(&f, "epoch"), 1);
    struct sh_store_owner *b = own(&f, "b");
    ck_assert_int_eq(write_as(&f, a, "wf-1", 301), -SH_E_FENCED);
    ck_assert_int_eq(write_as(&f, b, "wf-1", 301), 0);
    ck_assert_int_eq(owner_member(&f, "epoch"), 2);
    sh_store_disown(a);
    sh_store_disown(b);
    fx_stop(&f);
}
END_TEST

START_TEST(of_several_that_take_over_at_once_the_last_is_the_owner) {
    struct fx f;
    struct owning all[5];
    fx_start(&f, case_kinds[_i]);
    for (size_t i = 0; i < 5; i++) {
        all[i] = (struct owning){.f = &f};
        f.waiting++;
        sh_store_own(f.store, "one of five", on_owned, &all[i]);
    }
    fx_wait(&f);
    ck_assert_int_eq(f.err.code, 0);
    uint64_t seen = 0;
    for (size_t i = 0; i < 5; i++) {
        uint64_t epoch = sh_store_epoch(all[i].owner);
        ck_assert(epoch >= 1 && epoch <= 5 && !(seen & (1ULL << epoch)));
        seen |= 1ULL << epoch;
        char id[16];
        snprintf(id, sizeof(id), "wf-%zu", i);
        ck_assert_int_eq(write_as(&f, all[i].owner, id, 1), epoch == 5 ? 0 : -SH_E_FENCED);
    }
    for (size_t i = 0; i < 5; i++) {
        sh_store_disown(all[i].owner);
    }
    fx_stop(&f);
}
END_TEST

void fx_add_owner_cases(TCase *tcase, const char *const kinds[]) {
    int n = 0;
    case_kinds = kinds;
    while (kinds[n]) {
        n++;
    }
    tcase_add_loop_test(tcase, epochs_rise_and_outlive_the_store, 0, n);
    tcase_add_loop_test(tcase, what_a_past_owner_writes_is_refused_whole_whatever_it_is, 0, n);
    tcase_add_loop_test(tcase, a_batch_of_many_of_a_past_owner_is_refused_and_the_others_go_in, 0,
                        n);
    tcase_add_loop_test(tcase, an_owner_that_wrote_for_long_is_fenced_too_and_leaves_one_record, 0,
                        n);
    tcase_add_loop_test(tcase, of_several_that_take_over_at_once_the_last_is_the_owner, 0, n);
}
