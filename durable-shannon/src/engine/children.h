/* Child workflows (SEMANTICS 3, 12): an agent starts another agent as an activity. The child is a
 * workflow of its own, with an id that follows from the parent's id and the activity's ordinal, and
 * its WorkflowStarted is in one transaction with the parent's ActivityScheduled:
 *
 *   asked -> STARTING  module found, policy asked: nothing is in a journal; a crash asks again
 *         -> OUT       both journals know of it; the child runs, recovers and ends by itself
 *         -> gone      the child's durable end became the activity's outcome
 *
 * Whichever of the two is in memory first after a restart or a sleep, the outcome is written once:
 * by the child's end when it finds the activity, or by the activity when it finds the ended child's
 * row. What their ends are to each other: family.h.
 */
#ifndef SH_ENGINE_CHILDREN_H
#define SH_ENGINE_CHILDREN_H

#include "engine/journal.h"
#include "policy/policy.h"

struct sh_activity;
struct sh_tool;
struct sh_workflow;

/* What a WorkflowStarted says of where it comes from; all-zero: a person submitted it. */
struct sh_lineage {
    struct sh_id parent, root; /* empty: none */
    uint64_t ordinal;          /* the parent's activity */
    unsigned depth;            /* 0: no parent */
    bool detached;             /* the parent's end is not its end */
    uint64_t heartbeat_ms;     /* canceled when it shows no sign of life for so long; 0: never */
};
void sh_lineage_parse(const json_t *body, struct sh_lineage *ret);
void sh_lineage_describe(const struct sh_lineage *l, json_t *body); /* of WorkflowStarted */
void sh_lineage_row(const struct sh_lineage *l, json_t *row);

/* A child that is being made, for submit.c. */
struct sh_birth {
    struct sh_workflow *parent; /* pinned */
    struct sh_lineage lineage;
    char *name; /* the agent's name where the module has none, or NULL */
};
void sh_birth_done(struct sh_birth *b);
/* Does the parent still wait for it? fails  SH_E_CANCELED */
int sh_birth_check(const struct sh_birth *b, struct sh_err *err);
#define SH_FAMILY_ID_COMMON 13 /* characters with which the ids of a family begin alike */
void sh_birth_id(const struct sh_birth *b, struct sh_id *ret);
/* What the policy decided, cut down to what the parent has itself. A part that was asked for and
 * that the parent has not is a denial.  request, manifest: what d was decided from; may be NULL */
int sh_birth_narrow(const struct sh_birth *b, const struct sh_capabilities *manifest,
                    const struct sh_capabilities *request, struct sh_decision *d,
                    struct sh_err *err);
/* Commit the child's first events with the parent's ActivityScheduled.
 * fails  SH_E_JOURNAL: the parent has no room; nothing is written */
int sh_birth_commit(const struct sh_birth *b, struct sh_workflow *child,
                    void (*then)(struct sh_workflow *wf, void *arg, const struct sh_err *err),
                    void *arg, struct sh_err *err);

bool sh_child_op(const struct sh_tool *tool); /* workflow, python */
bool sh_child_outcome(const json_t *body);    /* of a child that was made, not of a refusal */
/* The activity of that number, where it starts or awaits a child; or NULL. */
struct sh_activity *sh_child_find(struct sh_workflow *wf, uint64_t ordinal);
/* It has ended, with this as the answer (taken). One that is too large fails. */
void sh_child_answer(struct sh_activity *a, json_t *result);
void sh_child_start(struct sh_activity *a);     /* a new one: nothing is journaled yet */
void sh_child_again(struct sh_activity *a);     /* the journal has its ActivityScheduled */
void sh_child_ended(struct sh_workflow *child); /* its end is durable: tell the parent */

#endif
