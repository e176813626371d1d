/* What is kept of a module for its traps: where code was before it was metered, and what it says of
 * its source. */
#include "lib/check_main.h"
#include "microsandbox/guest_lines.h"

static bool resolve(struct sh_str module, struct sh_str name, struct sh_signature *ret) {
    (void)module;
    (void)name;
    *ret = (struct sh_signature){"", "i"};
    return true;
}

static void put_leb(struct sh_buf *b, size_t v) {
    for (; v > 0x7f; v >>= 7) {
        sh_buf_u8(b, (uint8_t)(v | 0x80));
    }
    sh_buf_u8(b, (uint8_t)v);
}

static void put_section(struct sh_buf *b, uint8_t id, const struct sh_buf *content) {
    sh_buf_u8(b, id);
    put_leb(b, content->len);
    sh_buf_add(b, content->p, content->len);
}

static void put_custom(struct sh_buf *b, const char *name, const char *bytes) {
    struct sh_buf content;

    sh_buf_init(&content, 65536);
    put_leb(&content, strlen(name));
    sh_buf_adds(&content, name);
    sh_buf_adds(&content, bytes);
    put_section(b, 0, &content);
    sh_buf_done(&content);
}

/* One body: `copies` bulk instructions, each between two that can be told apart by their number. */
static void put_body(struct sh_buf *code, size_t copies, unsigned *number) {
    struct sh_buf body;

    sh_buf_init(&body, 65536);
    sh_buf_u8(&body, 0);
    for (size_t i = 0; i <= copies; i++) {
        sh_buf_add(&body, "\x41", 1); /* i32.const NUMBER, of two bytes; drop */
        sh_buf_u8(&body, (uint8_t)(*number % 64 | 0x80));
        sh_buf_u8(&body, (uint8_t)(*number / 64 % 64));
        sh_buf_add(&body, "\x1a", 1);
        ++*number;
        if (i < copies) {
            sh_buf_add(&body, "\x41\0\x41\0\x41\0\xfc\x0a\0\0", 10);
        }
    }
    sh_buf_u8(&body, 0x0b);
    put_leb(code, body.len);
    sh_buf_add(code, body.p, body.len);
    sh_buf_done(&body);
}

/* A module with a function for each of `copies`. */
static void module(struct sh_buf *b, const size_t *copies, size_t n, bool debug) {
    struct sh_buf section;
    unsigned number = 0;

    sh_buf_init(b, SH_MIB);
    sh_buf_init(&section, SH_MIB);
    sh_buf_add(b, "\0asm\1\0\0\0\1\x04\1\x60\0\0", 14);
    put_leb(&section, n);
    for (size_t i = 0; i < n; i++) {
        sh_buf_u8(&section, 0);
    }
    put_section(b, 3, &section);
    sh_buf_add(b, "\5\3\1\0\1\7\x0a\1\6_start\0\0", 17);
    sh_buf_clear(&section);
    put_leb(&section, n);
    for (size_t i = 0; i < n; i++) {
        put_body(&section, copies[i], &number);
    }
    put_section(b, 10, &section);
    if (debug) {
        put_custom(b, ".debug_info", "info");
        put_custom(b, ".debug_line", "lines");
        put_custom(b, ".debug_loc", "of no use here");
        put_custom(b, "name", "kept elsewhere");
    }
    sh_buf_done(&section);
}

static void meter(const struct sh_buf *in, struct sh_buf *out, struct sh_buf *marks) {
    struct sh_err err = {0};

    sh_buf_init(out, SH_MIB);
    sh_buf_init(marks, SH_MIB);
    sh_assert_ok(sh_guest_meter(sh_buf_str(in), resolve, out, marks, &err), &err);
}

/* Where the n-th numbered constant is. */
static size_t find(const struct sh_buf *b, unsigned n, size_t after) {
    const char what[] = {'\x41', (char)(n % 64 | 0x80), (char)(n / 64 % 64), '\x1a'};
    const char *at = memmem(b->p + after, b->len - after, what, sizeof(what));

    ck_assert_ptr_nonnull(at);
    return (size_t)(at - b->p);
}

/* Every function of 0, 1, 2 or many, so that lengths of lengths change, too. */
START_TEST(each_instruction_is_found_where_its_author_has_it) {
    static const size_t copies[] = {0, 1, 3, 0, 7, 8, 9, 0, 0, 40, 1, 1000, 0};
    struct sh_buf in, out, marks, record;
    struct sh_lines l;
    size_t before = 0, after = 0;
    unsigned n = 0;

    module(&in, copies, sizeof(copies) / sizeof(copies[0]), false);
    meter(&in, &out, &marks);
    sh_buf_init(&record, SH_MIB);
    sh_lines_write(sh_buf_str(&in), &marks, &record);
    ck_assert_int_eq(sh_lines_read(sh_buf_str(&record), &l), 0);
    ck_assert_uint_eq(l.n_sections, 0);
    for (size_t i = 0; i < sizeof(copies) / sizeof(copies[0]); i++) {
        for (size_t k = 0; k <= copies[i]; k++, n++) {
            before = find(&in, n, before);
            after = find(&out, n, after);
            ck_assert_uint_eq(sh_lines_original(&l, after), before);
            ck_assert_uint_eq(sh_lines_original(&l, after + 3), before + 3);
            if (k < copies[i]) { /* the copy itself, behind the call */
                ck_assert_uint_eq(sh_lines_original(&l, after + 12), before + 10);
            }
        }
    }
    ck_assert_uint_gt(after, before + 1000);
    sh_buf_done(&in);
    sh_buf_done(&out);
    sh_buf_done(&marks);
    sh_buf_done(&record);
}
END_TEST

