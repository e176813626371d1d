/* See foreign_schema.h. One recursive walk over schema and value, with a budget of steps: anyOf in
 * anyOf would double the work at each level, and a $ref may lead back to itself. */
#include "tools/foreign_schema.h"

#include <math.h>
#include <stdio.h>

enum { STEPS_MOST = 200000, DEPTH_MOST = 96 };

struct walk {
    const json_t *root;
    size_t steps, depth;
    bool exhausted;
    char why[320]; /* the first difference */
};

/* Where we are, for the message: a chain on the stack. */
struct place {
    const struct place *up;
    const char *name; /* or NULL: index */
    size_t index;
};

static bool check(struct walk *w, const json_t *schema, const json_t *v, const struct place *at);

static size_t path_text(const struct place *at, char *out, size_t size) {
    size_t n = at->up ? path_text(at->up, out, size) : 0;
    int more = n >= size   ? 0
               : !at->name ? snprintf(out + n, size - n, "[%zu]", at->index)
               : at->up    ? snprintf(out + n, size - n, ".%.60s", at->name)
                           : snprintf(out + n, size - n, "%.60s", at->name);
    return n + (size_t)(more > 0 ? more : 0);
}

static bool differs(struct walk *w, const struct place *at, const char *expected) {
    if (!w->why[0]) {
        char path[160];
        path_text(at, path, sizeof(path));
        snprintf(w->why, sizeof(w->why), "%s: expected %s", path, expected);
    }
    return false;
}

static bool is_type(const json_t *v, const char *type) {
    bool whole =
        json_is_integer(v) || (json_is_real(v) && floor(json_real_value(v)) == json_real_value(v));
    return (strcmp(type, "object") == 0 && json_is_object(v)) ||
           (strcmp(type, "array") == 0 && json_is_array(v)) ||
           (strcmp(type, "string") == 0 && json_is_string(v)) ||
           (strcmp(type, "integer") == 0 && whole) ||
           (strcmp(type, "number") == 0 && json_is_number(v)) ||
           (strcmp(type, "boolean") == 0 && json_is_boolean(v)) ||
           (strcmp(type, "null") == 0 && json_is_null(v));
}

static bool check_type(struct walk *w, const json_t *schema, const json_t *v,
                       const struct place *at) {
    const json_t *type = json_object_get(schema, "type");
    char expected[100] = "";
    if (json_is_string(type)) {
        snprintf(expected, sizeof(expected), "%.40s", json_string_value(type));
        return is_type(v, json_string_value(type)) || differs(w, at, expected);
    }
    bool good = json_array_size(type) == 0;
    for (size_t i = 0; i < json_array_size(type) && !good; i++) {
        const char *name = json_string_value(json_array_get(type, i));
        good = name && is_type(v, name);
    }
    return good || differs(w, at, "another type");
}

/* Work is charged by size: comparing is where a small schema could make much of it. Numbers are
 * equal by value, whichever way they are written. */
static bool same(struct walk *w, const json_t *a, const json_t *b) {
    w->steps++;
    if (w->steps > STEPS_MOST) {
        w->exhausted = true;
    }
    if (w->exhausted || (json_is_number(a) && json_is_number(b))) {
        return w->exhausted || json_number_value(a) == json_number_value(b);
    }
    if (json_typeof(a) != json_typeof(b)) {
        return false;
    }
    if (json_is_string(a)) {
        w->steps += json_string_length(a) / 64;
        return json_equal(a, b);
    }
    bool good =
        json_array_size(a) == json_array_size(b) && json_object_size(a) == json_object_size(b);
    for (size_t i = 0; good && i < json_array_size(a); i++) {
        good = same(w, json_array_get(a, i), json_array_get(b, i));
    }
    const char *name = NULL;
    json_t *member = NULL;
    json_object_foreach((json_t *)(uintptr_t)a, name, member) {
        const json_t *other = good ? json_object_get(b, name) : NULL;
        good = other && same(w, member, other);
        if (!good) {
            break;
        }
    }
    return good;
}

