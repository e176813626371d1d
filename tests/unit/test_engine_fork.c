/* Looking at a workflow as of an event, and going on from there as another one. */
#include "lib/check_main.h"
#include "lib/engine_fixture.h"
#include "lib/fake_tools.c"

static struct fixture f;

static json_t *replay(const char *id, uint64_t to) {
    struct fixture_answer g = {.f = &f};

    sh_engine_replay(f.engine, sh_str(id), to, fixture_on_json, &g);
    fixture_run(&f, &g.done);
    ck_assert_msg(g.value != NULL, "%s", g.err.message);
    return g.value;
}

static json_t *fork_at(const char *id, uint64_t at, struct sh_err *err) {
    struct fixture_answer g = {.f = &f};

    sh_engine_fork(f.engine, sh_str(id), at, fixture_on_json, &g);
    fixture_run(&f, &g.done);
    *err = g.err;
    return g.value;
}

static uint64_t seq_of(const char *id, const char *type, size_t which) {
    json_t *events = fixture_events(&f, id), *ev;
    uint64_t seq = 0;
    size_t i;

    json_array_foreach(events, i, ev) {
        if (sh_str_eqz(sh_json_get_str(ev, "type"), type) && which-- == 0) {
            seq = (uint64_t)sh_json_get_int(ev, "seq", 0);
            break;
        }
    }
    json_decref(events);
    return seq;
}

static const char *text(const json_t *object, const char *name) {
    const char *found = json_string_value(json_object_get(object, name));

    return found ? found : "";
}

static const char steps[] = "(module\nprint a\nemit step {\"n\":1}\nstart llm {\"n\":1}\nwait all\n"
                            "print b\nrandom\nstart llm {\"n\":2}\nwait all\nrandom\n";

START_TEST(any_event_shows_what_had_been_asked_and_said_by_then) {
    fixture_open(&f, "replay-to");
    sh_auto(sh_free_p) char *id = fixture_submit(&f, steps, NULL);
    json_decref(fixture_wait(&f, id));
    json_t *first = replay(id, seq_of(id, "ActivityScheduled", 0));
    json_t *requests = json_object_get(first, "requests");
    ck_assert_str_eq(text(first, "state"), "waiting");
    ck_assert_str_eq(text(first, "waits_for"), "an activity");
    ck_assert_uint_eq(json_array_size(requests), 1);
    ck_assert_str_eq(text(json_array_get(requests, 0), "state"), "open");
    ck_assert_str_eq(text(first, "stdout"), "a\n");
    ck_assert_uint_eq(json_array_size(json_object_get(first, "emitted")), 1);
    json_t *second = replay(id, seq_of(id, "ActivityCompleted", 0));
    ck_assert_str_eq(text(json_array_get(json_object_get(second, "requests"), 0), "state"),
                     "completed");
    ck_assert_str_eq(text(second, "state"), "waiting");
    json_t *last = replay(id, 0);
    ck_assert_str_eq(text(last, "state"), "ended");
    ck_assert_uint_eq(json_array_size(json_object_get(last, "requests")), 2);
    ck_assert_int_gt(sh_json_get_int(last, "fuel", 0), sh_json_get_int(second, "fuel", 0));
    json_t *beginning = replay(id, 1);
    ck_assert_str_eq(text(beginning, "state"), "not started");
    json_t *v = fixture_verify(&f, id);
    ck_assert(sh_json_get_bool(v, "ok", false));
    json_decref(v);
    json_decref(beginning);
    json_decref(last);
    json_decref(second);
    json_decref(first);
    fixture_close(&f);
}
END_TEST

