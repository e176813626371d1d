/* tools: what agents may call outside themselves. One table of operations, each with a JSON schema.
 * kv, sleep and other operations of the engine itself are listed here for their schema, and carried
 * out there. Everything runs on the loop. */
#ifndef SH_TOOLS_H
#define SH_TOOLS_H

#include "loop/loop.h"
#include "policy/policy.h"

struct sockaddr;

enum sh_tool_kind {
    SH_TOOL_PURE,   /* answered at once from its arguments: sh_tools_compute (calculator) */
    SH_TOOL_ENGINE, /* the engine answers it: sleep, kv.get, kv.put, kv.delete, kv.list */
    SH_TOOL_REMOTE, /* sh_tools_call: http, llm, web_fetch, web_search */
};
struct sh_tool {
    const char *name;       /* the op, e.g. "kv.get" */
    const char *capability; /* the tool name that capabilities speak of, e.g. "kv"; NULL: always
                               allowed (sleep) */
    const char *category, *description;
    const char *args_schema, *result_schema; /* JSON Schema texts */
    enum sh_tool_kind kind;
    bool retryable; /* may be tried again after a failure that says so */
    /* Is a call with these arguments one that must not be repeated where they do not say? NULL: no
     */
    bool (*at_most_once)(const struct sh_tool *tool, const json_t *args);
};
const struct sh_tool *sh_tool_find(struct sh_str op); /* NULL when there is none */
const struct sh_tool *const *sh_tools_list(void);     /* NULL-terminated, sorted by name */
/* Members that every op's arguments may have beside its own, as a JSON Schema text: retry,
 * timeout_ms, heartbeat_timeout_ms, at_most_once. They are the engine's to obey; tools leave them
 * out. */
extern const char *const sh_tool_common_schema;
/* Check arguments against the tool's schema (the common members too): unknown or missing members,
 * types, ranges.
 * fails  SH_E_INVAL naming the member, what was expected and what came */
int sh_tool_check(const struct sh_tool *t, const json_t *args, struct sh_err *err);

/* From the configuration. Strings and values are copied. Keys are read from environment variables
 * or files at call time and never logged. */
struct sh_tools_config {
    const char *llm_base_url, *llm_model, *llm_provider; /* provider:
"openai", "ollama", "llamacpp", "anthropic" */
    const char *llm_api_key_env, *llm_api_key_file;      /* or NULL */
    uint64_t llm_timeout_ms;                             /* 0: 300000 */
    /* 0: 10 s to connect, no own limit until the first byte, 60 s between bytes */
    uint64_t llm_connect_ms, llm_first_ms, llm_between_ms;
    const json_t *llm_models;   /* {NAME: {provider, base_url, model, api_key_env, ...}} or NULL */
    const json_t *llm_fallback; /* names of these, in the order in which they stand in; or NULL */
    const json_t *llm_prices;   /* {"model": {"input": usd per 1M tokens, "output": ...}} or NULL */
    uint64_t http_timeout_ms;   /* 0: 60000 */
    /* or NULL: "searxng"; its usual address, of searxng none: web_search is not set up */
    const char *search_provider, *search_base_url;
    const char *search_api_key_env, *search_api_key_file; /* or NULL */
    const json_t *mcp;    /* {NAME: {command | url, ...}}: [mcp.NAME], or NULL */
    const char *mcp_pins; /* file that keeps what their tools were when first seen, or NULL */
    const char *worker; /* program that web_fetch starts as `read-worker`; NULL: nothing is read */
    const char *pdftotext; /* NULL: /usr/bin/pdftotext */
    /* {NAME: {url, methods?, header?, prefix?, env?, file?}} or NULL: what agents may have put into
     * their requests, by name, without seeing it */
    const json_t *http_credentials;
};
struct sh_tools;
int sh_tools_new(struct sh_loop *l, const struct sh_tools_config *config, struct sh_tools **ret,
                 struct sh_err *err);
/* No call may be under way. Where an MCP server over HTTP keeps a session of ours, it is told that
 * this is over: the loop runs for that, for a second at most, so not from one of its callbacks. */
struct sh_tools *sh_tools_free(struct sh_tools *t);

/* As sh_tool_find, with the tools of MCP servers, "mcp:SERVER/TOOL": such a one is found whenever
 * its server is configured, and told to be missing when it is called. Valid as long as t. */
const struct sh_tool *sh_tools_find(struct sh_tools *t, struct sh_str op);
/* Start an MCP server; cb once, when it has said what its tools are or has failed.
 * needs  `server` configured       fails  SH_E_UNAVAILABLE and what starting gives; no cb then */
