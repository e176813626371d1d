#include "cli/run_flags.h"

#include "files.h"
#include "nearest.h"
#include "policy/policy.h"
#include "workflow/engine.h"

#include <ctype.h>
#include <stdlib.h>

static json_t *array_of(json_t *doc, const char *name) {
    json_t *list = json_object_get(doc, name);
    if (!list) {
        list = json_array();
        json_object_set_new(doc, name, list);
    }
    return list;
}

static json_t *object_of(json_t *doc, const char *name) {
    json_t *object = json_object_get(doc, name);
    if (!object) {
        object = json_object();
        json_object_set_new(doc, name, object);
    }
    return object;
}

/* HOST::GUEST[::ro|::rw]; HOST alone when it is absolute or ".". */
static int add_dir(json_t *doc, const char *text, const char *cwd, struct sh_err *err) {
    const char *sep = strstr(text, "::");
    size_t host_len = sep ? (size_t)(sep - text) : strlen(text);
    const char *guest = sep ? sep + 2 : NULL;
    const char *mode = guest ? strstr(guest, "::") : NULL;
    size_t guest_len = guest ? (mode ? (size_t)(mode - guest) : strlen(guest)) : host_len;
    bool ro = mode && strcmp(mode, "::ro") == 0;
    if (!host_len || !guest_len || (mode && !ro && strcmp(mode, "::rw") != 0)) {
        return sh_fail(err, SH_E_INVAL, "--dir %.200s: expected HOST::GUEST or HOST::GUEST::ro",
                       text);
    }
    if (!guest) {
        guest = text;
    }
    sh_auto(sh_free_p) char *host = text[0] == '/' || text[0] == '~'
                                        ? sh_strndup0(text, host_len)
                                        : sh_asprintf("%s/%.*s", cwd, (int)host_len, text);
    sh_auto(sh_free_p) char *real = strstr(host, "..") ? sh_path_real(host) : NULL;
    json_t *perms = ro ? json_pack("[s]", "read") : json_pack("[s,s]", "read", "write");
    json_t *entry = json_pack(
        "{s:o, s:o, s:O, s:o}", "host", sh_json_string(sh_str(real ? real : host)), "guest",
        sh_json_string(sh_strn(guest, guest_len)), "dir_perms", perms, "file_perms", perms);
    return json_array_append_new(array_of(doc, "filesystem"), entry);
}

/* K=V, or K alone for the value it has here. */
static int add_env(json_t *doc, const char *text, const char *(*get)(const char *name),
                   struct sh_err *err) {
    const char *equals = strchr(text, '=');
    const char *value = equals ? equals + 1 : get(text);
    if (equals == text || !*text) {
        return sh_fail(err, SH_E_INVAL, "--env %.200s: expected NAME=VALUE", text);
    }
    if (!value) {
        return sh_fail(err, SH_E_INVAL,
                       "--env %.200s: that variable is not set here; give %.200s=VALUE", text,
                       text);
    }
    sh_auto(sh_free_p) char *name =
        sh_strndup0(text, equals ? (size_t)(equals - text) : strlen(text));
    json_object_set_new(object_of(doc, "env"), name, sh_json_string(sh_str(value)));
    return 0;
}

/* A mistyped name would grant nothing and be missed only when the agent is refused. Names with a
 * colon belong to servers of tools, which are not known here. */
static int add_tool(json_t *doc, const char *text, struct sh_err *err) {
    const char *known[32] = {NULL};
    size_t n = 0;
    bool found = strchr(text, ':') != NULL;
    for (const struct sh_tool *const *t = sh_tools_list();
         *t && n + 1 < sizeof(known) / sizeof(known[0]); t++) {
        const char *name = (*t)->capability;
        if (name && (n == 0 || strcmp(known[n - 1], name) != 0)) { /* the list is sorted */
            known[n++] = name;
            found = found || strcmp(name, text) == 0;
        }
    }
    if (!found) {
        const char *nearest = sh_nearest(text, known);
        return sh_fail(err, SH_E_INVAL,
                       "--tool %.60s: there is no such tool to grant%s%s%s; `shannon tools` lists "
                       "them",
                       text, nearest ? "; did you mean " : "", nearest ? nearest : "",
                       nearest ? "?" : "");
    }
    return json_array_append_new(array_of(doc, "tools"), sh_json_string(sh_str(text)));
}

