/* Sessions exist from their first task on, are listed by their last use, keep a title through later
 * tasks, and are forgotten without their tasks. */
#include "lib/check_main.h"
#include "lib/engine_fixture.h"
#include "lib/fake_tools.c"

#define PROGRAM "(module\nprint x\n"

static struct fixture f;

struct answer {
    json_t *value;
    struct sh_err err;
};

static void on_answer(void *arg, json_t *value, const struct sh_err *err) {
    struct answer *a = arg;

    a->value = err ? NULL : json_incref(value);
    a->err = err ? *err : (struct sh_err){0};
    sh_loop_stop(f.loop);
}

static void task_in(const char *session) {
    struct sh_submit extra = {.session = sh_str(session)};
    sh_auto(sh_free_p) char *id = fixture_submit(&f, PROGRAM, &extra);

    ck_assert_msg(id != NULL, "%s", fixture_error.message);
    json_decref(fixture_wait(&f, id));
}

static json_t *list(size_t offset, size_t limit) {
    struct answer a = {0};

    sh_engine_session_list(f.engine, offset, limit, on_answer, &a);
    sh_loop_run(f.loop);
    ck_assert_ptr_nonnull(a.value);
    return a.value;
}

static void assert_names(json_t *page, const char *want) {
    struct sh_buf names;
    size_t i;
    json_t *record;

    sh_buf_init(&names, SH_KIB);
    sh_buf_adds(&names, "");
    json_array_foreach(json_object_get(page, "sessions"), i, record) {
        struct sh_str name = sh_json_get_str(record, "session");
        sh_buf_addf(&names, "%.*s ", (int)name.len, name.p);
    }
    ck_assert_str_eq(names.p ? names.p : "", want);
    sh_buf_done(&names);
    json_decref(page);
}

static struct answer get(const char *id) {
    struct answer a = {0};

    sh_engine_session_get(f.engine, sh_str(id), on_answer, &a);
    sh_loop_run(f.loop);
    return a;
}

START_TEST(sessions_are_listed_by_their_last_use) {
    fixture_open(&f, "sessions-order");
    assert_names(list(0, 10), "");
    task_in("a");
    task_in("b");
    task_in("c");
    task_in("a");
    assert_names(list(0, 10), "a c b ");
    assert_names(list(1, 1), "c ");
    assert_names(list(3, 1), "");
    json_t *page = list(0, 1);
    ck_assert_int_eq(sh_json_get_int(page, "total", 0), 3);
    json_decref(page);
    fixture_close(&f);
}
END_TEST

START_TEST(a_task_without_a_session_begins_its_own) {
    fixture_open(&f, "sessions-own");
    sh_auto(sh_free_p) char *id = fixture_submit(&f, PROGRAM, NULL);
    json_decref(fixture_wait(&f, id));
    struct answer a = get(id);
    ck_assert_ptr_nonnull(a.value);
    sh_assert_str(sh_json_get_str(a.value, "workflow"), id);
    json_decref(a.value);
    fixture_close(&f);
}
END_TEST

START_TEST(a_session_is_as_durable_as_its_task) {
    fixture_open(&f, "sessions-crash");
    task_in("kept");
    fixture_crash(&f, SH_TWIN_LOSE_ALL);
    assert_names(list(0, 10), "kept ");
    fixture_close(&f);
}
END_TEST

START_TEST(a_title_outlives_tasks_and_goes_with_the_session) {
    struct answer a = {0};

    fixture_open(&f, "sessions-title");
    task_in("s");
    sh_engine_session_title(f.engine, SH_STR("s"), "On kettles", on_answer, &a);
    sh_loop_run(f.loop);
    sh_assert_str(sh_json_get_str(a.value, "title"), "On kettles");
    json_decref(a.value);
    task_in("s");
    a = get("s");
    sh_assert_str(sh_json_get_str(a.value, "title"), "On kettles");
    json_decref(a.value);
    json_t *page = list(0, 10);
    json_t *first = json_array_get(json_object_get(page, "sessions"), 0);
    sh_assert_str(sh_json_get_str(first, "title"), "On kettles");
    assert_names(page, "s ");
    sh_engine_session_forget(f.engine, SH_STR("s"), on_answer, &a);
    sh_loop_run(f.loop);
    ck_assert_int_eq(a.err.code, 0);
    json_decref(a.value);
    ck_assert_int_eq(get("s").err.code, SH_E_NOT_FOUND);
    assert_names(list(0, 10), "");
    task_in("s");
    a = get("s");
    ck_assert_ptr_null(json_object_get(a.value, "title"));
    json_decref(a.value);
    fixture_close(&f);
}
END_TEST

START_TEST(what_is_not_there_is_not_found) {
    struct answer a = {0};

    fixture_open(&f, "sessions-none");
    ck_assert_int_eq(get("none").err.code, SH_E_NOT_FOUND);
    sh_engine_session_title(f.engine, SH_STR("none"), "x", on_answer, &a);
    sh_loop_run(f.loop);
    ck_assert_int_eq(a.err.code, SH_E_NOT_FOUND);
    sh_engine_session_forget(f.engine, SH_STR("none"), on_answer, &a);
    sh_loop_run(f.loop);
    ck_assert_int_eq(a.err.code, SH_E_NOT_FOUND);
    fixture_close(&f);
}
END_TEST

/* One more than the store gives at once. */
START_TEST(more_than_a_page_of_records_is_read) {
    struct answer a = {0};
    size_t n = SH_STORE_LIST_MAX + 1;

    fixture_open(&f, "sessions-many");
    for (size_t i = 0; i < n; i++) {
        char id[24];
        snprintf(id, sizeof(id), "s-%04zu", i);
        json_t *record = json_pack("{s:s, s:s, s:I}", "session", id, "workflow", "wf-1",
                                   "updated_at", (json_int_t)i);
        struct sh_put put = {SH_TABLE_SESSION, sh_str(id), record};
        struct sh_err err = {0};
        sh_assert_ok(sh_store_append(f.store, NULL, 0, &put, 1, NULL, NULL, &err), &err);
        json_decref(record);
    }
    sh_engine_session_list(f.engine, n - 1, 5, on_answer, &a);
    sh_loop_run(f.loop);
    ck_assert_int_eq(sh_json_get_int(a.value, "total", 0), (int64_t)n);
    assert_names(a.value, "s-0000 ");
    fixture_close(&f);
}
END_TEST

static Suite *suite(void) {
    const TTest *const tests[] = {sessions_are_listed_by_their_last_use,
                                  a_task_without_a_session_begins_its_own,
                                  a_session_is_as_durable_as_its_task,
                                  a_title_outlives_tasks_and_goes_with_the_session,
                                  what_is_not_there_is_not_found,
                                  more_than_a_page_of_records_is_read,
                                  NULL};

    return sh_suite("engine_sessions", tests);
}

SH_TEST_MAIN(suite)
