/* An agent that a person names by its file: WebAssembly, its text form, or a Python script. */
#ifndef SH_API_AGENT_FILE_H
#define SH_API_AGENT_FILE_H

#include "base/base.h"

/* Reads FILE.wasm, FILE.wat (translated to binary) or FILE.py into `out`.
 * fails  SH_E_NOT_FOUND, SH_E_MODULE (not what its name says), SH_E_LIMIT, SH_E_INVAL (another
 * kind) */
int sh_agent_file_read(const char *path, struct sh_buf *out, struct sh_err *err);
/* Does the operand look like a file rather than a registered name? */
bool sh_agent_file_named(const char *operand);

#endif
