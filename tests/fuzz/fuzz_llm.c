/* Answers of LLM servers: streams and whole bodies of any bytes. The first byte says where the rest
 * is cut; a stream read in pieces must end as the one read at once. */
#include <stddef.h>
#include <stdint.h>

#include "tools/llm_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_delta(void *arg, struct sh_str text) {
    sh_buf_add(arg, text.p, text.len);
}

static void feed(struct sh_llm_stream *s, struct sh_buf *deltas, struct sh_str text, size_t piece,
                 const struct sh_llm_wire *wire) {
    sh_buf_init(deltas, SH_LLM_RESPONSE_MAX);
    sh_llm_stream_init(s, on_delta, deltas);
    s->chunk = wire->chunk;
    for (size_t i = 0; i < text.len; i += piece) {
        size_t n = text.len - i < piece ? text.len - i : piece;
        sh_llm_stream_feed(s, sh_strn(text.p + i, n));
    }
    sh_llm_stream_finish(s);
}

static void check_result(const struct sh_llm_answer *a) {
    char model[] = "m";
    char provider[] = "openai";
    struct sh_llm_config c = {.model = model, .provider = provider};
    json_t *result = NULL;
    if (sh_openai_result(&c, a, SH_STR("m"), 10, &result, NULL) == 0) {
        sh_auto(sh_free_p) char *text = sh_json_text(result);
        SH_ASSERT(sh_utf8_valid(sh_str(text)));
        json_decref(result);
    }
}

static void read_stream(struct sh_str text, size_t piece, const struct sh_llm_wire *wire) {
    struct sh_llm_stream whole;
    struct sh_llm_stream pieces;
    struct sh_buf deltas[2];
    feed(&whole, &deltas[0], text, text.len ? text.len : 1, wire);
    feed(&pieces, &deltas[1], text, piece, wire);
    SH_ASSERT(whole.err.code == pieces.err.code && whole.done == pieces.done);
    SH_ASSERT(sh_str_eq(sh_buf_str(&deltas[0]), sh_buf_str(&deltas[1])));
    SH_ASSERT(sh_str_eq(sh_buf_str(&whole.answer.content), sh_buf_str(&pieces.answer.content)));
    SH_ASSERT(whole.answer.n_calls == pieces.answer.n_calls);
    check_result(&pieces.answer);
    sh_llm_stream_done(&whole);
    sh_llm_stream_done(&pieces);
    sh_buf_done(&deltas[0]);
    sh_buf_done(&deltas[1]);
}

static void read_whole(struct sh_str text, const struct sh_llm_wire *wire) {
    struct sh_llm_answer a;
    struct sh_err err = {0};
    struct sh_str code;
    sh_llm_answer_init(&a);
    if (wire->read(text, &a, &err) == 0) {
        check_result(&a);
    }
    sh_llm_answer_done(&a);
    sh_auto(sh_json_done) json_t *doc = NULL;
    sh_openai_error(text, &doc, &code);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size > 0) {
        struct sh_str text = sh_strn(data + 1, size - 1);
        const struct sh_llm_wire *wire = data[0] & 64 ? &sh_wire_anthropic : &sh_wire_openai;
        read_stream(text, (size_t)data[0] % 64 + 1, wire);
        read_whole(text, wire);
    }
    return 0;
}
