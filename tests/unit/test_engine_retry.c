/* When a failed attempt is made again, and when an attempt that shows no sign of life is one. */
#include "lib/check_main.h"
#include "lib/engine_fixture.h"
#include "lib/fake_tools.c"

#include "engine/retry.h"

static struct fixture f;

static struct sh_retry parsed(const char *text) {
    json_t *options = NULL;
    struct sh_err err = {0};
    struct sh_retry r;

    sh_retry_init(&r);
    sh_assert_ok(sh_json_parse(sh_str(text), 4096, &options, &err), &err);
    sh_assert_ok(sh_retry_parse(options, &r, &err), &err);
    json_decref(options);
    return r;
}

START_TEST(waits_grow_by_the_factor_up_to_the_most) {
    static const uint8_t seed[32] = {1};
    struct sh_retry r =
        parsed("{\"backoff_ms\":100,\"factor\":3,\"jitter\":0,\"backoff_max_ms\":1000}");

    ck_assert_uint_eq(sh_retry_wait_ms(&r, seed, 0, 1), 100);
    ck_assert_uint_eq(sh_retry_wait_ms(&r, seed, 0, 2), 300);
    ck_assert_uint_eq(sh_retry_wait_ms(&r, seed, 0, 3), 900);
    ck_assert_uint_eq(sh_retry_wait_ms(&r, seed, 0, 4), 1000);
    ck_assert_uint_eq(sh_retry_wait_ms(&r, seed, 0, 99), 1000);
    sh_retry_done(&r);
}
END_TEST

START_TEST(chance_is_the_workflows_own_and_the_same_every_time) {
    static const uint8_t seed[32] = {1}, other[32] = {2};
    struct sh_retry r =
        parsed("{\"backoff_ms\":1000000,\"jitter\":0.5,\"backoff_max_ms\":1000000}");
    uint64_t wait = sh_retry_wait_ms(&r, seed, 7, 1);
    size_t different = 0;

    ck_assert_uint_eq(sh_retry_wait_ms(&r, seed, 7, 1), wait);
    different += sh_retry_wait_ms(&r, other, 7, 1) != wait;
    different += sh_retry_wait_ms(&r, seed, 8, 1) != wait;
    different += sh_retry_wait_ms(&r, seed, 7, 2) != wait;
    ck_assert_uint_eq(different, 3);
    for (uint64_t i = 0; i < 1000; i++) {
        wait = sh_retry_wait_ms(&r, seed, i, 1);
        ck_assert_uint_gt(wait, 499999);
        ck_assert_uint_le(wait, 1000000);
    }
    sh_retry_done(&r);
}
END_TEST

START_TEST(a_policy_that_makes_no_sense_is_refused_by_its_member) {
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"[]", "expected an object"},
        {"{\"attempts\":101}", "attempts: expected a whole number of 1..100, got 101"},
        {"{\"attempts\":\"3\"}", "attempts"},
        {"{\"backoff_ms\":-1}", "backoff_ms"},
        {"{\"backoff_max_ms\":86400001}", "backoff_max_ms"},
        {"{\"factor\":0.5}", "factor: expected a number of 1..100, got 0.5"},
        {"{\"jitter\":1.5}", "jitter"},
        {"{\"no_retry\":\"timeout\"}", "no_retry: expected a list"},
        {"{\"no_retry\":[\"timeout\",\"time_out\"]}", "no_retry[1]: there is no error code"},
        {"{\"atempts\":1}", "attempts"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        json_t *options = json_loads(cases[i].text, JSON_DECODE_ANY, NULL);
        struct sh_err err = {0};
        struct sh_retry r;
        sh_retry_init(&r);
        ck_assert_int_eq(sh_retry_parse(options, &r, &err), -SH_E_INVAL);
        ck_assert_msg(strstr(err.message, cases[i].says), "%s: %s", cases[i].text, err.message);
        sh_retry_done(&r);
        json_decref(options);
    }
}
END_TEST

static json_t *run_one(const char *program) {
    sh_auto(sh_free_p) char *id = fixture_submit(&f, program, NULL);
    json_t *row, *v, *events;

    ck_assert_msg(id != NULL, "%s", fixture_error.message);
    row = fixture_wait(&f, id);
    v = fixture_verify(&f, id);
    events = fixture_events(&f, id);
    ck_assert(sh_json_get_bool(v, "ok", false));
    json_decref(v);
    json_decref(row);
    return events;
}

static const char *code_of(json_t *body) {
    return json_string_value(json_object_get(json_object_get(body, "error"), "code"));
}

