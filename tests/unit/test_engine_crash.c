/* The power goes at every commit, in four ways, for workflows of several shapes; what comes back
 * must be the run that would have been. */
#include "lib/check_main.h"
#include "lib/engine_fixture.h"
#include "lib/fake_tools.c"

#include <stdio.h>

static struct fixture f;
static char told[SH_ID_MAX + 1]; /* the id, once a client was told of it */

static const char *const programs[] = {
    /* sequential */
    "(module\nprint begin\nstart llm {\"q\":1}\nwait any\nstart kv.put "
    "{\"key\":\"k\",\"value\":1}\n"
    "wait any\nstart calculator {\"n\":4}\nwait any\nstart llm {\"q\":2}\nwait any\n"
    "start kv.get {\"key\":\"k\"}\nwait any\nprint end\n",
    /* parallel: the delays fix the order of the completions */
    "(module\nstart llm {\"delay_ms\":20}\nstart llm {\"delay_ms\":1}\nstart sleep {\"ms\":60}\n"
    "start calculator {\"n\":5}\nwait 4\nwait 2\nwait 1\nwait 3\nemit progress {\"n\":1}\n"
    "output {\"answer\":\"parallel\"}\n",
    /* a checkpoint between activities, short sleeps, a failure that is seen */
    "(module\nstart llm {\"q\":1}\nwait any\ncheckpoint mark\nsleep 2\nprint after\n"
    "start unknown {}\nwait any\nstart llm {\"q\":3}\nwait any\nexit 3\n",
    /* long waits, in which it leaves memory */
    "(module\nstart llm {\"q\":1}\nwait any\nstart sleep {\"ms\":120}\nwait any\nprint a\n"
    "start calculator {\"n\":1}\nwait any\nstart sleep {\"ms\":90}\nwait any\n"
    "start llm {\"q\":2}\nwait any\n",
    /* a result before a checkpoint */
    "(module\noutput {\"answer\":\"kept\"}\ncheckpoint mark\nstart llm {\"q\":1}\nwait any\n",
    /* children, one after the other and two at a time */
    "(module\nstart workflow {\"agent\":\"child\",\"input\":{\"n\":1}}\nwait any\n"
    "start workflow {\"agent\":\"child\",\"query\":\"two\"}\n"
    "start workflow {\"agent\":\"child\",\"query\":\"three\"}\nwait 3\nwait 2\nprint end\n",
};
static const char child[] = "(module\nprint in\nstart calculator {\"n\":3}\nwait any\n"
                            "start sleep {\"ms\":2}\nwait any\ninput\n";
#define CHILDREN 3 /* of the last program */
#define SLEEPING 3 /* of programs */
#define N_PROGRAMS (sizeof(programs) / sizeof(programs[0]))

static bool ended; /* a follower saw the final event */
static struct sh_subscription *follower;

static void on_event(void *arg, const struct sh_live_event *ev) {
    (void)arg;
    ended = ended || (ev->event && sh_event_is_final(ev->event->type));
}

static void on_missing(void *arg) {
    (void)arg;
    ck_abort_msg("the workflow is unknown to the engine that told its id");
}

static void on_told(void *arg, json_t *row, bool cached, const struct sh_err *err) {
    (void)arg;
    (void)cached;
    if (!err) {
        struct sh_err bad = {0};
        snprintf(told, sizeof(told), "%s", json_string_value(json_object_get(row, "id")));
        sh_assert_ok(sh_engine_subscribe(f.engine, sh_str(told), 0, on_event, on_missing, NULL,
                                         &follower, &bad),
                     &bad);
    }
}

static void unfollow(void) {
    sh_engine_unsubscribe(follower);
    follower = NULL;
}

struct added {
    bool done;
    char hash[SH_HASH_HEX_BYTES];
};

static void on_added(void *arg, json_t *record, const struct sh_err *err) {
    struct added *a = arg;

    ck_assert_ptr_null(err);
    snprintf(a->hash, sizeof(a->hash), "%s", json_string_value(json_object_get(record, "hash")));
    a->done = true;
    sh_loop_stop(f.loop);
}

static void add_child(void) {
    struct added added = {0};

    sh_engine_module_add(f.engine, sh_str(child), "child", NULL, on_added, &added);
    fixture_run(&f, &added.done);
}

/* Submit, then let one commit after the other reach the disk; the power goes when `k` have. false:
 * the workflow ended before. */
