/* Compaction (SEMANTICS 25): one event, Compacted, in the place of all those before a checkpoint.
 *
 *   1 ... k | Checkpoint ...       ->       Compacted{k, hash, state, signed} | Checkpoint ...
 *
 * `hash` is the chain's hash after event k: what follows is chained to it as ever. `state` is text:
 * what those who load the journal need to know of 1 to k. Both are signed together with k. The
 * record stands at k and has k's time and hash; while a long journal is being cut it stands further
 * ahead, and what lies between the two is passed over. */
#ifndef SH_ENGINE_COMPACT_H
#define SH_ENGINE_COMPACT_H

#include "engine/engine.h"
#include "engine/journal.h"

/* ---- compact_state.c: the event ---- */

/* The body that stands for what `wf` has loaded, which ends with a checkpoint; begin: [[seq,
 * time_us, type, body]], the events that made it. gives  its text. fails  SH_E_LIMIT */
struct sh_compacted {
    const char *id;
    uint64_t k;
    int64_t time_us; /* of event k */
    struct sh_hash hash;
};
int sh_compacted_body(const struct sh_workflow *wf, const struct sh_compacted *at,
                      const json_t *begin, struct sh_buf *ret, struct sh_err *err);
/* The same for another workflow, whose first event is another: its signature is made anew. */
int sh_compacted_for(const struct sh_engine *e, const char *id, const json_t *first,
                     struct sh_str body, int64_t time_us, struct sh_buf *ret, struct sh_err *err);
/* Is an event of this type kept whole? */
bool sh_compacted_keeps(const char *type);

/* sh_journal_follow of a first event Compacted. */
int sh_compacted_follow(struct sh_journal *j, const struct sh_event_record *ev, struct sh_err *err);
/* Would an answer about event `to` need what this one stands for? SH_E_GONE */
bool sh_compacted_hides(const struct sh_event_record *ev, uint64_t to, struct sh_err *err);
uint64_t sh_compacted_k(const struct sh_event_record *ev); /* 0: another type */

/* Its state, new. */
int sh_compacted_state(const json_t *body, json_t **ret, struct sh_err *err);
/* The i-th of the events that it keeps whole: body and type are borrowed. false: no more */
bool sh_compacted_kept(const json_t *state, size_t i, struct sh_event *ret);
/* What the other events left, into a workflow that has taken those in. */
int sh_compacted_restore(struct sh_workflow *wf, const json_t *state, struct sh_err *err);

/* ---- compact.c: doing it ---- */

void sh_compactor_start(struct sh_engine *e);
void sh_compactor_stop(struct sh_engine *e); /* nothing new begins */
void sh_compactor_free(struct sh_engine *e);
/* What a crash interrupted goes on. */
void sh_compactor_sweep(struct sh_engine *e);
/* A checkpoint is durable: is it time? */
void sh_compact_checkpointed(struct sh_workflow *wf, uint64_t seq);
bool sh_compact_under_way(const struct sh_engine *e, const char *id);

/* Who reads a journal page by page holds it: meanwhile nobody begins to compact it. */
void sh_journal_hold(struct sh_engine *e, const char *id);
void sh_journal_release(struct sh_engine *e, const char *id);

#endif
