/* Reading goes by one recursive-descent scan over a cursor that stops for ever at the first byte
 * that is not JSON. Depth is bounded because a guest's stack is small. Grammar: RFC 8259. */
#include "shannon_json.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct cursor {
    const char *p, *end;
};

static bool scan_value(struct cursor *c, int depth);

struct shannon_view shannon_view_n(const char *text, size_t n) {
    return (struct shannon_view){text, text ? n : 0};
}

struct shannon_view shannon_view(const char *text) {
    return shannon_view_n(text, text ? strlen(text) : 0);
}

static void skip_space(struct cursor *c) {
    while (c->p < c->end && (*c->p == ' ' || *c->p == '\t' || *c->p == '\n' || *c->p == '\r')) {
        c->p++;
    }
}

static bool take(struct cursor *c, char wanted) {
    if (c->p == c->end || *c->p != wanted) {
        return false;
    }
    c->p++;
    return true;
}

static bool take_word(struct cursor *c, const char *word) {
    size_t n = strlen(word);

    if ((size_t)(c->end - c->p) < n || memcmp(c->p, word, n) != 0) {
        return false;
    }
    c->p += n;
    return true;
}

static int hex_digit(char ch) {
    if (ch >= '0' && ch <= '9') {
        return ch - '0';
    }
    ch = (char)(ch | 0x20);
    return ch >= 'a' && ch <= 'f' ? ch - 'a' + 10 : -1;
}

/* Four hex digits, or -1. */
static int scan_hex4(struct cursor *c) {
    int value = 0;

    for (int i = 0; i < 4; i++) {
        int digit = c->p < c->end ? hex_digit(*c->p) : -1;
        if (digit < 0) {
            return -1;
        }
        value = value * 16 + digit;
        c->p++;
    }
    return value;
}

static bool scan_string(struct cursor *c) {
    if (!take(c, '"')) {
        return false;
    }
    while (c->p < c->end) {
        char ch = *c->p++;
        if (ch == '"') {
            return true;
        }
        if ((unsigned char)ch < 0x20) {
            return false;
        }
        if (ch != '\\') {
            continue;
        }
        if (c->p == c->end) {
            return false;
        }
        ch = *c->p++;
        if (ch == 'u') {
            if (scan_hex4(c) < 0) {
                return false;
            }
        } else if (!ch || !strchr("\"\\/bfnrt", ch)) {
            return false;
        }
    }
    return false;
}

static bool scan_digits(struct cursor *c) {
    const char *first = c->p;

    while (c->p < c->end && *c->p >= '0' && *c->p <= '9') {
        c->p++;
    }
    return c->p > first;
}

static bool scan_number(struct cursor *c) {
    take(c, '-');
    if (!take(c, '0') && !scan_digits(c)) {
        return false;
    }
    if (take(c, '.') && !scan_digits(c)) {
        return false;
    }
    if (take(c, 'e') || take(c, 'E')) {
        if (!take(c, '+')) {
            take(c, '-');
        }
        return scan_digits(c);
    }
    return true;
}

/* The elements after an opening bracket, the closing one included. */
static bool scan_elements(struct cursor *c, bool object, int depth) {
    char closing = object ? '}' : ']';

    skip_space(c);
    if (take(c, closing)) {
        return true;
    }
    for (;;) {
        skip_space(c);
        if (object) {
            if (!scan_string(c)) {
                return false;
            }
            skip_space(c);
            if (!take(c, ':')) {
                return false;
            }
        }
        if (!scan_value(c, depth)) {
            return false;
        }
        skip_space(c);
        if (take(c, closing)) {
            return true;
        }
        if (!take(c, ',')) {
            return false;
        }
    }
}

static bool scan_value(struct cursor *c, int depth) {
    skip_space(c);
    if (c->p == c->end) {
        return false;
    }
    switch (*c->p) {
    case '{':
    case '[':
        if (depth >= SHANNON_JSON_DEPTH_MAX) {
            return false;
        }
        return scan_elements(c, *c->p++ == '{', depth + 1);
    case '"':
        return scan_string(c);
    case 't':
        return take_word(c, "true");
    case 'f':
        return take_word(c, "false");
    case 'n':
        return take_word(c, "null");
    default:
        return scan_number(c);
    }
}

/* The next value as a view without the space around it; p is NULL when there is none. */
static struct shannon_view next_value(struct cursor *c) {
    const char *first;

    skip_space(c);
    first = c->p;
    if (!scan_value(c, 0)) {
        return (struct shannon_view){NULL, 0};
    }
    return (struct shannon_view){first, (size_t)(c->p - first)};
}

static struct cursor cursor_of(struct shannon_view v) {
    static const char nothing[1] = "";
    const char *p = v.p ? v.p : nothing;

    return (struct cursor){p, p + (v.p ? v.n : 0)};
}

bool shannon_json_valid(struct shannon_view v) {
    struct cursor c = cursor_of(v);

    if (!next_value(&c).p) {
        return false;
    }
    skip_space(&c);
    return c.p == c.end;
}

