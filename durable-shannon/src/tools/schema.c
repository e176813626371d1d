/* Checks a value against one of our schemas, stopping at the first difference. The path of the
 * member is built on the way down in one bounded text, for the message. */
#include "tools/schema.h"

#include <stdio.h>

struct walk {
    char path[200];
    size_t len, depth;
    struct sh_err *err;
};

static const char *kind(const json_t *v) {
    static const char *const names[] = {"object", "array", "string", "integer",
                                        "number", "true",  "false",  "null"};
    return names[json_typeof(v)];
}

/* What came, short: scalars as they are, the rest by kind. */
static const char *show(const json_t *v, char out[96]) {
    switch (json_typeof(v)) {
    case JSON_STRING:
        snprintf(out, 96, "\"%.60s\"", json_string_value(v));
        break;
    case JSON_INTEGER:
        snprintf(out, 96, "%lld", (long long)json_integer_value(v));
        break;
    case JSON_REAL:
        snprintf(out, 96, "%.17g", json_real_value(v));
        break;
    default:
        snprintf(out, 96, "%s", kind(v));
    }
    return out;
}

/* Appends to the path; longer paths are cut, which only shortens a message. */
static void enter(struct walk *w, const char *name, size_t index) {
    size_t room = sizeof(w->path) - 1 - w->len;
    int n = name ? snprintf(w->path + w->len, room + 1, "%s%s", w->len ? "." : "", name)
                 : snprintf(w->path + w->len, room + 1, "[%zu]", index);
    w->len += n < 0 ? 0 : (size_t)n < room ? (size_t)n : room;
}

static void leave(struct walk *w, size_t len) {
    w->len = len;
    w->path[len] = '\0';
}

static bool is_type(const json_t *v, const char *type) {
    switch (json_typeof(v)) {
    case JSON_INTEGER:
        return strcmp(type, "integer") == 0 || strcmp(type, "number") == 0;
    case JSON_REAL:
        return strcmp(type, "number") == 0;
    case JSON_TRUE:
    case JSON_FALSE:
        return strcmp(type, "boolean") == 0;
    default:
        return strcmp(type, kind(v)) == 0;
    }
}

static int check_type(const struct walk *w, const json_t *type, const json_t *v) {
    char came[96];
    if (!type || (json_is_string(type) && is_type(v, json_string_value(type)))) {
        return 0;
    }
    char expected[96];
    size_t used = (size_t)snprintf(expected, sizeof(expected), "%s",
                                   json_is_string(type) ? json_string_value(type) : "");
    for (size_t i = 0; i < json_array_size(type); i++) {
        const char *name = json_string_value(json_array_get(type, i));
        if (is_type(v, name)) {
            return 0;
        }
        if (used < sizeof(expected)) {
            used += (size_t)snprintf(expected + used, sizeof(expected) - used, "%s%s",
                                     i ? " or " : "", name);
        }
    }
    return sh_fail(w->err, SH_E_INVAL, "%s: expected %s, not %s", w->path, expected, show(v, came));
}

static int check_enum(const struct walk *w, const json_t *list, const json_t *v) {
    char came[96];
    char expected[160];
    size_t used = 0;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *one = json_array_get(list, i);
        if (json_equal(one, v)) {
            return 0;
        }
        if (used < sizeof(expected)) {
            used += (size_t)snprintf(expected + used, sizeof(expected) - used, "%s%s",
                                     i ? ", " : "", show(one, came));
        }
    }
    return list ? sh_fail(w->err, SH_E_INVAL, "%s: expected one of %s, not %s", w->path, expected,
                          show(v, came))
                : 0;
}

static int check_count(const struct walk *w, const json_t *schema, const char *least,
                       const char *most, size_t n, const char *what) {
    const json_t *lo = json_object_get(schema, least);
    const json_t *hi = json_object_get(schema, most);
    if (lo && n < (size_t)json_integer_value(lo)) {
        return sh_fail(w->err, SH_E_INVAL, "%s: expected at least %lld %s, not %zu", w->path,
                       (long long)json_integer_value(lo), what, n);
    }
    if (hi && n > (size_t)json_integer_value(hi)) {
        return sh_fail(w->err, SH_E_INVAL, "%s: expected at most %lld %s, not %zu", w->path,
                       (long long)json_integer_value(hi), what, n);
    }
    return 0;
}

static size_t characters(const json_t *v) {
    const char *p = json_string_value(v);
    size_t n = 0;
    for (size_t i = 0; i < json_string_length(v); i++) {
        n += ((unsigned char)p[i] & 0xc0) != 0x80; /* jansson's strings are UTF-8 */
    }
    return n;
}

