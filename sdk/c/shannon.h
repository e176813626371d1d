/* What a C agent is written against. The comfortable layer comes first: one context, and functions
 * that give text or NULL. The raw host functions are at the end; docs/guest-abi.md describes them.
 *
 *     int main(void) {
 *         struct shannon_ctx *ctx = shannon_open();
 *         char *answer = shannon_llm(ctx, "Answer in one sentence: %s", shannon_query(ctx));
 *         if (!answer) {
 *             return shannon_fail(ctx);
 *         }
 *         puts(answer);
 *         return 0;
 *     }
 *
 * Texts that a function gives belong to the caller: free() them. Arguments are borrowed. */
#ifndef SHANNON_H
#define SHANNON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shannon_json.h"

struct shannon_ctx;

/* The task's input is read here. Never NULL: memory that is gone ends the agent. */
struct shannon_ctx *shannon_open(void);
void shannon_close(struct shannon_ctx *ctx); /* main may simply return instead */

/* The input as JSON, and its member "query" as text ("" when there is none). Borrowed. */
const char *shannon_input(const struct shannon_ctx *ctx);
const char *shannon_query(const struct shannon_ctx *ctx);

/* Why the last call that failed did: message and code, e.g. "permission_denied"; NULL when the last
 * call succeeded. Borrowed until the next call. */
const char *shannon_error(const struct shannon_ctx *ctx);
const char *shannon_error_code(const struct shannon_ctx *ctx);
bool shannon_error_retryable(const struct shannon_ctx *ctx);
/* Print the last error on stderr and give the exit status of a failed agent: `return
 * shannon_fail(ctx);` */
int shannon_fail(const struct shannon_ctx *ctx);

/* Settings of the llm calls that follow. NULL, 0 and a negative temperature: the host's default. */
void shannon_llm_model(struct shannon_ctx *ctx, const char *model);
void shannon_llm_system(struct shannon_ctx *ctx, const char *text);
void shannon_llm_max_tokens(struct shannon_ctx *ctx, int n);
void shannon_llm_temperature(struct shannon_ctx *ctx, double t);

