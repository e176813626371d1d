/* The strict reader of capabilities. Documents come from operators, agents and strangers alike, so
 * whatever is not understood is refused, with the path of the member, what was expected and what
 * came. Parsing is pure: `~` and relative paths are completed from what the caller passes. */
#include "policy/policy_private.h"

#include <stdio.h>
#include <stdlib.h>

#define LARGE ((uint64_t)1 << 62) /* fits json_int_t with room to add */

const struct sh_limit_field sh_limit_fields[] = {
    {"workspace", offsetof(struct sh_limits, workspace_bytes), SH_UNIT_BYTES, LARGE},
    {"fuel", offsetof(struct sh_limits, fuel), SH_UNIT_COUNT, LARGE},
    {"memory", offsetof(struct sh_limits, memory_bytes), SH_UNIT_BYTES, SH_MEMORY_MAX},
    {"wall_clock", offsetof(struct sh_limits, wall_clock_ms), SH_UNIT_MS, LARGE / 1000000000},
    {"deadline", offsetof(struct sh_limits, deadline_ms), SH_UNIT_MS, LARGE / 1000000000},
    {"activities", offsetof(struct sh_limits, activities), SH_UNIT_COUNT, INT32_MAX - 1},
    {"parallel_activities", offsetof(struct sh_limits, parallel_activities), SH_UNIT_COUNT,
     SH_PARALLEL_ACTIVITIES_MAX},
    {"output", offsetof(struct sh_limits, output_bytes), SH_UNIT_BYTES, LARGE},
    {"journal", offsetof(struct sh_limits, journal_bytes), SH_UNIT_BYTES, LARGE},
    {"tokens", offsetof(struct sh_limits, tokens), SH_UNIT_COUNT, LARGE},
    {NULL, 0, SH_UNIT_COUNT, 0},
};

/* Where the caller stands, for paths and messages. */
struct context {
    enum sh_caps_use use;
    const char *home, *base_dir;
    char where[96];
    struct sh_err *err;
};

static const char *kind(const json_t *v) {
    static const char *const names[] = {"an object", "an array", "a string", "an integer",
                                        "a number",  "true",     "false",    "null"};
    return v ? names[json_typeof(v)] : "nothing";
}

static int wrong(const struct context *x, const char *member, const char *expected,
                 const json_t *came) {
    if (json_is_string(came)) {
        return sh_fail(x->err, SH_E_INVAL, "%s%s: expected %s, not \"%.80s\"", x->where, member,
                       expected, json_string_value(came));
    }
    return sh_fail(x->err, SH_E_INVAL, "%s%s: expected %s, not %s", x->where, member, expected,
                   kind(came));
}

static int too_many(const struct context *x, const char *member, size_t n, size_t most) {
    return sh_fail(x->err, SH_E_LIMIT, "%s: at most %zu entries are allowed, not %zu", member, most,
                   n);
}

static bool printable(struct sh_str s) {
    for (size_t i = 0; i < s.len; i++) {
        if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f) {
            return false;
        }
    }
    return s.len > 0 && sh_utf8_valid(s);
}

static struct sh_str text_of(const json_t *v) {
    return json_is_string(v) ? sh_strn(json_string_value(v), json_string_length(v))
                             : (struct sh_str){0};
}

/* `prefix` and `rest` joined, without empty and "." components; refuses "..", which cannot be
 * resolved without looking at the disk (a component may be a symbolic link). */
static char *normalise(const char *prefix, const char *rest) {
    sh_auto(sh_buf_done) struct sh_buf out = {0};
    sh_buf_init(&out, SH_PATH_MAX - 1);
    const char *parts[] = {prefix, rest};
    for (size_t i = 0; i < 2; i++) {
        for (const char *p = parts[i]; *p;) {
            size_t n = strcspn(p, "/");
            if (n == 2 && p[0] == '.' && p[1] == '.') {
                return NULL;
            }
            if (n > 0 && !(n == 1 && p[0] == '.')) {
                sh_buf_addc(&out, '/');
                sh_buf_add(&out, p, n);
            }
            p += n + (p[n] == '/');
        }
    }
    if (out.len == 0) {
        sh_buf_addc(&out, '/');
    }
    return sh_buf_take(&out); /* NULL when longer than a path may be */
}

