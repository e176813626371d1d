/* A reader of one workflow's events that may be slower than the events: it can be paused, and then
 * costs nothing but its cursor. */
#ifndef SH_API_FEED_H
#define SH_API_FEED_H

#include "http/events_wire.h"

struct sh_feed {
    struct sh_engine *engine;
    struct sh_subscription *subscription; /* NULL: paused or stopped */
    struct sh_wire wire;
    char *workflow, *types;
    uint64_t cursor; /* every event up to this seq has been seen */
    uint64_t after;  /* events up to this seq are seen for what later ones need, and not given */
    bool muted;
    bool ended; /* `done` was given */
    sh_frame_fn fn;
    void *arg;
};
/* fn gets the wanted frames, on the loop, never inside this call; it may pause and stop the feed.
 */
int sh_feed_start(struct sh_feed *f, struct sh_engine *engine, const char *workflow,
                  const char *types, uint64_t after, sh_frame_fn fn, void *arg, struct sh_err *err);
/* Durable events are given again from the cursor on; provisional text of the pause is left out. */
void sh_feed_pause(struct sh_feed *f);
void sh_feed_resume(struct sh_feed *f);
void sh_feed_stop(struct sh_feed *f); /* takes an all-zero one */

#endif
