/* Agents in Wasmtime: what they see of activities, what order decides, and that replay repeats. */
#include "integration/sandbox_rig.h"

#include <pthread.h>

START_TEST(activity_result_becomes_output) {
    struct rig r;

    rig_start(&r, "activity.wat", 0);
    ck_assert_int_eq(rig_run(&r), SH_AGENT_WAITING);
    ck_assert_int_eq(sh_agent_wait(r.agent)->kind, SH_WAIT_ACTIVITY);
    ck_assert_uint_eq(sh_agent_wait(r.agent)->n_handles, 1);
    ck_assert_int_eq(sh_agent_wait(r.agent)->handles[0], 1);
    sh_assert_str(sh_buf_str(&r.log), "0/0/0/calculator/{\"expression\":\"6*7\"}\n");
    ck_assert_int_eq(rig_run(&r), SH_AGENT_WAITING); /* polling early changes nothing */
    rig_complete(&r, 1, 3, "{\"ok\":{\"value\":42}}");
    ck_assert_int_eq(rig_run(&r), SH_AGENT_FINISHED);
    sh_assert_str(sh_buf_str(&r.result), "{\"ok\":{\"value\":42}}");
    ck_assert_int_eq(sh_agent_end(r.agent)->code, SH_OK);
    ck_assert_uint_eq(sh_agent_counters(r.agent).ordinal, 1);
    ck_assert_uint_eq(sh_agent_end(r.agent)->peak_memory_bytes, 65536);
    rig_done(&r);
}
END_TEST

static void order(uint64_t first, uint64_t second, bool push_all, const char *want) {
    struct rig r;

    rig_start(&r, "parallel.wat", 0);
    if (push_all) { /* as a replay does: the whole tape before the first step */
        rig_complete(&r, first, 7, "1");
        rig_complete(&r, second, 9, "2");
        ck_assert_int_eq(rig_run(&r), SH_AGENT_FINISHED);
    } else {
        ck_assert_int_eq(rig_run(&r), SH_AGENT_WAITING);
        rig_complete(&r, first, 7, "1");
        ck_assert_int_eq(rig_run(&r), SH_AGENT_WAITING);
        rig_complete(&r, second, 9, "2");
        ck_assert_int_eq(rig_run(&r), SH_AGENT_FINISHED);
    }
    sh_assert_str(sh_buf_str(&r.result), want);
    rig_done(&r);
}

START_TEST(journal_order_decides_what_wait_returns) {
    order(1, 2, false, "\"12\"");
    order(2, 1, false, "\"21\"");
    order(1, 2, true, "\"12\"");
    order(2, 1, true, "\"21\"");
}
END_TEST

START_TEST(cancel_is_revealed_once_in_journal_order) {
    struct rig r;

    rig_start(&r, "parallel.wat", 0);
    rig_complete(&r, 2, 5, "2");
    rig_cancel(&r, 6);
    rig_complete(&r, 1, 8, "1");
    ck_assert_int_eq(rig_run(&r), SH_AGENT_FINISHED);
    sh_assert_str(sh_buf_str(&r.result), "\"2c1\"");
    rig_done(&r);
}
END_TEST

START_TEST(replay_gives_equal_effects_fuel_and_memory) {
    struct sh_hash memory[2];
    struct sh_agent_counters counters[2];
    char *logs[2];

    for (int i = 0; i < 2; i++) {
        struct rig r;

        rig_start(&r, "activity.wat", i ? 500 : 0);
        if (i == 0) {
            ck_assert_int_eq(rig_run(&r), SH_AGENT_WAITING);
        }
        rig_complete(&r, 1, 3, "{\"ok\":1}");
        ck_assert_int_eq(rig_run(&r), SH_AGENT_FINISHED);
        sh_agent_memory_digest(r.agent, &memory[i]);
        counters[i] = sh_agent_counters(r.agent);
        logs[i] = sh_buf_take(&r.log);
        rig_done(&r);
    }
    ck_assert_str_eq(logs[0], logs[1]);
    ck_assert(sh_hash_eq(&memory[0], &memory[1]));
    ck_assert_mem_eq(&counters[0], &counters[1], sizeof(counters[0]));
    sh_free(logs[0]);
    sh_free(logs[1]);
}
END_TEST

