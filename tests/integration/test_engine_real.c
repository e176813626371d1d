/* The engine with the real sandbox, on the store in memory: what one agent does to the others. */
#include "integration/sandbox_rig.h"

#include <ftw.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "engine/engine.h"
#include "store/store_twin.h"

#define PATIENCE_NS 60000000000ULL

struct real {
    char dir[64];
    struct sh_loop *loop;
    struct sh_store *store;
    struct sh_sandbox *sandbox;
    struct sh_tools *tools;
    struct sh_policy *policy;
    struct sh_engine *engine;
};

struct answer {
    struct real *r;
    bool done;
    json_t *value;
    struct sh_err err;
};

static void answered(void *arg, json_t *value, const struct sh_err *err) {
    struct answer *a = arg;

    a->done = true;
    a->value = value ? json_deep_copy(value) : NULL;
    a->err = err ? *err : (struct sh_err){0};
    sh_loop_stop(a->r->loop);
}

static void answered_store(void *arg, const struct sh_err *err) {
    answered(arg, NULL, err);
}

static void answered_submit(void *arg, json_t *row, bool cached, const struct sh_err *err) {
    (void)cached;
    answered(arg, row, err);
}

static void answered_plain(void *arg) {
    answered(arg, NULL, NULL);
}

static void too_long(struct sh_timer *t) {
    (void)t;
    ck_abort_msg("nothing happened for too long");
}

/* The answer's value, which is the caller's. */
static json_t *wait_for(struct real *r, struct answer *a) {
    struct sh_timer timer = {0};

    sh_timer_start(r->loop, &timer, PATIENCE_NS, too_long);
    while (!a->done) {
        sh_loop_run(r->loop);
    }
    sh_timer_stop(&timer);
    ck_assert_msg(a->err.code == 0, "%s", a->err.message);
    return a->value;
}

static void on_fatal(void *arg, const struct sh_err *err) {
    (void)arg;
    ck_abort_msg("%s", err->message);
}

static void stop_loop(struct sh_timer *t) {
    sh_loop_stop(t->loop);
}

static void run_ms(struct real *r, uint64_t ms) {
    struct sh_timer timer = {0};

    sh_timer_start(r->loop, &timer, ms * 1000000, stop_loop);
    while (timer.slot != 0) {
        sh_loop_run(r->loop);
    }
}

