/* What the members of a family owe each other: a child's end wakes its parent, a parent's end or
 * cancel ends its attached children, whoever of them sleeps (asleep.h) and whatever a crash cuts
 * off. Whoever has something to tell a sleeper, or an ended one's children, puts a record with its
 * final event, in the same transaction:
 *
 *   SH_TABLE_WAKE, due SH_FAMILY_DUE_US, ID -> {workflow: ID, due_us}
 *
 *   ID sleeps   -> it is taken up; it looks at its parent's and its children's rows, as every one
 *                  does that is taken up. The record goes in the transaction that says it is awake
 *   ID has ended -> its children that have not are taken up and find out; then the record goes
 *
 * Live, the same is done at once, and the record is for the next process. */
#ifndef SH_ENGINE_FAMILY_H
#define SH_ENGINE_FAMILY_H

#include "base/base.h"

struct sh_activity;
struct sh_engine;
struct sh_workflow;

#define SH_FAMILY_DUE_US 1 /* before any time that a sleeper waits for */

/* Has it a parent that waits for it, whose end is its end? */
bool sh_is_attached(const struct sh_workflow *wf);
/* The child that this activity started is about to end, or has ended: its parent is told soon. */
bool sh_family_tells(const struct sh_activity *a);
/* Its final event is in the open commit: so is what a crash might keep from its family. */
void sh_family_ends(struct sh_workflow *wf);
/* It was asleep and the open commit says that it is not. */
void sh_family_awake(struct sh_workflow *wf);

/* Taken up: has its parent ended, or was it canceled, meanwhile? */
void sh_family_check_parent(struct sh_workflow *child);
/* The parent ends or was canceled: so are its attached children. */
void sh_family_cancel(struct sh_workflow *parent, const char *reason);
/* Those children of `parent`, which has ended or was canceled, that are not in memory are taken up;
 * then its record goes. */
void sh_family_find_children(struct sh_engine *e, const struct sh_id *parent);

#endif
