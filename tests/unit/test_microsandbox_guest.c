/* The guest's side: what is revealed when, clock, randomness, effects, limits. No Wasmtime. */
#include "lib/check_main.h"
#include "microsandbox/guest.h"

static struct sh_agent_config config;
static struct sh_capabilities caps;
static struct sh_guest guest;

static void setup(void) {
    memset(&config, 0, sizeof(config));
    memset(&caps, 0, sizeof(caps));
    config.caps = &caps;
    config.start_us = 1000;
    config.observe = true;
    sh_guest_init(&guest, &config);
}

static void teardown(void) {
    sh_guest_done(&guest);
}

static void restart(void) {
    sh_guest_done(&guest);
    sh_guest_init(&guest, &config);
}

static void complete(uint64_t number, uint64_t seq, int64_t time_us, const char *json) {
    struct sh_tape_item item = {.kind = SH_TAPE_COMPLETION,
                                .seq = seq,
                                .time_us = time_us,
                                .number = number,
                                .bytes = sh_str(json)};

    sh_guest_push(&guest, &item);
}

static void cancel(uint64_t seq) {
    sh_guest_push(&guest, &(struct sh_tape_item){.kind = SH_TAPE_CANCEL, .seq = seq, .time_us = 5});
}

static void observed(uint64_t number, const char *kind, const char *bytes) {
    struct sh_tape_item item = {.kind = SH_TAPE_OBSERVED,
                                .seq = number + 1,
                                .number = number,
                                .what = sh_str(kind),
                                .bytes = sh_str(bytes)};

    sh_guest_push(&guest, &item);
}

static int start(void) {
    return sh_guest_start(&guest, SH_STR("llm"), SH_STR("{}"));
}

START_TEST(memory_is_checked_at_its_edges) {
    uint8_t bytes[16];
    struct sh_mem m = {bytes, sizeof(bytes)}, none = {NULL, 0};

    ck_assert_ptr_eq(sh_mem_at(&m, 0, 16), bytes);
    ck_assert_ptr_eq(sh_mem_at(&m, 15, 1), bytes + 15);
    ck_assert_ptr_nonnull(sh_mem_at(&m, 16, 0));
    ck_assert_ptr_null(sh_mem_at(&m, 16, 1));
    ck_assert_ptr_null(sh_mem_at(&m, 17, 0));
    ck_assert_ptr_null(sh_mem_at(&m, 1, UINT64_MAX));
    ck_assert_ptr_null(sh_mem_at(&m, UINT64_MAX, 2));
    ck_assert_ptr_nonnull(sh_mem_at(&none, 0, 0));
    ck_assert_ptr_null(sh_mem_at(&none, 0, 1));
}
END_TEST

START_TEST(wait_returns_the_earliest_completion_of_those_asked_for) {
    int32_t all[3] = {1, 2, 3}, two[2] = {1, 3};
    struct sh_str s;

    ck_assert_int_eq(start(), 1);
    ck_assert_int_eq(start(), 2);
    ck_assert_int_eq(start(), 3);
    ck_assert_int_eq(sh_guest_wait(&guest, all, 3), SH_CALL_PENDING);
    ck_assert_int_eq(guest.wait.kind, SH_WAIT_ACTIVITY);
    ck_assert_uint_eq(guest.wait.n_handles, 3);
    complete(3, 12, 2000, "c");
    complete(2, 11, 1500, "b");
    ck_assert_int_eq(sh_guest_result(&guest, 2, &s), -SH_ERRNO_AGAIN);
    ck_assert_int_eq(sh_guest_wait(&guest, two, 2), 3);
    ck_assert_int_eq(sh_guest_wait(&guest, all, 3), 2);
    ck_assert_int_eq(sh_guest_result(&guest, 2, &s), 0);
    sh_assert_str(s, "b");
    ck_assert_int_eq(sh_guest_drop(&guest, 2), 0);
    ck_assert_int_eq(sh_guest_result(&guest, 2, &s), -SH_ERRNO_BADF);
    ck_assert_int_eq(sh_guest_drop(&guest, 2), -SH_ERRNO_BADF);
    ck_assert_int_eq(sh_guest_wait(&guest, all, 3), -SH_ERRNO_INVAL);
    ck_assert_int_eq(sh_guest_wait(&guest, two, 2), 3);
    ck_assert_int_eq(sh_guest_wait(&guest, all, 0), -SH_ERRNO_INVAL);
}
END_TEST

