/* See retry.h. */
#include "engine/retry.h"

#include <math.h>

#define ATTEMPTS_MAX 100
#define BACKOFF_MAX_MS 86400000 /* a day */
#define FACTOR_MAX 100
#define CODES_MAX 64

void sh_retry_init(struct sh_retry *r) {
    *r = (struct sh_retry){
        .attempts = 4, .backoff_ms = 500, .backoff_max_ms = 30000, .factor = 2, .jitter = 0.1};
}

void sh_retry_done(struct sh_retry *r) {
    json_decref(r->no_retry);
    *r = (struct sh_retry){0};
}

/* A whole number in [min, max] into *value, where the member is there. */
static int take_int(const json_t *options, const char *name, int64_t min, int64_t max,
                    uint64_t *value, struct sh_err *err) {
    json_t *member = json_object_get(options, name);

    if (!member) {
        return 0;
    }
    if (!json_is_integer(member) || json_integer_value(member) < min ||
        json_integer_value(member) > max) {
        sh_auto(sh_free_p) char *text = sh_json_text(member);
        return sh_fail(err, SH_E_INVAL, "retry: %s: expected a whole number of %lld..%lld, got %s",
                       name, (long long)min, (long long)max, text);
    }
    *value = (uint64_t)json_integer_value(member);
    return 0;
}

static int take_real(const json_t *options, const char *name, double min, double max, double *value,
                     struct sh_err *err) {
    json_t *member = json_object_get(options, name);

    if (!member) {
        return 0;
    }
    if (!json_is_number(member) || !(json_number_value(member) >= min) ||
        !(json_number_value(member) <= max)) {
        sh_auto(sh_free_p) char *text = sh_json_text(member);
        return sh_fail(err, SH_E_INVAL, "retry: %s: expected a number of %g..%g, got %s", name, min,
                       max, text);
    }
    *value = json_number_value(member);
    return 0;
}

/* Codes are checked against the table of errors: a mistyped one would be tried again for ever. */
static int take_codes(const json_t *options, struct sh_retry *r, struct sh_err *err) {
    json_t *list = json_object_get(options, "no_retry"), *item;
    size_t i;

    if (!list) {
        return 0;
    }
    if (!json_is_array(list) || json_array_size(list) > CODES_MAX) {
        return sh_fail(err, SH_E_INVAL,
                       "retry: no_retry: expected a list of at most %d error codes, such as "
                       "[\"upstream_error\"]",
                       CODES_MAX);
    }
    json_array_foreach(list, i, item) {
        const char *name = json_string_value(item);
        if (!name || strcmp(sh_code_info(sh_code_from_name(name))->name, name) != 0) {
            sh_auto(sh_free_p) char *text = sh_json_text(item);
            return sh_fail(err, SH_E_INVAL,
                           "retry: no_retry[%zu]: there is no error code %.60s; docs/errors.md "
                           "lists them",
                           i, text);
        }
    }
    json_decref(r->no_retry);
    r->no_retry = json_incref(list);
    return 0;
}

int sh_retry_parse(const json_t *options, struct sh_retry *r, struct sh_err *err) {
    static const char *const known[] = {
        "attempts", "backoff_ms", "backoff_max_ms", "factor", "jitter", "no_retry", NULL};
    uint64_t attempts = r->attempts;

    if (!json_is_object(options)) {
        return sh_fail(err, SH_E_INVAL, "retry: expected an object {attempts, backoff_ms, ...}");
    }
    if (sh_json_only(options, known, "retry", err) < 0 ||
        take_int(options, "attempts", 1, ATTEMPTS_MAX, &attempts, err) < 0 ||
        take_int(options, "backoff_ms", 0, BACKOFF_MAX_MS, &r->backoff_ms, err) < 0 ||
        take_int(options, "backoff_max_ms", 0, BACKOFF_MAX_MS, &r->backoff_max_ms, err) < 0 ||
        take_real(options, "factor", 1, FACTOR_MAX, &r->factor, err) < 0 ||
        take_real(options, "jitter", 0, 1, &r->jitter, err) < 0 ||
        take_codes(options, r, err) < 0) {
        return -SH_E_INVAL;
    }
    r->attempts = (unsigned)attempts;
    return 0;
}

bool sh_retry_goes_on(const struct sh_retry *r, const char *code, unsigned attempt) {
    json_t *item;
    size_t i;

    json_array_foreach(r->no_retry, i, item) {
        if (strcmp(json_string_value(item), code) == 0) {
            return false;
        }
    }
    return attempt < r->attempts;
}

/* A number in [0, 1) that only seed, ordinal and attempt determine. */
static double chance(const uint8_t seed[32], uint64_t ordinal, unsigned attempt) {
    struct sh_hasher h;
    struct sh_hash hash;
    uint64_t bits = 0;

    sh_hasher_init(&h);
    sh_hasher_str(&h, SH_STR("shannon retry 1"));
    sh_hasher_add(&h, seed, 32);
    sh_hasher_u64(&h, ordinal);
    sh_hasher_u64(&h, attempt);
    sh_hasher_done(&h, &hash);
    for (size_t i = 0; i < 6; i++) {
        bits = bits << 8 | hash.b[i];
    }
    return (double)bits / (double)(1ULL << 48);
}

uint64_t sh_retry_wait_ms(const struct sh_retry *r, const uint8_t seed[32], uint64_t ordinal,
                          unsigned attempt) {
    double wait = (double)r->backoff_ms * pow(r->factor, attempt > 0 ? attempt - 1 : 0);

    if (!(wait < (double)r->backoff_max_ms)) {
        wait = (double)r->backoff_max_ms;
    }
    wait -= wait * r->jitter * chance(seed, ordinal, attempt);
    return (uint64_t)wait;
}
