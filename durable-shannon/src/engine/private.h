/* What the files of engine/ share. The life of a workflow in memory:
 *
 *   submit/recover -> LOADING  journal read, module loaded, workspace and agent made (pool)
 *                  -> RUNNABLE the agent is an executor's: queued or running
 *                  -> HELD     the agent is the loop's: it waits, or the workflow is paused
 *                  -> COMPENSATING  the end is decided; what the work needs undone is undone first
 *                  -> ENDING   the final event is on its way to the store
 *                  -> ENDED    it is durable; the workflow leaves memory
 *
 * While replaying, `history` holds what the journal knows and the agent has not yet done again;
 * it empties as effects are matched, and when nothing is left the run is live. */
#ifndef SH_ENGINE_PRIVATE_H
#define SH_ENGINE_PRIVATE_H

#include "engine/account.h"
#include "engine/activity.h"
#include "engine/admit.h"
#include "engine/approval.h"
#include "engine/asleep.h"
#include "engine/attempt.h"
#include "engine/blobs.h"
#include "engine/budget.h"
#include "engine/children.h"
#include "engine/compensate.h"
#include "engine/defer.h"
#include "engine/disk.h"
#include "engine/engine.h"
#include "engine/executor.h"
#include "engine/family.h"
#include "engine/history.h"
#include "engine/index.h"
#include "engine/journal.h"
#include "engine/modules.h"
#include "engine/net.h"
#include "engine/operator.h"
#include "engine/payload.h"
#include "engine/pysdk.h"
#include "engine/quarantine.h"
#include "engine/registry.h"
#include "engine/schedules.h"
#include "engine/sign.h"
#include "engine/spec.h"
#include "engine/takeup.h"

enum sh_phase {
    SH_PHASE_LOADING,
    SH_PHASE_RUNNABLE,
    SH_PHASE_HELD,
    SH_PHASE_COMPENSATING,
    SH_PHASE_ENDING,
    SH_PHASE_ENDED
};

struct sh_workflow {
    struct sh_engine *engine;
    struct sh_list link; /* engine->workflows */
    struct sh_id id;
    uint64_t number; /* in this process: two replays of one task have a folder each */
    enum sh_phase phase;
    json_t *row; /* the projection, kept current */
    struct sh_spec spec;
    struct sh_module *module;
    const struct sh_policy *policy; /* the engine's, or that of `own` */
    struct sh_operator own;

    struct sh_journal journal;
    struct sh_history history; /* empty when live */
    struct sh_agent *agent;
    struct sh_task task;   /* of the executors */
    struct sh_list inputs; /* struct sh_input: durable, not yet pushed to the agent */
    bool waiting;          /* HELD: the agent waits (else it is runnable but paused) */
    bool slowed;           /* HELD: for making too many host calls */
    bool paused, verify;
    uint64_t load_to; /* read the journal no further than this; 0: all of it */
    bool load_open;   /* ... and not its end */
    bool anew;        /* HELD: a checkpoint is on its way to disk; its agent is not run again */
    bool reading;     /* its journal is being read: nothing may be added to it */
    bool cancel_requested;
    int doom; /* code of an end from outside that waits for the agent, or 0 */
    char doom_message[200];

    struct sh_activities activities;
    struct sh_approvals approvals;
    struct sh_compensations compensations;

    enum sh_place place; /* where a restart finds it, as the row in the store says */
    bool place_queued;
    bool waits_in_queue;            /* submitted, and leaves memory until its turn comes */
    int64_t wake_us[SH_WAKE_KINDS]; /* ASLEEP: the keys of its records, or 0 */
    json_t *slept;  /* taken up from its sleep: when its timers are over, by name, or NULL */
    bool dozing;    /* asleep, and only in memory for an event that does not wake it */
    unsigned looks; /* reads of its parent's or a child's row that it waits for: it stays awake */
    bool orphan;    /* its parent has ended: nobody waits for it */
    bool called_parent, called_children; /* its end has a record for them: family.h */
    uint64_t children_over; /* of those in the row's "children", in as far as that is known */