START_TEST(completions_may_be_pushed_before_their_activity_starts) {
    int32_t h[2] = {1, 2};

    complete(2, 4, 10, "second");
    complete(1, 6, 20, "first");
    complete(2, 9, 30, "again");    /* the first of the journal stands */
    complete(0, 1, 1, "no handle"); /* and nonsense changes nothing */
    complete(UINT64_MAX, 1, 1, "no handle");
    ck_assert_int_eq(start(), 1);
    ck_assert_int_eq(start(), 2);
    ck_assert_int_eq(sh_guest_wait(&guest, h, 2), 2);
    ck_assert_int_eq(sh_guest_drop(&guest, 2), 0);
    complete(2, 11, 40, "dropped");
    ck_assert_int_eq(sh_guest_wait(&guest, h, 1), 1);
}
END_TEST

START_TEST(cancel_is_revealed_once_and_only_before_later_completions) {
    int32_t h[1] = {1}, second[1] = {2};

    (void)start();
    (void)start();
    complete(1, 5, 10, "a");
    cancel(7);
    cancel(8);
    complete(2, 9, 10, "b");
    ck_assert_int_eq(sh_guest_wait(&guest, h, 1), 1);
    ck_assert_int_eq(sh_guest_wait(&guest, second, 1), -SH_ERRNO_CANCELED);
    ck_assert_int_eq(sh_guest_wait(&guest, second, 1), 2);
    cancel(10);
    ck_assert_uint_eq(guest.cancel_seq, 0);
}
END_TEST

START_TEST(starting_is_limited_by_handles_activities_and_sizes) {
    int32_t all[SH_PARALLEL_ACTIVITIES_MAX + 1];
    size_t n = SH_ACTIVITY_ARGS_MAX + 1;
    char *large = sh_alloc(n);

    memset(large, 'x', n);
    ck_assert_int_eq(sh_guest_start(&guest, SH_STR("llm"), sh_strn(large, n)), -SH_ERRNO_INVAL);
    ck_assert_int_eq(sh_guest_start(&guest, SH_STR("llm"), sh_strn(large, n - 1)), 1);
    ck_assert_int_eq(start(), SH_CALL_PENDING); /* one large effect is all that fits */
    ck_assert_int_eq(guest.wait.kind, SH_WAIT_ROOM);
    sh_guest_effects_taken(&guest);
    ck_assert_uint_eq(guest.effect_bytes.cap, 0);
    ck_assert_int_eq(sh_guest_start(&guest, SH_STR("\xff"), SH_STR("{}")), -SH_ERRNO_INVAL);
    memset(large, 'x', 257);
    ck_assert_int_eq(sh_guest_start(&guest, sh_strn(large, 257), SH_STR("{}")), -SH_ERRNO_INVAL);
    ck_assert_int_eq(sh_guest_start(&guest, sh_strn(large, 256), SH_STR("{}")), 2);
    for (int i = 3; i <= SH_PARALLEL_ACTIVITIES_MAX; i++) {
        ck_assert_int_eq(start(), i);
    }
    ck_assert_int_eq(start(), -SH_ERRNO_MFILE);
    for (int i = 0; i <= SH_PARALLEL_ACTIVITIES_MAX; i++) {
        all[i] = i < SH_PARALLEL_ACTIVITIES_MAX ? i + 1 : 1;
    }
    ck_assert_int_eq(sh_guest_wait(&guest, all, SH_PARALLEL_ACTIVITIES_MAX + 1), -SH_ERRNO_INVAL);
    ck_assert_int_eq(sh_guest_wait(&guest, all, SH_PARALLEL_ACTIVITIES_MAX), SH_CALL_PENDING);
    ck_assert_int_eq(sh_guest_drop(&guest, 7), 0);
    ck_assert_int_eq(start(), SH_PARALLEL_ACTIVITIES_MAX + 1);
    sh_free(large);

    caps.limits.activities = 2;
    restart();
    ck_assert_int_eq(start(), 1);
    ck_assert_int_eq(start(), 2);
    ck_assert_int_eq(start(), SH_CALL_END);
    ck_assert_int_eq(guest.end.code, SH_E_ACTIVITIES);
    ck_assert_uint_eq(guest.ordinal, 2);
}
END_TEST

