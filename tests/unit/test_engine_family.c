/* A family of which any member may be out of memory: ends, cancels and the budget reach it all the
 * same, whatever a power cut leaves. The fake model takes 5 tokens. */
#include <stdio.h>

#include "lib/check_main.h"
#include "lib/engine_fixture.h"
#include "lib/fake_tools.c"

static struct fixture f;

#define SOON_MS 10 /* passivated after */

#define POLICY                                                                                     \
    "{\"rules\":[{\"agent\":\"*\",\"allow\":{\"tools\":[\"workflow\",\"llm\",\"kv\","              \
    "\"calculator\"]}}]}"
#define START_CHILD "start workflow {\"agent\":\"child\"}\n"
#define WAITS "start signal {\"name\":\"go\"}\nwait any\n"
#define SMALL_CALL "start llm {\"q\":1,\"max_tokens\":3}\nwait any\n" /* reserves 9 */
#define CALL "start llm {\"q\":1}\nwait any\n"

static void open_it(const char *name, const char *child) {
    static json_t *policy;

    json_decref(policy);
    policy = fixture_json(POLICY);
    fake_llm.n_keys = 0;
    f.policy_doc = policy;
    f.passivate_after_ms = SOON_MS;
    fixture_open(&f, name);
    fixture_add_agent(&f, "child", child);
}

static void close_it(void) {
    fixture_close(&f);
    memset(&f, 0, sizeof(f));
}

static const char *text(const json_t *object, const char *name) {
    const char *s = json_string_value(json_object_get(object, name));

    return s ? s : "";
}

static int64_t stat_of(const char *name) {
    json_t *stats = sh_engine_stats(f.engine);
    int64_t n = sh_json_get_int(stats, name, -1);

    json_decref(stats);
    return n;
}

/* Until so many sleep and so many are in memory. */
static void wait_asleep(int64_t asleep, int64_t in_memory) {
    for (int i = 0; i < 4000; i++) {
        if (stat_of("in_memory") == in_memory && stat_of("passivated") == asleep) {
            return;
        }
        fixture_run_ms(&f, 5);
    }
    ck_abort_msg("%lld in memory, %lld passivated", (long long)stat_of("in_memory"),
                 (long long)stat_of("passivated"));
}

static json_t *wait_status(const char *id, const char *status) {
    json_t *row = NULL;

    for (int i = 0; i < 4000; i++) {
        json_decref(row);
        row = fixture_row(&f, id);
        if (strcmp(text(row, "status"), status) == 0) {
            return row;
        }
        fixture_run_ms(&f, 3);
    }
    ck_abort_msg("workflow %s is %s, not %s", id, text(row, "status"), status);
    return NULL;
}

static void assert_ends(const char *id, const char *status, const char *result) {
    json_t *row = wait_status(id, status), *v = fixture_verify(&f, id);
    sh_auto(sh_free_p) char *shown = sh_json_text(v);

    if (result) {
        ck_assert_msg(strstr(text(row, "result"), result) != NULL, "%s", text(row, "result"));
    }
    ck_assert_ptr_null(json_object_get(row, "asleep"));
    ck_assert_msg(sh_json_get_bool(v, "ok", false), "%s", shown);
    json_decref(v);
    json_decref(row);
}

/* The n children of a workflow, once there are so many; their ids, oldest first. */
static void children_of(const char *id, size_t n, char ret[][SH_ID_MAX + 1]) {
    for (int i = 0; i < 4000; i++) {
        struct fixture_answer a = {.f = &f};
        sh_engine_list_family(f.engine, "parent", sh_str(id), 0, 100, fixture_on_json, &a);
        fixture_run(&f, &a.done);
        json_t *tasks = json_object_get(a.value, "tasks");
        size_t found = json_array_size(tasks);
        for (size_t k = 0; found == n && k < n; k++) {
            const json_t *row = json_array_get(tasks, k);
            snprintf(ret[k], SH_ID_MAX + 1, "%s", text(row, "id"));
        }
        json_decref(a.value);
        if (found == n) {
            return;
        }
        fixture_run_ms(&f, 3);
    }
    ck_abort_msg("workflow %s has not got %zu children", id, n);
}

