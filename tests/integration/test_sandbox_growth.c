/* Memory and tables that would grow beyond what their agent may have: which ends are told as a
 * limit, and which are not. */
#include "integration/sandbox_rig.h"

#include <sys/resource.h>
#include <sys/wait.h>

#define PAGES(n) "(i32.const " #n ")"
#define GROW(n) "(drop (memory.grow " PAGES(n) "))"
#define MODULE(memory, body)                                                                       \
    "(module (memory (export \"memory\") " memory ") (table $t 1 funcref)"                         \
    "  (func (export \"_start\") " body "))"

static const struct sh_agent_end *run_text(struct rig *r, const char *text, uint64_t memory_bytes) {
    struct sh_err err = {0};
    struct sh_buf binary;

    rig_sandbox(r, 0, 4, NULL);
    sh_buf_init(&binary, SH_MIB);
    sh_assert_ok(sh_module_from_text(sh_str(text), &binary, &err), &err);
    sh_assert_ok(sh_module_load(r->sandbox, sh_buf_str(&binary), &r->module, &err), &err);
    sh_buf_done(&binary);
    r->caps.limits.memory_bytes = memory_bytes;
    rig_agent(r);
    ck_assert_int_eq(rig_run(r), SH_AGENT_FINISHED);
    return sh_agent_end(r->agent);
}

START_TEST(trap_after_a_refused_growth_is_the_memory_limit_however_little_is_held) {
    struct rig r = {0};
    const struct sh_agent_end *end = run_text(&r, MODULE("1", GROW(1024) "unreachable"), SH_MIB);

    ck_assert_int_eq(end->code, SH_E_MEMORY);
    ck_assert_ptr_nonnull(strstr(end->message, "had 65536 bytes"));
    ck_assert_ptr_nonnull(strstr(end->message, "asked for 67174400"));
    ck_assert_ptr_nonnull(strstr(end->message, "limit of 1048576"));
    rig_done(&r);
}
END_TEST

START_TEST(trap_with_memory_at_its_limit_and_nothing_refused_is_a_trap) {
    struct rig r = {0};
    const struct sh_agent_end *end = run_text(&r, MODULE("1", GROW(15) "unreachable"), SH_MIB);

    ck_assert_int_eq(end->code, SH_E_TRAP);
    ck_assert_uint_eq(end->peak_memory_bytes, SH_MIB);
    rig_done(&r);
}
END_TEST

START_TEST(one_page_beyond_the_limit_is_refused) {
    struct rig r = {0};
    const struct sh_agent_end *end = run_text(&r, MODULE("1", GROW(16) "unreachable"), SH_MIB);

    ck_assert_int_eq(end->code, SH_E_MEMORY);
    rig_done(&r);
}
END_TEST

START_TEST(growth_beyond_the_modules_own_maximum_is_its_own_affair) {
    struct rig r = {0};
    const struct sh_agent_end *end = run_text(&r, MODULE("1 2", GROW(4) "unreachable"), SH_MIB);

    ck_assert_int_eq(end->code, SH_E_TRAP);
    rig_done(&r);
}
END_TEST

START_TEST(agent_that_copes_with_a_refusal_ends_well) {
    struct rig r = {0};
    const struct sh_agent_end *end = run_text(&r, MODULE("1", GROW(1024)), SH_MIB);

    ck_assert_int_eq(end->code, SH_OK);
    rig_done(&r);
}
END_TEST

#define TABLE_GROW(n) "(drop (table.grow $t (ref.null func) (i32.const " #n ")))"

START_TEST(table_grows_to_its_limit_and_not_one_further) {
    struct rig r = {0};
    const struct sh_agent_end *end =
        run_text(&r, MODULE("1", TABLE_GROW(199999) "unreachable"), SH_MIB);

    ck_assert_int_eq(end->code, SH_E_TRAP);
    rig_done(&r);
    end = run_text(&r, MODULE("1", TABLE_GROW(200000) "unreachable"), SH_MIB);
    ck_assert_int_eq(end->code, SH_E_MEMORY);
    ck_assert_ptr_nonnull(strstr(end->message, "200001 elements"));
    rig_done(&r);
}
END_TEST

