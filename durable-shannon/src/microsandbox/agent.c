/* One agent from birth to death.
 *
 *   INSTANTIATE -> [INITIALIZE] -> [ALLOC] -> RUN -> [LINES] -> DONE
 *
 * Each phase up to RUN is one asynchronous call. step() polls it once; when it is over, its
 * result is read and the next one begins, until something suspends or the guest has ended. At any
 * suspension the agent may be freed: the future goes first, then the store, then what they used. */
#include "microsandbox/agent.h"

#include <stdio.h>

#include "microsandbox/lines.h"

/* --- configuration -------------------------------------------------------------------------- */

static size_t strings_measure(const char *const *v, size_t *ret_n) {
    size_t bytes = 0, n = 0;

    for (; v && v[n]; n++) {
        bytes += strlen(v[n]) + 1;
    }
    *ret_n = n;
    return bytes + n * sizeof(uint32_t); /* the guest's pointer to each */
}

static char **strings_copy(const char *const *v, size_t n) {
    char **copy = sh_new_array(char *, n + 1);

    for (size_t i = 0; i < n; i++) {
        copy[i] = sh_strdup(v[i]);
    }
    return copy;
}

static void strings_free(char **v) {
    for (size_t i = 0; v && v[i]; i++) {
        sh_free(v[i]);
    }
    sh_free(v);
}

static int config_check(const struct sh_agent_config *c, struct sh_err *err) {
    size_t n;
    size_t bytes = strings_measure(c->argv, &n) + strings_measure(c->env, &n);

    if (bytes > SH_ARGS_BYTES_MAX) {
        return sh_fail(err, SH_E_LIMIT,
                       "arguments and environment have %zu bytes, at most %llu are accepted", bytes,
                       (unsigned long long)SH_ARGS_BYTES_MAX);
    }
    if (c->input.len > SH_INPUT_MAX || (c->input_text && c->input_text->len > SH_PAYLOAD_MAX)) {
        return sh_fail(err, SH_E_LIMIT,
                       "the input has %zu bytes, at most %llu are accepted, or %llu as a blob",
                       c->input_text ? c->input_text->len : c->input.len,
                       (unsigned long long)SH_INPUT_MAX, (unsigned long long)SH_PAYLOAD_MAX);
    }
    if (c->state.len > SH_CHECKPOINT_MAX) {
        return sh_fail(err, SH_E_LIMIT, "the checkpoint has %zu bytes, at most %llu are accepted",
                       c->state.len, (unsigned long long)SH_CHECKPOINT_MAX);
    }
    return 0;
}

static struct sh_str bytes_move(char **at, struct sh_str s) {
    char *p = *at;

    if (!s.len) {
        return (struct sh_str){NULL, 0};
    }
    memcpy(p, s.p, s.len);
    *at += s.len;
    return sh_strn(p, s.len);
}

static int config_copy(struct sh_agent *a, const struct sh_agent_config *c, struct sh_err *err) {
    size_t n_argv, n_env, n = c->input.len + c->stdin_bytes.len + c->state.len;
    char *at;
    int r = config_check(c, err);

    if (r < 0) {
        return r;
    }
    a->bytes = sh_try_alloc(n + 1, SH_HTTP_BODY_MAX + SH_INPUT_MAX + SH_CHECKPOINT_MAX);
    if (!a->bytes) {
        return sh_fail(err, SH_E_LIMIT,
                       "input, standard input and checkpoint have %zu bytes, too "
                       "many to hold",
                       n);
    }
    at = a->bytes;
    a->config = *c;
    a->config.protected_paths = (const char *const *)a->sandbox->protected_paths;
    a->config.files = a->sandbox->files;
    a->config.input = bytes_move(&at, c->input);
    if (c->input_text) { /* too large for a copy */
        a->input_text = *c->input_text;
        *c->input_text = (struct sh_buf){0};
        a->config.input = sh_buf_str(&a->input_text);
        a->config.input_text = NULL;
    }
    a->config.stdin_bytes = bytes_move(&at, c->stdin_bytes);
    a->config.state = bytes_move(&at, c->state);
    (void)strings_measure(c->argv, &n_argv);
    (void)strings_measure(c->env, &n_env);
    a->argv = strings_copy(c->argv, n_argv);
    a->env = strings_copy(c->env, n_env);
    a->config.argv = (const char *const *)a->argv;
    a->config.env = (const char *const *)a->env;
    a->workspace = c->workspace ? sh_strdup(c->workspace) : NULL;
    a->config.workspace = a->workspace;
    a->blobs = c->blobs ? sh_strdup(c->blobs) : NULL;
    a->config.blobs = a->blobs;
    return 0;
}

