/* What goes wrong in an agent or a module, and how each of it is told. */
#include "integration/sandbox_rig.h"

#include <sys/stat.h>

static const struct sh_agent_end *run_to_end(struct rig *r, const char *name) {
    rig_sandbox(r, 0, 4, NULL);
    rig_module(r, name);
    rig_agent(r);
    ck_assert_int_eq(rig_run(r), SH_AGENT_FINISHED);
    return sh_agent_end(r->agent);
}

START_TEST(out_of_fuel_is_told_with_the_limit_and_all_of_it_is_used) {
    struct rig r = {0};
    struct sh_err err = {0};
    const struct sh_agent_end *end;

    rig_sandbox(&r, 1000, 4, NULL);
    rig_module(&r, "endless.wat");
    r.caps.limits.fuel = 123456;
    rig_agent(&r);
    ck_assert_int_eq(rig_run(&r), SH_AGENT_FINISHED);
    end = sh_agent_end(r.agent);
    ck_assert_int_eq(end->code, SH_E_FUEL);
    ck_assert_str_eq(end->trap, "out of fuel");
    ck_assert_ptr_nonnull(strstr(end->message, "123456"));
    ck_assert_uint_eq(sh_agent_counters(r.agent).fuel_used, 123456);
    ck_assert_int_eq(sh_agent_step(r.agent), SH_AGENT_FINISHED);
    r.agent = sh_agent_free(r.agent);
    r.config.fuel_used = 123456; /* a checkpoint taken with nothing left */
    sh_assert_ok(sh_agent_new(r.sandbox, &r.config, &r.agent, &err), &err);
    ck_assert_int_eq(rig_run(&r), SH_AGENT_FINISHED);
    ck_assert_int_eq(sh_agent_end(r.agent)->code, SH_E_FUEL);
    rig_done(&r);
}
END_TEST

/* The fuel that a loop of a thousand turns used, of so much; and how it ended. */
static uint64_t text_with_fuel(uint64_t fuel, int *ret_code) {
    static const char text[] = "(module (func (export \"_start\") (local i32)"
                               "  (loop $l (local.set 0 (i32.add (local.get 0) (i32.const 1)))"
                               "    (br_if $l (i32.lt_u (local.get 0) (i32.const 1000))))))";
    struct rig r = {0};
    struct sh_err err = {0};
    struct sh_buf binary;
    uint64_t used;

    rig_sandbox(&r, 1000, 4, NULL);
    sh_buf_init(&binary, SH_MIB);
    sh_assert_ok(sh_module_from_text(sh_str(text), &binary, &err), &err);
    sh_assert_ok(sh_module_load(r.sandbox, sh_buf_str(&binary), &r.module, &err), &err);
    sh_buf_done(&binary);
    r.caps.limits.fuel = fuel;
    rig_agent(&r);
    ck_assert_int_eq(rig_run(&r), SH_AGENT_FINISHED);
    *ret_code = sh_agent_end(r.agent)->code;
    used = sh_agent_counters(r.agent).fuel_used;
    rig_done(&r);
    return used;
}

/* Wasmtime looks at the heads of loops and at calls: what lies behind the last one, here less than
 * a turn of 8, may be had on credit. */
START_TEST(fuel_that_is_just_enough_is_enough_and_two_turns_less_are_not) {
    int code;
    uint64_t used = text_with_fuel(1000000, &code);

    ck_assert_int_eq(code, SH_OK);
    ck_assert_uint_gt(used, 1000);
    for (uint64_t fuel = used; fuel >= used - 16; fuel--) {
        bool was_enough = code == SH_OK;

        ck_assert_uint_le(text_with_fuel(fuel, &code), fuel);
        ck_assert(code == SH_OK ? was_enough : code == SH_E_FUEL);
        ck_assert(fuel < used || code == SH_OK);
    }
    ck_assert_int_eq(code, SH_E_FUEL);
}
END_TEST

