/* Schedules: one task for each due time, whatever happens to the process; what was missed and what
 * overlaps is as the policies say. */
#include "lib/check_main.h"
#include "lib/engine_fixture.h"
#include "lib/fake_tools.c"

static struct fixture f;

static json_t *doc_of(const char *cron, const char *overlap, const char *catch_up) {
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:i}", "name", "nightly", "cron", cron,
                     "agent", "job", "query", "go", "overlap", overlap, "catch_up", catch_up,
                     "catch_up_max", 3);
}

/* takes doc. gives the id, or NULL with *ret_code */
static char *add(json_t *doc, int *ret_code) {
    struct fixture_answer a = {.f = &f};
    char *id;

    sh_engine_schedule_save(f.engine, (struct sh_str){0}, doc, fixture_on_json, &a);
    fixture_run(&f, &a.done);
    json_decref(doc);
    if (ret_code) {
        *ret_code = a.err.code;
    } else {
        ck_assert_int_eq(a.err.code, 0);
    }
    id = a.value ? sh_strdup(json_string_value(json_object_get(a.value, "id"))) : NULL;
    json_decref(a.value);
    return id;
}

static void run_now(const char *id) {
    struct fixture_answer a = {.f = &f};

    sh_engine_schedule_run(f.engine, sh_str(id), fixture_on_json, &a);
    fixture_run(&f, &a.done);
    ck_assert_int_eq(a.err.code, 0);
    json_decref(a.value);
}

static json_t *get(const char *id) {
    struct fixture_answer a = {.f = &f};

    sh_engine_schedule_get(f.engine, sh_str(id), fixture_on_json, &a);
    fixture_run(&f, &a.done);
    ck_assert_int_eq(a.err.code, 0);
    return a.value;
}

static int64_t number(const char *id, const char *name) {
    json_t *record = get(id);
    int64_t n = sh_json_get_int(record, name, 0);

    json_decref(record);
    return n;
}

static void wait_number(const char *id, const char *name, int64_t expected) {
    for (int i = 0; i < 4000 && number(id, name) < expected; i++) {
        fixture_run_ms(&f, 3);
    }
    ck_assert_int_eq(number(id, name), expected);
}

static json_t *tasks_of(const char *id) {
    struct fixture_answer a = {.f = &f};
    json_t *tasks;

    sh_engine_list_family(f.engine, "schedule", sh_str(id), 0, 100, fixture_on_json, &a);
    fixture_run(&f, &a.done);
    ck_assert_int_eq(a.err.code, 0);
    tasks = json_incref(json_object_get(a.value, "tasks"));
    json_decref(a.value);
    return tasks;
}

static size_t n_tasks(const char *id) {
    json_t *tasks = tasks_of(id);
    size_t n = json_array_size(tasks);

    json_decref(tasks);
    return n;
}

START_TEST(a_run_that_is_asked_for_starts_one_task) {
    json_t *tasks, *row;

    fixture_open(&f, "now");
    fixture_add_agent(&f, "job", "(module\nprint done\n");
    sh_auto(sh_free_p) char *id = add(doc_of("0 0 1 1 *", "skip", "one"), NULL);
    run_now(id);
    wait_number(id, "successful_runs", 1);
    ck_assert_int_eq(number(id, "total_runs"), 1);
    tasks = tasks_of(id);
    ck_assert_uint_eq(json_array_size(tasks), 1);
    row = json_array_get(tasks, 0);
    ck_assert_str_eq(json_string_value(json_object_get(row, "result")), "done");
    ck_assert_str_eq(
        json_string_value(json_object_get(json_object_get(row, "metadata"), "schedule_id")), id);
    ck_assert_int_eq(sh_json_get_int(row, "due_at", 0), number(id, "last_due"));
    json_decref(tasks);
    fixture_close(&f);
}
END_TEST

static void set_next(const char *id, int64_t next_us) {
    json_t *record = get(id);
    sh_auto(sh_free_p) char *key = sh_asprintf("schedule:%s", id);
    struct fixture_answer a = {.f = &f};
    struct sh_err err = {0};

    json_object_set_new(record, "next_at", json_integer(next_us));
    sh_assert_ok(sh_store_append(f.store, NULL, 0,
                                 &(struct sh_put){SH_TABLE_META, sh_str(key), record}, 1,
                                 fixture_on_done, &a, &err),
                 &err);
    fixture_run(&f, &a.done);
    json_decref(record);
}

