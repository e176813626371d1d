/* The n-th wait for a name gets the n-th message of that name, whichever comes first. */
#include "lib/check_main.h"
#include "lib/engine_fixture.h"
#include "lib/fake_tools.c"

static struct fixture f;

static void expect(const char *id, const char *result) {
    json_t *row = fixture_wait(&f, id);
    json_t *v = fixture_verify(&f, id);

    ck_assert_str_eq(json_string_value(json_object_get(row, "result")), result);
    ck_assert(sh_json_get_bool(v, "ok", false));
    json_decref(v);
    json_decref(row);
}

#define WAIT(name) "start signal {\"name\":\"" name "\"}\nwait any\n"
#define GOT(handle, name, payload)                                                                 \
    handle " {\"ok\":{\"name\":\"" name "\",\"payload\":" payload "}}"

START_TEST(a_wait_gets_the_message_of_its_name_and_turn) {
    fixture_open(&f, "turn");
    sh_auto(sh_free_p) char *id =
        fixture_submit(&f, "(module\n" WAIT("a") WAIT("b") WAIT("a"), NULL);
    ck_assert_int_eq(fixture_signal(&f, id, "b", json_integer(1)), 0); /* before its wait */
    ck_assert_int_eq(fixture_signal(&f, id, "a", json_integer(2)), 0);
    ck_assert_int_eq(fixture_signal(&f, id, "c", json_integer(3)), 0); /* nobody waits for it */
    fixture_run_ms(&f, 20);
    ck_assert_int_eq(fixture_signal(&f, id, "a", NULL), 0);
    expect(id, GOT("1", "a", "2") "\n" GOT("2", "b", "1") "\n" GOT("3", "a", "null"));
    fixture_close(&f);
}
END_TEST

START_TEST(parallel_waits_for_one_name_are_answered_in_their_order) {
    fixture_open(&f, "parallel");
    sh_auto(sh_free_p) char *id = fixture_submit(
        &f, "(module\nstart signal {\"name\":\"a\"}\nstart signal {\"name\":\"a\"}\nwait all\n",
        NULL);
    fixture_run_ms(&f, 20);
    ck_assert_int_eq(fixture_signal(&f, id, "a", json_integer(1)), 0);
    ck_assert_int_eq(fixture_signal(&f, id, "a", json_integer(2)), 0);
    expect(id, GOT("1", "a", "1") "\n" GOT("2", "a", "2"));
    fixture_close(&f);
}
END_TEST

START_TEST(messages_and_waits_survive_crashes_and_checkpoints) {
    fixture_open(&f, "crash");
    sh_auto(sh_free_p) char *id =
        fixture_submit(&f, "(module\n" WAIT("a") "checkpoint x\n" WAIT("a"), NULL);
    ck_assert_int_eq(fixture_signal(&f, id, "a", json_integer(1)), 0);
    fixture_crash(&f, SH_TWIN_LOSE_ALL);
    fixture_run_ms(&f, 30);
    fixture_crash(&f, SH_TWIN_LOSE_ALL);
    ck_assert_int_eq(fixture_signal(&f, id, "a", json_integer(2)), 0);
    ck_assert_int_eq(fixture_signal(&f, id, "a", json_integer(3)), 0);
    json_t *row = fixture_wait(&f, id); /* it begins anew: once before the mark, twice after */
    const char *result = json_string_value(json_object_get(row, "result"));
    ck_assert_msg(strstr(result, "\"payload\":2") && strstr(result, "\"payload\":3"), "%s", result);
    json_decref(row);
    fixture_close(&f);
}
END_TEST

START_TEST(what_cannot_be_sent_is_refused) {
    sh_auto(sh_free_p) char *most = sh_alloc(130);

    memset(most, 'n', 129);
    most[129] = '\0';
    fixture_open(&f, "refused");
    sh_auto(sh_free_p) char *id = fixture_submit(&f, "(module\n" WAIT("a"), NULL);
    ck_assert_int_eq(fixture_signal(&f, id, "", NULL), SH_E_INVAL);
    ck_assert_int_eq(fixture_signal(&f, id, most, NULL), SH_E_INVAL);
    ck_assert_int_eq(fixture_signal(&f, id, most + 1, NULL), 0); /* 128 bytes are the most */
    ck_assert_int_eq(fixture_signal(&f, "wf-nobody", "a", NULL), SH_E_NOT_FOUND);
    ck_assert_int_eq(fixture_signal(&f, id, "a", json_true()), 0);
    json_decref(fixture_wait(&f, id));
    ck_assert_int_eq(fixture_signal(&f, id, "a", NULL), SH_E_STATE);
    fixture_close(&f);
}
END_TEST

static Suite *suite(void) {
    const TTest *const tests[] = {a_wait_gets_the_message_of_its_name_and_turn,
                                  parallel_waits_for_one_name_are_answered_in_their_order,
                                  messages_and_waits_survive_crashes_and_checkpoints,
                                  what_cannot_be_sent_is_refused, NULL};
    return sh_suite("engine_signal", tests);
}
SH_TEST_MAIN(suite)
