/* `replay --to SEQ`: what a workflow had asked, said and was waiting for as of any event. The
 * journal up to there is read, the agent is run from it alone, and nothing is carried out. A fork
 * begins in the same way (fork.c). */
#include "engine/private.h"

#define TEXT_MAX SH_MIB /* of each stream, shown */

struct sh_replay {
    struct sh_engine *engine;
    uint64_t to;      /* 0: all but the end */
    json_t *seen;     /* the result being made */
    json_t *requests; /* by ordinal, as text: an object keeps them where ordinals begin late */
    struct sh_buf text[2];
    sh_replay_fn fn;
    void *arg;
};

static void replay_end(struct sh_replay *r, struct sh_workflow *wf, const struct sh_err *err) {
    struct sh_engine *e = r->engine;

    r->fn(r->arg, err ? NULL : wf, err ? NULL : r->seen, err);
    json_decref(r->seen);
    json_decref(r->requests);
    sh_buf_done(&r->text[0]);
    sh_buf_done(&r->text[1]);
    sh_free(r);
    if (wf) {
        wf->phase = SH_PHASE_ENDED;
        sh_workflow_leave(wf);
    }
    sh_engine_unpin(e);
}

/* ---- what the events say ---- */

static void see_activity(struct sh_replay *r, const struct sh_event *ev) {
    static const char *const shown[] = {"op", "args", "id", "due_us", "key"};
    char ordinal[24];
    json_t *a;

    snprintf(ordinal, sizeof(ordinal), "%lld", (long long)sh_json_get_int(ev->body, "ordinal", -1));
    a = json_object_get(r->requests, ordinal);
    if (!a) {
        a = json_pack("{s:I, s:s, s:I}", "ordinal",
                      (json_int_t)sh_json_get_int(ev->body, "ordinal", -1), "state", "open", "seq",
                      (json_int_t)ev->seq);
        json_object_set_new(r->requests, ordinal, a);
    }
    for (size_t i = 0; i < sizeof(shown) / sizeof(shown[0]); i++) {
        if (json_object_get(ev->body, shown[i])) {
            json_object_set(a, shown[i], json_object_get(ev->body, shown[i]));
        }
    }
    if (strcmp(ev->type, "ActivityRetried") == 0) {
        json_object_set(a, "attempt", json_object_get(ev->body, "attempt"));
    } else if (strcmp(ev->type, "ActivityScheduled") != 0) {
        json_t *error = json_object_get(ev->body, "error");
        json_object_set_new(a, "state", json_string(error ? "failed" : "completed"));
        json_object_set_new(a, "outcome_seq", json_integer((json_int_t)ev->seq));
        json_object_set(a, error ? "error" : "result",
                        error ? error : json_object_get(ev->body, "result"));
    }
}

static void see_output(struct sh_replay *r, const json_t *body) {
    int64_t stream = sh_json_get_int(body, "stream", 0);
    struct sh_buf bytes;

    sh_buf_init_sure(&bytes, SH_EVENT_BODY_MAX);
    if ((stream == 1 || stream == 2) &&
        sh_base64_decode(&bytes, sh_json_get_str(body, "data")) == 0) {
        struct sh_buf *to = &r->text[stream - 1];
        size_t room = to->max - to->len;
        sh_buf_add(to, bytes.p, bytes.len < room ? bytes.len : room);
    }
    sh_buf_done(&bytes);
}

static void see(struct sh_workflow *wf, const struct sh_event *ev, void *arg) {
    struct sh_replay *r = arg;

    (void)wf;
    if (strncmp(ev->type, "Activity", 8) == 0 || strcmp(ev->type, "TimerFired") == 0) {
        see_activity(r, ev);
    } else if (strcmp(ev->type, "Output") == 0) {
        see_output(r, ev->body);
    } else if (strcmp(ev->type, "Emitted") == 0) {
        json_array_append_new(json_object_get(r->seen, "emitted"),
                              json_pack("{s:I, s:O?, s:O?}", "seq", (json_int_t)ev->seq, "type",
                                        json_object_get(ev->body, "type"), "data",
                                        json_object_get(ev->body, "data")));
    } else if (strcmp(ev->type, "Published") == 0) {
        struct sh_str name = sh_json_get_str(ev->body, "name");
        json_object_setn(json_object_get(r->seen, "published"), name.p ? name.p : "", name.len,
                         json_object_get(ev->body, "data"));
    } else if (strcmp(ev->type, "Checkpoint") == 0) {
        json_object_set_new(r->seen, "checkpoint", json_integer((json_int_t)ev->seq));
    }
    json_object_set_new(r->seen, "seq", json_integer((json_int_t)ev->seq));
    json_object_set_new(r->seen, "time_us", json_integer(ev->time_us));
    json_object_set_new(r->seen, "type", json_string(ev->type));
}

/* ---- what the agent says ---- */

static const char *waits_for(const struct sh_workflow *wf) {
    switch (sh_agent_wait(wf->agent)->kind) {
    case SH_WAIT_ACTIVITY:
        return "an activity";
    case SH_WAIT_SLEEP:
        return "a delay";
    case SH_WAIT_STDIN:
        return "standard input";
    case SH_WAIT_NET:
        return strcmp(sh_agent_wait(wf->agent)->net.kind, SH_POLL) == 0 ? "the first of several"
                                                                        : "a connection";
    case SH_WAIT_JOURNAL:
        return "a mapped directory";
    default:
        return "nothing";
    }
}

