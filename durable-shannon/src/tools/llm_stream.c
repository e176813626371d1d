/* Server-sent events as the WHATWG HTML standard reads them (section 9.2.6), of which chat
 * completions use `data` alone. Feeding stops at the first error: later bytes change nothing. Each
 * byte is looked at once; what is kept is bounded by an event and by the answer. */
#include "tools/llm_wire.h"

enum { PREFIX_KEPT = 2048, TOKENS_MOST = 1000000000 };

void sh_llm_answer_init(struct sh_llm_answer *a) {
    *a = (struct sh_llm_answer){.input_tokens = -1, .output_tokens = -1, .total_tokens = -1};
    sh_buf_init(&a->content, SH_ACTIVITY_RESULT_MAX);
}

void sh_llm_answer_done(struct sh_llm_answer *a) {
    for (size_t i = 0; i < a->n_calls; i++) {
        sh_free(a->calls[i].id);
        sh_free(a->calls[i].name);
        sh_buf_done(&a->calls[i].arguments);
    }
    sh_free(a->calls);
    sh_buf_done(&a->content);
    sh_free(a->finish_reason);
    sh_free(a->model);
    *a = (struct sh_llm_answer){0};
}

struct sh_llm_call *sh_llm_answer_call(struct sh_llm_answer *a) {
    if (a->n_calls == SH_TOOL_CALLS_MAX) {
        return NULL;
    }
    a->calls = sh_grow(a->calls, (a->n_calls + 1) * sizeof(*a->calls));
    struct sh_llm_call *call = &a->calls[a->n_calls++];
    *call = (struct sh_llm_call){0};
    sh_buf_init(&call->arguments, SH_ACTIVITY_ARGS_MAX);
    return call;
}

void sh_llm_keep(char **to, struct sh_str s) {
    enum { MOST = 256 };
    size_t n = s.len < MOST ? s.len : MOST;
    if (n == 0 || *to) {
        return;
    }
    while (n < s.len && n > 0 && ((unsigned char)s.p[n] & 0xc0) == 0x80) {
        n--; /* not within a character */
    }
    *to = sh_strndup0(s.p, n);
}

static void take_count(const json_t *usage, const char *name, int64_t *ret) {
    int64_t n = sh_json_get_int(usage, name, -1);
    if (n >= 0) {
        *ret = n < TOKENS_MOST ? n : TOKENS_MOST;
    }
}

void sh_llm_answer_usage(struct sh_llm_answer *a, const json_t *usage) {
    take_count(usage, "prompt_tokens", &a->input_tokens);
    take_count(usage, "completion_tokens", &a->output_tokens);
    take_count(usage, "total_tokens", &a->total_tokens);
}

void sh_llm_stream_init(struct sh_llm_stream *s, void (*on_delta)(void *arg, struct sh_str text),
                        void *arg) {
    *s = (struct sh_llm_stream){.on_delta = on_delta, .arg = arg};
    sh_llm_answer_init(&s->answer);
    sh_buf_init(&s->plain, PREFIX_KEPT);
    sh_buf_init(&s->line, SH_SSE_EVENT_MAX);
    sh_buf_init(&s->data, SH_SSE_EVENT_MAX);
}

void sh_llm_stream_done(struct sh_llm_stream *s) {
    sh_llm_answer_done(&s->answer);
    sh_free(s->said);
    sh_buf_done(&s->plain);
    sh_buf_done(&s->line);
    sh_buf_done(&s->data);
}

void sh_llm_stream_fail(struct sh_llm_stream *s, bool retryable, int code, const char *what) {
    if (s->err.code == 0) {
        sh_fail(&s->err, code, "%s", what);
        s->retryable = retryable;
    }
}

/* The call that a piece belongs to: by index; by a new id where a server sends none; else the last.
 */
static struct sh_llm_call *call_for(struct sh_llm_stream *s, const json_t *piece) {
    struct sh_llm_answer *a = &s->answer;
    int64_t n = (int64_t)a->n_calls;
    bool starts = n == 0 || sh_json_get_str(piece, "id").len > 0;
    int64_t index = sh_json_get_int(piece, "index", starts ? n : n - 1);
    if (index >= 0 && index < n) {
        return &a->calls[index];
    }
    struct sh_llm_call *call = index == n ? sh_llm_answer_call(a) : NULL;
    if (!call) {
        sh_llm_stream_fail(s, false, SH_E_UPSTREAM,
                           "its tool calls are numbered with gaps, or are too many");
    }
    return call;
}

static void take_tool_calls(struct sh_llm_stream *s, const json_t *pieces) {
    for (size_t i = 0; i < json_array_size(pieces) && s->err.code == 0; i++) {
        const json_t *piece = json_array_get(pieces, i);
        const json_t *function = json_object_get(piece, "function");
        struct sh_str arguments = sh_json_get_str(function, "arguments");
        struct sh_llm_call *call = call_for(s, piece);
        if (!call) {
            return;
        }
        sh_llm_keep(&call->id, sh_json_get_str(piece, "id"));
        sh_llm_keep(&call->name, sh_json_get_str(function, "name"));
        sh_buf_add(&call->arguments, arguments.p, arguments.len);
        if (call->arguments.failed) {
            sh_llm_stream_fail(s, false, SH_E_LIMIT,
                               "the arguments of a tool call are larger than 1 MiB");
        }
    }
}

