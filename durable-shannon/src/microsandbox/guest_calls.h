/* The functions of import module "shannon", over struct sh_mem: no Wasmtime here. */
#ifndef SH_GUEST_CALLS_H
#define SH_GUEST_CALLS_H

#include "microsandbox/guest.h"

#define SH_GUEST_MODULE "shannon"

/* All parameters and the result are i32. fn gives a value >= 0, a WASI errno negated,
 * SH_CALL_PENDING or SH_CALL_END. args[k] holds the k-th parameter, zero-extended. */
struct sh_guest_function {
    const char *name, *params;
    bool may_wait;
    int (*fn)(struct sh_guest *g, const struct sh_mem *m, const uint64_t *args);
};
extern const struct sh_guest_function sh_guest_functions[];
extern const size_t sh_guest_functions_n;

#endif
