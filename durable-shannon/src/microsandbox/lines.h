/* File and line for the frames of a trap, found in a confined child while neither an executor nor
 * the loop waits. Private to microsandbox. */
#ifndef SH_MICROSANDBOX_LINES_H
#define SH_MICROSANDBOX_LINES_H

#include "microsandbox/runtime.h"

struct sh_lines_pool; /* SH_LINES_THREADS threads at most, each with a child at most */
struct sh_lines_job;  /* one backtrace */

struct sh_lines_pool *sh_lines_pool_new(void);
/* What is under way is stopped. Takes NULL; returns NULL. */
struct sh_lines_pool *sh_lines_pool_free(struct sh_lines_pool *p);

/* Look up a backtrace of `m` (copied).
 * gives  a job, until sh_lines_drop; NULL: too much is waiting already, or there are no frames */
struct sh_lines_job *sh_lines_start(struct sh_module *m, struct sh_str backtrace);
/* Is it over? Else `ready` is called once, from any thread and under the pool's lock. */
bool sh_lines_wait(struct sh_lines_job *job, void (*ready)(void *arg), void *arg);
void sh_lines_unwait(struct sh_lines_job *job); /* no call of ready lasts past this */
/* needs  that it is over     gives  the backtrace, as known as it became: lives as long as the job
 */
struct sh_str sh_lines_backtrace(const struct sh_lines_job *job);
/* Takes NULL; returns NULL. */
struct sh_lines_job *sh_lines_drop(struct sh_lines_job *job);

/* lines_worker.c: the body of `worker compile-worker lines`: the record on 0, addresses (uint64_t)
 * on 4, answer as JSON to 3; returns the exit status. needs  to be confined */
int sh_lines_worker_main(void);

#endif