START_TEST(a_fork_lives_through_the_same_and_goes_on_with_other_randomness) {
    struct sh_err err = {0};

    fixture_open(&f, "fork");
    sh_auto(sh_free_p) char *id = fixture_submit(&f, steps, NULL);
    json_t *source = fixture_wait(&f, id);
    uint64_t at = seq_of(id, "ActivityCompleted", 0);
    json_t *row = fork_at(id, at, &err);
    ck_assert_msg(row != NULL, "%s", err.message);
    sh_auto(sh_free_p) char *mine = sh_strdup(text(row, "id"));
    ck_assert_str_ne(mine, id);
    json_t *ended = fixture_wait(&f, mine);
    ck_assert_str_eq(text(ended, "status"), "completed");
    ck_assert_str_eq(text(json_object_get(ended, "forked_from"), "id"), id);
    ck_assert_str_ne(text(ended, "session"), text(source, "session"));
    const char *a = text(source, "result"), *b = text(ended, "result");
    ck_assert_int_eq(strncmp(a, b, 4), 0); /* "a\n1 " */
    ck_assert_str_ne(a, b);
    json_t *events = fixture_events(&f, mine), *forked = NULL;
    ck_assert_uint_eq(fixture_count(events, "Forked", &forked), 1);
    ck_assert_int_eq(sh_json_get_int(forked, "at", 0), (int64_t)at);
    json_t *v = fixture_verify(&f, mine);
    ck_assert_msg(sh_json_get_bool(v, "ok", false), "%s", sh_json_text(v));
    ck_assert_str_eq(text(v, "signature"), "ok");
    json_decref(v);
    /* and a fork of the fork */
    json_t *again = fork_at(mine, 0, &err);
    ck_assert_msg(again != NULL, "%s", err.message);
    json_t *third = fixture_wait(&f, text(again, "id"));
    ck_assert_str_eq(text(third, "status"), "completed");
    v = fixture_verify(&f, text(again, "id"));
    ck_assert_msg(sh_json_get_bool(v, "ok", false), "%s", sh_json_text(v));
    json_decref(v);
    json_decref(third);
    json_decref(again);
    json_decref(events);
    json_decref(ended);
    json_decref(row);
    json_decref(source);
    fixture_close(&f);
}
END_TEST

START_TEST(what_was_open_at_the_cut_is_asked_again_under_the_new_id_and_not_what_may_leave_once) {
    struct sh_err err = {0};

    fixture_open(&f, "fork-open");
    sh_auto(sh_free_p) char *id = fixture_submit(
        &f, "(module\nstart llm {\"n\":1}\nstart llm {\"n\":2,\"at_most_once\":true}\nwait all\n",
        NULL);
    json_decref(fixture_wait(&f, id));
    json_t *row = fork_at(id, seq_of(id, "ActivityScheduled", 1), &err);
    ck_assert_msg(row != NULL, "%s", err.message);
    json_t *ended = fixture_wait(&f, text(row, "id"));
    ck_assert_str_eq(text(ended, "status"), "completed");
    ck_assert_ptr_nonnull(strstr(text(ended, "result"), "outcome_unknown"));
    json_decref(ended);
    json_decref(row);
    fixture_close(&f);
}
END_TEST

START_TEST(a_cut_that_is_none_is_refused) {
    struct sh_err err = {0};

    fixture_open(&f, "fork-none");
    sh_auto(sh_free_p) char *id = fixture_submit(&f, "(module\nprint x\n", NULL);
    json_t *row = fixture_wait(&f, id);
    ck_assert_ptr_null(fork_at(id, (uint64_t)sh_json_get_int(row, "seq", 0), &err));
    ck_assert_int_eq(err.code, SH_E_INVAL);
    ck_assert_ptr_null(fork_at(id, 1000, &err));
    ck_assert_int_eq(err.code, SH_E_INVAL);
    ck_assert_ptr_null(fork_at(id, 1, &err));
    ck_assert_int_eq(err.code, SH_E_INVAL);
    ck_assert_ptr_null(fork_at("wf-none", 0, &err));
    ck_assert_int_eq(err.code, SH_E_NOT_FOUND);
    json_decref(row);
    fixture_close(&f);
}
END_TEST

START_TEST(the_memory_of_the_session_is_copied) {
    struct sh_err err = {0};
    struct sh_submit mine = {.session = SH_STR("s1")};

    fixture_open(&f, "fork-kv");
    sh_auto(sh_free_p) char *id =
        fixture_submit(&f,
                       "(module\nstart kv.put {\"key\":\"k\",\"value\":\"kept\"}\nwait all\n"
                       "start kv.get {\"key\":\"k\"}\nwait all\n",
                       &mine);
    json_decref(fixture_wait(&f, id));
    json_t *row = fork_at(id, seq_of(id, "ActivityCompleted", 0), &err);
    ck_assert_msg(row != NULL, "%s", err.message);
    json_t *ended = fixture_wait(&f, text(row, "id"));
    ck_assert_msg(strstr(text(ended, "result"), "\"kept\"") != NULL, "%s", text(ended, "result"));
    json_decref(ended);
    json_decref(row);
    fixture_close(&f);
}
END_TEST

static Suite *suite(void) {
    const TTest *const tests[] = {
        any_event_shows_what_had_been_asked_and_said_by_then,
        a_fork_lives_through_the_same_and_goes_on_with_other_randomness,
        what_was_open_at_the_cut_is_asked_again_under_the_new_id_and_not_what_may_leave_once,
        a_cut_that_is_none_is_refused,
        the_memory_of_the_session_is_copied,
        NULL};
    return sh_suite("engine_fork", tests);
}
SH_TEST_MAIN(suite)
