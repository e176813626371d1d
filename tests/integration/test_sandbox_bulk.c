/* Bulk instructions through real WebAssembly: they do what they did, pay for their length, and a
 * loop of them takes turns with others like any other code. */
#include "integration/sandbox_rig.h"

static void text_module(struct rig *r, const char *text) {
    struct sh_err err = {0};
    struct sh_buf binary;

    sh_buf_init(&binary, SH_MODULE_BYTES_MAX);
    sh_assert_ok(sh_module_from_text(sh_str(text), &binary, &err), &err);
    sh_assert_ok(sh_module_load(r->sandbox, sh_buf_str(&binary), &r->module, &err), &err);
    sh_buf_done(&binary);
}

static const char meaning[] =
    "(module"
    "(memory (export \"memory\") 2)"
    "(table $t 100 funcref) (table $e 10 externref)"
    "(func $f) (elem $s func $f $f $f $f)"
    "(data $d \"hello world\")"
    "(func $eq (param i32 i32) (if (i32.ne (local.get 0) (local.get 1)) (then (unreachable))))"
    "(func (export \"_start\")"
    "(memory.init $d (i32.const 100) (i32.const 0) (i32.const 11))"
    "(memory.copy (i32.const 200) (i32.const 100) (i32.const 11))"
    "(memory.copy (i32.const 204) (i32.const 200) (i32.const 11))"
    "(call $eq (i32.load (i32.const 200)) (i32.load (i32.const 204)))"
    "(memory.fill (i32.const 0) (i32.const 7) (i32.const 70000))"
    "(call $eq (i32.load8_u (i32.const 69999)) (i32.const 7))"
    "(call $eq (i32.load8_u (i32.const 70000)) (i32.const 0))"
    "(table.init $t $s (i32.const 0) (i32.const 0) (i32.const 4))"
    "(table.copy $t $t (i32.const 4) (i32.const 0) (i32.const 4))"
    "(table.fill $t (i32.const 8) (ref.null func) (i32.const 20))"
    "(call $eq (table.grow $t (ref.null func) (i32.const 1000)) (i32.const 100))"
    "(call $eq (table.grow $e (ref.null extern) (i32.const 10)) (i32.const 10))"
    "(call_indirect $t (i32.const 5))"
    "(elem.drop $s) (data.drop $d)))";

START_TEST(they_mean_what_they_meant) {
    struct rig r;

    rig_sandbox(&r, 0, 4, NULL);
    text_module(&r, meaning);
    rig_agent(&r);
    ck_assert_int_eq(rig_run(&r), SH_AGENT_FINISHED);
    ck_assert_msg(sh_agent_end(r.agent)->code == SH_OK, "%s", sh_agent_end(r.agent)->message);
    rig_done(&r);
}
END_TEST

static uint64_t fuel_of(const char *instruction) {
    char text[512];
    uint64_t fuel;
    struct rig r;

    (void)snprintf(text, sizeof(text),
                   "(module (memory (export \"memory\") 1024) (table $t 100000 funcref)"
                   "(func (export \"_start\") (local $n i32) %s))",
                   instruction);
    rig_sandbox(&r, 0, 4, NULL);
    text_module(&r, text);
    rig_agent(&r);
    ck_assert_int_eq(rig_run(&r), SH_AGENT_FINISHED);
    ck_assert_msg(sh_agent_end(r.agent)->code == SH_OK, "%s", sh_agent_end(r.agent)->message);
    fuel = sh_agent_counters(r.agent).fuel_used;
    rig_done(&r);
    return fuel;
}

/* Wasmtime itself does from line 48 on, a unit a byte; before, we add 128 for each whole KiB. */
static bool counts_bytes(void) {
    return strncmp(sh_sandbox_runtime(NULL), "wasmtime 40.", 12) != 0;
}

START_TEST(fuel_follows_their_length) {
    uint64_t small = fuel_of("(memory.fill (i32.const 0) (i32.const 1) (i32.const 1023))");
    uint64_t large = fuel_of("(memory.fill (i32.const 0) (i32.const 1) (i32.const 67108864))");
    uint64_t copy = fuel_of("(memory.copy (i32.const 1) (i32.const 0) (i32.const 67107840))");
    uint64_t table = fuel_of("(table.fill $t (i32.const 0) (ref.null func) (i32.const 100000))");

    ck_assert_uint_lt(small, counts_bytes() ? 1100 : 64);
    ck_assert_uint_gt(large, 65536 * 128);
    ck_assert_uint_gt(copy, 65535 * 128);
    ck_assert_uint_gt(table, counts_bytes() ? 100000 : 100000 / 64 * 128);
}
END_TEST

START_TEST(a_loop_of_fills_yields_and_runs_out_of_fuel) {
    struct rig r;
    unsigned steps = 0;

    rig_sandbox(&r, 0, 4, NULL);
    text_module(&r, "(module (memory (export \"memory\") 1024) (func (export \"_start\") (loop $l"
                    "(memory.fill (i32.const 0) (i32.const 1) (i32.const 67108864)) (br $l))))");
    r.caps.limits.fuel = 400000000;
    rig_agent(&r);
    while (sh_agent_step(r.agent) == SH_AGENT_YIELDED) {
        steps++;
    }
    /* One fill may cost more than a slice: then each turn makes one. */
    ck_assert_uint_ge(steps, 400000000 / (64 * SH_MIB) - 1);
    ck_assert_int_eq(sh_agent_end(r.agent)->code, SH_E_FUEL);
    rig_done(&r);
}
END_TEST

START_TEST(random_bytes_for_all_of_memory_are_made_in_turns) {
    struct rig r;
    unsigned steps = 0;

    rig_sandbox(&r, 0, 4, NULL);
    text_module(&r, "(module (import \"wasi_snapshot_preview1\" \"random_get\""
                    "  (func $random (param i32 i32) (result i32)))"
                    "(memory (export \"memory\") 1024) (func (export \"_start\")"
                    "(if (call $random (i32.const 0) (i32.const 67108864)) (then unreachable))"
                    "(if (i64.eqz (i64.load (i32.const 67108856))) (then unreachable))))");
    rig_agent(&r);
    while (sh_agent_step(r.agent) == SH_AGENT_YIELDED) {
        steps++;
    }
    ck_assert_uint_ge(steps, 15); /* 4 MiB at a time */
    ck_assert_msg(sh_agent_end(r.agent)->code == SH_OK, "%s", sh_agent_end(r.agent)->message);
    rig_done(&r);
}
END_TEST

static Suite *suite(void) {
    const TTest *const tests[] = {
        they_mean_what_they_meant,
        fuel_follows_their_length,
        a_loop_of_fills_yields_and_runs_out_of_fuel,
        random_bytes_for_all_of_memory_are_made_in_turns,
        NULL,
    };

    return sh_suite("sandbox_bulk", tests);
}

RIG_MAIN(suite)
