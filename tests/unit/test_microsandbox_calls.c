/* Host functions of module "shannon" over plain memory: arguments, edges, refusals. */
#include "lib/check_main.h"
#include "microsandbox/guest_calls.h"

static struct sh_agent_config config;
static struct sh_guest guest;
static uint8_t bytes[128 * 1024];
static struct sh_mem mem = {bytes, sizeof(bytes)};

static void setup(void) {
    memset(&config, 0, sizeof(config));
    memset(bytes, 'x', sizeof(bytes));
    config.input = SH_STR("{\"query\":1}");
    config.state = SH_STR("state");
    sh_guest_init(&guest, &config);
}

static void teardown(void) {
    sh_guest_done(&guest);
}

static int call(const char *name, uint32_t a, uint32_t b, uint32_t c, uint32_t d) {
    uint64_t args[4] = {a, b, c, d};

    for (size_t i = 0; i < sh_guest_functions_n; i++) {
        if (strcmp(sh_guest_functions[i].name, name) == 0) {
            return sh_guest_functions[i].fn(&guest, &mem, args);
        }
    }
    ck_abort_msg("no function %s", name);
    return 0;
}

START_TEST(every_pointer_outside_of_memory_is_a_fault) {
    static const uint32_t bad[][2] = {{sizeof(bytes), 1},
                                      {sizeof(bytes) - 1, 2},
                                      {1, UINT32_MAX},
                                      {UINT32_MAX, 1},
                                      {UINT32_MAX, UINT32_MAX}};

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        uint32_t p = bad[i][0], n = bad[i][1];

        ck_assert_int_eq(call("activity_start", p, n, 0, 2), -SH_ERRNO_FAULT);
        ck_assert_int_eq(call("activity_start", 0, 2, p, n), -SH_ERRNO_FAULT);
        ck_assert_int_eq(call("input_read", p, n, 0, 0), -SH_ERRNO_FAULT);
        ck_assert_int_eq(call("checkpoint_read", p, n, 0, 0), -SH_ERRNO_FAULT);
        ck_assert_int_eq(call("output", p, n, 0, 0), -SH_ERRNO_FAULT);
        ck_assert_int_eq(call("emit", p, n, 0, 2), -SH_ERRNO_FAULT);
        ck_assert_int_eq(call("emit", 0, 2, p, n), -SH_ERRNO_FAULT);
        ck_assert_int_eq(call("publish", p, n, 0, 2), -SH_ERRNO_FAULT);
        ck_assert_int_eq(call("checkpoint", p, n, 0, 0), -SH_ERRNO_FAULT);
    }
    ck_assert_int_eq(call("activity_wait", sizeof(bytes) - 7, 2, 0, 0), -SH_ERRNO_FAULT);
    ck_assert_int_eq(call("activity_wait", 0, SH_PARALLEL_ACTIVITIES_MAX + 1, 0, 0),
                     -SH_ERRNO_INVAL);
    ck_assert_int_eq(call("activity_wait", 0, 0, 0, 0), -SH_ERRNO_INVAL);
    ck_assert_uint_eq(guest.n_effects, 0);
}
END_TEST

START_TEST(reading_copies_what_fits_and_says_how_much) {
    ck_assert_int_eq(call("input_size", 0, 0, 0, 0), 11);
    ck_assert_int_eq(call("input_read", 10, 4, 0, 0), 4);
    ck_assert_mem_eq(bytes + 10, "{\"qux", 5);
    ck_assert_int_eq(call("input_read", 10, 100, 0, 0), 11);
    ck_assert_mem_eq(bytes + 10, "{\"query\":1}x", 12);
    ck_assert_int_eq(call("input_read", sizeof(bytes), 0, 0, 0), 0);
    ck_assert_int_eq(call("checkpoint_size", 0, 0, 0, 0), 5);
    ck_assert_int_eq(call("checkpoint_read", 0, 5, 0, 0), 5);
    ck_assert_mem_eq(bytes, "statex", 6);
}
END_TEST

START_TEST(activities_go_through_their_life) {
    int32_t handle = 1;

    ck_assert_int_eq(call("activity_start", 0, 0, 0, 2), -SH_ERRNO_INVAL);
    ck_assert_int_eq(call("activity_start", 0, 3, 3, 2), 1);
    sh_assert_str(guest.effects[0].a, "xxx");
    ck_assert_int_eq(call("activity_size", 1, 0, 0, 0), -SH_ERRNO_AGAIN);
    ck_assert_int_eq(call("activity_read", 1, 0, 9, 0), -SH_ERRNO_AGAIN);
    ck_assert_int_eq(call("activity_size", 2, 0, 0, 0), -SH_ERRNO_BADF);
    memcpy(bytes + 33, &handle, sizeof(handle)); /* no alignment is asked for */
    ck_assert_int_eq(call("activity_wait", 33, 1, 0, 0), SH_CALL_PENDING);
    for (size_t i = 0; i < SH_PARALLEL_ACTIVITIES_MAX; i++) {
        memcpy(bytes + 4096 + i * sizeof(handle), &handle, sizeof(handle));
    }
    ck_assert_int_eq(call("activity_wait", 4096, SH_PARALLEL_ACTIVITIES_MAX, 0, 0),
                     SH_CALL_PENDING);
    sh_guest_push(&guest, &(struct sh_tape_item){.kind = SH_TAPE_COMPLETION,
                                                 .seq = 2,
                                                 .number = 1,
                                                 .bytes = SH_STR("{\"ok\":1}")});
    ck_assert_int_eq(call("activity_wait", 33, 1, 0, 0), 1);
    ck_assert_int_eq(call("activity_size", 1, 0, 0, 0), 8);
    ck_assert_int_eq(call("activity_read", 1, 100, 8, 0), 8);
    ck_assert_mem_eq(bytes + 100, "{\"ok\":1}x", 9);
    ck_assert_int_eq(call("activity_read", 1, sizeof(bytes), 1, 0), -SH_ERRNO_FAULT);
    ck_assert_int_eq(call("activity_drop", 1, 0, 0, 0), 0);
    ck_assert_int_eq(call("activity_drop", 1, 0, 0, 0), -SH_ERRNO_BADF);
}
END_TEST