static bool check_values(struct walk *w, const json_t *schema, const json_t *v,
                         const struct place *at) {
    const json_t *one = json_object_get(schema, "const");
    const json_t *list = json_object_get(schema, "enum");
    bool good = !json_is_array(list);
    for (size_t i = 0; i < json_array_size(list) && !good; i++) {
        good = same(w, json_array_get(list, i), v);
    }
    if (!good) {
        return differs(w, at, "one of the listed values");
    }
    return !one || same(w, one, v) || differs(w, at, "the one value that is allowed");
}

/* A count or a length between two members. */
static bool within(struct walk *w, const json_t *schema, const char *least, const char *most,
                   size_t n, const char *what, const struct place *at) {
    const json_t *lo = json_object_get(schema, least);
    const json_t *hi = json_object_get(schema, most);
    char expected[100];
    if (json_is_integer(lo) && (json_int_t)n < json_integer_value(lo)) {
        snprintf(expected, sizeof(expected), "at least %lld %s, not %zu",
                 (long long)json_integer_value(lo), what, n);
        return differs(w, at, expected);
    }
    if (json_is_integer(hi) && (json_int_t)n > json_integer_value(hi)) {
        snprintf(expected, sizeof(expected), "at most %lld %s, not %zu",
                 (long long)json_integer_value(hi), what, n);
        return differs(w, at, expected);
    }
    return true;
}

static bool check_number(struct walk *w, const json_t *schema, const json_t *v,
                         const struct place *at) {
    static const struct {
        const char *word, *says;
        bool upper, open;
    } bounds[] = {{"minimum", "at least", false, false},
                  {"maximum", "at most", true, false},
                  {"exclusiveMinimum", "more than", false, true},
                  {"exclusiveMaximum", "less than", true, true}};
    double x = json_number_value(v);
    for (size_t i = 0; i < sizeof(bounds) / sizeof(bounds[0]); i++) {
        const json_t *b = json_object_get(schema, bounds[i].word);
        double limit = json_number_value(b);
        char expected[100];
        bool good = bounds[i].open ? (bounds[i].upper ? x < limit : x > limit)
                                   : (bounds[i].upper ? x <= limit : x >= limit);
        if (json_is_number(b) && !good) {
            snprintf(expected, sizeof(expected), "%s %.17g, not %.17g", bounds[i].says, limit, x);
            return differs(w, at, expected);
        }
    }
    return true;
}

static bool check_array(struct walk *w, const json_t *schema, const json_t *v,
                        const struct place *at) {
    const json_t *items = json_object_get(schema, "items");
    const json_t *prefix = json_object_get(schema, "prefixItems");
    size_t n = json_array_size(v);
    bool good = within(w, schema, "minItems", "maxItems", n, "items", at);
    for (size_t i = 0; i < n && good; i++) {
        struct place in = {at, NULL, i};
        const json_t *s = i < json_array_size(prefix) ? json_array_get(prefix, i) : items;
        good = !s || check(w, s, json_array_get(v, i), &in);
    }
    if (good && json_is_true(json_object_get(schema, "uniqueItems"))) {
        for (size_t i = 0; i < n && good && !w->exhausted; i++) {
            for (size_t j = i + 1; j < n && good; j++) {
                good = !same(w, json_array_get(v, i), json_array_get(v, j)) || w->exhausted ||
                       differs(w, at, "items that differ");
            }
        }
    }
    return good;
}

static bool check_members(struct walk *w, const json_t *schema, const json_t *v,
                          const struct place *at) {
    const json_t *properties = json_object_get(schema, "properties");
    const json_t *more = json_object_get(schema, "additionalProperties");
    const char *name = NULL;
    json_t *value = NULL;
    json_object_foreach((json_t *)(uintptr_t)v, name, value) {
        struct place in = {at, name, 0};
        const json_t *s = json_object_get(properties, name);
        if (!s && json_is_false(more)) {
            return differs(w, &in, "no such member");
        }
        s = s ? s : more;
        if (s && !check(w, s, value, &in)) {
            return false;
        }
    }
    return true;
}

static bool check_object(struct walk *w, const json_t *schema, const json_t *v,
                         const struct place *at) {
    const json_t *required = json_object_get(schema, "required");
    for (size_t i = 0; i < json_array_size(required); i++) {
        const char *name = json_string_value(json_array_get(required, i));
        if (name && !json_object_get(v, name)) {
            struct place in = {at, name, 0};
            return differs(w, &in, "a value; the member is missing");
        }
    }
    return within(w, schema, "minProperties", "maxProperties", json_object_size(v), "members",
                  at) &&
           check_members(w, schema, v, at);
}

