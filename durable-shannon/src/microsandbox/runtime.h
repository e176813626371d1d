/* The private structures of the sandbox. */
#ifndef SH_MICROSANDBOX_RUNTIME_H
#define SH_MICROSANDBOX_RUNTIME_H

#include <pthread.h>
#include <stdatomic.h>
#include <wasmtime.h>

#include "microsandbox/guest_calls.h"
#include "microsandbox/guest_scan.h"
#include "microsandbox/microsandbox.h"
#include "microsandbox/wasi.h"

#define SH_AGENTS_DEFAULT 4096 /* slots of the pool: 4 GiB of addresses each */
#define SH_HOST_PARAMS_MAX 9   /* path_open has the most */

/* One importable function, of either module. */
struct sh_host_function {
    const char *module, *name, *params;
    bool returns, may_wait;
    int (*shannon)(struct sh_guest *g, const struct sh_mem *m, const uint64_t *args);
    int (*wasi)(struct sh_wasi *w, const struct sh_mem *m, const uint64_t *args);
};

/* compile_queue.c */
struct sh_compile_turn {
    struct sh_list node;
    const char *name;
};
struct sh_compile_queue {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct sh_list under_way, refused;
    unsigned n_under_way, n_refused, at_once;
};

struct sh_sandbox {
    wasm_engine_t *engine;
    wasmtime_linker_t *linker;
    struct sh_host_function *functions; /* callbacks point into it */
    char *aot_dir, *worker;
    char **protected_paths; /* NULL-terminated, or NULL */
    int aot_fd;             /* -1: none */
    uint64_t slice_fuel;
    uint64_t host_calls_per_s;
    struct sh_files *files;
    unsigned agents_max;
    atomic_uint agents;
    pthread_mutex_t lock; /* of `modules` and their counts */
    struct sh_list modules;
    struct sh_compile_queue compiling;
    struct sh_lines_pool *lines;
};

struct sh_module {
    struct sh_list node;
    struct sh_sandbox *sandbox;
    unsigned refs; /* under sandbox->lock */
    struct sh_hash hash;
    struct sh_scan scan;
    wasmtime_module_t *wasmtime;
    wasmtime_instance_pre_t *pre;
    int lines_fd; /* what lines are found by, where artifacts live in memory; or -1 */
};

/* The engine that code is generated for; pooled or not makes no difference to the code. agents 0:
 * no pool (the compiler's). NULL: refused by Wasmtime, err says why. */
wasm_engine_t *sh_runtime_engine(unsigned agents, struct sh_err *err);
/* "wasmtime 40.0.4 metering 2 x86_64 +sse3+..."; static */
const char *sh_runtime_name(void);
/* Do bulk instructions pay for their length? Else sh_guest_meter sees to it. */
bool sh_runtime_counts_bulk(void);
/* Names everything that an artifact depends on besides its module. */
const char *sh_runtime_settings(void);

/* Consume a Wasmtime error: its message, cut, into err with this code. Returns -code. */
int sh_runtime_error(struct sh_err *err, int code, const char *what, wasmtime_error_t *error);

/* hostcalls.c: every importable function. fails  SH_E_INTERNAL */
int sh_hostcalls_define(struct sh_sandbox *s, struct sh_err *err);
bool sh_hostcalls_resolve(struct sh_str module, struct sh_str name, struct sh_signature *ret);

/* artifact.c: the compiled form of a module, from disk or from the compiler.
 * fails  SH_E_MODULE, SH_E_COMPILE, SH_E_IO, SH_E_NOSPC */
int sh_artifact_load(struct sh_sandbox *s, const struct sh_hash *module, struct sh_str wasm,
                     wasmtime_module_t **ret, int *ret_lines_fd, struct sh_err *err);
/* From disk alone; -SH_E_NOT_FOUND and others: not there, or not as it should be. */
int sh_artifact_find(struct sh_sandbox *s, const struct sh_hash *module, wasmtime_module_t **ret);
/* Open what its lines are found by (guest_lines.h), from disk. -1: there is nothing. */
int sh_artifact_lines(struct sh_sandbox *s, const struct sh_hash *module);
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

/* compile.c: run the worker on `wasm`; the artifact is written to fd, the record of its lines, if
 * there is one, to `lines`. *ret_died: it failed, and
 * would again, because the compiler died of the module. */
int sh_compile(struct sh_sandbox *s, struct sh_str wasm, int fd, int lines, bool *ret_died,
               struct sh_err *err);

/* compile_worker.c: validate, meter and compile in this process, which a hostile module may take
 * down or hold up; the artifact is written to fd, the record of lines to `lines` (-1: not kept). */
int sh_compile_here(wasm_engine_t *engine, struct sh_str given, int fd, int lines,
                    struct sh_err *err);

/* compile_queue.c: wait for a place, and until nobody compiles what has this name (borrowed until
 * left). What the compiler died of: SH_E_COMPILE with the reason and how to try again. */
void sh_compile_queue_init(struct sh_compile_queue *q);
void sh_compile_queue_done(struct sh_compile_queue *q);
void sh_compile_enter(struct sh_compile_queue *q, const char *name, struct sh_compile_turn *turn);
void sh_compile_leave(struct sh_compile_queue *q, struct sh_compile_turn *turn);
int sh_refused_check(struct sh_sandbox *s, const char *name, struct sh_err *err);
void sh_refused_note(struct sh_sandbox *s, const char *name, const struct sh_err *why);

/* trap.c: fill `end` from what a call came back with; consumes both (either may be NULL). The
 * backtrace is appended to `text`, which must outlive `end`; functions from `functions` on are what
 * the metering added, and are left out. */
void sh_trap_read(struct sh_agent_end *end, struct sh_buf *text, uint32_t functions,
                  wasm_trap_t *trap, wasmtime_error_t *error);
/* The end's message says where, now that the first frame of its backtrace knows file and line. */
void sh_trap_say_where(struct sh_agent_end *end);

#endif
