/* Costs of the sandbox, one JSON line each: cold start beside bare Wasmtime, a host call, a
 * suspension, a sleeping agent. What is started is the shipped agent below $SHANNON_BUILD, in C, or
 * the module that an argument names. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "microsandbox/runtime.h"

#define STARTS 20000
#define SLEEPERS 10000
#define LOADS 5
#define CHURN 100000
#define CHURN_WARM 5000
#define GROWTH_BYTES_MAX (1 << 20)

static const char sleeper_text[] =
    "(module (import \"shannon\" \"activity_start\" (func $start (param i32 i32 i32 i32) (result "
    "i32)))"
    "(import \"shannon\" \"activity_wait\" (func $wait (param i32 i32) (result i32)))"
    "(import \"shannon\" \"input_size\" (func $size (result i32)))"
    "(memory (export \"memory\") 2) (data (i32.const 0) \"sleep{}\")"
    "(func (export \"_start\") (local $i i32)"
    "(loop $l (drop (call $size)) (local.set $i (i32.add (local.get $i) (i32.const 1)))"
    "(br_if $l (i32.lt_u (local.get $i) (call $size))))"
    "(i32.store (i32.const 64) (call $start (i32.const 0) (i32.const 5) (i32.const 5) (i32.const "
    "2)))"
    "(drop (call $wait (i32.const 64) (i32.const 1)))))";

static void figure(const char *name, double value, const char *unit, double goal) {
    printf("{\"name\":\"%s\",\"value\":%.3f,\"unit\":\"%s\"", name, value, unit);
    if (goal > 0) {
        printf(",\"goal\":%.0f", goal);
    }
    printf("}\n");
}

static void die(const struct sh_err *err) {
    fprintf(stderr, "bench_sandbox: %s\n", err->message);
    _exit(1);
}

static struct sh_module *load(struct sh_sandbox *s, const char *path) {
    struct sh_err err = {0};
    struct sh_module *m = NULL;
    struct sh_buf text, binary;
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;

    sh_buf_init(&text, SH_MODULE_BYTES_MAX);
    sh_buf_init(&binary, SH_MODULE_BYTES_MAX);
    if (path && fd < 0) {
        perror(path);
        exit(1);
    }
    if (path) {
        char chunk[65536];
        ssize_t n;

        while ((n = read(fd, chunk, sizeof(chunk))) > 0) {
            sh_buf_add(&text, chunk, (size_t)n);
        }
        (void)close(fd);
    } else {
        sh_buf_adds(&text, sleeper_text);
    }
    if (sh_module_from_text(sh_buf_str(&text), &binary, &err) < 0 ||
        sh_module_load(s, sh_buf_str(&binary), &m, &err) < 0) {
        die(&err);
    }
    sh_buf_done(&text);
    sh_buf_done(&binary);
    return m;
}

static struct sh_agent *start(struct sh_sandbox *s, const struct sh_agent_config *c) {
    struct sh_agent *a = NULL;
    struct sh_err err = {0};

    if (sh_agent_new(s, c, &a, &err) < 0) {
        die(&err);
    }
    return a;
}

static double bare_us(struct sh_sandbox *s, struct sh_module *m) {
    uint64_t began = sh_mono_ns();

    for (int i = 0; i < STARTS; i++) {
        wasmtime_store_t *store = wasmtime_store_new(s->engine, NULL, NULL);
        wasmtime_context_t *ctx = wasmtime_store_context(store);
        wasmtime_instance_t instance;
        wasmtime_call_future_t *future;
        wasm_trap_t *trap = NULL;
        wasmtime_error_t *error = wasmtime_context_set_fuel(ctx, 1000000);

        future = wasmtime_instance_pre_instantiate_async(m->pre, ctx, &instance, &trap, &error);
        (void)wasmtime_call_future_poll(future);
        wasmtime_call_future_delete(future);
        wasmtime_store_delete(store);
    }
    return (double)(sh_mono_ns() - began) / STARTS / 1000;
}

static double ours_us(struct sh_sandbox *s, const struct sh_agent_config *c) {
    uint64_t began = sh_mono_ns();

    for (int i = 0; i < STARTS; i++) {
        (void)sh_agent_free(start(s, c));
    }
    return (double)(sh_mono_ns() - began) / STARTS / 1000;
}

static long resident_bytes(void) {
    FILE *f = fopen("/proc/self/statm", "r");
    long size = 0, resident = 0;

    if (!f || fscanf(f, "%ld %ld", &size, &resident) != 2) {
        resident = 0;
    }
    if (f) {
        (void)fclose(f);
    }
    return resident * sysconf(_SC_PAGESIZE);
}

static void sleeping(struct sh_sandbox *s, const struct sh_agent_config *c) {
    static struct sh_agent *agents[SLEEPERS];
    uint64_t began;
    long before;

    (void)sh_agent_free(start(s, c));
    before = resident_bytes();
    for (int i = 0; i < SLEEPERS; i++) {
        agents[i] = start(s, c);
        (void)sh_agent_step(agents[i]);
        sh_agent_effects_taken(agents[i]);
    }
    figure("bytes_per_sleeping_agent", (double)(resident_bytes() - before) / SLEEPERS, "bytes",
           32768);
    began = sh_mono_ns();
    for (int i = 0; i < SLEEPERS; i++) {
        (void)sh_agent_step(agents[i]);
    }
    figure("poll_of_a_waiting_agent", (double)(sh_mono_ns() - began) / SLEEPERS, "ns", 0);
    for (int i = 0; i < SLEEPERS; i++) {
        agents[i] = sh_agent_free(agents[i]);
    }
}

/* Memory that is left behind by a hundred thousand agents that came and went. */
static void churn(struct sh_sandbox *s, const struct sh_agent_config *c) {
    long before = 0;

    for (int i = 0; i < CHURN_WARM + CHURN; i++) {
        struct sh_agent *a = start(s, c);

        if (i == CHURN_WARM) {
            before = resident_bytes();
        }
        (void)sh_agent_step(a);
        sh_agent_effects_taken(a);
        (void)sh_agent_free(a);
    }
    figure("growth_over_100000_agents", (double)(resident_bytes() - before), "bytes",
           GROWTH_BYTES_MAX);
}

