/* What the files that know libmicrohttpd share. */
#ifndef SH_API_DOOR_H
#define SH_API_DOOR_H

#include "http/checks.h"
#include "http/feed.h"
#include "http/server.h"

#include <microhttpd.h>
#include <uv.h>

/* One listening socket with its daemon. The daemon's epoll descriptor is polled by our loop; work
 * that one of our callbacks makes for the daemon is done in the next turn (sh_door_kick), because
 * MHD_run must never run inside itself. */
struct sh_door {
    struct sh_server *server;
    struct MHD_Daemon *daemon;
    uv_poll_t poll;
    uv_timer_t timer;
    bool is_open, trusted;
    char host[64];
    struct sh_door_rules rules;
};

struct sh_server {
    struct sh_api *api;
    struct sh_door tcp, sock;
    char *key, *mcp_key, *url;
    struct sh_list exchanges, streams, pipes, sockets;
    uv_timer_t heartbeat;
    unsigned uploads;        /* pieces of files that are being written */
    size_t bodies;           /* bytes that large bodies have or will have, all together */
    unsigned beats, closing; /* handles whose close callback is still to come */
    bool draining;
};

/* One HTTP request on a socket. */
struct sh_exchange {
    struct sh_list link;
    struct sh_door *door;
    struct MHD_Connection *connection; /* NULL: the client has gone */
    char *uri;                         /* raw */
    struct sh_request *r;
    const struct sh_route *route;
    char *origin; /* an allowed one of another site, for CORS; or NULL */
    uint64_t body_max, body_bytes, unread_bytes; /* came, and were passed over */
    struct sh_upload {                           /* upload.c: of a body that is a file */
        struct sh_job job;
        bool writing;
        struct sh_err err;
    } upload;
    size_t reserved; /* of server->bodies */
    bool no_room;    /* there are too many of them */
    bool begun, too_large, dispatched, in_handler, suspended;
};

void sh_door_kick(struct sh_door *door);
/* The response's standard headers, with those of the request. */
void sh_exchange_headers(const struct sh_exchange *x, struct MHD_Response *response);
enum MHD_Result sh_exchange_error(struct sh_exchange *x, const struct sh_err *err);

/* upload.c: more of a body that is a file. The connection may be suspended until a piece of it is
 * there. */
void sh_upload_add(struct sh_exchange *x, const char *data, size_t n);
/* False: all of it is in the file, or x->upload.err tells why not. */
bool sh_upload_wait(struct sh_exchange *x);

/* sse.c, pipe_door.c and websocket.c: answer the exchange by opening its stream. */
enum MHD_Result sh_sse_open(struct sh_exchange *x);
void sh_sse_heartbeat(struct sh_server *s);
void sh_sse_end_all(struct sh_server *s);
enum MHD_Result sh_pipe_open(struct sh_exchange *x); /* its writer ends it */
void sh_pipe_heartbeat(struct sh_server *s);
enum MHD_Result sh_websocket_open(struct sh_exchange *x);
void sh_websocket_heartbeat(struct sh_server *s);
void sh_websocket_end_all(struct sh_server *s);

#define SH_STREAM_HIGH_WATER (256 * SH_KIB) /* a client this far behind pauses its feed */
#define SH_HEARTBEAT_MS 10000

#endif
