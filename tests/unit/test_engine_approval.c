/* Where the policy asks, a person decides, and the same call goes on: once, for the run, for good.
 */
#include "lib/check_main.h"
#include "lib/engine_fixture.h"
#include "lib/fake_tools.c"

#define CALL_TWICE                                                                                 \
    "(module\nstart web_search {\"q\":1}\nwait any\nstart web_search {\"q\":2}\nwait any\n"

static struct fixture f;

static void open_attended(const char *name) {
    f.attended = true;
    fixture_open(&f, name);
}

static void await_question(void) {
    for (size_t n = 0, tries = 0; n == 0 && tries < 2000; tries++) {
        json_t *list = fixture_approvals(&f);
        n = json_array_size(list);
        json_decref(list);
        fixture_run_ms(&f, 2);
    }
}

/* Runs to its end, is equal in replay, and has that many of each event. */
static void expect(const char *id, const char *status, size_t asked, size_t completed,
                   size_t failed) {
    json_t *row = fixture_wait(&f, id);
    json_t *events = fixture_events(&f, id);
    json_t *v = fixture_verify(&f, id);
    sh_auto(sh_free_p) char *text = sh_json_text(row);

    ck_assert_msg(sh_str_eqz(sh_json_get_str(row, "status"), status), "%s", text);
    ck_assert_uint_eq(fixture_count(events, "ApprovalRequested", NULL), asked);
    ck_assert_uint_eq(fixture_count(events, "ApprovalDecided", NULL), asked);
    ck_assert_uint_eq(fixture_count(events, "ActivityCompleted", NULL), completed);
    ck_assert_uint_eq(fixture_count(events, "ActivityFailed", NULL), failed);
    ck_assert(sh_json_get_bool(v, "ok", false));
    ck_assert_ptr_null(json_object_get(row, "approval_pending"));
    json_decref(v);
    json_decref(events);
    json_decref(row);
}

START_TEST(once_allows_one_call_and_asks_again_for_the_next) {
    open_attended("once");
    sh_auto(sh_free_p) char *id = fixture_submit(&f, CALL_TWICE, NULL);
    ck_assert_int_eq(fixture_answer(&f, id, "once"), 0);
    ck_assert_int_eq(fixture_answer(&f, id, NULL), 0);
    expect(id, "completed", 2, 1, 1);
    fixture_close(&f);
}
END_TEST

START_TEST(a_question_names_the_rule_that_asks) {
    json_t *policy =
        json_pack("{s:[{s:s, s:{s:[s]}}]}", "rules", "agent", "*", "ask", "tools", "web_search");
    json_t *asked = NULL;

    f.policy_doc = policy;
    open_attended("rule");
    sh_auto(sh_free_p) char *id = fixture_submit(&f, CALL_TWICE, NULL);
    ck_assert_int_eq(fixture_answer(&f, id, "run"), 0);
    expect(id, "completed", 1, 2, 0);
    sh_auto(sh_json_done) json_t *events = fixture_events(&f, id);
    ck_assert_uint_eq(fixture_count(events, "ApprovalRequested", &asked), 1);
    sh_auto(sh_free_p) char *text = sh_json_text(asked);
    ck_assert_msg(strstr(text, "rule 1 of the policy (all agents) asks a person first"), "%s",
                  text);
    fixture_close(&f);
    json_decref(policy);
}
END_TEST

START_TEST(nobody_is_asked_for_what_is_not_set_up) {
    open_attended("unconfigured");
    sh_auto(sh_free_p) char *id =
        fixture_submit(&f, "(module\nstart web_search {\"unconfigured\":1}\nwait any\n", NULL);
    expect(id, "completed", 0, 0, 1);
    json_t *events = fixture_events(&f, id);
    ck_assert_uint_eq(fixture_count(events, "ActivityScheduled", NULL), 0);
    sh_auto(sh_free_p) char *text = sh_json_text(events);
    ck_assert_ptr_nonnull(strstr(text, "not_configured"));
    json_decref(events);
    fixture_close(&f);
}
END_TEST

START_TEST(run_allows_the_tool_for_the_rest_of_the_workflow) {
    open_attended("run");
    sh_auto(sh_free_p) char *id = fixture_submit(&f, CALL_TWICE, NULL);
    ck_assert_int_eq(fixture_answer(&f, id, "run"), 0);
    expect(id, "completed", 1, 2, 0);
    sh_auto(sh_free_p) char *other = fixture_submit(&f, CALL_TWICE, NULL);
    ck_assert_int_eq(fixture_answer(&f, other, "run"), 0); /* another workflow asks again */
    expect(other, "completed", 1, 2, 0);
    fixture_close(&f);
}
END_TEST

