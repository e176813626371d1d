/* The memory of a session: each op, atomic among workflows that share it, bounded, and there after
 * a crash exactly when its event is. */
#include "lib/check_main.h"
#include "lib/engine_fixture.h"
#include "lib/fake_tools.c"

static struct fixture f;

static char *result_of(const char *program, const char *session) {
    struct sh_submit s = {.session = sh_str(session)};
    sh_auto(sh_free_p) char *id = fixture_submit(&f, program, &s);
    json_t *row = fixture_wait(&f, id), *v = fixture_verify(&f, id);
    char *result = sh_strdup(json_string_value(json_object_get(row, "result")));

    sh_auto(sh_free_p) char *verified = sh_json_text(v);

    ck_assert_msg(sh_json_get_bool(v, "ok", false), "%.2000s", verified);
    json_decref(v);
    json_decref(row);
    return result;
}

static void gives(const char *program, const char *session, const char *expected) {
    sh_auto(sh_free_p) char *result = result_of(program, session);

    ck_assert_str_eq(result, expected);
}

#define DO(op, args) "start " op " " args "\nwait any\n"

START_TEST(each_operation_does_what_it_says) {
    fixture_open(&f, "ops");
    gives(
        "(module\n" DO("kv.put", "{\"key\":\"a/1\",\"value\":{\"x\":[1]}}")
            DO("kv.put", "{\"key\":\"a/2\",\"value\":null}")
                DO("kv.put", "{\"key\":\"b\",\"value\":5}") DO("kv.list", "{\"prefix\":\"a/\"}")
                    DO("kv.list", "{\"limit\":1,\"offset\":2,\"values\":false}"),
        "s1",
        "1 {\"ok\":{}}\n2 {\"ok\":{}}\n3 {\"ok\":{}}\n"
        "4 {\"ok\":{\"items\":[{\"key\":\"a/1\",\"value\":{\"x\":[1]}},{\"key\":\"a/2\",\"value\":"
        "null}],\"total\":2}}\n5 {\"ok\":{\"items\":[{\"key\":\"b\"}],\"total\":3}}");
    gives("(module\n" DO("kv.increment", "{\"key\":\"b\"}")
              DO("kv.increment", "{\"key\":\"n\",\"by\":-3}") DO("kv.delete", "{\"key\":\"b\"}")
                  DO("kv.delete", "{\"key\":\"b\"}") DO("kv.get", "{\"key\":\"b\"}")
                      DO("kv.get", "{\"key\":\"a/2\"}"),
          "s1",
          "1 {\"ok\":{\"value\":6}}\n2 {\"ok\":{\"value\":-3}}\n3 {\"ok\":{\"deleted\":true}}\n"
          "4 {\"ok\":{\"deleted\":false}}\n5 {\"ok\":{\"found\":false,\"value\":null}}\n"
          "6 {\"ok\":{\"found\":true,\"value\":null}}");
    gives("(module\n" DO("kv.list", "{}"), "s2", "1 {\"ok\":{\"items\":[],\"total\":0}}");
    fixture_close(&f);
}
END_TEST

START_TEST(a_value_is_swapped_only_where_it_is_the_expected_one) {
    fixture_open(&f, "cas");
    gives(
        "(module\n" DO("kv.cas", "{\"key\":\"k\",\"value\":1}")
            DO("kv.cas", "{\"key\":\"k\",\"value\":2}")
                DO("kv.cas", "{\"key\":\"k\",\"expect\":1,\"value\":3}")
                    DO("kv.cas", "{\"key\":\"other\",\"expect\":null,\"value\":3}")
                        DO("kv.get", "{\"key\":\"k\"}"),
        "s",
        "1 {\"ok\":{\"swapped\":true,\"value\":1}}\n2 {\"ok\":{\"swapped\":false,\"value\":1}}\n"
        "3 {\"ok\":{\"swapped\":true,\"value\":3}}\n4 {\"ok\":{\"swapped\":false,\"value\":null}}\n"
        "5 {\"ok\":{\"found\":true,\"value\":3}}");
    fixture_close(&f);
}
END_TEST

