/* What each tool does: read its arguments, register a module where code came along, submit, and
 * follow or look. */
#include "mcp/mcp_private.h"

#include <ctype.h>

/* --- arguments -------------------------------------------------------------------------------- */

static int read_text(const json_t *args, const char *name, const char **ret, struct sh_err *err) {
    const json_t *value = json_object_get(args, name);
    if (value && !json_is_string(value) && !json_is_null(value)) {
        return sh_fail(err, SH_E_INVAL, "%s must be a string", name);
    }
    *ret = json_string_value(value);
    return 0;
}

static int read_seconds(const json_t *args, const char *name, int64_t least, int64_t fallback,
                        int64_t *ret, struct sh_err *err) {
    const json_t *value = json_object_get(args, name);
    *ret = fallback;
    if (!value || json_is_null(value)) {
        return 0;
    }
    *ret = json_integer_value(value);
    if (!json_is_integer(value) || *ret < least || *ret > SH_MCP_WAIT_MAX_S) {
        return sh_fail(err, SH_E_INVAL, "%s must be a whole number from %lld to %d", name,
                       (long long)least, SH_MCP_WAIT_MAX_S);
    }
    return 0;
}

static int read_wait(struct sh_mcp_call *call, int64_t fallback, struct sh_err *err) {
    int64_t seconds = 0;
    int rc = read_seconds(call->args, "wait_s", 0, fallback, &seconds, err);
    call->until_ns = sh_boot_ns() + (uint64_t)seconds * 1000000000ULL;
    return rc;
}

/* --- submit ----------------------------------------------------------------------------------- */

static void submitted(struct sh_mcp_call *call, json_t *body, const struct sh_err *err) {
    const char *task = json_string_value(json_object_get(body, "task_id"));
    if (task) { /* a rejected task has an id and a journal, too */
        call->task = sh_strdup(task);
    }
    if (err) {
        sh_mcp_call_fail(call, err);
    } else if (!task) {
        struct sh_err odd = {0};
        sh_fail(&odd, SH_E_INTERNAL, "the server gave no task_id");
        sh_mcp_call_fail(call, &odd);
    } else {
        call->follows = true;
        sh_mcp_call_tell(call, "started as %s", task);
        sh_mcp_follow(call);
    }
}

/* Members of the call's arguments that are the request's under the same name. */
static json_t *submission(const struct sh_mcp_call *call) {
    static const char *const passed[] = {"query", "input", "args", "stdin", "session_id", NULL};
    json_t *body = json_object();
    for (size_t i = 0; passed[i]; i++) {
        json_t *value = json_object_get(call->args, passed[i]);
        if (value && !json_is_null(value)) {
            json_object_set(body, passed[i], value);
        }
    }
    json_t *timeout = json_object_get(call->args, "timeout_s");
    if (json_is_integer(timeout)) {
        json_object_set_new(
            body, "limits",
            json_pack("{s:o}", "wall_clock",
                      json_sprintf("%llds", (long long)json_integer_value(timeout))));
    }
    json_object_set_new(body, "metadata",
                        json_pack("{s:s, s:s}", "source", "mcp", "tool", call->tool->name));
    return body;
}

static void submit(struct sh_mcp_call *call, const char *agent) {
    struct sh_id key; /* should the owner of the data directory change while it answers */
    sh_id_new(&key, "mcp-");
    sh_auto(sh_json_done) json_t *body = submission(call);
    if (agent) {
        json_object_set_new(body, "agent", sh_json_string(sh_str(agent)));
    }
    json_object_set_new(body, "via", json_string("mcp")); /* rules may speak of it by this name */
    if (!json_object_get(body, "input") && !json_object_get(body, "query")) {
        json_object_set_new(body, "input", json_object());
    }
    sh_mcp_call_ask(
        call,
        &(struct sh_mcp_ask){.method = "POST", .path = "/api/v1/tasks", .body = body, .key = key.s},
        submitted);
}

