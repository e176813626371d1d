/* A child that works on hostile bytes: this program again, confined. Private to microsandbox. */
#ifndef SH_MICROSANDBOX_CHILD_H
#define SH_MICROSANDBOX_CHILD_H

#include <stdatomic.h>

#include "base/base.h"

#define SH_CHILD_FDS 6

struct sh_child {
    const char *worker;    /* path; it runs as `worker compile-worker` */
    bool lines;            /* `worker compile-worker lines` */
    int fds[SH_CHILD_FDS]; /* they become 0 to 5 */
    uint64_t memory_bytes; /* of addresses */
    uint64_t file_bytes;   /* of each file that it writes */
    unsigned cpu_s;
    uint64_t wall_ms;
    const atomic_bool *stop; /* it is killed soon after this is set; NULL: never */
};
/* Blocks until it has ended. gives  its wait status; late: it was killed for its time, or stopped
 * fails  -errno: it could not be started, or not waited for */
int sh_child_run(const struct sh_child *c, int *ret_status, bool *ret_late);
/* A file in memory that begins with `s`, read from its start. -1: errno says why. */
int sh_child_file(const char *name, struct sh_str s);

#endif
