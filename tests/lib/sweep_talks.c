/* Scenarios: people and programs that talk to a task while it runs. */
#include "sweep.h"

#include <string.h>

static void allow(struct fixture *f) {
    f->policy_doc = sweep_policy("{\"rules\":[{\"agent\":\"*\",\"allow\":{\"tools\":[\"llm\","
                                 "\"kv\",\"calculator\"]}}]}");
}

/* ---- signals, to one in memory and to one that sleeps ---- */

static int submit_listener(void) {
    return sweep_submit(0,
                        "(module\nprint a\nstart signal {\"name\":\"go\"}\nwait any\n"
                        "start llm {\"q\":1}\nwait any\nstart signal {\"name\":\"more\"}\n"
                        "wait any\nprint z\n",
                        NULL);
}

static int signal_go(void) {
    return sweep_signal(0, "go", 1);
}

static bool went(const json_t *durable) {
    return sweep_count(durable, 0, "SignalReceived", "payload", json_integer(1)) == 1;
}

static int signal_more(void) {
    return sweep_signal(0, "more", 2);
}

static bool had_more(const json_t *durable) {
    return sweep_count(durable, 0, "SignalReceived", "payload", json_integer(2)) == 1;
}

static void check_two_signals(const json_t *durable) {
    size_t n = sweep_count(durable, 0, "SignalReceived", NULL, NULL);

    sweep_assert(n == 2, "%zu signals instead of 2", n);
}

static const struct sweep_step signaled[] = {{"submit", submit_listener, NULL, false},
                                             {"signal go", signal_go, went, false},
                                             {"signal more", signal_more, had_more, false},
                                             {0}};
static const struct sweep_scenario signals = {
    .name = "signals", .set = allow, .steps = signaled, .check = check_two_signals};

static void sleeps_soon(struct fixture *f) {
    allow(f);
    f->passivate_after_ms = 5;
}

/* `more` is kept for later by one that goes on sleeping. */
static const struct sweep_step woken[] = {{"submit", submit_listener, NULL, false},
                                          {"fall asleep", sweep_asleep, NULL, true},
                                          {"signal more", signal_more, had_more, false},
                                          {"signal go", signal_go, went, false},
                                          {0}};
static const struct sweep_scenario wakes = {
    .name = "wakes", .set = sleeps_soon, .steps = woken, .check = check_two_signals};

/* ---- updates and queries ---- */

static int submit_server(void) {
    return sweep_submit(
        0,
        "(module\npublish state {\"n\":0}\nstart signal {\"name\":\"do\"}\nwait any\n"
        "start llm {\"q\":1}\nwait any\nstart signal.reply {\"id\":\"u1\",\"result\":{\"n\":1}}\n"
        "wait any\npublish state {\"n\":1}\nstart signal {\"name\":\"do\"}\nwait any\n"
        "start signal.reply {\"id\":\"u2\",\"error\":\"no\"}\nwait any\n",
        NULL);
}

static int update(const char *id, const char *status) {
    struct sweep_answer *a = sweep_ask();
    const char *is;
    int code;

    sh_engine_update(sweep.f.engine, sh_str(sweep.ids[0]),
                     &(struct sh_update){.name = SH_STR("do"), .id = sh_str(id), .wait_ms = 30},
                     sweep_on_json, a);
    code = sweep_answered(a);
    if (code) {
        return code;
    }
    is = json_string_value(json_object_get(a->value, "status"));
    sweep_assert(strcmp(is, status) == 0 || strcmp(is, "accepted") == 0, "the update is %s", is);
    return strcmp(is, status) == 0 ? 0 : SWEEP_LATER;
}

static int update_one(void) {
    return update("u1", "completed");
}

static int update_two(void) {
    return update("u2", "failed");
}

static int query(void) {
    struct sweep_answer *a = sweep_ask();
    int code;

    sh_engine_query(sweep.f.engine, sh_str(sweep.ids[0]), SH_STR("state"), sweep_on_json, a);
    code = sweep_answered(a);
    return code                                                               ? code
           : sh_json_get_int(json_object_get(a->value, "data"), "n", -1) == 1 ? 0
                                                                              : SWEEP_LATER;
}

static void check_updates(const json_t *durable) {
    size_t received = sweep_count(durable, 0, "SignalReceived", NULL, NULL);
    size_t replies =
        sweep_count(durable, 0, "ActivityCompleted", "op", json_string("signal.reply"));

    sweep_assert(received == 2 && replies == 2, "%zu received, %zu answered", received, replies);
}

static const struct sweep_step updated[] = {{"submit", submit_server, NULL, false},
                                            {"update u1", update_one, NULL, false},
                                            {"query", query, NULL, false},
                                            {"update u2", update_two, NULL, false},
                                            {0}};
static const struct sweep_scenario updates = {
    .name = "updates", .set = allow, .steps = updated, .check = check_updates};

/* ---- questions ---- */

static void asks(struct fixture *f) {
    f->policy_doc = sweep_policy("{\"rules\":[{\"agent\":\"*\",\"ask\":{\"tools\":[\"llm\"]}}]}");
    f->attended = true;
}