static int parse_host(struct context *x, const json_t *v, char **ret) {
    const char *expected = "a directory: absolute, or relative to this file, or ~/...; without "
                           "\"..\" and at most 4095 bytes";
    struct sh_str s = text_of(v);
    if (!printable(s)) {
        return wrong(x, "host", expected, v);
    }
    const char *prefix = "";
    const char *rest = s.p;
    if (s.p[0] == '~' && (s.len == 1 || s.p[1] == '/')) {
        prefix = x->home;
        rest = s.p + 1;
        if (!prefix || prefix[0] != '/') {
            return wrong(x, "host", "an absolute path (here ~ stands for nothing)", v);
        }
    } else if (s.p[0] == '~') {
        return wrong(x, "host", "~ or ~/... (another user's home must be written out)", v);
    } else if (s.p[0] != '/') {
        prefix = x->base_dir;
        if (!prefix || prefix[0] != '/') {
            return wrong(x, "host", "an absolute path", v);
        }
    }
    char *path = normalise(prefix, rest);
    if (!path) {
        return wrong(x, "host", expected, v);
    }
    *ret = path;
    return 0;
}

static int parse_guest(struct context *x, const json_t *v, char **ret) {
    struct sh_str s = text_of(v);
    char *path = NULL;
    if (printable(s) && (s.p[0] == '/' || sh_str_eqz(s, "."))) {
        path = normalise("", s.p);
    }
    if (!path) {
        return wrong(x, "guest", "an absolute path without \"..\", or \".\"", v);
    }
    if (sh_path_within(path, "/dev") || sh_path_within(path, "/net")) {
        sh_free(path);
        return wrong(x, "guest", "a path outside /dev and /net, which are the agent's devices", v);
    }
    *ret = path;
    return 0;
}

static int parse_perms(struct context *x, const json_t *entry, const char *member, unsigned *ret) {
    const json_t *list = json_object_get(entry, member);
    if (!list) {
        *ret = x->use == SH_CAPS_REFUSE ? SH_PERM_READ | SH_PERM_WRITE : SH_PERM_READ;
        return 0;
    }
    if (!json_is_array(list)) {
        return wrong(x, member, "an array of \"read\" and \"write\"", list);
    }
    unsigned perms = 0;
    for (size_t i = 0; i < json_array_size(list); i++) {
        struct sh_str s = text_of(json_array_get(list, i));
        unsigned perm = sh_str_eqz(s, "read")    ? (unsigned)SH_PERM_READ
                        : sh_str_eqz(s, "write") ? (unsigned)SH_PERM_WRITE
                                                 : 0;
        if (!perm || perms & perm) {
            return wrong(x, member, "\"read\" or \"write\", each once", json_array_get(list, i));
        }
        perms |= perm;
    }
    *ret = perms;
    return 0;
}

static int parse_size(const struct context *x, const char *member, const json_t *v, uint64_t *ret) {
    if (json_is_integer(v) && json_integer_value(v) > 0) {
        *ret = (uint64_t)json_integer_value(v);
        return 0;
    }
    if (!json_is_string(v) || sh_parse_size(text_of(v), ret, NULL) != 0 || *ret == 0) {
        return wrong(x, member, "a size above 0, such as 4096 or \"64MiB\"", v);
    }
    return 0;
}

static int parse_mount_bytes(struct context *x, const json_t *entry, struct sh_mount *m) {
    const json_t *bytes = json_object_get(entry, "bytes");
    bool writes = (m->dir_perms | m->file_perms) & SH_PERM_WRITE;
    if (!bytes) {
        m->bytes = writes && x->use == SH_CAPS_GRANT ? SH_MOUNT_BYTES_DEFAULT : 0;
        return 0;
    }
    if (!writes || x->use == SH_CAPS_REFUSE) {
        return wrong(x, "bytes", "to be left out where nothing may be written", bytes);
    }
    int r = parse_size(x, "bytes", bytes, &m->bytes);
    return r ? r : m->bytes <= LARGE ? 0 : wrong(x, "bytes", "at most 4 EiB", bytes);
}

