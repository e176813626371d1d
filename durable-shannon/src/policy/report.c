/* The decision told to a person: every capability that the request, the manifest or the policy
 * names, what becomes of it and why. The verdicts come from the same functions as the decision, and
 * what the agent gets is looked up in real decisions, so that the two cannot drift apart. */
#include "policy/policy_private.h"

#include <stdlib.h>

static const char *const kinds[] = {
    [SH_ITEM_TOOL] = "tool",
    [SH_ITEM_MOUNT] = "filesystem",
    [SH_ITEM_NET] = "network",
    [SH_ITEM_ENV] = "env",
};
static const char *const verdicts[] = {[SH_ALLOW] = "allow", [SH_ASK] = "ask", [SH_DENY] = "deny"};

enum { BY_REQUEST = 1, BY_MANIFEST = 2, BY_POLICY = 4 };

struct row {
    struct sh_item item;
    unsigned named_by;
};
struct report {
    const struct sh_policy *policy;
    struct sh_str agent;
    const struct sh_hash *module;
    const struct sh_capabilities *manifest, *request; /* never NULL here */
    struct row *rows;
    size_t n_rows;
    bool full;
    struct sh_decision now, granted; /* nobody is asked; the person said yes to all */
};

/* ---- what is named ---- */

static bool said(const struct sh_capabilities *c, enum sh_item_kind kind) {
    return kind == SH_ITEM_TOOL    ? c->said_tools
           : kind == SH_ITEM_MOUNT ? c->said_mounts
           : kind == SH_ITEM_NET   ? c->said_net
                                   : c->said_env;
}

static bool same_net(const struct sh_net_rule *a, const struct sh_net_rule *b) {
    return sh_net_covers(a, b) && sh_net_covers(b, a);
}

static bool same_mount(const struct sh_mount *a, const struct sh_mount *b) {
    return strcmp(a->guest, b->guest) == 0 && strcmp(a->host, b->host) == 0 &&
           a->dir_perms == b->dir_perms && a->file_perms == b->file_perms;
}

static bool same(const struct sh_item *a, const struct sh_item *b) {
    if (a->kind != b->kind) {
        return false;
    }
    switch (a->kind) {
    case SH_ITEM_TOOL:
        return sh_str_eq(a->tool, b->tool);
    case SH_ITEM_MOUNT:
        return same_mount(a->mount, b->mount);
    case SH_ITEM_NET:
        return same_net(a->net, b->net);
    case SH_ITEM_ENV:
        return strcmp(a->env_name, b->env_name) == 0;
    }
    return false;
}

static void add(struct report *x, const struct sh_item *item, unsigned by) {
    for (size_t i = 0; i < x->n_rows; i++) {
        if (same(&x->rows[i].item, item)) {
            x->rows[i].named_by |= by;
            return;
        }
    }
    /* What the policy says of a part or of more than what is asked for is that row's reason. */
    if (by == BY_POLICY &&
        (sh_item_touched(x->request, item) || sh_item_touched(x->manifest, item))) {
        return;
    }
    if (x->n_rows == SH_EXPLAIN_ROWS_MAX) {
        x->full = true;
        return;
    }
    if ((x->n_rows & (x->n_rows - 1)) == 0) {
        x->rows = sh_grow(x->rows, (x->n_rows ? x->n_rows * 2 : 1) * sizeof(*x->rows));
    }
    x->rows[x->n_rows++] = (struct row){.item = *item, .named_by = by};
}

static void add_all(struct report *x, const struct sh_capabilities *c, unsigned by) {
    const char *name = NULL;
    json_t *value = NULL;
    for (size_t i = 0; i < c->n_mounts; i++) {
        add(x, &(struct sh_item){.kind = SH_ITEM_MOUNT, .mount = &c->mounts[i]}, by);
    }
    for (size_t i = 0; i < c->n_net; i++) {
        add(x, &(struct sh_item){.kind = SH_ITEM_NET, .net = &c->net[i]}, by);
    }
    json_object_foreach(c->env, name, value) {
        add(x, &(struct sh_item){.kind = SH_ITEM_ENV, .env_name = name, .env_value = value}, by);
    }
    for (size_t i = 0; c->tools && c->tools[i]; i++) {
        add(x, &(struct sh_item){.kind = SH_ITEM_TOOL, .tool = sh_str(c->tools[i])}, by);
    }
}

