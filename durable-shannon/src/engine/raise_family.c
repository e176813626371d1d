/* A raise of one member lets all of its family that rest over a budget try again, whether they are
 * in memory or asleep. Each of them has a record under the family's root; the raise's own commit
 * has one that says so, which goes when all of them are back, so that a crash between cuts nobody
 * off. */
#include <stdio.h>

#include "engine/private.h"

#define RESTS "rests:" /* rests:ROOT:ID, of SH_TABLE_META */

static const struct sh_id *root_of(const struct sh_workflow *wf) {
    return wf->spec.lineage.depth ? &wf->spec.lineage.root : &wf->id;
}

void sh_budget_rests_record(struct sh_workflow *wf, bool rests) {
    sh_auto(sh_free_p) char *key = sh_asprintf(RESTS "%s:%s", root_of(wf)->s, wf->id.s);

    if (wf->spec.lineage.depth > 0) {
        sh_journal_put(wf, SH_TABLE_META, key,
                       rests ? json_pack("{s:s}", "workflow", wf->id.s) : NULL);
    }
}

struct family_raise {
    struct sh_list link;
    struct sh_engine *engine; /* pinned */
    struct sh_id root;
    json_t *members; /* ids */
    char *by;
    size_t waits;
    bool failed, again; /* again: another raise came meanwhile */
};

static void look(struct family_raise *r);

static void less(struct family_raise *r) {
    struct sh_engine *e = r->engine;

    if (--r->waits > 0) {
        return;
    }
    json_array_clear(r->members);
    if (r->again && !e->stopping) {
        r->again = r->failed = false;
        look(r);
        return;
    }
    if (!r->failed && !e->stopping) {
        sh_wakes_forget(e, SH_WAKE_TIMER, SH_RAISE_DUE_US, &r->root);
    }
    sh_list_unlink(&r->link);
    json_decref(r->members);
    sh_free(r->by);
    sh_free(r);
    sh_engine_unpin(e);
}

static void tried(struct sh_workflow *wf, void *arg, const struct sh_err *err) {
    struct family_raise *r = arg;

    (void)wf;
    r->failed = r->failed || err;
    less(r);
}

static void came(struct sh_engine *e, struct sh_workflow *wf, void *arg) {
    struct family_raise *r = arg;

    (void)e;
    if (wf && wf->over_budget && wf->phase < SH_PHASE_ENDING && !wf->leaving &&
        sh_budget_add_raise(wf, NULL, r->by, "the budget of its family was raised")) {
        sh_journal_commit(wf, tried, r);
        return;
    }
    r->failed = r->failed || !wf; /* it has ended, or the next start tries again */
    less(r);
}

static void members_read(void *arg, json_t *records, size_t total, const struct sh_err *err) {
    struct family_raise *r = arg;
    json_t *record, *id;
    size_t i;

    if (err) {
        sh_log(SH_LOG_ERROR, "members-unread", "root=%s message=%s", r->root.s,
               SH_Q(sh_str(err->message)));
        r->failed = true;
    }
    json_array_foreach(records, i, record) {
        json_array_append(r->members, json_object_get(record, "workflow"));
    }
    if (json_array_size(records) > 0 && json_array_size(r->members) < total) {
        look(r);
    } else if (!r->engine->stopping) {
        json_array_foreach(r->members, i, id) {
            r->waits++;
            sh_takeup_add(r->engine, sh_str(json_string_value(id)), came, r);
        }
    }
    less(r);
}

static void look(struct family_raise *r) {
    sh_auto(sh_free_p) char *prefix = sh_asprintf(RESTS "%s:", r->root.s);
    struct sh_store_filter f = {
        .prefix = prefix, .offset = json_array_size(r->members), .limit = SH_STORE_LIST_MAX};

    r->waits++;
    sh_store_list(r->engine->store, SH_TABLE_META, &f, members_read, r);
}

void sh_budget_wake_family(struct sh_engine *e, const struct sh_id *root, const char *by) {
    struct family_raise *r;

    sh_list_each (node, &e->family_raises) {
        r = sh_container_of(node, struct family_raise, link);
        if (strcmp(r->root.s, root->s) == 0) {
            r->again = true;
            return;
        }
    }
    r = sh_new(struct family_raise);
    r->engine = e;
    r->root = *root;
    r->members = json_array();
    r->by = sh_strdup(by);
    e->pins++;
    sh_list_push(&e->family_raises, &r->link);
    look(r);
}

bool sh_budget_family_raised(struct sh_workflow *wf) {
    char key[SH_INDEX_KEY_BYTES];
    const struct sh_id *root = root_of(wf);

    if (wf->spec.lineage.depth == 0 && !json_object_get(wf->row, "children")) {
        return false;
    }
    sh_index_wake_key(SH_RAISE_DUE_US, root->s, key);
    sh_journal_put(wf, sh_index_wake_table(SH_WAKE_TIMER), key,
                   json_pack("{s:s, s:i}", "workflow", root->s, "due_us", SH_RAISE_DUE_US));
    return true;
}
