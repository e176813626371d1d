/* One commit is one sh_store_append: its events are chained when they are added, so that their
 * order and hashes are fixed before the store sees them, and applied when the store says they are
 * durable. Commits of one workflow are answered in the order in which they were sent, because the
 * store has one writer. */
#include "engine/private.h"

static const char *const event_types[] = {
    "WorkflowStarted",
    "PolicyDecided",
    "Observed",
    "ActivityScheduled",
    "ActivityRetried",
    "ActivityCompleted",
    "ActivityFailed",
    "TimerFired",
    "Output",
    "Emitted",
    "Published",
    "Checkpoint",
    "Claimed",
    "Paused",
    "Resumed",
    "CancelRequested",
    "BudgetExceeded",
    "WorkflowCompleted",
    "WorkflowFailed",
    "WorkflowCancelled",
    "SignalReceived",
    "ApprovalRequested",
    "ApprovalDecided",
    "BudgetRaised",
    "Forked",
    "Compacted",
    NULL,
};

struct commit {
    struct sh_workflow *wf;
    struct sh_list events;
    void (*then)(struct sh_workflow *wf, void *arg, const struct sh_err *err);
    void *arg;
};

const char *sh_event_type(struct sh_str type) {
    for (size_t i = 0; event_types[i]; i++) {
        if (sh_str_eqz(type, event_types[i])) {
            return event_types[i];
        }
    }
    return NULL;
}

bool sh_event_is_final(struct sh_str type) {
    return sh_str_eqz(type, "WorkflowCompleted") || sh_str_eqz(type, "WorkflowFailed") ||
           sh_str_eqz(type, "WorkflowCancelled");
}

/* Events that change what a guest may learn: until they are durable nothing later may leave. */
static bool is_input(const char *type) {
    static const char *const inputs[] = {
        "WorkflowStarted", "ActivityCompleted", "ActivityFailed", "TimerFired",
        "Observed",        "CancelRequested",   "Checkpoint",     "Claimed"};
    for (size_t i = 0; i < sizeof(inputs) / sizeof(inputs[0]); i++) {
        if (strcmp(type, inputs[i]) == 0) {
            return true;
        }
    }
    return false;
}

void sh_event_free(struct sh_event *ev) {
    if (!ev) {
        return;
    }
    json_decref(ev->body);
    sh_free(ev->text);
    sh_free(ev);
}

void sh_journal_init(struct sh_journal *j, const struct sh_id *id) {
    struct sh_hasher h;

    *j = (struct sh_journal){.bytes_max = SH_JOURNAL_BYTES_DEFAULT};
    sh_list_init(&j->draft);
    sh_hasher_init(&h);
    sh_hasher_add(&h, "shannon journal 1", 17);
    sh_hasher_str(&h, sh_str(id->s));
    sh_hasher_done(&h, &j->head);
}

static void drop_puts(struct sh_journal *j) {
    for (size_t i = 0; i < j->n_puts; i++) {
        /* key and value were made by sh_journal_put; the views lend them to the store */
        char *key;
        json_t *value;
        memcpy(&key, &j->puts[i].key.p, sizeof(key));
        memcpy(&value, &j->puts[i].value, sizeof(value));
        sh_free(key);
        json_decref(value);
    }
    j->n_puts = 0;
}

static void drop_events(struct sh_list *events) {
    struct sh_list *node;

    while ((node = sh_list_pop(events))) {
        sh_event_free(sh_container_of(node, struct sh_event, link));
    }
}

void sh_journal_done(struct sh_journal *j) {
    if (j->draft.next) {
        drop_events(&j->draft);
    }
    drop_puts(j);
    sh_free(j->puts);
    *j = (struct sh_journal){0};
}

void sh_journal_hash(const struct sh_hash *previous, uint64_t seq, int64_t time_us,
                     struct sh_str type, struct sh_str body, struct sh_hash *ret) {
    struct sh_hasher h;

    sh_hasher_init(&h);
    sh_hasher_add(&h, previous->b, SH_HASH_BYTES);
    sh_hasher_u64(&h, seq);
    sh_hasher_u64(&h, (uint64_t)time_us);
    sh_hasher_str(&h, type);
    sh_hasher_str(&h, body);
    sh_hasher_done(&h, ret);
}

