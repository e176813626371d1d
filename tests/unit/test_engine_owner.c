/* Two engines on one store: the later one is the owner, and of the earlier one nothing is kept or
 * told any more. */
#include "lib/check_main.h"
#include "lib/engine_fixture.h"
#include "lib/fake_tools.c"

#define WAITS "(module\nprint before\nstart signal {\"name\":\"go\"}\nwait any\nprint after\n"

static struct fixture f;

struct second {
    struct sh_engine *engine;
    bool started, fatal;
};

static void on_started(void *arg, const struct sh_err *err) {
    ck_assert_ptr_null(err);
    ((struct second *)arg)->started = true;
    sh_loop_stop(f.loop);
}

static void on_stopped(void *arg) {
    *(bool *)arg = true;
    sh_loop_stop(f.loop);
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
    struct sh_engine_config config = fixture_config(&f);

    config.fatal = on_fatal;
    config.fatal_arg = s;
    *s = (struct second){0};
    sh_loop_on_turn(f.loop, NULL, NULL); /* there is one hook; either sends what both wrote */
    sh_assert_ok(sh_engine_start(&config, on_started, s, &s->engine, &err), &err);
    fixture_run(&f, &s->started);
}

static void stop(struct sh_engine *e) {
    bool stopped = false;

    sh_engine_stop(e, on_stopped, &stopped);
    fixture_run(&f, &stopped);
}

static size_t told;
static void on_live(void *arg, const struct sh_live_event *ev) {
    (void)arg;
    told += ev->event != NULL && sh_str_eqz(ev->event->type, "SignalReceived");
}

static void on_answer(void *arg, json_t *value, const struct sh_err *err) {
    struct sh_err *ret = arg;
    (void)value;
    sh_fail(ret, err ? err->code : SH_E_INTERNAL, "%s", err ? err->message : "it was taken");
}

START_TEST(the_later_engine_owns_and_the_earlier_one_is_refused_and_stops) {
    struct second later;
    struct sh_subscription *live = NULL;
    struct sh_err err = {0}, answer = {0};
    fixture_open(&f, "owner");
    sh_auto(sh_free_p) char *id = fixture_submit(&f, WAITS, NULL);
    fixture_await(&f, id, "ActivityScheduled", 1);
    told = 0;
    sh_assert_ok(sh_engine_subscribe(f.engine, sh_str(id), 0, on_live, NULL, NULL, &live, &err),
                 &err);

    start_second(&later); /* takes the workflow up: it is in its store */
    sh_engine_signal(f.engine, sh_str(id), SH_STR("go"), NULL, on_answer, &answer);
    while (!answer.code) {
        fixture_run_ms(&f, 1);
    }
    ck_assert_msg(answer.code == SH_E_FENCED, "%s", answer.message);
    fixture_run_ms(&f, 20);
    ck_assert(f.fatal);
    ck_assert_uint_eq(told, 0);
    sh_engine_unsubscribe(live);
    stop(f.engine);
    sh_loop_on_turn(f.loop, flush, f.store);

    f.engine = later.engine; /* what follows asks this one */
    json_t *events = fixture_events(&f, id);
    ck_assert_uint_eq(fixture_count(events, "SignalReceived", NULL), 0);
    json_decref(events);
    ck_assert_int_eq(fixture_signal(&f, id, "go", json_null()), 0);
    json_t *row = fixture_wait(&f, id);
    ck_assert(sh_str_eqz(sh_json_get_str(row, "status"), "completed"));
    ck_assert_int_eq(sh_json_get_int(row, "epoch", 0), 2);
    ck_assert_uint_gt(sh_json_get_str(row, "owner").len, 0);
    json_decref(row);
    json_t *v = fixture_verify(&f, id);
    ck_assert(sh_json_get_bool(v, "ok", false));
    json_decref(v);
    ck_assert(!later.fatal);
    fixture_close(&f);
}
END_TEST

START_TEST(each_start_is_an_epoch_and_says_so_in_rows_and_journals) {
    json_t *claimed = NULL;
    fixture_open(&f, "epochs");
    sh_auto(sh_free_p) char *id = fixture_submit(&f, WAITS, NULL);
    fixture_await(&f, id, "ActivityScheduled", 1);
    json_t *row = fixture_row(&f, id);
    ck_assert_int_eq(sh_json_get_int(row, "epoch", 0), 1);
    json_decref(row);
    fixture_crash(&f, SH_TWIN_LOSE_ALL);
    fixture_await(&f, id, "Claimed", 1);
    ck_assert_int_eq(fixture_signal(&f, id, "go", json_null()), 0);
    json_decref(fixture_wait(&f, id));
    json_t *events = fixture_events(&f, id);
    ck_assert_uint_eq(fixture_count(events, "Claimed", &claimed), 1);
    ck_assert_int_eq(sh_json_get_int(claimed, "epoch", 0), 2);
    json_decref(events);
    fixture_close(&f);
}
END_TEST

static Suite *suite(void) {
    const TTest *const tests[] = {the_later_engine_owns_and_the_earlier_one_is_refused_and_stops,
                                  each_start_is_an_epoch_and_says_so_in_rows_and_journals, NULL};
    return sh_suite("engine_owner", tests);
}
SH_TEST_MAIN(suite)
