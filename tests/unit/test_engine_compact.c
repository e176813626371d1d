/* What stands for a journal's beginning is as good as the beginning: the task goes on from it,
 * verifies, travels and forks, whatever happens while it is made; what is gone is said to be gone.
 */
#include "lib/check_main.h"
#include "lib/engine_fixture.h"
#include "lib/fake_tools.c"

#include <stdio.h>

static struct fixture f;

struct got {
    bool done;
    struct sh_err err;
    json_t *value;
    int fd;
    size_t n;
};

static void on_value(void *arg, json_t *value, const struct sh_err *err) {
    struct got *g = arg;

    g->err = err ? *err : (struct sh_err){0};
    g->value = json_incref(value);
    g->done = true;
    sh_loop_stop(f.loop);
}

static void on_file(void *arg, int fd, uint64_t bytes, const struct sh_err *err) {
    struct got *g = arg;

    ck_assert_uint_gt(bytes, 0);
    g->fd = fd;
    on_value(g, NULL, err);
}

static void on_records(void *arg, json_t *records, size_t total, const struct sh_err *err) {
    struct got *g = arg;

    (void)total;
    ck_assert_ptr_null(err);
    g->n = json_array_size(records);
    g->done = true;
    sh_loop_stop(f.loop);
}

/* The error's code; what was answered by ret, if not NULL. */
static int answer(struct got *g, json_t **ret) {
    fixture_run(&f, &g->done);
    if (ret) {
        *ret = g->value;
    } else {
        json_decref(g->value);
    }
    return g->err.code;
}

static int compact(const char *id, json_t **ret) {
    struct got g = {0};

    sh_engine_compact(f.engine, sh_str(id), on_value, &g);
    return answer(&g, ret);
}

static int events_after(const char *id, uint64_t after, json_t **ret) {
    struct got g = {0};

    sh_engine_events(f.engine, sh_str(id), after, 0, on_value, &g);
    return answer(&g, ret);
}

/* The n-th event of that type, new; NULL when there is none. Reads page after page. */
static json_t *event_of(const char *id, const char *type, size_t n) {
    uint64_t after = 0;
    json_t *page, *ev, *found = NULL;
    bool more = true;

    while (more && !found) {
        size_t i;
        ck_assert_int_eq(events_after(id, after, &page), 0);
        json_array_foreach(json_object_get(page, "events"), i, ev) {
            after = (uint64_t)sh_json_get_int(ev, "seq", 0);
            if (!found && sh_str_eqz(sh_json_get_str(ev, "type"), type) && --n == 0) {
                found = json_incref(ev);
            }
        }
        more = sh_json_get_bool(page, "more", false);
        json_decref(page);
    }
    return found;
}

static uint64_t seq_of(const char *id, const char *type) {
    json_t *ev = event_of(id, type, 1);
    uint64_t seq = (uint64_t)sh_json_get_int(ev, "seq", 0);

    json_decref(ev);
    return seq;
}

static void await(const char *id, const char *type, size_t n) {
    for (uint64_t until = sh_mono_ns() + 60000000000ULL; sh_mono_ns() < until;) {
        json_t *ev = event_of(id, type, n);
        json_decref(ev);
        if (ev) {
            return;
        }
        fixture_run_ms(&f, 5);
    }
    ck_abort_msg("there is no event %s", type);
}

static void assert_verifies(const char *id, uint64_t compacted) {
    json_t *v = fixture_verify(&f, id);
    sh_auto(sh_free_p) char *text = sh_json_text(v);

    ck_assert_msg(sh_json_get_bool(v, "ok", false), "%s", text);
    ck_assert_str_eq(json_string_value(json_object_get(v, "replay")), "ok");
    ck_assert_msg((uint64_t)sh_json_get_int(v, "compacted", 0) == compacted, "%s", text);
    json_decref(v);
}

static const char short_program[] =
    "(module\nprint before\nstart llm {\"q\":1}\nwait any\nstart calculator {\"n\":4}\nwait any\n"
    "checkpoint mark\nprint after\nstart llm {\"q\":2}\nwait any\n";

