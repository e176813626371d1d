/* The configuration: shannon.toml, then SHANNON_SECTION_KEY from the environment, over defaults. */
#ifndef SH_API_CONFIG_H
#define SH_API_CONFIG_H

#include "base/base.h"

/* All strings are set after sh_config_init; NULL where the default is "none". */
struct sh_config {
    char *server_listen;
    uint64_t server_executors;             /* 0: one per core */
    json_t *server_origins, *server_hosts; /* arrays of strings */
    char *server_log;
    char *store_endpoint, *store_sync;
    char *llm_base_url, *llm_model, *llm_api_key_env, *llm_api_key_file, *llm_provider;
    uint64_t llm_timeout_ms, llm_connect_timeout_ms, llm_first_token_timeout_ms,
        llm_between_tokens_timeout_ms;
    json_t *llm_models, *llm_fallback; /* object or NULL; array of strings */
    json_t *llm_prices;                /* object or NULL */
    char *search_provider, *search_base_url, *search_api_key_env, *search_api_key_file;
    uint64_t http_timeout_ms;
    json_t *http_credentials; /* object or NULL */
    json_t *mcp;              /* {NAME: {...}} or NULL */
    char *agents_default;
    json_t *agents_path;             /* array of strings */
    uint64_t engine_cancel_grace_ms; /* what a canceled agent has to clean up */
    char *policy_file;
    uint64_t retention_keep_ms, retention_keep_failed_ms; /* 0: for ever */
    uint64_t compaction_bytes; /* of a journal since the last compaction; 0: never for its size */
    uint64_t compaction_after; /* events before a checkpoint; 0: by hand only */
    char *policy_on_budget; /* "fail", or "ask": a task over its budget rests until it is raised */
    uint64_t engine_max_running, engine_session_max_running; /* 0: no limit */
    json_t *engine_agent_max_running;                        /* {name: n} or NULL */
    uint64_t engine_passivate_after_ms;  /* what only waits leaves memory after this */
    uint64_t policy_approval_timeout_ms; /* a question without an answer is denied after this */
    char *file;                          /* what sh_app_config read it from, or NULL */
};
void sh_config_init(struct sh_config *c); /* every default */
void sh_config_done(struct sh_config *c);

/* Apply a document of sections. `what` names it in messages.
 * fails  SH_E_INVAL: unknown section or key (with the nearest), wrong type or value */
int sh_config_apply(struct sh_config *c, const json_t *doc, const char *what, struct sh_err *err);
/* Apply the environment, through `get` (getenv, or a test's own). */
int sh_config_env(struct sh_config *c, const char *(*get)(const char *name), struct sh_err *err);
/* The variable that holds the key of [llm]: the one that is named, else the provider's usual one.
 */
const char *sh_config_llm_key_env(const struct sh_config *c);
/* What only shows when all is known: the listen address, sync, origins. */
int sh_config_check(const struct sh_config *c, struct sh_err *err);

/* "127.0.0.1:8765", "[::1]:0", "localhost:80" -> host (no brackets) and port. */
int sh_listen_parse(const char *text, char host[64], uint16_t *ret_port, struct sh_err *err);
bool sh_listen_is_loopback(const char *host);

#endif
