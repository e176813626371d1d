/* May an activity exist, and what may its call reach: the frozen capabilities, the policy in force,
 * the arguments that the tool takes, and the options that any operation takes. */
#ifndef SH_ENGINE_ADMIT_H
#define SH_ENGINE_ADMIT_H

#include "policy/policy.h"

struct sh_activity;
struct sh_request;
struct sh_workflow;

#define SH_ADMIT_ASK 1 /* a person decides */

/* Everything that is decided before a new activity may exist; sets its tool and its options.
 * gives   0, SH_ADMIT_ASK, or the error that its request ends with */
int sh_admit(struct sh_activity *a, const struct sh_request *rq, struct sh_err *err);
/* May a registered compensation {op, args} still be done? It was granted when it was registered,
 * under the policy of then; a question to a person is a denial now.
 * gives   0 or the error */
int sh_admit_again(struct sh_activity *a, const json_t *item, struct sh_err *err);
/* Would the operation that a `compensate` activity names be admitted now? Its tool, the policy, its
 * arguments.
 * gives   0, SH_ADMIT_ASK, or the error */
int sh_admit_probe(struct sh_workflow *wf, uint64_t ordinal, const json_t *args,
                   struct sh_err *err);
/* Which rule decides over the tool, in words; `how`: and how the operator would grant it. New. */
char *sh_admit_rule(const struct sh_workflow *wf, const char *tool, bool how);

/* For sh_tool_call, whose `arg` is the activity: the frozen capabilities, and the policy in force,
 * which may have become narrower since. */
bool sh_admit_reach(void *arg, const struct sh_net_rule *what, bool written_out);
bool sh_admit_use(void *arg, struct sh_str tool);

#endif