static bool run_to_commit(const char *program, size_t k, enum sh_twin_loss loss) {
    struct added added = {0};
    struct sh_twin *twin;
    size_t commits = 0;

    sh_engine_module_add(f.engine, sh_str(program), NULL, NULL, on_added, &added);
    fixture_run(&f, &added.done);
    twin = sh_twin_named(f.endpoint + 5);
    sh_twin_hold(twin, true);
    told[0] = '\0';
    ended = false;
    sh_engine_submit(f.engine,
                     &(struct sh_submit){.agent = sh_str(added.hash), .query = SH_STR("q")},
                     on_told, NULL);
    for (int idle = 0; idle < 20000;) {
        idle = sh_twin_held(twin) > 0 ? 0 : idle + 1;
        if (commits == k && sh_twin_held(twin) > 0) {
            unfollow();
            fixture_crash(&f, loss);
            return true;
        }
        commits += sh_twin_release(twin, 1);
        fixture_run_ms(&f, 1);
        if (ended) {
            sh_twin_hold(twin, false);
            unfollow();
            return false;
        }
    }
    ck_abort_msg("the workflow came to rest after %zu commits", commits);
    return false;
}

static void on_list(void *arg, json_t *value, const struct sh_err *err) {
    (void)arg;
    ck_assert_ptr_null(err);
    size_t i;
    json_t *row;

    json_array_foreach(json_object_get(value, "tasks"), i, row) {
        if (!json_object_get(row, "parent")) {
            snprintf(told, sizeof(told), "%s", json_string_value(json_object_get(row, "id")));
        }
    }
    sh_loop_stop(f.loop);
}

static size_t n_children;

static void on_children(void *arg, json_t *value, const struct sh_err *err) {
    size_t i;
    json_t *row;

    (void)arg;
    ck_assert_ptr_null(err);
    n_children = 0;
    json_array_foreach(json_object_get(value, "tasks"), i, row) {
        n_children += json_object_get(row, "parent") != NULL;
    }
    sh_loop_stop(f.loop);
}

/* Verify and give the run digest. */
static char *digest_of(const char *id) {
    json_t *v = fixture_verify(&f, id);
    sh_auto(sh_free_p) char *text = sh_json_text(v);
    char *digest = sh_strdup(json_string_value(json_object_get(v, "digest")));

    ck_assert_msg(sh_json_get_bool(v, "ok", false), "%s", text);
    ck_assert_str_eq(json_string_value(json_object_get(v, "replay")), "ok");
    json_decref(v);
    return digest;
}

static const char *ordinal_of(const char *key) {
    return strrchr(key, ':');
}

/* Keys of calls whose outcome was durable at the crash must not be used again after it. */
static void check_keys(json_t *durable_before, size_t n_before) {
    size_t i;
    json_t *ev;

    json_array_foreach(durable_before, i, ev) {
        if (!sh_str_eqz(sh_json_get_str(ev, "type"), "ActivityCompleted")) {
            continue;
        }
        char suffix[32];
        snprintf(suffix, sizeof(suffix), ":%lld",
                 (long long)sh_json_get_int(json_object_get(ev, "body"), "ordinal", -1));
        for (size_t k = n_before; k < fake_llm.n_keys; k++) {
            ck_assert_msg(strcmp(ordinal_of(fake_llm.keys[k]), suffix) != 0,
                          "activity %s was called again after its outcome was durable", suffix);
        }
    }
}

static char *undisturbed(const char *program) {
    char *digest;

    sh_auto(sh_free_p) char *id = fixture_submit(&f, program, NULL);
    json_decref(fixture_wait(&f, id));
    digest = digest_of(id);
    return digest;
}

static bool crash_once(const char *program, size_t k, enum sh_twin_loss loss,
                       const char *expected) {
    bool crashed;

    fixture_open(&f, "crash");
    memset(&fake_llm, 0, sizeof(fake_llm));
    add_child();
    crashed = run_to_commit(program, k, loss);
    size_t n_before = fake_llm.n_keys;
    if (!told[0]) { /* nobody was told: it may exist or not */
        sh_engine_list(f.engine, NULL, NULL, 0, 10, on_list, NULL);
        sh_loop_run(f.loop);
    }
    if (told[0]) {
        json_t *durable = fixture_events(&f, told);
        json_t *row = fixture_wait(&f, told);
        sh_auto(sh_free_p) char *digest = digest_of(told);
        ck_assert_msg(strcmp(digest, expected) == 0, "commit %zu, loss %d: another run came back",
                      k, (int)loss);
        if (crashed) {
            check_keys(durable, n_before);
        }
        if (program == programs[N_PROGRAMS - 1]) { /* each was started once */
            sh_engine_list(f.engine, NULL, NULL, 0, 10, on_children, NULL);
            sh_loop_run(f.loop);
            ck_assert_uint_eq(n_children, CHILDREN);
        }
        json_decref(durable);
        json_decref(row);
    }
    fixture_close(&f);
    return crashed;
}