    struct sh_timer sleep_timer, wall_timer, grace_timer, doom_timer, deadline_timer, budget_timer,
        rest_timer, heartbeat_timer;
    uint64_t wall_from_ns, wall_spent_us;

    struct sh_spent below;         /* by children that have ended, as the journal has it */
    struct sh_account *account;    /* of one that has a family, or NULL */
    struct sh_spent counted;       /* of its own, charged to the accounts above it */
    struct sh_spent charged;       /* ... and in the store */
    struct sh_agent_counters seen; /* when the agent was the loop's last */
    bool over_budget;              /* it rests until its budget is raised */
    bool retake;                   /* make it anew from its journal */

    struct sh_buf answer; /* stdout, for the result, up to SH_RESULT_TEXT_MAX */
    size_t answer_kept;   /* of it, what a checkpoint left behind */
    json_t *output;       /* what the agent gave as its result, or NULL: */
    struct sh_payload output_kept;
    struct sh_net net;
    struct sh_buf stdin_queue; /* live input that no read has asked for */
    bool stdin_eof, stdin_reading;
    char *other_runtime; /* a sentence, when another one wrote some of the journal; or NULL */

    json_t *signals;      /* {name: [body of SignalReceived...]}: all that came */
    json_t *signal_waits; /* {name: how many waits the guest has begun} */
    json_t *updates;      /* {id: {name, digest, seq, received_us, answered}} */
    uint64_t usage_input, usage_output, usage_total;
    double usage_cost;
    struct sh_list subscriptions;
    unsigned pins;          /* pool jobs and store reads that name this workflow */
    struct sh_proof *proof; /* recovery waits to see it survive, or NULL */
    bool entered;           /* in the engine's table */
    bool leaving;           /* out of it again; freed when the last pin goes */
    /* verify: the end that the replay came to, handed over instead of being journaled; or, with the
     * workflow gone already, why it comes to none. One of both, once */
    void (*on_end)(struct sh_workflow *wf, void *arg);
    void (*on_abandoned)(void *arg, const struct sh_err *err);
    void *on_end_arg;
    const char *end_type;
    json_t *end_body;
};

struct sh_engine {
    struct sh_engine_config config; /* its texts are the three below */
    char *data_dir, *default_agent, *python, *python_module, *python_image;
    struct sh_store *store;
    struct sh_loop *loop;
    void *by_id; /* tsearch tree of workflows */
    struct sh_list workflows;
    size_t n_workflows;
    uint64_t made; /* workflows in memory so far */
    struct sh_executors *executors;
    struct sh_module_cache modules;
    struct sh_registry registry;
    struct sh_list parked;         /* workflows that the host failed, to be tried again */
    struct sh_list subscriptions;  /* still reading, of workflows not in memory */
    json_t *grants;                /* {"grant:HASH:CAPABILITY": record} */
    struct sh_list update_waiters; /* struct sh_update_call (update.c) */
    struct sh_list kv_sessions;    /* struct sh_kv_session (kv.c) */
    struct sh_list schedules;      /* schedules.c */
    struct sh_timer schedule_timer;
    struct sh_list pending_keys; /* idempotency keys of submissions under way */
    json_t *limits;              /* of config: agent_max_running */
    struct sh_takeup takeup;
    struct sh_wakes wakes[SH_WAKE_KINDS];
    struct sh_disk_watch disk;
    size_t n_asleep;              /* passivated workflows, of this data directory */
    struct sh_list disposals;     /* agents and workspaces on their way out */
    struct sh_list family_raises; /* raise_family.c */
    bool deferring, deferred_in_vain;
    void *accounts;         /* tsearch tree of struct sh_account */
    struct sh_crash *crash; /* who is at work, for the next process to read */
    json_t *crashes;        /* {workflow: record}: see quarantine.h */
    bool careful;           /* a crash was stamped: workflows are taken up one by one */
    char owner[40];
    struct sh_clocks clocks;
    struct sh_store_owner *as; /* what this engine writes it writes as that one */
    uint64_t epoch;            /* its epoch */
    json_t *forgetting;        /* {id: true}: tasks whose journals are being deleted */
    struct sh_compactor *compactor;
    struct sh_blobs blobs;
    struct sh_timer sweep_timer;
    char *swept;            /* the last task that the sweep has looked at, or NULL */
    size_t sweep_left;      /* of the page: those that are still going */
    struct sh_sign_key key; /* of the data directory: heads are signed with it */
    unsigned pins;
    bool stopping, dead;
    sh_store_done_fn started;
    void *started_arg;
    void (*stopped)(void *arg);
    void *stopped_arg;
};

