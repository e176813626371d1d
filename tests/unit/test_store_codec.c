/* The batch format: exact both ways, and nothing that is cut, changed or made up gets through. */
#include "check_main.h"
#include "store/store_codec.h"

static const char *const sample =
    "{\"a\":[1,-1,9223372036854775807,0.1,1e300,true,false,null,\"\\u00e9\\u0000x\",{}],\"\":[]}";

static json_t *parse(const char *text) {
    json_t *v = json_loads(text, JSON_ALLOW_NUL | JSON_DECODE_ANY, NULL);
    ck_assert_ptr_nonnull(v);
    return v;
}

static struct sh_reader over(const struct sh_buf *b, size_t len) {
    return (struct sh_reader){(const uint8_t *)b->p, (const uint8_t *)b->p + len, false};
}

START_TEST(values_survive_exactly) {
    struct sh_buf b;
    sh_buf_init(&b, 4096);
    json_t *v = parse(sample);
    ck_assert(sh_store_put_value(&b, v));
    struct sh_reader r = over(&b, b.len);
    json_t *back = sh_store_get_value(&r);
    ck_assert(json_equal(v, back));
    ck_assert(r.p == r.end);
    json_decref(v);
    json_decref(back);
    sh_buf_done(&b);
}
END_TEST

START_TEST(a_cut_value_is_refused_at_every_length) {
    struct sh_buf b;
    sh_buf_init(&b, 4096);
    json_t *v = parse(sample);
    ck_assert(sh_store_put_value(&b, v));
    for (size_t len = 0; len < b.len; len++) {
        struct sh_reader r = over(&b, len);
        ck_assert_ptr_null(sh_store_get_value(&r));
    }
    json_decref(v);
    sh_buf_done(&b);
}
END_TEST

START_TEST(changed_bytes_never_crash_the_reader) {
    struct sh_buf b;
    sh_buf_init(&b, 4096);
    json_t *v = parse(sample);
    ck_assert(sh_store_put_value(&b, v));
    for (size_t at = 0; at < b.len; at++) {
        char was = b.p[at];
        for (int change = 1; change < 256; change += 7) {
            b.p[at] = (char)(was ^ change);
            struct sh_reader r = over(&b, b.len);
            json_decref(sh_store_get_value(&r));
        }
        b.p[at] = was;
    }
    json_decref(v);
    sh_buf_done(&b);
}
END_TEST

START_TEST(a_count_cannot_promise_more_than_was_sent) {
    struct sh_buf b;
    sh_buf_init(&b, 64);
    sh_buf_u8(&b, 6);
    sh_buf_u32(&b, UINT32_MAX);
    sh_buf_u8(&b, 0);
    struct sh_reader r = over(&b, b.len);
    ck_assert_ptr_null(sh_store_get_value(&r));
    sh_buf_done(&b);
}
END_TEST

START_TEST(nesting_ends_at_the_limit_on_both_sides) {
    json_t *v = json_array();
    for (int i = 0; i < SH_STORE_DEPTH_MAX; i++) {
        v = json_pack("[o]", v);
    }
    struct sh_buf b;
    sh_buf_init(&b, 65536);
    ck_assert(sh_store_put_value(&b, v));
    struct sh_reader r = over(&b, b.len);
    json_t *back = sh_store_get_value(&r);
    ck_assert(json_equal(v, back));
    json_decref(back);
    v = json_pack("[o]", v);
    sh_buf_clear(&b);
    ck_assert(!sh_store_put_value(&b, v));
    json_decref(v);
    sh_buf_clear(&b);
    for (int i = 0; i < 10000; i++) {
        sh_buf_u8(&b, 6);
        sh_buf_u32(&b, 1);
    }
    r = over(&b, b.len);
    ck_assert_ptr_null(sh_store_get_value(&r));
    sh_buf_done(&b);
}
END_TEST

START_TEST(events_survive_and_cut_ones_are_refused) {
    struct sh_buf b;
    sh_buf_init(&b, 4096);
    struct sh_event_record e = {SH_STR("wf-1"), 7, -5, SH_STR("Emitted"), SH_STR("{}"), {{9}}};
    sh_store_put_event(&b, &e);
    struct sh_event_record back;
    struct sh_reader r = over(&b, b.len);
    ck_assert(sh_store_get_event(&r, &back));
    ck_assert(sh_str_eq(back.workflow, e.workflow) && sh_str_eq(back.body, e.body));
    ck_assert(back.seq == 7 && back.time_us == -5 && sh_hash_eq(&back.hash, &e.hash));
    for (size_t len = 0; len < b.len; len++) {
        r = over(&b, len);
        ck_assert(!sh_store_get_event(&r, &back));
    }
    sh_buf_done(&b);
}
END_TEST

static void put_head(struct sh_buf *b, const char *table, uint8_t written) {
    sh_buf_clear(b);
    sh_buf_bytes32(b, sh_str(table));
    sh_buf_bytes32(b, SH_STR("key"));
    sh_buf_u8(b, written);
}

START_TEST(puts_of_unknown_tables_and_of_no_objects_are_refused) {
    struct sh_buf b;
    struct sh_store_put_view view;
    sh_buf_init(&b, 4096);
    put_head(&b, "kv", 0);
    struct sh_reader r = over(&b, b.len);
    ck_assert(sh_store_get_put(&r, &view));
    ck_assert(view.table == SH_TABLE_KV && !view.value);
    sh_assert_str(view.key, "key");
    put_head(&b, "event", 0);
    r = over(&b, b.len);
    ck_assert(!sh_store_get_put(&r, &view));
    put_head(&b, "kv", 2);
    r = over(&b, b.len);
    ck_assert(!sh_store_get_put(&r, &view));
    put_head(&b, "kv", 1);
    sh_buf_u8(&b, 0);
    r = over(&b, b.len);
    ck_assert(!sh_store_get_put(&r, &view));
    sh_buf_done(&b);
}
END_TEST

static Suite *suite(void) {
    static const TTest *tests[8];
    size_t n = 0;
    tests[n++] = values_survive_exactly;
    tests[n++] = a_cut_value_is_refused_at_every_length;
    tests[n++] = changed_bytes_never_crash_the_reader;
    tests[n++] = a_count_cannot_promise_more_than_was_sent;
    tests[n++] = nesting_ends_at_the_limit_on_both_sides;
    tests[n++] = events_survive_and_cut_ones_are_refused;
    tests[n++] = puts_of_unknown_tables_and_of_no_objects_are_refused;
    return sh_suite("store_codec", tests);
}

SH_TEST_MAIN(suite)