static int submit_asking(void) {
    return sweep_submit(0,
                        "(module\nstart llm {\"q\":1}\nwait any\n"
                        "start llm {\"q\":2}\nwait any\nstart llm {\"q\":3}\n"
                        "wait any\n",
                        NULL);
}

/* The question that is open is the first, or the second: by how many have been decided. */
static int decide(size_t before, bool allowed, const char *scope) {
    sh_auto(sh_json_done) json_t *durable = sh_twin_snapshot(sh_twin_named(sweep.f.endpoint + 5));
    struct sweep_answer *list = sweep_ask(), *a;
    int code;

    sh_engine_approvals(sweep.f.engine, sweep_on_json, list);
    if ((code = sweep_answered(list)) != 0) {
        return code;
    }
    if (json_array_size(list->value) == 0 ||
        sweep_count(durable, 0, "ApprovalDecided", NULL, NULL) != before) {
        return SWEEP_LATER;
    }
    a = sweep_ask();
    sh_engine_decide(sweep.f.engine, sh_str(sweep.ids[0]),
                     sh_json_get_str(json_array_get(list->value, 0), "approval_id"), allowed, scope,
                     "a client", "because", sweep_on_json, a);
    return sweep_answered(a);
}

static int deny(void) {
    return decide(0, false, "once");
}

static bool denied(const json_t *durable) {
    return sweep_count(durable, 0, "ApprovalDecided", NULL, NULL) >= 1;
}

static int grant(void) {
    return decide(1, true, "always");
}

static bool granted(const json_t *durable) {
    return sweep_count(durable, 0, "ApprovalDecided", NULL, NULL) >= 2;
}

static void check_decided(const json_t *durable) {
    size_t n = sweep_count(durable, 0, "ApprovalDecided", NULL, NULL), grants = 0;
    const char *key;
    json_t *record;

    json_object_foreach(json_object_get(durable, "meta"), key, record) {
        grants += strncmp(key, "grant:", 6) == 0;
    }
    sweep_assert(n == 2 && grants == 1, "%zu decisions, %zu grants", n, grants);
}

static const struct sweep_step asked[] = {{"submit", submit_asking, NULL, false},
                                          {"deny", deny, denied, false},
                                          {"grant", grant, granted, false},
                                          {0}};
static const struct sweep_scenario approvals = {
    .name = "approvals", .set = asks, .steps = asked, .check = check_decided};

/* ---- pause, resume, cancel; what is undone ---- */

static int submit_patient(void) {
    return sweep_submit(
        0,
        "(module\nstart compensate {\"op\":\"llm\",\"args\":{\"undo\":1}}\nwait any\n"
        "start kv.put {\"key\":\"k\",\"value\":1}\nwait any\nstart signal {\"name\":\"never\"}\n"
        "wait any\n",
        NULL);
}

static int control(void (*what)(struct sh_engine *, struct sh_str, const char *, const char *,
                                sh_engine_json_fn, void *)) {
    struct sweep_answer *a = sweep_ask();

    what(sweep.f.engine, sh_str(sweep.ids[0]), "a client", "because", sweep_on_json, a);
    return sweep_answered(a);
}

/* Cancellation is shown by a wait: it waits for the signal by then. */
static int await_patience(void) {
    sh_auto(sh_json_done) json_t *durable = sh_twin_snapshot(sh_twin_named(sweep.f.endpoint + 5));

    return sweep_count(durable, 0, "ActivityScheduled", "op", json_string("signal")) > 0
               ? 0
               : SWEEP_LATER;
}

static int pause_it(void) {
    return control(sh_engine_pause);
}

static bool paused(const json_t *durable) {
    return sweep_count(durable, 0, "Paused", NULL, NULL) > 0;
}

static int resume_it(void) {
    return control(sh_engine_resume);
}

static bool resumed(const json_t *durable) {
    return sweep_count(durable, 0, "Resumed", NULL, NULL) > 0;
}

static int cancel_it(void) {
    return control(sh_engine_cancel);
}

static bool canceled(const json_t *durable) {
    return sweep_count(durable, 0, "CancelRequested", NULL, NULL) > 0;
}

static void check_canceled(const json_t *durable) {
    sweep_assert(sh_str_eqz(sh_json_get_str(sweep_row(durable, 0), "status"), "canceled"),
                 "not canceled");
    sweep_assert(sweep_count(durable, 0, "CompensationCompleted", NULL, NULL) == 1,
                 "what it had done was not undone, once");
}

static const struct sweep_step controlled[] = {
    {"submit", submit_patient, NULL, false}, {"wait for it", await_patience, NULL, true},
    {"pause", pause_it, paused, false},      {"resume", resume_it, resumed, false},
    {"cancel", cancel_it, canceled, false},  {0}};
static const struct sweep_scenario controls = {
    .name = "controls", .set = allow, .steps = controlled, .check = check_canceled};

const struct sweep_scenario *const sweep_talks[] = {&signals,   &wakes,    &updates,
                                                    &approvals, &controls, NULL};
