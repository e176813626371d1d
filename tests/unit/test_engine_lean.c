/* Events that are read without being parsed leave what parsing them would leave. */
#include "engine/digest.h"
#include "engine/lean.h"

#include "lib/check_main.h"

static bool is_lean(const char *type, const char *body, struct sh_lean *ret) {
    return sh_lean_read(sh_str(type), sh_str(body), ret);
}

START_TEST(an_answer_is_read_from_its_text) {
    struct sh_lean l;

    ck_assert(is_lean("ActivityCompleted",
                      "{\"args\":{\"expression\":\"1+1\"},\"attempt\":0,\"id\":\"q\",\"op\":"
                      "\"calculator\",\"ordinal\":7,\"result\":{\"value\":2},\"spent_us\":12}",
                      &l));
    ck_assert_uint_eq(l.ordinal, 7);
    ck_assert_uint_eq(l.spent_us, 12);
    ck_assert(sh_str_eqz(l.op, "calculator"));
    ck_assert(sh_str_eqz(l.args, "{\"expression\":\"1+1\"}"));
    ck_assert(sh_str_eqz(l.id, "\"q\""));
    ck_assert(sh_str_eqz(l.result, "{\"value\":2}"));
    ck_assert(is_lean("ActivityScheduled",
                      "{\"args\":{},\"key\":\"w:0\",\"op\":\"http\",\"ordinal\":0}", &l));
    ck_assert_uint_eq(l.result.len, 0);
    ck_assert(
        is_lean("TimerFired", "{\"attempt\":0,\"op\":\"sleep\",\"ordinal\":0,\"result\":{}}", &l));
}
END_TEST

START_TEST(an_event_that_says_more_is_parsed) {
    static const char *const completed[] = {
        "{\"args\":{},\"op\":\"llm\",\"ordinal\":0,\"result\":{}}",
        "{\"args\":{},\"op\":\"signal.reply\",\"ordinal\":0,\"result\":{}}",
        "{\"args\":{},\"op\":\"compensate\",\"ordinal\":0,\"result\":{}}",
        "{\"args\":{},\"op\":\"workflow\",\"ordinal\":0,\"result\":{}}",
        "{\"args\":{},\"op\":\"python\",\"ordinal\":0,\"result\":{}}",
        "{\"args\":{},\"op\":\"kv.get\",\"ordinal\":0,\"result\":{},\"spent\":{}}",
        "{\"args\":{},\"error\":{},\"op\":\"kv.get\",\"ordinal\":0}",
        "{\"args\":{},\"op\":\"kv.get\",\"ordinal\":0}",
        "{\"args\":{},\"op\":\"kv.get\",\"result\":{}}",
        "{\"args\":{},\"ordinal\":0,\"result\":{}}",
        "{\"args\":{},\"op\":7,\"ordinal\":0,\"result\":{}}",
        "{\"args\":{},\"op\":\"kv.get\",\"ordinal\":-1,\"result\":{}}",
        "{\"args\":{},\"op\":\"kv.get\",\"ordinal\":0,\"result\":1.5}",
        "{\"op\":\"kv.get\",\"args\":{},\"ordinal\":0,\"result\":{}}",
    };
    struct sh_lean l;

    for (size_t i = 0; i < sizeof(completed) / sizeof(completed[0]); i++) {
        ck_assert_msg(!is_lean("ActivityCompleted", completed[i], &l), "%s", completed[i]);
    }
    ck_assert(!is_lean("ActivityScheduled",
                       "{\"args\":{},\"due_us\":1,\"op\":\"sleep\",\"ordinal\":0}", &l));
    ck_assert(!is_lean(
        "ActivityScheduled",
        "{\"args\":{},\"key\":\"w:0\",\"op\":\"http\",\"ordinal\":0,\"reserved\":{}}", &l));
    ck_assert(
        !is_lean("ActivityFailed", "{\"args\":{},\"op\":\"x\",\"ordinal\":0,\"result\":{}}", &l));
}
END_TEST

/* Both ways of taking in one journal. */
struct both {
    struct sh_history parsed, lean;
    struct sh_digest parsed_digest, lean_digest;
    uint64_t seq;
};

static void take(struct both *b, const char *type, const char *body, bool lean) {
    struct sh_event ev = {.seq = ++b->seq, .time_us = 5, .type = type};
    struct sh_err err = {0};
    struct sh_lean l;

    sh_assert_ok(sh_json_parse(sh_str(body), SH_MIB, &ev.body, &err), &err);
    sh_assert_ok(sh_history_add(&b->parsed, &ev, &err), &err);
    sh_digest_add(&b->parsed_digest, &ev);
    ck_assert_int_eq(is_lean(type, body, &l), lean);
    if (lean) {
        struct sh_event bare = ev;
        bare.body = NULL;
        sh_assert_ok(sh_history_add_lean(&b->lean, &bare, &l, &err), &err);
        sh_digest_add_lean(&b->lean_digest, &l);
    } else {
        sh_assert_ok(sh_history_add(&b->lean, &ev, &err), &err);
        sh_digest_add(&b->lean_digest, &ev);
    }
    json_decref(ev.body);
}

