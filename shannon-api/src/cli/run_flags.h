/* The flags of `shannon run` as the documents that the engine reads. Pure, but for files named. */
#ifndef SH_API_RUN_FLAGS_H
#define SH_API_RUN_FLAGS_H

#include "flags.h"

struct sh_run_flags {
    struct sh_values dirs, env, tools, nets;
    const char *argv0, *input, *capabilities, *policy, *fuel, *memory, *timeout, *deadline,
        *priority;
    bool ephemeral, events;
};

/* Capabilities that the flags and the --capabilities document (NULL: none; borrowed) give together,
 * in JSON form; NULL when nothing was said.
 * cwd: what relative host paths start at; get: the environment, for `--env NAME`
 * fails  SH_E_INVAL naming the flag */
int sh_run_capabilities(const struct sh_run_flags *f, const json_t *document, const char *cwd,
                        const char *(*get)(const char *name), json_t **ret, struct sh_err *err);

#endif
