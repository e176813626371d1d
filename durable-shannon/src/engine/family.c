/* See family.h. A child's id begins like its parent's (children.c), so that those of one parent are
 * found by reading a few neighbours. */
#include "engine/family.h"

#include <stdio.h>

#include "engine/private.h"

bool sh_is_attached(const struct sh_workflow *wf) {
    return wf->spec.lineage.depth > 0 && !wf->spec.lineage.detached;
}

bool sh_family_tells(const struct sh_activity *a) {
    const struct sh_birth birth = {.lineage = {.parent = a->wf->id, .ordinal = a->ordinal}};
    const struct sh_workflow *child;
    struct sh_id id;

    sh_birth_id(&birth, &id);
    child = sh_workflow_find(a->wf->engine, sh_str(id.s));
    return child && child->phase >= SH_PHASE_ENDING;
}

/* ---- for the next process ---- */

static void put(struct sh_workflow *wf, const struct sh_id *id, json_t *record) {
    char key[SH_INDEX_KEY_BYTES];

    sh_index_wake_key(SH_FAMILY_DUE_US, id->s, key);
    sh_journal_put(wf, sh_index_wake_table(SH_WAKE_TIMER), key, record);
}

static void call(struct sh_workflow *wf, const struct sh_id *id) {
    put(wf, id, json_pack("{s:s, s:i}", "workflow", id->s, "due_us", SH_FAMILY_DUE_US));
}

/* May one of its attached children go on? false: none does, for certain. */
static bool may_have_children(const struct sh_workflow *wf) {
    uint64_t n = (uint64_t)sh_json_get_int(wf->row, "children", 0);

    return n > 0 && (wf->children_over < n || wf->spec.n_reseeds > 0);
}

/* One that is awake is taken up at the next start anyway, and stays so while this one ends. */
static bool parent_sleeps(const struct sh_workflow *wf) {
    const struct sh_workflow *parent =
        sh_workflow_find(wf->engine, sh_str(wf->spec.lineage.parent.s));

    return !parent || parent->place == SH_PLACE_ASLEEP;
}

void sh_family_ends(struct sh_workflow *wf) {
    if (sh_is_attached(wf) && !wf->orphan && parent_sleeps(wf)) {
        wf->called_parent = true;
        call(wf, &wf->spec.lineage.parent);
    }
    if (may_have_children(wf)) {
        wf->called_children = true;
        call(wf, &wf->id);
    }
}

void sh_family_awake(struct sh_workflow *wf) {
    if (sh_is_attached(wf) || json_object_get(wf->row, "children")) {
        put(wf, &wf->id, NULL);
    }
}

/* ---- a parent's end ---- */

static void parent_found(void *arg, json_t *records, size_t total, const struct sh_err *err) {
    struct sh_workflow *wf = arg;
    const json_t *row = json_array_get(records, 0);
    const json_t *cancel = json_object_get(row, "cancel");
    /* What a canceled parent starts to clean up is not meant by that cancel. */
    bool canceled = cancel && sh_json_get_int(cancel, "at", 0) >= wf->spec.started_us;

    (void)total;
    wf->looks--;
    wf->orphan = wf->orphan || (!err && (!row || json_object_get(row, "completed_at")));
    if (wf->orphan) {
        sh_workflow_cancel(wf, "parent", "the workflow that started it has ended");
    } else if (canceled) {
        sh_workflow_cancel(wf, "parent", "the workflow that started it was canceled");
    }
    sh_workflow_unpin(wf);
}

void sh_family_check_parent(struct sh_workflow *child) {
    if (sh_is_attached(child)) {
        child->pins++;
        child->looks++;
        sh_store_get(child->engine->store, SH_TABLE_WORKFLOW, sh_str(child->spec.lineage.parent.s),
                     parent_found, child);
    }
}

void sh_family_cancel(struct sh_workflow *parent, const char *reason) {
    if (!may_have_children(parent) && !parent->called_children) {
        return;
    }
    sh_list_each (node, &parent->engine->workflows) {
        struct sh_workflow *wf = sh_container_of(node, struct sh_workflow, link);
        if (sh_is_attached(wf) && !wf->reading && !wf->verify &&
            strcmp(wf->spec.lineage.parent.s, parent->id.s) == 0) {
            wf->orphan = parent->phase == SH_PHASE_ENDED;
            sh_workflow_cancel(wf, "parent", reason);
        }
    }
    sh_family_find_children(parent->engine, &parent->id);
}

struct search {               /* for the children of one */
    struct sh_engine *engine; /* pinned */
    struct sh_id parent;
    size_t offset, waits; /* waits: children on their way into memory, and the reading */
    bool failed, again;   /* failed: one did not come; again: this is the second time */
};

static void search_on(struct search *s);

/* Once all of them are awake as the store knows it, the record has done its work. One that did not
 * come has ended meanwhile, which another look shows, or the record is for the next start. */
static void search_less(struct search *s) {
    struct sh_engine *e = s->engine;

    if (--s->waits > 0) {
        return;
    }
    if (s->failed && !s->again && !e->stopping) {
        s->failed = false;
        s->again = true;
        s->waits = 1;
        s->offset = 0;
        search_on(s);
        return;
    }
    if (!s->failed && !e->stopping) {
        sh_wakes_forget(e, SH_WAKE_TIMER, SH_FAMILY_DUE_US, &s->parent);
    }
    sh_free(s);
    sh_engine_unpin(e);
}

static void child_came(struct sh_engine *e, struct sh_workflow *wf, void *arg) {
    struct search *s = arg;

    (void)e;
    s->failed = s->failed || !wf;
    search_less(s);
}

static void take_up(struct search *s, const json_t *row) {
    struct sh_str id = sh_json_get_str(row, "id");
    const struct sh_workflow *wf = sh_workflow_find(s->engine, id);

    if (sh_index_is_open(row) && !sh_json_get_bool(row, "detached", false) &&
        (!wf || wf->reading)) {
        s->waits++;
        sh_takeup_add(s->engine, id, child_came, s);
    }
}

static void children_found(void *arg, json_t *records, size_t total, const struct sh_err *err) {
    struct search *s = arg;
    const json_t *row;
    size_t i;

    if (err) {
        sh_log(SH_LOG_ERROR, "children-unread", "parent=%s message=%s", s->parent.s,
               SH_Q(sh_str(err->message)));
        s->failed = true;
    }
    s->offset += json_array_size(records);
    if (!s->engine->stopping) {
        json_array_foreach(records, i, row) {
            take_up(s, row);
        }
        if (s->offset < total && json_array_size(records) > 0) {
            search_on(s);
            return;
        }
    }
    search_less(s);
}

static void search_on(struct search *s) {
    char prefix[SH_FAMILY_ID_COMMON + 1];
    struct sh_store_filter f = {.member = {"parent"},
                                .value = {s->parent.s},
                                .prefix = prefix,
                                .offset = s->offset,
                                .limit = SH_STORE_LIST_MAX};

    snprintf(prefix, sizeof(prefix), "%.*s", SH_FAMILY_ID_COMMON, s->parent.s);
    sh_store_list(s->engine->store, SH_TABLE_WORKFLOW, &f, children_found, s);
}

void sh_family_find_children(struct sh_engine *e, const struct sh_id *parent) {
    struct search *s = sh_new(struct search);

    s->engine = e;
    s->parent = *parent;
    s->waits = 1;
    e->pins++;
    search_on(s);
}