/* Does this quoted key read `name` (n bytes)? */
static bool key_is(struct shannon_view key, const char *name, size_t n) {
    char *text;
    bool same;

    if (!memchr(key.p, '\\', key.n)) {
        return key.n == n + 2 && memcmp(key.p + 1, name, n) == 0;
    }
    text = shannon_json_string(key);
    same = text && strlen(text) == n && memcmp(text, name, n) == 0;
    free(text);
    return same;
}

static struct shannon_view member(struct shannon_view v, const char *name, size_t n) {
    struct cursor c = cursor_of(v);
    struct shannon_view none = {NULL, 0}, key, value;

    skip_space(&c);
    if (!take(&c, '{')) {
        return none;
    }
    do {
        skip_space(&c);
        key.p = c.p;
        if (!scan_string(&c)) {
            return none;
        }
        key.n = (size_t)(c.p - key.p);
        skip_space(&c);
        if (!take(&c, ':')) {
            return none;
        }
        value = next_value(&c);
        if (!value.p || key_is(key, name, n)) {
            return value;
        }
        skip_space(&c);
    } while (take(&c, ','));
    return none;
}

struct shannon_view shannon_json_item(struct shannon_view v, size_t n) {
    struct cursor c = cursor_of(v);
    struct shannon_view none = {NULL, 0}, value;

    skip_space(&c);
    if (!take(&c, '[')) {
        return none;
    }
    do {
        value = next_value(&c);
        if (!value.p || n-- == 0) {
            return value;
        }
        skip_space(&c);
    } while (take(&c, ','));
    return none;
}

/* A decimal index of at most 9 digits, or false. */
static bool index_of(const char *text, size_t n, size_t *ret) {
    size_t value = 0;

    if (n == 0 || n > 9) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return false;
        }
        value = value * 10 + (size_t)(text[i] - '0');
    }
    *ret = value;
    return true;
}

struct shannon_view shannon_json_get(struct shannon_view v, const char *path) {
    while (*path && v.p) {
        size_t n = strcspn(path, "."), at;
        struct cursor c = cursor_of(v);

        skip_space(&c);
        if (c.p < c.end && *c.p == '[') {
            v = index_of(path, n, &at) ? shannon_json_item(v, at) : shannon_view_n(NULL, 0);
        } else {
            v = member(v, path, n);
        }
        path += n;
        path += *path == '.';
    }
    return v;
}

