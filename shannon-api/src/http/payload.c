/* A task's input and result, whole: what is kept beside the journal is sent from its file, and
 * never in memory. */
#include "http/api.h"

#include <unistd.h>

/* `kept`: the member of a row that refers to a file, `plain` the one that has the value. What an
 * agent printed is its result where it gave none. */
static void reply_whole(struct sh_request *r, const json_t *row, const char *kept,
                        const char *plain) {
    struct sh_err err = {0};
    uint64_t bytes = 0;
    int fd = -1;
    json_t *value = json_object_get(row, plain);

    sh_reply_header(r, "X-Workflow-ID", r->id);
    if (json_object_get(row, kept)) {
        if (sh_engine_payload_open(r->api->app->engine, json_object_get(row, kept), &fd, &bytes,
                                   &err) < 0) {
            sh_reply_error(r, &err);
        } else {
            sh_reply_file(r, 200, "application/json", fd, bytes);
        }
    } else if (value && !json_is_null(value)) {
        sh_reply_json(r, 200, json_incref(value));
    } else {
        sh_reply_json(r, 200, sh_json_string(sh_json_get_str(row, "result")));
    }
}

static void got_result(void *arg, json_t *row, const struct sh_err *err) {
    struct sh_request *r = arg;
    struct sh_err running = {0};

    if (!err && !json_object_get(row, "completed_at")) {
        sh_fail(&running, SH_E_STATE, "the task has not ended; ask again when it has");
        err = &running;
    }
    if (err) {
        sh_reply_error(r, err);
    } else {
        reply_whole(r, row, "output_kept", "output");
    }
}

static void got_input(void *arg, json_t *row, const struct sh_err *err) {
    struct sh_request *r = arg;

    if (err) {
        sh_reply_error(r, err);
    } else {
        reply_whole(r, row, "input_kept", "input");
    }
}

void sh_handle_task_result(struct sh_request *r) {
    sh_engine_get(r->api->app->engine, sh_str(r->id), got_result, r);
}

void sh_handle_task_input(struct sh_request *r) {
    sh_engine_get(r->api->app->engine, sh_str(r->id), got_input, r);
}
