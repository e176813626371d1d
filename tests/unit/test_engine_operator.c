/* What the operator gives one task alone counts for that task, and wherever it is taken up. */
#include "lib/check_main.h"
#include "lib/engine_fixture.h"
#include "lib/fake_tools.c"

#define SEARCH "(module\nstart signal {\"name\":\"go\"}\nwait any\nstart web_search {}\nwait any\n"

static struct fixture f;

static char *submit(const char *program, json_t *operator_doc) {
    struct sh_submit s = {.operator_doc = operator_doc};
    char *id = fixture_submit(&f, program, &s);

    json_decref(operator_doc);
    return id;
}

/* It ends, and its search was done (or denied), after so many questions. */
static void expect(const char *id, bool done, size_t asked) {
    json_t *row = fixture_wait(&f, id);
    json_t *events = fixture_events(&f, id);
    json_t *v = fixture_verify(&f, id);

    ck_assert_uint_eq(fixture_count(events, "ApprovalRequested", NULL), asked);
    ck_assert_uint_eq(fixture_count(events, "ActivityFailed", NULL), done ? 0 : 1);
    ck_assert(sh_json_get_bool(v, "ok", false));
    json_decref(v);
    json_decref(events);
    json_decref(row);
}

static void go(const char *id) {
    ck_assert_int_eq(fixture_signal(&f, id, "go", json_null()), 0);
}

START_TEST(what_is_allowed_to_one_task_is_allowed_to_it_alone_and_after_a_crash) {
    json_t *given =
        json_pack("{s:{s:[s]}, s:b}", "capabilities", "tools", "web_search", "attended", 0);
    fixture_open(&f, "operator");
    sh_auto(sh_free_p) char *id = submit(SEARCH, json_incref(given));
    sh_auto(sh_free_p) char *other = submit(SEARCH "print x\n", NULL);
    fixture_await(&f, id, "ActivityScheduled", 1);
    fixture_await(&f, other, "ActivityScheduled", 1);
    fixture_crash(&f, SH_TWIN_LOSE_ALL);
    go(id);
    go(other);
    expect(id, true, 0);
    expect(other, false, 0);
    json_t *row = fixture_row(&f, id);
    ck_assert(json_equal(json_object_get(row, "operator"), given));
    json_decref(row);
    json_decref(given);
    fixture_close(&f);
}
END_TEST

START_TEST(where_nobody_attends_to_a_task_the_answer_is_no_at_once) {
    f.attended = true;
    fixture_open(&f, "unattended");
    sh_auto(sh_free_p) char *id = submit(SEARCH, json_pack("{s:b}", "attended", 0));
    go(id);
    expect(id, false, 0);
    sh_auto(sh_free_p) char *asks = submit(SEARCH, NULL);
    go(asks);
    ck_assert_int_eq(fixture_answer(&f, asks, "once"), 0);
    expect(asks, true, 1);
    fixture_close(&f);
}
END_TEST

START_TEST(a_policy_of_its_own_is_in_place_of_the_engines) {
    json_t *rules =
        json_pack("{s:[{s:s, s:{s:[s]}}]}", "rules", "agent", "*", "allow", "tools", "web_search");
    f.policy_doc =
        json_pack("{s:[{s:s, s:{s:[s]}}]}", "rules", "agent", "*", "deny", "tools", "web_search");
    fixture_open(&f, "policy");
    sh_auto(sh_free_p) char *id = submit(SEARCH, json_pack("{s:o}", "policy", rules));
    sh_auto(sh_free_p) char *other = submit(SEARCH, NULL);
    go(id);
    go(other);
    expect(id, true, 0);
    expect(other, false, 0);
    fixture_close(&f);
    json_decref((json_t *)(uintptr_t)f.policy_doc);
}
END_TEST

START_TEST(a_document_that_says_something_else_is_refused) {
    static const char relative[] =
        "{\"capabilities\":{\"filesystem\":[{\"host\":\"here\",\"guest\":\"/x\"}]}}";
    static const char *const wrong[] = {"[]",
                                        "{\"polcy\":{}}",
                                        "{\"attended\":\"no\"}",
                                        "{\"capabilities\":{\"tols\":[]}}",
                                        "{\"policy\":{\"rules\":1}}",
                                        relative};
    fixture_open(&f, "wrong");
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        ck_assert_ptr_null(submit(SEARCH, json_loads(wrong[i], 0, NULL)));
        ck_assert_int_ne(fixture_error.code, 0);
        ck_assert_uint_gt(strlen(fixture_error.message), 0);
    }
    fixture_close(&f);
}
END_TEST

static Suite *suite(void) {
    const TTest *const tests[] = {
        what_is_allowed_to_one_task_is_allowed_to_it_alone_and_after_a_crash,
        where_nobody_attends_to_a_task_the_answer_is_no_at_once,
        a_policy_of_its_own_is_in_place_of_the_engines,
        a_document_that_says_something_else_is_refused, NULL};
    return sh_suite("engine_operator", tests);
}
SH_TEST_MAIN(suite)
