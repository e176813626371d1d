/* One instance: a store, a guest, and the call that is under way. Private to microsandbox. */
#ifndef SH_MICROSANDBOX_AGENT_H
#define SH_MICROSANDBOX_AGENT_H

#include "microsandbox/runtime.h"
#include "native_sandbox.h"

/* The calls that make a run, in order; which of them a module needs is known from its exports. */
enum sh_agent_phase {
    SH_PHASE_INSTANTIATE, /* with a start section that is guest code already */
    SH_PHASE_INITIALIZE,  /* _initialize, before run_workflow */
    SH_PHASE_ALLOC,       /* alloc(input length) */
    SH_PHASE_RUN,         /* _start or run_workflow */
    SH_PHASE_LINES,       /* it has ended; where is being looked up */
    SH_PHASE_DONE,
};

#define SH_RATE_LOOK 4096

struct sh_agent {
    struct sh_sandbox *sandbox;
    struct sh_module *module;      /* one reference */
    struct sh_agent_config config; /* deep copy, but for caps */
    char **argv, **env;
    char *workspace, *blobs, *bytes; /* bytes: input, stdin and state, one behind the other */
    struct sh_buf input_text;        /* an input that is too large for a copy, or empty */

    struct sh_guest guest;
    struct sh_wasi *wasi;

    wasmtime_store_t *store;
    struct sh_native_limits growth; /* of the store: outlives it */
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

    /* Host calls per second: a bucket of one second's calls, looked at once in SH_RATE_LOOK. */
    struct {
        uint32_t since_look;
        int64_t tokens; /* below 0: a debt, to be waited off */
        uint64_t looked_ns;
        bool slowed; /* it is to yield at the next chance, for the debt's sake */
    } rate;

    uint64_t fuel_set, fuel_used, memory_bytes; /* as of the last suspension */
    struct sh_buf backtrace;
    struct sh_lines_job *lines; /* under way: the end waits for it */
};

/* agent_limits.c: limits of memory and tables, before anything is instantiated; and after an end:
 * a trap or a status that came of a refusal is SH_E_MEMORY, one that came of the machine's own lack
 * of memory SH_E_NOMEM. */
void sh_agent_limits_set(struct sh_agent *a);
void sh_agent_limits_end(struct sh_agent *a);

#ifdef SH_FAULTS
/* debug_abort.c: aborts the process where SHANNON_DEBUG_ABORT asks for it. */
void sh_debug_abort(const struct sh_host_function *f, const struct sh_mem *m, const uint64_t *args);
#endif

#endif