static uint64_t data_bytes(void) {
    unsigned long long kib = 0;
    char line[256];
    FILE *f = fopen("/proc/self/status", "r");

    ck_assert_ptr_nonnull(f);
    while (fgets(line, sizeof(line), f)) {
        if (sscanf(line, "VmData: %llu", &kib) == 1) {
            break;
        }
    }
    (void)fclose(f);
    return kib * SH_KIB;
}

/* The guest of such a machine must not see -1: on another one it would not replay. */
START_TEST(machine_without_memory_ends_the_agent_as_such_and_not_as_its_limit) {
    struct rig r = {0};
    struct sh_err err = {0};
    struct sh_buf binary;
    struct rlimit limit;

    rig_sandbox(&r, 0, 4, NULL);
    sh_buf_init(&binary, SH_MIB);
    sh_assert_ok(sh_module_from_text(sh_str(MODULE("1", GROW(4096))), &binary, &err), &err);
    sh_assert_ok(sh_module_load(r.sandbox, sh_buf_str(&binary), &r.module, &err), &err);
    sh_buf_done(&binary);
    r.caps.limits.memory_bytes = SH_GIB;
    rig_agent(&r);
    limit.rlim_cur = limit.rlim_max = data_bytes() + 64 * SH_MIB;
    ck_assert_int_eq(setrlimit(RLIMIT_DATA, &limit), 0);
    ck_assert_int_eq(rig_run(&r), SH_AGENT_FINISHED);
    ck_assert_int_eq(sh_agent_end(r.agent)->code, SH_E_NOMEM);
    rig_done(&r);
}
END_TEST

#ifdef SH_FAULTS
/* "hi" at 0, "{}" at 2. */
static const char emitter[] =
    "(module (import \"shannon\" \"emit\" (func $e (param i32 i32 i32 i32) (result i32)))"
    "  (memory (export \"memory\") 1) (data (i32.const 0) \"hi{}\")"
    "  (func (export \"_start\")"
    "    (drop (call $e (i32.const 0) (i32.const 2) (i32.const 2) (i32.const 2)))))";

START_TEST(asked_for_abort_ends_the_process_and_only_where_it_was_asked_for) {
    int status = 0;
    pid_t pid;
    struct rig r = {0};

    ck_assert_int_eq(setenv("SHANNON_DEBUG_ABORT", "emit:h", 1), 0);
    ck_assert_int_eq(run_text(&r, emitter, SH_MIB)->code, SH_OK);
    rig_done(&r);
    pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        (void)setenv("SHANNON_DEBUG_ABORT", "emit:hi", 1);
        (void)run_text(&r, emitter, SH_MIB);
        _exit(0);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFSIGNALED(status));
    ck_assert_int_eq(WTERMSIG(status), SIGABRT);
}
END_TEST
#endif

static Suite *suite(void) {
    const TTest *const tests[] = {
        trap_after_a_refused_growth_is_the_memory_limit_however_little_is_held,
        trap_with_memory_at_its_limit_and_nothing_refused_is_a_trap,
        one_page_beyond_the_limit_is_refused,
        growth_beyond_the_modules_own_maximum_is_its_own_affair,
        agent_that_copes_with_a_refusal_ends_well,
        table_grows_to_its_limit_and_not_one_further,
        machine_without_memory_ends_the_agent_as_such_and_not_as_its_limit,
#ifdef SH_FAULTS
        asked_for_abort_ends_the_process_and_only_where_it_was_asked_for,
#endif
        NULL,
    };

    return sh_suite("sandbox_growth", tests);
}

RIG_MAIN(suite)
