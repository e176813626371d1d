/* Where an unfinished workflow is found after a restart, so that a start reads what it needs and no
 * more:
 *
 *   ACTIVE  a record of SH_TABLE_ACTIVE: taken up at once
 *   ASLEEP  its row says what it waits for; records of SH_TABLE_WAKE and _DAY, where that is a time
 *   NONE    it has ended
 *
 * The records are written in the transactions that write the row, so the three always agree. */
#ifndef SH_ENGINE_INDEX_H
#define SH_ENGINE_INDEX_H

#include "store/store.h"

struct sh_engine;
struct sh_workflow;

enum sh_place { SH_PLACE_NONE, SH_PLACE_ACTIVE, SH_PLACE_ASLEEP };

/* What a sleeper waits for: a timer, which no set clock moves, or what the wall clock shows. Each
 * kind has a table of its own, so that either is in the order in which it comes. */
enum sh_wake_kind { SH_WAKE_TIMER, SH_WAKE_TIME_OF_DAY, SH_WAKE_KINDS };
#define SH_INDEX_TIME_OF_DAY                                                                       \
    "day-" /* what keys of that kind begin with; those of timers: digits                           \
            */

#define SH_INDEX_KEY_BYTES (SH_ID_MAX + 24)
/* Keys sort by urgency, then by age; and by due time. */
void sh_index_active_key(const json_t *row, char ret[SH_INDEX_KEY_BYTES]);
void sh_index_wake_key(int64_t due_us, const char *id, char ret[SH_INDEX_KEY_BYTES]);
enum sh_table sh_index_wake_table(enum sh_wake_kind kind);
json_t *sh_index_active_record(const json_t *row);

/* Does this row (or NULL) say that its workflow goes on? */
bool sh_index_is_open(const json_t *row);
/* Its row goes into the open commit with this status: so do the records that follow from it. */
void sh_index_place(struct sh_workflow *wf, const char *status);
/* Where a row that was read says that its workflow is. */
void sh_index_read(struct sh_workflow *wf);

/* Data that was written before there was an index gets one; then cb. */
void sh_index_load(struct sh_engine *e, sh_store_done_fn cb, void *arg);

#endif
