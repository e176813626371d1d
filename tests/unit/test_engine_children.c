/* An agent that starts others: what a child gets, how it ends, and that neither is lost or done
 * twice when the power goes. */
#include "lib/check_main.h"
#include "lib/engine_fixture.h"
#include "lib/fake_tools.c"

static struct fixture f;

static void open_with(const char *name, const char *policy) {
    static json_t *doc;
    struct sh_err err = {0};

    json_decref(doc);
    doc = NULL;
    sh_assert_ok(sh_json_parse(sh_str(policy), SH_MIB, &doc, &err), &err);
    f.policy_doc = doc;
    fixture_open(&f, name);
}

#define ALL                                                                                        \
    "{\"rules\":[{\"agent\":\"*\",\"allow\":{\"tools\":[\"workflow\",\"python\",\"llm\",\"kv\","   \
    "\"calculator\"]}}]}"

static json_t *children_of(const char *id) {
    struct fixture_answer a = {.f = &f};
    json_t *tasks;

    sh_engine_list_family(f.engine, "parent", sh_str(id), 0, 100, fixture_on_json, &a);
    fixture_run(&f, &a.done);
    ck_assert_int_eq(a.err.code, 0);
    tasks = json_incref(json_object_get(a.value, "tasks"));
    json_decref(a.value);
    return tasks;
}

static const char *text(const json_t *object, const char *name) {
    const char *s = json_string_value(json_object_get(object, name));

    return s ? s : "";
}

static void check_verified(const char *id) {
    json_t *v = fixture_verify(&f, id);
    sh_auto(sh_free_p) char *shown = sh_json_text(v);

    ck_assert_msg(sh_json_get_bool(v, "ok", false), "%s", shown);
    json_decref(v);
}

START_TEST(the_result_of_a_child_is_the_activity_s_result) {
    json_t *row, *children, *child;

    open_with("result", ALL);
    fixture_add_agent(&f, "child",
                      "(module\nprint hello\noutput {\"answer\":\"42\",\"more\":[1]}\n");
    sh_auto(sh_free_p) char *id = fixture_submit(
        &f, "(module\nstart workflow {\"agent\":\"child\",\"input\":{\"n\":1}}\nwait any\n", NULL);
    row = fixture_wait(&f, id);
    ck_assert_str_eq(text(row, "status"), "completed");
    ck_assert_msg(strstr(text(row, "result"), "\"output\":{\"answer\":\"42\",\"more\":[1]}") &&
                      strstr(text(row, "result"), "\"status\":\"completed\""),
                  "%s", text(row, "result"));
    ck_assert_int_eq(sh_json_get_int(row, "children", 0), 1);
    children = children_of(id);
    ck_assert_uint_eq(json_array_size(children), 1);
    child = json_array_get(children, 0);
    ck_assert_str_eq(text(child, "root"), id);
    ck_assert_str_eq(text(child, "agent"), "child");
    ck_assert_str_eq(text(child, "session"), text(row, "session"));
    ck_assert_int_eq(sh_json_get_int(child, "depth", 0), 1);
    check_verified(id);
    check_verified(text(child, "id"));
    json_decref(children);
    children = children_of(id); /* verifying starts nothing */
    ck_assert_uint_eq(json_array_size(children), 1);
    json_decref(children);
    json_decref(row);
    fixture_close(&f);
}
END_TEST

START_TEST(the_failure_of_a_child_is_the_activity_s_error) {
    static const struct {
        const char *program, *expected;
    } cases[] = {
        {"(module\nexit 3\n", "\"code\":\"exit_status\""},
        {"(module\ntrap oh\n", "\"code\":\"trap\""},
        {"(module\nloop\n", "\"code\":\"deadline_exceeded\""},
    };
    open_with("failure", ALL);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char name[16];
        snprintf(name, sizeof(name), "child%zu", i);
        fixture_add_agent(&f, name, cases[i].program);
        sh_auto(sh_free_p) char *program =
            sh_asprintf("(module\nstart workflow {\"agent\":\"%s\",\"timeout_ms\":1500}\n"
                        "wait any\nprint after\n",
                        name);
        sh_auto(sh_free_p) char *id = fixture_submit(&f, program, NULL);
        json_t *row = fixture_wait(&f, id);
        ck_assert_str_eq(text(row, "status"), "completed");
        ck_assert_msg(strstr(text(row, "result"), cases[i].expected) &&
                          strstr(text(row, "result"), "after"),
                      "%s", text(row, "result"));
        json_decref(row);
        check_verified(id);
    }
    fixture_close(&f);
}
END_TEST

