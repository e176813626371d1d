/* libmicrohttpd on our loop. A request is an exchange from its first line to its completion; while
 * the engine works on it the connection is suspended, so the exchange cannot vanish under it. */
#include "http/door.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECTIONS_MAX 4096
#define BUSY_RETRY_S "2"

/* --- pumping ---------------------------------------------------------------------------------- */

static void on_timer(uv_timer_t *timer);

static void door_run(struct sh_door *door) {
    MHD_UNSIGNED_LONG_LONG timeout_ms = 0;
    MHD_run(door->daemon);
    if (MHD_get_timeout(door->daemon, &timeout_ms) == MHD_YES) {
        uv_timer_start(&door->timer, on_timer, timeout_ms, 0);
    } else {
        uv_timer_stop(&door->timer);
    }
}

static void on_poll(uv_poll_t *poll, int status, int events) {
    (void)status;
    (void)events;
    door_run(poll->data);
}

static void on_timer(uv_timer_t *timer) {
    door_run(timer->data);
}

void sh_door_kick(struct sh_door *door) {
    if (door->is_open) {
        uv_timer_start(&door->timer, on_timer, 0, 0);
    }
}

/* --- responses -------------------------------------------------------------------------------- */

void sh_exchange_headers(const struct sh_exchange *x, struct MHD_Response *response) {
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    MHD_add_response_header(response, "Cache-Control", "no-store");
    MHD_add_response_header(response, "Referrer-Policy", "no-referrer");
    MHD_add_response_header(response, "Content-Security-Policy", "default-src 'self'");
    if (x->origin) {
        MHD_add_response_header(response, "Access-Control-Allow-Origin", x->origin);
        MHD_add_response_header(response, "Access-Control-Expose-Headers",
                                "X-Workflow-ID, X-Session-ID, X-Idempotency-Cached, Link, "
                                "Mcp-Session-Id");
        MHD_add_response_header(response, "Vary", "Origin");
    }
    const char *name;
    json_t *value;
    if (x->r) {
        json_object_foreach(x->r->reply_headers, name, value) {
            MHD_add_response_header(response, name, json_string_value(value));
        }
    }
}