START_TEST(power_loss_at_every_commit_changes_nothing) {
    const char *program = programs[(size_t)_i / 3];
    static const enum sh_twin_loss losses[] = {SH_TWIN_LOSE_ALL, SH_TWIN_LOSE_NONE,
                                               SH_TWIN_LOSE_LAST};
    sh_auto(sh_free_p) char *expected = NULL;
    size_t k = 0;
    json_t *policy = json_pack("{s:[{s:s, s:{s:[s,s,s,s]}}]}", "rules", "agent", "*", "allow",
                               "tools", "workflow", "llm", "kv", "calculator");

    f.policy_doc = policy;
    f.passivate_after_ms = (size_t)_i / 3 == SLEEPING ? 10 : 0;
    fixture_open(&f, "calm");
    add_child();
    expected = undisturbed(program);
    fixture_close(&f);
    while (crash_once(program, k, losses[(size_t)_i % 3], expected)) {
        k++;
    }
    ck_assert_msg(k > 3, "the workflow had only %zu commits", k);
    json_decref(policy);
}
END_TEST

START_TEST(a_guest_that_differs_from_its_journal_is_stopped) {
    json_t *row;

    fixture_open(&f, "differs");
    sh_auto(sh_free_p) char *id = fixture_submit(
        &f,
        "(module\ndiffer\nstart calculator {\"n\":1}\nwait any\nstart sleep {\"ms\":86400000}\n"
        "wait any\n",
        NULL);
    fixture_await(&f, id, "ActivityScheduled", 1);
    fixture_crash(&f, SH_TWIN_LOSE_ALL);
    row = fixture_wait(&f, id);
    ck_assert_str_eq(json_string_value(json_object_get(json_object_get(row, "error"), "code")),
                     "nondeterminism");
    json_decref(row);
    fixture_close(&f);
}
END_TEST

START_TEST(a_timer_keeps_its_due_time_and_a_pause_its_rest) {
    json_t *row, *events;

    fixture_open(&f, "due");
    sh_auto(sh_free_p) char *sleeper =
        fixture_submit(&f, "(module\nstart sleep {\"ms\":400}\nwait any\nprint awake\n", NULL);
    sh_auto(sh_free_p) char *paused =
        fixture_submit(&f, "(module\nstart signal {\"name\":\"go\"}\nwait any\n", NULL);
    ck_assert_int_eq(fixture_control(&f, paused, sh_engine_pause), 0);
    fixture_await(&f, sleeper, "ActivityScheduled", 1);
    fixture_crash(&f, SH_TWIN_LOSE_ALL);
    row = fixture_wait(&f, sleeper);
    ck_assert_str_eq(json_string_value(json_object_get(row, "result")),
                     "1 {\"ok\":{\"slept_ms\":400}}\nawake");
    json_decref(row);
    events = fixture_events(&f, sleeper); /* the time that was set, not a second one */
    ck_assert_uint_eq(fixture_count(events, "ActivityScheduled", NULL), 1);
    json_decref(events);
    row = fixture_row(&f, paused);
    ck_assert_str_eq(json_string_value(json_object_get(row, "status")), "paused");
    json_decref(row);
    ck_assert_int_eq(fixture_control(&f, paused, sh_engine_resume), 0);
    ck_assert_int_eq(fixture_signal(&f, paused, "go", NULL), 0);
    json_decref(fixture_wait(&f, paused));
    fixture_close(&f);
}
END_TEST

