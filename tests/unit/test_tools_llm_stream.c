/* The stream reader: the same answer however the bytes are cut, and every hostile form bounded. */
#include "lib/check_main.h"

#include "tools/llm_stream.h"

static void collect(void *arg, struct sh_str text) {
    sh_buf_add(arg, text.p, text.len);
}

struct read {
    struct sh_llm_stream stream;
    struct sh_buf deltas;
};

/* Feeds `text` in pieces of `first` bytes, then of `rest` (0: all). */
static void feed(struct read *r, struct sh_str text, size_t first, size_t rest) {
    sh_buf_init(&r->deltas, SH_ACTIVITY_RESULT_MAX);
    sh_llm_stream_init(&r->stream, collect, &r->deltas);
    for (size_t i = 0, n = first; i < text.len; n = rest) {
        n = n && n < text.len - i ? n : text.len - i;
        sh_auto(sh_free_p) char *copy = sh_memdup(text.p + i, n); /* so that ASan sees each edge */
        sh_llm_stream_feed(&r->stream, sh_strn(copy, n));
        i += n;
    }
    sh_llm_stream_finish(&r->stream);
}

static void done(struct read *r) {
    sh_llm_stream_done(&r->stream);
    sh_buf_done(&r->deltas);
}

#define CHUNK(delta) "{\"model\":\"m1\",\"choices\":[{\"index\":0,\"delta\":" delta "}]}"
#define CALL_BEGINS                                                                                \
    "{\"tool_calls\":[{\"index\":0,\"id\":\"c1\",\"type\":\"function\","                           \
    "\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"a\\\"\"}}]}"
#define CALL_GOES_ON                                                                               \
    "{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\":1}\"}},"                         \
    "{\"id\":\"c2\",\"function\":{\"name\":\"g\"}}]}"
#define FINISH "{\"choices\":[{\"delta\":{},\"finish_reason\":\"tool_calls\"}]}"
#define USAGE "{\"prompt_tokens\":3,\"completion_tokens\":4,\"total_tokens\":7}"

/* All three line ends, a byte order mark, a comment, data in two lines, letters of two bytes. */
#define OPEN "data: {\"model\":\"m1\",\"choices\":[{\"index\":0,\"delta\":"
#define SHUT "}]}"
#define ROLE OPEN "{\"role\":\"assistant\"}" SHUT
#define TEXT_1 OPEN "{\"content\":\"Gr\xc3\xbc\"}" SHUT
#define TEXT_2 OPEN "{\"content\":\"\xc3\x9f\"}" SHUT
#define TEXT_3 "data:{\"choices\":\r\ndata: [{\"delta\":{\"content\":\"!\"}}]}"
#define CALLS OPEN CALL_BEGINS SHUT "\n\n" OPEN CALL_GOES_ON SHUT "\n\n"
#define LAST "data: " FINISH "\n\ndata: {\"choices\":[],\"usage\":" USAGE "}\n\n"
static const char whole[] = "\xef\xbb\xbf: hello\r\n\r\nevent: x\n" ROLE "\n\n" TEXT_1
                            "\r\n\r\n" TEXT_2 "\r\r" TEXT_3 "\n\n" CALLS LAST "data: [DONE]\n\n";
static const char whole_text[] = "Gr\xc3\xbc\xc3\x9f!";

static void expect_whole(const struct read *r) {
    const struct sh_llm_answer *a = &r->stream.answer;
    ck_assert_msg(r->stream.err.code == 0, "%s", r->stream.err.message);
    ck_assert(r->stream.done);
    sh_assert_str(sh_buf_str(&a->content), whole_text);
    sh_assert_str(sh_buf_str(&r->deltas), whole_text);
    ck_assert_str_eq(a->finish_reason, "tool_calls");
    ck_assert_str_eq(a->model, "m1");
    ck_assert_uint_eq(a->n_calls, 2);
    ck_assert_str_eq(a->calls[0].id, "c1");
    sh_assert_str(sh_buf_str(&a->calls[0].arguments), "{\"a\":1}");
    ck_assert_str_eq(a->calls[1].name, "g");
    ck_assert_int_eq(a->input_tokens, 3);
    ck_assert_int_eq(a->total_tokens, 7);
}

