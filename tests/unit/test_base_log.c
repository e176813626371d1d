/* Log lines: one record is one line, whatever the fields hold. */
#include <unistd.h>

#include "lib/check_main.h"

/* Runs between capture_start and capture_end write stderr into a pipe. */
static int ends[2];
static int saved;

static void capture_start(void) {
    ck_assert_int_eq(pipe(ends), 0);
    saved = dup(STDERR_FILENO);
    ck_assert_int_ge(dup2(ends[1], STDERR_FILENO), 0);
    close(ends[1]);
}

static void capture_end(char *out, size_t size) {
    ck_assert_int_ge(dup2(saved, STDERR_FILENO), 0);
    close(saved);
    size_t used = 0;
    ssize_t n = 0;
    while ((n = read(ends[0], out + used, size - 1 - used)) > 0) {
        used += (size_t)n;
    }
    out[used] = '\0';
    close(ends[0]);
}

START_TEST(lines_have_time_level_event_and_fields) {
    char out[8192];
    capture_start();
    sh_log(SH_LOG_DEBUG, "dropped", "x=%d", 1);
    sh_log(SH_LOG_WARN, "refused", "name=%s n=%d", SH_Q(SH_STR("a \"b\"\n\033")), 7);
    capture_end(out, sizeof(out));
    ck_assert_ptr_null(strstr(out, "dropped"));
    ck_assert_str_eq(out + strlen("2026-01-31T12:34:56.789012Z"),
                     " warn  refused name=\"a \\\"b\\\"\\n\\u{1b}\" n=7\n");
}
END_TEST

START_TEST(a_newline_in_a_field_makes_no_second_line) {
    char out[16384];
    char huge[6000];
    memset(huge, '\n', sizeof(huge) - 1);
    huge[sizeof(huge) - 1] = '\0';
    capture_start();
    sh_log(SH_LOG_ERROR, "event", "x=%s", huge);
    capture_end(out, sizeof(out));
    ck_assert_ptr_eq(strchr(out, '\n'), out + strlen(out) - 1);
    ck_assert_uint_le(strlen(out), 4096);
}
END_TEST

START_TEST(quoted_text_is_cut_and_says_so) {
    char text[1000];
    char out[SH_LOG_QUOTE_MAX];
    memset(text, 'x', sizeof(text));
    sh_log_quote(out, sh_strn(text, SH_LOG_QUOTE_MAX - 6));
    ck_assert_int_eq(out[strlen(out) - 1], '"');
    sh_log_quote(out, sh_strn(text, sizeof(text)));
    ck_assert_str_eq(out + strlen(out) - 4, "\"...");
    ck_assert_uint_lt(strlen(out), SH_LOG_QUOTE_MAX);
    ck_assert_str_eq(sh_log_quote(out, (struct sh_str){0}), "\"\"");
}
END_TEST

START_TEST(levels_have_names) {
    enum sh_log_level level = SH_LOG_INFO;
    ck_assert_int_eq(sh_log_level_parse("debug", &level), 0);
    ck_assert_int_eq(level, SH_LOG_DEBUG);
    ck_assert_int_eq(sh_log_level_parse("loud", &level), -SH_E_INVAL);
    char out[1000];
    sh_log_set_level(SH_LOG_ERROR);
    capture_start();
    sh_log(SH_LOG_WARN, "dropped", "x=1");
    capture_end(out, sizeof(out));
    ck_assert_str_eq(out, "");
}
END_TEST

static Suite *suite(void) {
    const TTest *const tests[] = {
        lines_have_time_level_event_and_fields,
        a_newline_in_a_field_makes_no_second_line,
        quoted_text_is_cut_and_says_so,
        levels_have_names,
        NULL,
    };
    return sh_suite("base_log", tests);
}

SH_TEST_MAIN(suite)
