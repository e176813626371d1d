/* What only the twin can show: power loss, unknown outcomes, and what the store makes of them. */
#include "base/fault.h"
#include "store/store_twin.h"
#include "store_cases.h"

static struct sh_twin *twin(void) {
    return sh_twin_named("case");
}

/* Append without waiting. */
static void submit(struct fx *f, const char *workflow, uint64_t seq) {
    struct sh_event_record e = fx_event(workflow, seq, "{}");
    f->waiting++;
    sh_assert_ok(sh_store_append(f->store, &e, 1, NULL, 0, fx_done, f, &f->err), &f->err);
    sh_store_flush(f->store);
}

static size_t durable(const char *workflow) {
    json_t *snapshot = sh_twin_snapshot(twin());
    size_t n = json_array_size(json_object_get(json_object_get(snapshot, "event"), workflow));
    json_decref(snapshot);
    return n;
}

static void reopen(struct fx *f) {
    fx_close(f);
    sh_assert_ok(fx_open(f), &f->err);
}

static void stop(struct fx *f) {
    fx_stop(f);
    sh_twin_forget("case");
}

/* Runs what is posted by now, and nothing later. */
static void stop_loop(struct sh_msg *msg) {
    struct tick {
        struct sh_msg msg;
        struct sh_loop *loop;
    } *t = (void *)msg;
    sh_loop_stop(t->loop);
}

static void run_a_little(struct fx *f) {
    for (int i = 0; i < 4; i++) {
        struct {
            struct sh_msg msg;
            struct sh_loop *loop;
        } tick = {{NULL, stop_loop}, f->loop};
        sh_loop_post(f->loop, &tick.msg);
        sh_loop_run(f->loop);
    }
}

START_TEST(a_told_commit_survives_a_power_loss) {
    struct fx f;
    fx_start(&f, "twin");
    sh_assert_ok(fx_append_one(&f, "wf-a", 1), &f.err);
    sh_twin_power_loss(twin(), SH_TWIN_LOSE_ALL);
    reopen(&f);
    sh_assert_ok(fx_read(&f, "wf-a", 0, 10), &f.err);
    ck_assert_uint_eq(f.n_events, 1);
    stop(&f);
}
END_TEST

START_TEST(an_untold_commit_may_be_lost_or_kept_and_is_never_told) {
    for (int loss = SH_TWIN_LOSE_ALL; loss <= SH_TWIN_LOSE_NONE; loss++) {
        struct fx f;
        fx_start(&f, "twin");
        sh_twin_hold(twin(), true);
        submit(&f, "wf-a", 1);
        submit(&f, "wf-b", 1); /* waits for the first to end: never sent */
        run_a_little(&f);
        ck_assert_uint_eq(f.waiting, 2);
        ck_assert_uint_eq(sh_twin_held(twin()), 1);
        sh_twin_power_loss(twin(), (enum sh_twin_loss)loss);
        fx_wait(&f);
        ck_assert_int_eq(f.err.code, SH_E_IO);
        reopen(&f);
        sh_assert_ok(fx_read(&f, "wf-a", 0, 10), &f.err);
        ck_assert_uint_eq(f.n_events, loss == SH_TWIN_LOSE_NONE);
        sh_assert_ok(fx_read(&f, "wf-b", 0, 10), &f.err);
        ck_assert_uint_eq(f.n_events, 0);
        stop(&f);
    }
}
END_TEST

START_TEST(without_sync_told_commits_are_lost_out_of_order) {
    struct fx f;
    fx_start(&f, "twin");
    fx_close(&f);
    json_t *options = json_pack("{s:s}", "sync", "never");
    f.waiting++;
    sh_assert_ok(sh_store_open(f.loop, f.endpoint, options, fx_done, &f, &f.store, &f.err), &f.err);
    fx_wait(&f);
    json_decref(options);
    sh_assert_ok(fx_append_one(&f, "wf-a", 1), &f.err);
    sh_assert_ok(fx_append_one(&f, "wf-a", 2), &f.err);
    sh_assert_ok(fx_append_one(&f, "wf-a", 3), &f.err);
    ck_assert_uint_eq(durable("wf-a"), 0);
    sh_twin_power_loss(twin(), SH_TWIN_LOSE_FIRST);
    ck_assert_uint_eq(durable("wf-a"), 2);
    fx_close(&f);
    sh_assert_ok(fx_open(&f), &f.err);
    sh_assert_ok(fx_read(&f, "wf-a", 0, 10), &f.err);
    ck_assert_uint_eq(f.events[0].seq, 2);
    stop(&f);
}
END_TEST