START_TEST(history_and_digest_are_the_same) {
    struct both b = {.seq = 0};
    char first[SH_HASH_HEX_BYTES], second[SH_HASH_HEX_BYTES];

    sh_history_init(&b.parsed);
    sh_history_init(&b.lean);
    sh_digest_init(&b.parsed_digest);
    sh_digest_init(&b.lean_digest);
    take(&b, "ActivityScheduled",
         "{\"args\":{\"url\":\"http://x/"
         "\"},\"id\":\"i\",\"key\":\"w:0\",\"op\":\"http\",\"ordinal\":0}",
         true);
    take(&b, "ActivityCompleted",
         "{\"args\":{\"expression\":\"2\"},\"op\":\"calculator\",\"ordinal\":2,\"result\":{"
         "\"value\":2}}",
         true);
    take(&b, "ActivityRetried", "{\"attempt\":1,\"error\":{},\"next_at_us\":9,\"ordinal\":0}",
         false);
    take(&b, "ActivityCompleted",
         "{\"attempt\":2,\"op\":\"http\",\"ordinal\":0,\"result\":[1,\"\\n\"]}", true);
    take(&b, "ActivityFailed",
         "{\"args\":{},\"error\":{\"code\":\"denied\"},\"op\":\"kv.get\",\"ordinal\":1}", false);
    take(&b, "CompensationCompleted", "{\"op\":\"http\",\"ordinal\":0,\"result\":{}}", false);
    ck_assert_uint_eq(b.lean.n_activities, b.parsed.n_activities);
    ck_assert_uint_eq(b.lean.unmatched, b.parsed.unmatched);
    for (uint64_t i = 0; i < b.parsed.n_activities; i++) {
        struct sh_past_activity *p = sh_history_activity(&b.parsed, i);
        struct sh_past_activity *l = sh_history_activity(&b.lean, i);
        sh_auto(sh_json_done) json_t *asked = sh_past_request(l);
        ck_assert(p->finished == l->finished && p->scheduled == l->scheduled);
        ck_assert(p->attempts == l->attempts && p->seq == l->seq && p->ordinal == l->ordinal);
        ck_assert(json_equal(json_object_get(asked, "op"), json_object_get(p->request, "op")));
        ck_assert(json_equal(json_object_get(asked, "args"), json_object_get(p->request, "args")));
    }
    ck_assert(sh_past_is(sh_history_activity(&b.lean, 2), SH_STR("calculator"),
                         SH_STR("{\"expression\":\"2\"}")));
    ck_assert(!sh_past_is(sh_history_activity(&b.lean, 2), SH_STR("calculator"),
                          SH_STR("{\"expression\":\"3\"}")));
    ck_assert(!sh_past_is(sh_history_activity(&b.lean, 0), SH_STR("http"),
                          SH_STR("{\"url\":\"http://x/\"}"))); /* it has an id as well */
    sh_digest_end(&b.parsed_digest, &b.parsed, first);
    sh_digest_end(&b.lean_digest, &b.lean, second);
    ck_assert_str_eq(first, second);
    sh_history_done(&b.parsed);
    sh_history_done(&b.lean);
    sh_digest_done(&b.parsed_digest);
    sh_digest_done(&b.lean_digest);
}
END_TEST

START_TEST(an_ordinal_far_out_of_order_is_refused) {
    struct sh_event ev = {.seq = 3, .type = "ActivityCompleted"};
    struct sh_lean l = {.ordinal = SH_PARALLEL_ACTIVITIES_MAX + 1,
                        .op = SH_STR("x"),
                        .args = SH_STR("{}"),
                        .result = SH_STR("{}")};
    struct sh_history h;
    struct sh_err err = {0};

    sh_history_init(&h);
    sh_assert_fails(sh_history_add_lean(&h, &ev, &l, &err), SH_E_CORRUPT, &err);
    l.ordinal = SH_PARALLEL_ACTIVITIES_MAX;
    err = (struct sh_err){0};
    sh_assert_ok(sh_history_add_lean(&h, &ev, &l, &err), &err);
    sh_history_done(&h);
}
END_TEST

START_TEST(texts_large_and_small_are_kept) {
    struct sh_texts t = {0};
    struct sh_str kept[300];
    char *large = sh_zalloc(100000);

    memset(large, 'x', 100000);
    for (size_t i = 0; i < 300; i++) {
        kept[i] = sh_texts_keep(&t, sh_strn(large, i % 7 == 0 ? 100000 - i : i * 10));
    }
    for (size_t i = 0; i < 300; i++) {
        ck_assert_uint_eq(kept[i].len, i % 7 == 0 ? 100000 - i : i * 10);
        ck_assert(kept[i].len == 0 || memcmp(kept[i].p, large, kept[i].len) == 0);
    }
    sh_texts_done(&t);
    sh_texts_done(&t);
    sh_free(large);
}
END_TEST

static Suite *suite(void) {
    const TTest *const tests[] = {
        an_answer_is_read_from_its_text, an_event_that_says_more_is_parsed,
        history_and_digest_are_the_same, an_ordinal_far_out_of_order_is_refused,
        texts_large_and_small_are_kept,  NULL,
    };
    return sh_suite("engine_lean", tests);
}

SH_TEST_MAIN(suite)
