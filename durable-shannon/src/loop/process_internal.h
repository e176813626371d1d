/* process_child.c: the child's side, between fork and exec. */
#ifndef SH_LOOP_PROCESS_INTERNAL_H
#define SH_LOOP_PROCESS_INTERNAL_H

#include <sys/types.h>

#include "loop/loop.h"

/* Only calls that are safe in a copy of a process with threads. from: its descriptors 0, 1, 2. */
void sh_process_child(const struct sh_process_options *o, pid_t parent, const int from[3])
    __attribute__((noreturn));

#endif