START_TEST(the_answer_does_not_depend_on_where_bytes_are_cut) {
    struct sh_str text = sh_strn(whole, sizeof(whole) - 1);
    struct read r;
    for (size_t cut = 1; cut <= text.len; cut++) {
        feed(&r, text, cut, 0);
        expect_whole(&r);
        done(&r);
    }
    for (size_t n = 1; n < 8; n++) {
        feed(&r, text, n, n);
        expect_whole(&r);
        done(&r);
    }
}
END_TEST

START_TEST(a_last_event_counts_without_its_blank_line) {
    struct read r;
    feed(&r, SH_STR("data: " CHUNK("{\"content\":\"a\"}") "\n\ndata: [DONE]"), 0, 0);
    ck_assert(r.stream.done);
    done(&r);
    feed(&r, SH_STR("data: " CHUNK("{\"content\":\"a\"}")), 5, 5);
    ck_assert(!r.stream.done);
    sh_assert_str(sh_buf_str(&r.stream.answer.content), "a");
    done(&r);
}
END_TEST

START_TEST(one_json_object_is_kept_whole) {
    struct read r;
    feed(&r, SH_STR(" \n{\"choices\":[1]}\n"), 1, 1);
    ck_assert_int_eq(r.stream.mode, SH_STREAM_PLAIN);
    sh_assert_str(sh_buf_str(&r.stream.plain), "{\"choices\":[1]}\n");
    done(&r);
}
END_TEST

