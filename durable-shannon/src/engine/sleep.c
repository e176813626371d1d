/* The op sleep: until when, and for how long. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "engine/private.h"

#define LOOK_US 15000000LL /* the wall clock may be set: a time of day is looked at again */

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

static void timer_fired(struct sh_timer *t) {
    struct sh_activity *a = sh_container_of(t, struct sh_activity, timer);
    struct sh_workflow *wf = a->wf;

    sh_activity_succeed(a, json_pack("{s:I}", "slept_ms", (json_int_t)sh_sleep_ms(a)));
    sh_journal_commit(wf, NULL, NULL);
}

static void look_at_the_clock(struct sh_timer *t) {
    struct sh_activity *a = sh_container_of(t, struct sh_activity, timer);
    int64_t left_us = a->due_us - sh_wall_us();

    if (left_us <= 0) {
        timer_fired(t);
    } else {
        sh_timer_start(a->wf->engine->loop, t,
                       left_us < LOOK_US ? (uint64_t)left_us * 1000 : LOOK_US * 1000ULL,
                       look_at_the_clock);
    }
}

/* A relative sleep goes by the clock that nobody sets: where it slept before, and else, after a
 * restart, for what is left by the wall clock, never more than was asked for. */
void sh_sleep_run(struct sh_activity *a) {
    int64_t left_us = a->due_us - sh_wall_us(), most_us = sh_sleep_ms(a) * 1000, slept_us;
    char name[24];

    a->state = SH_ACTIVITY_OUT;
    if (json_object_get(a->args, "until")) {
        sh_timer_start(a->wf->engine->loop, &a->timer, 0, look_at_the_clock);
        return;
    }
    snprintf(name, sizeof(name), "%llu", (unsigned long long)a->ordinal);
    slept_us = sh_moment_left_us(a->wf->engine, a->wf->slept, name);
    left_us = slept_us != INT64_MAX ? slept_us : left_us;
    left_us = left_us < most_us ? left_us : most_us;
    sh_timer_start(a->wf->engine->loop, &a->timer, left_us > 0 ? (uint64_t)left_us * 1000 : 0,
                   timer_fired);
}
