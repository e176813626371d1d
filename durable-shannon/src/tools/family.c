/* The operations that start child workflows: listed here for their schemas, carried out by the
 * engine. */
#include "tools/tools_private.h"

#define OBJECT(members) "{\"type\":\"object\",\"additionalProperties\":false," members "}"
#define CAPABILITIES "\"capabilities\":{\"type\":\"object\"}"
#define USAGE "\"usage\":{\"type\":\"object\"}"

const struct sh_tool sh_tool_workflow = {
    .name = "workflow",
    .capability = "workflow",
    .category = "workflow",
    .description =
        "Start another agent as a child workflow and wait for its end. It gets what this agent has "
        "itself, less what `capabilities` leaves out. A detached child is answered for at once and "
        "lives on when this agent ends. timeout_ms is its deadline.",
    .args_schema = OBJECT("\"required\":[\"agent\"],\"properties\":{"
                          "\"agent\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":128},"
                          "\"query\":{\"type\":\"string\",\"maxLength\":40000},\"input\":{},"
                          "\"session\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":128},"
                          "\"detached\":{\"type\":\"boolean\"}," CAPABILITIES "}"),
    .result_schema = OBJECT("\"required\":[\"status\"],\"properties\":{"
                            "\"id\":{\"type\":\"string\",\"description\":\"of a detached "
                            "one\"},\"status\":{\"type\":\"string\"},"
                            "\"result\":{\"type\":\"string\"},\"output\":{},"
                            "\"exit_status\":{\"type\":\"integer\"}," USAGE "}"),
    .kind = SH_TOOL_ENGINE,
};

const struct sh_tool sh_tool_python = {
    .name = "python",
    .capability = "python",
    .category = "workflow",
    .description =
        "Run a Python script in a sandbox of its own, as a child workflow. It has no tool, no file "
        "and no network unless `capabilities` names what this agent has itself. A script that "
        "exits with another status than 0 is an answer, not an error.",
    .args_schema =
        OBJECT("\"required\":[\"code\"],\"properties\":{"
               "\"code\":{\"type\":\"string\",\"minLength\":1},\"input\":{},"
               "\"args\":{\"type\":\"array\",\"maxItems\":256,\"items\":"
               "{\"type\":\"string\"}},\"stdin\":{\"type\":\"string\"}," CAPABILITIES "}"),
    .result_schema =
        OBJECT("\"required\":[\"stdout\",\"stderr\",\"exit_status\"],\"properties\":{"
               "\"stdout\":{\"type\":\"string\"},"
               "\"stderr\":{\"type\":\"string\"},\"exit_status\":{\"type\":\"integer\"},"
               "\"result\":{}," USAGE "}"),
    .kind = SH_TOOL_ENGINE,
};
