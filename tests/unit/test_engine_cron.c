/* When cron says that something is due, in zones that turn their clocks and in those that do not.
 */
#include "engine/cron.h"
#include "lib/check_main.h"

#include <stdlib.h>
#include <time.h>

static int64_t utc(const char *text) {
    struct tm tm = {0};
    const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%SZ", &tm);

    ck_assert_msg(rest && !*rest, "%s", text);
    return (int64_t)timegm(&tm) * 1000000;
}

static struct sh_zone *zone(const char *name) {
    struct sh_zone *z = NULL;
    struct sh_err err = {0};

    sh_assert_ok(sh_zone_load(sh_str(name), &z, &err), &err);
    return z;
}

static void expect(const char *cron, const char *zone_name, const char *after, const char *due) {
    struct sh_zone *z = zone(zone_name);
    struct sh_cron c;
    struct sh_err err = {0};
    int64_t next;

    sh_assert_ok(sh_cron_parse(sh_str(cron), &c, &err), &err);
    next = sh_cron_next(&c, z, utc(after));
    ck_assert_msg(next == utc(due), "\"%s\" in %s after %s: %lld, expected %s", cron, zone_name,
                  after, (long long)next / 1000000, due);
    sh_zone_free(z);
}

START_TEST(due_times_are_those_of_a_table) {
    static const char *const table[][4] = {
        {"* * * * *", "UTC", "2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z"},
        {"* * * * *", "UTC", "2026-01-01T00:00:59Z", "2026-01-01T00:01:00Z"},
        {"*/15 * * * *", "UTC", "2026-01-01T23:45:00Z", "2026-01-02T00:00:00Z"},
        {"5/20 8-10 * * *", "UTC", "2026-01-01T08:45:00Z", "2026-01-01T09:05:00Z"},
        {"30 7 * * 1-5", "UTC", "2026-11-20T07:30:00Z", "2026-11-23T07:30:00Z"},
        {"0 0 * * 7", "UTC", "2026-11-23T00:00:00Z", "2026-11-29T00:00:00Z"},
        {"0 0 * * sun", "UTC", "2026-11-23T00:00:00Z", "2026-11-29T00:00:00Z"},
        {"0 12 1,15 Jan,jul *", "UTC", "2026-01-15T12:00:00Z", "2026-07-01T12:00:00Z"},
        {"0 0 31 * *", "UTC", "2026-01-31T00:00:00Z", "2026-03-31T00:00:00Z"},
        {"0 0 29 2 *", "UTC", "2026-01-01T00:00:00Z", "2028-02-29T00:00:00Z"},
        {"0 0 13 * 5", "UTC", "2026-11-13T00:00:00Z", "2026-11-20T00:00:00Z"},  /* either day */
        {"0 0 */2 * 1", "UTC", "2026-11-23T00:00:00Z", "2026-12-07T00:00:00Z"}, /* both */
        {"@yearly", "UTC", "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z"},
        {"0 9 * * *", "Asia/Kolkata", "2026-01-01T00:00:00Z", "2026-01-01T03:30:00Z"},
        {"0 9 * * *", "Europe/Berlin", "2026-01-01T08:00:00Z", "2026-01-02T08:00:00Z"},
        {"0 9 * * *", "Europe/Berlin", "2026-07-01T00:00:00Z", "2026-07-01T07:00:00Z"},
        {"0 0 1 1 *", "Pacific/Auckland", "2026-06-01T00:00:00Z", "2026-12-31T11:00:00Z"},
        /* far beyond the table of transitions: the rule at the end of the file */
        {"0 9 * * *", "Europe/Berlin", "2055-07-01T00:00:00Z", "2055-07-01T07:00:00Z"},
        {"0 9 * * *", "Australia/Sydney", "2055-01-10T00:00:00Z", "2055-01-10T22:00:00Z"},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        expect(table[i][0], table[i][1], table[i][2], table[i][3]);
    }
}
END_TEST

