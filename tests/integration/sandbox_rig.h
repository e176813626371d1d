/* A sandbox, a module and an agent for one test, and the engine's part played by hand. */
#ifndef SH_TESTS_SANDBOX_RIG_H
#define SH_TESTS_SANDBOX_RIG_H

#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "lib/check_main.h"
#include "microsandbox/microsandbox.h"

struct rig {
    struct sh_sandbox *sandbox;
    struct sh_module *module;
    struct sh_agent *agent;
    struct sh_agent_config config;
    struct sh_capabilities caps;
    struct sh_buf log; /* every effect taken, as text */
    struct sh_buf result;
    size_t n_effects;
};

static inline void rig_sandbox(struct rig *r, uint64_t slice, unsigned agents, const char *aot) {
    struct sh_sandbox_config c = {
        .aot_dir = aot, .worker = "/proc/self/exe", .slice_fuel = slice, .agents_max = agents};
    struct sh_err err = {0};

    memset(r, 0, sizeof(*r));
    sh_buf_init(&r->log, 16 * SH_MIB);
    sh_buf_init(&r->result, SH_MIB);
    sh_assert_ok(sh_sandbox_new(&c, &r->sandbox, &err), &err);
}

/* The text of tests/guests/NAME, as binary. */
static inline void rig_binary(const char *name, struct sh_buf *ret) {
    const char *source = getenv("SHANNON_SOURCE");
    char path[4096], text[65536];
    struct sh_err err = {0};
    ssize_t n;
    int fd;

    (void)snprintf(path, sizeof(path), "%s/tests/guests/%s", source ? source : ".", name);
    fd = open(path, O_RDONLY);
    ck_assert_msg(fd >= 0, "cannot open %s: set SHANNON_SOURCE", path);
    n = read(fd, text, sizeof(text));
    ck_assert_int_gt(n, 0);
    (void)close(fd);
    sh_assert_ok(sh_module_from_text(sh_strn(text, (size_t)n), ret, &err), &err);
}

static inline void rig_module(struct rig *r, const char *name) {
    struct sh_err err = {0};
    struct sh_buf binary;

    sh_buf_init(&binary, SH_MODULE_BYTES_MAX);
    rig_binary(name, &binary);
    sh_assert_ok(sh_module_load(r->sandbox, sh_buf_str(&binary), &r->module, &err), &err);
    sh_buf_done(&binary);
}

static inline void rig_agent(struct rig *r) {
    static const char *const argv[] = {"agent", NULL}, *const env[] = {NULL};
    struct sh_err err = {0};

    r->config.module = r->module;
    r->config.argv = argv;
    r->config.env = env;
    r->config.caps = &r->caps;
    r->config.start_us = 1700000000000000;
    sh_assert_ok(sh_agent_new(r->sandbox, &r->config, &r->agent, &err), &err);
}

static inline void rig_start(struct rig *r, const char *name, uint64_t slice) {
    rig_sandbox(r, slice, 16, NULL);
    rig_module(r, name);
    rig_agent(r);
}

/* Take the effects as the engine does; what they were is appended to r->log. */
static inline void rig_take(struct rig *r) {
    size_t n;
    const struct sh_effect *e = sh_agent_effects(r->agent, &n);

    for (size_t i = 0; i < n; i++) {
        sh_buf_addf(&r->log, "%d/%d/%llu/%.*s/%.*s\n", (int)e[i].kind, e[i].stream,
                    (unsigned long long)e[i].number, (int)e[i].a.len, e[i].a.p ? e[i].a.p : "",
                    (int)e[i].b.len, e[i].b.p ? e[i].b.p : "");
        if (e[i].kind == SH_EFFECT_RESULT) {
            sh_buf_clear(&r->result);
            sh_buf_add(&r->result, e[i].b.p, e[i].b.len);
        }
    }
    r->n_effects += n;
    sh_agent_effects_taken(r->agent);
}

static inline void rig_file_over(void *arg) {
    atomic_store((atomic_bool *)arg, true);
}

/* Wait until the pool has made the agent's file call. */
static inline void rig_file_wait(struct rig *r) {
    atomic_bool over = false;

    if (!sh_agent_file_wait(r->agent, rig_file_over, &over)) {
        while (!atomic_load(&over)) {
            usleep(50);
        }
    }
}

/* Step, taking effects, until it neither yields nor only waits for room or for a file call. */
static inline enum sh_agent_status rig_run(struct rig *r) {
    for (;;) {
        enum sh_agent_status s = sh_agent_step(r->agent);

        rig_take(r);
        if (s == SH_AGENT_YIELDED ||
            (s == SH_AGENT_WAITING && sh_agent_wait(r->agent)->kind == SH_WAIT_ROOM)) {
            continue;
        }
        if (s == SH_AGENT_WAITING && sh_agent_wait(r->agent)->kind == SH_WAIT_FILE) {
            rig_file_wait(r);
            continue;
        }
        return s;
    }
}

static inline void rig_complete(struct rig *r, uint64_t handle, uint64_t seq, const char *json) {
    struct sh_tape_item item = {.kind = SH_TAPE_COMPLETION,
                                .seq = seq,
                                .time_us = 1700000000000000 + (int64_t)seq,
                                .number = handle,
                                .bytes = sh_str(json)};

    sh_agent_push(r->agent, &item);
}

static inline void rig_cancel(struct rig *r, uint64_t seq) {
    struct sh_tape_item item = {.kind = SH_TAPE_CANCEL, .seq = seq, .time_us = 1700000000000000};

    sh_agent_push(r->agent, &item);
}

static inline void rig_done(struct rig *r) {
    r->agent = sh_agent_free(r->agent);
    r->module = sh_module_unref(r->module);
    r->sandbox = sh_sandbox_free(r->sandbox);
    sh_buf_done(&r->log);
    sh_buf_done(&r->result);
}

/* The test program is its own compile worker. */
#define RIG_MAIN(suite_fn)                                                                         \
    int main(int argc, char **argv) {                                                              \
        if (argc > 1 && strcmp(argv[1], "compile-worker") == 0) {                                  \
            return sh_compile_worker_main(argc, argv);                                             \
        }                                                                                          \
        SRunner *runner = srunner_create(suite_fn());                                              \
        srunner_run_all(runner, CK_ENV);                                                           \
        int failed = srunner_ntests_failed(runner);                                                \
        srunner_free(runner);                                                                      \
        return failed ? EXIT_FAILURE : EXIT_SUCCESS;                                               \
    }

#endif