START_TEST(output_is_given_once) {
    ck_assert_int_eq(call("output", 0, 0, 0, 0), -SH_ERRNO_INVAL);
    bytes[0] = 0xff;
    ck_assert_int_eq(call("output", 0, 1, 0, 0), -SH_ERRNO_INVAL);
    bytes[0] = '1';
    ck_assert_int_eq(call("output", 0, 1, 0, 0), 0);
    ck_assert_int_eq(call("output", 0, 1, 0, 0), -SH_ERRNO_EXIST);
    ck_assert_uint_eq(guest.n_effects, 1);
    ck_assert_int_eq(guest.effects[0].kind, SH_EFFECT_RESULT);
}
END_TEST

START_TEST(emit_and_publish_are_bounded_and_numbered) {
    ck_assert_int_eq(call("emit", 0, 256, 0, SH_EMIT_MAX - 256), 0);
    ck_assert_int_eq(call("emit", 0, 256, 0, SH_EMIT_MAX - 255), -SH_ERRNO_2BIG);
    ck_assert_int_eq(call("emit", 0, 257, 0, 2), -SH_ERRNO_2BIG);
    ck_assert_int_eq(call("emit", 0, 0, 0, 2), -SH_ERRNO_INVAL);
    ck_assert_int_eq(call("emit", 0, 2, 0, 0), -SH_ERRNO_INVAL);
    ck_assert_int_eq(call("emit", 0, 1, 0, 1), 0);
    ck_assert_int_eq(call("publish", 0, 1, 0, 1), 0);
    ck_assert_uint_eq(guest.effects[1].number, 1);
    ck_assert_uint_eq(guest.effects[2].number, 0);
    ck_assert_int_eq(guest.effects[2].kind, SH_EFFECT_PUBLISH);
}
END_TEST

START_TEST(checkpoint_keeps_the_state_and_never_answers) {
    ck_assert_int_eq(call("activity_start", 0, 3, 3, 2), 1);
    ck_assert_int_eq(call("checkpoint", 0, 4, 0, 0), -SH_ERRNO_BUSY);
    ck_assert_int_eq(call("activity_drop", 1, 0, 0, 0), 0);
    memcpy(bytes, "kept", 4);
    ck_assert_int_eq(call("checkpoint", 0, 4, 0, 0), SH_CALL_PENDING);
    memcpy(bytes, "gone", 4);
    ck_assert_int_eq(call("checkpoint", 0, 4, 0, 0), SH_CALL_PENDING);
    ck_assert(guest.checkpointed);
    sh_assert_str(guest.wait.state, "kept");
}
END_TEST

START_TEST(checkpoint_larger_than_its_limit_is_refused) {
    size_t n = SH_CHECKPOINT_MAX + 1;

    mem.base = sh_zalloc(n);
    mem.len = n;
    ck_assert_int_eq(call("checkpoint", 0, (uint32_t)n, 0, 0), -SH_ERRNO_2BIG);
    ck_assert_int_eq(call("checkpoint", 0, (uint32_t)n - 1, 0, 0), SH_CALL_PENDING);
    ck_assert_uint_eq(guest.wait.state.len, SH_CHECKPOINT_MAX);
    sh_free(mem.base);
}
END_TEST

START_TEST(a_result_given_before_a_checkpoint_is_given) {
    sh_guest_done(&guest);
    config.result_given = true;
    sh_guest_init(&guest, &config);
    ck_assert_int_eq(call("output", 0, 2, 0, 0), -SH_ERRNO_EXIST);
}
END_TEST

static Suite *suite(void) {
    const TTest *const tests[] = {
        every_pointer_outside_of_memory_is_a_fault,
        reading_copies_what_fits_and_says_how_much,
        activities_go_through_their_life,
        output_is_given_once,
        emit_and_publish_are_bounded_and_numbered,
        checkpoint_keeps_the_state_and_never_answers,
        checkpoint_larger_than_its_limit_is_refused,
        a_result_given_before_a_checkpoint_is_given,
    };
    Suite *s = suite_create("microsandbox_calls");
    TCase *c = tcase_create("calls");

    tcase_add_checked_fixture(c, setup, teardown);
    tcase_set_timeout(c, SH_TEST_SECONDS);
    for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
        tcase_add_test(c, tests[i]);
    }
    suite_add_tcase(s, c);
    return s;
}

SH_TEST_MAIN(suite)
