/* The decision: effective = policy AND manifest AND request. The request's items are taken where it
 * speaks, else the manifest's, else all that the policy allows; each must then be covered by the
 * manifest (where that speaks) and be allowed by the policy. Items are granted as they were asked,
 * so the result is never wider than any of the three. Wildcards of tools are narrowed instead:
 * asked
 * "*", one gets the tools that are allowed. */
#include "policy/policy_private.h"

#include <stdlib.h>

/* One decision under way. */
struct deciding {
    const struct sh_policy *policy;
    struct sh_str agent;
    const struct sh_hash *module;
    const struct sh_capabilities *manifest, *request; /* never NULL here */
    enum sh_asks asks;
    struct sh_decision *d;
    struct sh_err *err;
};

void sh_decision_done(struct sh_decision *d) {
    if (!d) {
        return;
    }
    sh_capabilities_done(&d->effective);
    for (size_t i = 0; i < d->n_denials; i++) {
        sh_free(d->denials[i].capability);
        sh_free(d->denials[i].rule);
    }
    sh_free(d->denials);
    *d = (struct sh_decision){0};
}

static void deny(struct deciding *x, const struct sh_item *item, enum sh_verdict verdict,
                 enum sh_denied_by by, const struct sh_rule *rule) {
    struct sh_decision *d = x->d;
    d->denials = sh_grow(d->denials, (d->n_denials + 1) * sizeof(*d->denials));
    d->denials[d->n_denials++] = sh_denial_make(item, verdict, by, rule);
}

static enum sh_verdict judge(const struct deciding *x, const struct sh_item *item,
                             const struct sh_rule **ret_rule) {
    enum sh_verdict verdict = sh_policy_judge(x->policy, x->agent, x->module, item, ret_rule);
    bool granted =
        x->asks == SH_ASKS_GRANTED || (x->asks == SH_ASKS_LATER && item->kind == SH_ITEM_TOOL);

    return verdict == SH_ASK && granted ? SH_ALLOW : verdict;
}

static int full(struct deciding *x, const char *what, size_t most) {
    return sh_fail(x->err, SH_E_LIMIT,
                   "the policy, the manifest and the request together give more than %zu %s: ask "
                   "for less",
                   most, what);
}

/* Tools. */

static void add_tool(struct sh_capabilities *c, struct sh_str tool) {
    size_t n = sh_names_count(c->tools);
    for (size_t i = 0; i < n; i++) {
        if (sh_str_eqz(tool, c->tools[i])) {
            return;
        }
    }
    c->tools = sh_grow(c->tools, (n + 2) * sizeof(*c->tools));
    c->tools[n] = sh_strndup0(tool.p, tool.len);
    c->tools[n + 1] = NULL;
}

/* The allowed tools that the wildcard stands for, each judged by itself. */
static bool narrow_tool(struct deciding *x, struct sh_str wildcard) {
    bool any = false;
    for (size_t i = 0; i < x->policy->n_rules; i++) {
        const struct sh_rule *r = &x->policy->rules[i];
        if (!sh_rule_matches(r, x->agent, x->module)) {
            continue;
        }
        for (size_t j = 0; r->allow.tools && r->allow.tools[j]; j++) {
            const struct sh_rule *rule = NULL;
            struct sh_item item = {.kind = SH_ITEM_TOOL, .tool = sh_str(r->allow.tools[j])};
            if (sh_tool_covers(wildcard, item.tool) && judge(x, &item, &rule) == SH_ALLOW) {
                add_tool(&x->d->effective, item.tool);
                any = true;
            }
        }
    }
    return any;
}

static void grant_tool(struct deciding *x, struct sh_str tool, bool named) {
    const struct sh_rule *rule = NULL;
    struct sh_item item = {.kind = SH_ITEM_TOOL, .tool = tool};
    enum sh_verdict verdict = judge(x, &item, &rule);
    if (verdict == SH_ALLOW) {
        add_tool(&x->d->effective, tool);
        return;
    }
    bool wildcard = tool.p[tool.len - 1] == '*';
    if (!(wildcard && narrow_tool(x, tool)) && named) {
        deny(x, &item, verdict, SH_BY_POLICY, rule);
    }
}

