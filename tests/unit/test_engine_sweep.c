/* Every marked place of the engine, its store, its files and its memory fails once, and from then
 * on, for workflows of several shapes. Whatever it stops, nothing is lost: a start with nothing
 * failing comes to the run that would have been, and asks for no durable answer again.
 *
 * A failure begins with the line that repeats it, SHANNON_SWEEP=PROGRAM:K:once|ever.
 * SHANNON_LONG=1 tries all places; else SAMPLE, others with each SHANNON_SWEEP_SEED. */
#include "lib/check_main.h"
#include "lib/engine_fixture.h"
#include "lib/fake_tools.c"

#include <stdio.h>

#ifdef SH_FAULTS

#define SAMPLE 8
#define FAULTY_MS 150   /* what does not end by itself by then is stopped as it stands */
#define PARKED_MS 20000 /* of a start that is to come right by itself */

static const char *const programs[] = {
    /* sequential, with the memory of a session */
    "(module\nprint begin\nstart llm {\"q\":1}\nwait any\nstart kv.put "
    "{\"key\":\"k\",\"value\":1}\nwait any\nstart calculator {\"n\":4}\nwait any\n"
    "start kv.get {\"key\":\"k\"}\nwait any\nprint end\n",
    /* parallel, with timers, and what others read */
    "(module\nstart llm {\"delay_ms\":10}\nstart llm {\"delay_ms\":1}\nstart sleep {\"ms\":30}\n"
    "wait 2\nwait 1\nwait 3\nemit progress {\"n\":1}\npublish state {\"n\":2}\n"
    "output {\"answer\":\"parallel\"}\n",
    /* checkpoints */
    "(module\nstart llm {\"q\":1}\nwait any\ncheckpoint mark\nsleep 2\nprint after\n"
    "start unknown {}\nwait any\nstart llm {\"q\":3}\nwait any\nexit 3\n",
    /* children */
    "(module\nstart workflow {\"agent\":\"child\",\"input\":{\"n\":1}}\nwait any\n"
    "start workflow {\"agent\":\"child\",\"query\":\"two\"}\n"
    "start workflow {\"agent\":\"child\",\"query\":\"three\"}\nwait 3\nwait 2\nprint end\n",
    /* what is undone */
    "(module\nstart compensate {\"op\":\"kv.put\",\"args\":{\"key\":\"k\",\"value\":0}}\nwait any\n"
    "start kv.put {\"key\":\"k\",\"value\":1}\nwait any\nstart llm {\"q\":1}\nwait any\nexit 2\n",
    /* long waits, in which it leaves memory */
    "(module\nstart llm {\"q\":1}\nwait any\nstart sleep {\"ms\":60}\nwait any\nprint a\n"
    "start sleep {\"ms\":50}\nwait any\nstart llm {\"q\":2}\nwait any\n",
};
#define N_PROGRAMS (sizeof(programs) / sizeof(programs[0]))
#define SLEEPING 5
static const char child[] = "(module\nprint in\nstart calculator {\"n\":3}\nwait any\n"
                            "start sleep {\"ms\":2}\nwait any\ninput\n";

static struct fixture f;
static const char *program;
static char place[120];
static char told[SH_ID_MAX + 1]; /* the id, once a client was told of it */

/* ---- a client that takes refusals as they come ---- */

struct answer {
    bool done;
    int code;
    char text[SH_HASH_HEX_BYTES];
};

static void end_answer(struct answer *a, const struct sh_err *err) {
    a->done = true;
    a->code = err ? err->code : 0;
    ck_assert_msg(!err || err->message[0], "%s: an error without a message", place);
    sh_loop_stop(f.loop);
}

static void on_store(void *arg, const struct sh_err *err) {
    end_answer(arg, err);
}

static void on_gone(void *arg) {
    end_answer(arg, NULL);
}

static void on_added(void *arg, json_t *record, const struct sh_err *err) {
    struct answer *a = arg;

    if (!err) {
        snprintf(a->text, sizeof(a->text), "%s",
                 json_string_value(json_object_get(record, "hash")));
    }
    end_answer(a, err);
}

