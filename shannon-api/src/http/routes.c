/* The table of routes. `{id}` stands for one path segment in the form of ids, `{name}` for one of
 * any text, with its escapes. */
#include "http/api.h"

struct sh_route {
    const char *method, *path;
    void (*run)(struct sh_request *r);
    bool is_public, is_stream, changes; /* changes: refused while the server stops */
    uint64_t body_max;
    bool takes_file;
};

#define ROUTE(method, path, handler) {#method, path, handler, false, false, false, 0, false}
#define PUBLIC(method, path, handler) {#method, path, handler, true, false, false, 0, false}
#define STREAM(method, path, handler) {#method, path, handler, false, true, false, 0, false}
#define CHANGE(method, path, handler, max) {#method, path, handler, false, false, true, max, false}
#define TAKE(method, path, handler, max) {#method, path, handler, false, false, true, max, true}
#define SMALL_BODY (64 * SH_KIB)
#define SH_MCP_PATH "/mcp"

static const struct sh_route routes[] = {
    PUBLIC(GET, "/health", sh_handle_health),
    PUBLIC(GET, "/readiness", sh_handle_readiness),
    PUBLIC(GET, "/openapi.json", sh_handle_openapi),
    ROUTE(GET, "/metrics", sh_handle_metrics),
    CHANGE(POST, "/api/v1/tasks", sh_handle_submit, SH_HTTP_SUBMIT_BODY_MAX),
    CHANGE(POST, "/api/v1/run", sh_handle_run, SH_HTTP_SUBMIT_BODY_MAX),
    ROUTE(GET, "/api/v1/tasks", sh_handle_task_list),
    CHANGE(POST, "/api/v1/tasks/stream", sh_handle_submit_stream, SH_HTTP_SUBMIT_BODY_MAX),
    TAKE(POST, "/api/v1/tasks/import", sh_handle_import, SH_EXPORT_MAX),
    ROUTE(GET, "/api/v1/tasks/{id}", sh_handle_task_get),
    CHANGE(DELETE, "/api/v1/tasks/{id}", sh_handle_forget, SMALL_BODY),
    ROUTE(GET, "/api/v1/tasks/{id}/output", sh_handle_task_output),
    ROUTE(GET, "/api/v1/tasks/{id}/result", sh_handle_task_result),
    ROUTE(GET, "/api/v1/tasks/{id}/input", sh_handle_task_input),
    ROUTE(GET, "/api/v1/tasks/{id}/progress", sh_handle_task_progress),
    ROUTE(GET, "/api/v1/tasks/{id}/events", sh_handle_events),
    ROUTE(GET, "/api/v1/tasks/{id}/journal", sh_handle_journal),
    ROUTE(GET, "/api/v1/tasks/{id}/timeline", sh_handle_journal),
    STREAM(GET, "/api/v1/tasks/{id}/stream", sh_handle_task_stream),
    STREAM(GET, "/api/v1/tasks/{id}/stream/ws", sh_handle_task_stream_ws),
    ROUTE(GET, "/api/v1/tasks/{id}/control-state", sh_handle_control_state),
    CHANGE(POST, "/api/v1/tasks/{id}/cancel", sh_handle_cancel, SMALL_BODY),
    CHANGE(POST, "/api/v1/tasks/{id}/pause", sh_handle_pause, SMALL_BODY),
    CHANGE(POST, "/api/v1/tasks/{id}/resume", sh_handle_resume, SMALL_BODY),
    CHANGE(POST, "/api/v1/tasks/{id}/verify", sh_handle_verify, SMALL_BODY),
    ROUTE(GET, "/api/v1/tasks/{id}/export", sh_handle_export),
    ROUTE(GET, "/api/v1/tasks/{id}/replay", sh_handle_replay),
    CHANGE(POST, "/api/v1/tasks/{id}/fork", sh_handle_fork, SMALL_BODY),
    CHANGE(POST, "/api/v1/tasks/{id}/compact", sh_handle_compact, SMALL_BODY),
    CHANGE(POST, "/api/v1/tasks/{id}/stdin", sh_handle_stdin, SH_MIB),
    CHANGE(POST, "/api/v1/tasks/{id}/signal", sh_handle_signal, SH_HTTP_BODY_MAX),
    ROUTE(GET, "/api/v1/tasks/{id}/queries", sh_handle_query_list),
    ROUTE(GET, "/api/v1/tasks/{id}/queries/{name}", sh_handle_query),
    CHANGE(POST, "/api/v1/tasks/{id}/updates/{name}", sh_handle_update, SH_HTTP_BODY_MAX),
    ROUTE(GET, "/api/v1/tasks/{id}/updates/{name}", sh_handle_update_get),
    CHANGE(POST, "/api/v1/tasks/{id}/raise", sh_handle_raise, SMALL_BODY),
    ROUTE(GET, "/api/v1/approvals", sh_handle_approval_list),
    CHANGE(POST, "/api/v1/approvals/decision", sh_handle_approval_decision, SMALL_BODY),
    STREAM(GET, "/api/v1/stream/sse", sh_handle_stream_sse),
    STREAM(GET, "/api/v1/stream/ws", sh_handle_stream_ws),
    CHANGE(POST, "/api/v1/schedules", sh_handle_schedule_add, SH_HTTP_BODY_MAX),
    ROUTE(GET, "/api/v1/schedules", sh_handle_schedule_list),
    ROUTE(GET, "/api/v1/schedules/{id}", sh_handle_schedule_get),
    CHANGE(PUT, "/api/v1/schedules/{id}", sh_handle_schedule_change, SH_HTTP_BODY_MAX),
    CHANGE(DELETE, "/api/v1/schedules/{id}", sh_handle_schedule_remove, SMALL_BODY),
    CHANGE(POST, "/api/v1/schedules/{id}/pause", sh_handle_schedule_pause, SMALL_BODY),
    CHANGE(POST, "/api/v1/schedules/{id}/resume", sh_handle_schedule_resume, SMALL_BODY),
    CHANGE(POST, "/api/v1/schedules/{id}/run", sh_handle_schedule_run, SMALL_BODY),
    ROUTE(GET, "/api/v1/schedules/{id}/runs", sh_handle_schedule_runs),
    ROUTE(GET, "/api/v1/sessions", sh_handle_session_list),
    ROUTE(GET, "/api/v1/sessions/{id}", sh_handle_session_get),
    CHANGE(PATCH, "/api/v1/sessions/{id}", sh_handle_session_title, SMALL_BODY),
    CHANGE(DELETE, "/api/v1/sessions/{id}", sh_handle_session_forget, SMALL_BODY),
    ROUTE(GET, "/api/v1/sessions/{id}/history", sh_handle_session_history),
    ROUTE(GET, "/api/v1/sessions/{id}/kv", sh_handle_kv_list),
    ROUTE(GET, "/api/v1/sessions/{id}/kv/{name}", sh_handle_kv_get),
    CHANGE(POST, "/api/v1/modules", sh_handle_module_add, SH_HTTP_MODULE_BODY_MAX),
    ROUTE(GET, "/api/v1/modules", sh_handle_module_list),
    CHANGE(DELETE, "/api/v1/modules/{id}", sh_handle_module_remove, SMALL_BODY),
    ROUTE(GET, "/api/v1/tools", sh_handle_tools),
    ROUTE(GET, "/api/v1/tools/{name}", sh_handle_tool),
    CHANGE(POST, SH_MCP_PATH, sh_handle_mcp_post, SH_MCP_MESSAGE_MAX),
    ROUTE(GET, SH_MCP_PATH, sh_handle_mcp_get),
    ROUTE(DELETE, SH_MCP_PATH, sh_handle_mcp_delete),
};
#define N_ROUTES (sizeof(routes) / sizeof(routes[0]))

