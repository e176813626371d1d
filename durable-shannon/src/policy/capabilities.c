/* Capabilities as values: freeing, copying, and the canonical JSON form, in which equal
 * capabilities are equal bytes. */
#include "policy/policy_private.h"

#include <stdio.h>
#include <stdlib.h>

char **sh_names_free(char **names) {
    for (size_t i = 0; names && names[i]; i++) {
        sh_free(names[i]);
    }
    return sh_free(names);
}

size_t sh_names_count(char *const *names) {
    size_t n = 0;
    while (names && names[n]) {
        n++;
    }
    return n;
}

char **sh_names_copy(char *const *names) {
    if (!names) {
        return NULL;
    }
    size_t n = sh_names_count(names);
    char **copy = sh_new_array(char *, n + 1);
    for (size_t i = 0; i < n; i++) {
        copy[i] = sh_strdup(names[i]);
    }
    return copy;
}

bool sh_names_have(char *const *names, const char *name) {
    for (size_t i = 0; names && names[i]; i++) {
        if (strcmp(names[i], name) == 0) {
            return true;
        }
    }
    return false;
}

static char *copy_or_null(const char *s) {
    return s ? sh_strdup(s) : NULL;
}

void sh_mount_copy(struct sh_mount *to, const struct sh_mount *from) {
    *to = *from;
    to->host = sh_strdup(from->host);
    to->guest = sh_strdup(from->guest);
}

void sh_net_rule_copy(struct sh_net_rule *to, const struct sh_net_rule *from) {
    *to = *from;
    to->scheme = sh_strdup(from->scheme);
    to->host = sh_strdup(from->host);
    to->path = copy_or_null(from->path);
    to->methods = sh_names_copy(from->methods);
}

const char *sh_ports_text(const struct sh_net_rule *r, char out[SH_PORTS_TEXT]) {
    if (r->port == 1 && r->port_last == UINT16_MAX) {
        return "*";
    }
    int n = snprintf(out, SH_PORTS_TEXT, "%u", r->port);
    if (r->port_last) {
        snprintf(out + n, SH_PORTS_TEXT - (size_t)n, "-%u", r->port_last);
    }
    return out;
}

void sh_net_rule_done(struct sh_net_rule *r) {
    sh_free(r->scheme);
    sh_free(r->host);
    sh_free(r->path);
    sh_names_free(r->methods);
    *r = (struct sh_net_rule){0};
}

void sh_capabilities_done(struct sh_capabilities *c) {
    if (!c) {
        return;
    }
    for (size_t i = 0; i < c->n_mounts; i++) {
        sh_free(c->mounts[i].host);
        sh_free(c->mounts[i].guest);
    }
    for (size_t i = 0; i < c->n_net; i++) {
        sh_net_rule_done(&c->net[i]);
    }
    sh_free(c->mounts);
    sh_free(c->net);
    json_decref(c->env);
    sh_names_free(c->tools);
    sh_names_free(c->required);
    *c = (struct sh_capabilities){0};
}

void sh_capabilities_copy(struct sh_capabilities *to, const struct sh_capabilities *from) {
    *to = *from;
    to->mounts = from->n_mounts ? sh_new_array(struct sh_mount, from->n_mounts) : NULL;
    for (size_t i = 0; i < from->n_mounts; i++) {
        sh_mount_copy(&to->mounts[i], &from->mounts[i]);
    }
    to->net = from->n_net ? sh_new_array(struct sh_net_rule, from->n_net) : NULL;
    for (size_t i = 0; i < from->n_net; i++) {
        sh_net_rule_copy(&to->net[i], &from->net[i]);
    }
    to->env = from->env ? json_deep_copy(from->env) : NULL;
    to->tools = sh_names_copy(from->tools);
    to->required = sh_names_copy(from->required);
}

struct sh_limits sh_limits_default(void) {
    return (struct sh_limits){
        .fuel = SH_FUEL_DEFAULT,
        .memory_bytes = SH_MEMORY_DEFAULT,
        .wall_clock_ms = SH_WALL_CLOCK_DEFAULT_MS,
        .activities = SH_ACTIVITIES_DEFAULT,
        .parallel_activities = SH_PARALLEL_ACTIVITIES_DEFAULT,
        .output_bytes = SH_OUTPUT_DEFAULT,
        .journal_bytes = SH_JOURNAL_BYTES_DEFAULT,
        .workspace_bytes = SH_WORKSPACE_DEFAULT,
    };
}

