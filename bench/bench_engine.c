/* Durable steps through the whole engine: a WebAssembly agent that asks the calculator and waits
 * for the answer, each answer on disk (SurrealDB on RocksDB) before the agent sees it. One JSON
 * line a figure; fdatasync of the same disk is measured beside them in the same run. bench_engine
 * [FOLDER]     a folder on the disk to measure, default the current one */
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench_disk.h"
#include "engine/engine.h"

#define ROUNDS 20
#define STEPS 100 /* of a round */
#define SYNCS 50  /* of each kind, before a round */
#define MANY 64
#define MANY_STEPS 400
#define FOLLOWERS (ROUNDS + MANY)

struct bench {
    char dir[256];
    struct sh_loop *loop;
    struct sh_store *store;
    struct sh_sandbox *sandbox;
    struct sh_tools *tools;
    struct sh_policy *policy;
    struct sh_engine *engine;
    unsigned open; /* workflows that have not ended */
    struct sh_subscription *followers[FOLLOWERS];
    size_t n_followers;
    uint64_t last_ns; /* of the last ActivityCompleted event; 0: none in this round */
    size_t n_steps;
    uint64_t step_ns[ROUNDS * STEPS];
    struct bench_disk disk;
    char hash[SH_HASH_HEX_BYTES];
};

/* start(calculator); wait; drop; %d times */
static const char agent_text[] =
    "(module\n"
    " (import \"shannon\" \"activity_start\" (func $start (param i32 i32 i32 i32) (result i32)))\n"
    " (import \"shannon\" \"activity_wait\" (func $wait (param i32 i32) (result i32)))\n"
    " (import \"shannon\" \"activity_drop\" (func $drop (param i32) (result i32)))\n"
    " (memory (export \"memory\") 1)\n"
    " (data (i32.const 0) \"calculator\")\n"
    " (data (i32.const 32) \"{\\22expression\\22:\\222*21\\22}\")\n"
    " (func (export \"_start\") (local $i i32)\n"
    "  (loop $again\n"
    "   (i32.store (i32.const 128) (call $start (i32.const 0) (i32.const 10)\n"
    "                                           (i32.const 32) (i32.const 21)))\n"
    "   (drop (call $drop (call $wait (i32.const 128) (i32.const 1))))\n"
    "   (local.set $i (i32.add (local.get $i) (i32.const 1)))\n"
    "   (br_if $again (i32.lt_u (local.get $i) (i32.const %d))))))\n";

static void figure(const char *name, double value, const char *unit, double goal) {
    printf("{\"name\":\"%s\",\"value\":%.4f,\"unit\":\"%s\"", name, value, unit);
    if (goal > 0) {
        printf(",\"goal\":%.4f", goal);
    }
    printf("}\n");
    fflush(stdout);
}

static void die(const char *what, const struct sh_err *err) {
    fprintf(stderr, "bench_engine: %s: %s\n", what, err ? err->message : "");
    exit(1);
}

static void on_ready(void *arg, const struct sh_err *err) {
    struct bench *b = arg;

    if (err) {
        die("start", err);
    }
    sh_loop_stop(b->loop);
}

static void on_gone(void *arg) {
    struct bench *b = arg;

    sh_loop_stop(b->loop);
}

static void on_event(void *arg, const struct sh_live_event *ev) {
    struct bench *b = arg;

    if (!ev->event) {
        return;
    }
    if (sh_str_eqz(ev->event->type, "ActivityCompleted")) {
        uint64_t now = sh_mono_ns();
        if (b->last_ns && b->n_steps < ROUNDS * STEPS) {
            b->step_ns[b->n_steps++] = now - b->last_ns;
        }
        b->last_ns = now;
    } else if (sh_str_eqz(ev->event->type, "WorkflowFailed")) {
        fprintf(stderr, "%.*s\n", (int)ev->event->body.len, ev->event->body.p);
        exit(1);
    } else if (sh_event_is_final(ev->event->type) && --b->open == 0) {
        sh_loop_stop(b->loop);
    }
}

static void on_missing(void *arg) {
    (void)arg;
    die("the workflow is gone", NULL);
}

static void on_submitted(void *arg, json_t *row, bool cached, const struct sh_err *err) {
    struct bench *b = arg;
    struct sh_err bad = {0};

    (void)cached;
    if (err || sh_engine_subscribe(b->engine, sh_json_get_str(row, "id"), 0, on_event, on_missing,
                                   b, &b->followers[b->n_followers], &bad) < 0) {
        die("submit", err ? err : &bad);
    }
    b->n_followers++;
}

static void on_added(void *arg, json_t *record, const struct sh_err *err) {
    struct bench *b = arg;

    if (err) {
        die("module", err);
    }
    snprintf(b->hash, sizeof(b->hash), "%s", json_string_value(json_object_get(record, "hash")));
    sh_loop_stop(b->loop);
}

static void add(struct bench *b, int steps) {
    sh_auto(sh_free_p) char *text = sh_asprintf(agent_text, steps);

    sh_engine_module_add(b->engine, sh_str(text), NULL, NULL, on_added, b);
    sh_loop_run(b->loop);
}