static int parse_capture(struct context *x, const json_t *v, struct sh_mount *m) {
    m->capture = SH_CAPTURE_DEFAULT;
    if (!v) {
        return 0;
    }
    if (x->use == SH_CAPS_REFUSE) {
        return wrong(x, "capture", "to be left out where nothing is given", v);
    }
    if (json_is_integer(v) && json_integer_value(v) == 0) {
        m->capture = 0;
        return 0;
    }
    int r = parse_size(x, "capture", v, &m->capture);
    return r ? r : m->capture <= SH_CAPTURE_MAX ? 0 : wrong(x, "capture", "at most 1 GiB", v);
}

static int parse_mount(struct context *x, const json_t *entry, struct sh_mount *m) {
    static const char *const known[] = {"host",  "guest",   "dir_perms", "file_perms",
                                        "bytes", "capture", NULL};
    if (!json_is_object(entry)) {
        return wrong(x, "", "an object {host, guest, dir_perms, file_perms}", entry);
    }
    int r = sh_json_only(entry, known, x->where, x->err);
    if (r == 0) {
        r = parse_host(x, json_object_get(entry, "host"), &m->host);
    }
    if (r == 0) {
        const json_t *guest = json_object_get(entry, "guest");
        sh_auto(sh_json_done) json_t *same = guest ? NULL : sh_json_string(sh_str(m->host));
        r = parse_guest(x, guest ? guest : same, &m->guest);
    }
    if (r == 0) {
        r = parse_perms(x, entry, "dir_perms", &m->dir_perms);
    }
    if (r == 0) {
        r = parse_perms(x, entry, "file_perms", &m->file_perms);
    }
    if (r == 0) {
        r = parse_mount_bytes(x, entry, m);
    }
    return r ? r : parse_capture(x, json_object_get(entry, "capture"), m);
}

static int parse_mounts(struct context *x, const json_t *list, struct sh_capabilities *c) {
    if (!json_is_array(list)) {
        return wrong(x, "filesystem", "an array of mounts", list);
    }
    size_t n = json_array_size(list);
    if (n > SH_MOUNTS_MAX) {
        return too_many(x, "filesystem", n, SH_MOUNTS_MAX);
    }
    c->said_mounts = true;
    c->mounts = n ? sh_new_array(struct sh_mount, n) : NULL;
    for (size_t i = 0; i < n; i++) {
        snprintf(x->where, sizeof(x->where), "filesystem[%zu].", i);
        c->n_mounts = i + 1; /* so that a half-read mount is freed */
        int r = parse_mount(x, json_array_get(list, i), &c->mounts[i]);
        if (r) {
            return r;
        }
        for (size_t j = 0; j < i && x->use == SH_CAPS_GRANT; j++) {
            if (strcmp(c->mounts[j].guest, c->mounts[i].guest) == 0) {
                return sh_fail(x->err, SH_E_INVAL,
                               "filesystem[%zu].guest: \"%.200s\" is taken by filesystem[%zu]; "
                               "choose another path",
                               i, c->mounts[i].guest, j);
            }
        }
    }
    x->where[0] = '\0';
    return 0;
}

