/* See zone.h. A file has a table of transitions and, for the time after the last one, a rule in the
 * form of the TZ variable of POSIX. Both are strangers' bytes: every count is checked against what
 * is there. */
#include "engine/zone.h"

#include "engine/modules.h"

#define FOLDER "/usr/share/zoneinfo/"
#define FILE_MAX (256 * SH_KIB) /* the largest is 4 KiB */
#define DAY 86400

struct rule {  /* when the clocks change, in local time */
    char kind; /* 'M' month.week.day, 'J' day 1..365 without 29 February, 'n' day 0..365 */
    int month, week, day;
    int64_t time_s;
};

struct sh_zone {
    int64_t *at;     /* transitions, ascending */
    int32_t *offset; /* from each on */
    size_t n;
    int32_t first; /* offset before the first */
    bool has_rule, has_dst;
    int64_t std_s, dst_s; /* of the rule */
    struct rule from, to;
};

/* ---- the calendar ---- */

static int64_t days_of(int64_t year, int month, int day) { /* since 1970; Hinnant's algorithm */
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t yoe = y - era * 400;
    int64_t doy = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

    return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

static int64_t year_of(int64_t s) {
    int64_t z = (s >= 0 ? s : s - (DAY - 1)) / DAY + 719468;
    int64_t era = (z >= 0 ? z : z - 146096) / 146097;
    int64_t doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);

    return yoe + era * 400 + ((5 * doy + 2) / 153 >= 10);
}

