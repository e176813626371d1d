/* What no agent is ever given, whatever the policy says (SEMANTICS 20). */
#ifndef SH_API_WORKFLOW_PROTECT_H
#define SH_API_WORKFLOW_PROTECT_H

#include "workflow/engine.h"

/* The data directory (the usual one too, which holds compiled code for ephemeral runs) and the
 * database, what configuration and policy were read from, the key file, the folders of this program
 * and of what ships with it, the native build cache. Absolute, NULL-terminated; with symbolic links
 * resolved, because a mapped directory never goes through one. */
char **sh_protected_paths(const struct sh_app *app);
char **sh_protected_paths_free(char **paths); /* takes NULL, gives NULL */

#endif