/* Ask the language model. gives  its answer's text, or NULL: see shannon_error */
char *shannon_llm(struct shannon_ctx *ctx, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* The same with the messages of an OpenAI request, a JSON array; gives the whole result as JSON:
 * {"content", "tool_calls"?, "finish_reason", "model", "provider", "usage"} */
char *shannon_llm_messages(struct shannon_ctx *ctx, const char *messages_json);

/* The sum of what the llm calls of this context used. Model and provider are those of the last. */
struct shannon_usage {
    long long input_tokens, output_tokens, total_tokens;
    int calls;
    const char *model, *provider; /* "" before the first call */
};
struct shannon_usage shannon_usage(const struct shannon_ctx *ctx);

/* Do one thing and wait for it: op "calculator", args {"expression":"1+1"}. args NULL is {}.
 * gives  what it answered, as JSON, or NULL: see shannon_error */
char *shannon_tool(struct shannon_ctx *ctx, const char *op, const char *args_json);

/* Several things at once: start each, wait for whichever is first, take its answer.
 * start gives a handle > 0, wait_any one of the handles, or -1: see shannon_error. Handles that are
 * 0 or less are skipped by wait_any, so a list can be crossed off. take drops the handle. */
int32_t shannon_start(struct shannon_ctx *ctx, const char *op, const char *args_json);
int32_t shannon_wait_any(struct shannon_ctx *ctx, const int32_t *handles, size_t n);
char *shannon_take(struct shannon_ctx *ctx, int32_t handle);
void shannon_drop(int32_t handle); /* forget it; what was asked for may happen all the same */
/* The same with a limit, 0 for none: a durable timer that starts now.
 * any: a handle, 0 when the time is over first, or -1. all: 0 when each has completed, 1 when the
 * time is over first, or -1; what has completed can be taken. The handles stay open. */
int32_t shannon_wait_any_ms(struct shannon_ctx *ctx, const int32_t *handles, size_t n,
                            uint64_t timeout_ms);
int shannon_wait_all(struct shannon_ctx *ctx, const int32_t *handles, size_t n,
                     uint64_t timeout_ms);
/* The arguments of an llm call under this context's settings, for shannon_start. */
char *shannon_llm_args(struct shannon_ctx *ctx, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* 0, or -1: see shannon_error. */
int shannon_sleep_ms(struct shannon_ctx *ctx, uint64_t ms); /* durable: survives a restart */
int shannon_kv_put(struct shannon_ctx *ctx, const char *key, const char *value_json);
/* gives  the value as JSON; NULL without an error when there is none under this key */
char *shannon_kv_get(struct shannon_ctx *ctx, const char *key);

/* Ask a person, and wait as long as it takes (timeout_ms 0: the host's default). gives 1 for yes, 0
 * for no (also when nobody answers in time), -1: see shannon_error */
int shannon_approval(struct shannon_ctx *ctx, const char *message, const char *data_json,
                     uint64_t timeout_ms);
int shannon_kv_delete(struct shannon_ctx *ctx, const char *key);
/* Keys with that beginning (NULL: all) in order, as a JSON array of {"key", "value"}; at most 100
 */
char *shannon_kv_list(struct shannon_ctx *ctx, const char *prefix);
/* Put a value if the key still has the expected one; expect NULL: if it is not there. 1: it was
 * put, 0: it was not, -1: see shannon_error */
int shannon_kv_cas(struct shannon_ctx *ctx, const char *key, const char *expect_json,
                   const char *value_json);
/* 0 and the sum, or -1. Atomic among the tasks of the session. */
int shannon_kv_increment(struct shannon_ctx *ctx, const char *key, long long by,
                         long long *ret_sum);

/* Wait for the next message of that name. gives  its payload as JSON, or NULL. *ret_update (may be
 * NULL) is the id to answer it by when it is an update, else NULL: free() it. */
char *shannon_signal(struct shannon_ctx *ctx, const char *name, char **ret_update);
/* Answer an update, once: with a result, or with an error. 0 or -1. */
int shannon_reply(struct shannon_ctx *ctx, const char *update, const char *result_json);
int shannon_reply_error(struct shannon_ctx *ctx, const char *update, const char *message);

/* Other agents and the web; NULL: see shannon_error. The host has to allow each: docs/tools.md.
 * http: the body as text (base64 where it is none), any status is an answer; method NULL is GET.
 * web_search: a JSON array of {title, url, snippet}; count 0: the host's default. web_fetch: a
 * page's text. workflow: a child task with that input (NULL: none), waited for: {"status",
 * "result", "output"?, "exit_status", "usage"}. python: a script of yours in a sandbox of its own:
 * {"stdout", "stderr", "exit_status", "result"?, "usage"}. All options of each: shannon_tool. */
char *shannon_http(struct shannon_ctx *ctx, const char *method, const char *url,
                   const char *body_json, int *ret_status);
char *shannon_web_search(struct shannon_ctx *ctx, const char *query, int count);
char *shannon_web_fetch(struct shannon_ctx *ctx, const char *url);
char *shannon_workflow(struct shannon_ctx *ctx, const char *agent, const char *input_json);
char *shannon_python(struct shannon_ctx *ctx, const char *code, const char *input_json);

/* Register what undoes the work so far: the host carries it out, the last one first, when the task
 * fails or is canceled. Register before doing what it undoes. 0 or -1. */
int shannon_compensate(struct shannon_ctx *ctx, const char *op, const char *args_json);

/* Events that people watch. data_json NULL is null. */
int shannon_emit(struct shannon_ctx *ctx, const char *type, const char *data_json);
/* emit(type, {"message": text}) */
int shannon_progress(struct shannon_ctx *ctx, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
int shannon_log(struct shannon_ctx *ctx, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* What queries from outside read while the agent runs. */
int shannon_publish(struct shannon_ctx *ctx, const char *name, const char *data_json);
/* The task's result, at most once. An agent that never calls it answers with its stdout. */
int shannon_output(struct shannon_ctx *ctx, const char *json);

/* Start anew from this state, now and after a crash alike: does not return unless it fails (-1;
 * open handles forbid it). The new start finds the state here: NULL at the very first start. */
int shannon_checkpoint(struct shannon_ctx *ctx, const void *state, size_t n);
/* The same without a state, and with another input: what is to be done next. */
int shannon_continue_as_new(struct shannon_ctx *ctx, const char *input_json);
void *shannon_state(struct shannon_ctx *ctx, size_t *ret_n);

/* printf into memory that is the caller's. Never NULL. */
char *shannon_format(const char *format, ...) __attribute__((format(printf, 1, 2)));

#ifdef __wasm__
/* The host functions as they are. Negative results are WASI errno numbers, negated. */
#define SHANNON_IMPORT(name) __attribute__((import_module("shannon"), import_name(#name)))
int32_t shannon_raw_activity_start(const char *op, uint32_t op_len, const char *json,
                                   uint32_t json_len) SHANNON_IMPORT(activity_start);
int32_t shannon_raw_activity_wait(const int32_t *handles, uint32_t n) SHANNON_IMPORT(activity_wait);
int32_t shannon_raw_activity_size(int32_t handle) SHANNON_IMPORT(activity_size);
int32_t shannon_raw_activity_read(int32_t handle, void *buf, uint32_t cap)
    SHANNON_IMPORT(activity_read);
int32_t shannon_raw_activity_drop(int32_t handle) SHANNON_IMPORT(activity_drop);
int32_t shannon_raw_input_size(void) SHANNON_IMPORT(input_size);
int32_t shannon_raw_input_read(void *buf, uint32_t cap) SHANNON_IMPORT(input_read);
int32_t shannon_raw_output(const char *json, uint32_t len) SHANNON_IMPORT(output);
int32_t shannon_raw_emit(const char *type, uint32_t type_len, const char *json, uint32_t json_len)
    SHANNON_IMPORT(emit);
int32_t shannon_raw_publish(const char *name, uint32_t name_len, const char *json,
                            uint32_t json_len) SHANNON_IMPORT(publish);
int32_t shannon_raw_checkpoint(const void *buf, uint32_t len) SHANNON_IMPORT(checkpoint);
int32_t shannon_raw_continue_as_new(const char *json, uint32_t len) SHANNON_IMPORT(continue_as_new);
int32_t shannon_raw_checkpoint_size(void) SHANNON_IMPORT(checkpoint_size);
int32_t shannon_raw_checkpoint_read(void *buf, uint32_t cap) SHANNON_IMPORT(checkpoint_read);
#endif

#endif
