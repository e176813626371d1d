/* See sweep.h. What must hold, whatever failed:
 *
 * - every request is answered, every refusal says why, nothing hangs;
 * - what was promised, and every event that a follower was told, is there after a restart;
 * - a follower was told the events in order, without a gap;
 * - no call whose outcome was durable is made again;
 * - the chain verifies, the replay is equal, and the digest is that of the run in which nothing
 *   failed. (A leak is for LeakSanitizer to find.) */
#include "sweep.h"

#include <stdio.h>
#include <string.h>

#include "fake_tools.h"

#define FAULTY_MS 150 /* what does not end by itself by then is stopped as it stands */
#define TOLD_MAX 400
#define ANSWERS_MAX 4096

struct sweep sweep;

static const struct sweep_scenario *scenario;
static bool promised[SWEEP_STEPS], refused[SWEEP_STEPS];
static uint64_t until_ns; /* of the part that may fail */

/* ---- requests ---- */

static struct sweep_answer *answers[ANSWERS_MAX];
static size_t n_answers;

struct sweep_answer *sweep_ask(void) {
    struct sweep_answer *a = sh_new(struct sweep_answer);

    sweep_assert(n_answers < ANSWERS_MAX, "more than %d requests, the last refused: %s",
                 ANSWERS_MAX, sweep.err.message);
    a->fd = -1;
    answers[n_answers++] = a;
    return a;
}

/* With the engine gone, nobody answers any more. */
static void answers_drop(void) {
    for (size_t i = 0; i < n_answers; i++) {
        json_decref(answers[i]->value);
        sh_close_p(&answers[i]->fd);
        sh_free(answers[i]);
    }
    n_answers = 0;
}

static void answered(struct sweep_answer *a, json_t *value, const struct sh_err *err) {
    sweep_assert(!a->done, "a request was answered twice");
    sweep_assert(!err || (err->code && err->message[0]), "an error without a message");
    a->done = true;
    a->value = value ? json_deep_copy(value) : NULL;
    a->err = err ? *err : (struct sh_err){0};
    sh_loop_stop(sweep.f.loop);
}

void sweep_on_json(void *arg, json_t *value, const struct sh_err *err) {
    answered(arg, value, err);
}

void sweep_on_submit(void *arg, json_t *row, bool cached, const struct sh_err *err) {
    (void)cached;
    answered(arg, row, err);
}

void sweep_on_file(void *arg, int fd, uint64_t bytes, const struct sh_err *err) {
    struct sweep_answer *a = arg;

    sweep_assert(err ? fd == -1 : bytes > 0, "a file that is none");
    a->fd = fd;
    answered(a, NULL, err);
}

static void on_store(void *arg, const struct sh_err *err) {
    answered(arg, NULL, err);
}

static void on_gone(void *arg) {
    answered(arg, NULL, NULL);
}

/* what: for the message, when nothing comes. false: the engine has stopped, which may end it. */
static bool wait_for(const struct sweep_answer *a, const char *what, bool may_end) {
    for (uint64_t end = sh_mono_ns() + SWEEP_PATIENCE_MS * 1000000ULL; !a->done;) {
        if (may_end && sweep.f.fatal) {
            return false;
        }
        sweep_assert(sh_mono_ns() < end, "%s: it hangs (failed: %s)", what, sh_fault_first());
        fixture_run_ms(&sweep.f, 1);
    }
    return true;
}

int sweep_answered(struct sweep_answer *a) {
    if (!wait_for(a, "a request", true)) {
        return SWEEP_SILENT;
    }
    if (a->err.code) {
        sweep.err = a->err;
    }
    return a->err.code;
}

static void on_fatal(void *arg, const struct sh_err *err) {
    (void)arg;
    sweep_assert(err->message[0], "it stops without a word");
    sweep_assert(sweep.faulty, "it stops though nothing fails: %s", err->message);
    sweep.f.fatal = true;
    sh_loop_stop(sweep.f.loop);
}

/* ---- a follower of ids[0] ---- */

static struct {
    struct sh_subscription *s;
    char id[SH_ID_MAX + 1];
    struct sh_hash hash[TOLD_MAX + 1]; /* by seq */
    uint64_t last;
    bool compacted; /* it was told so: what went is not told any more */
} follower;

