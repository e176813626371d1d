/* From a request to a workflow: the agent is found and loaded, the policy decides, and what was
 * decided is journaled in one commit with the start, allowed or not. */
#include "engine/private.h"

struct submission {
    struct sh_list link; /* engine->pending_keys while it holds a key */
    struct sh_engine *engine;
    char *agent, *unnamed, *session, *query, *key, *argv0, *script_name;
    json_t *input, *capabilities, *metadata, *args, *record;
    struct sh_buf text; /* the input's, until it is kept; then: */
    struct sh_payload kept;
    struct sh_buf stdin_bytes;
    bool stdin_live, tty[3];
    bool image; /* the interpreter's image, not the interpreter, is to run the script */
    json_t *operator_doc;
    struct sh_operator own; /* the same, read */
    unsigned priority;
    struct sh_hash digest;
    struct sh_capabilities request, manifest;
    struct sh_module *module;
    const struct sh_birth *birth;             /* of a child workflow, or NULL */
    const struct sh_schedule_start *schedule; /* or NULL */
    int64_t deadline_us;
    sh_engine_submit_fn cb;
    void *arg;
};

static void submission_free(struct submission *s) {
    struct sh_engine *e = s->engine;

    sh_list_unlink(&s->link);
    sh_free(s->agent);
    sh_free(s->unnamed);
    sh_free(s->session);
    sh_free(s->query);
    sh_free(s->key);
    sh_free(s->argv0);
    sh_free(s->script_name);
    json_decref(s->input);
    json_decref(s->capabilities);
    json_decref(s->metadata);
    json_decref(s->args);
    json_decref(s->record);
    json_decref(s->operator_doc);
    sh_operator_done(&s->own);
    sh_buf_done(&s->text);
    sh_payload_release(e, &s->kept);
    sh_buf_done(&s->stdin_bytes);
    sh_capabilities_done(&s->request);
    sh_capabilities_done(&s->manifest);
    sh_module_unref(s->module);
    sh_free(s);
    sh_engine_unpin(e);
}

static void answer(struct submission *s, json_t *row, bool cached, const struct sh_err *err) {
    s->cb(s->arg, row, cached, err);
    submission_free(s);
}

static char *text_of(struct sh_str s) {
    return sh_strndup0(s.p, s.len);
}

static int check(const struct sh_submit *in, const struct sh_buf *text, struct sh_err *err) {
    struct sh_id id;
    size_t chars = sh_utf8_count(in->query);
    bool has_text = text->len > 0;

    if (text->len > SH_PAYLOAD_MAX) {
        return sh_fail(err, SH_E_LIMIT,
                       "input: expected at most %llu bytes of JSON, got %zu; give the rest in a "
                       "mapped directory",
                       SH_PAYLOAD_MAX, text->len);
    }

    if (!sh_utf8_valid(in->query)) {
        return sh_fail(err, SH_E_INVAL, "query: expected UTF-8 text");
    }
    if (chars > SH_QUERY_CHARS_MAX) {
        return sh_fail(err, SH_E_INVAL, "query: expected at most %d characters, got %zu",
                       SH_QUERY_CHARS_MAX, chars);
    }
    if (chars == 0 && !in->input && !has_text) {
        return sh_fail(err, SH_E_INVAL,
                       "query: expected 1 to %d characters, got none; give a "
                       "query or an input",
                       SH_QUERY_CHARS_MAX);
    }
    if (in->script_name && !sh_spec_script_name_is_good(in->script_name)) {
        return sh_fail(err, SH_E_INVAL,
                       "script_name: expected a file name of 1 to 255 bytes without \"/\", not "
                       "\"%.80s\"",
                       in->script_name);
    }
    if (!sh_utf8_valid(in->agent) || memchr(in->agent.len ? in->agent.p : "", 0, in->agent.len)) {
        return sh_fail(err, SH_E_INVAL, "agent: expected the name or hash of an agent as UTF-8");
    }
    if (in->has_priority && in->priority > SH_PRIORITY_MAX) {
        return sh_fail(err, SH_E_INVAL, "priority: expected 0 to %d, got %u", SH_PRIORITY_MAX,
                       in->priority);
    }
    if (in->session.len > 0 && sh_id_parse(in->session, &id) < 0) {
        return sh_fail(err, SH_E_INVAL, "session: expected 1 to %d of A-Z a-z 0-9 : _ - .",
                       SH_ID_MAX);
    }
    return 0;
}

