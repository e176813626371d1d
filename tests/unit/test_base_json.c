/* JSON: limits before parsing, one canonical form, and text that is not text. */
#include "lib/check_main.h"

static json_t *parse(const char *text) {
    struct sh_err err = {0};
    json_t *value = NULL;
    sh_assert_ok(sh_json_parse(sh_str(text), SH_MIB, &value, &err), &err);
    return value;
}

static void assert_refused(struct sh_str text, size_t max, int code, const char *says) {
    struct sh_err err = {0};
    json_t *value = NULL;
    sh_assert_fails(sh_json_parse(text, max, &value, &err), code, &err);
    ck_assert_ptr_null(value);
    ck_assert_msg(!says || strstr(err.message, says), "\"%s\" not in \"%s\"", says, err.message);
}

/* depth brackets around nothing, alternately of both kinds. */
static char *nested(size_t depth) {
    struct sh_buf b;
    sh_buf_init(&b, SH_MIB);
    for (size_t i = 0; i < depth; i++) {
        sh_buf_adds(&b, i % 2 ? "{\"a\":" : "[");
    }
    sh_buf_adds(&b, "1");
    for (size_t i = depth; i-- > 0;) {
        sh_buf_adds(&b, i % 2 ? "}" : "]");
    }
    return sh_buf_take(&b);
}

START_TEST(depth_64_is_taken_and_65_refused) {
    char *text = nested(SH_JSON_DEPTH_MAX);
    json_t *value = parse(text);
    json_decref(value);
    sh_free(text);
    text = nested(SH_JSON_DEPTH_MAX + 1);
    assert_refused(sh_str(text), SH_MIB, SH_E_LIMIT, "deeper than 64");
    sh_free(text);
    text = nested(100000);
    assert_refused(sh_str(text), SH_MIB, SH_E_LIMIT, "deeper");
    sh_free(text);
}
END_TEST

START_TEST(brackets_in_strings_do_not_count) {
    char text[400] = "\"\\\"";
    memset(text + 3, '[', 300);
    memcpy(text + 303, "\\\\\"", 4);
    json_t *value = parse(text);
    ck_assert(json_is_string(value));
    json_decref(value);
    memset(text, '[', 70); /* closing ones first must not lend depth */
    memcpy(text, "]]]]]", 5);
    text[70] = '\0';
    assert_refused(sh_str(text), SH_MIB, SH_E_LIMIT, NULL);
}
END_TEST

START_TEST(size_is_refused_one_past_its_limit) {
    json_t *value = NULL;
    struct sh_err err = {0};
    sh_assert_ok(sh_json_parse(SH_STR("[1,2]"), 5, &value, &err), &err);
    sh_json_done(&value);
    ck_assert_ptr_null(value);
    assert_refused(SH_STR("[1,2]"), 4, SH_E_LIMIT, "5 bytes, at most 4");
}
END_TEST

START_TEST(what_is_not_one_value_is_refused) {
    static const char *const bad[] = {"",
                                      "{",
                                      "[1,]",
                                      "{\"a\":1,\"a\":2}",
                                      "\"\\u0000\"",
                                      "\"\xff\"",
                                      "nul",
                                      "1 2",
                                      "{'a':1}",
                                      "[1}",
                                      "01",
                                      "NaN",
                                      "1e999",
                                      "\"a\nb\"",
                                      "+1",
                                      "{\"a\" 1}",
                                      "\"\\ud800\"",
                                      "99999999999999999999",
                                      "[\"\\"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_refused(sh_str(bad[i]), SH_MIB, SH_E_JSON, "line");
    }
    assert_refused(SH_STR("[1,\n  x]"), SH_MIB, SH_E_JSON, "line 2, column 3");
    assert_refused((struct sh_str){0}, 0, SH_E_JSON, NULL);
}
END_TEST

START_TEST(foreign_text_may_have_nul_which_is_replaced) {
    static const struct {
        const char *text, *value;
    } cases[] = {
        {"\"\\u0000\"", "\"\xef\xbf\xbd\""},
        {"[\"a\\u0000\\u0000b\",\"\\\\u0000\",\"\\\\\\u0000\"]",
         "[\"a\xef\xbf\xbd\xef\xbf\xbd"
         "b\",\"\\\\u0000\",\"\\\\\xef\xbf\xbd\"]"},
        {"{\"\\u0000\":\"\\u00001\"}", "{\"\xef\xbf\xbd\":\"\xef\xbf\xbd"
                                       "1\"}"},
        {"\"\\\\\"", "\"\\\\\""},
    };
    json_t *value = NULL;
    struct sh_err err = {0};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        sh_assert_ok(sh_json_parse_foreign(sh_str(cases[i].text), SH_MIB, &value, &err), &err);
        sh_auto(sh_free_p) char *text = sh_json_text(value);
        ck_assert_str_eq(text, cases[i].value);
        sh_json_done(&value);
    }
    ck_assert_int_eq(sh_json_parse_foreign(SH_STR("\"\\u0000\""), 7, &value, &err), -SH_E_LIMIT);
    ck_assert_int_eq(sh_json_parse_foreign(SH_STR("\\u0000"), 8, &value, NULL), -SH_E_JSON);
    ck_assert_int_eq(sh_json_parse_foreign(SH_STR("\"\\"), 8, &value, NULL), -SH_E_JSON);
}
END_TEST

