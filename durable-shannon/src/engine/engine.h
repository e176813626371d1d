/* engine: workflows. A task that a person submits becomes a workflow: an agent in its sandbox, and
 * a journal that is written before anyone acts on it or is told. Everything here runs on the loop.
 *
 * A workflow's row in SH_TABLE_WORKFLOW (JSON, the projection that lists are made from; times are
 * microseconds since 1970; absent members are unknown):
 *   {id, status, agent, module, query, input, session, mode, context, created_at, updated_at,
 *    completed_at, seq, head (hex hash of the last event), result (text), output (JSON when the
 * agent gave one), error{code,message}, exit_status, usage{input_tokens,output_tokens,total_tokens,
 *    cost_usd,fuel}, model, provider, pause{by,reason,at}, cancel{by,reason,at}, metadata, v}
 * status: "queued" "running" "paused" "completed" "failed" "canceled" "timeout" "rejected" */
#ifndef SH_ENGINE_H
#define SH_ENGINE_H

#include "microsandbox/microsandbox.h"
#include "store/store.h"
#include "tools/tools.h"

struct sh_engine;

/* Texts are copied by sh_engine_start. */
struct sh_engine_config {
    struct sh_loop *loop;
    struct sh_store *store; /* open */
    struct sh_sandbox *sandbox;
    struct sh_tools *tools;
    const struct sh_policy *policy; /* outlives the engine */
    const char *data_dir;           /* modules/ and work/ live under it */
    unsigned executors;             /* 0: one per core */
    bool observe;                   /* false: --ephemeral, mapped directories are not recorded */
    const char *default_agent;      /* name of a registered module */
    const char *python;             /* path of the CPython module, or NULL: scripts are refused */
    bool passive;  /* unfinished workflows stay where they are (commands that only look, `shannon
                      run`); what is submitted or asked for now is carried out all the same */
    bool attended; /* somebody can be asked: the verdict "ask" waits for sh_engine_decide. Else it
                      is a denial */
    uint64_t approval_timeout_ms; /* a question without an answer is denied after this; 0: 10 min */
    /* The store's outcome is unknown or the disk is full: nothing more is told; leave with 125. */
    void (*fatal)(void *arg, const struct sh_err *err);
    void *fatal_arg;
};
/* gives  the engine; cb when every unfinished workflow has been taken up again */
int sh_engine_start(const struct sh_engine_config *config, sh_store_done_fn cb, void *arg,
                    struct sh_engine **ret, struct sh_err *err);
/* Nothing new starts; workflows stop where they stand (stopping is safe); appends under way finish.
 * needs  every subscription given back: one that is left keeps the engine waiting
 * cb when no thread or callback of the engine is left; the memory is gone after it. */
void sh_engine_stop(struct sh_engine *e, void (*cb)(void *arg), void *arg);

/* Modules: WebAssembly (binary or text) or a Python script, kept under data_dir/modules by hash. */
typedef void (*sh_engine_json_fn)(void *arg, json_t *value /* borrowed */,
                                  const struct sh_err *err);
/* Checks and compiles first. gives {hash, name?, bytes, kind: "wasm"|"python", created_at}.
 * manifest: capabilities that the agent asks for (JSON form), or NULL. With neither name nor
 * manifest a module that is registered keeps its record. */
void sh_engine_module_add(struct sh_engine *e, struct sh_str bytes, const char *name,
                          const json_t *manifest, sh_engine_json_fn cb, void *arg);
void sh_engine_module_list(struct sh_engine *e, sh_engine_json_fn cb, void *arg); /* array */
void sh_engine_module_remove(struct sh_engine *e, struct sh_str name_or_hash, sh_engine_json_fn cb,
                             void *arg);

/* What a person submits. Views are copied. */
struct sh_submit {
    struct sh_str agent; /* name or module hash; empty: the default agent */
    struct sh_str query; /* <= SH_QUERY_CHARS_MAX characters; empty only when input is given */
    const json_t *input; /* or NULL: {"query": ...} is made of query */
    struct sh_str session;
    const json_t *capabilities; /* request, JSON form, or NULL */
    const json_t *metadata;     /* kept with the workflow: mode, context, model ... ; or NULL */
    const char *const *args;    /* after argv[0]; NULL-terminated or NULL */
    const char *script_name;    /* file name that a Python script runs under, or NULL: main.py */
    const char *argv0;          /* or NULL: the agent's name */
    struct sh_str stdin_bytes;
    bool stdin_live; /* sh_engine_stdin gives it */
    bool tty[3];
    const struct sh_policy *policy;    /* or NULL: the engine's. `shannon run` gives its flags here;
                                          must live as long as the engine */
    struct sh_str idempotency_key;     /* of the client, or empty */
    struct sh_hash idempotency_digest; /* of the request body */
};
/* cb once the WorkflowStarted (or the rejection, journaled too) is durable: the workflow's row.
 * With a known idempotency key: the first row, *cached true. Fails SH_E_NOT_FOUND (agent),
 * SH_E_INVAL, SH_E_EXISTS (same key, other body), SH_E_DENIED never: a rejection is a row with that
 * status. */
