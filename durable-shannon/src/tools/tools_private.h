/* What the files of tools/ share. */
#ifndef SH_TOOLS_PRIVATE_H
#define SH_TOOLS_PRIVATE_H

#include "tools/egress.h"
#include "tools/tools.h"

/* The [llm] section, checked and taken apart. */
struct sh_llm_config {
    char *base_url; /* without a slash at the end */
    char *url;      /* base_url/chat/completions */
    char *model, *provider, *key_env, *key_file;
    uint64_t timeout_ms;
    json_t *prices; /* or NULL */
    struct sh_egress_peer peer;
};
struct sh_tools {
    struct sh_loop *loop;
    struct sh_llm_config llm;
    size_t running; /* calls under way */
};

int sh_calculator(const json_t *args, json_t **ret_result, struct sh_err *err);

int sh_llm_config_init(const struct sh_tools_config *from, struct sh_llm_config *ret,
                       struct sh_err *err);
void sh_llm_config_done(struct sh_llm_config *c);
int sh_llm_start(struct sh_tools *t, const struct sh_tool_call *call, struct sh_tool_run **ret,
                 struct sh_err *err);

#endif