static char *submit(const char *program, const char *limits) {
    sh_auto(sh_json_done) json_t *caps = limits ? fixture_json(limits) : NULL;

    return fixture_submit(&f, program, &(struct sh_submit){.capabilities = caps});
}

/* Nothing that woke somebody, or was counted for a family, is left. */
static void assert_nothing_left(const char *twin) {
    json_t *all, *wake = NULL;
    const char *key;
    json_t *value;

    for (int i = 0; i < 400; i++) {
        json_decref(wake);
        all = sh_twin_snapshot(sh_twin_named(twin));
        wake = json_incref(json_object_get(all, "wake"));
        json_object_foreach(json_object_get(all, "meta"), key, value) {
            ck_assert_msg(strncmp(key, "family-", 7) != 0 && strncmp(key, "rests:", 6) != 0, "%s",
                          key);
        }
        ck_assert_uint_eq(json_object_size(json_object_get(all, "active")), 0);
        json_decref(all);
        if (json_object_size(wake) == 0) {
            break;
        }
        fixture_run_ms(&f, 5); /* it goes by itself */
    }
    ck_assert_uint_eq(json_object_size(wake), 0);
    json_decref(wake);
}

START_TEST(a_parent_and_its_children_leave_memory_and_come_back_one_by_one) {
    char child[2][SH_ID_MAX + 1];

    open_it("leaves", "(module\n" WAITS "print hello\n");
    sh_auto(sh_free_p) char *id =
        submit("(module\n" START_CHILD START_CHILD "wait any\nwait any\nprint end\n", NULL);
    children_of(id, 2, child);
    wait_asleep(3, 0);
    ck_assert_int_eq(fixture_signal(&f, child[0], "go", NULL), 0);
    assert_ends(child[0], "completed", "hello");
    wait_asleep(2, 0); /* the parent came, has its answer, and waits for the other one */
    fixture_crash(&f, SH_TWIN_LOSE_ALL);
    fixture_run_ms(&f, 30);
    ck_assert_int_eq(stat_of("in_memory"), 0);
    ck_assert_int_eq(fixture_signal(&f, child[1], "go", NULL), 0);
    assert_ends(id, "completed", "end");
    assert_ends(child[1], "completed", "hello");
    ck_assert_int_eq(stat_of("passivated"), 0);
    assert_nothing_left("leaves");
    close_it();
}
END_TEST

START_TEST(a_parent_leaves_memory_while_its_child_works) {
    char child[1][SH_ID_MAX + 1];

    open_it("works", "(module\nstart llm {\"delay_ms\":400}\nwait any\nprint worked\n");
    sh_auto(sh_free_p) char *id = submit("(module\n" START_CHILD "wait any\nprint end\n", NULL);
    children_of(id, 1, child);
    wait_asleep(1, 1);
    json_decref(wait_status(child[0], "running"));
    assert_ends(id, "completed", "worked");
    assert_nothing_left("works");
    close_it();
}
END_TEST

static void nobody_waits(void *arg, json_t *row, const struct sh_err *err) {
    (void)arg;
    (void)row;
    (void)err;
}

/* Let k commits through, one by one, and take the power away. false: there were no more */
static bool crash_after(const char *twin, int k) {
    struct sh_twin *t = sh_twin_named(twin);
    int let = 0;

    for (int idle = 0; let < k && idle < 40;) {
        fixture_run_ms(&f, 5);
        if (sh_twin_held(t) > 0) {
            sh_twin_release(t, 1);
            let++;
            idle = 0;
        } else {
            idle++;
        }
    }
    fixture_run_ms(&f, 5);
    sh_twin_hold(t, false);
    fixture_crash(&f, SH_TWIN_LOSE_ALL);
    return let == k;
}

static bool has_event(const char *id, const char *type) {
    json_t *events = fixture_events(&f, id);
    size_t n = fixture_count(events, type, NULL);

    json_decref(events);
    return n > 0;
}

