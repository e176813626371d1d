/* Followers of a journal. One that is behind reads pages from the store until it has caught up with
 * what is durable, and is then told of each event as it becomes so. */
#include "engine/private.h"

#define AGAIN_NS 100000000ULL /* after a read that failed */

struct sh_subscription {
    struct sh_list link; /* of its workflow, or of the engine when that is not in memory */
    struct sh_engine *engine;
    struct sh_workflow *wf; /* NULL: not in memory */
    char *id;
    uint64_t cursor; /* last seq delivered */
    bool reading, closed;
    bool again;            /* read once more: the workflow left memory during a read */
    struct sh_timer timer; /* reading, but the last read failed: it is tried again */
    bool delivering, seen;
    sh_engine_live_fn fn;
    void (*missing)(void *arg);
    void *arg;
};

static void subscription_free(struct sh_subscription *s) {
    struct sh_engine *e = s->engine;

    sh_list_unlink(&s->link);
    sh_timer_stop(&s->timer);
    sh_free(s->id);
    sh_free(s);
    sh_engine_unpin(e);
}

static void deliver(struct sh_subscription *s, const struct sh_live_event *ev) {
    s->delivering = true;
    s->fn(s->arg, ev);
    s->delivering = false;
}

static void deliver_event(struct sh_subscription *s, const struct sh_event_record *record,
                          json_t *body) {
    s->cursor = record->seq;
    s->seen = true;
    deliver(s, &(struct sh_live_event){.event = record, .body = body, .durable_seq = record->seq});
}

static void read_on(struct sh_subscription *s);

static void read_again(struct sh_timer *t) {
    read_on(sh_container_of(t, struct sh_subscription, timer));
}

/* What could not be read now is read later: a follower is told every event, or nothing after it. */
static void read_failed(struct sh_subscription *s) {
    s->reading = !s->engine->stopping;
    if (s->reading) {
        sh_timer_start(s->engine->loop, &s->timer, AGAIN_NS, read_again);
    }
}

static void row_checked(void *arg, json_t *records, size_t total, const struct sh_err *err) {
    struct sh_subscription *s = arg;

    (void)total;
    if (s->closed) {
        subscription_free(s);
        return;
    }
    if (err) {
        read_failed(s);
        return;
    }
    s->reading = false;
    if (json_array_size(records) == 0) {
        s->delivering = true;
        s->missing(s->arg);
        s->delivering = false;
        if (s->closed) {
            subscription_free(s);
        }
    }
}

static void caught_up(struct sh_subscription *s, bool last_page) {
    if (!last_page || s->again || (s->wf && s->cursor < s->wf->journal.durable_seq)) {
        s->again = false;
        read_on(s);
    } else if (!s->wf && !s->seen) {
        sh_store_get(s->engine->store, SH_TABLE_WORKFLOW, sh_str(s->id), row_checked, s);
    } else {
        s->reading = false;
    }
}

static void page_read(void *arg, const struct sh_event_record *events, size_t n,
                      const struct sh_err *err) {
    struct sh_subscription *s = arg;
    struct sh_err bad = {0};

    for (size_t i = 0; i < n && !err && !s->closed; i++) {
        json_t *body = NULL;
        if (sh_json_parse(events[i].body, SH_JSON_TEXT_MAX, &body, &bad) == 0) {
            deliver_event(s, &events[i], body);
        } else if (bad.code == SH_E_NOMEM) {
            err = &bad;
        }
        json_decref(body);
    }
    if (s->closed) {
        subscription_free(s);
    } else if (err) {
        read_failed(s);
    } else {
        caught_up(s, n < SH_JOURNAL_PAGE);
    }
}

static void read_on(struct sh_subscription *s) {
    s->reading = true;
    sh_store_read_events(s->engine->store, sh_str(s->id), s->cursor, SH_JOURNAL_PAGE, page_read, s);
}

int sh_engine_subscribe(struct sh_engine *e, struct sh_str id, uint64_t after, sh_engine_live_fn fn,
                        void (*missing)(void *arg), void *arg, struct sh_subscription **ret,
                        struct sh_err *err) {
    struct sh_subscription *s;
    struct sh_id checked;

    SH_ON_LOOP(e->loop);
    if (sh_id_parse(id, &checked) < 0) {
        return sh_fail(err, SH_E_INVAL, "expected a task id of 1 to %d of A-Z a-z 0-9 : _ - .",
                       SH_ID_MAX);
    }
    s = sh_new(struct sh_subscription);
    s->engine = e;
    s->wf = sh_workflow_find(e, id);
    s->id = sh_strdup(checked.s);
    s->cursor = after;
    s->fn = fn;
    s->missing = missing;
    s->arg = arg;
    e->pins++;
    sh_list_push(s->wf ? &s->wf->subscriptions : &e->subscriptions, &s->link);
    read_on(s);
    *ret = s;
    return 0;
}

void sh_engine_unsubscribe(struct sh_subscription *s) {
    if (!s) {
        return;
    }
    s->closed = true;
    if ((!s->reading || s->timer.slot != 0) && !s->delivering) {
        subscription_free(s);
    }
}

/* Followers may leave while they are told: the list is walked with its next node kept, and one that
 * closed itself is freed here. */
static void tell(struct sh_workflow *wf, const struct sh_live_event *ev) {
    sh_list_each (node, &wf->subscriptions) {
        struct sh_subscription *s = sh_container_of(node, struct sh_subscription, link);
        if (s->closed || s->reading || (ev->event && ev->event->seq <= s->cursor)) {
            continue;
        }
        if (ev->event) {
            deliver_event(s, ev->event, ev->body);
        } else {
            deliver(s, ev);
        }
        if (s->closed) {
            subscription_free(s);
        }
    }
}

void sh_live_publish(struct sh_workflow *wf, const struct sh_event *ev) {
    struct sh_event_record record = {.workflow = sh_str(wf->id.s),
                                     .seq = ev->seq,
                                     .time_us = ev->time_us,
                                     .type = sh_str(ev->type),
                                     .body = sh_strn(ev->text, ev->text_len),
                                     .hash = ev->hash};

    tell(wf, &(struct sh_live_event){.event = &record, .body = ev->body, .durable_seq = ev->seq});
}

void sh_live_delta(struct sh_workflow *wf, struct sh_str text, uint64_t ordinal, uint64_t attempt,
                   uint64_t offset) {
    tell(wf, &(struct sh_live_event){.delta = text,
                                     .ordinal = ordinal,
                                     .attempt = attempt,
                                     .offset = offset,
                                     .durable_seq = wf->journal.durable_seq});
}

void sh_live_attach(struct sh_workflow *wf) {
    sh_list_each (node, &wf->engine->subscriptions) {
        struct sh_subscription *s = sh_container_of(node, struct sh_subscription, link);
        if (s->closed || strcmp(s->id, wf->id.s) != 0) {
            continue;
        }
        sh_list_unlink(node);
        sh_list_push(&wf->subscriptions, node);
        s->wf = wf;
        if (s->reading) {
            s->again = true;
        } else {
            read_on(s);
        }
    }
}

void sh_live_detach(struct sh_workflow *wf) {
    struct sh_list *node;

    while ((node = sh_list_pop(&wf->subscriptions))) {
        struct sh_subscription *s = sh_container_of(node, struct sh_subscription, link);
        s->wf = NULL;
        s->again = s->reading;
        sh_list_push(&wf->engine->subscriptions, node);
    }
}