static void finish(struct sh_replay *r, const char *state) {
    json_t *list = json_array(), *request;
    const char *ordinal;

    json_object_foreach(r->requests, ordinal, request) {
        json_array_append(list, request);
    }
    json_object_set_new(r->seen, "state", json_string(state));
    json_object_set_new(r->seen, "requests", list);
    json_object_set_new(r->seen, "stdout", sh_json_string(sh_buf_str(&r->text[0])));
    json_object_set_new(r->seen, "stderr", sh_json_string(sh_buf_str(&r->text[1])));
}

static void at_the_cut(struct sh_workflow *wf, void *arg) {
    struct sh_replay *r = arg;
    const char *code = json_string_value(json_object_get(wf->end_body, "code"));
    struct sh_buf what;
    struct sh_err err = {0};

    sh_buf_init_sure(&what, 200);
    uint64_t seq = sh_history_first_unmatched(&wf->history, &what);
    if (code && strcmp(code, "nondeterminism") == 0) {
        sh_fail(&err, SH_E_NONDETERMINISM, "%s",
                json_string_value(json_object_get(wf->end_body, "message")));
    } else if (seq != 0) {
        sh_fail(&err, SH_E_NONDETERMINISM,
                "event %llu: the journal has %s, the agent did not do it", (unsigned long long)seq,
                what.p ? what.p : "more");
    }
    sh_buf_done(&what);
    if (wf->agent) {
        struct sh_agent_counters c = sh_agent_counters(wf->agent);
        json_object_set_new(r->seen, "fuel", json_integer((json_int_t)c.fuel_used));
        json_object_set_new(r->seen, "clock_us", json_integer(c.clock_us));
        json_object_set_new(r->seen, "random_bytes", json_integer((json_int_t)c.random_pos));
        if (!wf->end_type) {
            json_object_set_new(r->seen, "waits_for", json_string(waits_for(wf)));
        }
    }
    if (wf->end_type) {
        json_object_set_new(r->seen, "end",
                            json_pack("{s:s, s:O?}", "type", wf->end_type, "body", wf->end_body));
    }
    finish(r, wf->end_type ? "ended" : "waiting");
    json_decref(wf->end_body);
    wf->end_body = NULL;
    replay_end(r, wf, err.code ? &err : NULL);
}

static void abandoned(void *arg, const struct sh_err *err) {
    replay_end(arg, NULL, err);
}

static void module_ready(void *arg, struct sh_module *m, const struct sh_err *err) {
    struct sh_workflow *wf = arg;
    struct sh_replay *r = wf->on_end_arg;

    if (wf->leaving) {
        sh_workflow_unpin(wf);
        return;
    }
    if (err) {
        replay_end(r, wf, err);
    } else {
        wf->module = sh_module_ref(m);
        sh_workflow_launch(wf);
    }
    sh_workflow_unpin(wf);
}

static void loaded(struct sh_workflow *wf, const struct sh_err *err, void *arg) {
    struct sh_replay *r = arg;
    struct sh_history *h = &wf->history;
    struct sh_err stopping = {0};

    if (!err && wf->leaving) {
        sh_fail(&stopping, SH_E_UNAVAILABLE, "the engine is stopping");
        err = &stopping;
    }
    if (err) {
        replay_end(r, wf, err);
        return;
    }
    if (wf->journal.seq < 2 || sh_verify_never_ran(h)) { /* there is no agent to ask */
        finish(r, h->final ? "ended" : "not started");
        replay_end(r, wf, NULL);
        return;
    }
    sh_verify_limit_fuel(wf);
    json_object_set_new(r->seen, "paused", json_boolean(wf->paused));
    wf->paused = wf->over_budget = false;
    wf->on_end = at_the_cut;
    wf->on_abandoned = abandoned;
    wf->on_end_arg = r;
    wf->pins++;
    sh_modules_load(wf->engine, wf->spec.python ? &wf->spec.interpreter : &wf->spec.module,
                    module_ready, wf);
}

static void row_found(void *arg, json_t *row, const struct sh_err *err) {
    struct sh_replay *r = arg;
    struct sh_workflow *wf;
    struct sh_id id;

    if (err || sh_id_parse(sh_json_get_str(row, "id"), &id) < 0) {
        replay_end(r, NULL, err);
        return;
    }
    r->seen = json_pack("{s:s, s:[], s:{}}", "id", id.s, "emitted", "published");
    wf = sh_workflow_new(r->engine, &id);
    wf->verify = true;
    wf->load_to = r->to;
    wf->load_open = r->to == 0;
    sh_loader_start(wf, see, NULL, loaded, r);
}

void sh_replay_start(struct sh_engine *e, struct sh_str id, uint64_t to, sh_replay_fn fn,
                     void *arg) {
    struct sh_replay *r = sh_new(struct sh_replay);

    r->engine = e;
    r->to = to;
    r->requests = json_object();
    r->fn = fn;
    r->arg = arg;
    sh_buf_init(&r->text[0], TEXT_MAX);
    sh_buf_init(&r->text[1], TEXT_MAX);
    e->pins++;
    sh_engine_get(e, id, row_found, r);
}

/* ---- the door ---- */

struct asking {
    sh_engine_json_fn cb;
    void *arg;
};

static void answered(void *arg, struct sh_workflow *wf, json_t *seen, const struct sh_err *err) {
    struct asking *a = arg;

    (void)wf;
    a->cb(a->arg, seen, err);
    sh_free(a);
}

void sh_engine_replay(struct sh_engine *e, struct sh_str id, uint64_t to, sh_engine_json_fn cb,
                      void *arg) {
    struct asking *a = sh_new(struct asking);

    a->cb = cb;
    a->arg = arg;
    sh_replay_start(e, id, to ? to : UINT64_MAX, answered, a);
}
