/* policy: what an agent may do. Pure functions: no I/O, no clock, no globals.
 * Effective capabilities = operator policy AND agent manifest AND task request; absent manifest or
 * request limits nothing, absent policy allows llm, calculator and kv and asks for all else
 * (SEMANTICS 14). */
#ifndef SH_POLICY_H
#define SH_POLICY_H

#include "base/base.h"

enum sh_perm { SH_PERM_READ = 1, SH_PERM_WRITE = 2 };

struct sh_mount {
    char *host, *guest;             /* absolute, normalised */
    unsigned dir_perms, file_perms; /* enum sh_perm */
    uint64_t bytes;                 /* most that may be written under it */
    uint64_t capture;               /* files up to so long are copied when opened only to be read */
};
struct sh_net_rule {
    char *scheme, *host, *path; /* NULL: any (path), host may begin with "*." */
    uint16_t port, port_last;   /* both included; port_last 0: `port` alone */
    char **methods;             /* NULL-terminated, NULL: any */
};
struct sh_limits {
    uint64_t fuel, memory_bytes, wall_clock_ms, deadline_ms /* 0: none */, activities,
        parallel_activities, output_bytes, journal_bytes, workspace_bytes, tokens /* 0: none */;
    double cost_usd; /* 0: none */
};
/* All-zero: nothing is allowed (limits of zero mean "nothing said"). Owns its strings. */
struct sh_capabilities {
    struct sh_mount *mounts;
    size_t n_mounts;
    struct sh_net_rule *net;
    size_t n_net;
    json_t *env;     /* object of strings, or of true: "any value" in a policy, "the value that the
                        policy gives" in a request; effective ones have strings only; or NULL */
    char **tools;    /* sorted, NULL-terminated, or NULL; a final "*" stands for many */
    char **required; /* of a manifest: the tools, guest paths and variables that the agent cannot do
                        without; sorted, NULL-terminated, or NULL */
    struct sh_limits limits;
    /* which parts the document spoke of; an unsaid part of a manifest or request limits nothing */
    bool said_mounts, said_net, said_env, said_tools;
};
void sh_capabilities_done(struct sh_capabilities *c);

/* Read the JSON form (DESIGN.md "Capabilities"), strictly: unknown members, wrong types, paths that
 * are not absolute after `~` and `base_dir` are applied, duplicate guest paths are errors naming
 * the member. home may be NULL (then `~` is an error). Nothing here looks at the disk: whoever maps
 * a directory resolves symbolic links first (realpath) and decides on what comes out. */
int sh_capabilities_parse(const json_t *doc, const char *home, const char *base_dir,
                          struct sh_capabilities *ret, struct sh_err *err);
/* Canonical JSON; parse(dump(c)) equals c. */
json_t *sh_capabilities_json(const struct sh_capabilities *c);
struct sh_limits sh_limits_default(void);
/* Does `b` give all that `a` gives? What is not said gives nothing, a limit that is not said bounds
 * nothing; `required` is no grant. Errs on the side of no: two entries of b do not add up to one.
 */
bool sh_capabilities_subset(const struct sh_capabilities *a, const struct sh_capabilities *b);

/* Give each host directory another name: what fn answers (from sh_alloc) takes its place, NULL
 * keeps it. For whoever reads such a document from a file or a command line, to resolve symbolic
 * links: a mapped directory is never opened through one. */
typedef char *(*sh_host_path_fn)(const char *path);
void sh_capabilities_rename_hosts(struct sh_capabilities *c, sh_host_path_fn fn);

enum sh_verdict { SH_ALLOW, SH_ASK, SH_DENY };

/* The operator's policy: rules per agent name or module hash. NULL members mean the default. */
struct sh_policy;
/* doc NULL: the default policy. Form: {"rules":[{"agent":"name"|"*","module":"sha256hex",
 * "allow":CAPABILITIES,"ask":CAPABILITIES,"deny":CAPABILITIES,"limits":{...}}]}; the first rule
 * that matches the agent and speaks of the capability decides. */
int sh_policy_parse(const json_t *doc, const char *home, const char *base_dir,
                    struct sh_policy **ret, struct sh_err *err);
