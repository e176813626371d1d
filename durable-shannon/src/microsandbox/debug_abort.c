/* A module that really takes the process down, for tests of what comes after it: with
 * SHANNON_DEBUG_ABORT=emit:NAME, an agent's emit of type NAME panics in Rust at the border to C,
 * on the executor, as a fault in Wasmtime would. Not in release builds. */
#include "microsandbox/agent.h"

#ifdef SH_FAULTS

#include <stdlib.h>

#define PREFIX "emit:"

void sh_debug_abort(const struct sh_host_function *f, const struct sh_mem *m,
                    const uint64_t *args) {
    const char *plan, *name;

    if (!f->shannon || strcmp(f->name, "emit") != 0) {
        return;
    }
    plan = getenv("SHANNON_DEBUG_ABORT");
    if (!plan || strncmp(plan, PREFIX, sizeof(PREFIX) - 1) != 0) {
        return;
    }
    name = sh_mem_at(m, args[0], args[1]);
    if (name && sh_str_eqz(sh_strn(name, args[1]), plan + sizeof(PREFIX) - 1)) {
        sh_native_debug_panic();
    }
}

#endif
