/* Raising a budget (budget.h): an event of the workflow and of all above it, whose limits bind it
 * too. What only a new agent knows of (fuel, output, activities) makes it anew from its journal. */
#include "engine/account.h"
#include "engine/private.h"

/* Names of the API and the journal; what the sandbox counts needs another agent. */
static const struct amount {
    const char *name;
    size_t at;
    uint64_t scale;
    bool sandbox;
} amounts[] = {
    {"tokens", offsetof(struct sh_limits, tokens), 1, false},
    {"fuel", offsetof(struct sh_limits, fuel), 1, true},
    {"wall_clock_ms", offsetof(struct sh_limits, wall_clock_ms), 1, false},
    {"output", offsetof(struct sh_limits, output_bytes), 1, true},
    {"activities", offsetof(struct sh_limits, activities), 1, true},
};
#define N_AMOUNTS (sizeof(amounts) / sizeof(amounts[0]))

/* gives  whether something changed that only a new agent knows of */
static bool raise_limits(struct sh_limits *l, const json_t *body) {
    double usd = json_number_value(json_object_get(body, "cost_usd"));
    bool sandbox = false;

    for (size_t i = 0; i < N_AMOUNTS; i++) {
        uint64_t more = (uint64_t)sh_json_get_int(body, amounts[i].name, 0);
        uint64_t *limit = (uint64_t *)((char *)l + amounts[i].at);
        if (more > 0 && *limit > 0) {
            *limit += more;
            sandbox = sandbox || amounts[i].sandbox;
        }
    }
    l->cost_usd += l->cost_usd > 0 ? usd : 0;
    return sandbox;
}

void sh_budget_apply(struct sh_workflow *wf, const struct sh_event *ev) {
    bool sandbox;

    if (strcmp(ev->type, "BudgetExceeded") == 0) {
        if (wf->reading) {
            wf->over_budget = sh_str_eqz(sh_json_get_str(ev->body, "action"), "ask");
        }
        return;
    }
    sandbox = raise_limits(&wf->spec.caps.limits, ev->body);
    wf->over_budget = false;
    if (wf->reading) {
        return;
    }
    sh_wall_stop(wf);
    if (wf->phase == SH_PHASE_RUNNABLE || wf->phase == SH_PHASE_LOADING) {
        wf->retake = sandbox;
        if (wf->phase == SH_PHASE_RUNNABLE) {
            sh_task_interrupt(&wf->task);
        }
    } else if (sandbox || !wf->agent) {
        sh_budget_retake(wf);
    } else {
        sh_activities_resume(wf);
        sh_workflow_poke(wf);
    }
}

struct retake { /* the old agent goes first: both use one workspace */
    struct sh_job job;
    struct sh_engine *engine;
    struct sh_agent *agent;
    char *workspace;
    json_t *row;
};

static void retake_work(struct sh_job *job) {
    struct retake *r = sh_container_of(job, struct retake, job);

    r->agent = sh_agent_free(r->agent);
    sh_tree_remove(r->workspace);
}

static void retake_done(struct sh_job *job) {
    struct retake *r = sh_container_of(job, struct retake, job);
    struct sh_engine *e = r->engine;

    if (!e->stopping) {
        sh_workflow_adopt(e, r->row);
    }
    json_decref(r->row);
    sh_free(r->workspace);
    sh_free(r);
    sh_engine_unpin(e);
}

void sh_budget_retake(struct sh_workflow *wf) {
    struct retake *r = sh_new(struct retake);

    r->engine = wf->engine;
    r->engine->pins++;
    r->agent = sh_take(&wf->agent);
    r->workspace = sh_workspace_path(wf);
    r->row = json_deep_copy(wf->row);
    sh_workflow_leave(wf);
    r->job.work = retake_work;
    r->job.done = retake_done;
    sh_loop_submit(r->engine->loop, SH_POOL_FILES, &r->job);
}