static char *run(const char *program) {
    char *id = fixture_submit(&f, program, NULL);

    ck_assert_msg(id != NULL, "%s", fixture_error.message);
    json_decref(fixture_wait(&f, id));
    fixture_run_ms(&f, 5);
    return id;
}

START_TEST(one_event_stands_for_all_before_the_checkpoint) {
    json_t *done, *page, *events;

    fixture_open(&f, "compact");
    sh_auto(sh_free_p) char *id = run(short_program);
    assert_verifies(id, 0);
    uint64_t c = seq_of(id, "Checkpoint"), last = seq_of(id, "WorkflowCompleted");
    ck_assert_uint_gt(c, 5);
    ck_assert_int_eq(compact(id, &done), 0);
    ck_assert_uint_eq((uint64_t)sh_json_get_int(done, "compacted", 0), c - 1);
    ck_assert_uint_eq((uint64_t)sh_json_get_int(done, "events", 0), c - 1);
    json_decref(done);
    events = fixture_events(&f, id);
    ck_assert_uint_eq(json_array_size(events), last - c + 2);
    ck_assert_str_eq(json_string_value(json_object_get(json_array_get(events, 0), "type")),
                     "Compacted");
    json_decref(events);
    assert_verifies(id, c - 1);
    ck_assert_int_eq(compact(id, NULL), SH_E_STATE); /* nothing is left before it */
    ck_assert_int_eq(events_after(id, 1, NULL), SH_E_GONE);
    ck_assert_int_eq(events_after(id, c - 2, &page), 0); /* the next is what stands for them */
    ck_assert_uint_eq(json_array_size(json_object_get(page, "events")), last - c + 2);
    json_decref(page);
    ck_assert_int_eq(events_after(id, c - 1, &page), 0);
    ck_assert_uint_eq(json_array_size(json_object_get(page, "events")), last - c + 1);
    json_decref(page);
    fixture_close(&f);
}
END_TEST

START_TEST(a_task_without_a_checkpoint_keeps_its_journal) {
    fixture_open(&f, "compact-none");
    sh_auto(sh_free_p) char *id = run("(module\nprint x\n");
    ck_assert_int_eq(compact(id, NULL), SH_E_STATE);
    ck_assert_int_eq(compact("wf-none", NULL), SH_E_NOT_FOUND);
    assert_verifies(id, 0);
    fixture_close(&f);
}
END_TEST

START_TEST(what_stands_for_it_travels_and_forks) {
    struct got x = {0}, y = {0}, z = {0}, w = {0};
    json_t *row;

    fixture_open(&f, "compact-travel");
    sh_auto(sh_free_p) char *id = run(short_program);
    uint64_t c = seq_of(id, "Checkpoint");
    ck_assert_int_eq(compact(id, NULL), 0);
    sh_engine_replay(f.engine, sh_str(id), c - 1, on_value, &x);
    ck_assert_int_eq(answer(&x, NULL), SH_E_GONE);
    sh_engine_fork(f.engine, sh_str(id), c - 2, on_value, &y);
    ck_assert_int_eq(answer(&y, NULL), SH_E_GONE);
    y = (struct got){0};
    sh_engine_fork(f.engine, sh_str(id), c + 1, on_value, &y);
    ck_assert_int_eq(answer(&y, &row), 0);
    sh_auto(sh_free_p) char *fork = sh_strdup(json_string_value(json_object_get(row, "id")));
    json_decref(row);
    row = fixture_wait(&f, fork);
    ck_assert_str_eq(json_string_value(json_object_get(row, "status")), "completed");
    ck_assert_ptr_nonnull(strstr(json_string_value(json_object_get(row, "result")), "before"));
    json_decref(row);
    fixture_run_ms(&f, 5);
    assert_verifies(fork, c - 1);

    sh_engine_export(f.engine, sh_str(id), false, on_file, &z);
    ck_assert_int_eq(answer(&z, NULL), 0);
    fixture_close(&f);
    fixture_open(&f, "compact-there");
    sh_engine_import(f.engine, z.fd, on_value, &w);
    ck_assert_int_eq(answer(&w, &row), 0);
    ck_assert_str_eq(json_string_value(json_object_get(row, "status")), "completed");
    ck_assert_ptr_nonnull(json_object_get(row, "agent"));
    json_decref(row);
    assert_verifies(id, c - 1);
    ck_assert_int_eq(compact(id, NULL), SH_E_STATE);
    fixture_close(&f);
}
END_TEST

