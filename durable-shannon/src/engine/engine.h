/* engine: workflows. A task that a person submits becomes a workflow: an agent in its sandbox, and
 * a journal that is written before anyone acts on it or is told. Everything here runs on the loop.
 *
 * A workflow's row in SH_TABLE_WORKFLOW (JSON, the projection that lists are made from; times are
 * microseconds since 1970; absent members are unknown):
 *   {id, status, agent, module, query, input, session, mode, context, created_at, updated_at,
 *    completed_at, seq, head (hex hash of the last event), result (text), output (JSON when the
 * agent gave one), error{code,message}, exit_status, usage{input_tokens,output_tokens,total_tokens,
 *    cost_usd,fuel}, model, provider, pause{by,reason,at}, cancel{by,reason,at}, metadata,
 *    signed{seq,hash,key,signature} (sign.h), v,
 * imported (when it came from a file)
 * operator (what was given to it alone: operator.h),
 * owner, epoch (of the engine that wrote it last: store.h)
 * parent, root (ids), depth, detached: of a child workflow; children (how many it started),
 *    deadline_at, budget{what,limit,used,of} of one that rests, spent{tokens,cost_usd,fuel,wall_us,
 *    output,activities} with all below it}
 * status: "imported" (unfinished, from a file: it stands still) "queued" "running" "paused"
 * "completed" "failed" "canceled" "timeout" "rejected" */
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
    const char *python_module;      /* path of what scripts import: shannon.py or .pyc, or NULL */
    const char *python_image;       /* path of the same after its start (image.c), or NULL */
    bool passive;  /* unfinished workflows stay where they are (commands that only look, `shannon
                      run`); what is submitted or asked for now is carried out all the same */
    bool attended; /* somebody can be asked: the verdict "ask" waits for sh_engine_decide. Else it
                      is a denial */
    /* How many workflows may run at once: in all, of one session, of one agent ({name: n}, copied);
     * more are kept as "queued". 0 or NULL: no limit. What sleeps does not count. */
    size_t max_running, session_max_running;
    const json_t *agent_max_running;
    uint64_t passivate_after_ms;  /* a workflow that has only waited for so long leaves memory until
                                     what it waits for comes; 0: a minute. Not where passive */
    uint64_t approval_timeout_ms; /* a question without an answer is denied after this; 0: 10 min */
    /* Tasks that ended longer ago than this are forgotten; 0: never. Failed, canceled and rejected
     * ones by the second, unless that is 0. */
    uint64_t keep_ms, keep_failed_ms;
    uint64_t compact_after;  /* a checkpoint with so many events before it is compacted; 0: none */
    uint64_t compact_bytes;  /* ... or with so many bytes since the last compaction; 0: none */
    uint64_t compact_slice;  /* events that one commit of a compaction takes away; 0: 512 */
    uint64_t first_sweep_ns; /* after the start; 0: 10 s */
    uint64_t blob_grace_ms;  /* a file beside the journals that nobody names any more goes when it
                                is so old; 0: a minute */
    bool budget_asks; /* a task over its budget rests until it is raised, where somebody can be
                         asked; else it fails */
    bool watch_disk;  /* rest while the disk of data_dir is nearly full; where not passive, keep
                         ballast on it (base/disk.h) */
    uint64_t cancel_grace_ms; /* what a canceled agent has to clean up; 0: 2 s */
    /* The store's outcome is unknown or the disk is full: nothing more is told; leave with 125. */
    void (*fatal)(void *arg, const struct sh_err *err);
    void *fatal_arg;
};
/* Notice which workflow a fatal signal of this process falls under, so that one that crashes it
 * again and again is not taken up for ever. sh_engine_start does it, too; to be called before the
 * sandbox is made, which handles some of these signals itself and passes on the others. Once is
 * enough. */
void sh_engine_catch_crashes(void);
/* gives  the engine; cb when it can be used: unfinished workflows are known and are being taken up
 */
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
    const char *unnamed; /* what a module that has no name is called, or NULL: by its hash */
    struct sh_str query; /* <= SH_QUERY_CHARS_MAX characters; empty only when input is given */
    const json_t *input; /* or NULL: {"query": ...} is made of query */
    struct sh_buf *input_text; /* or NULL: the input as JSON text of more than SH_INPUT_MAX bytes,
                                  in the place of `input`. Taken: it is empty then */
    struct sh_str session;
    const json_t *capabilities; /* request, JSON form, or NULL */
    const json_t *metadata;     /* kept with the workflow: mode, context, model ... ; or NULL */
    const char *const *args;    /* after argv[0]; NULL-terminated or NULL */
    const char *script_name;    /* file name that a Python script runs under, or NULL: main.py */
    const char *argv0;          /* or NULL: the agent's name */
    struct sh_str stdin_bytes;
    bool stdin_live; /* sh_engine_stdin gives it */
    bool tty[3];
    const json_t
        *operator_doc;   /* what the person at the keyboard gives this task alone, in the form
                            of operator.h, or NULL. Never taken from who only has a key */
    int64_t deadline_us; /* wall time at which it times out at the latest; 0: limits.deadline */
    bool has_priority;   /* else SH_PRIORITY_DEFAULT */
    unsigned priority;   /* 0 to SH_PRIORITY_MAX, the most urgent: who of the queued is next */
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

