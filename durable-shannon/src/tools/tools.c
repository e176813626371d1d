/* The table of operations. Schemas are written as people read them; they are parsed once, when the
 * first call is checked. */
#include "tools/tools_private.h"

#include <pthread.h>
#include <stdio.h>

#include "tools/schema.h"

#define HTTP_TIMEOUT_MS 60000ULL
#define OBJECT(members) "{\"type\":\"object\",\"additionalProperties\":false," members "}"
#define NOTHING OBJECT("\"properties\":{}")
#define ANYTHING "{}"
#define NAME "{\"type\":\"string\",\"minLength\":1,\"maxLength\":128}"
#define KEY "{\"type\":\"string\",\"minLength\":1,\"maxLength\":512}"

/* clang-format off */
const char *const sh_tool_common_schema = OBJECT(
    "\"properties\":{"
    "\"retry\":" OBJECT("\"properties\":{"
        "\"attempts\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":100},"
        "\"backoff_ms\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":86400000},"
        "\"backoff_max_ms\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":86400000},"
        "\"factor\":{\"type\":\"number\",\"minimum\":1,\"maximum\":100},"
        "\"jitter\":{\"type\":\"number\",\"minimum\":0,\"maximum\":1},"
        "\"no_retry\":{\"type\":\"array\",\"maxItems\":64,\"items\":{\"type\":\"string\"}}}") ","
    "\"timeout_ms\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":86400000},"
    "\"heartbeat_timeout_ms\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":86400000},"
    "\"at_most_once\":{\"type\":\"boolean\"}}");
/* clang-format on */