int sh_tools_mcp_watch(struct sh_tools *t, struct sh_str server, void (*cb)(void *arg), void *arg,
                       struct sh_err *err);
/* Every configured server: [{server, state, tools, error?}]; state is "ready", "starting" or
 * "down". One that is down is started, unless it has just failed. New reference. */
json_t *sh_tools_mcp_servers(struct sh_tools *t);
/* What it has, once it is known: [{name, capability, category, origin, description, parameters,
 * result, annotations?, changed}]. New reference. */
json_t *sh_tools_mcp_list(struct sh_tools *t, struct sh_str server);
/* Take a tool that changed as it is now.    fails  SH_E_NOT_FOUND */
int sh_tools_mcp_accept(const char *pins, const char *op, struct sh_err *err);
/* This program listens there: no tool may connect to it. At most 8. */
void sh_tools_own_listener(struct sh_tools *t, const struct sockaddr *addr);

/* Pure operations. gives *ret_result, a new reference; fails with the tool's own error. */
int sh_tools_compute(const struct sh_tool *tool, const json_t *args, json_t **ret_result,
                     struct sh_err *err);

/* The outcome of one attempt. */
struct sh_tool_outcome {
    json_t *result; /* borrowed for the call; NULL when err is set */
    const struct sh_err *err;
    bool retryable;
    uint64_t retry_after_ms; /* 0: not said */
};
struct sh_tool_call {
    const struct sh_tool *tool;
    const json_t *args;                              /* borrowed for the call of sh_tools_call */
    const char *idempotency_key;                     /* sent as Idempotency-Key */
    uint64_t timeout_ms;                             /* 0: the tool's default */
    const char *traceparent;                         /* or NULL */
    void (*on_delta)(void *arg, struct sh_str text); /* streamed text, provisional; or NULL */
    /* A sign of life: bytes arrived, whatever they were. Cancels nothing. Or NULL */
    void (*on_alive)(void *arg);
    /* Decisions of the caller, with its capabilities: as sh_capabilities_net, sh_capabilities_tool.
     * NULL: no. Asked during sh_tools_call and until done. */
    bool (*may_reach)(void *arg, const struct sh_net_rule *what, bool written_out);
    bool (*may_use)(void *arg, struct sh_str tool);
    void (*done)(void *arg, const struct sh_tool_outcome *outcome); /* once, on the loop, later */
    void *arg;
};
/* A connection of an agent's own: rules, addresses and limits as for calls; then it is the loop's.
 */
struct sh_tcp;
struct sh_dial;
struct sh_dial_request {
    const char *host; /* a name or an address */
    uint16_t port;
    /* As of a call; asked during sh_tools_dial and until it is connected. */
    bool (*may_reach)(void *arg, const struct sh_net_rule *what, bool written_out);
    void (*changed)(void *arg); /* as sh_tcp_options */
    void *arg;
};
/* takes  nothing: all is copied     fails  SH_E_INVAL: no host; SH_E_DENIED: no rule, naming the
 * one that would do */
int sh_tools_dial(struct sh_tools *t, const struct sh_dial_request *req, struct sh_dial **ret,
                  struct sh_err *err);
struct sh_tcp *sh_dial_tcp(const struct sh_dial *d);
/* Why there is no connection, in words; for a status with an error. */
void sh_dial_failure(const struct sh_dial *d, struct sh_err *err);
void sh_dial_close(struct sh_dial *d, bool now); /* as sh_tcp_close; takes NULL */

/* `shannon read-worker ...`: makes text of a document, confined. argv[0] is "read-worker". */
int sh_read_worker_main(int argc, char **argv);

/* Can this call work at all, with what the operator has set up and allows it to reach? Asked before
 * a person is: nobody should say yes to what then fails.   needs  call->args checked
 * fails  SH_E_UNCONFIGURED, with what to set; SH_E_DENIED, SH_E_INVAL: an address */
int sh_tools_ready(struct sh_tools *t, const struct sh_tool_call *call, struct sh_err *err);
/* Where a provider of [llm] is when no base_url is given; NULL: no such provider. */
const char *sh_tools_llm_url(const char *provider);

struct sh_tool_run;
/* One attempt of a remote operation; retrying is the engine's, which journals each attempt. */
int sh_tools_call(struct sh_tools *t, const struct sh_tool_call *call, struct sh_tool_run **ret,
                  struct sh_err *err);
void sh_tool_cancel(struct sh_tool_run *run); /* done is not called */

#endif