/* ---- the journal's first events ---- */

static json_t *argv_json(const struct submission *s, bool python, const char *agent) {
    json_t *argv = json_array();
    size_t i;
    json_t *arg;

    if (python) {
        sh_auto(sh_free_p) char *path = sh_asprintf("/%s", s->script_name);
        json_array_append_new(argv, sh_json_string(sh_str(s->argv0 ? s->argv0 : "python")));
        json_array_append_new(argv, sh_json_string(sh_str(path)));
    } else {
        json_array_append_new(argv, sh_json_string(sh_str(s->argv0 ? s->argv0 : agent)));
    }
    json_array_foreach(s->args, i, arg) {
        json_array_append(argv, arg);
    }
    return argv;
}

static json_t *env_json(const json_t *env) {
    json_t *list = json_array();
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)env, key, value) {
        sh_auto(sh_free_p) char *pair = sh_asprintf("%s=%s", key, json_string_value(value));
        json_array_append_new(list, sh_json_string(sh_str(pair)));
    }
    return list;
}

/* In an event or a row, where the input is too large to be there. */
static void describe_kept(const struct submission *s, json_t *to) {
    if (s->kept.bytes > 0) {
        json_object_set_new(to, SH_INPUT_KEPT, sh_payload_json(&s->kept));
    }
}

static json_t *started_body(const struct submission *s, const struct sh_workflow *wf,
                            const json_t *env) {
    bool python = sh_str_eqz(sh_json_get_str(s->record, "kind"), "python");
    struct sh_buf hex, in;
    uint8_t seed[32];
    json_t *body;
    char interpreter[SH_HASH_HEX_BYTES], signer[SH_SIGN_KEY_HEX_BYTES];

    sh_random_bytes(seed, sizeof(seed));
    sh_buf_init_sure(&hex, 128);
    sh_hex_encode(&hex, seed, sizeof(seed));
    sh_buf_init_sure(&in, SH_EVENT_BODY_MAX);
    sh_base64_encode(&in, s->stdin_bytes.p, s->stdin_bytes.len);
    body =
        json_pack("{s:i, s:s, s:O, s:O, s:o, s:O*, s:s, s:o, s:o, s:s, s:s, s:s%, s:b, "
                  "s:[b,b,b], s:O}",
                  "v", 1, "agent", s->agent, "module", json_object_get(s->record, "hash"), "kind",
                  json_object_get(s->record, "kind"), "query", sh_json_string(sh_str(s->query)),
                  "input", s->input, "session", s->session ? s->session : wf->id.s, "argv",
                  argv_json(s, python, s->agent), "env", env_json(env), "seed", hex.p, "runtime",
                  sh_sandbox_runtime(s->engine->config.sandbox), "stdin", in.p ? in.p : "", in.len,
                  "stdin_live", (int)s->stdin_live, "tty", (int)s->tty[0], (int)s->tty[1],
                  (int)s->tty[2], "metadata", s->metadata);
    SH_ASSERT(body);
    describe_kept(s, body);
    /* Named in the first event, so that an end without a signature shows. */
    sh_sign_key_hex(s->engine->key.public, signer);
    json_object_set_new(body, "signer", json_string(signer));
    if (python) {
        sh_hash_hex(sh_module_hash(s->module), interpreter);
        json_object_set_new(body, "interpreter", json_string(interpreter));
        json_object_set_new(body, "script_name", json_string(s->script_name));
        if (s->engine->modules.python_module_known) {
            sh_hash_hex(&s->engine->modules.python_module, interpreter);
            json_object_set_new(body, "python_module", json_string(interpreter));
        }
    }
    sh_buf_done(&hex);
    sh_buf_done(&in);
    return body;
}

/* Everything asked for that a person has to decide: [{capability, rule}], or NULL when something is
 * plainly denied. What the person granted for good is left out. */
