/* A workflow that waits long holds no memory, and nobody sees a difference. */
#include <stdio.h>

#include "engine/index.h"
#include "lib/check_main.h"
#include "lib/engine_fixture.h"
#include "lib/fake_tools.c"

static struct fixture f;

#define SOON_MS 10 /* passivated after */

static const char two_signals[] = "(module\nprint a\nstart signal {\"name\":\"go\"}\nwait any\n"
                                  "start signal {\"name\":\"more\"}\nwait any\nprint z\n";

static void open_it(const char *name) {
    memset(&f, 0, sizeof(f));
    f.passivate_after_ms = SOON_MS;
    fixture_open(&f, name);
}

static int64_t stat_of(const char *name) {
    json_t *stats = sh_engine_stats(f.engine);
    int64_t n = sh_json_get_int(stats, name, -1);

    json_decref(stats);
    return n;
}

/* Until so many sleep and none is in memory. */
static void wait_asleep(int64_t n) {
    for (int i = 0; i < 2000; i++) {
        if (stat_of("in_memory") == 0 && stat_of("passivated") == n) {
            return;
        }
        fixture_run_ms(&f, 5);
    }
    ck_abort_msg("%lld in memory, %lld passivated", (long long)stat_of("in_memory"),
                 (long long)stat_of("passivated"));
}

static void assert_status(const char *id, const char *status) {
    json_t *row = fixture_row(&f, id);

    ck_assert_str_eq(json_string_value(json_object_get(row, "status")), status);
    json_decref(row);
}

static void assert_verifies(const char *id) {
    json_t *v = fixture_verify(&f, id);
    sh_auto(sh_free_p) char *text = sh_json_text(v);

    ck_assert_msg(sh_json_get_bool(v, "ok", false), "%s", text);
    ck_assert_str_eq(json_string_value(json_object_get(v, "replay")), "ok");
    json_decref(v);
}

static void assert_result(const char *id, const char *result) {
    json_t *row = fixture_wait(&f, id);

    ck_assert_str_eq(json_string_value(json_object_get(row, "status")), "completed");
    ck_assert_str_eq(json_string_value(json_object_get(row, "result")), result);
    ck_assert_ptr_null(json_object_get(row, "asleep"));
    json_decref(row);
    assert_verifies(id);
}

static size_t events_of(const char *id, const char *type) {
    json_t *events = fixture_events(&f, id);
    size_t n = fixture_count(events, type, NULL);

    json_decref(events);
    return n;
}

static const char both_came[] = "a\n1 {\"ok\":{\"name\":\"go\",\"payload\":null}}\n"
                                "2 {\"ok\":{\"name\":\"more\",\"payload\":null}}\nz";

START_TEST(a_signal_wakes_what_waits_for_it_and_only_that) {
    open_it("signal");
    sh_auto(sh_free_p) char *id = fixture_submit(&f, two_signals, NULL);
    wait_asleep(1);
    assert_status(id, "running");
    ck_assert_int_eq(fixture_signal(&f, id, "more", NULL), 0); /* kept for later */
    ck_assert_int_eq(stat_of("in_memory"), 0);
    ck_assert_uint_eq(events_of(id, "SignalReceived"), 1);
    ck_assert_uint_eq(events_of(id, "Claimed"), 0);
    fixture_stop_engine(&f);
    fixture_start_engine(&f);
    fixture_run_ms(&f, 20);
    ck_assert_int_eq(stat_of("in_memory"), 0); /* a start does not take it up */
    ck_assert_int_eq(stat_of("passivated"), 1);
    ck_assert_int_eq(fixture_signal(&f, id, "unknown", NULL), 0);
    ck_assert_uint_eq(events_of(id, "Claimed"), 1); /* another process added to it */
    ck_assert_int_eq(fixture_signal(&f, id, "go", NULL), 0);
    assert_result(id, both_came);
    ck_assert_int_eq(stat_of("passivated"), 0);
    fixture_close(&f);
}
END_TEST

