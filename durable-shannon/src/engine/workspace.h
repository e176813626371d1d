/* A private directory across a checkpoint (SEMANTICS 11): its files become blobs, named by their
 * SHA-256, in a folder of the data directory; a manifest, itself a blob, says what lay where. The
 * Checkpoint event holds the manifest's hash. Both functions block: pool threads. */
#ifndef SH_ENGINE_WORKSPACE_H
#define SH_ENGINE_WORKSPACE_H

#include "base/base.h"

/* Keep what is below `dir`; all of it is durable before return.
 * gives  *ret {manifest, files, bytes}, or NULL: nothing is there
 * fails  SH_E_IO, SH_E_NOSPC, SH_E_LIMIT (directories in each other: SH_WORKSPACE_DEPTH_MAX) */
int sh_workspace_keep(const char *dir, const char *blobs, json_t **ret, struct sh_err *err);
/* Put back what `kept` names into the empty directory `dir`. The blobs are hostile: nothing is made
 * outside of `dir`, and bytes that do not have their hash are refused.
 * fails  SH_E_CORRUPT, SH_E_NOT_FOUND (a blob is missing), SH_E_IO, SH_E_NOSPC */
int sh_workspace_restore(const json_t *kept, const char *blobs, const char *dir,
                         struct sh_err *err);

#endif
