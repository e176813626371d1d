/* The API: routes and handlers over one engine. Knows requests, not sockets. */
#ifndef SH_API_API_H
#define SH_API_API_H

#include "http/request.h"
#include "workflow/engine.h"

struct sh_api {
    struct sh_app *app;
    struct sh_mcp_server *mcp;  /* or NULL: /mcp is not served */
    bool stopping;              /* answers 503 to what would start something */
    struct sh_list waiters;     /* requests that wait for an event (journal.c) */
    struct sh_list guests;      /* processes that joined with `shannon run` (run.c) */
    size_t cutting;             /* requests that a pool thread has (large.c) */
    uint64_t requests, streams; /* for metrics */
};
void sh_api_init(struct sh_api *api, struct sh_app *app);
/* Requests that only wait are answered with what there is. */
void sh_api_stop(struct sh_api *api);

/* Who joined is told that this process leaves. */
void sh_guests_end(struct sh_api *api);

/* Facts of a route that matter before the body is read. */
struct sh_route;
/* fails  SH_E_NOT_FOUND, SH_E_METHOD (the path takes other methods, in the message) */
int sh_route_find(const char *method, const char *path, const struct sh_route **ret,
                  struct sh_err *err);
/* The methods that a path takes, as a header Allow lists them; "" when there is no such path. */
#define SH_ROUTE_METHODS_MAX 48
void sh_route_methods(const char *path, char ret[SH_ROUTE_METHODS_MAX]);
bool sh_route_is_public(const struct sh_route *route);  /* needs no key */
bool sh_route_is_stream(const struct sh_route *route);  /* may take the key from the query */
bool sh_route_is_mcp(const struct sh_route *route);     /* takes the key of /mcp, no other */
bool sh_route_takes_file(const struct sh_route *route); /* the body is a file: r->body_file */
uint64_t sh_route_body_max(const struct sh_route *route);
/* For what describes them: the i-th route, NULL after the last. */
const struct sh_route *sh_route_at(size_t i);
const char *sh_route_method(const struct sh_route *route);
const char *sh_route_path(const struct sh_route *route); /* with its {id} */
/* Carry it out: r replies once, now or later. */
void sh_route_run(const struct sh_route *route, struct sh_request *r);

#define SH_EXPORT_TYPE "application/x-tar"

/* Handlers. r->id is the {id} of the path, checked against the form of ids; r->name its {name}. */
void sh_handle_health(struct sh_request *r);
void sh_handle_readiness(struct sh_request *r);
void sh_handle_metrics(struct sh_request *r);
void sh_handle_openapi(struct sh_request *r);
void sh_handle_tools(struct sh_request *r);
void sh_handle_tool(struct sh_request *r);
void sh_handle_submit(struct sh_request *r);
void sh_handle_submit_stream(struct sh_request *r);
void sh_handle_run(struct sh_request *r);
void sh_handle_task_list(struct sh_request *r);
void sh_handle_task_get(struct sh_request *r);
void sh_handle_task_output(struct sh_request *r);
void sh_handle_task_result(struct sh_request *r); /* payload.c */
void sh_handle_task_input(struct sh_request *r);
void sh_handle_task_progress(struct sh_request *r);
void sh_handle_control_state(struct sh_request *r);
void sh_handle_cancel(struct sh_request *r);
void sh_handle_pause(struct sh_request *r);
void sh_handle_resume(struct sh_request *r);
void sh_handle_verify(struct sh_request *r);
void sh_handle_forget(struct sh_request *r);
void sh_handle_compact(struct sh_request *r);
void sh_handle_replay(struct sh_request *r);
void sh_handle_fork(struct sh_request *r);
void sh_handle_export(struct sh_request *r);
void sh_handle_import(struct sh_request *r);
void sh_handle_stdin(struct sh_request *r);
void sh_handle_raise(struct sh_request *r);
void sh_handle_signal(struct sh_request *r);
void sh_handle_approval_list(struct sh_request *r);
void sh_handle_approval_decision(struct sh_request *r);
void sh_handle_query(struct sh_request *r);
void sh_handle_query_list(struct sh_request *r);
void sh_handle_update(struct sh_request *r);
void sh_handle_update_get(struct sh_request *r);
void sh_handle_kv_list(struct sh_request *r);
void sh_handle_kv_get(struct sh_request *r);
void sh_handle_events(struct sh_request *r);
void sh_handle_journal(struct sh_request *r);
void sh_handle_stream_sse(struct sh_request *r);
void sh_handle_task_stream(struct sh_request *r);
void sh_handle_stream_ws(struct sh_request *r);
void sh_handle_task_stream_ws(struct sh_request *r);
void sh_handle_schedule_add(struct sh_request *r);
void sh_handle_schedule_list(struct sh_request *r);
void sh_handle_schedule_get(struct sh_request *r);
void sh_handle_schedule_change(struct sh_request *r);
void sh_handle_schedule_remove(struct sh_request *r);
void sh_handle_schedule_pause(struct sh_request *r);
void sh_handle_schedule_resume(struct sh_request *r);
void sh_handle_schedule_run(struct sh_request *r);
void sh_handle_schedule_runs(struct sh_request *r);
void sh_handle_session_list(struct sh_request *r);
void sh_handle_session_get(struct sh_request *r);
void sh_handle_session_title(struct sh_request *r);
void sh_handle_session_forget(struct sh_request *r);
void sh_handle_session_history(struct sh_request *r);
void sh_handle_module_add(struct sh_request *r);
void sh_handle_module_list(struct sh_request *r);
void sh_handle_module_remove(struct sh_request *r);
void sh_handle_mcp_post(struct sh_request *r); /* mcp/door.c */
void sh_handle_mcp_get(struct sh_request *r);
void sh_handle_mcp_delete(struct sh_request *r);

#endif
