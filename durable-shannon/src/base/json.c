/* jansson with limits. Its parser recurses, so nesting is counted by a scan that needs no stack;
 * its memory is ours, so that running out of it means one thing everywhere. */
#include "base/json.h"

#include <stdlib.h>

#include "base/err.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/utf8.h"

static void free_for_jansson(void *p) {
    sh_free(p);
}

__attribute__((constructor)) static void give_memory(void) {
    json_set_alloc_funcs(sh_alloc, free_for_jansson);
}

/* How deep the brackets outside strings nest; stops counting past `max`. */
static size_t nesting(struct sh_str text, size_t max) {
    size_t depth = 0;
    size_t deepest = 0;
    bool in_string = false;
    for (size_t i = 0; i < text.len && deepest <= max; i++) {
        char c = text.p[i];
        if (in_string) {
            if (c == '\\') {
                i++;
            } else if (c == '"') {
                in_string = false;
            }
        } else if (c == '"') {
            in_string = true;
        } else if (c == '[' || c == '{') {
            depth++;
            deepest = depth > deepest ? depth : deepest;
        } else if ((c == ']' || c == '}') && depth) {
            depth--;
        }
    }
    return deepest;
}

int sh_json_parse(struct sh_str text, size_t max_bytes, json_t **ret, struct sh_err *err) {
    if (text.len > max_bytes) {
        return sh_fail(err, SH_E_LIMIT,
                       "the JSON text has %zu bytes, at most %zu are allowed: send less", text.len,
                       max_bytes);
    }
    if (nesting(text, SH_JSON_DEPTH_MAX) > SH_JSON_DEPTH_MAX) {
        return sh_fail(err, SH_E_LIMIT,
                       "the JSON text nests deeper than %d levels: flatten the value",
                       SH_JSON_DEPTH_MAX);
    }
    json_error_t error;
    json_t *value = json_loadb(text.len ? text.p : "", text.len,
                               JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
    if (!value && json_error_code(&error) == json_error_null_character) {
        return sh_fail(err, SH_E_JSON,
                       "line %d, column %d: a text with the character NUL (\\u0000), which no text "
                       "may have: replace it",
                       error.line, error.column);
    }
    if (!value) {
        return sh_fail(err, SH_E_JSON, "expected one JSON value; line %d, column %d: %s",
                       error.line, error.column, error.text);
    }
    *ret = value;
    return 0;
}

/* The escape of NUL at or after `from` that is not itself escaped; text.len when there is none. */
static size_t escaped_nul(struct sh_str text, size_t from) {
    size_t i = from;
    while (i + 6 <= text.len) {
        const char *at = memchr(text.p + i, '\\', text.len - i);
        if (!at) {
            break;
        }
        i = (size_t)(at - text.p);
        if (i + 6 <= text.len && memcmp(at, "\\u0000", 6) == 0) {
            return i;
        }
        i += 2;
    }
    return text.len;
}

int sh_json_parse_foreign(struct sh_str text, size_t max_bytes, json_t **ret, struct sh_err *err) {
    size_t i = text.len <= max_bytes ? escaped_nul(text, 0) : text.len;
    if (i == text.len) {
        return sh_json_parse(text, max_bytes, ret, err);
    }
    sh_auto(sh_free_p) char *copy = sh_try_alloc(text.len, max_bytes);
    if (!copy) {
        return sh_fail(err, SH_E_NOMEM, "no memory for %zu bytes of JSON", text.len);
    }
    memcpy(copy, text.p, text.len);
    for (; i < text.len; i = escaped_nul(text, i + 6)) {
        memcpy(copy + i, "\\ufffd", 6);
    }
    return sh_json_parse(sh_strn(copy, text.len), max_bytes, ret, err);
}

static int append(const char *p, size_t n, void *arg) {
    struct sh_buf *out = arg;
    sh_buf_add(out, p, n);
    return out->failed ? -1 : 0;
}

#define CANONICAL (JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY | JSON_REAL_PRECISION(17))

void sh_json_dump(const json_t *value, struct sh_buf *out) {
    if (json_dump_callback(value, append, out, CANONICAL) != 0) {
        out->failed = true;
    }
}

/* Not through a buffer: those may be told to fail by a fault plan, and this never fails. */
char *sh_json_text(const json_t *value) {
    char *text = json_dumps(value, CANONICAL);
    SH_ASSERT(text && strlen(text) <= SH_JSON_TEXT_MAX);
    return text;
}

#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

/* The longest run of bytes from `from` that is UTF-8 without NUL. */
static size_t clean_run(struct sh_str s, size_t from) {
    const uint8_t *p = (const uint8_t *)s.p;
    size_t i = from;
    while (i < s.len) {
        uint32_t c = 0;
        size_t length = sh_utf8_next(p + i, s.len - i, &c);
        if (length == 0 || c == 0) {
            break;
        }
        i += length;
    }
    return i - from;
}

static void escape_char(struct sh_buf *out, char c) {
    static const char plain[] = "\"\\\b\f\n\r\t";
    static const char letter[] = "\"\\bfnrt";
    const char *at = strchr(plain, c);
    if (at) {
        sh_buf_addc(out, '\\');
        sh_buf_addc(out, letter[at - plain]);
    } else {
        sh_buf_addf(out, "\\u%04x", (unsigned)(unsigned char)c);
    }
}

void sh_json_escape(struct sh_buf *out, struct sh_str s) {
    sh_buf_addc(out, '"');
    for (size_t i = 0; i < s.len;) {
        size_t end = i + clean_run(s, i);
        size_t start = i;
        for (; i < end; i++) { /* runs, not bytes: most text has nothing to escape */
            unsigned char c = (unsigned char)s.p[i];
            if (c < 0x20 || c == '"' || c == '\\') {
                sh_buf_add(out, s.p + start, i - start);
                escape_char(out, (char)c);
                start = i + 1;
            }
        }
        sh_buf_add(out, s.p + start, i - start);
        if (i < s.len) {
            sh_buf_adds(out, REPLACEMENT);
            i++;
        }
    }
    sh_buf_addc(out, '"');
}

/* s with everything that is not UTF-8 replaced, which makes three bytes of one at worst. */
static char *replaced(struct sh_str s, size_t *ret_len) {
    static const char mark[] = REPLACEMENT;
    SH_ASSERT(s.len <= SIZE_MAX / 4);
    char *out = sh_alloc(s.len * 3);
    size_t used = 0;
    for (size_t i = 0; i < s.len;) {
        size_t n = clean_run(s, i);
        memcpy(out + used, s.p + i, n);
        used += n;
        i += n;
        if (i < s.len) {
            memcpy(out + used, mark, sizeof(mark) - 1);
            used += sizeof(mark) - 1;
            i++;
        }
    }
    *ret_len = used;
    return out;
}

json_t *sh_json_string(struct sh_str s) {
    json_t *value = NULL;
    if (clean_run(s, 0) == s.len) {
        value = json_stringn_nocheck(s.len ? s.p : "", s.len);
    } else {
        size_t length = 0;
        char *text = replaced(s, &length);
        value = json_stringn_nocheck(text, length);
        sh_free(text);
    }
    SH_ASSERT(value != NULL);
    return value;
}

struct sh_str sh_json_get_str(const json_t *object, const char *key) {
    const json_t *value = json_object_get(object, key);
    if (!json_is_string(value)) {
        return (struct sh_str){0};
    }
    return sh_strn(json_string_value(value), json_string_length(value));
}

int64_t sh_json_get_int(const json_t *object, const char *key, int64_t fallback) {
    const json_t *value = json_object_get(object, key);
    return json_is_integer(value) ? json_integer_value(value) : fallback;
}

bool sh_json_get_bool(const json_t *object, const char *key, bool fallback) {
    const json_t *value = json_object_get(object, key);
    return json_is_boolean(value) ? json_is_true(value) : fallback;
}

/* Edits between two words, one row of the usual table; words longer than this are not alike. */
enum { WORD_MAX = 48 };

static size_t distance(const char *a, const char *b) {
    size_t n = strlen(a);
    size_t m = strlen(b);
    size_t row[WORD_MAX + 1];
    if (n > WORD_MAX || m > WORD_MAX) {
        return SIZE_MAX;
    }
    for (size_t j = 0; j <= m; j++) {
        row[j] = j;
    }
    for (size_t i = 1; i <= n; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t best = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            best = row[j] + 1 < best ? row[j] + 1 : best;
            row[j] = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
        }
    }
    return row[m];
}

