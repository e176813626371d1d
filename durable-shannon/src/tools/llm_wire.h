/* What differs between LLM servers: one table a protocol. Everything else (keys, timeouts, streams
 * of events, failures) is the same for all and stands in llm.c. */
#ifndef SH_TOOLS_LLM_WIRE_H
#define SH_TOOLS_LLM_WIRE_H

#include "tools/llm_openai.h"

/* The tool by which a protocol without JSON answers is asked for one; its arguments are the answer.
 */
#define SH_LLM_JSON_TOOL "json_answer"

struct sh_llm_wire {
    const char *path; /* after the base URL */
    const char *key_header, *key_prefix;
    const char *extra_header; /* or NULL */
    /* fails  SH_E_INVAL: something in the arguments that the protocol has no place for */
    int (*request)(const struct sh_llm_config *c, const json_t *args, bool stream,
                   struct sh_buf *out, struct sh_err *err);
    int (*read)(struct sh_str body, struct sh_llm_answer *a, struct sh_err *err);
    void (*chunk)(struct sh_llm_stream *s, const json_t *chunk); /* NULL: chat completions */
};
extern const struct sh_llm_wire sh_wire_openai, sh_wire_anthropic;

/* For protocols whose parts are read by index: fails the stream once. */
void sh_llm_stream_fail(struct sh_llm_stream *s, bool retryable, int code, const char *what);

#endif