START_TEST(after_an_unknown_outcome_the_store_takes_nothing_but_reads) {
    for (int written = 0; written < 2; written++) {
        struct fx f;
        fx_start(&f, "twin");
        sh_twin_fail_next(twin(), SH_E_IO, written);
        submit(&f, "wf-a", 1);
        submit(&f, "wf-b", 1);
        fx_wait(&f);
        ck_assert_int_eq(f.err.code, SH_E_IO);
        sh_assert_fails(fx_append_one(&f, "wf-c", 1), SH_E_IO, &f.err);
        sh_assert_ok(fx_read(&f, "wf-a", 0, 10), &f.err);
        ck_assert_uint_eq(f.n_events, (unsigned)written);
        reopen(&f);
        sh_assert_ok(fx_read(&f, "wf-a", 0, 10), &f.err);
        ck_assert_uint_eq(f.n_events, (unsigned)written);
        sh_assert_ok(fx_append_one(&f, "wf-c", 1), &f.err);
        stop(&f);
    }
}
END_TEST

START_TEST(appends_made_during_a_transaction_leave_together_after_it) {
    struct fx f;
    fx_start(&f, "twin");
    sh_twin_hold(twin(), true);
    submit(&f, "wf-0", 1);
    for (int i = 1; i < 20; i++) {
        char id[16];
        snprintf(id, sizeof(id), "wf-%d", i);
        submit(&f, id, 1);
    }
    run_a_little(&f);
    ck_assert_uint_eq(sh_store_stats(f.store).transactions, 0);
    ck_assert_uint_eq(sh_twin_release(twin(), 5), 1);
    sh_twin_hold(twin(), false);
    fx_wait(&f);
    ck_assert_uint_eq(sh_store_stats(f.store).transactions, 2);
    ck_assert_uint_eq(sh_store_stats(f.store).largest_batch, 19);
    stop(&f);
}
END_TEST

/* A callback that goes on: appends the next event, or closes the store. */
struct chain {
    struct fx *f;
    uint64_t next, last;
};
static void chain_closed(void *arg) {
    struct chain *c = arg;
    c->f->store = NULL;
    fx_done(c->f, NULL);
}
static void chain_step(void *arg, const struct sh_err *err) {
    struct chain *c = arg;
    ck_assert_ptr_null(err);
    if (c->next > c->last) {
        sh_store_close(c->f->store, chain_closed, c);
        return;
    }
    struct sh_event_record e = fx_event("wf-a", c->next++, "{}");
    sh_assert_ok(sh_store_append(c->f->store, &e, 1, NULL, 0, chain_step, c, &c->f->err),
                 &c->f->err);
    sh_store_flush(c->f->store);
}

START_TEST(a_callback_may_append_flush_and_close) {
    struct fx f;
    fx_start(&f, "twin");
    struct chain c = {&f, 1, 50};
    f.waiting++;
    chain_step(&c, NULL);
    fx_wait(&f);
    ck_assert_uint_eq(durable("wf-a"), 50);
    stop(&f);
}
END_TEST

START_TEST(an_append_of_nothing_waits_for_those_before_it) {
    struct fx f;
    fx_start(&f, "twin");
    sh_twin_hold(twin(), true);
    submit(&f, "wf-a", 1);
    f.waiting++;
    sh_assert_ok(sh_store_append(f.store, NULL, 0, NULL, 0, fx_done, &f, &f.err), &f.err);
    run_a_little(&f);
    ck_assert_uint_eq(f.waiting, 2);
    sh_twin_hold(twin(), false);
    sh_twin_release(twin(), 1);
    fx_wait(&f);
    sh_assert_ok(fx_append(&f, NULL, 0, NULL, 0), &f.err);
    ck_assert_uint_eq(sh_store_stats(f.store).transactions, 1);
    stop(&f);
}
END_TEST

