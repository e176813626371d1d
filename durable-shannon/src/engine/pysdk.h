/* shannon.py or shannon.pyc, the module that scripts import: kept under modules/ by its hash, as
 * agents are. The hash is in WorkflowStarted, so that a replay has the bytes that the run had,
 * whatever is installed by then. */
#ifndef SH_ENGINE_PYSDK_H
#define SH_ENGINE_PYSDK_H

#include "engine/engine.h"

struct sh_spec;

/* The installed module into modules/. Blocks: pool threads.
 * gives  1 and its hash; 0 where none is configured      fails  SH_E_IO, SH_E_LIMIT */
int sh_pysdk_keep(const struct sh_engine *e, struct sh_hash *ret, struct sh_err *err);

/* Beside the script, where it speaks of it and has not its name itself. Blocks: pool threads.
 * fails  SH_E_NOT_FOUND, SH_E_CORRUPT: modules/ has not what the journal names */
int sh_pysdk_place(const struct sh_engine *e, const struct sh_spec *spec, struct sh_str script,
                   const char *workspace, struct sh_err *err);

/* The file's name beside a script, by its bytes: they are all that a journal names. */
const char *sh_pysdk_name(struct sh_str bytes);

/* Does this script name the module? The device's path alone does not count. */
bool sh_pysdk_wanted(struct sh_str script);

#endif