typedef void (*sh_engine_submit_fn)(void *arg, json_t *row, bool cached, const struct sh_err *err);
void sh_engine_submit(struct sh_engine *e, const struct sh_submit *s, sh_engine_submit_fn cb,
                      void *arg);

void sh_engine_get(struct sh_engine *e, struct sh_str id, sh_engine_json_fn cb, void *arg);
/* status and session may be NULL. gives {tasks:[row...], total} newest first */
void sh_engine_list(struct sh_engine *e, const char *status, const char *session, size_t offset,
                    size_t limit, sh_engine_json_fn cb, void *arg);
/* Sessions: {session, workflow (the latest), updated_at, title?}; the tasks of one are
 * sh_engine_list's. A list gives {sessions:[...], total}, last used first. */
void sh_engine_session_list(struct sh_engine *e, size_t offset, size_t limit, sh_engine_json_fn cb,
                            void *arg);
void sh_engine_session_get(struct sh_engine *e, struct sh_str id, sh_engine_json_fn cb, void *arg);
/* title: valid UTF-8 */
void sh_engine_session_title(struct sh_engine *e, struct sh_str id, const char *title,
                             sh_engine_json_fn cb, void *arg);
/* Out of the list, with its title. Its tasks stay, and the next one of them brings it back. */
void sh_engine_session_forget(struct sh_engine *e, struct sh_str id, sh_engine_json_fn cb,
                              void *arg);
/* Events with after < seq: {events:[{seq, time_us, type, body, hash}], more: bool}. body parsed. */
void sh_engine_events(struct sh_engine *e, struct sh_str id, uint64_t after, size_t limit,
                      sh_engine_json_fn cb, void *arg);

/* by, reason: for people. cb with the row when durable. SH_E_STATE when it has ended. */
void sh_engine_cancel(struct sh_engine *e, struct sh_str id, const char *by, const char *reason,
                      sh_engine_json_fn cb, void *arg);
void sh_engine_pause(struct sh_engine *e, struct sh_str id, const char *by, const char *reason,
                     sh_engine_json_fn cb, void *arg);
void sh_engine_resume(struct sh_engine *e, struct sh_str id, const char *by, const char *reason,
                      sh_engine_json_fn cb, void *arg);
/* A message for the workflow's waits of that name (op signal). payload: any JSON, or NULL. */
void sh_engine_signal(struct sh_engine *e, struct sh_str id, struct sh_str name,
                      const json_t *payload, sh_engine_json_fn cb, void *arg);
/* A chunk of standard input; eof after it. Accepted only where stdin_live was set. */
int sh_engine_stdin(struct sh_engine *e, struct sh_str id, struct sh_str bytes, bool eof,
                    struct sh_err *err);

/* Questions that wait for a person: [{approval_id, workflow_id, agent, asks: [{capability, rule}],
 * tool?, op?, args?, at_us, expires_us}]. */
void sh_engine_approvals(struct sh_engine *e, sh_engine_json_fn cb, void *arg);
/* scope: "once" (this call), "run" (this tool in this workflow) or "always" (a grant to the
 * module's hash). by, reason: for people. cb with the row when durable. SH_E_STATE: not pending. */
void sh_engine_decide(struct sh_engine *e, struct sh_str workflow, struct sh_str approval,
                      bool allow, const char *scope, const char *by, const char *reason,
                      sh_engine_json_fn cb, void *arg);

/* Replay from the journal alone and compare: gives {id, ok, events, chain: "ok"|..., replay:
 * "ok"|"partial"|"skipped", fuel, digest (run digest, SEMANTICS 26), mismatch?: {seq, expected,
 * actual}}. A mismatch is a result, not an error. */
void sh_engine_verify(struct sh_engine *e, struct sh_str id, sh_engine_json_fn cb, void *arg);

/* Live events, after they are durable, and streamed text before (provisional). */
struct sh_live_event {
    const struct sh_event_record *event; /* durable; NULL for a delta */
    json_t *body;                        /* of the event, parsed; borrowed */
    struct sh_str delta;                 /* provisional text of an llm answer under way */
    uint64_t ordinal, attempt, offset;   /* of a delta: the activity, its try, bytes before */
    uint64_t durable_seq;                /* last durable seq of this workflow */
};
struct sh_subscription; /* embedded in a list of the workflow; owned by the caller after subscribe
                         */
typedef void (*sh_engine_live_fn)(void *arg, const struct sh_live_event *ev);
/* Every durable event with seq > after is delivered once and in order, those already durable first
 * (read from the store, in later turns). A workflow that has ended delivers its tail, then stays
 * silent: its last event is WorkflowCompleted, WorkflowFailed or WorkflowCancelled.
 * SH_E_NOT_FOUND is reported by `missing`, later. */
int sh_engine_subscribe(struct sh_engine *e, struct sh_str id, uint64_t after, sh_engine_live_fn fn,
                        void (*missing)(void *arg), void *arg, struct sh_subscription **ret,
                        struct sh_err *err);
void sh_engine_unsubscribe(struct sh_subscription *s); /* fn is not called again */

/* Is this event type the last of its journal? */
bool sh_event_is_final(struct sh_str type);

/* For metrics: {running, waiting, workflows, activities_in_flight, ...} new reference */
json_t *sh_engine_stats(struct sh_engine *e);

#endif