START_TEST(one_store_at_a_time_has_the_data) {
    struct fx f;
    fx_start(&f, "twin");
    struct sh_store *first = f.store;
    sh_assert_fails(fx_open(&f), SH_E_BUSY, &f.err);
    fx_close(&f);
    f.store = first;
    sh_assert_ok(fx_append_one(&f, "wf-a", 1), &f.err);
    stop(&f);
}
END_TEST

START_TEST(endpoints_that_do_not_exist_are_named) {
    struct fx f;
    struct sh_store *s = NULL;
    fx_start(&f, "twin");
    static const struct {
        const char *endpoint;
        int code;
    } bad[] = {{"", SH_E_INVAL},
               {"mysql:x", SH_E_INVAL},
               {"twins", SH_E_INVAL},
               {"ws://127.0.0.1:8000", SH_E_UNSUPPORTED},
               {"rocksdb:/tmp/x", SH_E_UNSUPPORTED},
               {"memory", SH_E_UNSUPPORTED}};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        sh_assert_fails(sh_store_open(f.loop, bad[i].endpoint, NULL, fx_done, &f, &s, &f.err),
                        bad[i].code, &f.err);
        ck_assert_ptr_nonnull(strstr(f.err.message, bad[i].endpoint));
    }
    json_t *options = json_pack("{s:s}", "sink", "every");
    sh_assert_fails(sh_store_open(f.loop, "twin", options, fx_done, &f, &s, &f.err), SH_E_INVAL,
                    &f.err);
    json_decref(options);
    sh_assert_fails(fx_query(&f, "SELECT * FROM event"), SH_E_UNSUPPORTED, &f.err);
    stop(&f);
}
END_TEST

#ifdef SH_FAULTS
/* One scenario under every single fault: right code, nothing half done, close always ends. */
static int scenario(struct fx *f) {
    int r = fx_open(f);
    if (r == 0) {
        r = fx_append_one(f, "wf-a", 1);
    }
    if (r == 0) {
        r = fx_read(f, "wf-a", 0, 10);
    }
    if (r == 0) {
        r = fx_get(f, SH_TABLE_KV, "k");
    }
    fx_close(f);
    return r;
}

START_TEST(every_fault_is_told_and_leaves_the_store_closable) {
    for (int forever = 0; forever < 2; forever++) {
        for (uint64_t k = 1;; k++) {
            struct fx f;
            fx_start(&f, "twin");
            fx_close(&f);
            sh_fault_plan(k, forever);
            int r = scenario(&f);
            uint64_t hits = sh_fault_plan(0, false);
            stop(&f);
            if (hits < k) {
                ck_assert_int_eq(r, 0);
                ck_assert_uint_gt(k, 3);
                break;
            }
            ck_assert_msg(r < 0, "fault %llu was not told", (unsigned long long)k);
            ck_assert_int_gt(f.err.message[0], 0);
        }
    }
}
END_TEST
#endif

static Suite *suite(void) {
    static const TTest *tests[11];
    size_t n = 0;
    tests[n++] = a_told_commit_survives_a_power_loss;
    tests[n++] = an_untold_commit_may_be_lost_or_kept_and_is_never_told;
    tests[n++] = without_sync_told_commits_are_lost_out_of_order;
    tests[n++] = after_an_unknown_outcome_the_store_takes_nothing_but_reads;
    tests[n++] = appends_made_during_a_transaction_leave_together_after_it;
    tests[n++] = a_callback_may_append_flush_and_close;
    tests[n++] = an_append_of_nothing_waits_for_those_before_it;
    tests[n++] = one_store_at_a_time_has_the_data;
    tests[n++] = endpoints_that_do_not_exist_are_named;
#ifdef SH_FAULTS
    tests[n++] = every_fault_is_told_and_leaves_the_store_closable;
#endif
    return sh_suite("store_twin", tests);
}

SH_TEST_MAIN(suite)
