/* Fork: a new workflow that has lived through the same events up to a cut, and goes on by itself
 * (SEMANTICS 13). The source is replayed to the cut, which proves that its journal leads there and
 * tells how much randomness it had used; its events are chained again under the new id; Forked says
 * where they come from and gives the seed of what follows. What was open at the cut is an activity
 * without an outcome: taking the fork up starts it again, under the new id's keys.
 *
 * The row is written with the last event: until then nobody sees the fork. */
#include "engine/compact.h"
#include "engine/private.h"

struct fork {
    struct sh_engine *engine;
    struct sh_id source, id;
    uint64_t at;
    uint64_t random_pos;
    json_t *row, *first; /* the new row; body of the new first event */
    char *session;       /* of the source */
    struct sh_journal j; /* the new chain */
    struct sh_hash head; /* of the source at the cut */
    int64_t time_us;
    size_t kv_offset, names_offset;
    sh_engine_json_fn cb;
    void *arg;
};

static void fork_end(struct fork *x, const struct sh_err *err) {
    struct sh_engine *e = x->engine;

    sh_journal_release(e, x->source.s);
    x->cb(x->arg, err ? NULL : x->row, err);
    sh_journal_done(&x->j);
    json_decref(x->row);
    json_decref(x->first);
    sh_free(x->session);
    sh_free(x);
    sh_engine_unpin(e);
}

/* ---- 4: the last event and the row ---- */

static void written(void *arg, const struct sh_err *err) {
    struct fork *x = arg;

    if (!err && !x->engine->config.passive && !x->engine->stopping) {
        sh_workflow_adopt(x->engine, x->row);
    }
    fork_end(x, err);
}

static int add_last(struct fork *x, struct sh_err *err) {
    char head[SH_HASH_HEX_BYTES], mine[SH_HASH_HEX_BYTES], key[SH_INDEX_KEY_BYTES];
    sh_auto(sh_buf_done) struct sh_buf hex = {0};
    uint8_t seed[32];

    sh_random_bytes(seed, sizeof(seed));
    sh_buf_init_sure(&hex, 128);
    sh_hex_encode(&hex, seed, sizeof(seed));
    sh_hash_hex(&x->head, head);
    sh_auto(sh_json_done) json_t *body =
        json_pack("{s:s, s:I, s:s, s:s, s:I}", "from", x->source.s, "at", (json_int_t)x->at, "head",
                  head, "seed", hex.p, "random_pos", (json_int_t)x->random_pos);
    sh_auto(sh_free_p) char *text = sh_json_text(body);
    struct sh_event_record ev = {.workflow = sh_str(x->id.s),
                                 .seq = x->j.seq + 1,
                                 .time_us = x->time_us,
                                 .type = SH_STR("Forked"),
                                 .body = sh_str(text)};
    sh_journal_hash(&x->j.head, ev.seq, ev.time_us, ev.type, ev.body, &ev.hash);
    sh_hash_hex(&ev.hash, mine);
    json_object_set_new(x->row, "seq", json_integer((json_int_t)ev.seq));
    json_object_set_new(x->row, "head", json_string(mine));
    json_object_set_new(x->row, "updated_at", json_integer(ev.time_us));
    json_object_set_new(x->row, "id", json_string(x->id.s));
    json_object_del(x->row, "asleep");
    json_object_del(x->row, "queue");
    sh_index_active_key(x->row, key);
    sh_auto(sh_json_done) json_t *active = sh_index_active_record(x->row);
    struct sh_put puts[2] = {{SH_TABLE_WORKFLOW, sh_str(x->id.s), x->row},
                             {SH_TABLE_ACTIVE, sh_str(key), active}};
    return sh_engine_append(x->engine, &ev, 1, puts, 2, written, x, err);
}

/* ---- 3: the memory of the session ---- */

static void copy_memory(struct fork *x);

