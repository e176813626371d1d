/* Valid modules from arbitrary bytes, for fuzz targets: every input is a program. */
#ifndef SH_TESTS_FUZZ_GENERATE_H
#define SH_TESTS_FUZZ_GENERATE_H

#include "fuzz/native/run.h"

/* The first bytes are knobs and what the module consists of; the rest becomes its code, a byte or
 * more an instruction. gives  appended to *wasm */
void fuzz_generate(struct sh_str bytes, struct sh_buf *wasm, struct fuzz_knobs *ret_knobs);

#endif
