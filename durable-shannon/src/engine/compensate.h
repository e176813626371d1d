/* Compensations (a saga): what undoes the work of a workflow that fails or is canceled. The guest
 * registers them as it goes (op compensate); the host runs them in reverse order, one after
 * another, when the end is known and before it is told.
 *
 *   Compensating{end_type, status, end}      the end is decided; nothing of the guest runs any more
 *       -> CompensationRetried{ordinal, attempt, error, next_at_us}*
 *       -> CompensationCompleted{ordinal, op, result} | CompensationFailed{ordinal, op, error}
 *       ... for each, then the final event, which says how many did and did not succeed
 *
 * `ordinal` is that of the activity that registered it. A crash goes on behind the last of these
 * events, without the guest. */
#ifndef SH_ENGINE_COMPENSATE_H
#define SH_ENGINE_COMPENSATE_H

#include "engine/journal.h"
#include "tools/tools.h"

struct sh_activity;

struct sh_compensations {
    json_t *list; /* [{ordinal, op, args, attempts?, next_at_us?, outcome?}], as registered */
    json_t *end;  /* body of Compensating, or NULL */
    size_t completed, failed;
};
void sh_compensations_done(struct sh_compensations *cs);

/* The op: check what it names and register it. */
void sh_compensate_run(struct sh_activity *a);
/* The tool that a compensate activity names, or NULL (err set). */
const struct sh_tool *sh_compensate_tool(const json_t *args, struct sh_err *err);

/* Is there something to undo before this end? Then it is on its way, and the end comes by itself.
 * takes `body` when it gives true. */
bool sh_compensate_begin(struct sh_workflow *wf, const char *type, const char *status,
                         json_t *body);
/* Journal the outcome of one; what it may write is bounded. takes body: {ordinal, op, result |
 * error, ...} */
void sh_compensate_outcome(struct sh_workflow *wf, json_t *body);
/* A recovered workflow whose end was decided goes on. */
void sh_compensate_resume(struct sh_workflow *wf);

/* What the durable events do, live and while a journal is read. */
void sh_compensate_apply(struct sh_workflow *wf, const struct sh_event *ev);
/* The registration, while a journal is read. */
void sh_compensate_apply_registered(struct sh_workflow *wf, const struct sh_event *ev);

#endif