static void open_real(struct real *r) {
    struct sh_sandbox_config sandbox = {.worker = "/proc/self/exe", .agents_max = 256};
    struct sh_tools_config tools = {.llm_base_url = "http://127.0.0.1:9/v1"};
    struct sh_engine_config config = {.executors = 2, .observe = true, .fatal = on_fatal};
    struct answer opened = {.r = r}, started = {.r = r};
    struct sh_err err = {0};

    memset(r, 0, sizeof(*r));
    (void)snprintf(r->dir, sizeof(r->dir), "/tmp/sh-real-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(r->dir));
    sh_assert_ok(sh_loop_new(&r->loop, &err), &err);
    sh_assert_ok(
        sh_store_open(r->loop, "twin:real", NULL, answered_store, &opened, &r->store, &err), &err);
    (void)wait_for(r, &opened);
    sh_assert_ok(sh_sandbox_new(&sandbox, &r->sandbox, &err), &err);
    sh_assert_ok(sh_tools_new(r->loop, &tools, &r->tools, &err), &err);
    sh_assert_ok(sh_policy_parse(NULL, NULL, NULL, &r->policy, &err), &err);
    config.loop = r->loop;
    config.store = r->store;
    config.sandbox = r->sandbox;
    config.tools = r->tools;
    config.policy = r->policy;
    config.data_dir = r->dir;
    sh_assert_ok(sh_engine_start(&config, answered_store, &started, &r->engine, &err), &err);
    (void)wait_for(r, &started);
}

static int drop(const char *path, const struct stat *st, int kind, struct FTW *at) {
    (void)st;
    (void)kind;
    (void)at;
    return remove(path);
}

static void close_real(struct real *r) {
    struct answer stopped = {.r = r}, closed = {.r = r};

    sh_engine_stop(r->engine, answered_plain, &stopped);
    (void)wait_for(r, &stopped);
    sh_store_close(r->store, answered_plain, &closed);
    (void)wait_for(r, &closed);
    sh_twin_forget("real");
    r->tools = sh_tools_free(r->tools);
    r->sandbox = sh_sandbox_free(r->sandbox);
    r->policy = sh_policy_free(r->policy);
    r->loop = sh_loop_free(r->loop);
    (void)nftw(r->dir, drop, 16, FTW_DEPTH | FTW_PHYS);
}

/* Register the text of a module; its hash. */
static char *add_module(struct real *r, const char *text) {
    struct answer added = {.r = r};
    json_t *record;
    char *hash;

    sh_engine_module_add(r->engine, sh_str(text), NULL, NULL, answered, &added);
    record = wait_for(r, &added);
    hash = sh_strdup(json_string_value(json_object_get(record, "hash")));
    json_decref(record);
    return hash;
}

static char *submit(struct real *r, const char *hash, const json_t *capabilities) {
    struct sh_submit s = {
        .agent = sh_str(hash), .query = SH_STR("q"), .capabilities = capabilities};
    struct answer submitted = {.r = r};
    json_t *row;
    char *id;

    sh_engine_submit(r->engine, &s, answered_submit, &submitted);
    row = wait_for(r, &submitted);
    ck_assert_str_eq(json_string_value(json_object_get(row, "status")), "running");
    id = sh_strdup(json_string_value(json_object_get(row, "id")));
    json_decref(row);
    return id;
}

/* Its row once it has ended. */
static json_t *wait_end(struct real *r, const char *id) {
    for (uint64_t until = sh_mono_ns() + PATIENCE_NS; sh_mono_ns() < until;) {
        struct answer got = {.r = r};
        json_t *row;

        sh_engine_get(r->engine, sh_str(id), answered, &got);
        row = wait_for(r, &got);
        if (json_object_get(row, "completed_at")) {
            return row;
        }
        json_decref(row);
        run_ms(r, 10);
    }
    ck_abort_msg("%s did not end", id);
    return NULL;
}

static json_t *events_of(struct real *r, const char *id) {
    struct answer got = {.r = r};
    json_t *page, *events;

    sh_engine_events(r->engine, sh_str(id), 0, 500, answered, &got);
    page = wait_for(r, &got);
    events = json_incref(json_object_get(page, "events"));
    json_decref(page);
    return events;
}

/* ---- timers beside endless loops ---- */

static const char sleeper[] =
    "(module"
    "(import \"shannon\" \"activity_start\" (func $start (param i32 i32 i32 i32) (result i32)))"
    "(import \"shannon\" \"activity_wait\" (func $wait (param i32 i32) (result i32)))"
    "(import \"shannon\" \"activity_drop\" (func $drop (param i32) (result i32)))"
    "(memory (export \"memory\") 1) (data (i32.const 0) \"sleep{\\\"ms\\\":100}\")"
    "(func (export \"_start\") (local $n i32)"
    "(local.set $n (i32.const 5))"
    "(loop $again"
    "(i32.store (i32.const 64) (call $start (i32.const 0) (i32.const 5) (i32.const 5)"
    "  (i32.const 10)))"
    "(drop (call $wait (i32.const 64) (i32.const 1)))"
    "(drop (call $drop (i32.load (i32.const 64))))"
    "(br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))))";

static const char spinner[] = "(module (func (export \"_start\") (loop $l (br $l))))";

static int by_value(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return x < y ? -1 : x > y;
}

/* How late each of its timers fired, in microseconds: TimerFired against due_us of its schedule. */
static size_t lateness(json_t *events, int64_t *late, size_t max) {
    size_t n = 0, i, k;
    json_t *ev, *other;

    json_array_foreach(events, i, ev) {
        json_t *due = json_object_get(json_object_get(ev, "body"), "due_us");
        int64_t ordinal = sh_json_get_int(json_object_get(ev, "body"), "ordinal", -1);

        if (!due || !sh_str_eqz(sh_json_get_str(ev, "type"), "ActivityScheduled")) {
            continue;
        }
        json_array_foreach(events, k, other) {
            if (n < max && sh_str_eqz(sh_json_get_str(other, "type"), "TimerFired") &&
                sh_json_get_int(json_object_get(other, "body"), "ordinal", -2) == ordinal) {
                late[n++] = sh_json_get_int(other, "time_us", 0) - json_integer_value(due);
            }
        }
    }
    return n;
}

START_TEST(timers_of_100_sleepers_are_on_time_beside_endless_loops) {
    enum { SLEEPERS = 100, SPINNERS = 4, TIMES = 5 };
    static int64_t late[SLEEPERS * TIMES];
    char *sleep_hash, *spin_hash, *spinners[SPINNERS], *sleepers[SLEEPERS];
    json_t *ever =
        json_pack("{s:{s:I, s:s}}", "limits", "fuel", (json_int_t)1 << 60, "wall_clock", "1h");
    struct real r;
    size_t n = 0;

    open_real(&r);
    sleep_hash = add_module(&r, sleeper);
    spin_hash = add_module(&r, spinner);
    for (int i = 0; i < SPINNERS; i++) {
        spinners[i] = submit(&r, spin_hash, ever);
    }
    for (int i = 0; i < SLEEPERS; i++) {
        sleepers[i] = submit(&r, sleep_hash, NULL);
    }
    for (int i = 0; i < SLEEPERS; i++) {
        json_t *row = wait_end(&r, sleepers[i]), *events = events_of(&r, sleepers[i]);

        ck_assert_str_eq(json_string_value(json_object_get(row, "status")), "completed");
        n += lateness(events, late + n, SLEEPERS * TIMES - n);
        json_decref(events);
        json_decref(row);
        sh_free(sleepers[i]);
    }
    ck_assert_uint_eq(n, SLEEPERS * TIMES);
    qsort(late, n, sizeof(late[0]), by_value);
    ck_assert_int_ge(late[0], 0); /* never early */
    /* The median is what the design promises; single ones are at the mercy of the machine. */
    ck_assert_msg(late[n / 2] <= 20000, "half of the timers are more than %lld us late",
                  (long long)late[n / 2]);
    for (int i = 0; i < SPINNERS; i++) { /* and each of them can be stopped */
        struct answer canceled = {.r = &r};
        json_t *row;

        sh_engine_cancel(r.engine, sh_str(spinners[i]), "test", "enough", answered, &canceled);
        json_decref(wait_for(&r, &canceled));
        row = wait_end(&r, spinners[i]);
        ck_assert_str_eq(json_string_value(json_object_get(row, "status")), "canceled");
        json_decref(row);
        sh_free(spinners[i]);
    }
    json_decref(ever);
    sh_free(sleep_hash);
    sh_free(spin_hash);
    close_real(&r);
}
END_TEST

/* ---- output ---- */

static const char printer[] =
    "(module"
    "(import \"wasi_snapshot_preview1\" \"fd_write\" (func $w (param i32 i32 i32 i32) (result "
    "i32)))"
    "(memory (export \"memory\") 2)"
    "(func (export \"_start\")"
    "(i32.store (i32.const 0) (i32.const 65536)) (i32.store (i32.const 4) (i32.const 65536))"
    "(loop $more (drop (call $w (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 16)))"
    "(br $more))))";

START_TEST(endless_output_ends_as_output_limit_and_the_journal_stays_small) {
    struct real r;
    struct rusage before, after;
    char *hash, *id;
    json_t *row;

    open_real(&r);
    hash = add_module(&r, printer);
    ck_assert_int_eq(getrusage(RUSAGE_SELF, &before), 0);
    id = submit(&r, hash, NULL);
    row = wait_end(&r, id);
    ck_assert_str_eq(json_string_value(json_object_get(row, "status")), "failed");
    sh_assert_str(sh_json_get_str(json_object_get(row, "error"), "code"), "output_limit");
    ck_assert_int_eq(getrusage(RUSAGE_SELF, &after), 0);
    /* 8 MiB of output, as base64 in a store in memory, and some copies on their way there */
    ck_assert_int_lt(after.ru_maxrss - before.ru_maxrss, 128 * 1024);
    json_decref(row);
    sh_free(id);
    sh_free(hash);
    close_real(&r);
}
END_TEST

static Suite *suite(void) {
    const TTest *const tests[] = {
        timers_of_100_sleepers_are_on_time_beside_endless_loops,
        endless_output_ends_as_output_limit_and_the_journal_stays_small,
        NULL,
    };

    return sh_suite("engine_real", tests);
}

RIG_MAIN(suite)