START_TEST(what_cannot_be_started_is_the_activity_s_error) {
    static const struct {
        const char *args, *expected;
    } cases[] = {
        {"{\"agent\":\"nobody\"}", "\"code\":\"not_found\""},
        {"{\"agent\":\"child\",\"session\":\"other\"}", "\"code\":\"permission_denied\""},
        {"{\"agent\":\"child\",\"capabilities\":{\"tools\":[\"web_search\"]}}",
         "\"code\":\"permission_denied\""},
        {"{\"agent\":\"child\",\"capabilities\":{\"tools\":7}}", "\"code\":\"invalid_argument\""},
    };
    open_with("refused", ALL);
    fixture_add_agent(&f, "child", "(module\nprint hi\n");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        sh_auto(sh_free_p) char *program =
            sh_asprintf("(module\nstart workflow %s\nwait any\n", cases[i].args);
        sh_auto(sh_free_p) char *id = fixture_submit(&f, program, NULL);
        json_t *row = fixture_wait(&f, id), *children = children_of(id);
        ck_assert_msg(strstr(text(row, "result"), cases[i].expected) != NULL, "%s",
                      text(row, "result"));
        ck_assert_uint_eq(json_array_size(children), 0);
        json_decref(children);
        json_decref(row);
        check_verified(id);
    }
    fixture_close(&f);
}
END_TEST

START_TEST(the_policy_decides_about_the_op) {
    json_t *row;

    fixture_open(&f, "policy"); /* by default it asks, and nobody is there */
    fixture_add_agent(&f, "child", "(module\nprint hi\n");
    sh_auto(sh_free_p) char *id =
        fixture_submit(&f, "(module\nstart workflow {\"agent\":\"child\"}\nwait any\n", NULL);
    row = fixture_wait(&f, id);
    ck_assert_ptr_nonnull(strstr(text(row, "result"), "permission_denied"));
    json_decref(row);
    fixture_close(&f);
}
END_TEST

/* The child's manifest and the policy would allow kv; its parent was given none. */
START_TEST(a_child_has_at_most_what_its_parent_has) {
    json_t *caps, *row;
    struct sh_err err = {0};

    open_with("narrow", ALL);
    fixture_add_agent(&f, "child",
                      "(module\nstart kv.put {\"key\":\"k\",\"value\":1}\nwait any\n"
                      "start calculator {\"n\":2}\nwait any\n");
    sh_assert_ok(
        sh_json_parse(SH_STR("{\"tools\":[\"workflow\",\"calculator\"]}"), SH_MIB, &caps, &err),
        &err);
    sh_auto(sh_free_p) char *id =
        fixture_submit(&f, "(module\nstart workflow {\"agent\":\"child\"}\nwait any\n",
                       &(struct sh_submit){.capabilities = caps});
    row = fixture_wait(&f, id);
    ck_assert_msg(strstr(text(row, "result"), "permission_denied") &&
                      strstr(text(row, "result"), "\\\"value\\\":4"),
                  "%s", text(row, "result"));
    json_decref(row);
    json_decref(caps);
    fixture_close(&f);
}
END_TEST

START_TEST(children_go_as_deep_as_the_limit_and_no_deeper) {
    json_t *row;

    open_with("depth", ALL);
    fixture_add_agent(&f, "deeper",
                      "(module\nprint level\nstart workflow {\"agent\":\"deeper\"}\nwait any\n");
    sh_auto(sh_free_p) char *id =
        fixture_submit(&f, "(module\nstart workflow {\"agent\":\"deeper\"}\nwait any\n", NULL);
    row = fixture_wait(&f, id);
    size_t levels = 0;
    for (const char *p = text(row, "result"); (p = strstr(p, "level\\")); p++) {
        levels++;
    }
    ck_assert_uint_eq(levels, SH_WORKFLOW_DEPTH_MAX);
    ck_assert_ptr_nonnull(strstr(text(row, "result"), "limit_exceeded"));
    json_decref(row);
    fixture_close(&f);
}
END_TEST

static json_t *wait_status(const char *id, const char *status) {
    for (int i = 0; i < 4000; i++) {
        json_t *row = fixture_row(&f, id);
        if (row && strcmp(text(row, "status"), status) == 0) {
            return row;
        }
        json_decref(row);
        fixture_run_ms(&f, 3);
    }
    ck_abort_msg("workflow %s is not %s", id, status);
    return NULL;
}

