/* The op python: a script that the agent wrote, run as a child workflow by the interpreter. It gets
 * nothing but what it is given: no tool, no file, no address unless `capabilities` names them. */
#ifndef SH_ENGINE_PYTHON_H
#define SH_ENGINE_PYTHON_H

#include "base/base.h"

struct sh_activity;

/* takes  *capabilities (may be NULL) and gives what is asked for instead; args NULL-terminated */
void sh_python_request(const json_t *request, json_t **capabilities, char ***ret_args,
                       char **ret_stdin);
/* The text that is registered: never mistaken for WebAssembly text. */
void sh_python_script(struct sh_str code, struct sh_buf *ret);
/* The script ended: what it printed is read from its journal, then the activity has its outcome.
 * false: it did not end by itself; `row` says how. */
bool sh_python_complete(struct sh_activity *a, const json_t *row);

#endif
