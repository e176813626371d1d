/* guest_run AOT RUNS WORKSPACE MODULE ARGS...: run a command in the sandbox, without engine or
 * journal, and print {"start_ns": [...], "run_ns": [...]}. The module is compiled before the first
 * run and kept in the folder AOT. WORKSPACE is emptied by nobody: a guest that makes a file finds
 * it again. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "microsandbox/microsandbox.h"

#define RUNS_MAX 100000

static void die(const char *what, const char *message) {
    fprintf(stderr, "guest_run: %s: %s\n", what, message);
    _exit(1);
}

static void finish(struct sh_agent *a) {
    for (;;) {
        size_t n;
        enum sh_agent_status status = sh_agent_step(a);

        (void)sh_agent_effects(a, &n);
        sh_agent_effects_taken(a);
        if (status == SH_AGENT_FINISHED) {
            break;
        }
        if (status == SH_AGENT_CHECKPOINT ||
            (status == SH_AGENT_WAITING && sh_agent_wait(a)->kind != SH_WAIT_ROOM)) {
            die("the guest", "waits for an answer; only what needs none can be run here");
        }
    }
    if (sh_agent_end(a)->code != SH_OK || sh_agent_end(a)->exit_status != 0) {
        die("the guest failed", sh_agent_end(a)->message);
    }
}

static void print(const char *name, const uint64_t *ns, size_t n, const char *after) {
    printf("\"%s\": [", name);
    for (size_t i = 0; i < n; i++) {
        printf("%s%llu", i ? ", " : "", (unsigned long long)ns[i]);
    }
    printf("]%s", after);
}

int main(int argc, char **argv) {
    struct sh_sandbox_config config = {.worker = "/proc/self/exe", .agents_max = 4};
    static const char *const env[] = {NULL};
    static uint64_t start_ns[RUNS_MAX], run_ns[RUNS_MAX];
    struct sh_capabilities caps = {0};
    struct sh_agent_config c = {.env = env, .caps = &caps};
    struct sh_sandbox *s = NULL;
    struct sh_err err = {0};
    size_t runs;

    if (argc > 1 && strcmp(argv[1], "compile-worker") == 0) {
        return sh_compile_worker_main(argc, argv);
    }
    runs = argc > 4 ? (size_t)atol(argv[2]) : 0;
    if (runs < 1 || runs > RUNS_MAX) {
        die("usage", "guest_run AOT RUNS WORKSPACE MODULE ARGS...");
    }
    config.aot_dir = argv[1];
    c.workspace = argv[3];
    c.argv = (const char *const *)argv + 4;
    if (sh_sandbox_new(&config, &s, &err) < 0 ||
        sh_module_load_file(s, argv[4], &c.module, &err) < 0) {
        die(argv[4], err.message);
    }
    for (size_t i = 0; i < runs; i++) {
        struct sh_agent *a = NULL;
        uint64_t began = sh_mono_ns(), started;

        if (sh_agent_new(s, &c, &a, &err) < 0) {
            die(argv[4], err.message);
        }
        started = sh_mono_ns();
        finish(a);
        run_ns[i] = sh_mono_ns() - started;
        start_ns[i] = started - began;
        (void)sh_agent_free(a);
    }
    printf("{");
    print("start_ns", start_ns, runs, ", ");
    print("run_ns", run_ns, runs, "}\n");
    (void)sh_module_unref(c.module);
    (void)sh_sandbox_free(s);
    return 0;
}