static const struct sh_tool tool_calculator = {
    .name = "calculator",
    .capability = "calculator",
    .category = "math",
    .description = "Evaluate an arithmetic expression: + - * / % ^, parentheses, sqrt abs floor "
                   "ceil round min max sin cos tan ln log10 exp pow, pi and e.",
    .args_schema = OBJECT("\"required\":[\"expression\"],\"properties\":{\"expression\":"
                          "{\"type\":\"string\",\"minLength\":1,\"maxLength\":1000}}"),
    .result_schema =
        OBJECT("\"required\":[\"value\"],\"properties\":{\"value\":{\"type\":\"number\"}}"),
    .kind = SH_TOOL_PURE,
};
static const struct sh_tool tool_compensate = {
    .name = "compensate",
    .category = "workflow",
    .description =
        "Register what undoes the work so far: carried out by the host, last first, when "
        "the task fails or is canceled.",
    .args_schema = OBJECT("\"required\":[\"op\"],\"properties\":{\"op\":" NAME
                          ",\"args\":{\"type\":\"object\"}}"),
    .result_schema = OBJECT("\"required\":[\"registered\"],\"properties\":{\"registered\":"
                            "{\"type\":\"integer\"}}"),
    .kind = SH_TOOL_ENGINE,
};
static const struct sh_tool tool_emit = {
    .name = "emit",
    .category = "agent",
    .description = "Send a progress event to whoever watches the task.",
    .args_schema =
        OBJECT("\"required\":[\"type\"],\"properties\":{\"type\":" NAME ",\"data\":" ANYTHING "}"),
    .result_schema = NOTHING,
    .kind = SH_TOOL_ENGINE,
};
static const struct sh_tool tool_http = {
    .name = "http",
    .capability = "http",
    .category = "web",
    .description =
        "Send an HTTP request where a network rule allows it. GET and HEAD follow redirects, each "
        "checked again. Every status is a result. A credential is named, never seen.",
    .args_schema = OBJECT(
        "\"required\":[\"url\"],\"properties\":{"
        "\"url\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":65536},"
        "\"method\":{\"type\":\"string\",\"enum\":[\"GET\",\"HEAD\",\"POST\",\"PUT\",\"PATCH\","
        "\"DELETE\",\"OPTIONS\"]},"
        "\"headers\":{\"type\":\"object\",\"maxProperties\":64},"
        "\"body\":{},"
        "\"body_base64\":{\"type\":\"string\"},"
        "\"redirects\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":10},"
        "\"max_bytes\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":2097152},"
        "\"credential\":" NAME "}"),
    .result_schema = OBJECT("\"required\":[\"status\",\"url\",\"headers\"],\"properties\":{"
                            "\"status\":{\"type\":\"integer\"},"
                            "\"url\":{\"type\":\"string\"},"
                            "\"headers\":{\"type\":\"object\"},"
                            "\"body\":{\"type\":\"string\"},"
                            "\"body_base64\":{\"type\":\"string\"}}"),
    .kind = SH_TOOL_REMOTE,
    .retryable = true,
    .at_most_once = sh_http_op_at_most_once,
};
static const struct sh_tool tool_input = {
    .name = "input",
    .category = "agent",
    .description = "The task's input.",
    .args_schema = NOTHING,
    .result_schema = ANYTHING,
    .kind = SH_TOOL_ENGINE,
};
static const struct sh_tool tool_kv_cas = {
    .name = "kv.cas",
    .capability = "kv",
    .category = "memory",
    .description = "Put a value only if the key still has the expected one; without `expect`, only "
                   "if there is none.",
    .args_schema = OBJECT("\"required\":[\"key\",\"value\"],\"properties\":{\"key\":" KEY
                          ",\"expect\":" ANYTHING ",\"value\":" ANYTHING "}"),
    .result_schema = OBJECT("\"required\":[\"swapped\",\"value\"],\"properties\":{\"swapped\":"
                            "{\"type\":\"boolean\"},\"value\":" ANYTHING "}"),
    .kind = SH_TOOL_ENGINE,
};
static const struct sh_tool tool_kv_delete = {
    .name = "kv.delete",
    .capability = "kv",
    .category = "memory",
    .description = "Forget a key of this session.",
    .args_schema = OBJECT("\"required\":[\"key\"],\"properties\":{\"key\":" KEY "}"),
    .result_schema = OBJECT("\"required\":[\"deleted\"],\"properties\":{\"deleted\":"
                            "{\"type\":\"boolean\"}}"),
    .kind = SH_TOOL_ENGINE,
};
static const struct sh_tool tool_kv_increment = {
    .name = "kv.increment",
    .capability = "kv",
    .category = "memory",
    .description = "Add to a whole number that this session keeps; a key that is not there is 0.",
    .args_schema = OBJECT("\"required\":[\"key\"],\"properties\":{\"key\":" KEY
                          ",\"by\":{\"type\":\"integer\"}}"),
    .result_schema = OBJECT("\"required\":[\"value\"],\"properties\":{\"value\":"
                            "{\"type\":\"integer\"}}"),
    .kind = SH_TOOL_ENGINE,
};
static const struct sh_tool tool_kv_list = {
    .name = "kv.list",
    .capability = "kv",
    .category = "memory",
    .description = "Keys of this session in order, with their values.",
    .args_schema = OBJECT("\"properties\":{\"prefix\":{\"type\":\"string\",\"maxLength\":512},"
                          "\"limit\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":1000},"
                          "\"offset\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":100000},"
                          "\"values\":{\"type\":\"boolean\"}}"),
    .result_schema = OBJECT("\"required\":[\"items\",\"total\"],\"properties\":{\"items\":"
                            "{\"type\":\"array\"},\"total\":{\"type\":\"integer\"}}"),
    .kind = SH_TOOL_ENGINE,
};
static const struct sh_tool tool_kv_get = {
    .name = "kv.get",
    .capability = "kv",
    .category = "memory",
    .description = "Read a value that this session keeps.",
    .args_schema = OBJECT("\"required\":[\"key\"],\"properties\":{\"key\":" KEY "}"),
    .result_schema = OBJECT("\"required\":[\"value\",\"found\"],\"properties\":{\"value\":" ANYTHING
                            ",\"found\":{\"type\":\"boolean\"}}"),
    .kind = SH_TOOL_ENGINE,
};
static const struct sh_tool tool_kv_put = {
    .name = "kv.put",
    .capability = "kv",
    .category = "memory",
    .description = "Keep a value for this session.",
    .args_schema = OBJECT("\"required\":[\"key\",\"value\"],\"properties\":{\"key\":" KEY
                          ",\"value\":" ANYTHING "}"),
    .result_schema = NOTHING,
    .kind = SH_TOOL_ENGINE,
};
static const struct sh_tool tool_llm = {
    .name = "llm",
    .capability = "llm",
    .category = "llm",
    .description = "Ask the language model: the fields of an OpenAI chat completion request.",
    .args_schema = OBJECT(
        "\"required\":[\"messages\"],\"properties\":{"
        "\"messages\":{\"type\":\"array\",\"minItems\":1,\"maxItems\":4096,\"items\":"
        "{\"type\":\"object\",\"required\":[\"role\"],\"properties\":{"
        "\"role\":{\"type\":\"string\",\"enum\":[\"system\",\"developer\",\"user\",\"assistant\","
        "\"tool\"]},"
        "\"content\":{\"type\":[\"string\",\"array\",\"null\"]},"
        "\"tool_calls\":{\"type\":\"array\"},\"tool_call_id\":{\"type\":\"string\"},"
        "\"name\":{\"type\":\"string\"}}}},"
        "\"model\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":256},"
        "\"temperature\":{\"type\":\"number\",\"minimum\":0,\"maximum\":2},"
        "\"top_p\":{\"type\":\"number\",\"minimum\":0,\"maximum\":1},"
        "\"max_tokens\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":10000000},"
        "\"seed\":{\"type\":\"integer\"},"
        "\"stop\":{\"type\":[\"string\",\"array\"]},"
        "\"tools\":{\"type\":\"array\",\"maxItems\":128,\"items\":{\"type\":\"object\"}},"
        "\"tool_choice\":{\"type\":[\"string\",\"object\"]},"
        "\"response_format\":{\"type\":\"object\"},"
        "\"fallback\":{\"type\":\"array\",\"maxItems\":4,\"items\":{\"type\":\"string\"}}}"),
    .result_schema = OBJECT(
        "\"required\":[\"content\",\"finish_reason\",\"model\",\"provider\",\"usage\"],"
        "\"properties\":{\"content\":{\"type\":\"string\"},\"tool_calls\":{\"type\":\"array\","
        "\"items\":" OBJECT(
            "\"required\":[\"id\",\"type\",\"function\"],\"properties\":{"
            "\"id\":{\"type\":\"string\"},\"type\":{\"type\":\"string\"},"
            "\"function\":" OBJECT(
                "\"required\":[\"name\",\"arguments\"],\"properties\":{"
                "\"name\":{\"type\":\"string\"},"
                "\"arguments\":{\"type\":\"string\"}}") "}") "},"
                                                             "\"finish_reason\":{\"type\":"
                                                             "\"string\"},\"model\":{\"type\":"
                                                             "\"string\"},"
                                                             "\"provider\":{\"type\":\"string\"},"
                                                             "\"usage\":" OBJECT(
                                                                 "\"required\":[\"input_tokens\","
                                                                 "\"output_tokens\",\"total_"
                                                                 "tokens\",\"cost_usd\"],"
                                                                 "\"properties\":{\"input_tokens\":"
                                                                 "{\"type\":\"integer\"},"
                                                                 "\"output_tokens\":{\"type\":"
                                                                 "\"integer\"},\"total_tokens\":{"
                                                                 "\"type\":\"integer\"},"
                                                                 "\"cost_usd\":{\"type\":"
                                                                 "\"number\"},\"estimated\":{"
                                                                 "\"type\":\"boolean\","
                                                                 "\"description\":\"the server did "
                                                                 "not count; tokens are guessed "
                                                                 "from the text\"}}") "}"),
    .kind = SH_TOOL_REMOTE,
    .retryable = true,
};
static const struct sh_tool tool_approval = {
    .name = "approval",
    .category = "workflow",
    .description =
        "Ask a person and wait for the answer, which survives a restart. timeout_ms bounds the "
        "wait; without an answer, and where nobody can be asked, the answer is no.",
    .args_schema = OBJECT("\"required\":[\"message\"],\"properties\":{\"message\":"
                          "{\"type\":\"string\",\"minLength\":1,\"maxLength\":4000},"
                          "\"data\":" ANYTHING "}"),
    .result_schema = OBJECT("\"required\":[\"approved\",\"by\",\"reason\"],\"properties\":{"
                            "\"approved\":{\"type\":\"boolean\"},\"by\":{\"type\":"
                            "\"string\"},\"reason\":{\"type\":\"string\"}}"),
    .kind = SH_TOOL_ENGINE,
};
static const struct sh_tool tool_output = {
    .name = "output",
    .category = "agent",
    .description = "Set the task's result, at most once.",
    .args_schema = OBJECT("\"required\":[\"value\"],\"properties\":{\"value\":" ANYTHING "}"),
    .result_schema = NOTHING,
    .kind = SH_TOOL_ENGINE,
};
static const struct sh_tool tool_publish = {
    .name = "publish",
    .category = "agent",
    .description = "Publish a value under a name, for queries to read.",
    .args_schema =
        OBJECT("\"required\":[\"name\"],\"properties\":{\"name\":" NAME ",\"data\":" ANYTHING "}"),
    .result_schema = NOTHING,
    .kind = SH_TOOL_ENGINE,
};
static const struct sh_tool tool_signal = {
    .name = "signal",
    .category = "workflow",
    .description =
        "Wait durably for a message from outside. The n-th wait for a name gets the n-th "
        "message sent under that name, even one that came before.",
    .args_schema = OBJECT("\"required\":[\"name\"],\"properties\":{\"name\":{\"type\":\"string\","
                          "\"minLength\":1,\"maxLength\":128}}"),
    .result_schema =
        OBJECT("\"required\":[\"name\",\"payload\"],\"properties\":{\"name\":"
               "{\"type\":\"string\"},\"payload\":{},\"update\":{\"type\":\"string\","
               "\"description\":\"it is an update: answer it by signal.reply with this id\"}}"),
    .kind = SH_TOOL_ENGINE,
};
static const struct sh_tool tool_signal_reply = {
    .name = "signal.reply",
    .category = "workflow",
    .description =
        "Answer an update: a signal whose result has an `update` id. Once, with a result "
        "or an error.",
    .args_schema = OBJECT("\"required\":[\"id\"],\"properties\":{\"id\":" NAME
                          ",\"result\":" ANYTHING ",\"error\":" ANYTHING "}"),
    .result_schema = NOTHING,
    .kind = SH_TOOL_ENGINE,
};
static const struct sh_tool tool_sleep = {
    .name = "sleep",
    .category = "time",
    .description = "Wait durably: for ms or seconds, or until a time (ISO 8601 text such as "
                   "2026-01-31T12:00:00Z, or milliseconds since 1970). Exactly one of the three.",
    .args_schema = OBJECT("\"minProperties\":1,\"maxProperties\":1,\"properties\":{"
                          "\"ms\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":3155760000000},"
                          "\"seconds\":{\"type\":\"number\",\"minimum\":0,\"maximum\":3155760000},"
                          "\"until\":{\"type\":[\"string\",\"integer\"],\"minLength\":10,"
                          "\"maxLength\":40,\"minimum\":0,\"maximum\":253402300799000}}"),
    .result_schema = OBJECT("\"required\":[\"slept_ms\"],\"properties\":{\"slept_ms\":"
                            "{\"type\":\"integer\"}}"),
    .kind = SH_TOOL_ENGINE,
};

