/* All of test_wasi_kept.c once more, with every call on a mapped directory made by the pool: a
 * guest cannot tell the difference. */
#define FX_POOL
#include "unit/test_wasi_kept.c"