START_TEST(its_time_wakes_it_here_and_after_a_restart) {
    open_it("timer");
    sh_auto(sh_free_p) char *here =
        fixture_submit(&f, "(module\nstart sleep {\"ms\":300}\nwait any\nprint b\n", NULL);
    wait_asleep(1);
    assert_result(here, "1 {\"ok\":{\"slept_ms\":300}}\nb");
    sh_auto(sh_free_p) char *there = fixture_submit(&f, "(module\nsleep 1200\nprint c\n", NULL);
    sh_auto(sh_free_p) char *never =
        fixture_submit(&f, "(module\nstart sleep {\"ms\":86400000}\nwait any\n", NULL);
    wait_asleep(2);
    fixture_crash(&f, SH_TWIN_LOSE_ALL);
    fixture_run_ms(&f, 20);
    ck_assert_int_eq(stat_of("passivated"), 2);
    assert_result(there, "c");
    assert_status(never, "running");
    fixture_close(&f);
}
END_TEST

START_TEST(pause_cancel_and_resume_reach_what_sleeps) {
    json_t *row;

    open_it("control");
    sh_auto(sh_free_p) char *id = fixture_submit(&f, two_signals, NULL);
    sh_auto(sh_free_p) char *canceled = fixture_submit(&f, two_signals, NULL);
    wait_asleep(2);
    ck_assert_int_eq(fixture_control(&f, id, sh_engine_pause), 0);
    assert_status(id, "paused");
    ck_assert_int_eq(stat_of("in_memory"), 0);
    ck_assert_int_eq(fixture_signal(&f, id, "more", NULL), 0);
    assert_status(id, "paused");
    ck_assert_int_eq(fixture_control(&f, canceled, sh_engine_cancel), 0);
    row = fixture_wait(&f, canceled);
    ck_assert_str_eq(json_string_value(json_object_get(row, "status")), "canceled");
    json_decref(row);
    fixture_crash(&f, SH_TWIN_LOSE_ALL);
    assert_status(id, "paused");
    ck_assert_int_eq(fixture_control(&f, id, sh_engine_resume), 0);
    ck_assert_int_eq(fixture_signal(&f, id, "go", NULL), 0);
    assert_result(id, both_came);
    ck_assert_int_eq(fixture_control(&f, id, sh_engine_cancel), SH_E_STATE);
    ck_assert_int_eq(fixture_control(&f, "wf-nobody", sh_engine_pause), SH_E_NOT_FOUND);
    fixture_close(&f);
}
END_TEST

START_TEST(an_answer_reaches_the_question_of_what_sleeps) {
    memset(&f, 0, sizeof(f));
    f.passivate_after_ms = SOON_MS;
    f.attended = true;
    fixture_open(&f, "ask");
    sh_auto(sh_free_p) char *id =
        fixture_submit(&f, "(module\nstart web_search {\"q\":1}\nwait any\nprint z\n", NULL);
    wait_asleep(1);
    fixture_crash(&f, SH_TWIN_LOSE_ALL);
    ck_assert_int_eq(fixture_answer(&f, id, "once"), 0);
    json_decref(fixture_wait(&f, id));
    fixture_close(&f);
}
END_TEST

