/* Export and import: a task as a file, and back. */
#include "http/api.h"
#include "http/task_view.h"

static void exported(void *arg, int archive, uint64_t bytes, const struct sh_err *err) {
    struct sh_request *r = arg;
    if (err) {
        sh_reply_error(r, err);
        return;
    }
    sh_auto(sh_free_p) char *name = sh_asprintf("attachment; filename=\"%s.tar\"", r->id);
    sh_reply_header(r, "Content-Disposition", name);
    sh_reply_file(r, 200, SH_EXPORT_TYPE, archive, bytes);
}

void sh_handle_export(struct sh_request *r) {
    struct sh_err err = {0};
    uint64_t with_interpreter = 0;
    if (sh_request_number(r, "interpreter", 0, 0, 1, &with_interpreter, &err) < 0) {
        sh_reply_error(r, &err);
    } else {
        sh_engine_export(r->api->app->engine, sh_str(r->id), with_interpreter != 0, exported, r);
    }
}

static void imported(void *arg, json_t *row, const struct sh_err *err) {
    struct sh_request *r = arg;
    if (err) {
        sh_reply_error(r, err);
    } else {
        sh_reply_json(r, 200, sh_task_json(row));
    }
}

void sh_handle_import(struct sh_request *r) {
    int archive = r->body_file;
    r->body_file = -1;
    sh_engine_import(r->api->app->engine, archive, imported, r);
}
