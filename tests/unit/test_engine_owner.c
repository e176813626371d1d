/* Two engines on one store: the later one is the owner, and of the earlier one nothing is kept or
 * told any more. */
#include "lib/check_main.h"
#include "lib/engine_owner_case.h"
#include "lib/fake_tools.c"

#define WAITS "(module\nprint before\nstart signal {\"name\":\"go\"}\nwait any\nprint after\n"

static struct fixture f;

START_TEST(the_later_engine_owns_and_the_earlier_one_is_refused_and_stops) {
    fixture_open(&f, "owner");
    sh_free(engine_owner_case(&f, WAITS));
    fixture_close(&f);
}
END_TEST

START_TEST(each_start_is_an_epoch_and_says_so_in_rows_and_journals) {
    json_t *claimed = NULL;
    fixture_open(&f, "epochs");
    sh_auto(sh_free_p) char *id = fixture_submit(&f, WAITS, NULL);
    fixture_await(&f, id, "ActivityScheduled", 1);
    json_t *row = fixture_row(&f, id);
    ck_assert_int_eq(sh_json_get_int(row, "epoch", 0), 1);
    json_decref(row);
    fixture_crash(&f, SH_TWIN_LOSE_ALL);
    fixture_await(&f, id, "Claimed", 1);
    ck_assert_int_eq(fixture_signal(&f, id, "go", json_null()), 0);
    json_decref(fixture_wait(&f, id));
    json_t *events = fixture_events(&f, id);
    ck_assert_uint_eq(fixture_count(events, "Claimed", &claimed), 1);
    ck_assert_int_eq(sh_json_get_int(claimed, "epoch", 0), 2);
    json_decref(events);
    fixture_close(&f);
}
END_TEST

static Suite *suite(void) {
    const TTest *const tests[] = {the_later_engine_owns_and_the_earlier_one_is_refused_and_stops,
                                  each_start_is_an_epoch_and_says_so_in_rows_and_journals, NULL};
    return sh_suite("engine_owner", tests);
}
SH_TEST_MAIN(suite)
