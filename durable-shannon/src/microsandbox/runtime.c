/* The one file that knows Wasmtime's version: engine settings. What is on and off here is what its
 * advisories and our rules ask for: fuel is budget and time slice in one; proposals with known
 * faults in the line 40 (memory64, threads, GC, exceptions) are off under every version; memories
 * have guard pages, without which pooled slots leak. */
#include "microsandbox/runtime.h"

#include <stdio.h>

#include "native_sandbox.h"

#define ASYNC_STACK_BYTES (768 * SH_KIB)
#define WASM_STACK_BYTES (512 * SH_KIB) /* Wasmtime's default; the rest is for host functions */
#define MEMORY_GUARD_BYTES (32 * SH_MIB)
#define INSTANCE_BYTES_MAX (2 * SH_MIB)
/* How fuel is counted, for journals: 1 was Wasmtime's own way, 2 is guest_meter.c's besides. A
 * change of what a guest pays for is a new number. */
#define METERING "metering 2"
#define SETTINGS                                                                                   \
    "settings 5: fuel, bulk by length, no epochs, copy-on-write, 4 GiB reservation, 32 MiB guard"

#if WASMTIME_VERSION_MAJOR != 40 && WASMTIME_VERSION_MAJOR != 48
#error "Wasmtime 40 and 48 are known: see which settings are new in this one"
#endif
#if WASMTIME_VERSION_MAJOR == 40 && WASMTIME_VERSION_PATCH < 4
#error "Wasmtime 40.0.0 to 40.0.3 panic when a call is cancelled"
#endif

/* From 48 on, bulk instructions cost fuel for their length by themselves. */
bool sh_runtime_counts_bulk(void) {
    return WASMTIME_VERSION_MAJOR >= 48;
}

/* What only one of the versions has. */
static void config_version(wasm_config_t *c) {
#if WASMTIME_VERSION_MAJOR == 40
    wasmtime_config_async_support_set(c, true);
#else
    wasmtime_config_wasm_branch_hinting_set(c, false);
#endif
}

static void config_features(wasm_config_t *c) {
    wasmtime_config_wasm_simd_set(c, true);
    wasmtime_config_wasm_bulk_memory_set(c, true);
    wasmtime_config_wasm_multi_value_set(c, true);
    wasmtime_config_wasm_tail_call_set(c, true);
    wasmtime_config_wasm_relaxed_simd_set(c, false);
    wasmtime_config_wasm_relaxed_simd_deterministic_set(c, true);
    wasmtime_config_wasm_gc_set(c, false);
    wasmtime_config_wasm_function_references_set(c, false);
    wasmtime_config_wasm_reference_types_set(c, true);
    wasmtime_config_wasm_exceptions_set(c, false);
    wasmtime_config_wasm_stack_switching_set(c, false);
    wasmtime_config_wasm_memory64_set(c, false);
    wasmtime_config_wasm_multi_memory_set(c, false);
    wasmtime_config_wasm_custom_page_sizes_set(c, false);
    wasmtime_config_wasm_wide_arithmetic_set(c, false);
    wasmtime_config_shared_memory_set(c, false);
}

static void config_pool(wasm_config_t *c, unsigned agents) {
    wasmtime_pooling_allocation_config_t *p = wasmtime_pooling_allocation_config_new();

    wasmtime_pooling_allocation_config_total_core_instances_set(p, agents);
    wasmtime_pooling_allocation_config_total_memories_set(p, agents);
    wasmtime_pooling_allocation_config_total_tables_set(p, agents * 2);
    wasmtime_pooling_allocation_config_total_stacks_set(p, agents);
    wasmtime_pooling_allocation_config_max_memories_per_module_set(p, 1);
    wasmtime_pooling_allocation_config_max_tables_per_module_set(p, SH_SCAN_TABLES_MAX);
    wasmtime_pooling_allocation_config_table_elements_set(p, SH_SCAN_TABLE_ELEMENTS_MAX);
    wasmtime_pooling_allocation_config_max_memory_size_set(p, SH_MEMORY_MAX);
    wasmtime_pooling_allocation_config_max_core_instance_size_set(p, INSTANCE_BYTES_MAX);
    wasmtime_pooling_allocation_strategy_set(c, p);
    wasmtime_pooling_allocation_config_delete(p);
}