START_TEST(what_says_nothing_needs_no_record) {
    static const size_t none[] = {0, 0};
    struct sh_buf in, out, marks, record;

    module(&in, none, 2, false);
    put_custom(&in, ".debug_info", "without .debug_line");
    meter(&in, &out, &marks);
    sh_buf_init(&record, SH_MIB);
    sh_lines_write(sh_buf_str(&in), &marks, &record);
    ck_assert_uint_eq(record.len, 0);
    sh_buf_done(&in);
    sh_buf_done(&out);
    sh_buf_done(&marks);
    sh_buf_done(&record);
}
END_TEST

START_TEST(debugging_information_is_kept_as_it_is) {
    static const size_t one[] = {1};
    struct sh_buf in, out, marks, record;
    struct sh_lines l;

    module(&in, one, 1, true);
    meter(&in, &out, &marks);
    sh_buf_init(&record, SH_MIB);
    sh_lines_write(sh_buf_str(&in), &marks, &record);
    ck_assert_int_eq(sh_lines_read(sh_buf_str(&record), &l), 0);
    ck_assert_uint_eq(l.n_sections, 2);
    sh_assert_str(l.section[0].name, ".debug_info");
    sh_assert_str(l.section[0].bytes, "info");
    sh_assert_str(l.section[1].name, ".debug_line");
    sh_assert_str(l.section[1].bytes, "lines");
    ck_assert_uint_eq(l.code, 14 + 4 + 17 + 2);
    ck_assert_int_eq(in.p[l.code - 2], 10);
    for (size_t n = 0; n < record.len; n++) { /* cut anywhere: read in part or not, never beyond */
        char *part = sh_alloc(n + 1);

        memcpy(part, record.p, n);
        (void)sh_lines_read(sh_strn(part, n), &l);
        sh_free(part);
    }
    sh_buf_done(&in);
    sh_buf_done(&out);
    sh_buf_done(&marks);
    sh_buf_done(&record);
}
END_TEST

static json_t *json(const char *text) {
    json_t *value = NULL;
    struct sh_err err = {0};

    sh_assert_ok(sh_json_parse(sh_str(text), 65536, &value, &err), &err);
    return value;
}

START_TEST(inlined_functions_become_frames_of_their_own) {
    json_t *frames = json("[{\"index\":3,\"function\":\"outer\",\"offset\":70},"
                          "{\"index\":2,\"offset\":60},{\"index\":1,\"offset\":50}]");
    json_t *places = json("[[{\"function\":\"in\",\"file\":\"a.h\",\"line\":5,\"more\":1},"
                          "{\"function\":\"mangled\",\"file\":\"a.c\",\"line\":9}],"
                          "[{\"function\":\"named\",\"file\":\"\",\"line\":7}],\"nonsense\"]");
    json_t *want =
        json("[{\"inlined\":true,\"index\":3,\"offset\":70,\"function\":\"in\",\"file\":\"a.h\","
             "\"line\":5},"
             "{\"index\":3,\"function\":\"outer\",\"offset\":70,\"file\":\"a.c\",\"line\":9},"
             "{\"index\":2,\"offset\":60,\"function\":\"named\"},{\"index\":1,\"offset\":50}]");
    json_t *got = sh_lines_merge(frames, places), *alone = sh_lines_merge(frames, NULL);

    ck_assert(json_equal(got, want));
    ck_assert(json_equal(alone, frames));
    json_decref(frames);
    json_decref(places);
    json_decref(want);
    json_decref(got);
    json_decref(alone);
}
END_TEST

START_TEST(a_backtrace_has_at_most_so_many_frames) {
    json_t *frames = json_array(), *places = json_array(), *merged;

    for (int i = 0; i < 64; i++) {
        json_array_append_new(frames, json_pack("{s:i, s:i}", "index", i, "offset", i));
        json_array_append_new(places,
                              json("[{\"line\":1},{\"line\":2},{\"line\":3},{\"line\":4}]"));
    }
    merged = sh_lines_merge(frames, places);
    ck_assert_uint_eq(json_array_size(merged), SH_LINES_PLACES_MAX);
    json_decref(frames);
    json_decref(places);
    json_decref(merged);
}
END_TEST

static Suite *suite(void) {
    Suite *s = suite_create("guest_lines");
    TCase *c = tcase_create("guest_lines");

    tcase_add_test(c, each_instruction_is_found_where_its_author_has_it);
    tcase_add_test(c, what_says_nothing_needs_no_record);
    tcase_add_test(c, debugging_information_is_kept_as_it_is);
    tcase_add_test(c, inlined_functions_become_frames_of_their_own);
    tcase_add_test(c, a_backtrace_has_at_most_so_many_frames);
    suite_add_tcase(s, c);
    return s;
}

SH_TEST_MAIN(suite)