static void on_told(void *arg, json_t *row, bool cached, const struct sh_err *err) {
    (void)cached;
    if (!err) {
        snprintf(told, sizeof(told), "%s", json_string_value(json_object_get(row, "id")));
    }
    end_answer(arg, err);
}

static void on_fatal(void *arg, const struct sh_err *err) {
    (void)arg;
    ck_assert_msg(err->message[0], "%s: it stops without a word", place);
    f.fatal = true;
    sh_loop_stop(f.loop);
}

/* Until it is answered, or the engine has said that it stops. */
static bool wait_for(struct answer *a) {
    for (uint64_t until = sh_mono_ns() + PARKED_MS * 1000000ULL; !a->done && !f.fatal;) {
        ck_assert_msg(sh_mono_ns() < until, "%s: no answer came", place);
        fixture_run_ms(&f, 1);
    }
    return a->done && !a->code;
}

static bool add(const char *text, const char *name, struct answer *a) {
    sh_engine_module_add(f.engine, sh_str(text), name, NULL, on_added, a);
    return wait_for(a);
}

/* ---- an engine that may fail to start, to run and to stop ---- */

static void close_all(struct answer *waits) {
    if (f.engine) {
        sh_engine_stop(f.engine, on_gone, &waits[0]);
        fixture_run(&f, &waits[0].done);
        f.engine = NULL;
    }
    if (f.store) {
        sh_store_close(f.store, on_gone, &waits[1]);
        fixture_run(&f, &waits[1].done);
        f.store = NULL;
    }
    f.tools = sh_tools_free(f.tools);
    f.sandbox = sh_sandbox_free(f.sandbox);
    f.policy = sh_policy_free(f.policy);
}

static bool open_engine(struct answer *started) {
    struct sh_err err = {0};
    struct sh_engine_config config = {.loop = f.loop,
                                      .store = f.store,
                                      .sandbox = f.sandbox,
                                      .tools = f.tools,
                                      .policy = f.policy,
                                      .data_dir = f.dir,
                                      .executors = 2,
                                      .observe = true,
                                      .watch_disk = true,
                                      .passivate_after_ms = f.passivate_after_ms,
                                      .fatal = on_fatal};

    if (sh_engine_start(&config, on_store, started, &f.engine, &err) < 0) {
        ck_assert_msg(err.code && err.message[0], "%s: no start, and no word", place);
        f.engine = NULL;
        return false;
    }
    return wait_for(started);
}

static bool open_all(struct answer *waits) {
    struct sh_err err = {0};

    f.fatal = false;
    if (sh_store_open(f.loop, f.endpoint, NULL, on_store, &waits[0], &f.store, &err) < 0) {
        f.store = NULL;
        return false;
    }
    fixture_run(&f, &waits[0].done);
    if (waits[0].code || sh_policy_parse(f.policy_doc, NULL, NULL, &f.policy, &err) < 0 ||
        sh_sandbox_new(&(struct sh_sandbox_config){0}, &f.sandbox, &err) < 0 ||
        sh_tools_new(f.loop, NULL, &f.tools, &err) < 0) {
        return false;
    }
    return open_engine(&waits[1]);
}

static bool ended(void) {
    json_t *snapshot = sh_twin_snapshot(sh_twin_named(f.endpoint + 5));
    json_t *row = json_object_get(json_object_get(snapshot, "workflow"), told);
    bool is = json_object_get(row, "completed_at") != NULL;

    json_decref(snapshot);
    return is;
}

/* Start, submit, run and stop, while some place fails. Gives how many places were passed. */
static uint64_t run_with_fault(uint64_t k, bool for_ever) {
    struct answer waits[4] = {{0}}, module = {0}, other = {0}, submitted = {0};

    told[0] = '\0';
    sh_fault_plan(k, for_ever);
    if (open_all(waits) && add(child, "child", &other) && add(program, NULL, &module)) {
        sh_engine_submit(f.engine,
                         &(struct sh_submit){.agent = sh_str(module.text), .query = SH_STR("q")},
                         on_told, &submitted);
        wait_for(&submitted);
        for (uint64_t until = sh_mono_ns() + FAULTY_MS * 1000000ULL;
             told[0] && !f.fatal && sh_mono_ns() < until && !ended();) {
            fixture_run_ms(&f, 2);
        }
    }
    close_all(waits + 2);
    return sh_fault_plan(0, false);
}