/* ---- what the agent gets ---- */

static json_t *tools_of(const struct sh_capabilities *c, struct sh_str asked) {
    bool whole = sh_capabilities_tool(c, asked);
    json_t *list = whole ? json_pack("[o]", sh_json_string(asked)) : json_array();
    for (size_t i = 0; !whole && c->tools && c->tools[i]; i++) {
        if (sh_tool_covers(asked, sh_str(c->tools[i]))) {
            json_array_append_new(list, sh_json_string(sh_str(c->tools[i])));
        }
    }
    if (json_array_size(list) == 0) {
        json_decref(list);
        return NULL;
    }
    return list;
}

static json_t *got_of(const struct sh_decision *d, const struct sh_item *item) {
    const struct sh_capabilities *c = &d->effective;
    json_t *value = NULL;
    switch (item->kind) {
    case SH_ITEM_TOOL:
        return tools_of(c, item->tool);
    case SH_ITEM_MOUNT:
        for (size_t i = 0; i < c->n_mounts; i++) {
            if (same_mount(&c->mounts[i], item->mount)) {
                return sh_mount_json(&c->mounts[i]);
            }
        }
        return NULL;
    case SH_ITEM_NET:
        for (size_t i = 0; i < c->n_net; i++) {
            if (same_net(&c->net[i], item->net)) {
                return sh_net_rule_json(&c->net[i]);
            }
        }
        return NULL;
    case SH_ITEM_ENV:
        value = json_object_get(c->env, item->env_name);
        return value ? json_incref(value) : NULL;
    }
    return NULL;
}

/* ---- one row ---- */

/* The denial that the decision itself gives for this item: its words are taken. */
static const struct sh_denial *denial_of(const struct sh_decision *d, const char *capability) {
    for (size_t i = 0; i < d->n_denials; i++) {
        if (strcmp(d->denials[i].capability, capability) == 0) {
            return &d->denials[i];
        }
    }
    return NULL;
}

/* Why somebody who speaks of this kind does not mean this one; NULL when he does. */
static const char *not_asked(const struct report *x, const struct sh_item *item) {
    if (said(x->request, item->kind) && !sh_item_covered(x->request, item)) {
        return sh_item_touched(x->request, item) ? "the request asks for another part of it"
                                                 : "the request does not ask for it";
    }
    if (said(x->manifest, item->kind) && !sh_item_covered(x->manifest, item)) {
        return sh_item_touched(x->manifest, item) ? "the agent's manifest asks for another part"
                                                  : "the agent's manifest does not ask for it";
    }
    return NULL;
}

static bool whole(const struct sh_item *item, const json_t *got) {
    return item->kind != SH_ITEM_TOOL ||
           (json_array_size(got) == 1 &&
            sh_str_eq(sh_strn(json_string_value(json_array_get(got, 0)),
                              json_string_length(json_array_get(got, 0))),
                      item->tool));
}

static char *reason(const struct report *x, const struct sh_item *item, enum sh_verdict judged,
                    const struct sh_rule *rule, const json_t *got) {
    const char *other = got ? NULL : not_asked(x, item);
    if (other) {
        return sh_strdup(other);
    }
    if (got && !whole(item, got)) {
        return sh_strdup("narrowed to what the policy and the manifest give of it");
    }
    if (judged == SH_ALLOW && got) {
        return sh_asprintf("%s allows it", rule ? rule->origin : "the policy");
    }
    if (judged == SH_ALLOW && item->kind == SH_ITEM_ENV && !json_is_string(item->env_value)) {
        return sh_strdup("no value is given for it");
    }
    if (judged == SH_ALLOW) {
        return sh_strdup("an entry before it takes its place");
    }
    struct sh_denial d = sh_denial_make(item, judged, SH_BY_POLICY, rule);
    sh_free(d.capability);
    return d.rule;
}

