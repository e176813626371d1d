/* Module bytes and capabilities through compile, instantiate and run. The seeds are whole modules;
 * what they are given is taken from their last bytes, so that any module is an input. */
#include "fuzz/native/run.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct fuzz_knobs knobs = {0};

    if (size > 2) {
        knobs.grants = (uint8_t)(data[size - 1] * 37 + size);
        knobs.cut = data[size - 2] % 8 == 7 ? data[size - 1] % 16 : 0;
    }
    (void)fuzz_run(sh_strn(data, size), knobs, false);
    return 0;
}
