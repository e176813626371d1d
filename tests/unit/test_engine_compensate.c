/* Compensations: in reverse order, on failure and cancel only, each once and under a key of its
 * own, whatever dies in between. */
#include "lib/check_main.h"
#include "lib/engine_fixture.h"
#include "lib/fake_tools.c"

static struct fixture f;

#define REGISTER(op, args) "start compensate {\"op\":\"" op "\",\"args\":" args "}\nwait any\n"
#define SAGA                                                                                       \
    "(module\n" REGISTER("kv.put", "{\"key\":\"undone\",\"value\":\"a\"}")                         \
        REGISTER("llm", "{\"undo\":\"b\"}") REGISTER("llm", "{\"undo\":\"c\"}")

static json_t *ended(const char *id, const char *status, int completed, int failed) {
    json_t *row = fixture_wait(&f, id), *v = fixture_verify(&f, id);
    json_t *events = fixture_events(&f, id), *count = json_object_get(row, "compensations");
    sh_auto(sh_free_p) char *verified = sh_json_text(v);

    ck_assert_msg(sh_json_get_bool(v, "ok", false), "%s", verified);
    ck_assert_str_eq(json_string_value(json_object_get(row, "status")), status);
    ck_assert_int_eq(sh_json_get_int(count, "completed", 0), completed);
    ck_assert_int_eq(sh_json_get_int(count, "failed", 0), failed);
    ck_assert_ptr_null(json_object_get(row, "compensating"));
    json_decref(v);
    json_decref(row);
    return events;
}

/* The ordinals of the compensations, in the order in which they came to an end, as one number. */
static int order_of(json_t *events) {
    int order = 0;
    json_t *ev;
    size_t i;

    json_array_foreach(events, i, ev) {
        struct sh_str type = sh_json_get_str(ev, "type");
        if (sh_str_eqz(type, "CompensationCompleted") || sh_str_eqz(type, "CompensationFailed")) {
            order =
                order * 10 + (int)sh_json_get_int(json_object_get(ev, "body"), "ordinal", 9) + 1;
        }
    }
    return order;
}

START_TEST(what_failed_is_undone_last_first) {
    json_t *events, *final = NULL;

    fixture_open(&f, "fails");
    sh_auto(sh_free_p) char *id = fixture_submit(&f, SAGA "exit 3\n", NULL);
    events = ended(id, "failed", 3, 0);
    ck_assert_int_eq(order_of(events), 321);
    ck_assert_uint_eq(fake_llm.n_keys, 2);
    ck_assert_str_eq(strrchr(fake_llm.keys[0], ':'), ":c2");
    ck_assert_str_eq(strrchr(fake_llm.keys[1], ':'), ":c1");
    ck_assert_uint_eq(fixture_count(events, "WorkflowFailed", &final), 1);
    ck_assert_int_eq(sh_json_get_int(final, "exit_status", 0), 3);
    ck_assert_int_eq(sh_json_get_int(json_object_get(final, "compensations"), "completed", 0), 3);
    json_decref(events);
    fixture_close(&f);
}
END_TEST

START_TEST(what_succeeded_is_not_undone) {
    fixture_open(&f, "succeeds");
    sh_auto(sh_free_p) char *id = fixture_submit(&f, SAGA, NULL);
    json_decref(ended(id, "completed", 0, 0));
    ck_assert_uint_eq(fake_llm.n_keys, 0);
    fixture_close(&f);
}
END_TEST

START_TEST(what_was_canceled_is_undone_even_while_paused) {
    fixture_open(&f, "cancel");
    sh_auto(sh_free_p) char *id = fixture_submit(&f,
                                                 SAGA "start signal {\"name\":\"go\"}\nwait any\n"
                                                      "loop\n",
                                                 NULL);
    fixture_await(&f, id, "ActivityCompleted", 3);
    ck_assert_int_eq(fixture_control(&f, id, sh_engine_pause), 0);
    ck_assert_int_eq(fixture_control(&f, id, sh_engine_cancel), 0);
    json_decref(ended(id, "canceled", 3, 0));
    fixture_close(&f);
}
END_TEST

