/* One module under the real runtime, for fuzz targets: loaded, run twice in slices of different
 * lengths, compared. Compiling happens in this process, so that a fault in it is seen here.
 *
 * What has to hold, whatever the module: its end is one that has a name and a message, both runs
 * leave the same effects, fuel, end and memory, and nothing outside of what it was given changes.
 */
#ifndef SH_TESTS_FUZZ_RUN_H
#define SH_TESTS_FUZZ_RUN_H

#include "base/base.h"
#include "microsandbox/microsandbox.h"

/* What the agent is given; any bits will do. */
struct fuzz_knobs {
    uint8_t
        grants;  /* bits 0, 1: the mapped directory may be read, written; 2, 3: its files; 4: it is
                    there at all; 5: standard input is live; 6: a small memory; 7: little fuel */
    uint8_t cut; /* free the agent after so many steps, in whatever state; 0: let it end */
};

/* Load and run it. False: refused, which is only allowed where `valid` is not said. */
bool fuzz_run(struct sh_str wasm, struct fuzz_knobs knobs, bool valid);

#endif
