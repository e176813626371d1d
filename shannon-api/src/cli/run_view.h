/* What `shannon run` shows of a task, wherever that runs: its output as it becomes durable, and in
 * the end its answer or what went wrong. */
#ifndef SH_API_RUN_VIEW_H
#define SH_API_RUN_VIEW_H

#include "base/base.h"

/* All-zero but for what the caller sets. */
struct sh_run_view {
    bool json, events;                /* the result object is printed; the journal goes to stderr */
    void (*output_closed)(void *arg); /* once: who read our output has gone */
    void *arg;
    uint64_t printed[3]; /* bytes of stream 1 and 2 already written */
    bool pipe_broken, ended;
    int signal_number; /* that ended it, or 0 */
    json_t *final_body;
    char final_type[32];
};
/* One durable event, each once and in order. */
void sh_run_view_event(struct sh_run_view *v, uint64_t seq, int64_t time_us, struct sh_str type,
                       json_t *body);
/* It has ended: says so where it failed. gives  our exit status */
int sh_run_view_end(struct sh_run_view *v);
void sh_run_view_done(struct sh_run_view *v);

#endif
