/* native_sandbox: what Wasmtime's C API leaves out. The rest of native/ is in native.h. */
#ifndef SH_NATIVE_SANDBOX_H
#define SH_NATIVE_SANDBOX_H

#include <stddef.h>
#include <stdint.h>

struct wasmtime_store; /* wasmtime_store_t */
struct wasm_config_t;

/* What the memory and the tables of one store may grow to, and what was refused since. The caller's
 * own memory: it outlives the store, and is read only while no guest code of the store runs. */
struct sh_native_limits {
    uint64_t memory_bytes;   /* of the one memory */
    uint64_t table_elements; /* of each table */
    uint64_t tables;
    uint64_t
        memory_refusals; /* growths beyond memory_bytes; a module's own maximum is not counted */
    uint64_t memory_asked_bytes; /* the size that the last of them asked for */
    uint64_t table_refusals;
    uint64_t table_asked;
    uint64_t host_failures; /* growths within the limits that the kernel refused: the call traps */
};
/* One instance, one memory. needs  a store without instances */
void sh_native_store_limit(struct wasmtime_store *store, struct sh_native_limits *limits);

/* Traps carry no file and line of Wasmtime's own, whatever the environment says.
 * needs  a configuration from wasm_config_new, not yet an engine's */
void sh_native_config_no_details(struct wasm_config_t *config);

/* A section of debugging information, ".debug_line" and so on: the caller's memory. */
struct sh_native_section {
    const char *name;
    size_t name_len;
    const uint8_t *bytes;
    size_t len;
};
/* A place in the source; empty and 0: not known. Views for the time of the call. */
struct sh_native_place {
    const char *function; /* in readable form */
    size_t function_len;
    const char *file;
    size_t file_len;
    uint32_t line;
};
/* Call `place` for each of the `n` addresses (offsets in the code section) that the sections know
 * of, in order: the innermost of the functions that were inlined there first, itself last, 16 at
 * most. The sections may lie: it can take any time and memory, and end the process.
 * gives  0, or -1 when the sections could not be read */
int sh_native_lines(const struct sh_native_section *sections, size_t n_sections,
                    const uint64_t *addresses, size_t n,
                    void (*place)(void *arg, size_t index, const struct sh_native_place *place),
                    void *arg);

/* A Rust panic at the border to C, as a fault in Wasmtime would be: SIGABRT. For tests. */
void sh_native_debug_panic(void) __attribute__((noreturn));

#endif