START_TEST(giving_up_at_the_memory_limit_is_told_as_such) {
    struct rig r = {0};
    const struct sh_agent_end *end;

    rig_sandbox(&r, 0, 4, NULL);
    rig_module(&r, "grow.wat");
    r.caps.limits.memory_bytes = 8 * SH_MIB;
    rig_agent(&r);
    ck_assert_int_eq(rig_run(&r), SH_AGENT_FINISHED);
    end = sh_agent_end(r.agent);
    ck_assert_int_eq(end->code, SH_E_MEMORY);
    ck_assert_ptr_nonnull(strstr(end->message, "8388608"));
    ck_assert_uint_le(end->peak_memory_bytes, 8 * SH_MIB);
    ck_assert_uint_gt(end->peak_memory_bytes, 7 * SH_MIB);
    rig_done(&r);
}
END_TEST

START_TEST(module_that_begins_beyond_the_memory_limit_is_refused) {
    struct rig r = {0};
    struct sh_err err = {0};

    rig_sandbox(&r, 0, 4, NULL);
    rig_module(&r, "busy.wat");
    r.caps.limits.memory_bytes = 65535;
    r.config.module = r.module;
    r.config.caps = &r.caps;
    sh_assert_fails(sh_agent_new(r.sandbox, &r.config, &r.agent, &err), SH_E_MEMORY, &err);
    r.caps.limits.memory_bytes = 65536;
    sh_assert_ok(sh_agent_new(r.sandbox, &r.config, &r.agent, &err), &err);
    rig_done(&r);
}
END_TEST

START_TEST(trap_names_its_kind_and_its_functions) {
    struct rig r = {0};
    const struct sh_agent_end *end = run_to_end(&r, "trap.wat");
    struct sh_err err = {0};
    json_t *frames = NULL;

    ck_assert_int_eq(end->code, SH_E_TRAP);
    ck_assert_str_eq(end->trap, "integer division by zero");
    ck_assert_str_eq(end->message,
                     "the agent trapped: integer division by zero in function \"innermost\"");
    sh_assert_ok(sh_json_parse(end->backtrace, SH_MIB, &frames, &err), &err);
    ck_assert_uint_eq(json_array_size(frames), 3);
    sh_assert_str(sh_json_get_str(json_array_get(frames, 0), "function"), "innermost");
    sh_assert_str(sh_json_get_str(json_array_get(frames, 1), "function"), "middle");
    ck_assert(json_is_integer(json_object_get(json_array_get(frames, 0), "offset")));
    json_decref(frames);
    rig_done(&r);
}
END_TEST

/* The fuel of a thousand turns and this instruction after them, in slices of so much. */
static uint64_t fuel_before(const char *instruction, uint64_t slice, struct sh_agent_end *ret) {
    struct rig r = {0};
    struct sh_err err = {0};
    struct sh_buf text, binary;
    uint64_t used;

    sh_buf_init(&text, SH_MIB);
    sh_buf_init(&binary, SH_MIB);
    sh_buf_addf(&text,
                "(module (func (export \"_start\") (local i32)"
                "  (loop $l (local.set 0 (i32.add (local.get 0) (i32.const 1)))"
                "    (br_if $l (i32.lt_u (local.get 0) (i32.const 1000)))) %s))",
                instruction);
    rig_sandbox(&r, slice, 4, NULL);
    sh_assert_ok(sh_module_from_text(sh_buf_str(&text), &binary, &err), &err);
    sh_assert_ok(sh_module_load(r.sandbox, sh_buf_str(&binary), &r.module, &err), &err);
    rig_agent(&r);
    ck_assert_int_eq(rig_run(&r), SH_AGENT_FINISHED);
    *ret = *sh_agent_end(r.agent);
    used = sh_agent_counters(r.agent).fuel_used;
    sh_buf_done(&text);
    sh_buf_done(&binary);
    rig_done(&r);
    return used;
}