static const struct sh_tool tool_state = {
    .name = "state",
    .category = "agent",
    .description = "The state of the task's last checkpoint; not found at the very first start.",
    .args_schema = NOTHING,
    .result_schema = OBJECT("\"required\":[\"found\",\"state\"],\"properties\":{\"found\":"
                            "{\"type\":\"boolean\"},\"state\":" ANYTHING "}"),
    .kind = SH_TOOL_ENGINE,
};
static const struct sh_tool tool_web_fetch = {
    .name = "web_fetch",
    .capability = "web_fetch",
    .category = "web",
    .description =
        "Read a web page, text or PDF as plain text with title and links, where a network "
        "rule and the site's robots.txt allow it.",
    .args_schema =
        OBJECT("\"required\":[\"url\"],\"properties\":{"
               "\"url\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":65536},"
               "\"max_chars\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":500000},"
               "\"max_bytes\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":8388608}}"),
    .result_schema = OBJECT(
        "\"required\":[\"url\",\"title\",\"text\",\"links\",\"truncated\",\"content_type\"],"
        "\"properties\":{\"url\":{\"type\":\"string\"},\"title\":{\"type\":\"string\"},"
        "\"text\":{\"type\":\"string\"},\"content_type\":{\"type\":\"string\"},"
        "\"truncated\":{\"type\":\"boolean\"},\"links\":{\"type\":\"array\",\"items\":" OBJECT(
            "\"required\":[\"text\",\"url\"],\"properties\":{\"text\":{\"type\":\"string\"},"
            "\"url\":{\"type\":\"string\"}}") "}}"),
    .kind = SH_TOOL_REMOTE,
    .retryable = true,
};
static const struct sh_tool tool_web_search = {
    .name = "web_search",
    .capability = "web_search",
    .category = "web",
    .description = "Search the web with the search server that the operator has set up.",
    .args_schema =
        OBJECT("\"required\":[\"query\"],\"properties\":{"
               "\"query\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":400},"
               "\"count\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":20},"
               "\"language\":{\"type\":\"string\",\"minLength\":2,\"maxLength\":10},"
               "\"time_range\":{\"type\":\"string\",\"enum\":[\"day\",\"week\",\"month\","
               "\"year\"]}}"),
    .result_schema = OBJECT(
        "\"required\":[\"results\",\"provider\"],\"properties\":{\"provider\":{\"type\":\"string\"}"
        ","
        "\"results\":{\"type\":\"array\",\"items\":" OBJECT(
            "\"required\":[\"title\",\"url\",\"snippet\"],\"properties\":{\"title\":{\"type\":"
            "\"string\"},\"url\":{\"type\":\"string\"},\"snippet\":{\"type\":\"string\"}}") "}}"),
    .kind = SH_TOOL_REMOTE,
    .retryable = true,
};

