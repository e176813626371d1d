/* See compensate.h. */
#include "engine/private.h"

/* A result longer than this is not kept: what compensations may write is reserved beyond the
 * journal's limit, so it must be bounded. */
#define RESULT_KEPT_MAX (64 * SH_KIB)

void sh_compensations_done(struct sh_compensations *cs) {
    json_decref(cs->list);
    json_decref(cs->end);
    *cs = (struct sh_compensations){0};
}

/* ---- registering ---- */

/* What can be undone later without the guest: calls that leave, and what a session keeps. */
const struct sh_tool *sh_compensate_tool(const json_t *args, struct sh_err *err) {
    struct sh_str op = sh_json_get_str(args, "op");
    const struct sh_tool *tool = sh_tool_find(op);

    if (!tool) {
        sh_fail(err, SH_E_UNKNOWN_TOOL,
                "compensate: there is no tool \"%.*s\"; see `shannon tools`",
                (int)(op.len > 60 ? 60 : op.len), op.p ? op.p : "");
        return NULL;
    }
    if (tool->kind != SH_TOOL_REMOTE && strncmp(tool->name, "kv.", 3) != 0) {
        sh_fail(err, SH_E_INVAL,
                "compensate: \"%s\" undoes nothing: expected a call that leaves (llm, http ...) or "
                "one of kv.*",
                tool->name);
        return NULL;
    }
    if (sh_json_get_bool(json_object_get(args, "args"), "at_most_once", false)) {
        sh_fail(err, SH_E_INVAL,
                "compensate: at_most_once: a compensation is carried out at least once, under an "
                "idempotency key of its own");
        return NULL;
    }
    return tool;
}

static void add(struct sh_workflow *wf, int64_t ordinal, const json_t *args) {
    json_t *inner = json_object_get(args, "args");

    if (!wf->compensations.list) {
        wf->compensations.list = json_array();
    }
    json_array_append_new(wf->compensations.list,
                          json_pack("{s:I, s:O, s:o}", "ordinal", (json_int_t)ordinal, "op",
                                    json_object_get(args, "op"), "args",
                                    inner ? json_deep_copy(inner) : json_object()));
}

void sh_compensate_run(struct sh_activity *a) {
    struct sh_workflow *wf = a->wf;
    size_t n = json_array_size(wf->compensations.list);
    struct sh_err err = {0};

    if (n >= SH_COMPENSATIONS_MAX) {
        sh_fail(&err, SH_E_LIMIT, "compensate: %zu are registered, as many as may be", n);
    } else {
        (void)sh_admit_probe(wf, a->ordinal, a->args, &err);
    }
    if (err.code) {
        sh_activity_fail(a, &err, false, 0);
        return;
    }
    add(wf, (int64_t)a->ordinal, a->args);
    sh_activity_succeed(a, json_pack("{s:I}", "registered", (json_int_t)n + 1));
}

void sh_compensate_apply_registered(struct sh_workflow *wf, const struct sh_event *ev) {
    if (wf->phase == SH_PHASE_LOADING && json_object_get(ev->body, "result")) {
        add(wf, sh_json_get_int(ev->body, "ordinal", 0), json_object_get(ev->body, "args"));
    }
}

/* ---- running ---- */

static void finish(struct sh_workflow *wf) {
    struct sh_compensations *cs = &wf->compensations;
    const char *type = sh_event_type(sh_json_get_str(cs->end, "end_type"));
    json_t *body = json_deep_copy(json_object_get(cs->end, "end"));
    json_t *count = json_pack("{s:I, s:I}", "completed", (json_int_t)cs->completed, "failed",
                              (json_int_t)cs->failed);

    SH_ASSERT(type && sh_event_is_final(sh_str(type)));
    json_object_set(wf->row, "compensations", count);
    json_object_set_new(body, "compensations", count);
    json_object_del(wf->row, "compensating");
    sh_workflow_end(wf, type, json_string_value(json_object_get(cs->end, "status")), body);
}

/* The last of those without an outcome; when there is none, the end. */
static void next(struct sh_workflow *wf) {
    json_t *list = wf->compensations.list;

    if (wf->leaving || wf->engine->stopping) {
        return;
    }
    for (size_t i = json_array_size(list); i-- > 0;) {
        json_t *item = json_array_get(list, i);
        if (!json_object_get(item, "outcome")) {
            sh_activity_compensate(wf, item);
            return;
        }
    }
    finish(wf);
}

bool sh_compensate_begin(struct sh_workflow *wf, const char *type, const char *status,
                         json_t *body) {
    if (json_array_size(wf->compensations.list) == 0 || strcmp(type, "WorkflowCompleted") == 0) {
        return false;
    }
    wf->phase = SH_PHASE_COMPENSATING;
    wf->paused = false;
    json_object_set_new(wf->row, "compensating",
                        json_integer((json_int_t)json_array_size(wf->compensations.list)));
    sh_journal_add(wf, "Compensating",
                   json_pack("{s:s, s:s, s:o}", "end_type", type, "status", status, "end", body));
    sh_workflow_row_put(wf, "running");
    sh_journal_commit(wf, NULL, NULL);
    return true;
}

void sh_compensate_resume(struct sh_workflow *wf) {
    wf->phase = SH_PHASE_COMPENSATING;
    wf->paused = false;
    next(wf);
}

static json_t *find(const struct sh_workflow *wf, int64_t ordinal) {
    json_t *item;
    size_t i;

    json_array_foreach(wf->compensations.list, i, item) {
        if (sh_json_get_int(item, "ordinal", -1) == ordinal) {
            return item;
        }
    }
    return NULL;
}

void sh_compensate_apply(struct sh_workflow *wf, const struct sh_event *ev) {
    struct sh_compensations *cs = &wf->compensations;
    json_t *item = find(wf, sh_json_get_int(ev->body, "ordinal", -1));

    if (strcmp(ev->type, "Compensating") == 0) {
        json_decref(cs->end);
        cs->end = json_incref(ev->body);
    } else if (!item || json_object_get(item, "outcome")) {
        return; /* an edited journal: the chain has told so */
    } else if (strcmp(ev->type, "CompensationRetried") == 0) {
        json_object_set(item, "attempts", json_object_get(ev->body, "attempt"));
        json_object_set(item, "next_at_us", json_object_get(ev->body, "next_at_us"));
        json_object_set_new(item, "retried_us", json_integer(ev->time_us));
        return; /* its timer runs */
    } else {
        bool ok = strcmp(ev->type, "CompensationCompleted") == 0;
        cs->completed += ok;
        cs->failed += !ok;
        json_object_set_new(item, "outcome", json_boolean(ok));
    }
    if (wf->phase == SH_PHASE_COMPENSATING) {
        next(wf);
    }
}

void sh_compensate_outcome(struct sh_workflow *wf, json_t *body) {
    json_t *result = json_object_get(body, "result");
    sh_auto(sh_free_p) char *text = result ? sh_json_text(result) : NULL;

    if (text && strlen(text) > RESULT_KEPT_MAX) {
        json_object_set_new(body, "result", json_pack("{s:I}", "bytes", (json_int_t)strlen(text)));
    }
    sh_journal_add(wf, result ? "CompensationCompleted" : "CompensationFailed", body);
}
