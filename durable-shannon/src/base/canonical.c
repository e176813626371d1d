/* One pass over the text with what sh_json_dump promises: no blanks, names in ascending order (so
 * none twice), one way to write each character. Whatever differs is left to the real parser, so
 * being wrong here in the strict direction costs time only. */
#include "base/canonical.h"

#include "base/limits.h"

#define DIGITS_MAX 18 /* of a number that surely fits */

struct scan {
    const char *p, *end;
    bool high; /* there are bytes beyond ASCII, whose UTF-8 is checked in the end */
};

/* What jansson writes of a character below a blank: a letter for five of them, else \u00XX. */
static bool escape(struct scan *s) {
    static const char lettered[] = "\b\f\n\r\t";
    size_t left = (size_t)(s->end - s->p);
    char c = left > 0 ? *s->p : '\0';

    if (c != '\0' && strchr("\"\\bfnrt", c)) {
        s->p++;
        return true;
    }
    if (left < 5 || memcmp(s->p, "u00", 3) != 0 || (s->p[3] != '0' && s->p[3] != '1')) {
        return false;
    }
    char low = s->p[4];
    int digit = low >= '0' && low <= '9'   ? low - '0'
                : low >= 'A' && low <= 'F' ? low - 'A' + 10
                                           : -1;
    int code = (s->p[3] - '0') * 16 + digit;
    s->p += 5;
    return digit >= 0 && code != 0 && !strchr(lettered, code);
}

/* After the opening quote, to after the closing one. */
static bool string(struct scan *s, bool *ret_escapes) {
    while (s->p < s->end) {
        unsigned char c = (unsigned char)*s->p++;
        if (c == '"') {
            return true;
        }
        if (c < 0x20) {
            return false;
        }
        if (c == '\\') {
            *ret_escapes = true;
            if (!escape(s)) {
                return false;
            }
        }
        s->high |= c >= 0x80;
    }
    return false;
}

static bool number(struct scan *s) {
    bool negative = *s->p == '-';
    const char *first = s->p + negative;

    s->p = first;
    while (s->p < s->end && *s->p >= '0' && *s->p <= '9') {
        s->p++;
    }
    size_t n = (size_t)(s->p - first);
    return n > 0 && n <= DIGITS_MAX && (*first != '0' || (n == 1 && !negative));
}

static bool word(struct scan *s, struct sh_str w) {
    if ((size_t)(s->end - s->p) < w.len || memcmp(s->p, w.p, w.len) != 0) {
        return false;
    }
    s->p += w.len;
    return true;
}

static bool value(struct scan *s, unsigned depth);

static bool array(struct scan *s, unsigned depth) {
    if (word(s, SH_STR("]"))) {
        return true;
    }
    while (value(s, depth)) {
        if (word(s, SH_STR("]"))) {
            return true;
        }
        if (!word(s, SH_STR(","))) {
            return false;
        }
    }
    return false;
}

static bool comes_after(struct sh_str name, struct sh_str before) {
    size_t n = name.len < before.len ? name.len : before.len;
    int order = memcmp(name.p, before.p, n);

    return order > 0 || (order == 0 && name.len > before.len);
}

static bool member(struct scan *s, unsigned depth, struct sh_canonical_member *ret) {
    bool escapes = false;

    if (!word(s, SH_STR("\""))) {
        return false;
    }
    ret->name.p = s->p;
    if (!string(s, &escapes) || escapes) {
        return false;
    }
    ret->name.len = (size_t)(s->p - ret->name.p) - 1;
    if (!word(s, SH_STR(":"))) {
        return false;
    }
    ret->value.p = s->p;
    if (!value(s, depth)) {
        return false;
    }
    ret->value.len = (size_t)(s->p - ret->value.p);
    return true;
}

/* After the brace. keep NULL: the members are not wanted */
static bool object(struct scan *s, unsigned depth, struct sh_canonical_member *keep, size_t max,
                   size_t *ret_n) {
    struct sh_canonical_member last = {{"", 0}, {"", 0}}, m = {{"", 0}, {"", 0}};

    *ret_n = 0;
    if (word(s, SH_STR("}"))) {
        return true;
    }
    while (*ret_n < max && member(s, depth, &m) &&
           (*ret_n == 0 || comes_after(m.name, last.name))) {
        if (keep) {
            keep[*ret_n] = m;
        }
        ++*ret_n;
        last = m;
        if (word(s, SH_STR("}"))) {
            return true;
        }
        if (!word(s, SH_STR(","))) {
            return false;
        }
    }
    return false;
}

static bool value(struct scan *s, unsigned depth) {
    bool escapes = false;
    size_t n = 0;

    if (s->p == s->end) {
        return false;
    }
    switch (*s->p) {
    case '"':
        s->p++;
        return string(s, &escapes);
    case '{':
        s->p++;
        return depth < SH_JSON_DEPTH_MAX && object(s, depth + 1, NULL, SIZE_MAX, &n);
    case '[':
        s->p++;
        return depth < SH_JSON_DEPTH_MAX && array(s, depth + 1);
    case 't':
        return word(s, SH_STR("true"));
    case 'f':
        return word(s, SH_STR("false"));
    case 'n':
        return word(s, SH_STR("null"));
    default:
        return number(s);
    }
}

bool sh_canonical_members(struct sh_str text, struct sh_canonical_member *ret, size_t max,
                          size_t *ret_n) {
    struct scan s = {text.p, text.p + text.len, false};

    return word(&s, SH_STR("{")) && object(&s, 1, ret, max, ret_n) && s.p == s.end &&
           (!s.high || sh_utf8_valid(text));
}

bool sh_canonical_u64(struct sh_str text, uint64_t *ret) {
    uint64_t n = 0;

    if (text.len == 0 || text.len > DIGITS_MAX) {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        if (text.p[i] < '0' || text.p[i] > '9') {
            return false;
        }
        n = n * 10 + (uint64_t)(text.p[i] - '0');
    }
    *ret = n;
    return true;
}

bool sh_canonical_plain(struct sh_str text, struct sh_str *ret) {
    if (text.len < 2 || text.p[0] != '"' || memchr(text.p, '\\', text.len)) {
        return false;
    }
    *ret = sh_strn(text.p + 1, text.len - 2);
    return true;
}