static void registered(struct sh_mcp_call *call, json_t *body, const struct sh_err *err) {
    const char *hash = json_string_value(json_object_get(body, "hash"));
    if (err) {
        sh_mcp_call_fail(call, err);
    } else {
        submit(call, hash);
    }
}

static void add_module(struct sh_mcp_call *call, const char *member, json_t *owned) {
    sh_auto(sh_json_done) json_t *body = json_pack("{s:o}", member, owned);
    sh_mcp_call_ask(call,
                    &(struct sh_mcp_ask){.method = "POST", .path = "/api/v1/modules", .body = body},
                    registered);
}

/* What run_python and run_wasm have in common. */
static int check_run(struct sh_mcp_call *call, struct sh_err *err) {
    int64_t seconds = 0;
    const char *text = NULL;
    int rc = read_wait(call, SH_MCP_WAIT_DEFAULT_S, err);
    rc = rc < 0 ? rc : read_seconds(call->args, "timeout_s", 1, 0, &seconds, err);
    rc = rc < 0 ? rc : read_text(call->args, "stdin", &text, err);
    return rc < 0 ? rc : read_text(call->args, "session_id", &text, err);
}

/* The engine tells scripts from WebAssembly text by how they begin; a comment makes it sure. */
static bool looks_like_wat(const char *code) {
    while (isspace((unsigned char)*code)) {
        code++;
    }
    return *code == '(' || *code == ';';
}

int sh_mcp_run_python(struct sh_mcp_call *call, struct sh_err *err) {
    static const char *const known[] = {"code",       "args",      "stdin",  "input",
                                        "session_id", "timeout_s", "wait_s", NULL};
    const char *code = NULL;
    int rc = sh_json_only(call->args, known, "run_python", err);
    rc = rc < 0 ? rc : read_text(call->args, "code", &code, err);
    rc = rc < 0 ? rc : check_run(call, err);
    if (rc == 0 && (!code || !*code)) {
        rc = sh_fail(err, SH_E_INVAL, "code is missing: the Python script as a string");
    }
    if (rc < 0) {
        return rc;
    }
    sh_auto(sh_free_p) char *text = sh_asprintf("%s%s", looks_like_wat(code) ? "#\n" : "", code);
    add_module(call, "source", sh_json_string(sh_str(text)));
    return 0;
}

int sh_mcp_run_wasm(struct sh_mcp_call *call, struct sh_err *err) {
    static const char *const known[] = {"agent", "wat",        "module_base64", "args",   "stdin",
                                        "input", "session_id", "timeout_s",     "wait_s", NULL};
    const char *agent = NULL, *wat = NULL, *module = NULL;
    int rc = sh_json_only(call->args, known, "run_wasm", err);
    rc = rc < 0 ? rc : read_text(call->args, "agent", &agent, err);
    rc = rc < 0 ? rc : read_text(call->args, "wat", &wat, err);
    rc = rc < 0 ? rc : read_text(call->args, "module_base64", &module, err);
    rc = rc < 0 ? rc : check_run(call, err);
    int given = (agent && *agent) + (wat && *wat) + (module && *module);
    if (rc == 0 && given != 1) {
        rc = sh_fail(err, SH_E_INVAL, "give one of agent, wat and module_base64; %d were given",
                     given);
    }
    if (rc == 0 && wat && *wat && !looks_like_wat(wat)) {
        rc = sh_fail(err, SH_E_MODULE, "wat is WebAssembly text and begins with (module");
    }
    if (rc < 0) {
        return rc;
    }
    if (agent && *agent) {
        submit(call, agent);
    } else {
        bool text = wat && *wat;
        add_module(call, text ? "source" : "module", sh_json_string(sh_str(text ? wat : module)));
    }
    return 0;
}

