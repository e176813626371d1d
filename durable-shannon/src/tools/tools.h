/* tools: what agents may call outside themselves. One table of operations, each with a JSON schema.
 * kv, sleep and other operations of the engine itself are listed here for their schema, and carried
 * out there. Everything runs on the loop. */
#ifndef SH_TOOLS_H
#define SH_TOOLS_H

#include "loop/loop.h"
#include "policy/policy.h"

enum sh_tool_kind {
    SH_TOOL_PURE,   /* answered at once from its arguments: sh_tools_compute (calculator) */
    SH_TOOL_ENGINE, /* the engine answers it: sleep, kv.get, kv.put, kv.delete, kv.list */
    SH_TOOL_REMOTE, /* sh_tools_call: llm */
};
struct sh_tool {
    const char *name;       /* the op, e.g. "kv.get" */
    const char *capability; /* the tool name that capabilities speak of, e.g. "kv"; NULL: always
                               allowed (sleep) */
    const char *category, *description;
    const char *args_schema, *result_schema; /* JSON Schema texts */
    enum sh_tool_kind kind;
    bool retryable; /* may be tried again after a failure that says so */
};
const struct sh_tool *sh_tool_find(struct sh_str op); /* NULL when there is none */
const struct sh_tool *const *sh_tools_list(void);     /* NULL-terminated, sorted by name */
/* Members that every op's arguments may have beside its own, as a JSON Schema text: retry,
 * timeout_ms, at_most_once. They are the engine's to obey; tools leave them out. */
extern const char *const sh_tool_common_schema;
/* Check arguments against the tool's schema (the common members too): unknown or missing members,
 * types, ranges.
 * fails  SH_E_INVAL naming the member, what was expected and what came */
int sh_tool_check(const struct sh_tool *t, const json_t *args, struct sh_err *err);

/* From the [llm] section of the configuration. Strings are copied. The key is read from the
 * environment variable or file at call time and never logged. */
struct sh_tools_config {
    const char *llm_base_url, *llm_model, *llm_provider; /* provider: "openai" */
    const char *llm_api_key_env, *llm_api_key_file;      /* or NULL */
    uint64_t llm_timeout_ms;                             /* 0: 300000 */
    const json_t *llm_prices; /* {"model": {"input": usd per 1M tokens, "output": ...}} or NULL */
};
struct sh_tools;
int sh_tools_new(struct sh_loop *l, const struct sh_tools_config *config, struct sh_tools **ret,
                 struct sh_err *err);
struct sh_tools *sh_tools_free(struct sh_tools *t); /* no call may be under way */

/* Pure operations. gives *ret_result, a new reference; fails with the tool's own error. */
int sh_tools_compute(const struct sh_tool *tool, const json_t *args, json_t **ret_result,
                     struct sh_err *err);

/* The outcome of one attempt. */
struct sh_tool_outcome {
    json_t *result; /* borrowed for the call; NULL when err is set */
    const struct sh_err *err;
    bool retryable;
    uint64_t retry_after_ms; /* 0: not said */
};
struct sh_tool_call {
    const struct sh_tool *tool;
    const json_t *args;                              /* borrowed for the call of sh_tools_call */
    const char *idempotency_key;                     /* sent as Idempotency-Key */
    uint64_t timeout_ms;                             /* 0: the tool's default */
    const char *traceparent;                         /* or NULL */
    void (*on_delta)(void *arg, struct sh_str text); /* streamed text, provisional; or NULL */
    void (*done)(void *arg, const struct sh_tool_outcome *outcome); /* once, on the loop, later */
    void *arg;
};
struct sh_tool_run;
/* One attempt of a remote operation; retrying is the engine's, which journals each attempt. */
int sh_tools_call(struct sh_tools *t, const struct sh_tool_call *call, struct sh_tool_run **ret,
                  struct sh_err *err);
void sh_tool_cancel(struct sh_tool_run *run); /* done is not called */

#endif
