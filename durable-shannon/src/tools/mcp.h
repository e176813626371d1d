/* MCP servers as tools (Model Context Protocol, revision 2025-11-25): mcp.c speaks the protocol,
 * mcp_transport.c carries its messages through a child's pipes, mcp_http.c over HTTP. */
#ifndef SH_TOOLS_MCP_H
#define SH_TOOLS_MCP_H

#include "tools/secret.h"
#include "tools/tools_private.h"

struct mcp_run;

/*   DOWN -> STARTING (initialize was sent) -> LISTING (tools/list) -> READY; any of them -> DOWN */
enum sh_mcp_state { SH_MCP_DOWN, SH_MCP_STARTING, SH_MCP_LISTING, SH_MCP_READY };

struct sh_mcp_server {
    struct sh_list link;
    struct sh_tools *tools;
    char *name;
    /* stdio */
    char *program, **argv, **env, *dir; /* program NULL: HTTP */
    struct sh_secret *hidden;           /* of its environment: echoes of these are redacted */
    size_t n_hidden;
    struct sh_process *process;
    struct sh_buf line;
    char said[200]; /* the last of its standard error */
    /* HTTP */
    char *url, *key_env, *key_file, *session;
    struct sh_egress_peer peer;
    char version[16];        /* of the protocol, as the server chose it; empty before */
    struct sh_list posts;    /* struct post of mcp_http.c: requests and streams under way */
    struct sh_list partings; /* the same: the ends of sessions, told but not answered yet */
    uint64_t n_posts;        /* made so far */

    enum sh_mcp_state state;
    bool lists_next;          /* tools/list goes out when the message before it has arrived */
    int64_t next_id, list_id; /* list_id: of the initialize or tools/list under way */
    struct sh_timer start_timer;
    uint64_t not_before_ns; /* it failed: no new start before */
    unsigned failures;
    struct sh_err failure; /* the last one */
    struct sh_list runs;   /* struct mcp_run: waiting for READY, or sent */
    json_t *listed;        /* {tool: {description, inputSchema, annotations, digest}} */
    json_t *listing;       /* the same, while pages come */
    unsigned pages;
    size_t listed_bytes; /* of the listing's descriptions so far */
    struct sh_list ops;  /* struct mcp_op: names that were asked for */
    size_t n_ops;
    struct sh_list watchers; /* who waits for the listing */
};

/* mcp_transport.c */
/* Take what a configuration says of how to reach it. fails SH_E_INVAL */
int sh_mcp_transport_init(struct sh_mcp_server *s, const json_t *doc, struct sh_err *err);
void sh_mcp_transport_done(struct sh_mcp_server *s);
int sh_mcp_transport_start(struct sh_mcp_server *s, struct sh_err *err);
void sh_mcp_transport_stop(struct sh_mcp_server *s);
int sh_mcp_send(struct sh_mcp_server *s, const json_t *message, struct sh_err *err);

/* mcp_http.c */
/* id: of the request that `message` is, which an answer is waited for; 0: it is none. */
int sh_mcp_http_post(struct sh_mcp_server *s, int64_t id, struct sh_str message,
                     struct sh_err *err);
/* Hear what the server has to say of its own accord, where it offers a stream for that. */
void sh_mcp_http_listen(struct sh_mcp_server *s);
void sh_mcp_http_forget(struct sh_mcp_server *s, int64_t id); /* nobody waits for it any more */
/* Give up what is under way, and tell the server that the session is over (DELETE). */
void sh_mcp_http_stop(struct sh_mcp_server *s);
/* Run the loop until each server has heard that, a second at most. */
void sh_mcp_http_part(struct sh_tools *t);
void sh_mcp_http_done(struct sh_mcp_server *s);

/* mcp_pins.c */
char *sh_mcp_op_name(const struct sh_mcp_server *s, const char *tool); /* "mcp:SERVER/TOOL" */
char *sh_mcp_digest(const char *text);                                 /* in hexadecimal */
void sh_mcp_pin_new(
    struct sh_mcp_server *s); /* what is seen for the first time is taken as it is */
bool sh_mcp_is_changed(const struct sh_mcp_server *s, const char *tool);

/* mcp.c, for the transport */
bool sh_mcp_waits(const struct sh_mcp_server *s, int64_t id); /* has this request no answer yet? */
void sh_mcp_sent(struct sh_mcp_server *s); /* a message that gets no answer has arrived */
void sh_mcp_alive(struct sh_mcp_server *s, int64_t id); /* there is news of this request */
/* This request gets no answer; the server may be well. */
void sh_mcp_failed(struct sh_mcp_server *s, int64_t id, const struct sh_err *why);
void sh_mcp_message(struct sh_mcp_server *s, struct sh_str text);
void sh_mcp_down(struct sh_mcp_server *s, const struct sh_err *why); /* it is gone */

#endif