static bool is_known(const char *key, const char *const known[], const char **ret_nearest) {
    size_t best = SIZE_MAX;
    *ret_nearest = NULL;
    for (size_t i = 0; known[i]; i++) {
        if (strcmp(known[i], key) == 0) {
            return true;
        }
        size_t edits = distance(known[i], key);
        if (edits < best) {
            best = edits;
            *ret_nearest = known[i];
        }
    }
    return false;
}

int sh_json_only(const json_t *object, const char *const known[], const char *what,
                 struct sh_err *err) {
    const char *first = NULL; /* by name, so that the message does not depend on hash order */
    const char *key = NULL;
    const char *nearest = NULL;
    void *iter = json_object_iter((json_t *)(uintptr_t)object);
    for (; iter; iter = json_object_iter_next((json_t *)(uintptr_t)object, iter)) {
        key = json_object_iter_key(iter);
        if (!is_known(key, known, &nearest) && (!first || strcmp(key, first) < 0)) {
            first = key;
        }
    }
    if (!first) {
        return 0;
    }
    is_known(first, known, &nearest);
    if (!nearest) {
        return sh_fail(err, SH_E_INVAL, "%s takes no member, not \"%.64s\"", what, first);
    }
    return sh_fail(err, SH_E_INVAL, "%s has no member \"%.64s\"; the nearest known one is \"%s\"",
                   what, first, nearest);
}

void sh_json_done(json_t **value) {
    if (value && *value) {
        json_decref(*value);
        *value = NULL;
    }
}
