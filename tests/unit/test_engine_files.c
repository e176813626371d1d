/* Agents that wait for the pool for files: parked by the executors, found by cancel, by the wall
 * clock and by pause, and not missed by anybody else. */
#include "lib/check_main.h"
#include "lib/engine_fixture.h"
#include "lib/fake_tools.c"

static struct fixture f;

static void expect(json_t *row, const char *status, const char *result) {
    sh_auto(sh_free_p) char *text = sh_json_text(row);

    ck_assert_msg(sh_str_eqz(sh_json_get_str(row, "status"), status), "%s", text);
    if (result) {
        ck_assert_str_eq(json_string_value(json_object_get(row, "result")), result);
    }
    json_decref(row);
}

static char *limited(const char *program, const char *capabilities) {
    json_t *caps = json_loads(capabilities, 0, NULL);
    char *id = fixture_submit(&f, program, &(struct sh_submit){.capabilities = caps});

    json_decref(caps);
    return id;
}

static void wait_for_hang(unsigned n) {
    while (sh_hang_waiting() != n) {
        fixture_run_ms(&f, 5);
    }
}

static void verified(const char *id) {
    json_t *v = fixture_verify(&f, id);

    ck_assert(sh_json_get_bool(v, "ok", false));
    json_decref(v);
}

START_TEST(file_calls_are_made_and_leave_no_trace_in_the_journal) {
    json_t *with, *without;

    fixture_open(&f, "plain");
    sh_auto(sh_free_p) char *a =
        fixture_submit(&f, "(module\nprint a\nfile\nfile\nprint b\nfile\nexit 0\n", NULL);
    expect(fixture_wait(&f, a), "completed", "a\nlooked\nlooked\nb\nlooked");
    verified(a);
    sh_auto(sh_free_p) char *b =
        fixture_submit(&f, "(module\nprint a\nsleep 0\nprint b\nexit 0\n", NULL);
    expect(fixture_wait(&f, b), "completed", "a\nb");
    with = fixture_events(&f, a);
    without = fixture_events(&f, b);
    ck_assert_uint_eq(fixture_count(with, "Observed", NULL), 0);
    ck_assert_uint_eq(json_array_size(with) - fixture_count(with, "Output", NULL),
                      json_array_size(without) - fixture_count(without, "Output", NULL));
    json_decref(with);
    json_decref(without);
    fixture_close(&f);
}
END_TEST

/* More agents hang than there are executors; all others go on, and what was said before is told. */
START_TEST(a_hanging_call_holds_no_executor) {
    char *ids[SH_FILE_THREADS];
    json_t *events;

    fixture_open(&f, "hang");
    sh_hang_plan(1, SH_FILE_THREADS);
    for (int i = 0; i < SH_FILE_THREADS; i++) {
        ids[i] = fixture_submit(&f, "(module\nprint before\nfile\nprint after\n", NULL);
    }
    wait_for_hang(SH_FILE_THREADS);
    for (int i = 0; i < 8; i++) {
        sh_auto(sh_free_p) char *id = fixture_submit(&f, "(module\nspin 20\nprint done\n", NULL);
        expect(fixture_wait(&f, id), "completed", "done");
    }
    events = fixture_events(&f, ids[0]);
    ck_assert_uint_eq(fixture_count(events, "Output", NULL), 1);
    json_decref(events);
    sh_hang_release();
    for (int i = 0; i < SH_FILE_THREADS; i++) {
        expect(fixture_wait(&f, ids[i]), "completed", "before\nlooked\nafter");
        verified(ids[i]);
        sh_free(ids[i]);
    }
    fixture_close(&f);
}
END_TEST

START_TEST(wall_clock_ends_an_agent_in_a_hanging_call) {
    json_t *row;

    fixture_open(&f, "wall");
    sh_hang_plan(1, 1);
    sh_auto(sh_free_p) char *id =
        limited("(module\nprint x\nfile\nprint never\n", "{\"limits\":{\"wall_clock\":\"100ms\"}}");
    row = fixture_wait(&f, id);
    ck_assert_str_eq(json_string_value(json_object_get(json_object_get(row, "error"), "code")),
                     "wall_clock_limit");
    expect(row, "timeout", NULL);
    ck_assert_uint_eq(sh_hang_waiting(), 1); /* the call outlives its agent */
    verified(id);
    sh_hang_release();
    fixture_close(&f);
}
END_TEST

START_TEST(cancel_ends_an_agent_in_a_hanging_call) {
    fixture_open(&f, "cancel");
    sh_hang_plan(1, 1);
    sh_auto(sh_free_p) char *id = fixture_submit(&f, "(module\nfile\nprint never\n", NULL);
    wait_for_hang(1);
    ck_assert_int_eq(fixture_control(&f, id, sh_engine_cancel), 0);
    expect(fixture_wait(&f, id), "canceled", NULL);
    ck_assert_uint_eq(sh_hang_waiting(), 1);
    sh_hang_release();
    fixture_close(&f);
}
END_TEST

START_TEST(pause_and_resume_meet_a_hanging_call) {
    json_t *row;

    fixture_open(&f, "pause");
    sh_hang_plan(1, 1);
    sh_auto(sh_free_p) char *id = fixture_submit(&f, "(module\nfile\nprint after\n", NULL);
    wait_for_hang(1);
    ck_assert_int_eq(fixture_control(&f, id, sh_engine_pause), 0);
    fixture_run_ms(&f, 50);
    sh_hang_release(); /* the call ends while its agent is paused */
    fixture_run_ms(&f, 50);
    row = fixture_row(&f, id);
    ck_assert_str_eq(json_string_value(json_object_get(row, "status")), "paused");
    json_decref(row);
    ck_assert_int_eq(fixture_control(&f, id, sh_engine_resume), 0);
    expect(fixture_wait(&f, id), "completed", "looked\nafter");
    fixture_close(&f);
}
END_TEST

