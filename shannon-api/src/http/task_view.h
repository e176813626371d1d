/* A workflow's row (engine.h) as the clients' task. Pure. */
#ifndef SH_API_TASK_VIEW_H
#define SH_API_TASK_VIEW_H

#include "base/base.h"

/* "running" -> "TASK_STATUS_RUNNING"; unknown ones read as TASK_STATUS_FAILED. */
const char *sh_task_status(struct sh_str row_status);
/* The other way, for filters: "RUNNING", "TASK_STATUS_RUNNING", "running" -> "running"; NULL when
 * there is no such status. TASK_STATUS_FAILED stands for "failed" alone. */
const char *sh_row_status(const char *task_status);
bool sh_row_ended(const json_t *row);

/* New references. */
json_t *sh_task_json(const json_t *row);           /* GET /tasks/{id} */
json_t *sh_task_item_json(const json_t *row);      /* an element of GET /tasks */
json_t *sh_task_submitted_json(const json_t *row); /* POST /tasks */
json_t *sh_task_control_json(const json_t *row);   /* control-state */
json_t *sh_task_output_json(const json_t *row);    /* /output */

#endif