START_TEST(fuel_is_equal_in_every_run_and_for_every_slice) {
    static const uint64_t slices[] = {0, 0, 0, 1000, 12345, 1000000};
    uint64_t fuel[6];

    for (size_t i = 0; i < 6; i++) {
        struct rig r;

        rig_start(&r, "busy.wat", slices[i]);
        ck_assert_int_eq(rig_run(&r), SH_AGENT_FINISHED);
        ck_assert_int_eq(sh_agent_end(r.agent)->code, SH_OK);
        fuel[i] = sh_agent_counters(r.agent).fuel_used;
        ck_assert_uint_gt(fuel[i], 10000000);
        ck_assert_uint_eq(fuel[i], fuel[0]);
        rig_done(&r);
    }
}
END_TEST

START_TEST(endless_loop_yields_and_can_be_freed) {
    struct rig r;

    rig_start(&r, "endless.wat", 100000);
    for (int i = 0; i < 20; i++) {
        ck_assert_int_eq(sh_agent_step(r.agent), SH_AGENT_YIELDED);
    }
    rig_done(&r);
}
END_TEST

START_TEST(endless_start_section_yields_too) {
    struct rig r;

    rig_start(&r, "starting.wat", 100000);
    ck_assert_int_eq(sh_agent_step(r.agent), SH_AGENT_YIELDED);
    ck_assert_int_eq(sh_agent_step(r.agent), SH_AGENT_YIELDED);
    rig_done(&r);
}
END_TEST

static void checkpoint_once(const char *state, uint64_t ordinal, const char *want) {
    struct rig r;

    rig_sandbox(&r, 0, 4, NULL);
    rig_module(&r, "checkpoint.wat");
    r.config.state = sh_str(state);
    r.config.ordinal = ordinal;
    r.config.fuel_used = 1000;
    rig_agent(&r);
    ck_assert_int_eq(rig_run(&r), SH_AGENT_CHECKPOINT);
    sh_assert_str(sh_agent_wait(r.agent)->state, want);
    ck_assert_int_eq(sh_agent_step(r.agent), SH_AGENT_CHECKPOINT); /* it never returns */
    ck_assert_uint_eq(sh_agent_counters(r.agent).ordinal, ordinal + 1);
    ck_assert_uint_gt(sh_agent_counters(r.agent).fuel_used, 1000);
    rig_done(&r);
}

START_TEST(checkpoint_suspends_and_its_state_reaches_the_next_start) {
    struct rig r;

    checkpoint_once("", 0, "1");
    checkpoint_once("1", 1, "12");
    rig_sandbox(&r, 0, 4, NULL);
    rig_module(&r, "checkpoint.wat");
    r.config.state = SH_STR("12");
    rig_agent(&r);
    ck_assert_int_eq(rig_run(&r), SH_AGENT_FINISHED);
    sh_assert_str(sh_buf_str(&r.result), "12");
    rig_done(&r);
}
END_TEST

START_TEST(run_workflow_gets_the_input_and_its_result_is_the_output) {
    struct rig r;

    rig_sandbox(&r, 0, 4, NULL);
    rig_module(&r, "workflow.wat");
    r.config.input = SH_STR("{\"query\":\"hello\"}");
    rig_agent(&r);
    ck_assert_int_eq(rig_run(&r), SH_AGENT_FINISHED);
    ck_assert_int_eq(sh_agent_end(r.agent)->code, SH_OK);
    sh_assert_str(sh_buf_str(&r.result), "{\"query\":\"hello\"}");
    rig_done(&r);
}
END_TEST

START_TEST(input_that_alloc_has_no_room_for_ends_the_agent) {
    struct rig r;
    char *input = sh_alloc(70000);

    memset(input, '1', 70000);
    rig_sandbox(&r, 0, 4, NULL);
    rig_module(&r, "workflow.wat");
    r.config.input = sh_strn(input, 70000);
    rig_agent(&r);
    ck_assert_int_eq(rig_run(&r), SH_AGENT_FINISHED);
    ck_assert_int_eq(sh_agent_end(r.agent)->code, SH_E_TRAP);
    ck_assert_ptr_nonnull(strstr(sh_agent_end(r.agent)->message, "alloc(70000)"));
    rig_done(&r);
    sh_free(input);
}
END_TEST

START_TEST(full_effects_make_the_agent_hand_over) {
    struct rig r;
    size_t n;

    rig_start(&r, "talkative.wat", 0);
    while (sh_agent_step(r.agent) == SH_AGENT_YIELDED) {
    }
    ck_assert_int_eq(sh_agent_wait(r.agent)->kind, SH_WAIT_ROOM);
    (void)sh_agent_effects(r.agent, &n);
    ck_assert_uint_eq(n, SH_EFFECTS_MAX);
    ck_assert_int_eq(rig_run(&r), SH_AGENT_FINISHED);
    ck_assert_uint_eq(r.n_effects, 2000);
    ck_assert_uint_eq(sh_agent_counters(r.agent).emitted, 2000);
    rig_done(&r);
}
END_TEST

