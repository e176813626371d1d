/* engine/disk: what rests while the disk is nearly full, at the edges of the marks, and that all
 * of it goes on afterwards. */
#include "engine/engine.h"
#include "lib/check_main.h"
#include "lib/engine_fixture.h"
#include "lib/fake_tools.c"

#ifdef SH_FAULTS

#define LOOKS_MS 2500 /* two looks, on a busy machine too */

static void begin(struct fixture *f, const char *name, uint64_t free_bytes) {
    *f = (struct fixture){.watch_disk = true};
    sh_disk_pretend(free_bytes);
    fixture_open(f, name);
}

static bool low(struct fixture *f) {
    json_t *stats = sh_engine_stats(f->engine);
    bool is = sh_json_get_int(stats, "disk_low", 0) == 1;

    json_decref(stats);
    return is;
}

static void await_low(struct fixture *f, bool want) {
    for (uint64_t until = sh_mono_ns() + 20000000000ULL; low(f) != want;) {
        ck_assert_uint_lt(sh_mono_ns(), until);
        fixture_run_ms(f, 20);
    }
}

START_TEST(a_start_at_the_mark_takes_work_and_one_below_it_does_not) {
    struct fixture f;
    char *id;

    begin(&f, "mark", SH_DISK_REST);
    ck_assert(!low(&f));
    id = fixture_submit(&f, "(module\nprint hello\n", NULL);
    json_decref(fixture_wait(&f, id));
    sh_free(id);
    fixture_stop_engine(&f);
    sh_disk_pretend(SH_DISK_REST - 1);
    fixture_start_engine(&f);
    ck_assert(low(&f));
    fixture_close(&f);
}
END_TEST

struct answer {
    struct fixture *f;
    bool done, cached;
    int code;
    char message[480];
};

static void on_submit(void *arg, json_t *row, bool cached, const struct sh_err *err) {
    struct answer *a = arg;

    (void)row;
    a->done = true;
    a->cached = cached;
    a->code = err ? err->code : 0;
    snprintf(a->message, sizeof(a->message), "%s", err ? err->message : "");
    sh_loop_stop(a->f->loop);
}

static void on_json(void *arg, json_t *value, const struct sh_err *err) {
    on_submit(arg, value, false, err);
}

static struct answer submit(struct fixture *f, struct sh_str agent, const char *key) {
    struct answer a = {.f = f};
    struct sh_submit s = {.agent = agent, .query = SH_STR("x"), .idempotency_key = sh_str(key)};

    sh_engine_submit(f->engine, &s, on_submit, &a);
    fixture_run(f, &a.done);
    return a;
}

START_TEST(new_work_is_refused_with_the_way_out_and_known_work_is_not) {
    static const char program[] = "(module\nprint known\n";
    struct fixture f;
    struct answer a;
    struct sh_hash hash;
    char hex[SH_HASH_HEX_BYTES];
    char *id;

    begin(&f, "refused", SH_GIB);
    id = fixture_submit(&f, program, &(struct sh_submit){.idempotency_key = SH_STR("known")});
    json_decref(fixture_wait(&f, id));
    sh_sha256(program, strlen(program), &hash);
    sh_hash_hex(&hash, hex);
    sh_disk_pretend(SH_DISK_REST - 1);
    await_low(&f, true);
    a = submit(&f, sh_str(hex), "known");
    ck_assert_int_eq(a.code, 0);
    ck_assert(a.cached);
    a = submit(&f, sh_str(hex), "new");
    ck_assert_int_eq(a.code, SH_E_NOSPC);
    ck_assert_ptr_nonnull(strstr(a.message, "shannon forget"));
    ck_assert_ptr_nonnull(strstr(a.message, f.dir));
    a = submit(&f, sh_str(hex), "");
    ck_assert_int_eq(a.code, SH_E_NOSPC);
    a = (struct answer){.f = &f};
    sh_engine_module_add(f.engine, SH_STR("(module\nprint other\n"), NULL, NULL, on_json, &a);
    fixture_run(&f, &a.done);
    ck_assert_int_eq(a.code, SH_E_NOSPC);
    a = (struct answer){.f = &f};
    sh_engine_fork(f.engine, sh_str(id), 0, on_json, &a);
    fixture_run(&f, &a.done);
    ck_assert_int_eq(a.code, SH_E_NOSPC);
    sh_free(id);
    fixture_close(&f);
}
END_TEST

START_TEST(what_runs_rests_and_goes_on_when_there_is_room) {
    struct fixture f;
    char *id;
    json_t *row, *verified;
    size_t before, after;
    json_t *events;

    begin(&f, "rests", SH_GIB);
    id = fixture_submit(&f,
                        "(module\nsleep 300\nemit tick {}\nsleep 300\nemit tick {}\nsleep 300\n"
                        "emit tick {}\nsleep 300\nemit tick {}\nsleep 3000\nemit tick {}\n"
                        "print over\n",
                        NULL);
    fixture_await(&f, id, "Emitted", 1);
    sh_disk_pretend(SH_DISK_REST - 1);
    await_low(&f, true);
    fixture_run_ms(&f, 100); /* what was on its way to the store */
    events = fixture_events(&f, id);
    before = fixture_count(events, "Emitted", NULL);
    json_decref(events);
    sh_disk_pretend(SH_DISK_REST_OVER - 1);
    fixture_run_ms(&f, LOOKS_MS);
    ck_assert(low(&f)); /* not yet */
    events = fixture_events(&f, id);
    after = fixture_count(events, "Emitted", NULL);
    json_decref(events);
    ck_assert_uint_eq(after, before);
    sh_disk_pretend(SH_DISK_REST_OVER);
    await_low(&f, false);
    row = fixture_wait(&f, id);
    sh_assert_str(sh_json_get_str(row, "status"), "completed");
    json_decref(row);
    verified = fixture_verify(&f, id);
    ck_assert(sh_json_get_bool(verified, "ok", false));
    json_decref(verified);
    sh_free(id);
    fixture_close(&f);
}
END_TEST