/* The journal of a task whose agent emits n times before its checkpoint. */
static char *long_program(size_t n, const char *rest) {
    struct sh_buf b;

    sh_buf_init(&b, SH_MIB);
    sh_buf_adds(&b, "(module\nprint begin\nstart llm {\"q\":1}\nwait any\n");
    for (size_t i = 0; i < n; i++) {
        sh_buf_addf(&b, "emit step {\"n\":%zu}\n", i);
    }
    sh_buf_adds(&b, "checkpoint mark\nprint end\n");
    sh_buf_adds(&b, rest);
    char *text = sh_strndup0(b.p, b.len);
    sh_buf_done(&b);
    return text;
}

/* Where Compacted stands; 0: nowhere. UINT64_MAX while a note says that more is to go. */
static uint64_t compacted_at(const char *id) {
    struct got g = {0};
    sh_auto(sh_free_p) char *name = sh_asprintf("compact:%s", id);

    sh_store_get(f.store, SH_TABLE_META, sh_str(name), on_records, &g);
    fixture_run(&f, &g.done);
    return g.n ? UINT64_MAX : seq_of(id, "Compacted");
}

/* The power goes when `k` commits of a compaction have reached the disk. false: it was over. */
static bool cut_at(const char *program, size_t k, enum sh_twin_loss loss, bool live) {
    struct got g = {0};
    size_t commits = 0;
    bool crashed = false;

    f.first_sweep_ns = 0;
    f.compact_slice = 8;
    fixture_open(&f, "compact-cut");
    sh_auto(sh_free_p) char *id = fixture_submit(&f, program, NULL);
    await(id, live ? "ActivityScheduled" : "WorkflowCompleted", live ? 2 : 1);
    fixture_run_ms(&f, 20);
    uint64_t c = seq_of(id, "Checkpoint");
    struct sh_twin *twin = sh_twin_named(f.endpoint + 5);
    sh_twin_hold(twin, true);
    sh_engine_compact(f.engine, sh_str(id), on_value, &g);
    for (int i = 0; i < 5000 && !g.done && !crashed; i++) {
        if (sh_twin_held(twin) > 0 && commits == k) {
            f.first_sweep_ns = 1000000;
            fixture_crash(&f, loss);
            crashed = true;
        } else {
            commits += sh_twin_release(twin, 1);
            fixture_run_ms(&f, 1);
        }
    }
    sh_twin_hold(twin, false);
    ck_assert(g.done || crashed);
    json_decref(g.value);
    bool began = !crashed || k > 0 || loss == SH_TWIN_LOSE_NONE;
    uint64_t want = began ? c - 1 : 0;
    for (int i = 0; i < 4000 && compacted_at(id) != want; i++) { /* what is left of it goes on */
        fixture_run_ms(&f, 5);
    }
    ck_assert_uint_eq(compacted_at(id), want);
    if (live) {
        ck_assert_int_eq(fixture_signal(&f, id, "go", json_pack("{s:i}", "n", 7)), 0);
    }
    json_t *row = fixture_wait(&f, id);
    const char *result = json_string_value(json_object_get(row, "result"));
    ck_assert_str_eq(json_string_value(json_object_get(row, "status")), "completed");
    ck_assert_msg(result && strncmp(result, "begin\n", 6) == 0 && strstr(result, "end"), "%s",
                  result ? result : "none");
    json_decref(row);
    fixture_run_ms(&f, 5);
    assert_verifies(id, want);
    fixture_close(&f);
    return crashed;
}

