/* The tools that a client sees. Their schemas are the contract; steps.c checks by hand what they
 * say, because a model reads our words better than a validator's. */
#include "mcp/mcp_private.h"

/* What every tool gives as structuredContent: {name: JSON type, "" for any}. */
static const char *const outputs[][2] = {
    {"task_id", "string"},
    {"status", "string"},
    {"exit_status", "integer"},
    {"stdout", "string"},
    {"stderr", "string"},
    {"truncated", "boolean"},
    {"journal_events", "integer"},
    {"error", "object"},
    {"approvals", "array"},
    {"hint", "string"},
    {"result", ""},
};

/* A field of a schema: a string, unless `kind` says otherwise. */
struct sh_mcp_field {
    const char *name;
    enum kind { TEXT, TEXTS, OBJECT, SECONDS, WAIT } kind;
    bool needed;
    const char *about;
};
#define RUN_FIELDS                                                                                 \
    {"args", TEXTS, false, "command line, after the program's name"},                              \
        {"stdin", TEXT, false, "standard input"},                                                  \
        {"input", OBJECT, false, "the task's input as JSON"},                                      \
        {"session_id", TEXT, false, "tasks with the same one share a memory (kv)"}, TIMEOUT,       \
        {"wait_s", WAIT, false,                                                                    \
         "how long to wait for the end (50); a longer run goes on, ask task_status"}
#define TIMEOUT                                                                                    \
    {"timeout_s", SECONDS, false,                                                                  \
     "computing time after which the task fails; the policy may say less"}

static const struct sh_mcp_field python_fields[] = {
    {"code", TEXT, true, "the script"},
    RUN_FIELDS,
    {0},
};
static const struct sh_mcp_field wasm_fields[] = {
    {"agent", TEXT, false, "name or SHA-256 of a registered module"},
    {"wat", TEXT, false, "WebAssembly text"},
    {"module_base64", TEXT, false, "a binary module in base64"},
    RUN_FIELDS,
    {0},
};
static const struct sh_mcp_field submit_fields[] = {
    {"query", TEXT, true, "what the agent is asked, 1 to 10000 characters"},
    {"agent", TEXT, false, "its name; without it, the operator's default"},
    {"input", OBJECT, false, "more than a question, as JSON"},
    {"session_id", TEXT, false, "the conversation that it belongs to"},
    TIMEOUT,
    {"wait_s", WAIT, false, "how long to wait for the end (0)"},
    {0},
};
static const struct sh_mcp_field status_fields[] = {
    {"task_id", TEXT, true, "as the other tools gave it"},
    {"wait_s", WAIT, false, "how long to wait for its end (0)"},
    {0},
};
static const struct sh_mcp_field approvals_fields[] = {
    {"task_id", TEXT, false, "only of this task"},
    {0},
};

static const struct sh_mcp_tool tools[] = {
    {"run_python", "Run Python in a sandbox",
     "Run a Python 3 script (CPython in WebAssembly, standard library only) and wait for it. It "
     "has a private writable folder, no network, no host files and no packages; what it prints is "
     "the answer. Shannon's tools are in the module `shannon` as far as the policy allows them.",
     python_fields, false, true, sh_mcp_run_python},
    {"run_wasm", "Run WebAssembly in a sandbox",
     "Run a WASI preview 1 program and wait for it. Give one of: agent (the name or hash of a "
     "registered module), wat (WebAssembly text), module_base64 (at most 6 MB).",
     wasm_fields, false, true, sh_mcp_run_wasm},
    {"submit_task", "Start an agent",
     "Give a registered agent a question and come back later: answers at once with task_id, which "
     "task_status takes. The task is durable: it goes on after a crash or a restart.",
     submit_fields, false, false, sh_mcp_submit_task},
    {"task_status", "Look at a task", "Status, answer and open approvals of a task.", status_fields,
     true, false, sh_mcp_task_status},
    {"pending_approvals", "What waits for a person",
     "The questions that tasks have for the operator. Only a person can answer them, with "
     "`shannon approve` or in their client.",
     approvals_fields, true, false, sh_mcp_pending_approvals},
};
#define N_TOOLS (sizeof(tools) / sizeof(tools[0]))

const struct sh_mcp_tool *sh_mcp_tool_find(const char *name) {
    for (size_t i = 0; i < N_TOOLS; i++) {
        if (strcmp(tools[i].name, name) == 0) {
            return &tools[i];
        }
    }
    return NULL;
}

static json_t *field_json(const struct sh_mcp_field *f) {
    switch (f->kind) {
    case TEXT:
        return json_pack("{s:s, s:s}", "type", "string", "description", f->about);
    case TEXTS:
        return json_pack("{s:s, s:{s:s}, s:i, s:s}", "type", "array", "items", "type", "string",
                         "maxItems", 256, "description", f->about);
    case OBJECT:
        return json_pack("{s:s, s:s}", "type", "object", "description", f->about);
    case SECONDS:
    case WAIT:
        break;
    }
    return json_pack("{s:s, s:i, s:i, s:s}", "type", "integer", "minimum", f->kind == WAIT ? 0 : 1,
                     "maximum", SH_MCP_WAIT_MAX_S, "description", f->about);
}

static json_t *input_schema(const struct sh_mcp_field *f) {
    json_t *properties = json_object(), *required = json_array();
    for (; f->name; f++) {
        json_object_set_new(properties, f->name, field_json(f));
        if (f->needed) {
            json_array_append_new(required, json_string(f->name));
        }
    }
    return json_pack("{s:s, s:o, s:o, s:b}", "type", "object", "properties", properties, "required",
                     required, "additionalProperties", 0);
}

static json_t *output_schema(void) {
    json_t *properties = json_object();
    for (size_t i = 0; i < sizeof(outputs) / sizeof(outputs[0]); i++) {
        const char *type = outputs[i][1];
        json_object_set_new(properties, outputs[i][0],
                            *type ? json_pack("{s:s}", "type", type) : json_object());
    }
    return json_pack("{s:s, s:o, s:[s]}", "type", "object", "properties", properties, "required",
                     "status");
}

json_t *sh_mcp_tools_json(void) {
    json_t *list = json_array();
    for (size_t i = 0; i < N_TOOLS; i++) {
        const struct sh_mcp_tool *t = &tools[i];
        json_t *hints = json_pack("{s:s, s:b, s:b, s:b, s:b}", "title", t->title, "readOnlyHint",
                                  (int)t->reads, "destructiveHint", 0, "idempotentHint",
                                  (int)t->reads, "openWorldHint", (int)!t->reads);
        json_array_append_new(
            list, json_pack("{s:s, s:s, s:s, s:o, s:o, s:o}", "name", t->name, "title", t->title,
                            "description", t->description, "inputSchema", input_schema(t->fields),
                            "outputSchema", output_schema(), "annotations", hints));
    }
    return list;
}
