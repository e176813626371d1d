/* Pausing gives the subscription back to the engine and resuming takes a new one at the cursor, so
 * a stalled client holds no queue: the journal is the queue. A client that resumes is read the
 * journal from its beginning, silently up to its id, so that its frames are the very ones it would
 * have had. */
#include "http/feed.h"

static void give(void *arg, const struct sh_frame *frame) {
    struct sh_feed *f = arg;
    f->ended = f->ended || !frame->data;
    if (f->muted && frame->data) {
        return;
    }
    if (sh_frame_wanted(frame, f->types)) {
        f->fn(f->arg, frame);
    }
}

static void live(void *arg, const struct sh_live_event *ev) {
    struct sh_feed *f = arg;
    if (ev->event) {
        if (ev->event->seq <= f->cursor) {
            return;
        }
        f->cursor = ev->event->seq;
    }
    f->muted = f->cursor <= f->after && f->after > 0;
    sh_wire_event(&f->wire, ev, give, f);
}

/* A workflow that is gone (removed after the door looked) ends the stream. */
static void gone(void *arg) {
    give(arg, &(struct sh_frame){.name = "done", .journal = ""});
}

int sh_feed_start(struct sh_feed *f, struct sh_engine *engine, const char *workflow,
                  const char *types, uint64_t after, sh_frame_fn fn, void *arg,
                  struct sh_err *err) {
    *f = (struct sh_feed){.engine = engine,
                          .workflow = sh_strdup(workflow),
                          .types = types ? sh_strdup(types) : NULL,
                          .after = after,
                          .fn = fn,
                          .arg = arg};
    sh_wire_init(&f->wire, workflow);
    int rc =
        sh_engine_subscribe(engine, sh_str(f->workflow), 0, live, gone, f, &f->subscription, err);
    if (rc < 0) {
        sh_feed_stop(f);
    }
    return rc;
}

void sh_feed_pause(struct sh_feed *f) {
    if (f->subscription) {
        sh_engine_unsubscribe(f->subscription);
        f->subscription = NULL;
    }
}

void sh_feed_resume(struct sh_feed *f) {
    struct sh_err err = {0};
    if (f->workflow && !f->subscription && !f->ended &&
        sh_engine_subscribe(f->engine, sh_str(f->workflow), f->cursor, live, gone, f,
                            &f->subscription, &err) < 0) {
        sh_log(SH_LOG_WARN, "stream_lost", "workflow=%s error=\"%s\"", f->workflow, err.message);
        f->subscription = NULL;
    }
}

void sh_feed_stop(struct sh_feed *f) {
    sh_feed_pause(f);
    if (f->workflow) {
        sh_wire_done(&f->wire);
    }
    sh_free(f->workflow);
    sh_free(f->types);
    *f = (struct sh_feed){0};
}
