/* Matching of single capabilities. Two questions are asked of each kind: does one entry cover all
 * that another can mean (so that it may be granted), and does it touch any of it (so that a refusal
 * of a part refuses the whole)? Both err on the side of refusing. */
#include "policy/policy_private.h"

static bool open_ended(struct sh_str s) {
    return s.len > 0 && s.p[s.len - 1] == '*';
}

/* Patterns are a literal, or a literal prefix and one "*" at the end. */
static bool pattern_covers(struct sh_str outer, struct sh_str inner) {
    if (open_ended(outer)) {
        return sh_str_starts(inner, sh_strn(outer.p, outer.len - 1));
    }
    return sh_str_eq(outer, inner);
}

bool sh_tool_covers(struct sh_str outer, struct sh_str inner) {
    return pattern_covers(outer, inner);
}

bool sh_tool_touches(struct sh_str a, struct sh_str b) {
    return pattern_covers(a, b) || pattern_covers(b, a);
}

bool sh_path_within(const char *path, const char *dir) {
    size_t n = strlen(dir);
    if (n == 1) {
        return true; /* the root; paths are absolute */
    }
    return strncmp(path, dir, n) == 0 && (path[n] == '\0' || path[n] == '/');
}

bool sh_mount_covers(const struct sh_mount *outer, const struct sh_mount *inner) {
    return sh_path_within(inner->host, outer->host) && !(inner->dir_perms & ~outer->dir_perms) &&
           !(inner->file_perms & ~outer->file_perms);
}

bool sh_mount_touches(const struct sh_mount *a, const struct sh_mount *b) {
    return (sh_path_within(a->host, b->host) || sh_path_within(b->host, a->host)) &&
           ((a->dir_perms & b->dir_perms) || (a->file_perms & b->file_perms));
}

/* "*" is any host, "*.x" is every host below x but not x itself. */
static bool host_covers(const char *outer, const char *inner) {
    if (strcmp(outer, "*") == 0 || strcmp(outer, inner) == 0) {
        return true;
    }
    if (outer[0] != '*') {
        return false;
    }
    const char *suffix = outer + 1; /* ".x" */
    const char *name = inner[0] == '*' ? inner + 1 : inner;
    size_t n = strlen(name);
    size_t m = strlen(suffix);
    return n >= m && strcmp(name + n - m, suffix) == 0 && (n > m || inner[0] == '*');
}

static uint16_t last_port(const struct sh_net_rule *r) {
    return r->port_last ? r->port_last : r->port;
}

static bool ports_cover(const struct sh_net_rule *outer, const struct sh_net_rule *inner) {
    return strcmp(outer->scheme, inner->scheme) == 0 && outer->port <= inner->port &&
           last_port(inner) <= last_port(outer);
}

static bool ports_touch(const struct sh_net_rule *a, const struct sh_net_rule *b) {
    return strcmp(a->scheme, b->scheme) == 0 && a->port <= last_port(b) && b->port <= last_port(a);
}

static bool methods_cover(char *const *outer, char *const *inner) {
    if (!outer) {
        return true;
    }
    for (size_t i = 0; inner && inner[i]; i++) {
        if (!sh_names_have(outer, inner[i])) {
            return false;
        }
    }
    return inner != NULL;
}

static bool methods_touch(char *const *a, char *const *b) {
    if (!a || !b) {
        return true;
    }
    for (size_t i = 0; a[i]; i++) {
        if (sh_names_have(b, a[i])) {
            return true;
        }
    }
    return false;
}

static struct sh_str path_or_any(const char *path) {
    return path ? sh_str(path) : SH_STR("*");
}

bool sh_net_covers(const struct sh_net_rule *outer, const struct sh_net_rule *inner) {
    return ports_cover(outer, inner) && host_covers(outer->host, inner->host) &&
           methods_cover(outer->methods, inner->methods) &&
           pattern_covers(path_or_any(outer->path), path_or_any(inner->path));
}