static int by_name(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* A sorted set of the strings of `list`, each approved by `good`. */
static int parse_names(struct context *x, const char *member, const json_t *list,
                       bool (*good)(struct sh_str), const char *expected, char ***ret) {
    if (!json_is_array(list)) {
        return wrong(x, member, "an array of strings", list);
    }
    size_t n = json_array_size(list);
    if (n > SH_CAPABILITY_ITEMS_MAX) {
        return too_many(x, member, n, SH_CAPABILITY_ITEMS_MAX);
    }
    for (size_t i = 0; i < n; i++) {
        if (!json_is_string(json_array_get(list, i)) || !good(text_of(json_array_get(list, i)))) {
            return wrong(x, member, expected, json_array_get(list, i));
        }
    }
    char **names = sh_new_array(char *, n + 1);
    for (size_t i = 0; i < n; i++) {
        names[i] = sh_strdup(json_string_value(json_array_get(list, i)));
    }
    qsort(names, n, sizeof(*names), by_name);
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        if (kept && strcmp(names[kept - 1], names[i]) == 0) {
            sh_free(names[i]);
        } else {
            names[kept++] = names[i];
        }
    }
    for (size_t i = kept; i < n; i++) {
        names[i] = NULL;
    }
    *ret = names;
    return 0;
}

static bool name_char(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           strchr("_.-/:", c) != NULL;
}

/* A tool: "kv", "mcp:files/read", or a wildcard: "*", or all tools of one
 * MCP server, "mcp:SERVER/" with a star. */
static bool good_tool(struct sh_str s) {
    if (sh_str_eqz(s, "*")) {
        return true;
    }
    size_t n = s.len;
    if (n >= 2 && s.p[n - 1] == '*' && s.p[n - 2] == '/' && sh_str_starts(s, SH_STR("mcp:")) &&
        n > strlen("mcp:/*") && !memchr(s.p, '/', n - 2)) {
        n--;
    }
    for (size_t i = 0; i < n; i++) {
        if (!s.p[i] || !name_char(s.p[i])) {
            return false;
        }
    }
    return n > 0 && s.len <= SH_ID_MAX * 2;
}

static bool good_method(struct sh_str s) {
    for (size_t i = 0; i < s.len; i++) {
        if (s.p[i] < 'A' || s.p[i] > 'Z') {
            return false;
        }
    }
    return s.len > 0 && s.len <= 32;
}

static bool good_required(struct sh_str s) {
    return printable(s) && s.len < SH_PATH_MAX;
}

static bool host_char(char c, bool literal6) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' ||
           (literal6 ? c == ':' : c == '-' || c == '_');
}

/* A lower-case name, an IPv4 address, an IPv6 address in brackets, "*", or "*.name". */
static bool good_host(struct sh_str s) {
    if (sh_str_eqz(s, "*")) {
        return true;
    }
    if (sh_str_starts(s, SH_STR("*."))) {
        s = sh_strn(s.p + 2, s.len - 2);
    }
    bool literal6 = s.len > 2 && s.p[0] == '[' && s.p[s.len - 1] == ']';
    if (literal6) {
        s = sh_strn(s.p + 1, s.len - 2);
    }
    if (s.len == 0 || s.len > 253 || s.p[0] == '.' || s.p[s.len - 1] == '.') {
        return false;
    }
    for (size_t i = 0; i < s.len; i++) {
        if (!host_char(s.p[i], literal6) || (i && s.p[i] == '.' && s.p[i - 1] == '.')) {
            return false;
        }
    }
    return true;
}

/* "/..." without dot segments, queries and escapes; "*" at the end only. */
static bool good_url_path(struct sh_str s) {
    if (!printable(s) || s.p[0] != '/' || s.len >= SH_PATH_MAX) {
        return false;
    }
    for (size_t i = 0; i < s.len; i++) {
        if (strchr("?#%\\ ", s.p[i]) || (s.p[i] == '*' && i + 1 != s.len)) {
            return false;
        }
    }
    for (size_t i = 0; i < s.len; i++) {
        if (s.p[i] == '/') {
            size_t dots = i + 1;
            while (dots < s.len && s.p[dots] == '.') {
                dots++;
            }
            size_t n = dots - i - 1;
            if ((n == 1 || n == 2) && (dots == s.len || s.p[dots] == '/')) {
                return false;
            }
        }
    }
    return true;
}

