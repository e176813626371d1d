/* Approvals: where the policy says "ask", a person decides before it happens. Both the question and
 * the answer are events; a guest never sees either, it only waits longer or is denied.
 *
 *   ApprovalRequested{approval, asks, expires_us, ordinal?, op?, args?}
 *       -> ApprovalDecided{allow}             the same call (or the start) goes on
 *       -> ApprovalDecided{deny | expired}    with ActivityFailed or WorkflowFailed in the same
 * commit
 *
 * An answer holds for the one call, for all calls of that tool in this run, or always: then it is a
 * grant to the module's hash, never to a name.
 *
 * An agent asks a person itself with the op "approval" (question.c): the same two events, and the
 * answer, yes or no, is the result of the activity. */
#ifndef SH_ENGINE_APPROVAL_H
#define SH_ENGINE_APPROVAL_H

#include "engine/journal.h"

struct sh_activity;
struct sh_engine;

struct sh_approval { /* one question without an answer */
    struct sh_list link;
    struct sh_workflow *wf;
    uint64_t number;  /* from 1 in its workflow */
    int64_t ordinal;  /* of the activity; -1: the start of the workflow */
    char *tool;       /* NULL for a start */
    json_t *question; /* body of the event */
    struct sh_timer timer;
};

struct sh_approvals {
    struct sh_list pending;
    uint64_t made;
    json_t *decided;    /* {ordinal: body of ApprovalDecided} */
    json_t *run_grants; /* {tool: true} */
    json_t *answers;    /* {ordinal: result}, of what agents asked */
};

void sh_approvals_init(struct sh_approvals *as);
void sh_approvals_done(struct sh_approvals *as);

enum sh_asked {
    SH_ASKED_ALLOW,
    SH_ASKED_REFUSED, /* somebody said no, or nobody answered in time */
    SH_ASKED_NOBODY,  /* nobody can be asked here */
    SH_ASKED_MUST_ASK
};
/* What is known about a tool that the policy asks about, for this activity. err: set when refused.
 */
enum sh_asked sh_approval_known(const struct sh_workflow *wf, uint64_t ordinal, const char *tool,
                                struct sh_err *err);
/* Has a person granted this capability to this module for good? */
bool sh_approval_granted(const struct sh_engine *e, const struct sh_hash *module,
                         const char *capability);

/* Ask, in the open commit. asks: [{capability, rule}]; request: {ordinal, op, args, id?,
 * timeout_ms?} or NULL for the start. takes both. Nothing happens when that activity's question is
 * pending already. */
void sh_approval_request(struct sh_workflow *wf, json_t *asks, json_t *request, const char *tool);
bool sh_approval_pending(const struct sh_workflow *wf, uint64_t ordinal);
bool sh_approval_start_pending(const struct sh_workflow *wf);
/* Run the clocks of pending questions (again, after a restart). */
void sh_approvals_arm(struct sh_workflow *wf);
void sh_approvals_stop(struct sh_workflow *wf);

/* What the durable events do, live and while a journal is read. */
void sh_approval_apply_requested(struct sh_workflow *wf, const struct sh_event *ev);
void sh_approval_apply_decided(struct sh_workflow *wf, const struct sh_event *ev);

/* question.c: op "approval". Ask, or take the answer that is there. */
void sh_question_run(struct sh_activity *a);
bool sh_question_is(const json_t *body); /* of either event: is it an agent's? */
/* A person has answered, or time is up: in the open commit. */
void sh_question_answered(struct sh_workflow *wf, const json_t *decided);
/* The same, read from the journal. */
void sh_question_apply(struct sh_workflow *wf, const json_t *decided);

/* Read the grants that are kept; then cb. */
void sh_approvals_load(struct sh_engine *e, sh_store_done_fn cb, void *arg);

#endif
