/* The bridge between Wasmtime's calling conventions and host functions over struct sh_mem.
 *
 * Functions that always answer at once are defined unchecked (a few nanoseconds). Those that may
 * wait are asynchronous: Wasmtime keeps their arguments and asks our continuation again at every
 * poll; it makes the same call again until the answer is there. No C frame stays on the fiber. */
#include "microsandbox/agent.h"

#define CLOCK_EVERY 64                    /* host calls between looks at the clock */
#define STEP_NS_MAX (20 * 1000 * 1000ULL) /* fuel does not see time spent in host functions */

static struct sh_mem memory_now(struct sh_agent *a, wasmtime_context_t *ctx) {
    if (!a->has_memory) {
        return (struct sh_mem){NULL, 0};
    }
    return (struct sh_mem){wasmtime_memory_data(ctx, &a->memory),
                           wasmtime_memory_data_size(ctx, &a->memory)};
}

/* A start section calls before the instance has been handed to us. */
static void memory_find(struct sh_agent *a, wasmtime_caller_t *caller) {
    wasmtime_extern_t item;

    if (!a->has_memory && a->module->scan.memory &&
        wasmtime_caller_export_get(caller, "memory", 6, &item)) {
        if (item.kind == WASMTIME_EXTERN_MEMORY) {
            a->memory = item.of.memory;
            a->has_memory = true;
        }
        wasmtime_extern_delete(&item);
    }
}

static int call(struct sh_agent *a, const struct sh_host_function *f, wasmtime_context_t *ctx,
                const uint64_t *args) {
    struct sh_mem m = memory_now(a, ctx);
    int r;

#ifdef SH_FAULTS
    sh_debug_abort(f, &m, args);
#endif
    r = f->shannon ? f->shannon(&a->guest, &m, args) : f->wasi(a->wasi, &m, args);
    return a->guest.ended ? SH_CALL_END : r;
}

/* The bucket as it is now; true when the agent owes at least a millisecond. */
static bool rate_look(struct sh_agent *a) {
    int64_t rate = (int64_t)a->sandbox->host_calls_per_s;
    uint64_t now = sh_mono_ns(), past = now - a->rate.looked_ns;

    past = past < 1000000000ULL ? past : 1000000000ULL;
    a->rate.tokens += (int64_t)past * rate / 1000000000 - (int64_t)a->rate.since_look;
    a->rate.tokens = a->rate.tokens < rate ? a->rate.tokens : rate;
    a->rate.looked_ns = now;
    a->rate.since_look = 0;
    return a->rate.tokens < -rate / 1000;
}

/* A call that answers at once cannot suspend; the guest yields at its next look at its fuel. How
 * often it yields is nothing that it can see, and costs no fuel. */
static void rate_yield(struct sh_agent *a, wasmtime_context_t *ctx) {
    wasmtime_error_t *error = wasmtime_context_fuel_async_yield_interval(ctx, 1);

    a->rate.slowed = error == NULL;
    if (error) {
        wasmtime_error_delete(error);
    }
}

/* Stops the instance. The reason is in guest->end, so the text is never shown. */
static wasm_trap_t *end_trap(void) {
    return wasmtime_trap_new("ended by a host function", 24);
}

static wasm_trap_t *call_now(void *env, wasmtime_caller_t *caller, wasmtime_val_raw_t *values,
                             size_t n) {
    const struct sh_host_function *f = env;
    wasmtime_context_t *ctx = wasmtime_caller_context(caller);
    struct sh_agent *a = wasmtime_context_get_data(ctx);
    uint64_t args[SH_HOST_PARAMS_MAX];
    int r;

    (void)n;
    for (size_t i = 0; f->params[i]; i++) {
        args[i] = f->params[i] == 'I' ? (uint64_t)values[i].i64 : (uint32_t)values[i].i32;
    }
    memory_find(a, caller);
    memset(&a->guest.call, 0, sizeof(a->guest.call));
    r = call(a, f, ctx, args);
    SH_ASSERT(r != SH_CALL_PENDING && r != SH_CALL_AGAIN);
    if (r == SH_CALL_END) {
        return end_trap();
    }
    if (++a->rate.since_look >= SH_RATE_LOOK && !a->rate.slowed && rate_look(a)) {
        rate_yield(a, ctx);
    }
    if (f->returns) {
        values[0].i32 = r;
    }
    return NULL;
}

/* Has this step taken so long, in host functions too, that others should have their turn? */
static bool overdue(struct sh_agent *a) {
    if (a->calls_in_step++ == 0) {
        return false; /* a step makes progress */
    }
    return a->calls_in_step % CLOCK_EVERY == 0 && sh_mono_ns() - a->step_began_ns > STEP_NS_MAX;
}

static bool call_continue(void *env) {
    struct sh_agent *a = env;
    int r;

    if (overdue(a)) {
        return false;
    }
    if (++a->rate.since_look >= SH_RATE_LOOK && a->calls_in_step > 1 && rate_look(a)) {
        a->rate.slowed = true;
        return false;
    }
    r = call(a, a->call.function, wasmtime_store_context(a->store), a->call.args);
    if (r == SH_CALL_PENDING) {
        a->waiting = true;
        return false;
    }
    if (r == SH_CALL_AGAIN) {
        return false;
    }
    if (r == SH_CALL_END) {
        *a->call.trap = end_trap();
    } else if (a->call.function->returns) {
        a->call.results[0] = (wasmtime_val_t){.kind = WASMTIME_I32, .of = {.i32 = r}};
    }
    return true;
}