static void memory_written(void *arg, const struct sh_err *err) {
    if (err) {
        fork_end(arg, err);
    } else {
        copy_memory(arg);
    }
}

static void memory_read(void *arg, json_t *records, size_t total, const struct sh_err *err) {
    struct fork *x = arg;
    size_t n = json_array_size(records), prefix = strlen(x->session) + 1;
    struct sh_err bad = {0};
    int r;

    (void)total;
    if (err) {
        fork_end(x, err);
        return;
    }
    if (n == 0) {
        if (add_last(x, &bad) < 0) {
            fork_end(x, &bad);
        }
        return;
    }
    struct sh_put *puts = sh_new_array(struct sh_put, n);
    char **keys = sh_new_array(char *, n);
    for (size_t i = 0; i < n; i++) {
        json_t *record = json_array_get(records, i);
        struct sh_str old = sh_json_get_str(record, "id");
        keys[i] = sh_asprintf("%s/%.*s", x->id.s, (int)(old.len - prefix), old.p + prefix);
        json_object_del(record, "id");
        json_object_set_new(record, "session", json_string(x->id.s));
        puts[i] = (struct sh_put){SH_TABLE_KV, sh_str(keys[i]), record};
    }
    x->kv_offset += n;
    r = sh_engine_append(x->engine, NULL, 0, puts, n, memory_written, x, &bad);
    for (size_t i = 0; i < n; i++) {
        sh_free(keys[i]);
    }
    sh_free(keys);
    sh_free(puts);
    if (r < 0) {
        fork_end(x, &bad);
    }
}

static void copy_memory(struct fork *x) {
    sh_auto(sh_free_p) char *prefix = sh_asprintf("%s/", x->session);
    struct sh_store_filter f = {.prefix = prefix, .offset = x->kv_offset, .limit = 100};

    sh_store_list(x->engine->store, SH_TABLE_KV, &f, memory_read, x);
}

/* ---- 2: the events, chained again ---- */

static void copy_events(struct fork *x);

static void events_written(void *arg, const struct sh_err *err) {
    struct fork *x = arg;

    if (err) {
        fork_end(x, err);
    } else if (x->j.seq < x->at) {
        copy_events(x);
    } else {
        copy_memory(x);
    }
}

/* What stands for the beginning stands for the fork's, too: the same state with another first
 * event, signed for another id. The chain goes on from the same hash. */
static int take_compacted(struct fork *x, struct sh_event_record *ev, struct sh_buf *body,
                          struct sh_err *err) {
    uint64_t k = sh_compacted_k(ev);
    int r = sh_compacted_for(x->engine, x->id.s, x->first, ev->body, ev->time_us, body, err);

    if (r < 0) {
        return r;
    }
    ev->seq = k;
    ev->body = sh_buf_str(body);
    x->j.head = x->head = ev->hash;
    x->j.seq = x->j.compacted = k;
    x->time_us = ev->time_us + 1;
    return 0;
}

static void events_read(void *arg, const struct sh_event_record *events, size_t n,
                        const struct sh_err *err) {
    struct fork *x = arg;
    struct sh_event_record *mine = sh_new_array(struct sh_event_record, n + 1);
    sh_auto(sh_free_p) char *first = NULL;
    sh_auto(sh_buf_done) struct sh_buf compacted = {0};
    struct sh_err bad = {0};
    size_t taken = 0, bytes = 0, i = 0;

    sh_buf_init(&compacted, SH_EVENT_BODY_MAX + 1);
    for (; i < n && !err && x->j.seq < x->at && bytes < 4 * SH_MIB; i++) {
        struct sh_event_record *ev = &mine[taken];
        if (sh_journal_skips(&x->j, events[i].seq)) {
            continue;
        }
        *ev = events[i];
        ev->workflow = sh_str(x->id.s);
        if (x->j.seq == 0 && sh_str_eqz(ev->type, "Compacted")) {
            if (take_compacted(x, ev, &compacted, &bad) < 0) {
                err = &bad;
            }
            taken++;
            continue;
        }
        taken++;
        if (ev->seq == 1) {
            first = sh_json_text(x->first);
            ev->body = sh_str(first);
        }
        x->head = events[i].hash;
        sh_journal_hash(&x->j.head, ev->seq, ev->time_us, ev->type, ev->body, &ev->hash);
        x->j.head = ev->hash;
        x->j.seq = ev->seq;
        x->time_us = ev->time_us + 1;
        bytes += ev->body.len;
    }
    if (!err && taken == 0) {
        sh_fail(&bad, SH_E_CORRUPT, "the journal of %s ends before event %llu", x->source.s,
                (unsigned long long)x->at);
        err = &bad;
    }
    if (err || sh_engine_append(x->engine, mine, taken, NULL, 0, events_written, x, &bad) < 0) {
        fork_end(x, err ? err : &bad);
    }
    sh_free(mine);
}

