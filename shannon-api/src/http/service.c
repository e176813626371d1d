/* Health, metrics, tools: what the service says about itself. */
#include "http/api.h"

#include <ctype.h>

void sh_handle_health(struct sh_request *r) {
    sh_reply_json(r, 200, json_pack("{s:s}", "status", "healthy"));
}

void sh_handle_readiness(struct sh_request *r) {
    bool ready = !r->api->stopping && !r->api->app->failed;
    sh_reply_json(r, ready ? 200 : 503, json_pack("{s:s}", "status", ready ? "ready" : "stopping"));
}

/* Prometheus text format 0.0.4. */
static void metric(struct sh_buf *out, const char *name, const char *type, double value) {
    sh_buf_addf(out, "# TYPE shannon_%s %s\nshannon_%s %.17g\n", name, type, name, value);
}

static void engine_metrics(struct sh_buf *out, const json_t *stats) {
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)stats, key, value) {
        char name[80];
        size_t n = 0;
        for (const char *p = key; *p && n + 1 < sizeof(name); p++) {
            name[n++] = isalnum((unsigned char)*p) ? *p : '_';
        }
        name[n] = 0;
        if (json_is_number(value)) {
            size_t len = strlen(name);
            bool counter = len > 6 && strcmp(name + len - 6, "_total") == 0;
            metric(out, name, counter ? "counter" : "gauge", json_number_value(value));
        }
    }
}

void sh_handle_metrics(struct sh_request *r) {
    sh_auto(sh_buf_done) struct sh_buf out = {0};
    sh_buf_init(&out, SH_MIB);
    struct sh_app *app = r->api->app;
    json_t *stats = sh_engine_stats(app->engine);
    engine_metrics(&out, stats);
    json_decref(stats);
    struct sh_store_stats store = sh_store_stats(app->store);
    metric(&out, "store_transactions_total", "counter", (double)store.transactions);
    metric(&out, "store_events_total", "counter", (double)store.events);
    metric(&out, "store_records_total", "counter", (double)store.records);
    metric(&out, "store_bytes_total", "counter", (double)store.bytes);
    metric(&out, "store_largest_batch", "gauge", (double)store.largest_batch);
    metric(&out, "http_requests_total", "counter", (double)r->api->requests);
    metric(&out, "http_streams", "gauge", (double)r->api->streams);
    sh_reply_text(r, 200, "text/plain; version=0.0.4; charset=utf-8", sh_buf_str(&out));
}

static json_t *schema(const char *text) {
    json_t *value = NULL;
    if (!text || sh_json_parse(sh_str(text), SH_MIB, &value, NULL) < 0) {
        value = json_object();
    }
    return value;
}

/* Would an agent that no rule names get it? `policy` answers for the agent that was asked about. */
static const char *verdict(const struct sh_request *r, const char *capability) {
    static const char *const names[] = {[SH_ALLOW] = "allow", [SH_ASK] = "ask", [SH_DENY] = "deny"};
    static const struct sh_hash none = {0};
    const char *agent = sh_request_param(r, "agent");
    return capability ? names[sh_policy_tool(r->api->app->policy, sh_str(agent ? agent : ""), &none,
                                             sh_str(capability))]
                      : names[SH_ALLOW];
}

static json_t *tool_json(const struct sh_request *r, const struct sh_tool *tool) {
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:o, s:o, s:s*}", "name", tool->name, "category",
                     tool->category ? tool->category : "", "origin", "built-in", "policy",
                     verdict(r, tool->capability), "description",
                     tool->description ? tool->description : "", "parameters",
                     schema(tool->args_schema), "result", schema(tool->result_schema), "capability",
                     tool->capability);
}

/* Of the servers that have said what they have. */
static json_t *mcp_tools(const struct sh_request *r, const json_t *servers) {
    json_t *all = json_array();
    size_t i, k;
    json_t *server, *tool;
    json_array_foreach(servers, i, server) {
        json_t *list = sh_tools_mcp_list(r->api->app->tools, sh_json_get_str(server, "server"));
        json_array_foreach(list, k, tool) {
            const char *capability = json_string_value(json_object_get(tool, "capability"));
            json_object_set_new(tool, "policy", json_string(verdict(r, capability)));
        }
        json_array_extend(all, list);
        json_decref(list);
    }
    return all;
}

void sh_handle_tools(struct sh_request *r) {
    const char *category = sh_request_param(r, "category");
    bool every = !category || !*category;
    json_t *list = json_array();
    json_t *servers = sh_tools_mcp_servers(r->api->app->tools);
    for (const struct sh_tool *const *t = sh_tools_list(); *t; t++) {
        if (every || ((*t)->category && strcmp((*t)->category, category) == 0)) {
            json_array_append_new(list, tool_json(r, *t));
        }
    }
    if (every || strcmp(category, "mcp") == 0) {
        json_t *more = mcp_tools(r, servers);
        json_array_extend(list, more);
        json_decref(more);
    }
    sh_reply_json(r, 200, json_pack("{s:o, s:o}", "tools", list, "servers", servers));
}

static json_t *find_mcp_tool(const struct sh_request *r) {
    json_t *found = NULL, *tool;
    size_t i;
    json_t *servers = sh_tools_mcp_servers(r->api->app->tools);
    json_t *all = mcp_tools(r, servers);
    json_array_foreach(all, i, tool) {
        if (sh_str_eqz(sh_json_get_str(tool, "name"), r->name)) {
            found = json_incref(tool);
        }
    }
    json_decref(all);
    json_decref(servers);
    return found;
}

void sh_handle_tool(struct sh_request *r) {
    const struct sh_tool *tool = sh_tool_find(sh_str(r->name));
    json_t *found = tool ? tool_json(r, tool) : find_mcp_tool(r);
    if (!found) {
        struct sh_err err = {0};
        sh_fail(&err, SH_E_UNKNOWN_TOOL,
                "there is no tool %.120s; GET /api/v1/tools lists them, with the state of each MCP "
                "server",
                r->name);
        sh_reply_error(r, &err);
        return;
    }
    sh_reply_json(r, 200, found);
}
