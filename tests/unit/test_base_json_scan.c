/* JSON checked as it stands: what is taken is what the parser takes, byte for byte. */
#include "base/json_scan.h"

#include <stdio.h>

#include "base/base.h"

#include "lib/check_main.h"

static int scanned(struct sh_str text) {
    struct sh_err err = {0};
    return sh_json_check(text, &err);
}

static int parsed(struct sh_str text) {
    struct sh_err err = {0};
    sh_auto(sh_json_done) json_t *value = NULL;
    return sh_json_parse(text, SH_MIB, &value, &err);
}

static const char *const texts[] = {
    "0",
    "-0",
    "01",
    "-",
    "1.5",
    "1.",
    ".5",
    "1e5",
    "1E-5",
    "1e+",
    "1e",
    "true",
    "tru",
    "truex",
    "null",
    "nul",
    "false",
    "\"\"",
    "\"a",
    "\"\\",
    "\"\\u00e9\"",
    "\"\\u00E9\"",
    "\"\\u0000\"",
    "\"\\ud83d\\ude00\"",
    "\"\\ud83d\"",
    "\"\\ud83d\\u0041\"",
    "\"\\ude00\"",
    "\"\\u12\"",
    "\"\\x\"",
    "\"\\/\\b\\f\\n\\r\\t\\\\\\\"\"",
    "\"\t\"",
    "\"\x7f\"",
    "\"\xc3\xa9\"",
    "\"\xff\"",
    "\"\xed\xa0\x80\"",
    "[]",
    "[ ]",
    "[1,2]",
    "[1,]",
    "[,1]",
    "[1 2]",
    "[1",
    "[",
    "]",
    "[1}",
    "{}",
    "{ \"a\" : [ { } , 1 ] }",
    "{\"a\":1,}",
    "{\"a\"}",
    "{\"a\":}",
    "{a:1}",
    "{\"a\":1 \"b\":2}",
    "{\"a\":1",
    "{1:2}",
    "",
    " ",
    " 1 ",
    "1 1",
    "[1]x",
    "\357\273\2771",
    "'a'",
    "+1",
    "NaN",
    "/* a */ 1",
};

START_TEST(it_takes_what_the_parser_takes) {
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct sh_str text = sh_str(texts[i]);
        ck_assert_msg((scanned(text) == 0) == (parsed(text) == 0), "%s", texts[i]);
    }
    ck_assert(scanned(SH_STR("[1,\"a\0b\"]")) < 0);
    ck_assert(scanned((struct sh_str){0}) < 0);
}
END_TEST

/* Every text that one wrong byte makes of a good one. */
START_TEST(one_wrong_byte_is_seen_as_the_parser_sees_it) {
    static const char good[] =
        "{\"a\":[1,-2.5e3,true,null,\"x\\u00e9\\n\"],\"b\":{\"c\":\"\xc3\xa9\"}}";
    static const char bytes[] = "\x01 \"\\,:{}[]0e.-tu\xff";

    for (size_t i = 0; i < sizeof(good) - 1; i++) {
        for (size_t k = 0; k < sizeof(bytes) - 1; k++) {
            char text[sizeof(good)];
            memcpy(text, good, sizeof(good));
            text[i] = bytes[k];
            struct sh_str s = sh_strn(text, sizeof(good) - 1);
            ck_assert_msg((scanned(s) == 0) == (parsed(s) == 0), "byte %zu: %s", i, text);
        }
    }
}
END_TEST

START_TEST(nesting_is_bounded) {
    struct sh_err err = {0};
    char text[2 * SH_JSON_DEPTH_MAX + 2];

    memset(text, '[', SH_JSON_DEPTH_MAX + 1);
    memset(text + SH_JSON_DEPTH_MAX + 1, ']', SH_JSON_DEPTH_MAX + 1);
    ck_assert_int_eq(sh_json_check(sh_strn(text + 1, 2 * SH_JSON_DEPTH_MAX), &err), 0);
    ck_assert_int_eq(sh_json_check(sh_strn(text, sizeof(text)), &err), -SH_E_LIMIT);
}
END_TEST

static int cut(struct sh_str text, const char *name, size_t min, struct sh_str *value,
               struct sh_buf *rest, struct sh_err *err) {
    sh_buf_init(rest, 64);
    return sh_json_cut(text, name, min, value, rest, err);
}

START_TEST(a_member_is_cut_out_as_it_stands) {
    struct sh_err err = {0};
    struct sh_str value = {0};
    struct sh_buf rest;
    struct sh_str text =
        SH_STR("{\"x\":{\"input\":1}, \"input\" : [1, {\"input\":2}] ,\"in\\u0070ut\":3}");

    ck_assert_int_eq(cut(text, "input", 15, &value, &rest, &err), 0);
    ck_assert(sh_str_eqz(value, "[1, {\"input\":2}]"));
    ck_assert(sh_str_eqz(sh_buf_str(&rest),
                         "{\"x\":{\"input\":1}, \"input\" : null ,\"in\\u0070ut\":3}"));
    sh_buf_done(&rest);
    ck_assert_int_eq(cut(text, "input", 16, &value, &rest, &err), 0);
    ck_assert_ptr_null(value.p);
    ck_assert_uint_eq(rest.len, 0);
    ck_assert_int_eq(cut(text, "output", 0, &value, &rest, &err), 0);
    ck_assert_ptr_null(value.p);
    ck_assert_int_eq(cut(SH_STR("[{\"input\":1}]"), "input", 0, &value, &rest, &err), 0);
    ck_assert_ptr_null(value.p);
}
END_TEST

START_TEST(what_cannot_be_cut_says_why) {
    struct sh_err err = {0};
    struct sh_str value = {0};
    struct sh_buf rest;
    char large[80];

    ck_assert_int_eq(cut(SH_STR("{\"a\":1,\"a\":2}"), "a", 0, &value, &rest, &err), -SH_E_INVAL);
    ck_assert_int_eq(cut(SH_STR("{\"a\":1,}"), "a", 0, &value, &rest, &err), -SH_E_JSON);
    ck_assert_str_eq(err.message, "expected one JSON value; byte 7: expected a member's name");
    snprintf(large, sizeof(large), "{\"a\":1,\"b\":%60d}", 1);
    ck_assert_int_eq(cut(sh_str(large), "a", 0, &value, &rest, &err), -SH_E_LIMIT);
    sh_buf_done(&rest);
}
END_TEST

static Suite *suite(void) {
    const TTest *const tests[] = {
        it_takes_what_the_parser_takes,
        one_wrong_byte_is_seen_as_the_parser_sees_it,
        nesting_is_bounded,
        a_member_is_cut_out_as_it_stands,
        what_cannot_be_cut_says_why,
        NULL,
    };
    return sh_suite("base_json_scan", tests);
}

SH_TEST_MAIN(suite)
