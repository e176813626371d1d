/* Views, the bounded buffer at and past its maximum, and the reader on cut-off records. */
#include "lib/check_main.h"

START_TEST(views_compare_bytewise) {
    ck_assert(sh_str_eq((struct sh_str){0}, SH_STR("")));
    ck_assert(sh_str_eqz(SH_STR("ab"), "ab"));
    ck_assert(!sh_str_eqz(SH_STR("ab\0c"), "ab"));
    ck_assert_int_lt(sh_str_cmp(SH_STR("ab"), SH_STR("abc")), 0);
    ck_assert_int_gt(sh_str_cmp(SH_STR("\xff"), SH_STR("a")), 0);
    ck_assert_int_eq(sh_str_cmp((struct sh_str){0}, SH_STR("")), 0);
    ck_assert(sh_str_starts(SH_STR("abc"), SH_STR("ab")));
    ck_assert(!sh_str_starts(SH_STR("a"), SH_STR("ab")));
    ck_assert(sh_str_starts(SH_STR("a"), (struct sh_str){0}));
}
END_TEST

START_TEST(utf8_is_judged_as_rfc_3629_does) {
    static const char *const good[] = {"",
                                       "a",
                                       "\xc2\x80",
                                       "\xe0\xa0\x80",
                                       "\xed\x9f\xbf",
                                       "\xf0\x90\x80\x80",
                                       "\xf4\x8f\xbf\xbf"};
    static const char *const bad[] = {"\x80",
                                      "\xc0\x80",
                                      "\xc1\xbf",
                                      "\xc2",
                                      "\xe0\x9f\xbf",
                                      "\xed\xa0\x80",
                                      "\xf0\x8f\xbf\xbf",
                                      "\xf4\x90\x80\x80",
                                      "\xf5\x80\x80\x80",
                                      "\xff",
                                      "\xe2\x82",
                                      "\xe2\x28\xa1"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        ck_assert_msg(sh_utf8_valid(sh_str(good[i])), "good %zu", i);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        ck_assert_msg(!sh_utf8_valid(sh_str(bad[i])), "bad %zu", i);
    }
    ck_assert_uint_eq(sh_utf8_count(SH_STR("")), 0);
    ck_assert_uint_eq(sh_utf8_count(SH_STR("a\u00e9\u20ac\U0001F600")), 4);
}
END_TEST

START_TEST(buffer_takes_its_maximum_and_not_a_byte_more) {
    for (size_t max = 0; max < 300; max++) {
        struct sh_buf b;
        sh_buf_init(&b, max);
        for (size_t i = 0; i < max; i++) {
            sh_buf_addc(&b, 'x');
        }
        ck_assert(!b.failed);
        ck_assert_uint_eq(b.len, max);
        ck_assert_uint_le(b.cap, max + 1);
        ck_assert(max == 0 || b.p[max] == '\0');
        sh_buf_addc(&b, 'y');
        ck_assert(b.failed);
        sh_buf_add(&b, "", 0);
        ck_assert(b.failed);
        ck_assert_uint_eq(b.len, max);
        ck_assert_ptr_null(sh_buf_take(&b));
        sh_buf_clear(&b);
        ck_assert(!b.failed && b.len == 0);
        sh_buf_done(&b);
    }
}
END_TEST

START_TEST(buffer_survives_sizes_that_overflow) {
    struct sh_buf b;
    sh_buf_init(&b, SIZE_MAX);
    sh_buf_adds(&b, "abc");
    ck_assert(!b.failed);
    ck_assert_ptr_null(sh_buf_room(&b, SIZE_MAX - 3));
    ck_assert(b.failed);
    sh_buf_clear(&b);
    ck_assert_ptr_null(sh_buf_room(&b, SIZE_MAX));
    sh_buf_done(&b);
    sh_buf_done(NULL);
    struct sh_buf zero = {0};
    sh_buf_addc(&zero, 'x');
    ck_assert(zero.failed);
}
END_TEST

START_TEST(buffer_formats_drops_and_hands_over) {
    struct sh_buf b;
    sh_buf_init(&b, 1000);
    sh_buf_addf(&b, "%d-%s", 12, "ab");
    ck_assert_str_eq(b.p, "12-ab");
    sh_buf_drop(&b, 3);
    ck_assert_str_eq(b.p, "ab");
    sh_buf_addf(&b, "%0500d", 1);
    ck_assert_uint_eq(b.len, 502);
    sh_buf_addf(&b, "%0500d", 1);
    ck_assert(b.failed);
    sh_buf_clear(&b);
    sh_buf_adds(&b, "mine");
    char *p = sh_buf_take(&b);
    ck_assert_str_eq(p, "mine");
    ck_assert_ptr_null(b.p);
    sh_free(p);
    p = sh_buf_take(&b);
    ck_assert_str_eq(p, "");
    sh_free(p);
    sh_buf_done(&b);
}
END_TEST