/* workflow.c */
struct sh_workflow *sh_workflow_new(struct sh_engine *e, const struct sh_id *id);
struct sh_workflow *sh_workflow_find(struct sh_engine *e, struct sh_str id);
void sh_workflow_enter(struct sh_workflow *wf); /* into the engine's table, findable by id */
void sh_workflow_unpin(struct sh_workflow *wf);
void sh_workflow_leave(struct sh_workflow *wf);   /* out of memory, once nobody needs it */
void sh_workflow_dispose(struct sh_workflow *wf); /* its agent and workspace, by a pool job */
bool sh_workflow_being_disposed(const struct sh_engine *e, const struct sh_id *id);
char *sh_workspace_path(const struct sh_workflow *wf);
/* A replay (verify) ends here, without a result: the host failed it. It leaves memory. */
void sh_workflow_abandon(struct sh_workflow *wf, int code, const char *message);
/* End it from outside, as soon as the loop has its agent and nothing stands in the middle. */
void sh_workflow_doom(struct sh_workflow *wf, int code, const char *message);
void sh_workflow_journal_full(struct sh_workflow *wf); /* dooms: an event did not fit any more */
/* Durable inputs, kept until the agent can be given them. */
void sh_workflow_input(struct sh_workflow *wf, const struct sh_tape_item *item);
bool sh_workflow_push_inputs(struct sh_workflow *wf); /* were there any? */
void sh_workflow_drop_inputs(struct sh_workflow *wf);

/* launch.c */
/* Make the agent (again) from spec, checkpoint and history; then it runs. LOADING. */
void sh_workflow_launch(struct sh_workflow *wf);
void sh_workflow_grace(struct sh_workflow *wf); /* it was canceled: it has this long to end */

/* checkpoint.c */
void sh_checkpoint_begin(struct sh_workflow *wf);        /* the agent suspended for it */
char *sh_checkpoint_blobs(const struct sh_workflow *wf); /* the folder of what they keep */
void sh_checkpoint_state_run(struct sh_activity *a);     /* op state */

/* run.c */
void sh_workflow_stepped(struct sh_task *task); /* an executor is done with the agent */
void sh_workflow_poke(struct sh_workflow *wf);  /* something arrived: run if it can */
void sh_workflow_stdin_ready(struct sh_workflow *wf);

/* runtime.c: WorkflowStarted and Claimed name the runtime */
void sh_runtime_seen(struct sh_workflow *wf, const json_t *body);

/* apply.c: one durable event takes effect, live and while a journal is read */
void sh_workflow_apply(struct sh_workflow *wf, const struct sh_event *ev);
void sh_workflow_apply_lean(struct sh_workflow *wf, const struct sh_event *ev,
                            const struct sh_lean *lean);

/* finish.c */
void sh_workflow_finish(struct sh_workflow *wf, const struct sh_agent_end *end);
void sh_workflow_fail(struct sh_workflow *wf, int code, const char *message);
void sh_workflow_row_put(struct sh_workflow *wf, const char *status); /* into the open commit */
void sh_workflow_row_update(struct sh_workflow *wf); /* the same of one that has begun, not ended */
/* The final event, now. takes body */
void sh_workflow_end(struct sh_workflow *wf, const char *type, const char *status, json_t *body);
void sh_workflow_sign_head(struct sh_workflow *wf); /* into the row: what the chain ends with now */