/* takes the response, which may be NULL */
static enum MHD_Result queue_response(struct sh_exchange *x, int status, const char *type,
                                      struct MHD_Response *response) {
    if (!response) {
        return MHD_NO;
    }
    sh_exchange_headers(x, response);
    if (type) {
        MHD_add_response_header(response, "Content-Type", type);
    }
    if (status == 401) {
        MHD_add_response_header(response, "WWW-Authenticate", "Bearer");
    }
    enum MHD_Result result = MHD_queue_response(x->connection, (unsigned)status, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result queue(struct sh_exchange *x, int status, const char *type,
                             struct sh_str body, enum MHD_ResponseMemoryMode mode) {
    return queue_response(
        x, status, type,
        MHD_create_response_from_buffer(body.len, (void *)(uintptr_t)body.p, mode));
}

/* The response takes the file. */
static enum MHD_Result queue_file(struct sh_exchange *x) {
    struct MHD_Response *response =
        MHD_create_response_from_fd64(x->r->reply_bytes, x->r->reply_file);
    if (response) {
        x->r->reply_file = -1;
    }
    return queue_response(x, x->r->status, x->r->content_type, response);
}

enum MHD_Result sh_exchange_error(struct sh_exchange *x, const struct sh_err *err) {
    sh_auto(sh_buf_done) struct sh_buf text = {0};
    sh_buf_init(&text, 64 * SH_KIB);
    json_t *json = sh_error_json(err);
    sh_json_dump(json, &text);
    json_decref(json);
    return queue(x, sh_code_info(err->code)->http_status, "application/json", sh_buf_str(&text),
                 MHD_RESPMEM_MUST_COPY);
}

static enum MHD_Result queue_reply(struct sh_exchange *x) {
    switch (x->r->kind) {
    case SH_REPLY_SSE:
        return sh_sse_open(x);
    case SH_REPLY_WEBSOCKET:
        return sh_websocket_open(x);
    case SH_REPLY_PIPE:
        return sh_pipe_open(x);
    case SH_REPLY_FILE:
        return queue_file(x);
    case SH_REPLY_PLAIN:
        break;
    }
    /* The bytes live as long as the exchange, which outlives the response. */
    return queue(x, x->r->status, x->r->content_type, sh_buf_str(&x->r->reply),
                 MHD_RESPMEM_PERSISTENT);
}

/* --- a request's beginning: everything that is checked before its body is read ------------------
 */

struct walk {
    struct sh_header headers[128];
    size_t n;
    bool too_many;
};

static enum MHD_Result walk_header(void *arg, enum MHD_ValueKind kind, const char *key,
                                   size_t key_len, const char *value, size_t value_len) {
    struct walk *w = arg;
    (void)kind;
    if (w->n == sizeof(w->headers) / sizeof(w->headers[0])) {
        w->too_many = true;
        return MHD_NO;
    }
    w->headers[w->n++] = (struct sh_header){sh_strn(key, key_len), sh_strn(value, value_len)};
    return MHD_YES;
}

static const char *header(const struct sh_exchange *x, const char *name) {
    return MHD_lookup_connection_value(x->connection, MHD_HEADER_KIND, name);
}

static int check_form(struct sh_exchange *x, const char *version, struct sh_err *err) {
    struct walk w = {.n = 0};
    MHD_get_connection_values_n(x->connection, MHD_HEADER_KIND, walk_header, &w);
    if (w.too_many) {
        return sh_fail(err, SH_E_INVAL, "more than 128 header lines");
    }
    return sh_check_headers(w.headers, w.n, strcmp(version, "HTTP/1.0") != 0 || !x->door->trusted,
                            err);
}

static int check_peer(struct sh_exchange *x, struct sh_err *err) {
    if (x->door->trusted) {
        return 0;
    }
    struct sh_str host = sh_str(header(x, "Host")), origin = sh_str(header(x, "Origin"));
    int rc = sh_check_host(&x->door->rules, host, err);
    if (rc == 0) {
        rc = sh_check_origin(&x->door->rules, origin, err);
    }
    if (rc == 0 && origin.len) {
        x->origin = sh_strndup0(origin.p, origin.len);
    }
    return rc;
}

static int check_auth(struct sh_exchange *x, struct sh_err *err) {
    if (x->door->trusted || sh_route_is_public(x->route)) {
        return 0;
    }
    struct sh_credentials given = {
        .authorization = header(x, "Authorization"),
        .api_key = header(x, "X-API-Key"),
        .query_api_key = sh_request_param(x->r, "api_key"),
        .query_token = sh_request_param(x->r, "token"),
    };
    if (sh_route_is_mcp(x->route)) {
        return sh_check_mcp_key(&given, x->door->server->mcp_key, err);
    }
    return sh_check_key(&given, x->door->server->key, sh_route_is_stream(x->route), err);
}

/* What a large body takes is set aside before it comes, where it says so, and as it comes where
 * not: clients that send at once must not take the memory of the tasks. */
static bool reserve(struct sh_exchange *x, size_t bytes) {
    struct sh_server *s = x->door->server;
    if (bytes <= SH_MIB || bytes <= x->reserved) {
        return true;
    }
    if (bytes - x->reserved > SH_HTTP_BODIES_MAX - s->bodies) {
        return false;
    }
    s->bodies += bytes - x->reserved;
    x->reserved = bytes;
    return true;
}

static int no_room(struct sh_exchange *x, struct sh_err *err) {
    sh_reply_header(x->r, "Retry-After", BUSY_RETRY_S);
    return sh_fail(
        err, SH_E_UNAVAILABLE,
        "requests of %llu MiB are being received, and no more are taken at once; send it "
        "again in %s seconds",
        SH_HTTP_BODIES_MAX / SH_MIB, BUSY_RETRY_S);
}

static int check_length(struct sh_exchange *x, struct sh_err *err) {
    const char *text = header(x, "Content-Length");
    if (text && sh_resume_after(text) > x->body_max) {
        return sh_fail(err, SH_E_LIMIT, "the body has %s bytes; at most %llu are taken here", text,
                       (unsigned long long)x->body_max);
    }
    x->no_room =
        text && !sh_route_takes_file(x->route) && !reserve(x, (size_t)sh_resume_after(text));
    /* Who waits for a word before sending a large body (Expect) is answered now; all others are
     * read to their end, so that they get to see the answer, and nothing of it is kept. */
    x->too_large = x->no_room;
    return x->no_room && header(x, "Expect") ? no_room(x, err) : 0;
}

static void copy_headers(struct sh_exchange *x) {
    static const char *const read[] = {
        "idempotency-key", "x-session-id",   "last-event-id",        "content-type",
        "traceparent",     "mcp-session-id", "mcp-protocol-version", NULL};
    for (size_t i = 0; read[i]; i++) {
        const char *value = header(x, read[i]);
        if (value) {
            json_object_set_new(x->r->headers, read[i], sh_json_string(sh_str(value)));
        }
    }
}

static void on_reply(struct sh_request *r);

/* RFC 9110, 15.5.6: a 405 says which methods there are. */
static int find_route(struct sh_exchange *x, const char *path, struct sh_err *err) {
    char methods[SH_ROUTE_METHODS_MAX];
    int rc = sh_route_find(x->r->method, path, &x->route, err);
    if (rc == -SH_E_METHOD) {
        sh_route_methods(path, methods);
        sh_reply_header(x->r, "Allow", methods);
    }
    return rc;
}

static int begin(struct sh_exchange *x, const char *method, const char *version,
                 struct sh_err *err) {
    int rc = check_form(x, version, err);
    if (rc == 0) {
        rc = check_peer(x, err);
    }
    if (rc < 0) {
        return rc;
    }
    char *mark = strchr(x->uri, '?');
    sh_auto(sh_free_p) char *path =
        sh_strndup0(x->uri, mark ? (size_t)(mark - x->uri) : strlen(x->uri));
    x->r = sh_request_new(x->door->server->api, strcmp(method, "HEAD") == 0 ? "GET" : method, path);
    x->r->owner = x;
    x->r->on_reply = on_reply;
    x->r->can_stream = true;
    x->r->trusted = x->door->trusted;
    copy_headers(x);
    rc = mark ? sh_request_query(x->r, sh_str(mark + 1), err) : 0;
    if (rc == 0) {
        rc = find_route(x, path, err);
    }
    if (rc < 0) {
        return rc;
    }
    x->body_max = sh_route_body_max(x->route);
    rc = check_auth(x, err);
    rc = rc < 0 ? rc : check_length(x, err);
    if (rc == 0 && sh_route_takes_file(x->route)) {
        rc = x->r->body_file = sh_spool_open(x->door->server->api->app->dir.path, err);
    } else {
        x->r->body.max = (size_t)x->body_max + 1;
    }
    return rc < 0 ? rc : 0;
}

/* A browser's question whether an allowed page of another origin may ask (Fetch standard, CORS). */
static enum MHD_Result preflight(struct sh_exchange *x, const char *version) {
    struct sh_err err = {0};
    if (check_form(x, version, &err) < 0 || check_peer(x, &err) < 0) {
        return sh_exchange_error(x, &err);
    }
    struct MHD_Response *response =
        MHD_create_response_from_buffer(0, (void *)(uintptr_t)"", MHD_RESPMEM_PERSISTENT);
    sh_exchange_headers(x, response);
    MHD_add_response_header(response, "Access-Control-Allow-Methods", "GET, POST, PATCH, DELETE");
    MHD_add_response_header(
        response, "Access-Control-Allow-Headers",
        "Authorization, Content-Type, Idempotency-Key, Last-Event-ID, X-API-Key, "
        "X-Session-ID, traceparent, Mcp-Session-Id, Mcp-Protocol-Version");
    MHD_add_response_header(response, "Access-Control-Max-Age", "600");
    enum MHD_Result result = MHD_queue_response(x->connection, 204, response);
    MHD_destroy_response(response);
    return result;
}

/* --- exchanges -------------------------------------------------------------------------------- */

static void *on_uri(void *arg, const char *uri, struct MHD_Connection *connection) {
    struct sh_exchange *x = sh_new(struct sh_exchange);
    x->door = arg;
    x->connection = connection;
    x->uri = sh_strdup(uri);
    sh_list_push(&x->door->server->exchanges, &x->link);
    return x;
}

static void exchange_free(struct sh_exchange *x) {
    sh_list_unlink(&x->link);
    x->door->server->bodies -= x->reserved;
    sh_request_free(x->r);
    sh_free(x->uri);
    sh_free(x->origin);
    sh_free(x);
}

static void on_completed(void *arg, struct MHD_Connection *connection, void **con_cls,
                         enum MHD_RequestTerminationCode why) {
    struct sh_exchange *x = *con_cls;
    (void)arg;
    (void)connection;
    (void)why;
    *con_cls = NULL;
    if (!x) {
        return;
    }
    if (x->dispatched && !x->r->replied) {
        x->connection = NULL; /* freed when the engine has answered */
    } else {
        exchange_free(x);
    }
}

static void on_reply(struct sh_request *r) {
    struct sh_exchange *x = r->owner;
    if (!x->connection) {
        exchange_free(x);
    } else if (!x->in_handler) {
        x->suspended = false;
        MHD_resume_connection(x->connection);
        sh_door_kick(x->door);
    }
}

static enum MHD_Result take_body(struct sh_exchange *x, const char *data, size_t *n) {
    bool is_file = x->r->body_file >= 0;
    x->too_large = x->too_large || x->body_bytes + *n > x->body_max;
    x->body_bytes += *n;
    x->no_room |= !x->too_large && !is_file && !reserve(x, x->body_bytes);
    x->too_large |= x->no_room;
    if (x->too_large || x->upload.err.code) {
        /* Chunked bodies show their length only now; some of the rest is read, so that the client
         * gets to see the answer. */
        x->unread_bytes += *n;
        if (x->unread_bytes > (is_file ? SH_HTTP_BODY_MAX : x->body_max) + SH_MIB) {
            return MHD_NO;
        }
    } else if (is_file) {
        sh_upload_add(x, data, *n);
    } else {
        sh_buf_add(&x->r->body, data, *n);
    }
    *n = 0;
    return MHD_YES;
}

static enum MHD_Result dispatch(struct sh_exchange *x) {
    struct sh_err err = {0};
    if (x->too_large) {
        x->r->body.len = 0;
        if (x->no_room) {
            no_room(x, &err);
        } else {
            sh_fail(&err, SH_E_LIMIT, "the body is larger than %llu bytes",
                    (unsigned long long)x->body_max);
        }
        return sh_exchange_error(x, &err);
    }
    if (x->upload.err.code) {
        return sh_exchange_error(x, &x->upload.err);
    }
    x->dispatched = true;
    x->in_handler = true;
    sh_route_run(x->route, x->r);
    x->in_handler = false;
    if (x->r->replied) {
        return queue_reply(x);
    }
    x->suspended = true;
    MHD_suspend_connection(x->connection);
    return MHD_YES;
}

static enum MHD_Result on_request(void *arg, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *data,
                                  size_t *data_len, void **con_cls) {
    struct sh_exchange *x = *con_cls;
    (void)arg;
    (void)connection;
    (void)url;
    if (!x->begun) {
        struct sh_err err = {0};
        x->begun = true;
        if (strcmp(method, "OPTIONS") == 0) {
            return preflight(x, version);
        }
        return begin(x, method, version, &err) < 0 ? sh_exchange_error(x, &err) : MHD_YES;
    }
    if (*data_len) {
        return take_body(x, data, data_len);
    }
    if (!x->dispatched && sh_upload_wait(x)) {
        return MHD_YES;
    }
    return x->dispatched ? queue_reply(x) : dispatch(x);
}

/* --- doors ------------------------------------------------------------------------------------ */

static void on_daemon_log(void *arg, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));
static void on_daemon_log(void *arg, const char *format, va_list args) {
    (void)arg;
    char text[256];
    vsnprintf(text, sizeof(text), format, args);
    text[strcspn(text, "\r\n")] = 0;
    sh_log(SH_LOG_DEBUG, "http", "message=\"%s\"", text);
}

static int door_open(struct sh_server *s, struct sh_door *door, int fd, struct sh_err *err) {
    door->server = s;
    door->daemon = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_ALLOW_UPGRADE | MHD_USE_ERROR_LOG, 0, NULL,
        NULL, on_request, door, MHD_OPTION_EXTERNAL_LOGGER, on_daemon_log, NULL,
        MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MAX,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)8192, MHD_OPTION_CONNECTION_MEMORY_INCREMENT,
        (size_t)1024, MHD_OPTION_CONNECTION_TIMEOUT, 10U, MHD_OPTION_STRICT_FOR_CLIENT, 1,
        MHD_OPTION_URI_LOG_CALLBACK, on_uri, door, MHD_OPTION_NOTIFY_COMPLETED, on_completed, door,
        MHD_OPTION_END);
    if (!door->daemon) {
        close(fd);
        return sh_fail(err, SH_E_IO, "the HTTP server did not start");
    }
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(door->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    struct uv_loop_s *loop = sh_loop_uv(s->api->app->loop);
    SH_ASSERT(uv_poll_init(loop, &door->poll, info->epoll_fd) == 0);
    SH_ASSERT(uv_timer_init(loop, &door->timer) == 0);
    door->poll.data = door->timer.data = door;
    SH_ASSERT(uv_poll_start(&door->poll, UV_READABLE, on_poll) == 0);
    door->is_open = true;
    return 0;
}

