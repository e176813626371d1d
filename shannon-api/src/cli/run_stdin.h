/* Our standard input as the agent's, live: read only as fast as it is taken. */
#ifndef SH_API_RUN_STDIN_H
#define SH_API_RUN_STDIN_H

#include "loop/loop.h"

#include <uv.h>

/* Takes bytes for the task, and the end after them. Copied.
 * fails  -SH_E_LIMIT: not now, offer them again; anything else: it takes no more */
typedef int (*sh_run_stdin_fn)(void *arg, struct sh_str bytes, bool eof);

/* All-zero is stopped. */
struct sh_run_stdin {
    struct sh_loop *loop;
    sh_run_stdin_fn give;
    void *arg;
    uv_poll_t poll;
    struct sh_timer timer;
    char pending[16384]; /* read, and not yet taken */
    size_t n_pending;
    bool polls, started, eof, closing;
};
void sh_run_stdin_start(struct sh_run_stdin *in, struct sh_loop *loop, sh_run_stdin_fn give,
                        void *arg);
void sh_run_stdin_stop(struct sh_run_stdin *in); /* runs the loop */

#endif
