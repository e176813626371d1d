/* durable-shannon, the library: workflows of sandboxed agents inside a program of yours.
 *
 *     struct durable *d;
 *     struct durable_error e;
 *     char *id, *task;
 *     if (durable_open(&(struct durable_options){.data_dir = "/var/lib/mine"}, &d, &e) < 0 ||
 *         durable_module(d, "agent", bytes, n, NULL, NULL, &e) < 0 ||
 *         durable_submit(d, "{\"agent\":\"agent\",\"query\":\"hello\"}", &id, &e) < 0 ||
 *         durable_wait(d, id, 60000, &task, &e) < 0) {
 *         ... e.code, e.message
 *     }
 *
 * Texts that go in and come out are JSON in UTF-8; the members of tasks and events are those of the
 * engine (docs/library.md). Texts that come out are yours: durable_free. Every function returns 0,
 * or -1 and fills *error (which may be NULL). Any thread may call any function at any time, but
 * not from within a callback, where they fail as "invalid_state". A call returns when what it asked
 * for is durable. One process owns a data directory. */
#ifndef DURABLE_SHANNON_H
#define DURABLE_SHANNON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define DURABLE_API __attribute__((visibility("default")))
#else
#define DURABLE_API
#endif

struct durable;        /* a running engine with a thread of its own */
struct durable_follow; /* somebody who is told of events */

struct durable_error {
    char code[32]; /* stable, e.g. "not_found": docs/errors.md */
    char message[480];
    bool retryable;
};

/* All-zero members are the defaults. Texts are copied. */
struct durable_options {
    const char *data_dir; /* made when missing, mode 0700 */
    bool ephemeral;       /* nothing is kept: data_dir holds only modules and work */
    const char *compiler; /* path of the program `shannon`, whose child compiles modules; NULL: the
                             installed one, else the first in PATH */
    const char *python;   /* path of the interpreter's module, or NULL: no scripts. What they import
                             as shannon is python/shannon.pyc beside it, or shannon.py */
    const char *policy;   /* JSON of a policy, or NULL: the default one */
    bool attended;        /* durable_approvals is looked at: "ask" waits for durable_decide */
    unsigned executors;   /* 0: one per core */
    const char *llm_base_url, *llm_model, *llm_provider, *llm_api_key_env;
    /* The disk failed or is full: nothing more is told. Close, mend, open again. Its own thread. */
    void (*on_fatal)(void *arg, const struct durable_error *error);
    void *arg;
};

/* Open, and take up every unfinished task. */
DURABLE_API int durable_open(const struct durable_options *options, struct durable **ret,
                             struct durable_error *error);
/* Stop where everything stands: the next open goes on. Waits and follows end. NULL is fine. No call
 * may begin any more in another thread. */
DURABLE_API void durable_close(struct durable *d);
DURABLE_API void durable_free(char *text);
DURABLE_API const char *durable_version(void);

/* Register a module (WebAssembly, binary or text, or a Python script) under a name. manifest: JSON,
 * or NULL. gives  {hash, name, bytes, kind, created_at}, unless ret is NULL */
DURABLE_API int durable_module(struct durable *d, const char *name, const void *bytes, size_t n,
                               const char *manifest, char **ret, struct durable_error *error);
/* {agent, query | input, session?, capabilities?, metadata?, args?, idempotency_key?} -> its id.
 * The input is any JSON of at most 64 MiB. */
DURABLE_API int durable_submit(struct durable *d, const char *task, char **ret_id,
                               struct durable_error *error);
DURABLE_API int durable_get(struct durable *d, const char *id, char **ret,
                            struct durable_error *error);
/* Until the task has ended. fails  "timeout" after timeout_ms (0: no limit), "unavailable" when the
 * library is closed */
DURABLE_API int durable_wait(struct durable *d, const char *id, uint64_t timeout_ms, char **ret,
                             struct durable_error *error);
/* {events: [{seq, time_us, type, body, hash}], more} with after < seq */
DURABLE_API int durable_events(struct durable *d, const char *id, uint64_t after, size_t limit,
                               char **ret, struct durable_error *error);
/* Each durable event with after < seq once and in order, as JSON {seq, time_us, type, body}, from
 * the library's own thread; copy it and return soon. */
typedef void (*durable_event_fn)(void *arg, const char *event);
DURABLE_API int durable_follow(struct durable *d, const char *id, uint64_t after,
                               durable_event_fn fn, void *arg, struct durable_follow **ret,
                               struct durable_error *error);
/* fn is not called any more when this returns. */
DURABLE_API void durable_unfollow(struct durable *d, struct durable_follow *f);

DURABLE_API int durable_signal(struct durable *d, const char *id, const char *name,
                               const char *payload, struct durable_error *error);
/* A signal that is answered; update: your id for it, or NULL. gives  {update, name, status,
 * result?, error?}; status "accepted" when there is no answer after wait_ms */
DURABLE_API int durable_update(struct durable *d, const char *id, const char *name,
                               const char *update, const char *payload, uint64_t wait_ms,
                               char **ret, struct durable_error *error);
/* What the task published last: {name, data, seq, at_us}. */
DURABLE_API int durable_query(struct durable *d, const char *id, const char *name, char **ret,
                              struct durable_error *error);
DURABLE_API int durable_cancel(struct durable *d, const char *id, const char *reason,
                               struct durable_error *error);
DURABLE_API int durable_pause(struct durable *d, const char *id, const char *reason,
                              struct durable_error *error);
DURABLE_API int durable_resume(struct durable *d, const char *id, const char *reason,
                               struct durable_error *error);
/* Questions that wait for a person: an array. */
DURABLE_API int durable_approvals(struct durable *d, char **ret, struct durable_error *error);
/* scope: "once", "run" or "always"; NULL: once */
DURABLE_API int durable_decide(struct durable *d, const char *id, const char *approval, bool allow,
                               const char *scope, const char *reason, struct durable_error *error);
/* Replay from the journal and compare: {ok, chain, replay, digest, ...}. */
DURABLE_API int durable_verify(struct durable *d, const char *id, char **ret,
                               struct durable_error *error);
/* What a session keeps: {items: [{key, value}], total}. */
DURABLE_API int durable_memory(struct durable *d, const char *session, const char *prefix,
                               size_t offset, size_t limit, char **ret,
                               struct durable_error *error);

#ifdef __cplusplus
}
#endif
#endif