int sh_mcp_submit_task(struct sh_mcp_call *call, struct sh_err *err) {
    static const char *const known[] = {"query",     "agent",  "input", "session_id",
                                        "timeout_s", "wait_s", NULL};
    const char *agent = NULL, *text = NULL;
    int64_t seconds = 0;
    int rc = sh_json_only(call->args, known, "submit_task", err);
    rc = rc < 0 ? rc : read_text(call->args, "agent", &agent, err);
    rc = rc < 0 ? rc : read_text(call->args, "query", &text, err);
    rc = rc < 0 ? rc : read_text(call->args, "session_id", &text, err);
    rc = rc < 0 ? rc : read_seconds(call->args, "timeout_s", 1, 0, &seconds, err);
    rc = rc < 0 ? rc : read_wait(call, 0, err);
    if (rc == 0) {
        submit(call, agent && *agent ? agent : NULL);
    }
    return rc;
}

/* --- look ------------------------------------------------------------------------------------- */

static bool has_ended(const json_t *task) {
    struct sh_str status = sh_json_get_str(task, "status");
    return !sh_str_eqz(status, "TASK_STATUS_RUNNING") && !sh_str_eqz(status, "TASK_STATUS_QUEUED");
}

static void looked(struct sh_mcp_call *call, json_t *body, const struct sh_err *err) {
    if (err) {
        sh_mcp_call_fail(call, err);
        return;
    }
    call->after = (uint64_t)sh_json_get_int(body, "seq", 0);
    call->ended = has_ended(body);
    sh_mcp_follow(call);
}

static int read_task(struct sh_mcp_call *call, bool needed, struct sh_err *err) {
    const char *task = NULL;
    struct sh_id id;
    int rc = read_text(call->args, "task_id", &task, err);
    if (rc < 0 || (!task && !needed)) {
        return rc;
    }
    if (!task || sh_id_parse(sh_str(task), &id) < 0) {
        return sh_fail(err, SH_E_INVAL,
                       "task_id is what the other tools answered with: 1 to %d "
                       "characters of A-Z a-z 0-9 : _ - .",
                       SH_ID_MAX);
    }
    call->task = sh_strdup(id.s);
    return 0;
}

int sh_mcp_task_status(struct sh_mcp_call *call, struct sh_err *err) {
    static const char *const known[] = {"task_id", "wait_s", NULL};
    int rc = sh_json_only(call->args, known, "task_status", err);
    rc = rc < 0 ? rc : read_task(call, true, err);
    rc = rc < 0 ? rc : read_wait(call, 0, err);
    if (rc == 0) {
        sh_auto(sh_free_p) char *path = sh_asprintf("/api/v1/tasks/%s", call->task);
        sh_mcp_call_ask(call, &(struct sh_mcp_ask){.method = "GET", .path = path}, looked);
    }
    return rc;
}

static void listed(struct sh_mcp_call *call, json_t *body, const struct sh_err *err) {
    size_t i;
    json_t *item;
    if (err) {
        sh_mcp_call_fail(call, err);
        return;
    }
    json_t *list = json_array();
    sh_auto(sh_buf_done) struct sh_buf text = {0};
    sh_buf_init(&text, SH_MIB);
    json_array_foreach(json_object_get(body, "approvals"), i, item) {
        if (!call->task || sh_str_eqz(sh_json_get_str(item, "workflow_id"), call->task)) {
            json_array_append(list, item);
            sh_json_dump(item, &text);
            sh_buf_addc(&text, '\n');
        }
    }
    bool none = json_array_size(list) == 0;
    sh_buf_adds(&text, none ? "Nothing waits for a person."
                            : "Only a person can answer: shannon approve TASK APPROVAL, or shannon "
                              "deny TASK APPROVAL.");
    json_t *structured =
        json_pack("{s:s, s:o}", "status", none ? "none" : "pending", "approvals", list);
    sh_mcp_call_answer(call, text.failed ? SH_STR("see structuredContent") : sh_buf_str(&text),
                       structured, false);
}

int sh_mcp_pending_approvals(struct sh_mcp_call *call, struct sh_err *err) {
    static const char *const known[] = {"task_id", NULL};
    int rc = sh_json_only(call->args, known, "pending_approvals", err);
    rc = rc < 0 ? rc : read_task(call, false, err);
    if (rc == 0) {
        sh_mcp_call_ask(call, &(struct sh_mcp_ask){.method = "GET", .path = "/api/v1/approvals"},
                        listed);
    }
    return rc;
}
