/* The operator's policy: an ordered list of rules. Of the rules that match an agent, the first that
 * speaks of a capability decides; within one rule deny goes before ask, and ask before allow. What
 * no rule speaks of falls to the default: llm, calculator and kv are allowed, a person is asked for
 * all else. */
#include "policy/policy_private.h"

#include <stdio.h>

static void rule_done(struct sh_rule *r) {
    sh_free(r->agent);
    sh_free(r->origin);
    sh_capabilities_done(&r->allow);
    sh_capabilities_done(&r->ask);
    sh_capabilities_done(&r->deny);
    *r = (struct sh_rule){0};
}

struct sh_policy *sh_policy_free(struct sh_policy *p) {
    for (size_t i = 0; p && i < p->n_rules; i++) {
        rule_done(&p->rules[i]);
    }
    if (p) {
        sh_free(p->rules);
        sh_free(p->agent_marks);
        sh_free(p->tool_marks);
    }
    return sh_free(p);
}

/* FNV-1a; 0 is kept for "any". */
static uint32_t mark_of(struct sh_str name) {
    uint32_t h = 2166136261U;
    for (size_t i = 0; i < name.len; i++) {
        h = (h ^ (unsigned char)name.p[i]) * 16777619U;
    }
    return h ? h : 1;
}

/* The bit that a literal name can only share with itself; a wildcard has all. */
static uint64_t tool_bits(struct sh_str tool) {
    bool wildcard = tool.len > 0 && tool.p[tool.len - 1] == '*';
    return wildcard ? UINT64_MAX : (uint64_t)1 << (mark_of(tool) >> 26);
}

static uint64_t bits_of_all(char *const *tools) {
    uint64_t bits = 0;
    for (size_t i = 0; tools && tools[i]; i++) {
        bits |= tool_bits(sh_str(tools[i]));
    }
    return bits;
}

/* needs   all rules are there, and their tools stay as they are */
static void mark_rules(struct sh_policy *p) {
    p->agent_marks = sh_new_array(uint32_t, p->n_rules + SH_MARK_BLOCK);
    p->tool_marks = sh_new_array(uint64_t, p->n_rules);
    for (size_t i = 0; i < p->n_rules; i++) {
        const struct sh_rule *r = &p->rules[i];
        p->agent_marks[i] = r->agent ? mark_of(sh_str(r->agent)) : 0;
        p->tool_marks[i] =
            bits_of_all(r->allow.tools) | bits_of_all(r->ask.tools) | bits_of_all(r->deny.tools);
    }
}

void sh_policy_rename_hosts(struct sh_policy *p, sh_host_path_fn fn) {
    for (size_t i = 0; i < p->n_rules; i++) {
        sh_capabilities_rename_hosts(&p->rules[i].allow, fn);
        sh_capabilities_rename_hosts(&p->rules[i].ask, fn);
        sh_capabilities_rename_hosts(&p->rules[i].deny, fn);
    }
}

static void rule_copy(struct sh_rule *to, const struct sh_rule *from) {
    *to = *from;
    to->agent = from->agent ? sh_strdup(from->agent) : NULL;
    to->origin = sh_strdup(from->origin);
    sh_capabilities_copy(&to->allow, &from->allow);
    sh_capabilities_copy(&to->ask, &from->ask);
    sh_capabilities_copy(&to->deny, &from->deny);
}

/* The rule behind all others: what an absent policy means. */
static void default_rule(struct sh_rule *r) {
    static const char *const names[] = {"calculator", "kv", "llm"};
    size_t n = sizeof(names) / sizeof(names[0]);
    r->origin = sh_strdup("the default policy");
    r->allow.said_tools = true;
    r->allow.tools = sh_new_array(char *, n + 1);
    for (size_t i = 0; i < n; i++) {
        r->allow.tools[i] = sh_strdup(names[i]);
    }
}

bool sh_rule_matches(const struct sh_rule *r, struct sh_str agent, const struct sh_hash *module) {
    if (r->agent && !sh_str_eqz(agent, r->agent)) {
        return false;
    }
    return !r->has_module || (module && sh_hash_eq(&r->module, module));
}