/* The file of a payload that a row refers to: {"blob", "bytes"}. gives  *ret_fd, yours, at 0
 * fails  SH_E_NOT_FOUND, SH_E_IO, SH_E_CORRUPT: it is no reference, or has another length */
int sh_engine_payload_open(const struct sh_engine *e, const json_t *ref, int *ret_fd,
                           uint64_t *ret_bytes, struct sh_err *err);
void sh_engine_get(struct sh_engine *e, struct sh_str id, sh_engine_json_fn cb, void *arg);
/* status and session may be NULL. gives {tasks:[row...], total} newest first */
void sh_engine_list(struct sh_engine *e, const char *status, const char *session, size_t offset,
                    size_t limit, sh_engine_json_fn cb, void *arg);
/* The same for a family: member "parent" gives the children of id, "root" all below it; and
 * "schedule" the tasks of a schedule. */
void sh_engine_list_family(struct sh_engine *e, const char *member, struct sh_str id, size_t offset,
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
/* What a session keeps (ops kv.*), in key order: {items: [{key, value}], total}. prefix: may be
 * empty. A session that keeps nothing gives an empty list. */
void sh_engine_kv_list(struct sh_engine *e, struct sh_str session, struct sh_str prefix,
                       size_t offset, size_t limit, sh_engine_json_fn cb, void *arg);
/* {key, value}; SH_E_NOT_FOUND */
void sh_engine_kv_get(struct sh_engine *e, struct sh_str session, struct sh_str key,
                      sh_engine_json_fn cb, void *arg);
/* SH_E_GONE: the journal was compacted and `after` is not 0 and before what is left. */
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
/* More of its limits, and of those above it that bind it: {tokens, cost_usd, fuel, wall_clock_ms,
 * output, activities}, each how much more. A task that rests because of its budget goes on. */
void sh_engine_raise(struct sh_engine *e, struct sh_str id, const json_t *more, const char *by,
                     const char *reason, sh_engine_json_fn cb, void *arg);
/* A message for the workflow's waits of that name (op signal). payload: any JSON, or NULL. */
void sh_engine_signal(struct sh_engine *e, struct sh_str id, struct sh_str name,
                      const json_t *payload, sh_engine_json_fn cb, void *arg);
/* An update: a signal that the workflow answers (op signal.reply). update: the caller's id for it,
 * or empty: one is made. The same id again is the same update, however often it is sent: it is
 * received once. cb with {workflow, update, name, status, result?, error?, received_us,
 * answered_us?} when it is answered, and after wait_ms at the latest; status: "accepted" (no answer
 * yet), "completed" (result), "failed" (error), "unanswered" (the workflow ended without).
 * fails  SH_E_INVAL, SH_E_LIMIT, SH_E_NOT_FOUND, SH_E_STATE (it has ended), SH_E_EXISTS (the id has
 *        another name or payload) */
struct sh_update {
    struct sh_str name, id;
    const json_t *payload; /* or NULL */
    uint64_t wait_ms;
};
void sh_engine_update(struct sh_engine *e, struct sh_str workflow, const struct sh_update *u,
                      sh_engine_json_fn cb, void *arg);
/* The same of one that was sent before. */
void sh_engine_update_get(struct sh_engine *e, struct sh_str workflow, struct sh_str update,
                          uint64_t wait_ms, sh_engine_json_fn cb, void *arg);
/* Everyone who waits for an answer is told what there is now. */
void sh_engine_updates_release(struct sh_engine *e);

/* What a workflow published last under a name: {name, data, seq, at_us}, whether it is in memory,
 * asleep or has ended; no guest code runs. SH_E_NOT_FOUND */
void sh_engine_query(struct sh_engine *e, struct sh_str workflow, struct sh_str name,
                     sh_engine_json_fn cb, void *arg);
/* {queries: [...], total}, by name */
void sh_engine_query_list(struct sh_engine *e, struct sh_str workflow, size_t offset, size_t limit,
                          sh_engine_json_fn cb, void *arg);

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

/* Replay from the journal alone and compare: gives {id, ok, events, chain: "ok"|..., signature:
 * "ok"|"none"|what is wrong, key? (that signed), replay: "ok"|"partial"|"skipped", fuel, digest
 * (run digest, SEMANTICS 26), mismatch?: {seq, expected, actual}}. A mismatch is a result, not an
 * error.
 */
void sh_engine_verify(struct sh_engine *e, struct sh_str id, sh_engine_json_fn cb, void *arg);

/* A workflow as one file that another machine verifies and replays offline (export.h). gives  by
 * cb: a file without a name, yours to close, of so many bytes; -1 with err
 * with_interpreter  the Python interpreter too
 * fails    SH_E_NOT_FOUND, SH_E_LIMIT (SH_EXPORT_MAX), SH_E_NOSPC, SH_E_CORRUPT, SH_E_IO */
typedef void (*sh_engine_file_fn)(void *arg, int fd, uint64_t bytes, const struct sh_err *err);
void sh_engine_export(struct sh_engine *e, struct sh_str id, bool with_interpreter,
                      sh_engine_file_fn cb, void *arg);
/* Take such a file: everything in it is checked, its task keeps its id and is only read here, until
 * it is forked. takes  fd, of a file that nobody else writes to      gives  the row
 * fails  SH_E_CORRUPT, SH_E_VERSION, SH_E_LIMIT, SH_E_EXISTS (a task of that id is here) */
void sh_engine_import(struct sh_engine *e, int fd, sh_engine_json_fn cb, void *arg);

/* Requests, output and state as of event `to` (0: the last), by running the agent from the journal
 * up to there: {id, seq, time_us, type, state: "waiting"|"ended"|"not started", waits_for?, end?,
 * requests: [{ordinal, op, args, state: "open"|"completed"|"failed", seq, result?, error?}],
 * stdout, stderr, emitted: [{seq, type, data}], published: {name: data}, checkpoint?, fuel,
 * clock_us}. fails  SH_E_NONDETERMINISM, SH_E_CORRUPT */
void sh_engine_replay(struct sh_engine *e, struct sh_str id, uint64_t to, sh_engine_json_fn cb,
                      void *arg);
/* A new workflow that goes on after event `at` of another (0: after all but its end), with a
 * session of its own that has a copy of the other's memory as it is now. gives  the row fails
 * SH_E_INVAL (no such cut), SH_E_DENIED (the policy in force does not give what it had) */
void sh_engine_fork(struct sh_engine *e, struct sh_str id, uint64_t at, sh_engine_json_fn cb,
                    void *arg);

/* Delete a task that has ended (or was imported): its record, its journal, and what of both is
 * still on the disk. cb when they are gone. gives {id, forgotten: true}   fails  SH_E_STATE */
void sh_engine_forget(struct sh_engine *e, struct sh_str id, sh_engine_json_fn cb, void *arg);

/* One event in the place of all those before the task's last checkpoint. It goes on meanwhile. cb
 * when they are gone from the disk. gives {id, compacted: the last that is gone, events: how many
 * went}   fails  SH_E_STATE (no checkpoint, nothing before it, an imported task),
 * SH_E_UNAVAILABLE (its journal is being read, or another is being compacted) */
void sh_engine_compact(struct sh_engine *e, struct sh_str id, sh_engine_json_fn cb, void *arg);

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

/* Schedules: tasks that begin by the clock. doc: {name, cron, query or input, timezone ("UTC"),
 * agent, session, capabilities, metadata, description, overlap ("skip", "queue", "allow",
 * "cancel_previous"), catch_up ("none", "one", "all"), catch_up_max (10), paused}. Answers are
 * records: schedules.h. id empty: a new one. fails  SH_E_INVAL, SH_E_NOT_FOUND, SH_E_LIMIT */
void sh_engine_schedule_save(struct sh_engine *e, struct sh_str id, const json_t *doc,
                             sh_engine_json_fn cb, void *arg);
void sh_engine_schedules(struct sh_engine *e, sh_engine_json_fn cb, void *arg); /* array */
void sh_engine_schedule_get(struct sh_engine *e, struct sh_str id, sh_engine_json_fn cb, void *arg);
void sh_engine_schedule_remove(struct sh_engine *e, struct sh_str id, sh_engine_json_fn cb,
                               void *arg);
/* reason: for people, or NULL */
void sh_engine_schedule_pause(struct sh_engine *e, struct sh_str id, bool paused,
                              const char *reason, sh_engine_json_fn cb, void *arg);
/* One run now, after those that wait; a passive engine leaves it to the next that is not. */
void sh_engine_schedule_run(struct sh_engine *e, struct sh_str id, sh_engine_json_fn cb, void *arg);

/* Is this event type the last of its journal? */
bool sh_event_is_final(struct sh_str type);

/* For metrics: {running, waiting, workflows, activities_in_flight, ...} new reference */
json_t *sh_engine_stats(struct sh_engine *e);

#endif
