/* The JSON of the C SDK meets what small models and hostile hosts write. */
#include "shannon_json.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static struct shannon_view V(const char *text) {
    return shannon_view(text);
}

static void
assert_view(struct shannon_view v, const char *want) {
    ck_assert_msg(v.p && v.n == strlen(want) && memcmp(v.p, want, v.n) == 0,
                  "expected %s, got %.*s", want, (int)v.n, v.p ? v.p : "nothing");
}

static void assert_string(const char *json, const char *want) {
    char *text = shannon_json_string(V(json));
    ck_assert_ptr_nonnull(text);
    ck_assert_str_eq(text, want);
    free(text);
}

START_TEST(valid_texts_are_told_from_broken_ones) {
    static const char *const good[] = {
        "null", "true", "false", "0",          "-0.5e+3",
        "\"\"", "[]",   "{}",    " [1 , 2 ] ", "{\"a\":{\"b\":[null,\"\\u00e9\\\"\"]}}",
    };
    static const char *const bad[] = {
        "",         " ",     "nul",     "01",      "1.",        "-",     "+1",  "[1,]",
        "{\"a\"",   "{a:1}", "\"\\x\"", "\"\\u12", "\"open",    "[1 2]", "1 2", "\"\n\"",
        "{\"a\":}", "tru e", "[,1]",    "}",       "{\"a\" 1}", "\"\\",  "1e",  "{\"a\":1,}",
    };
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        ck_assert_msg(shannon_json_valid(V(good[i])), "%s", good[i]);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        ck_assert_msg(!shannon_json_valid(V(bad[i])), "%s", bad[i]);
    }
    ck_assert(!shannon_json_valid(V(NULL)));
    ck_assert(!shannon_json_valid(shannon_view_n("[1]", 2)));
}
END_TEST

START_TEST(depth_64_is_read_and_65_refused) {
    char text[2 * 65 + 1];
    memset(text, '[', 64);
    memset(text + 64, ']', 64);
    text[128] = '\0';
    ck_assert(shannon_json_valid(V(text)));
    memset(text, '[', 65);
    memset(text + 65, ']', 65);
    text[130] = '\0';
    ck_assert(!shannon_json_valid(V(text)));
}
END_TEST

START_TEST(members_and_items_are_found_by_path) {
    const char *text = " { \"ok\" : {\"content\":\"hi \\n\", \"usage\":{\"total_tokens\": 12},"
                       "\"list\":[1,{\"x\":\"y\"},[]] }, \"k\\u0065y\": 7 }";
    assert_view(shannon_json_get(V(text), "ok.usage.total_tokens"), "12");
    assert_view(shannon_json_get(V(text), "ok.list.1.x"), "\"y\"");
    assert_view(shannon_json_get(V(text), "ok.list.2"), "[]");
    assert_view(shannon_json_get(V(text), "key"), "7");
    ck_assert_ptr_null(shannon_json_get(V(text), "ok.list.3").p);
    ck_assert_ptr_null(shannon_json_get(V(text), "ok.list.x").p);
    ck_assert_ptr_null(shannon_json_get(V(text), "ok.content.deeper").p);
    ck_assert_ptr_null(shannon_json_get(V(text), "missing.too").p);
    ck_assert_ptr_null(shannon_json_get(V(NULL), "a").p);
    ck_assert_ptr_null(shannon_json_get(V("[]"), "0").p);
    ck_assert_ptr_null(shannon_json_get(V("[1]"), "99999999999999999999").p);
    ck_assert_ptr_null(shannon_json_get(V("{}"), "a").p);
    ck_assert_ptr_null(shannon_json_get(V("{\"a\":"), "a").p);
}
END_TEST