START_TEST(one_that_fails_does_not_keep_the_others_from_being_carried_out) {
    json_t *events, *body = NULL;

    fixture_open(&f, "partly");
    fake_llm.failures = 2;
    fake_llm.retryable = true;
    sh_auto(sh_free_p) char *id = fixture_submit(
        &f,
        "(module\n" REGISTER("kv.put", "{\"key\":\"k\",\"value\":1}")
            REGISTER("llm", "{\"retry\":{\"attempts\":2,\"backoff_ms\":1}}") "trap unreachable\n",
        NULL);
    events = ended(id, "failed", 1, 1);
    ck_assert_int_eq(order_of(events), 21);
    ck_assert_uint_eq(fixture_count(events, "CompensationRetried", NULL), 1);
    ck_assert_uint_eq(fixture_count(events, "CompensationFailed", &body), 1);
    ck_assert_str_eq(json_string_value(json_object_get(json_object_get(body, "error"), "code")),
                     "upstream_error");
    json_decref(events);
    fixture_close(&f);
}
END_TEST

START_TEST(what_may_not_be_registered_is_refused) {
    static const struct {
        const char *args, *code;
    } cases[] = {
        {"{\"op\":\"nothing\"}", "unknown_tool"},
        {"{\"op\":\"sleep\",\"args\":{\"ms\":1}}", "invalid_argument"},
        {"{\"op\":\"compensate\"}", "invalid_argument"},
        {"{\"op\":\"web_search\"}", "permission_denied"},
        {"{\"op\":\"llm\",\"args\":{\"at_most_once\":true}}", "invalid_argument"},
        {"{\"op\":\"llm\",\"args\":{\"retry\":{\"attempts\":0}}}", "invalid_argument"},
        {"{\"op\":\"llm\",\"args\":[]}", "invalid_argument"},
        {"{}", "unknown_tool"},
    };

    fixture_open(&f, "refused");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        sh_auto(sh_free_p) char *program =
            sh_asprintf("(module\nstart compensate %s\nwait any\nexit 1\n", cases[i].args);
        sh_auto(sh_free_p) char *id = fixture_submit(&f, program, NULL);
        json_t *body = NULL, *events = ended(id, "failed", 0, 0);
        ck_assert_uint_eq(fixture_count(events, "ActivityFailed", &body), 1);
        ck_assert_str_eq(json_string_value(json_object_get(json_object_get(body, "error"), "code")),
                         cases[i].code);
        ck_assert_uint_eq(fixture_count(events, "Compensating", NULL), 0);
        json_decref(events);
    }
    fixture_close(&f);
}
END_TEST

START_TEST(so_many_can_be_registered_and_no_more) {
    struct sh_buf program;
    json_t *events;

    fixture_open(&f, "most");
    sh_buf_init(&program, SH_MIB);
    sh_buf_adds(&program, "(module\n");
    for (int i = 0; i < SH_COMPENSATIONS_MAX + 1; i++) {
        sh_buf_adds(&program, REGISTER("kv.increment", "{\"key\":\"n\"}"));
    }
    sh_buf_adds(&program, "exit 1\n");
    sh_auto(sh_free_p) char *id = fixture_submit(&f, program.p, NULL);
    events = ended(id, "failed", SH_COMPENSATIONS_MAX, 0);
    ck_assert_uint_eq(fixture_count(events, "ActivityFailed", NULL), 1);
    json_decref(events);
    sh_buf_done(&program);
    fixture_close(&f);
}
END_TEST

START_TEST(a_full_journal_leaves_room_to_undo) {
    json_t *request = json_pack("{s:{s:i}}", "limits", "journal", 4000);
    struct sh_submit s = {.capabilities = request};
    json_t *events;

    fixture_open(&f, "room");
    sh_auto(sh_free_p) char *id = fixture_submit(
        &f,
        SAGA "start llm {\"q\":1}\nwait any\nstart llm {\"q\":2}\nwait any\nstart llm "
             "{\"q\":3}\nwait any\nstart llm {\"q\":4}\nwait any\nstart llm {\"q\":5}\nwait any\n"
             "start llm {\"q\":6}\nwait any\nstart llm {\"q\":7}\nwait any\n",
        &s);
    ck_assert_msg(id != NULL, "%s", fixture_error.message);
    events = ended(id, "failed", 3, 0);
    json_decref(events);
    json_decref(request);
    fixture_close(&f);
}
END_TEST