static void call_async(void *env, wasmtime_caller_t *caller, const wasmtime_val_t *args,
                       size_t nargs, wasmtime_val_t *results, size_t nresults,
                       wasm_trap_t **trap_ret, wasmtime_async_continuation_t *continuation_ret) {
    const struct sh_host_function *f = env;
    struct sh_agent *a = wasmtime_context_get_data(wasmtime_caller_context(caller));

    (void)nresults;
    SH_ASSERT(nargs <= SH_HOST_PARAMS_MAX);
    for (size_t i = 0; i < nargs; i++) {
        a->call.args[i] =
            args[i].kind == WASMTIME_I64 ? (uint64_t)args[i].of.i64 : (uint32_t)args[i].of.i32;
    }
    memory_find(a, caller);
    memset(&a->guest.call, 0, sizeof(a->guest.call));
    a->call.function = f;
    a->call.results = results;
    a->call.trap = trap_ret;
    continuation_ret->callback = call_continue;
    continuation_ret->env = a;
    continuation_ret->finalizer = NULL;
}

static wasm_functype_t *function_type(const struct sh_host_function *f) {
    wasm_valtype_t *params[SH_HOST_PARAMS_MAX], *results[1];
    wasm_valtype_vec_t p, r;
    size_t n = strlen(f->params);

    SH_ASSERT(n <= SH_HOST_PARAMS_MAX);
    for (size_t i = 0; i < n; i++) {
        params[i] = wasm_valtype_new(f->params[i] == 'I' ? WASM_I64 : WASM_I32);
    }
    wasm_valtype_vec_new(&p, n, params);
    if (f->returns) {
        results[0] = wasm_valtype_new(WASM_I32);
        wasm_valtype_vec_new(&r, 1, results);
    } else {
        wasm_valtype_vec_new_empty(&r);
    }
    return wasm_functype_new(&p, &r);
}

static int define(struct sh_sandbox *s, const struct sh_host_function *f, struct sh_err *err) {
    wasm_functype_t *type = function_type(f);
    void *env = (void *)(uintptr_t)f; /* callbacks take a plain pointer and only read it */
    wasmtime_error_t *error;

    if (f->may_wait) {
        error = wasmtime_linker_define_async_func(s->linker, f->module, strlen(f->module), f->name,
                                                  strlen(f->name), type, call_async, env, NULL);
    } else {
        error =
            wasmtime_linker_define_func_unchecked(s->linker, f->module, strlen(f->module), f->name,
                                                  strlen(f->name), type, call_now, env, NULL);
    }
    wasm_functype_delete(type);
    return error ? sh_runtime_error(err, SH_E_INTERNAL, f->name, error) : 0;
}

int sh_hostcalls_define(struct sh_sandbox *s, struct sh_err *err) {
    size_t n = 0;
    int r = 0;

    s->functions =
        sh_new_array(struct sh_host_function, sh_guest_functions_n + sh_wasi_functions_n);
    for (size_t i = 0; i < sh_guest_functions_n; i++) {
        const struct sh_guest_function *f = &sh_guest_functions[i];

        s->functions[n++] = (struct sh_host_function){.module = SH_GUEST_MODULE,
                                                      .name = f->name,
                                                      .params = f->params,
                                                      .returns = true,
                                                      .may_wait = f->may_wait,
                                                      .shannon = f->fn};
    }
    for (size_t i = 0; i < sh_wasi_functions_n; i++) {
        const struct sh_wasi_function *f = &sh_wasi_functions[i];

        s->functions[n++] = (struct sh_host_function){.module = "wasi_snapshot_preview1",
                                                      .name = f->name,
                                                      .params = f->params,
                                                      .returns = f->returns,
                                                      .may_wait = f->may_wait,
                                                      .wasi = f->fn};
    }
    for (size_t i = 0; r == 0 && i < n; i++) {
        r = define(s, &s->functions[i], err);
    }
    return r;
}

bool sh_hostcalls_resolve(struct sh_str module, struct sh_str name, struct sh_signature *ret) {
    if (sh_str_eqz(module, SH_GUEST_MODULE)) {
        for (size_t i = 0; i < sh_guest_functions_n; i++) {
            if (sh_str_eqz(name, sh_guest_functions[i].name)) {
                *ret = (struct sh_signature){sh_guest_functions[i].params, "i"};
                return true;
            }
        }
    }
    if (sh_str_eqz(module, "wasi_snapshot_preview1")) {
        for (size_t i = 0; i < sh_wasi_functions_n; i++) {
            if (sh_str_eqz(name, sh_wasi_functions[i].name)) {
                *ret = (struct sh_signature){sh_wasi_functions[i].params,
                                             sh_wasi_functions[i].returns ? "i" : ""};
                return true;
            }
        }
    }
    return false;
}