START_TEST(a_start_without_room_rests_verifies_cancels_and_goes_on_later) {
    struct fixture f;
    char *ended, *running, *doomed;
    json_t *row, *verified;

    begin(&f, "restart", SH_GIB);
    ended = fixture_submit(&f, "(module\nprint one\n", NULL);
    json_decref(fixture_wait(&f, ended));
    running = fixture_submit(&f, "(module\nemit a {}\nsleep 1500\nprint two\n", NULL);
    doomed = fixture_submit(&f, "(module\nemit a {}\nsleep 900000\nprint three\n", NULL);
    fixture_await(&f, running, "Emitted", 1);
    fixture_await(&f, doomed, "Emitted", 1);
    sh_disk_pretend(SH_DISK_REST - 1);
    f.cancel_grace_ms = 50;
    fixture_crash(&f, SH_TWIN_LOSE_ALL);
    ck_assert(low(&f));
    verified = fixture_verify(&f, ended);
    ck_assert(sh_json_get_bool(verified, "ok", false));
    json_decref(verified);
    ck_assert_int_eq(fixture_control(&f, doomed, sh_engine_cancel), 0);
    row = fixture_wait(&f, doomed);
    sh_assert_str(sh_json_get_str(row, "status"), "canceled");
    json_decref(row);
    row = fixture_row(&f, running);
    sh_assert_str(sh_json_get_str(row, "status"), "running");
    json_decref(row);
    sh_disk_pretend(SH_GIB);
    row = fixture_wait(&f, running);
    sh_assert_str(sh_json_get_str(row, "status"), "completed");
    json_decref(row);
    sh_free(ended);
    sh_free(running);
    sh_free(doomed);
    fixture_close(&f);
}
END_TEST

START_TEST(a_call_does_not_leave_while_there_is_no_room) {
    struct fixture f;
    char *id;
    json_t *row, *events;

    begin(&f, "calls", SH_GIB);
    id = fixture_submit(&f,
                        "(module\nstart sleep {\"ms\":1200}\nwait 1\nstart llm "
                        "{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}\nwait 2\n"
                        "result 2\n",
                        NULL);
    fixture_await(&f, id, "ActivityScheduled", 1);
    sh_disk_pretend(0);
    await_low(&f, true);
    fixture_run_ms(&f, 1500);
    events = fixture_events(&f, id);
    ck_assert_uint_eq(fixture_count(events, "ActivityCompleted", NULL) +
                          fixture_count(events, "TimerFired", NULL),
                      1); /* the sleep is over, and nobody has seen it */
    json_decref(events);
    ck_assert_uint_eq(fake_llm.n_keys, 0);
    sh_disk_pretend(SH_GIB);
    row = fixture_wait(&f, id);
    sh_assert_str(sh_json_get_str(row, "status"), "completed");
    json_decref(row);
    sh_free(id);
    fixture_close(&f);
}
END_TEST

START_TEST(ballast_comes_with_room_and_goes_when_the_disk_is_full) {
    struct fixture f;

    begin(&f, "ballast", SH_GIB);
    ck_assert(!sh_ballast_is_there(f.dir));
    for (uint64_t until = sh_mono_ns() + 30000000000ULL; !sh_ballast_is_there(f.dir);) {
        ck_assert_uint_lt(sh_mono_ns(), until);
        fixture_run_ms(&f, 50);
    }
    sh_disk_pretend(SH_DISK_FULL);
    await_low(&f, true);
    fixture_run_ms(&f, LOOKS_MS);
    ck_assert(sh_ballast_is_there(f.dir));
    sh_disk_pretend(SH_DISK_FULL - 1);
    for (uint64_t until = sh_mono_ns() + 30000000000ULL; sh_ballast_is_there(f.dir);) {
        ck_assert_uint_lt(sh_mono_ns(), until);
        fixture_run_ms(&f, 50);
    }
    ck_assert(low(&f)); /* what it gave is for freeing more */
    fixture_close(&f);
}
END_TEST

#endif

static Suite *suite(void) {
    const TTest *const tests[] = {
#ifdef SH_FAULTS
        a_start_at_the_mark_takes_work_and_one_below_it_does_not,
        new_work_is_refused_with_the_way_out_and_known_work_is_not,
        what_runs_rests_and_goes_on_when_there_is_room,
        a_start_without_room_rests_verifies_cancels_and_goes_on_later,
        a_call_does_not_leave_while_there_is_no_room,
        ballast_comes_with_room_and_goes_when_the_disk_is_full,
#endif
        NULL};
    return sh_suite("engine_disk", tests);
}

SH_TEST_MAIN(suite)
