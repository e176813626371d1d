/* Clocks and the text form of times, to the edges of the type. */
#include "lib/check_main.h"

static void assert_time(int64_t us, const char *want) {
    char out[SH_TIME_TEXT];
    sh_time_format(us, out);
    ck_assert_str_eq(out, want);
}

START_TEST(times_format_as_rfc_3339) {
    assert_time(0, "1970-01-01T00:00:00.000000Z");
    assert_time(1769862896789012, "2026-01-31T12:34:56.789012Z");
    assert_time(951782399999999, "2000-02-28T23:59:59.999999Z");
    assert_time(951782400000000, "2000-02-29T00:00:00.000000Z");
    assert_time(-1, "1969-12-31T23:59:59.999999Z");
    assert_time(INT64_MAX, "294247-01-10T04:00:54.775807Z");
    assert_time(INT64_MIN, "-290308-12-21T19:59:05.224192Z");
}
END_TEST

START_TEST(clocks_go_forward) {
    uint64_t mono = sh_mono_ns();
    uint64_t boot = sh_boot_ns();
    ck_assert(sh_wall_us() > 1600000000000000);
    ck_assert_uint_ge(sh_mono_ns(), mono);
    ck_assert_uint_ge(sh_boot_ns(), boot);
}
END_TEST

static Suite *suite(void) {
    const TTest *const tests[] = {times_format_as_rfc_3339, clocks_go_forward, NULL};
    return sh_suite("base_time", tests);
}

SH_TEST_MAIN(suite)