START_TEST(always_is_a_grant_to_the_module_and_outlives_the_process) {
    open_attended("always");
    sh_auto(sh_free_p) char *id = fixture_submit(&f, CALL_TWICE, NULL);
    ck_assert_int_eq(fixture_answer(&f, id, "always"), 0);
    expect(id, "completed", 1, 2, 0);
    fixture_crash(&f, SH_TWIN_LOSE_ALL);
    sh_auto(sh_free_p) char *again = fixture_submit(&f, CALL_TWICE, NULL);
    expect(again, "completed", 0, 2, 0);
    sh_auto(sh_free_p) char *other =
        fixture_submit(&f, "(module\nprint x\nstart web_search {}\nwait any\n", NULL);
    ck_assert_int_eq(fixture_answer(&f, other, NULL), 0); /* another module asks */
    expect(other, "completed", 1, 0, 1);
    fixture_close(&f);
}
END_TEST

START_TEST(a_question_survives_a_crash_before_and_after_its_answer) {
    open_attended("crash");
    sh_auto(sh_free_p) char *id = fixture_submit(&f, CALL_TWICE, NULL);
    await_question();
    fixture_crash(&f, SH_TWIN_LOSE_ALL);
    ck_assert_int_eq(fixture_answer(&f, id, "run"), 0);
    fixture_crash(&f, SH_TWIN_LOSE_ALL);
    expect(id, "completed", 1, 2, 0);
    fixture_close(&f);
}
END_TEST

/* After a restart a question may be answered before the agent has come to it again. */
static void answer_before_the_call(const char *name, const char *scope, const char *told) {
    open_attended(name);
    fake_hold_release();
    sh_auto(sh_free_p) char *id =
        fixture_submit(&f, "(module\nhold\nstart web_search {}\nwait any\n", NULL);
    await_question();
    fake_hold_again();
    unsigned held = fake_held();
    fixture_crash(&f, SH_TWIN_LOSE_ALL);
    while (fake_held() == held) {
        fixture_run_ms(&f, 1);
    }
    ck_assert_int_eq(fixture_answer(&f, id, scope), 0);
    fake_hold_release();
    expect(id, "completed", 1, scope ? 1 : 0, scope ? 0 : 1);
    sh_auto(sh_json_done) json_t *events = fixture_events(&f, id);
    sh_auto(sh_free_p) char *text = sh_json_text(events);
    ck_assert_msg(strstr(text, told), "%s", text);
    fixture_close(&f);
}

START_TEST(an_answer_before_the_call_is_there_again_holds) {
    answer_before_the_call("early-no", NULL, "tool web_search: denied by a test");
    answer_before_the_call("early-yes", "once", "ActivityCompleted");
}
END_TEST

START_TEST(without_an_answer_in_time_it_is_denied) {
    f.approval_timeout_ms = 50;
    open_attended("late");
    sh_auto(sh_free_p) char *id =
        fixture_submit(&f, "(module\nstart web_search {}\nwait any\n", NULL);
    json_t *row = fixture_wait(&f, id);
    ck_assert_ptr_nonnull(
        strstr(json_string_value(json_object_get(row, "result")), "nobody answered in time"));
    json_decref(row);
    expect(id, "completed", 1, 0, 1);
    fixture_close(&f);
}
END_TEST

START_TEST(where_nobody_can_be_asked_it_is_denied_at_once) {
    fixture_open(&f, "unattended");
    sh_auto(sh_free_p) char *id =
        fixture_submit(&f, "(module\nstart web_search {}\nwait any\n", NULL);
    expect(id, "completed", 0, 0, 1);
    fixture_close(&f);
}
END_TEST

#define ASK_A_PERSON "(module\nstart approval {\"message\":\"May I?\"}\nwait any\n"

static void expect_answer(const char *id, const char *part) {
    json_t *row = fixture_wait(&f, id);
    json_t *v = fixture_verify(&f, id);
    const char *result = json_string_value(json_object_get(row, "result"));

    ck_assert_msg(result && strstr(result, part), "%s has no %s", result, part);
    ck_assert(sh_json_get_bool(v, "ok", false));
    json_decref(v);
    json_decref(row);
}

START_TEST(an_agent_asks_a_person_and_gets_yes_or_no) {
    open_attended("question");
    sh_auto(sh_free_p) char *yes = fixture_submit(&f, ASK_A_PERSON, NULL);
    ck_assert_int_eq(fixture_answer(&f, yes, "always"), SH_E_INVAL);
    ck_assert_int_eq(fixture_answer(&f, yes, "once"), 0);
    expect_answer(yes, "\"approved\":true");
    sh_auto(sh_free_p) char *no = fixture_submit(&f, ASK_A_PERSON, NULL);
    ck_assert_int_eq(fixture_answer(&f, no, NULL), 0);
    expect_answer(no, "\"approved\":false");
    expect_answer(no, "\"reason\":\"because\"");
    fixture_close(&f);
}
END_TEST