START_TEST(fuel_at_a_trap_is_exact_where_it_is_said_to_be) {
    static const char division[] = "(drop (i32.div_s (i32.const 1) (i32.const 0)))";
    struct sh_agent_end end;
    uint64_t all = fuel_before("", 100, &end);

    ck_assert_ptr_null(end.trap);
    ck_assert_uint_gt(all, 1000);
    ck_assert_uint_eq(fuel_before("", 1000000, &end), all);
    ck_assert_uint_eq(fuel_before("unreachable", 1000000, &end),
                      fuel_before("unreachable", 100, &end));
    ck_assert(sh_trap_fuel_exact(sh_str(end.trap)));
    ck_assert_uint_lt(fuel_before(division, 1000000, &end), fuel_before(division, 100, &end));
    ck_assert_str_eq(end.trap, "integer division by zero");
    ck_assert(!sh_trap_fuel_exact(sh_str(end.trap)));
}
END_TEST

START_TEST(recursion_to_the_stack_limit_with_host_calls_ends_only_the_agent) {
    struct rig r = {0};
    const struct sh_agent_end *end = run_to_end(&r, "deep.wat");

    ck_assert_int_eq(end->code, SH_E_STACK);
    ck_assert_str_eq(end->trap, "stack overflow");
    ck_assert_uint_gt(r.n_effects, 10); /* one emit every 128 calls */
    ck_assert_uint_lt(end->backtrace.len, 64 * SH_KIB);
    rig_done(&r);
}
END_TEST

static void load_fails(struct rig *r, const char *text, int code, const char *word) {
    struct sh_buf binary;
    struct sh_err err = {0};
    struct sh_module *m = NULL;

    sh_buf_init(&binary, SH_MIB);
    sh_assert_ok(sh_module_from_text(sh_str(text), &binary, &err), &err);
    sh_assert_fails(sh_module_load(r->sandbox, sh_buf_str(&binary), &m, &err), code, &err);
    ck_assert_msg(strstr(err.message, word) != NULL, "\"%s\" lacks \"%s\"", err.message, word);
    sh_buf_done(&binary);
}

START_TEST(unusable_modules_are_refused_with_the_reason) {
    struct rig r = {0};

    rig_sandbox(&r, 0, 4, NULL);
    load_fails(
        &r,
        "(module (import \"env\" \"launch\" (func (param i32 i64))) (func (export \"_start\")))",
        SH_E_IMPORT, "env.launch\" ((i32 i64) -> ())");
    load_fails(&r, "(module (import \"env\" \"memory\" (memory 1)) (func (export \"_start\")))",
               SH_E_IMPORT, "env.memory\" (memory)");
    load_fails(&r,
               "(module (import \"shannon\" \"activity_drop\" (func (param i64) (result i32))) "
               "(func (export \"_start\")))",
               SH_E_IMPORT, "expected (i32) -> (i32)");
    load_fails(&r, "(module (func (export \"main\")))", SH_E_MODULE, "no entry point");
    load_fails(&r, "(module (func (export \"_start\") (param i32)))", SH_E_MODULE, "\"_start\"");
    load_fails(&r, "(module (memory i64 1) (func (export \"_start\")))", SH_E_MODULE, "64-bit");
    load_fails(&r, "(module (memory 1 1 shared) (func (export \"_start\")))", SH_E_MODULE,
               "shared");
    load_fails(&r, "(module (table 200001 funcref) (func (export \"_start\")))", SH_E_LIMIT,
               "200001 table elements");
    rig_done(&r);
}
END_TEST

/* Passes the scan: types do not matter to it. */
START_TEST(module_that_validation_refuses_is_refused_by_the_compiler_child) {
    static const char bytes[] =
        "\0asm\1\0\0\0\1\4\1\x60\0\0\3\2\1\0\7\12\1\6_start\0\0\12\5\1\3\0\x6a\x0b";
    struct rig r = {0};
    struct sh_err err = {0};
    struct sh_module *m = NULL;

    rig_sandbox(&r, 0, 4, NULL);
    sh_assert_fails(sh_module_load(r.sandbox, sh_strn(bytes, sizeof(bytes) - 1), &m, &err),
                    SH_E_MODULE, &err);
    ck_assert_ptr_nonnull(strstr(err.message, "not valid"));
    rig_done(&r);
}
END_TEST