#define NET_FORM                                                                                   \
    "expected [METHODS ]SCHEME://HOST[:PORT][/PATH], such as https://example.org, "                \
    "tcp://db.example:5432, tcp://db.example:5000-5999, tcp://db.example:* or "                    \
    "\"GET,POST https://*.wikipedia.org:443/wiki/*\""

/* "GET,POST"; what is between commas is a name, also when it is empty, so that the policy's reader
 * refuses it. */
static json_t *net_methods(struct sh_str text) {
    json_t *methods = json_array();
    for (size_t from = 0, i = 0; i <= text.len; i++) {
        if (i == text.len || text.p[i] == ',') {
            json_array_append_new(methods, sh_json_string(sh_strn(text.p + from, i - from)));
            from = i + 1;
        }
    }
    return methods;
}

/* One port as a number, what is none as it is: the policy's reader knows ranges, and refuses the
 * rest. */
static json_t *net_port(struct sh_str text) {
    unsigned long port = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (!isdigit((unsigned char)text.p[i]) || i == 5) {
            return sh_json_string(text);
        }
        port = port * 10 + (unsigned long)(text.p[i] - '0');
    }
    return json_integer((json_int_t)port);
}

/* The parts of a rule, unchecked; NULL when there is no SCHEME://HOST in it. */
static json_t *net_parts(const char *text) {
    const char *blank = strrchr(text, ' '), *from = blank ? blank + 1 : text;
    const char *sep = strstr(from, "://"), *host = sep ? sep + 3 : NULL;
    size_t authority = host ? strcspn(host, "/") : 0;
    const char *literal = host && *host == '[' ? memchr(host, ']', authority) : NULL;
    const char *end = host ? host + authority : NULL, *colon = NULL;
    if (!host || authority == 0) {
        return NULL;
    }
    colon = memchr(literal ? literal : host, ':', (size_t)(end - (literal ? literal : host)));
    json_t *rule =
        json_pack("{s:o, s:o}", "scheme", sh_json_string(sh_strn(from, (size_t)(sep - from))),
                  "host", sh_json_string(sh_strn(host, (size_t)((colon ? colon : end) - host))));
    if (colon) {
        json_object_set_new(rule, "port", net_port(sh_strn(colon + 1, (size_t)(end - colon - 1))));
    }
    if (*end) {
        json_object_set_new(rule, "path", sh_json_string(sh_str(end)));
    }
    if (blank) {
        size_t n = (size_t)(blank - text);
        while (n && text[n - 1] == ' ') {
            n--;
        }
        json_object_set_new(rule, "methods", net_methods(sh_strn(text, n)));
    }
    return rule;
}

/* [METHODS ]SCHEME://HOST[:PORT][/PATH]. What the policy's reader says of the parts is passed on,
 * with the flag and the form before it. */
static int add_net(json_t *doc, const char *text, struct sh_err *err) {
    struct sh_err inner = {0};
    struct sh_capabilities checked = {0};
    json_t *rule = net_parts(text);
    if (!rule) {
        return sh_fail(err, SH_E_INVAL, "--allow-net %.120s: " NET_FORM, text);
    }
    sh_auto(sh_json_done) json_t *alone = json_pack("{s:[O]}", "network", rule);
    int rc = sh_capabilities_parse(alone, NULL, NULL, &checked, &inner);
    sh_capabilities_done(&checked);
    if (rc < 0) {
        json_decref(rule);
        const char *why =
            strncmp(inner.message, "network[0].", 11) == 0 ? inner.message + 11 : inner.message;
        return sh_fail(err, SH_E_INVAL, "--allow-net %.120s: %.200s (" NET_FORM ")", text, why);
    }
    return json_array_append_new(array_of(doc, "network"), rule);
}

