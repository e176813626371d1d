/* What finds file and line of a trap is a child like the compiler's: bounded, stopped with the
 * sandbox, and never a reason for an agent to end otherwise. Its program here is a shell script. */
#include "integration/sandbox_rig.h"

#include <sys/stat.h>
#include <unistd.h>

static char folder[64], script[96];

/* A sandbox whose worker looks lines up by these words of a shell, and compiles as ever. */
static void sandbox_with(struct rig *r, const char *words, unsigned agents) {
    struct sh_sandbox_config c = {.worker = script, .agents_max = agents};
    char exe[4096];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
    struct sh_err err = {0};
    FILE *f;

    (void)snprintf(folder, sizeof(folder), "/tmp/sh-lines-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    (void)snprintf(script, sizeof(script), "%s/worker", folder);
    f = fopen(script, "we");
    ck_assert_ptr_nonnull(f);
    ck_assert_int_gt(n, 0);
    exe[n] = 0;
    ck_assert_int_gt(fprintf(f, "#!/bin/sh\nif [ \"$2\" = lines ]; then\n%s\nexit\nfi\n", words),
                     0);
    ck_assert_int_gt(fprintf(f, "exec %s compile-worker\n", exe), 0);
    ck_assert_int_eq(fchmod(fileno(f), 0700), 0);
    ck_assert_int_eq(fclose(f), 0);
    memset(r, 0, sizeof(*r));
    sh_buf_init(&r->log, SH_MIB);
    sh_buf_init(&r->result, SH_MIB);
    sh_assert_ok(sh_sandbox_new(&c, &r->sandbox, &err), &err);
}

static void folder_remove(void) {
    (void)unlink(script);
    (void)rmdir(folder);
}

/* trap.wat, which says that it knows its lines. */
static void module_load(struct rig *r) {
    static const char custom[] = "\0\x10\x0b.debug_linejunk";
    struct sh_buf binary;
    struct sh_err err = {0};

    sh_buf_init(&binary, SH_MIB);
    rig_binary("trap.wat", &binary);
    sh_buf_add(&binary, custom, sizeof(custom) - 1);
    sh_assert_ok(sh_module_load(r->sandbox, sh_buf_str(&binary), &r->module, &err), &err);
    sh_buf_done(&binary);
}

static bool looks(struct rig *r) {
    return sh_agent_step(r->agent) == SH_AGENT_WAITING &&
           sh_agent_wait(r->agent)->kind == SH_WAIT_FILE;
}

static json_t *backtrace(struct rig *r) {
    const struct sh_agent_end *end = sh_agent_end(r->agent);
    struct sh_err err = {0};
    json_t *frames = NULL;

    ck_assert_int_eq(end->code, SH_E_TRAP);
    sh_assert_ok(sh_json_parse(end->backtrace, SH_MIB, &frames, &err), &err);
    return frames;
}

/* The frames stay what they are, whatever the child says. */
static void says(const char *words) {
    json_t *frames, *first;
    struct rig r;

    sandbox_with(&r, words, 2);
    module_load(&r);
    rig_agent(&r);
    ck_assert_int_eq(rig_run(&r), SH_AGENT_FINISHED);
    frames = backtrace(&r);
    first = json_array_get(frames, 0);
    ck_assert_uint_eq(json_array_size(frames), 3);
    sh_assert_str(sh_json_get_str(first, "function"), "innermost");
    ck_assert(json_is_integer(json_object_get(first, "offset")));
    ck_assert_ptr_null(json_object_get(first, "file"));
    ck_assert_ptr_null(strstr(sh_agent_end(r.agent)->message, " at "));
    json_decref(frames);
    rig_done(&r);
    folder_remove();
}

START_TEST(whatever_the_child_says_the_agent_ends_as_it_did) {
    says("exit 1");
    says("exit 0");
    says("kill -SEGV $$");
    says("printf '[[' >&3");
    says("printf '{\"a\":1}' >&3");
    says("printf '[[{\"function\":7,\"file\":[],\"line\":\"x\"}]]' >&3");
    says("printf '[[{\"file\":\"\",\"line\":-9223372036854775808}]]' >&3");
    says("head -c 3000000 /dev/zero >&3");
    says("printf '[[{\"file\":\"x.c\",\"line\":3}]]' >&3; exit 1");
}
END_TEST

START_TEST(a_place_is_told_in_the_message_too) {
    json_t *frames;
    struct rig r;

    sandbox_with(&r, "printf '[[{\"function\":\"f\",\"file\":\"a b.c\",\"line\":3}],[]]' >&3", 2);
    module_load(&r);
    rig_agent(&r);
    ck_assert(looks(&r));
    ck_assert_int_eq(rig_run(&r), SH_AGENT_FINISHED);
    ck_assert_str_eq(sh_agent_end(r.agent)->message,
                     "the agent trapped: integer division by zero in function \"innermost\" at "
                     "a b.c:3");
    frames = backtrace(&r);
    sh_assert_str(sh_json_get_str(json_array_get(frames, 0), "function"), "innermost");
    sh_assert_str(sh_json_get_str(json_array_get(frames, 0), "file"), "a b.c");
    ck_assert_ptr_null(json_object_get(json_array_get(frames, 1), "file"));
    json_decref(frames);
    rig_done(&r);
    folder_remove();
}
END_TEST

START_TEST(the_child_is_given_its_limits) {
    char path[128], text[64] = "", want[64];
    struct rig r;
    FILE *f;

    sandbox_with(&r, "{ ulimit -t; ulimit -v; ulimit -f; } > $0.limits; exit 1", 2);
    (void)snprintf(path, sizeof(path), "%s.limits", script);
    module_load(&r);
    rig_agent(&r);
    ck_assert_int_eq(rig_run(&r), SH_AGENT_FINISHED);
    f = fopen(path, "re");
    ck_assert_ptr_nonnull(f);
    text[fread(text, 1, sizeof(text) - 1, f)] = 0;
    ck_assert_int_eq(fclose(f), 0);
    (void)snprintf(want, sizeof(want), "%d\n%llu\n", SH_LINES_CPU_S, SH_LINES_MEMORY_BYTES / 1024);
    ck_assert_msg(sh_str_starts(sh_str(text), sh_str(want)), "%s, expected %s", text, want);
    rig_done(&r);
    (void)unlink(path);
    folder_remove();
}
END_TEST

START_TEST(an_agent_may_go_and_the_sandbox_end_while_it_is_looked_up) {
    uint64_t began;
    struct rig r;

    sandbox_with(&r, "exec sleep 1000", 4);
    module_load(&r);
    for (int i = 0; i < 8; i++) {
        rig_agent(&r);
        ck_assert(looks(&r));
        ck_assert(looks(&r)); /* stepping on changes nothing */
        if (i % 2) {
            usleep(20000);
        }
        r.agent = sh_agent_free(r.agent);
    }
    began = sh_mono_ns();
    rig_done(&r);
    ck_assert_uint_lt(sh_mono_ns() - began, SH_LINES_WALL_MS * 1000000 * 3 / 4);
    folder_remove();
}
END_TEST

/* Two are being looked up at most, and 64 wait; who comes then ends at once, without lines. */
START_TEST(traps_wait_up_to_the_limit_and_one_past_it_does_not) {
    enum { ALL = SH_LINES_QUEUE_MAX + SH_LINES_THREADS + 1 };
    struct sh_agent *agents[ALL] = {NULL};
    json_t *frames;
    struct rig r;
    int n = 0;

    sandbox_with(&r, "exec sleep 1000", ALL);
    module_load(&r);
    for (; n < ALL; n++) {
        rig_agent(&r);
        agents[n] = r.agent;
        if (!looks(&r)) {
            break;
        }
    }
    ck_assert_int_ge(n, SH_LINES_QUEUE_MAX); /* as many as the threads had not taken yet */
    ck_assert_int_lt(n, ALL);
    frames = backtrace(&r);
    ck_assert_uint_eq(json_array_size(frames), 3);
    json_decref(frames);
    for (int i = 0; i < ALL; i++) {
        (void)sh_agent_free(agents[i]);
    }
    r.agent = NULL;
    rig_done(&r);
    folder_remove();
}
END_TEST

static Suite *suite(void) {
    const TTest *const tests[] = {
        whatever_the_child_says_the_agent_ends_as_it_did,
        a_place_is_told_in_the_message_too,
        the_child_is_given_its_limits,
        an_agent_may_go_and_the_sandbox_end_while_it_is_looked_up,
        traps_wait_up_to_the_limit_and_one_past_it_does_not,
        NULL,
    };

    return sh_suite("sandbox_lines", tests);
}

RIG_MAIN(suite)