uint64_t sh_journal_add(struct sh_workflow *wf, const char *type, json_t *body) {
    struct sh_journal *j = &wf->journal;
    char *text = sh_json_text(body);
    size_t len = strlen(text);
    bool final = sh_event_is_final(sh_str(type));
    struct sh_event *ev;
    int64_t now = sh_wall_us();

    if (!final && j->bytes + len > j->bytes_max) {
        j->full = true;
    }
    if (j->full && !final) {
        sh_free(text);
        json_decref(body);
        return 0;
    }
    ev = sh_new(struct sh_event);
    ev->seq = ++j->seq;
    ev->time_us = now > j->time_us ? now : j->time_us + 1;
    ev->type = type;
    ev->body = body;
    ev->text = text;
    ev->text_len = len;
    sh_journal_hash(&j->head, ev->seq, ev->time_us, sh_str(type), sh_strn(text, len), &ev->hash);
    j->time_us = ev->time_us;
    j->head = ev->hash;
    j->bytes += len;
    j->draft_bytes += len;
    j->inputs_pending += is_input(type);
    sh_list_push(&j->draft, &ev->link);
    return ev->seq;
}

void sh_journal_put(struct sh_workflow *wf, enum sh_table table, const char *key, json_t *value) {
    struct sh_journal *j = &wf->journal;

    if (j->n_puts == j->cap_puts) {
        j->cap_puts = j->cap_puts ? j->cap_puts * 2 : 4;
        j->puts = sh_grow(j->puts, j->cap_puts * sizeof(*j->puts));
    }
    j->puts[j->n_puts++] =
        (struct sh_put){.table = table, .key = sh_str(sh_strdup(key)), .value = value};
}

static void apply_events(struct sh_workflow *wf, struct sh_list *events) {
    struct sh_list *node;

    while ((node = sh_list_pop(events))) {
        struct sh_event *ev = sh_container_of(node, struct sh_event, link);

        wf->journal.durable_seq = ev->seq;
        wf->journal.inputs_pending -= is_input(ev->type);
        SH_CRASH_POINT(engine_before_tell);
        sh_live_publish(wf, ev);
        sh_workflow_apply(wf, ev);
        sh_event_free(ev);
    }
}

/* The store has answered: the commit is durable, or this process may not go on with the workflow.
 */
static void committed(void *arg, const struct sh_err *err) {
    struct commit *c = arg;
    struct sh_workflow *wf = c->wf;
    struct sh_engine *e = wf->engine;

    wf->journal.commits_pending--;
    if (!err) {
        apply_events(wf, &c->events);
        if (wf->journal.inputs_pending == 0) {
            sh_activities_dispatch(wf);
        }
    } else if (err->code == SH_E_EXISTS || err->code == SH_E_LIMIT) {
        /* another owner writes its journal, or no transaction can hold what it did: this process
         * goes on without it */
        sh_log(SH_LOG_ERROR, "workflow-lost", "id=%s reason=%s", wf->id.s,
               SH_Q(sh_str(err->message)));
        sh_workflow_leave(wf);
    } else {
        sh_engine_fatal(e, err);
    }
    if (c->then) {
        c->then(wf, c->arg, err);
    }
    drop_events(&c->events);
    sh_free(c);
    sh_workflow_unpin(wf);
}

/* Lend the draft's events to the store, which copies them. */
static int send(struct sh_workflow *wf, struct commit *c, struct sh_err *err) {
    struct sh_journal *j = &wf->journal;
    struct sh_event_record *records = NULL;
    size_t n = 0;
    int r;

    sh_list_each (node, &c->events) {
        n++;
    }
    records = sh_new_array(struct sh_event_record, n ? n : 1);
    n = 0;
    sh_list_each (node, &c->events) {
        struct sh_event *ev = sh_container_of(node, struct sh_event, link);
        records[n++] = (struct sh_event_record){.workflow = sh_str(wf->id.s),
                                                .seq = ev->seq,
                                                .time_us = ev->time_us,
                                                .type = sh_str(ev->type),
                                                .body = sh_strn(ev->text, ev->text_len),
                                                .hash = ev->hash};
    }
    r = sh_store_append(wf->engine->store, records, n, j->puts, j->n_puts, committed, c, err);
    sh_free(records);
    drop_puts(j);
    return r;
}

void sh_journal_commit(struct sh_workflow *wf,
                       void (*then)(struct sh_workflow *wf, void *arg, const struct sh_err *err),
                       void *arg) {
    struct sh_journal *j = &wf->journal;
    struct sh_err err = {0};
    struct commit *c;

    if (sh_list_empty(&j->draft) && j->n_puts == 0 && !then) {
        return;
    }
    c = sh_new(struct commit);
    c->wf = wf;
    c->then = then;
    c->arg = arg;
    sh_list_init(&c->events);
    sh_list_move(&c->events, &j->draft);
    j->draft_bytes = 0;
    wf->pins++;
    j->commits_pending++;
    if (send(wf, c, &err) < 0) {
        /* Refused at once: a commit that no transaction can hold, or a store that has stopped. */
        committed(c, &err);
    }
}
