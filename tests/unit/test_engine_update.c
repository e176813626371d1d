/* Updates are received once and answered once, whatever dies in between; queries read what was
 * published last, without the guest. */
#include "lib/check_main.h"
#include "lib/engine_fixture.h"
#include "lib/fake_tools.c"

static struct fixture f;

static void send(const char *workflow, const char *id, const char *name, json_t *payload,
                 uint64_t wait_ms, struct fixture_answer *a) {
    *a = (struct fixture_answer){.f = &f};
    sh_engine_update(
        f.engine, sh_str(workflow),
        &(struct sh_update){
            .name = sh_str(name), .id = sh_str(id), .payload = payload, .wait_ms = wait_ms},
        fixture_on_json, a);
    json_decref(payload);
}

static int status_of(const char *workflow, const char *id, uint64_t wait_ms, const char *expected) {
    struct fixture_answer a = {.f = &f};
    int code;

    sh_engine_update_get(f.engine, sh_str(workflow), sh_str(id), wait_ms, fixture_on_json, &a);
    fixture_run(&f, &a.done);
    if (expected) {
        ck_assert_int_eq(a.err.code, 0);
        ck_assert_str_eq(json_string_value(json_object_get(a.value, "status")), expected);
    }
    code = a.err.code;
    json_decref(a.value);
    return code;
}

/* Two updates, each answered after a call of the model; the ids are known before. */
#define ANSWERED                                                                                   \
    "(module\nstart signal {\"name\":\"do\"}\nwait any\nstart llm {\"q\":1}\nwait any\n"           \
    "start signal.reply {\"id\":\"u1\",\"result\":{\"n\":1}}\nwait any\n"                          \
    "start signal {\"name\":\"do\"}\nwait any\n"                                                   \
    "start signal.reply {\"id\":\"u2\",\"error\":\"no\"}\nwait any\n"

static void ends_well(const char *id) {
    json_t *row = fixture_wait(&f, id), *v = fixture_verify(&f, id);
    sh_auto(sh_free_p) char *text = sh_json_text(v);

    ck_assert_str_eq(json_string_value(json_object_get(row, "status")), "completed");
    ck_assert_msg(sh_json_get_bool(v, "ok", false), "%s", text);
    json_decref(v);
    json_decref(row);
}

START_TEST(an_update_is_answered_with_a_result_or_an_error) {
    struct fixture_answer a, b;

    fixture_open(&f, "answer");
    sh_auto(sh_free_p) char *id = fixture_submit(&f, ANSWERED, NULL);
    send(id, "u1", "do", json_pack("{s:i}", "x", 1), 10000, &a);
    fixture_run(&f, &a.done);
    ck_assert_int_eq(a.err.code, 0);
    ck_assert_str_eq(json_string_value(json_object_get(a.value, "status")), "completed");
    ck_assert_int_eq(sh_json_get_int(json_object_get(a.value, "result"), "n", 0), 1);
    send(id, "u2", "do", NULL, 10000, &b);
    fixture_run(&f, &b.done);
    ck_assert_str_eq(json_string_value(json_object_get(b.value, "status")), "failed");
    ck_assert_str_eq(json_string_value(json_object_get(b.value, "error")), "no");
    ends_well(id);
    ck_assert_int_eq(status_of(id, "u1", 0, "completed"), 0); /* after its end too */
    json_decref(a.value);
    json_decref(b.value);
    fixture_close(&f);
}
END_TEST

START_TEST(the_same_update_is_received_once_and_another_under_its_id_is_refused) {
    struct fixture_answer a, b, other;
    json_t *events;

    fixture_open(&f, "same");
    sh_auto(sh_free_p) char *id = fixture_submit(&f, ANSWERED, NULL);
    send(id, "u1", "do", json_integer(5), 10000, &a);
    send(id, "u1", "do", json_integer(5), 10000, &b); /* at the same time */
    send(id, "u1", "do", json_integer(6), 10000, &other);
    fixture_run(&f, &a.done);
    fixture_run(&f, &b.done);
    fixture_run(&f, &other.done);
    ck_assert(json_equal(a.value, b.value));
    ck_assert_int_eq(other.err.code, SH_E_EXISTS);
    json_decref(b.value);
    send(id, "u1", "do", json_integer(5), 10000, &b); /* later */
    fixture_run(&f, &b.done);
    ck_assert(json_equal(json_object_get(a.value, "result"), json_object_get(b.value, "result")));
    send(id, "u1", "other", json_integer(5), 10000, &other);
    fixture_run(&f, &other.done);
    ck_assert_int_eq(other.err.code, SH_E_EXISTS);
    events = fixture_events(&f, id);
    ck_assert_uint_eq(fixture_count(events, "SignalReceived", NULL), 1);
    json_decref(events);
    json_decref(a.value);
    json_decref(b.value);
    fixture_close(&f);
}
END_TEST