/* How many of a list of schemas a value fits; what did not fit is not told. */
static size_t fits(struct walk *w, const json_t *list, const json_t *v, const struct place *at) {
    size_t n = 0;
    for (size_t i = 0; i < json_array_size(list) && !w->exhausted; i++) {
        char before = w->why[0];
        n += check(w, json_array_get(list, i), v, at);
        w->why[0] = before ? w->why[0] : '\0';
    }
    return n;
}

static bool check_combined(struct walk *w, const json_t *schema, const json_t *v,
                           const struct place *at) {
    const json_t *all = json_object_get(schema, "allOf");
    const json_t *any = json_object_get(schema, "anyOf");
    const json_t *one = json_object_get(schema, "oneOf");
    json_t *none = json_object_get(schema, "not");
    for (size_t i = 0; i < json_array_size(all); i++) {
        if (!check(w, json_array_get(all, i), v, at)) {
            return false;
        }
    }
    if (json_array_size(any) && fits(w, any, v, at) == 0) {
        return differs(w, at, "a value that fits one of several schemas");
    }
    if (json_array_size(one) && fits(w, one, v, at) != 1) {
        return differs(w, at, "a value that fits exactly one of several schemas");
    }
    if (none) {
        sh_auto(sh_json_done) json_t *list = json_pack("[O]", none);
        if (fits(w, list, v, at) != 0) {
            return differs(w, at, "a value that does not fit a certain schema");
        }
    }
    return true;
}

/* "#" or "#/$defs/name": pieces with ~1 for / and ~0 for ~ (RFC 6901). NULL: not in the document.
 */
static const json_t *resolve(const struct walk *w, const char *ref) {
    const json_t *at = ref[0] == '#' ? w->root : NULL;
    const char *p = ref + 1;
    while (at && *p == '/') {
        char name[128];
        size_t n = 0;
        for (p++; *p && *p != '/'; p++) {
            char c = *p;
            if (c == '~' && (p[1] == '0' || p[1] == '1')) {
                c = *++p == '1' ? '/' : '~';
            }
            if (n + 1 >= sizeof(name)) {
                return NULL;
            }
            name[n++] = c;
        }
        name[n] = '\0';
        at = json_object_get(at, name);
    }
    return at && *p == '\0' ? at : NULL;
}

static bool check_kind(struct walk *w, const json_t *schema, const json_t *v,
                       const struct place *at) {
    if (json_is_object(v)) {
        return check_object(w, schema, v, at);
    }
    if (json_is_array(v)) {
        return check_array(w, schema, v, at);
    }
    if (json_is_number(v)) {
        return check_number(w, schema, v, at);
    }
    return !json_is_string(v) ||
           within(w, schema, "minLength", "maxLength",
                  sh_utf8_count(sh_strn(json_string_value(v), json_string_length(v))), "characters",
                  at);
}

static bool check(struct walk *w, const json_t *schema, const json_t *v, const struct place *at) {
    if (++w->steps > STEPS_MOST || w->depth >= DEPTH_MOST) {
        w->exhausted = true;
    }
    if (w->exhausted || json_is_true(schema)) {
        return true;
    }
    if (json_is_false(schema)) {
        return differs(w, at, "nothing");
    }
    const char *ref = json_string_value(json_object_get(schema, "$ref"));
    const json_t *named = ref ? resolve(w, ref) : NULL;
    w->depth++;
    bool good = (!named || check(w, named, v, at)) && check_type(w, schema, v, at) &&
                check_values(w, schema, v, at) && check_kind(w, schema, v, at) &&
                check_combined(w, schema, v, at);
    w->depth--;
    return good;
}

int sh_foreign_schema_check(const json_t *schema, const json_t *value, const char *path,
                            struct sh_err *err) {
    struct walk w = {.root = schema};
    struct place top = {NULL, path, 0};
    bool good = check(&w, schema, value, &top);
    if (w.exhausted) {
        return sh_fail(err, SH_E_LIMIT, "%s: its schema takes more than %d steps to check", path,
                       STEPS_MOST);
    }
    return good ? 0 : sh_fail(err, SH_E_INVAL, "%s", w.why);
}
