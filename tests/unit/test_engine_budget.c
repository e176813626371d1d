/* One budget for a task and all that it starts: what reserves, what settles, what happens when it
 * is used up, and that neither a crash nor a replay charges again. The fake model takes 5 tokens.
 */
#include "lib/check_main.h"
#include "lib/engine_fixture.h"
#include "lib/fake_tools.c"

static struct fixture f;

static const char *text(const json_t *object, const char *name) {
    const char *s = json_string_value(json_object_get(object, name));

    return s ? s : "";
}

static void open_asking(const char *name, bool asks) {
    static json_t *policy;

    json_decref(policy);
    policy = fixture_json(
        "{\"rules\":[{\"agent\":\"*\",\"allow\":{\"tools\":[\"workflow\",\"llm\",\"kv\","
        "\"calculator\"]}}]}");
    memset(&fake_llm, 0, sizeof(fake_llm));
    f.policy_doc = policy;
    f.attended = asks;
    f.budget_asks = asks;
    fixture_open(&f, name);
}

static char *submit(const char *program, const char *limits) {
    sh_auto(sh_json_done) json_t *caps = fixture_json(limits);

    return fixture_submit(&f, program, &(struct sh_submit){.capabilities = caps});
}

static int raise_by(const char *id, const char *more) {
    struct fixture_answer a = {.f = &f};
    sh_auto(sh_json_done) json_t *amounts = fixture_json(more);

    sh_engine_raise(f.engine, sh_str(id), amounts, "a test", "because", fixture_on_json, &a);
    fixture_run(&f, &a.done);
    json_decref(a.value);
    return a.err.code;
}

static json_t *wait_status(const char *id, const char *status) {
    json_t *row = NULL;

    for (int i = 0; i < 4000; i++) {
        row = fixture_row(&f, id);
        if (strcmp(text(row, "status"), status) == 0) {
            return row;
        }
        json_decref(row);
        fixture_run_ms(&f, 3);
    }
    row = fixture_row(&f, id);
    ck_abort_msg("workflow %s is %s, not %s", id, text(row, "status"), status);
    return NULL;
}

static void check_verified(const char *id) {
    json_t *v = fixture_verify(&f, id);
    sh_auto(sh_free_p) char *shown = sh_json_text(v);

    ck_assert_msg(sh_json_get_bool(v, "ok", false), "%s", shown);
    ck_assert_str_eq(text(v, "replay"), "ok");
    json_decref(v);
}

#define CALL "start llm {\"q\":1}\nwait any\n"
#define THREE_CALLS "(module\n" CALL CALL CALL "print end\n"

START_TEST(a_task_over_its_tokens_fails_before_the_call) {
    json_t *row, *events, *body = NULL;

    open_asking("fail", false);
    sh_auto(sh_free_p) char *id = submit(THREE_CALLS, "{\"limits\":{\"tokens\":12}}");
    row = wait_status(id, "failed");
    ck_assert_str_eq(text(json_object_get(row, "error"), "code"), "budget_exceeded");
    ck_assert_uint_eq(fake_llm.n_keys, 2);
    ck_assert_int_eq(sh_json_get_int(json_object_get(row, "spent"), "tokens", 0), 10);
    events = fixture_events(&f, id);
    ck_assert_uint_eq(fixture_count(events, "BudgetExceeded", &body), 1);
    ck_assert_str_eq(text(body, "what"), "tokens");
    ck_assert_str_eq(text(body, "of"), id);
    json_decref(events);
    json_decref(row);
    check_verified(id);
    fixture_close(&f);
}
END_TEST

START_TEST(what_just_fits_is_called) {
    open_asking("fits", false); /* 10 used, 2 for the prompt, 1 for an answer */
    sh_auto(sh_free_p) char *id = submit(THREE_CALLS, "{\"limits\":{\"tokens\":13}}");
    json_decref(wait_status(id, "completed"));
    ck_assert_uint_eq(fake_llm.n_keys, 3);
    fixture_close(&f);
}
END_TEST