/* A time that comes meanwhile wakes nobody: nothing could be done with it. */
START_TEST(a_used_up_budget_holds_no_memory_until_it_is_raised) {
    sh_auto(sh_json_done) json_t *caps = fixture_json("{\"limits\":{\"tokens\":5}}");
    sh_auto(sh_json_done) json_t *more = fixture_json("{\"tokens\":1000}");
    sh_auto(sh_json_done) json_t *policy =
        fixture_json("{\"rules\":[{\"agent\":\"*\",\"allow\":{\"tools\":[\"llm\"]}}]}");
    struct fixture_answer a = {.f = &f};

    memset(&f, 0, sizeof(f));
    f.passivate_after_ms = SOON_MS;
    f.attended = f.budget_asks = true;
    f.policy_doc = policy;
    fixture_open(&f, "budget");
    sh_auto(sh_free_p) char *id =
        fixture_submit(&f,
                       "(module\nstart sleep {\"ms\":300}\nstart signal {\"name\":\"go\"}\n"
                       "start llm {\"q\":1}\nwait 3\nstart llm {\"q\":2}\nwait all\nprint end\n",
                       &(struct sh_submit){.capabilities = caps});
    wait_asleep(1);
    assert_status(id, "paused");
    fixture_run_ms(&f, 400);
    ck_assert_int_eq(stat_of("in_memory"), 0);
    ck_assert_uint_eq(events_of(id, "Claimed"), 0);
    ck_assert_int_eq(fixture_signal(&f, id, "go", NULL), 0);
    wait_asleep(1);
    assert_status(id, "paused");
    fixture_crash(&f, SH_TWIN_LOSE_ALL);
    fixture_run_ms(&f, 50);
    ck_assert_int_eq(stat_of("in_memory"), 0);
    assert_status(id, "paused");
    sh_engine_raise(f.engine, sh_str(id), more, "a test", "", fixture_on_json, &a);
    fixture_run(&f, &a.done);
    ck_assert_int_eq(a.err.code, 0);
    json_decref(a.value);
    json_t *row = fixture_wait(&f, id);
    ck_assert_str_eq(json_string_value(json_object_get(row, "status")), "completed");
    ck_assert_ptr_nonnull(
        strstr(json_string_value(json_object_get(row, "result")), "\"slept_ms\":300"));
    ck_assert_ptr_nonnull(
        strstr(json_string_value(json_object_get(row, "result")), "2 {\"ok\":{\"name\":\"go\""));
    json_decref(row);
    assert_verifies(id);
    fixture_close(&f);
}
END_TEST

static int told; /* answers to the signal below: 0 none, 1 done, -1 failed */

static void on_told(void *arg, json_t *row, const struct sh_err *err) {
    (void)arg;
    (void)row;
    told = err ? -1 : 1;
}

/* The mark is on its way to the store when the signal comes: the signal must win, whatever of both
 * a power cut leaves. */
START_TEST(a_signal_that_meets_the_way_to_sleep_is_not_slept_through) {
    static const enum sh_twin_loss losses[] = {SH_TWIN_LOSE_ALL, SH_TWIN_LOSE_NONE,
                                               SH_TWIN_LOSE_FIRST, SH_TWIN_LOSE_LAST};
    struct sh_twin *twin;

    open_it("race");
    sh_auto(sh_free_p) char *id =
        fixture_submit(&f, "(module\nstart signal {\"name\":\"go\"}\nwait any\nprint z\n", NULL);
    twin = sh_twin_named("race");
    while (events_of(id, "ActivityScheduled") == 0) {
        fixture_run_ms(&f, 1);
    }
    sh_twin_hold(twin, true);
    while (sh_twin_held(twin) == 0 && stat_of("in_memory") == 1) {
        fixture_run_ms(&f, 1);
    }
    sh_engine_signal(f.engine, sh_str(id), SH_STR("go"), NULL, on_told, NULL);
    fixture_run_ms(&f, 20);
    if (_i < 4) {
        fixture_crash(&f, losses[_i]);
    } else {
        sh_twin_hold(twin, false);
        sh_twin_release(twin, SIZE_MAX);
        fixture_run_ms(&f, 20);
        ck_assert_int_eq(told, 1);
    }
    if (events_of(id, "SignalReceived") == 0) {
        ck_assert_int_ne(told, 1);
        ck_assert_int_eq(fixture_signal(&f, id, "go", NULL), 0);
    }
    assert_result(id, "1 {\"ok\":{\"name\":\"go\",\"payload\":null}}\nz");
    ck_assert_int_eq(stat_of("passivated"), 0);
    fixture_close(&f);
}
END_TEST

/* An event that does not wake the agent takes the mark back all the same: it goes to sleep again.
 */
