/* POST /api/v1/run: `shannon run` of another process joins the owner of the data directory. What it
 * was given as flags counts as policy for that task, so only the socket takes it, whose file mode
 * says that this is the person the data directory belongs to.
 *
 * The answer is an event stream with one event, the task's first row, that stays open as long as
 * the other process stays: by it the owner knows that somebody still works here. */
#include "http/api.h"
#include "http/large.h"
#include "http/pipe.h"

#define ANSWER_MAX (256 * SH_KIB)
#define ARGS_MAX 4096

struct guest { /* of api->guests, from the answer until it leaves or the owner does */
    struct sh_list link;
    struct sh_pipe *pipe;
};

struct joining {
    struct sh_request *r;
    json_t *body;
    const char **args;
};

static void joining_free(struct joining *j) {
    json_decref(j->body);
    sh_free(j->args);
    sh_free(j);
}

static void guest_leaves(void *arg) {
    struct guest *g = arg;
    struct sh_pipe *pipe = g->pipe;
    sh_list_unlink(&g->link);
    sh_free(g);
    sh_pipe_end(pipe);
}

void sh_guests_end(struct sh_api *api) {
    while (!sh_list_empty(&api->guests)) {
        guest_leaves(sh_container_of(api->guests.next, struct guest, link));
    }
}

static void submitted(void *arg, json_t *row, bool cached, const struct sh_err *err) {
    struct joining *j = arg;
    struct sh_request *r = j->r;
    sh_auto(sh_buf_done) struct sh_buf text = {0};
    (void)cached;
    joining_free(j);
    if (err) {
        sh_reply_error(r, err);
        return;
    }
    struct guest *g = sh_new(struct guest);
    json_t *answer =
        json_pack("{s:O, s:O, s:O*}", "task_id", json_object_get(row, "id"), "status",
                  json_object_get(row, "status"), "error", json_object_get(row, "error"));
    sh_buf_init(&text, ANSWER_MAX);
    sh_json_dump(answer, &text);
    json_decref(answer);
    g->pipe = sh_pipe_new(ANSWER_MAX, guest_leaves, g);
    sh_list_push(&r->api->guests, &g->link);
    sh_pipe_event(g->pipe, sh_buf_str(&text));
    sh_reply_pipe(r, g->pipe);
}

static int read_args(struct joining *j, struct sh_err *err) {
    const json_t *args = json_object_get(j->body, "args");
    size_t n = json_array_size(args);
    if ((args && !json_is_array(args)) || n > ARGS_MAX) {
        return sh_fail(err, SH_E_INVAL, "args must be a list of at most %d strings", ARGS_MAX);
    }
    j->args = sh_new_array(const char *, n + 1);
    for (size_t i = 0; i < n; i++) {
        j->args[i] = json_string_value(json_array_get(args, i));
        if (!j->args[i]) {
            return sh_fail(err, SH_E_INVAL, "args[%zu] must be a string", i);
        }
    }
    return 0;
}

static int read_priority(const json_t *body, struct sh_submit *s, struct sh_err *err) {
    const json_t *value = json_object_get(body, "priority");
    if (!value) {
        return 0;
    }
    if (!json_is_integer(value) || json_integer_value(value) < 0 ||
        json_integer_value(value) > SH_PRIORITY_MAX) {
        return sh_fail(err, SH_E_INVAL, "priority must be a number from 0 to %d, the most urgent",
                       SH_PRIORITY_MAX);
    }
    s->has_priority = true;
    s->priority = (unsigned)json_integer_value(value);
    return 0;
}

static int read_body(struct joining *j, struct sh_submit *s, struct sh_err *err) {
    static const char *const known[] = {
        "agent",        "query",       "input",      "args", "argv0",    "stdin_live", "operator",
        "capabilities", "script_name", "session_id", "tty",  "priority", NULL};
    int rc = sh_request_json(j->r, false, &j->body, err);
    rc = rc < 0 ? rc : sh_json_only(j->body, known, "the body", err);
    rc = rc < 0 ? rc : read_args(j, err);
    if (rc < 0) {
        return rc;
    }
    *s = (struct sh_submit){
        .agent = sh_json_get_str(j->body, "agent"),
        .query = sh_json_get_str(j->body, "query"),
        .input = json_object_get(j->body, "input"),
        .input_text = j->r->input_text.len > 0 ? &j->r->input_text : NULL,
        .session = sh_json_get_str(j->body, "session_id"),
        .capabilities = json_object_get(j->body, "capabilities"),
        .operator_doc = json_object_get(j->body, "operator"),
        .args = j->args,
        .argv0 = json_string_value(json_object_get(j->body, "argv0")),
        .script_name = json_string_value(json_object_get(j->body, "script_name")),
        .stdin_live = sh_json_get_bool(j->body, "stdin_live", false),
    };
    for (size_t i = 0; i < 3; i++) {
        s->tty[i] = json_is_true(json_array_get(json_object_get(j->body, "tty"), i));
    }
    return read_priority(j->body, s, err);
}

static void start(struct sh_request *r, const struct sh_err *bad) {
    struct joining *j = sh_new(struct joining);
    struct sh_submit s;
    struct sh_err err = bad ? *bad : (struct sh_err){0};
    j->r = r;
    int rc = bad ? -err.code : read_body(j, &s, &err);
    if (rc < 0) {
        joining_free(j);
        sh_reply_error(r, &err);
        return;
    }
    sh_engine_submit(r->api->app->engine, &s, submitted, j);
}

void sh_handle_run(struct sh_request *r) {
    struct sh_err err = {0};
    if (!r->trusted || !r->can_stream) {
        sh_fail(&err, SH_E_DENIED,
                "only the socket of the data directory takes this; submit with POST "
                "/api/v1/tasks");
        sh_reply_error(r, &err);
        return;
    }
    sh_request_cut(r, start);
}
