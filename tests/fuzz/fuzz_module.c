/* Module bytes, as the first look at a module reads them: nothing may crash or take long, what is
 * accepted stays within every bound that the compiler relies on, and the answer does not depend on
 * what lies behind the bytes (each input is scanned from two copies). */
#include "base/base.h"
#include "microsandbox/guest_calls.h"
#include "microsandbox/guest_scan.h"
#include "microsandbox/wasi.h"

static bool resolve(struct sh_str module, struct sh_str name, struct sh_signature *ret) {
    for (size_t i = 0; sh_str_eqz(module, SH_GUEST_MODULE) && i < sh_guest_functions_n; i++) {
        if (sh_str_eqz(name, sh_guest_functions[i].name)) {
            *ret = (struct sh_signature){sh_guest_functions[i].params, "i"};
            return true;
        }
    }
    for (size_t i = 0; sh_str_eqz(module, "wasi_snapshot_preview1") && i < sh_wasi_functions_n;
         i++) {
        if (sh_str_eqz(name, sh_wasi_functions[i].name)) {
            bool exits = sh_str_eqz(name, "proc_exit");
            *ret = (struct sh_signature){sh_wasi_functions[i].params, exits ? "" : "i"};
            return true;
        }
    }
    return false;
}

static void check(const struct sh_scan *s) {
    SH_ASSERT(s->functions <= SH_SCAN_FUNCTIONS_MAX && s->tables <= SH_SCAN_TABLES_MAX);
    SH_ASSERT(s->memory_min_bytes <= SH_MEMORY_MAX);
    SH_ASSERT(s->command || s->memory); /* else there is nowhere to put the input */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct sh_str wasm = sh_strn(data, size);
    struct sh_scan first = {0}, second = {0};
    struct sh_err err = {0}, again = {0};
    sh_auto(sh_free_p) char *copy = sh_memdup(size ? data : (const uint8_t *)"", size);
    int r = sh_guest_scan(wasm, resolve, &first, &err);

    SH_ASSERT(sh_guest_scan(sh_strn(copy, size), resolve, &second, &again) == r);
    if (r < 0) {
        SH_ASSERT(-r == SH_E_MODULE || -r == SH_E_IMPORT || -r == SH_E_LIMIT || -r == SH_E_NOMEM);
        SH_ASSERT(err.code == -r && err.message[0] && strcmp(err.message, again.message) == 0);
        SH_ASSERT(sh_utf8_valid(sh_str(err.message)) && !strpbrk(err.message, "\n\r\033"));
    } else {
        SH_ASSERT(r == 0 && size > 8);
        check(&first);
        SH_ASSERT(first.functions == second.functions &&
                  first.memory_min_bytes == second.memory_min_bytes);
    }
    return 0;
}