static int bind_failed(const char *listen_text, int errnum, struct sh_err *err) {
    if (errnum == EADDRINUSE) {
        return sh_fail(err, SH_E_EXISTS,
                       "%s is in use by another program; choose another with --listen HOST:PORT "
                       "(port 0 takes a free one)",
                       listen_text);
    }
    if (errnum == EACCES) {
        return sh_fail(err, SH_E_IO, "no permission to listen on %s; choose a port above 1023",
                       listen_text);
    }
    return sh_fail(err, SH_E_IO, "cannot listen on %s: %s", listen_text, strerror(errnum));
}

static uint16_t bound_port(int fd) {
    struct sockaddr_storage address;
    socklen_t n = sizeof(address);
    char port[16] = "0";
    if (getsockname(fd, (struct sockaddr *)&address, &n) == 0) {
        getnameinfo((struct sockaddr *)&address, n, NULL, 0, port, sizeof(port), NI_NUMERICSERV);
    }
    return (uint16_t)sh_resume_after(port);
}

static int tcp_listen(struct sh_door *door, const char *text, int *ret_fd, struct sh_err *err) {
    uint16_t port = 0;
    int rc = sh_listen_parse(text, door->host, &port, err);
    if (rc < 0) {
        return rc;
    }
    char service[8];
    snprintf(service, sizeof(service), "%u", port);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *found = NULL;
    int gai = getaddrinfo(door->host, service, &hints, &found);
    if (gai != 0) {
        return sh_fail(err, SH_E_INVAL, "cannot resolve %s: %s", door->host, gai_strerror(gai));
    }
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int one = 1;
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
        bind(fd, found->ai_addr, found->ai_addrlen) < 0 || listen(fd, 1024) < 0) {
        rc = bind_failed(text, errno, err);
        sh_close_p(&fd);
    } else {
        door->rules.host = door->host;
        door->rules.port = bound_port(fd);
        *ret_fd = fd;
    }
    freeaddrinfo(found);
    return rc;
}