static void on_live(void *arg, const struct sh_live_event *ev) {
    uint64_t seq = ev->event ? ev->event->seq : 0;

    (void)arg;
    if (!ev->event) {
        return;
    }
    follower.compacted |= sh_str_eqz(ev->event->type, "Compacted");
    sweep_assert(seq <= TOLD_MAX, "more than %d events", TOLD_MAX);
    sweep_assert(seq == follower.last + 1 || follower.compacted,
                 "event %llu was told after event %llu", (unsigned long long)seq,
                 (unsigned long long)follower.last);
    follower.last = seq;
    follower.hash[seq] = ev->event->hash;
}

static void on_missing(void *arg) {
    (void)arg;
    sweep_assert(sweep.faulty, "a task that is here is said not to be");
}

static void follow(void) {
    struct sh_err err = {0};

    if (!follower.s && sweep.faulty && sweep.ids[0][0] && !sweep.f.fatal) {
        snprintf(follower.id, sizeof(follower.id), "%s", sweep.ids[0]);
        sh_assert_ok(sh_engine_subscribe(sweep.f.engine, sh_str(follower.id), 0, on_live,
                                         on_missing, NULL, &follower.s, &err),
                     &err);
    }
}

void sweep_forget_followers(size_t n) {
    if (strcmp(follower.id, sweep.ids[n]) == 0) {
        follower.last = 0;
    }
    sweep.ids[n][0] = '\0';
}

static void check_told(const json_t *durable) {
    json_t *events = json_object_get(json_object_get(durable, "event"), follower.id), *ev;
    uint64_t first = (uint64_t)sh_json_get_int(json_array_get(events, 0), "seq", 1);
    char hex[SH_HASH_HEX_BYTES];

    for (uint64_t seq = follower.last; seq > 0 && seq >= first; seq--) {
        if (sh_hash_eq(&follower.hash[seq], &(struct sh_hash){{0}})) {
            continue; /* compacted away before it was told */
        }
        ev = json_array_get(events, seq - first);
        sh_hash_hex(&follower.hash[seq], hex);
        sweep_assert(sh_json_get_int(ev, "seq", 0) == (int64_t)seq &&
                         (sh_str_eqz(sh_json_get_str(ev, "hash"), hex) || seq == first),
                     "event %llu was told and is not there", (unsigned long long)seq);
    }
}

/* ---- an engine that may fail to start, to run and to stop ---- */

static void close_all(void) {
    struct fixture *f = &sweep.f;

    sh_engine_unsubscribe(sh_take(&follower.s));
    if (f->engine) {
        struct sweep_answer *a = sweep_ask();
        sh_engine_stop(f->engine, on_gone, a);
        wait_for(a, "the engine's stop", false);
        f->engine = NULL;
    }
    if (f->store) {
        struct sweep_answer *a = sweep_ask();
        sh_store_close(f->store, on_gone, a);
        wait_for(a, "the store's end", false);
        f->store = NULL;
    }
    f->tools = sh_tools_free(f->tools);
    f->sandbox = sh_sandbox_free(f->sandbox);
    f->policy = sh_policy_free(f->policy);
    for (size_t i = 0; i < n_answers; i++) {
        sweep_assert(answers[i]->done, "request %zu of %zu was never answered", i, n_answers);
    }
    answers_drop();
}

static int open_all(void) {
    struct fixture *f = &sweep.f;
    struct sh_engine_config config;
    struct sh_err err = {0};
    struct sweep_answer *a = sweep_ask();

    f->fatal = false;
    if (sh_store_open(f->loop, f->endpoint, NULL, on_store, a, &f->store, &err) < 0) {
        sweep_assert(err.message[0], "no store, and no word");
        f->store = NULL;
        a->done = true;
        return err.code;
    }
    wait_for(a, "the store's start", false);
    if (a->err.code) {
        return a->err.code;
    }
    sh_assert_ok(sh_policy_parse(f->policy_doc, NULL, NULL, &f->policy, &err), &err);
    sh_assert_ok(sh_sandbox_new(&(struct sh_sandbox_config){0}, &f->sandbox, &err), &err);
    sh_assert_ok(sh_tools_new(f->loop, NULL, &f->tools, &err), &err);
    config = fixture_config(f);
    config.fatal = on_fatal;
    config.watch_disk = true;
    a = sweep_ask();
    if (sh_engine_start(&config, on_store, a, &f->engine, &err) < 0) {
        sweep_assert(err.code && err.message[0], "no start, and no word");
        f->engine = NULL;
        a->done = true;
        return err.code;
    }
    return sweep_answered(a);
}

