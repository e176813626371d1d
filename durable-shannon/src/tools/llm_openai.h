/* The wire form of OpenAI's chat completions: requests made of an agent's arguments, answers read.
 */
#ifndef SH_TOOLS_LLM_OPENAI_H
#define SH_TOOLS_LLM_OPENAI_H

#include "tools/llm_stream.h"
#include "tools/tools_private.h"

/* Read a whole answer. fails  SH_E_UPSTREAM, SH_E_LIMIT: what is wrong with it */
int sh_openai_read(struct sh_str body, struct sh_llm_answer *a, struct sh_err *err);
/* The result that the agent sees, a new reference. `asked_model`, `asked_bytes`: of the request.
 * fails  SH_E_LIMIT: larger than an activity's result may be */
int sh_openai_result(const struct sh_llm_config *c, const struct sh_llm_answer *a,
                     struct sh_str asked_model, size_t asked_bytes, json_t **ret,
                     struct sh_err *err);
/* The message and code of an error answer, borrowed from *ret_doc; empty when it has none. */
struct sh_str sh_openai_error(struct sh_str body, json_t **ret_doc, struct sh_str *ret_code);

#endif