wasm_engine_t *sh_runtime_engine(unsigned agents, struct sh_err *err) {
    wasm_config_t *c;
    wasm_engine_t *engine;

    __builtin_cpu_init();
    if (!__builtin_cpu_supports("sse3")) { /* without it f64x2.splat reads out of bounds */
        (void)sh_fail(err, SH_E_UNSUPPORTED,
                      "this processor has no SSE3, which agents need: use one made after 2005");
        return NULL;
    }
    c = wasm_config_new();
    sh_native_config_no_details(c);
    config_version(c);
    wasmtime_config_consume_fuel_set(c, true);
    wasmtime_config_epoch_interruption_set(c, false);
    wasmtime_config_async_stack_size_set(c, ASYNC_STACK_BYTES);
    wasmtime_config_max_wasm_stack_set(c, WASM_STACK_BYTES);
    wasmtime_config_strategy_set(c, WASMTIME_STRATEGY_CRANELIFT);
    wasmtime_config_cranelift_opt_level_set(c, WASMTIME_OPT_LEVEL_SPEED);
    wasmtime_config_cranelift_nan_canonicalization_set(c, false);
    wasmtime_config_memory_reservation_set(c, SH_MEMORY_MAX);
    wasmtime_config_memory_guard_size_set(c, MEMORY_GUARD_BYTES);
    wasmtime_config_memory_may_move_set(c, false);
    wasmtime_config_memory_init_cow_set(c, true);
    wasmtime_config_native_unwind_info_set(c, false);
    config_features(c);
    if (agents) {
        config_pool(c, agents);
    }
    engine = wasm_engine_new_with_config(c); /* takes the configuration */
    if (!engine) {
        (void)sh_fail(err, SH_E_INTERNAL, "Wasmtime refused its configuration");
    }
    return engine;
}

/* The features that generated code may use, as Cranelift detects them. */
static void add_cpu_features(struct sh_buf *b) {
    static const char *const names[] = {
        "sse3", "ssse3", "sse4.1", "sse4.2",  "popcnt",   "avx",      "avx2",       "fma",
        "bmi1", "bmi2",  "lzcnt",  "avx512f", "avx512dq", "avx512vl", "avx512vbmi", "avx512bitalg"};
    bool has[sizeof(names) / sizeof(names[0])];

    __builtin_cpu_init();
    has[0] = __builtin_cpu_supports("sse3");
    has[1] = __builtin_cpu_supports("ssse3");
    has[2] = __builtin_cpu_supports("sse4.1");
    has[3] = __builtin_cpu_supports("sse4.2");
    has[4] = __builtin_cpu_supports("popcnt");
    has[5] = __builtin_cpu_supports("avx");
    has[6] = __builtin_cpu_supports("avx2");
    has[7] = __builtin_cpu_supports("fma");
    has[8] = __builtin_cpu_supports("bmi");
    has[9] = __builtin_cpu_supports("bmi2");
    has[10] = __builtin_cpu_supports("lzcnt");
    has[11] = __builtin_cpu_supports("avx512f");
    has[12] = __builtin_cpu_supports("avx512dq");
    has[13] = __builtin_cpu_supports("avx512vl");
    has[14] = __builtin_cpu_supports("avx512vbmi");
    has[15] = __builtin_cpu_supports("avx512bitalg");
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (has[i]) {
            sh_buf_addf(b, "+%s", names[i]);
        }
    }
}

static char name_text[512], settings_text[768];
static pthread_once_t name_once = PTHREAD_ONCE_INIT;

static void name_make(void) {
    struct sh_buf b;

    sh_buf_init(&b, 256);
    add_cpu_features(&b);
    SH_ASSERT(!b.failed);
    (void)snprintf(name_text, sizeof(name_text),
                   "wasmtime " WASMTIME_VERSION " " METERING " x86_64 %s", b.p);
    (void)snprintf(settings_text, sizeof(settings_text),
                   "wasmtime " WASMTIME_VERSION " x86_64 %s; " SETTINGS, b.p);
    sh_buf_done(&b);
}

const char *sh_runtime_name(void) {
    (void)pthread_once(&name_once, name_make);
    return name_text;
}

const char *sh_runtime_settings(void) {
    (void)pthread_once(&name_once, name_make);
    return settings_text;
}

int sh_runtime_error(struct sh_err *err, int code, const char *what, wasmtime_error_t *error) {
    static const char trace[] = "\n\nStack backtrace:"; /* ours, where RUST_BACKTRACE is set */
    wasm_byte_vec_t message;
    const char *end;
    size_t n;

    wasmtime_error_message(error, &message);
    end = memmem(message.data, message.size, trace, sizeof(trace) - 1);
    n = end ? (size_t)(end - message.data) : message.size;
    n = n < 400 ? n : 400;
    (void)sh_fail(err, code, "%s: %.*s", what, (int)n, message.data);
    wasm_byte_vec_delete(&message);
    wasmtime_error_delete(error);
    return -code;
}