static int parse_who(const json_t *doc, size_t i, struct sh_rule *r, struct sh_err *err) {
    const json_t *agent = json_object_get(doc, "agent");
    const json_t *module = json_object_get(doc, "module");
    struct sh_str name = sh_json_get_str(doc, "agent");
    if (!agent && !module) {
        return sh_fail(err, SH_E_INVAL,
                       "rules[%zu]: expected \"agent\" (a name, or \"*\" for all) or \"module\" (a "
                       "SHA-256 in hex), or both; neither came",
                       i);
    }
    if (agent && (name.len == 0 || name.len > SH_ID_MAX)) {
        return sh_fail(err, SH_E_INVAL,
                       "rules[%zu].agent: expected a name of 1 to %d bytes, or \"*\" for all", i,
                       SH_ID_MAX);
    }
    if (module && sh_hash_parse(sh_json_get_str(doc, "module"), &r->module) != 0) {
        return sh_fail(err, SH_E_INVAL,
                       "rules[%zu].module: expected the 64 hex digits of a SHA-256; `shannon "
                       "modules list` shows them",
                       i);
    }
    r->has_module = module != NULL;
    if (agent && !sh_str_eqz(name, "*")) {
        r->agent = sh_strndup0(name.p, name.len);
        r->origin = sh_asprintf("rule %zu of the policy (agent \"%s\")", i + 1, r->agent);
    } else {
        r->origin = sh_asprintf("rule %zu of the policy (%s)", i + 1,
                                r->has_module ? "this module" : "all agents");
    }
    return 0;
}

static bool says_limit(const struct sh_limits *l) {
    struct sh_limits copy = *l;
    bool said = l->cost_usd > 0;
    for (const struct sh_limit_field *f = sh_limit_fields; f->name; f++) {
        said = said || *sh_limit_at(&copy, f) != 0;
    }
    return said;
}

/* Names the rule in a message that the reader of capabilities made. */
static int in_rule(int r, size_t i, const char *member, struct sh_err *err) {
    if (r && err) {
        struct sh_err inner = *err;
        return sh_fail(err, inner.code, "rules[%zu].%s: %s", i, member, inner.message);
    }
    return r;
}

static int parse_part(const json_t *doc, size_t i, const char *member, enum sh_caps_use use,
                      const char *home, const char *base_dir, struct sh_capabilities *ret,
                      struct sh_err *err) {
    const json_t *part = json_object_get(doc, member);
    if (!part) {
        return 0;
    }
    int r = sh_capabilities_parse_as(part, use, home, base_dir, ret, err);
    if (r) {
        return in_rule(r, i, member, err);
    }
    if (ret->required || (use == SH_CAPS_REFUSE && says_limit(&ret->limits))) {
        return sh_fail(err, SH_E_INVAL,
                       "rules[%zu].%s: expected filesystem, network, env and tools only; limits "
                       "belong into rules[%zu].limits, required into a manifest",
                       i, member, i);
    }
    return 0;
}

static int parse_rule(const json_t *doc, size_t i, const char *home, const char *base_dir,
                      struct sh_rule *r, struct sh_err *err) {
    static const char *const known[] = {"agent", "module", "allow", "ask", "deny", "limits", NULL};
    char what[32];
    snprintf(what, sizeof(what), "rules[%zu]", i);
    if (!json_is_object(doc)) {
        return sh_fail(err, SH_E_INVAL, "%s: expected an object {agent, allow, ask, deny, limits}",
                       what);
    }
    int e = sh_json_only(doc, known, what, err);
    if (e == 0) {
        e = parse_who(doc, i, r, err);
    }
    if (e == 0) {
        e = parse_part(doc, i, "allow", SH_CAPS_GRANT, home, base_dir, &r->allow, err);
    }
    if (e == 0) {
        e = parse_part(doc, i, "ask", SH_CAPS_REFUSE, home, base_dir, &r->ask, err);
    }
    if (e == 0) {
        e = parse_part(doc, i, "deny", SH_CAPS_REFUSE, home, base_dir, &r->deny, err);
    }
    r->limits = r->allow.limits;
    const json_t *limits = json_object_get(doc, "limits");
    if (e == 0 && limits) {
        e = in_rule(sh_limits_parse(limits, &r->limits, err), i, "limits", err);
    }
    return e;
}

