/* Query strings, numbers, submit bodies, and rows as tasks. */
#include "../lib/check_main.h"

#include "http/request.h"
#include "http/submit_body.h"
#include "http/task_view.h"

static struct sh_err err;

static struct sh_request *with_query(const char *text, int want) {
    struct sh_request *r = sh_request_new(NULL, "GET", "/");
    err = (struct sh_err){0};
    int rc = sh_request_query(r, sh_str(text), &err);
    ck_assert_msg(rc == want, "%s: %d %s", text, rc, err.message);
    return r;
}

START_TEST(queries_are_decoded) {
    struct sh_request *r = with_query("a=1&b=x%20y+z&&c&d=%C3%A9", 0);
    ck_assert_str_eq(sh_request_param(r, "b"), "x y z");
    ck_assert_str_eq(sh_request_param(r, "c"), "");
    ck_assert_str_eq(sh_request_param(r, "d"), "\xc3\xa9");
    ck_assert_ptr_null(sh_request_param(r, "e"));
    sh_request_free(r);
}
END_TEST

START_TEST(wrong_queries_are_refused) {
    static const char *const wrong[] = {"a=%", "a=%4", "a=%zz", "a=%00", "a=%ff", "a=1&a=2", "=1"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        sh_request_free(with_query(wrong[i], -SH_E_INVAL));
    }
}
END_TEST

START_TEST(numbers_have_ranges) {
    uint64_t v = 0;
    struct sh_request *r = with_query("a=100&b=101&c=-1&d=x&e=99999999999999999999&f=", 0);
    sh_assert_ok(sh_request_number(r, "a", 20, 1, 100, &v, &err), &err);
    ck_assert_uint_eq(v, 100);
    sh_assert_ok(sh_request_number(r, "f", 20, 1, 100, &v, &err), &err);
    ck_assert_uint_eq(v, 20);
    for (const char *p = "bcde"; *p; p++) {
        char name[2] = {*p, 0};
        sh_assert_fails(sh_request_number(r, name, 20, 1, 100, &v, &err), SH_E_INVAL, &err);
    }
    sh_request_free(r);
}
END_TEST

static int submit(const char *text, struct sh_submit_body *b) {
    err = (struct sh_err){0};
    return sh_submit_body_parse(sh_str(text), false, b, &err);
}

static char *query_of(size_t chars, const char *character) {
    struct sh_buf b;
    sh_buf_init(&b, SH_MIB);
    sh_buf_adds(&b, "{\"query\":\"");
    for (size_t i = 0; i < chars; i++) {
        sh_buf_adds(&b, character);
    }
    sh_buf_adds(&b, "\"}");
    return sh_buf_take(&b);
}

START_TEST(queries_have_1_to_10000_characters) {
    struct sh_submit_body b = {0};
    sh_assert_fails(submit("{\"query\":\"\"}", &b), SH_E_INVAL, &err);
    sh_assert_fails(submit("{\"query\":\" \\n\"}", &b), SH_E_INVAL, &err);
    sh_assert_fails(submit("{}", &b), SH_E_INVAL, &err);
    for (int i = 0; i < 2; i++) { /* characters, not bytes */
        const char *character = i ? "\xe2\x82\xac" : "a";
        char *at = query_of(SH_QUERY_CHARS_MAX, character);
        char *past = query_of(SH_QUERY_CHARS_MAX + 1, character);
        sh_assert_ok(submit(at, &b), &err);
        sh_submit_body_done(&b);
        sh_assert_fails(submit(past, &b), SH_E_INVAL, &err);
        sh_free(at);
        sh_free(past);
    }
}
END_TEST

START_TEST(every_generation_of_clients_is_understood) {
    struct sh_submit_body b = {0};
    sh_assert_ok(
        submit("{\"prompt\":\"p\",\"model\":\"m\",\"max_tokens\":5,\"metadata\":{\"k\":1}}", &b),
        &err);
    ck_assert_str_eq(b.query, "p");
    ck_assert_str_eq(json_string_value(json_object_get(b.input, "model")), "m");
    ck_assert_int_eq(json_integer_value(json_object_get(b.metadata, "k")), 1);
    sh_submit_body_done(&b);
    sh_assert_ok(submit("{\"query\":\"q\",\"mode\":\"m\",\"context\":{\"strategy\":\"react\"},"
                        "\"session_id\":\"s-1\",\"limits\":{\"fuel\":1},\"args\":[\"x\"]}",
                        &b),
                 &err);
    ck_assert_ptr_null(b.agent);
    ck_assert_str_eq(b.hints[0], "m");
    ck_assert_str_eq(b.hints[1], "react");
    ck_assert_str_eq(b.session, "s-1");
    ck_assert_str_eq(b.args[0], "x");
    ck_assert_ptr_nonnull(json_object_get(json_object_get(b.capabilities, "limits"), "fuel"));
    sh_submit_body_done(&b);
    sh_assert_ok(submit("{\"input\":[1],\"context\":{\"agent\":\"a\"}}", &b), &err);
    ck_assert_str_eq(b.agent, "a");
    ck_assert_str_eq(b.query, "");
    ck_assert(json_is_array(b.input));
    sh_submit_body_done(&b);
}
END_TEST

