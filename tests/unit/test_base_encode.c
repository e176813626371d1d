/* Hex and base64 against RFC 4648, and the durations and sizes that people write. */
#include "lib/check_main.h"

START_TEST(base64_gives_the_vectors_of_rfc_4648) {
    static const char *const pairs[][2] = {{"", ""},
                                           {"f", "Zg=="},
                                           {"fo", "Zm8="},
                                           {"foo", "Zm9v"},
                                           {"foob", "Zm9vYg=="},
                                           {"fooba", "Zm9vYmE="},
                                           {"foobar", "Zm9vYmFy"}};
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        struct sh_buf b;
        sh_buf_init(&b, 8);
        sh_base64_encode(&b, pairs[i][0], strlen(pairs[i][0]));
        sh_assert_str(sh_buf_str(&b), pairs[i][1]);
        sh_buf_clear(&b);
        ck_assert_int_eq(sh_base64_decode(&b, sh_str(pairs[i][1])), 0);
        sh_assert_str(sh_buf_str(&b), pairs[i][0]);
        sh_buf_done(&b);
    }
}
END_TEST

START_TEST(base64_refuses_what_is_not_canonical) {
    static const char *const bad[] = {"Z",      "Zg",    "Zg=",   "Zh==",  "Zm9=", "Zg==Zg==",
                                      "Zm9v\n", "====",  "Z===",  "Zm9v=", "Zm-v", "Zm_v",
                                      "Zm v",   " Zm9v", "=Zm9v", "Zm=v"};
    struct sh_buf b;
    sh_buf_init(&b, 100);
    sh_buf_adds(&b, "kept");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        ck_assert_msg(sh_base64_decode(&b, sh_str(bad[i])) == -SH_E_INVAL, "\"%s\"", bad[i]);
        sh_assert_str(sh_buf_str(&b), "kept");
        ck_assert_str_eq(b.p, "kept");
    }
    sh_buf_done(&b);
}
END_TEST

START_TEST(encoders_respect_the_buffers_maximum) {
    struct sh_buf b;
    sh_buf_init(&b, 7);
    sh_base64_encode(&b, "foobar", 6);
    ck_assert(b.failed && b.len == 0);
    sh_buf_clear(&b);
    sh_hex_encode(&b, "abcd", 4);
    ck_assert(b.failed && b.len == 0);
    sh_buf_clear(&b);
    sh_hex_encode(&b, "abc", 3);
    sh_assert_str(sh_buf_str(&b), "616263");
    ck_assert_int_eq(sh_base64_decode(&b, SH_STR("Zm9v")), -SH_E_INVAL);
    sh_buf_done(&b);
}
END_TEST

START_TEST(hex_takes_exactly_the_asked_length) {
    uint8_t out[3] = {0};
    ck_assert_int_eq(sh_hex_decode(SH_STR("00Ff10"), out, 3), 0);
    ck_assert(out[0] == 0 && out[1] == 0xff && out[2] == 0x10);
    ck_assert_int_eq(sh_hex_decode(SH_STR("00ff"), out, 3), -SH_E_INVAL);
    ck_assert_int_eq(sh_hex_decode(SH_STR("00ff1"), out, 3), -SH_E_INVAL);
    ck_assert_int_eq(sh_hex_decode(SH_STR("00ff1g"), out, 3), -SH_E_INVAL);
    ck_assert_int_eq(sh_hex_decode(SH_STR("00ff1000"), out, 3), -SH_E_INVAL);
    ck_assert_int_eq(sh_hex_decode((struct sh_str){0}, out, 0), 0);
}
END_TEST

START_TEST(durations_are_exact) {
    static const struct {
        const char *text;
        uint64_t ms;
    } good[] = {{"250ms", 250}, {"1.5s", 1500}, {"10m", 600000}, {"2h", 7200000}, {"3d", 259200000},
                {"0s", 0},      {"0.001s", 1},  {"0.5m", 30000}, {"007s", 7000},  {"0.000001d", 0}};
    for (size_t i = 0; i + 1 < sizeof(good) / sizeof(good[0]); i++) {
        struct sh_err err = {0};
        uint64_t ms = 99;
        sh_assert_ok(sh_parse_duration_ms(sh_str(good[i].text), &ms, &err), &err);
        ck_assert_msg(ms == good[i].ms, "%s", good[i].text);
    }
    static const char *const bad[] = {"",
                                      "5",
                                      "s",
                                      "-1s",
                                      "1.s",
                                      ".5s",
                                      "1 s",
                                      "1sec",
                                      "1.5ms",
                                      "0.0001s",
                                      "1e3s",
                                      "1s ",
                                      " 1s",
                                      "0x1s",
                                      "18446744073709551616ms",
                                      "213503982335d",
                                      "1.0000000s"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct sh_err err = {0};
        uint64_t ms = 99;
        sh_assert_fails(sh_parse_duration_ms(sh_str(bad[i]), &ms, &err), SH_E_INVAL, &err);
        ck_assert_uint_eq(ms, 99);
        ck_assert_ptr_nonnull(strstr(err.message, "expected a duration"));
    }
    uint64_t ms = 0;
    ck_assert_int_eq(sh_parse_duration_ms(SH_STR("18446744073709551615ms"), &ms, NULL), 0);
    ck_assert(ms == UINT64_MAX);
}
END_TEST

START_TEST(sizes_are_exact) {
    static const struct {
        const char *text;
        uint64_t bytes;
    } good[] = {{"4096", 4096},
                {"64KiB", 65536},
                {"8MiB", 8388608},
                {"1GB", 1000000000},
                {"1.5KiB", 1536},
                {"0", 0},
                {"10B", 10},
                {"0.1MB", 100000},
                {"2kB", 2000},
                {"4GiB", 4294967296ULL},
                {"1TiB", 1099511627776ULL}};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        struct sh_err err = {0};
        uint64_t bytes = 99;
        sh_assert_ok(sh_parse_size(sh_str(good[i].text), &bytes, &err), &err);
        ck_assert_msg(bytes == good[i].bytes, "%s", good[i].text);
    }
    static const char *const bad[] = {"",   "MiB",   "1M",          "1.5", "0.1KiB",
                                      "-1", "1 KiB", "16777216TiB", "1mib"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct sh_err err = {0};
        uint64_t bytes = 99;
        sh_assert_fails(sh_parse_size(sh_str(bad[i]), &bytes, &err), SH_E_INVAL, &err);
        ck_assert_uint_eq(bytes, 99);
    }
}
END_TEST

static Suite *suite(void) {
    const TTest *const tests[] = {
        base64_gives_the_vectors_of_rfc_4648,
        base64_refuses_what_is_not_canonical,
        encoders_respect_the_buffers_maximum,
        hex_takes_exactly_the_asked_length,
        durations_are_exact,
        sizes_are_exact,
        NULL,
    };
    return sh_suite("base_encode", tests);
}

SH_TEST_MAIN(suite)