START_TEST(power_loss_at_every_commit_of_a_compaction_loses_nothing) {
    static const enum sh_twin_loss losses[] = {SH_TWIN_LOSE_ALL, SH_TWIN_LOSE_NONE,
                                               SH_TWIN_LOSE_LAST};
    bool live = _i >= 3;
    sh_auto(sh_free_p) char *program =
        long_program(20, live ? "start signal {\"name\":\"go\"}\nwait any\n" : "");
    size_t k = 0;

    while (cut_at(program, k, losses[_i % 3], live)) {
        k++;
    }
    f.compact_slice = 0;
    ck_assert_uint_ge(k, 3); /* slices */
}
END_TEST

START_TEST(a_living_task_is_compacted_by_itself_and_its_signals_stay) {
    json_t *row;

    f.compact_after = 20;
    fixture_open(&f, "compact-self");
    sh_auto(sh_free_p) char *program = long_program(
        30, "start signal {\"name\":\"s\"}\nwait any\nstart signal {\"name\":\"s\"}\nwait any\n");
    sh_auto(sh_free_p) char *full =
        sh_asprintf("(module\nstart signal {\"name\":\"s\"}\nwait any\n%s", program + 8);
    sh_auto(sh_free_p) char *id = fixture_submit(&f, full, NULL);
    fixture_run_ms(&f, 20);
    for (int i = 1; i <= 2; i++) { /* one is taken before the checkpoint, one waits across it */
        ck_assert_int_eq(fixture_signal(&f, id, "s", json_pack("{s:i}", "n", i)), 0);
    }
    for (int i = 0; i < 5000 && seq_of(id, "Compacted") == 0; i++) {
        fixture_run_ms(&f, 1);
    }
    uint64_t k = seq_of(id, "Compacted");
    ck_assert_uint_gt(k, 20);
    fixture_crash(&f, SH_TWIN_LOSE_ALL);
    for (int i = 3; i <= 4; i++) { /* the agent begins anew: three waits, of which one is served */
        ck_assert_int_eq(fixture_signal(&f, id, "s", json_pack("{s:i}", "n", i)), 0);
    }
    row = fixture_wait(&f, id);
    const char *result = json_string_value(json_object_get(row, "result"));
    ck_assert_str_eq(json_string_value(json_object_get(row, "status")), "completed");
    const char *two = strstr(result, "\"n\":2"), *three = strstr(result, "\"n\":3");
    ck_assert_msg(strstr(result, "\"n\":1") && two && three && two < three, "%s", result);
    json_decref(row);
    fixture_run_ms(&f, 5);
    assert_verifies(id, k);
    fixture_close(&f);
    f.compact_after = 0;
}
END_TEST

/* The input of a later life is in a checkpoint that goes. */
START_TEST(a_task_that_continued_as_new_keeps_its_input) {
    struct got g = {0};

    fixture_open(&f, "compact-input");
    sh_auto(sh_free_p) char *id =
        fixture_submit(&f, "(module\ncontinue {\"n\":2}\ncheckpoint x\ninput\nprint end\n", NULL);
    json_t *row = fixture_wait(&f, id);
    sh_auto(sh_free_p) char *result = sh_strdup(json_string_value(json_object_get(row, "result")));
    ck_assert_ptr_nonnull(strstr(result, "{\"n\":2}"));
    json_decref(row);
    fixture_run_ms(&f, 5);
    sh_engine_compact(f.engine, sh_str(id), on_value, &g);
    fixture_run(&f, &g.done);
    ck_assert_msg(g.err.code == 0, "%s", g.err.message);
    json_decref(g.value);
    assert_verifies(id, seq_of(id, "Compacted"));
    row = fixture_row(&f, id); /* looking at it has changed nothing */
    ck_assert_str_eq(json_string_value(json_object_get(row, "result")), result);
    json_decref(row);
    fixture_close(&f);
}
END_TEST