START_TEST(who_waits_too_short_is_told_so_and_may_ask_again) {
    struct fixture_answer a;

    fixture_open(&f, "short");
    sh_auto(sh_free_p) char *id = fixture_submit(
        &f,
        "(module\nstart signal {\"name\":\"go\"}\nwait any\nstart signal.reply {\"id\":\"u\"}\n"
        "wait any\n",
        NULL);
    send(id, "u", "do", NULL, 0, &a); /* nobody waits for "do" */
    fixture_run(&f, &a.done);
    ck_assert_str_eq(json_string_value(json_object_get(a.value, "status")), "accepted");
    json_decref(a.value);
    status_of(id, "u", 20, "accepted");
    ck_assert_int_eq(status_of(id, "unknown", 0, NULL), SH_E_NOT_FOUND);
    ck_assert_int_eq(status_of(id, "a/b", 0, NULL), SH_E_INVAL);
    ck_assert_int_eq(fixture_signal(&f, id, "go", NULL), 0);
    status_of(id, "u", 10000, "completed");
    ends_well(id);
    fixture_close(&f);
}
END_TEST

START_TEST(an_update_that_nobody_answers_says_so_at_the_end) {
    struct fixture_answer a, late;

    fixture_open(&f, "end");
    sh_auto(sh_free_p) char *id =
        fixture_submit(&f, "(module\nstart signal {\"name\":\"go\"}\nwait any\n", NULL);
    send(id, "u", "do", NULL, 20000, &a);
    fixture_await(&f, id, "SignalReceived", 1);
    ck_assert_int_eq(fixture_signal(&f, id, "go", NULL), 0);
    fixture_run(&f, &a.done);
    ck_assert_str_eq(json_string_value(json_object_get(a.value, "status")), "unanswered");
    json_decref(a.value);
    json_decref(fixture_wait(&f, id));
    status_of(id, "u", 20000, "unanswered");
    send(id, "v", "do", NULL, 20000, &late);
    fixture_run(&f, &late.done);
    ck_assert_int_eq(late.err.code, SH_E_STATE);
    fixture_close(&f);
}
END_TEST

START_TEST(a_reply_that_answers_nothing_fails) {
    static const char *const lines[] = {"{\"id\":\"nobody\",\"result\":1}", "{\"result\":1}",
                                        "{\"id\":\"u\",\"result\":1,\"error\":2}"};

    fixture_open(&f, "bad");
    for (size_t i = 0; i < 3; i++) {
        sh_auto(sh_free_p) char *program = sh_asprintf(
            "(module\nstart signal {\"name\":\"do\"}\nwait any\nstart signal.reply %s\nwait any\n"
            "start signal.reply {\"id\":\"u\"}\nwait any\nstart signal.reply {\"id\":\"u\"}\nwait "
            "any\n",
            lines[i]);
        struct fixture_answer a;
        json_t *row, *events, *body = NULL;
        sh_auto(sh_free_p) char *id = fixture_submit(&f, program, NULL);
        send(id, "u", "do", NULL, 10000, &a);
        fixture_run(&f, &a.done);
        json_decref(a.value);
        row = fixture_wait(&f, id);
        events = fixture_events(&f, id);
        ck_assert_uint_eq(fixture_count(events, "ActivityFailed", &body), 2); /* it, and a second */
        ck_assert_msg(strstr(json_string_value(json_object_get(row, "result")), "invalid_state"),
                      "%s", json_string_value(json_object_get(row, "result")));
        json_decref(events);
        json_decref(row);
    }
    fixture_close(&f);
}
END_TEST

