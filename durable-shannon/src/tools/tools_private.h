/* What the files of tools/ share. */
#ifndef SH_TOOLS_PRIVATE_H
#define SH_TOOLS_PRIVATE_H

#include "tools/egress.h"
#include "tools/tools.h"

struct sh_llm_wire;

/* One model: the [llm] section, or [llm.models.NAME], checked and taken apart. */
struct sh_llm_config {
    char *name;     /* NULL: the default one */
    char *base_url; /* without a slash at the end */
    char *url;      /* base_url/chat/completions */
    char *model, *provider, *key_env, *key_file;
    uint64_t timeout_ms, connect_ms, first_ms /* 0: no limit of its own */, between_ms;
    bool needs_key; /* it is the provider's own server, which answers nobody without one */
    const struct sh_llm_wire *wire;
    json_t *prices; /* or NULL */
    struct sh_egress_peer peer;
};
/* A secret that agents name and the host sends. */
struct sh_credential {
    char *name, *header, *prefix, *env, *file;
    char **methods;                 /* NULL-terminated, or NULL: any */
    struct sh_egress_target target; /* path: what the path of a request must begin with */
};
struct sh_search_provider;
struct sh_search_config {
    const struct sh_search_provider *provider;
    char *base_url; /* NULL: not set up */
    char *key_env, *key_file;
    struct sh_egress_peer peer;
};
struct sh_robots_entry;
struct sh_tools {
    struct sh_loop *loop;
    struct sh_llm_config *llm; /* the default first */
    size_t n_llm;
    const struct sh_llm_config *fallback[SH_LLM_FALLBACKS_MAX];
    size_t n_fallback;
    uint64_t http_timeout_ms;
    struct sh_search_config search;
    struct sh_list mcp;       /* struct sh_mcp_server */
    bool leaving;             /* the loop runs until their sessions are ended */
    char *mcp_pins;           /* or NULL */
    char *worker, *pdftotext; /* worker: or NULL */
    struct sh_robots_entry *robots;
    size_t n_robots;
    struct sh_list fetch_asking, fetch_waiting, fetch_queue; /* struct sh_fetch */
    unsigned fetch_readers;                                  /* children at work */
    struct sh_timer fetch_wake;
    struct sh_credential *credentials;
    size_t n_credentials;
    struct sh_egress_own own;
    size_t running; /* calls under way */
};
/* What every call under way begins with. */
struct sh_tool_run {
    struct sh_tools *tools;
    void (*cancel)(struct sh_tool_run *run); /* frees it, now or when its callback ends */
};

extern const struct sh_tool sh_tool_workflow, sh_tool_python; /* family.c */

int sh_calculator(const json_t *args, json_t **ret_result, struct sh_err *err);

/* llm_config.c */
int sh_llm_config_init(struct sh_tools *t, const struct sh_tools_config *from, struct sh_err *err);
void sh_llm_config_done(struct sh_tools *t);
/* The model of that name in the configuration, or NULL. */
const struct sh_llm_config *sh_llm_model_find(const struct sh_tools *t, struct sh_str name);
/* credential.c */
int sh_credentials_init(struct sh_tools *t, const json_t *doc, struct sh_err *err);
void sh_credentials_done(struct sh_tools *t);
const struct sh_credential *sh_credential_find(const struct sh_tools *t, struct sh_str name);
/* fails  SH_E_DENIED: it is not for this request */
int sh_credential_check(const struct sh_credential *c, const struct sh_egress_target *target,
                        const char *method, struct sh_err *err);

/* search.c, fetch.c, fetch_robots.c */
int sh_search_config_init(struct sh_tools *t, const struct sh_tools_config *from,
                          struct sh_err *err);
void sh_search_config_done(struct sh_tools *t);
int sh_search_ready(const struct sh_tools *t, struct sh_err *err); /* see sh_tools_ready */
int sh_search_start(struct sh_tools *t, const struct sh_tool_call *call, struct sh_tool_run **ret,
                    struct sh_err *err);
int sh_fetch_start(struct sh_tools *t, const struct sh_tool_call *call, struct sh_tool_run **ret,
                   struct sh_err *err);
void sh_robots_cache_done(struct sh_tools *t);

/* mcp.c */
int sh_mcp_config_init(struct sh_tools *t, const json_t *doc, struct sh_err *err);
void sh_mcp_config_done(struct sh_tools *t);
const struct sh_tool *sh_mcp_find(struct sh_tools *t, struct sh_str op);
int sh_mcp_start(struct sh_tools *t, const struct sh_tool_call *call, struct sh_tool_run **ret,
                 struct sh_err *err);

/* http_op.c */
int sh_http_op_ready(const struct sh_tools *t, const struct sh_tool_call *call, struct sh_err *err);
bool sh_http_op_at_most_once(const struct sh_tool *tool, const json_t *args);
int sh_http_op_start(struct sh_tools *t, const struct sh_tool_call *call, struct sh_tool_run **ret,
                     struct sh_err *err);

int sh_llm_ready(const struct sh_tools *t, const json_t *args, struct sh_err *err);
int sh_llm_start(struct sh_tools *t, const struct sh_tool_call *call, struct sh_tool_run **ret,
                 struct sh_err *err);

#endif