START_TEST(a_question_of_an_agent_survives_a_crash_before_and_after_its_answer) {
    open_attended("question-crash");
    sh_auto(sh_free_p) char *id = fixture_submit(&f, ASK_A_PERSON, NULL);
    await_question();
    fixture_crash(&f, SH_TWIN_LOSE_ALL);
    ck_assert_int_eq(fixture_answer(&f, id, "once"), 0);
    fixture_crash(&f, SH_TWIN_LOSE_ALL);
    expect_answer(id, "\"approved\":true");
    json_t *events = fixture_events(&f, id);
    ck_assert_uint_eq(fixture_count(events, "ApprovalRequested", NULL), 1);
    ck_assert_uint_eq(fixture_count(events, "ActivityCompleted", NULL), 1);
    json_decref(events);
    fixture_close(&f);
}
END_TEST

START_TEST(a_question_of_an_agent_that_nobody_answers_is_a_no) {
    open_attended("question-late");
    sh_auto(sh_free_p) char *late = fixture_submit(
        &f, "(module\nstart approval {\"message\":\"May I?\",\"timeout_ms\":20}\nwait any\n", NULL);
    expect_answer(late, "nobody answered in time");
    fixture_close(&f);
}
END_TEST

START_TEST(where_nobody_can_be_asked_an_agent_is_told_no) {
    fixture_open(&f, "question-unattended");
    sh_auto(sh_free_p) char *id = fixture_submit(&f, ASK_A_PERSON, NULL);
    expect_answer(id, "nobody can be asked here");
    fixture_close(&f);
}
END_TEST

/* A variable that the policy asks about is asked for before the agent starts. */
START_TEST(what_is_not_a_tool_is_asked_before_the_start) {
    struct sh_err err = {0};
    json_t *caps = NULL;
    const char *texts[] = {"once", NULL};

    open_attended("start");
    sh_assert_ok(sh_json_parse(SH_STR("{\"env\":{\"LANG\":\"C\"}}"), SH_MIB, &caps, &err), &err);
    for (size_t i = 0; i < 2; i++) {
        sh_auto(sh_free_p) char *id = fixture_submit(&f, "(module\nprint started\n",
                                                     &(struct sh_submit){.capabilities = caps});
        ck_assert_int_eq(fixture_answer(&f, id, texts[i]), 0);
        json_t *row = fixture_wait(&f, id);
        ck_assert_str_eq(json_string_value(json_object_get(row, "status")),
                         texts[i] ? "completed" : "failed");
        json_decref(row);
    }
    sh_auto(sh_free_p) char *waits =
        fixture_submit(&f, "(module\nprint started\n", &(struct sh_submit){.capabilities = caps});
    fixture_crash(&f, SH_TWIN_LOSE_ALL);
    ck_assert_int_eq(fixture_answer(&f, waits, "once"), 0);
    json_decref(fixture_wait(&f, waits));
    sh_auto(sh_free_p) char *canceled =
        fixture_submit(&f, "(module\nprint started\n", &(struct sh_submit){.capabilities = caps});
    ck_assert_int_eq(fixture_control(&f, canceled, sh_engine_cancel), 0);
    json_t *row = fixture_wait(&f, canceled);
    ck_assert_str_eq(json_string_value(json_object_get(row, "status")), "canceled");
    json_decref(row);
    json_decref(caps);
    fixture_close(&f);
}
END_TEST

START_TEST(an_answer_to_nothing_is_an_error) {
    open_attended("nothing");
    sh_auto(sh_free_p) char *id =
        fixture_submit(&f, "(module\nstart web_search {}\nwait any\n", NULL);
    ck_assert_int_eq(fixture_answer(&f, id, "once"), 0);
    json_decref(fixture_wait(&f, id));
    ck_assert_int_eq(fixture_decide(&f, id, "ap-1"), SH_E_STATE);
    ck_assert_int_eq(fixture_decide(&f, "wf-nobody", "ap-1"), SH_E_NOT_FOUND);
    fixture_close(&f);
}
END_TEST

static Suite *suite(void) {
    const TTest *const tests[] = {
        once_allows_one_call_and_asks_again_for_the_next,
        a_question_names_the_rule_that_asks,
        nobody_is_asked_for_what_is_not_set_up,
        run_allows_the_tool_for_the_rest_of_the_workflow,
        always_is_a_grant_to_the_module_and_outlives_the_process,
        a_question_survives_a_crash_before_and_after_its_answer,
        an_answer_before_the_call_is_there_again_holds,
        without_an_answer_in_time_it_is_denied,
        where_nobody_can_be_asked_it_is_denied_at_once,
        an_agent_asks_a_person_and_gets_yes_or_no,
        a_question_of_an_agent_survives_a_crash_before_and_after_its_answer,
        a_question_of_an_agent_that_nobody_answers_is_a_no,
        where_nobody_can_be_asked_an_agent_is_told_no,
        what_is_not_a_tool_is_asked_before_the_start,
        an_answer_to_nothing_is_an_error,
        NULL};
    return sh_suite("engine_approval", tests);
}
SH_TEST_MAIN(suite)
