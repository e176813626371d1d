/* A session's record (engine.h) and its tasks' rows as the clients' session. Pure. */
#ifndef SH_API_SESSION_VIEW_H
#define SH_API_SESSION_VIEW_H

#include "base/base.h"

/* What the tasks of a session add up to; all-zero before the first. Borrows nothing. */
struct sh_session_sum {
    size_t task_count; /* of all, also of those that were not added */
    size_t completed, failed, open;
    int64_t created_us, updated_us, tokens;
    double cost_usd;
    bool has_latest;
    char latest_status[32], first_mode[64];
    char *latest_query;
};
void sh_session_sum_add(struct sh_session_sum *sum, const json_t *row); /* newest first */
void sh_session_sum_done(struct sh_session_sum *sum);

/* New references. */
json_t *sh_session_json(const json_t *record, const struct sh_session_sum *sum);
json_t *sh_session_task_json(const json_t *row); /* an element of /sessions/{id}/history */

#endif
