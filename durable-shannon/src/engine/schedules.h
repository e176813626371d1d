/* Schedules: tasks that begin by the clock. A record in the database says what and when; each due
 * time makes at most one task, because the record moves on in the same transaction that has the
 * task's WorkflowStarted.
 *
 *   due -> queue (with next_at, one write) -> started (popped from the queue, with the task)
 *                                          -> skipped, by the overlap or the catch-up policy
 *
 * The record: {id, name, cron, timezone, agent, query, input?, session?, capabilities?, metadata?,
 *   description?, overlap, catch_up, catch_up_max, paused, created_at, updated_at, next_at, queue:
 *   [due], active: [task ids], last_due?, last_task?, last_at?, last_error?, total_runs,
 *   successful_runs, failed_runs, skipped_runs, v}; times are us since 1970. */
#ifndef SH_ENGINE_SCHEDULES_H
#define SH_ENGINE_SCHEDULES_H

#include "store/store.h"

struct sh_cron;
struct sh_engine;
struct sh_workflow;

/* schedule_check.c: what is to be a schedule; members that are left out get their defaults in doc.
 * gives  *ret, of `cron`      fails  SH_E_INVAL naming the member and what was expected */
int sh_schedule_check(json_t *doc, struct sh_cron *ret, struct sh_err *err);

/* Read them; cb when all are known. They begin to tick then, but for a passive engine. */
void sh_schedules_load(struct sh_engine *e, sh_store_done_fn cb, void *arg);
void sh_schedules_stop(struct sh_engine *e);
void sh_schedules_go_on(struct sh_engine *e); /* there is room again, after a rest (disk.h) */
/* A task of a schedule ends: what that means for the schedule goes into the open commit. */
void sh_schedule_task_ends(struct sh_workflow *wf, bool completed);

/* What a submission of a schedule adds to the commit that starts the task. */
struct sh_schedule_start {
    struct sh_engine *engine;
    char *id;
    int64_t due_us;
};
void sh_schedule_task_starts(const struct sh_schedule_start *s, struct sh_workflow *wf);

#endif