START_TEST(a_child_s_end_reaches_its_sleeping_parent_wherever_the_power_goes) {
    bool more = true;

    for (int k = 0; more; k++) {
        char child[1][SH_ID_MAX + 1], name[20];
        ck_assert_int_lt(k, 40);
        snprintf(name, sizeof(name), "end%d", k);
        open_it(name, "(module\n" WAITS "print hello\n");
        sh_auto(sh_free_p) char *id = submit("(module\n" START_CHILD "wait any\nprint end\n", NULL);
        children_of(id, 1, child);
        wait_asleep(2, 0);
        sh_twin_hold(sh_twin_named(name), true);
        sh_engine_signal(f.engine, sh_str(child[0]), SH_STR("go"), NULL, nobody_waits, NULL);
        more = crash_after(name, k);
        if (!has_event(child[0], "SignalReceived")) {
            ck_assert_int_eq(fixture_signal(&f, child[0], "go", NULL), 0);
        }
        assert_ends(id, "completed", "end");
        assert_ends(child[0], "completed", "hello");
        assert_nothing_left(name);
        close_it();
    }
}
END_TEST

START_TEST(a_cancel_reaches_sleeping_children_wherever_the_power_goes) {
    bool more = true;

    for (int k = 0; more; k++) {
        char child[2][SH_ID_MAX + 1], name[20];
        ck_assert_int_lt(k, 40);
        snprintf(name, sizeof(name), "cancel%d", k);
        open_it(name, "(module\n" WAITS "print hello\n");
        sh_auto(sh_free_p) char *id =
            submit("(module\n" START_CHILD START_CHILD "wait all\nprint end\n", NULL);
        children_of(id, 2, child);
        wait_asleep(3, 0);
        sh_twin_hold(sh_twin_named(name), true);
        sh_engine_cancel(f.engine, sh_str(id), "a test", "", nobody_waits, NULL);
        more = crash_after(name, k);
        if (!has_event(id, "CancelRequested")) {
            ck_assert_int_eq(fixture_control(&f, id, sh_engine_cancel), 0);
        }
        assert_ends(id, "canceled", NULL);
        assert_ends(child[0], "canceled", NULL);
        assert_ends(child[1], "canceled", NULL);
        wait_asleep(0, 0);
        assert_nothing_left(name);
        close_it();
    }
}
END_TEST

START_TEST(a_parent_s_end_ends_its_sleeping_children_wherever_the_power_goes) {
    bool more = true;

    for (int k = 0; more; k++) {
        char child[1][SH_ID_MAX + 1], name[20];
        ck_assert_int_lt(k, 40);
        snprintf(name, sizeof(name), "over%d", k);
        open_it(name, "(module\n" WAITS "print hello\n");
        sh_auto(sh_free_p) char *id = submit(
            "(module\n" START_CHILD "start signal {\"name\":\"stop\"}\nwait 2\nprint end\n", NULL);
        children_of(id, 1, child);
        wait_asleep(2, 0);
        sh_twin_hold(sh_twin_named(name), true);
        sh_engine_signal(f.engine, sh_str(id), SH_STR("stop"), NULL, nobody_waits, NULL);
        more = crash_after(name, k);
        if (!has_event(id, "SignalReceived")) {
            ck_assert_int_eq(fixture_signal(&f, id, "stop", NULL), 0);
        }
        assert_ends(id, "completed", "end");
        assert_ends(child[0], "canceled", NULL);
        wait_asleep(0, 0);
        assert_nothing_left(name);
        close_it();
    }
}
END_TEST

START_TEST(pause_and_resume_reach_a_family_that_sleeps) {
    char child[1][SH_ID_MAX + 1];

    open_it("pause", "(module\n" WAITS "print hello\n");
    sh_auto(sh_free_p) char *id = submit("(module\n" START_CHILD "wait any\nprint end\n", NULL);
    children_of(id, 1, child);
    wait_asleep(2, 0);
    ck_assert_int_eq(fixture_control(&f, id, sh_engine_pause), 0);
    ck_assert_int_eq(fixture_control(&f, child[0], sh_engine_pause), 0);
    ck_assert_int_eq(stat_of("in_memory"), 0);
    ck_assert_int_eq(fixture_signal(&f, child[0], "go", NULL), 0);
    fixture_crash(&f, SH_TWIN_LOSE_ALL);
    ck_assert_int_eq(fixture_control(&f, child[0], sh_engine_resume), 0);
    assert_ends(child[0], "completed", "hello");
    wait_asleep(1, 0); /* the parent has its answer, and does not read it yet */
    json_decref(wait_status(id, "paused"));
    ck_assert_int_eq(fixture_control(&f, id, sh_engine_resume), 0);
    assert_ends(id, "completed", "hello");
    assert_nothing_left("pause");
    close_it();
}
END_TEST