/* Write one code point as UTF-8; gives the number of bytes. */
static size_t put_utf8(char *out, unsigned code) {
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (char)(0xC0 | code >> 6);
        out[1] = (char)(0x80 | (code & 0x3F));
        return 2;
    }
    if (code < 0x10000) {
        out[0] = (char)(0xE0 | code >> 12);
        out[1] = (char)(0x80 | (code >> 6 & 0x3F));
        out[2] = (char)(0x80 | (code & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | code >> 18);
    out[1] = (char)(0x80 | (code >> 12 & 0x3F));
    out[2] = (char)(0x80 | (code >> 6 & 0x3F));
    out[3] = (char)(0x80 | (code & 0x3F));
    return 4;
}

/* The code point of a \u escape whose `\u` has been taken; the second half of a pair too. */
static unsigned unicode_escape(struct cursor *c) {
    int first = scan_hex4(c), second;
    struct cursor rest = *c;

    if (first < 0xD800 || first > 0xDFFF) {
        return first > 0 ? (unsigned)first : 0xFFFD;
    }
    if (first > 0xDBFF || !take_word(&rest, "\\u")) {
        return 0xFFFD;
    }
    second = scan_hex4(&rest);
    if (second < 0xDC00 || second > 0xDFFF) {
        return 0xFFFD;
    }
    *c = rest;
    return 0x10000 + ((unsigned)(first - 0xD800) << 10) + (unsigned)(second - 0xDC00);
}

char *shannon_json_string(struct shannon_view v) {
    struct cursor c = cursor_of(v), check;
    char *text, *out;

    skip_space(&c);
    check = c;
    if (!scan_string(&check)) {
        return NULL;
    }
    out = text = malloc((size_t)(check.p - c.p)); /* an escape is never shorter than its bytes */
    if (!text) {
        return NULL;
    }
    c.p++;
    while (c.p < check.p - 1) {
        char ch = *c.p++;
        if (ch == '\\') {
            static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
            const char *found = strchr(from, ch = *c.p++);
            if (ch == 'u') {
                out += put_utf8(out, unicode_escape(&c));
                continue;
            }
            ch = found ? to[found - from] : ch;
        }
        *out++ = ch;
    }
    *out = '\0';
    return text;
}

double shannon_json_number(struct shannon_view v, double otherwise) {
    struct cursor c = cursor_of(v);
    const char *first;
    char text[64];
    size_t n;

    skip_space(&c);
    first = c.p;
    if (!scan_number(&c)) {
        return otherwise;
    }
    n = (size_t)(c.p - first);
    if (n >= sizeof(text)) { /* such precision means nothing in a double, but may hide its size */
        return otherwise;
    }
    memcpy(text, first, n);
    text[n] = '\0';
    return strtod(text, NULL);
}

bool shannon_json_is_true(struct shannon_view v) {
    struct cursor c = cursor_of(v);

    skip_space(&c);
    return take_word(&c, "true");
}

/* ---- writing ---- */

static void put(struct shannon_json *w, const char *bytes, size_t n) {
    if (w->failed) {
        return;
    }
    if (n >= w->cap - w->n) { /* one byte stays for the terminator */
        size_t cap = (w->cap ? w->cap : 64) * 2;
        char *grown;
        while (cap - w->n <= n) {
            if (cap > SIZE_MAX / 4) {
                w->failed = true;
                return;
            }
            cap *= 2;
        }
        grown = realloc(w->p, cap);
        if (!grown) {
            w->failed = true;
            return;
        }
        w->p = grown;
        w->cap = cap;
    }
    memcpy(w->p + w->n, bytes, n);
    w->n += n;
    w->p[w->n] = '\0';
}

/* The last byte tells whether a comma is due: it is not after an opening or a key. */
static void separate(struct shannon_json *w) {
    if (w->n > 0 && !strchr("{[:,", w->p[w->n - 1])) {
        put(w, ",", 1);
    }
}

void shannon_json_open(struct shannon_json *w, char bracket) {
    separate(w);
    put(w, &bracket, 1);
}

void shannon_json_close(struct shannon_json *w, char bracket) {
    put(w, &bracket, 1);
}

/* Bytes of the UTF-8 character at p, or 0 when it is not one (overlong, surrogate, cut). */
static size_t utf8_length(const unsigned char *p, size_t n) {
    size_t length = p[0] < 0x80 ? 1 : p[0] < 0xC2 ? 0 : p[0] < 0xE0 ? 2 : p[0] < 0xF0 ? 3 : 4;

    if (length == 0 || length > n || p[0] > 0xF4) {
        return 0;
    }
    for (size_t i = 1; i < length; i++) {
        if ((p[i] & 0xC0) != 0x80) {
            return 0;
        }
    }
    if ((p[0] == 0xE0 && p[1] < 0xA0) || (p[0] == 0xED && p[1] > 0x9F) ||
        (p[0] == 0xF0 && p[1] < 0x90) || (p[0] == 0xF4 && p[1] > 0x8F)) {
        return 0;
    }
    return length;
}

static void put_escaped(struct shannon_json *w, unsigned char ch) {
    static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
    const char *found = strchr(from, ch);
    char text[8];

    if (ch && found) {
        text[0] = '\\';
        text[1] = to[found - from];
        put(w, text, 2);
    } else {
        put(w, text, (size_t)snprintf(text, sizeof(text), "\\u%04x", ch));
    }
}

static void put_quoted(struct shannon_json *w, const char *text, size_t left) {
    const unsigned char *p = (const unsigned char *)text;
    put(w, "\"", 1);
    while (left > 0) {
        size_t n = utf8_length(p, left);
        if (n == 0 || *p == 0) {
            put(w, "\xEF\xBF\xBD", 3);
            n = 1;
        } else if (*p < 0x20 || *p == '"' || *p == '\\') {
            put_escaped(w, *p);
        } else {
            put(w, (const char *)p, n);
        }
        p += n;
        left -= n;
    }
    put(w, "\"", 1);
}

void shannon_json_key(struct shannon_json *w, const char *name) {
    separate(w);
    put_quoted(w, name, strlen(name));
    put(w, ":", 1);
}

void shannon_json_str(struct shannon_json *w, const char *text) {
    separate(w);
    if (text) {
        put_quoted(w, text, strlen(text));
    } else {
        put(w, "null", 4);
    }
}

void shannon_json_strn(struct shannon_json *w, const char *text, size_t n) {
    separate(w);
    put_quoted(w, text, n);
}

void shannon_json_int(struct shannon_json *w, long long value) {
    char text[24];

    separate(w);
    put(w, text, (size_t)snprintf(text, sizeof(text), "%lld", value));
}

void shannon_json_double(struct shannon_json *w, double value) {
    char text[32];

    separate(w);
    if (isfinite(value)) {
        put(w, text, (size_t)snprintf(text, sizeof(text), "%.15g", value));
    } else {
        put(w, "null", 4);
    }
}

void shannon_json_bool(struct shannon_json *w, bool value) {
    separate(w);
    put(w, value ? "true" : "false", value ? 4 : 5);
}

void shannon_json_raw(struct shannon_json *w, struct shannon_view v) {
    separate(w);
    if (shannon_json_valid(v)) {
        struct cursor c = cursor_of(v);
        v = next_value(&c); /* without the space around it */
        put(w, v.p, v.n);
    } else {
        put(w, "null", 4);
    }
}

char *shannon_json_take(struct shannon_json *w) {
    char *text = w->p;

    if (w->failed) {
        free(text);
        text = NULL;
    }
    *w = (struct shannon_json){NULL, 0, 0, false};
    return text;
}