static int by_name(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* A requested tool under a manifest that speaks of tools: what both mean. */
static void grant_requested_tool(struct deciding *x, struct sh_str tool) {
    bool any = false;
    for (size_t i = 0; x->manifest->tools && x->manifest->tools[i]; i++) {
        struct sh_str offered = sh_str(x->manifest->tools[i]);
        if (sh_tool_covers(offered, tool)) {
            grant_tool(x, tool, true);
            return;
        }
        if (sh_tool_covers(tool, offered)) {
            grant_tool(x, offered, true);
            any = true;
        }
    }
    if (!any) {
        struct sh_item item = {.kind = SH_ITEM_TOOL, .tool = tool};
        deny(x, &item, SH_DENY, SH_BY_MANIFEST, NULL);
    }
}

static int decide_tools(struct deciding *x) {
    const struct sh_capabilities *m = x->manifest;
    struct sh_capabilities *effective = &x->d->effective;
    if (x->request->said_tools) {
        for (size_t i = 0; x->request->tools && x->request->tools[i]; i++) {
            struct sh_str tool = sh_str(x->request->tools[i]);
            if (m->said_tools) {
                grant_requested_tool(x, tool);
            } else {
                grant_tool(x, tool, true);
            }
        }
    } else if (m->said_tools) {
        for (size_t i = 0; m->tools && m->tools[i]; i++) {
            grant_tool(x, sh_str(m->tools[i]), sh_names_have(m->required, m->tools[i]));
        }
    } else {
        grant_tool(x, SH_STR("*"), false);
    }
    size_t n = sh_names_count(effective->tools);
    if (n > SH_CAPABILITY_ITEMS_MAX) {
        return full(x, "tools", SH_CAPABILITY_ITEMS_MAX);
    }
    if (n) {
        qsort(effective->tools, n, sizeof(*effective->tools), by_name);
    }
    effective->said_tools = true;
    return 0;
}

/* Mounts. */

static uint64_t less(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

/* What may be written and what is captured under the first mount in `c` that covers `m`. */
static bool covering_sizes(const struct sh_capabilities *c, const struct sh_mount *m,
                           struct sh_mount *ret) {
    for (size_t i = 0; i < c->n_mounts; i++) {
        if (sh_mount_covers(&c->mounts[i], m)) {
            ret->bytes = less(ret->bytes, c->mounts[i].bytes);
            ret->capture = less(ret->capture, c->mounts[i].capture);
            return true;
        }
    }
    return false;
}

static int grant_mount(struct deciding *x, const struct sh_mount *m, bool named) {
    struct sh_capabilities *e = &x->d->effective;
    const struct sh_rule *rule = NULL;
    struct sh_item item = {.kind = SH_ITEM_MOUNT, .mount = m};
    struct sh_mount sizes = {.bytes = m->bytes, .capture = m->capture};
    if (x->request->said_mounts && x->manifest->said_mounts &&
        !covering_sizes(x->manifest, m, &sizes)) {
        deny(x, &item, SH_DENY, SH_BY_MANIFEST, NULL);
        return 0;
    }
    enum sh_verdict verdict = judge(x, &item, &rule);
    if (verdict != SH_ALLOW) {
        if (named) {
            deny(x, &item, verdict, SH_BY_POLICY, rule);
        }
        return 0;
    }
    if (rule) {
        covering_sizes(&rule->allow, m, &sizes);
    }
    for (size_t i = 0; i < e->n_mounts; i++) {
        if (strcmp(e->mounts[i].guest, m->guest) == 0) {
            return 0; /* only where the policy's own mounts are taken: the first rule wins */
        }
    }
    if (e->n_mounts == SH_MOUNTS_MAX) {
        return full(x, "mounts", SH_MOUNTS_MAX);
    }
    e->mounts = sh_grow(e->mounts, (e->n_mounts + 1) * sizeof(*e->mounts));
    sh_mount_copy(&e->mounts[e->n_mounts], m);
    e->mounts[e->n_mounts].bytes = sizes.bytes;
    e->mounts[e->n_mounts++].capture = sizes.capture;
    return 0;
}

static int decide_mounts(struct deciding *x) {
    const struct sh_capabilities *from = x->request->said_mounts    ? x->request
                                         : x->manifest->said_mounts ? x->manifest
                                                                    : NULL;
    int r = 0;
    x->d->effective.said_mounts = true;
    for (size_t i = 0; from && r == 0 && i < from->n_mounts; i++) {
        const struct sh_mount *m = &from->mounts[i];
        r = grant_mount(x, m, from == x->request || sh_names_have(from->required, m->guest));
    }
    for (size_t i = 0; !from && i < x->policy->n_rules; i++) {
        const struct sh_rule *rule = &x->policy->rules[i];
        bool matches = sh_rule_matches(rule, x->agent, x->module);
        for (size_t j = 0; matches && r == 0 && j < rule->allow.n_mounts; j++) {
            r = grant_mount(x, &rule->allow.mounts[j], false);
        }
    }
    return r;
}

/* Network. */

static bool any_covers(const struct sh_capabilities *c, const struct sh_net_rule *n) {
    for (size_t i = 0; i < c->n_net; i++) {
        if (sh_net_covers(&c->net[i], n)) {
            return true;
        }
    }
    return false;
}

static int grant_net(struct deciding *x, const struct sh_net_rule *n, bool named) {
    struct sh_capabilities *e = &x->d->effective;
    const struct sh_rule *rule = NULL;
    struct sh_item item = {.kind = SH_ITEM_NET, .net = n};
    if (x->request->said_net && x->manifest->said_net && !any_covers(x->manifest, n)) {
        deny(x, &item, SH_DENY, SH_BY_MANIFEST, NULL);
        return 0;
    }
    enum sh_verdict verdict = judge(x, &item, &rule);
    if (verdict != SH_ALLOW) {
        if (named) {
            deny(x, &item, verdict, SH_BY_POLICY, rule);
        }
        return 0;
    }
    if (e->n_net == SH_CAPABILITY_ITEMS_MAX) {
        return full(x, "network rules", SH_CAPABILITY_ITEMS_MAX);
    }
    e->net = sh_grow(e->net, (e->n_net + 1) * sizeof(*e->net));
    sh_net_rule_copy(&e->net[e->n_net++], n);
    return 0;
}

static int decide_net(struct deciding *x) {
    const struct sh_capabilities *from = x->request->said_net    ? x->request
                                         : x->manifest->said_net ? x->manifest
                                                                 : NULL;
    int r = 0;
    x->d->effective.said_net = true;
    for (size_t i = 0; from && r == 0 && i < from->n_net; i++) {
        r = grant_net(x, &from->net[i], from == x->request);
    }
    for (size_t i = 0; !from && i < x->policy->n_rules; i++) {
        const struct sh_rule *rule = &x->policy->rules[i];
        bool matches = sh_rule_matches(rule, x->agent, x->module);
        for (size_t j = 0; matches && r == 0 && j < rule->allow.n_net; j++) {
            r = grant_net(x, &rule->allow.net[j], false);
        }
    }
    return r;
}

/* Environment. */

/* `true` in a request or manifest means the value that is given behind it. */
static const json_t *env_value(const struct deciding *x, const char *name, const json_t *asked) {
    const json_t *v = asked;
    if (!json_is_string(v)) {
        v = json_object_get(x->manifest->env, name);
    }
    for (size_t i = 0; !json_is_string(v) && i < x->policy->n_rules; i++) {
        const struct sh_rule *rule = &x->policy->rules[i];
        if (sh_rule_matches(rule, x->agent, x->module)) {
            v = json_object_get(rule->allow.env, name);
        }
    }
    return json_is_string(v) ? v : NULL;
}

static int grant_env(struct deciding *x, const char *name, const json_t *asked, bool named) {
    struct sh_capabilities *e = &x->d->effective;
    const struct sh_rule *rule = NULL;
    const json_t *value = env_value(x, name, asked);
    struct sh_item item = {.kind = SH_ITEM_ENV, .env_name = name, .env_value = value};
    if (x->request->said_env && x->manifest->said_env &&
        !sh_env_covers(json_object_get(x->manifest->env, name), value ? value : asked)) {
        deny(x, &item, SH_DENY, SH_BY_MANIFEST, NULL);
        return 0;
    }
    item.env_value = value ? value : asked;
    enum sh_verdict verdict = judge(x, &item, &rule);
    if (verdict != SH_ALLOW || !value) {
        if (named) {
            deny(x, &item, verdict == SH_ALLOW ? SH_DENY : verdict,
                 verdict == SH_ALLOW ? SH_BY_NO_VALUE : SH_BY_POLICY, rule);
        }
        return 0;
    }
    if (json_object_get(e->env, name)) {
        return 0;
    }
    if (json_object_size(e->env) == SH_CAPABILITY_ITEMS_MAX) {
        return full(x, "variables", SH_CAPABILITY_ITEMS_MAX);
    }
    json_object_set_new(e->env, name, json_deep_copy(value));
    return 0;
}

static int grant_all_env(struct deciding *x, const struct sh_capabilities *from) {
    const char *name = NULL;
    json_t *value = NULL;
    json_object_foreach(from->env, name, value) {
        bool named = from == x->request || sh_names_have(from->required, name);
        int r = grant_env(x, name, value, named);
        if (r) {
            return r;
        }
    }
    return 0;
}

static int decide_env(struct deciding *x) {
    x->d->effective.said_env = true;
    x->d->effective.env = json_object();
    if (x->request->said_env) {
        return grant_all_env(x, x->request);
    }
    if (x->manifest->said_env) {
        return grant_all_env(x, x->manifest);
    }
    int r = 0;
    for (size_t i = 0; r == 0 && i < x->policy->n_rules; i++) {
        const struct sh_rule *rule = &x->policy->rules[i];
        if (sh_rule_matches(rule, x->agent, x->module)) {
            r = grant_all_env(x, &rule->allow);
        }
    }
    return r;
}

/* Limits: what the first rule that says one says, the manifest's, the request's; the least. */
static void decide_limits(struct deciding *x) {
    struct sh_limits said[3] = {{0}, x->manifest->limits, x->request->limits};
    struct sh_limits standard = sh_limits_default();
    struct sh_limits *out = &x->d->effective.limits;
    for (size_t i = 0; i < x->policy->n_rules; i++) {
        struct sh_limits rule = x->policy->rules[i].limits;
        if (!sh_rule_matches(&x->policy->rules[i], x->agent, x->module)) {
            continue;
        }
        for (const struct sh_limit_field *f = sh_limit_fields; f->name; f++) {
            if (!*sh_limit_at(&said[0], f)) {
                *sh_limit_at(&said[0], f) = *sh_limit_at(&rule, f);
            }
        }
        said[0].cost_usd = said[0].cost_usd > 0 ? said[0].cost_usd : rule.cost_usd;
    }
    *out = (struct sh_limits){0};
    for (size_t i = 0; i < 3; i++) {
        for (const struct sh_limit_field *f = sh_limit_fields; f->name; f++) {
            uint64_t v = *sh_limit_at(&said[i], f);
            uint64_t *to = sh_limit_at(out, f);
            *to = v && (!*to || v < *to) ? v : *to;
        }
        double cost = said[i].cost_usd;
        out->cost_usd =
            cost > 0 && !(out->cost_usd > 0 && out->cost_usd <= cost) ? cost : out->cost_usd;
    }
    for (const struct sh_limit_field *f = sh_limit_fields; f->name; f++) {
        uint64_t *to = sh_limit_at(out, f);
        *to = *to ? *to : *sh_limit_at(&standard, f);
    }
}

int sh_policy_decide_asking(const struct sh_policy *p, struct sh_str agent,
                            const struct sh_hash *module, const struct sh_capabilities *manifest,
                            const struct sh_capabilities *request, enum sh_asks asks,
                            struct sh_decision *ret, struct sh_err *err) {
    static const struct sh_capabilities nothing_said = {0};
    struct sh_decision d = {0};
    struct deciding x = {
        .policy = p,
        .agent = agent,
        .module = module,
        .manifest = manifest ? manifest : &nothing_said,
        .request = request ? request : &nothing_said,
        .asks = asks,
        .d = &d,
        .err = err,
    };
    int r = decide_mounts(&x);
    if (r == 0) {
        r = decide_net(&x);
    }
    if (r == 0) {
        r = decide_env(&x);
    }
    if (r == 0) {
        r = decide_tools(&x);
    }
    if (r) {
        sh_decision_done(&d);
        return r;
    }
    decide_limits(&x);
    *ret = d;
    return 0;
}

int sh_policy_decide(const struct sh_policy *p, struct sh_str agent, const struct sh_hash *module,
                     const struct sh_capabilities *manifest, const struct sh_capabilities *request,
                     struct sh_decision *ret, struct sh_err *err) {
    return sh_policy_decide_asking(p, agent, module, manifest, request, SH_ASKS_DENIED, ret, err);
}
