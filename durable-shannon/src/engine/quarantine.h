/* Quarantine (SEMANTICS 18): a workflow under which the process died SH_CRASHES_MAX times, with no
 * new event of its own in between, is not taken up again. Counts are records of SH_TABLE_META,
 * "crash:ID" -> {count, stamp, signal, phase, at}; a workflow's next event removes its own in the
 * same transaction. */
#ifndef SH_ENGINE_QUARANTINE_H
#define SH_ENGINE_QUARANTINE_H

#include "store/store.h"

struct sh_engine;
struct sh_workflow;

/* Count what the last process was stamped with, durably; then begin a file of our own.
 * gives  cb in a later turn: e->crashes and e->crash are set, e->careful after a stamped crash */
void sh_quarantine_load(struct sh_engine *e, sh_store_done_fn cb, void *arg);
/* How often the process died under this workflow since its last event. */
unsigned sh_quarantine_count(const struct sh_engine *e, const char *workflow);
/* A commit of wf is being sent: forget the count when it holds an event of its own. */
void sh_quarantine_progress(struct sh_workflow *wf);
/* Was it too often? Then wf, which has been read and claimed, ends. */
bool sh_quarantine_end(struct sh_workflow *wf);

#endif