static bool is_leap(int64_t y) {
    return (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
}

/* Local seconds since 1970 at which a rule falls in a year. */
static int64_t rule_at(const struct rule *r, int64_t year) {
    int64_t day;

    if (r->kind == 'M') {
        int64_t first = days_of(year, r->month, 1);
        int weekday = (int)(((first + 4) % 7 + 7) % 7);
        int64_t next = r->month == 12 ? days_of(year + 1, 1, 1) : days_of(year, r->month + 1, 1);
        day = first + (r->day - weekday + 7) % 7 + (r->week - 1) * 7;
        day = day >= next ? day - 7 : day;
    } else if (r->kind == 'J') {
        day = days_of(year, 1, 1) + r->day - 1 + (is_leap(year) && r->day >= 60);
    } else {
        day = days_of(year, 1, 1) + r->day;
    }
    return day * DAY + r->time_s;
}

static int64_t rule_offset(const struct sh_zone *z, int64_t utc_s) {
    int64_t year = year_of(utc_s + z->std_s), from, to;

    if (!z->has_dst) {
        return z->std_s;
    }
    from = rule_at(&z->from, year) - z->std_s;
    to = rule_at(&z->to, year) - z->dst_s;
    if (from < to) {
        return utc_s >= from && utc_s < to ? z->dst_s : z->std_s;
    }
    return utc_s >= to && utc_s < from ? z->std_s : z->dst_s; /* south of the equator */
}

int64_t sh_zone_offset(const struct sh_zone *z, int64_t utc_s) {
    size_t low = 0, high = z->n;

    if (z->n == 0 || utc_s >= z->at[z->n - 1]) {
        return z->has_rule ? rule_offset(z, utc_s) : z->n ? z->offset[z->n - 1] : z->first;
    }
    while (low < high) { /* the first transition after utc_s */
        size_t middle = (low + high) / 2;
        if (z->at[middle] <= utc_s) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low == 0 ? z->first : z->offset[low - 1];
}

int64_t sh_zone_utc(const struct sh_zone *z, int64_t local_s) {
    int64_t before = local_s - sh_zone_offset(z, local_s - DAY);
    int64_t after = local_s - sh_zone_offset(z, local_s + DAY);

    if (before + sh_zone_offset(z, before) == local_s) {
        return before;
    }
    if (after + sh_zone_offset(z, after) == local_s) {
        return after;
    }
    /* Not shown there: the jump lies between the two readings. */
    int64_t low = before < after ? before : after, high = before < after ? after : before;
    int64_t old = sh_zone_offset(z, low);
    while (high - low > 1) {
        int64_t middle = low + (high - low) / 2;
        if (sh_zone_offset(z, middle) == old) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return high;
}

/* ---- the rule at the end: "CET-1CEST,M3.5.0,M10.5.0/3" ---- */

static bool take_char(const char **p, char c) {
    if (**p != c) {
        return false;
    }
    (*p)++;
    return true;
}

static bool take_name(const char **p) {
    const char *s = *p;
    bool quoted = *s == '<';

    s += quoted;
    while ((*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') ||
           (quoted && ((*s >= '0' && *s <= '9') || *s == '+' || *s == '-'))) {
        s++;
    }
    if (s - *p < 3 || (quoted && !take_char(&s, '>'))) {
        return false;
    }
    *p = s;
    return true;
}

static bool take_number(const char **p, int most, int *ret) {
    int n = 0, digits = 0;

    for (; **p >= '0' && **p <= '9' && digits < 4; digits++) {
        n = n * 10 + *(*p)++ - '0';
    }
    *ret = n;
    return digits > 0 && n <= most;
}

/* [+|-]hh[:mm[:ss]] */
static bool take_time(const char **p, int64_t *ret_s) {
    int part[3] = {0}, sign = **p == '-' ? -1 : 1;

    *p += **p == '-' || **p == '+';
    for (int i = 0; i < 3; i++) {
        if (i > 0 && **p != ':') {
            break;
        }
        *p += i > 0;
        if (!take_number(p, i == 0 ? 167 : 59, &part[i])) {
            return false;
        }
    }
    *ret_s = sign * ((int64_t)part[0] * 3600 + part[1] * 60 + part[2]);
    return true;
}

static bool take_rule(const char **p, struct rule *r) {
    r->time_s = 7200;
    r->kind = **p == 'M' || **p == 'J' ? *(*p)++ : 'n';
    if (r->kind == 'M') {
        if (!take_number(p, 12, &r->month) || r->month < 1 || !take_char(p, '.') ||
            !take_number(p, 5, &r->week) || r->week < 1 || !take_char(p, '.') ||
            !take_number(p, 6, &r->day)) {
            return false;
        }
    } else if (!take_number(p, 365, &r->day) || (r->kind == 'J' && r->day < 1)) {
        return false;
    }
    if (**p == '/') {
        (*p)++;
        return take_time(p, &r->time_s);
    }
    return true;
}

static bool take_footer(struct sh_zone *z, const char *p) {
    if (!take_name(&p) || !take_time(&p, &z->std_s)) {
        return false;
    }
    z->std_s = -z->std_s; /* POSIX counts west */
    z->has_rule = true;
    if (!*p) {
        return true;
    }
    z->has_dst = true;
    z->dst_s = z->std_s + 3600;
    if (!take_name(&p)) {
        return false;
    }
    if (*p != ',') {
        if (!take_time(&p, &z->dst_s)) {
            return false;
        }
        z->dst_s = -z->dst_s;
    }
    return take_char(&p, ',') && take_rule(&p, &z->from) && take_char(&p, ',') &&
           take_rule(&p, &z->to) && !*p;
}

/* ---- the file ---- */

static uint32_t be32(const char *p) {
    const unsigned char *b = (const unsigned char *)p;

    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

static int64_t be64(const char *p) {
    return (int64_t)((uint64_t)be32(p) << 32 | be32(p + 4));
}

struct header {
    uint32_t isut, isstd, leap, time, type, chars;
};

static bool take_header(struct sh_str *in, struct header *h) {
    if (in->len < 44 || memcmp(in->p, "TZif", 4) != 0 || in->p[4] < '2') {
        return false;
    }
    *h = (struct header){be32(in->p + 20), be32(in->p + 24), be32(in->p + 28),
                         be32(in->p + 32), be32(in->p + 36), be32(in->p + 40)};
    in->p += 44;
    in->len -= 44;
    return h->isut < 4096 && h->isstd < 4096 && h->leap < 4096 && h->time < 4096 && h->type < 256 &&
           h->chars < 4096;
}

static size_t body_bytes(const struct header *h, size_t time_bytes) {
    return h->time * time_bytes + h->time + h->type * 6 + h->chars + h->leap * (time_bytes + 4) +
           h->isstd + h->isut;
}

static bool take_table(struct sh_zone *z, const struct header *h, const char *p) {
    const char *index = p + h->time * 8, *types = index + h->time;

    z->n = h->time;
    z->at = sh_new_array(int64_t, z->n + 1);
    z->offset = sh_new_array(int32_t, z->n + 1);
    z->first = (int32_t)be32(types);
    for (size_t i = 0; i < z->n; i++) {
        unsigned type = (unsigned char)index[i];
        z->at[i] = be64(p + i * 8);
        if (type >= h->type || (i > 0 && z->at[i] <= z->at[i - 1])) {
            return false;
        }
        z->offset[i] = (int32_t)be32(types + type * 6);
        if (z->offset[i] <= -DAY * 2 || z->offset[i] >= DAY * 2) {
            return false;
        }
    }
    return true;
}

static bool read_file(struct sh_zone *z, struct sh_str in) {
    struct header h;
    size_t n;
    char footer[128];

    if (!take_header(&in, &h) || body_bytes(&h, 4) > in.len) {
        return false;
    }
    in.p += body_bytes(&h, 4);
    in.len -= body_bytes(&h, 4);
    if (!take_header(&in, &h) || body_bytes(&h, 8) > in.len || h.type == 0 || h.leap > 0 ||
        !take_table(z, &h, in.p)) {
        return false;
    }
    in.p += body_bytes(&h, 8);
    in.len -= body_bytes(&h, 8);
    if (in.len < 2 || in.p[0] != '\n' || in.p[in.len - 1] != '\n' || in.len - 2 >= sizeof(footer)) {
        return false;
    }
    n = in.len - 2;
    memcpy(footer, in.p + 1, n);
    footer[n] = '\0';
    return n == 0 || take_footer(z, footer);
}

int sh_zone_parse(struct sh_str bytes, struct sh_zone **ret, struct sh_err *err) {
    struct sh_zone *z = sh_new(struct sh_zone);

    if (!read_file(z, bytes)) {
        sh_zone_free(z);
        return sh_fail(err, SH_E_CORRUPT, "not a time zone file of version 2 or later");
    }
    *ret = z;
    return 0;
}

struct sh_zone *sh_zone_free(struct sh_zone *z) {
    if (z) {
        sh_free(z->at);
        sh_free(z->offset);
    }
    return sh_free(z);
}

/* Of the database, not of the file system: components of letters, digits, "_", "+" and "-". */
static bool good_name(struct sh_str name) {
    bool begins = true;

    for (size_t i = 0; i < name.len; i++) {
        char c = name.p[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!letter && (begins || !((c >= '0' && c <= '9') || strchr("_+-/", c)))) {
            return false;
        }
        begins = c == '/';
    }
    return name.len > 0 && name.len < 64 && !begins;
}

int sh_zone_load(struct sh_str name, struct sh_zone **ret, struct sh_err *err) {
    struct sh_err own = {0};
    struct sh_buf bytes;
    int r;

    if (!good_name(name)) {
        return sh_fail(err, SH_E_INVAL,
                       "timezone: expected a name such as Europe/Berlin or UTC, not \"%.*s\"",
                       (int)(name.len < 60 ? name.len : 60), name.p ? name.p : "");
    }
    if (sh_str_eqz(name, "UTC")) { /* also where no database is installed */
        *ret = sh_new(struct sh_zone);
        return 0;
    }
    sh_auto(sh_free_p) char *path = sh_asprintf(FOLDER "%.*s", (int)name.len, name.p);
    sh_buf_init(&bytes, FILE_MAX);
    r = sh_file_read(path, FILE_MAX - 1, &bytes, &own);
    r = r < 0 ? r : sh_zone_parse(sh_buf_str(&bytes), ret, &own);
    sh_buf_done(&bytes);
    if (own.code == SH_E_NOT_FOUND || own.code == SH_E_INVAL) {
        return sh_fail(err, SH_E_INVAL,
                       "timezone: there is no \"%.*s\" in " FOLDER
                       "; expected a name such as Europe/Berlin (Debian: the package tzdata)",
                       (int)name.len, name.p);
    }
    return r < 0 ? sh_fail(err, own.code, "timezone %.*s: %s", (int)name.len, name.p, own.message)
                 : 0;
}
