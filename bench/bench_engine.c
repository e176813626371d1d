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

#include "engine/engine.h"

#define STEPS 1000
#define MANY 64
#define MANY_STEPS 400
#define SYNCS 1000

struct bench {
    char dir[256];
    struct sh_loop *loop;
    struct sh_store *store;
    struct sh_sandbox *sandbox;
    struct sh_tools *tools;
    struct sh_policy *policy;
    struct sh_engine *engine;
    unsigned open; /* workflows that have not ended */
    size_t n_times;
    int64_t times[STEPS + 8]; /* of ActivityCompleted events, in microseconds */
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

static int by_value(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static double median_ms(int64_t *us, size_t n) {
    qsort(us, n, sizeof(*us), by_value);
    return n ? (double)us[n / 2] / 1e3 : 0;
}

static double fdatasync_p50_ms(const char *dir) {
    static int64_t us[SYNCS];
    sh_auto(sh_free_p) char *path = sh_asprintf("%s/sync", dir);
    sh_auto(sh_close_p) int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    char block[512] = {0};

    for (size_t i = 0; i < SYNCS; i++) {
        uint64_t from = sh_mono_ns();
        if (write(fd, block, sizeof(block)) < 0 || fdatasync(fd) < 0) {
            die("fdatasync", NULL);
        }
        us[i] = (int64_t)((sh_mono_ns() - from) / 1000);
    }
    return median_ms(us, SYNCS);
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
    if (sh_str_eqz(ev->event->type, "ActivityCompleted") && b->n_times < STEPS) {
        b->times[b->n_times++] = (int64_t)(sh_mono_ns() / 1000);
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
    struct sh_subscription *sub;
    struct sh_err bad = {0};

    (void)cached;
    if (err || sh_engine_subscribe(b->engine, sh_json_get_str(row, "id"), 0, on_event, on_missing,
                                   b, &sub, &bad) < 0) {
        die("submit", err ? err : &bad);
    }
}

static void on_added(void *arg, json_t *record, const struct sh_err *err) {
    struct bench *b = arg;

    if (err) {
        die("module", err);
    }
    snprintf(b->hash, sizeof(b->hash), "%s", json_string_value(json_object_get(record, "hash")));
    sh_loop_stop(b->loop);
}

static double run(struct bench *b, unsigned workflows, int steps) {
    sh_auto(sh_free_p) char *text = sh_asprintf(agent_text, steps);
    sh_auto(sh_json_done) json_t *caps = json_pack("{s:{s:i}}", "limits", "activities", steps + 1);
    uint64_t from;

    sh_engine_module_add(b->engine, sh_str(text), NULL, NULL, on_added, b);
    sh_loop_run(b->loop);
    b->open = workflows;
    b->n_times = 0;
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
    sh_auto(sh_free_p) char *worker = sh_strdup(getenv("SHANNON_BIN") ? getenv("SHANNON_BIN") : "");
    struct sh_sandbox_config sandbox = {.aot_dir = aot, .worker = worker};
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
    double sync_ms = fdatasync_p50_ms(b->dir), step_ms, seconds;
    int64_t gaps[STEPS];

    seconds = run(b, 1, STEPS);
    for (size_t i = 1; i < b->n_times; i++) {
        gaps[i - 1] = b->times[i] - b->times[i - 1];
    }
    step_ms = median_ms(gaps, b->n_times ? b->n_times - 1 : 0);
    sync_ms = (sync_ms + fdatasync_p50_ms(b->dir)) / 2;
    figure("fdatasync_p50", sync_ms, "ms", 0);
    figure("sequential_step_p50", step_ms, "ms", sync_ms + 0.5);
    figure("sequential_steps", STEPS / seconds, "steps/s", 0);
}

int main(int argc, char **argv) {
    struct bench *b = sh_new(struct bench);
    struct sh_store_stats before, after;
    double seconds;

    snprintf(b->dir, sizeof(b->dir), "%s/bench-engine-XXXXXX", argc > 1 ? argv[1] : ".");
    if (!mkdtemp(b->dir)) {
        die("cannot make a folder there", NULL);
    }
    open_all(b);
    sequential(b);
    before = sh_store_stats(b->store);
    seconds = run(b, MANY, MANY_STEPS);
    after = sh_store_stats(b->store);
    figure("64_workflows_steps", MANY * MANY_STEPS / seconds, "steps/s", 5000);
    figure("64_workflows_events_per_transaction",
           (double)(after.events - before.events) /
               (double)(after.transactions - before.transactions),
           "events", 0);
    sh_engine_stop(b->engine, on_gone, b);
    sh_loop_run(b->loop);
    sh_store_close(b->store, on_gone, b);
    sh_loop_run(b->loop);
    nftw(b->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return 0;
}
