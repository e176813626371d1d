/* Verify: the chain of hashes is checked, the agent is run again from the journal alone, and what
 * it does is compared with what it did. */
#include "engine/digest.h"
#include "engine/private.h"

struct verification {
    struct sh_engine *engine;
    json_t *row;
    struct sh_head row_head; /* where the row says that the journal was */
    bool row_seen, row_matches;
    struct sh_head signed_head; /* what was signed; seq 0: nothing, or nothing that holds */
    bool signed_seen, signed_matches;
    bool must_be_signed;
    char signer[SH_SIGN_KEY_HEX_BYTES]; /* key that the first event names */
    struct sh_digest digest;
    sh_engine_json_fn cb;
    void *arg;
    json_t *result;
};

static void verification_end(struct verification *v, const struct sh_err *err) {
    struct sh_engine *e = v->engine;

    v->cb(v->arg, err ? NULL : v->result, err);
    json_decref(v->row);
    sh_digest_done(&v->digest);
    json_decref(v->result);
    sh_free(v);
    sh_engine_unpin(e);
}

/* ---- the heads: what the row says, and what was signed ---- */

static void head_event(struct verification *v, const struct sh_event *ev) {
    if (ev->seq == v->row_head.seq) {
        v->row_seen = true;
        v->row_matches = sh_hash_eq(&ev->hash, &v->row_head.hash);
    }
    if (ev->seq == v->signed_head.seq) {
        v->signed_seen = true;
        v->signed_matches = sh_hash_eq(&ev->hash, &v->signed_head.hash);
    }
    if (strcmp(ev->type, "WorkflowStarted") == 0) {
        snprintf(v->signer, sizeof(v->signer), "%.*s", (int)sh_json_get_str(ev->body, "signer").len,
                 sh_json_get_str(ev->body, "signer").p);
    }
    if (strcmp(ev->type, "Checkpoint") == 0 || sh_event_is_final(sh_str(ev->type))) {
        v->must_be_signed = v->signer[0] != '\0';
    }
}

/* The journal's end: is all there that the row was written with? */
static int check_row(const struct verification *v, struct sh_err *err) {
    if (v->row_head.seq == 0 || v->row_matches) {
        return 0;
    }
    return v->row_seen
               ? sh_fail(err, SH_E_CORRUPT,
                         "event %llu is not the one that the task's record was written with",
                         (unsigned long long)v->row_head.seq)
               : sh_fail(err, SH_E_CORRUPT,
                         "the journal ends before event %llu, which the task's record was written "
                         "with",
                         (unsigned long long)v->row_head.seq);
}

static int check_key(const struct verification *v, struct sh_err *err) {
    char key[SH_SIGN_KEY_HEX_BYTES];
    bool ours = memcmp(v->signed_head.key, v->engine->key.public, SH_SIGN_KEY_BYTES) == 0;

    sh_sign_key_hex(v->signed_head.key, key);
    json_object_set_new(v->result, "key", json_string(key));
    bool of_its_own = !v->signer[0] || strcmp(key, v->signer) == 0;
    if (ours || (json_object_get(v->row, "imported") && of_its_own)) {
        return 0;
    }
    return sh_fail(err, SH_E_CORRUPT,
                   "signed with the key %.16s..., which is not this data directory's; see `shannon "
                   "version --key`",
                   key);
}

static int check_signature(struct verification *v, const char *id, struct sh_err *err) {
    const json_t *said = json_object_get(v->row, "signed");

    if (!said) {
        return v->must_be_signed
                   ? sh_fail(err, SH_E_CORRUPT,
                             "there is no signature, though the task got one when it was written")
                   : 0;
    }
    if (sh_head_check(said, id, &v->signed_head, err) < 0 || check_key(v, err) < 0) {
        return -err->code;
    }
    if (!v->signed_seen || !v->signed_matches) {
        return sh_fail(err, SH_E_CORRUPT, "event %llu is %s: it was changed after it was signed",
                       (unsigned long long)v->signed_head.seq,
                       v->signed_seen ? "not the one that was signed" : "missing");
    }
    return 0;
}

