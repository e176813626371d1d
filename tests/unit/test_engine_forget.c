/* What is forgotten is gone, whole, whatever happens meanwhile; what has not ended stays. */
#include "lib/check_main.h"
#include "lib/engine_fixture.h"
#include "lib/fake_tools.c"

static struct fixture f;

static int forget(const char *id) {
    struct fixture_answer g = {.f = &f};

    sh_engine_forget(f.engine, sh_str(id), fixture_on_json, &g);
    fixture_run(&f, &g.done);
    json_decref(g.value);
    return g.err.code;
}

/* Everything that names the task in what a power cut would leave. */
static size_t traces(const char *id) {
    json_t *all = sh_twin_snapshot(sh_twin_named(f.endpoint + 5)), *note;
    json_t *journal = json_object_get(json_object_get(all, "event"), id);
    sh_auto(sh_free_p) char *name = sh_asprintf("forget:%s", id);
    size_t n = json_array_size(journal);

    n += json_object_get(json_object_get(all, "workflow"), id) != NULL;
    note = json_object_get(json_object_get(all, "meta"), name);
    n += note != NULL;
    const char *key;
    json_t *record;
    json_object_foreach(json_object_get(all, "published"), key, record) {
        n += strncmp(key, id, strlen(id)) == 0;
    }
    json_decref(all);
    return n;
}

START_TEST(a_task_that_has_ended_is_forgotten_and_its_neighbour_is_not) {
    fixture_open(&f, "forget");
    sh_auto(sh_free_p) char *id =
        fixture_submit(&f, "(module\npublish p {\"n\":1}\nprint x\n", NULL);
    sh_auto(sh_free_p) char *other = fixture_submit(&f, "(module\nprint y\n", NULL);
    json_decref(fixture_wait(&f, id));
    json_decref(fixture_wait(&f, other));
    fixture_run_ms(&f, 5);
    json_t *row = fixture_row(&f, id); /* its events, the row, and what it published */
    ck_assert_uint_eq(traces(id), (size_t)sh_json_get_int(row, "seq", 0) + 2);
    json_decref(row);
    ck_assert_int_eq(forget(id), 0);
    ck_assert_uint_eq(traces(id), 0);
    ck_assert_uint_gt(traces(other), 3);
    ck_assert_int_eq(forget(id), SH_E_NOT_FOUND);
    json_t *v = fixture_verify(&f, other);
    ck_assert(sh_json_get_bool(v, "ok", false));
    json_decref(v);
    fixture_close(&f);
}
END_TEST

START_TEST(a_task_that_has_not_ended_is_refused) {
    fixture_open(&f, "forget-live");
    sh_auto(sh_free_p) char *id =
        fixture_submit(&f, "(module\nstart signal {\"name\":\"n\"}\nwait all\n", NULL);
    ck_assert_int_eq(forget(id), SH_E_STATE);
    ck_assert_int_eq(fixture_signal(&f, id, "n", json_null()), 0);
    json_t *row = fixture_wait(&f, id);
    ck_assert_str_eq(json_string_value(json_object_get(row, "status")), "completed");
    json_decref(row);
    fixture_close(&f);
}
END_TEST

START_TEST(what_a_power_cut_left_goes_at_the_next_start) {
    struct fixture_answer g = {.f = &f};

    fixture_open(&f, "forget-cut");
    sh_auto(sh_free_p) char *id = fixture_submit(&f, "(module\nprint x\n", NULL);
    json_decref(fixture_wait(&f, id));
    fixture_run_ms(&f, 5);
    struct sh_twin *twin = sh_twin_named(f.endpoint + 5);
    sh_twin_hold(twin, true);
    sh_engine_forget(f.engine, sh_str(id), fixture_on_json, &g);
    for (int i = 0; i < 2000 && sh_twin_held(twin) == 0; i++) {
        fixture_run_ms(&f, 1);
    }
    ck_assert_uint_eq(sh_twin_release(twin, 1),
                      1); /* the record goes, the journal is still there */
    fixture_run_ms(&f, 5);
    f.first_sweep_ns = 1000000;
    fixture_crash(&f, SH_TWIN_LOSE_ALL);
    for (int i = 0; i < 2000 && traces(id) > 0; i++) {
        fixture_run_ms(&f, 1);
    }
    ck_assert_uint_eq(traces(id), 0);
    fixture_close(&f);
}
END_TEST

START_TEST(retention_takes_what_ended_long_ago_by_how_it_ended) {
    f.keep_failed_ms = 1;
    f.first_sweep_ns = 300000000;
    fixture_open(&f, "retention");
    sh_auto(sh_free_p) char *good = fixture_submit(&f, "(module\nprint x\n", NULL);
    sh_auto(sh_free_p) char *bad = fixture_submit(&f, "(module\nexit 3\n", NULL);
    sh_auto(sh_free_p) char *live =
        fixture_submit(&f, "(module\nstart signal {\"name\":\"n\"}\nwait all\n", NULL);
    for (int i = 0; i < 5000 && traces(bad) > 0; i++) {
        fixture_run_ms(&f, 2);
    }
    ck_assert_uint_eq(traces(bad), 0);
    ck_assert_uint_gt(traces(good), 3);
    ck_assert_uint_gt(traces(live), 3);
    fixture_close(&f);
}
END_TEST

static Suite *suite(void) {
    const TTest *const tests[] = {a_task_that_has_ended_is_forgotten_and_its_neighbour_is_not,
                                  a_task_that_has_not_ended_is_refused,
                                  what_a_power_cut_left_goes_at_the_next_start,
                                  retention_takes_what_ended_long_ago_by_how_it_ended, NULL};
    return sh_suite("engine_forget", tests);
}
SH_TEST_MAIN(suite)