START_TEST(strings_are_decoded_to_valid_utf8) {
    assert_string("\"a\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "a\"\\/\b\f\n\r\t");
    assert_string("\"\\u00e9\\u20AC\\ud83d\\ude00\"", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80");
    assert_string("\"\\ud83dx\"", "\xef\xbf\xbdx");
    assert_string("\"\\ude00\"", "\xef\xbf\xbd");
    assert_string("\"\\ud83d\\u0041\"", "\xef\xbf\xbd"
                                        "A");
    assert_string("\"a\\u0000b\"", "a\xef\xbf\xbd"
                                   "b");
    ck_assert_ptr_null(shannon_json_string(V("12")));
    ck_assert_ptr_null(shannon_json_string(V("\"open")));
    ck_assert_ptr_null(shannon_json_string(V(NULL)));
}
END_TEST

START_TEST(numbers_and_booleans_have_a_way_out) {
    ck_assert(shannon_json_number(V("-12.5e1"), 0) == -125);
    ck_assert(shannon_json_number(V("\"12\""), 3) == 3);
    ck_assert(shannon_json_number(V(NULL), 3) == 3);
    ck_assert(shannon_json_number(V("1."), 3) == 3);
    ck_assert(shannon_json_is_true(V(" true")));
    ck_assert(!shannon_json_is_true(V("false")));
    ck_assert(!shannon_json_is_true(V(NULL)));
}
END_TEST

START_TEST(the_writer_puts_commas_and_quotes) {
    struct shannon_json w = {0};
    char *text;

    shannon_json_open(&w, '{');
    shannon_json_key(&w, "a\"b");
    shannon_json_open(&w, '[');
    shannon_json_int(&w, -3);
    shannon_json_str(&w, "x\ny\x01");
    shannon_json_str(&w, NULL);
    shannon_json_bool(&w, true);
    shannon_json_bool(&w, false);
    shannon_json_double(&w, 0.5);
    shannon_json_double(&w, 1.0 / 0.0);
    shannon_json_open(&w, '{');
    shannon_json_close(&w, '}');
    shannon_json_close(&w, ']');
    shannon_json_key(&w, "raw");
    shannon_json_raw(&w, V(" [1, 2] "));
    shannon_json_key(&w, "broken");
    shannon_json_raw(&w, V("[1,"));
    shannon_json_key(&w, "comma");
    shannon_json_str(&w, ",");
    shannon_json_key(&w, "last");
    shannon_json_str(&w, "{");
    shannon_json_close(&w, '}');
    text = shannon_json_take(&w);
    ck_assert_str_eq(text, "{\"a\\\"b\":[-3,\"x\\ny\\u0001\",null,true,false,0.5,null,{}],"
                           "\"raw\":[1, 2],\"broken\":null,\"comma\":\",\",\"last\":\"{\"}");
    ck_assert(shannon_json_valid(V(text)));
    free(text);
    ck_assert_ptr_null(w.p);
    ck_assert_ptr_null(shannon_json_take(&w));
}
END_TEST

START_TEST(bytes_that_are_not_utf8_become_the_replacement_character) {
    static const char *const bad[] = {"\xff",     "\xc0\x80",         "\xed\xa0\x80",
                                      "\xe2\x82", "\xf5\x80\x80\x80", "\xf0\x80\x80\x80",
                                      "\x80"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct shannon_json w = {0};
        char *text;
        shannon_json_str(&w, bad[i]);
        text = shannon_json_take(&w);
        ck_assert_msg(strncmp(text, "\"\xef\xbf\xbd", 4) == 0, "case %zu: %s", i, text);
        free(text);
    }
}
END_TEST

START_TEST(a_long_text_survives_writing_and_reading) {
    struct shannon_json w = {0};
    enum { N = 100000 };
    char *text = malloc(N + 1), *back, *json;

    for (int i = 0; i < N; i++) {
        text[i] = (char)(1 + i % 127);
    }
    text[N] = '\0';
    shannon_json_str(&w, text);
    json = shannon_json_take(&w);
    back = shannon_json_string(V(json));
    ck_assert_str_eq(back, text);
    free(back);
    free(json);
    free(text);
}
END_TEST

START_TEST(a_text_with_a_length_may_have_nul_which_is_replaced) {
    struct shannon_json w = {0};
    char *json;

    shannon_json_open(&w, '[');
    shannon_json_strn(&w, "a\0b\0", 4);
    shannon_json_strn(&w, "xyz", 2);
    shannon_json_strn(&w, "", 0);
    shannon_json_close(&w, ']');
    json = shannon_json_take(&w);
    ck_assert_str_eq(json, "[\"a\xef\xbf\xbd"
                           "b\xef\xbf\xbd\",\"xy\",\"\"]");
    free(json);
}
END_TEST

START_TEST(every_cut_and_every_changed_byte_is_survived) {
    const char *text =
        "{\"ok\":{\"content\":\"a\\u00e9\\ud83d\\ude00\",\"n\":[1,-2.5e3,true,null]}}";
    size_t n = strlen(text);

    for (size_t cut = 0; cut <= n; cut++) {
        for (int change = -1; change < 256; change++) {
            char *copy = malloc(cut + 1);
            memcpy(copy, text, cut);
            if (change >= 0 && cut > 0) {
                copy[cut / 2] = (char)change;
            }
            struct shannon_view v = shannon_view_n(copy, cut); /* not terminated: ASan watches */
            shannon_json_valid(v);
            free(shannon_json_string(shannon_json_get(v, "ok.content")));
            shannon_json_number(shannon_json_get(v, "ok.n.1"), 0);
            free(copy);
        }
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("sdk_c_json");
    TCase *tcase = tcase_create("json");
    SRunner *runner;
    int failed;

    tcase_add_test(tcase, valid_texts_are_told_from_broken_ones);
    tcase_add_test(tcase, depth_64_is_read_and_65_refused);
    tcase_add_test(tcase, members_and_items_are_found_by_path);
    tcase_add_test(tcase, strings_are_decoded_to_valid_utf8);
    tcase_add_test(tcase, numbers_and_booleans_have_a_way_out);
    tcase_add_test(tcase, the_writer_puts_commas_and_quotes);
    tcase_add_test(tcase, bytes_that_are_not_utf8_become_the_replacement_character);
    tcase_add_test(tcase, a_long_text_survives_writing_and_reading);
    tcase_add_test(tcase, a_text_with_a_length_may_have_nul_which_is_replaced);
    tcase_add_test(tcase, every_cut_and_every_changed_byte_is_survived);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
