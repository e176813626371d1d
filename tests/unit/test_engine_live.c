/* Followers see every durable event once and in order, from wherever they begin. */
#include "lib/check_main.h"
#include "lib/engine_fixture.h"
#include "lib/fake_tools.c"

static struct fixture f;

struct follower {
    struct sh_subscription *sub;
    uint64_t last, events, deltas;
    bool ended, missing, leave_at_first;
};

static void on_event(void *arg, const struct sh_live_event *ev) {
    struct follower *w = arg;

    if (!ev->event) {
        w->deltas++;
        return;
    }
    ck_assert_uint_eq(ev->event->seq, w->last + 1);
    w->last = ev->event->seq;
    w->events++;
    ck_assert(json_is_object(ev->body));
    if (w->leave_at_first) {
        sh_engine_unsubscribe(w->sub);
        w->sub = NULL;
    }
    if (sh_event_is_final(ev->event->type)) {
        w->ended = true;
        sh_loop_stop(f.loop);
    }
}

static void on_missing(void *arg) {
    struct follower *w = arg;

    w->missing = true;
    sh_loop_stop(f.loop);
}

static void follow(struct follower *w, const char *id, uint64_t after) {
    struct sh_err err = {0};

    w->last = after;
    sh_assert_ok(
        sh_engine_subscribe(f.engine, sh_str(id), after, on_event, on_missing, w, &w->sub, &err),
        &err);
}

START_TEST(a_live_follower_sees_deltas_and_every_event) {
    struct follower w = {0}, leaver = {.leave_at_first = true};

    fixture_open(&f, "live");
    fake_llm.delay_ms = 20;
    sh_auto(sh_free_p) char *id = fixture_submit(
        &f, "(module\nstart sleep {\"ms\":20}\nwait any\nstart llm {\"q\":1}\nwait any\nprint x\n",
        NULL);
    follow(&w, id, 0);
    follow(&leaver, id, 0);
    fixture_run(&f, &w.ended);
    ck_assert_uint_ge(w.deltas, 1);
    ck_assert_uint_eq(leaver.events, 1);
    sh_engine_unsubscribe(w.sub);
    fixture_close(&f);
}
END_TEST

START_TEST(a_late_follower_reads_the_tail_from_the_store) {
    struct follower all = {0}, tail = {0};

    fixture_open(&f, "late");
    sh_auto(sh_free_p) char *id =
        fixture_submit(&f, "(module\nstart calculator {\"n\":1}\nwait any\nprint x\n", NULL);
    json_decref(fixture_wait(&f, id));
    follow(&all, id, 0);
    fixture_run(&f, &all.ended);
    follow(&tail, id, all.events - 2);
    fixture_run(&f, &tail.ended);
    ck_assert_uint_eq(tail.events, 2);
    sh_engine_unsubscribe(all.sub);
    sh_engine_unsubscribe(tail.sub);
    fixture_close(&f);
}
END_TEST

START_TEST(a_journal_longer_than_a_page_is_followed_whole) {
    struct follower w = {0};
    struct sh_buf program;

    fixture_open(&f, "long");
    sh_buf_init(&program, SH_MIB);
    sh_buf_adds(&program, "(module\n");
    for (int i = 0; i < SH_JOURNAL_PAGE + 10; i++) {
        sh_buf_addf(&program, "emit tick {\"n\":%d}\n", i);
    }
    sh_auto(sh_free_p) char *id = fixture_submit(&f, program.p, NULL);
    follow(&w, id, 0);
    fixture_run(&f, &w.ended);
    ck_assert_uint_eq(w.events, SH_JOURNAL_PAGE + 10 + 3);
    sh_engine_unsubscribe(w.sub);
    sh_buf_done(&program);
    fixture_close(&f);
}
END_TEST

START_TEST(an_unknown_id_is_missing_and_a_bad_one_refused) {
    struct follower w = {0};
    struct sh_err err = {0};

    fixture_open(&f, "missing");
    follow(&w, "wf-nobody", 0);
    fixture_run(&f, &w.missing);
    sh_engine_unsubscribe(w.sub);
    sh_assert_fails(
        sh_engine_subscribe(f.engine, SH_STR("a/b"), 0, on_event, on_missing, &w, &w.sub, &err),
        SH_E_INVAL, &err);
    fixture_close(&f);
}
END_TEST

START_TEST(a_full_journal_ends_its_workflow_and_no_other) {
    struct sh_err err = {0};
    json_t *caps = NULL, *row;
    struct sh_buf program;

    fixture_open(&f, "full");
    sh_assert_ok(sh_json_parse(SH_STR("{\"limits\":{\"journal\":\"64KiB\"}}"), SH_MIB, &caps, &err),
                 &err);
    sh_buf_init(&program, SH_MIB);
    sh_buf_adds(&program, "(module\n");
    for (int i = 0; i < 2000; i++) {
        sh_buf_addf(&program, "emit tick {\"n\":\"%060d\"}\n", i);
    }
    sh_auto(sh_free_p) char *full =
        fixture_submit(&f, program.p, &(struct sh_submit){.capabilities = caps});
    sh_auto(sh_free_p) char *other = fixture_submit(&f, "(module\nprint fine\n", NULL);
    row = fixture_wait(&f, full);
    ck_assert_str_eq(json_string_value(json_object_get(json_object_get(row, "error"), "code")),
                     "journal_limit");
    ck_assert_ptr_nonnull(
        strstr(json_string_value(json_object_get(json_object_get(row, "error"), "message")),
               "limit of 65536 bytes; raise limits.journal"));
    json_decref(row);
    row = fixture_wait(&f, other);
    ck_assert_str_eq(json_string_value(json_object_get(row, "status")), "completed");
    json_decref(row);
    json_decref(caps);
    sh_buf_done(&program);
    fixture_close(&f);
}
END_TEST

static Suite *suite(void) {
    const TTest *const tests[] = {a_live_follower_sees_deltas_and_every_event,
                                  a_late_follower_reads_the_tail_from_the_store,
                                  a_journal_longer_than_a_page_is_followed_whole,
                                  an_unknown_id_is_missing_and_a_bad_one_refused,
                                  a_full_journal_ends_its_workflow_and_no_other,
                                  NULL};
    return sh_suite("engine_live", tests);
}
SH_TEST_MAIN(suite)