static int check_number(const struct walk *w, const json_t *schema, const json_t *v) {
    const json_t *lo = json_object_get(schema, "minimum");
    const json_t *hi = json_object_get(schema, "maximum");
    char came[96];
    char edge[96];
    double x = json_number_value(v);
    if (lo && !(x >= json_number_value(lo))) {
        return sh_fail(w->err, SH_E_INVAL, "%s: expected at least %s, not %s", w->path,
                       show(lo, edge), show(v, came));
    }
    if (hi && !(x <= json_number_value(hi))) {
        return sh_fail(w->err, SH_E_INVAL, "%s: expected at most %s, not %s", w->path,
                       show(hi, edge), show(v, came));
    }
    return 0;
}

static int check(struct walk *w, const json_t *schema, const json_t *v);

static int check_array(struct walk *w, const json_t *schema, const json_t *v) {
    const json_t *items = json_object_get(schema, "items");
    int r = check_count(w, schema, "minItems", "maxItems", json_array_size(v), "items");
    for (size_t i = 0; items && r == 0 && i < json_array_size(v); i++) {
        size_t len = w->len;
        enter(w, NULL, i);
        r = check(w, items, json_array_get(v, i));
        leave(w, len);
    }
    return r;
}

static int check_required(const struct walk *w, const json_t *schema, const json_t *v) {
    const json_t *required = json_object_get(schema, "required");
    for (size_t i = 0; i < json_array_size(required); i++) {
        const char *name = json_string_value(json_array_get(required, i));
        if (!json_object_get(v, name)) {
            return sh_fail(w->err, SH_E_INVAL, "%s: expected a member \"%s\", which is missing",
                           w->path, name);
        }
    }
    return 0;
}

/* Members that the schema does not know, with the nearest one that it does. */
static int check_additional(const struct walk *w, const json_t *properties, const json_t *v) {
    enum { MOST = 64 };
    const char *known[MOST + 1];
    size_t n = 0;
    const char *name = NULL;
    json_t *member = NULL;
    json_object_foreach((json_t *)(uintptr_t)properties, name, member) {
        SH_ASSERT(n < MOST);
        known[n++] = name;
    }
    known[n] = NULL;
    return sh_json_only(v, known, w->path, w->err);
}

static int check_object(struct walk *w, const json_t *schema, const json_t *v) {
    json_t *properties = json_object_get(schema, "properties");
    int r = 0;
    if (json_is_false(json_object_get(schema, "additionalProperties"))) {
        r = check_additional(w, properties, v);
    }
    if (r == 0) {
        r = check_count(w, schema, "minProperties", "maxProperties", json_object_size(v),
                        "members");
    }
    if (r == 0) {
        r = check_required(w, schema, v);
    }
    const char *name = NULL;
    json_t *sub = NULL;
    json_object_foreach(properties, name, sub) {
        const json_t *member = json_object_get(v, name);
        if (r == 0 && member) {
            size_t len = w->len;
            enter(w, name, 0);
            r = check(w, sub, member);
            leave(w, len);
        }
    }
    return r;
}

static int check(struct walk *w, const json_t *schema, const json_t *v) {
    SH_ASSERT(w->depth < SH_SCHEMA_DEPTH_MAX); /* depth follows our schema, never the value */
    w->depth++;
    int r = check_type(w, json_object_get(schema, "type"), v);
    if (r == 0) {
        r = check_enum(w, json_object_get(schema, "enum"), v);
    }
    if (r == 0 && json_is_string(v)) {
        r = check_count(w, schema, "minLength", "maxLength", characters(v), "characters");
    } else if (r == 0 && json_is_number(v)) {
        r = check_number(w, schema, v);
    } else if (r == 0 && json_is_array(v)) {
        r = check_array(w, schema, v);
    } else if (r == 0 && json_is_object(v)) {
        r = check_object(w, schema, v);
    }
    w->depth--;
    return r;
}

int sh_schema_check(const json_t *schema, const json_t *value, const char *path,
                    struct sh_err *err) {
    struct walk w = {.err = err};
    enter(&w, path, 0);
    return check(&w, schema, value);
}

void sh_schema_assert_known(const json_t *schema) {
    static const char *const words[] = {"type",
                                        "enum",
                                        "properties",
                                        "required",
                                        "additionalProperties",
                                        "minProperties",
                                        "items",
                                        "minItems",
                                        "maxItems",
                                        "maxProperties",
                                        "minimum",
                                        "maximum",
                                        "minLength",
                                        "maxLength",
                                        "description",
                                        NULL};
    SH_ASSERT(json_is_object(schema));
    SH_ASSERT(sh_json_only(schema, words, "schema", NULL) == 0);
    const json_t *more = json_object_get(schema, "additionalProperties");
    SH_ASSERT(!more || json_is_boolean(more));
    if (json_object_get(schema, "items")) {
        sh_schema_assert_known(json_object_get(schema, "items"));
    }
    const char *name = NULL;
    json_t *sub = NULL;
    json_object_foreach(json_object_get(schema, "properties"), name, sub) {
        sh_schema_assert_known(sub);
    }
}