/* --- the end -------------------------------------------------------------------------------- */

/* Deletes what the last call left. The future first: it may still hold the slots. */
static void future_drop(struct sh_agent *a) {
    if (a->future) {
        wasmtime_call_future_delete(a->future);
        a->future = NULL;
    }
}

static void counters_read(struct sh_agent *a) {
    wasmtime_context_t *ctx = wasmtime_store_context(a->store);
    wasmtime_error_t *error;
    uint64_t left = 0;

    error = wasmtime_context_get_fuel(ctx, &left);
    if (error) {
        wasmtime_error_delete(error);
    }
    a->fuel_used = a->config.fuel_used + (a->fuel_set - left);
    a->memory_bytes = a->has_memory ? wasmtime_memory_data_size(ctx, &a->memory) : 0;
}

/* Is what a trap's lines are found in still being read? Then that is what the end waits for. */
static enum sh_agent_status lines_wait(struct sh_agent *a) {
    struct sh_agent_end *end = &a->guest.end;

    if (a->lines && !sh_lines_wait(a->lines, NULL, NULL)) {
        a->guest.wait = (struct sh_agent_wait){.kind = SH_WAIT_FILE};
        return SH_AGENT_WAITING;
    }
    if (a->lines) {
        struct sh_str found = sh_lines_backtrace(a->lines);

        sh_buf_clear(&a->backtrace);
        sh_buf_add(&a->backtrace, found.p, found.len);
        end->backtrace = sh_buf_str(&a->backtrace);
        sh_trap_say_where(end);
        a->lines = sh_lines_drop(a->lines);
    }
    a->phase = SH_PHASE_DONE;
    return SH_AGENT_FINISHED;
}

static enum sh_agent_status finish(struct sh_agent *a) {
    struct sh_guest *g = &a->guest;

    future_drop(a);
    a->phase = SH_PHASE_LINES;
    if (a->trap || a->error) {
        if (!g->ended) {
            g->ended = true;
            sh_trap_read(&g->end, &a->backtrace, a->module->scan.functions, a->trap, a->error);
            if (g->end.code == SH_E_FUEL) {
                (void)snprintf(
                    g->end.message, sizeof(g->end.message),
                    "the agent used up its fuel of %llu; raise limits.fuel to allow more",
                    (unsigned long long)g->limits.fuel);
            }
        } else {
            struct sh_agent_end ignored = {0};

            sh_trap_read(g->end.code && g->end.code != SH_E_EXIT ? &ignored : NULL, &a->backtrace,
                         a->module->scan.functions, a->trap, a->error);
            g->end.backtrace = ignored.backtrace;
        }
        a->trap = NULL;
        a->error = NULL;
    }
    g->ended = true;
    counters_read(a);
    g->end.peak_memory_bytes = a->memory_bytes;
    sh_agent_limits_end(a);
    a->lines = sh_lines_start(a->module, g->end.backtrace);
    return lines_wait(a);
}

/* --- phases --------------------------------------------------------------------------------- */

static void begin_call(struct sh_agent *a, const char *name, size_t nargs, size_t nresults) {
    wasmtime_context_t *ctx = wasmtime_store_context(a->store);
    wasmtime_extern_t item;
    bool found = wasmtime_instance_export_get(ctx, &a->instance, name, strlen(name), &item);

    SH_ASSERT(found && item.kind == WASMTIME_EXTERN_FUNC); /* the scan has seen it */
    a->function = item.of.func;
    wasmtime_extern_delete(&item);
    a->future = wasmtime_func_call_async(ctx, &a->function, a->args, nargs, a->results, nresults,
                                         &a->trap, &a->error);
}

static void begin_instantiate(struct sh_agent *a) {
    a->phase = SH_PHASE_INSTANTIATE;
    a->future = wasmtime_instance_pre_instantiate_async(
        a->module->pre, wasmtime_store_context(a->store), &a->instance, &a->trap, &a->error);
}

static void begin_run(struct sh_agent *a) {
    bool command = a->module->scan.command;

    a->phase = SH_PHASE_RUN;
    if (command) {
        begin_call(a, "_start", 0, 0);
        return;
    }
    a->args[0] = (wasmtime_val_t){.kind = WASMTIME_I32, .of = {.i32 = (int32_t)a->input_at}};
    a->args[1] =
        (wasmtime_val_t){.kind = WASMTIME_I32, .of = {.i32 = (int32_t)a->config.input.len}};
    begin_call(a, "run_workflow", 2, 1);
}

