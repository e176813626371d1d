/* Shannon as a server of the Model Context Protocol: sessions, whoever carries their messages.
 *
 *   stdio (cli/cmd_mcp.c) or POST /mcp (mcp/door.c)
 *     -> session: the protocol      session.c, tools.c
 *     -> call: one tool call        call.c, follow.c, result.c
 *     -> backend: the REST API, in this process or over the owner's socket      backend.c */
#ifndef SH_API_MCP_MCP_H
#define SH_API_MCP_MCP_H

#include "mcp/rpc.h"

/* --- backend ---------------------------------------------------------------------------------- */

struct sh_mcp_ask {
    const char *method, *path; /* path with its query */
    const json_t *body;        /* or NULL */
    const char *key;           /* Idempotency-Key, or NULL */
};
/* body: the answer's JSON, borrowed, also beside err where the API refused; err: NULL when it did
 * not */
typedef void (*sh_mcp_answer_fn)(void *arg, json_t *body, const struct sh_err *err);

struct sh_mcp_backend {
    /* `done` once, on the loop, never inside the call. All is copied. */
    void (*call)(struct sh_mcp_backend *b, const struct sh_mcp_ask *ask, sh_mcp_answer_fn done,
                 void *arg);
};

struct sh_api;
struct sh_loop;
/* The routes of this process. */
struct sh_mcp_backend *sh_mcp_local_new(struct sh_api *api);
/* Those of the process that listens on the unix socket `sock`. on_lost is called, once, when it
 * cannot be reached: what was asked waits for sh_mcp_backend_move. */
struct sh_mcp_backend *sh_mcp_remote_new(struct sh_loop *loop, const char *sock,
                                         void (*on_lost)(void *arg), void *arg);
/* What waits in `from` (a remote one, or NULL) is asked of `to`. */
void sh_mcp_backend_move(struct sh_mcp_backend *from, struct sh_mcp_backend *to);
/* Whoever waits gets SH_E_UNAVAILABLE. Runs the loop.   needs   a local one's engine stopped */
void sh_mcp_backend_free(struct sh_mcp_backend *b);

/* --- sessions --------------------------------------------------------------------------------- */

#define SH_MCP_CALLS_MAX 32      /* tool calls of one session at a time */
#define SH_MCP_WAIT_DEFAULT_S 50 /* clients' own limit is a minute where they set none */
#define SH_MCP_WAIT_MAX_S 3600   /* beyond that, task_status asks again */
#define SH_MCP_STREAM_TEXT_MAX (64 * SH_KIB) /* of stdout and of stderr each, in an answer */
#define SH_MCP_PROGRESS_MAX 1000             /* notifications of one call */

struct sh_mcp_session;
/* `message`, borrowed, for the client; NULL with `last`: there will be none (a canceled call).
 * channel: that of the request which it belongs to. last: nothing more will come on it. */
typedef void (*sh_mcp_send_fn)(void *arg, void *channel, const json_t *message, bool last);

struct sh_mcp_session *sh_mcp_session_new(struct sh_mcp_backend *backend, sh_mcp_send_fn send,
                                          void *arg);
/* Takes one message; answers may be sent inside the call. channel: names the request to `send`;
 * with anything but a request nothing is sent on it. */
void sh_mcp_receive(struct sh_mcp_session *s, const struct sh_rpc_message *m, void *channel);
/* Nobody reads this channel any more: its calls go on, and nothing is sent for them. */
void sh_mcp_channel_gone(struct sh_mcp_session *s, const void *channel);
size_t sh_mcp_session_calls(const struct sh_mcp_session *s); /* under way */
void sh_mcp_session_use(struct sh_mcp_session *s, struct sh_mcp_backend *backend);
/* Every channel gets its last; tasks under way go on. Memory goes when the backend has answered. */
void sh_mcp_session_close(struct sh_mcp_session *s);

/* Is this a version that we speak? */
bool sh_mcp_version_known(const char *version);
json_t *sh_mcp_tools_json(void); /* the answer to tools/list */

/* --- the HTTP door ---------------------------------------------------------------------------- */

#define SH_MCP_SESSIONS_MAX 64 /* over HTTP; the one that rested longest makes room */

struct sh_mcp_server;
struct sh_mcp_server *sh_mcp_server_new(struct sh_api *api);
void sh_mcp_server_drain(struct sh_mcp_server *s); /* every session ends */
/* needs   the engine stopped */
void sh_mcp_server_free(struct sh_mcp_server *s);

#endif