/* Does the path fit the pattern? *ret_id and *ret_name are the views of its {id} and {name}. */
static bool fits(const char *pattern, const char *path, struct sh_str *ret_id,
                 struct sh_str *ret_name) {
    while (*pattern) {
        bool id = strncmp(pattern, "{id}", 4) == 0;
        if (id || strncmp(pattern, "{name}", 6) == 0) {
            size_t n = strcspn(path, "/");
            if (n == 0) {
                return false;
            }
            *(id ? ret_id : ret_name) = sh_strn(path, n);
            pattern += id ? 4 : 6;
            path += n;
        } else if (*pattern++ != *path++) {
            return false;
        }
    }
    return *path == 0;
}

void sh_route_methods(const char *path, char ret[SH_ROUTE_METHODS_MAX]) {
    struct sh_str id, name;
    size_t n = 0;
    ret[0] = 0;
    for (size_t i = 0; i < N_ROUTES; i++) {
        if (fits(routes[i].path, path, &id, &name)) {
            const char *head = strcmp(routes[i].method, "GET") == 0 ? ", HEAD" : "";
            n += (size_t)snprintf(ret + n, SH_ROUTE_METHODS_MAX - n, "%s%s%s", n ? ", " : "",
                                  routes[i].method, head);
            SH_ASSERT(n < SH_ROUTE_METHODS_MAX); /* a path has a few methods, each once */
        }
    }
}