/* ---- what must hold ---- */

static char *digest_of(const char *id) {
    json_t *verified = fixture_verify(&f, id);
    char *digest;

    sh_auto(sh_free_p) char *text = sh_json_text(verified);
    ck_assert_msg(sh_json_get_bool(verified, "ok", false), "%s: %s", place, text);
    digest = sh_strdup(json_string_value(json_object_get(verified, "digest")));
    json_decref(verified);
    return digest;
}

/* Calls whose outcome was durable at the restart are not made again after it. */
static void check_keys(json_t *durable, const char *id, size_t n_before) {
    size_t i;
    json_t *ev;

    json_array_foreach(json_object_get(json_object_get(durable, "event"), id), i, ev) {
        sh_auto(sh_json_done) json_t *body = NULL;
        char key[SH_ID_MAX + 32];
        if (!sh_str_eqz(sh_json_get_str(ev, "type"), "ActivityCompleted") ||
            sh_json_parse(sh_json_get_str(ev, "body"), SH_MIB, &body, NULL) < 0) {
            continue;
        }
        snprintf(key, sizeof(key), "%s:%lld", id, (long long)sh_json_get_int(body, "ordinal", -1));
        for (size_t n = n_before; n < fake_llm.n_keys; n++) {
            ck_assert_msg(strcmp(fake_llm.keys[n], key) != 0, "%s: %s was called again", place,
                          key);
        }
    }
}

static void on_list(void *arg, json_t *value, const struct sh_err *err) {
    size_t i;
    json_t *row;

    ck_assert_ptr_null(err);
    json_array_foreach(json_object_get(value, "tasks"), i, row) {
        if (!json_object_get(row, "parent")) {
            snprintf(told, sizeof(told), "%s", json_string_value(json_object_get(row, "id")));
        }
    }
    end_answer(arg, NULL);
}

/* A journal's types of events, for who has to find out what went wrong. */
static char *outline(const char *id) {
    json_t *events = fixture_events(&f, id), *ev;
    struct sh_buf text;
    size_t i;

    sh_buf_init_sure(&text, 4000);
    json_array_foreach(events, i, ev) {
        json_t *body = json_object_get(ev, "body");
        sh_auto(sh_free_p) char *error = sh_json_text(
            json_object_get(body, "error") ? json_object_get(body, "error") : json_null());
        sh_buf_addf(&text, " %s(%s) %.200s", json_string_value(json_object_get(ev, "type")),
                    json_string_value(json_object_get(body, "op")), error);
    }
    json_decref(events);
    return text.failed ? sh_strdup("long") : sh_buf_take(&text);
}

/* With nothing failing, on what is there. */
static void check_goes_on(const char *expected) {
    json_t *durable = sh_twin_snapshot(sh_twin_named(f.endpoint + 5));
    struct answer waits[4] = {{0}}, listed = {0};
    size_t n_before = fake_llm.n_keys;

    ck_assert_msg(open_all(waits), "%s: the next start fails, too", place);
    if (!told[0]) { /* nobody was told: it may be there or not */
        sh_engine_list(f.engine, NULL, NULL, 0, 10, on_list, &listed);
        wait_for(&listed);
    }
    if (told[0]) {
        json_t *row = fixture_wait(&f, told);
        sh_auto(sh_free_p) char *digest = digest_of(told);
        sh_auto(sh_free_p) char *text = outline(told);
        ck_assert_msg(strcmp(digest, expected) == 0, "%s: another run: %s", place, text);
        check_keys(durable, told, n_before);
        json_decref(row);
    }
    json_decref(durable);
    close_all(waits + 2);
}