START_TEST(what_cannot_be_added_is_refused) {
    sh_auto(sh_free_p) char *a = NULL, *b = NULL;

    fixture_open(&f, "sum");
    a = result_of("(module\n" DO("kv.put", "{\"key\":\"k\",\"value\":\"text\"}")
                      DO("kv.increment", "{\"key\":\"k\"}"),
                  "s");
    ck_assert_ptr_nonnull(strstr(a, "invalid_argument"));
    b = result_of("(module\n" DO("kv.put", "{\"key\":\"m\",\"value\":9223372036854775807}")
                      DO("kv.increment", "{\"key\":\"m\"}"),
                  "s");
    ck_assert_ptr_nonnull(strstr(b, "does not fit"));
    fixture_close(&f);
}
END_TEST

START_TEST(many_workflows_of_a_session_lose_no_increment) {
    static const char program[] =
        "(module\n"
        "start kv.increment {\"key\":\"n\"}\nstart kv.increment {\"key\":\"n\"}\n"
        "start kv.increment {\"key\":\"n\"}\nwait all\n";
    struct sh_submit s = {.session = SH_STR("shared")};
    char *ids[20];

    fixture_open(&f, "many");
    for (size_t i = 0; i < 20; i++) {
        ids[i] = fixture_submit(&f, program, &s);
    }
    for (size_t i = 0; i < 20; i++) {
        json_decref(fixture_wait(&f, ids[i]));
        sh_free(ids[i]);
    }
    gives("(module\n" DO("kv.get", "{\"key\":\"n\"}"), "shared",
          "1 {\"ok\":{\"found\":true,\"value\":60}}");
    fixture_close(&f);
}
END_TEST

/* A value of n bytes of JSON: a string and its quotes. */
static char *put_of(size_t n, const char *key) {
    sh_auto(sh_free_p) char *text = sh_alloc(n);

    memset(text, 'x', n - 2);
    text[n - 2] = '\0';
    return sh_asprintf("(module\nstart kv.put {\"key\":\"%s\",\"value\":\"%s\"}\nwait any\n", key,
                       text);
}

START_TEST(keys_and_values_have_limits) {
    sh_auto(sh_free_p) char *most = put_of(SH_KV_VALUE_MAX, "v");
    sh_auto(sh_free_p) char *more = put_of(SH_KV_VALUE_MAX + 1, "v");
    char key[SH_KV_KEY_MAX + 2] = {0};
    sh_auto(sh_free_p) char *refused = NULL, *long_refused = NULL;

    fixture_open(&f, "limits");
    gives(most, "s", "1 {\"ok\":{}}");
    refused = result_of(more, "s");
    ck_assert_ptr_nonnull(strstr(refused, "limit_exceeded"));
    memset(key, 'k', SH_KV_KEY_MAX + 1);
    sh_auto(sh_free_p) char *longest = put_of(3, key + 1);
    sh_auto(sh_free_p) char *longer = put_of(3, key);
    gives(longest, "s", "1 {\"ok\":{}}");
    long_refused = result_of(longer, "s");
    ck_assert_ptr_nonnull(strstr(long_refused, "invalid_argument"));
    fixture_close(&f);
}
END_TEST

static void filled(void *arg, const struct sh_err *err) {
    ck_assert_ptr_null(err);
    *(bool *)arg = true;
    sh_loop_stop(f.loop);
}

