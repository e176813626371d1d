/* Memory: refusal past a limit, failure by plan, and the cleanup attribute. */
#include <fcntl.h>
#include <unistd.h>

#include "lib/check_main.h"

START_TEST(try_alloc_refuses_past_its_limit) {
    void *p = sh_try_alloc(100, 100);
    ck_assert_ptr_nonnull(p);
    ck_assert_ptr_null(sh_try_grow(p, 101, 100));
    p = sh_try_grow(p, 100, 100);
    ck_assert_ptr_nonnull(p);
    ck_assert_ptr_null(sh_free(p));
    ck_assert_ptr_null(sh_try_alloc(101, 100));
    p = sh_try_alloc(0, 0);
    ck_assert_ptr_nonnull(p);
    sh_free(p);
}
END_TEST

START_TEST(try_alloc_fails_by_plan_and_alloc_does_not) {
    if (!SH_TEST_HAS_FAULTS) {
        return;
    }
    sh_fault_plan(1, true);
    ck_assert_ptr_null(sh_try_alloc(1, 1));
    ck_assert_ptr_null(sh_try_grow(NULL, 1, 1));
    void *p = sh_alloc(1);
    sh_fault_plan(0, false);
    ck_assert_ptr_nonnull(p);
    sh_free(p);
}
END_TEST

START_TEST(copies_are_terminated_and_zeroed_where_promised) {
    char *s = sh_strndup0("abcdef", 3);
    ck_assert_str_eq(s, "abc");
    sh_free(s);
    s = sh_strndup0(NULL, 0);
    ck_assert_str_eq(s, "");
    sh_free(s);
    int *numbers = sh_new_array(int, 4);
    ck_assert_int_eq(numbers[0] | numbers[3], 0);
    sh_free(numbers);
    for (size_t n = 250; n < 260; n++) { /* around the size that is formatted without a heap */
        s = sh_asprintf("%0*d", (int)n, 7);
        ck_assert_uint_eq(strlen(s), n);
        ck_assert_int_eq(s[n - 1], '7');
        sh_free(s);
    }
}
END_TEST

static int closed_by_cleanup(void) {
    sh_auto(sh_close_p) int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    sh_auto(sh_free_p) char *text = sh_strdup("freed at the end of the block");
    ck_assert_str_eq(text, "freed at the end of the block");
    return fd;
}

START_TEST(cleanup_closes_and_take_hands_over) {
    int fd = closed_by_cleanup();
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(fcntl(fd, F_GETFD), -1);
    char *p = sh_strdup("x");
    char *q = sh_take(&p);
    ck_assert_ptr_null(p);
    ck_assert_str_eq(q, "x");
    sh_free(q);
}
END_TEST

static Suite *suite(void) {
    const TTest *const tests[] = {
        try_alloc_refuses_past_its_limit,
        try_alloc_fails_by_plan_and_alloc_does_not,
        copies_are_terminated_and_zeroed_where_promised,
        cleanup_closes_and_take_hands_over,
        NULL,
    };
    return sh_suite("base_mem", tests);
}

SH_TEST_MAIN(suite)
