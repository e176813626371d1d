/* A command meets one of two cases: another process owns the data directory, then it is asked over
 * `sock`; or nobody does, then this process owns it for a moment and asks the same routes directly.
 */
#include "cli/cli.h"

#define CALL_TIMEOUT_MS 600000 /* a module may take minutes to compile */
#define OWNER_WAIT_MS 5000     /* for one that starts or leaves */

static int open_here(struct sh_client *c, const struct sh_common *common, struct sh_err *err) {
    int rc = sh_app_config(&c->app.config, common->config, c->app.dir.path, err);
    /* Progress of a command is what it prints; only what went wrong is worth a log line. */
    if (rc == 0) {
        sh_free(c->app.config.server_log);
        c->app.config.server_log = sh_strdup("warn");
        rc = sh_app_open(&c->app,
                         &(struct sh_app_options){.attended = common->active,
                                                  .passive = !common->active,
                                                  .store_only = common->store_only,
                                                  .executors = 1},
                         err);
    }
    sh_api_init(&c->api, &c->app);
    return rc;
}

int sh_client_open(struct sh_client *c, const struct sh_common *common, bool create,
                   struct sh_err *err) {
    *c = (struct sh_client){.app.dir = SH_DATADIR_CLOSED};
    sh_auto(sh_free_p) char *path = sh_datadir_default(common->data_dir, err);
    int rc = path ? sh_datadir_open(path, create, &c->app.dir, err) : -SH_E_INVAL;
    if (rc == 0) {
        struct sh_err busy = {0};
        rc = sh_datadir_lock_or_join(&c->app.dir, OWNER_WAIT_MS, &busy);
        if (rc == 0) {
            rc = open_here(c, common, err);
        } else if (rc == 1 || rc == -SH_E_BUSY) {
            c->remote = true;
            c->owner = sh_datadir_owner(&c->app.dir);
            rc = sh_loop_new(&c->app.loop, err);
        } else if (err) {
            *err = busy;
        }
    }
    if (rc < 0) {
        sh_client_close(c);
    }
    return rc;
}

void sh_client_close(struct sh_client *c) {
    sh_app_close(&c->app);
}

/* What a request sends: bytes, or the beginning of a file. */
struct payload {
    const char *type; /* NULL: application/json */
    struct sh_str bytes;
    int file; /* where file_bytes is not 0 */
    uint64_t file_bytes;
};

struct call {
    struct sh_wait wait;
    int status;
    struct sh_http *http; /* under way, of one that goes over the socket */
    struct sh_buf body;   /* of the answer, unless it is a file */
    int to;               /* where a file goes; -1: none is expected */
    uint64_t file_bytes;  /* that went there */
    struct sh_err err;    /* it did not */
};

static void keep(struct call *call, struct sh_str bytes) {
    int r = call->err.code ? 0 : sh_write_all(call->to, bytes.p, bytes.len);
    if (r < 0) {
        sh_fail_errno(&call->err, SH_E_IO, -r, "cannot write what was asked for");
    }
    call->file_bytes += bytes.len;
}

static void http_data(void *arg, struct sh_str bytes) {
    struct call *call = arg;
    if (sh_http_status(call->http) < 400) {
        keep(call, bytes);
    } else { /* an error's text */
        sh_buf_add(&call->body, bytes.p, bytes.len);
    }
}

static void http_done(void *arg, int status, struct sh_str body, uint64_t retry_after_ms,
                      const struct sh_err *err) {
    struct call *call = arg;
    (void)retry_after_ms;
    call->status = status;
    sh_buf_add(&call->body, body.p, body.len);
    sh_wait_json(&call->wait, NULL, err);
}