/* Is the task refused without it, as far as it is denied? */
static bool needed(const struct report *x, const struct row *row) {
    const struct sh_item *item = &row->item;
    if (row->named_by & BY_REQUEST) {
        return true;
    }
    if (!(row->named_by & BY_MANIFEST) || said(x->request, item->kind)) {
        return false;
    }
    switch (item->kind) {
    case SH_ITEM_TOOL:
        return sh_names_have(x->manifest->required, item->tool.p);
    case SH_ITEM_MOUNT:
        return sh_names_have(x->manifest->required, item->mount->guest);
    case SH_ITEM_ENV:
        return sh_names_have(x->manifest->required, item->env_name);
    case SH_ITEM_NET:
        break;
    }
    return false;
}

/* The value that a variable would have decides, as in the decision. */
static struct sh_item judged_item(const struct report *x, const struct sh_item *item) {
    struct sh_item out = *item;
    const json_t *value = NULL;
    if (item->kind == SH_ITEM_ENV && !json_is_string(item->env_value)) {
        value = json_object_get(x->granted.effective.env, item->env_name);
    }
    if (value) {
        out.env_value = value;
    }
    return out;
}

static json_t *named_by(unsigned by) {
    static const char *const names[] = {"request", "manifest", "policy"};
    json_t *list = json_array();
    for (size_t i = 0; i < 3; i++) {
        if (by & (1U << i)) {
            json_array_append_new(list, json_string(names[i]));
        }
    }
    return list;
}

static json_t *row_json(const struct report *x, const struct row *row) {
    struct sh_item item = judged_item(x, &row->item);
    const struct sh_rule *rule = NULL;
    enum sh_verdict judged = sh_policy_judge(x->policy, x->agent, x->module, &item, &rule);
    sh_auto(sh_free_p) char *name = sh_item_name(&item);
    sh_auto(sh_json_done) json_t *now = got_of(&x->now, &item);
    sh_auto(sh_json_done) json_t *later = got_of(&x->granted, &item);
    /* What nobody asks for, where nothing is said, is told as the policy would decide it. */
    bool open = row->named_by == BY_POLICY && !not_asked(x, &item);
    enum sh_verdict verdict = now                                   ? SH_ALLOW
                              : judged == SH_ASK && (later || open) ? SH_ASK
                                                                    : SH_DENY;
    const struct sh_denial *denial =
        !now && row->named_by != BY_POLICY ? denial_of(&x->now, name) : NULL;
    sh_auto(sh_free_p) char *why =
        denial ? sh_strdup(denial->rule) : reason(x, &item, judged, rule, now);
    json_t *shown = now ? now : verdict == SH_ASK ? later : NULL;
    return json_pack("{s:o, s:s, s:s, s:o, s:o, s:b, s:O?}", "capability",
                     sh_json_string(sh_str(name)), "kind", kinds[item.kind], "verdict",
                     verdicts[verdict], "rule", sh_json_string(sh_str(why)), "named_by",
                     named_by(row->named_by), "needed", (int)needed(x, row), "gets", shown);
}

/* ---- limits ---- */

/* Who said the value that counts: of the policy, the rule. */
static const char *limit_from(const struct report *x, const struct sh_limit_field *f,
                              uint64_t value) {
    struct sh_limits m = x->manifest->limits;
    struct sh_limits r = x->request->limits;
    for (size_t i = 0; i < x->policy->n_rules; i++) {
        struct sh_limits said_here = x->policy->rules[i].limits;
        uint64_t v = *sh_limit_at(&said_here, f);
        if (v && sh_rule_matches(&x->policy->rules[i], x->agent, x->module)) {
            if (v == value) {
                return x->policy->rules[i].origin;
            }
            break; /* the first that speaks of it decides */
        }
    }
    return value && *sh_limit_at(&m, f) == value   ? "the manifest"
           : value && *sh_limit_at(&r, f) == value ? "the request"
                                                   : "the default";
}

static const char *cost_from(const struct report *x, double value) {
    for (size_t i = 0; i < x->policy->n_rules; i++) {
        double v = x->policy->rules[i].limits.cost_usd;
        if (v > 0 && sh_rule_matches(&x->policy->rules[i], x->agent, x->module)) {
            if (v <= value) {
                return x->policy->rules[i].origin;
            }
            break;
        }
    }
    double m = x->manifest->limits.cost_usd;
    return !(value > 0) ? "the default" : m > 0 && m <= value ? "the manifest" : "the request";
}

