/* N executor threads step agents. Two queues: agents that have an answer go first, then those whose
 * slice ended (SEMANTICS 15). A slice that left no effects and was not interrupted is continued
 * without the loop. An agent that waits for a file call is parked: no thread has it until the pool
 * says that the call is over. An executor that one step holds for SH_EXECUTOR_HELD_MS, in something
 * that nothing can interrupt, is not counted, and a spare thread works in its place. */
#ifndef SH_ENGINE_EXECUTOR_H
#define SH_ENGINE_EXECUTOR_H

#include <stdatomic.h>

#include "engine/crash.h"
#include "loop/loop.h"
#include "microsandbox/microsandbox.h"

struct sh_task { /* embedded; owned by the executors from run to stepped */
    struct sh_msg msg;
    struct sh_list link;
    struct sh_agent *agent;
    const char *workflow; /* its id: who is on this executor */
    enum sh_agent_status status;
    atomic_bool interrupt;          /* come back at the end of this slice */
    struct sh_executors *executors; /* private: */
    bool parked, ready; /* under their mutex; parked: its file call goes on, nobody has the agent */
    void (*stepped)(struct sh_task *task); /* on the loop */
};
struct sh_executors;
int sh_executors_new(struct sh_loop *loop, unsigned n, struct sh_executors **ret,
                     struct sh_err *err);
/* Stamp what runs in this file from here on, or not (NULL). needs nothing queued or running */
void sh_executors_watch(struct sh_executors *x, struct sh_crash *c);
void sh_executors_run(struct sh_executors *x, struct sh_task *task);
/* A task that the executors have comes back at its next slice end; at once where it only waits for
 * a file call, which goes on. thread: loop */
void sh_task_interrupt(struct sh_task *task);
/* Give back every queued agent at its next suspension; then the threads are joined. The caller has
 * interrupted running agents. Messages already posted still arrive. */
struct sh_executors *sh_executors_free(struct sh_executors *x);
unsigned sh_executors_count(const struct sh_executors *x);

#endif
