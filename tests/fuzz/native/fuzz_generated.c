/* Programs from bytes (generate.c) under the real runtime: each of them has to be accepted, and
 * each of its runs has to be the same. SHANNON_FUZZ_KEEP=FILE keeps the module of an input. */
#include <stdio.h>
#include <stdlib.h>

#include "fuzz/native/generate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *keep = getenv("SHANNON_FUZZ_KEEP");
    struct fuzz_knobs knobs = {0};
    struct sh_buf wasm;

    sh_buf_init(&wasm, 4 * SH_MIB);
    fuzz_generate(sh_strn(data, size), &wasm, &knobs);
    SH_ASSERT(!wasm.failed);
    if (keep) {
        FILE *f = fopen(keep, "wb");

        SH_ASSERT(f && fwrite(wasm.p, 1, wasm.len, f) == wasm.len && fclose(f) == 0);
    }
    (void)fuzz_run(sh_buf_str(&wasm), knobs, true);
    sh_buf_done(&wasm);
    return 0;
}