/* Few events, but large ones. */
START_TEST(a_journal_that_has_grown_large_is_compacted_by_itself) {
    struct sh_buf program;

    f.compact_bytes = 100 * SH_KIB;
    fixture_open(&f, "compact-size");
    for (int large = 0; large < 2; large++) {
        sh_buf_init(&program, SH_MIB);
        sh_buf_adds(&program, "(module\n");
        for (int i = 0; i < 12; i++) {
            sh_buf_addf(&program, "emit e {\"text\":\"%0*d\"}\n", large ? 9000 : 900, i);
        }
        sh_buf_adds(&program, "checkpoint x\nstart signal {\"name\":\"s\"}\nwait any\n");
        sh_auto(sh_free_p) char *id = fixture_submit(&f, program.p, NULL);
        sh_buf_done(&program);
        fixture_await(&f, id, "ActivityScheduled", 1);
        for (int i = 0; i < (large ? 5000 : 100) && seq_of(id, "Compacted") == 0; i++) {
            fixture_run_ms(&f, 1);
        }
        ck_assert_int_eq(seq_of(id, "Compacted") > 0, large);
        ck_assert_int_eq(fixture_signal(&f, id, "s", json_null()), 0);
        json_decref(fixture_wait(&f, id));
    }
    fixture_close(&f);
    f.compact_bytes = 0;
}
END_TEST

/* Somebody edits what stands for the beginning. */
static void edit(const char *id) {
    json_t *ev = event_of(id, "Compacted", 1);

    ck_assert_ptr_nonnull(ev);
    json_t *body = json_object_get(ev, "body");
    sh_auto(sh_free_p) char *state = sh_strdup(json_string_value(json_object_get(body, "state")));
    char *at = strstr(state, "\"wall_us\":");
    ck_assert_ptr_nonnull(at);
    at[9] = ':';
    at[10] = at[10] == '9' ? '8' : '9';
    json_object_set_new(body, "state", json_string(state));
    sh_auto(sh_free_p) char *text = sh_json_text(body);
    uint64_t k = (uint64_t)sh_json_get_int(ev, "seq", 0);
    struct sh_event_record record = {.workflow = sh_str(id),
                                     .seq = k,
                                     .time_us = sh_json_get_int(ev, "time_us", 0),
                                     .type = SH_STR("Compacted"),
                                     .body = sh_str(text)};
    ck_assert_int_eq(sh_hash_parse(sh_json_get_str(ev, "hash"), &record.hash), 0);
    json_t *to = json_pack("{s:I}", "seq", (json_int_t)k);
    struct sh_put put = {SH_JOURNAL_CUT, sh_str(id), to};
    struct sh_err err = {0};
    sh_assert_ok(sh_store_append(f.store, &record, 1, &put, 1, NULL, NULL, &err), &err);
    fixture_run_ms(&f, 10);
    json_decref(to);
    json_decref(ev);
}

START_TEST(an_edited_state_is_found) {
    fixture_open(&f, "compact-edit");
    sh_auto(sh_free_p) char *id = run(short_program);
    ck_assert_int_eq(compact(id, NULL), 0);
    edit(id);
    json_t *v = fixture_verify(&f, id);
    ck_assert(!sh_json_get_bool(v, "ok", true));
    ck_assert_ptr_nonnull(strstr(json_string_value(json_object_get(v, "chain")), "was signed"));
    json_decref(v);
    fixture_close(&f);
}
END_TEST

static Suite *suite(void) {
    Suite *s = suite_create("engine_compact");
    TCase *t = tcase_create("compact"), *power = tcase_create("power");

    tcase_set_timeout(t, 25);
    tcase_add_test(t, one_event_stands_for_all_before_the_checkpoint);
    tcase_add_test(t, a_task_without_a_checkpoint_keeps_its_journal);
    tcase_add_test(t, what_stands_for_it_travels_and_forks);
    tcase_set_timeout(power, 120);
    tcase_add_loop_test(power, power_loss_at_every_commit_of_a_compaction_loses_nothing, 0, 6);
    tcase_add_test(t, a_living_task_is_compacted_by_itself_and_its_signals_stay);
    tcase_add_test(t, a_journal_that_has_grown_large_is_compacted_by_itself);
    tcase_add_test(t, a_task_that_continued_as_new_keeps_its_input);
    tcase_add_test(t, an_edited_state_is_found);
    suite_add_tcase(s, t);
    suite_add_tcase(s, power);
    return s;
}
SH_TEST_MAIN(suite)