/* Three children, a call each before they sleep and one after; the third call after does not fit.
 */
START_TEST(what_sleepers_used_counts_and_their_limits_bind) {
    char child[3][SH_ID_MAX + 1];
    json_t *row;
    int failed = 0;

    open_it("budget", "(module\n" SMALL_CALL WAITS SMALL_CALL "print hello\n");
    sh_auto(sh_free_p) char *id =
        submit("(module\n" START_CHILD START_CHILD START_CHILD "wait all\n",
               "{\"limits\":{\"tokens\":29}}");
    children_of(id, 3, child);
    wait_asleep(4, 0);
    for (int i = 0; i < 3; i++) {
        if (_i == i) {
            fixture_crash(&f, SH_TWIN_LOSE_ALL);
        }
        ck_assert_int_eq(fixture_signal(&f, child[i], "go", NULL), 0);
        wait_asleep(3 - i - (i == 2), 0);
        row = fixture_row(&f, child[i]);
        failed += strcmp(text(json_object_get(row, "error"), "code"), "budget_exceeded") == 0;
        json_decref(row);
    }
    ck_assert_int_eq(failed, 1);
    ck_assert_uint_eq(fake_llm.n_keys, 5);
    row = wait_status(id, "completed");
    ck_assert_int_eq(sh_json_get_int(json_object_get(row, "spent"), "tokens", 0), 25);
    json_decref(row);
    assert_ends(id, "completed", "budget_exceeded");
    for (int i = 0; i < 3; i++) {
        assert_ends(child[i], i < 2 ? "completed" : "failed", NULL);
    }
    assert_nothing_left("budget");
    close_it();
}
END_TEST

START_TEST(a_raise_reaches_those_above_that_sleep) {
    char child[1][SH_ID_MAX + 1], grandchild[1][SH_ID_MAX + 1];
    struct fixture_answer a = {.f = &f};
    sh_auto(sh_json_done) json_t *more = fixture_json("{\"tokens\":5}");

    f.attended = f.budget_asks = true;
    open_it("raise", "(module\n" CALL CALL CALL "print hello\n");
    sh_engine_module_add(f.engine, SH_STR("(module\n" START_CHILD "wait any\n"), "middle", NULL,
                         fixture_on_json, &a);
    fixture_run(&f, &a.done);
    json_decref(a.value);
    sh_auto(sh_free_p) char *id =
        submit("(module\nstart workflow {\"agent\":\"middle\"}\nwait any\n",
               "{\"limits\":{\"tokens\":12}}");
    children_of(id, 1, child);
    children_of(child[0], 1, grandchild);
    json_decref(wait_status(grandchild[0], "paused"));
    wait_asleep(3, 0);
    a = (struct fixture_answer){.f = &f};
    sh_engine_raise(f.engine, sh_str(grandchild[0]), more, "a test", "", fixture_on_json, &a);
    fixture_run(&f, &a.done);
    ck_assert_int_eq(a.err.code, 0);
    json_decref(a.value);
    assert_ends(id, "completed", "hello");
    ck_assert(has_event(id, "BudgetRaised") && has_event(child[0], "BudgetRaised"));
    ck_assert_uint_eq(fake_llm.n_keys, 3);
    assert_nothing_left("raise");
    close_it();
}
END_TEST

/* What some of five take leaves too little for the others, which rest until their parent's budget
 * is raised. A call that the power cut off counts as 9: their own limit leaves room for one. */