static int parse_rules(const json_t *doc, const char *home, const char *base_dir,
                       struct sh_policy *p, struct sh_err *err) {
    static const char *const known[] = {"rules", NULL};
    if (!json_is_object(doc)) {
        return sh_fail(err, SH_E_INVAL, "policy: expected an object {\"rules\": [...]}");
    }
    const json_t *rules = json_object_get(doc, "rules");
    int r = sh_json_only(doc, known, "policy", err);
    if (r == 0 && rules && !json_is_array(rules)) {
        r = sh_fail(err, SH_E_INVAL, "policy: expected \"rules\" to be an array ([[rules]])");
    }
    if (r == 0 && json_array_size(rules) > SH_POLICY_RULES_MAX) {
        r = sh_fail(err, SH_E_LIMIT, "policy: at most %d rules are allowed, not %zu",
                    SH_POLICY_RULES_MAX, json_array_size(rules));
    }
    for (size_t i = 0; r == 0 && i < json_array_size(rules); i++) {
        p->n_rules = i + 1; /* so that a half-read rule is freed */
        r = parse_rule(json_array_get(rules, i), i, home, base_dir, &p->rules[i], err);
    }
    return r;
}

int sh_policy_parse(const json_t *doc, const char *home, const char *base_dir,
                    struct sh_policy **ret, struct sh_err *err) {
    size_t n = json_array_size(json_object_get(doc, "rules"));
    struct sh_policy *p = sh_new(struct sh_policy);
    p->otherwise = SH_ASK;
    p->rules =
        sh_new_array(struct sh_rule, (n < SH_POLICY_RULES_MAX ? n : SH_POLICY_RULES_MAX) + 1);
    int r = doc ? parse_rules(doc, home, base_dir, p, err) : 0;
    if (r) {
        sh_policy_free(p);
        return r;
    }
    default_rule(&p->rules[p->n_rules++]);
    mark_rules(p);
    *ret = p;
    return 0;
}

struct sh_policy *sh_policy_with(const struct sh_policy *base, const struct sh_capabilities *c) {
    size_t n = base ? base->n_rules : 0;
    struct sh_policy *p = sh_new(struct sh_policy);
    p->otherwise = base ? base->otherwise : SH_DENY;
    p->rules = sh_new_array(struct sh_rule, n + 1);
    p->n_rules = n + 1;
    p->rules[0].origin = sh_strdup("the command line");
    sh_capabilities_copy(&p->rules[0].allow, c);
    p->rules[0].limits = c->limits;
    for (size_t i = 0; i < n; i++) {
        rule_copy(&p->rules[i + 1], &base->rules[i]);
    }
    mark_rules(p);
    return p;
}

bool sh_item_touched(const struct sh_capabilities *c, const struct sh_item *item) {
    switch (item->kind) {
    case SH_ITEM_TOOL:
        for (size_t i = 0; c->tools && c->tools[i]; i++) {
            if (sh_tool_touches(sh_str(c->tools[i]), item->tool)) {
                return true;
            }
        }
        return false;
    case SH_ITEM_MOUNT:
        for (size_t i = 0; i < c->n_mounts; i++) {
            if (sh_mount_touches(&c->mounts[i], item->mount)) {
                return true;
            }
        }
        return false;
    case SH_ITEM_NET:
        for (size_t i = 0; i < c->n_net; i++) {
            if (sh_net_touches(&c->net[i], item->net)) {
                return true;
            }
        }
        return false;
    case SH_ITEM_ENV:
        return sh_env_covers(json_object_get(c->env, item->env_name), item->env_value);
    }
    return false;
}