START_TEST(the_engine_stops_and_starts_around_a_hanging_call) {
    fixture_open(&f, "stop");
    sh_hang_plan(1, 1);
    sh_auto(sh_free_p) char *id = fixture_submit(&f, "(module\nprint x\nfile\nprint y\n", NULL);
    wait_for_hang(1);
    fixture_stop_engine(&f);
    ck_assert_uint_eq(sh_hang_waiting(), 1);
    fixture_start_engine(&f);
    expect(fixture_wait(&f, id), "completed", "x\nlooked\ny");
    verified(id);
    sh_hang_release();
    fixture_close(&f);
}
END_TEST

START_TEST(a_call_that_hangs_too_long_is_an_error_that_the_agent_sees) {
    f.file_stuck_ms = 50;
    fixture_open(&f, "stuck");
    sh_hang_plan(1, 1);
    sh_auto(sh_free_p) char *id = fixture_submit(&f, "(module\nfile\nprint after\n", NULL);
    expect(fixture_wait(&f, id), "completed", "given up\nafter");
    sh_hang_release();
    fixture_close(&f);
}
END_TEST

START_TEST(an_agent_that_is_slowed_goes_on_and_its_clock_runs) {
    uint64_t began = sh_mono_ns();
    json_t *row;

    fixture_open(&f, "slowed");
    sh_auto(sh_free_p) char *id = fixture_submit(&f, "(module\nslow 100\nprint on\n", NULL);
    expect(fixture_wait(&f, id), "completed", "on");
    ck_assert_uint_ge(sh_mono_ns() - began, 100000000ULL);
    verified(id);
    sh_auto(sh_free_p) char *slow =
        limited("(module\nslow 30000\n", "{\"limits\":{\"wall_clock\":\"100ms\"}}");
    row = fixture_wait(&f, slow);
    expect(row, "timeout", NULL);
    fixture_close(&f);
}
END_TEST

/* A step that nothing interrupts holds its thread; with all of them held, others still run. */
START_TEST(held_executors_are_replaced) {
    fixture_open(&f, "held"); /* two executors */
    sh_auto(sh_free_p) char *a = fixture_submit(&f, "(module\nhold\nprint a\n", NULL);
    sh_auto(sh_free_p) char *b = fixture_submit(&f, "(module\nhold\nprint b\n", NULL);
    while (fake_held() < 2) {
        fixture_run_ms(&f, 2);
    }
    for (int i = 0; i < 4; i++) {
        sh_auto(sh_free_p) char *id = fixture_submit(&f, "(module\nspin 20\nprint c\n", NULL);
        json_t *row;

        expect(fixture_wait(&f, id), "completed", "c");
        row = fixture_row(&f, a);
        ck_assert_str_eq(json_string_value(json_object_get(row, "status")), "running");
        json_decref(row);
    }
    fake_hold_release();
    expect(fixture_wait(&f, a), "completed", "a");
    expect(fixture_wait(&f, b), "completed", "b");
    fixture_close(&f);
}
END_TEST

/* Parking, waking and interrupting cross each other: nothing may be lost or run twice. */
START_TEST(parked_agents_survive_a_storm_of_interruptions) {
    struct sh_buf program;
    char *ids[6];

    fixture_open(&f, "storm");
    sh_buf_init(&program, 65536);
    sh_buf_adds(&program, "(module\n");
    for (int i = 0; i < 300; i++) {
        sh_buf_adds(&program, i % 10 ? "file\n" : "print x\nfile\n");
    }
    for (int i = 0; i < 6; i++) {
        ids[i] = fixture_submit(&f, program.p, NULL);
    }
    for (int k = 0; k < 5; k++) {
        for (int i = 0; i < 6; i++) { /* one that has ended refuses, which is well */
            if (fixture_control(&f, ids[i], sh_engine_pause) == 0) {
                (void)fixture_control(&f, ids[i], sh_engine_resume);
            }
        }
    }
    for (int i = 0; i < 6; i++) {
        expect(fixture_wait(&f, ids[i]), "completed", NULL);
        verified(ids[i]);
        sh_free(ids[i]);
    }
    sh_buf_done(&program);
    fixture_close(&f);
}
END_TEST

static Suite *suite(void) {
    const TTest *const tests[] = {file_calls_are_made_and_leave_no_trace_in_the_journal,
                                  an_agent_that_is_slowed_goes_on_and_its_clock_runs,
                                  held_executors_are_replaced,
                                  parked_agents_survive_a_storm_of_interruptions, NULL};
    const TTest *const hangs[] = {a_hanging_call_holds_no_executor,
                                  wall_clock_ends_an_agent_in_a_hanging_call,
                                  cancel_ends_an_agent_in_a_hanging_call,
                                  pause_and_resume_meet_a_hanging_call,
                                  the_engine_stops_and_starts_around_a_hanging_call,
                                  a_call_that_hangs_too_long_is_an_error_that_the_agent_sees,
                                  NULL};
    Suite *s = sh_suite("files", tests);
    TCase *tcase = tcase_create("hangs");

    tcase_set_timeout(tcase, SH_TEST_SECONDS);
    for (size_t i = 0; SH_TEST_HAS_FAULTS && hangs[i]; i++) {
        tcase_add_test(tcase, hangs[i]);
    }
    suite_add_tcase(s, tcase);
    return s;
}
SH_TEST_MAIN(suite)