static void on_heartbeat(uv_timer_t *timer) {
    struct sh_server *s = timer->data;
    sh_sse_heartbeat(s);
    sh_pipe_heartbeat(s);
    if (++s->beats % 2 == 0) {
        sh_websocket_heartbeat(s);
    }
}

int sh_server_start(const struct sh_server_config *config, struct sh_server **ret,
                    struct sh_err *err) {
    struct sh_server *s = sh_new(struct sh_server);
    const struct sh_app *app = config->api->app;
    s->api = config->api;
    s->key = config->key ? sh_strdup(config->key) : NULL;
    s->mcp_key = config->mcp_key ? sh_strdup(config->mcp_key) : NULL;
    sh_list_init(&s->exchanges);
    sh_list_init(&s->streams);
    sh_list_init(&s->pipes);
    sh_list_init(&s->sockets);
    uv_timer_init(sh_loop_uv(app->loop), &s->heartbeat);
    s->heartbeat.data = s;
    uv_timer_start(&s->heartbeat, on_heartbeat, SH_HEARTBEAT_MS, SH_HEARTBEAT_MS);
    int rc = 0, fd = -1;
    if (config->listen) {
        SH_ASSERT(s->key);
        s->tcp.rules.hosts = app->config.server_hosts;
        s->tcp.rules.origins = app->config.server_origins;
        rc = tcp_listen(&s->tcp, config->listen, &fd, err);
        if (rc == 0) {
            sh_app_listens(config->api->app, fd);
        }
        rc = rc < 0 ? rc : door_open(s, &s->tcp, fd, err);
        s->url = sh_asprintf(strchr(s->tcp.host, ':') ? "http://[%s]:%u" : "http://%s:%u",
                             s->tcp.host, s->tcp.rules.port);
    }
    if (rc == 0 && config->sock) {
        s->sock.trusted = true;
        rc = sh_datadir_listen(&app->dir, &fd, err);
        rc = rc < 0 ? rc : door_open(s, &s->sock, fd, err);
    }
    if (rc < 0) {
        sh_server_free(s);
        return rc;
    }
    *ret = s;
    return 0;
}

