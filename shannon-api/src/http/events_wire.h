/* Journal events in the words that clients of the API know. Pure; one of these for each reader. */
#ifndef SH_API_EVENTS_WIRE_H
#define SH_API_EVENTS_WIRE_H

#include "engine/engine.h"

/* One frame for a client. */
struct sh_frame {
    const char *name;    /* on the wire: WORKFLOW_STARTED, thread.message.delta, done ... */
    const char *journal; /* the journal's event type, or "" */
    const json_t *data;  /* borrowed; NULL for done, whose data is the text [DONE] */
    uint64_t id;         /* seq of the event whose last frame this is; 0: no id (provisional) */
};
typedef void (*sh_frame_fn)(void *arg, const struct sh_frame *frame);

/* What later events need of earlier ones. All-zero is not valid: init. */
struct sh_wire {
    char *workflow, *agent;
    json_t *open; /* ordinal -> {tool, time_us} of activities under way */
};
void sh_wire_init(struct sh_wire *w, const char *workflow);
void sh_wire_done(struct sh_wire *w);

/* Give the frames of one event: none (what only replay needs), one, or for the end several, of
 * which only the last that stands for the event has an id, and `done` is the very last. */
void sh_wire_event(struct sh_wire *w, const struct sh_live_event *ev, sh_frame_fn fn, void *arg);

/* Does the filter ("A,B", wire or journal names; NULL: all) let it pass? done always passes. */
bool sh_frame_wanted(const struct sh_frame *frame, const char *types);

/* The frame as server-sent event (WHATWG HTML, "Server-sent events"), and as one WebSocket text. */
void sh_frame_sse(const struct sh_frame *frame, struct sh_buf *out);
void sh_frame_text(const struct sh_frame *frame, struct sh_buf *out);

#endif
