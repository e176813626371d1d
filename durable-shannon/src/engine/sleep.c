/* The op sleep: until when, and for how long. */
#include <stdlib.h>
#include <time.h>

#include "engine/private.h"

/* ISO 8601 in UTC, "2026-01-31T12:00:00Z" with an optional fraction, or milliseconds since 1970. */
static int parse_until(const json_t *until, int64_t *ret_us, struct sh_err *err) {
    const char *text = json_string_value(until);
    struct tm tm = {0};
    double fraction = 0;
    char *rest;

    if (json_is_integer(until)) {
        *ret_us = json_integer_value(until) * 1000;
        return 0;
    }
    rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
    if (rest && *rest == '.') {
        fraction = strtod(rest, &rest);
    }
    if (!rest || strcmp(rest, "Z") != 0) {
        return sh_fail(err, SH_E_INVAL,
                       "until: expected a time like 2026-01-31T12:00:00Z or milliseconds, got "
                       "\"%.40s\"",
                       text);
    }
    *ret_us = (int64_t)timegm(&tm) * 1000000 + (int64_t)(fraction * 1e6);
    return 0;
}

/* The length of a relative sleep; an absolute one counts from the workflow's start. */
int64_t sh_sleep_ms(const struct sh_activity *a) {
    json_t *seconds = json_object_get(a->args, "seconds");

    if (json_is_number(seconds)) {
        return (int64_t)(json_number_value(seconds) * 1e3);
    }
    return json_object_get(a->args, "until") ? (a->due_us - a->wf->spec.started_us) / 1000
                                             : sh_json_get_int(a->args, "ms", 0);
}

int sh_sleep_due(const struct sh_activity *a, int64_t now_us, int64_t *ret_due_us,
                 struct sh_err *err) {
    json_t *until = json_object_get(a->args, "until");

    if (until) {
        return parse_until(until, ret_due_us, err);
    }
    *ret_due_us = now_us + sh_sleep_ms(a) * 1000;
    return 0;
}
