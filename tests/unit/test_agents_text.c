/* What the shipped agents make of the texts of models: whatever comes, something sensible or
 * nothing, never a crash. */
#include "check_main.h"

#include "agents/common/text.c"

char *shannon_format(const char *format, ...) {
    va_list args;
    char *text = NULL;

    va_start(args, format);
    ck_assert_int_ge(vasprintf(&text, format, args), 0);
    va_end(args);
    return text;
}

static void lists_as(const char *text, size_t n, const char *const wanted[]) {
    char *items[4] = {0};
    size_t got = agent_list(text, items, 4, 20);

    ck_assert_msg(got == n, "%zu items instead of %zu in: %s", got, n, text);
    for (size_t i = 0; i < n; i++) {
        ck_assert_str_eq(items[i], wanted[i]);
        free(items[i]);
    }
}

#define LISTS(text, ...)                                                                           \
    lists_as(text, sizeof((const char *[]){__VA_ARGS__}) / sizeof(const char *),                   \
             (const char *[]){__VA_ARGS__})

START_TEST(a_list_is_found_in_any_dress) {
    LISTS("[\"one\",\"two\"]", "one", "two");
    LISTS("Sure! Here it is:\n```json\n[\"one\", \"two\"]\n```\nGood luck", "one", "two");
    LISTS("{\"queries\": [{\"query\": \"one\"}, {\"title\": \"two\"}]}", "one", "two");
    LISTS("1. **one**\n2) two\n- three\n* Step 4: four", "one", "two", "three", "four");
    LISTS("```json\n[\"one\",\n \"two\",\n \"thr", "one", "two", "thr"); /* cut off */
    LISTS("[1, null, {\"x\": 2}, \"one\"]", "one");                      /* wrong types */
    LISTS("12345678901234567890zzz", "12345678901234567890");
    lists_as("", 0, NULL);
    lists_as("```\n[]\n{}\n--- 42 ---\n", 0, NULL);
    LISTS("a1 x\nb2 x\nc3 x\nd4 x\ne5 x", "a1 x", "b2 x", "c3 x", "d4 x");
}
END_TEST

START_TEST(json_is_found_among_other_things) {
    char *text =
        agent_json_text("I think {so}: ```{\"a\": {\"b\": \" x } \"}}``` {\"a\":1}", "a.b");

    ck_assert_str_eq(text, "x }");
    free(text);
    text = agent_json_text("{\"a\": [1, 2]}", "a");
    ck_assert_str_eq(text, "[1, 2]");
    free(text);
    ck_assert_ptr_null(agent_json_text("{\"a\": \"cut o", "a"));
    ck_assert_ptr_null(agent_json_text("{\"a\": null}", "a"));
    ck_assert_ptr_null(agent_json_text("}{", "a"));
    ck_assert_ptr_null(agent_json_text("{{{{{{{{{{{{{{{{{{{{{{{{{", "a"));
    ck_assert_ptr_null(agent_json_text("", "a"));
}
END_TEST

START_TEST(a_rating_is_read_in_any_scale) {
    static const struct {
        const char *text;
        double wanted;
    } cases[] = {
        {"{\"score\": 7}", 0.7},
        {"{\"score\": \"7\"}", 0.7},
        {"Score: 7/10", 0.7},
        {"**Score**: 70%", 0.7},
        {"score = 0.7", 0.7},
        {"My score is high", -1},
        {"7", 0.7},
        {" 7/10, because", 0.7},
        {"", -1},
        {"{\"score\": -3}", -1},
        {"score: 1e999", -1},
        {"score: 250", -1},
        {"{\"score\": 0 to 10}", -1},
        {"score: 2, no, score: 9", 0.9},
        {"score: 3/0", -1},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        double got = agent_rating(cases[i].text, "score", 10);
        ck_assert_msg(got > cases[i].wanted - 1e-9 && got < cases[i].wanted + 1e-9,
                      "%f instead of %f in: %s", got, cases[i].wanted, cases[i].text);
    }
}
END_TEST

START_TEST(no_character_is_cut_in_two) {
    char text[] = "a\xC3\xA4\xE2\x82\xAC"; /* 1 + 2 + 3 bytes */

    ck_assert_str_eq(agent_tail(text, 2), "");
    ck_assert_str_eq(agent_tail(text, 3), "\xE2\x82\xAC");
    ck_assert_str_eq(agent_tail(text, 99), text);
    ck_assert_str_eq(agent_shorten(text, 5), "a\xC3\xA4");
    ck_assert_str_eq(agent_shorten(text, 2), "a");
    ck_assert_str_eq(agent_shorten(text, 0), "");
}
END_TEST

START_TEST(what_was_cut_off_ends_with_a_sentence) {
    char whole[] = "One thing. Another thing. And a bro", none[] = "no sentence here",
         dot[] = "Pi is 3.14159 and", blank[] = " \n ";

    agent_trim_to_sentence(whole);
    ck_assert_str_eq(whole, "One thing. Another thing.");
    agent_trim_to_sentence(none);
    ck_assert_str_eq(none, "no sentence here");
    agent_trim_to_sentence(dot);
    ck_assert_str_eq(dot, "Pi is 3.14159 and");
    agent_trim(blank);
    ck_assert_str_eq(blank, "");
}
END_TEST

static Suite *suite(void) {
    const TTest *const tests[] = {
        a_list_is_found_in_any_dress,          json_is_found_among_other_things,
        a_rating_is_read_in_any_scale,         no_character_is_cut_in_two,
        what_was_cut_off_ends_with_a_sentence, NULL,
    };
    return sh_suite("agents_text", tests);
}

SH_TEST_MAIN(suite)