static int add_fuel(json_t *doc, const char *text, struct sh_err *err) {
    char digits[24];
    size_t n = 0;
    for (const char *p = text; *p && n + 1 < sizeof(digits); p++) {
        if (*p != '_') {
            digits[n++] = *p;
        }
    }
    digits[n] = 0;
    char *end = NULL;
    unsigned long long fuel = strtoull(digits, &end, 10);
    if (!isdigit((unsigned char)digits[0]) || *end || n + 1 == sizeof(digits) || fuel == 0 ||
        fuel > INT64_MAX) {
        return sh_fail(err, SH_E_INVAL, "--fuel %.60s: expected a whole number from 1 to %lld",
                       text, (long long)INT64_MAX / 2 + 1);
    }
    json_object_set_new(object_of(doc, "limits"), "fuel", json_integer((json_int_t)fuel));
    return 0;
}

static int add_limits(json_t *doc, const struct sh_run_flags *f, struct sh_err *err) {
    struct sh_err inner = {0};
    uint64_t value = 0;
    if (f->fuel && add_fuel(doc, f->fuel, err) < 0) {
        return -err->code;
    }
    if (f->memory) {
        if (sh_parse_size(sh_str(f->memory), &value, &inner) < 0) {
            return sh_fail(err, SH_E_INVAL, "--memory: %s", inner.message);
        }
        json_object_set_new(object_of(doc, "limits"), "memory", sh_json_string(sh_str(f->memory)));
    }
    if (f->timeout) {
        if (sh_parse_duration_ms(sh_str(f->timeout), &value, &inner) < 0) {
            return sh_fail(err, SH_E_INVAL, "--timeout: %s", inner.message);
        }
        json_object_set_new(object_of(doc, "limits"), "wall_clock",
                            sh_json_string(sh_str(f->timeout)));
    }
    if (f->deadline) {
        if (sh_parse_duration_ms(sh_str(f->deadline), &value, &inner) < 0) {
            return sh_fail(err, SH_E_INVAL, "--deadline: %s", inner.message);
        }
        json_object_set_new(object_of(doc, "limits"), "deadline",
                            sh_json_string(sh_str(f->deadline)));
    }
    return 0;
}

int sh_run_capabilities(const struct sh_run_flags *f, const json_t *document, const char *cwd,
                        const char *(*get)(const char *name), json_t **ret, struct sh_err *err) {
    struct sh_err own = {0};
    err = err ? err : &own;
    const json_t *inner = json_object_get(document, "capabilities");
    document = inner ? inner : document;
    sh_auto(sh_json_done) json_t *doc = document ? json_deep_copy(document) : json_object();
    int rc = json_is_object(doc) ? 0 : sh_fail(err, SH_E_INVAL, "capabilities must be an object");
    for (size_t i = 0; rc == 0 && i < f->dirs.n; i++) {
        rc = add_dir(doc, f->dirs.v[i], cwd, err);
    }
    for (size_t i = 0; rc == 0 && i < f->env.n; i++) {
        rc = add_env(doc, f->env.v[i], get, err);
    }
    for (size_t i = 0; rc == 0 && i < f->tools.n; i++) {
        rc = add_tool(doc, f->tools.v[i], err);
    }
    for (size_t i = 0; rc == 0 && i < f->nets.n; i++) {
        rc = add_net(doc, f->nets.v[i], err);
    }
    rc = rc < 0 ? rc : add_limits(doc, f, err);
    if (rc == 0) {
        *ret = json_object_size(doc) || document ? sh_take(&doc) : NULL;
    }
    return rc;
}