bool sh_item_covered(const struct sh_capabilities *c, const struct sh_item *item) {
    switch (item->kind) {
    case SH_ITEM_TOOL:
        return sh_capabilities_tool(c, item->tool);
    case SH_ITEM_MOUNT:
        for (size_t i = 0; i < c->n_mounts; i++) {
            if (sh_mount_covers(&c->mounts[i], item->mount)) {
                return true;
            }
        }
        return false;
    case SH_ITEM_NET:
        for (size_t i = 0; i < c->n_net; i++) {
            if (sh_net_covers(&c->net[i], item->net)) {
                return true;
            }
        }
        return false;
    case SH_ITEM_ENV:
        return sh_env_covers(json_object_get(c->env, item->env_name), item->env_value);
    }
    return false;
}

/* The first rule at `i` or after that may be about this agent, or n_rules. Whole blocks are
 * compared at once (the compiler makes vectors of it); the padding reads as "any" and ends the
 * search. */
static size_t next_rule(const struct sh_policy *p, size_t i, uint32_t mark) {
    const uint32_t *marks = p->agent_marks;
    if (i < p->n_rules && (!marks[i] || marks[i] == mark)) {
        return i;
    }
    for (; i < p->n_rules; i += SH_MARK_BLOCK) {
        uint32_t found = 0;
        for (size_t j = 0; j < SH_MARK_BLOCK; j++) {
            found |= (uint32_t)(marks[i + j] == mark) | (uint32_t)(marks[i + j] == 0);
        }
        if (found) {
            break;
        }
    }
    while (i < p->n_rules && marks[i] && marks[i] != mark) {
        i++;
    }
    return i < p->n_rules ? i : p->n_rules;
}

enum sh_verdict sh_policy_judge(const struct sh_policy *p, struct sh_str agent,
                                const struct sh_hash *module, const struct sh_item *item,
                                const struct sh_rule **ret_rule) {
    uint32_t mark = mark_of(agent);
    bool is_tool = item->kind == SH_ITEM_TOOL;
    uint64_t bits = is_tool ? tool_bits(item->tool) : 0;
    for (size_t i = next_rule(p, 0, mark); i < p->n_rules; i = next_rule(p, i + 1, mark)) {
        const struct sh_rule *r = &p->rules[i];
        if ((is_tool && !(p->tool_marks[i] & bits)) || !sh_rule_matches(r, agent, module)) {
            continue;
        }
        *ret_rule = r;
        if (sh_item_touched(&r->deny, item)) {
            return SH_DENY;
        }
        if (sh_item_touched(&r->ask, item)) {
            return SH_ASK;
        }
        if (sh_item_covered(&r->allow, item)) {
            return SH_ALLOW;
        }
    }
    *ret_rule = NULL;
    return p->otherwise;
}

enum sh_verdict sh_policy_tool(const struct sh_policy *p, struct sh_str agent,
                               const struct sh_hash *module, struct sh_str tool) {
    const struct sh_rule *rule = NULL;
    struct sh_item item = {.kind = SH_ITEM_TOOL, .tool = tool};
    return sh_policy_judge(p, agent, module, &item, &rule);
}

char *sh_policy_tool_why(const struct sh_policy *p, struct sh_str agent,
                         const struct sh_hash *module, struct sh_str tool, bool how) {
    const struct sh_rule *rule = NULL;
    struct sh_item item = {.kind = SH_ITEM_TOOL, .tool = tool};
    enum sh_verdict verdict = sh_policy_judge(p, agent, module, &item, &rule);
    struct sh_denial d;

    if (verdict == SH_ALLOW) {
        return sh_asprintf("%s allows it", rule ? rule->origin : "the policy");
    }
    if (!how) {
        return sh_denial_reason(verdict, SH_BY_POLICY, rule);
    }
    d = sh_denial_make(&item, verdict, SH_BY_POLICY, rule);
    sh_free(d.capability);
    return d.rule;
}

enum sh_verdict sh_policy_net(const struct sh_policy *p, struct sh_str agent,
                              const struct sh_hash *module, const struct sh_net_rule *what,
                              bool written_out) {
    const struct sh_rule *rule = NULL;
    struct sh_item item = {.kind = SH_ITEM_NET, .net = what};
    enum sh_verdict verdict = sh_policy_judge(p, agent, module, &item, &rule);
    if (verdict == SH_ALLOW && written_out &&
        !(rule && sh_capabilities_net(&rule->allow, what, true))) {
        return SH_DENY;
    }
    return verdict;
}
