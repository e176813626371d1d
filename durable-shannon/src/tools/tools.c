/* The table of operations. Schemas are written as people read them; they are parsed once, when the
 * first call is checked. */
#include "tools/tools_private.h"

#include <pthread.h>
#include <stdio.h>

#include "tools/schema.h"

#define OBJECT(members) "{\"type\":\"object\",\"additionalProperties\":false," members "}"
#define NOTHING OBJECT("\"properties\":{}")
#define ANYTHING "{}"
#define NAME "{\"type\":\"string\",\"minLength\":1,\"maxLength\":128}"
#define KEY "{\"type\":\"string\",\"minLength\":1,\"maxLength\":512}"

const char *const sh_tool_common_schema = OBJECT(
    "\"properties\":{"
    "\"retry\":" OBJECT("\"properties\":{"
                        "\"attempts\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":100},"
                        "\"backoff_ms\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":86400000},"
                        "\"backoff_max_ms\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":"
                        "86400000}}") ","
                                      "\"timeout_ms\":{"
                                      "\"type\":\"integer\","
                                      "\"minimum\":1,"
                                      "\"maximum\":86400000},"
                                      "\"at_most_once\":{"
                                      "\"type\":\"boolean\"}"
                                      "}");

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
static const struct sh_tool tool_emit = {
    .name = "emit",
    .category = "agent",
    .description = "Send a progress event to whoever watches the task.",
    .args_schema =
        OBJECT("\"required\":[\"type\"],\"properties\":{\"type\":" NAME ",\"data\":" ANYTHING "}"),
    .result_schema = NOTHING,
    .kind = SH_TOOL_ENGINE,
};
static const struct sh_tool tool_input = {
    .name = "input",
    .category = "agent",
    .description = "The task's input.",
    .args_schema = NOTHING,
    .result_schema = ANYTHING,
    .kind = SH_TOOL_ENGINE,
};
static const struct sh_tool tool_kv_get = {
    .name = "kv.get",
    .capability = "kv",
    .category = "memory",
    .description = "Read a value that this session keeps.",
    .args_schema =
        OBJECT("\"required\":[\"key\"],\"properties\":{\"key\":" KEY ",\"session\":" NAME "}"),
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
        "\"response_format\":{\"type\":\"object\"}}"),
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
    .result_schema = OBJECT("\"required\":[\"name\",\"payload\"],\"properties\":{\"name\":"
                            "{\"type\":\"string\"},\"payload\":{}}"),
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

static const struct sh_tool *const table[] = {
    &tool_calculator, &tool_emit,    &tool_input,  &tool_kv_get, &tool_kv_put, &tool_llm,
    &tool_output,     &tool_publish, &tool_signal, &tool_sleep,  NULL,
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
    while (table[i] != t) {
        SH_ASSERT(table[++i] != NULL);
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
    int r = sh_llm_config_init(config, &t->llm, err);
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
        sh_llm_config_done(&t->llm);
    }
    return sh_free(t);
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
    SH_ASSERT(call->tool == &tool_llm);
    int r = sh_tool_check(call->tool, call->args, err);
    return r ? r : sh_llm_start(t, call, ret, err);
}
