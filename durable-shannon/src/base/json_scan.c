/* See json_scan.h. RFC 8259. Each reader takes what its name says and gives false, with `why`, at
 * the first byte that is wrong. */
#include "base/json_scan.h"

#include "base/err.h"
#include "base/limits.h"

struct scan {
    const char *p;
    size_t n, i;        /* length; next byte */
    const char *why;    /* of a failure */
    bool deep;          /* likewise */
    const char *wanted; /* a member of the outermost object, or NULL */
    struct sh_str found;
    bool twice;
};

static bool wrong(struct scan *s, const char *why) {
    s->why = why;
    return false;
}

static void blanks(struct scan *s) {
    while (s->i < s->n &&
           (s->p[s->i] == ' ' || s->p[s->i] == '\n' || s->p[s->i] == '\t' || s->p[s->i] == '\r')) {
        s->i++;
    }
}

static bool is_digit(const struct scan *s) {
    return s->i < s->n && s->p[s->i] >= '0' && s->p[s->i] <= '9';
}

static bool digits(struct scan *s) {
    if (!is_digit(s)) {
        return wrong(s, "expected a digit");
    }
    while (is_digit(s)) {
        s->i++;
    }
    return true;
}

static bool number(struct scan *s) {
    s->i += s->p[s->i] == '-';
    if (s->i < s->n && s->p[s->i] == '0') {
        s->i++;
    } else if (!digits(s)) {
        return false;
    }
    if (s->i < s->n && s->p[s->i] == '.') {
        s->i++;
        if (!digits(s)) {
            return false;
        }
    }
    if (s->i < s->n && (s->p[s->i] == 'e' || s->p[s->i] == 'E')) {
        s->i++;
        s->i += s->i < s->n && (s->p[s->i] == '+' || s->p[s->i] == '-');
        return digits(s);
    }
    return true;
}

static bool word(struct scan *s, const char *expected) {
    size_t n = strlen(expected);

    if (s->n - s->i < n || memcmp(s->p + s->i, expected, n) != 0) {
        return wrong(s, "expected a value");
    }
    s->i += n;
    return true;
}

/* The four digits after \u, or -1. */
static int hex4(struct scan *s) {
    int v = 0;

    for (size_t k = 0; k < 4; k++, s->i++) {
        char c = s->i < s->n ? s->p[s->i] : 0;
        int d = c >= '0' && c <= '9'   ? c - '0'
                : c >= 'a' && c <= 'f' ? c - 'a' + 10
                : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                       : -1;
        if (d < 0) {
            return -1;
        }
        v = v * 16 + d;
    }
    return v;
}

/* Behind "\u". A character outside of the first 65,536 is written as two of them. */
static bool escaped_char(struct scan *s) {
    int c = hex4(s);

    if (c < 0) {
        return wrong(s, "expected four hex digits");
    }
    if (c == 0) {
        return wrong(s, "the character NUL (\\u0000), which no text may have");
    }
    if (c >= 0xd800 && c < 0xdc00) {
        bool pair = s->n - s->i >= 2 && memcmp(s->p + s->i, "\\u", 2) == 0;
        s->i += pair ? 2 : 0;
        c = pair ? hex4(s) : -1;
        return (c >= 0xdc00 && c < 0xe000) || wrong(s, "half of a character (\\ud800 to \\udbff)");
    }
    return c < 0xdc00 || c >= 0xe000 || wrong(s, "half of a character (\\udc00 to \\udfff)");
}

static bool string(struct scan *s) {
    s->i++; /* the quote */
    while (s->i < s->n) {
        unsigned char c = (unsigned char)s->p[s->i];
        if (c == '"') {
            s->i++;
            return true;
        }
        s->i++;
        if (c < 0x20) {
            s->i--;
            return wrong(s, "a control character in a text");
        }
        if (c != '\\') {
            continue;
        }
        char e = s->i < s->n ? s->p[s->i++] : 0;
        if (e == 'u' ? !escaped_char(s) : (!e || !strchr("\"\\/bfnrt", e))) {
            return s->why ? false : wrong(s, "an escape that there is not");
        }
    }
    return wrong(s, "a text without an end");
}

static bool scalar(struct scan *s) {
    switch (s->p[s->i]) {
    case '"':
        return string(s);
    case 't':
        return word(s, "true");
    case 'f':
        return word(s, "false");
    case 'n':
        return word(s, "null");
    default:
        return number(s);
    }
}

static bool value(struct scan *s, unsigned depth);

