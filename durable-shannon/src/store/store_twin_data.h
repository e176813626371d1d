/* store_twin, inside: the state of a database as JSON, and batches applied to it. */
#ifndef SH_STORE_TWIN_DATA_H
#define SH_STORE_TWIN_DATA_H

#include "store/store.h"

/* {"event": {workflow: [events by seq]}, "kv": {key: record}, ...}. Events and records are shared
 * between copies and never changed in place. */
json_t *sh_twin_state_new(void);
json_t *sh_twin_state_copy(const json_t *state);

/* All of a batch or nothing. fails  SH_E_EXISTS, SH_E_INVAL, SH_E_FENCED */
int sh_twin_state_apply(json_t *state, struct sh_str batch, struct sh_err *err);
/* The same for one that was accepted already: it is not fenced again. */
int sh_twin_state_keep(json_t *state, struct sh_str batch, struct sh_err *err);

/* An array of events with after < seq, at most `limit`. */
json_t *sh_twin_state_events(const json_t *state, struct sh_str workflow, uint64_t after,
                             size_t limit);
/* An array of the record or of none; each with its "id". */
json_t *sh_twin_state_get(const json_t *state, enum sh_table t, struct sh_str key);
json_t *sh_twin_state_list(const json_t *state, enum sh_table t, const struct sh_store_filter *f,
                           size_t *ret_total);

#endif