static void begin(const char *name) {
    struct sh_err err = {0};

    snprintf(f.dir, sizeof(f.dir), "/tmp/shannon-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(f.dir));
    snprintf(f.endpoint, sizeof(f.endpoint), "twin:%s", name);
    ck_assert_int_eq(sh_loop_new(&f.loop, &err), 0);
    memset(&fake_llm, 0, sizeof(fake_llm));
    sh_disk_pretend(SH_GIB);
}

static void end(void) {
    struct sh_twin *twin = sh_twin_named(f.endpoint + 5);

    if (twin) {
        sh_twin_forget(f.endpoint + 5);
    }
    f.loop = sh_loop_free(f.loop);
    sh_tree_remove(f.dir);
}

/* One fault. */
static void one(uint64_t k, bool for_ever, size_t number, const char *expected) {
    snprintf(place, sizeof(place), "SHANNON_SWEEP=%zu:%llu:%s", number, (unsigned long long)k,
             for_ever ? "ever" : "once");
    begin("sweep");
    run_with_fault(k, for_ever);
    snprintf(place + strlen(place), sizeof(place) - strlen(place), " (%s)", sh_fault_first());
    check_goes_on(expected);
    end();
}

/* Which faults this process tries: all, a sample spread over the run, or the one that was asked
 * for. */
struct plan {
    uint64_t from, step;
};

static bool asked_for(size_t number, bool for_ever, struct plan *ret) {
    const char *only = getenv("SHANNON_SWEEP"), *sampled = getenv("SHANNON_SWEEP_SEED");
    unsigned long long k = 0;
    size_t which = 0;
    char mode[8] = "";

    if (only && sscanf(only, "%zu:%llu:%7s", &which, &k, mode) == 3) {
        *ret = k ? (struct plan){k, UINT64_MAX / 2} : (struct plan){1, 1}; /* 0: all of them */
        return which == number && strcmp(mode, for_ever ? "ever" : "once") == 0;
    }
    *ret = (struct plan){1, 1};
    if (!getenv("SHANNON_LONG")) {
        ret->step = 0;
        ret->from = sampled ? strtoull(sampled, NULL, 10) : 0;
    }
    return true;
}

static char *undisturbed(uint64_t *ret_hits) {
    struct answer waits[4] = {{0}};
    char *digest;

    snprintf(place, sizeof(place), "nothing failed");
    begin("calm");
    *ret_hits = run_with_fault(0, false);
    ck_assert(told[0]);
    ck_assert(open_all(waits));
    json_decref(fixture_wait(&f, told));
    digest = digest_of(told);
    close_all(waits + 2);
    end();
    return digest;
}

START_TEST(every_place_that_fails_stops_early_and_loses_nothing) {
    size_t number = (size_t)_i / 2;
    bool for_ever = _i % 2;
    struct plan plan;
    uint64_t n = 0, k;
    sh_auto(sh_free_p) char *expected = NULL;
    json_t *policy = json_pack("{s:[{s:s, s:{s:[s,s,s,s]}}]}", "rules", "agent", "*", "allow",
                               "tools", "workflow", "llm", "kv", "calculator");

    if (asked_for(number, for_ever, &plan)) {
        f.policy_doc = policy;
        f.passivate_after_ms = number == SLEEPING ? 10 : 0;
        program = programs[number];
        expected = undisturbed(&n);
        ck_assert_uint_gt(n, 30); /* places passed */
        if (plan.step == 0) {
            plan.step = n / SAMPLE + 1;
            plan.from = 1 + plan.from % plan.step;
        }
        for (k = plan.from; k <= n; k += plan.step) {
            one(k, for_ever, number, expected);
        }
    }
    json_decref(policy);
}
END_TEST

#endif

static Suite *suite(void) {
    Suite *s = suite_create("engine_sweep");
    TCase *sweep = tcase_create("sweep");

#ifdef SH_FAULTS
    tcase_set_timeout(sweep, getenv("SHANNON_LONG") ? 1800 : 120);
    tcase_add_loop_test(sweep, every_place_that_fails_stops_early_and_loses_nothing, 0,
                        (int)N_PROGRAMS * 2);
#endif
    suite_add_tcase(s, sweep);
    return s;
}

SH_TEST_MAIN(suite)