START_TEST(clock_moves_by_a_microsecond_and_jumps_to_what_is_revealed) {
    int32_t h[1] = {1};

    ck_assert_int_eq(sh_guest_clock_ns(&guest), 1001000);
    ck_assert_int_eq(sh_guest_clock_ns(&guest), 1002000);
    (void)start();
    complete(1, 3, 5000, "x");
    ck_assert_int_eq(sh_guest_clock_ns(&guest), 1003000); /* arrived, but not revealed */
    (void)sh_guest_wait(&guest, h, 1);
    ck_assert_int_eq(sh_guest_clock_ns(&guest), 5001000);
    sh_guest_clock_reveal(&guest, 10); /* never backwards */
    ck_assert_int_eq(sh_guest_clock_ns(&guest), 5002000);
    sh_guest_clock_advance(&guest, 1000000);
    ck_assert_int_eq(sh_guest_clock_ns(&guest), 6003000);
    sh_guest_clock_advance(&guest, UINT64_MAX);
    ck_assert_int_eq(sh_guest_clock_ns(&guest), INT64_MAX);
    sh_guest_clock_reveal(&guest, INT64_MAX);
    ck_assert_int_eq(sh_guest_clock_ns(&guest), INT64_MAX);
}
END_TEST

START_TEST(randomness_depends_on_seed_and_position_alone) {
    uint8_t whole[100], parts[100];

    config.seed[0] = 7;
    sh_guest_random(&guest, whole, 100);
    ck_assert_uint_eq(guest.random_pos, 100);
    restart();
    sh_guest_random(&guest, parts, 33);
    sh_guest_random(&guest, parts + 33, 67);
    ck_assert_mem_eq(whole, parts, 100);
    config.random_pos = 33; /* from a checkpoint */
    restart();
    sh_guest_random(&guest, parts, 67);
    ck_assert_mem_eq(whole + 33, parts, 67);
}
END_TEST

START_TEST(output_is_charged_folded_and_ends_at_its_limit) {
    caps.limits.output_bytes = 10;
    restart();
    ck_assert_int_eq(sh_guest_output(&guest, 1, SH_STR("abc")), 0);
    ck_assert_int_eq(sh_guest_output(&guest, 1, SH_STR("def")), 0);
    ck_assert_int_eq(sh_guest_output(&guest, 2, SH_STR("!")), 0);
    ck_assert_int_eq(sh_guest_output(&guest, 2, SH_STR("")), 0);
    ck_assert_uint_eq(guest.n_effects, 2);
    sh_assert_str(guest.effects[0].b, "abcdef");
    ck_assert_int_eq(sh_guest_output(&guest, 1, SH_STR("ghi")), 0); /* ten: exactly the limit */
    ck_assert_int_eq(sh_guest_output(&guest, 1, SH_STR("")), 0);
    ck_assert_uint_eq(guest.effects[2].number, 6);
    ck_assert_int_eq(sh_guest_output(&guest, 1, SH_STR("j")), SH_CALL_END);
    ck_assert_int_eq(guest.end.code, SH_E_OUTPUT);
    ck_assert_uint_eq(guest.n_effects, 3);
    restart();
    ck_assert_int_eq(sh_guest_output(&guest, 1, SH_STR("0123456789abc")), SH_CALL_END);
    sh_assert_str(guest.effects[0].b, "0123456789"); /* what still fits is kept */
}
END_TEST

START_TEST(effects_stay_whole_when_their_buffer_moves) {
    char text[300];

    for (int i = 0; i < 500; i++) {
        memset(text, 'a' + i % 26, sizeof(text));
        sh_guest_effect(&guest, SH_EFFECT_EMIT, 0, (uint64_t)i, SH_STR("name"),
                        sh_strn(text, (size_t)(i % 300)));
    }
    for (int i = 0; i < 500; i++) {
        const struct sh_effect *e = &guest.effects[i];

        sh_assert_str(e->a, "name");
        ck_assert_uint_eq(e->b.len, (size_t)(i % 300));
        for (size_t k = 0; k < e->b.len; k++) {
            ck_assert_int_eq(e->b.p[k], 'a' + i % 26);
        }
    }
}
END_TEST