static json_t *limits_json(const struct report *x) {
    static const char *const units[] = {
        [SH_UNIT_COUNT] = "", [SH_UNIT_BYTES] = "bytes", [SH_UNIT_MS] = "ms"};
    struct sh_limits l = x->now.effective.limits;
    json_t *list = json_array();
    for (const struct sh_limit_field *f = sh_limit_fields; f->name; f++) {
        uint64_t v = *sh_limit_at(&l, f);
        json_array_append_new(list, json_pack("{s:s, s:o, s:s, s:s}", "name", f->name, "value",
                                              v ? json_integer((json_int_t)v) : json_null(), "unit",
                                              units[f->unit], "from", limit_from(x, f, v)));
    }
    json_array_append_new(list, json_pack("{s:s, s:o, s:s, s:s}", "name", "cost_usd", "value",
                                          l.cost_usd > 0 ? json_real(l.cost_usd) : json_null(),
                                          "unit", "USD", "from", cost_from(x, l.cost_usd)));
    return list;
}

/* Of a tool that nobody names: no tool is called so. */
static const char *other_tools(const struct report *x) {
    struct sh_str nameless = SH_STR("?");
    enum sh_verdict v = sh_policy_tool(x->policy, x->agent, x->module, nameless);
    return sh_capabilities_tool(&x->now.effective, nameless)                      ? "allow"
           : v == SH_ASK && sh_capabilities_tool(&x->granted.effective, nameless) ? "ask"
                                                                                  : "deny";
}

static bool refused(const struct report *x) {
    for (size_t i = 0; i < x->now.n_denials; i++) {
        if (x->now.denials[i].verdict == SH_DENY) {
            return true;
        }
    }
    return false;
}

static int fill(struct report *x, struct sh_err *err) {
    int r = sh_policy_decide_asking(x->policy, x->agent, x->module, x->manifest, x->request,
                                    SH_ASKS_DENIED, &x->now, err);
    if (r == 0) {
        r = sh_policy_decide_asking(x->policy, x->agent, x->module, x->manifest, x->request,
                                    SH_ASKS_GRANTED, &x->granted, err);
    }
    if (r) {
        return r;
    }
    add_all(x, x->request, BY_REQUEST);
    add_all(x, x->manifest, BY_MANIFEST);
    for (size_t i = 0; i < x->policy->n_rules; i++) {
        const struct sh_rule *rule = &x->policy->rules[i];
        if (sh_rule_matches(rule, x->agent, x->module)) {
            add_all(x, &rule->deny, BY_POLICY);
            add_all(x, &rule->ask, BY_POLICY);
            add_all(x, &rule->allow, BY_POLICY);
        }
    }
    return x->full ? sh_fail(err, SH_E_LIMIT,
                             "the policy, the manifest and the request together name more than %d "
                             "capabilities for this agent; name fewer",
                             SH_EXPLAIN_ROWS_MAX)
                   : 0;
}

int sh_policy_explain(const struct sh_policy *p, struct sh_str agent, const struct sh_hash *module,
                      const struct sh_capabilities *manifest, const struct sh_capabilities *request,
                      json_t **ret, struct sh_err *err) {
    static const struct sh_capabilities nothing_said = {0};
    struct report x = {
        .policy = p,
        .agent = agent,
        .module = module,
        .manifest = manifest ? manifest : &nothing_said,
        .request = request ? request : &nothing_said,
    };
    int r = fill(&x, err);
    if (r == 0) {
        json_t *list = json_array();
        for (size_t i = 0; i < x.n_rows; i++) {
            json_array_append_new(list, row_json(&x, &x.rows[i]));
        }
        *ret = json_pack("{s:b, s:o, s:s, s:o}", "refused", (int)refused(&x), "capabilities", list,
                         "other_tools", other_tools(&x), "limits", limits_json(&x));
    }
    sh_free(x.rows);
    sh_decision_done(&x.now);
    sh_decision_done(&x.granted);
    return r;
}