/* The power goes when k commits are durable; the client sends again what it has no answer to. */
static bool lose_power_at(size_t k, enum sh_twin_loss loss) {
    struct fixture_answer a;
    size_t commits = 0;
    bool crashed = false;
    json_t *events;

    fixture_open(&f, "power");
    sh_auto(sh_free_p) char *id = fixture_submit(&f, ANSWERED, NULL);
    struct sh_twin *twin = sh_twin_named("power");
    for (int n = 1; n <= 2; n++) {
        const char *update = n == 1 ? "u1" : "u2";
        sh_twin_hold(sh_twin_named("power"), true);
        send(id, update, "do", json_integer(n), 20000, &a);
        while (!a.done) {
            fixture_run_ms(&f, 1);
            if (!crashed && commits == k && sh_twin_held(twin) > 0) {
                fixture_crash(&f, loss);
                crashed = true;
                fixture_run(&f, &a.done); /* "accepted", or its commit failed */
                json_decref(a.value);
                send(id, update, "do", json_integer(n), 20000, &a);
                twin = sh_twin_named("power");
                sh_twin_hold(twin, false);
                fixture_run(&f, &a.done);
                break;
            }
            commits += sh_twin_release(twin, 1);
        }
        ck_assert_int_eq(a.err.code, 0);
        ck_assert_str_eq(json_string_value(json_object_get(a.value, "status")),
                         n == 1 ? "completed" : "failed");
        json_decref(a.value);
    }
    sh_twin_hold(sh_twin_named("power"), false);
    ends_well(id);
    events = fixture_events(&f, id);
    ck_assert_uint_eq(fixture_count(events, "SignalReceived", NULL), 2);
    json_decref(events);
    fixture_close(&f);
    return crashed;
}

START_TEST(updates_survive_power_loss_at_every_commit) {
    static const enum sh_twin_loss losses[] = {SH_TWIN_LOSE_ALL, SH_TWIN_LOSE_NONE,
                                               SH_TWIN_LOSE_LAST};
    size_t k = 0;

    while (lose_power_at(k, losses[_i])) {
        k++;
    }
    ck_assert_uint_gt(k, 4);
}
END_TEST

static json_t *query(const char *id, const char *name, int expected) {
    struct fixture_answer a = {.f = &f};

    if (name) {
        sh_engine_query(f.engine, sh_str(id), sh_str(name), fixture_on_json, &a);
    } else {
        sh_engine_query_list(f.engine, sh_str(id), 0, 100, fixture_on_json, &a);
    }
    fixture_run(&f, &a.done);
    ck_assert_int_eq(a.err.code, expected);
    return a.value;
}

static void published(const char *id, const char *name, json_int_t data) {
    json_t *value = query(id, name, 0);

    ck_assert_int_eq(json_integer_value(json_object_get(value, "data")), data);
    json_decref(value);
}

START_TEST(a_query_reads_what_was_published_last) {
    json_t *list;

    fixture_open(&f, "query");
    sh_auto(sh_free_p) char *id =
        fixture_submit(&f,
                       "(module\npublish a 1\npublish b 2\npublish a 3\nstart publish "
                       "{\"name\":\"c d\",\"data\":4}\n"
                       "wait any\nstart signal {\"name\":\"go\"}\nwait any\npublish a 5\n",
                       NULL);
    fixture_await(&f, id, "ActivityCompleted", 1);
    published(id, "a", 3);
    published(id, "c d", 4);
    fixture_crash(&f, SH_TWIN_LOSE_ALL);
    published(id, "b", 2);
    ck_assert_ptr_null(query(id, "nothing", SH_E_NOT_FOUND));
    ck_assert_ptr_null(query("wf-nobody", NULL, SH_E_NOT_FOUND));
    ck_assert_int_eq(fixture_signal(&f, id, "go", NULL), 0);
    ends_well(id);
    published(id, "a", 5);
    list = query(id, NULL, 0);
    ck_assert_int_eq(sh_json_get_int(list, "total", 0), 3);
    json_decref(list);
    fixture_close(&f);
}
END_TEST

static Suite *suite(void) {
    Suite *s = suite_create("engine_update");
    TCase *c = tcase_create("update");

    tcase_set_timeout(c, 240);
    tcase_add_test(c, an_update_is_answered_with_a_result_or_an_error);
    tcase_add_test(c, the_same_update_is_received_once_and_another_under_its_id_is_refused);
    tcase_add_test(c, who_waits_too_short_is_told_so_and_may_ask_again);
    tcase_add_test(c, an_update_that_nobody_answers_says_so_at_the_end);
    tcase_add_test(c, a_reply_that_answers_nothing_fails);
    tcase_add_loop_test(c, updates_survive_power_loss_at_every_commit, 0, 3);
    tcase_add_test(c, a_query_reads_what_was_published_last);
    suite_add_tcase(s, c);
    return s;
}
SH_TEST_MAIN(suite)
