/* Hex and base64 (libsodium's, which are strict and run in constant time), and the durations and
 * sizes that people write. */
#include <sodium.h>

#include "base/err.h"
#include "base/str.h"

void sh_hex_encode(struct sh_buf *b, const void *p, size_t n) {
    if (n == 0) {
        return;
    }
    char *to = n <= (SIZE_MAX - 1) / 2 ? sh_buf_room(b, n * 2) : NULL;
    if (!to) {
        b->failed = true;
        return;
    }
    sodium_bin2hex(to, n * 2 + 1, p, n);
    b->len += n * 2;
}

int sh_hex_decode(struct sh_str hex, void *out, size_t n) {
    size_t got = 0;
    if (hex.len % 2 || hex.len / 2 != n) {
        return -SH_E_INVAL;
    }
    if (n == 0) {
        return 0;
    }
    int rc = sodium_hex2bin(out, n, hex.p, hex.len, NULL, &got, NULL);
    return rc == 0 && got == n ? 0 : -SH_E_INVAL;
}

void sh_base64_encode(struct sh_buf *b, const void *p, size_t n) {
    if (n == 0) {
        return;
    }
    size_t length = n <= SIZE_MAX / 2 ? (n + 2) / 3 * 4 : SIZE_MAX;
    char *to = sh_buf_room(b, length);
    if (!to) {
        return;
    }
    sodium_bin2base64(to, length + 1, p, n, sodium_base64_VARIANT_ORIGINAL);
    b->len += length;
}

int sh_base64_decode(struct sh_buf *b, struct sh_str text) {
    if (text.len % 4) {
        return -SH_E_INVAL;
    }
    if (text.len == 0) {
        return b->failed ? -SH_E_INVAL : 0;
    }
    size_t padding = (size_t)(text.p[text.len - 1] == '=') + (size_t)(text.p[text.len - 2] == '=');
    size_t length = text.len / 4 * 3 - padding;
    char *to = sh_buf_room(b, length);
    size_t got = 0;
    if (!to ||
        sodium_base642bin((unsigned char *)to, length, text.p, text.len, NULL, &got, NULL,
                          sodium_base64_VARIANT_ORIGINAL) != 0 ||
        got != length) {
        if (to) {
            *to = '\0';
        }
        return -SH_E_INVAL;
    }
    b->len += length;
    return 0;
}

struct unit {
    const char *name;
    uint64_t factor;
};

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

enum number { NUMBER_OK, NUMBER_MALFORMED, NUMBER_TOO_LARGE, NUMBER_NOT_WHOLE };

static const struct unit *unit_find(const struct unit *units, struct sh_str name) {
    for (; units->name; units++) {
        if (sh_str_eqz(name, units->name)) {
            return units;
        }
    }
    return NULL;
}

/* digits [. digits] unit, exactly: no float, so that 0.1GB is what it says. */
static enum number parse_with_unit(struct sh_str s, const struct unit *units, uint64_t *ret) {
    uint64_t whole = 0;
    uint64_t fraction = 0;
    uint64_t scale = 1;
    size_t i = 0;
    for (; i < s.len && is_digit(s.p[i]); i++) {
        if (__builtin_mul_overflow(whole, 10u, &whole) ||
            __builtin_add_overflow(whole, (uint64_t)(s.p[i] - '0'), &whole)) {
            return NUMBER_TOO_LARGE;
        }
    }
    if (i == 0) {
        return NUMBER_MALFORMED;
    }
    if (i < s.len && s.p[i] == '.') {
        size_t first = ++i;
        for (; i < s.len && is_digit(s.p[i]); i++) {
            if (i - first >= 6) { /* 10^6 times the largest unit still fits 64 bits */
                return NUMBER_NOT_WHOLE;
            }
            fraction = fraction * 10 + (uint64_t)(s.p[i] - '0');
            scale *= 10;
        }
        if (i == first) {
            return NUMBER_MALFORMED;
        }
    }
    const struct unit *unit = unit_find(units, sh_strn(s.p + i, s.len - i));
    if (!unit) {
        return NUMBER_MALFORMED;
    }
    uint64_t part = fraction * unit->factor;
    if (part % scale) {
        return NUMBER_NOT_WHOLE;
    }
    if (__builtin_mul_overflow(whole, unit->factor, &whole) ||
        __builtin_add_overflow(whole, part / scale, &whole)) {
        return NUMBER_TOO_LARGE;
    }
    *ret = whole;
    return NUMBER_OK;
}

static const char *number_text(enum number result, const char *not_whole) {
    return result == NUMBER_TOO_LARGE   ? "is too large"
           : result == NUMBER_NOT_WHOLE ? not_whole
                                        : "is not one";
}

int sh_parse_duration_ms(struct sh_str s, uint64_t *ret_ms, struct sh_err *err) {
    static const struct unit units[] = {{"ms", 1},      {"s", 1000},      {"m", 60000},
                                        {"h", 3600000}, {"d", 86400000u}, {NULL, 0}};
    enum number result = parse_with_unit(s, units, ret_ms);
    if (result == NUMBER_OK) {
        return 0;
    }
    return sh_fail(err, SH_E_INVAL,
                   "expected a duration such as 250ms, 1.5s, 10m, 2h or 3d; \"%.*s\" %s",
                   (int)(s.len < 64 ? s.len : 64), s.len ? s.p : "",
                   number_text(result, "is finer than a millisecond"));
}

int sh_parse_size(struct sh_str s, uint64_t *ret_bytes, struct sh_err *err) {
    static const struct unit units[] = {
        {"", 1},
        {"B", 1},
        {"kB", 1000},
        {"KB", 1000},
        {"MB", 1000000},
        {"GB", 1000000000},
        {"TB", 1000000000000},
        {"KiB", 1ULL << 10},
        {"MiB", 1ULL << 20},
        {"GiB", 1ULL << 30},
        {"TiB", 1ULL << 40},
        {NULL, 0},
    };
    enum number result = parse_with_unit(s, units, ret_bytes);
    if (result == NUMBER_OK) {
        return 0;
    }
    return sh_fail(err, SH_E_INVAL, "expected a size such as 4096, 64KiB, 8MiB or 1GB; \"%.*s\" %s",
                   (int)(s.len < 64 ? s.len : 64), s.len ? s.p : "",
                   number_text(result, "is not a whole number of bytes"));
}
