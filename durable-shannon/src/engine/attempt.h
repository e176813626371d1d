/* The attempts of an activity: when a call leaves, what it tells while it is out, and when it is
 * made again. How often and after how long is retry.h's. */
#ifndef SH_ENGINE_ATTEMPT_H
#define SH_ENGINE_ATTEMPT_H

#include "base/base.h"

struct sh_activity;
struct sh_workflow;

/* Inputs became durable: let READY activities leave. */
void sh_activities_dispatch(struct sh_workflow *wf);
/* A sign of life of the attempt under way (heartbeat_timeout_ms): bytes came, a child went on. */
void sh_activity_alive(struct sh_activity *a);

/* May an attempt that failed with this code, which is a retryable one, be followed by another? */
bool sh_attempt_goes_on(const struct sh_activity *a, int code);
/* It is: journal the outcome `body` of the attempt that failed, and wait as long as the policy of
 * retries says or, up to a minute, as the answer asked for.  takes  body */
void sh_attempt_retry(struct sh_activity *a, json_t *body, uint64_t retry_after_ms);
/* The next attempt is made after this time, or as soon as it may leave. */
void sh_attempt_later(struct sh_activity *a, uint64_t wait_us);
void sh_attempt_now(struct sh_activity *a);

#endif