static json_t *durable_now(void) {
    return sh_twin_snapshot(sh_twin_named(sweep.f.endpoint + 5));
}

static bool holds(const struct sweep_step *step) {
    sh_auto(sh_json_done) json_t *durable = durable_now();

    return step->holds(durable);
}

static bool all_ended(void) {
    sh_auto(sh_json_done) json_t *durable = durable_now();

    for (size_t i = 0; i < SWEEP_FOLLOWED; i++) {
        if (sweep.ids[i][0] && !json_object_get(sweep_row(durable, i), "completed_at")) {
            return false;
        }
    }
    return true;
}

static bool time_is_over(void) {
    return sweep.f.fatal || sh_mono_ns() >= until_ns;
}

/* The steps in order, each until it is promised or, after a refusal, seen to be done. */
static void walk_faulty(void) {
    for (size_t i = 0; scenario->steps[i].what; i++) {
        const struct sweep_step *step = &scenario->steps[i];
        while (!(promised[i] = step->ask() == 0)) {
            refused[i] = true;
            if (time_is_over()) {
                return;
            }
            if (step->holds && holds(step)) {
                break;
            }
            follow();
            fixture_run_ms(&sweep.f, 2);
        }
        follow();
    }
    while (!time_is_over() && !all_ended()) {
        fixture_run_ms(&sweep.f, 2);
    }
}

/* Gives how many places were passed. */
static uint64_t faulty(uint64_t k, bool for_ever) {
    sweep.faulty = k != 0;
    until_ns = sh_mono_ns() + (k ? FAULTY_MS : SWEEP_PATIENCE_MS) * 1000000ULL;
    memset(promised, 0, sizeof(promised));
    memset(refused, 0, sizeof(refused));
    memset(&follower, 0, sizeof(follower));
    sh_fault_plan(k, for_ever);
    if (open_all() == 0) {
        walk_faulty();
    }
    close_all();
    sweep.faulty = false;
    return sh_fault_plan(0, false);
}

/* ---- after it ---- */

static void finish_step(size_t i) {
    const struct sweep_step *step = &scenario->steps[i];
    int code = 0;

    sweep_assert(i < SWEEP_STEPS, "more than %d steps", SWEEP_STEPS);
    if (step->holds) {
        bool there = holds(step);
        sweep_assert(there || !promised[i], "\"%s\" was promised and is not there", step->what);
        if (there) {
            return;
        }
    } else if (step->waits && promised[i]) {
        return;
    }
    for (uint64_t end = sh_mono_ns() + SWEEP_PATIENCE_MS * 1000000ULL;
         (code = step->ask()) != 0 && !(step->holds && holds(step));) {
        sweep_assert(sh_mono_ns() < end, "\"%s\" is not done after the restart: %d %s", step->what,
                     code, sweep.err.message);
        fixture_run_ms(&sweep.f, 2);
    }
    sweep_assert(!step->holds || holds(step), "\"%s\" was promised and is not there", step->what);
}

/* A journal's types of events, for who has to find out what went wrong. */
static char *outline(const char *id) {
    json_t *events = fixture_events(&sweep.f, id), *ev;
    struct sh_buf text;
    size_t i;

    sh_buf_init_sure(&text, 8000);
    json_array_foreach(events, i, ev) {
        json_t *body = json_object_get(ev, "body");
        const char *op = json_string_value(json_object_get(body, "op"));
        sh_auto(sh_free_p) char *error = sh_json_text(
            json_object_get(body, "error") ? json_object_get(body, "error") : json_null());
        sh_buf_addf(&text, " %s(%s) %.200s", json_string_value(json_object_get(ev, "type")),
                    op ? op : "", error);
    }
    json_decref(events);
    return text.failed ? sh_strdup("long") : sh_buf_take(&text);
}

/* The digest of each workflow that is followed, verified and replayed. */
static char *outcome(void) {
    struct sh_buf all;

    sh_buf_init_sure(&all, SH_MIB);
    for (size_t i = 0; i < SWEEP_FOLLOWED; i++) {
        if (sweep.ids[i][0]) {
            sweep_end_of(i);
            json_t *v = fixture_verify(&sweep.f, sweep.ids[i]);
            sh_auto(sh_free_p) char *text = v ? sh_json_text(v) : sh_strdup(fixture_error.message);
            sh_auto(sh_free_p) char *events = outline(sweep.ids[i]);
            sweep_assert(sh_json_get_bool(v, "ok", false), "%s: %s", text, events);
            sh_buf_addf(&all, "%zu %s%s\n", i, json_string_value(json_object_get(v, "digest")),
                        events);
            json_decref(v);
        }
    }
    return sh_buf_take(&all);
}