START_TEST(a_raise_wakes_a_family_that_rests_wherever_the_power_goes) {
    sh_auto(sh_json_done) json_t *more = fixture_json("{\"tokens\":1000}");
    bool left = true;

    for (int k = 0; left; k++) {
        char child[5][SH_ID_MAX + 1], name[20];
        struct fixture_answer a = {.f = &f};
        ck_assert_int_lt(k, 60);
        snprintf(name, sizeof(name), "raise%d", k);
        f.attended = f.budget_asks = true;
        open_it(name, "(module\n" SMALL_CALL SMALL_CALL "print hello\n");
        sh_auto(sh_free_p) char *id =
            submit("(module\n" START_CHILD START_CHILD START_CHILD START_CHILD START_CHILD
                   "wait all\nprint end\n",
                   "{\"limits\":{\"tokens\":24}}");
        children_of(id, 5, child);
        for (int i = 0; i < 2000 && stat_of("in_memory") > 0; i++) {
            fixture_run_ms(&f, 5); /* until those that are left rest */
        }
        sh_twin_hold(sh_twin_named(name), true);
        sh_engine_raise(f.engine, sh_str(id), more, "a test", "", nobody_waits, NULL);
        left = crash_after(name, k);
        if (!has_event(id, "BudgetRaised")) {
            sh_engine_raise(f.engine, sh_str(id), more, "a test", "", fixture_on_json, &a);
            fixture_run(&f, &a.done);
            json_decref(a.value);
        }
        for (int i = 0; i < 5; i++) {
            assert_ends(child[i], "completed", "hello");
        }
        assert_ends(id, "completed", "end");
        assert_nothing_left(name);
        close_it();
    }
}
END_TEST

START_TEST(one_that_is_canceled_while_it_rests_over_a_budget_leaves_nothing) {
    char child[1][SH_ID_MAX + 1];

    f.attended = f.budget_asks = true;
    open_it("rests", "(module\n" CALL CALL CALL "print hello\n");
    sh_auto(sh_free_p) char *id =
        submit("(module\n" START_CHILD "wait all\nprint end\n", "{\"limits\":{\"tokens\":12}}");
    children_of(id, 1, child);
    json_decref(wait_status(child[0], "paused"));
    wait_asleep(2, 0);
    ck_assert_int_eq(fixture_control(&f, id, sh_engine_cancel), 0);
    assert_ends(id, "canceled", NULL);
    assert_ends(child[0], "canceled", NULL);
    assert_nothing_left("rests");
    close_it();
}
END_TEST

/* Two children whose calls overlap: each is within the limit, together they are not. */
START_TEST(time_of_all_that_run_counts_and_nobody_is_asked_for_it) {
    json_t *row, *events, *body = NULL;
    char child[2][SH_ID_MAX + 1];

    open_it("time", "(module\nstart llm {\"delay_ms\":60000}\nwait any\n");
    sh_auto(sh_free_p) char *id =
        submit("(module\n" START_CHILD START_CHILD "wait all\nprint end\n",
               "{\"limits\":{\"wall_clock\":\"1500ms\"}}");
    children_of(id, 2, child);
    for (int i = 0; i < 2; i++) {
        row = wait_status(child[i], "failed");
        ck_assert_str_eq(text(json_object_get(row, "error"), "code"), "budget_exceeded");
        ck_assert_int_lt(sh_json_get_int(row, "completed_at", 0),
                         sh_json_get_int(row, "created_at", 0) + 30000000);
        json_decref(row);
        events = fixture_events(&f, child[i]);
        ck_assert_uint_eq(fixture_count(events, "BudgetExceeded", &body), 1);
        ck_assert_str_eq(text(body, "what"), "wall_clock");
        ck_assert_str_eq(text(body, "of"), id);
        json_decref(events);
        assert_ends(child[i], "failed", NULL);
    }
    close_it();
}
END_TEST

#define BEAT_MS "2000"

static char *submit_watched(const char *more) {
    sh_auto(sh_free_p) char *program =
        sh_asprintf("(module\nstart workflow {\"agent\":\"child\",\"heartbeat_timeout_ms\":"
                    "%s}\nwait any\nprint end\n",
                    more);

    return submit(program, NULL);
}

START_TEST(a_child_without_a_sign_of_life_is_canceled_asleep_or_not) {
    char child[1][SH_ID_MAX + 1];

    f.cancel_grace_ms = 50;
    open_it("silent", _i == 0 ? "(module\nloop\n" : "(module\n" WAITS);
    sh_auto(sh_free_p) char *id = submit_watched("400");
    children_of(id, 1, child);
    if (_i == 2) {
        wait_asleep(2, 0);
        fixture_crash(&f, SH_TWIN_LOSE_ALL);
    }
    assert_ends(id, "completed", "no sign of life for 400 ms");
    assert_ends(id, "completed", "\"code\":\"timeout\"");
    assert_ends(child[0], "canceled", NULL);
    assert_nothing_left("silent");
    close_it();
}
END_TEST