static void copy_events(struct fork *x) {
    uint64_t left = x->at - x->j.seq;

    sh_store_read_events(x->engine->store, sh_str(x->source.s), x->j.seq,
                         left < SH_JOURNAL_PAGE ? (size_t)left : SH_JOURNAL_PAGE, events_read, x);
}

/* ---- the blobs that the events name: before them, so that they are never without ---- */

static void copy_names(struct fork *x);

static void names_written(void *arg, const struct sh_err *err) {
    if (err) {
        fork_end(arg, err);
    } else {
        copy_names(arg);
    }
}

static void names_read(void *arg, json_t *records, size_t total, const struct sh_err *err) {
    struct fork *x = arg;
    struct sh_blob_puts p = {0};
    struct sh_err bad = {0};
    json_t *record;
    size_t i;

    (void)total;
    json_array_foreach(records, i, record) {
        const char *hex = json_string_value(json_object_get(record, "blob"));
        if (hex) {
            bool for_good = sh_json_get_int(record, "seq", 0) == INT64_MAX;
            sh_blob_puts_name(&p, x->id.s, hex, for_good ? INT64_MAX : x->at);
        }
    }
    x->names_offset += json_array_size(records);
    if (!err && json_object_get(x->engine->forgetting, x->source.s)) {
        sh_fail(&bad, SH_E_UNAVAILABLE, "the task %s is being forgotten", x->source.s);
        err = &bad;
    }
    if (!err && json_array_size(records) == 0) {
        copy_events(x);
    } else if (err || sh_engine_append(x->engine, NULL, 0, p.v, p.n, names_written, x, &bad) < 0) {
        fork_end(x, err ? err : &bad);
    }
    sh_blob_puts_done(&p);
}

static void copy_names(struct fork *x) {
    sh_auto(sh_free_p) char *prefix = sh_asprintf("%s/", x->source.s);
    struct sh_store_filter f = {.prefix = prefix, .offset = x->names_offset, .limit = 100};

    sh_store_list(x->engine->store, SH_TABLE_BLOB, &f, names_read, x);
}

/* ---- 1: the source, at the cut ---- */

/* What the source was given is given to the fork only where the policy in force gives it too: the
 * source may come from another machine. */
static int check_policy(const struct sh_workflow *wf, struct sh_err *err) {
    struct sh_decision d = {0};
    int r = sh_policy_decide_asking(wf->engine->config.policy, sh_str(wf->spec.agent),
                                    &wf->spec.module, NULL, &wf->spec.caps, SH_ASKS_LATER, &d, err);

    if (r == 0 && d.n_denials > 0) {
        r = sh_fail(err, SH_E_DENIED,
                    "the policy does not give the fork what the task had: %s (%s)",
                    d.denials[0].capability, d.denials[0].rule);
    }
    sh_decision_done(&d);
    return r;
}