/* Takes up to five digits off the beginning of `*s`. */
static unsigned take_port(struct sh_str *s) {
    unsigned port = 0;
    for (int digits = 0; digits < 5 && s->len && *s->p >= '0' && *s->p <= '9'; digits++) {
        port = port * 10 + (unsigned)(*s->p - '0');
        *s = sh_strn(s->p + 1, s->len - 1);
    }
    return port;
}

/* "FIRST-LAST", or "*" for every port. */
static bool read_ports(struct sh_str s, struct sh_net_rule *rule) {
    unsigned first = 1, last = UINT16_MAX;
    if (!sh_str_eqz(s, "*")) {
        first = take_port(&s);
        if (!s.len || *s.p != '-') {
            return false;
        }
        s = sh_strn(s.p + 1, s.len - 1);
        last = take_port(&s);
        if (s.len || first < 1 || first > last || last > UINT16_MAX) {
            return false;
        }
    }
    rule->port = (uint16_t)first;
    rule->port_last = (uint16_t)(first == last ? 0 : last);
    return true;
}

static int parse_port(struct context *x, const json_t *v, struct sh_net_rule *rule) {
    uint16_t standard = strcmp(rule->scheme, "https") == 0  ? 443
                        : strcmp(rule->scheme, "http") == 0 ? 80
                                                            : 0;
    if (!v) {
        rule->port = standard;
        return standard ? 0
                        : wrong(x, "port",
                                "a port, \"FIRST-LAST\" or \"*\", because tcp has no usual one", v);
    }
    if (json_is_string(v) && read_ports(text_of(v), rule)) {
        return 0;
    }
    json_int_t port = json_is_integer(v) ? json_integer_value(v) : -1;
    if (port < 1 || port > UINT16_MAX) {
        return wrong(x, "port", "an integer from 1 to 65535, \"FIRST-LAST\" or \"*\"", v);
    }
    rule->port = (uint16_t)port;
    return 0;
}

static int parse_net_rule(struct context *x, const json_t *entry, struct sh_net_rule *rule) {
    static const char *const known[] = {"scheme", "host", "port", "methods", "path", NULL};
    if (!json_is_object(entry)) {
        return wrong(x, "", "an object {scheme, host, port, methods, path}", entry);
    }
    int r = sh_json_only(entry, known, x->where, x->err);
    if (r) {
        return r;
    }
    struct sh_str scheme = text_of(json_object_get(entry, "scheme"));
    const json_t *host = json_object_get(entry, "host");
    const json_t *path = json_object_get(entry, "path");
    const json_t *methods = json_object_get(entry, "methods");
    if (!sh_str_eqz(scheme, "https") && !sh_str_eqz(scheme, "http") && !sh_str_eqz(scheme, "tcp")) {
        return wrong(x, "scheme", "\"https\", \"http\" or \"tcp\"",
                     json_object_get(entry, "scheme"));
    }
    if (!json_is_string(host) || !good_host(text_of(host))) {
        return wrong(x, "host", "a lower-case host name, an address, \"*.name\" or \"*\"", host);
    }
    rule->scheme = sh_strndup0(scheme.p, scheme.len);
    rule->host = sh_strdup(json_string_value(host));
    if (path || methods) {
        if (sh_str_eqz(scheme, "tcp")) {
            return wrong(x, path ? "path" : "methods", "to be left out with tcp",
                         path ? path : methods);
        }
    }
    if (path && !(json_is_string(path) && good_url_path(text_of(path)))) {
        return wrong(x, "path", "an absolute path without dot segments, \"*\" at its end only",
                     path);
    }
    rule->path = path ? sh_strdup(json_string_value(path)) : NULL;
    if (methods) {
        r = parse_names(x, "methods", methods, good_method, "a method in capitals, such as \"GET\"",
                        &rule->methods);
    }
    return r ? r : parse_port(x, json_object_get(entry, "port"), rule);
}

