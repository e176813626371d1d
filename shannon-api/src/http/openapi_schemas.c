/* The shapes of bodies. They are written in a short form of their own, because two hundred lines of
 * JSON in C strings are read by nobody. */
#include "http/openapi.h"

#include <ctype.h>
#include <stdlib.h>

static const struct {
    const char *name, *about, *fields;
} schemas[] = {
    {"McpMessage", "A JSON-RPC 2.0 message: docs/mcp.md.",
     "jsonrpc!=s id=any method=s params=object result=object error=object"},
    {"Error", "Every answer from 400 on.", "error!=@ErrorDetail"},
    {"ErrorDetail", "For people and for programs.", "message!=s code!=s"},
    {"Submit",
     "A task: a query, or any JSON as input. Without agent, context.agent, mode, context.strategy "
     "and the configured default choose one.",
     "query=s10000 prompt=s10000 agent=s input=any session_id=s128 context=object mode=s "
     "model_tier=s model_override=s provider_override=s capabilities=object limits=object "
     "metadata=object args=[s] stdin=s stdin_live=b priority=i via=s"},
    {"OperatorRun", "A task with what the person at the keyboard gives it alone.",
     "agent!=s query=s10000 input=any session_id=s128 args=[s] argv0=s script_name=s "
     "capabilities=object operator=object stdin_live=b tty=[b] priority=i0..9"},
    {"Submitted", "The task is durable.",
     "task_id!=s workflow_id!=s status!=status message!=s created_at!=time session_id=s "
     "stream_url=s"},
    {"Usage", "What the models took.",
     "total_tokens!=i input_tokens!=i output_tokens!=i estimated_cost!=n fuel=i"},
    {"Task", "A task as it is now.",
     "task_id!=s workflow_id!=s status!=status query!=s created_at!=time updated_at=time "
     "completed_at=time progress!=n result=s output=any output_kept=object error=s error_code=s "
     "backtrace=[s] "
     "exit_status=i session_id=s agent=s module=s mode=s context=object model_used=s provider=s "
     "usage!=@Usage "
     "metadata=object seq=i head=s compensations=object parent_id=s root_id=s depth=i "
     "detached=b children=i deadline_at=time budget=object spent=object"},
    {"TokenUsage", "What the models took.",
     "total_tokens!=i cost_usd!=n prompt_tokens!=i completion_tokens!=i"},
    {"TaskItem", "A task in a list.",
     "task_id!=s workflow_id!=s query!=s status!=status created_at!=time completed_at=time mode=s "
     "agent=s session_id=s parent_id=s total_token_usage!=@TokenUsage"},
    {"TaskList", "Newest first.", "tasks!=[@TaskItem] total_count!=i"},
    {"ScheduleBody",
     "What and when. timezone: IANA; overlap: skip, queue, allow, cancel_previous; "
     "catch_up: none, one, all.",
     "name=s255 cron_expression=s task_query=s description=s timezone=s agent=s128 input=any "
     "task_context=object session_id=s128 capabilities=object max_budget_per_run_usd=n "
     "timeout_seconds=i overlap=s catch_up=s catch_up_max=i1..100 paused=b"},
    {"Schedule", "A schedule as it is now.",
     "schedule_id!=s name!=s cron_expression!=s timezone!=s task_query!=s status!=s "
     "created_at!=time "
     "updated_at=time next_run_at=time last_run_at=time last_task_id=s last_error=s "
     "total_runs!=i successful_runs!=i failed_runs!=i skipped_runs!=i queued_runs!=i "
     "active_task_ids!=[s] overlap!=s catch_up!=s catch_up_max!=i description=s agent=s input=any "
     "session_id=s capabilities=object task_context=object message=s"},
    {"ScheduleList", "All of them.", "schedules!=[@Schedule] total_count!=i"},
    {"ScheduleSteered", "Done.", "success!=b message!=s schedule_id!=s status!=s"},
    {"Run", "A task of a schedule.",
     "task_id!=s workflow_id!=s query!=s status!=status triggered_at!=time due_at=time "
     "completed_at=time duration_ms!=i result!=s error_message=s"},
    {"RunList", "Newest first.", "runs!=[@Run] total_count!=i"},
    {"Raise", "How much more of each.",
     "tokens=i1.. cost_usd=n fuel=i1.. wall_clock_ms=i1.. output=i1.. activities=i1.. reason=s"},
    {"Output", "The answer alone.",
     "task_id!=s status!=status output!=s result=any error=s error_code=s"},
    {"Progress", "0.0, and 1.0 when the task has ended.", "task_id!=s status!=status progress!=n"},
    {"Event", "A durable event in the words of the streams.",
     "type!=s workflow_id!=s seq!=i stream_id!=s timestamp!=time message!=s agent_id=s "
     "payload=any"},
    {"EventList", "In journal order.", "events!=[@Event] count!=i"},
    {"JournalEvent", "A record of the journal.",
     "seq!=i type!=s time_us!=i timestamp!=time hash!=s body!=any"},
    {"Journal", "In order; more: there are others after these.",
     "workflow_id!=s events!=[@JournalEvent] more!=b"},
    {"ControlState", "Paused or cancelled, by whom and why.",
     "task_id!=s is_paused!=b is_cancelled!=b paused_at=time pause_reason=s paused_by=s "
     "cancel_reason=s cancelled_by=s"},
    {"Reason", "For people.", "reason=s1000"},
    {"Controlled", "The request is durable.", "success!=b message!=s task_id!=s status!=status"},
    {"Verified", "A replay compared with its journal.",
     "id!=s ok!=b events!=i chain!=s compacted=i signature=s key=s replay!=s note=s fuel=i "
     "digest=s "
     "mismatch=object"},
    {"Forgotten", "It is gone from the disk.", "id!=s forgotten!=b"},
    {"Compacted", "Events up to `compacted` are gone; so many went now.",
     "id!=s compacted!=i events!=i"},
    {"Replayed", "A task as of an event.",
     "id!=s seq=i time_us=i type=s state!=s waits_for=s end=object requests!=[object] stdout!=s "
     "stderr!=s emitted!=[object] published!=object checkpoint=i fuel=i clock_us=i random_bytes=i "
     "paused=b"},
    {"Fork", "at: the event after which it goes on; else all but the end.", "at=i2.."},
    {"Signal", "n-th message of a name, for the n-th wait for it.", "name!=s128 payload=any"},
    {"Query", "What a task published last under a name.",
     "task_id!=s name!=s data!=any seq!=i updated_at!=time"},
    {"Published", "The same in a list.", "name!=s data!=any seq!=i updated_at!=time"},
    {"QueryList", "By name.", "task_id!=s queries!=[@Published] total!=i"},
    {"Update",
     "The same update_id is the same update, however often it is sent. wait_ms: how long to wait "
     "for the answer.",
     "payload=any update_id=s128 wait_ms=i0..120000"},
    {"Updated",
     "status: accepted (no answer yet), completed (result), failed (error), unanswered (the task "
     "ended without).",
     "task_id!=s update_id!=s name!=s status!=s result=any error=any created_at!=time "
     "answered_at=time"},
    {"Memory", "What a session keeps under a key.", "key!=s value!=any"},
    {"MemoryList", "By key.", "session_id!=s items!=[@Memory] total!=i"},
    {"Approval", "A question: what a task asks to do, and which rule says to ask.",
     "approval_id!=s workflow_id!=s agent!=s status!=s asks!=[object] tool=s op=s args=any "
     "created_at!=time expires_at!=time at_us=i expires_us=i approval=i ordinal=i id=any"},
    {"ApprovalList", "Those without an answer.", "approvals!=[@Approval] count!=i"},
    {"Decision",
     "scope: once (this call), run (this tool in this task), always (a grant to the "
     "module's hash).",
     "approval_id!=s workflow_id!=s approved!=b scope=s feedback=s run_id=s"},
    {"Decided", "The answer is durable.", "success!=b status!=s workflow_id!=s approval_id!=s"},
    {"Stdin", "A chunk of standard input: text, or bytes in base64.", "data=s base64=s eof=b"},
    {"StdinTaken", "How much of it.", "success!=b bytes!=i"},
    {"Session", "A conversation and what its tasks add up to.",
     "session_id!=s user_id!=s created_at!=time updated_at!=time last_activity_at!=time title=s "
     "task_count!=i tokens_used!=i cost_usd!=n total_cost_usd!=n average_cost_per_task!=n "
     "success_rate!=n is_active!=b successful_tasks!=i failed_tasks!=i is_research_session!=b "
     "latest_task_query=s latest_task_status=status first_task_mode=s"},
    {"SessionList", "Last used first.", "sessions!=[@Session] total_count!=i"},
    {"SessionTask", "A turn of a conversation.",
     "task_id!=s workflow_id!=s query!=s status!=status started_at!=time created_at!=time "
     "completed_at=time result=s error=s error_code=s agent=s mode=s model_used=s provider=s "
     "total_tokens!=i"},
    {"SessionHistory", "Oldest first.", "session_id!=s tasks!=[@SessionTask] total!=i"},
    {"Title", "Not blank.", "title!=s60"},
    {"ModuleAdd", "The module in base64, or a script's source, with what it asks for.",
     "name=s128 module=s source=s manifest=object"},
    {"Module", "A registered agent.", "hash!=s bytes!=i kind!=s name=s created_at=any"},
    {"ModuleList", "All of them.", "modules!=[@Module]"},
    {"Tool", "What agents may call; parameters and result are JSON schemas.",
     "name!=s category!=s origin!=s policy!=s description!=s parameters!=object result!=object "
     "capability=s annotations=object changed=b"},
    {"ToolServer", "An MCP server: ready, starting or down; asking starts it.",
     "server!=s state!=s tools!=i error=s"},
    {"ToolList", "All of them, and the servers that some come from.",
     "tools!=[@Tool] servers!=[@ToolServer]"},
    {"Success", "Done.", "success=b"},
    {"Health", "The service's own word.", "status!=s"},
};