const char *sh_server_url(const struct sh_server *s) {
    return s->url;
}

static void door_quiesce(struct sh_door *door) {
    if (door->is_open) {
        MHD_socket fd = MHD_quiesce_daemon(door->daemon);
        if (fd != MHD_INVALID_SOCKET) {
            close(fd);
        }
        sh_door_kick(door);
    }
}

void sh_server_drain(struct sh_server *s) {
    if (s->draining) {
        return;
    }
    s->draining = true;
    if (s->sock.is_open) {
        unlinkat(s->api->app->dir.dir_fd, "sock", 0);
    }
    door_quiesce(&s->tcp);
    door_quiesce(&s->sock);
    sh_api_stop(s->api);
    sh_sse_end_all(s);
    sh_websocket_end_all(s);
}

void sh_server_probe(struct sh_server *s) {
    sh_pipe_heartbeat(s);
}

bool sh_server_idle(const struct sh_server *s) {
    return sh_list_empty(&s->exchanges) && sh_list_empty(&s->streams) && sh_list_empty(&s->pipes) &&
           sh_list_empty(&s->sockets);
}

static void handle_closed(uv_handle_t *handle) {
    struct sh_server *s = handle->data;
    if (--s->closing == 0) {
        sh_loop_stop(s->api->app->loop);
    }
}