static void begin_alloc(struct sh_agent *a) {
    a->phase = SH_PHASE_ALLOC;
    a->args[0] =
        (wasmtime_val_t){.kind = WASMTIME_I32, .of = {.i32 = (int32_t)a->config.input.len}};
    begin_call(a, "alloc", 1, 1);
}

static void after_instantiate(struct sh_agent *a) {
    wasmtime_extern_t item;

    if (!a->has_memory && a->module->scan.memory &&
        wasmtime_instance_export_get(wasmtime_store_context(a->store), &a->instance, "memory", 6,
                                     &item)) {
        a->memory = item.of.memory;
        a->has_memory = true;
        wasmtime_extern_delete(&item);
    }
    if (a->module->scan.command) {
        begin_run(a);
    } else if (a->module->scan.initialize) {
        a->phase = SH_PHASE_INITIALIZE;
        begin_call(a, "_initialize", 0, 0);
    } else {
        begin_alloc(a);
    }
}

static struct sh_mem agent_memory(const struct sh_agent *a) {
    wasmtime_context_t *ctx = wasmtime_store_context(a->store);

    if (!a->has_memory) {
        return (struct sh_mem){NULL, 0};
    }
    return (struct sh_mem){wasmtime_memory_data(ctx, &a->memory),
                           wasmtime_memory_data_size(ctx, &a->memory)};
}

static void after_alloc(struct sh_agent *a) {
    struct sh_mem m = agent_memory(a);
    size_t n = a->config.input.len;
    void *p;

    a->input_at = (uint32_t)a->results[0].of.i32;
    p = sh_mem_at(&m, a->input_at, n);
    if (!p || (n && !a->input_at)) {
        (void)sh_guest_end(
            &a->guest, SH_E_TRAP,
            "alloc(%zu) returned %u, which is not room for the input in %zu bytes of "
            "memory",
            n, a->input_at, m.len);
        return;
    }
    if (n) {
        memcpy(p, a->config.input.p, n);
    }
    begin_run(a);
}

/* The result of an agent that has ended: it cannot be made to wait for room, nor be told that it is
 * no text. */
static void give(struct sh_guest *g, struct sh_str result) {
    if (result.len <= SH_OUTPUT_MAX) {
        g->result_given = true;
        sh_guest_effect(g, SH_EFFECT_RESULT, 0, 0, (struct sh_str){NULL, 0}, result);
    } else {
        (void)sh_guest_give(g, result);
    }
}

/* The result of run_workflow: pointer in the upper half, length in the lower. */
static void after_run(struct sh_agent *a) {
    struct sh_guest *g = &a->guest;
    struct sh_mem m = agent_memory(a);
    uint64_t packed;
    void *p;

    g->ended = true;
    if (a->module->scan.command) {
        return;
    }
    packed = (uint64_t)a->results[0].of.i64;
    p = sh_mem_at(&m, packed >> 32, packed & UINT32_MAX);
    g->ended = false;
    if (!p) {
        (void)sh_guest_end(g, SH_E_TRAP,
                           "run_workflow returned %llu bytes at %llu, outside of its memory of %zu "
                           "bytes (expected pointer << 32 | length)",
                           (unsigned long long)(packed & UINT32_MAX),
                           (unsigned long long)(packed >> 32), m.len);
    } else if ((packed & UINT32_MAX) > SH_PAYLOAD_MAX) {
        (void)sh_guest_end(g, SH_E_OUTPUT,
                           "run_workflow returned %llu bytes, at most %llu are "
                           "accepted",
                           (unsigned long long)(packed & UINT32_MAX),
                           (unsigned long long)SH_PAYLOAD_MAX);
    } else if ((packed & UINT32_MAX) && !g->result_given) {
        give(g, sh_strn(p, packed & UINT32_MAX));
    }
    g->ended = true;
}

/* A call has returned without trap or error: read it and begin the next. */
static void advance(struct sh_agent *a) {
    future_drop(a);
    switch (a->phase) {
    case SH_PHASE_INSTANTIATE:
        after_instantiate(a);
        break;
    case SH_PHASE_INITIALIZE:
        begin_alloc(a);
        break;
    case SH_PHASE_ALLOC:
        after_alloc(a);
        break;
    case SH_PHASE_RUN:
        after_run(a);
        break;
    case SH_PHASE_LINES:
    case SH_PHASE_DONE:
        break;
    }
}

