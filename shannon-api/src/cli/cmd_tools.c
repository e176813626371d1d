/* tools: what agents may call, with JSON schemas. Those of MCP servers are asked of the servers,
 * which are started for it and stopped again. */
#include "cli/cli.h"

#include "files.h"

static json_t *tool_json(const struct sh_tool *tool) {
    json_t *args = NULL, *result = NULL;
    sh_json_parse(sh_str(tool->args_schema), SH_MIB, &args, NULL);
    sh_json_parse(sh_str(tool->result_schema), SH_MIB, &result, NULL);
    return json_pack("{s:s, s:s?, s:s?, s:s, s:s?, s:o, s:o}", "name", tool->name, "capability",
                     tool->capability, "category", tool->category, "origin", "built-in",
                     "description", tool->description, "parameters", args ? args : json_object(),
                     "result", result ? result : json_object());
}

static void on_listed(void *arg) {
    sh_loop_stop(arg);
}

/* Ask each server; one that cannot be asked is a line on stderr, not the end. */
static void ask_servers(struct sh_loop *loop, struct sh_tools *tools, const json_t *mcp,
                        json_t *list) {
    const char *name = NULL;
    json_t *entry = NULL;
    json_object_foreach((json_t *)(uintptr_t)mcp, name, entry) {
        struct sh_err err = {0};
        int rc = sh_tools_mcp_watch(tools, sh_str(name), on_listed, loop, &err);
        if (rc == 0) {
            sh_loop_run(loop);
        }
        json_t *more = sh_tools_mcp_list(tools, sh_str(name));
        if (json_array_size(more) == 0) {
            fprintf(stderr, "shannon: the MCP server %s gave no tools%s%s\n", name,
                    rc < 0 ? ": " : "", rc < 0 ? err.message : "");
        }
        json_array_extend(list, more);
        json_decref(more);
    }
}

static int add_mcp(const struct sh_config *config, const char *pins, json_t *list,
                   struct sh_err *err) {
    struct sh_loop *loop = NULL;
    struct sh_tools *tools = NULL;
    struct sh_tools_config tc = {.mcp = config->mcp, .mcp_pins = pins};
    int rc = sh_loop_new(&loop, err);
    rc = rc < 0 ? rc : sh_tools_new(loop, &tc, &tools, err);
    if (rc == 0) {
        ask_servers(loop, tools, config->mcp, list);
    }
    sh_tools_free(tools);
    sh_loop_free(loop);
    return rc;
}

/* Everything that there is, or what is left of it when `name` is given. */
static int collect(const struct sh_config *config, const char *pins, const char *name, json_t *list,
                   struct sh_err *err) {
    for (const struct sh_tool *const *t = sh_tools_list(); *t; t++) {
        json_array_append_new(list, tool_json(*t));
    }
    int rc = 0;
    if (json_object_size(config->mcp) && (!name || strncmp(name, "mcp:", 4) == 0)) {
        rc = add_mcp(config, pins, list, err);
    }
    for (size_t i = json_array_size(list); name && i-- > 0;) {
        const json_t *one = json_array_get(list, i);
        if (!sh_str_eqz(sh_json_get_str(one, "name"), name)) {
            json_array_remove(list, i);
        }
    }
    if (rc == 0 && name && json_array_size(list) == 0) {
        rc = sh_fail(err, SH_E_UNKNOWN_TOOL, "there is no tool %.60s; `shannon tools` lists them",
                     name);
    }
    return rc;
}

/* What the policy says to `agent` (empty: to one that no rule names) about each. */
static int judge(struct sh_app *app, const char *agent, json_t *list, struct sh_err *err) {
    static const char *const names[] = {[SH_ALLOW] = "allow", [SH_ASK] = "ask", [SH_DENY] = "deny"};
    static const struct sh_hash none = {0};
    int rc = sh_app_policy(app, err);
    for (size_t i = 0; rc == 0 && i < json_array_size(list); i++) {
        json_t *tool = json_array_get(list, i);
        struct sh_str capability = sh_json_get_str(tool, "capability");
        enum sh_verdict v = capability.len
                                ? sh_policy_tool(app->policy, sh_str(agent), &none, capability)
                                : SH_ALLOW;
        json_object_set_new(tool, "policy", json_string(names[v]));
    }
    app->policy = app->policy ? sh_policy_free(app->policy) : NULL;
    return rc;
}

static void print(const json_t *list) {
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *tool = json_array_get(list, i);
        printf("%-14s %-5s ", json_string_value(json_object_get(tool, "name")),
               json_string_value(json_object_get(tool, "policy")));
        if (sh_json_get_bool(tool, "changed", false)) {
            printf("(changed: not called until `shannon tools --accept`) ");
        }
        sh_cli_print_text(stdout, sh_json_get_str(tool, "description"), 200);
        putchar('\n');
    }
}

int sh_cmd_tools(int argc, char *const argv[]) {
    struct sh_common common = {0};
    const char *accept = NULL, *agent = NULL;
    const struct sh_flag flags[] = {
        {"accept", SH_FLAG_TEXT, &accept, "NAME", "take an MCP tool that changed as it is now"},
        {"agent", SH_FLAG_TEXT, &agent, "NAME", "say what the policy allows this agent"},
    };
    int rc = sh_cli_parse(&common, "tools [--agent NAME] [--accept NAME] [NAME]", flags,
                          SH_N(flags), 0, 1, argc, argv);
    if (rc != 0) {
        return rc < 0 ? SH_EXIT_OWN : 0;
    }
    const char *name = common.operands.n ? common.operands.v[0] : NULL;
    struct sh_app app = {.dir = SH_DATADIR_CLOSED};
    struct sh_err err = {0};
    sh_auto(sh_free_p) char *path = sh_datadir_default(common.data_dir, NULL);
    bool there = path && sh_datadir_open(path, false, &app.dir, NULL) == 0;
    sh_auto(sh_free_p) char *pins = there ? sh_path_join(app.dir.path, "mcp-tools.json") : NULL;
    json_t *list = json_array();
    rc = sh_app_config(&app.config, common.config, there ? app.dir.path : NULL, &err);
    if (rc == 0 && accept) {
        rc = sh_tools_mcp_accept(pins, accept, &err);
    } else if (rc == 0) {
        rc = collect(&app.config, pins, name, list, &err);
        rc = rc < 0 ? rc : judge(&app, agent ? agent : "", list, &err);
    }
    if (rc == 0 && !accept && (name || common.json)) {
        sh_cli_print_json(name ? json_array_get(list, 0) : list);
    } else if (rc == 0) {
        print(list);
    }
    json_decref(list);
    sh_config_done(&app.config);
    sh_datadir_close(&app.dir);
    sh_values_done(&common.operands);
    return sh_cli_end(rc < 0 ? sh_cli_fail(&err) : 0);
}
