/* Updates: a signal with an id, which the workflow answers by the op signal.reply.
 *
 *   SignalReceived{name, payload, update, digest}     "accepted": told to nobody before it is
 * durable
 *       -> ActivityCompleted{op: signal.reply, args: {id, result | error}}   "completed" or
 * "failed"
 *       -> the workflow's end                                                "unanswered"
 *
 * SH_TABLE_UPDATE: "workflow/id" -> {workflow, update, name, digest, status, result?, error?,
 * received_us, answered_us?}, written in one commit with each of the two events: whoever asks again
 * after a crash, with the same id, finds what there is and waits for the rest. */
#include "engine/private.h"

struct sh_update_call {
    bool taken_up;       /* asked for: the workflow was not in memory */
    struct sh_list link; /* engine->update_waiters */
    struct sh_engine *engine;
    char *workflow, *id, *key;
    struct sh_str name; /* empty: only asks what became of it */
    char *name_text;
    json_t *payload;
    char digest[SH_HASH_HEX_BYTES];
    uint64_t wait_ms;
    struct sh_timer timer;
    bool waiting; /* it is known that the update was received */
    json_t *view; /* what is known of it */
    bool over;    /* view has the answer */
    sh_engine_json_fn cb;
    void *arg;
};

static void call_end(struct sh_update_call *c, const struct sh_err *err) {
    struct sh_engine *e = c->engine;

    sh_timer_stop(&c->timer);
    sh_list_unlink(&c->link);
    c->cb(c->arg, err ? NULL : c->view, err);
    json_decref(c->view);
    json_decref(c->payload);
    sh_free(c->workflow);
    sh_free(c->id);
    sh_free(c->key);
    sh_free(c->name_text);
    sh_free(c);
    sh_engine_unpin(e);
}

static char *record_key(const char *workflow, const char *id) {
    return sh_asprintf("%s/%s", workflow, id);
}

static void digest_of(const char *name, const json_t *payload, char hex[SH_HASH_HEX_BYTES]) {
    sh_auto(sh_free_p) char *text = payload ? sh_json_text(payload) : sh_strdup("null");
    struct sh_hasher h;
    struct sh_hash hash;

    sh_hasher_init(&h);
    sh_hasher_str(&h, sh_str(name));
    sh_hasher_str(&h, sh_str(text));
    sh_hasher_done(&h, &hash);
    sh_hash_hex(&hash, hex);
}

/* ---- waiting ---- */

static void timed_out(struct sh_timer *t) {
    call_end(sh_container_of(t, struct sh_update_call, timer), NULL);
}

static void wait_on(struct sh_update_call *c) {
    c->waiting = true;
    if (c->over || c->wait_ms == 0 || c->engine->stopping) {
        call_end(c, NULL);
    } else {
        sh_timer_start(c->engine->loop, &c->timer, c->wait_ms * 1000000, timed_out);
    }
}

/* What became of an update is told to those who wait; who still reads finds it in the view. */
static void tell(struct sh_engine *e, const char *key, json_t *view) {
    for (bool again = true; again;) {
        again = false;
        sh_list_each (node, &e->update_waiters) {
            struct sh_update_call *c = sh_container_of(node, struct sh_update_call, link);
            if (c->over || strcmp(c->key, key) != 0) {
                continue;
            }
            json_decref(c->view);
            c->view = json_incref(view);
            c->over = true;
            if (c->waiting) {
                call_end(c, NULL);
                again = true; /* its owner may have done anything to the list */
                break;
            }
        }
    }
}

void sh_engine_updates_release(struct sh_engine *e) {
    for (bool again = true; again;) {
        again = false;
        sh_list_each (node, &e->update_waiters) {
            struct sh_update_call *c = sh_container_of(node, struct sh_update_call, link);
            if (c->waiting) {
                call_end(c, NULL);
                again = true;
                break;
            }
            c->wait_ms = 0;
        }
    }
}

/* ---- the records ---- */

static json_t *record_json(const struct sh_workflow *wf, const char *id, const json_t *known,
                           const char *status) {
    return json_pack("{s:s, s:s, s:O, s:O, s:s, s:O}", "workflow", wf->id.s, "update", id, "name",
                     json_object_get(known, "name"), "digest", json_object_get(known, "digest"),
                     "status", status, "received_us", json_object_get(known, "received_us"));
}

/* The record of an answer: `args` are those of the reply. */
static json_t *answered_json(const struct sh_workflow *wf, const char *id, const json_t *known,
                             json_t *args, int64_t at_us) {
    json_t *error = json_object_get(args, "error"), *result = json_object_get(args, "result");
    json_t *record = record_json(wf, id, known, error ? "failed" : "completed");

    if (error) {
        json_object_set(record, "error", error);
    } else {
        json_object_set(record, "result", result ? result : json_null());
    }
    json_object_set_new(record, "answered_us", json_integer(at_us));
    return record;
}