/* --- new and free --------------------------------------------------------------------------- */

/* Claims one of the pool's slots. */
static int slot_take(struct sh_sandbox *s, struct sh_err *err) {
    unsigned before = atomic_fetch_add(&s->agents, 1);

    if (before >= s->agents_max || SH_FAULT(sandbox_slot)) {
        atomic_fetch_sub(&s->agents, 1);
        return sh_fail(err, SH_E_UNAVAILABLE,
                       "%u agents are in memory, at most %u fit: wait for one to end", before,
                       s->agents_max);
    }
    return 0;
}

static int store_make(struct sh_agent *a, struct sh_err *err) {
    struct sh_limits *l = &a->guest.limits;
    wasmtime_context_t *ctx;
    wasmtime_error_t *error;

    if (l->memory_bytes > SH_MEMORY_MAX) {
        l->memory_bytes = SH_MEMORY_MAX;
    }
    if (a->module->scan.memory_min_bytes > l->memory_bytes) {
        return sh_fail(err, SH_E_MEMORY,
                       "the module asks for %llu bytes of memory, its limit is %llu: raise "
                       "limits.memory to allow more",
                       (unsigned long long)a->module->scan.memory_min_bytes,
                       (unsigned long long)l->memory_bytes);
    }
    a->rate.tokens = (int64_t)a->sandbox->host_calls_per_s;
    a->rate.looked_ns = sh_mono_ns();
    a->store = wasmtime_store_new(a->sandbox->engine, a, NULL);
    sh_agent_limits_set(a);
    ctx = wasmtime_store_context(a->store);
    a->fuel_set = l->fuel > a->config.fuel_used ? l->fuel - a->config.fuel_used : 0;
    a->fuel_used = a->config.fuel_used;
    error = wasmtime_context_set_fuel(ctx, a->fuel_set);
    if (!error) {
        error = wasmtime_context_fuel_async_yield_interval(ctx, a->sandbox->slice_fuel);
    }
    return error ? sh_runtime_error(err, SH_E_INTERNAL, "setting fuel", error) : 0;
}

/* Without a start section instantiating runs no guest code, so its errors belong to the caller. */
static int instantiate_now(struct sh_agent *a, struct sh_err *err) {
    begin_instantiate(a);
    if (a->module->scan.start_section) {
        return 0;
    }
    if (!wasmtime_call_future_poll(a->future)) {
        return sh_fail(err, SH_E_INTERNAL, "instantiating a module without code suspended");
    }
    future_drop(a);
    if (a->trap || a->error) {
        struct sh_agent_end end = {0};

        sh_trap_read(&end, &a->backtrace, a->module->scan.functions, a->trap, a->error);
        a->trap = NULL;
        a->error = NULL;
        return sh_fail(err, end.trap ? SH_E_MODULE : SH_E_LIMIT,
                       "the module cannot be instantiated: %s", end.message);
    }
    after_instantiate(a);
    return 0;
}

int sh_agent_new(struct sh_sandbox *s, const struct sh_agent_config *config, struct sh_agent **ret,
                 struct sh_err *err) {
    struct sh_agent *a;
    int r = slot_take(s, err);

    if (r < 0) {
        return r;
    }
    a = sh_new(struct sh_agent);
    a->sandbox = s;
    a->module = sh_module_ref(config->module);
    sh_buf_init(&a->backtrace, 256 * SH_KIB);
    if ((r = config_copy(a, config, err)) == 0) {
        sh_guest_init(&a->guest, &a->config);
        if ((r = sh_wasi_new(&a->guest, &a->wasi, err)) == 0 && (r = store_make(a, err)) == 0) {
            r = instantiate_now(a, err);
        }
        a->config.caps = NULL; /* the caller's, who keeps them until now */
    }
    if (r < 0) {
        (void)sh_agent_free(a);
        return r;
    }
    *ret = a;
    return 0;
}

struct sh_agent *sh_agent_free(struct sh_agent *a) {
    if (!a) {
        return NULL;
    }
    future_drop(a); /* before the store: the reverse order crashes */
    if (a->trap) {
        wasm_trap_delete(a->trap);
    }
    if (a->error) {
        wasmtime_error_delete(a->error);
    }
    if (a->store) {
        wasmtime_store_delete(a->store);
    }
    sh_lines_drop(a->lines);
    sh_wasi_free(a->wasi);
    if (a->guest.config) {
        sh_guest_done(&a->guest);
    }
    strings_free(a->argv);
    strings_free(a->env);
    sh_free(a->workspace);
    sh_free(a->blobs);
    sh_free(a->bytes);
    sh_buf_done(&a->input_text);
    sh_buf_done(&a->backtrace);
    sh_module_unref(a->module);
    atomic_fetch_sub(&a->sandbox->agents, 1);
    return sh_free(a);
}

