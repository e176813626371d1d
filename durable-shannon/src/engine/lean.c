/* See lean.h. Which members an event may have is listed here: with any other one, and for the
 * operations whose results mean something to the engine, it is not lean. */
#include "engine/lean.h"

#include "base/canonical.h"

#define MEMBERS_MAX 7

/* {"args", "id", "key", "op", "ordinal"} */
static bool scheduled(struct sh_str name) {
    return sh_str_eqz(name, "key");
}

/* {"args", "attempt", "id", "op", "ordinal", "result", "spent_us"} */
static bool outcome(const struct sh_canonical_member *m, struct sh_lean *ret) {
    if (sh_str_eqz(m->name, "result")) {
        ret->result = m->value;
        return true;
    }
    return sh_str_eqz(m->name, "attempt") ||
           (sh_str_eqz(m->name, "spent_us") && sh_canonical_u64(m->value, &ret->spent_us));
}

static bool take(const struct sh_canonical_member *m, bool asked, struct sh_lean *ret) {
    if (sh_str_eqz(m->name, "args")) {
        ret->args = m->value;
        return true;
    }
    if (sh_str_eqz(m->name, "id")) {
        ret->id = m->value;
        return true;
    }
    if (sh_str_eqz(m->name, "op")) {
        return sh_canonical_plain(m->value, &ret->op);
    }
    if (sh_str_eqz(m->name, "ordinal")) {
        return sh_canonical_u64(m->value, &ret->ordinal);
    }
    return asked ? scheduled(m->name) : outcome(m, ret);
}

/* Operations whose results are read by the engine itself. */
static bool means_more(struct sh_str op) {
    static const char *const ops[] = {"llm", "signal.reply", "compensate", "workflow", "python"};

    for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
        if (sh_str_eqz(op, ops[i])) {
            return true;
        }
    }
    return false;
}

bool sh_lean_read(struct sh_str type, struct sh_str body, struct sh_lean *ret) {
    struct sh_canonical_member members[MEMBERS_MAX];
    bool asked = sh_str_eqz(type, "ActivityScheduled");
    bool has_ordinal = false;
    size_t n = 0;

    *ret = (struct sh_lean){0};
    if ((!asked && !sh_str_eqz(type, "ActivityCompleted") && !sh_str_eqz(type, "TimerFired")) ||
        !sh_canonical_members(body, members, MEMBERS_MAX, &n)) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        has_ordinal |= sh_str_eqz(members[i].name, "ordinal");
        if (!take(&members[i], asked, ret)) {
            return false;
        }
    }
    return has_ordinal && ret->op.len > 0 && !means_more(ret->op) &&
           (asked ? ret->args.len > 0 : ret->result.len > 0);
}
