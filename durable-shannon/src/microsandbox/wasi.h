/* WASI preview 1 in C over struct sh_mem: no Wasmtime here, so that it is tested and fuzzed alone.
 */
#ifndef SH_WASI_H
#define SH_WASI_H

#include "microsandbox/guest.h"

struct sh_wasi; /* descriptors, preopens and devices of one agent */

/* Opens mounts (checked against SEMANTICS 20), the workspace as `/`, `/work` and `/dev`.
 * needs  guest initialised       fails  SH_E_DENIED, SH_E_IO, SH_E_LIMIT */
int sh_wasi_new(struct sh_guest *g, struct sh_wasi **ret, struct sh_err *err);
struct sh_wasi *sh_wasi_free(struct sh_wasi *w);
/* After SH_WAIT_FILE: has the file call ended? Else `ready` is called once when it has, from a
 * thread of the pool. unwait: no call of ready lasts past it. */
bool sh_wasi_file_wait(struct sh_wasi *w, void (*ready)(void *arg), void *arg);
void sh_wasi_file_unwait(struct sh_wasi *w);

/* One function of the module wasi_snapshot_preview1. `params` has a letter each: i = i32, I = i64;
 * all but proc_exit return i32. fn gives an errno (0..76), SH_CALL_PENDING, SH_CALL_AGAIN or
 * SH_CALL_END. args[k] holds the k-th parameter, zero-extended. may_wait: can it ever give one of
 * the first two? */
struct sh_wasi_function {
    const char *name, *params;
    bool returns, may_wait;
    int (*fn)(struct sh_wasi *w, const struct sh_mem *m, const uint64_t *args);
};
extern const struct sh_wasi_function sh_wasi_functions[];
extern const size_t sh_wasi_functions_n; /* 46 */

#endif