void sh_update_apply_received(struct sh_workflow *wf, const struct sh_event *ev) {
    json_t *id = json_object_get(ev->body, "update");

    if (json_is_string(id) && !json_object_get(wf->updates, json_string_value(id))) {
        json_t *digest = json_object_get(ev->body, "digest");
        json_object_set_new(wf->updates, json_string_value(id),
                            json_pack("{s:O, s:O, s:I}", "name", json_object_get(ev->body, "name"),
                                      "digest", digest ? digest : json_null(), "received_us",
                                      (json_int_t)ev->time_us));
    }
}

void sh_update_apply_reply(struct sh_workflow *wf, const struct sh_event *ev) {
    json_t *args = json_object_get(ev->body, "args");
    const char *id = json_string_value(json_object_get(args, "id"));
    json_t *known = id ? json_object_get(wf->updates, id) : NULL;

    if (!known || json_object_get(ev->body, "error")) {
        return;
    }
    json_object_set_new(known, "answered", json_true());
    if (wf->phase != SH_PHASE_LOADING) {
        sh_auto(sh_free_p) char *key = record_key(wf->id.s, id);
        json_t *view = answered_json(wf, id, known, args, ev->time_us);
        tell(wf->engine, key, view);
        json_decref(view);
    }
}

void sh_updates_ended(struct sh_workflow *wf) {
    const char *id;
    json_t *known;

    json_object_foreach(wf->updates, id, known) {
        if (!json_object_get(known, "answered")) {
            sh_auto(sh_free_p) char *key = record_key(wf->id.s, id);
            json_t *view = record_json(wf, id, known, "unanswered");
            tell(wf->engine, key, view);
            json_decref(view);
        }
    }
}

/* ---- the guest answers ---- */

static int check_reply(const struct sh_activity *a, json_t **ret_known, struct sh_err *err) {
    struct sh_str id = sh_json_get_str(a->args, "id");
    sh_auto(sh_free_p) char *text = sh_strndup0(id.p ? id.p : "", id.len);

    *ret_known = json_object_get(a->wf->updates, text);
    if (json_object_get(a->args, "result") && json_object_get(a->args, "error")) {
        return sh_fail(err, SH_E_INVAL, "signal.reply: expected result or error, got both");
    }
    if (!*ret_known) {
        return sh_fail(err, SH_E_NOT_FOUND,
                       "signal.reply: no update \"%.60s\" was received; its id is the member "
                       "\"update\" of a signal's result",
                       text);
    }
    if (json_object_get(*ret_known, "answered")) {
        return sh_fail(err, SH_E_STATE, "signal.reply: the update \"%.60s\" is answered already",
                       text);
    }
    return 0;
}

void sh_update_reply_run(struct sh_activity *a) {
    struct sh_workflow *wf = a->wf;
    struct sh_err err = {0};
    json_t *known = NULL;

    if (check_reply(a, &known, &err) < 0) {
        sh_activity_fail(a, &err, false, 0);
        return;
    }
    json_t *args = json_incref(a->args);
    const char *id = json_string_value(json_object_get(args, "id"));
    sh_auto(sh_free_p) char *key = record_key(wf->id.s, id);
    json_object_set_new(known, "answered", json_true());
    sh_activity_succeed(a, json_object());
    sh_journal_put(wf, SH_TABLE_UPDATE, key,
                   answered_json(wf, id, known, args, wf->journal.time_us));
    json_decref(args);
}

/* ---- somebody asks ---- */

static void row_read(void *arg, json_t *row, const struct sh_err *err) {
    struct sh_update_call *c = arg;

    if (!err && !c->over && json_object_get(row, "completed_at")) {
        json_t *view = json_deep_copy(c->view); /* the record is somebody else's */
        json_object_set_new(view, "status", json_string("unanswered"));
        json_decref(c->view);
        c->view = view;
        c->over = true;
    }
    if (err) {
        call_end(c, err);
    } else {
        wait_on(c);
    }
}

/* It was received before: the same one, or another under its id? */
static void known_before(struct sh_update_call *c, json_t *record) {
    struct sh_err err = {0};

    if (c->name.len && !sh_str_eqz(sh_json_get_str(record, "digest"), c->digest)) {
        sh_fail(&err, SH_E_EXISTS,
                "the update \"%.60s\" was sent before with another name or payload; a new update "
                "needs a new id",
                c->id);
        call_end(c, &err);
        return;
    }
    if (!c->over) {
        json_decref(c->view);
        c->view = json_deep_copy(record);
        json_object_del(c->view, "id");
        c->over = !sh_str_eqz(sh_json_get_str(record, "status"), "accepted");
    }
    if (c->over) {
        wait_on(c);
    } else {
        sh_engine_get(c->engine, sh_str(c->workflow), row_read, c);
    }
}

static void accepted(void *arg, json_t *row, const struct sh_err *err) {
    (void)row;
    if (err) {
        call_end(arg, err);
    } else {
        wait_on(arg);
    }
}

static void receive(struct sh_update_call *c);

static void is_there(struct sh_engine *e, struct sh_workflow *wf, void *arg) {
    (void)e;
    (void)wf;
    receive(arg);
}