static json_t *questions(const struct submission *s, const struct sh_hash *hash,
                         const struct sh_decision *d) {
    json_t *asks = json_array();

    for (size_t i = 0; i < d->n_denials; i++) {
        if (d->denials[i].verdict != SH_ASK) {
            json_decref(asks);
            return NULL;
        }
        if (!sh_approval_granted(s->engine, hash, d->denials[i].capability)) {
            json_array_append_new(asks,
                                  json_pack("{s:s, s:s}", "capability", d->denials[i].capability,
                                            "rule", d->denials[i].rule));
        }
    }
    return asks;
}

/* The policy's decision. Where it asks and somebody is there, the capabilities are those that a yes
 * gives, and ret_asks is what to ask first (NULL: nothing). */
static int judge(const struct submission *s, const struct sh_hash *hash, struct sh_decision *ret,
                 json_t **ret_asks, struct sh_err *err) {
    const struct sh_capabilities *request = s->capabilities ? &s->request : NULL;
    const struct sh_policy *policy = s->own.policy ? s->own.policy : s->engine->config.policy;
    bool attended = s->engine->config.attended && !s->own.unattended;
    json_t *asks;

    if (sh_policy_decide_asking(policy, sh_str(s->agent), hash, &s->manifest, request,
                                attended ? SH_ASKS_LATER : SH_ASKS_DENIED, ret, err) < 0) {
        return -err->code;
    }
    asks = attended && ret->n_denials > 0 ? questions(s, hash, ret) : NULL;
    if (!asks) {
        return 0;
    }
    sh_decision_done(ret);
    if (json_array_size(asks) > 0) {
        *ret_asks = asks;
    } else {
        json_decref(asks);
    }
    return sh_policy_decide_asking(policy, sh_str(s->agent), hash, &s->manifest, request,
                                   SH_ASKS_GRANTED, ret, err);
}

static json_t *decided_body(const struct sh_decision *d, const json_t *asks) {
    json_t *denials = json_array();

    for (size_t i = 0; i < d->n_denials; i++) {
        json_array_append_new(denials, json_pack("{s:s, s:s, s:s}", "verdict",
                                                 d->denials[i].verdict == SH_ASK ? "ask" : "deny",
                                                 "capability", d->denials[i].capability, "rule",
                                                 d->denials[i].rule));
    }
    return json_pack("{s:s, s:o, s:o}", "verdict",
                     d->n_denials ? "deny"
                     : asks       ? "ask"
                                  : "allow",
                     "capabilities", sh_capabilities_json(&d->effective), "denials", denials);
}

static json_t *first_row(const struct submission *s, const struct sh_workflow *wf) {
    json_t *row =
        json_pack("{s:i, s:s, s:s, s:O, s:o, s:O*, s:s, s:O, s:I}", "v", 1, "id", wf->id.s, "agent",
                  s->agent, "module", json_object_get(s->record, "hash"), "query",
                  sh_json_string(sh_str(s->query)), "input", s->input, "session", wf->spec.session,
                  "metadata", s->metadata, "created_at", (json_int_t)wf->spec.started_us);

    describe_kept(s, row);
    if (s->operator_doc) {
        json_object_set(row, "operator", s->operator_doc);
    }
    sh_lineage_row(&wf->spec.lineage, row);
    if (wf->spec.deadline_us) {
        json_object_set_new(row, "deadline_at", json_integer(wf->spec.deadline_us));
    }
    return row;
}

static void started(struct sh_workflow *wf, void *arg, const struct sh_err *err) {
    struct submission *s = arg;
    struct sh_engine *e = wf->engine;

    if (wf->waits_in_queue && !err) { /* in the store; its turn comes */
        json_t *record = sh_index_active_record(wf->row);
        answer(s, wf->row, false, NULL);
        sh_workflow_leave(wf);
        sh_takeup_queue(e, record);
        json_decref(record);
        return;
    }
    answer(s, err ? NULL : wf->row, false, err);
}

/* As many run as may: it is durable, and leaves memory again until its turn comes. */
static bool wait_in_queue(struct sh_workflow *wf) {
    struct sh_engine *e = wf->engine;
    json_t *queue;

    wf->waits_in_queue = true; /* not one of those that run */
    if (sh_queue_room(e, wf->spec.agent, wf->spec.session)) {
        wf->waits_in_queue = false;
        return false;
    }
    queue = json_pack("{s:I, s:I, s:s}", "bytes", (json_int_t)wf->journal.bytes, "bytes_max",
                      (json_int_t)wf->journal.bytes_max, "owner", e->owner);
    json_object_set_new(wf->row, "queue", queue);
    return true;
}

