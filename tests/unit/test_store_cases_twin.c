/* The in-memory twin is a store like any other. */
#include "store_cases.h"

static Suite *suite(void) {
    static const char *const kinds[] = {"twin", NULL};
    Suite *s = suite_create("store_cases_twin");
    TCase *tcase = tcase_create("twin");
    tcase_set_timeout(tcase, SH_TEST_SECONDS);
    fx_add_cases(tcase, kinds);
    fx_add_owner_cases(tcase, kinds);
    suite_add_tcase(s, tcase);
    return s;
}

SH_TEST_MAIN(suite)
