/* Errors: the table, the record at the origin, and what happens to hostile text in it. */
#include <errno.h>
#include <signal.h>

#include "lib/check_main.h"

START_TEST(every_code_is_found_by_its_name) {
    for (int code = SH_OK; code < SH_E_COUNT; code++) {
        const struct sh_code_info *info = sh_code_info(code);
        ck_assert_ptr_nonnull(info->name);
        ck_assert_int_eq(sh_code_from_name(info->name), code);
        ck_assert_ptr_eq(sh_code_info(-code), info);
        ck_assert(info->http_status >= 200 && info->http_status < 600);
    }
    ck_assert_int_eq(sh_code_from_name("no such name"), SH_E_INTERNAL);
    ck_assert_int_eq(sh_code_from_name(NULL), SH_E_INTERNAL);
    ck_assert_str_eq(sh_code_info(SH_E_COUNT)->name, "internal_error");
    ck_assert_str_eq(sh_code_info(INT32_MIN)->name, "internal_error");
    ck_assert(sh_code_info(SH_E_TIMEOUT)->retryable);
}
END_TEST

START_TEST(failure_records_code_place_and_message) {
    struct sh_err err = {0};
    ck_assert_int_eq(sh_fail(&err, SH_E_LIMIT, "%d of %d", 3, 2), -SH_E_LIMIT);
    ck_assert_int_eq(err.code, SH_E_LIMIT);
    ck_assert_str_eq(err.message, "3 of 2");
    ck_assert_ptr_nonnull(strstr(err.file, "test_base_err.c"));
    ck_assert_int_gt(err.line, 0);
    ck_assert_int_eq(sh_fail(NULL, SH_E_IO, "nobody asks"), -SH_E_IO);
}
END_TEST

START_TEST(hostile_text_is_escaped) {
    struct sh_err err = {0};
    sh_fail(&err, SH_E_INVAL, "%s",
            "a\nb\033[2Jc\xff"
            "d\xc2\x9b"
            "e\xe2\x80\xae"
            "f\xc3\xa9");
    ck_assert_str_eq(err.message, "a\\nb\\u{1b}[2Jc\\xffd\\u{9b}e\\u{202e}f\xc3\xa9");
}
END_TEST

START_TEST(long_messages_are_cut_at_a_character) {
    struct sh_err err = {0};
    char text[4001];
    for (size_t shift = 0; shift < 2; shift++) {
        memset(text, 'x', shift);
        for (size_t i = shift; i + 2 <= 4000; i += 2) {
            memcpy(text + i, "\xc3\xa9", 3);
        }
        sh_fail(&err, SH_E_INVAL, "%s", text);
        size_t n = strlen(err.message);
        ck_assert_uint_ge(n, sizeof(err.message) - 8);
        ck_assert(sh_utf8_valid(sh_str(err.message)));
        ck_assert_str_eq(err.message + n - 3, "...");
        ck_assert_ptr_null(strstr(err.message, "\\x"));
    }
}
END_TEST

START_TEST(errno_picks_the_code_and_is_never_cut_off) {
    struct sh_err err = {0};
    ck_assert_int_eq(sh_fail_errno(&err, SH_E_IO, ENOENT, "open %s", "f"), -SH_E_IO);
    ck_assert_str_eq(err.message, "open f: No such file or directory");
    ck_assert_int_eq(sh_fail_errno(&err, SH_E_IO, ENOSPC, "x"), -SH_E_NOSPC);
    ck_assert_int_eq(sh_fail_errno(&err, SH_E_IO, ENOMEM, "x"), -SH_E_NOMEM);
    ck_assert_int_eq(sh_fail_errno(&err, SH_E_IO, EACCES, "x"), -SH_E_IO);
    char path[2000];
    memset(path, 'p', sizeof(path) - 1);
    path[sizeof(path) - 1] = '\0';
    sh_fail_errno(&err, SH_E_IO, ENOENT, "open %s", path);
    ck_assert_ptr_nonnull(strstr(err.message, ": No such file or directory"));
}
END_TEST

START_TEST(assertions_abort) {
    SH_ASSERT(1 + 1 == 3);
}
END_TEST

static Suite *suite(void) {
    const TTest *const tests[] = {
        every_code_is_found_by_its_name,
        failure_records_code_place_and_message,
        hostile_text_is_escaped,
        long_messages_are_cut_at_a_character,
        errno_picks_the_code_and_is_never_cut_off,
        NULL,
    };
    Suite *s = sh_suite("base_err", tests);
    TCase *aborts = tcase_create("abort");
    tcase_add_test_raise_signal(aborts, assertions_abort, SIGABRT);
    suite_add_tcase(s, aborts);
    return s;
}

SH_TEST_MAIN(suite)