/* Keys 0 to n-1, as if the session had kept them before. */
static void fill(size_t n) {
    json_t *value = json_pack("{s:s, s:s, s:i}", "session", "full", "key", "old", "value", 1);
    struct sh_err err = {0};

    for (size_t i = 0; i < n;) {
        struct sh_put puts[1000];
        size_t m = 0;
        bool done = false;
        for (; m < 1000 && i < n; m++, i++) {
            puts[m] = (struct sh_put){
                .table = SH_TABLE_KV, .key = sh_str(sh_asprintf("full/%05zu", i)), .value = value};
        }
        sh_assert_ok(sh_store_append(f.store, NULL, 0, puts, m, filled, &done, &err), &err);
        fixture_run(&f, &done);
        for (size_t k = 0; k < m; k++) {
            char *key;
            memcpy(&key, &puts[k].key.p, sizeof(key));
            sh_free(key);
        }
    }
    json_decref(value);
}

START_TEST(a_session_keeps_so_many_keys_and_no_more) {
    sh_auto(sh_free_p) char *result = NULL;

    fixture_open(&f, "full");
    fill(SH_KV_KEYS_MAX - 1);
    result = result_of("(module\n" DO("kv.put", "{\"key\":\"last\",\"value\":1}")
                           DO("kv.put", "{\"key\":\"over\",\"value\":1}")
                               DO("kv.put", "{\"key\":\"last\",\"value\":2}")
                                   DO("kv.delete", "{\"key\":\"last\"}")
                                       DO("kv.put", "{\"key\":\"over\",\"value\":1}"),
                       "full");
    ck_assert_ptr_nonnull(
        strstr(result, "1 {\"ok\":{}}\n2 {\"error\":{\"code\":\"limit_exceeded\""));
    ck_assert_ptr_nonnull(strstr(result, "\n3 {\"ok\":{}}\n"));
    ck_assert_ptr_nonnull(strstr(result, "\n5 {\"ok\":{}}"));
    fixture_close(&f);
}
END_TEST

/* The power goes at the k-th commit: the number that is kept is how many events tell of it. */
START_TEST(a_write_and_its_event_survive_together) {
    static const enum sh_twin_loss losses[] = {SH_TWIN_LOSE_ALL, SH_TWIN_LOSE_NONE,
                                               SH_TWIN_LOSE_LAST};
    struct sh_submit s = {.session = SH_STR("s")};

    for (size_t k = 0; k < 6; k++) {
        fixture_open(&f, "acid");
        sh_auto(sh_free_p) char *id = fixture_submit(
            &f,
            "(module\n" DO("kv.increment", "{\"key\":\"n\"}") DO("kv.increment", "{\"key\":\"n\"}")
                DO("kv.increment", "{\"key\":\"n\"}"),
            &s);
        struct sh_twin *twin = sh_twin_named("acid");
        sh_twin_hold(twin, true);
        for (size_t i = 0; i < k; i++) {
            fixture_run_ms(&f, 5);
            sh_twin_release(twin, 1);
        }
        fixture_run_ms(&f, 5);
        fixture_crash(&f, losses[_i]);
        json_decref(fixture_wait(&f, id));
        gives("(module\n" DO("kv.get", "{\"key\":\"n\"}"), "s",
              "1 {\"ok\":{\"found\":true,\"value\":3}}");
        fixture_close(&f);
    }
}
END_TEST

static Suite *suite(void) {
    Suite *s = suite_create("engine_kv");
    TCase *c = tcase_create("kv");

    tcase_set_timeout(c, 120);
    tcase_add_test(c, each_operation_does_what_it_says);
    tcase_add_test(c, a_value_is_swapped_only_where_it_is_the_expected_one);
    tcase_add_test(c, what_cannot_be_added_is_refused);
    tcase_add_test(c, many_workflows_of_a_session_lose_no_increment);
    tcase_add_test(c, keys_and_values_have_limits);
    tcase_add_test(c, a_session_keeps_so_many_keys_and_no_more);
    tcase_add_loop_test(c, a_write_and_its_event_survive_together, 0, 3);
    suite_add_tcase(s, c);
    return s;
}
SH_TEST_MAIN(suite)
