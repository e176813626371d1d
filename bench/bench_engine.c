/* Durable steps through the whole engine: a WebAssembly agent that asks the calculator and waits
 * for the answer, each answer on disk (SurrealDB on RocksDB) before the agent sees it. One JSON
 * line a figure; fdatasync of the same disk is measured beside them in the same run. bench_engine
 * [FOLDER]     a folder on the disk to measure, default the current one */
#include "bench_disk.h"
#include "bench_host.h"
#include "engine/engine.h"

#define ROUNDS 20
#define STEPS 100 /* of a round */
#define SYNCS 50  /* of each kind, before a round */
#define MANY 64
#define MANY_STEPS 400
#define CROWD 512
#define CROWD_STEPS 50
#define SHORT 300 /* tasks of one step, one after the other */
#define FOLLOWERS (ROUNDS + MANY + CROWD + SHORT + 1)

struct bench {
    struct bench_host host;
    unsigned open; /* workflows that have not ended */
    struct sh_subscription *followers[FOLLOWERS];
    size_t n_followers;
    uint64_t last_ns; /* of the last ActivityCompleted event; 0: none in this round */
    size_t n_steps;
    uint64_t step_ns[ROUNDS * STEPS];
    struct bench_disk disk;
    double sync_ms;
    uint64_t short_ns[SHORT];
    char hash[SH_HASH_HEX_BYTES];
};

/* start(calculator); wait; drop; %d times */
static const char agent_text[] = BENCH_STEPS("", "");

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
        sh_loop_stop(b->host.loop);
    }
}

static void on_missing(void *arg) {
    (void)arg;
    bench_die("the workflow is gone", NULL);
}

static void on_submitted(void *arg, json_t *row, bool cached, const struct sh_err *err) {
    struct bench *b = arg;
    struct sh_err bad = {0};

    (void)cached;
    if (err || sh_engine_subscribe(b->host.engine, sh_json_get_str(row, "id"), 0, on_event,
                                   on_missing, b, &b->followers[b->n_followers], &bad) < 0) {
        bench_die("submit", err ? err : &bad);
    }
    b->n_followers++;
}

static void add(struct bench *b, int steps) {
    sh_auto(sh_free_p) char *text = sh_asprintf(agent_text, steps);
    struct bench_host *h = &b->host;

    sh_engine_module_add(h->engine, sh_str(text), NULL, NULL, bench_on_json, h);
    bench_wait(h);
    snprintf(b->hash, sizeof(b->hash), "%s", json_string_value(json_object_get(h->value, "hash")));
}

static double run(struct bench *b, unsigned workflows, int steps) {
    sh_auto(sh_json_done) json_t *caps = json_pack("{s:{s:i}}", "limits", "activities", steps + 2);
    uint64_t from;

    b->open = workflows;
    b->last_ns = 0;
    from = sh_mono_ns();
    for (unsigned i = 0; i < workflows; i++) {
        sh_engine_submit(b->host.engine,
                         &(struct sh_submit){.agent = sh_str(b->hash),
                                             .query = SH_STR("bench"),
                                             .capabilities = caps},
                         on_submitted, b);
    }
    sh_loop_run(b->host.loop);
    return (double)(sh_mono_ns() - from) / 1e9;
}

static void sequential(struct bench *b) {
    double sync_ms, seconds = 0;

    bench_disk_open(&b->disk, b->host.dir);
    add(b, STEPS);
    run(b, 1, STEPS); /* warm */
    b->n_steps = 0;
    for (int i = 1; i < ROUNDS; i++) {
        bench_disk_sample(&b->disk, SYNCS);
        seconds += run(b, 1, STEPS);
    }
    sync_ms = b->sync_ms = bench_disk_report(&b->disk);
    bench_figure("sequential_step_p10", bench_percentile_ms(b->step_ns, b->n_steps, 0.1), "ms", 0,
                 NULL);
    bench_figure("sequential_step_p50", bench_percentile_ms(b->step_ns, b->n_steps, 0.5), "ms",
                 sync_ms + 0.2, NULL);
    bench_figure("sequential_step_p95", bench_percentile_ms(b->step_ns, b->n_steps, 0.95), "ms", 0,
                 NULL);
    bench_figure("sequential_steps", (double)((ROUNDS - 1) * STEPS) / seconds, "steps/s", 0, NULL);
}

static void many(struct bench *b) {
    struct sh_store_stats before, after;
    double seconds;

    add(b, MANY_STEPS);
    before = sh_store_stats(b->host.store);
    seconds = run(b, MANY, MANY_STEPS);
    after = sh_store_stats(b->host.store);
    bench_figure("64_workflows_steps", MANY * MANY_STEPS / seconds, "steps/s", 20000, NULL);
    bench_figure("64_workflows_events_per_transaction",
                 (double)(after.events - before.events) /
                     (double)(after.transactions - before.transactions),
                 "events", 0, NULL);
    add(b, CROWD_STEPS);
    seconds = run(b, CROWD, CROWD_STEPS);
    bench_figure("512_workflows_steps", CROWD * CROWD_STEPS / seconds, "steps/s", 20000, NULL);
}

/* From the submission to the final event: two commits and all that lies between. */
static void short_tasks(struct bench *b) {
    double p50;

    add(b, 1);
    for (int i = 0; i < SHORT; i++) {
        b->short_ns[i] = (uint64_t)(run(b, 1, 1) * 1e9);
    }
    p50 = bench_percentile_ms(b->short_ns, SHORT, 0.5);
    bench_figure("one_step_task_p50", p50, "ms", 2 * b->sync_ms + 2, NULL);
    bench_figure("one_step_task_p99", bench_percentile_ms(b->short_ns, SHORT, 0.99), "ms", 3 * p50,
                 NULL);
}

static void unfollow(struct bench *b) {
    while (b->n_followers > 0) {
        sh_engine_unsubscribe(b->followers[--b->n_followers]);
    }
}

int main(int argc, char **argv) {
    struct bench *b;

    if (argc > 1 && strcmp(argv[1], "compile-worker") == 0) {
        return sh_compile_worker_main(argc - 1, argv + 1);
    }
    b = sh_new(struct bench);
    bench_folder(&b->host, argc > 1 ? argv[1] : NULL, "engine");
    sh_auto(sh_free_p) char *endpoint = sh_asprintf("rocksdb:%s/db", b->host.dir);
    bench_open(&b->host, endpoint);
    sequential(b);
    many(b);
    short_tasks(b);
    unfollow(b);
    bench_close(&b->host);
    bench_folder_remove(&b->host);
    sh_free(b);
    return 0;
}