/* Calls whose outcome was durable at the restart are not made again after it. */
static void check_keys(const json_t *durable, size_t n_before) {
    const char *id;
    json_t *events, *ev;
    size_t i;

    json_object_foreach(json_object_get(durable, "event"), id, events) {
        json_array_foreach(events, i, ev) {
            sh_auto(sh_json_done) json_t *body = NULL;
            char key[SH_ID_MAX + 32];
            if (!sh_str_eqz(sh_json_get_str(ev, "type"), "ActivityCompleted") ||
                sh_json_parse(sh_json_get_str(ev, "body"), SH_MIB, &body, NULL) < 0) {
                continue;
            }
            snprintf(key, sizeof(key), "%s:%lld", id,
                     (long long)sh_json_get_int(body, "ordinal", -1));
            for (size_t n = n_before; n < fake_llm.n_keys; n++) {
                sweep_assert(strcmp(fake_llm.keys[n], key) != 0, "%s was called again", key);
            }
        }
    }
}

/* Only the digests are compared: events may stand otherwise, after a restart. */
static bool same(const char *a, const char *b) {
    while (*a && *b) {
        size_t i = strcspn(a, " ") + 1;
        if (strncmp(a, b, i + SH_HASH_HEX_BYTES - 1) != 0) {
            return false;
        }
        a += strcspn(a, "\n") + 1;
        b += strcspn(b, "\n") + 1;
    }
    return *a == *b;
}

/* With nothing failing, on what is there. */
static char *goes_on(void) {
    json_t *durable = durable_now();
    size_t n_before = fake_llm.n_keys;
    char *came_to;

    check_told(durable);
    sweep_assert(open_all() == 0, "the next start fails, too: %s", sweep.err.message);
    for (size_t i = 0; scenario->steps[i].what; i++) {
        finish_step(i);
    }
    came_to = outcome();
    check_keys(durable, n_before);
    json_decref(durable);
    close_all();
    if (scenario->check) {
        durable = durable_now();
        scenario->check(durable);
        json_decref(durable);
    }
    return came_to;
}

/* ---- one run ---- */

static void prepare(void) {
    if (scenario->set) {
        scenario->set(&sweep.f);
    }
    if (scenario->prepare) {
        sweep_assert(open_all() == 0, "%s", sweep.err.message);
        scenario->prepare();
        close_all();
    }
    if (scenario->then) {
        scenario->then(&sweep.f);
    }
}

void sweep_elsewhere(void) {
    close_all();
    fixture_end(&sweep.f);
    fixture_begin(&sweep.f, "elsewhere");
    sweep_assert(open_all() == 0, "%s", sweep.err.message);
}

char *sweep_run(const struct sweep_scenario *s, uint64_t k, bool for_ever, const char *expected,
                uint64_t *ret_hits) {
    char *came_to;
    uint64_t hits;

    memset(&sweep, 0, sizeof(sweep));
    snprintf(sweep.place, sizeof(sweep.place), "SHANNON_SWEEP=%s:%llu:%s", s->name,
             (unsigned long long)k, for_ever ? "ever" : "once");
    scenario = s;
    memset(&fake_llm, 0, sizeof(fake_llm));
#ifdef SH_FAULTS
    sh_disk_pretend(SH_GIB);
#endif
    sweep.kept = -1;
    fixture_begin(&sweep.f, "sweep");
    prepare();
    hits = faulty(k, for_ever);
    if (k) {
        size_t n = strlen(sweep.place);
        snprintf(sweep.place + n, sizeof(sweep.place) - n, " (%s)", sh_fault_first());
    }
    came_to = goes_on();
    sweep_assert(!expected || s->differs || same(came_to, expected),
                 "another run:\n%sinstead of\n%s", came_to, expected ? expected : "");
    if (ret_hits) {
        *ret_hits = hits;
    }
    fixture_end(&sweep.f);
    sh_close_p(&sweep.kept);
    if (k) {
        sh_free(came_to);
        return NULL;
    }
    return came_to;
}