/* What was compacted is only as good as the key that says so. */
static int check_compacted(struct verification *v, const struct sh_journal *j, struct sh_err *err) {
    char key[SH_SIGN_KEY_HEX_BYTES];

    if (j->compacted == 0) {
        return 0;
    }
    json_object_set_new(v->result, "compacted", json_integer((json_int_t)j->compacted));
    sh_sign_key_hex(j->compacted_key, key);
    if (memcmp(j->compacted_key, v->engine->key.public, SH_SIGN_KEY_BYTES) == 0 ||
        (json_object_get(v->row, "imported") && strcmp(key, v->signer) == 0)) {
        return 0;
    }
    return sh_fail(err, SH_E_CORRUPT,
                   "what stands for events 1 to %llu is signed with the key %.16s..., which is not "
                   "this data directory's",
                   (unsigned long long)j->compacted, key);
}

static bool heads_done(struct verification *v, const struct sh_journal *j, const char *id) {
    struct sh_err err = {0};
    bool row_ok = check_compacted(v, j, &err) == 0 && check_row(v, &err) == 0;

    if (!row_ok) {
        json_object_set_new(v->result, "chain", json_string(err.message));
    }
    bool signed_ok = check_signature(v, id, &err) == 0;
    json_object_set_new(v->result, "signature",
                        !signed_ok ? json_string(err.message)
                                   : json_string(v->signed_head.seq ? "ok" : "none"));
    return row_ok && signed_ok;
}

static void digest_event(struct sh_workflow *wf, const struct sh_event *ev, void *arg) {
    struct verification *v = arg;

    (void)wf;
    head_event(v, ev);
    sh_digest_add(&v->digest, ev);
}

static void digest_lean(struct sh_workflow *wf, const struct sh_event *ev,
                        const struct sh_lean *lean, void *arg) {
    struct verification *v = arg;

    (void)wf;
    head_event(v, ev);
    sh_digest_add_lean(&v->digest, lean);
}

/* ---- the replay ---- */

/* Ends that came from outside: the replay cannot reach them by itself, only their fuel. */
bool sh_verify_ended_outside(const struct sh_history *h) {
    static const char *const codes[] = {"wall_clock_limit", "deadline_exceeded", "journal_limit",
                                        "nondeterminism",   "permission_denied", "unsupported",
                                        "budget_exceeded"};
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

static void mismatch(struct verification *v, const struct sh_workflow *wf, uint64_t seq,
                     json_t *expected, json_t *actual) {
    json_object_set_new(v->result, "ok", json_false());
    json_object_set_new(v->result, "replay",
                        json_string(wf->other_runtime ? "runtime_mismatch" : "mismatch"));
    if (wf->other_runtime) {
        json_object_set_new(v->result, "note", sh_json_string(sh_str(wf->other_runtime)));
    }
    json_object_set_new(v->result, "mismatch",
                        json_pack("{s:I, s:o, s:o}", "seq", (json_int_t)seq, "expected", expected,
                                  "actual", actual));
}

/* What of an end must be the same in a replay. */
static json_t *end_summary(const char *type, const json_t *body) {
    static const char *const members[] = {"code",   "exit_status", "output", SH_OUTPUT_KEPT,
                                          "result", "fuel",        "trap"};
    json_t *summary = json_pack("{s:s}", "type", type ? type : "none");

    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
        json_t *member = json_object_get(body, members[i]);
        if (member) {
            json_object_set(summary, members[i], member);
        }
    }
    if (!sh_trap_fuel_exact(sh_json_get_str(body, "trap"))) {
        json_object_del(summary, "fuel");
    }
    return summary;
}

static bool fuel_reached(const struct sh_workflow *wf) {
    return wf->end_type && sh_str_eqz(sh_json_get_str(wf->end_body, "code"), "fuel_exhausted");
}

static void abandoned(void *arg, const struct sh_err *err) {
    verification_end(arg, err);
}

