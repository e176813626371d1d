/* Verify: the chain of hashes is checked, the agent is run again from the journal alone, and what
 * it does is compared with what it did. The run digest (SEMANTICS 26) covers what a run did and
 * leaves out when and in how many pieces it was written down. */
#include "engine/private.h"

struct verification {
    struct sh_engine *engine;
    json_t *activities; /* by ordinal: [op, args, outcome] */
    struct sh_hasher stream[2], emitted;
    sh_engine_json_fn cb;
    void *arg;
    json_t *result;
};

static void verification_end(struct verification *v, const struct sh_err *err) {
    struct sh_engine *e = v->engine;

    v->cb(v->arg, err ? NULL : v->result, err);
    json_decref(v->activities);
    json_decref(v->result);
    sh_free(v);
    sh_engine_unpin(e);
}

/* ---- the run digest ---- */

static void digest_activity(struct verification *v, const json_t *body) {
    size_t ordinal = (size_t)sh_json_get_int(body, "ordinal", 0);
    json_t *entry, *outcome;

    if (ordinal > 1000000) {
        return; /* the loader has refused it */
    }
    while (json_array_size(v->activities) <= ordinal) {
        json_array_append_new(v->activities, json_pack("[n, n, n]"));
    }
    entry = json_array_get(v->activities, ordinal);
    if (json_object_get(body, "args")) {
        json_array_set(entry, 0, json_object_get(body, "op"));
        json_array_set(entry, 1, json_object_get(body, "args"));
    }
    outcome = json_object_get(body, "result");
    outcome = outcome ? outcome : json_object_get(body, "error");
    if (outcome) {
        json_array_set(entry, 2, outcome);
    }
}

static void digest_output(struct verification *v, const json_t *body) {
    int64_t stream = sh_json_get_int(body, "stream", 0);
    struct sh_buf bytes;

    sh_buf_init(&bytes, SH_EVENT_BODY_MAX);
    if ((stream == 1 || stream == 2) &&
        sh_base64_decode(&bytes, sh_json_get_str(body, "data")) == 0) {
        sh_hasher_add(&v->stream[stream - 1], bytes.p, bytes.len);
    }
    sh_buf_done(&bytes);
}

static void digest_event(struct sh_workflow *wf, const struct sh_event *ev, void *arg) {
    struct verification *v = arg;

    (void)wf;
    if (strcmp(ev->type, "ActivityRetried") == 0) {
        return;
    }
    if (strncmp(ev->type, "Activity", 8) == 0 || strcmp(ev->type, "TimerFired") == 0) {
        digest_activity(v, ev->body);
    } else if (strcmp(ev->type, "Output") == 0) {
        digest_output(v, ev->body);
    } else if (strcmp(ev->type, "Emitted") == 0) {
        sh_auto(sh_free_p) char *text = sh_json_text(ev->body);
        sh_hasher_str(&v->emitted, sh_str(text));
    }
}

static void add_digest(struct sh_hasher *to, struct sh_hasher *from) {
    struct sh_hash h;

    sh_hasher_done(from, &h);
    sh_hasher_add(to, h.b, sizeof(h.b));
}

static void digest_done(struct verification *v, const struct sh_history *h) {
    static const char *const end_members[] = {"code", "exit_status", "output", "result"};
    sh_auto(sh_free_p) char *activities = sh_json_text(v->activities);
    char hex[SH_HASH_HEX_BYTES];
    struct sh_hasher all;
    struct sh_hash digest;

    sh_hasher_init(&all);
    sh_hasher_str(&all, sh_str(activities));
    add_digest(&all, &v->stream[0]);
    add_digest(&all, &v->stream[1]);
    add_digest(&all, &v->emitted);
    sh_hasher_str(&all, sh_str(h->final_type ? h->final_type : ""));
    for (size_t i = 0; i < sizeof(end_members) / sizeof(end_members[0]); i++) {
        json_t *member = json_object_get(h->final, end_members[i]);
        sh_auto(sh_free_p) char *text = member ? sh_json_text(member) : NULL;
        sh_hasher_str(&all, sh_str(text));
    }
    sh_hasher_done(&all, &digest);
    sh_hash_hex(&digest, hex);
    json_object_set_new(v->result, "digest", json_string(hex));
}

/* ---- the replay ---- */

/* Ends that came from outside: the replay cannot reach them by itself, only their fuel. */
static bool ended_outside(const struct sh_history *h) {
    static const char *const codes[] = {"wall_clock_limit", "deadline_exceeded", "journal_limit",
                                        "nondeterminism",   "permission_denied", "unsupported"};
    struct sh_str code = sh_json_get_str(h->final, "code");

    if (!h->final || strcmp(h->final_type, "WorkflowCancelled") == 0) {
        return true;
    }
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        if (sh_str_eqz(code, codes[i])) {
            return true;
        }
    }
    return false;
}

static void mismatch(struct verification *v, uint64_t seq, json_t *expected, json_t *actual) {
    json_object_set_new(v->result, "ok", json_false());
    json_object_set_new(v->result, "replay", json_string("mismatch"));
    json_object_set_new(v->result, "mismatch",
                        json_pack("{s:I, s:o, s:o}", "seq", (json_int_t)seq, "expected", expected,
                                  "actual", actual));
}