static void put_key(struct submission *s, struct sh_workflow *wf) {
    char digest[SH_HASH_HEX_BYTES];

    if (!s->key) {
        return;
    }
    sh_hash_hex(&s->digest, digest);
    sh_journal_put(wf, SH_TABLE_IDEMPOTENCY, s->key,
                   json_pack("{s:s, s:s, s:I}", "workflow", wf->id.s, "digest", digest,
                             "created_at", (json_int_t)wf->spec.started_us));
}

static void reject(struct submission *s, struct sh_workflow *wf, const struct sh_decision *d) {
    char message[400];
    json_t *body;

    snprintf(message, sizeof(message), "%s: %s%s", d->denials[0].capability, d->denials[0].rule,
             d->n_denials > 1 ? " (and more; see PolicyDecided)" : "");
    body = json_pack("{s:s, s:o, s:i}", "code", sh_code_info(SH_E_DENIED)->name, "message",
                     sh_json_string(sh_str(message)), "exit_status",
                     sh_code_info(SH_E_DENIED)->exit_status);
    json_object_set_new(wf->row, "error",
                        json_pack("{s:O, s:O}", "code", json_object_get(body, "code"), "message",
                                  json_object_get(body, "message")));
    json_object_set(wf->row, "exit_status", json_object_get(body, "exit_status"));
    wf->phase = SH_PHASE_ENDING;
    sh_journal_add(wf, "WorkflowFailed", body);
    json_object_set_new(wf->row, "completed_at", json_integer(wf->journal.time_us));
    sh_workflow_sign_head(wf);
    sh_schedule_task_ends(wf, false);
    sh_workflow_row_put(wf, "rejected");
    sh_journal_commit(wf, started, s);
}

/* A child is decided against its parent too, and refused rather than rejected: its parent is told,
 * and no workflow comes to be. */
static int judge_child(const struct submission *s, struct sh_decision *d, struct sh_err *err) {
    int r = sh_birth_check(s->birth, err);

    if (r == 0 && d->n_denials > 0) {
        r = sh_fail(err, SH_E_DENIED, "%.200s: %.200s", d->denials[0].capability,
                    d->denials[0].rule);
    }
    return r < 0 ? r
                 : sh_birth_narrow(s->birth, &s->manifest, s->capabilities ? &s->request : NULL, d,
                                   err);
}

/* The earliest of the deadlines that are known when it starts. */
static int64_t deadline_of(const struct submission *s, const struct sh_limits *limits) {
    int64_t own = limits->deadline_ms ? sh_wall_us() + (int64_t)limits->deadline_ms * 1000 : 0;
    int64_t asked[2] = {s->deadline_us, s->birth ? s->birth->parent->spec.deadline_us : 0};

    for (size_t i = 0; i < 2; i++) {
        own = asked[i] && (!own || asked[i] < own) ? asked[i] : own;
    }
    return own;
}

/* The workflow, with its first two events in the open commit. */
static struct sh_workflow *first_events(struct submission *s, const struct sh_decision *d,
                                        const json_t *asks) {
    int64_t deadline_us = deadline_of(s, &d->effective.limits);
    struct sh_workflow *wf;
    struct sh_err err = {0};
    struct sh_id id;
    json_t *body;

    if (s->birth) {
        sh_birth_id(s->birth, &id);
    } else {
        sh_id_new(&id, "wf-");
    }
    wf = sh_workflow_new(s->engine, &id);
    sh_operator_rules(wf, &s->own);
    wf->module = sh_module_ref(s->module);
    body = started_body(s, wf, d->effective.env);
    if (s->birth) {
        sh_lineage_describe(&s->birth->lineage, body);
    }
    if (deadline_us) {
        json_object_set_new(body, "deadline_us", json_integer(deadline_us));
    }
    if (sh_spec_parse(body, sh_wall_us(), &wf->spec, &err) < 0) {
        SH_ASSERT(!"our own WorkflowStarted is readable");
    }
    sh_journal_add(wf, "WorkflowStarted", body);
    sh_payload_named(wf, &s->kept);
    wf->spec.started_us = wf->journal.time_us;
    sh_journal_add(wf, "PolicyDecided", decided_body(d, asks));
    json_decref(wf->row);
    wf->row = first_row(s, wf);
    json_object_set_new(wf->row, "priority", json_integer(s->priority));
    if (s->schedule) {
        sh_schedule_task_starts(s->schedule, wf);
    }
    put_key(s, wf);
    if (!s->birth || strcmp(wf->spec.session, s->birth->parent->spec.session) != 0) {
        sh_session_put(wf);
    }
    sh_workflow_enter(wf);
    return wf;
}

