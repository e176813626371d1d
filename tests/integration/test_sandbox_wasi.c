/* WASI through Wasmtime: output, time, sleeping, the exit status. */
#include "integration/sandbox_rig.h"

START_TEST(command_writes_sleeps_and_exits_with_its_status) {
    struct rig r;
    uint64_t fuel;

    rig_start(&r, "greet.wat", 0);
    ck_assert_int_eq(rig_run(&r), SH_AGENT_WAITING);
    sh_assert_str(sh_buf_str(&r.log), "1/1/0//hello\n\n1/2/0//oops\n\n");
    ck_assert_int_eq(sh_agent_wait(r.agent)->kind, SH_WAIT_SLEEP);
    ck_assert_uint_eq(sh_agent_wait(r.agent)->delay_ns, 2000000000);
    ck_assert_int_eq(rig_run(&r), SH_AGENT_WAITING); /* not yet */
    sh_agent_wake(r.agent);
    ck_assert_int_eq(rig_run(&r), SH_AGENT_FINISHED);
    ck_assert_int_eq(sh_agent_end(r.agent)->code, SH_E_EXIT);
    ck_assert_int_eq(sh_agent_end(r.agent)->exit_status, 7);
    ck_assert_uint_eq(sh_agent_counters(r.agent).output_offset[0], 6);
    fuel = sh_agent_counters(r.agent).fuel_used;
    r.agent = sh_agent_free(r.agent);
    rig_agent(&r); /* polled without waiting in between, it uses the same fuel */
    ck_assert_int_eq(rig_run(&r), SH_AGENT_WAITING);
    sh_agent_wake(r.agent);
    ck_assert_int_eq(rig_run(&r), SH_AGENT_FINISHED);
    ck_assert_uint_eq(sh_agent_counters(r.agent).fuel_used, fuel);
    rig_done(&r);
}
END_TEST

static Suite *suite(void) {
    const TTest *const tests[] = {command_writes_sleeps_and_exits_with_its_status, NULL};

    return sh_suite("sandbox_wasi", tests);
}

RIG_MAIN(suite)