bool sh_net_touches(const struct sh_net_rule *a, const struct sh_net_rule *b) {
    return ports_touch(a, b) && (host_covers(a->host, b->host) || host_covers(b->host, a->host)) &&
           methods_touch(a->methods, b->methods) &&
           sh_tool_touches(path_or_any(a->path), path_or_any(b->path));
}

bool sh_env_covers(const json_t *rule, const json_t *value) {
    return json_is_true(rule) || (json_is_string(value) && json_equal(rule, value));
}

/* As sh_tool_covers(sh_str(pattern), tool), without a look at all of the pattern. */
static bool names_tool(const char *pattern, struct sh_str tool) {
    size_t i = 0;
    while (i < tool.len && pattern[i] == tool.p[i] && pattern[i]) {
        i++;
    }
    bool star =
        (pattern[i] == '*' && !pattern[i + 1]) || (i && !pattern[i] && pattern[i - 1] == '*');
    return star || (i == tool.len && !pattern[i]);
}

bool sh_capabilities_tool(const struct sh_capabilities *c, struct sh_str tool) {
    for (size_t i = 0; c->tools && c->tools[i]; i++) {
        if (names_tool(c->tools[i], tool)) {
            return true;
        }
    }
    return false;
}

static bool mounts_within(const struct sh_capabilities *a, const struct sh_capabilities *b) {
    for (size_t i = 0; i < a->n_mounts; i++) {
        bool found = false;
        for (size_t j = 0; j < b->n_mounts && !found; j++) {
            found = sh_mount_covers(&b->mounts[j], &a->mounts[i]) &&
                    a->mounts[i].bytes <= b->mounts[j].bytes &&
                    a->mounts[i].capture <= b->mounts[j].capture;
        }
        if (!found) {
            return false;
        }
    }
    return true;
}

static bool net_within(const struct sh_capabilities *a, const struct sh_capabilities *b) {
    for (size_t i = 0; i < a->n_net; i++) {
        bool found = false;
        for (size_t j = 0; j < b->n_net && !found; j++) {
            found = sh_net_covers(&b->net[j], &a->net[i]);
        }
        if (!found) {
            return false;
        }
    }
    return true;
}

static bool env_within(const struct sh_capabilities *a, const struct sh_capabilities *b) {
    const char *name = NULL;
    json_t *value = NULL;
    json_object_foreach(a->env, name, value) {
        if (!sh_env_covers(json_object_get(b->env, name), value)) {
            return false;
        }
    }
    return true;
}

static bool limits_within(struct sh_limits a, struct sh_limits b) {
    for (const struct sh_limit_field *f = sh_limit_fields; f->name; f++) {
        uint64_t have = *sh_limit_at(&a, f);
        uint64_t most = *sh_limit_at(&b, f);
        if (most && (!have || have > most)) {
            return false;
        }
    }
    return !(b.cost_usd > 0) || (a.cost_usd > 0 && a.cost_usd <= b.cost_usd);
}

bool sh_capabilities_subset(const struct sh_capabilities *a, const struct sh_capabilities *b) {
    for (size_t i = 0; a->tools && a->tools[i]; i++) {
        if (!sh_capabilities_tool(b, sh_str(a->tools[i]))) {
            return false;
        }
    }
    return mounts_within(a, b) && net_within(a, b) && env_within(a, b) &&
           limits_within(a->limits, b->limits);
}

bool sh_capabilities_net(const struct sh_capabilities *c, const struct sh_net_rule *what,
                         bool written_out) {
    for (size_t i = 0; i < c->n_net; i++) {
        if (sh_net_covers(&c->net[i], what) &&
            (!written_out || strcmp(c->net[i].host, what->host) == 0)) {
            return true;
        }
    }
    return false;
}

bool sh_capabilities_scheme(const struct sh_capabilities *c, const char *scheme) {
    for (size_t i = 0; i < c->n_net; i++) {
        if (strcmp(c->net[i].scheme, scheme) == 0) {
            return true;
        }
    }
    return false;
}