static void receive(struct sh_update_call *c) {
    struct sh_workflow *wf = sh_workflow_find(c->engine, sh_str(c->workflow));
    struct sh_control *control;
    struct sh_err err = {0};
    struct sh_id id;
    json_t *known;

    if ((!wf || wf->reading) && !c->taken_up && !c->engine->stopping &&
        sh_id_parse(sh_str(c->workflow), &id) == 0) {
        c->taken_up = true;
        sh_takeup_add(c->engine, sh_str(c->workflow), is_there, c);
        return;
    }
    control = sh_control_new(c->engine, "update", accepted, c);

    if (!sh_control_alive(control, wf, sh_str(c->workflow))) {
        return;
    }
    known = json_object_get(wf->updates, c->id);
    if (!known) {
        if (sh_journal_add(wf, "SignalReceived",
                           json_pack("{s:o, s:O, s:s, s:s}", "name", sh_json_string(c->name),
                                     "payload", c->payload, "update", c->id, "digest",
                                     c->digest)) == 0) {
            sh_fail(&err, SH_E_JOURNAL, "the task's journal has reached its size limit");
            sh_control_end(control, NULL, &err);
            return;
        }
        known = json_pack("{s:o, s:s, s:I}", "name", sh_json_string(c->name), "digest", c->digest,
                          "received_us", (json_int_t)wf->journal.time_us);
        json_object_set_new(wf->updates, c->id, known);
        c->view = record_json(wf, c->id, known, "accepted");
        sh_journal_put(wf, SH_TABLE_UPDATE, c->key, json_incref(c->view));
    } else if (!sh_str_eqz(sh_json_get_str(known, "digest"), c->digest)) {
        sh_fail(&err, SH_E_EXISTS, "the update \"%.60s\" was sent with another name or payload",
                c->id);
        sh_control_end(control, NULL, &err);
        return;
    } else if (!c->over) { /* another client sends it at this moment */
        c->view = record_json(wf, c->id, known, "accepted");
    }
    sh_journal_commit(wf, sh_control_written, control);
}

static void record_read(void *arg, json_t *records, size_t total, const struct sh_err *err) {
    struct sh_update_call *c = arg;
    struct sh_err none = {0};

    (void)total;
    if (err) {
        call_end(c, err);
    } else if (json_array_size(records) > 0) {
        known_before(c, json_array_get(records, 0));
    } else if (c->over) { /* received and answered since it was read */
        wait_on(c);
    } else if (c->name.len) {
        receive(c);
    } else {
        sh_fail(&none, SH_E_NOT_FOUND, "the task has received no update \"%.60s\"", c->id);
        call_end(c, &none);
    }
}

static struct sh_update_call *call_new(struct sh_engine *e, struct sh_str workflow,
                                       const struct sh_id *id, uint64_t wait_ms,
                                       sh_engine_json_fn cb, void *arg) {
    struct sh_update_call *c = sh_new(struct sh_update_call);

    c->engine = e;
    c->workflow = sh_strndup0(workflow.p, workflow.len);
    c->id = sh_strdup(id->s);
    c->key = record_key(c->workflow, c->id);
    c->wait_ms = wait_ms;
    c->cb = cb;
    c->arg = arg;
    e->pins++;
    sh_list_push(&e->update_waiters, &c->link);
    return c;
}

static int bad_id(struct sh_err *err) {
    return sh_fail(err, SH_E_INVAL,
                   "the id of an update has 1 to %d characters of A-Z a-z 0-9 : _ - .", SH_ID_MAX);
}

void sh_engine_update(struct sh_engine *e, struct sh_str workflow, const struct sh_update *u,
                      sh_engine_json_fn cb, void *arg) {
    struct sh_update_call *c;
    struct sh_err err = {0};
    struct sh_id id;

    SH_ON_LOOP(e->loop);
    if (u->id.len == 0) {
        sh_id_new(&id, "up-");
    } else if (sh_id_parse(u->id, &id) < 0) {
        bad_id(&err);
    }
    if (err.code || sh_signal_check(u->name, u->payload, &err) < 0) {
        cb(arg, NULL, &err);
        return;
    }
    c = call_new(e, workflow, &id, u->wait_ms, cb, arg);
    c->name_text = sh_strndup0(u->name.p, u->name.len);
    c->name = sh_str(c->name_text);
    c->payload = u->payload ? json_deep_copy(u->payload) : json_null();
    digest_of(c->name_text, c->payload, c->digest);
    sh_store_get(e->store, SH_TABLE_UPDATE, sh_str(c->key), record_read, c);
}

void sh_engine_update_get(struct sh_engine *e, struct sh_str workflow, struct sh_str update,
                          uint64_t wait_ms, sh_engine_json_fn cb, void *arg) {
    struct sh_err err = {0};
    struct sh_id id;

    SH_ON_LOOP(e->loop);
    if (sh_id_parse(update, &id) < 0) {
        bad_id(&err);
        cb(arg, NULL, &err);
        return;
    }
    struct sh_update_call *c = call_new(e, workflow, &id, wait_ms, cb, arg);
    sh_store_get(e->store, SH_TABLE_UPDATE, sh_str(c->key), record_read, c);
}