/* Berlin jumps from 02:00 to 03:00 on 2026-03-29 (01:00 UTC). */
START_TEST(what_the_clocks_jump_over_is_due_once_at_the_jump) {
    static const char *const table[][4] = {
        {"30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", "2026-03-29T01:00:00Z"},
        {"30 2 * * *", "Europe/Berlin", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"},
        {"*/10 2 * * *", "Europe/Berlin", "2026-03-29T00:59:00Z", "2026-03-29T01:00:00Z"},
        {"*/10 2 * * *", "Europe/Berlin", "2026-03-29T01:00:00Z", "2026-03-30T00:00:00Z"},
        {"*/30 * * * *", "Europe/Berlin", "2026-03-29T00:30:00Z", "2026-03-29T01:00:00Z"},
        {"*/30 * * * *", "Europe/Berlin", "2026-03-29T01:00:00Z", "2026-03-29T01:30:00Z"},
        {"30 2 * * *", "America/New_York", "2026-03-08T05:00:00Z", "2026-03-08T07:00:00Z"},
        /* by rule alone, in 2055: Berlin on 28 March */
        {"30 2 * * *", "Europe/Berlin", "2055-03-27T12:00:00Z", "2055-03-28T01:00:00Z"},
        /* Apia left out 30 December 2011 */
        {"0 12 * * *", "Pacific/Apia", "2011-12-29T22:00:00Z", "2011-12-30T10:00:00Z"},
        {"0 12 * * *", "Pacific/Apia", "2011-12-30T10:00:00Z", "2011-12-30T22:00:00Z"},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        expect(table[i][0], table[i][1], table[i][2], table[i][3]);
    }
}
END_TEST

/* Berlin shows 02:00 to 03:00 twice on 2026-10-25: from 00:00 and from 01:00 UTC. */
START_TEST(what_the_clocks_show_twice_is_due_the_first_time) {
    static const char *const table[][4] = {
        {"30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", "2026-10-25T00:30:00Z"},
        {"30 2 * * *", "Europe/Berlin", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"},
        {"30 2 * * *", "Europe/Berlin", "2026-10-25T01:10:00Z", "2026-10-26T01:30:00Z"},
        {"*/30 * * * *", "Europe/Berlin", "2026-10-25T00:30:00Z", "2026-10-25T02:00:00Z"},
        {"0 3 * * *", "Europe/Berlin", "2026-10-25T00:30:00Z", "2026-10-25T02:00:00Z"},
        {"30 1 * * *", "America/New_York", "2026-11-01T00:00:00Z", "2026-11-01T05:30:00Z"},
        {"30 1 * * *", "America/New_York", "2026-11-01T05:30:00Z", "2026-11-02T06:30:00Z"},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        expect(table[i][0], table[i][1], table[i][2], table[i][3]);
    }
}
END_TEST

START_TEST(what_is_no_cron_line_is_refused_with_its_field) {
    static const char *const table[][2] = {
        {"", "five fields"},
        {"* * * *", "five fields"},
        {"* * * * * *", "five fields"},
        {"60 * * * *", "minute"},
        {"* 24 * * *", "hour"},
        {"* * 0 * *", "day of the month"},
        {"* * 32 * *", "day of the month"},
        {"* * * 13 *", "month"},
        {"* * * * 8", "day of the week"},
        {"5-3 * * * *", "minute"},
        {"*/0 * * * *", "minute"},
        {"1,,2 * * * *", "minute"},
        {"1- * * * *", "minute"},
        {"* * * foo *", "month"},
        {"0 0 30 2 *", "ever comes"},
        {"@never", "five fields"},
        {"99999999999999999999 * * * *", "minute"},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct sh_cron c;
        struct sh_err err = {0};
        ck_assert_int_eq(sh_cron_parse(sh_str(table[i][0]), &c, &err), -SH_E_INVAL);
        ck_assert_msg(strstr(err.message, table[i][1]) != NULL, "%s: %s", table[i][0], err.message);
    }
}
END_TEST

START_TEST(names_that_are_no_zones_are_refused) {
    static const char *const names[] = {"",   "Nowhere/Town",  "../etc/passwd", "/etc/passwd",
                                        "A/", "Europe/../UTC", "posixrules\n",  "Europe"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct sh_zone *z = NULL;
        struct sh_err err = {0};
        ck_assert_msg(sh_zone_load(sh_str(names[i]), &z, &err) == -SH_E_INVAL, "%s", names[i]);
    }
}
END_TEST

/* libc reads the same database in another way; this process may set its zone. */
START_TEST(offsets_are_those_of_libc) {
    static const char *const names[] = {
        "Europe/Berlin",       "America/St_Johns", "Asia/Kathmandu",   "Africa/Cairo",
        "Australia/Lord_Howe", "Pacific/Chatham",  "America/Sao_Paulo"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct sh_zone *z = zone(names[i]);
        setenv("TZ", names[i], 1);
        tzset();
        for (int64_t s = 0; s < 4000000000; s += 1000003) {
            time_t t = (time_t)s;
            struct tm tm;
            localtime_r(&t, &tm);
            ck_assert_msg(sh_zone_offset(z, s) == tm.tm_gmtoff, "%s at %lld: %lld, libc %ld",
                          names[i], (long long)s, (long long)sh_zone_offset(z, s), tm.tm_gmtoff);
        }
        sh_zone_free(z);
    }
}
END_TEST

START_TEST(damaged_zone_files_are_refused) {
    sh_auto(sh_buf_done) struct sh_buf file = {0};
    FILE *f = fopen("/usr/share/zoneinfo/Europe/Berlin", "rb");
    struct sh_zone *z = NULL;
    struct sh_err err = {0};

    ck_assert_ptr_nonnull(f);
    sh_buf_init(&file, 65536);
    for (int c = fgetc(f); c != EOF; c = fgetc(f)) {
        sh_buf_addc(&file, (char)c);
    }
    fclose(f);
    for (size_t n = 0; n < file.len; n++) { /* cut anywhere */
        ck_assert_int_eq(sh_zone_parse(sh_strn(file.p, n), &z, &err), -SH_E_CORRUPT);
    }
    for (size_t i = 0; i < file.len; i++) { /* any byte another: an answer or a refusal */
        file.p[i] = (char)(file.p[i] ^ 0xff);
        if (sh_zone_parse(sh_buf_str(&file), &z, &err) == 0) {
            (void)sh_zone_utc(z, 1774746000);
            z = sh_zone_free(z);
        }
        file.p[i] = (char)(file.p[i] ^ 0xff);
    }
}
END_TEST

static Suite *suite(void) {
    const TTest *const tests[] = {due_times_are_those_of_a_table,
                                  what_the_clocks_jump_over_is_due_once_at_the_jump,
                                  what_the_clocks_show_twice_is_due_the_first_time,
                                  what_is_no_cron_line_is_refused_with_its_field,
                                  names_that_are_no_zones_are_refused,
                                  offsets_are_those_of_libc,
                                  damaged_zone_files_are_refused,
                                  NULL};
    return sh_suite("engine_cron", tests);
}
SH_TEST_MAIN(suite)
