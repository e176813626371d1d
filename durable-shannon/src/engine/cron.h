/* Five fields of cron in a time zone: minute hour day-of-month month day-of-week. Each is "*", a
 * number, a range, a list, with "/step"; months and days have names; 7 is Sunday as 0 is. When both
 * day fields are restricted, either may match. Also @hourly @daily @weekly @monthly @yearly.
 *
 * Daylight saving: what the clocks jump over is due at the jump, once; what they show twice is due
 * the first time. */
#ifndef SH_ENGINE_CRON_H
#define SH_ENGINE_CRON_H

#include "engine/zone.h"

struct sh_cron {
    uint64_t minutes;
    uint32_t hours, days, months, weekdays; /* bits */
    bool any_day, any_weekday;
};

/* fails  SH_E_INVAL naming the field; SH_E_INVAL also for what never comes (30 February) */
int sh_cron_parse(struct sh_str text, struct sh_cron *ret, struct sh_err *err);
/* The first due time after `after_us`; INT64_MAX when there is none in 8 years (29 February comes
 * within those, but for the turn of a century). units  us since 1970 */
int64_t sh_cron_next(const struct sh_cron *c, const struct sh_zone *z, int64_t after_us);

#endif
