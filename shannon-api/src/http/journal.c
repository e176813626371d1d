/* Reading what happened: the journal itself, the same as clients' events, and the streams' doors.
 * The journal can be waited on (`wait` seconds), which is how a command follows a workflow over any
 * door; such requests sit in api->waiters until an event comes. */
#include "http/api.h"
#include "http/checks.h"
#include "http/events_wire.h"

#include <stdio.h>

#define WAIT_MAX_S 30

/* --- journal ---------------------------------------------------------------------------------- */

struct waiter {
    struct sh_list link;
    struct sh_request *r;
    struct sh_subscription *subscription;
    struct sh_timer timer;
    struct sh_msg wake; /* leaves the subscription's callback before ending it */
    uint64_t after, limit;
    bool woken;
};

static json_t *journal_event(const json_t *event) {
    char time[SH_TIME_TEXT];
    sh_time_format(sh_json_get_int(event, "time_us", 0), time);
    json_t *view = json_copy((json_t *)(uintptr_t)event);
    json_object_set_new(view, "timestamp", json_string(time));
    return view;
}

static void journal_read(void *arg, json_t *value, const struct sh_err *err) {
    struct sh_request *r = arg;
    if (err) {
        sh_reply_error(r, err);
        return;
    }
    json_t *events = json_array();
    size_t i;
    json_t *event;
    json_array_foreach(json_object_get(value, "events"), i, event) {
        json_array_append_new(events, journal_event(event));
    }
    sh_reply_json(r, 200,
                  json_pack("{s:s, s:o, s:b}", "workflow_id", r->id, "events", events, "more",
                            sh_json_get_bool(value, "more", false)));
}

static void waiter_read(struct waiter *w) {
    struct sh_request *r = w->r;
    sh_engine_events(r->api->app->engine, sh_str(r->id), w->after, (size_t)w->limit, journal_read,
                     r);
    sh_list_unlink(&w->link);
    sh_timer_stop(&w->timer);
    if (w->subscription) {
        sh_engine_unsubscribe(w->subscription);
    }
    sh_free(w);
}

static void waiter_wake(struct sh_msg *msg) {
    waiter_read(sh_container_of(msg, struct waiter, wake));
}

static void waiter_post(struct waiter *w) {
    if (!w->woken) {
        w->woken = true;
        w->wake.run = waiter_wake;
        sh_loop_post(w->r->api->app->loop, &w->wake);
    }
}

static void waiter_event(void *arg, const struct sh_live_event *ev) {
    if (ev->event) {
        waiter_post(arg);
    }
}

static void waiter_missing(void *arg) {
    waiter_post(arg); /* the read that follows says why */
}

static void waiter_timeout(struct sh_timer *t) {
    waiter_post(sh_container_of(t, struct waiter, timer));
}

static void journal_wait(struct sh_request *r, uint64_t after, uint64_t limit, uint64_t seconds) {
    struct sh_err err = {0};
    struct waiter *w = sh_new(struct waiter);
    w->r = r;
    w->after = after;
    w->limit = limit;
    if (sh_engine_subscribe(r->api->app->engine, sh_str(r->id), after, waiter_event, waiter_missing,
                            w, &w->subscription, &err) < 0) {
        sh_free(w);
        sh_reply_error(r, &err);
        return;
    }
    sh_list_push(&r->api->waiters, &w->link);
    sh_timer_start(r->api->app->loop, &w->timer, seconds * 1000000000ULL, waiter_timeout);
}

void sh_handle_journal(struct sh_request *r) {
    struct sh_err err = {0};
    uint64_t after = 0, limit = 0, wait = 0;
    if (sh_request_number(r, "after", 0, 0, INT64_MAX, &after, &err) < 0 ||
        sh_request_number(r, "limit", SH_JOURNAL_PAGE, 1, SH_JOURNAL_PAGE, &limit, &err) < 0 ||
        sh_request_number(r, "wait", 0, 0, WAIT_MAX_S, &wait, &err) < 0) {
        sh_reply_error(r, &err);
    } else if (wait && !r->api->stopping) {
        journal_wait(r, after, limit, wait);
    } else {
        sh_engine_events(r->api->app->engine, sh_str(r->id), after, (size_t)limit, journal_read, r);
    }
}

void sh_api_init(struct sh_api *api, struct sh_app *app) {
    *api = (struct sh_api){.app = app};
    sh_list_init(&api->waiters);
    sh_list_init(&api->guests);
}

void sh_api_stop(struct sh_api *api) {
    api->stopping = true;
    sh_list_each (node, &api->waiters) {
        waiter_post(sh_container_of(node, struct waiter, link));
    }
    sh_guests_end(api);
    if (api->app->engine) {
        sh_engine_updates_release(api->app->engine);
    }
}

/* --- events ----------------------------------------------------------------------------------- */

/* Pages through the journal, because which of its events clients see decides what offset means. */
struct listing {
    struct sh_request *r;
    struct sh_wire wire;
    json_t *events;
    uint64_t offset, limit, seen, after;
};

