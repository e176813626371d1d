/* Reader of a streamed chat completion: server-sent events whose data are JSON chunks. Bytes come
 * from a stranger, cut anywhere. A server that ignores `stream` and answers one JSON object is
 * recognised by its first character. */
#ifndef SH_TOOLS_LLM_STREAM_H
#define SH_TOOLS_LLM_STREAM_H

#include "base/base.h"

/* A call of a function that the model asks for. */
struct sh_llm_call {
    char *id, *name; /* or NULL so far */
    struct sh_buf arguments;
};
/* A model's answer, as far as it came. */
struct sh_llm_answer {
    struct sh_buf content;
    struct sh_llm_call *calls;
    size_t n_calls;
    char *finish_reason, *model;
    int64_t input_tokens, output_tokens, total_tokens; /* -1: not said */
};
void sh_llm_answer_init(struct sh_llm_answer *a);
void sh_llm_answer_done(struct sh_llm_answer *a);
/* A new call at the end, or NULL when there are SH_TOOL_CALLS_MAX. */
struct sh_llm_call *sh_llm_answer_call(struct sh_llm_answer *a);
/* Set *to, once, to a copy of s, cut to 256 bytes. */
void sh_llm_keep(char **to, struct sh_str s);
/* The members of `usage`, clamped to what may be true. */
void sh_llm_answer_usage(struct sh_llm_answer *a, const json_t *usage);

struct sh_llm_stream {
    struct sh_llm_answer answer;
    struct sh_buf plain; /* the whole body when it is one JSON object, else its first bytes */
    enum { SH_STREAM_START, SH_STREAM_EVENTS, SH_STREAM_PLAIN } mode;
    struct sh_buf line, data;
    bool skip_lf, has_data;
    bool done; /* [DONE] came, or a finish reason */
    uint64_t bytes;
    struct sh_err err; /* the first thing that was wrong; code 0: nothing */
    bool retryable;    /* of err */
    char *said;        /* the server's own words about it, or NULL; may echo secrets */
    void (*on_delta)(void *arg, struct sh_str text); /* or NULL */
    void *arg;
    /* Reads one event's JSON in another protocol; NULL: chat completions */
    void (*chunk)(struct sh_llm_stream *s, const json_t *chunk);
};
void sh_llm_stream_init(struct sh_llm_stream *s, void (*on_delta)(void *arg, struct sh_str text),
                        void *arg);
void sh_llm_stream_done(struct sh_llm_stream *s);
void sh_llm_stream_feed(struct sh_llm_stream *s, struct sh_str bytes);
/* No more bytes come: the last event counts even without the blank line. */
void sh_llm_stream_finish(struct sh_llm_stream *s);

#endif
