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

struct call {
    struct sh_wait wait;
    int status;
    struct sh_buf body;
};

static void http_done(void *arg, int status, struct sh_str body, uint64_t retry_after_ms,
                      const struct sh_err *err) {
    struct call *call = arg;
    (void)retry_after_ms;
    call->status = status;
    sh_buf_add(&call->body, body.p, body.len);
    sh_wait_json(&call->wait, NULL, err);
}

static int call_remote(struct sh_client *c, const char *method, const char *path,
                       const char *content_type, struct sh_str body, struct call *call,
                       struct sh_err *err) {
    sh_auto(sh_free_p) char *url = sh_asprintf("http://localhost%s", path);
    sh_auto(sh_free_p) char *type =
        sh_asprintf("Content-Type: %s", content_type ? content_type : "application/json");
    const char *const headers[] = {type, NULL};
    struct sh_http_request request = {
        .method = method,
        .url = url,
        .headers = headers,
        .body = body,
        .max_response_bytes = call->body.max - 1,
        .timeout_ms = CALL_TIMEOUT_MS,
        .connect_timeout_ms = 5000,
        .unix_socket = c->app.dir.sock,
        .done = http_done,
        .arg = call,
    };
    struct sh_http *http = NULL;
    struct sh_err inner = {0};
    int rc = sh_http_start(c->app.loop, &request, &http, err);
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

static void here_done(struct sh_request *r) {
    struct call *call = r->owner;
    call->status = r->status;
    sh_buf_add(&call->body, r->reply.p, r->reply.len);
    sh_wait_json(&call->wait, NULL, NULL);
}

static int call_here(struct sh_client *c, const char *method, const char *path,
                     const char *content_type, struct sh_str body, struct call *call,
                     struct sh_err *err) {
    const char *mark = strchr(path, '?');
    sh_auto(sh_free_p) char *bare = sh_strndup0(path, mark ? (size_t)(mark - path) : strlen(path));
    struct sh_request *r = sh_request_new(&c->api, method, bare);
    const struct sh_route *route = NULL;
    r->owner = call;
    r->trusted = true;
    r->on_reply = here_done;
    json_object_set_new(r->headers, "content-type",
                        json_string(content_type ? content_type : "application/json"));
    int rc = mark ? sh_request_query(r, sh_str(mark + 1), err) : 0;
    rc = rc < 0 ? rc : sh_route_find(method, bare, &route, err);
    if (rc == 0 && body.len > sh_route_body_max(route)) {
        rc = sh_fail(err, SH_E_LIMIT, "%zu bytes are too many; at most %zu are taken", body.len,
                     sh_route_body_max(route));
    }
    if (rc == 0) {
        r->body.max = body.len + 1;
        sh_buf_add(&r->body, body.p, body.len);
        sh_route_run(route, r);
        rc = sh_wait_run(&call->wait, err);
    }
    sh_request_free(r);
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
    struct call call = {.wait.app = &c->app};
    sh_buf_init(&call.body, ret->max);
    int rc = c->remote ? call_remote(c, method, path, content_type, body, &call, err)
                       : call_here(c, method, path, content_type, body, &call, err);
    if (rc == 0 && call.status >= 400) {
        sh_auto(sh_json_done) json_t *value = NULL;
        rc = sh_json_parse(sh_buf_str(&call.body), SH_JSON_TEXT_MAX, &value, err);
        rc = rc < 0 ? rc : sh_client_error(call.status, value, err);
    } else if (rc == 0) {
        sh_buf_done(ret);
        *ret = call.body;
        call.body = (struct sh_buf){0};
    }
    sh_buf_done(&call.body);
    return rc;
}

int sh_client_call(struct sh_client *c, const char *method, const char *path,
                   const char *content_type, struct sh_str body, json_t **ret, struct sh_err *err) {
    sh_auto(sh_buf_done) struct sh_buf text;
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
