/* Canonical JSON read as it stands: what is accepted is what the parser and the writer agree on. */
#include "base/canonical.h"

#include "lib/check_main.h"

#define MAX 8

static bool accepts(const char *text) {
    struct sh_canonical_member m[MAX];
    size_t n = 0;
    return sh_canonical_members(sh_str(text), m, MAX, &n);
}

START_TEST(members_are_views_of_what_was_written) {
    struct sh_canonical_member m[MAX];
    size_t n = 0;
    struct sh_str s;
    uint64_t number = 0;

    ck_assert(
        sh_canonical_members(SH_STR("{\"a\":17,\"b\":\"x\",\"c\":{\"d\":[1,{}]}}"), m, MAX, &n));
    ck_assert_uint_eq(n, 3);
    ck_assert(sh_str_eqz(m[2].name, "c"));
    ck_assert(sh_str_eqz(m[2].value, "{\"d\":[1,{}]}"));
    ck_assert(sh_canonical_u64(m[0].value, &number));
    ck_assert_uint_eq(number, 17);
    ck_assert(sh_canonical_plain(m[1].value, &s));
    ck_assert(sh_str_eqz(s, "x"));
    ck_assert(!sh_canonical_plain(m[0].value, &s));
    ck_assert(!sh_canonical_u64(m[1].value, &number));
    ck_assert(!sh_canonical_plain(SH_STR("\"a\\n\""), &s));
}
END_TEST

START_TEST(what_is_written_otherwise_is_left_to_the_parser) {
    static const char *const others[] = {"",
                                         "{",
                                         "[]",
                                         "1",
                                         "{} ",
                                         " {}",
                                         "{\"a\": 1}",
                                         "{\"a\":1,}",
                                         "{\"b\":1,\"a\":1}",
                                         "{\"a\":1,\"a\":2}",
                                         "{\"a\":01}",
                                         "{\"a\":-0}",
                                         "{\"a\":1.5}",
                                         "{\"a\":1e3}",
                                         "{\"a\":1234567890123456789}",
                                         "{\"a\":-}",
                                         "{\"a\":tru}",
                                         "{\"a\":\"\\u0041\"}",
                                         "{\"a\":\"\\/\"}",
                                         "{\"a\":\"\\u000a\"}",
                                         "{\"a\":\"\\u000A\"}",
                                         "{\"a\":\"\\u0000\"}",
                                         "{\"a\":\"\\u001f\"}",
                                         "{\"a\":\"\x01\"}",
                                         "{\"a\":\"\xff\"}",
                                         "{\"\\n\":1}",
                                         "{\"a\":[1,]}",
                                         "{\"a\":[1 ,2]}",
                                         "{\"a\":\"x}",
                                         "{\"a\":\"\\",
                                         "{a:1}",
                                         "{\"a\"}",
                                         "{\"a\":}",
                                         "{\"a\":1}x",
                                         "{\"a\":[}",
                                         "{\"a\":{\"b\":1]}"};

    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        ck_assert_msg(!accepts(others[i]), "%s", others[i]);
    }
    ck_assert(accepts("{}"));
    ck_assert(
        accepts("{\"a\":\"\\u001F\\n\\\\\\\"/\xc3\xa9\",\"ab\":-10,\"b\":[null,true,false,0]}"));
}
END_TEST

START_TEST(no_more_members_and_no_deeper_than_asked) {
    struct sh_canonical_member m[2];
    struct sh_buf deep;
    size_t n = 0;

    ck_assert(sh_canonical_members(SH_STR("{\"a\":1,\"b\":2}"), m, 2, &n));
    ck_assert(!sh_canonical_members(SH_STR("{\"a\":1,\"b\":2,\"c\":3}"), m, 2, &n));
    for (size_t depth = SH_JSON_DEPTH_MAX; depth <= SH_JSON_DEPTH_MAX + 1; depth++) {
        sh_buf_init(&deep, SH_MIB);
        sh_buf_adds(&deep, "{\"a\":");
        for (size_t i = 1; i < depth; i++) {
            sh_buf_addc(&deep, '[');
        }
        for (size_t i = 1; i < depth; i++) {
            sh_buf_addc(&deep, ']');
        }
        sh_buf_addc(&deep, '}');
        ck_assert_int_eq(sh_canonical_members(sh_buf_str(&deep), m, 2, &n),
                         depth == SH_JSON_DEPTH_MAX);
        sh_buf_done(&deep);
    }
}
END_TEST