static int check_cut(struct fork *x, const struct sh_workflow *wf, struct sh_err *err) {
    if (wf->history.final || wf->journal.seq < 2 || (x->at && wf->journal.seq != x->at) ||
        !wf->agent) {
        return sh_fail(
            err, SH_E_INVAL, "a task is forked at an event from 2 up to the one before its end%s",
            wf->history.final || (x->at && wf->journal.seq < x->at) ? "; that one is not among them"
                                                                    : "");
    }
    if (wf->spec.n_reseeds == SH_FORKS_MAX) {
        return sh_fail(err, SH_E_LIMIT, "a fork of a fork at most %d times", SH_FORKS_MAX);
    }
    return check_policy(wf, err);
}

static json_t *new_row(const struct fork *x, const struct sh_workflow *wf, const json_t *seen) {
    json_t *start = x->first;
    json_t *row = json_pack(
        "{s:i, s:s, s:s, s:O?, s:O?, s:O?, s:O*, s:O?, s:s, s:I, s:{s:s, s:I}}", "v", 1, "id",
        x->id.s, "status", sh_json_get_bool(seen, "paused", false) ? "paused" : "running", "agent",
        json_object_get(start, "agent"), "module", json_object_get(start, "module"), "query",
        json_object_get(start, "query"), "input", json_object_get(start, "input"), "metadata",
        json_object_get(start, "metadata"), "session", x->id.s, "created_at",
        (json_int_t)wf->journal.time_us + 1, "forked_from", "id", x->source.s, "at",
        (json_int_t)x->at);
    SH_ASSERT(row);
    if (json_object_get(start, SH_INPUT_KEPT)) {
        json_object_set(row, SH_INPUT_KEPT, json_object_get(start, SH_INPUT_KEPT));
    }
    return row;
}

static void at_the_cut(void *arg, struct sh_workflow *wf, json_t *seen, const struct sh_err *err) {
    struct fork *x = arg;
    struct sh_err bad = {0};

    if (!err && (sh_disk_check(x->engine, &bad) < 0 || check_cut(x, wf, &bad) < 0)) {
        err = &bad;
    }
    if (err) {
        fork_end(x, err);
        return;
    }
    x->at = wf->journal.seq;
    x->random_pos = sh_agent_counters(wf->agent).random_pos;
    x->session = sh_strdup(wf->spec.session);
    x->first = json_deep_copy(json_array_get(wf->history.bodies, 0));
    json_object_set_new(x->first, "session", json_string(x->id.s));
    x->row = new_row(x, wf, seen);
    x->engine->blobs.changed = true;
    copy_names(x);
}

void sh_engine_fork(struct sh_engine *e, struct sh_str id, uint64_t at, sh_engine_json_fn cb,
                    void *arg) {
    struct fork *x = sh_new(struct fork);

    SH_ON_LOOP(e->loop);
    x->engine = e;
    x->at = at;
    x->cb = cb;
    x->arg = arg;
    (void)sh_id_parse(id, &x->source); /* one that is none is not found */
    sh_id_new(&x->id, "wf-");
    sh_journal_init(&x->j, &x->id);
    e->pins++;
    sh_journal_hold(e, x->source.s);
    sh_replay_start(e, id, at, at_the_cut, x);
}

int sh_fork_apply(struct sh_spec *spec, const json_t *body, struct sh_err *err) {
    struct sh_reseed *r = &spec->reseeds[spec->n_reseeds];
    int64_t pos = sh_json_get_int(body, "random_pos", -1);

    if (spec->n_reseeds == SH_FORKS_MAX || pos < 0 ||
        (spec->n_reseeds > 0 && (uint64_t)pos < r[-1].pos) ||
        sh_hex_decode(sh_json_get_str(body, "seed"), r->seed, sizeof(r->seed)) < 0) {
        return sh_fail(err, SH_E_CORRUPT, "an event Forked is not readable");
    }
    r->pos = (uint64_t)pos;
    spec->n_reseeds++;
    spec->lineage = (struct sh_lineage){0}; /* nobody waits for it */
    spec->deadline_us = 0;
    return 0;
}