/* Four due times were missed, the last five minutes ago. */
START_TEST(what_was_missed_is_made_up_for_as_the_policy_says) {
    static const struct {
        const char *catch_up;
        size_t expected;
    } cases[] = {{"none", 0}, {"one", 1}, {"all", 3}};
    int64_t now = sh_wall_us();
    char cron[32];

    fixture_open(&f, "missed");
    fixture_add_agent(&f, "job", "(module\nprint done\n");
    snprintf(cron, sizeof(cron), "%d * * * *", (int)((now / 60000000 - 5) % 60));
    char *id[3];
    for (size_t i = 0; i < 3; i++) {
        id[i] = add(doc_of(cron, "allow", cases[i].catch_up), NULL);
        set_next(id[i], now - 186 * 60000000LL);
    }
    fixture_stop_engine(&f);
    fixture_start_engine(&f);
    for (size_t i = 0; i < 3; i++) {
        wait_number(id[i], "successful_runs", (int64_t)cases[i].expected);
        for (int turns = 0; turns < 1000 && number(id[i], "next_at") <= now; turns++) {
            fixture_run_ms(&f, 5); /* where no run was due, only this shows that it was looked at */
        }
        ck_assert_int_gt(number(id[i], "next_at"), now);
    }
    fixture_run_ms(&f, 100);
    for (size_t i = 0; i < 3; i++) {
        ck_assert_uint_eq(n_tasks(id[i]), cases[i].expected);
        sh_free(id[i]);
    }
    fixture_close(&f);
}
END_TEST

START_TEST(a_clock_that_steps_back_repeats_nothing) {
    int64_t now = sh_wall_us();

    fixture_open(&f, "back");
    fixture_add_agent(&f, "job", "(module\nprint done\n");
    sh_auto(sh_free_p) char *id = add(doc_of("* * * * *", "allow", "all"), NULL);
    set_next(id, now + 86400000000LL); /* decided up to tomorrow, by a clock that was ahead */
    fixture_stop_engine(&f);
    fixture_start_engine(&f);
    fixture_run_ms(&f, 200);
    ck_assert_uint_eq(n_tasks(id), 0);
    fixture_close(&f);
}
END_TEST

#define WAITS "(module\nstart signal {\"name\":\"go\"}\nwait any\n"

START_TEST(runs_overlap_as_the_policy_says) {
    static const char *const overlaps[] = {"skip", "queue", "allow", "cancel_previous"};
    static const size_t started[] = {1, 1, 2, 2};

    fixture_open(&f, "overlap");
    fixture_add_agent(&f, "job", WAITS);
    for (size_t i = 0; i < 4; i++) {
        sh_auto(sh_free_p) char *id = add(doc_of("0 0 1 1 *", overlaps[i], "one"), NULL);
        run_now(id);
        wait_number(id, "total_runs", 1);
        run_now(id);
        wait_number(id, "total_runs", (int64_t)started[i]);
        fixture_run_ms(&f, 30);
        ck_assert_uint_eq(n_tasks(id), started[i]);
        if (i == 0) {
            ck_assert_int_eq(number(id, "skipped_runs"), 1);
        } else if (i == 1) { /* the second begins when the first ends */
            json_t *tasks = tasks_of(id);
            const char *first = json_string_value(json_object_get(json_array_get(tasks, 0), "id"));
            ck_assert_int_eq(fixture_signal(&f, first, "go", NULL), 0);
            json_decref(tasks);
            wait_number(id, "total_runs", 2);
        } else if (i == 3) {
            wait_number(id, "failed_runs", 1);
        }
    }
    fixture_close(&f);
}
END_TEST

START_TEST(a_paused_schedule_waits_and_a_removed_one_is_gone) {
    struct fixture_answer paused = {.f = &f}, resumed = {.f = &f}, removed = {.f = &f},
                          gone = {.f = &f};

    fixture_open(&f, "pause");
    fixture_add_agent(&f, "job", "(module\nprint done\n");
    sh_auto(sh_free_p) char *id = add(doc_of("* * * * *", "allow", "all"), NULL);
    sh_engine_schedule_pause(f.engine, sh_str(id), true, "rest", fixture_on_json, &paused);
    fixture_run(&f, &paused.done);
    set_next(id, sh_wall_us() - 3600000000LL);
    fixture_stop_engine(&f);
    fixture_start_engine(&f);
    fixture_run_ms(&f, 100);
    ck_assert_uint_eq(n_tasks(id), 0);
    sh_engine_schedule_pause(f.engine, sh_str(id), false, NULL, fixture_on_json, &resumed);
    fixture_run(&f, &resumed.done);
    ck_assert_int_gt(number(id, "next_at"), sh_wall_us() - 1000000); /* a pause misses nothing */
    sh_engine_schedule_remove(f.engine, sh_str(id), fixture_on_json, &removed);
    fixture_run(&f, &removed.done);
    ck_assert_int_eq(removed.err.code, 0);
    fixture_stop_engine(&f);
    fixture_start_engine(&f);
    sh_engine_schedule_get(f.engine, sh_str(id), fixture_on_json, &gone);
    fixture_run(&f, &gone.done);
    ck_assert_int_eq(gone.err.code, SH_E_NOT_FOUND);
    json_decref(paused.value);
    json_decref(resumed.value);
    json_decref(removed.value);
    fixture_close(&f);
}
END_TEST