/* Its first commit; a child's is its parent's as well. false: it is not to be. */
static bool commit_first(struct submission *s, struct sh_workflow *wf) {
    struct sh_err err = {0};

    if (!s->birth) {
        sh_journal_commit(wf, started, s);
        return true;
    }
    if (sh_birth_commit(s->birth, wf, started, s, &err) < 0) {
        sh_workflow_leave(wf);
        answer(s, NULL, false, &err);
        return false;
    }
    return true;
}

static void load(struct submission *s);

static void begin(struct submission *s) {
    struct sh_decision d = {0};
    json_t *asks = NULL;
    struct sh_err err = {0};
    struct sh_hash hash;
    struct sh_workflow *wf;
    bool queued = false;

    sh_hash_parse(sh_json_get_str(s->record, "hash"), &hash);
    if (judge(s, &hash, &d, &asks, &err) < 0 || (s->birth && judge_child(s, &d, &err) < 0)) {
        sh_decision_done(&d);
        json_decref(asks);
        answer(s, NULL, false, &err);
        return;
    }
    if (s->image && !sh_image_fits(s->engine, &d.effective, s->argv0, s->script_name)) {
        s->image = false; /* a person's grant came meanwhile */
        sh_decision_done(&d);
        json_decref(asks);
        load(s);
        return;
    }
    wf = first_events(s, &d, asks);
    if (d.n_denials > 0) {
        reject(s, wf, &d);
    } else {
        wf->spec.caps = d.effective;
        d.effective = (struct sh_capabilities){0};
        wf->journal.bytes_max = wf->spec.caps.limits.journal_bytes;
        if (asks) {
            wf->phase = SH_PHASE_HELD; /* without an agent, until a person has answered */
            sh_approval_request(wf, json_incref(asks), NULL, NULL);
        } else {
            queued = !s->birth && wait_in_queue(wf); /* a parent waits for its child */
            sh_workflow_row_put(wf, queued ? "queued" : "running");
        }
        if (commit_first(s, wf)) {
            sh_deadline_arm(wf);
            if (!asks && !queued) {
                sh_workflow_launch(wf);
            }
        }
    }
    json_decref(asks);
    sh_decision_done(&d);
}

/* ---- finding what is needed ---- */

static void module_ready(void *arg, struct sh_module *m, const struct sh_err *err) {
    struct submission *s = arg;
    struct sh_err stopping = {0};

    if (!err && s->engine->stopping) {
        sh_fail(&stopping, SH_E_UNAVAILABLE, "the engine is stopping; submit again later");
        err = &stopping;
    }
    if (err) {
        answer(s, NULL, false, err);
        return;
    }
    sh_module_unref(s->module);
    s->module = sh_module_ref(m);
    begin(s);
}

/* As far as it can be told before anything is loaded: what is decided then counts. */
static bool wants_image(const struct submission *s, const struct sh_hash *hash) {
    struct sh_decision d = {0};
    struct sh_err err = {0};
    json_t *asks = NULL;
    bool fits = s->engine->config.python_image && judge(s, hash, &d, &asks, &err) == 0 &&
                sh_image_fits(s->engine, &d.effective, s->argv0, s->script_name);

    sh_decision_done(&d);
    json_decref(asks);
    return fits;
}

static void load(struct submission *s) {
    struct sh_hash hash;

    sh_hash_parse(sh_json_get_str(s->record, "hash"), &hash);
    if (sh_str_eqz(sh_json_get_str(s->record, "kind"), "python")) {
        s->image = !s->module && wants_image(s, &hash);
        sh_modules_python(s->engine, s->image, module_ready, s);
    } else {
        sh_modules_load(s->engine, &hash, module_ready, s);
    }
}

/* Rules of the policy speak of names: to submit the hash instead of the name is no way around them.
 */