START_TEST(what_is_wrong_is_an_error) {
    static const struct {
        const char *text, *says;
        int code;
        bool retryable;
    } rows[] = {
        {"data: {oops\n\n", "not JSON", SH_E_UPSTREAM, false},
        {"data: {\"error\":{\"message\":\"overloaded\"}}\n\n", "reported an error", SH_E_UPSTREAM,
         true},
        {"data: {\"error\":\"bad\"}\n\n", "reported an error", SH_E_UPSTREAM, true},
        {"data: " CHUNK("{\"tool_calls\":[{\"index\":5}]}") "\n\n", "gaps", SH_E_UPSTREAM, false},
        {"data: " CHUNK("{\"tool_calls\":[{\"index\":-7}]}") "\n\n", "gaps", SH_E_UPSTREAM, false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct read r;
        feed(&r, sh_str(rows[i].text), 3, 3);
        ck_assert_msg(r.stream.err.code == rows[i].code, "row %zu", i);
        ck_assert_msg(strstr(r.stream.err.message, rows[i].says) != NULL, "row %zu", i);
        ck_assert_int_eq(r.stream.retryable, rows[i].retryable);
        sh_llm_stream_feed(&r.stream, SH_STR("data: [DONE]\n\n")); /* changes nothing */
        ck_assert(!r.stream.done);
        done(&r);
    }
}
END_TEST

START_TEST(nul_in_the_text_is_replaced_and_nothing_else_is_lost) {
    struct read r;
    feed(&r,
         SH_STR("data: " CHUNK("{\"content\":\"a\\u0000b\"}") "\n\ndata: " CHUNK(
             "{\"content\":\"\\\\u0000\"}") "\n\ndata: [DONE]\n\n"),
         0, 0);
    ck_assert_msg(r.stream.err.code == 0, "%s", r.stream.err.message);
    sh_assert_str(sh_buf_str(&r.stream.answer.content), "a\xef\xbf\xbd"
                                                        "b\\u0000");
    sh_assert_str(sh_buf_str(&r.deltas), "a\xef\xbf\xbd"
                                         "b\\u0000");
    done(&r);
}
END_TEST

START_TEST(odd_types_are_taken_as_absent) {
    static const char *const rows[] = {"1",
                                       "null",
                                       "\"x\"",
                                       "[]",
                                       "{}",
                                       "{\"choices\":{}}",
                                       "{\"choices\":[1]}",
                                       "{\"choices\":[{\"delta\":[]}]}",
                                       "{\"choices\":[{\"delta\":{\"content\":7}}]}",
                                       "{\"choices\":[{\"delta\":{\"tool_calls\":{}}}]}",
                                       "{\"usage\":[],\"model\":1}",
                                       "{\"usage\":{\"prompt_tokens\":-5}}",
                                       "{\"error\":null}",
                                       NULL};
    for (size_t i = 0; rows[i]; i++) {
        struct read r;
        sh_auto(sh_free_p) char *text = sh_asprintf("data: %s\n\n", rows[i]);
        feed(&r, sh_str(text), 0, 0);
        ck_assert_msg(r.stream.err.code == 0, "%s: %s", rows[i], r.stream.err.message);
        ck_assert_uint_eq(r.stream.answer.content.len, 0);
        ck_assert_int_eq(r.stream.answer.input_tokens, -1);
        done(&r);
    }
}
END_TEST

/* A line of `n` bytes in all, which is a comment. */
static void long_line(size_t n, int code) {
    struct read r;
    sh_auto(sh_free_p) char *line = sh_zalloc(n + 2);
    memset(line, 'x', n);
    line[0] = ':';
    line[n] = '\n';
    feed(&r, sh_strn(line, n + 1), 4096, 65536);
    ck_assert_int_eq(r.stream.err.code, code);
    done(&r);
}

START_TEST(lines_answers_and_calls_hold_at_their_edges) {
    long_line(SH_SSE_EVENT_MAX, 0);
    long_line(SH_SSE_EVENT_MAX + 1, SH_E_LIMIT);
    for (size_t n = SH_TOOL_CALLS_MAX; n <= SH_TOOL_CALLS_MAX + 1; n++) {
        struct read r;
        struct sh_buf b;
        sh_buf_init(&b, SH_MIB);
        for (size_t i = 0; i < n; i++) {
            sh_buf_addf(&b, "data: " CHUNK("{\"tool_calls\":[{\"index\":%zu}]}") "\n\n", i);
        }
        feed(&r, sh_buf_str(&b), 0, 0);
        ck_assert_int_eq(r.stream.err.code, n == SH_TOOL_CALLS_MAX ? 0 : SH_E_UPSTREAM);
        done(&r);
        sh_buf_done(&b);
    }
    enum { PIECE = 64 * 1024 };
    struct sh_llm_stream s;
    sh_llm_stream_init(&s, NULL, NULL);
    struct sh_buf chunk;
    sh_buf_init(&chunk, SH_MIB);
    sh_buf_adds(&chunk, "data: {\"choices\":[{\"delta\":{\"content\":\"");
    for (size_t i = 0; i < PIECE; i++) {
        sh_buf_addc(&chunk, 'a');
    }
    sh_buf_adds(&chunk, "\"}}]}\n\n");
    for (size_t i = 0; i < SH_ACTIVITY_RESULT_MAX / PIECE; i++) {
        sh_llm_stream_feed(&s, sh_buf_str(&chunk));
    }
    ck_assert_int_eq(s.err.code, 0);
    sh_llm_stream_feed(&s, SH_STR("data: " CHUNK("{\"content\":\"b\"}") "\n\n"));
    ck_assert_int_eq(s.err.code, SH_E_LIMIT);
    sh_llm_stream_done(&s);
    sh_buf_done(&chunk);
}
END_TEST

static Suite *suite(void) {
    const TTest *const tests[] = {the_answer_does_not_depend_on_where_bytes_are_cut,
                                  a_last_event_counts_without_its_blank_line,
                                  one_json_object_is_kept_whole,
                                  what_is_wrong_is_an_error,
                                  odd_types_are_taken_as_absent,
                                  nul_in_the_text_is_replaced_and_nothing_else_is_lost,
                                  lines_answers_and_calls_hold_at_their_edges,
                                  NULL};
    return sh_suite("tools_llm_stream", tests);
}

SH_TEST_MAIN(suite)
