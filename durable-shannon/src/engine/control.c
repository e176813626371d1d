/* Cancel, pause, resume, standard input: what people do to a workflow that is alive. Each is an
 * event first; its effect comes when it is durable. */
#include "engine/call.h"
#include "engine/private.h"

struct sh_control {
    struct sh_call call;
    const char *what;
};

void sh_control_end(struct sh_control *c, json_t *row, const struct sh_err *err) {
    sh_call_end(&c->call, row, err);
}

/* Not in memory: it has ended, or there never was one. */
static void ended(void *arg, json_t *row, const struct sh_err *err) {
    struct sh_control *c = arg;
    struct sh_err state = {0};

    if (!err && sh_index_is_open(row)) {
        sh_fail(&state, SH_E_UNAVAILABLE,
                "cannot %s: the task could not be taken up from its journal; the log says why",
                c->what);
        err = &state;
    } else if (!err) {
        sh_fail(&state, SH_E_STATE, "cannot %s: the task has ended (%s)", c->what,
                json_object_get(row, "compensating")
                    ? "what it did is being undone"
                    : json_string_value(json_object_get(row, "status")));
        err = &state;
    }
    sh_control_end(c, NULL, err);
}

void sh_control_written(struct sh_workflow *wf, void *arg, const struct sh_err *err) {
    sh_control_end(arg, err ? NULL : wf->row, err);
}

struct sh_control *sh_control_new(struct sh_engine *e, const char *what, sh_engine_json_fn cb,
                                  void *arg) {
    struct sh_control *c = sh_new(struct sh_control);

    sh_call_init(&c->call, e, (struct sh_str){0}, cb, arg);
    c->what = what;
    return c;
}

static void add_event(struct sh_workflow *wf, const char *type, const char *status, const char *by,
                      const char *reason) {
    json_t *body =
        json_pack("{s:o, s:o, s:I}", "by", sh_json_string(sh_str(by ? by : "")), "reason",
                  sh_json_string(sh_str(reason ? reason : "")), "at", (json_int_t)sh_wall_us());

    if (strcmp(type, "Resumed") == 0) {
        json_object_del(wf->row, "pause");
    } else {
        json_object_set(wf->row, strcmp(type, "Paused") == 0 ? "pause" : "cancel", body);
    }
    sh_journal_add(wf, type, body);
    sh_workflow_row_put(wf, status);
}

static void write_event(struct sh_control *c, struct sh_workflow *wf, const char *type,
                        const char *status, const char *by, const char *reason) {
    add_event(wf, type, status, by, reason);
    sh_journal_commit(wf, sh_control_written, c);
}

/* A pause ends with a cancel: who is canceled may clean up. */
static void add_cancel(struct sh_workflow *wf, const char *by, const char *reason) {
    json_object_del(wf->row, "pause");
    add_event(wf, "CancelRequested", "running", by, reason);
}

void sh_workflow_cancel(struct sh_workflow *wf, const char *by, const char *reason) {
    if (!wf->cancel_requested && wf->phase < SH_PHASE_COMPENSATING && !wf->leaving &&
        !wf->engine->stopping) { /* once it compensates, how it ends is journaled */
        add_cancel(wf, by, reason);
        sh_journal_commit(wf, NULL, NULL);
    }
}

int sh_workflow_is_reading(struct sh_err *err) {
    return sh_fail(err, SH_E_UNAVAILABLE,
                   "the task is being taken up from its journal; try again in a moment");
}

bool sh_control_alive(struct sh_control *c, struct sh_workflow *wf, struct sh_str id) {
    struct sh_err err = {0};

    if (wf && wf->reading) {
        sh_workflow_is_reading(&err);
        sh_control_end(c, NULL, &err);
        return false;
    }
    if (!wf || wf->phase >= SH_PHASE_COMPENSATING || wf->leaving) {
        sh_engine_get(c->call.engine, id, ended, c);
        return false;
    }
    return true;
}

void sh_engine_cancel(struct sh_engine *e, struct sh_str id, const char *by, const char *reason,
                      sh_engine_json_fn cb, void *arg) {
    struct sh_workflow *wf = sh_workflow_find(e, id);
    const struct sh_asked_for asked = {SH_ASK_CANCEL, .by = by, .reason = reason, .cb = cb,
                                       .arg = arg};
    struct sh_control *c;

    if (sh_defer(e, wf, id, &asked)) {
        return;
    }
    c = sh_control_new(e, "cancel", cb, arg);
    if (!sh_control_alive(c, wf, id)) {
        return;
    }
    if (wf->cancel_requested) {
        sh_control_end(c, wf->row, NULL);
    } else {
        add_cancel(wf, by, reason);
        sh_journal_commit(wf, sh_control_written, c);
    }
}

void sh_engine_pause(struct sh_engine *e, struct sh_str id, const char *by, const char *reason,
                     sh_engine_json_fn cb, void *arg) {
    struct sh_workflow *wf = sh_workflow_find(e, id);
    const struct sh_asked_for asked = {SH_ASK_PAUSE, .by = by, .reason = reason, .cb = cb,
                                       .arg = arg};
    struct sh_control *c;

    if (sh_defer(e, wf, id, &asked)) {
        return;
    }
    c = sh_control_new(e, "pause", cb, arg);
    if (!sh_control_alive(c, wf, id)) {
        return;
    }
    if (wf->paused) {
        sh_control_end(c, wf->row, NULL);
    } else {
        write_event(c, wf, "Paused", "paused", by, reason);
    }
}

void sh_engine_resume(struct sh_engine *e, struct sh_str id, const char *by, const char *reason,
                      sh_engine_json_fn cb, void *arg) {
    struct sh_workflow *wf = sh_workflow_find(e, id);
    const struct sh_asked_for asked = {SH_ASK_RESUME, .by = by, .reason = reason, .cb = cb,
                                       .arg = arg};
    struct sh_control *c;

    if (sh_defer(e, wf, id, &asked)) {
        return;
    }
    c = sh_control_new(e, "resume", cb, arg);
    if (!sh_control_alive(c, wf, id)) {
        return;
    }
    if (!wf->paused) {
        sh_control_end(c, wf->row, NULL);
    } else {
        write_event(c, wf, "Resumed", "running", by, reason);
    }
}

int sh_engine_stdin(struct sh_engine *e, struct sh_str id, struct sh_str bytes, bool eof,
                    struct sh_err *err) {
    struct sh_workflow *wf = sh_workflow_find(e, id);

    if (!wf || wf->phase >= SH_PHASE_COMPENSATING || wf->leaving) {
        return sh_fail(err, SH_E_NOT_FOUND, "there is no running task of that id");
    }
    if (!wf->spec.stdin_live || wf->stdin_eof) {
        return sh_fail(err, SH_E_STATE, "this task takes no (more) standard input");
    }
    if (wf->stdin_queue.len + bytes.len >= wf->stdin_queue.max) {
        return sh_fail(err, SH_E_LIMIT,
                       "more than %zu bytes of standard input wait to be read; send the rest later",
                       wf->stdin_queue.max);
    }
    sh_buf_add(&wf->stdin_queue, bytes.p, bytes.len);
    wf->stdin_eof = eof;
    sh_workflow_stdin_ready(wf);
    return 0;
}
