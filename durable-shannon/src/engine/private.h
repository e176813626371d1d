/* What the files of engine/ share. The life of a workflow in memory:
 *
 *   submit/recover -> LOADING  journal read, module loaded, workspace and agent made (pool)
 *                  -> RUNNABLE the agent is an executor's: queued or running
 *                  -> HELD     the agent is the loop's: it waits, or the workflow is paused
 *                  -> ENDING   the final event is on its way to the store
 *                  -> ENDED    it is durable; the workflow leaves memory
 *
 * While replaying, `history` holds what the journal knows and the agent has not yet done again;
 * it empties as effects are matched, and when nothing is left the run is live. */
#ifndef SH_ENGINE_PRIVATE_H
#define SH_ENGINE_PRIVATE_H

#include "engine/activity.h"
#include "engine/approval.h"
#include "engine/engine.h"
#include "engine/executor.h"
#include "engine/history.h"
#include "engine/journal.h"
#include "engine/modules.h"

enum sh_phase {
    SH_PHASE_LOADING,
    SH_PHASE_RUNNABLE,
    SH_PHASE_HELD,
    SH_PHASE_ENDING,
    SH_PHASE_ENDED
};

/* What WorkflowStarted froze: all that an agent is made from. */
struct sh_spec {
    struct sh_hash module; /* what was submitted: a wasm module or a script */
    bool python;
    struct sh_hash interpreter; /* python only */
    char *script_name;
    char *agent, *session;
    json_t *argv, *env, *input; /* arrays of strings; any JSON */
    uint8_t seed[32];
    struct sh_capabilities caps;
    struct sh_buf stdin_bytes;
    bool stdin_live, tty[3];
    int64_t started_us;
};
void sh_spec_done(struct sh_spec *spec);
int sh_spec_parse(const json_t *body, int64_t time_us, struct sh_spec *ret, struct sh_err *err);

struct sh_workflow {
    struct sh_engine *engine;
    struct sh_list link; /* engine->workflows */
    struct sh_id id;
    enum sh_phase phase;
    json_t *row; /* the projection, kept current */
    struct sh_spec spec;
    struct sh_module *module;
    const struct sh_policy *policy;

    struct sh_journal journal;
    struct sh_history history; /* empty when live */
    struct sh_agent *agent;
    struct sh_task task;   /* of the executors */
    struct sh_list inputs; /* struct sh_input: durable, not yet pushed to the agent */
    bool waiting;          /* HELD: the agent waits (else it is runnable but paused) */
    bool paused, verify;
    bool reading; /* its journal is being read: nothing may be added to it */
    bool cancel_requested;
    int doom; /* code of an end from outside that waits for the agent, or 0 */
    char doom_message[200];

    struct sh_activities activities;
    struct sh_approvals approvals;

    struct sh_timer sleep_timer, wall_timer, grace_timer, doom_timer;
    uint64_t wall_from_ns, wall_spent_us;

    struct sh_buf answer;      /* stdout, for the result, up to SH_RESULT_TEXT_MAX */
    size_t answer_kept;        /* of it, what a checkpoint left behind */
    json_t *output;            /* what the agent gave as its result */
    struct sh_buf stdin_queue; /* live input that no read has asked for */
    bool stdin_eof, stdin_reading;

    json_t *signals;      /* {name: [payload...]}: all that came */
    json_t *signal_waits; /* {name: how many waits the guest has begun} */
    uint64_t usage_input, usage_output, usage_total;
    double usage_cost;
    struct sh_list subscriptions;
    unsigned pins; /* pool jobs and store reads that name this workflow */
    bool entered;  /* in the engine's table */
    bool leaving;  /* out of it again; freed when the last pin goes */
    /* verify: the end that the replay came to, handed over instead of being journaled */
    void (*on_end)(struct sh_workflow *wf, void *arg);
    void *on_end_arg;
    const char *end_type;
    json_t *end_body;
};

