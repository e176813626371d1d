/* What depends on Wasmtime's version, and the private structures of the sandbox. */
#ifndef SH_MICROSANDBOX_RUNTIME_H
#define SH_MICROSANDBOX_RUNTIME_H

#include <pthread.h>
#include <stdatomic.h>
#include <wasmtime.h>

#include "microsandbox/guest_calls.h"
#include "microsandbox/guest_scan.h"
#include "microsandbox/microsandbox.h"
#include "microsandbox/wasi.h"

#define SH_WASMTIME_VERSION "40.0.4"
#define SH_AGENTS_DEFAULT 4096 /* slots of the pool: 4 GiB of addresses each */
#define SH_HOST_PARAMS_MAX 9   /* path_open has the most */

/* One importable function, of either module. */
struct sh_host_function {
    const char *module, *name, *params;
    bool returns, may_wait;
    int (*shannon)(struct sh_guest *g, const struct sh_mem *m, const uint64_t *args);
    int (*wasi)(struct sh_wasi *w, const struct sh_mem *m, const uint64_t *args);
};

struct sh_sandbox {
    wasm_engine_t *engine;
    wasmtime_linker_t *linker;
    struct sh_host_function *functions; /* callbacks point into it */
    char *aot_dir, *worker;
    char **protected_paths; /* NULL-terminated, or NULL */
    int aot_fd;             /* -1: none */
    uint64_t slice_fuel;
    unsigned agents_max;
    atomic_uint agents;
    pthread_mutex_t lock;         /* of `modules` and their counts */
    pthread_mutex_t compile_lock; /* one compiler at a time: each may take gigabytes */
    struct sh_list modules;
};

struct sh_module {
    struct sh_list node;
    struct sh_sandbox *sandbox;
    unsigned refs; /* under sandbox->lock */
    struct sh_hash hash;
    struct sh_scan scan;
    wasmtime_module_t *wasmtime;
    wasmtime_instance_pre_t *pre;
};

/* The engine that code is generated for; pooled or not makes no difference to the code. agents 0:
 * no pool (the compiler's). NULL: refused by Wasmtime, err says why. */
wasm_engine_t *sh_runtime_engine(unsigned agents, struct sh_err *err);
/* "wasmtime 40.0.4 x86_64 +sse3+..."; static */
const char *sh_runtime_name(void);
/* Names everything that an artifact depends on besides its module. */
const char *sh_runtime_settings(void);

/* Does the operator want file and line in backtraces? By this variable, which Wasmtime defines. */
#define SH_RUNTIME_DETAILS "WASMTIME_BACKTRACE_DETAILS"
bool sh_runtime_details(void);

/* Consume a Wasmtime error: its message, cut, into err with this code. Returns -code. */
int sh_runtime_error(struct sh_err *err, int code, const char *what, wasmtime_error_t *error);

/* hostcalls.c: every importable function. fails  SH_E_INTERNAL */
int sh_hostcalls_define(struct sh_sandbox *s, struct sh_err *err);
bool sh_hostcalls_resolve(struct sh_str module, struct sh_str name, struct sh_signature *ret);

/* artifact.c: the compiled form of a module, from disk or from the compiler.
 * fails  SH_E_MODULE, SH_E_COMPILE, SH_E_IO, SH_E_NOSPC */
int sh_artifact_load(struct sh_sandbox *s, const struct sh_hash *module, struct sh_str wasm,
                     wasmtime_module_t **ret, struct sh_err *err);
/* From disk alone; -SH_E_NOT_FOUND and others: not there, or not as it should be. */
int sh_artifact_find(struct sh_sandbox *s, const struct sh_hash *module, wasmtime_module_t **ret);
/* The rules of files in the folder of artifacts. Open one: regular, ours, one link, mode 0400; -1
 * when it is not, or not there. Make `fd`, written under a temporary name, the file `name`, for
 * good; -1 with errno. */
#define SH_ARTIFACT_NAME_BYTES (SH_HASH_HEX_BYTES + 16)
int sh_artifact_open(int dir, const char *name);
void sh_artifact_temporary(char out[SH_ARTIFACT_NAME_BYTES]);
int sh_artifact_publish(int dir, int fd, const char *temporary, const char *name);

/* module_index.c: the hash and the scan of an open file whose `st` is as it was noted. */
struct stat;
bool sh_index_find(struct sh_sandbox *s, int file, const struct stat *st, struct sh_hash *ret_hash,
                   struct sh_scan *ret_scan);
/* Note them; `st` is from before the file was read, and it did not change since. */
void sh_index_note(struct sh_sandbox *s, int file, const struct stat *st,
                   const struct sh_hash *hash, const struct sh_scan *scan);

/* compile.c: run the worker on `wasm`; the artifact is written to fd. */
int sh_compile(struct sh_sandbox *s, struct sh_str wasm, int fd, struct sh_err *err);

/* trap.c: fill `end` from what a call came back with; consumes both (either may be NULL). The
 * backtrace is appended to `text`, which must outlive `end`. */
void sh_trap_read(struct sh_agent_end *end, struct sh_buf *text, wasm_trap_t *trap,
                  wasmtime_error_t *error);

#endif
