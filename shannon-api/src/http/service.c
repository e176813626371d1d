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
    sh_auto(sh_buf_done) struct sh_buf out;
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

static json_t *tool_json(const struct sh_tool *tool) {
    return json_pack("{s:s, s:s, s:s, s:o, s:o, s:s*}", "name", tool->name, "category",
                     tool->category ? tool->category : "", "description",
                     tool->description ? tool->description : "", "parameters",
                     schema(tool->args_schema), "result", schema(tool->result_schema), "capability",
                     tool->capability);
}

void sh_handle_tools(struct sh_request *r) {
    const char *category = sh_request_param(r, "category");
    json_t *list = json_array();
    for (const struct sh_tool *const *t = sh_tools_list(); *t; t++) {
        if (!category || !*category || ((*t)->category && strcmp((*t)->category, category) == 0)) {
            json_array_append_new(list, tool_json(*t));
        }
    }
    sh_reply_json(r, 200, json_pack("{s:o}", "tools", list));
}

void sh_handle_tool(struct sh_request *r) {
    const struct sh_tool *tool = sh_tool_find(sh_str(r->id));
    if (!tool) {
        struct sh_err err = {0};
        sh_fail(&err, SH_E_UNKNOWN_TOOL, "there is no tool %s; GET /api/v1/tools lists them",
                r->id);
        sh_reply_error(r, &err);
        return;
    }
    sh_reply_json(r, 200, tool_json(tool));
}
