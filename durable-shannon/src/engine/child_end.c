/* The end of a child, told to the activity that waits for it (children.h): from memory, or from its
 * row when nobody was there. A result of up to SH_CHILD_OUTPUT_MAX bytes that is kept beside the
 * child's journal becomes a value in its parent's; of a larger one the parent gets the reference.
 */
#include "engine/children.h"

#include "engine/private.h"
#include "engine/python.h"

void sh_child_answer(struct sh_activity *a, json_t *result) {
    sh_auto(sh_free_p) char *text = sh_json_text(result);
    struct sh_err err = {0};

    if (strlen(text) <= SH_ACTIVITY_RESULT_MAX) {
        sh_activity_succeed(a, result);
        return;
    }
    json_decref(result);
    sh_fail(&err, SH_E_LIMIT, "the child's result has %zu bytes, at most %llu can be taken",
            strlen(text), SH_ACTIVITY_RESULT_MAX);
    sh_activity_fail(a, &err, false, 0);
}

static void complete(struct sh_activity *a, const json_t *row) {
    static const char *const members[] = {"status",       "result",      "output",
                                          SH_OUTPUT_KEPT, "exit_status", "usage"};
    struct sh_str status = sh_json_get_str(row, "status");
    const json_t *error = json_object_get(row, "error");
    struct sh_str why = sh_json_get_str(error, "message");
    struct sh_err err = {0};

    if (!a->spent) {
        a->spent = json_incref(json_object_get(row, "spent"));
    }
    if (sh_json_get_bool(row, "silent", false)) {
        sh_fail(&err, SH_E_TIMEOUT,
                "no sign of life for %llu ms (heartbeat_timeout_ms); the child was canceled",
                (unsigned long long)a->heartbeat_ms);
        sh_activity_fail(a, &err, false, 0);
        return;
    }
    if (strcmp(a->tool->name, "python") == 0 && sh_python_complete(a, row)) {
        return;
    }
    if (!sh_str_eqz(status, "completed")) {
        const char *code = json_string_value(json_object_get(error, "code"));
        sh_fail(&err, code ? sh_code_from_name(code) : SH_E_CANCELED, "the child workflow %s%s%.*s",
                sh_str_eqz(status, "canceled") ? "was canceled" : "failed", why.len ? ": " : "",
                (int)why.len, why.p ? why.p : "");
        sh_activity_fail(a, &err, false, 0);
        return;
    }
    json_t *result = json_object();
    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
        json_t *member = json_object_get(row, members[i]);
        if (member) {
            json_object_set(result, members[i], member);
        }
    }
    sh_child_answer(a, result);
}

/* The activity that waits for that child, or NULL: it may have been answered, or its workflow have
 * ended. */
static struct sh_activity *waiting(struct sh_workflow *wf, uint64_t ordinal) {
    struct sh_activity *a = sh_child_find(wf, ordinal);

    return a && a->state == SH_ACTIVITY_OUT && !wf->leaving && wf->phase < SH_PHASE_ENDING ? a
                                                                                           : NULL;
}

struct reading { /* of an output that the child's row only refers to */
    struct sh_job job;
    struct sh_workflow *wf;
    uint64_t ordinal;
    json_t *row;
    struct sh_payload kept;
    char *folder;
    json_t *output; /* or NULL: written as values are, it is too large after all */
    struct sh_err err;
};

static void read_work(struct sh_job *job) {
    struct reading *r = sh_container_of(job, struct reading, job);
    sh_auto(sh_buf_done) struct sh_buf text = {0};

    if (sh_payload_read(r->folder, &r->kept, &text, &r->err) < 0) {
        return;
    }
    r->output = sh_guest_json(sh_buf_str(&text));
    sh_auto(sh_free_p) char *written = sh_json_text(r->output);
    if (strlen(written) > SH_CHILD_OUTPUT_MAX) {
        json_decref(r->output);
        r->output = NULL;
    }
}

static void read_over(struct reading *r) {
    struct sh_workflow *wf = r->wf;
    struct sh_activity *a = waiting(wf, r->ordinal);

    if (!a || wf->engine->stopping) {
        return;
    }
    if (sh_end_is_the_hosts(r->err.code)) { /* nothing that a guest may learn */
        sh_workflow_park(wf, r->err.code, r->err.message);
        return;
    }
    if (r->err.code) {
        sh_activity_fail(a, &r->err, false, 0);
    } else {
        if (r->output) {
            json_object_del(r->row, SH_OUTPUT_KEPT);
            json_object_set(r->row, "output", r->output);
        }
        complete(a, r->row);
    }
    sh_journal_commit(wf, NULL, NULL);
}

