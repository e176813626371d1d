/* Activities: what an agent asks of the world. One struct per activity without a durable outcome:
 *
 *   STARTING (a child workflow is being made, children.h) -> OUT
 *   ASKED (a person decides first) -> READY or, denied, gone
 *   READY (an input before it is not durable yet) -> OUT (called, or its timer runs)
 *       -> BACKOFF (a retryable failure was journaled) -> OUT ...
 *       -> gone (its outcome is in the journal, on the way to disk) */
#ifndef SH_ENGINE_ACTIVITY_H
#define SH_ENGINE_ACTIVITY_H

#include "engine/journal.h"
#include "engine/retry.h"
#include "tools/tools.h"

struct sh_workflow;
struct sh_past_activity;

enum sh_activity_state {
    SH_ACTIVITY_ASKED,
    SH_ACTIVITY_READY,
    SH_ACTIVITY_OUT,
    SH_ACTIVITY_BACKOFF,
    SH_ACTIVITY_STARTING,
    SH_ACTIVITY_BROKE /* the budget is used up: nothing is journaled */
};

struct sh_activity {
    struct sh_list link;
    struct sh_workflow *wf;
    uint64_t ordinal;
    enum sh_activity_state state;
    const struct sh_tool *tool;
    json_t *args;       /* without the options below */
    json_t *asked_args; /* as the agent gave them */
    json_t *id;         /* of a device line, or NULL */
    char key[SH_ID_MAX + 24];
    struct sh_retry retry;
    uint64_t timeout_ms;
    uint64_t
        heartbeat_ms; /* an attempt that shows no sign of life for so long has failed; 0: any */
    bool at_most_once;
    bool compensates; /* its events are Compensation*; it is no activity of the guest (compensate.c)
                       */
    unsigned attempt; /* from 1 */
    int64_t due_us;   /* sleep, backoff */
    uint64_t delta_bytes;
    uint64_t reserved_tokens; /* of the budget, until the outcome is there */
    double reserved_usd;
    json_t *spent;          /* by the child that it started, once known */
    uint64_t signal_number; /* of a wait for a signal, among those for its name */
    struct sh_timer timer, silence;
    struct sh_tool_run *run;
};

struct sh_activities {
    struct sh_list list;
    size_t n, n_remote; /* n_remote: wall clock counts while any is OUT */
};

void sh_activities_init(struct sh_activities *as);
void sh_activities_stop(struct sh_workflow *wf); /* cancel all */
/* The agent asked. Matches history, else journals and goes. false: nondeterminism, wf is ending. */
bool sh_activity_start(struct sh_workflow *wf, uint64_t ordinal, struct sh_str op,
                       struct sh_str args);
/* The budget was raised: those that it stopped begin. */
void sh_activities_resume(struct sh_workflow *wf);
/* A person has answered; the activity may not have been asked for again yet, then nothing happens.
 */
void sh_activity_approved(struct sh_workflow *wf, uint64_t ordinal);
void sh_activity_denied(struct sh_workflow *wf, uint64_t ordinal, const struct sh_err *why);
/* {ordinal, op, args, id?}, new: what a journal keeps of the request, options and all. */
json_t *sh_activity_request_body(const struct sh_activity *a);
/* It will not happen: its request and the reason are one event. Frees a. */
void sh_activity_refuse(struct sh_activity *a, const struct sh_err *why);
/* The text a guest reads for an outcome event; the same live and in replay. */
void sh_activity_result_text(const json_t *event_body, struct sh_buf *out);

/* Run a registered compensation: {ordinal, op, args, attempts?, next_at_us?}. */
void sh_activity_compensate(struct sh_workflow *wf, const json_t *item);

/* kv.c: the durable memory of a session */
void sh_kv_run(struct sh_activity *a);

/* sleep.c: when a sleep that begins now ends, and how long it is.  fails  SH_E_INVAL */
int sh_sleep_due(const struct sh_activity *a, int64_t now_us, int64_t *ret_due_us,
                 struct sh_err *err);
int64_t sh_sleep_ms(const struct sh_activity *a);
/* Sleep until a->due_us, then succeed. A relative sleep goes by the clock that nobody sets. */
void sh_sleep_run(struct sh_activity *a);

/* for those that run an operation */
void sh_activity_succeed(struct sh_activity *a, json_t *result); /* takes result */
void sh_activity_fail(struct sh_activity *a, const struct sh_err *why, bool retryable,
                      uint64_t retry_after_ms);

#endif
