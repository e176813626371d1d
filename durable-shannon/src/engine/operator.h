/* What the person at the keyboard gives one task alone, beside or in place of the engine's policy.
 * It is kept in the task's row, so that it is in force wherever the task is taken up, and in those
 * of its children. A fork and an import do not have it: whoever makes one is another operator.
 *
 *     {policy?: the form of sh_policy_parse, in place of the engine's,
 *      capabilities?: allowed on top of that,
 *      attended?: false: nobody is there to be asked, whatever the engine says}
 *
 * Host directories in it are absolute and resolved already. */
#ifndef SH_ENGINE_OPERATOR_H
#define SH_ENGINE_OPERATOR_H

#include "policy/policy.h"

struct sh_workflow;

/* All-zero: nothing was given. */
struct sh_operator {
    struct sh_policy *policy; /* or NULL: the engine's counts */
    bool unattended;
};
/* doc: NULL or an object, hostile. base: the engine's policy
 * fails  SH_E_INVAL and what the policy's reader says, naming the member */
int sh_operator_read(const struct sh_policy *base, const json_t *doc, struct sh_operator *ret,
                     struct sh_err *err);
void sh_operator_done(struct sh_operator *o);
/* takes o */
void sh_operator_rules(struct sh_workflow *wf, struct sh_operator *o);
/* Is somebody there whom this workflow can ask? */
bool sh_operator_attends(const struct sh_workflow *wf);

#endif
