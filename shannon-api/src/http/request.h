/* One request of the API, whoever brought it: a socket (server.c) or a command of this process that
 * owns the data directory itself (cli/client.c). Handlers see only this. */
#ifndef SH_API_REQUEST_H
#define SH_API_REQUEST_H

#include "base/base.h"

struct sh_api;
struct sh_request;
struct sh_pipe;

enum sh_reply_kind {
    SH_REPLY_PLAIN,
    SH_REPLY_SSE,
    SH_REPLY_WEBSOCKET,
    SH_REPLY_PIPE,
    SH_REPLY_FILE
};

/* What a stream handler asks the door to open. */
struct sh_stream_ask {
    char *workflow; /* id, checked */
    char *types;    /* comma-separated filter, or NULL: all */
    uint64_t after; /* events with seq > after */
};

struct sh_request {
    struct sh_api *api;
    char *method;
    char *path;      /* without the query */
    char *id;        /* the {id} of the route, or NULL */
    char *name;      /* its {name}, decoded, or NULL */
    json_t *query;   /* object of strings, decoded */
    json_t *headers; /* object of strings, names in lower case: those that handlers read */
    struct sh_buf body;
    int body_file;            /* the body of a route that takes it as a file; else -1 */
    struct sh_buf input_text; /* of large.h, or empty */
    struct sh_hash digest;    /* likewise */
    bool trusted;    /* the operator asks: over the data directory's socket, or this process */
    bool can_stream; /* the door can carry SH_REPLY_SSE and SH_REPLY_WEBSOCKET */

    /* the answer */
    bool replied;
    enum sh_reply_kind kind;
    int status;
    const char *content_type;
    json_t *reply_headers; /* object of strings */
    struct sh_buf reply;
    struct sh_stream_ask stream;
    struct sh_pipe *pipe; /* of SH_REPLY_PIPE, until the door takes it */
    int reply_file;       /* of SH_REPLY_FILE, likewise; else -1 */
    uint64_t reply_bytes; /* of it */

    void (*on_reply)(struct sh_request *r); /* once; may free r */
    void *owner;
};

struct sh_request *sh_request_new(struct sh_api *api, const char *method, const char *path);
struct sh_request *sh_request_free(struct sh_request *r);
/* "a=b&c=d" into r->query. fails  SH_E_INVAL: bad escapes, NUL, not UTF-8, a name twice */
int sh_request_query(struct sh_request *r, struct sh_str text, struct sh_err *err);

/* A segment of a path, its escapes decoded. gives  *ret, from sh_alloc
 * fails  SH_E_INVAL: empty, longer than 512 bytes, bad escapes, NUL, not UTF-8 */
int sh_request_segment(struct sh_str text, char **ret, struct sh_err *err);

/* Query parameter or header, NULL when absent. Borrowed. */
const char *sh_request_param(const struct sh_request *r, const char *name);
const char *sh_request_header(const struct sh_request *r, const char *lower_name);
/* A whole number in [min, max]. fails  SH_E_INVAL naming the parameter and its range */
int sh_request_number(const struct sh_request *r, const char *name, uint64_t fallback, uint64_t min,
                      uint64_t max, uint64_t *ret, struct sh_err *err);
/* The body as a JSON object; an empty body is {} when `may_be_empty`. gives a reference */
int sh_request_json(const struct sh_request *r, bool may_be_empty, json_t **ret,
                    struct sh_err *err);

/* Exactly one of these ends a request; nothing of it may be touched afterwards. */
void sh_reply_json(struct sh_request *r, int status, json_t *owned);
void sh_reply_text(struct sh_request *r, int status, const char *content_type, struct sh_str text);
void sh_reply_error(struct sh_request *r, const struct sh_err *err);
void sh_reply_stream(struct sh_request *r, enum sh_reply_kind kind);
/* An event stream that the handler goes on writing (pipe.h). */
void sh_reply_pipe(struct sh_request *r, struct sh_pipe *pipe);
/* The first so many bytes of a file, which is taken. */
void sh_reply_file(struct sh_request *r, int status, const char *content_type, int fd,
                   uint64_t bytes);
/* Before the reply. */
void sh_reply_header(struct sh_request *r, const char *name, const char *value);

/* {"error":{"message","code"}} */
json_t *sh_error_json(const struct sh_err *err);

#endif