struct sh_engine {
    struct sh_engine_config config; /* its texts are the three below */
    char *data_dir, *default_agent, *python;
    struct sh_store *store;
    struct sh_loop *loop;
    void *by_id; /* tsearch tree of workflows */
    struct sh_list workflows;
    size_t n_workflows;
    struct sh_executors *executors;
    struct sh_module_cache modules;
    struct sh_list parked;        /* workflows that the host failed, to be tried again */
    struct sh_list subscriptions; /* still reading, of workflows not in memory */
    json_t *grants;               /* {"grant:HASH:CAPABILITY": record} */
    struct sh_list pending_keys;  /* idempotency keys of submissions under way */
    char owner[40];
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
char *sh_workspace_path(const struct sh_workflow *wf);
/* End it from outside, as soon as the loop has its agent and nothing stands in the middle. */
void sh_workflow_doom(struct sh_workflow *wf, int code, const char *message);
/* Durable inputs, kept until the agent can be given them. */
void sh_workflow_input(struct sh_workflow *wf, const struct sh_tape_item *item);
bool sh_workflow_push_inputs(struct sh_workflow *wf); /* were there any? */
void sh_workflow_drop_inputs(struct sh_workflow *wf);

/* launch.c */
/* Make the agent (again) from spec, checkpoint and history; then it runs. LOADING. */
void sh_workflow_launch(struct sh_workflow *wf);
void sh_workflow_grace(struct sh_workflow *wf); /* it was canceled: it has this long to end */

/* run.c */
void sh_workflow_stepped(struct sh_task *task); /* an executor is done with the agent */
void sh_workflow_poke(struct sh_workflow *wf);  /* something arrived: run if it can */
void sh_workflow_stdin_ready(struct sh_workflow *wf);

/* apply.c: one durable event takes effect, live and while a journal is read */
void sh_workflow_apply(struct sh_workflow *wf, const struct sh_event *ev);

/* finish.c */
void sh_workflow_finish(struct sh_workflow *wf, const struct sh_agent_end *end);
void sh_workflow_fail(struct sh_workflow *wf, int code, const char *message);
void sh_workflow_row_put(struct sh_workflow *wf, const char *status); /* into the open commit */

bool sh_end_is_the_hosts(int code);

/* signal.c */
void sh_signal_count(struct sh_workflow *wf, struct sh_str name, uint64_t *ret_number);
void sh_signal_run(struct sh_activity *a);
void sh_signal_apply(struct sh_workflow *wf, const struct sh_event *ev);

/* effects.c */
/* Carry out what the agent left. false: the workflow is ending (nondeterminism, a limit). */
bool sh_workflow_effects(struct sh_workflow *wf);
void sh_workflow_keep_answer(struct sh_workflow *wf, struct sh_str stdout_bytes);

/* wall.c: the wall-clock account */
void sh_wall_update(struct sh_workflow *wf); /* after any change of what the workflow waits for */
uint64_t sh_wall_spent_us(const struct sh_workflow *wf);
void sh_wall_stop(struct sh_workflow *wf);

/* live.c */
void sh_live_publish(struct sh_workflow *wf, const struct sh_event *ev);
void sh_live_delta(struct sh_workflow *wf, struct sh_str text, uint64_t ordinal, uint64_t attempt,
                   uint64_t offset);
void sh_live_detach(struct sh_workflow *wf);

/* recovery.c */
void sh_engine_recover(struct sh_engine *e, sh_store_done_fn cb, void *arg);
/* Read a journal into wf (history, counters, spec), telling `each` event that was believed; then
 * done once, with the reason where the reading stopped early. */
typedef void (*sh_loader_each_fn)(struct sh_workflow *wf, const struct sh_event *ev, void *arg);
typedef void (*sh_loader_done_fn)(struct sh_workflow *wf, const struct sh_err *err, void *arg);
void sh_loader_start(struct sh_workflow *wf, sh_loader_each_fn each, sh_loader_done_fn done,
                     void *arg);

/* The host failed the agent (memory, disk): that is nothing a guest may learn (SEMANTICS 6), so it
 * leaves memory and is taken up from its journal again after SH_PARK_NS. */
void sh_workflow_park(struct sh_workflow *wf, int code, const char *message);
void sh_parked_stop(struct sh_engine *e);

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

/* query.c */
int sh_no_workflow(struct sh_err *err, const char *id); /* -SH_E_NOT_FOUND */

/* engine.c */
void sh_engine_fatal(struct sh_engine *e, const struct sh_err *err);
void sh_engine_unpin(struct sh_engine *e);

#define SH_RESULT_TEXT_MAX (1 * SH_MIB)
#define SH_PARK_NS 2000000000ULL
#define SH_CANCEL_GRACE_NS 2000000000ULL /* an agent that does not look is stopped after this */

#endif