static unsigned state = 1;

static unsigned die(unsigned n) {
    state = state * 1103515245 + 12345;
    return (state >> 16) % n;
}

static json_t *random_value(unsigned depth) {
    static const char *const texts[] = {"", "a", "\n\x02", "\"\\/", "\xc3\xa9\xe2\x82\xac", "b c"};
    json_t *value;

    switch (die(depth > 3 ? 5 : 7)) {
    case 0:
        return json_null();
    case 1:
        return json_boolean(die(2));
    case 2:
        return json_integer((json_int_t)die(2000) - 1000);
    case 3:
        return die(20) ? json_string(texts[die(6)]) : json_real(1.5);
    case 4:
        return json_string(texts[die(6)]);
    case 5:
        value = json_array();
        for (unsigned n = die(4); n > 0; n--) {
            json_array_append_new(value, random_value(depth + 1));
        }
        return value;
    default:
        value = json_object();
        for (unsigned n = die(4); n > 0; n--) {
            json_object_set_new(value, texts[die(6)], random_value(depth + 1));
        }
        return value;
    }
}

/* Parser and writer agree on what was accepted, and on each of its members. */
static void assert_canonical(struct sh_str text, const struct sh_canonical_member *m, size_t n) {
    sh_auto(sh_json_done) json_t *value = NULL;
    struct sh_err err = {0};

    sh_assert_ok(sh_json_parse(text, SH_MIB, &value, &err), &err);
    sh_auto(sh_free_p) char *again = sh_json_text(value);
    ck_assert_msg(sh_str_eqz(text, again), "%.*s", (int)text.len, text.p);
    ck_assert_uint_eq(n, json_object_size(value));
    for (size_t i = 0; i < n; i++) {
        json_t *member = json_object_getn(value, m[i].name.p, m[i].name.len);
        sh_auto(sh_free_p) char *as_text = sh_json_text(member);
        ck_assert(sh_str_eqz(m[i].value, as_text));
    }
}

START_TEST(what_is_accepted_is_canonical_whatever_was_changed_in_it) {
    struct sh_canonical_member m[MAX];
    size_t n = 0, accepted = 0, kept = 0;

    for (int round = 0; round < 3000; round++) {
        sh_auto(sh_json_done) json_t *value = json_object();
        json_object_set_new(value, "a", random_value(0));
        json_object_set_new(value, "ab", random_value(0));
        sh_auto(sh_free_p) char *text = sh_json_text(value);
        size_t len = strlen(text);
        if (sh_canonical_members(sh_strn(text, len), m, MAX, &n)) {
            assert_canonical(sh_strn(text, len), m, n);
            accepted++;
        }
        for (int change = 0; change < 10; change++) {
            sh_auto(sh_free_p) char *bad = sh_strdup(text);
            bad[die((unsigned)len)] = "\"{}[],:01-eu\\ x\xc3\x01t"[die(18)];
            if (sh_canonical_members(sh_strn(bad, len), m, MAX, &n)) {
                assert_canonical(sh_strn(bad, len), m, n);
                kept++;
            }
        }
    }
    ck_assert_uint_gt(accepted, 1000); /* else it proves nothing */
    ck_assert_uint_gt(kept, 100);
}
END_TEST

static Suite *suite(void) {
    const TTest *const tests[] = {
        members_are_views_of_what_was_written,
        what_is_written_otherwise_is_left_to_the_parser,
        no_more_members_and_no_deeper_than_asked,
        what_is_accepted_is_canonical_whatever_was_changed_in_it,
        NULL,
    };
    return sh_suite("base_canonical", tests);
}

SH_TEST_MAIN(suite)