START_TEST(a_schedule_whose_agent_is_gone_says_so_and_goes_on) {
    json_t *record;

    fixture_open(&f, "agent");
    sh_auto(sh_free_p) char *id = add(doc_of("0 0 1 1 *", "skip", "one"), NULL);
    run_now(id);
    wait_number(id, "failed_runs", 1);
    record = get(id);
    ck_assert_ptr_nonnull(strstr(json_string_value(json_object_get(record, "last_error")), "job"));
    ck_assert_uint_eq(json_array_size(json_object_get(record, "queue")), 0);
    json_decref(record);
    fixture_close(&f);
}
END_TEST

START_TEST(what_is_no_schedule_is_refused) {
    static const char *const bad[][2] = {{"cron", "61 * * * *"},   {"timezone", "Moon/Base"},
                                         {"overlap", "maybe"},     {"catch_up", "some"},
                                         {"session", "not an id"}, {"colour", "red"}};
    int code = 0;

    fixture_open(&f, "bad");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        json_t *doc = doc_of("* * * * *", "skip", "one");
        json_object_set_new(doc, bad[i][0], json_string(bad[i][1]));
        ck_assert_ptr_null(add(doc, &code));
        ck_assert_int_eq(code, SH_E_INVAL);
    }
    static const int edges[] = {0, SH_SCHEDULE_CATCH_UP_MAX, SH_SCHEDULE_CATCH_UP_MAX + 1};
    for (size_t i = 0; i < 3; i++) {
        json_t *doc = doc_of("0 0 1 1 *", "skip", "one");
        json_object_set_new(doc, "catch_up_max", json_integer(edges[i]));
        sh_auto(sh_free_p) char *id = add(doc, &code);
        ck_assert_int_eq(code, i == 1 ? 0 : SH_E_INVAL);
    }
    fixture_close(&f);
}
END_TEST

/* The power goes when k commits of a run that is due have reached the disk. */
static bool crash_at(size_t k, enum sh_twin_loss loss) {
    struct sh_twin *twin;
    size_t commits = 0;
    bool crashed = false, decided;

    fixture_open(&f, "power");
    fixture_add_agent(&f, "job", "(module\nprint done\n");
    sh_auto(sh_free_p) char *id = add(doc_of("0 0 1 1 *", "queue", "one"), NULL);
    twin = sh_twin_named("power");
    sh_twin_hold(twin, true);
    struct fixture_answer a = {.f = &f};
    sh_engine_schedule_run(f.engine, sh_str(id), fixture_on_json, &a);
    for (int idle = 0; idle < 300 && !crashed;) {
        idle = sh_twin_held(twin) > 0 ? 0 : idle + 1;
        if (commits == k && sh_twin_held(twin) > 0) {
            crashed = true;
            break;
        }
        commits += sh_twin_release(twin, 1);
        fixture_run_ms(&f, 1);
    }
    decided = a.done;
    json_decref(a.value);
    if (crashed) {
        fixture_crash(&f, loss);
    }
    sh_twin_hold(sh_twin_named("power"), false);
    fixture_run_ms(&f, 60);
    if (decided || number(id, "total_runs") > 0) {
        wait_number(id, "successful_runs", 1);
    }
    ck_assert_int_le(number(id, "total_runs"), 1);
    ck_assert_int_eq((int64_t)n_tasks(id), number(id, "total_runs"));
    fixture_close(&f);
    return crashed;
}

START_TEST(power_loss_at_every_commit_makes_one_task_at_most) {
    static const enum sh_twin_loss losses[] = {SH_TWIN_LOSE_ALL, SH_TWIN_LOSE_NONE,
                                               SH_TWIN_LOSE_LAST};
    size_t k = 0;

    while (crash_at(k, losses[_i])) {
        k++;
    }
    ck_assert_uint_gt(k, 2);
}
END_TEST

static Suite *suite(void) {
    Suite *s = suite_create("engine_schedules");
    TCase *sweep = tcase_create("sweep"), *rest = tcase_create("rest");

    tcase_set_timeout(sweep, 120);
    tcase_add_loop_test(sweep, power_loss_at_every_commit_makes_one_task_at_most, 0, 3);
    suite_add_tcase(s, sweep);
    tcase_set_timeout(rest, SH_TEST_SECONDS);
    tcase_add_test(rest, a_run_that_is_asked_for_starts_one_task);
    tcase_add_test(rest, what_was_missed_is_made_up_for_as_the_policy_says);
    tcase_add_test(rest, a_clock_that_steps_back_repeats_nothing);
    tcase_add_test(rest, runs_overlap_as_the_policy_says);
    tcase_add_test(rest, a_paused_schedule_waits_and_a_removed_one_is_gone);
    tcase_add_test(rest, a_schedule_whose_agent_is_gone_says_so_and_goes_on);
    tcase_add_test(rest, what_is_no_schedule_is_refused);
    suite_add_tcase(s, rest);
    return s;
}
SH_TEST_MAIN(suite)
