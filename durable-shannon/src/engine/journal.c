/* One commit is one sh_store_append: its events are chained when they are added, so that their
 * order and hashes are fixed before the store sees them, and applied when the store says they are
 * durable. Commits of one workflow are answered in the order in which they were sent, because the
 * store has one writer. */
#include "engine/compact.h"
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
    "Compensating",
    "CompensationRetried",
    "CompensationCompleted",
    "CompensationFailed",
    NULL,
};

struct commit {
    struct sh_workflow *wf;
    struct sh_list events;
    void (*then)(struct sh_workflow *wf, void *arg, const struct sh_err *err);
    void *arg;
    struct commit *other; /* of another workflow in the same transaction, or NULL */
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

bool sh_journal_skips(const struct sh_journal *j, uint64_t seq) {
    return j->compacted > 0 && j->seq == j->compacted && seq <= j->compacted;
}

int sh_journal_follow(struct sh_journal *j, const struct sh_event_record *ev, struct sh_err *err) {
    struct sh_hash hash;

    if (j->seq == 0 && sh_str_eqz(ev->type, "Compacted")) {
        return sh_compacted_follow(j, ev, err);
    }
    if (ev->seq != j->seq + 1) {
        return sh_fail(err, SH_E_CORRUPT, "event %llu is missing: the journal goes on with %llu",
                       (unsigned long long)j->seq + 1, (unsigned long long)ev->seq);
    }
    sh_journal_hash(&j->head, ev->seq, ev->time_us, ev->type, ev->body, &hash);
    if (!sh_hash_eq(&hash, &ev->hash)) {
        return sh_fail(err, SH_E_CORRUPT,
                       "event %llu does not match its hash: the journal was damaged or edited",
                       (unsigned long long)ev->seq);
    }
    j->seq = ev->seq;
    j->head = hash;
    j->time_us = ev->time_us;
    return 0;
}

uint64_t sh_journal_add(struct sh_workflow *wf, const char *type, json_t *body) {
    struct sh_journal *j = &wf->journal;
    char *text = sh_json_text(body);
    size_t len = strlen(text);
    bool final = sh_event_is_final(sh_str(type)) || strncmp(type, "Compensat", 9) == 0;
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

    if (j->full && wf->phase < SH_PHASE_COMPENSATING &&
        (table == SH_TABLE_KV || table == SH_TABLE_PUBLISHED || table == SH_TABLE_UPDATE)) {
        /* the event that tells of it has not gone in */
        json_decref(value);
        return;
    }
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
        sh_heartbeat_seen(wf, ev->type);
        sh_event_free(ev);
    }
}

/* One workflow's half of a commit that the store has answered. */
static void settle(struct commit *c, const struct sh_err *err) {
    struct sh_workflow *wf = c->wf;
    struct sh_engine *e = wf->engine;

    wf->journal.commits_pending--;
    wf->journal.lost = wf->journal.lost || err;
    if (!err) {
        apply_events(wf, &c->events);
        if (wf->journal.inputs_pending == 0) {
            sh_activities_dispatch(wf);
            sh_net_again(wf);
        }
    } else if (err->code == SH_E_EXISTS || err->code == SH_E_LIMIT) {
        /* another owner writes its journal, or no transaction can hold what it did: this process
         * goes on without it */
        sh_log(SH_LOG_ERROR, "workflow-lost", "id=%s reason=%s", wf->id.s,
               SH_Q(sh_str(err->message)));
        sh_kv_forget(e);
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

/* The store has answered: the commit is durable, or this process may not go on with the workflow.
 */
static void committed(void *arg, const struct sh_err *err) {
    struct commit *c = arg;
    struct commit *other = c->other;

    settle(c, err);
    if (other) {
        settle(other, err);
    }
}

/* Events lent to the store, which copies them. */
static size_t lend(const struct commit *c, struct sh_event_record *records) {
    size_t n = 0;

    sh_list_each (node, &c->events) {
        struct sh_event *ev = sh_container_of(node, struct sh_event, link);
        if (records) {
            records[n] = (struct sh_event_record){.workflow = sh_str(c->wf->id.s),
                                                  .seq = ev->seq,
                                                  .time_us = ev->time_us,
                                                  .type = sh_str(ev->type),
                                                  .body = sh_strn(ev->text, ev->text_len),
                                                  .hash = ev->hash};
        }
        n++;
    }
    return n;
}

/* The puts of the other workflow's commit join those of the first. */
static void join_puts(struct sh_journal *j, struct sh_journal *other) {
    size_t n = j->n_puts + other->n_puts;

    if (n > j->cap_puts) {
        j->cap_puts = n;
        j->puts = sh_grow(j->puts, n * sizeof(*j->puts));
    }
    if (other->n_puts > 0) {
        memcpy(j->puts + j->n_puts, other->puts, other->n_puts * sizeof(*j->puts));
    }
    j->n_puts = n;
    other->n_puts = 0;
}

static int send(struct commit *c, struct sh_err *err) {
    struct sh_journal *j = &c->wf->journal;
    struct sh_event_record *records;
    size_t n = lend(c, NULL), more = c->other ? lend(c->other, NULL) : 0;
    int r;

    records = sh_new_array(struct sh_event_record, n + more + 1);
    lend(c, records);
    if (c->other) {
        lend(c->other, records + n);
        join_puts(j, &c->other->wf->journal);
    }
    r = sh_engine_append(c->wf->engine, records, n + more, j->puts, j->n_puts, committed, c, err);
    sh_free(records);
    drop_puts(j);
    return r;
}

/* Take the draft of a workflow. */
static struct commit *commit_new(struct sh_workflow *wf) {
    struct sh_journal *j = &wf->journal;
    struct commit *c = sh_new(struct commit);

    sh_quarantine_progress(wf);
    sh_asleep_touched(wf);
    c->wf = wf;
    sh_list_init(&c->events);
    sh_list_move(&c->events, &j->draft);
    j->draft_bytes = 0;
    wf->pins++;
    j->commits_pending++;
    return c;
}

static void leave(struct commit *c) {
    struct sh_err err = {0};
    bool lost = c->wf->journal.lost || (c->other && c->other->wf->journal.lost);

    if (lost) { /* a commit before it was refused: this one would leave a gap */
        drop_puts(&c->wf->journal);
        if (c->other) {
            drop_puts(&c->other->wf->journal);
        }
        sh_fail(&err, SH_E_UNAVAILABLE, "an earlier commit of %s was refused", c->wf->id.s);
        committed(c, &err);
    } else if (send(c, &err) < 0) {
        /* Refused at once: a commit that no transaction can hold, or a store that has stopped. */
        committed(c, &err);
    }
}

void sh_journal_commit(struct sh_workflow *wf,
                       void (*then)(struct sh_workflow *wf, void *arg, const struct sh_err *err),
                       void *arg) {
    struct sh_journal *j = &wf->journal;
    struct commit *c;

    if (sh_list_empty(&j->draft) && j->n_puts == 0 && !then) {
        return;
    }
    c = commit_new(wf);
    c->then = then;
    c->arg = arg;
    leave(c);
}

void sh_journal_commit_both(struct sh_workflow *wf,
                            void (*then)(struct sh_workflow *wf, void *arg,
                                         const struct sh_err *err),
                            void *arg, struct sh_workflow *other) {
    struct commit *c = commit_new(wf);

    c->then = then;
    c->arg = arg;
    c->other = commit_new(other);
    leave(c);
}