int sh_route_find(const char *method, const char *path, const struct sh_route **ret,
                  struct sh_err *err) {
    struct sh_str id, name;
    char methods[SH_ROUTE_METHODS_MAX];
    for (size_t i = 0; i < N_ROUTES; i++) {
        if (strcmp(routes[i].method, method) == 0 && fits(routes[i].path, path, &id, &name)) {
            *ret = &routes[i];
            return 0;
        }
    }
    sh_route_methods(path, methods);
    if (methods[0]) {
        return sh_fail(err, SH_E_METHOD, "%.16s is not possible on %.120s; it takes %s", method,
                       path, methods);
    }
    return sh_fail(err, SH_E_NOT_FOUND,
                   "there is no %.16s %.120s; GET /openapi.json says what there is", method, path);
}

bool sh_route_is_public(const struct sh_route *route) {
    return route->is_public;
}

bool sh_route_is_stream(const struct sh_route *route) {
    return route->is_stream;
}

bool sh_route_is_mcp(const struct sh_route *route) {
    return strcmp(route->path, SH_MCP_PATH) == 0;
}

const struct sh_route *sh_route_at(size_t i) {
    return i < N_ROUTES ? &routes[i] : NULL;
}

const char *sh_route_method(const struct sh_route *route) {
    return route->method;
}

const char *sh_route_path(const struct sh_route *route) {
    return route->path;
}

bool sh_route_takes_file(const struct sh_route *route) {
    return route->takes_file;
}

uint64_t sh_route_body_max(const struct sh_route *route) {
    return route->body_max;
}

void sh_route_run(const struct sh_route *route, struct sh_request *r) {
    struct sh_str id = {0}, name = {0};
    struct sh_err err = {0};
    SH_ASSERT(fits(route->path, r->path, &id, &name));
    r->api->requests++;
    if (r->api->stopping && (route->changes || route->is_stream)) {
        sh_fail(&err, SH_E_UNAVAILABLE, "the server is stopping; try again when it runs");
        sh_reply_error(r, &err);
        return;
    }
    if (id.p) {
        struct sh_id checked;
        if (sh_id_parse(id, &checked) < 0) {
            sh_fail(&err, SH_E_INVAL, "an id has 1 to %d characters of A-Z a-z 0-9 : _ - .",
                    SH_ID_MAX);
            sh_reply_error(r, &err);
            return;
        }
        r->id = sh_strdup(checked.s);
    }
    if (name.p && sh_request_segment(name, &r->name, &err) < 0) {
        sh_reply_error(r, &err);
        return;
    }
    if (route->is_stream && !r->can_stream) {
        sh_fail(&err, SH_E_UNSUPPORTED, "streams need a connection of their own");
        sh_reply_error(r, &err);
        return;
    }
    route->run(r);
}