bool sh_end_is_the_hosts(int code);

/* signal.c */
void sh_signal_count(struct sh_workflow *wf, struct sh_str name, uint64_t *ret_number);
void sh_signal_run(struct sh_activity *a);
void sh_signal_apply(struct sh_workflow *wf, const struct sh_event *ev);
int sh_signal_check(struct sh_str name, const json_t *payload, struct sh_err *err);

/* update.c: signals that are answered */
void sh_update_reply_run(struct sh_activity *a);
void sh_update_apply_received(struct sh_workflow *wf, const struct sh_event *ev);
void sh_update_apply_reply(struct sh_workflow *wf, const struct sh_event *ev);
void sh_updates_ended(struct sh_workflow *wf); /* its final event is durable */

/* publish.c: what a query reads, into the open commit, which holds the event of that seq */
void sh_publish_put(struct sh_workflow *wf, json_t *name, json_t *data, uint64_t seq);
void sh_publish_run(struct sh_activity *a);

/* kv.c */
void sh_kv_init(struct sh_engine *e);
void sh_kv_done(struct sh_engine *e);
void sh_kv_forget(struct sh_engine *e); /* a write was lost: nothing that was counted holds */

/* effects.c */
/* Carry out what the agent left. false: the workflow is ending (nondeterminism, a limit). */
bool sh_workflow_effects(struct sh_workflow *wf);
json_t *sh_guest_json(struct sh_str text); /* what is no JSON is a string */
void sh_workflow_keep_answer(struct sh_workflow *wf, struct sh_str stdout_bytes);

/* wall.c: the wall-clock account */
void sh_wall_update(struct sh_workflow *wf); /* after any change of what the workflow waits for */
uint64_t sh_wall_spent_us(const struct sh_workflow *wf);
void sh_wall_stop(struct sh_workflow *wf);

/* deadline.c: a point of wall time, whatever the workflow waits for */
void sh_deadline_arm(struct sh_workflow *wf); /* taken up, or just started */

/* heartbeat.c: a child that shows no sign of life for too long is canceled */
#define SH_HEARTBEAT "heartbeat "              /* of the time in the row of one that sleeps */
void sh_heartbeat_arm(struct sh_workflow *wf); /* taken up */
void sh_heartbeat_seen(struct sh_workflow *wf, const char *type); /* that event is durable */

/* live.c */
void sh_live_publish(struct sh_workflow *wf, const struct sh_event *ev);
void sh_live_delta(struct sh_workflow *wf, struct sh_str text, uint64_t ordinal, uint64_t attempt,
                   uint64_t offset);
void sh_live_detach(struct sh_workflow *wf);
void sh_live_attach(struct sh_workflow *wf); /* in memory again: its followers read on */

/* recovery.c */
void sh_engine_recover(struct sh_engine *e, sh_store_done_fn cb, void *arg);
/* Read a journal into wf (history, counters, spec), telling `each` event that was believed; then
 * done once, with the reason where the reading stopped early. An event that is lean is told to
 * each_lean, without a body; where there is none, `each` gets all of them. Either may be NULL. */
typedef void (*sh_loader_each_fn)(struct sh_workflow *wf, const struct sh_event *ev, void *arg);
typedef void (*sh_loader_lean_fn)(struct sh_workflow *wf, const struct sh_event *ev,
                                  const struct sh_lean *lean, void *arg);
typedef void (*sh_loader_done_fn)(struct sh_workflow *wf, const struct sh_err *err, void *arg);
void sh_loader_start(struct sh_workflow *wf, sh_loader_each_fn each, sh_loader_lean_fn each_lean,
                     sh_loader_done_fn done, void *arg);