static void take_chunk(struct sh_llm_stream *s, const json_t *chunk) {
    const json_t *error = json_object_get(chunk, "error");
    const json_t *choice = json_array_get(json_object_get(chunk, "choices"), 0);
    const json_t *delta = json_object_get(choice, "delta");
    if (error && !json_is_null(error)) {
        struct sh_str said = json_is_string(error) ? sh_json_get_str(chunk, "error")
                                                   : sh_json_get_str(error, "message");
        s->said = s->said ? s->said : sh_strndup0(said.p, said.len < 4096 ? said.len : 4096);
        sh_llm_stream_fail(s, true, SH_E_UPSTREAM, "it reported an error");
        return;
    }
    sh_llm_keep(&s->answer.model, sh_json_get_str(chunk, "model"));
    sh_llm_answer_usage(&s->answer, json_object_get(chunk, "usage"));
    struct sh_str text = sh_json_get_str(delta, "content");
    sh_buf_add(&s->answer.content, text.p, text.len);
    if (s->answer.content.failed) {
        sh_llm_stream_fail(s, false, SH_E_LIMIT,
                           "its answer is larger than 4 MiB; ask for fewer max_tokens");
        return;
    }
    if (json_array_size(json_object_get(delta, "tool_calls"))) {
        take_tool_calls(s, json_object_get(delta, "tool_calls"));
    }
    struct sh_str reason = sh_json_get_str(choice, "finish_reason");
    sh_llm_keep(&s->answer.finish_reason, reason);
    s->done = s->done || reason.len > 0;
    if (text.len && s->on_delta && s->err.code == 0) {
        s->on_delta(s->arg, text);
    }
}

/* A blank line: what was gathered is one event. */
static void dispatch(struct sh_llm_stream *s) {
    if (!s->has_data) {
        return;
    }
    struct sh_str data = sh_buf_str(&s->data);
    json_t *chunk = NULL;
    if (sh_str_eqz(data, "[DONE]")) {
        s->done = true;
    } else if (data.len && sh_json_parse_foreign(data, SH_SSE_EVENT_MAX, &chunk, NULL) != 0) {
        sh_llm_stream_fail(s, false, SH_E_UPSTREAM, "a part of its stream is not JSON");
    } else if (chunk) {
        (s->chunk ? s->chunk : take_chunk)(s, chunk);
    }
    json_decref(chunk);
    sh_buf_clear(&s->data);
    s->has_data = false;
}

static void take_line(struct sh_llm_stream *s) {
    struct sh_str line = sh_buf_str(&s->line);
    if (line.len == 0) {
        dispatch(s);
        return;
    }
    if (sh_str_starts(line, SH_STR("data")) && (line.len == 4 || line.p[4] == ':')) {
        size_t skip = line.len == 4 ? 4 : 5;
        skip += line.len > skip && line.p[skip] == ' ';
        if (s->has_data) {
            sh_buf_addc(&s->data, '\n');
        }
        sh_buf_add(&s->data, line.p + skip, line.len - skip);
        s->has_data = true;
    }
    sh_buf_clear(&s->line);
    if (s->data.failed) {
        sh_llm_stream_fail(s, false, SH_E_LIMIT, "an event of its stream is larger than 1 MiB");
    }
}

static void feed_events(struct sh_llm_stream *s, struct sh_str bytes) {
    size_t start = 0;
    for (size_t i = 0; i < bytes.len && s->err.code == 0; i++) {
        char c = bytes.p[i];
        if (c == '\n' && s->skip_lf) {
            start = i + 1;
        } else if (c == '\n' || c == '\r') {
            sh_buf_add(&s->line, bytes.p + start, i - start);
            if (s->line.failed) {
                break;
            }
            take_line(s);
            start = i + 1;
        }
        s->skip_lf = c == '\r';
    }
    if (s->err.code == 0 && start < bytes.len) {
        sh_buf_add(&s->line, bytes.p + start, bytes.len - start);
    }
    if (s->line.failed) {
        sh_llm_stream_fail(s, false, SH_E_LIMIT, "a line of its stream is larger than 1 MiB");
    }
}

/* The first character that is not blank, nor part of a byte order mark, tells what follows. */
static size_t recognise(struct sh_llm_stream *s, struct sh_str bytes) {
    static const char blank[] = " \t\r\n\xef\xbb\xbf";
    size_t i = 0;
    while (i < bytes.len && bytes.p[i] && strchr(blank, bytes.p[i])) {
        i++;
    }
    if (i < bytes.len) {
        s->mode = bytes.p[i] == '{' ? SH_STREAM_PLAIN : SH_STREAM_EVENTS;
        if (s->mode == SH_STREAM_PLAIN) {
            s->plain.max = SH_ACTIVITY_RESULT_MAX * 2;
        }
    }
    return i;
}

void sh_llm_stream_feed(struct sh_llm_stream *s, struct sh_str bytes) {
    s->bytes += bytes.len;
    if (s->err.code) {
        return;
    }
    if (s->mode == SH_STREAM_START) {
        size_t skip = recognise(s, bytes);
        bytes = sh_strn(bytes.p + skip, bytes.len - skip);
    }
    if (bytes.len == 0) {
        return;
    }
    if (s->mode == SH_STREAM_EVENTS) {
        size_t room = PREFIX_KEPT - s->plain.len;
        sh_buf_add(&s->plain, bytes.p, bytes.len < room ? bytes.len : room);
        feed_events(s, bytes);
        return;
    }
    sh_buf_add(&s->plain, bytes.p, bytes.len);
    if (s->plain.failed) {
        sh_llm_stream_fail(s, false, SH_E_LIMIT,
                           "its answer is larger than 8 MiB; ask for fewer max_tokens");
    }
}

void sh_llm_stream_finish(struct sh_llm_stream *s) {
    if (s->mode == SH_STREAM_EVENTS && s->err.code == 0) {
        if (s->line.len) {
            take_line(s);
        }
        dispatch(s);
    }
}
