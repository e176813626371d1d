/* What the files of policy/ share: matching, copies, and the shape of a policy. */
#ifndef SH_POLICY_PRIVATE_H
#define SH_POLICY_PRIVATE_H

#include "policy/policy.h"

/* How an entry that leaves out its permissions reads: a grant gives little, a refusal covers all.
 */
enum sh_caps_use { SH_CAPS_GRANT, SH_CAPS_REFUSE };
int sh_capabilities_parse_as(const json_t *doc, enum sh_caps_use use, const char *home,
                             const char *base_dir, struct sh_capabilities *ret, struct sh_err *err);
/* The limits of `doc` (members of `limits`) into *ret, which keeps what is not said. */
int sh_limits_parse(const json_t *doc, struct sh_limits *ret, struct sh_err *err);
json_t *sh_limits_json(const struct sh_limits *l); /* those said; without workspace */

/* One row for each member of struct sh_limits but cost_usd. */
enum sh_limit_unit { SH_UNIT_COUNT, SH_UNIT_BYTES, SH_UNIT_MS };
struct sh_limit_field {
    const char *name;
    size_t offset;
    enum sh_limit_unit unit;
    uint64_t max;
};
extern const struct sh_limit_field sh_limit_fields[]; /* ends with name NULL; workspace is first */
static inline uint64_t *sh_limit_at(struct sh_limits *l, const struct sh_limit_field *f) {
    return (uint64_t *)(void *)((char *)l + f->offset);
}

/* Deep copies and lists. */
void sh_mount_copy(struct sh_mount *to, const struct sh_mount *from);
void sh_net_rule_copy(struct sh_net_rule *to, const struct sh_net_rule *from);
void sh_net_rule_done(struct sh_net_rule *r);
enum { SH_PORTS_TEXT = 12 };
/* "443", "8000-8999" or "*": as rules are written. gives  out, or a constant */
const char *sh_ports_text(const struct sh_net_rule *r, char out[SH_PORTS_TEXT]);
void sh_capabilities_copy(struct sh_capabilities *to, const struct sh_capabilities *from);
char **sh_names_copy(char *const *names); /* NULL for NULL */
char **sh_names_free(char **names);
size_t sh_names_count(char *const *names); /* 0 for NULL */
bool sh_names_have(char *const *names, const char *name);

/* match.c: does `outer` allow all that `inner` can mean; does `a` touch anything that `b` means? */
bool sh_tool_covers(struct sh_str outer, struct sh_str inner);
bool sh_tool_touches(struct sh_str a, struct sh_str b);
bool sh_path_within(const char *path, const char *dir); /* by components: /a/b is within /a */
bool sh_mount_covers(const struct sh_mount *outer, const struct sh_mount *inner);
bool sh_mount_touches(const struct sh_mount *a, const struct sh_mount *b);
bool sh_net_covers(const struct sh_net_rule *outer, const struct sh_net_rule *inner);
bool sh_net_touches(const struct sh_net_rule *a, const struct sh_net_rule *b);
/* Does the entry `rule` (a string, or true) for a variable speak of `value` (the same forms)? */
bool sh_env_covers(const json_t *rule, const json_t *value);

struct sh_rule {
    char *agent; /* NULL: any */
    bool has_module;
    struct sh_hash module;
    char *origin; /* for people: rule 2 of the policy (agent "x") */
    struct sh_capabilities allow, ask, deny;
    struct sh_limits limits;
};
#define SH_MARK_BLOCK 16
struct sh_policy {
    struct sh_rule *rules;
    size_t n_rules;
    enum sh_verdict otherwise; /* of what no rule speaks of */
    /* What is looked at before a rule itself, so that a long policy costs little: for each rule the
     * hash of its agent's name (0: any; padded to SH_MARK_BLOCK), and a bit for each tool that it
     * names, by hash (all of them for a wildcard). */
    uint32_t *agent_marks;
    uint64_t *tool_marks;
};
bool sh_rule_matches(const struct sh_rule *r, struct sh_str agent, const struct sh_hash *module);

/* One thing that somebody asks for. Borrowed. */
struct sh_item {
    enum sh_item_kind { SH_ITEM_TOOL, SH_ITEM_MOUNT, SH_ITEM_NET, SH_ITEM_ENV } kind;
    struct sh_str tool;
    const struct sh_mount *mount;
    const struct sh_net_rule *net;
    const char *env_name;
    const json_t *env_value;
};
/* What the policy says of an item; *ret_rule is the rule that decided, NULL when none did. */
enum sh_verdict sh_policy_judge(const struct sh_policy *p, struct sh_str agent,
                                const struct sh_hash *module, const struct sh_item *item,
                                const struct sh_rule **ret_rule);

/* Does `c` give the whole item; does it speak of a part of it? */
bool sh_item_covered(const struct sh_capabilities *c, const struct sh_item *item);
bool sh_item_touched(const struct sh_capabilities *c, const struct sh_item *item);

/* explain.c: the texts of a denial. */
enum sh_denied_by { SH_BY_POLICY, SH_BY_MANIFEST, SH_BY_NO_VALUE };
struct sh_denial sh_denial_make(const struct sh_item *item, enum sh_verdict verdict,
                                enum sh_denied_by by, const struct sh_rule *rule);
char *sh_denial_reason(enum sh_verdict verdict, enum sh_denied_by by, const struct sh_rule *rule);
char *sh_item_name(const struct sh_item *item); /* as denials name it */
json_t *sh_mount_json(const struct sh_mount *m);
json_t *sh_net_rule_json(const struct sh_net_rule *r);

#endif
