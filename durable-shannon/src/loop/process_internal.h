/* process_child.c: the child's side, before exec. */
#ifndef SH_LOOP_PROCESS_INTERNAL_H
#define SH_LOOP_PROCESS_INTERNAL_H

#include <sys/types.h>

#include "loop/loop.h"

/* Only calls of the system, and nothing kept: the memory is the parent's, which waits meanwhile.
 * from: its descriptors 0, 1, 2. All signals are blocked. */
void sh_process_child(const struct sh_process_options *o, pid_t parent, const int from[3])
    __attribute__((noreturn));

#endif
