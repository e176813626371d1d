/* See engine_owner_case.h. */
#include "engine_owner_case.h"

#include "check_main.h"

static struct fixture *f;

struct second {
    struct sh_engine *engine;
    bool started, fatal;
};

static void on_started(void *arg, const struct sh_err *err) {
    ck_assert_ptr_null(err);
    ((struct second *)arg)->started = true;
    sh_loop_stop(f->loop);
}

static void on_stopped(void *arg) {
    *(bool *)arg = true;
    sh_loop_stop(f->loop);
}

static void on_fatal(void *arg, const struct sh_err *err) {
    (void)err;
    ((struct second *)arg)->fatal = true;
}

static void flush(void *arg) {
    sh_store_flush(arg);
}

/* Another process, as far as the store can tell. */
static void start_second(struct second *s) {
    struct sh_err err = {0};
    struct sh_engine_config config = fixture_config(f);

    config.fatal = on_fatal;
    config.fatal_arg = s;
    *s = (struct second){0};
    sh_loop_on_turn(f->loop, NULL, NULL); /* there is one hook; either sends what both wrote */
    sh_assert_ok(sh_engine_start(&config, on_started, s, &s->engine, &err), &err);
    fixture_run(f, &s->started);
}

static void stop(struct sh_engine *e) {
    bool stopped = false;

    sh_engine_stop(e, on_stopped, &stopped);
    fixture_run(f, &stopped);
}

static size_t told;
static void on_live(void *arg, const struct sh_live_event *ev) {
    (void)arg;
    told += ev->event != NULL && sh_str_eqz(ev->event->type, "SignalReceived");
}

/* It waits for the signal, and the first engine is refused when it writes that it came. */
static void first_is_refused(const char *id, struct second *later) {
    struct sh_subscription *live = NULL;
    struct sh_err err = {0};

    told = 0;
    sh_assert_ok(sh_engine_subscribe(f->engine, sh_str(id), 0, on_live, NULL, NULL, &live, &err),
                 &err);
    start_second(later); /* takes the workflow up: it is in its store */
    ck_assert_int_eq(fixture_signal(f, id, "go", NULL), SH_E_FENCED);
    fixture_run_ms(f, 20);
    ck_assert(f->fatal);
    ck_assert_uint_eq(told, 0);
    sh_engine_unsubscribe(live);
    stop(f->engine);
    sh_loop_on_turn(f->loop, flush, f->store);
    f->engine = later->engine; /* what follows asks this one */
}

char *engine_owner_case(struct fixture *fixture, const char *waits) {
    struct second later;
    json_t *events, *row, *v;
    char *id;

    f = fixture;
    id = fixture_submit(f, waits, NULL);
    fixture_await(f, id, "ActivityScheduled", 1);
    first_is_refused(id, &later);
    events = fixture_events(f, id);
    ck_assert_uint_eq(fixture_count(events, "SignalReceived", NULL), 0);
    json_decref(events);
    ck_assert_int_eq(fixture_signal(f, id, "go", json_null()), 0);
    row = fixture_wait(f, id);
    ck_assert(sh_str_eqz(sh_json_get_str(row, "status"), "completed"));
    ck_assert_int_eq(sh_json_get_int(row, "epoch", 0), 2);
    ck_assert_uint_gt(sh_json_get_str(row, "owner").len, 0);
    json_decref(row);
    v = fixture_verify(f, id);
    ck_assert(sh_json_get_bool(v, "ok", false));
    json_decref(v);
    ck_assert(!later.fatal);
    return id;
}