START_TEST(a_signal_for_later_that_meets_the_way_to_sleep_keeps_nobody_awake) {
    struct sh_twin *twin;

    open_it("again");
    sh_auto(sh_free_p) char *id = fixture_submit(&f, two_signals, NULL);
    twin = sh_twin_named("again");
    while (events_of(id, "ActivityScheduled") == 0) {
        fixture_run_ms(&f, 1);
    }
    sh_twin_hold(twin, true);
    while (sh_twin_held(twin) == 0 && stat_of("in_memory") == 1) {
        fixture_run_ms(&f, 1);
    }
    sh_engine_signal(f.engine, sh_str(id), SH_STR("more"), NULL, on_told, NULL);
    fixture_run_ms(&f, 20);
    sh_twin_hold(twin, false);
    sh_twin_release(twin, SIZE_MAX);
    wait_asleep(1);
    ck_assert_int_eq(fixture_signal(&f, id, "go", NULL), 0);
    assert_result(id, both_came);
    fixture_close(&f);
}
END_TEST

struct follower {
    struct sh_subscription *sub;
    uint64_t last;
    bool ended;
};

static void on_event(void *arg, const struct sh_live_event *ev) {
    struct follower *w = arg;

    if (ev->event) {
        ck_assert_uint_eq(ev->event->seq, w->last + 1);
        w->last = ev->event->seq;
        if (sh_event_is_final(ev->event->type)) {
            w->ended = true;
            sh_loop_stop(f.loop);
        }
    }
}

static void on_missing(void *arg) {
    (void)arg;
    ck_abort_msg("it is there");
}

START_TEST(a_follower_stays_with_it_through_its_sleep) {
    struct follower early = {0}, late = {0};
    struct sh_err err = {0};

    open_it("follow");
    sh_auto(sh_free_p) char *id = fixture_submit(&f, two_signals, NULL);
    sh_assert_ok(sh_engine_subscribe(f.engine, sh_str(id), 0, on_event, on_missing, &early,
                                     &early.sub, &err),
                 &err);
    wait_asleep(1);
    sh_assert_ok(
        sh_engine_subscribe(f.engine, sh_str(id), 0, on_event, on_missing, &late, &late.sub, &err),
        &err);
    ck_assert_int_eq(fixture_signal(&f, id, "more", NULL), 0); /* it sleeps on */
    fixture_run_ms(&f, 10);
    ck_assert_uint_eq(early.last, late.last);
    ck_assert_uint_eq(events_of(id, "SignalReceived"), 1);
    ck_assert_int_eq(fixture_signal(&f, id, "go", NULL), 0);
    fixture_run(&f, &early.ended);
    fixture_run(&f, &late.ended);
    sh_engine_unsubscribe(early.sub);
    sh_engine_unsubscribe(late.sub);
    fixture_close(&f);
}
END_TEST

static void on_put(void *arg, const struct sh_err *err) {
    bool *done = arg;

    ck_assert_ptr_null(err);
    *done = true;
    sh_loop_stop(f.loop);
}

static void put_all(struct sh_put *puts, size_t n) {
    struct sh_err err = {0};
    bool done = false;

    sh_assert_ok(sh_store_append(f.store, NULL, 0, puts, n, on_put, &done, &err), &err);
    sh_store_flush(f.store);
    fixture_run(&f, &done);
}

/* More sleepers than a page, most of them records that something left behind. */
START_TEST(sleepers_are_read_page_by_page) {
    enum { N = 2500 };
    struct sh_put *puts = sh_new_array(struct sh_put, N);
    char(*keys)[64] = sh_calloc(N, sizeof(*keys));
    json_t *record = NULL;

    open_it("pages");
    sh_auto(sh_free_p) char *id =
        fixture_submit(&f, "(module\nstart sleep {\"ms\":1500}\nwait any\nprint up\n", NULL);
    wait_asleep(1);
    for (int i = 0; i < N; i++) {
        snprintf(keys[i], sizeof(keys[i]), "%016x-wf-gone-%d", i + 1, i);
        record =
            json_pack("{s:o, s:i}", "workflow", json_sprintf("wf-gone-%d", i), "due_us", i + 1);
        puts[i] = (struct sh_put){SH_TABLE_WAKE, sh_str(keys[i]), record};
    }
    put_all(puts, N);
    for (int i = 0; i < N; i++) {
        json_decref((json_t *)(uintptr_t)puts[i].value);
    }
    sh_free(puts);
    sh_free(keys);
    fixture_stop_engine(&f);
    fixture_start_engine(&f);
    assert_result(id, "1 {\"ok\":{\"slept_ms\":1500}}\nup");
    json_t *all = sh_twin_snapshot(sh_twin_named("pages"));
    ck_assert_uint_eq(json_object_size(json_object_get(all, "wake")), 0);
    ck_assert_uint_eq(json_object_size(json_object_get(all, "active")), 0);
    json_decref(all);
    fixture_close(&f);
}
END_TEST