START_TEST(a_long_sleep_goes_on_after_a_crash_instead_of_beginning_again) {
    json_t *row, *events, *ev, *due = NULL;
    int64_t claimed_us = 0, ended_us = 0;
    size_t i;

    fixture_open(&f, "sleep");
    sh_auto(sh_free_p) char *id =
        fixture_submit(&f, "(module\nsleep 20\nprint a\nsleep 3000\nprint b\n", NULL);
    fixture_await(&f, id, "Observed", 1);
    fixture_run_ms(&f, 1500);
    fixture_crash(&f, SH_TWIN_LOSE_ALL);
    row = fixture_wait(&f, id);
    ck_assert_str_eq(json_string_value(json_object_get(row, "result")), "a\nb");
    events = fixture_events(&f, id);
    json_array_foreach(events, i, ev) {
        ended_us = sh_json_get_int(ev, "time_us", 0);
        claimed_us = sh_str_eqz(sh_json_get_str(ev, "type"), "Claimed") ? ended_us : claimed_us;
    }
    ck_assert_uint_eq(fixture_count(events, "Observed", &due), 1);
    ck_assert_int_ge(ended_us, sh_json_get_int(due, "due_us", 0));
    ck_assert_int_lt(ended_us - claimed_us, 3000000); /* what was left, not all of it again */
    json_decref(events);
    json_decref(row);
    fixture_close(&f);
}
END_TEST

START_TEST(at_most_once_is_not_called_again_after_a_crash) {
    json_t *row;

    fixture_open(&f, "once");
    memset(&fake_llm, 0, sizeof(fake_llm));
    sh_auto(sh_free_p) char *id = fixture_submit(
        &f, "(module\nstart llm {\"at_most_once\":true,\"delay_ms\":86400000}\nwait any\n", NULL);
    while (fake_llm.n_keys == 0) {
        fixture_run_ms(&f, 2);
    }
    fixture_crash(&f, SH_TWIN_LOSE_ALL);
    row = fixture_wait(&f, id);
    ck_assert_ptr_nonnull(
        strstr(json_string_value(json_object_get(row, "result")), "outcome_unknown"));
    ck_assert_uint_eq(fake_llm.n_keys, 1);
    json_decref(row);
    fixture_close(&f);
}
END_TEST

START_TEST(a_workflow_that_the_host_failed_is_tried_again) {
    json_t *row, *events;

    fixture_open(&f, "park");
    sh_auto(sh_free_p) char *id = fixture_submit(
        &f, "(module\nprint a\nstart calculator {\"n\":1}\nwait any\nhostfail\nprint b\n", NULL);
    row = fixture_wait(&f, id);
    ck_assert_str_eq(json_string_value(json_object_get(row, "status")), "completed");
    events = fixture_events(&f, id);
    ck_assert_uint_eq(fixture_count(events, "ActivityCompleted", NULL), 1);
    ck_assert_uint_eq(fixture_count(events, "Claimed", NULL), 1);
    json_decref(events);
    json_decref(row);
    fixture_close(&f);
}
END_TEST

START_TEST(an_unknown_outcome_of_the_store_stops_everything) {
    fixture_open(&f, "unknown");
    sh_auto(sh_free_p) char *id =
        fixture_submit(&f, "(module\nstart sleep {\"ms\":20}\nwait any\n", NULL);
    sh_twin_fail_next(sh_twin_named("unknown"), SH_E_IO, true);
    while (!f.fatal) {
        fixture_run_ms(&f, 2);
    }
    fixture_stop_engine(&f);
    fixture_start_engine(&f);
    json_decref(fixture_wait(&f, id));
    fixture_close(&f);
}
END_TEST

static Suite *suite(void) {
    Suite *s = suite_create("engine_crash");
    TCase *sweep = tcase_create("sweep"), *rest = tcase_create("rest");

    tcase_set_timeout(sweep, 120);
    tcase_add_loop_test(sweep, power_loss_at_every_commit_changes_nothing, 0, (int)N_PROGRAMS * 3);
    suite_add_tcase(s, sweep);
    tcase_set_timeout(rest, SH_TEST_SECONDS);
    tcase_add_test(rest, a_guest_that_differs_from_its_journal_is_stopped);
    tcase_add_test(rest, a_timer_keeps_its_due_time_and_a_pause_its_rest);
    tcase_add_test(rest, a_long_sleep_goes_on_after_a_crash_instead_of_beginning_again);
    tcase_add_test(rest, at_most_once_is_not_called_again_after_a_crash);
    tcase_add_test(rest, a_workflow_that_the_host_failed_is_tried_again);
    tcase_add_test(rest, an_unknown_outcome_of_the_store_stops_everything);
    suite_add_tcase(s, rest);
    return s;
}
SH_TEST_MAIN(suite)
