/* One instance: a store, a guest, and the call that is under way. Private to microsandbox. */
#ifndef SH_MICROSANDBOX_AGENT_H
#define SH_MICROSANDBOX_AGENT_H

#include "microsandbox/runtime.h"

/* The calls that make a run, in order; which of them a module needs is known from its exports. */
enum sh_agent_phase {
    SH_PHASE_INSTANTIATE, /* with a start section that is guest code already */
    SH_PHASE_INITIALIZE,  /* _initialize, before run_workflow */
    SH_PHASE_ALLOC,       /* alloc(input length) */
    SH_PHASE_RUN,         /* _start or run_workflow */
    SH_PHASE_DONE,
};

struct sh_agent {
    struct sh_sandbox *sandbox;
    struct sh_module *module;      /* one reference */
    struct sh_agent_config config; /* deep copy, but for caps */
    char **argv, **env;
    char *workspace, *bytes; /* bytes: input, stdin and state, one behind the other */

    struct sh_guest guest;
    struct sh_wasi *wasi;

    wasmtime_store_t *store;
    wasmtime_instance_t instance;
    wasmtime_memory_t memory;
    bool has_memory;

    enum sh_agent_phase phase;
    wasmtime_call_future_t *future;
    /* Slots that the future writes to: pinned, and freed after it. */
    wasmtime_func_t function;
    wasmtime_val_t args[2], results[1];
    wasm_trap_t *trap;
    wasmtime_error_t *error;
    uint32_t input_at; /* where alloc put the input */

    /* The host call that has not answered yet. */
    struct {
        const struct sh_host_function *function;
        uint64_t args[SH_HOST_PARAMS_MAX];
        wasmtime_val_t *results;
        wasm_trap_t **trap;
    } call;
    bool waiting; /* it said so in this step */
    unsigned calls_in_step;
    uint64_t step_began_ns;

    uint64_t fuel_set, fuel_used, memory_bytes; /* as of the last suspension */
    struct sh_buf backtrace;
};

#endif
