/* Requests and journals that somebody made up: refused with the reason, never believed, and never
 * the end of the process. */
#include "engine/private.h"
#include "lib/check_main.h"
#include "lib/engine_fixture.h"
#include "lib/fake_tools.c"

START_TEST(script_name_that_is_no_file_name_is_refused) {
    static const char *const bad[] = {"", ".", "..", "a/b", "/etc/passwd", "../x", "\xff"};
    struct fixture f = {0};

    fixture_open(&f, "script-name");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct sh_submit s = {.script_name = bad[i]};

        ck_assert_ptr_null(fixture_submit(&f, "(module\nprint hello\n", &s));
        ck_assert_int_eq(fixture_error.code, SH_E_INVAL);
        ck_assert_ptr_nonnull(strstr(fixture_error.message, "script_name"));
    }
    fixture_close(&f);
}
END_TEST

START_TEST(name_of_the_program_that_is_not_utf8_stays_an_argument) {
    struct sh_submit s = {.argv0 = "caf\xe9"};
    struct fixture f = {0};
    json_t *body = NULL, *events, *argv;
    char *id;

    fixture_open(&f, "argv0");
    id = fixture_submit(&f, "(module\nprint hello\n", &s);
    ck_assert_ptr_nonnull(id);
    json_decref(fixture_wait(&f, id));
    events = fixture_events(&f, id);
    ck_assert_uint_eq(fixture_count(events, "WorkflowStarted", &body), 1);
    argv = json_object_get(body, "argv");
    ck_assert_uint_eq(json_array_size(argv), 1);
    ck_assert_int_eq(strncmp(json_string_value(json_array_get(argv, 0)), "caf", 3), 0);
    json_decref(events);
    sh_free(id);
    fixture_close(&f);
}
END_TEST

static const char started[] =
    "{\"v\":1,\"agent\":\"a\",\"module\":\"%s\",\"kind\":\"python\",\"interpreter\":\"%s\","
    "\"script_name\":\"main.py\",\"query\":\"\",\"input\":{},\"session\":\"s\","
    "\"argv\":[\"python\",\"/main.py\"],\"env\":[\"A=b\"],\"seed\":\"%s\",\"runtime\":\"r\","
    "\"stdin\":\"\",\"stdin_live\":false,\"tty\":[false,false,false],\"metadata\":{}}";

static json_t *started_body(void) {
    char hex[65], text[2048];
    json_t *body = NULL;
    struct sh_err err = {0};

    memset(hex, 'a', 64);
    hex[64] = 0;
    (void)snprintf(text, sizeof(text), started, hex, hex, hex);
    sh_assert_ok(sh_json_parse(sh_str(text), SH_MIB, &body, &err), &err);
    return body;
}

/* 0 or the code; takes the body. */
static int parse(json_t *body) {
    struct sh_spec spec = {0};
    struct sh_err err = {0};
    int rc;

    sh_buf_init(&spec.stdin_bytes, SH_MIB);
    rc = sh_spec_parse(body, 1, &spec, &err);
    if (rc == 0) { /* whatever was taken can be used */
        ck_assert(json_is_array(spec.argv) && json_is_array(spec.env) && spec.input);
        ck_assert_ptr_nonnull(spec.agent);
    } else {
        ck_assert(err.message[0] != 0);
    }
    sh_spec_done(&spec);
    json_decref(body);
    return -rc;
}

START_TEST(beginning_of_a_journal_with_any_member_changed_is_refused_or_usable) {
    static const char *const values[] = {"null", "1", "\"x\"", "[1]", "[[]]", "{\"a\":1}", "true"};
    json_t *whole = started_body(), *value;
    const char *key;

    ck_assert_int_eq(parse(json_deep_copy(whole)), 0);
    json_object_foreach(whole, key, value) {
        json_t *body = json_deep_copy(whole);

        json_object_del(body, key);
        (void)parse(body);
        for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
            json_t *changed = NULL;
            struct sh_err err = {0};

            sh_assert_ok(sh_json_parse(sh_str(values[i]), 100, &changed, &err), &err);
            body = json_deep_copy(whole);
            json_object_set_new(body, key, changed);
            (void)parse(body);
        }
    }
    json_decref(whole);
}
END_TEST

START_TEST(arguments_that_are_not_texts_and_paths_as_script_names_are_refused) {
    static const char *const bad[][2] = {
        {"argv", "[1]"},
        {"argv", "\"x\""},
        {"argv", "[\"a\",null]"},
        {"env", "[{}]"},
        {"env", "{\"A\":\"b\"}"},
        {"script_name", "\"..\""},
        {"script_name", "\"a/b\""},
        {"script_name", "\"\""},
        {"script_name", "\".\""},
    };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        json_t *body = started_body(), *changed = NULL;
        struct sh_err err = {0};

        sh_assert_ok(sh_json_parse(sh_str(bad[i][1]), 100, &changed, &err), &err);
        json_object_set_new(body, bad[i][0], changed);
        ck_assert_msg(parse(body) == SH_E_CORRUPT, "%s = %s", bad[i][0], bad[i][1]);
    }
}
END_TEST

static Suite *suite(void) {
    const TTest *const tests[] = {
        script_name_that_is_no_file_name_is_refused,
        name_of_the_program_that_is_not_utf8_stays_an_argument,
        beginning_of_a_journal_with_any_member_changed_is_refused_or_usable,
        arguments_that_are_not_texts_and_paths_as_script_names_are_refused,
        NULL,
    };

    return sh_suite("engine_hostile", tests);
}

SH_TEST_MAIN(suite)