static json_t *text_type(struct sh_str rest) {
    json_t *type = json_pack("{s:s}", "type", "string");
    if (rest.len) {
        json_object_set_new(type, "maxLength", json_integer(strtol(rest.p, NULL, 10)));
    }
    return type;
}

static json_t *number_type(struct sh_str rest) {
    json_t *type = json_pack("{s:s}", "type", "integer");
    const char *dots = rest.len ? strstr(rest.p, "..") : NULL;
    if (dots) {
        json_object_set_new(type, "minimum", json_integer(strtoll(rest.p, NULL, 10)));
        if (dots + 2 < rest.p + rest.len) {
            json_object_set_new(type, "maximum", json_integer(strtoll(dots + 2, NULL, 10)));
        }
    }
    return type;
}

json_t *sh_openapi_type(struct sh_str type) {
    static const char *const statuses[] = {"QUEUED", "RUNNING",   "PAUSED", "COMPLETED",
                                           "FAILED", "CANCELLED", "TIMEOUT"};
    struct sh_str rest = sh_strn(type.p + 1, type.len - 1);
    if (sh_str_eqz(type, "any")) {
        return json_object();
    }
    if (sh_str_eqz(type, "object")) {
        return json_pack("{s:s}", "type", "object");
    }
    if (sh_str_eqz(type, "time")) {
        return json_pack("{s:s, s:s}", "type", "string", "format", "date-time");
    }
    if (sh_str_eqz(type, "status")) {
        json_t *names = json_array();
        for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
            sh_auto(sh_free_p) char *name = sh_asprintf("TASK_STATUS_%s", statuses[i]);
            json_array_append_new(names, json_string(name));
        }
        return json_pack("{s:s, s:o}", "type", "string", "enum", names);
    }
    if (type.p[0] == '[') {
        return json_pack("{s:s, s:o}", "type", "array", "items",
                         sh_openapi_type(sh_strn(rest.p, rest.len - 1)));
    }
    if (type.p[0] == '@') {
        sh_auto(sh_free_p) char *ref =
            sh_asprintf("#/components/schemas/%.*s", (int)rest.len, rest.p);
        return json_pack("{s:s}", "$ref", ref);
    }
    if (type.p[0] == 's' && (!rest.len || isdigit((unsigned char)*rest.p))) {
        return text_type(rest);
    }
    if (type.p[0] == 'i' && (!rest.len || isdigit((unsigned char)*rest.p))) {
        return number_type(rest);
    }
    SH_ASSERT(type.len == 1 && (type.p[0] == 'n' || type.p[0] == 'b'));
    return json_pack("{s:s}", "type", type.p[0] == 'n' ? "number" : "boolean");
}