static void listing_end(struct listing *l, const struct sh_err *err) {
    struct sh_request *r = l->r;
    json_t *events = l->events;
    sh_wire_done(&l->wire);
    sh_free(l);
    if (err) {
        json_decref(events);
        sh_reply_error(r, err);
    } else {
        sh_reply_json(r, 200,
                      json_pack("{s:o, s:I}", "events", events, "count",
                                (json_int_t)json_array_size(events)));
    }
}

static void listing_frame(void *arg, const struct sh_frame *frame) {
    struct listing *l = arg;
    if (!frame->id || l->seen++ < l->offset || json_array_size(l->events) >= l->limit) {
        return;
    }
    json_array_append(l->events, (json_t *)(uintptr_t)frame->data);
}

static void listing_page(void *arg, json_t *value, const struct sh_err *err);

static void listing_next(struct listing *l) {
    sh_engine_events(l->r->api->app->engine, sh_str(l->r->id), l->after, SH_JOURNAL_PAGE,
                     listing_page, l);
}

static void listing_page(void *arg, json_t *value, const struct sh_err *err) {
    struct listing *l = arg;
    if (err) {
        listing_end(l, err);
        return;
    }
    size_t i;
    json_t *item;
    json_array_foreach(json_object_get(value, "events"), i, item) {
        struct sh_event_record event = {
            .workflow = sh_str(l->r->id),
            .seq = (uint64_t)sh_json_get_int(item, "seq", 0),
            .time_us = sh_json_get_int(item, "time_us", 0),
            .type = sh_json_get_str(item, "type"),
        };
        l->after = event.seq;
        sh_wire_event(&l->wire,
                      &(struct sh_live_event){.event = &event,
                                              .body = json_object_get(item, "body"),
                                              .durable_seq = event.seq},
                      listing_frame, l);
    }
    if (i && sh_json_get_bool(value, "more", false) && json_array_size(l->events) < l->limit) {
        listing_next(l);
    } else {
        listing_end(l, NULL);
    }
}

void sh_handle_events(struct sh_request *r) {
    struct sh_err err = {0};
    uint64_t limit = 0, offset = 0;
    if (sh_request_number(r, "limit", 200, 1, 200, &limit, &err) < 0 ||
        sh_request_number(r, "offset", 0, 0, INT32_MAX, &offset, &err) < 0) {
        sh_reply_error(r, &err);
        return;
    }
    struct listing *l = sh_new(struct listing);
    l->r = r;
    l->limit = limit;
    l->offset = offset;
    l->events = json_array();
    sh_wire_init(&l->wire, r->id);
    listing_next(l);
}

/* --- streams ---------------------------------------------------------------------------------- */

static void stream_found(struct sh_request *r, const struct sh_err *err, enum sh_reply_kind kind) {
    if (err) {
        sh_reply_error(r, err);
    } else {
        sh_reply_stream(r, kind);
    }
}

static void found_sse(void *arg, json_t *row, const struct sh_err *err) {
    (void)row;
    stream_found(arg, err, SH_REPLY_SSE);
}

static void found_ws(void *arg, json_t *row, const struct sh_err *err) {
    (void)row;
    stream_found(arg, err, SH_REPLY_WEBSOCKET);
}

/* The workflow must exist before the stream opens: a 404 tells the client to stop asking. */
static void open_stream(struct sh_request *r, const char *workflow, sh_engine_json_fn found) {
    struct sh_err err = {0};
    struct sh_id id;
    if (!workflow || !*workflow) {
        sh_fail(&err, SH_E_INVAL, "workflow_id is missing: ?workflow_id=ID");
    } else if (sh_id_parse(sh_str(workflow), &id) < 0) {
        sh_fail(&err, SH_E_INVAL, "workflow_id has characters that ids may not have");
    }
    if (err.code) {
        sh_reply_error(r, &err);
        return;
    }
    const char *resume = sh_request_header(r, "last-event-id");
    if (!resume || !*resume) {
        resume = sh_request_param(r, "last_event_id");
    }
    const char *types = sh_request_param(r, "types");
    r->stream.workflow = sh_strdup(workflow);
    r->stream.types = types && *types ? sh_strdup(types) : NULL;
    r->stream.after = sh_resume_after(resume);
    sh_engine_get(r->api->app->engine, sh_str(workflow), found, r);
}

void sh_handle_stream_sse(struct sh_request *r) {
    open_stream(r, sh_request_param(r, "workflow_id"), found_sse);
}

void sh_handle_task_stream(struct sh_request *r) {
    open_stream(r, r->id, found_sse);
}

void sh_handle_stream_ws(struct sh_request *r) {
    open_stream(r, sh_request_param(r, "workflow_id"), found_ws);
}

void sh_handle_task_stream_ws(struct sh_request *r) {
    open_stream(r, r->id, found_ws);
}
