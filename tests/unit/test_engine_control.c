/* What a workflow sees of a cancel, a pause and of continuing as new. */
#include "lib/check_main.h"
#include "lib/engine_fixture.h"
#include "lib/fake_tools.c"

static struct fixture f;

static const char *text(const json_t *object, const char *name) {
    const char *s = json_string_value(json_object_get(object, name));

    return s ? s : "";
}

static void check_end(const char *id, const char *status, const char *result) {
    json_t *row = fixture_wait(&f, id), *v = fixture_verify(&f, id);

    ck_assert_str_eq(text(row, "status"), status);
    ck_assert_str_eq(text(row, "result"), result);
    ck_assert(sh_json_get_bool(v, "ok", false));
    json_decref(row);
    json_decref(v);
}

/* The wait gives -ECANCELED once; the next one, and activities begun after it, work. */
#define CLEANS_UP                                                                                  \
    "(module\nstart signal {\"name\":\"go\"}\nwait 1\nstart llm {\"q\":1}\nwait 2\nprint "         \
    "cleaned\n"
#define CLEANED "canceled\n2 {\"ok\":{\"content\":\"{\\\"q\\\":1}\""

static void check_cleaned(const char *id) {
    json_t *row = fixture_wait(&f, id);

    ck_assert_str_eq(text(row, "status"), "canceled");
    ck_assert_msg(strncmp(text(row, "result"), CLEANED, strlen(CLEANED)) == 0 &&
                      strstr(text(row, "result"), "cleaned"),
                  "%s", text(row, "result"));
    json_decref(row);
}

START_TEST(a_canceled_agent_sees_it_once_and_cleans_up) {
    fixture_open(&f, "cancel");
    sh_auto(sh_free_p) char *id = fixture_submit(&f, CLEANS_UP, NULL);
    fixture_run_ms(&f, 20);
    ck_assert_int_eq(fixture_control(&f, id, sh_engine_cancel), 0);
    check_cleaned(id);
    fixture_close(&f);
}
END_TEST

START_TEST(a_cancel_ends_a_pause_and_survives_a_crash) {
    fixture_open(&f, "paused");
    sh_auto(sh_free_p) char *id = fixture_submit(&f, CLEANS_UP, NULL);
    ck_assert_int_eq(fixture_control(&f, id, sh_engine_pause), 0);
    fixture_crash(&f, SH_TWIN_LOSE_ALL);
    ck_assert_int_eq(fixture_control(&f, id, sh_engine_cancel), 0);
    fixture_crash(&f, SH_TWIN_LOSE_ALL);
    check_cleaned(id);
    fixture_close(&f);
}
END_TEST

START_TEST(an_agent_that_does_not_look_is_stopped_after_the_grace_time) {
    json_t *row;

    f.cancel_grace_ms = 60;
    fixture_open(&f, "grace");
    sh_auto(sh_free_p) char *id = fixture_submit(&f, "(module\nloop\n", NULL);
    fixture_run_ms(&f, 20);
    ck_assert_int_eq(fixture_control(&f, id, sh_engine_cancel), 0);
    row = fixture_wait(&f, id);
    ck_assert_str_eq(text(row, "status"), "canceled");
    ck_assert_int_ge(sh_json_get_int(row, "completed_at", 0) -
                         sh_json_get_int(json_object_get(row, "cancel"), "at", 0),
                     60000);
    json_decref(row);
    fixture_close(&f);
}
END_TEST

START_TEST(a_pause_holds_at_the_next_step_and_after_restarts) {
    json_t *row;

    fixture_open(&f, "pause");
    sh_auto(sh_free_p) char *id =
        fixture_submit(&f, "(module\nstart signal {\"name\":\"go\"}\nwait any\nprint on\n", NULL);
    fixture_run_ms(&f, 20);
    ck_assert_int_eq(fixture_control(&f, id, sh_engine_pause), 0);
    ck_assert_int_eq(fixture_signal(&f, id, "go", NULL), 0);
    for (int i = 0; i < 2; i++) {
        fixture_run_ms(&f, 50);
        row = fixture_row(&f, id);
        ck_assert_str_eq(text(row, "status"), "paused");
        json_decref(row);
        fixture_crash(&f, SH_TWIN_LOSE_ALL);
    }
    ck_assert_int_eq(fixture_control(&f, id, sh_engine_resume), 0);
    check_end(id, "completed", "1 {\"ok\":{\"name\":\"go\",\"payload\":null}}\non");
    fixture_close(&f);
}
END_TEST

START_TEST(an_agent_continues_as_new_with_another_input) {
    fixture_open(&f, "continue");
    sh_auto(sh_free_p) char *id = fixture_submit(
        &f,
        "(module\nprint begin\nstart calculator {\"n\":1}\nwait any\ncontinue {\"n\":2}\n"
        "start sleep {\"ms\":300}\nwait any\ninput\nstart input {}\nwait any\n",
        NULL);
    fixture_run_ms(&f, 100);
    fixture_crash(&f, SH_TWIN_LOSE_ALL); /* after the checkpoint: it is taken up from there */
    check_end(id, "completed",
              "begin\n1 {\"ok\":{\"value\":2}}\nbegin\n2 {\"ok\":{\"value\":2}}\ncontinued\n"
              "3 {\"ok\":{\"slept_ms\":300}}\n{\"n\":2}4 {\"ok\":{\"n\":2}}");
    fixture_close(&f);
}
END_TEST

static Suite *suite(void) {
    const TTest *const tests[] = {a_canceled_agent_sees_it_once_and_cleans_up,
                                  a_cancel_ends_a_pause_and_survives_a_crash,
                                  an_agent_that_does_not_look_is_stopped_after_the_grace_time,
                                  a_pause_holds_at_the_next_step_and_after_restarts,
                                  an_agent_continues_as_new_with_another_input,
                                  NULL};
    return sh_suite("engine_control", tests);
}
SH_TEST_MAIN(suite)