START_TEST(a_task_that_rests_goes_on_when_its_budget_is_raised) {
    json_t *row;

    open_asking("ask", true);
    sh_auto(sh_free_p) char *id = submit(THREE_CALLS, "{\"limits\":{\"tokens\":12}}");
    row = wait_status(id, "paused");
    ck_assert_str_eq(text(json_object_get(row, "budget"), "what"), "tokens");
    json_decref(row);
    fixture_crash(&f, SH_TWIN_LOSE_ALL);
    fixture_run_ms(&f, 100);
    json_decref(wait_status(id, "paused"));
    ck_assert_uint_eq(fake_llm.n_keys, 2); /* nothing is called, or charged, again */
    ck_assert_int_eq(raise_by(id, "{\"tokens\":1}"), 0);
    row = fixture_wait(&f, id);
    ck_assert_str_eq(text(row, "status"), "completed");
    ck_assert_int_eq(sh_json_get_int(json_object_get(row, "spent"), "tokens", 0), 15);
    ck_assert_uint_eq(fake_llm.n_keys, 3);
    json_decref(row);
    check_verified(id);
    fixture_close(&f);
}
END_TEST

START_TEST(an_agent_out_of_fuel_replays_under_the_sum) {
    json_t *row;

    open_asking("fuel", true);
    sh_auto(sh_free_p) char *id =
        submit("(module\nprint a\n" CALL "spin 20\nprint b\n", "{\"limits\":{\"fuel\":10000}}");
    for (int i = 0; i < 2; i++) {
        row = wait_status(id, "paused");
        ck_assert_str_eq(text(json_object_get(row, "budget"), "what"), "fuel");
        json_decref(row);
        if (i == 0) {
            ck_assert_int_eq(raise_by(id, "{\"fuel\":5000}"), 0);
            json_decref(wait_status(id, "running"));
        }
        fixture_crash(&f, SH_TWIN_LOSE_ALL);
    }
    ck_assert_int_eq(raise_by(id, "{\"fuel\":10000,\"tokens\":5}"), 0);
    row = fixture_wait(&f, id);
    ck_assert_str_eq(text(row, "status"), "completed");
    ck_assert_ptr_nonnull(strstr(text(row, "result"), "b"));
    ck_assert_uint_eq(fake_llm.n_keys, 1);
    json_decref(row);
    check_verified(id);
    fixture_close(&f);
}
END_TEST

START_TEST(out_of_fuel_fails_where_nobody_is_asked) {
    json_t *row;

    open_asking("nofuel", false);
    sh_auto(sh_free_p) char *id = submit("(module\nspin 20\n", "{\"limits\":{\"fuel\":10000}}");
    row = wait_status(id, "failed");
    ck_assert_str_eq(text(json_object_get(row, "error"), "code"), "fuel_exhausted");
    json_decref(row);
    fixture_close(&f);
}
END_TEST

START_TEST(the_wall_clock_may_be_raised_too) {
    open_asking("wall", true);
    sh_auto(sh_free_p) char *id =
        submit("(module\nstart llm {\"delay_ms\":400}\nwait any\nprint end\n",
               "{\"limits\":{\"wall_clock\":\"150ms\"}}");
    json_decref(wait_status(id, "paused"));
    ck_assert_int_eq(raise_by(id, "{\"wall_clock_ms\":600000}"), 0);
    json_decref(wait_status(id, "completed"));
    fixture_close(&f);
}
END_TEST

#define START_CHILD "start workflow {\"agent\":\"child\"}\nwait any\n"

START_TEST(children_use_the_budget_of_their_parent) {
    json_t *row;

    open_asking("family", false);
    fixture_add_agent(&f, "child", "(module\n" CALL);
    sh_auto(sh_free_p) char *id =
        submit("(module\n" START_CHILD START_CHILD START_CHILD "print end\n",
               "{\"limits\":{\"tokens\":12}}");
    row = fixture_wait(&f, id);
    ck_assert_str_eq(text(row, "status"), "completed");
    ck_assert_ptr_nonnull(strstr(text(row, "result"), "\"code\":\"budget_exceeded\""));
    ck_assert_int_eq(sh_json_get_int(json_object_get(row, "spent"), "tokens", 0), 10);
    ck_assert_uint_eq(fake_llm.n_keys, 2);
    json_decref(row);
    check_verified(id);
    fixture_close(&f);
}
END_TEST

