/* The disk that holds the data directory, looked at once a second. When little room is left the
 * engine rests: nothing new is taken, no agent is run and no call leaves, but what was asked for is
 * answered, and tasks can be canceled, forgotten, compacted and verified. It goes on by itself.
 *
 *   ROOMY --free < SH_DISK_REST--> LOW --free >= SH_DISK_REST_OVER--> ROOMY
 *
 * Whatever the state is: below SH_DISK_FULL the ballast is given up, and made anew where there is
 * room (base/disk.h). */
#ifndef SH_ENGINE_DISK_H
#define SH_ENGINE_DISK_H

#include "loop/loop.h"

struct sh_engine;

struct sh_disk_watch { /* of an engine */
    struct sh_timer timer;
    bool low, looking;
    uint64_t looks;
    uint64_t free_bytes; /* at the last look; UINT64_MAX: none yet, or it said nothing */
};

/* Looks at once, so that a start knows. Does nothing where the configuration does not ask. */
void sh_disk_start(struct sh_engine *e);
void sh_disk_stop(struct sh_engine *e);
bool sh_disk_is_low(const struct sh_engine *e);
/* SH_E_NOSPC while it is low, with the way out; else 0. */
int sh_disk_check(const struct sh_engine *e, struct sh_err *err);

#endif
