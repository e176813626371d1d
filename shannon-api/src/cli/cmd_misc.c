/* sql, tools, version */
#include "cli/cli.h"

#include "version.h"

#include <stdlib.h>

static void records_done(void *arg, json_t *records, size_t total, const struct sh_err *err) {
    (void)total;
    sh_wait_json(arg, records, err);
}

static int query(const struct sh_common *common, struct sh_app *app, json_t **ret,
                 struct sh_err *err) {
    sh_auto(sh_free_p) char *path = sh_datadir_default(common->data_dir, err);
    int rc = path ? sh_datadir_open(path, false, &app->dir, err) : -SH_E_INVAL;
    struct sh_err busy = {0};
    if (rc == 0 && sh_datadir_lock(&app->dir, &busy) < 0) {
        return busy.code == SH_E_BUSY
                   ? sh_fail(err, SH_E_BUSY,
                             "%s; stop it first: sql reads a data directory that is "
                             "not in use",
                             busy.message)
                   : (*err = busy, -busy.code);
    }
    rc = rc < 0 ? rc : sh_app_config(&app->config, common->config, app->dir.path, err);
    rc = rc < 0 ? rc : sh_app_open(app, &(struct sh_app_options){.store_only = true}, err);
    if (rc < 0) {
        return rc;
    }
    struct sh_wait w = {.app = app};
    sh_store_query(app->store, sh_str(common->operands.v[0]), records_done, &w);
    rc = sh_wait_run(&w, err);
    *ret = w.value;
    return rc;
}

int sh_cmd_sql(int argc, char *const argv[]) {
    struct sh_common common = {0};
    int rc = sh_cli_parse(&common, "sql \"SELECT ... FROM workflow\"", NULL, 0, 1, 1, argc, argv);
    if (rc != 0) {
        return rc < 0 ? SH_EXIT_OWN : 0;
    }
    struct sh_app app = {.dir = SH_DATADIR_CLOSED};
    struct sh_err err = {0};
    json_t *result = NULL;
    if (query(&common, &app, &result, &err) == 0) {
        sh_cli_print_json(result);
    }
    json_decref(result);
    sh_app_close(&app);
    sh_values_done(&common.operands);
    return sh_cli_end(err.code ? sh_cli_fail(&err) : 0);
}

static json_t *tool_json(const struct sh_tool *tool) {
    json_t *args = NULL, *result = NULL;
    sh_json_parse(sh_str(tool->args_schema), SH_MIB, &args, NULL);
    sh_json_parse(sh_str(tool->result_schema), SH_MIB, &result, NULL);
    return json_pack("{s:s, s:s?, s:s?, s:s?, s:o, s:o}", "name", tool->name, "capability",
                     tool->capability, "category", tool->category, "description", tool->description,
                     "parameters", args ? args : json_object(), "result",
                     result ? result : json_object());
}

int sh_cmd_tools(int argc, char *const argv[]) {
    struct sh_common common = {0};
    int rc = sh_cli_parse(&common, "tools [NAME]", NULL, 0, 0, 1, argc, argv);
    if (rc != 0) {
        return rc < 0 ? SH_EXIT_OWN : 0;
    }
    const char *name = common.operands.n ? common.operands.v[0] : NULL;
    struct sh_err err = {0};
    if (name && !sh_tool_find(sh_str(name))) {
        sh_fail(&err, SH_E_UNKNOWN_TOOL, "there is no tool %.60s; `shannon tools` lists them",
                name);
    }
    json_t *list = json_array();
    for (const struct sh_tool *const *t = sh_tools_list(); *t && !err.code; t++) {
        if (name ? strcmp((*t)->name, name) == 0 : common.json) {
            json_array_append_new(list, tool_json(*t));
        } else if (!name) {
            printf("%-14s %s\n", (*t)->name, (*t)->description ? (*t)->description : "");
        }
    }
    if (!err.code && (name || common.json)) {
        sh_cli_print_json(name ? json_array_get(list, 0) : list);
    }
    json_decref(list);
    sh_values_done(&common.operands);
    return sh_cli_end(err.code ? sh_cli_fail(&err) : 0);
}

int sh_cmd_version(int argc, char *const argv[]) {
    struct sh_common common = {0};
    int rc = sh_cli_parse(&common, "version", NULL, 0, 0, 0, argc, argv);
    if (rc != 0) {
        return rc < 0 ? SH_EXIT_OWN : 0;
    }
    if (common.json) {
        json_t *view = json_pack("{s:s, s:s}", "shannon", SH_VERSION, "native", sh_native_text());
        sh_cli_print_json(view);
        json_decref(view);
    } else {
        printf("shannon %s (%s)\n", SH_VERSION, sh_native_text());
    }
    sh_values_done(&common.operands);
    return sh_cli_end(0);
}