static char *digest_of(const char *id) {
    json_t *v = fixture_verify(&f, id);
    char *digest = sh_strdup(json_string_value(json_object_get(v, "digest")));

    json_decref(v);
    return digest;
}

/* The power goes when k commits after the submission are durable. */
static bool lose_power_at(size_t k, enum sh_twin_loss loss, const char *expected) {
    static const char program[] = SAGA "exit 3\n";
    size_t commits = 0;
    bool crashed = false;
    json_t *row;

    fixture_open(&f, "power");
    memset(&fake_llm, 0, sizeof(fake_llm));
    fake_llm.failures = 1;
    fake_llm.retryable = true;
    sh_auto(sh_free_p) char *id = fixture_submit(&f, program, NULL);
    struct sh_twin *twin = sh_twin_named("power");
    sh_twin_hold(twin, true);
    for (int idle = 0; idle < 2000; idle++) {
        fixture_run_ms(&f, 1);
        if (commits == k && sh_twin_held(twin) > 0) {
            fixture_crash(&f, loss);
            crashed = true;
            break;
        }
        size_t released = sh_twin_release(twin, 1);
        commits += released;
        idle = released ? 0 : idle;
        if (idle > 50 && sh_twin_held(twin) == 0) { /* at its end, or between attempts? */
            row = fixture_row(&f, id);
            bool over = json_object_get(row, "completed_at") != NULL;
            json_decref(row);
            if (over) {
                break;
            }
        }
    }
    sh_twin_hold(sh_twin_named("power"), false);
    json_t *events = ended(id, "failed", 3, 0);
    ck_assert_int_eq(order_of(events), 321);
    ck_assert_uint_eq(fixture_count(events, "Compensating", NULL), 1);
    ck_assert_uint_eq(fixture_count(events, "CompensationCompleted", NULL), 3);
    sh_auto(sh_free_p) char *digest = digest_of(id);
    ck_assert_str_eq(digest, expected);
    json_decref(events);
    fixture_close(&f);
    return crashed;
}

START_TEST(undoing_goes_on_after_power_loss_at_every_commit) {
    static const enum sh_twin_loss losses[] = {SH_TWIN_LOSE_ALL, SH_TWIN_LOSE_NONE,
                                               SH_TWIN_LOSE_LAST};
    sh_auto(sh_free_p) char *expected = NULL;
    size_t k = 0;

    fixture_open(&f, "calm");
    sh_auto(sh_free_p) char *id = fixture_submit(&f, SAGA "exit 3\n", NULL);
    json_decref(ended(id, "failed", 3, 0));
    expected = digest_of(id);
    fixture_close(&f);
    while (lose_power_at(k, losses[_i], expected)) {
        k++;
    }
    ck_assert_uint_gt(k, 6);
}
END_TEST

static Suite *suite(void) {
    Suite *s = suite_create("engine_compensate");
    TCase *c = tcase_create("compensate");

    tcase_set_timeout(c, 240);
    tcase_add_test(c, what_failed_is_undone_last_first);
    tcase_add_test(c, what_succeeded_is_not_undone);
    tcase_add_test(c, what_was_canceled_is_undone_even_while_paused);
    tcase_add_test(c, one_that_fails_does_not_keep_the_others_from_being_carried_out);
    tcase_add_test(c, what_may_not_be_registered_is_refused);
    tcase_add_test(c, so_many_can_be_registered_and_no_more);
    tcase_add_test(c, a_full_journal_leaves_room_to_undo);
    tcase_add_loop_test(c, undoing_goes_on_after_power_loss_at_every_commit, 0, 3);
    suite_add_tcase(s, c);
    return s;
}
SH_TEST_MAIN(suite)