/* It reached its first suspension, or left: recovery may go on with the next one. */
void sh_workflow_proven(struct sh_workflow *wf);

/* Take up one workflow whose row has just been written. */
void sh_workflow_adopt(struct sh_engine *e, const json_t *row);

/* The host failed the agent (memory, disk): that is nothing a guest may learn (SEMANTICS 6), so it
 * leaves memory and is taken up from its journal again after SH_PARK_NS. */
void sh_workflow_park(struct sh_workflow *wf, int code, const char *message);
void sh_park_id(struct sh_engine *e, const struct sh_id *id, int code, const char *message);
void sh_parked_stop(struct sh_engine *e);

/* verify.c */
bool sh_verify_never_ran(const struct sh_history *h);
bool sh_verify_ended_outside(const struct sh_history *h);
/* Before a replay: one that was ended from outside goes no further than it did. */
void sh_verify_limit_fuel(struct sh_workflow *wf);

/* replay_to.c */
/* Run an agent from the journal up to event `to` (0: all but its end) without carrying anything
 * out. fn once: wf as it stands there (no agent where none ran; its last moment), and what was
 * seen. */
typedef void (*sh_replay_fn)(void *arg, struct sh_workflow *wf, json_t *seen,
                             const struct sh_err *err);
void sh_replay_start(struct sh_engine *e, struct sh_str id, uint64_t to, sh_replay_fn fn,
                     void *arg);

/* forget.c */
void sh_retention_start(struct sh_engine *e);
void sh_retention_stop(struct sh_engine *e);

/* fork.c */
int sh_fork_apply(struct sh_spec *spec, const json_t *body, struct sh_err *err);

/* sessions.c */
void sh_session_put(struct sh_workflow *wf); /* into the open commit, which starts wf */

/* control.c: what a person asks of a workflow that is alive; each ends in one answer */
struct sh_control;
struct sh_control *sh_control_new(struct sh_engine *e, const char *what, sh_engine_json_fn cb,
                                  void *arg);
void sh_control_end(struct sh_control *c, json_t *row, const struct sh_err *err);
/* Can an event be added to it? Else the answer is given, now or after a look at its row. */
bool sh_control_alive(struct sh_control *c, struct sh_workflow *wf, struct sh_str id);
void sh_control_written(struct sh_workflow *wf, void *arg, const struct sh_err *err);
int sh_workflow_is_reading(struct sh_err *err); /* -SH_E_UNAVAILABLE */
/* What sh_engine_cancel does, asked for by the engine; nothing where it is canceled or has ended */
void sh_workflow_cancel(struct sh_workflow *wf, const char *by, const char *reason);

/* submit.c: as sh_engine_submit. start is borrowed until cb */
void sh_engine_submit_scheduled(struct sh_engine *e, const struct sh_submit *s,
                                const struct sh_schedule_start *start, sh_engine_submit_fn cb,
                                void *arg);
/* birth is borrowed until cb; it fails with SH_E_DENIED instead of
 * giving a rejected row */
void sh_engine_submit_child(struct sh_engine *e, const struct sh_submit *s,
                            const struct sh_birth *birth, sh_engine_submit_fn cb, void *arg);

/* query.c */
int sh_no_workflow(struct sh_err *err, const char *id); /* -SH_E_NOT_FOUND */

/* engine.c */
void sh_engine_fatal(struct sh_engine *e, const struct sh_err *err);
void sh_engine_unpin(struct sh_engine *e);
/* sh_store_append as the owner that this engine is: fails with SH_E_FENCED when it is one no more.
 * Everything that the engine writes goes through here. */
int sh_engine_append(struct sh_engine *e, const struct sh_event_record *events, size_t n_events,
                     const struct sh_put *puts, size_t n_puts, sh_store_done_fn cb, void *arg,
                     struct sh_err *err);

#define SH_RESULT_TEXT_MAX (1 * SH_MIB)
#define SH_PARK_NS 2000000000ULL

#endif
