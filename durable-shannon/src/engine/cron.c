/* See cron.h. Due times are found in local time, day by day, and then placed in UTC: the order is
 * the same in both, because a time that is shown twice counts the first time. */
#include "engine/cron.h"

#include <strings.h>

#define DAYS_AHEAD (366 * 8)

struct field {
    const char *name;
    int low, high;
    const char *names; /* three letters each, or NULL */
};

static const struct field fields[] = {
    {"minute", 0, 59, NULL},
    {"hour", 0, 23, NULL},
    {"day of the month", 1, 31, NULL},
    {"month", 1, 12, "janfebmaraprmayjunjulaugsepoctnovdec"},
    {"day of the week", 0, 7, "sunmontuewedthufrisat"},
};

static int bad(struct sh_err *err, const struct field *f, struct sh_str text) {
    return sh_fail(err, SH_E_INVAL,
                   "cron: the %s is \"%.*s\"; expected *, numbers from %d to %d, ranges a-b, "
                   "lists a,b and steps */n",
                   f->name, (int)(text.len < 40 ? text.len : 40), text.p, f->low, f->high);
}

static bool take_value(const struct field *f, const char **p, const char *end, int *ret) {
    int n = 0, digits = 0;

    for (size_t i = 0; f->names && end - *p >= 3 && f->names[i * 3]; i++) {
        if (strncasecmp(*p, f->names + i * 3, 3) == 0) {
            *p += 3;
            *ret = (int)i + f->low;
            return true;
        }
    }
    for (; *p < end && **p >= '0' && **p <= '9' && digits < 3; digits++) {
        n = n * 10 + *(*p)++ - '0';
    }
    *ret = n;
    return digits > 0;
}

/* One item of a list: * | a | a-b, each with /step. */
static bool take_item(const struct field *f, const char **p, const char *end, uint64_t *bits) {
    int from = f->low, to = f->high, step = 1;
    bool open = *p < end && **p == '*';

    if (open) {
        (*p)++;
    } else {
        if (!take_value(f, p, end, &from)) {
            return false;
        }
        to = from;
        if (*p < end && **p == '-') {
            (*p)++;
            if (!take_value(f, p, end, &to)) {
                return false;
            }
            open = true;
        }
    }
    if (*p < end && **p == '/') {
        (*p)++;
        to = open ? to : f->high; /* "5/15": from 5 on */
        if (*p >= end || **p < '0' || **p > '9' || !take_value(f, p, end, &step) || step < 1) {
            return false;
        }
    }
    if (from < f->low || to > f->high || from > to) {
        return false;
    }
    for (int i = from; i <= to; i += step) {
        *bits |= (uint64_t)1 << i;
    }
    return true;
}

static int take_field(const struct field *f, struct sh_str text, uint64_t *bits,
                      struct sh_err *err) {
    const char *p = text.p, *end = text.p + text.len;

    *bits = 0;
    for (;;) {
        if (!take_item(f, &p, end, bits)) {
            return bad(err, f, text);
        }
        if (p == end) {
            return 0;
        }
        if (*p++ != ',') {
            return bad(err, f, text);
        }
    }
}

static bool comes(const struct sh_cron *c) {
    static const int longest[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

    for (int month = 1; c->any_weekday && month <= 12; month++) {
        for (int day = 1; c->months >> month & 1 && day <= longest[month - 1]; day++) {
            if (c->days >> day & 1) {
                return true;
            }
        }
    }
    return !c->any_weekday;
}

static struct sh_str shorthand(struct sh_str text) {
    static const char *const known[][2] = {
        {"@hourly", "0 * * * *"},   {"@daily", "0 0 * * *"},   {"@midnight", "0 0 * * *"},
        {"@weekly", "0 0 * * 0"},   {"@monthly", "0 0 1 * *"}, {"@yearly", "0 0 1 1 *"},
        {"@annually", "0 0 1 1 *"},
    };
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (sh_str_eqz(text, known[i][0])) {
            return sh_str(known[i][1]);
        }
    }
    return text;
}

int sh_cron_parse(struct sh_str text, struct sh_cron *ret, struct sh_err *err) {
    struct sh_str part[5];
    uint64_t bits[5];
    size_t n = 0;

    text = shorthand(text);
    for (size_t i = 0; i < text.len;) {
        size_t start;
        while (i < text.len && (text.p[i] == ' ' || text.p[i] == '\t')) {
            i++;
        }
        start = i;
        while (i < text.len && text.p[i] != ' ' && text.p[i] != '\t') {
            i++;
        }
        if (i > start && n++ < 5) {
            part[n - 1] = sh_strn(text.p + start, i - start);
        }
    }
    if (n != 5) {
        return sh_fail(err, SH_E_INVAL,
                       "cron: expected five fields (minute hour day month weekday) such as "
                       "\"30 7 * * 1-5\", got %zu",
                       n);
    }
    for (size_t i = 0; i < 5; i++) {
        if (take_field(&fields[i], part[i], &bits[i], err) < 0) {
            return -err->code;
        }
    }
    *ret = (struct sh_cron){.minutes = bits[0],
                            .hours = (uint32_t)bits[1],
                            .days = (uint32_t)bits[2],
                            .months = (uint32_t)bits[3],
                            .weekdays = (uint32_t)((bits[4] | bits[4] >> 7) & 127),
                            .any_day = part[2].p[0] == '*',
                            .any_weekday = part[4].p[0] == '*'};
    if (!comes(ret)) {
        return sh_fail(err, SH_E_INVAL, "cron: no such day ever comes: \"%.*s\" of month \"%.*s\"",
                       (int)part[2].len, part[2].p, (int)part[3].len, part[3].p);
    }
    return 0;
}

/* Month and day of a day since 1970. */
static void civil(int64_t days, int *month, int *day) {
    int64_t z = days + 719468;
    int64_t era = (z >= 0 ? z : z - 146096) / 146097;
    int64_t doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int64_t mp = (5 * doy + 2) / 153;

    *day = (int)(doy - (153 * mp + 2) / 5 + 1);
    *month = (int)(mp < 10 ? mp + 3 : mp - 9);
}

static bool day_matches(const struct sh_cron *c, int64_t days) {
    int month, day, weekday = (int)(((days + 4) % 7 + 7) % 7);
    bool in_month, in_week = c->weekdays >> weekday & 1;

    civil(days, &month, &day);
    if (!(c->months >> month & 1)) {
        return false;
    }
    in_month = c->days >> day & 1;
    return c->any_day || c->any_weekday ? in_month && in_week : in_month || in_week;
}

int64_t sh_cron_next(const struct sh_cron *c, const struct sh_zone *z, int64_t after_us) {
    int64_t after_s = after_us >= 0 ? after_us / 1000000 : -((-after_us + 999999) / 1000000);
    int64_t local_s = after_s + sh_zone_offset(z, after_s);
    int64_t today = (local_s >= 0 ? local_s : local_s - 86399) / 86400;

    for (int64_t days = today; days < today + DAYS_AHEAD; days++) {
        int minute = days == today ? (int)((local_s - today * 86400) / 60) : 0;
        if (!day_matches(c, days)) {
            continue;
        }
        for (; minute < 24 * 60; minute++) {
            if (!(c->hours >> (minute / 60) & 1)) {
                minute += 59 - minute % 60;
                continue;
            }
            if (c->minutes >> (minute % 60) & 1) {
                int64_t due_s = sh_zone_utc(z, days * 86400 + minute * 60);
                if (due_s > after_s) {
                    return due_s * 1000000;
                }
            }
        }
    }
    return INT64_MAX;
}
