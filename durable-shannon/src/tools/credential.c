/* Credentials: an operator names a secret, says where it may be sent and in which header; an agent
 * that was granted `credential:NAME` names it in a request and never sees it. */
#include "tools/tools_private.h"

#include <strings.h>

static void credential_done(struct sh_credential *c) {
    sh_free(c->name);
    sh_free(c->header);
    sh_free(c->prefix);
    sh_free(c->env);
    sh_free(c->file);
    for (size_t i = 0; c->methods && c->methods[i]; i++) {
        sh_free(c->methods[i]);
    }
    sh_free(c->methods);
    sh_egress_target_done(&c->target);
}

void sh_credentials_done(struct sh_tools *t) {
    for (size_t i = 0; i < t->n_credentials; i++) {
        credential_done(&t->credentials[i]);
    }
    t->credentials = sh_free(t->credentials);
    t->n_credentials = 0;
}

static char *text_or_null(const json_t *doc, const char *key) {
    struct sh_str s = sh_json_get_str(doc, key);
    return s.len ? sh_strndup0(s.p, s.len) : NULL;
}

static int bad(const char *name, const char *what, struct sh_err *err) {
    return sh_fail(err, SH_E_INVAL,
                   "[http.credentials.%.60s] %s; it takes url, methods (a list), header "
                   "(Authorization), prefix (\"Bearer \"), and env or file for the secret",
                   name, what);
}

static bool good_name(const char *name) {
    size_t n = strlen(name);
    bool good = n > 0 && n <= 64;
    for (size_t i = 0; i < n; i++) {
        good = good && ((name[i] >= 'a' && name[i] <= 'z') || (name[i] >= 'A' && name[i] <= 'Z') ||
                        (name[i] >= '0' && name[i] <= '9') || strchr("_.-", name[i]));
    }
    return good;
}

/* A header's name, or the text before the secret: nothing that could begin another header. */
static bool good_text(const char *s, const char *also) {
    for (; *s; s++) {
        if (!((*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') || (*s >= '0' && *s <= '9') ||
              strchr(also, *s))) {
            return false;
        }
    }
    return true;
}

static int read_methods(const json_t *list, struct sh_credential *c, struct sh_err *err) {
    size_t n = json_array_size(list);
    if (!list) {
        return 0;
    }
    if (n == 0 || n > 16) {
        return bad(c->name, "methods: expected a list such as [\"GET\"]", err);
    }
    c->methods = sh_new_array(char *, n + 1);
    for (size_t i = 0; i < n; i++) {
        const char *m = json_string_value(json_array_get(list, i));
        if (!m || !*m || !good_text(m, "")) {
            return bad(c->name, "methods: expected a list such as [\"GET\"]", err);
        }
        c->methods[i] = sh_strdup(m);
    }
    return 0;
}

static int read_one(const char *name, const json_t *doc, struct sh_credential *c,
                    struct sh_err *err) {
    static const char *const known[] = {"url", "methods", "header", "prefix", "env", "file", NULL};
    struct sh_err why = {0};
    c->name = sh_strdup(name);
    if (!good_name(name)) {
        return bad(name, "has a name with other characters than letters, digits, _ . -", err);
    }
    if (!json_is_object(doc)) {
        return bad(name, "is not a table", err);
    }
    if (sh_json_only(doc, known, "it", &why) != 0) {
        return bad(name, why.message, err);
    }
    c->header = text_or_null(doc, "header");
    bool usual = !c->header;
    c->header = c->header ? c->header : sh_strdup("Authorization");
    c->prefix = text_or_null(doc, "prefix");
    c->prefix = c->prefix ? c->prefix : sh_strdup(usual ? "Bearer " : "");
    c->env = text_or_null(doc, "env");
    c->file = text_or_null(doc, "file");
    sh_auto(sh_free_p) char *url = text_or_null(doc, "url");
    if (!url || sh_egress_target_parse(url, NULL, &c->target, &why) != 0) {
        return bad(name, url ? why.message : "needs a url that its requests begin with", err);
    }
    if (!c->env == !c->file) {
        return bad(name, "needs either env or file", err);
    }
    if (!good_text(c->header, "-_") || !good_text(c->prefix, " -_=:.")) {
        return bad(name, "has a header or prefix with characters that do not belong there", err);
    }
    return read_methods(json_object_get(doc, "methods"), c, err);
}

int sh_credentials_init(struct sh_tools *t, const json_t *doc, struct sh_err *err) {
    const char *name = NULL;
    json_t *entry = NULL;
    if (!doc) {
        return 0;
    }
    t->credentials = sh_new_array(struct sh_credential, json_object_size(doc) + 1);
    json_object_foreach((json_t *)(uintptr_t)doc, name, entry) {
        int r = read_one(name, entry, &t->credentials[t->n_credentials++], err);
        if (r) {
            return r;
        }
    }
    return 0;
}

const struct sh_credential *sh_credential_find(const struct sh_tools *t, struct sh_str name) {
    for (size_t i = 0; i < t->n_credentials; i++) {
        if (sh_str_eqz(name, t->credentials[i].name)) {
            return &t->credentials[i];
        }
    }
    return NULL;
}

/* /v1 is a prefix of /v1 and /v1/x, not of /v10; /v1/ of what is below it. */
static bool path_begins(const char *path, const char *prefix) {
    size_t n = strlen(prefix);
    return strncmp(path, prefix, n) == 0 &&
           (prefix[n - 1] == '/' || path[n] == '\0' || path[n] == '/' || path[n] == '?');
}

int sh_credential_check(const struct sh_credential *c, const struct sh_egress_target *target,
                        const char *method, struct sh_err *err) {
    bool method_ok = !c->methods;
    for (size_t i = 0; c->methods && c->methods[i]; i++) {
        method_ok = method_ok || strcmp(c->methods[i], method) == 0;
    }
    if (method_ok && sh_egress_same_origin(&c->target, target) &&
        path_begins(target->path, c->target.path) &&
        (!target->path_plain || path_begins(target->path_plain, c->target.path))) {
        return 0;
    }
    return sh_fail(err, SH_E_DENIED,
                   "the credential \"%s\" is not for %s %s://%s:%u%.100s; [http.credentials.%s] in "
                   "shannon.toml says where it may go",
                   c->name, method, target->scheme, target->host, target->port, target->path,
                   c->name);
}