START_TEST(room_ends_at_the_number_and_the_bytes_of_effects) {
    char *half = sh_zalloc(SH_EFFECTS_BYTES_MAX / 2);

    for (int i = 0; i < SH_EFFECTS_MAX; i++) {
        ck_assert(sh_guest_room(&guest, 0));
        sh_guest_effect(&guest, SH_EFFECT_EMIT, 0, 0, SH_STR(""), SH_STR(""));
    }
    ck_assert(!sh_guest_room(&guest, 0));
    sh_guest_effects_taken(&guest);
    sh_guest_effect(&guest, SH_EFFECT_EMIT, 0, 0, SH_STR(""),
                    sh_strn(half, SH_EFFECTS_BYTES_MAX / 2));
    ck_assert(sh_guest_room(&guest, SH_EFFECTS_BYTES_MAX / 2));
    ck_assert(!sh_guest_room(&guest, SH_EFFECTS_BYTES_MAX / 2 + 1));
    ck_assert_int_eq(guest.wait.kind, SH_WAIT_ROOM);
    for (int i = 0; i < 3 * SH_EFFECTS_MAX && !guest.ended; i++) { /* a caller that does not ask */
        sh_guest_effect(&guest, SH_EFFECT_EMIT, 0, 0, SH_STR(""), SH_STR(""));
    }
    ck_assert_int_eq(guest.end.code, SH_E_LIMIT);
    sh_free(half);
}
END_TEST

START_TEST(recall_gives_observations_by_call_number) {
    struct sh_str s;

    config.call_number = 3;
    restart();
    observed(2, "stat", "before the checkpoint");
    observed(5, "stat", "later");
    observed(3, "read", "three");
    ck_assert_int_eq(sh_guest_recall(&guest, "read", &s), 1);
    sh_assert_str(s, "three");
    ck_assert_int_eq(sh_guest_recall(&guest, "read", &s), 0);
    ck_assert_int_eq(sh_guest_recall(&guest, "read", &s), 0); /* asking again counts nothing */
    ck_assert_uint_eq(guest.call_number, 4);
    sh_guest_observed(&guest, "read", SH_STR("four"));
    ck_assert_uint_eq(guest.effects[0].number, 4);
    sh_assert_str(guest.effects[0].a, "read");
    ck_assert_int_eq(sh_guest_recall(&guest, "open", &s), -1);
    ck_assert_int_eq(guest.end.code, SH_E_NONDETERMINISM);
    ck_assert_ptr_nonnull(strstr(guest.end.message, "\"stat\""));
}
END_TEST

START_TEST(verify_ends_at_an_observation_that_is_not_on_the_tape) {
    struct sh_str s;

    config.verify = true;
    restart();
    ck_assert_int_eq(sh_guest_recall(&guest, "stdin", &s), 0);
    ck_assert_int_eq(sh_guest_recall(&guest, "stat", &s), -1);
    ck_assert_int_eq(guest.end.code, SH_E_NONDETERMINISM);
    ck_assert_int_eq(sh_guest_end(&guest, SH_E_TRAP, "later"), SH_CALL_END);
    ck_assert_int_eq(guest.end.code, SH_E_NONDETERMINISM); /* the first end stays */
}
END_TEST

START_TEST(a_journal_that_was_cut_off_is_waited_for_and_nothing_is_looked_at) {
    struct sh_str s;

    config.verify = config.cut = true;
    restart();
    for (int i = 0; i < 2; i++) { /* however often it is asked */
        ck_assert_int_eq(sh_guest_recall(&guest, "stat", &s), SH_CALL_PENDING);
        ck_assert_int_eq(guest.wait.kind, SH_WAIT_JOURNAL);
        ck_assert(!guest.ended);
    }
    ck_assert_int_eq(sh_guest_recall(&guest, "stdin", &s), 0);
    config.cut = false;
}
END_TEST

static Suite *suite(void) {
    const TTest *const tests[] = {
        memory_is_checked_at_its_edges,
        wait_returns_the_earliest_completion_of_those_asked_for,
        completions_may_be_pushed_before_their_activity_starts,
        cancel_is_revealed_once_and_only_before_later_completions,
        starting_is_limited_by_handles_activities_and_sizes,
        clock_moves_by_a_microsecond_and_jumps_to_what_is_revealed,
        randomness_depends_on_seed_and_position_alone,
        output_is_charged_folded_and_ends_at_its_limit,
        effects_stay_whole_when_their_buffer_moves,
        room_ends_at_the_number_and_the_bytes_of_effects,
        recall_gives_observations_by_call_number,
        verify_ends_at_an_observation_that_is_not_on_the_tape,
        a_journal_that_was_cut_off_is_waited_for_and_nothing_is_looked_at,
    };
    Suite *s = suite_create("microsandbox_guest");
    TCase *c = tcase_create("guest");

    tcase_add_checked_fixture(c, setup, teardown);
    tcase_set_timeout(c, SH_TEST_SECONDS);
    for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
        tcase_add_test(c, tests[i]);
    }
    suite_add_tcase(s, c);
    return s;
}

SH_TEST_MAIN(suite)
