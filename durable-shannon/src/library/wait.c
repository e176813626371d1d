/* Waiting for a task's end, and following its events. Both hold a subscription of the engine, which
 * must be given back before that stops. */
#include "library/library.h"

struct wait_in {
    const char *id;
    uint64_t timeout_ms, after;
    durable_event_fn fn;
    void *arg;
    struct durable_follow *follow;
};

struct wait {
    struct sh_list link; /* durable->waits */
    struct durable_call *call;
    struct sh_subscription *subscription;
    struct sh_timer timer;
};

struct durable_follow {
    struct sh_list link; /* durable->follows */
    struct sh_subscription *subscription;
    durable_event_fn fn;
    void *arg;
};

/* ---- waiting ---- */

static struct durable_call *wait_free(struct wait *w) {
    struct durable_call *call = w->call;

    sh_timer_stop(&w->timer);
    sh_engine_unsubscribe(w->subscription);
    sh_list_unlink(&w->link);
    sh_free(w);
    return call;
}

static void wait_fail(struct wait *w, int code, const char *message) {
    struct sh_err err = {0};

    sh_fail(&err, code, "%s", message);
    durable_call_end(wait_free(w), NULL, &err);
}

static void on_event(void *arg, const struct sh_live_event *ev) {
    struct wait *w = arg;

    if (ev->event && sh_event_is_final(ev->event->type)) {
        struct durable_call *call = wait_free(w);
        const struct wait_in *in = call->in;
        sh_engine_get(call->d->engine, sh_str(in->id), durable_call_json, call);
    }
}

static void on_missing(void *arg) {
    wait_fail(arg, SH_E_NOT_FOUND, "there is no task of that id");
}

static void on_timeout(struct sh_timer *t) {
    wait_fail(sh_container_of(t, struct wait, timer), SH_E_TIMEOUT,
              "the task has not ended in the time that was given");
}

/* What has ended is answered from its row; what has not is followed from where the row stands. */
static void row_read(void *arg, json_t *row, const struct sh_err *err) {
    struct durable_call *c = arg;
    const struct wait_in *in = c->in;
    struct sh_err bad = {0};
    struct wait *w;

    if (err || json_object_get(row, "completed_at")) {
        durable_call_end(c, row, err);
        return;
    }
    w = sh_new(struct wait);
    w->call = c;
    sh_list_push(&c->d->waits, &w->link);
    if (c->d->stopping) {
        wait_fail(w, SH_E_UNAVAILABLE, "the library is being closed");
    } else if (sh_engine_subscribe(c->d->engine, sh_str(in->id),
                                   (uint64_t)sh_json_get_int(row, "seq", 0), on_event, on_missing,
                                   w, &w->subscription, &bad) < 0) {
        wait_fail(w, bad.code, bad.message);
    } else if (in->timeout_ms) {
        sh_timer_start(c->d->loop, &w->timer, in->timeout_ms * 1000000, on_timeout);
    }
}

static void start_wait(struct durable_call *c) {
    const struct wait_in *in = c->in;

    sh_engine_get(c->d->engine, sh_str(in->id), row_read, c);
}

int durable_wait(struct durable *d, const char *id, uint64_t timeout_ms, char **ret,
                 struct durable_error *error) {
    struct wait_in in = {.id = id, .timeout_ms = timeout_ms};
    struct durable_call c = {.start = start_wait, .in = &in};
    int r = durable_call_run(d, &c, error);

    if (r == 0 && ret) {
        *ret = sh_json_text(c.value);
    }
    json_decref(c.value);
    return r;
}

/* ---- following ---- */

static void on_followed(void *arg, const struct sh_live_event *ev) {
    struct durable_follow *f = arg;

    if (ev->event) {
        json_t *view = json_pack("{s:I, s:I, s:o, s:O?}", "seq", (json_int_t)ev->event->seq,
                                 "time_us", (json_int_t)ev->event->time_us, "type",
                                 sh_json_string(ev->event->type), "body", ev->body);
        sh_auto(sh_free_p) char *text = sh_json_text(view);
        json_decref(view);
        f->fn(f->arg, text);
    }
}

static void follow_missing(void *arg) {
    (void)arg; /* its id was checked a moment ago; it stays silent */
}

static void follow_row(void *arg, json_t *row, const struct sh_err *err) {
    struct durable_call *c = arg;
    const struct wait_in *in = c->in;
    struct durable_follow *f = in->follow;
    struct sh_err bad = {0};

    (void)row;
    if (!err && c->d->stopping) {
        sh_fail(&bad, SH_E_UNAVAILABLE, "the library is being closed");
    } else if (!err) {
        sh_engine_subscribe(c->d->engine, sh_str(in->id), in->after, on_followed, follow_missing, f,
                            &f->subscription, &bad);
    }
    if (!err && !bad.code) {
        sh_list_push(&c->d->follows, &f->link);
    }
    durable_call_end(c, NULL, err ? err : bad.code ? &bad : NULL);
}

static void start_follow(struct durable_call *c) {
    const struct wait_in *in = c->in;

    sh_engine_get(c->d->engine, sh_str(in->id), follow_row, c);
}

int durable_follow(struct durable *d, const char *id, uint64_t after, durable_event_fn fn,
                   void *arg, struct durable_follow **ret, struct durable_error *error) {
    struct durable_follow *f = sh_new(struct durable_follow);
    struct wait_in in = {.id = id, .after = after, .follow = f};
    struct durable_call c = {.start = start_follow, .in = &in};

    f->fn = fn;
    f->arg = arg;
    if (durable_call_run(d, &c, error) < 0) {
        sh_free(f);
        return -1;
    }
    *ret = f;
    return 0;
}

static void stop_follow(struct durable_call *c) {
    const struct wait_in *in = c->in;

    sh_engine_unsubscribe(in->follow->subscription);
    sh_list_unlink(&in->follow->link);
    durable_call_end(c, NULL, NULL);
}

void durable_unfollow(struct durable *d, struct durable_follow *f) {
    struct wait_in in = {.follow = f};
    struct durable_call c = {.start = stop_follow, .in = &in};

    if (f && durable_call_run(d, &c, NULL) == 0) {
        sh_free(f);
    }
}

void durable_waits_end(struct durable *d) {
    while (!sh_list_empty(&d->waits)) {
        wait_fail(sh_container_of(d->waits.next, struct wait, link), SH_E_UNAVAILABLE,
                  "the library was closed before the task ended");
    }
    while (!sh_list_empty(&d->follows)) {
        struct durable_follow *f = sh_container_of(d->follows.next, struct durable_follow, link);
        sh_engine_unsubscribe(f->subscription);
        sh_list_unlink(&f->link);
        sh_free(f);
    }
}