json_t *sh_openapi_object(const char *fields) {
    json_t *properties = json_object(), *required = json_array();
    for (const char *p = fields; *p;) {
        size_t n = strcspn(p, " ");
        const char *equals = memchr(p, '=', n);
        SH_ASSERT(equals && equals > p && equals + 1 < p + n);
        bool always = equals[-1] == '!';
        sh_auto(sh_free_p) char *name = sh_strndup0(p, (size_t)(equals - p) - always);
        json_object_set_new(properties, name,
                            sh_openapi_type(sh_strn(equals + 1, (size_t)(p + n - equals - 1))));
        if (always) {
            json_array_append_new(required, json_string(name));
        }
        p += n + (p[n] == ' ');
    }
    json_t *object = json_pack("{s:s, s:o}", "type", "object", "properties", properties);
    if (json_array_size(required)) {
        json_object_set(object, "required", required);
    }
    json_decref(required);
    return object;
}

json_t *sh_openapi_schemas(void) {
    json_t *all = json_object();
    for (size_t i = 0; i < sizeof(schemas) / sizeof(schemas[0]); i++) {
        json_t *schema = sh_openapi_object(schemas[i].fields);
        json_object_set_new(schema, "description", json_string(schemas[i].about));
        json_object_set_new(all, schemas[i].name, schema);
    }
    return all;
}