START_TEST(an_error_of_the_list_is_not_tried_again) {
    json_t *events, *body = NULL;

    fixture_open(&f, "list");
    fake_llm.failures = 9;
    fake_llm.retryable = true;
    events =
        run_one("(module\nstart llm {\"retry\":{\"no_retry\":[\"upstream_error\"]}}\nwait any\n");
    ck_assert_uint_eq(fixture_count(events, "ActivityRetried", NULL), 0);
    ck_assert_uint_eq(fixture_count(events, "ActivityFailed", &body), 1);
    ck_assert_str_eq(code_of(body), "upstream_error");
    json_decref(events);
    fixture_close(&f);
}
END_TEST

START_TEST(the_time_of_the_next_attempt_survives_a_crash) {
    json_t *events, *ev, *retried = NULL;
    int64_t next_us, ended_us = 0;
    size_t i;

    fixture_open(&f, "next");
    fake_llm.failures = 1;
    fake_llm.retryable = true;
    sh_auto(sh_free_p) char *id = fixture_submit(
        &f, "(module\nstart llm {\"retry\":{\"backoff_ms\":700,\"jitter\":0}}\nwait any\n", NULL);
    fixture_await(&f, id, "ActivityRetried", 1);
    fixture_crash(&f, SH_TWIN_LOSE_ALL);
    json_decref(fixture_wait(&f, id));
    events = fixture_events(&f, id);
    ck_assert_uint_eq(fixture_count(events, "ActivityRetried", &retried), 1);
    next_us = sh_json_get_int(retried, "next_at_us", 0);
    json_array_foreach(events, i, ev) {
        if (sh_str_eqz(sh_json_get_str(ev, "type"), "ActivityCompleted")) {
            ended_us = sh_json_get_int(ev, "time_us", 0);
        }
    }
    ck_assert_int_ge(ended_us, next_us);
    ck_assert_uint_eq(fake_llm.n_keys, 2); /* the attempt before the crash, and one after it */
    json_decref(events);
    fixture_close(&f);
}
END_TEST

START_TEST(an_attempt_without_a_sign_of_life_fails_and_is_tried_again) {
    json_t *events, *body = NULL;

    fixture_open(&f, "silent");
    events = run_one("(module\nstart llm {\"delay_ms\":15000,\"heartbeat_timeout_ms\":30,"
                     "\"retry\":{\"attempts\":2,\"backoff_ms\":1}}\nwait any\n");
    ck_assert_uint_eq(fixture_count(events, "ActivityRetried", &body), 1);
    ck_assert_str_eq(code_of(body), "timeout");
    ck_assert_uint_eq(fixture_count(events, "ActivityFailed", &body), 1);
    ck_assert_str_eq(code_of(body), "timeout");
    ck_assert_uint_eq(fake_llm.canceled, 2);
    json_decref(events);
    fixture_close(&f);
}
END_TEST

START_TEST(signs_of_life_keep_a_long_attempt_alive) {
    json_t *events;

    fixture_open(&f, "alive");
    events = run_one("(module\nstart llm {\"delay_ms\":3000,\"beat_ms\":20,"
                     "\"heartbeat_timeout_ms\":2000}\nwait any\n");
    ck_assert_uint_eq(fixture_count(events, "ActivityRetried", NULL), 0);
    ck_assert_uint_eq(fixture_count(events, "ActivityCompleted", NULL), 1);
    json_decref(events);
    fixture_close(&f);
}
END_TEST

START_TEST(what_gives_no_sign_of_life_takes_no_such_limit) {
    json_t *events, *body = NULL;

    fixture_open(&f, "none");
    events = run_one("(module\nstart sleep {\"ms\":1,\"heartbeat_timeout_ms\":5}\nwait any\n");
    ck_assert_uint_eq(fixture_count(events, "ActivityFailed", &body), 1);
    ck_assert_str_eq(code_of(body), "invalid_argument");
    json_decref(events);
    fixture_close(&f);
}
END_TEST

static Suite *suite(void) {
    const TTest *const tests[] = {waits_grow_by_the_factor_up_to_the_most,
                                  chance_is_the_workflows_own_and_the_same_every_time,
                                  a_policy_that_makes_no_sense_is_refused_by_its_member,
                                  an_error_of_the_list_is_not_tried_again,
                                  the_time_of_the_next_attempt_survives_a_crash,
                                  an_attempt_without_a_sign_of_life_fails_and_is_tried_again,
                                  signs_of_life_keep_a_long_attempt_alive,
                                  what_gives_no_sign_of_life_takes_no_such_limit,
                                  NULL};
    return sh_suite("engine_retry", tests);
}
SH_TEST_MAIN(suite)