static void read_done(struct sh_job *job) {
    struct reading *r = sh_container_of(job, struct reading, job);
    struct sh_workflow *wf = r->wf;

    wf->looks--;
    read_over(r);
    json_decref(r->output);
    json_decref(r->row);
    sh_free(r->folder);
    sh_free(r);
    sh_workflow_unpin(wf);
}

static void read_output(struct sh_workflow *wf, uint64_t ordinal, const json_t *row,
                        const struct sh_payload *kept) {
    struct reading *r = sh_new(struct reading);

    *r = (struct reading){.wf = wf, .ordinal = ordinal, .row = json_deep_copy(row), .kept = *kept};
    r->folder = sh_asprintf("%s/blobs", wf->engine->config.data_dir);
    r->job.work = read_work;
    r->job.done = read_done;
    wf->pins++;
    wf->looks++;
    sh_loop_submit(wf->engine->loop, SH_POOL_FILES, &r->job);
}

static void settle(struct sh_workflow *wf, uint64_t ordinal, const json_t *row) {
    struct sh_activity *a = waiting(wf, ordinal);
    struct sh_payload kept;

    if (a && sh_payload_parse(json_object_get(row, SH_OUTPUT_KEPT), &kept) &&
        kept.bytes <= SH_CHILD_OUTPUT_MAX) {
        read_output(wf, ordinal, row, &kept);
    } else if (a) {
        complete(a, row);
        sh_journal_commit(wf, NULL, NULL);
    }
}

void sh_child_ended(struct sh_workflow *child) {
    const struct sh_lineage *l = &child->spec.lineage;
    struct sh_workflow *parent;

    if (!sh_is_attached(child) || (child->orphan && !child->called_parent)) {
        return;
    }
    parent = sh_workflow_find(child->engine, sh_str(l->parent.s));
    if (parent && !parent->reading) {
        settle(parent, l->ordinal, child->row);
    } else { /* it finds the end by itself */
        sh_takeup_wake(child->engine, &l->parent, SH_WAKE_TIMER, SH_FAMILY_DUE_US);
    }
}

struct look { /* of an activity at its child's row */
    struct sh_workflow *wf;
    uint64_t ordinal;
};

static void row_found(void *arg, json_t *records, size_t total, const struct sh_err *err) {
    struct look *look = arg;
    struct sh_workflow *wf = look->wf;
    uint64_t ordinal = look->ordinal;
    const json_t *row = json_array_get(records, 0);

    (void)total;
    sh_free(look);
    wf->looks--;
    if (err) {
        sh_workflow_doom(wf, err->code, err->message);
    } else if (json_object_get(row, "completed_at")) {
        settle(wf, ordinal, row);
    } else if (!row) { /* a fork has no children yet: they start again under its id */
        struct sh_activity *a = sh_child_find(wf, ordinal);
        struct sh_err gone = {0};
        bool alive = a && !wf->leaving && wf->phase < SH_PHASE_ENDING && !wf->engine->stopping;
        if (alive && wf->spec.n_reseeds > 0) {
            sh_child_start(a);
        } else if (alive) {
            sh_fail(&gone, SH_E_OUTCOME_UNKNOWN, "the child workflow has been forgotten");
            sh_activity_fail(a, &gone, false, 0);
        }
        sh_journal_commit(wf, NULL, NULL);
    }
    sh_workflow_unpin(wf);
}

/* It runs, is about to be taken up, or has ended: then its row says so. */
void sh_child_again(struct sh_activity *a) {
    struct sh_birth birth = {.lineage = {.parent = a->wf->id, .ordinal = a->ordinal}};
    struct look *look = sh_new(struct look);
    struct sh_id id;

    a->state = SH_ACTIVITY_OUT;
    sh_birth_id(&birth, &id);
    if (sh_json_get_bool(a->args, "detached", false)) {
        sh_activity_succeed(a, json_pack("{s:s, s:s}", "id", id.s, "status", "running"));
        sh_free(look);
        return;
    }
    look->wf = a->wf;
    look->ordinal = a->ordinal;
    a->wf->pins++;
    a->wf->looks++;
    sh_store_get(a->wf->engine->store, SH_TABLE_WORKFLOW, sh_str(id.s), row_found, look);
}