static int parse_network(struct context *x, const json_t *list, struct sh_capabilities *c) {
    if (!json_is_array(list)) {
        return wrong(x, "network", "an array of rules", list);
    }
    size_t n = json_array_size(list);
    if (n > SH_CAPABILITY_ITEMS_MAX) {
        return too_many(x, "network", n, SH_CAPABILITY_ITEMS_MAX);
    }
    c->said_net = true;
    c->net = n ? sh_new_array(struct sh_net_rule, n) : NULL;
    for (size_t i = 0; i < n; i++) {
        snprintf(x->where, sizeof(x->where), "network[%zu].", i);
        c->n_net = i + 1;
        int r = parse_net_rule(x, json_array_get(list, i), &c->net[i]);
        if (r) {
            return r;
        }
    }
    x->where[0] = '\0';
    return 0;
}

static int parse_env(struct context *x, const json_t *env, struct sh_capabilities *c) {
    if (!json_is_object(env)) {
        return wrong(x, "env", "an object of strings", env);
    }
    if (json_object_size(env) > SH_CAPABILITY_ITEMS_MAX) {
        return too_many(x, "env", json_object_size(env), SH_CAPABILITY_ITEMS_MAX);
    }
    const char *name = NULL;
    json_t *value = NULL;
    size_t bytes = 0;
    json_object_foreach((json_t *)(uintptr_t)env, name, value) {
        if (!printable(sh_str(name)) || strchr(name, '=')) {
            return sh_fail(
                x->err, SH_E_INVAL,
                "env: expected names without \"=\" and control characters, not \"%.80s\"", name);
        }
        struct sh_str s = text_of(value);
        bool good = json_is_string(value) ? !memchr(s.len ? s.p : "x", '\0', s.len ? s.len : 1)
                                          : json_is_true(value);
        if (!good) {
            snprintf(x->where, sizeof(x->where), "env.%.64s", name);
            return wrong(x, "", "a string without NUL, or true", value);
        }
        bytes += strlen(name) + s.len + 2;
    }
    if (bytes > SH_ARGS_BYTES_MAX) {
        return sh_fail(x->err, SH_E_LIMIT, "env: %zu bytes are more than the %llu that fit", bytes,
                       (unsigned long long)SH_ARGS_BYTES_MAX);
    }
    c->said_env = true;
    c->env = json_deep_copy(env);
    return 0;
}

static int parse_count(const struct context *x, const struct sh_limit_field *f, const json_t *v,
                       uint64_t *ret) {
    if (f->unit == SH_UNIT_BYTES) {
        return parse_size(x, f->name, v, ret);
    }
    if (f->unit == SH_UNIT_MS) {
        if (!json_is_string(v) || sh_parse_duration_ms(text_of(v), ret, NULL) != 0 || *ret == 0) {
            return wrong(x, f->name, "a duration above 0, such as \"90s\" or \"10m\"", v);
        }
        return 0;
    }
    if (!json_is_integer(v) || json_integer_value(v) < 1) {
        return wrong(x, f->name, "an integer from 1", v);
    }
    *ret = (uint64_t)json_integer_value(v);
    return 0;
}

static int parse_limit(const struct context *x, const struct sh_limit_field *f, const json_t *v,
                       struct sh_limits *ret) {
    uint64_t n = 0;
    int r = v ? parse_count(x, f, v, &n) : 0;
    if (r || !v) {
        return r;
    }
    if (n > f->max) {
        return sh_fail(x->err, SH_E_INVAL, "%s%s: expected at most %llu%s, not %llu", x->where,
                       f->name, (unsigned long long)f->max,
                       f->unit == SH_UNIT_BYTES ? " bytes"
                       : f->unit == SH_UNIT_MS  ? " ms"
                                                : "",
                       (unsigned long long)n);
    }
    *sh_limit_at(ret, f) = n;
    return 0;
}

