/* `shannon run` where another process owns the data directory: the task is that process's, the
 * terminal is ours. What is typed goes over the socket, what becomes durable comes back. */
#ifndef SH_API_RUN_JOIN_H
#define SH_API_RUN_JOIN_H

#include "cli/cli.h"
#include "cli/run_view.h"

struct sh_join;
/* Submit (the body of POST /api/v1/run, without an input where that is a text) and wait until it is
 * durable. Runs the loop.
 * needs   c and view to outlive it; c->remote
 * gives   *ret, also when it was rejected: sh_join_row says so
 * fails   what the owner answers; SH_E_UNAVAILABLE: it leaves or has left, and has no such task */
int sh_join_start(struct sh_client *c, const json_t *body, const struct sh_buf *input_text,
                  struct sh_run_view *view, struct sh_join **ret, struct sh_err *err);
const json_t *sh_join_row(const struct sh_join *j); /* {task_id, status, error?} */
/* Until view->ended. Runs the loop. stdin: ours is the task's.
 * fails   SH_E_UNAVAILABLE: the owner has gone; the task goes on when there is one again */
int sh_join_follow(struct sh_join *j, bool takes_stdin, struct sh_err *err);
void sh_join_cancel(struct sh_join *j, const char *reason);
struct sh_join *sh_join_free(struct sh_join *j); /* runs the loop */

#endif