START_TEST(buffer_fails_when_memory_does) {
    if (!SH_TEST_HAS_FAULTS) {
        return;
    }
    struct sh_buf b;
    sh_buf_init(&b, 1000);
    sh_fault_plan(1, false);
    sh_buf_adds(&b, "x");
    sh_fault_plan(0, false);
    ck_assert(b.failed);
    sh_buf_adds(&b, "x");
    ck_assert(b.failed && b.len == 0);
    sh_buf_done(&b);
}
END_TEST

START_TEST(a_sure_buffer_fails_at_its_maximum_only) {
    struct sh_buf b;
    sh_buf_init_sure(&b, 100);
    sh_fault_plan(1, true);
    for (int i = 0; i < 100; i++) {
        sh_buf_addc(&b, 'x');
    }
    ck_assert(!b.failed && b.len == 100);
    sh_free(sh_buf_take(&b));
    sh_buf_adds(&b, "sure again");
    ck_assert(!b.failed);
    sh_fault_plan(0, false);
    sh_buf_clear(&b);
    for (int i = 0; i < 101; i++) {
        sh_buf_addc(&b, 'x');
    }
    ck_assert(b.failed);
    sh_buf_done(&b);
}
END_TEST

START_TEST(records_read_back_and_any_cut_fails) {
    struct sh_buf b;
    sh_buf_init(&b, 100);
    sh_buf_u8(&b, 0xfe);
    sh_buf_u32(&b, 0x01020304);
    sh_buf_u64(&b, 0x1122334455667788);
    sh_buf_bytes32(&b, SH_STR("payload"));
    sh_buf_bytes32(&b, (struct sh_str){0});
    ck_assert_int_eq(b.p[1], 4); /* little endian */
    for (size_t n = 0; n <= b.len; n++) {
        uint8_t *copy = sh_memdup(b.p, n); /* exact size, so that a sanitizer sees an overrun */
        struct sh_reader r = {copy, copy + n, false};
        uint8_t one = sh_reader_u8(&r);
        uint32_t four = sh_reader_u32(&r);
        uint64_t eight = sh_reader_u64(&r);
        struct sh_str text = sh_reader_bytes32(&r);
        struct sh_str none = sh_reader_bytes32(&r);
        ck_assert_int_eq(r.failed, n < b.len);
        if (n == b.len) {
            ck_assert(one == 0xfe && four == 0x01020304 && eight == 0x1122334455667788);
            sh_assert_str(text, "payload");
            ck_assert_uint_eq(none.len, 0);
        }
        r.p = copy;
        ck_assert(n == b.len || sh_reader_u8(&r) == 0); /* stays failed */
        sh_free(copy);
    }
    sh_buf_done(&b);
}
END_TEST

START_TEST(list_links_and_unlinks) {
    struct sh_list head;
    struct sh_list other;
    struct sh_list a = {0};
    struct sh_list b = {0};
    sh_list_init(&head);
    sh_list_init(&other);
    sh_list_unlink(&a);
    sh_list_push(&head, &a);
    sh_list_push(&head, &b);
    ck_assert(sh_list_linked(&a));
    sh_list_unlink(&a);
    sh_list_unlink(&a);
    ck_assert(!sh_list_linked(&a));
    sh_list_push(&head, &a);
    sh_list_move(&other, &head);
    ck_assert(sh_list_empty(&head));
    ck_assert_ptr_eq(sh_list_pop(&other), &b);
    ck_assert_ptr_eq(sh_list_pop(&other), &a);
    ck_assert_ptr_null(sh_list_pop(&other));
}
END_TEST

static Suite *suite(void) {
    const TTest *const tests[] = {
        views_compare_bytewise,
        utf8_is_judged_as_rfc_3629_does,
        buffer_takes_its_maximum_and_not_a_byte_more,
        buffer_survives_sizes_that_overflow,
        buffer_formats_drops_and_hands_over,
        buffer_fails_when_memory_does,
        a_sure_buffer_fails_at_its_maximum_only,
        records_read_back_and_any_cut_fails,
        list_links_and_unlinks,
        NULL,
    };
    return sh_suite("base_str", tests);
}

SH_TEST_MAIN(suite)