START_TEST(a_child_that_goes_on_lives_longer_than_its_heartbeat) {
    open_it("beats", "(module\nstart sleep {\"ms\":700}\nwait any\nemit step {}\n"
                     "start sleep {\"ms\":700}\nwait any\nemit step {}\n"
                     "start sleep {\"ms\":700}\nwait any\nemit step {}\n"
                     "start sleep {\"ms\":700}\nwait any\nprint lived\n");
    sh_auto(sh_free_p) char *id = submit_watched(BEAT_MS);
    assert_ends(id, "completed", "lived");
    assert_nothing_left("beats");
    close_it();
}
END_TEST

START_TEST(a_pause_is_no_silence) {
    char child[1][SH_ID_MAX + 1];

    open_it("quiet", "(module\n" WAITS "print hello\n");
    sh_auto(sh_free_p) char *id = submit_watched(BEAT_MS);
    children_of(id, 1, child);
    ck_assert_int_eq(fixture_control(&f, child[0], sh_engine_pause), 0);
    fixture_run_ms(&f, 2500);
    ck_assert_int_eq(fixture_signal(&f, child[0], "go", NULL), 0);
    ck_assert_int_eq(fixture_control(&f, child[0], sh_engine_resume), 0);
    assert_ends(id, "completed", "hello");
    close_it();
}
END_TEST

START_TEST(a_heartbeat_that_nobody_awaits_is_refused) {
    open_it("nobody", "(module\nprint hello\n");
    sh_auto(sh_free_p) char *id = submit_watched("100,\"detached\":true");
    assert_ends(id, "completed", "nobody waits for a detached child");
    close_it();
}
END_TEST

START_TEST(two_hundred_families_that_wait_hold_no_memory) {
    enum { N = 200 };
    char *ids[N], child[2][SH_ID_MAX + 1];

    open_it("many", "(module\n" WAITS "print hello\n");
    for (int i = 0; i < N; i++) {
        ids[i] = submit("(module\n" START_CHILD START_CHILD "wait all\nprint end\n", NULL);
    }
    wait_asleep(3 * (int64_t)N, 0);
    children_of(ids[N / 2], 2, child);
    ck_assert_int_eq(fixture_signal(&f, child[0], "go", NULL), 0);
    ck_assert_int_eq(fixture_signal(&f, child[1], "go", NULL), 0);
    assert_ends(ids[N / 2], "completed", "end");
    wait_asleep(3 * (int64_t)(N - 1), 0);
    for (int i = 0; i < N; i++) {
        sh_free(ids[i]);
    }
    close_it();
}
END_TEST

static Suite *suite(void) {
    const TTest *const tests[] = {a_parent_and_its_children_leave_memory_and_come_back_one_by_one,
                                  a_parent_leaves_memory_while_its_child_works,
                                  a_child_s_end_reaches_its_sleeping_parent_wherever_the_power_goes,
                                  a_cancel_reaches_sleeping_children_wherever_the_power_goes,
                                  a_parent_s_end_ends_its_sleeping_children_wherever_the_power_goes,
                                  pause_and_resume_reach_a_family_that_sleeps,
                                  a_raise_reaches_those_above_that_sleep,
                                  a_raise_wakes_a_family_that_rests_wherever_the_power_goes,
                                  one_that_is_canceled_while_it_rests_over_a_budget_leaves_nothing,
                                  two_hundred_families_that_wait_hold_no_memory,
                                  time_of_all_that_run_counts_and_nobody_is_asked_for_it,
                                  a_child_that_goes_on_lives_longer_than_its_heartbeat,
                                  a_pause_is_no_silence,
                                  a_heartbeat_that_nobody_awaits_is_refused,
                                  NULL};
    Suite *s = sh_suite("engine_family", tests);
    TCase *budget = tcase_create("budget"), *silent = tcase_create("silent");

    tcase_set_timeout(budget, SH_TEST_SECONDS);
    tcase_add_loop_test(budget, what_sleepers_used_counts_and_their_limits_bind, 0, 4);
    suite_add_tcase(s, budget);
    tcase_set_timeout(silent, SH_TEST_SECONDS);
    tcase_add_loop_test(silent, a_child_without_a_sign_of_life_is_canceled_asleep_or_not, 0, 3);
    suite_add_tcase(s, silent);
    return s;
}
SH_TEST_MAIN(suite)