static int call_remote(struct sh_client *c, const char *method, const char *path,
                       const struct payload *payload, struct call *call, struct sh_err *err) {
    sh_auto(sh_free_p) char *url = sh_asprintf("http://localhost%s", path);
    sh_auto(sh_free_p) char *type =
        sh_asprintf("Content-Type: %s", payload->type ? payload->type : "application/json");
    const char *const headers[] = {type, NULL};
    struct sh_http_request request = {
        .method = method,
        .url = url,
        .headers = headers,
        .body = payload->bytes,
        .body_file = payload->file,
        .body_file_bytes = payload->file_bytes,
        .max_response_bytes = call->to < 0 ? call->body.max - 1 : SH_EXPORT_MAX,
        .timeout_ms = CALL_TIMEOUT_MS,
        .connect_timeout_ms = 5000,
        .unix_socket = c->app.dir.sock,
        .on_data = call->to < 0 ? NULL : http_data,
        .done = http_done,
        .arg = call,
    };
    struct sh_err inner = {0};
    int rc = sh_http_start(c->app.loop, &request, &call->http, err);
    rc = rc < 0 ? rc : sh_wait_run(&call->wait, &inner);
    if (inner.code) {
        return sh_fail(
            err, inner.code,
            "the data directory is in use by process %ld, which does not answer on %s/sock "
            "(%.200s); wait for it to start or to end",
            c->owner, c->app.dir.path, inner.message);
    }
    return rc;
}

/* The file of a reply, piece by piece: to where files go, else into the body. */
static void copy_file(struct call *call, const struct sh_request *r) {
    char piece[64 * SH_KIB];
    while (call->file_bytes < r->reply_bytes && !call->err.code) {
        uint64_t left = r->reply_bytes - call->file_bytes;
        size_t n = left < sizeof(piece) ? (size_t)left : sizeof(piece);
        if (sh_spool_read(r->reply_file, call->file_bytes, piece, n, &call->err) < 0) {
            return;
        }
        if (call->to >= 0) {
            keep(call, sh_strn(piece, n));
        } else {
            sh_buf_add(&call->body, piece, n);
            call->file_bytes += n;
        }
    }
}

static void here_done(struct sh_request *r) {
    struct call *call = r->owner;
    call->status = r->status;
    if (r->kind == SH_REPLY_FILE) {
        copy_file(call, r);
    } else {
        sh_buf_add(&call->body, r->reply.p, r->reply.len);
    }
    sh_wait_json(&call->wait, NULL, NULL);
}

/* A route's body: what it takes as a file is given as one, and as no other's. */
static int give_body(struct sh_client *c, struct sh_request *r, const struct sh_route *route,
                     const struct payload *payload, struct sh_err *err) {
    uint64_t n = payload->file_bytes ? payload->file_bytes : payload->bytes.len;
    if (n > sh_route_body_max(route)) {
        return sh_fail(err, SH_E_LIMIT, "%llu bytes are too many; at most %llu are taken",
                       (unsigned long long)n, (unsigned long long)sh_route_body_max(route));
    }
    if (sh_route_takes_file(route)) {
        int fd = r->body_file = sh_spool_open(c->app.dir.path, err);
        return fd < 0 ? fd : sh_spool_copy(payload->file, 0, n, fd, NULL, err);
    }
    r->body.max = (size_t)n + 1;
    sh_buf_add(&r->body, payload->bytes.p, (size_t)n);
    return 0;
}

static int call_here(struct sh_client *c, const char *method, const char *path,
                     const struct payload *payload, struct call *call, struct sh_err *err) {
    const char *mark = strchr(path, '?');
    sh_auto(sh_free_p) char *bare = sh_strndup0(path, mark ? (size_t)(mark - path) : strlen(path));
    struct sh_request *r = sh_request_new(&c->api, method, bare);
    const struct sh_route *route = NULL;
    r->owner = call;
    r->trusted = true;
    r->on_reply = here_done;
    json_object_set_new(r->headers, "content-type",
                        json_string(payload->type ? payload->type : "application/json"));
    int rc = mark ? sh_request_query(r, sh_str(mark + 1), err) : 0;
    rc = rc < 0 ? rc : sh_route_find(method, bare, &route, err);
    rc = rc < 0 ? rc : give_body(c, r, route, payload, err);
    if (rc == 0) {
        sh_route_run(route, r);
        rc = sh_wait_run(&call->wait, err);
    }
    sh_request_free(r);
    return rc;
}