struct sh_policy *sh_policy_free(struct sh_policy *p);
void sh_policy_rename_hosts(struct sh_policy *p, sh_host_path_fn fn);
/* A policy that allows exactly `c` (what `shannon run` is given as flags: the person at the
 * keyboard is the operator), on top of `base` (may be NULL). */
struct sh_policy *sh_policy_with(const struct sh_policy *base, const struct sh_capabilities *c);

/* One decision that was not "allowed as asked". `rule` names what decided, for people. */
struct sh_denial {
    enum sh_verdict verdict;
    char *capability; /* e.g. "tool web_search", "filesystem /notes read" */
    char *rule;
};
struct sh_decision {
    struct sh_capabilities effective;
    struct sh_denial *denials;
    size_t n_denials;
};
void sh_decision_done(struct sh_decision *d);
/* Intersect. manifest or request may be NULL. What the request names and nobody allows is a denial;
 * what only the manifest names is left out silently unless it is `required`.
 * Limits: the minimum of those said, else defaults. Never fails but for SH_E_LIMIT (too large). */
int sh_policy_decide(const struct sh_policy *p, struct sh_str agent, const struct sh_hash *module,
                     const struct sh_capabilities *manifest, const struct sh_capabilities *request,
                     struct sh_decision *ret, struct sh_err *err);
/* The same where somebody can be asked: what the verdict "ask" becomes. */
enum sh_asks {
    SH_ASKS_DENIED, /* nobody is there: as denied (what sh_policy_decide does) */
    SH_ASKS_LATER,  /* tools are granted, to be asked for at their call; all else is a denial whose
                       verdict is SH_ASK */
    SH_ASKS_GRANTED /* the person has said yes */
};
int sh_policy_decide_asking(const struct sh_policy *p, struct sh_str agent,
                            const struct sh_hash *module, const struct sh_capabilities *manifest,
                            const struct sh_capabilities *request, enum sh_asks asks,
                            struct sh_decision *ret, struct sh_err *err);

/* The same for people: what becomes of each capability that one of the three names, and why.
 * gives  {refused, capabilities: [{capability, kind: "filesystem"|"network"|"env"|"tool", verdict:
 *        "allow"|"ask"|"deny", rule, named_by: ["request"|"manifest"|"policy"...], needed (what it
 *        is denied of these, the task is refused for), gets (what the agent has of it, after a yes
 * where it is asked; or null)}], other_tools: a verdict, limits: [{name, value (null: none), unit,
 * from}]} fails  SH_E_LIMIT: more than SH_EXPLAIN_ROWS_MAX capabilities, or as sh_policy_decide */
int sh_policy_explain(const struct sh_policy *p, struct sh_str agent, const struct sh_hash *module,
                      const struct sh_capabilities *manifest, const struct sh_capabilities *request,
                      json_t **ret, struct sh_err *err);

/* May this tool be called with these effective capabilities? No allocation. */
bool sh_capabilities_tool(const struct sh_capabilities *c, struct sh_str tool);
/* May this be reached? `what` is one address as it will be used: port, path and one method, no
 * wildcards. written_out: only a rule with exactly this host counts (for addresses that no wildcard
 * may stand for). */
bool sh_capabilities_net(const struct sh_capabilities *c, const struct sh_net_rule *what,
                         bool written_out);
/* Does any of its network rules have this scheme? */
bool sh_capabilities_scheme(const struct sh_capabilities *c, const char *scheme);
/* The verdict of policy alone on it; written_out: what a wider rule allows is denied. */
enum sh_verdict sh_policy_net(const struct sh_policy *p, struct sh_str agent,
                              const struct sh_hash *module, const struct sh_net_rule *what,
                              bool written_out);
/* The verdict of policy alone on one tool, for acts that are not yet journaled (SEMANTICS 14). */
enum sh_verdict sh_policy_tool(const struct sh_policy *p, struct sh_str agent,
                               const struct sh_hash *module, struct sh_str tool);
/* Which rule says so, for people, as sh_denial.rule: with what the operator would write to grant
 * it, or without. gives  a text, to be freed */
char *sh_policy_tool_why(const struct sh_policy *p, struct sh_str agent,
                         const struct sh_hash *module, struct sh_str tool, bool how);

#endif