static const struct sh_tool *const table[] = {
    &tool_approval,  &tool_calculator, &tool_compensate,   &tool_emit,   &tool_http,
    &tool_input,     &tool_kv_cas,     &tool_kv_delete,    &tool_kv_get, &tool_kv_increment,
    &tool_kv_list,   &tool_kv_put,     &tool_llm,          &tool_output, &tool_publish,
    &sh_tool_python, &tool_signal,     &tool_signal_reply, &tool_sleep,  &tool_state,
    &tool_web_fetch, &tool_web_search, &sh_tool_workflow,  NULL,
};
/* Who carries the remote ones out. */
static const struct {
    const struct sh_tool *tool;
    int (*start)(struct sh_tools *t, const struct sh_tool_call *call, struct sh_tool_run **ret,
                 struct sh_err *err);
} starts[] = {
    {&tool_http, sh_http_op_start},
    {&tool_llm, sh_llm_start},
    {&tool_web_fetch, sh_fetch_start},
    {&tool_web_search, sh_search_start},
};
enum { N_TOOLS = sizeof(table) / sizeof(table[0]) - 1 };

static pthread_once_t parsed = PTHREAD_ONCE_INIT;
static json_t *args_schemas[N_TOOLS], *common_schema;

static json_t *parse_ours(const char *text) {
    json_t *schema = NULL;
    SH_ASSERT(sh_json_parse(sh_str(text), SH_MIB, &schema, NULL) == 0);
    sh_schema_assert_known(schema);
    return schema;
}