static double run(struct bench *b, unsigned workflows, int steps) {
    sh_auto(sh_json_done) json_t *caps = json_pack("{s:{s:i}}", "limits", "activities", steps + 1);
    uint64_t from;

    b->open = workflows;
    b->last_ns = 0;
    from = sh_mono_ns();
    for (unsigned i = 0; i < workflows; i++) {
        sh_engine_submit(b->engine,
                         &(struct sh_submit){.agent = sh_str(b->hash),
                                             .query = SH_STR("bench"),
                                             .capabilities = caps},
                         on_submitted, b);
    }
    sh_loop_run(b->loop);
    return (double)(sh_mono_ns() - from) / 1e9;
}

static void open_all(struct bench *b) {
    sh_auto(sh_free_p) char *endpoint = sh_asprintf("rocksdb:%s/db", b->dir);
    sh_auto(sh_free_p) char *aot = sh_asprintf("%s/aot", b->dir);
    struct sh_sandbox_config sandbox = {.aot_dir = aot, .worker = "/proc/self/exe"};
    struct sh_engine_config config = {.data_dir = b->dir, .observe = true};
    json_t *limits = NULL;
    struct sh_err err = {0};

    if (sh_loop_new(&b->loop, &err) < 0 ||
        sh_store_open(b->loop, endpoint, NULL, on_ready, b, &b->store, &err) < 0) {
        die("store", &err);
    }
    sh_loop_run(b->loop);
    if (sh_json_parse(SH_STR("{\"rules\":[{\"agent\":\"*\",\"allow\":{\"tools\":[\"calculator\"],"
                             "\"limits\":{\"activities\":1000000}}}]}"),
                      SH_MIB, &limits, &err) < 0 ||
        sh_policy_parse(limits, NULL, NULL, &b->policy, &err) < 0 ||
        sh_sandbox_new(&sandbox, &b->sandbox, &err) < 0 ||
        sh_tools_new(b->loop, &(struct sh_tools_config){0}, &b->tools, &err) < 0) {
        die("open", &err);
    }
    json_decref(limits);
    config.loop = b->loop;
    config.store = b->store;
    config.sandbox = b->sandbox;
    config.tools = b->tools;
    config.policy = b->policy;
    if (sh_engine_start(&config, on_ready, b, &b->engine, &err) < 0) {
        die("engine", &err);
    }
    sh_loop_run(b->loop);
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw) {
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

static void sequential(struct bench *b) {
    double sync_ms, seconds = 0;

    bench_disk_open(&b->disk, b->dir);
    add(b, STEPS);
    run(b, 1, STEPS); /* warm */
    b->n_steps = 0;
    for (int i = 1; i < ROUNDS; i++) {
        bench_disk_sample(&b->disk, SYNCS);
        seconds += run(b, 1, STEPS);
    }
    sync_ms = bench_disk_report(&b->disk);
    figure("sequential_step_p10", bench_percentile_ms(b->step_ns, b->n_steps, 0.1), "ms", 0);
    figure("sequential_step_p50", bench_percentile_ms(b->step_ns, b->n_steps, 0.5), "ms",
           sync_ms + 0.5);
    figure("sequential_step_p95", bench_percentile_ms(b->step_ns, b->n_steps, 0.95), "ms", 0);
    figure("sequential_steps", (double)((ROUNDS - 1) * STEPS) / seconds, "steps/s", 0);
}

static void many(struct bench *b) {
    struct sh_store_stats before, after;
    double seconds;

    add(b, MANY_STEPS);
    before = sh_store_stats(b->store);
    seconds = run(b, MANY, MANY_STEPS);
    after = sh_store_stats(b->store);
    figure("64_workflows_steps", MANY * MANY_STEPS / seconds, "steps/s", 5000);
    figure("64_workflows_events_per_transaction",
           (double)(after.events - before.events) /
               (double)(after.transactions - before.transactions),
           "events", 0);
}

static void close_all(struct bench *b) {
    for (size_t i = 0; i < b->n_followers; i++) {
        sh_engine_unsubscribe(b->followers[i]);
    }
    sh_engine_stop(b->engine, on_gone, b);
    sh_loop_run(b->loop);
    sh_store_close(b->store, on_gone, b);
    sh_loop_run(b->loop);
    sh_tools_free(b->tools);
    sh_sandbox_free(b->sandbox);
    sh_policy_free(b->policy);
    sh_loop_free(b->loop);
    nftw(b->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

int main(int argc, char **argv) {
    struct bench *b;

    if (argc > 1 && strcmp(argv[1], "compile-worker") == 0) {
        return sh_compile_worker_main(argc - 1, argv + 1);
    }
    b = sh_new(struct bench);
    setenv("SURREAL_KVS_THREADPOOL_SIZE", "4", 0); /* as the program does */
    snprintf(b->dir, sizeof(b->dir), "%s/bench-engine-XXXXXX", argc > 1 ? argv[1] : ".");
    if (!mkdtemp(b->dir)) {
        die("cannot make a folder there", NULL);
    }
    open_all(b);
    sequential(b);
    many(b);
    close_all(b);
    sh_free(b);
    return 0;
}
