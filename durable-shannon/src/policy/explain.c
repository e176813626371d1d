/* The texts of a denial, for people: what was asked, which rule decided, how to grant it. */
#include "policy/policy_private.h"

static const char *perms_text(const struct sh_mount *m) {
    unsigned perms = m->dir_perms | m->file_perms;
    return perms == SH_PERM_READ    ? "read"
           : perms == SH_PERM_WRITE ? "write"
           : perms                  ? "read and write"
                                    : "without any permission";
}

static char *net_text(const struct sh_net_rule *r) {
    sh_auto(sh_buf_done) struct sh_buf out = {0};
    sh_buf_init(&out, SH_KIB * 8);
    char ports[SH_PORTS_TEXT];
    sh_buf_addf(&out, "network %s://%s:%s%s", r->scheme, r->host, sh_ports_text(r, ports),
                r->path ? r->path : "");
    for (size_t i = 0; r->methods && r->methods[i] && i < 8; i++) {
        sh_buf_addf(&out, " %s", r->methods[i]);
    }
    char *text = sh_buf_take(&out);
    return text ? text : sh_strdup("network");
}

char *sh_item_name(const struct sh_item *item) {
    switch (item->kind) {
    case SH_ITEM_TOOL:
        return sh_asprintf("tool %.*s", (int)item->tool.len, item->tool.p);
    case SH_ITEM_MOUNT:
        return sh_asprintf("filesystem %s %s", item->mount->guest, perms_text(item->mount));
    case SH_ITEM_NET:
        return net_text(item->net);
    case SH_ITEM_ENV:
        return sh_asprintf("env %s", item->env_name);
    }
    return sh_strdup("");
}

/* What the operator would write. */
static char *way_out(const struct sh_item *item) {
    switch (item->kind) {
    case SH_ITEM_TOOL:
        return sh_asprintf("to grant it, put allow = { tools = [\"%.*s\"] } into a rule of the "
                           "policy, or run with --tool %.*s",
                           (int)item->tool.len, item->tool.p, (int)item->tool.len, item->tool.p);
    case SH_ITEM_MOUNT: {
        const struct sh_mount *m = item->mount;
        const char *rw = (m->dir_perms | m->file_perms) & SH_PERM_WRITE
                             ? ", dir_perms = [\"read\", \"write\"], file_perms = [\"read\", "
                               "\"write\"]"
                             : "";
        return sh_asprintf("to grant it, put allow = { filesystem = [{ host = \"%s\", guest = "
                           "\"%s\"%s }] } into a rule of the policy, or run with --dir %s::%s%s",
                           m->host, m->guest, rw, m->host, m->guest, *rw ? "" : "::ro");
    }
    case SH_ITEM_NET: {
        char ports[SH_PORTS_TEXT];
        const char *quote = item->net->port_last ? "\"" : "";
        return sh_asprintf("to grant it, put allow = { network = [{ scheme = \"%s\", host = "
                           "\"%s\", port = %s%s%s }] } into a rule of the policy, or run with "
                           "--allow-net",
                           item->net->scheme, item->net->host, quote,
                           sh_ports_text(item->net, ports), quote);
    }
    case SH_ITEM_ENV:
        return sh_asprintf("to grant it, put allow = { env = { %s = true } } into a rule of the "
                           "policy, or run with --env %s=VALUE",
                           item->env_name, item->env_name);
    }
    return sh_strdup("");
}

char *sh_denial_reason(enum sh_verdict verdict, enum sh_denied_by by, const struct sh_rule *rule) {
    if (by == SH_BY_MANIFEST) {
        return sh_strdup("the agent's manifest does not ask for it; add it there, or leave it out "
                         "of the request");
    }
    if (by == SH_BY_NO_VALUE) {
        return sh_strdup("no value was given for it; give one in place of true");
    }
    if (rule) {
        return sh_asprintf(verdict == SH_ASK ? "%s asks a person first" : "%s denies it",
                           rule->origin);
    }
    return sh_strdup(verdict == SH_ASK
                         ? "no rule of the policy speaks of it, so a person must be asked"
                         : "nothing allows it");
}

struct sh_denial sh_denial_make(const struct sh_item *item, enum sh_verdict verdict,
                                enum sh_denied_by by, const struct sh_rule *rule) {
    sh_auto(sh_free_p) char *reason = sh_denial_reason(verdict, by, rule);
    sh_auto(sh_free_p) char *way = by == SH_BY_POLICY ? way_out(item) : NULL;
    return (struct sh_denial){
        .verdict = verdict,
        .capability = sh_item_name(item),
        .rule = way ? sh_asprintf("%s; %s", reason, way) : sh_strdup(reason),
    };
}
