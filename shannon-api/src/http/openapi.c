/* One row an operation, in the order of the routes; a test holds the two tables against each other,
 * and another validates what clients get. */
#include "http/openapi.h"

#include "http/api.h"
#include "version.h"

#include <ctype.h>
#include <stdio.h>

#define T "/api/v1/tasks"
#define S "/api/v1/schedules"
#define N_OF(array) (sizeof(array) / sizeof((array)[0]))
#define PAGE "limit=i1..100 offset=i0.."
#define STREAM_QUERY "types=s last_event_id=s"

/* The last argument is what it does. */
#define OP(method, path, id, tag, query, body, status, answer, errors, summary)                    \
    {#method, path, #id, #tag, summary, query, body, answer, status, errors}
/* Statuses besides those of the key. */
#define E(...) {__VA_ARGS__}

static const struct op {
    const char *method, *path, *id, *tag, *summary;
    const char *query;  /* parameters, as fields (openapi.h) */
    const char *body;   /* a schema, "module" for either form of an upload, "archive", or NULL */
    const char *answer; /* a schema; or a media type; "" for none */
    int status;
    int errors[4]; /* besides those of the key; 0 ends them */
} ops[] = {
    OP(GET, "/health", health, service, NULL, NULL, 200, "Health", E(0), "Is the process alive?"),
    OP(GET, "/readiness", readiness, service, NULL, NULL, 200, "Health", E(503),
       "Does it take work?"),
    OP(GET, "/openapi.json", openapi, service, NULL, NULL, 200, "application/json", E(0),
       "This document."),
    OP(GET, "/metrics", metrics, service, NULL, NULL, 200, "text/plain", E(0),
       "Counters in Prometheus text format."),
    OP(POST, T, submitTask, tasks, NULL, "Submit", 200, "Submitted", E(400, 404, 409, 413),
       "Submit a task. The same Idempotency-Key and body give the first answer again."),
    OP(POST, "/api/v1/run", joinOwner, tasks, NULL, "OperatorRun", 200, "text/event-stream",
       E(400, 403, 404, 413),
       "What `shannon run` asks of the process that owns the data directory, over its socket "
       "alone: the operator's flags are policy for this task. The stream has one event."),
    OP(GET, T, listTasks, tasks, PAGE " status=s session_id=s128 parent_id=s128 root_id=s128", NULL,
       200, "TaskList", E(400),
       "Tasks, newest first; parent_id: the children of one, root_id: all below it."),
    OP(POST, T "/stream", submitAndStream, tasks, NULL, "Submit", 201, "Submitted",
       E(400, 404, 409, 413), "Submit a task; where its stream is."),
    OP(POST, T "/import", importTask, tasks, NULL, "archive", 200, "Task", E(400, 409, 413),
       "Take a task from a file that export gave. It is only read here."),
    OP(GET, T "/{id}", getTask, tasks, NULL, NULL, 200, "Task", E(400, 404),
       "A task as it is now."),
    OP(DELETE, T "/{id}", forgetTask, tasks, NULL, NULL, 200, "Forgotten", E(400, 404, 409),
       "Delete a task that has ended, with its journal; 409 while it has not."),
    OP(POST, T "/{id}/compact", compactTask, tasks, NULL, NULL, 200, "Compacted", E(400, 404, 409),
       "One event in the place of all those before the task's last checkpoint; 409 where there is "
       "none."),
    OP(GET, T "/{id}/output", getOutput, tasks, NULL, NULL, 200, "Output", E(400, 404),
       "Its answer."),
    OP(GET, T "/{id}/result", getResult, tasks, NULL, NULL, 200, "application/json",
       E(400, 404, 409),
       "Its result, whole: JSON of up to 64 MiB, of which getTask has no more "
       "than `output_kept`."),
    OP(GET, T "/{id}/input", getInput, tasks, NULL, NULL, 200, "application/json", E(400, 404),
       "Its input, whole."),
    OP(GET, T "/{id}/progress", getProgress, tasks, NULL, NULL, 200, "Progress", E(400, 404),
       "Has it ended?"),
    OP(GET, T "/{id}/events", listEvents, tasks, "limit=i1..200 offset=i0..", NULL, 200,
       "EventList", E(400, 404), "Its durable events."),
    OP(GET, T "/{id}/journal", getJournal, tasks, "after=i0.. limit=i1..512 wait=i0..30", NULL, 200,
       "Journal", E(400, 404, 410),
       "Its journal with the chain of hashes; wait: seconds to wait for something new."),
    OP(GET, T "/{id}/timeline", getTimeline, tasks, "after=i0.. limit=i1..512 wait=i0..30", NULL,
       200, "Journal", E(400, 404), "The journal, under the clients' name."),
    OP(GET, T "/{id}/stream", streamTask, streams, STREAM_QUERY, NULL, 200, "text/event-stream",
       E(400, 404), "Server-sent events: a durable event's id is its number in the journal."),
    OP(GET, T "/{id}/stream/ws", streamTaskWebSocket, streams, STREAM_QUERY, NULL, 101, "",
       E(400, 404), "The same over WebSocket, one event a message."),
    OP(GET, T "/{id}/control-state", getControlState, tasks, NULL, NULL, 200, "ControlState",
       E(400, 404), "Paused or cancelled?"),
    OP(POST, T "/{id}/cancel", cancelTask, tasks, NULL, "Reason", 202, "Controlled",
       E(400, 404, 409), "Cancel; 409 when it has ended."),
    OP(POST, T "/{id}/pause", pauseTask, tasks, NULL, "Reason", 202, "Controlled", E(400, 404, 409),
       "Pause."),
    OP(POST, T "/{id}/resume", resumeTask, tasks, NULL, "Reason", 202, "Controlled",
       E(400, 404, 409), "Go on."),
    OP(POST, T "/{id}/verify", verifyTask, tasks, NULL, NULL, 200, "Verified", E(400, 404),
       "Replay it from the journal alone and compare."),
    OP(GET, T "/{id}/export", exportTask, tasks, "interpreter=i0..1", NULL, 200,
       "application/x-tar", E(400, 404, 413),
       "The task as a file that another machine verifies and replays offline."),
    OP(GET, T "/{id}/replay", replayTask, tasks, "to=i0..", NULL, 200, "Replayed", E(400, 404, 500),
       "What it had asked and said as of event `to`, from its journal alone."),
    OP(POST, T "/{id}/fork", forkTask, tasks, NULL, "Fork", 200, "Task", E(400, 403, 404),
       "Go on after an event, as a new task."),
    OP(POST, T "/{id}/stdin", writeStdin, tasks, NULL, "Stdin", 200, "StdinTaken", E(400, 404, 409),
       "A chunk of standard input, for tasks with stdin_live."),
    OP(POST, T "/{id}/signal", signalTask, tasks, NULL, "Signal", 202, "Controlled",
       E(400, 404, 409), "A message for the task's waits of that name."),
    OP(GET, T "/{id}/queries", listQueries, tasks, "limit=i1..1000 offset=i0..", NULL, 200,
       "QueryList", E(400, 404), "What the task has published, the last under each name."),
    OP(GET, T "/{id}/queries/{name}", queryTask, tasks, NULL, NULL, 200, "Query", E(400, 404),
       "One of them. No code of the agent runs for it."),
    OP(POST, T "/{id}/updates/{name}", updateTask, tasks, NULL, "Update", 200, "Updated",
       E(400, 404, 409, 413),
       "A signal that the task answers. 202 when there is no answer in time: ask again by its id."),
    OP(GET, T "/{id}/updates/{name}", getUpdate, tasks, "wait_ms=i0..120000", NULL, 200, "Updated",
       E(400, 404), "What became of an update; name is its id."),
    OP(POST, T "/{id}/raise", raiseBudget, tasks, NULL, "Raise", 202, "Controlled",
       E(400, 404, 409), "More of its limits, and of those of the tasks above it."),
    OP(GET, "/api/v1/approvals", listApprovals, approvals, "status=s", NULL, 200, "ApprovalList",
       E(400), "Questions that wait for a person."),
    OP(POST, "/api/v1/approvals/decision", decideApproval, approvals, NULL, "Decision", 200,
       "Decided", E(400, 404, 409), "Answer a question."),
    OP(GET, "/api/v1/stream/sse", streamEvents, streams, "workflow_id!=s128 " STREAM_QUERY, NULL,
       200, "text/event-stream", E(400, 404), "The stream of one task."),
    OP(GET, "/api/v1/stream/ws", streamWebSocket, streams, "workflow_id!=s128 " STREAM_QUERY, NULL,
       101, "", E(400, 404), "The same over WebSocket."),
    OP(POST, S, addSchedule, schedules, NULL, "ScheduleBody", 200, "Schedule", E(400, 413),
       "A task that begins by the clock."),
    OP(GET, S, listSchedules, schedules, NULL, NULL, 200, "ScheduleList", E(0), "All schedules."),
    OP(GET, S "/{id}", getSchedule, schedules, NULL, NULL, 200, "Schedule", E(400, 404),
       "One schedule."),
    OP(PUT, S "/{id}", changeSchedule, schedules, NULL, "ScheduleBody", 200, "Schedule",
       E(400, 404), "Change it; what the body leaves out stays."),
    OP(DELETE, S "/{id}", removeSchedule, schedules, NULL, NULL, 200, "ScheduleSteered",
       E(400, 404), "Remove it; its tasks stay."),
    OP(POST, S "/{id}/pause", pauseSchedule, schedules, NULL, NULL, 200, "ScheduleSteered",
       E(400, 404), "Nothing is due until it is resumed."),
    OP(POST, S "/{id}/resume", resumeSchedule, schedules, NULL, NULL, 200, "ScheduleSteered",
       E(400, 404), "From now on; what the pause held back was not missed."),
    OP(POST, S "/{id}/run", runSchedule, schedules, NULL, NULL, 200, "ScheduleSteered",
       E(400, 404, 413), "One run now."),
    OP(GET, S "/{id}/runs", listRuns, schedules, PAGE, NULL, 200, "RunList", E(400),
       "Its tasks, newest first."),
    OP(GET, "/api/v1/sessions", listSessions, sessions, PAGE, NULL, 200, "SessionList", E(400),
       "Sessions, last used first."),
    OP(GET, "/api/v1/sessions/{id}", getSession, sessions, NULL, NULL, 200, "Session", E(400, 404),
       "A session."),
    OP(PATCH, "/api/v1/sessions/{id}", titleSession, sessions, NULL, "Title", 200, "Session",
       E(400, 404), "Give it a title."),
    OP(DELETE, "/api/v1/sessions/{id}", forgetSession, sessions, NULL, NULL, 204, "", E(400, 404),
       "Take it out of the list. Its tasks stay; the next one brings it back."),
    OP(GET, "/api/v1/sessions/{id}/history", sessionHistory, sessions, "limit=i1..1000 offset=i0..",
       NULL, 200, "SessionHistory", E(400, 404, 413), "Its tasks in order."),
    OP(GET, "/api/v1/sessions/{id}/kv", listMemory, sessions,
       "prefix=s512 limit=i1..1000 offset=i0..", NULL, 200, "MemoryList", E(400),
       "What a session keeps, by key."),
    OP(GET, "/api/v1/sessions/{id}/kv/{name}", getMemory, sessions, NULL, NULL, 200, "Memory",
       E(400, 404), "The value under one key."),
    OP(POST, "/api/v1/modules", addModule, modules, "name=s128", "module", 200, "Module",
       E(400, 413), "Register an agent: a .wasm or .wat module or a Python script."),
    OP(GET, "/api/v1/modules", listModules, modules, NULL, NULL, 200, "ModuleList", E(0),
       "Registered agents."),
    OP(DELETE, "/api/v1/modules/{id}", removeModule, modules, NULL, NULL, 200, "Success",
       E(400, 404, 409), "Remove one, by name or hash."),
    OP(GET, "/api/v1/tools", listTools, tools, "category=s agent=s", NULL, 200, "ToolList", E(0),
       "What agents may call, those of MCP servers too; policy is what rules say to `agent`."),
    OP(GET, "/api/v1/tools/{name}", getTool, tools, NULL, NULL, 200, "Tool", E(400, 404),
       "One tool."),
    OP(POST, "/mcp", mcpMessage, mcp, NULL, "McpMessage", 200, "McpMessage", E(400, 404),
       "One message of the Model Context Protocol; a tool call is answered by an event stream. "
       "With "
       "the key in mcp-key, no other."),
    OP(GET, "/mcp", mcpListen, mcp, NULL, NULL, 405, "", E(0),
       "There is no stream apart from those of calls."),
    OP(DELETE, "/mcp", mcpEnd, mcp, NULL, NULL, 204, "", E(400, 404), "End the session."),
};

/* --- one operation ---------------------------------------------------------------------------- */

static void add_parameters(json_t *list, const char *where, const char *fields) {
    sh_auto(sh_json_done) json_t *object = sh_openapi_object(fields);
    json_t *required = json_object_get(object, "required"), *schema;
    const char *name;
    json_object_foreach(json_object_get(object, "properties"), name, schema) {
        bool needed = strcmp(where, "path") == 0;
        for (size_t i = 0; i < json_array_size(required); i++) {
            needed = needed || strcmp(json_string_value(json_array_get(required, i)), name) == 0;
        }
        json_array_append_new(list, json_pack("{s:s, s:s, s:b, s:O}", "name", name, "in", where,
                                              "required", (int)needed, "schema", schema));
    }
}

static json_t *parameters(const struct op *op, bool is_stream) {
    json_t *list = json_array();
    if (strstr(op->path, "{id}")) {
        json_t *schema = sh_openapi_type(SH_STR("s128"));
        json_object_set_new(schema, "pattern", json_string("^[A-Za-z0-9:_\\-.]{1,128}$"));
        json_array_append_new(list, json_pack("{s:s, s:s, s:b, s:o}", "name", "id", "in", "path",
                                              "required", 1, "schema", schema));
    }
    if (strstr(op->path, "{name}")) {
        add_parameters(list, "path", "name=s512");
    }
    if (op->query) {
        add_parameters(list, "query", op->query);
    }
    if (op->body && strcmp(op->body, "Submit") == 0) {
        add_parameters(list, "header", "Idempotency-Key=s256 X-Session-ID=s128 traceparent=s");
    }
    if (is_stream) {
        add_parameters(list, "header", "Last-Event-ID=s");
    }
    return list;
}

static json_t *media(const char *type, json_t *schema) {
    return json_pack("{s:{s:o}}", type, "schema", schema);
}

static json_t *reference(const char *schema) {
    sh_auto(sh_free_p) char *type = sh_asprintf("@%s", schema);
    return sh_openapi_type(sh_str(type));
}

static json_t *request_body(const struct op *op) {
    bool is_module = strcmp(op->body, "module") == 0;
    if (strcmp(op->body, "archive") == 0) {
        return json_pack("{s:b, s:o}", "required", 1, "content",
                         media("application/x-tar", json_object()));
    }
    json_t *content = media("application/json", reference(is_module ? "ModuleAdd" : op->body));
    if (is_module) {
        json_object_set_new(content, "application/octet-stream", json_object());
    }
    return json_pack("{s:b, s:o}", "required", strcmp(op->body, "Reason") != 0, "content", content);
}

static json_t *answer(const struct op *op) {
    bool is_schema = isupper((unsigned char)op->answer[0]);
    json_t *response = json_pack("{s:s}", "description",
                                 op->status == 101    ? "The connection speaks WebSocket."
                                 : op->answer[0] == 0 ? "Done; nothing to say."
                                 : is_schema          ? "The answer."
                                                      : "As its media type says.");
    if (is_schema) {
        json_object_set_new(response, "content", media("application/json", reference(op->answer)));
    } else if (op->answer[0]) {
        bool json = strcmp(op->answer, "application/json") == 0;
        json_object_set_new(
            response, "content",
            media(op->answer, sh_openapi_type(json ? SH_STR("object") : SH_STR("s"))));
    }
    return response;
}

static void add_error(json_t *responses, int status) {
    char code[8];
    snprintf(code, sizeof(code), "%d", status);
    json_object_set_new(responses, code,
                        json_pack("{s:s}", "$ref", "#/components/responses/Error"));
}

static json_t *operation(const struct op *op, const struct sh_route *route) {
    char code[8];
    json_t *responses = json_object();
    snprintf(code, sizeof(code), "%d", op->status);
    json_object_set_new(responses, code, answer(op));
    if (strcmp(op->answer, "Updated") == 0) { /* or it takes longer */
        json_object_set_new(responses, "202", answer(op));
    }
    for (size_t i = 0; i < N_OF(op->errors) && op->errors[i]; i++) {
        add_error(responses, op->errors[i]);
    }
    json_t *doc = json_pack("{s:s, s:[s], s:s, s:o, s:o}", "operationId", op->id, "tags", op->tag,
                            "summary", op->summary, "parameters",
                            parameters(op, sh_route_is_stream(route)), "responses", responses);
    if (op->body) {
        json_object_set_new(doc, "requestBody", request_body(op));
    }
    if (sh_route_is_public(route)) {
        json_object_set_new(doc, "security", json_array());
        return doc;
    }
    add_error(responses, 401);
    add_error(responses, 403);
    if (sh_route_is_stream(route)) {
        json_object_set_new(doc, "security",
                            json_pack("[{s:[]}, {s:[]}, {s:[]}, {s:[]}]", "key", "bearer",
                                      "keyInQuery", "tokenInQuery"));
    }
    return doc;
}

/* --- the document ----------------------------------------------------------------------------- */

static json_t *paths(void) {
    json_t *all = json_object();
    for (size_t i = 0; i < N_OF(ops); i++) {
        const struct sh_route *route = NULL;
        char method[8] = {0};
        json_t *path = json_object_get(all, ops[i].path);
        SH_ASSERT(sh_route_find(ops[i].method, ops[i].path, &route, NULL) == 0);
        for (size_t k = 0; ops[i].method[k] && k + 1 < sizeof(method); k++) {
            method[k] = (char)tolower((unsigned char)ops[i].method[k]);
        }
        if (!path) {
            path = json_object();
            json_object_set_new(all, ops[i].path, path);
        }
        json_object_set_new(path, method, operation(&ops[i], route));
    }
    return all;
}

static json_t *key_in(const char *where, const char *name) {
    return json_pack("{s:s, s:s, s:s}", "type", "apiKey", "in", where, "name", name);
}

json_t *sh_openapi_json(void) {
    json_t *error =
        json_pack("{s:s, s:o}", "description", "What went wrong, for people and for programs.",
                  "content", media("application/json", reference("Error")));
    json_t *schemes =
        json_pack("{s:o, s:{s:s, s:s}, s:o, s:o}", "key", key_in("header", "X-API-Key"), "bearer",
                  "type", "http", "scheme", "bearer", "keyInQuery", key_in("query", "api_key"),
                  "tokenInQuery", key_in("query", "token"));
    return json_pack("{s:s, s:{s:s, s:s, s:s}, s:[{s:[]}, {s:[]}], s:o, s:{s:o, s:{s:o}, s:o}}",
                     "openapi", "3.1.0", "info", "title", "Shannon", "version", SH_VERSION,
                     "description", "A localhost-first, durable runtime for AI agents.", "security",
                     "key", "bearer", "paths", paths(), "components", "schemas",
                     sh_openapi_schemas(), "responses", "Error", error, "securitySchemes", schemes);
}

void sh_handle_openapi(struct sh_request *r) {
    sh_reply_json(r, 200, sh_openapi_json());
}