/* Behind a value: is there another one? Else the container ends here. */
static bool more(struct scan *s, char close, bool *ret) {
    blanks(s);
    *ret = s->i < s->n && s->p[s->i] == ',';
    if (s->i == s->n || (!*ret && s->p[s->i] != close)) {
        return wrong(s, close == '}' ? "expected , or }" : "expected , or ]");
    }
    s->i++;
    return true;
}

static bool is_empty(struct scan *s, char close) {
    s->i++; /* the bracket */
    blanks(s);
    if (s->i < s->n && s->p[s->i] == close) {
        s->i++;
        return true;
    }
    return false;
}

static bool array(struct scan *s, unsigned depth) {
    bool again = !is_empty(s, ']');

    while (again) {
        if (!value(s, depth) || !more(s, ']', &again)) {
            return false;
        }
    }
    return true;
}

/* A member's name and the colon behind it. */
static bool name(struct scan *s, struct sh_str *ret) {
    size_t from;

    blanks(s);
    from = s->i;
    if (s->i == s->n || s->p[s->i] != '"') {
        return wrong(s, "expected a member's name");
    }
    if (!string(s)) {
        return false;
    }
    *ret = sh_strn(s->p + from + 1, s->i - from - 2);
    blanks(s);
    if (s->i == s->n || s->p[s->i] != ':') {
        return wrong(s, "expected a colon");
    }
    s->i++;
    blanks(s);
    return true;
}

static bool object(struct scan *s, unsigned depth) {
    bool again = !is_empty(s, '}');
    struct sh_str called;

    while (again) {
        if (!name(s, &called)) {
            return false;
        }
        size_t from = s->i;
        if (!value(s, depth)) {
            return false;
        }
        if (depth == 1 && s->wanted && sh_str_eqz(called, s->wanted)) {
            s->twice |= s->found.p != NULL;
            s->found = sh_strn(s->p + from, s->i - from);
        }
        if (!more(s, '}', &again)) {
            return false;
        }
    }
    return true;
}

/* It recurses, SH_JSON_DEPTH_MAX deep at most. */
static bool value(struct scan *s, unsigned depth) {
    blanks(s);
    if (s->i == s->n) {
        return wrong(s, "expected a value");
    }
    if (s->p[s->i] != '{' && s->p[s->i] != '[') {
        return scalar(s);
    }
    if (depth == SH_JSON_DEPTH_MAX) {
        s->deep = true;
        return false;
    }
    return s->p[s->i] == '{' ? object(s, depth + 1) : array(s, depth + 1);
}

static int check(struct scan *s, struct sh_err *err) {
    bool ok = value(s, 0);

    if (s->deep) {
        return sh_fail(err, SH_E_LIMIT,
                       "the JSON text nests deeper than %d levels: flatten the value",
                       SH_JSON_DEPTH_MAX);
    }
    blanks(s);
    if (ok && s->i < s->n) {
        ok = wrong(s, "more behind its end");
    }
    if (!ok) {
        return sh_fail(err, SH_E_JSON, "expected one JSON value; byte %zu: %s", s->i, s->why);
    }
    if (!sh_utf8_valid(sh_strn(s->p, s->n))) {
        return sh_fail(err, SH_E_JSON, "expected JSON in UTF-8, and some of it is not");
    }
    return 0;
}

int sh_json_check(struct sh_str text, struct sh_err *err) {
    struct scan s = {.p = text.p, .n = text.len};

    return check(&s, err);
}

int sh_json_cut(struct sh_str text, const char *wanted, size_t min, struct sh_str *ret,
                struct sh_buf *rest, struct sh_err *err) {
    struct scan s = {.p = text.p, .n = text.len, .wanted = wanted};
    int r = check(&s, err);

    if (r < 0) {
        return r;
    }
    if (s.twice) {
        return sh_fail(err, SH_E_INVAL, "%s is given twice", wanted);
    }
    *ret = (struct sh_str){NULL, 0};
    if (s.found.len <= min) {
        return 0;
    }
    const char *after = s.found.p + s.found.len;
    sh_buf_add(rest, text.p, (size_t)(s.found.p - text.p));
    sh_buf_adds(rest, "null");
    sh_buf_add(rest, after, (size_t)(text.p + text.len - after));
    if (rest->failed) {
        return sh_fail(err, SH_E_LIMIT, "without %s it is larger than %zu bytes", wanted,
                       rest->max - 1);
    }
    *ret = s.found;
    return 0;
}