/* What of an end must be the same in a replay. */
static json_t *end_summary(const char *type, const json_t *body) {
    static const char *const members[] = {"code",   "exit_status", "output",
                                          "result", "fuel",        "trap"};
    json_t *summary = json_pack("{s:s}", "type", type ? type : "none");

    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
        json_t *member = json_object_get(body, members[i]);
        if (member) {
            json_object_set(summary, members[i], member);
        }
    }
    return summary;
}

static bool fuel_reached(const struct sh_workflow *wf) {
    return wf->end_type && sh_str_eqz(sh_json_get_str(wf->end_body, "code"), "fuel_exhausted");
}

static void replayed(struct sh_workflow *wf, void *arg) {
    struct verification *v = arg;
    struct sh_history *h = &wf->history;
    struct sh_buf what;
    uint64_t seq;

    sh_buf_init(&what, 200);
    seq = sh_history_first_unmatched(h, &what);
    if (wf->agent) {
        json_object_set_new(v->result, "fuel",
                            json_integer((json_int_t)sh_agent_counters(wf->agent).fuel_used));
    }
    if (sh_str_eqz(sh_json_get_str(wf->end_body, "code"), "nondeterminism")) {
        mismatch(v, h->last_seq, json_string("the journal"),
                 json_incref(json_object_get(wf->end_body, "message")));
    } else if (seq != 0) {
        mismatch(v, seq, sh_json_string(sh_buf_str(&what)), json_string("nothing"));
    } else if (ended_outside(h)) {
        bool ok = !wf->end_type || fuel_reached(wf) || h->final;
        json_object_set_new(v->result, "replay", json_string(h->final && ok ? "ok" : "partial"));
    } else {
        json_t *expected = end_summary(h->final_type, h->final);
        json_t *actual = end_summary(wf->end_type, wf->end_body);
        if (json_equal(expected, actual)) {
            json_object_set_new(v->result, "replay", json_string("ok"));
        } else {
            mismatch(v, h->final_seq, json_incref(expected), json_incref(actual));
        }
        json_decref(expected);
        json_decref(actual);
    }
    sh_buf_done(&what);
    json_decref(wf->end_body);
    wf->end_body = NULL;
    wf->phase = SH_PHASE_ENDED;
    sh_workflow_leave(wf);
    verification_end(v, NULL);
}

static void skip(struct verification *v, struct sh_workflow *wf, const char *why) {
    json_object_set_new(v->result, "replay", json_string("skipped"));
    json_object_set_new(v->result, "note", json_string(why));
    sh_workflow_leave(wf);
    verification_end(v, NULL);
}

static void module_ready(void *arg, struct sh_module *m, const struct sh_err *err) {
    struct sh_workflow *wf = arg;
    struct verification *v = wf->on_end_arg;

    if (err) {
        json_object_set_new(v->result, "ok", json_false());
        skip(v, wf, err->message);
    } else {
        wf->module = sh_module_ref(m);
        sh_workflow_launch(wf);
    }
    sh_workflow_unpin(wf);
}

/* Rejected, or failed by what the host met while it prepared the agent: a directory that was not
 * there, an input that had changed. A replay prepares nothing of the kind and would get further.
 * The end of an agent has its result, even an empty one. */
static bool never_ran(const struct sh_workflow *wf) {
    const struct sh_history *h = &wf->history;

    return h->final && strcmp(h->final_type, "WorkflowFailed") == 0 &&
           !json_object_get(h->final, "result") && sh_json_get_int(h->final, "fuel", 0) == 0;
}

static void journal_loaded(struct sh_workflow *wf, const struct sh_err *err, void *arg) {
    struct verification *v = arg;
    const struct sh_history *h = &wf->history;

    v->result = json_pack("{s:s, s:b, s:I, s:s}", "id", wf->id.s, "ok", err == NULL, "events",
                          (json_int_t)wf->journal.seq, "chain", err ? err->message : "ok");
    digest_done(v, h);
    if (err) {
        skip(v, wf, "the journal is damaged");
        return;
    }
    if (never_ran(wf)) {
        skip(v, wf, "the task ended before its agent ran");
        return;
    }
    if (h->final && ended_outside(h)) {
        uint64_t fuel = (uint64_t)sh_json_get_int(h->final, "fuel", 0);
        wf->spec.caps.limits.fuel = fuel ? fuel : 1;
    }
    wf->paused = false;
    wf->on_end = replayed;
    wf->on_end_arg = v;
    wf->pins++;
    sh_modules_load(wf->engine, wf->spec.python ? &wf->spec.interpreter : &wf->spec.module,
                    module_ready, wf);
}

static void row_found(void *arg, json_t *row, const struct sh_err *err) {
    struct verification *v = arg;
    struct sh_workflow *wf;
    struct sh_id id;

    if (err || sh_id_parse(sh_json_get_str(row, "id"), &id) < 0) {
        verification_end(v, err);
        return;
    }
    wf = sh_workflow_new(v->engine, &id);
    wf->verify = true;
    sh_loader_start(wf, digest_event, journal_loaded, v);
}

void sh_engine_verify(struct sh_engine *e, struct sh_str id, sh_engine_json_fn cb, void *arg) {
    struct verification *v = sh_new(struct verification);

    v->engine = e;
    v->activities = json_array();
    v->cb = cb;
    v->arg = arg;
    e->pins++;
    sh_hasher_init(&v->stream[0]);
    sh_hasher_init(&v->stream[1]);
    sh_hasher_init(&v->emitted);
    sh_engine_get(e, id, row_found, v);
}