/* Data of a version that kept no index: unfinished workflows are found by their rows, once, page
 * by page, and nothing is written for those that are over. */
START_TEST(data_without_an_index_gets_one) {
    enum { N = 250 };
    struct sh_put *puts = sh_new_array(struct sh_put, N);
    char(*keys)[SH_INDEX_KEY_BYTES] = sh_calloc(N, sizeof(*keys));
    json_t *over = json_pack("{s:s}", "status", "completed");

    memset(&f, 0, sizeof(f));
    fixture_open(&f, "old");
    for (int i = 0; i < N; i++) { /* half of them before it, half behind it */
        snprintf(keys[i], sizeof(keys[i]), "%c-%03d", i % 2 ? 'a' : 'z', i);
        puts[i] = (struct sh_put){SH_TABLE_WORKFLOW, sh_str(keys[i]), over};
    }
    put_all(puts, N);
    sh_auto(sh_free_p) char *id = fixture_submit(&f, two_signals, NULL);
    fixture_run_ms(&f, 20);
    json_t *all = sh_twin_snapshot(sh_twin_named("old"));
    snprintf(keys[0], sizeof(keys[0]), "%s",
             json_object_iter_key(json_object_iter(json_object_get(all, "active"))));
    json_decref(all);
    put_all((struct sh_put[]){{SH_TABLE_ACTIVE, sh_str(keys[0]), NULL},
                              {SH_TABLE_META, SH_STR("index"), NULL}},
            2);
    fixture_stop_engine(&f);
    fixture_start_engine(&f);
    all = sh_twin_snapshot(sh_twin_named("old"));
    ck_assert_uint_eq(json_object_size(json_object_get(all, "active")), 1);
    json_decref(all);
    ck_assert_int_eq(fixture_signal(&f, id, "go", NULL), 0);
    ck_assert_int_eq(fixture_signal(&f, id, "more", NULL), 0);
    assert_result(id, both_came);
    fixture_close(&f);
    json_decref(over);
    sh_free(keys);
    sh_free(puts);
}
END_TEST

START_TEST(a_sleep_too_short_to_be_recorded_ends_in_memory) {
    open_it("short");
    sh_auto(sh_free_p) char *id = fixture_submit(&f, "(module\nsleep 400\nprint z\n", NULL);
    json_t *events;

    assert_result(id, "z");
    events = fixture_events(&f, id); /* left, it would begin again with each waking up */
    ck_assert_uint_eq(fixture_count(events, "Claimed", NULL), 0);
    json_decref(events);
    fixture_close(&f);
}
END_TEST

static Suite *suite(void) {
    const TTest *const tests[] = {a_signal_wakes_what_waits_for_it_and_only_that,
                                  its_time_wakes_it_here_and_after_a_restart,
                                  a_signal_for_later_that_meets_the_way_to_sleep_keeps_nobody_awake,
                                  pause_cancel_and_resume_reach_what_sleeps,
                                  an_answer_reaches_the_question_of_what_sleeps,
                                  a_used_up_budget_holds_no_memory_until_it_is_raised,
                                  a_follower_stays_with_it_through_its_sleep,
                                  sleepers_are_read_page_by_page,
                                  data_without_an_index_gets_one,
                                  a_sleep_too_short_to_be_recorded_ends_in_memory,
                                  NULL};
    Suite *s = sh_suite("engine_asleep", tests);
    TCase *race = tcase_create("race");

    tcase_set_timeout(race, SH_TEST_SECONDS);
    tcase_add_loop_test(race, a_signal_that_meets_the_way_to_sleep_is_not_slept_through, 0, 5);
    suite_add_tcase(s, race);
    return s;
}
SH_TEST_MAIN(suite)