static void name_it(struct submission *s, struct sh_str name) {
    if (name.len == 0 && s->birth && s->birth->name) {
        name = sh_str(s->birth->name);
    }
    if (name.len == 0 && s->unnamed) {
        name = sh_str(s->unnamed);
    }
    if (name.len) {
        sh_free(s->agent);
        s->agent = text_of(name);
    }
}

/* name: that it is registered under when it was asked for by its hash, else empty */
static void module_found(void *arg, json_t *record, struct sh_str name, const struct sh_err *err) {
    struct submission *s = arg;
    struct sh_err bad = {0};
    struct sh_hash hash;
    json_t *manifest = json_object_get(record, "manifest");

    if (!err && manifest &&
        sh_capabilities_parse(json_object_get(manifest, "capabilities")
                                  ? json_object_get(manifest, "capabilities")
                                  : manifest,
                              NULL, NULL, &s->manifest, &bad) < 0) {
        err = &bad;
    }
    if (!err && sh_str_eqz(sh_json_get_str(record, "kind"), "python") &&
        !s->engine->config.python) {
        sh_fail(&bad, SH_E_UNSUPPORTED,
                "no Python interpreter is installed: `make` fetches python.wasm, or name one in "
                "$SHANNON_PYTHON_WASM");
        err = &bad;
    }
    if (err) {
        answer(s, NULL, false, err);
        return;
    }
    s->record = json_incref(record);
    if (sh_hash_parse(sh_str(s->agent), &hash) == 0) {
        name_it(s, name);
    }
    load(s);
}

static void input_kept(void *arg, const struct sh_payload *kept, const struct sh_err *err) {
    struct submission *s = arg;

    if (err) {
        answer(s, NULL, false, err);
        return;
    }
    s->kept = *kept;
    sh_registry_find(s->engine, sh_str(s->agent), module_found, s);
}

static void find_module(struct submission *s) {
    if (s->text.len > 0) {
        sh_payload_keep(s->engine, &s->text, SH_PAYLOAD_INPUT, input_kept, s);
    } else {
        sh_registry_find(s->engine, sh_str(s->agent), module_found, s);
    }
}

static void first_row_found(void *arg, json_t *row, const struct sh_err *err) {
    answer(arg, row, true, err);
}

static void key_found(void *arg, json_t *records, size_t total, const struct sh_err *err) {
    struct submission *s = arg;
    json_t *record = json_array_get(records, 0);
    char digest[SH_HASH_HEX_BYTES];
    struct sh_err other = {0};

    (void)total;
    if (err) {
        answer(s, NULL, false, err);
        return;
    }
    sh_hash_hex(&s->digest, digest);
    if (!record || sh_json_get_int(record, "created_at", 0) < sh_wall_us() - 86400000000LL) {
        if (sh_disk_check(s->engine, &other) < 0) {
            answer(s, NULL, false, &other);
            return;
        }
        find_module(s);
    } else if (!sh_str_eqz(sh_json_get_str(record, "digest"), digest)) {
        sh_fail(&other, SH_E_EXISTS,
                "this Idempotency-Key was used for another request; use a new key");
        answer(s, NULL, false, &other);
    } else {
        sh_engine_get(s->engine, sh_json_get_str(record, "workflow"), first_row_found, s);
    }
}

static bool key_is_busy(struct sh_engine *e, struct sh_str key) {
    sh_list_each (node, &e->pending_keys) {
        struct submission *s = sh_container_of(node, struct submission, link);
        if (sh_str_eqz(key, s->key)) {
            return true;
        }
    }
    return false;
}

static struct submission *copy(struct sh_engine *e, const struct sh_submit *in) {
    struct submission *s = sh_new(struct submission);