static char *only_child(const char *id) {
    for (int i = 0; i < 4000; i++) {
        json_t *children = children_of(id);
        if (json_array_size(children) == 1) {
            char *child = sh_strdup(text(json_array_get(children, 0), "id"));
            json_decref(children);
            return child;
        }
        json_decref(children);
        fixture_run_ms(&f, 3);
    }
    ck_abort_msg("workflow %s has no child", id);
    return NULL;
}

START_TEST(a_cancel_reaches_attached_children_and_spares_detached_ones) {
    open_with("cancel", ALL);
    fixture_add_agent(&f, "waits", "(module\nstart signal {\"name\":\"go\"}\nwait any\nwait any\n");
    sh_auto(sh_free_p) char *attached =
        fixture_submit(&f, "(module\nstart workflow {\"agent\":\"waits\"}\nwait any\n", NULL);
    sh_auto(sh_free_p) char *detached =
        fixture_submit(&f,
                       "(module\nstart workflow {\"agent\":\"waits\",\"detached\":true}\nwait any\n"
                       "start signal {\"name\":\"x\"}\nwait any\n",
                       NULL);
    sh_auto(sh_free_p) char *first = only_child(attached), *second = only_child(detached);
    ck_assert_int_eq(fixture_control(&f, attached, sh_engine_cancel), 0);
    ck_assert_int_eq(fixture_control(&f, detached, sh_engine_cancel), 0);
    json_decref(wait_status(first, "canceled"));
    json_decref(wait_status(attached, "canceled"));
    json_decref(wait_status(detached, "canceled"));
    json_decref(wait_status(second, "running"));
    ck_assert_int_eq(fixture_signal(&f, second, "go", NULL), 0);
    json_decref(wait_status(second, "completed"));
    check_verified(detached);
    fixture_close(&f);
}
END_TEST

START_TEST(children_of_a_workflow_that_ended_are_canceled_also_after_a_crash) {
    open_with("ended", ALL);
    fixture_add_agent(&f, "waits", "(module\nstart signal {\"name\":\"go\"}\nwait any\n");
    sh_auto(sh_free_p) char *id = fixture_submit(
        &f, "(module\nstart workflow {\"agent\":\"waits\"}\nstart sleep {\"ms\":80}\nwait 2\n",
        NULL);
    sh_auto(sh_free_p) char *child = only_child(id);
    json_decref(wait_status(id, "completed"));
    fixture_crash(&f, SH_TWIN_LOSE_ALL);
    json_decref(wait_status(child, "canceled"));
    check_verified(child);
    fixture_close(&f);
}
END_TEST

START_TEST(a_deadline_counts_pauses_and_time_without_a_process) {
    json_t *row;

    open_with("deadline", ALL);
    sh_auto(sh_free_p) char *id =
        fixture_submit(&f, "(module\nstart signal {\"name\":\"go\"}\nwait any\n",
                       &(struct sh_submit){.deadline_us = sh_wall_us() + 700000});
    ck_assert_int_eq(fixture_control(&f, id, sh_engine_pause), 0);
    fixture_crash(&f, SH_TWIN_LOSE_ALL);
    row = wait_status(id, "timeout");
    ck_assert_str_eq(text(json_object_get(row, "error"), "code"), "deadline_exceeded");
    ck_assert_int_ge(sh_json_get_int(row, "completed_at", 0),
                     sh_json_get_int(row, "deadline_at", 0));
    json_decref(row);
    check_verified(id);
    fixture_close(&f);
}
END_TEST

static Suite *suite(void) {
    const TTest *const tests[] = {the_result_of_a_child_is_the_activity_s_result,
                                  the_failure_of_a_child_is_the_activity_s_error,
                                  what_cannot_be_started_is_the_activity_s_error,
                                  the_policy_decides_about_the_op,
                                  a_child_has_at_most_what_its_parent_has,
                                  children_go_as_deep_as_the_limit_and_no_deeper,
                                  a_cancel_reaches_attached_children_and_spares_detached_ones,
                                  children_of_a_workflow_that_ended_are_canceled_also_after_a_crash,
                                  a_deadline_counts_pauses_and_time_without_a_process,
                                  NULL};
    return sh_suite("engine_children", tests);
}
SH_TEST_MAIN(suite)
