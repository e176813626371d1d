/* What WorkflowStarted froze: all that an agent is made from. */
#ifndef SH_ENGINE_SPEC_H
#define SH_ENGINE_SPEC_H

#include "engine/children.h"
#include "engine/payload.h"
#include "microsandbox/microsandbox.h"
#include "policy/policy.h"

struct sh_spec {
    struct sh_hash module; /* what was submitted: a wasm module or a script */
    bool python;
    struct sh_hash interpreter;   /* python only */
    struct sh_hash python_module; /* what it may import as shannon: pysdk.h */
    bool has_python_module;
    char *script_name;
    char *agent, *session;
    json_t *argv, *env, *input;   /* arrays of strings; any JSON, or NULL: */
    struct sh_payload input_kept; /* too large to be a value */
    uint8_t seed[32];
    struct sh_capabilities caps;
    struct sh_buf stdin_bytes;
    bool stdin_live, tty[3];
    int64_t started_us;
    struct sh_reseed reseeds[SH_FORKS_MAX]; /* of a fork: other randomness from there on */
    size_t n_reseeds;
    struct sh_lineage lineage;
    int64_t deadline_us; /* wall time at which it is over whatever it waits for; 0: none */
};
void sh_spec_done(struct sh_spec *spec);
/* Read the body of a WorkflowStarted; all but `caps` and what a fork adds is in it.
 * gives   *ret, which was empty; to be done in any case
 * fails   SH_E_VERSION (of a newer format), SH_E_CORRUPT */
int sh_spec_parse(const json_t *body, int64_t time_us, struct sh_spec *ret, struct sh_err *err);
/* One component of a path, which the script is put under in the private directory? */
bool sh_spec_script_name_is_good(const char *name);

#endif