static void close_handle(struct sh_server *s, uv_handle_t *handle) {
    s->closing++;
    handle->data = s;
    uv_close(handle, handle_closed);
}

/* Requests that the stopped engine never answered: say so, or the daemon cannot stop. */
static void answer_rest(struct sh_server *s) {
    sh_list_each (node, &s->exchanges) {
        struct sh_exchange *x = sh_container_of(node, struct sh_exchange, link);
        if (x->dispatched && !x->r->replied) {
            struct sh_err err = {0};
            sh_fail(&err, SH_E_UNAVAILABLE, "the server is stopping; try again when it runs");
            sh_reply_error(x->r, &err);
        }
    }
}

static void door_close(struct sh_server *s, struct sh_door *door) {
    if (!door->is_open) {
        return;
    }
    for (int i = 0; i < 3; i++) {
        MHD_run(door->daemon);
    }
    door->is_open = false;
    uv_poll_stop(&door->poll);
    close_handle(s, (uv_handle_t *)&door->poll);
    close_handle(s, (uv_handle_t *)&door->timer);
    MHD_stop_daemon(door->daemon);
}

struct sh_server *sh_server_free(struct sh_server *s) {
    if (!s) {
        return NULL;
    }
    sh_server_drain(s);
    answer_rest(s);
    while (s->uploads || s->api->cutting) {
        uv_run(sh_loop_uv(s->api->app->loop), UV_RUN_ONCE);
    }
    /* Upgraded sockets close by callback, and the daemon waits for each of them without end. */
    while (!sh_list_empty(&s->sockets)) {
        uv_run(sh_loop_uv(s->api->app->loop), UV_RUN_ONCE);
    }
    door_close(s, &s->tcp);
    door_close(s, &s->sock);
    close_handle(s, (uv_handle_t *)&s->heartbeat);
    while (s->closing) {
        sh_loop_run(s->api->app->loop);
    }
    sh_free(s->key);
    sh_free(s->mcp_key);
    sh_free(s->url);
    return sh_free(s);
}