START_TEST(a_child_that_rests_goes_on_when_it_is_raised) {
    json_t *children, *row;
    struct fixture_answer a = {.f = &f};

    open_asking("child", true);
    fixture_add_agent(&f, "child", "(module\n" CALL CALL CALL);
    sh_auto(sh_free_p) char *id =
        submit("(module\n" START_CHILD "print end\n", "{\"limits\":{\"tokens\":12}}");
    for (int i = 0; i < 3000 && fake_llm.n_keys < 2; i++) {
        fixture_run_ms(&f, 3);
    }
    sh_engine_list_family(f.engine, "parent", sh_str(id), 0, 10, fixture_on_json, &a);
    fixture_run(&f, &a.done);
    children = json_object_get(a.value, "tasks");
    ck_assert_uint_eq(json_array_size(children), 1);
    const char *child = text(json_array_get(children, 0), "id");
    json_decref(wait_status(child, "paused"));
    fixture_crash(&f, SH_TWIN_LOSE_NONE);
    json_decref(wait_status(child, "paused"));
    fixture_run_ms(&f, 100); /* both are in memory */
    ck_assert_int_eq(raise_by(child, "{\"tokens\":5}"), 0);
    row = fixture_wait(&f, id);
    ck_assert_str_eq(text(row, "status"), "completed");
    ck_assert_int_eq(sh_json_get_int(json_object_get(row, "spent"), "tokens", 0), 15);
    json_decref(row);
    check_verified(id);
    check_verified(child);
    json_decref(a.value);
    fixture_close(&f);
}
END_TEST

/* After a restart it has no agent, and its end says nothing of how far it came. */
START_TEST(a_task_that_is_canceled_while_it_rests_verifies) {
    json_t *row;

    open_asking("canceled", true);
    sh_auto(sh_free_p) char *id = submit(THREE_CALLS, "{\"limits\":{\"tokens\":12}}");
    json_decref(wait_status(id, "paused"));
    fixture_crash(&f, SH_TWIN_LOSE_NONE);
    fixture_run_ms(&f, 50);
    ck_assert_int_eq(fixture_control(&f, id, sh_engine_cancel), 0);
    row = fixture_wait(&f, id);
    ck_assert_str_eq(text(row, "status"), "canceled");
    json_decref(row);
    check_verified(id);
    fixture_close(&f);
}
END_TEST

/* The call is on its way when the power goes: nobody knows what it took. */
START_TEST(an_attempt_that_a_crash_cut_off_settles_at_its_reservation) {
    json_t *row;

    open_asking("lost", false);
    sh_auto(sh_free_p) char *id =
        submit("(module\nstart llm {\"delay_ms\":300,\"max_tokens\":100}\nwait any\n",
               "{\"limits\":{\"tokens\":1000}}");
    for (int i = 0; i < 3000 && fake_llm.n_keys < 1; i++) {
        fixture_run_ms(&f, 2);
    }
    fixture_crash(&f, SH_TWIN_LOSE_NONE);
    row = fixture_wait(&f, id);
    int64_t tokens = sh_json_get_int(json_object_get(row, "spent"), "tokens", 0);
    ck_assert_int_gt(tokens, 105);
    ck_assert_int_lt(tokens, 130);
    json_decref(row);
    check_verified(id);
    fixture_close(&f);
}
END_TEST

START_TEST(a_raise_that_is_none_is_refused) {
    static const char *const bad[] = {"{}", "{\"tokens\":0}", "{\"tokens\":\"9\"}", "{\"luck\":1}",
                                      "{\"cost_usd\":-1}"};
    open_asking("bad", true);
    sh_auto(sh_free_p) char *id =
        submit("(module\nstart signal {\"name\":\"x\"}\nwait any\n", "{}");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        ck_assert_int_eq(raise_by(id, bad[i]), SH_E_INVAL);
    }
    ck_assert_int_eq(raise_by("wf-nobody", "{\"tokens\":1}"), SH_E_NOT_FOUND);
    fixture_close(&f);
}
END_TEST

static Suite *suite(void) {
    const TTest *const tests[] = {a_task_over_its_tokens_fails_before_the_call,
                                  what_just_fits_is_called,
                                  a_task_that_rests_goes_on_when_its_budget_is_raised,
                                  an_agent_out_of_fuel_replays_under_the_sum,
                                  out_of_fuel_fails_where_nobody_is_asked,
                                  the_wall_clock_may_be_raised_too,
                                  children_use_the_budget_of_their_parent,
                                  a_child_that_rests_goes_on_when_it_is_raised,
                                  an_attempt_that_a_crash_cut_off_settles_at_its_reservation,
                                  a_task_that_is_canceled_while_it_rests_verifies,
                                  a_raise_that_is_none_is_refused,
                                  NULL};
    return sh_suite("engine_budget", tests);
}
SH_TEST_MAIN(suite)