static void parse_all(void) {
    common_schema = parse_ours(sh_tool_common_schema);
    for (size_t i = 0; i < N_TOOLS; i++) {
        args_schemas[i] = parse_ours(table[i]->args_schema);
        json_decref(parse_ours(table[i]->result_schema));
    }
}

const struct sh_tool *sh_tool_find(struct sh_str op) {
    for (size_t i = 0; i < N_TOOLS; i++) {
        if (sh_str_eqz(op, table[i]->name)) {
            return table[i];
        }
    }
    return NULL;
}

const struct sh_tool *const *sh_tools_list(void) {
    return table;
}

/* The members of `args` that every op takes, and those that are the op's own. */
static void split(const json_t *args, json_t **ret_own, json_t **ret_common) {
    const json_t *names = json_object_get(common_schema, "properties");
    *ret_own = json_object();
    *ret_common = json_object();
    const char *name = NULL;
    json_t *value = NULL;
    json_object_foreach((json_t *)(uintptr_t)args, name, value) {
        json_object_set_nocheck(json_object_get(names, name) ? *ret_common : *ret_own, name, value);
    }
}

int sh_tool_check(const struct sh_tool *t, const json_t *args, struct sh_err *err) {
    pthread_once(&parsed, parse_all);
    size_t i = 0;
    while (table[i] && table[i] != t) {
        i++;
    }
    if (!table[i]) { /* an MCP server's: the server checks them, against a schema of its own */
        return json_is_object(args)
                   ? 0
                   : sh_fail(err, SH_E_INVAL, "%.80s: expected an object", t->name);
    }
    char path[64];
    snprintf(path, sizeof(path), "%s", t->name);
    if (!json_is_object(args)) {
        return sh_schema_check(args_schemas[i], args, path, err);
    }
    sh_auto(sh_json_done) json_t *own = NULL;
    sh_auto(sh_json_done) json_t *common = NULL;
    split(args, &own, &common);
    int r = sh_schema_check(args_schemas[i], own, path, err);
    return r ? r : sh_schema_check(common_schema, common, path, err);
}

