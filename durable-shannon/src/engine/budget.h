/* One budget for a family (SEMANTICS 12): what a workflow uses counts against its own limits and
 * against those of every workflow above it. The ledger is in the journals: calls of models reserve
 * in ActivityScheduled and settle in the outcome; a child's whole use is in the outcome of the
 * activity that started it. Replay only adds up.
 *
 *   a limit is reached -> BudgetExceeded{what, limit, used, of, action}
 *        action "fail" -> the workflow fails as budget_exceeded
 *        action "ask"  -> it rests -> BudgetRaised{tokens?, ...} -> it goes on under the sum
 *
 * What the sandbox itself counts (fuel, output, activities) ends an agent; then it is made again
 * from its journal under the sum. */
#ifndef SH_ENGINE_BUDGET_H
#define SH_ENGINE_BUDGET_H

#include "engine/journal.h"

struct sh_activity;
struct sh_agent_end;
struct sh_engine;
struct sh_workflow;

struct sh_spent {
    uint64_t tokens, fuel, wall_us, output_bytes, activities;
    double cost_usd;
};
json_t *sh_spent_json(const struct sh_spent *s);
void sh_spent_add_json(struct sh_spent *s, const json_t *json); /* NULL adds nothing */

/* to += now - from */
void sh_spent_move(struct sh_spent *to, const struct sh_spent *from, const struct sh_spent *now);

/* What it used itself, with what is reserved for calls under way. */
struct sh_spent sh_budget_own(const struct sh_workflow *wf);
/* The same with those below it that are not detached. Charges (account.h). */
struct sh_spent sh_budget_spent(struct sh_workflow *wf);
/* May this activity begin? Then what it may use is reserved, and in its ActivityScheduled. false:
 * the workflow ends or rests; the activity is asked again when the budget is raised. */
bool sh_budget_reserve(struct sh_activity *a, json_t *body);
/* The agent has been stepped: is the family within its limits? */
void sh_budget_check(struct sh_workflow *wf);
/* The same at any time: what an executor has is asked back for it. */
void sh_budget_look(struct sh_workflow *wf);
/* An executor has the agent. That of a family is looked at now and then: fuel and output of one
 * that computes show only when it is the loop's. */
void sh_budget_runs(struct sh_workflow *wf);
/* The agent ended by a limit that the sandbox counts. true: it rests instead */
bool sh_budget_rests(struct sh_workflow *wf, const struct sh_agent_end *end);
/* The wall clock of the workflow is used up. */
void sh_budget_wall_used_up(struct sh_workflow *wf);

void sh_budget_apply(struct sh_workflow *wf, const struct sh_event *ev);
/* The same, as an event of its own: more (of this one; NULL: of another of its family) is to be
 * had. Into the open commit; false: its journal is full. */
bool sh_budget_add_raise(struct sh_workflow *wf, const json_t *more, const char *by,
                         const char *reason);

/* raise_family.c: into the open commit, that it rests over a budget that its family may raise. */
void sh_budget_rests_record(struct sh_workflow *wf, bool rests);
#define SH_RAISE_DUE_US 2 /* of the record in SH_TABLE_WAKE, with the root's id: family.h */
/* Into the commit of a raise, that its family is to try again. gives  whether there is one */
bool sh_budget_family_raised(struct sh_workflow *wf);
/* Do so: now, or as the record says that a raise left behind. by: copied */
void sh_budget_wake_family(struct sh_engine *e, const struct sh_id *root, const char *by);

/* Taken up again: attempts that were cut off settle at what was reserved for them. */
void sh_budget_settle_lost(struct sh_workflow *wf, int64_t claimed_us);
/* Made anew from its journal, once its agent is the loop's. */
void sh_budget_retake(struct sh_workflow *wf);

#endif
