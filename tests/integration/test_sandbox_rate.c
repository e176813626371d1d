/* Host calls per second: who makes too many is slowed, and nothing else about it changes. */
#include "integration/sandbox_rig.h"

#include <time.h>

/* A run of calls.wat under this rate; its fuel. Waits are counted, and slept if asked for. */
static uint64_t run(uint64_t per_s, bool sleeping, unsigned *ret_waits) {
    struct sh_sandbox_config c = {.worker = "/proc/self/exe", .host_calls_per_s = per_s};
    struct sh_err err = {0};
    struct rig r = {0};
    uint64_t fuel;

    sh_buf_init(&r.log, SH_MIB);
    sh_buf_init(&r.result, SH_MIB);
    sh_assert_ok(sh_sandbox_new(&c, &r.sandbox, &err), &err);
    rig_module(&r, "calls.wat");
    rig_agent(&r);
    *ret_waits = 0;
    for (;;) {
        enum sh_agent_status s = rig_run(&r);
        const struct sh_agent_wait *w = sh_agent_wait(r.agent);

        if (s == SH_AGENT_FINISHED) {
            break;
        }
        ck_assert_int_eq(s, SH_AGENT_WAITING);
        ck_assert_int_eq(w->kind, SH_WAIT_RATE);
        ck_assert_uint_ge(w->delay_ns, 1000000);
        ++*ret_waits;
        if (sleeping) {
            struct timespec t = {.tv_sec = (time_t)(w->delay_ns / 1000000000),
                                 .tv_nsec = (long)(w->delay_ns % 1000000000)};
            nanosleep(&t, NULL);
        }
    }
    ck_assert_int_eq(sh_agent_end(r.agent)->code, SH_OK);
    fuel = sh_agent_counters(r.agent).fuel_used;
    rig_done(&r);
    return fuel;
}

START_TEST(slowing_changes_neither_fuel_nor_outcome) {
    unsigned waits;
    uint64_t fuel = run(4000000000ULL, false, &waits);

    ck_assert_uint_eq(waits, 0);
    ck_assert_uint_eq(run(10000, false, &waits), fuel);
    ck_assert_uint_gt(waits, 10);
}
END_TEST

START_TEST(a_second_of_calls_is_free_and_the_rest_takes_its_time) {
    unsigned waits;
    uint64_t began = sh_mono_ns();

    (void)run(100000, true, &waits); /* 200,000 calls: one second is in the bucket, one is not */
    ck_assert_uint_gt(waits, 0);
    ck_assert_uint_gt(sh_mono_ns() - began, 900000000ULL);
}
END_TEST

START_TEST(calls_within_the_rate_are_not_slowed) {
    unsigned waits;

    (void)run(200000, false, &waits); /* all fit into the bucket */
    ck_assert_uint_eq(waits, 0);
}
END_TEST

static Suite *suite(void) {
    const TTest *const tests[] = {slowing_changes_neither_fuel_nor_outcome,
                                  a_second_of_calls_is_free_and_the_rest_takes_its_time,
                                  calls_within_the_rate_are_not_slowed, NULL};

    return sh_suite("sandbox_rate", tests);
}
RIG_MAIN(suite)