static json_t *names_json(char *const *names) {
    json_t *list = json_array();
    for (size_t i = 0; names && names[i]; i++) {
        json_array_append_new(list, sh_json_string(sh_str(names[i])));
    }
    return list;
}

static json_t *perms_json(unsigned perms) {
    json_t *list = json_array();
    if (perms & SH_PERM_READ) {
        json_array_append_new(list, json_string("read"));
    }
    if (perms & SH_PERM_WRITE) {
        json_array_append_new(list, json_string("write"));
    }
    return list;
}

json_t *sh_mount_json(const struct sh_mount *m) {
    json_t *o = json_object();
    json_object_set_new(o, "host", sh_json_string(sh_str(m->host)));
    json_object_set_new(o, "guest", sh_json_string(sh_str(m->guest)));
    json_object_set_new(o, "dir_perms", perms_json(m->dir_perms));
    json_object_set_new(o, "file_perms", perms_json(m->file_perms));
    if (m->bytes) {
        json_object_set_new(o, "bytes", json_integer((json_int_t)m->bytes));
    }
    if (m->capture != SH_CAPTURE_DEFAULT) {
        json_object_set_new(o, "capture", json_integer((json_int_t)m->capture));
    }
    return o;
}

json_t *sh_net_rule_json(const struct sh_net_rule *r) {
    json_t *o = json_object();
    json_object_set_new(o, "scheme", sh_json_string(sh_str(r->scheme)));
    json_object_set_new(o, "host", sh_json_string(sh_str(r->host)));
    char ports[SH_PORTS_TEXT];
    json_object_set_new(
        o, "port", r->port_last ? json_string(sh_ports_text(r, ports)) : json_integer(r->port));
    if (r->path) {
        json_object_set_new(o, "path", sh_json_string(sh_str(r->path)));
    }
    if (r->methods) {
        json_object_set_new(o, "methods", names_json(r->methods));
    }
    return o;
}

json_t *sh_limits_json(const struct sh_limits *l) {
    struct sh_limits copy = *l;
    json_t *o = json_object();
    for (const struct sh_limit_field *f = sh_limit_fields + 1; f->name; f++) {
        uint64_t v = *sh_limit_at(&copy, f);
        if (v && f->unit == SH_UNIT_MS) {
            sh_auto(sh_free_p) char *text = sh_asprintf("%llums", (unsigned long long)v);
            json_object_set_new(o, f->name, json_string(text));
        } else if (v) {
            json_object_set_new(o, f->name, json_integer((json_int_t)v));
        }
    }
    if (l->cost_usd > 0) {
        json_object_set_new(o, "cost_usd", json_real(l->cost_usd));
    }
    return o;
}

json_t *sh_capabilities_json(const struct sh_capabilities *c) {
    json_t *doc = json_object();
    if (c->said_mounts) {
        json_t *list = json_array();
        for (size_t i = 0; i < c->n_mounts; i++) {
            json_array_append_new(list, sh_mount_json(&c->mounts[i]));
        }
        json_object_set_new(doc, "filesystem", list);
    }
    if (c->said_net) {
        json_t *list = json_array();
        for (size_t i = 0; i < c->n_net; i++) {
            json_array_append_new(list, sh_net_rule_json(&c->net[i]));
        }
        json_object_set_new(doc, "network", list);
    }
    if (c->said_env) {
        json_object_set_new(doc, "env", c->env ? json_deep_copy(c->env) : json_object());
    }
    if (c->said_tools) {
        json_object_set_new(doc, "tools", names_json(c->tools));
    }
    if (c->required) {
        json_object_set_new(doc, "required", names_json(c->required));
    }
    if (c->limits.workspace_bytes) {
        json_object_set_new(doc, "workspace", json_integer((json_int_t)c->limits.workspace_bytes));
    }
    json_t *limits = sh_limits_json(&c->limits);
    if (json_object_size(limits)) {
        json_object_set(doc, "limits", limits);
    }
    json_decref(limits);
    return doc;
}

void sh_capabilities_rename_hosts(struct sh_capabilities *c, sh_host_path_fn fn) {
    for (size_t i = 0; i < c->n_mounts; i++) {
        char *name = fn(c->mounts[i].host);

        if (name) {
            sh_free(c->mounts[i].host);
            c->mounts[i].host = name;
        }
    }
}