START_TEST(every_truncation_of_a_module_is_refused) {
    struct rig r = {0};
    struct sh_buf binary;
    struct sh_module *m = NULL;

    rig_sandbox(&r, 0, 4, NULL);
    sh_buf_init(&binary, SH_MIB);
    rig_binary("trap.wat", &binary);
    for (size_t n = 0; n < 60; n++) {
        struct sh_err err = {0};

        sh_assert_fails(sh_module_load(r.sandbox, sh_strn(binary.p, n), &m, &err), SH_E_MODULE,
                        &err);
    }
    sh_buf_done(&binary);
    rig_done(&r);
}
END_TEST

START_TEST(text_that_is_not_webassembly_is_refused_with_its_place) {
    struct sh_err err = {0};
    struct sh_buf binary;

    sh_buf_init(&binary, SH_MIB);
    sh_assert_fails(sh_module_from_text(SH_STR("(module (func"), &binary, &err), SH_E_MODULE, &err);
    sh_buf_done(&binary);
}
END_TEST

START_TEST(worker_that_cannot_run_is_a_compile_error) {
    struct sh_sandbox_config c = {.worker = "/nonexistent/worker", .agents_max = 2};
    struct rig r = {0};
    struct sh_err err = {0};
    struct sh_buf binary;

    sh_buf_init(&binary, SH_MIB);
    rig_binary("trap.wat", &binary);
    sh_assert_ok(sh_sandbox_new(&c, &r.sandbox, &err), &err);
    sh_assert_fails(sh_module_load(r.sandbox, sh_buf_str(&binary), &r.module, &err), SH_E_COMPILE,
                    &err);
    r.sandbox = sh_sandbox_free(r.sandbox);
    sh_buf_done(&binary);
}
END_TEST

/* Each string with its NUL and the guest's pointer to it, of both together. */
START_TEST(arguments_and_environment_hold_at_their_bytes) {
    static const size_t others = sizeof("agent") + sizeof("K=V") + 3 * sizeof(uint32_t);
    char *text = sh_zalloc(SH_ARGS_BYTES_MAX + 1);
    const char *argv[] = {"agent", text, NULL}, *env[] = {"K=V", NULL};
    struct rig r;
    struct sh_agent *a = NULL;
    struct sh_err err = {0};

    rig_start(&r, "greet.wat", 0);
    r.config.argv = argv;
    r.config.env = env;
    memset(text, 'x', SH_ARGS_BYTES_MAX - others - 1);
    sh_assert_ok(sh_agent_new(r.sandbox, &r.config, &a, &err), &err);
    a = sh_agent_free(a);
    text[SH_ARGS_BYTES_MAX - others - 1] = 'x';
    sh_assert_fails(sh_agent_new(r.sandbox, &r.config, &a, &err), SH_E_LIMIT, &err);
    ck_assert_ptr_nonnull(strstr(err.message, "131073 bytes, at most 131072"));
    sh_free(text);
    rig_done(&r);
}
END_TEST

static Suite *suite(void) {
    const TTest *const tests[] = {
        out_of_fuel_is_told_with_the_limit_and_all_of_it_is_used,
        fuel_that_is_just_enough_is_enough_and_two_turns_less_are_not,
        giving_up_at_the_memory_limit_is_told_as_such,
        module_that_begins_beyond_the_memory_limit_is_refused,
        trap_names_its_kind_and_its_functions,
        fuel_at_a_trap_is_exact_where_it_is_said_to_be,
        recursion_to_the_stack_limit_with_host_calls_ends_only_the_agent,
        unusable_modules_are_refused_with_the_reason,
        module_that_validation_refuses_is_refused_by_the_compiler_child,
        every_truncation_of_a_module_is_refused,
        text_that_is_not_webassembly_is_refused_with_its_place,
        worker_that_cannot_run_is_a_compile_error,
        arguments_and_environment_hold_at_their_bytes,
        NULL,
    };

    return sh_suite("sandbox_failures", tests);
}

RIG_MAIN(suite)
