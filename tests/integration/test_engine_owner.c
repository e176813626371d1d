/* Two engines on the database itself: what the earlier one writes late is refused there, in the
 * transaction, and a third that opens the folder later finds what the second left. */
#include "integration/sandbox_rig.h"

#include "lib/engine_owner_case.h"
#include "lib/fake_tools.c"

static const char waits[] =
    "(module"
    "(import \"shannon\" \"activity_start\" (func $start (param i32 i32 i32 i32) (result i32)))"
    "(import \"shannon\" \"activity_wait\" (func $wait (param i32 i32) (result i32)))"
    "(memory (export \"memory\") 1) (data (i32.const 0) \"signal{\\\"name\\\":\\\"go\\\"}\")"
    "(func (export \"_start\")"
    "(i32.store (i32.const 64) (call $start (i32.const 0) (i32.const 6) (i32.const 6)"
    "  (i32.const 13)))"
    "(drop (call $wait (i32.const 64) (i32.const 1)))))";
static const char ends[] = "(module (memory (export \"memory\") 1) (func (export \"_start\")))";

static struct fixture f;

START_TEST(the_database_refuses_an_engine_that_was_taken_over) {
    json_t *row, *v;

    fixture_begin(&f, "real");
    snprintf(f.endpoint, sizeof(f.endpoint), "rocksdb:%.40s/db", f.dir);
    f.worker = "/proc/self/exe";
    fixture_start_engine(&f);
    sh_auto(sh_free_p) char *id = engine_owner_case(&f, waits);
    fixture_stop_engine(&f);
    fixture_start_engine(&f);
    row = fixture_row(&f, id);
    ck_assert_str_eq(json_string_value(json_object_get(row, "status")), "completed");
    ck_assert_int_eq(sh_json_get_int(row, "epoch", 0), 2);
    v = fixture_verify(&f, id);
    ck_assert(sh_json_get_bool(v, "ok", false));
    sh_auto(sh_free_p) char *other = fixture_submit(&f, ends, NULL);
    json_decref(row);
    row = fixture_wait(&f, other);
    ck_assert_int_eq(sh_json_get_int(row, "epoch", 0), 3);
    json_decref(v);
    json_decref(row);
    fixture_stop_engine(&f);
    fixture_end(&f);
}
END_TEST

static Suite *suite(void) {
    const TTest *const tests[] = {the_database_refuses_an_engine_that_was_taken_over, NULL};
    return sh_suite("engine_owner_integration", tests);
}
RIG_MAIN(suite)
