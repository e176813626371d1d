/* See ask.h. */
#include "cli/ask.h"

int sh_ask_open(struct sh_ask *a) {
    return sh_client_open(&a->client, &a->common, false, &a->err);
}

int sh_ask_call(struct sh_ask *a, const char *method, const char *path, struct sh_str body) {
    json_decref(a->answer);
    a->answer = NULL;
    return sh_client_call(&a->client, method, path, NULL, body, &a->answer, &a->err);
}

int sh_ask_end(struct sh_ask *a, int status) {
    sh_client_close(&a->client);
    json_decref(a->answer);
    sh_values_done(&a->common.operands);
    return sh_cli_end(a->err.code ? sh_cli_fail(&a->err) : status);
}

char *sh_ask_task_path(struct sh_ask *a, const char *what) {
    const char *id = a->common.operands.v[0];
    struct sh_id checked;
    if (sh_id_parse(sh_str(id), &checked) < 0) {
        sh_fail(&a->err, SH_E_INVAL, "\"%.60s\" is no task id; `shannon tasks` lists them", id);
        return NULL;
    }
    return sh_asprintf("/api/v1/tasks/%s%s", checked.s, what);
}