int sh_limits_parse(const json_t *doc, struct sh_limits *ret, struct sh_err *err) {
    static const char *const known[] = {
        "fuel",   "memory",  "wall_clock", "deadline", "activities", "parallel_activities",
        "output", "journal", "tokens",     "cost_usd", NULL};
    struct context x = {.where = "limits.", .err = err};
    if (!json_is_object(doc)) {
        x.where[0] = '\0';
        return wrong(&x, "limits", "an object", doc);
    }
    int r = sh_json_only(doc, known, "limits", err);
    for (const struct sh_limit_field *f = sh_limit_fields + 1; r == 0 && f->name; f++) {
        r = parse_limit(&x, f, json_object_get(doc, f->name), ret);
    }
    const json_t *cost = json_object_get(doc, "cost_usd");
    if (r == 0 && cost) {
        double usd = json_number_value(cost);
        if (!json_is_number(cost) || !(usd > 0) || usd > 1e9) {
            return wrong(&x, "cost_usd", "a number above 0, at most 1e9", cost);
        }
        ret->cost_usd = usd;
    }
    return r;
}

/* `required` may name only what the document asks for: a typing error would go unseen else. */
static int check_required(const struct context *x, const struct sh_capabilities *c) {
    for (size_t i = 0; c->required && c->required[i]; i++) {
        const char *name = c->required[i];
        bool asked = sh_names_have(c->tools, name) || json_object_get(c->env, name);
        for (size_t j = 0; j < c->n_mounts && !asked; j++) {
            asked = strcmp(c->mounts[j].guest, name) == 0;
        }
        if (!asked) {
            return sh_fail(x->err, SH_E_INVAL,
                           "required: \"%.80s\" is no tool, guest path or variable that this "
                           "document asks for",
                           name);
        }
    }
    return 0;
}

static int parse_members(struct context *x, const json_t *doc, struct sh_capabilities *c) {
    const json_t *filesystem = json_object_get(doc, "filesystem");
    const json_t *network = json_object_get(doc, "network");
    const json_t *env = json_object_get(doc, "env");
    const json_t *tools = json_object_get(doc, "tools");
    const json_t *required = json_object_get(doc, "required");
    const json_t *limits = json_object_get(doc, "limits");
    int r = filesystem ? parse_mounts(x, filesystem, c) : 0;
    if (r == 0 && network) {
        r = parse_network(x, network, c);
    }
    if (r == 0 && env) {
        r = parse_env(x, env, c);
    }
    if (r == 0 && tools) {
        c->said_tools = true;
        r = parse_names(x, "tools", tools, good_tool,
                        "names of tools, such as \"llm\", \"mcp:files/*\" or \"*\"", &c->tools);
    }
    if (r == 0 && required) {
        r = parse_names(x, "required", required, good_required, "names", &c->required);
    }
    if (r == 0) {
        r = check_required(x, c);
    }
    if (r == 0) {
        r = parse_limit(x, &sh_limit_fields[0], json_object_get(doc, "workspace"), &c->limits);
    }
    return r == 0 && limits ? sh_limits_parse(limits, &c->limits, x->err) : r;
}

int sh_capabilities_parse_as(const json_t *doc, enum sh_caps_use use, const char *home,
                             const char *base_dir, struct sh_capabilities *ret,
                             struct sh_err *err) {
    static const char *const known[] = {"filesystem", "workspace", "network",  "env",
                                        "tools",      "limits",    "required", NULL};
    struct context x = {.use = use, .home = home, .base_dir = base_dir, .err = err};
    struct sh_capabilities c = {0};
    /* A file on its own carries the section name, as in an agent's manifest. */
    if (json_object_size(doc) == 1 && json_object_get(doc, "capabilities")) {
        doc = json_object_get(doc, "capabilities");
    }
    if (!json_is_object(doc)) {
        return wrong(&x, "capabilities", "an object", doc);
    }
    int r = sh_json_only(doc, known, "capabilities", err);
    if (r == 0) {
        r = parse_members(&x, doc, &c);
    }
    if (r) {
        sh_capabilities_done(&c);
        return r;
    }
    *ret = c;
    return 0;
}

int sh_capabilities_parse(const json_t *doc, const char *home, const char *base_dir,
                          struct sh_capabilities *ret, struct sh_err *err) {
    return sh_capabilities_parse_as(doc, SH_CAPS_GRANT, home, base_dir, ret, err);
}