START_TEST(any_value_is_taken) {
    static const char *const good[] = {"1",    "-1.5", "\"x\"", "null",
                                       "true", " [] ", "{}",    "9223372036854775807"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        json_decref(parse(good[i]));
    }
}
END_TEST

START_TEST(equal_values_give_equal_bytes) {
    json_t *value = parse("{ \"b\" : [1, 0.1, \"\\u00e9/\"], \"a\": {\"z\":null,\"y\":true} }");
    char *text = sh_json_text(value);
    ck_assert_str_eq(text,
                     "{\"a\":{\"y\":true,\"z\":null},\"b\":[1,0.10000000000000001,\"\xc3\xa9/\"]}");
    json_t *again = parse(text);
    char *second = sh_json_text(again);
    ck_assert_str_eq(text, second);
    ck_assert(json_equal(value, again));
    struct sh_buf b;
    sh_buf_init(&b, strlen(text));
    sh_json_dump(value, &b);
    sh_assert_str(sh_buf_str(&b), text);
    sh_buf_done(&b);
    sh_buf_init(&b, strlen(text) - 1);
    sh_json_dump(value, &b);
    ck_assert(b.failed);
    sh_buf_done(&b);
    sh_free(text);
    sh_free(second);
    json_decref(value);
    json_decref(again);
}
END_TEST

START_TEST(escaped_text_parses_back) {
    static const char raw[] = "a\"\\/\b\f\n\r\t\x01\x1f\x7f\xc3\xa9\xf0\x9f\x98\x80";
    struct sh_buf b;
    sh_buf_init(&b, 200);
    sh_json_escape(&b, sh_str(raw));
    sh_buf_addc(&b, '\0');
    json_t *value = parse(b.p);
    ck_assert_str_eq(json_string_value(value), raw);
    json_decref(value);
    sh_buf_clear(&b);
    sh_json_escape(&b, SH_STR("x\xffy\0z\xe2\x82"));
    sh_assert_str(sh_buf_str(&b), "\"x\xef\xbf\xbdy\xef\xbf\xbdz\xef\xbf\xbd\xef\xbf\xbd\"");
    sh_buf_clear(&b);
    sh_json_escape(&b, (struct sh_str){0});
    sh_assert_str(sh_buf_str(&b), "\"\"");
    sh_buf_done(&b);
}
END_TEST

START_TEST(strings_of_any_bytes_are_made) {
    json_t *s = sh_json_string(SH_STR("x\xff\0\xc3\xa9"));
    ck_assert_str_eq(json_string_value(s), "x\xef\xbf\xbd\xef\xbf\xbd\xc3\xa9");
    json_decref(s);
    s = sh_json_string((struct sh_str){0});
    ck_assert_str_eq(json_string_value(s), "");
    json_decref(s);
    s = sh_json_string(SH_STR("\xff\xff\xff"));
    ck_assert_uint_eq(json_string_length(s), 9);
    json_decref(s);
}
END_TEST

START_TEST(members_have_defaults) {
    json_t *object = parse("{\"s\":\"text\",\"i\":-7,\"b\":false,\"n\":null,\"r\":1.5}");
    sh_assert_str(sh_json_get_str(object, "s"), "text");
    ck_assert_uint_eq(sh_json_get_str(object, "i").len, 0);
    ck_assert_int_eq(sh_json_get_int(object, "i", 3), -7);
    ck_assert_int_eq(sh_json_get_int(object, "r", 3), 3);
    ck_assert_int_eq(sh_json_get_int(object, "n", 3), 3);
    ck_assert_int_eq(sh_json_get_int(object, "missing", 3), 3);
    ck_assert(!sh_json_get_bool(object, "b", true));
    ck_assert(sh_json_get_bool(object, "s", true));
    ck_assert(sh_json_get_bool(NULL, "b", true));
    json_decref(object);
}
END_TEST

START_TEST(unknown_members_name_the_nearest) {
    static const char *const known[] = {"memory", "fuel", "output", NULL};
    static const char *const none[] = {NULL};
    struct sh_err err = {0};
    json_t *object = parse("{\"fuel\":1,\"zzz\":1,\"memroy\":2}");
    sh_assert_fails(sh_json_only(object, known, "limits", &err), SH_E_INVAL, &err);
    ck_assert_str_eq(err.message,
                     "limits has no member \"memroy\"; the nearest known one is \"memory\"");
    json_object_del(object, "memroy");
    json_object_del(object, "zzz");
    sh_assert_ok(sh_json_only(object, known, "limits", &err), &err);
    sh_assert_fails(sh_json_only(object, none, "limits", &err), SH_E_INVAL, &err);
    json_decref(object);
}
END_TEST

static Suite *suite(void) {
    const TTest *const tests[] = {
        depth_64_is_taken_and_65_refused,
        brackets_in_strings_do_not_count,
        size_is_refused_one_past_its_limit,
        what_is_not_one_value_is_refused,
        any_value_is_taken,
        foreign_text_may_have_nul_which_is_replaced,
        equal_values_give_equal_bytes,
        escaped_text_parses_back,
        strings_of_any_bytes_are_made,
        members_have_defaults,
        unknown_members_name_the_nearest,
        NULL,
    };
    return sh_suite("base_json", tests);
}

SH_TEST_MAIN(suite)
