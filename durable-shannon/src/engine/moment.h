/* When a timer of a sleeping workflow is over: {wall_us, boot_us, owner}. The process that wrote it
 * counts on CLOCK_BOOTTIME, so that a wall clock that is set moves nothing; the next one goes by
 * the wall clock, as it was when that process started (SEMANTICS 4). */
#ifndef SH_ENGINE_MOMENT_H
#define SH_ENGINE_MOMENT_H

#include "base/base.h"
#include "loop/loop.h"

struct sh_engine;

struct sh_clocks { /* of an engine: as they were when it started */
    int64_t wall_us, boot_us;
};
struct sh_clocks sh_clocks_now(void);

/* When this timer, which runs, is over. New. */
json_t *sh_moment_new(const struct sh_engine *e, const struct sh_timer *t);
/* On CLOCK_BOOTTIME, in microseconds. */
int64_t sh_moment_boot_us(const struct sh_engine *e, const json_t *moment);
/* How long from now: never less than 0. `name` in {name: moment}; INT64_MAX: not there. */
int64_t sh_moment_left_us(const struct sh_engine *e, const json_t *moments, const char *name);

#endif