    s->engine = e;
    e->pins++;
    s->agent = in->agent.len ? text_of(in->agent)
                             : sh_strdup(e->config.default_agent ? e->config.default_agent : "");
    s->unnamed = in->unnamed ? sh_strdup(in->unnamed) : NULL;
    s->session = in->session.len ? text_of(in->session) : NULL;
    s->query = text_of(in->query);
    s->key = in->idempotency_key.len ? text_of(in->idempotency_key) : NULL;
    s->argv0 = in->argv0 ? sh_strdup(in->argv0) : NULL;
    s->script_name = sh_strdup(in->script_name ? in->script_name : "main.py");
    if (in->input_text) {
        s->text = *in->input_text;
        *in->input_text = (struct sh_buf){0};
    } else {
        s->input = in->input ? json_deep_copy(in->input)
                             : json_pack("{s:o}", "query", sh_json_string(in->query));
    }
    s->capabilities = in->capabilities ? json_deep_copy(in->capabilities) : NULL;
    s->metadata = in->metadata ? json_deep_copy(in->metadata) : json_object();
    s->args = json_array();
    for (size_t i = 0; in->args && in->args[i]; i++) {
        json_array_append_new(s->args, sh_json_string(sh_str(in->args[i])));
    }
    sh_buf_init_sure(&s->stdin_bytes, SH_INPUT_MAX * 2);
    sh_buf_add(&s->stdin_bytes, in->stdin_bytes.p, in->stdin_bytes.len);
    s->stdin_live = in->stdin_live;
    memcpy(s->tty, in->tty, sizeof(s->tty));
    s->operator_doc = in->operator_doc ? json_deep_copy(in->operator_doc) : NULL;
    s->deadline_us = in->deadline_us;
    s->priority = in->has_priority ? in->priority : SH_PRIORITY_DEFAULT;
    s->digest = in->idempotency_digest;
    return s;
}

/* An error that is known at once still comes in a later turn. */
struct refusal {
    struct sh_msg msg;
    struct submission *s;
    struct sh_err err;
};

static void refused(struct sh_msg *msg) {
    struct refusal *r = sh_container_of(msg, struct refusal, msg);

    answer(r->s, NULL, false, &r->err);
    sh_free(r);
}

static void refuse(struct submission *s, const struct sh_err *err) {
    struct refusal *r = sh_new(struct refusal);

    r->s = s;
    r->err = *err;
    r->msg.run = refused;
    sh_loop_post(s->engine->loop, &r->msg);
}

static void take(struct submission *s, const struct sh_submit *in, sh_engine_submit_fn cb,
                 void *arg) {
    struct sh_engine *e = s->engine;
    struct sh_err err = {0};

    SH_ON_LOOP(e->loop);
    s->cb = cb;
    s->arg = arg;
    if (check(in, &s->text, &err) == 0 && s->capabilities) {
        sh_capabilities_parse(s->capabilities, NULL, NULL, &s->request, &err);
    }
    if (!err.code) {
        sh_operator_read(e->config.policy, s->operator_doc, &s->own, &err);
    }
    if (!err.code && s->stdin_bytes.failed) {
        sh_fail(&err, SH_E_LIMIT, "stdin: expected at most %llu bytes", SH_INPUT_MAX * 2);
    }
    if (!err.code && e->stopping) {
        sh_fail(&err, SH_E_UNAVAILABLE, "the engine is stopping; submit again later");
    }
    if (!err.code && !s->birth && !s->key) { /* a child belongs to what is there already */
        sh_disk_check(e, &err);
    }
    if (!err.code && s->key && key_is_busy(e, in->idempotency_key)) {
        sh_fail(&err, SH_E_STATE, "a request with this Idempotency-Key is being handled right now");
    }
    if (err.code) {
        refuse(s, &err);
    } else if (s->key) {
        sh_list_push(&e->pending_keys, &s->link);
        sh_store_get(e->store, SH_TABLE_IDEMPOTENCY, in->idempotency_key, key_found, s);
    } else {
        find_module(s);
    }
}

void sh_engine_submit(struct sh_engine *e, const struct sh_submit *in, sh_engine_submit_fn cb,
                      void *arg) {
    take(copy(e, in), in, cb, arg);
}

void sh_engine_submit_child(struct sh_engine *e, const struct sh_submit *in,
                            const struct sh_birth *birth, sh_engine_submit_fn cb, void *arg) {
    struct submission *s = copy(e, in);

    s->birth = birth;
    take(s, in, cb, arg);
}

void sh_engine_submit_scheduled(struct sh_engine *e, const struct sh_submit *in,
                                const struct sh_schedule_start *start, sh_engine_submit_fn cb,
                                void *arg) {
    struct submission *s = copy(e, in);

    s->schedule = start;
    take(s, in, cb, arg);
}