/* --- stepping ------------------------------------------------------------------------------- */

/* The agent was stopped for its debt of host calls. */
static void slowed(struct sh_agent *a) {
    uint64_t debt = a->rate.tokens < 0 ? (uint64_t)-a->rate.tokens : 0;

    a->guest.wait = (struct sh_agent_wait){
        .kind = SH_WAIT_RATE, .delay_ns = debt * 1000000000 / a->sandbox->host_calls_per_s};
}

static void slice_again(struct sh_agent *a) {
    wasmtime_error_t *error = wasmtime_context_fuel_async_yield_interval(
        wasmtime_store_context(a->store), a->sandbox->slice_fuel);

    SH_ASSERT(!error);
    a->rate.slowed = false;
}

void sh_agent_live(struct sh_agent *a) {
    a->guest.live = true;
}

enum sh_agent_status sh_agent_step(struct sh_agent *a) {
    struct sh_guest *g = &a->guest;

    a->waiting = false;
    a->calls_in_step = 0;
    a->step_began_ns = sh_mono_ns();
    if (a->phase == SH_PHASE_DONE) {
        return SH_AGENT_FINISHED;
    }
    if (a->phase == SH_PHASE_LINES) {
        return lines_wait(a);
    }
    if (a->rate.slowed) {
        slice_again(a);
    }
    while (!g->ended) {
        if (!wasmtime_call_future_poll(a->future)) {
            counters_read(a);
            if (g->checkpointed) {
                return SH_AGENT_CHECKPOINT;
            }
            if (sh_guest_line_read(g)) {
                return SH_AGENT_YIELDED; /* reading takes time; others have their turn */
            }
            if (a->rate.slowed && !a->waiting) {
                slowed(a);
                return SH_AGENT_WAITING;
            }
            return a->waiting ? SH_AGENT_WAITING : SH_AGENT_YIELDED;
        }
        if (a->trap || a->error) {
            break;
        }
        advance(a);
    }
    return finish(a);
}

void sh_agent_push(struct sh_agent *a, const struct sh_tape_item *item) {
    sh_guest_push(&a->guest, item);
}

void sh_agent_wake(struct sh_agent *a) {
    a->guest.woken = true;
}

bool sh_agent_file_wait(struct sh_agent *a, void (*ready)(void *arg), void *arg) {
    return a->lines ? sh_lines_wait(a->lines, ready, arg) : sh_wasi_file_wait(a->wasi, ready, arg);
}

void sh_agent_file_unwait(struct sh_agent *a) {
    if (a->lines) {
        sh_lines_unwait(a->lines);
    } else {
        sh_wasi_file_unwait(a->wasi);
    }
}

struct sh_str sh_agent_state(const struct sh_agent *a) {
    return a->guest.config->state;
}

const struct sh_agent_wait *sh_agent_wait(const struct sh_agent *a) {
    return &a->guest.wait;
}

struct sh_buf *sh_agent_result(struct sh_agent *a) {
    return a->guest.result.len > 0 ? &a->guest.result : NULL;
}

const struct sh_effect *sh_agent_effects(struct sh_agent *a, size_t *ret_n) {
    *ret_n = a->guest.n_effects;
    return a->guest.effects;
}

void sh_agent_effects_taken(struct sh_agent *a) {
    sh_guest_effects_taken(&a->guest);
}

const struct sh_agent_end *sh_agent_end(const struct sh_agent *a) {
    return &a->guest.end;
}

struct sh_agent_counters sh_agent_counters(const struct sh_agent *a) {
    const struct sh_guest *g = &a->guest;

    return (struct sh_agent_counters){.fuel_used = a->fuel_used,
                                      .random_pos = g->random_pos,
                                      .ordinal = g->ordinal,
                                      .call_number = g->call_number,
                                      .output_offset = {g->output_offset[0], g->output_offset[1]},
                                      .emitted = g->emitted,
                                      .published = g->published,
                                      .clock_us = g->clock_ns / 1000,
                                      .memory_bytes = a->memory_bytes};
}

void sh_agent_memory_digest(const struct sh_agent *a, struct sh_hash *ret) {
    struct sh_mem m = agent_memory(a);

    sh_sha256(m.base, m.len, ret);
}