int sh_tools_new(struct sh_loop *l, const struct sh_tools_config *config, struct sh_tools **ret,
                 struct sh_err *err) {
    struct sh_tools *t = sh_new(struct sh_tools);
    t->loop = l;
    t->http_timeout_ms = config->http_timeout_ms ? config->http_timeout_ms : HTTP_TIMEOUT_MS;
    sh_list_init(&t->mcp);
    sh_list_init(&t->fetch_asking);
    sh_list_init(&t->fetch_waiting);
    sh_list_init(&t->fetch_queue);
    t->mcp_pins = config->mcp_pins ? sh_strdup(config->mcp_pins) : NULL;
    t->worker = config->worker ? sh_strdup(config->worker) : NULL;
    t->pdftotext = sh_strdup(config->pdftotext ? config->pdftotext : "/usr/bin/pdftotext");
    int r = sh_llm_config_init(t, config, err);
    r = r ? r : sh_search_config_init(t, config, err);
    r = r ? r : sh_mcp_config_init(t, config->mcp, err);
    r = r ? r : sh_credentials_init(t, config->http_credentials, err);
    if (r) {
        sh_tools_free(t);
        return r;
    }
    *ret = t;
    return 0;
}

struct sh_tools *sh_tools_free(struct sh_tools *t) {
    if (t) {
        SH_ASSERT(t->running == 0);
        sh_llm_config_done(t);
        sh_credentials_done(t);
        sh_search_config_done(t);
        sh_mcp_config_done(t);
        sh_free(t->mcp_pins);
        sh_robots_cache_done(t);
        sh_timer_stop(&t->fetch_wake);
        sh_free(t->worker);
        sh_free(t->pdftotext);
    }
    return sh_free(t);
}

const struct sh_tool *sh_tools_find(struct sh_tools *t, struct sh_str op) {
    const struct sh_tool *tool = sh_tool_find(op);
    return tool ? tool : sh_mcp_find(t, op);
}

void sh_tools_own_listener(struct sh_tools *t, const struct sockaddr *addr) {
    sh_egress_own_add(&t->own, addr);
}

int sh_tools_compute(const struct sh_tool *tool, const json_t *args, json_t **ret_result,
                     struct sh_err *err) {
    SH_ASSERT(tool == &tool_calculator);
    int r = sh_tool_check(tool, args, err);
    return r ? r : sh_calculator(args, ret_result, err);
}

int sh_tools_call(struct sh_tools *t, const struct sh_tool_call *call, struct sh_tool_run **ret,
                  struct sh_err *err) {
    SH_ON_LOOP(t->loop);
    int r = sh_tool_check(call->tool, call->args, err);
    if (r) {
        return r;
    }
    for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
        if (starts[i].tool == call->tool) {
            return starts[i].start(t, call, ret, err);
        }
    }
    return sh_mcp_start(t, call, ret, err);
}

int sh_tools_ready(struct sh_tools *t, const struct sh_tool_call *call, struct sh_err *err) {
    if (call->tool == &tool_web_search) {
        return sh_search_ready(t, err);
    }
    if (call->tool == &tool_llm) {
        return sh_llm_ready(t, call->args, err);
    }
    if (call->tool == &tool_web_fetch && !t->worker) {
        return sh_fail(err, SH_E_UNCONFIGURED, "no program that reads pages is set up here");
    }
    return call->tool == &tool_http || call->tool == &tool_web_fetch
               ? sh_http_op_ready(t, call, err)
               : 0;
}

void sh_tool_cancel(struct sh_tool_run *run) {
    if (run) {
        SH_ON_LOOP(run->tools->loop);
        run->cancel(run);
    }
}
