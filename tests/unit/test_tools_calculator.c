/* Arithmetic: values, the column of each error, and the limits of length and depth. */
#include "lib/check_main.h"

#include <locale.h>
#include <math.h>

#include "tools/tools.h"

static int compute(const char *expression, json_t **ret, struct sh_err *err) {
    sh_auto(sh_json_done) json_t *args = json_object();
    json_object_set_new(args, "expression", sh_json_string(sh_str(expression)));
    return sh_tools_compute(sh_tool_find(SH_STR("calculator")), args, ret, err);
}

static void gives(const char *expression, const char *want) {
    struct sh_err err = {0};
    sh_auto(sh_json_done) json_t *result = NULL;
    sh_assert_ok(compute(expression, &result, &err), &err);
    sh_auto(sh_free_p) char *text = sh_json_text(json_object_get(result, "value"));
    ck_assert_msg(strcmp(text, want) == 0, "%s: expected %s, got %s", expression, want, text);
}

static void fails(const char *expression, const char *says) {
    struct sh_err err = {0};
    json_t *result = NULL;
    ck_assert_msg(compute(expression, &result, &err) < 0, "accepted: %s", expression);
    ck_assert_msg(strstr(err.message, says) != NULL, "%s: \"%s\" lacks \"%s\"", expression,
                  err.message, says);
}

START_TEST(values_are_those_of_arithmetic) {
    static const char *const rows[][2] = {
        {"2+3*4", "14"},
        {"(2+3)*4", "20"},
        {"2^3^2", "512"},
        {"-2^2", "-4"},
        {"2^-1", "0.5"},
        {"7%4", "3"},
        {"-7%4", "-3"},
        {"10/4", "2.5"},
        {"1 - - 1", "2"},
        {"--3", "3"},
        {"+3", "3"},
        {"1e3", "1000"},
        {".5+5.", "5.5"},
        {"1.5e-1", "0.14999999999999999"},
        {"sqrt(16)", "4"},
        {"abs(-3.5)", "3.5"},
        {"floor(-1.5)", "-2"},
        {"ceil(1.2)", "2"},
        {"round(2.5)", "3"},
        {"min(3,1,2)", "1"},
        {"max(3)", "3"},
        {"pow(2,10)", "1024"},
        {"log10(1000)", "3"},
        {"ln(e)", "1"},
        {"exp(0)", "1"},
        {"cos(0)", "1"},
        {"sin(0)+tan(0)", "0"},
        {" 2 *\t3\n", "6"},
        {"pi", "3.1415926535897931"},
        {"0.1+0.2", "0.30000000000000004"},
        {"-0", "0"},
        {"9007199254740992", "9007199254740992"},
        {"2^60", "1.152921504606847e18"},
        {NULL, NULL},
    };
    for (size_t i = 0; rows[i][1]; i++) {
        gives(rows[i][0], rows[i][1]);
    }
}
END_TEST

START_TEST(errors_point_at_the_column) {
    fails("2+", "column 3: expected a number, a name or \"(\", not the end");
    fails("2 2", "column 3: expected an operator or the end, not \"2\"");
    fails("(1", "column 3: expected \")\", not the end");
    fails("1)", "column 2: expected an operator");
    fails("1/0", "column 2: division by zero");
    fails("1%0", "column 2: division by zero");
    fails("sqrt(-1)", "column 1: the result is not a real number");
    fails("10^400", "column 3: the result is too large");
    fails("1e400", "column 1: the result is too large");
    fails("ln(0)", "column 1: the result is too large");
    fails("foo(1)", "\"foo\" is unknown");
    fails("sqrt 4", "expected \"(\"");
    fails("sqrt(1,2)", "sqrt takes one argument, not 2");
    fails("pow(1)", "pow takes two arguments, not 1");
    fails("pow(1,2,3)", "pow takes two arguments, not 3");
    fails("1,000", "column 2");
    fails("2e", "column 2");
    fails(".", "column 1: expected a number");
    fails("2**3", "column 3");
    fails("\xc3\xa4", "byte 0xc3");
    fails("", "expression");
    fails("  ", "the end");
}
END_TEST

/* `n` times `open`, a 1, `n` times `close`. */
static char *nested(const char *open, const char *close, size_t n) {
    struct sh_buf b;
    sh_buf_init(&b, SH_KIB * 16);
    for (size_t i = 0; i < n; i++) {
        sh_buf_adds(&b, open);
    }
    sh_buf_adds(&b, "1");
    for (size_t i = 0; i < n; i++) {
        sh_buf_adds(&b, close);
    }
    return sh_buf_take(&b);
}

START_TEST(depth_and_length_hold_at_their_edges) {
    static const char *const rows[][2] = {{"(", ")"}, {"-", ""}, {"abs(", ")"}, {"2^", ""}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct sh_err err = {0};
        sh_auto(sh_json_done) json_t *result = NULL;
        sh_auto(sh_free_p) char *at = nested(rows[i][0], rows[i][1], SH_EXPRESSION_DEPTH_MAX);
        sh_auto(sh_free_p) char *past = nested(rows[i][0], rows[i][1], SH_EXPRESSION_DEPTH_MAX + 1);
        int r = compute(at, &result, &err);
        ck_assert_msg(r == 0 || strstr(err.message, "too large"), "%s: %s", at, err.message);
        fails(past, "nested deeper");
    }
    struct sh_err err = {0};
    sh_auto(sh_json_done) json_t *result = NULL;
    sh_auto(sh_free_p) char *at = nested("1", "", SH_EXPRESSION_CHARS_MAX - 1);
    memset(at + 1, ' ', SH_EXPRESSION_CHARS_MAX - 1);
    sh_assert_ok(compute(at, &result, &err), &err);
    sh_auto(sh_free_p) char *past = nested("1", "", SH_EXPRESSION_CHARS_MAX);
    fails(past, "at most 1000 characters, not 1001");
}
END_TEST

START_TEST(the_locale_of_the_process_does_not_matter) {
    setlocale(LC_ALL,
              "de_DE.UTF-8"); /* where it is not installed this proves nothing, harmlessly */
    gives("1.5+1", "2.5");
}
END_TEST

static Suite *suite(void) {
    const TTest *const tests[] = {values_are_those_of_arithmetic, errors_point_at_the_column,
                                  depth_and_length_hold_at_their_edges,
                                  the_locale_of_the_process_does_not_matter, NULL};
    return sh_suite("tools_calculator", tests);
}

SH_TEST_MAIN(suite)
