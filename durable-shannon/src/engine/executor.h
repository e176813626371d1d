/* N executor threads step agents. Two queues: agents that have an answer go first, then those whose
 * slice ended (SEMANTICS 15). A slice that left no effects and was not interrupted is continued
 * without the loop. */
#ifndef SH_ENGINE_EXECUTOR_H
#define SH_ENGINE_EXECUTOR_H

#include <stdatomic.h>

#include "loop/loop.h"
#include "microsandbox/microsandbox.h"

struct sh_task { /* embedded; owned by the executors from run to stepped */
    struct sh_msg msg;
    struct sh_list link;
    struct sh_agent *agent;
    enum sh_agent_status status;
    atomic_bool interrupt;                 /* come back at the end of this slice */
    void (*stepped)(struct sh_task *task); /* on the loop */
};
struct sh_executors;
int sh_executors_new(struct sh_loop *loop, unsigned n, struct sh_executors **ret,
                     struct sh_err *err);
void sh_executors_run(struct sh_executors *x, struct sh_task *task);
/* A task that the executors have comes back at its next slice end. thread: loop */
void sh_task_interrupt(struct sh_task *task);
/* Give back every queued agent at its next suspension; then the threads are joined. The caller has
 * interrupted running agents. Messages already posted still arrive. */
struct sh_executors *sh_executors_free(struct sh_executors *x);
unsigned sh_executors_count(const struct sh_executors *x);

#endif
