/* A journal names the runtime that wrote it, and a replay that differs under another one says so.
 */
#include "lib/check_main.h"
#include "lib/engine_fixture.h"
#include "lib/fake_tools.c"

static struct fixture f;

/* Runs a guest that is never the same twice, and verifies it under the runtime `now`. */
static json_t *verified(const char *wrote, const char *now, const char *program) {
    fixture_runtime = wrote;
    sh_auto(sh_free_p) char *id = fixture_submit(&f, program, NULL);
    ck_assert_ptr_nonnull(id);
    json_decref(fixture_wait(&f, id));
    fixture_runtime = now;
    return fixture_verify(&f, id);
}

START_TEST(a_replay_that_differs_under_another_runtime_names_both) {
    fixture_open(&f, "runtime");
    json_t *v = verified("fake 1 +sse3", "fake 1 metering 2 +sse3", "(module\ndiffer\n");
    const char *note = json_string_value(json_object_get(v, "note"));

    ck_assert(!sh_json_get_bool(v, "ok", true));
    ck_assert_str_eq(json_string_value(json_object_get(v, "replay")), "runtime_mismatch");
    ck_assert_ptr_nonnull(json_object_get(v, "mismatch"));
    ck_assert_ptr_nonnull(note);
    ck_assert_ptr_nonnull(strstr(note, "written with fake 1, this is fake 1 metering 2:"));
    json_decref(v);
    fixture_close(&f);
}
END_TEST

START_TEST(a_replay_that_differs_under_the_same_runtime_is_the_guests_fault) {
    static const char *const same[][2] = {
        {"fake 1", "fake 1"}, {"fake 1 +sse3", "fake 1 +sse3+avx"}, {"fake 1 +sse3", "fake 1"}};

    fixture_open(&f, "same");
    for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++) {
        json_t *v = verified(same[i][0], same[i][1], "(module\ndiffer\n");

        ck_assert_str_eq(json_string_value(json_object_get(v, "replay")), "mismatch");
        ck_assert_ptr_null(json_object_get(v, "note"));
        json_decref(v);
    }
    fixture_close(&f);
}
END_TEST

START_TEST(a_replay_that_is_equal_under_another_runtime_is_equal) {
    fixture_open(&f, "equal");
    json_t *v = verified("fake 1", "fake 2", "(module\nprint hello\nclock\n");

    ck_assert(sh_json_get_bool(v, "ok", false));
    ck_assert_str_eq(json_string_value(json_object_get(v, "replay")), "ok");
    ck_assert_ptr_null(json_object_get(v, "note"));
    json_decref(v);
    fixture_close(&f);
}
END_TEST

/* Whichever runtime took it over: the first one that is not ours is named, though ours began it. */
START_TEST(a_task_that_goes_on_under_another_runtime_says_so_when_it_is_stopped) {
    fixture_open(&f, "goes-on");
    fixture_runtime = "fake 1";
    sh_auto(sh_free_p) char *id = fixture_submit(
        &f,
        "(module\ndiffer\nstart calculator {\"n\":1}\nwait any\nstart sleep {\"ms\":300000}\n"
        "wait any\n",
        NULL);
    fixture_await(&f, id, "Output", 1);
    fixture_runtime = "fake 2";
    fixture_crash(&f, SH_TWIN_LOSE_ALL);
    json_t *row = fixture_wait(&f, id), *error = json_object_get(row, "error");
    ck_assert_str_eq(json_string_value(json_object_get(error, "code")), "nondeterminism");
    ck_assert_ptr_nonnull(strstr(json_string_value(json_object_get(error, "message")),
                                 "written with fake 1, this is fake 2:"));
    json_decref(row);
    fixture_runtime = "fake 1"; /* now the one that took it over is the other */
    json_t *v = fixture_verify(&f, id);
    ck_assert_ptr_nonnull(strstr(json_string_value(json_object_get(v, "note")),
                                 "written with fake 2, this is fake 1:"));
    json_decref(v);
    fixture_close(&f);
}
END_TEST

static Suite *suite(void) {
    const TTest *const tests[] = {
        a_replay_that_differs_under_another_runtime_names_both,
        a_replay_that_differs_under_the_same_runtime_is_the_guests_fault,
        a_replay_that_is_equal_under_another_runtime_is_equal,
        a_task_that_goes_on_under_another_runtime_says_so_when_it_is_stopped, NULL};

    return sh_suite("engine_runtime", tests);
}

SH_TEST_MAIN(suite)
