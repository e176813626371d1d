/* Our standard input as the agent's, live: read only as fast as it is taken. */
#ifndef SH_API_RUN_STDIN_H
#define SH_API_RUN_STDIN_H

#include "workflow/engine.h"

#include <uv.h>

/* All-zero is stopped. */
struct sh_run_stdin {
    struct sh_app *app;
    const char *id; /* borrowed */
    uv_poll_t poll;
    struct sh_timer timer;
    char pending[16384]; /* read, and not yet taken by the engine */
    size_t n_pending;
    bool polls, started, eof, closing;
};
void sh_run_stdin_start(struct sh_run_stdin *in, struct sh_app *app, const char *id);
void sh_run_stdin_stop(struct sh_run_stdin *in); /* runs the loop */

#endif