/* From an open file to code that can run; what CPython needs is what any module of 26 MB needs. */
static void load_artifact(struct sh_sandbox *s, const char *path) {
    struct sh_err err = {0};
    struct sh_module *m = NULL;
    uint64_t best = UINT64_MAX;

    for (int i = 0; i < LOADS; i++) {
        uint64_t began = sh_mono_ns();

        if (sh_module_load_file(s, path, &m, &err) < 0) {
            die(&err);
        }
        if (i > 0 && sh_mono_ns() - began < best) {
            best = sh_mono_ns() - began;
        }
        m = sh_module_unref(m);
    }
    figure("load_compiled_python", (double)best / 1e6, "ms", 2);
}

static void host_call(struct sh_sandbox *s, struct sh_agent_config c) {
    char *input = sh_zalloc(SH_INPUT_MAX);
    struct sh_agent *a;
    uint64_t began, calls = 2 * SH_INPUT_MAX;

    c.input = sh_strn(input, SH_INPUT_MAX); /* the guest asks for its size twice per byte of it */
    a = start(s, &c);
    began = sh_mono_ns();
    while (sh_agent_step(a) == SH_AGENT_YIELDED) {
    }
    figure("host_call", (double)(sh_mono_ns() - began) / (double)calls, "ns", 300);
    (void)sh_agent_free(a);
    sh_free(input);
}

/* "$SHANNON_BUILD/`name`". */
static const char *below_build(const char *name, char path[4096]) {
    const char *build = getenv("SHANNON_BUILD");

    if (!build) {
        fprintf(stderr, "bench_sandbox: set SHANNON_BUILD, as `make bench` does\n");
        exit(1);
    }
    (void)snprintf(path, 4096, "%s/%s", build, name);
    return path;
}

static void starting(struct sh_sandbox *s, struct sh_agent_config c, const char *path) {
    double bare, ours;

    c.module = load(s, path);
    (void)ours_us(s, &c); /* warm */
    bare = bare_us(s, c.module);
    ours = ours_us(s, &c);
    figure("bare_wasmtime_store_and_instantiate", bare, "us", 0);
    figure("agent_new_and_free", ours, "us", 0);
    figure("agent_new_against_bare", ours / bare, "x", 2);
    (void)sh_module_unref(c.module);
}

int main(int argc, char **argv) {
    static const char *const args[] = {"agent", NULL}, *const env[] = {NULL};
    char aot[4096], shipped[4096], python[4096];
    struct sh_sandbox_config config = {.worker = "/proc/self/exe", .agents_max = SLEEPERS + 24};
    struct sh_agent_config c = {.argv = args, .env = env};
    struct sh_sandbox *s = NULL;
    struct sh_err err = {0};

    if (argc > 1 && strcmp(argv[1], "compile-worker") == 0) {
        return sh_compile_worker_main(argc, argv);
    }
    config.aot_dir = below_build("bench/aot", aot);
    if (sh_sandbox_new(&config, &s, &err) < 0) {
        die(&err);
    }
    starting(s, c, argc > 1 ? argv[1] : below_build("agents/chain_of_thought.wasm", shipped));
    load_artifact(s, below_build("share/shannon/python.wasm", python));
    c.module = load(s, NULL);
    host_call(s, c);
    churn(s, &c);
    sleeping(s, &c);
    (void)sh_module_unref(c.module);
    (void)sh_sandbox_free(s);
    return 0;
}