START_TEST(wrong_bodies_name_the_member) {
    static const char *const wrong[][2] = {
        {"{\"query\":1}", "query"},
        {"{\"query\":\"q\",\"agent\":1}", "agent"},
        {"{\"query\":\"q\",\"session_id\":\"a b\"}", "session_id"},
        {"{\"query\":\"q\",\"capabilities\":[]}", "capabilities"},
        {"{\"query\":\"q\",\"limits\":{},\"capabilities\":{\"limits\":{}}}", "limits"},
        {"{\"query\":\"q\",\"args\":\"x\"}", "args"},
        {"{\"query\":\"q\",\"args\":[1]}", "args[0]"},
        {"{\"query\":\"q\",\"metadata\":1}", "metadata"},
        {"{\"query\":\"q\",\"stdin\":\"x\",\"stdin_live\":true}", "stdin"},
        {"[]", "object"},
    };
    struct sh_submit_body b = {0};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        sh_assert_fails(submit(wrong[i][0], &b), SH_E_INVAL, &err);
        ck_assert_msg(strstr(err.message, wrong[i][1]), "%s: %s", wrong[i][0], err.message);
    }
    sh_assert_fails(submit("", &b), SH_E_JSON, &err);
    sh_assert_fails(submit("{\"query\":", &b), SH_E_JSON, &err);
}
END_TEST

START_TEST(statuses_map_both_ways) {
    ck_assert_str_eq(sh_task_status(SH_STR("canceled")), "TASK_STATUS_CANCELLED");
    ck_assert_str_eq(sh_task_status(SH_STR("rejected")), "TASK_STATUS_FAILED");
    ck_assert_str_eq(sh_task_status(SH_STR("timeout")), "TASK_STATUS_TIMEOUT");
    ck_assert_str_eq(sh_task_status(SH_STR("???")), "TASK_STATUS_FAILED");
    ck_assert_str_eq(sh_row_status("CANCELLED"), "canceled");
    ck_assert_str_eq(sh_row_status("TASK_STATUS_FAILED"), "failed");
    ck_assert_str_eq(sh_row_status("running"), "running");
    ck_assert_ptr_null(sh_row_status("done"));
}
END_TEST

START_TEST(rows_become_tasks_with_every_mandatory_member) {
    json_t *row = json_pack("{s:s, s:s, s:s, s:I, s:s, s:{s:i, s:f}}", "id", "wf-1", "status",
                            "completed", "query", "q", "created_at", (json_int_t)1000000, "result",
                            "r", "usage", "total_tokens", 7, "cost_usd", 0.5);
    json_t *task = sh_task_json(row), *item = sh_task_item_json(row);
    ck_assert_str_eq(json_string_value(json_object_get(task, "task_id")), "wf-1");
    ck_assert_str_eq(json_string_value(json_object_get(task, "result")), "r");
    ck_assert_str_eq(json_string_value(json_object_get(task, "created_at")),
                     "1970-01-01T00:00:01.000000Z");
    ck_assert_int_eq(json_integer_value(json_object_get(json_object_get(item, "total_token_usage"),
                                                        "total_tokens")),
                     7);
    json_object_set_new(row, "status", json_string("running"));
    json_t *running = sh_task_json(row);
    ck_assert_ptr_null(json_object_get(running, "result"));
    json_t *empty = json_object(), *bare = sh_task_item_json(empty);
    ck_assert_ptr_nonnull(json_object_get(bare, "created_at"));
    ck_assert_ptr_nonnull(json_object_get(bare, "query"));
    json_decref(row), json_decref(task), json_decref(item), json_decref(running);
    json_decref(empty), json_decref(bare);
}
END_TEST

START_TEST(an_output_object_is_the_result_where_nothing_was_printed) {
    json_t *row = json_pack("{s:s, s:s, s:s, s:{s:i}}", "id", "x", "status", "completed", "result",
                            "", "output", "a", 1);
    json_t *task = sh_task_json(row);
    ck_assert_str_eq(json_string_value(json_object_get(task, "result")), "{\"a\":1}");
    json_decref(row);
    json_decref(task);
}
END_TEST

static Suite *suite(void) {
    static const TTest *tests[16];
    size_t n = 0;
    tests[n++] = queries_are_decoded;
    tests[n++] = wrong_queries_are_refused;
    tests[n++] = numbers_have_ranges;
    tests[n++] = queries_have_1_to_10000_characters;
    tests[n++] = every_generation_of_clients_is_understood;
    tests[n++] = wrong_bodies_name_the_member;
    tests[n++] = statuses_map_both_ways;
    tests[n++] = rows_become_tasks_with_every_mandatory_member;
    tests[n++] = an_output_object_is_the_result_where_nothing_was_printed;
    return sh_suite("api_request", tests);
}

SH_TEST_MAIN(suite)