static int check_amounts(const json_t *more, struct sh_err *err) {
    static const char *const known[] = {"tokens", "cost_usd",   "fuel", "wall_clock_ms",
                                        "output", "activities", NULL};
    const char *name;
    json_t *value;

    if (sh_json_only(more, known, "the raise", err) < 0) {
        return -err->code;
    }
    json_object_foreach((json_t *)(uintptr_t)more, name, value) {
        bool good = strcmp(name, "cost_usd") == 0
                        ? json_is_number(value) && json_number_value(value) > 0 &&
                              json_number_value(value) <= 1e9
                        : json_is_integer(value) && json_integer_value(value) > 0 &&
                              json_integer_value(value) <= (json_int_t)1 << 50;
        if (!good) {
            return sh_fail(err, SH_E_INVAL, "%s: expected how much more, above 0", name);
        }
    }
    return json_object_size(more) > 0
               ? 0
               : sh_fail(err, SH_E_INVAL,
                         "expected at least one of tokens, cost_usd, fuel, wall_clock_ms, output "
                         "and activities");
}

static json_t *raise_body(const json_t *more, const char *by, const char *reason) {
    json_t *body = more ? json_deep_copy(more) : json_object();

    json_object_set_new(body, "by", sh_json_string(sh_str(by ? by : "")));
    json_object_set_new(body, "reason", sh_json_string(sh_str(reason ? reason : "")));
    return body;
}

bool sh_budget_add_raise(struct sh_workflow *wf, const json_t *more, const char *by,
                         const char *reason) {
    if (wf->over_budget) {
        sh_budget_rests_record(wf, false);
    }
    json_object_del(wf->row, "budget");
    if (sh_journal_add(wf, "BudgetRaised", raise_body(more, by, reason)) == 0) {
        return false;
    }
    sh_workflow_row_update(wf);
    return true;
}

/* The nearest of those above it that the raise cannot be told yet, or NULL. */
static const struct sh_id *away(const struct sh_workflow *wf) {
    const struct sh_account *a = wf && wf->account ? wf->account->up : NULL;

    while (a && (a->ended || (a->wf && !a->wf->reading))) {
        a = a->up;
    }
    return a ? &a->id : NULL;
}

/* Its budget, and that of all above it, which bind it. */
void sh_engine_raise(struct sh_engine *e, struct sh_str id, const json_t *more, const char *by,
                     const char *reason, sh_engine_json_fn cb, void *arg) {
    const struct sh_asked_for asked = {SH_ASK_RAISE,    .by = by, .reason = reason,
                                       .payload = more, .cb = cb, .arg = arg};
    struct sh_workflow *wf = sh_workflow_find(e, id);
    struct sh_control *c;
    struct sh_err err = {0};
    struct sh_id root;
    bool family;

    if (check_amounts(more, &err) == 0 &&
        (sh_defer(e, wf, id, &asked) || sh_defer_behind(e, away(wf), id, &asked))) {
        return;
    }
    c = sh_control_new(e, "raise its budget", cb, arg);

    if (check_amounts(more, &err) < 0) {
        sh_control_end(c, NULL, &err);
        return;
    }
    if (!sh_control_alive(c, wf, id)) {
        return;
    }
    for (struct sh_account *a = wf->account ? wf->account->up : NULL; a; a = a->up) {
        struct sh_workflow *x = a->wf;
        if (x && !x->reading && x->phase < SH_PHASE_ENDING &&
            sh_budget_add_raise(x, more, by, reason)) {
            sh_journal_commit(x, NULL, NULL);
        }
    }
    if (!sh_budget_add_raise(wf, more, by, reason)) {
        sh_fail(&err, SH_E_JOURNAL, "the task's journal has reached its size limit");
        sh_control_end(c, NULL, &err);
        return;
    }
    family = sh_budget_family_raised(wf);
    root = wf->spec.lineage.depth ? wf->spec.lineage.root : wf->id;
    sh_journal_commit(wf, sh_control_written, c);
    if (family) {
        sh_budget_wake_family(e, &root, by ? by : "");
    }
}