static void replayed(struct sh_workflow *wf, void *arg) {
    struct verification *v = arg;
    struct sh_history *h = &wf->history;
    struct sh_buf what;
    uint64_t seq;

    sh_buf_init_sure(&what, 200);
    seq = sh_history_first_unmatched(h, &what);
    if (wf->agent) {
        json_object_set_new(v->result, "fuel",
                            json_integer((json_int_t)sh_agent_counters(wf->agent).fuel_used));
    }
    if (sh_str_eqz(sh_json_get_str(wf->end_body, "code"), "nondeterminism")) {
        mismatch(v, wf, h->last_seq, json_string("the journal"),
                 json_incref(json_object_get(wf->end_body, "message")));
    } else if (seq != 0) {
        mismatch(v, wf, seq, sh_json_string(sh_buf_str(&what)), json_string("nothing"));
    } else if (sh_verify_ended_outside(h)) {
        bool ok = !wf->end_type || fuel_reached(wf) || h->final;
        json_object_set_new(v->result, "replay", json_string(h->final && ok ? "ok" : "partial"));
    } else {
        json_t *expected = end_summary(h->final_type, h->final);
        json_t *actual = end_summary(wf->end_type, wf->end_body);
        if (json_equal(expected, actual)) {
            json_object_set_new(v->result, "replay", json_string("ok"));
        } else {
            mismatch(v, wf, h->final_seq, json_incref(expected), json_incref(actual));
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

    if (wf->leaving) {
        sh_workflow_unpin(wf);
        return;
    }
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
bool sh_verify_never_ran(const struct sh_history *h) {
    return h->final && strcmp(h->final_type, "WorkflowFailed") == 0 &&
           !json_object_get(h->final, "result") && sh_json_get_int(h->final, "fuel", 0) == 0;
}

/* One that was ended while it had no agent, because it rested, counts no fuel: with something to
 * match it goes as far as the journal does, else nowhere. */
void sh_verify_limit_fuel(struct sh_workflow *wf) {
    const struct sh_history *h = &wf->history;
    uint64_t fuel = (uint64_t)sh_json_get_int(h->final, "fuel", 0);
    struct sh_buf what;

    if (!h->final || !sh_verify_ended_outside(h)) {
        return;
    }
    sh_buf_init_sure(&what, 200);
    if (fuel > 0 || sh_history_first_unmatched(h, &what) == 0) {
        wf->spec.caps.limits.fuel = fuel ? fuel : 1;
    }
    sh_buf_done(&what);
}

static void journal_loaded(struct sh_workflow *wf, const struct sh_err *err, void *arg) {
    struct verification *v = arg;
    const struct sh_history *h = &wf->history;
    char digest[SH_HASH_HEX_BYTES];
    struct sh_err stopping = {0};

    if (!err && wf->leaving) {
        sh_fail(&stopping, SH_E_UNAVAILABLE, "the engine is stopping");
        err = &stopping;
    }
    if (err && sh_end_is_the_hosts(err->code)) { /* that says nothing about the journal */
        sh_workflow_leave(wf);
        verification_end(v, err);
        return;
    }
    v->result = json_pack("{s:s, s:b, s:I, s:s}", "id", wf->id.s, "ok", err == NULL, "events",
                          (json_int_t)wf->journal.seq, "chain", err ? err->message : "ok");
    sh_digest_end(&v->digest, h, digest);
    json_object_set_new(v->result, "digest", json_string(digest));
    if (!err && !heads_done(v, &wf->journal, wf->id.s)) {
        json_object_set_new(v->result, "ok", json_false());
    }
    if (err) {
        skip(v, wf, "the journal is damaged");
        return;
    }
    if (sh_str_eqz(sh_json_get_str(h->final, "code"), "quarantined")) {
        skip(v, wf, "this process died of it before: it is not run again");
        return;
    }
    if (sh_verify_never_ran(h)) {
        skip(v, wf, "the task ended before its agent ran");
        return;
    }
    sh_verify_limit_fuel(wf);
    wf->paused = wf->over_budget = false;
    wf->on_end = replayed;
    wf->on_abandoned = abandoned;
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
    v->row = json_incref(row);
    v->row_head.seq = (uint64_t)sh_json_get_int(row, "seq", 0);
    if (sh_hash_parse(sh_json_get_str(row, "head"), &v->row_head.hash) < 0) {
        v->row_head.seq = 0;
    }
    v->signed_head.seq = (uint64_t)sh_json_get_int(json_object_get(row, "signed"), "seq", 0);
    (void)sh_hash_parse(sh_json_get_str(json_object_get(row, "signed"), "hash"),
                        &v->signed_head.hash);
    wf = sh_workflow_new(v->engine, &id);
    wf->verify = true;
    sh_loader_start(wf, digest_event, digest_lean, journal_loaded, v);
}

void sh_engine_verify(struct sh_engine *e, struct sh_str id, sh_engine_json_fn cb, void *arg) {
    struct verification *v = sh_new(struct verification);

    v->engine = e;
    sh_digest_init(&v->digest);
    v->cb = cb;
    v->arg = arg;
    e->pins++;
    sh_engine_get(e, id, row_found, v);
}