static size_t resident_kib(void) {
    FILE *f = fopen("/proc/self/statm", "r");
    unsigned long size = 0, resident = 0;

    ck_assert_int_eq(fscanf(f, "%lu %lu", &size, &resident), 2);
    (void)fclose(f);
    return resident * 4;
}

START_TEST(thousand_sleeping_agents_stay_small) {
    struct sh_agent *agents[1000];
    struct rig r;
    size_t before, after;

    rig_sandbox(&r, 0, 1100, NULL);
    rig_module(&r, "activity.wat");
    rig_agent(&r);
    ck_assert_int_eq(sh_agent_step(r.agent), SH_AGENT_WAITING);
    before = resident_kib();
    for (size_t i = 0; i < 1000; i++) {
        struct sh_err err = {0};

        sh_assert_ok(sh_agent_new(r.sandbox, &r.config, &agents[i], &err), &err);
        ck_assert_int_eq(sh_agent_step(agents[i]), SH_AGENT_WAITING);
        sh_agent_effects_taken(agents[i]);
    }
    after = resident_kib();
    for (size_t i = 0; i < 1000; i++) {
        agents[i] = sh_agent_free(agents[i]);
    }
    ck_assert_msg(after - before < 40 * 1000, "%zu KiB for 1000 agents", after - before);
    rig_done(&r);
}
END_TEST

START_TEST(agents_can_be_freed_in_every_state_and_their_slots_come_back) {
    struct rig r;
    struct sh_agent *a;
    struct sh_err err = {0};

    rig_sandbox(&r, 10000, 2, NULL);
    rig_module(&r, "activity.wat");
    rig_agent(&r);
    for (int i = 0; i < 300; i++) {
        sh_assert_ok(sh_agent_new(r.sandbox, &r.config, &a, &err), &err);
        if (i % 3 > 0) {
            ck_assert_int_eq(sh_agent_step(a), SH_AGENT_WAITING);
        }
        if (i % 3 > 1) {
            sh_agent_push(
                a, &(struct sh_tape_item){.kind = SH_TAPE_COMPLETION, .seq = 1, .number = 1});
            (void)sh_agent_step(a);
        }
        a = sh_agent_free(a);
    }
    sh_assert_ok(sh_agent_new(r.sandbox, &r.config, &a, &err), &err);
    {
        struct sh_agent *third = NULL;

        sh_assert_fails(sh_agent_new(r.sandbox, &r.config, &third, &err), SH_E_UNAVAILABLE, &err);
    }
    a = sh_agent_free(a);
    rig_done(&r);
}
END_TEST

static void *step_elsewhere(void *agent) {
    return (void *)(uintptr_t)sh_agent_step(agent);
}

START_TEST(agent_may_be_stepped_by_another_thread_each_time) {
    struct rig r;
    void *status = NULL;
    unsigned steps = 0;

    rig_start(&r, "busy.wat", 1000000);
    do {
        pthread_t thread;

        ck_assert_int_eq(pthread_create(&thread, NULL, step_elsewhere, r.agent), 0);
        ck_assert_int_eq(pthread_join(thread, &status), 0);
        steps++;
    } while ((uintptr_t)status == SH_AGENT_YIELDED);
    ck_assert_uint_eq((uintptr_t)status, SH_AGENT_FINISHED);
    ck_assert_uint_gt(steps, 10);
    ck_assert_int_eq(sh_agent_end(r.agent)->code, SH_OK);
    rig_done(&r);
}
END_TEST

static Suite *suite(void) {
    const TTest *const tests[] = {
        activity_result_becomes_output,
        journal_order_decides_what_wait_returns,
        cancel_is_revealed_once_in_journal_order,
        replay_gives_equal_effects_fuel_and_memory,
        fuel_is_equal_in_every_run_and_for_every_slice,
        endless_loop_yields_and_can_be_freed,
        endless_start_section_yields_too,
        checkpoint_suspends_and_its_state_reaches_the_next_start,
        run_workflow_gets_the_input_and_its_result_is_the_output,
        input_that_alloc_has_no_room_for_ends_the_agent,
        full_effects_make_the_agent_hand_over,
        agent_may_be_stepped_by_another_thread_each_time,
        thousand_sleeping_agents_stay_small,
        agents_can_be_freed_in_every_state_and_their_slots_come_back,
        NULL,
    };

    return sh_suite("sandbox_agent", tests);
}

RIG_MAIN(suite)
