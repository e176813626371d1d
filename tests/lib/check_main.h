/* What each unit test shares: Check, the base headers and a main. A test file ends with
 *     SH_TEST_MAIN(suite)
 * where `static Suite *suite(void)` builds its cases. Cases run in processes of their own
 * (fork mode), each with a time limit. */
#ifndef SH_TESTS_CHECK_MAIN_H
#define SH_TESTS_CHECK_MAIN_H

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"

/* Whether fault points are compiled in: a test of what they do has nothing to prove without. */
#ifdef SH_FAULTS
#define SH_TEST_HAS_FAULTS true
#else
#define SH_TEST_HAS_FAULTS false
#endif

/* Seconds that one test may take; sanitizers and a busy machine included. */
#define SH_TEST_SECONDS 240

#define SH_TEST_MAIN(suite_fn)                                                                     \
    int main(void) {                                                                               \
        SRunner *runner = srunner_create(suite_fn());                                              \
        srunner_run_all(runner, CK_ENV);                                                           \
        int failed = srunner_ntests_failed(runner);                                                \
        srunner_free(runner);                                                                      \
        return failed ? EXIT_FAILURE : EXIT_SUCCESS;                                               \
    }

/* A suite of one case from a NULL-terminated list of tests. Check's tests are variables, so the
 * list is not static:  const TTest *const tests[] = {one_test, other_test, NULL}; */
static inline Suite *sh_suite(const char *name, const TTest *const tests[]) {
    Suite *suite = suite_create(name);
    TCase *tcase = tcase_create(name);
    tcase_set_timeout(tcase, SH_TEST_SECONDS);
    for (size_t i = 0; tests[i]; i++) {
        tcase_add_test(tcase, tests[i]);
    }
    suite_add_tcase(suite, tcase);
    return suite;
}

/* The call succeeds; its message is shown when not: sh_assert_ok(f(..., &err), &err). */
#define sh_assert_ok(call, err)                                                                    \
    do {                                                                                           \
        int sh_rc = (call);                                                                        \
        ck_assert_msg(sh_rc == 0, "%s: %s: %s", #call, sh_code_info(sh_rc)->name, (err)->message); \
    } while (0)

/* The call fails with this code, and says why. */
#define sh_assert_fails(call, want, err)                                                           \
    do {                                                                                           \
        int sh_rc = (call);                                                                        \
        ck_assert_msg(sh_rc == -(want), "%s: expected %s, got %s (%s)", #call,                     \
                      sh_code_info(want)->name, sh_code_info(sh_rc)->name, (err)->message);        \
        ck_assert_int_eq((err)->code, (want));                                                     \
        ck_assert_msg((err)->message[0] != '\0', "%s: no message", #call);                         \
    } while (0)

/* Text equality that takes a view. */
#define sh_assert_str(view, want)                                                                  \
    do {                                                                                           \
        struct sh_str sh_view = (view);                                                            \
        ck_assert_msg(sh_str_eqz(sh_view, (want)), "%s: expected \"%s\", got \"%.*s\"", #view,     \
                      (want), (int)sh_view.len, sh_view.p ? sh_view.p : "");                       \
    } while (0)

#endif