/* gives  the body of a success in call->body, or what was a file in call->to */
static int call_either(struct sh_client *c, const char *method, const char *path,
                       const struct payload *payload, struct call *call, struct sh_err *err) {
    call->wait.app = &c->app;
    int rc = c->remote ? call_remote(c, method, path, payload, call, err)
                       : call_here(c, method, path, payload, call, err);
    if (rc == 0 && call->status >= 400) {
        sh_auto(sh_json_done) json_t *value = NULL;
        rc = sh_json_parse(sh_buf_str(&call->body), SH_JSON_TEXT_MAX, &value, err);
        rc = rc < 0 ? rc : sh_client_error(call->status, value, err);
    } else if (rc == 0 && call->err.code) {
        *err = call->err;
        rc = -err->code;
    }
    return rc;
}

/* The API's own error, back to what it was before it became JSON. */
int sh_client_error(int status, const json_t *body, struct sh_err *err) {
    json_t *error = json_object_get(body, "error");
    struct sh_str code = sh_json_get_str(error, "code"), text = sh_json_get_str(error, "message");
    int known = sh_code_from_name(json_string_value(json_object_get(error, "code"))
                                      ? json_string_value(json_object_get(error, "code"))
                                      : "");
    if (!code.len) {
        return sh_fail(err, SH_E_INTERNAL, "the server answered with status %d", status);
    }
    return sh_fail(err, known, "%.*s", (int)text.len, text.p);
}

int sh_client_fetch(struct sh_client *c, const char *method, const char *path,
                    const char *content_type, struct sh_str body, struct sh_buf *ret,
                    struct sh_err *err) {
    struct call call = {.to = -1};
    sh_buf_init(&call.body, ret->max);
    int rc = call_either(c, method, path, &(struct payload){.type = content_type, .bytes = body},
                         &call, err);
    if (rc == 0) {
        sh_buf_done(ret);
        *ret = call.body;
        call.body = (struct sh_buf){0};
    }
    sh_buf_done(&call.body);
    return rc;
}

int sh_client_download(struct sh_client *c, const char *path, int to, uint64_t *ret_bytes,
                       struct sh_err *err) {
    struct call call = {.to = to};
    sh_buf_init(&call.body, SH_MIB);
    int rc = call_either(c, "GET", path, &(struct payload){0}, &call, err);
    sh_buf_done(&call.body);
    if (rc == 0) {
        *ret_bytes = call.file_bytes;
    }
    return rc;
}

int sh_client_upload(struct sh_client *c, const char *path, const char *content_type, int file,
                     uint64_t bytes, json_t **ret, struct sh_err *err) {
    struct call call = {.to = -1};
    struct payload payload = {.type = content_type, .file = file, .file_bytes = bytes};
    sh_buf_init(&call.body, SH_JSON_TEXT_MAX + 1);
    int rc = call_either(c, "POST", path, &payload, &call, err);
    rc = rc < 0 ? rc : sh_json_parse(sh_buf_str(&call.body), SH_JSON_TEXT_MAX, ret, err);
    sh_buf_done(&call.body);
    return rc;
}

int sh_client_call(struct sh_client *c, const char *method, const char *path,
                   const char *content_type, struct sh_str body, json_t **ret, struct sh_err *err) {
    sh_auto(sh_buf_done) struct sh_buf text = {0};
    json_t *value = NULL;
    sh_buf_init(&text, SH_JSON_TEXT_MAX + 1);
    int rc = sh_client_fetch(c, method, path, content_type, body, &text, err);
    if (rc == 0) {
        rc = sh_json_parse(sh_buf_str(&text), SH_JSON_TEXT_MAX, &value, err);
    }
    if (rc == 0 && ret) {
        *ret = value;
    } else {
        json_decref(value);
    }
    return rc;
}
