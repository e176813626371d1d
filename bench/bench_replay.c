/* Long journals: how soon a workflow of 10,000 steps is live again, how fast journals are verified
 * (read, chained, run again and compared), from disk and from memory; and, with SHANNON_LONG, one
 * workflow of 1,000,000 events: made, taken up again, verified and exported, and the memory that
 * takes. A step is a calculation that is waited for: one event.
 * bench_replay [FOLDER]     a folder on the disk to measure, default the current one */
#include "bench_host.h"

#define STEPS 10000
#define MANY_STEPS 1000000
#define ROUNDS 7

struct bench {
    struct bench_host host;
    char hash[SH_HASH_HEX_BYTES], id[SH_ID_MAX + 1];
    struct sh_subscription *follower;
    uint64_t seq; /* of the last event */
    const char *awaited;
};

/* start(calculator); wait; drop; %d times; then wait for the signal "go" for ever */
static const char agent_text[] =
    BENCH_STEPS(" (data (i32.const 64) \"signal{\\22name\\22:\\22go\\22}\")\n",
                "\n"
                "  (loop $for_ever\n"
                "   (i32.store (i32.const 128) (call $start (i32.const 64) (i32.const 6)\n"
                "                                           (i32.const 70) (i32.const 13)))\n"
                "   (drop (call $drop (call $wait (i32.const 128) (i32.const 1))))\n"
                "   (br $for_ever))");

static void on_event(void *arg, const struct sh_live_event *ev) {
    struct bench *b = arg;

    if (!ev->event) {
        return;
    }
    if (sh_event_is_final(ev->event->type)) {
        fprintf(stderr, "%.*s\n", (int)ev->event->body.len, ev->event->body.p);
        bench_die("the workflow ended", NULL);
    }
    b->seq = ev->event->seq;
    if (b->awaited && sh_str_eqz(ev->event->type, b->awaited)) {
        bench_on_done(&b->host, NULL);
    }
}

static void on_missing(void *arg) {
    (void)arg;
    bench_die("the workflow is gone", NULL);
}

static void follow(struct bench *b) {
    struct sh_err err = {0};

    if (sh_engine_subscribe(b->host.engine, sh_str(b->id), b->seq, on_event, on_missing, b,
                            &b->follower, &err) < 0) {
        bench_die("follow", &err);
    }
}

static void unfollow(struct bench *b) {
    sh_engine_unsubscribe(b->follower);
    b->follower = NULL;
}

static void on_submitted(void *arg, json_t *row, bool cached, const struct sh_err *err) {
    struct bench *b = arg;

    (void)cached;
    if (err) {
        bench_die("submit", err);
    }
    snprintf(b->id, sizeof(b->id), "%s", json_string_value(json_object_get(row, "id")));
    follow(b);
}

/* A workflow that has taken so many steps and waits. */
static void make(struct bench *b, int steps) {
    sh_auto(sh_free_p) char *text = sh_asprintf(agent_text, steps);
    sh_auto(sh_json_done) json_t *caps =
        json_pack("{s:{s:i, s:s}}", "limits", "activities", steps + 1000, "journal", "4GiB");

    sh_engine_module_add(b->host.engine, sh_str(text), NULL, NULL, bench_on_json, &b->host);
    bench_wait(&b->host);
    snprintf(b->hash, sizeof(b->hash), "%s",
             json_string_value(json_object_get(b->host.value, "hash")));
    b->seq = 0;
    b->awaited = "ActivityScheduled"; /* of the signal */
    sh_engine_submit(b->host.engine,
                     &(struct sh_submit){
                         .agent = sh_str(b->hash), .query = SH_STR("bench"), .capabilities = caps},
                     on_submitted, b);
    bench_wait(&b->host);
    unfollow(b);
}

/* From the signal that an engine which has just started gets, until the agent has asked for the
 * next one: it went through its whole journal. ms */
static double live_again(struct bench *b) {
    uint64_t from;

    bench_engine_stop(&b->host);
    bench_engine_start(&b->host);
    from = sh_mono_ns();
    b->awaited = NULL;
    sh_engine_signal(b->host.engine, sh_str(b->id), SH_STR("go"), NULL, bench_on_json, &b->host);
    bench_wait(&b->host);
    b->awaited = "ActivityScheduled";
    follow(b);
    bench_wait(&b->host);
    unfollow(b);
    return bench_ms(from);
}

/* Events a second. */
static double verify(struct bench *b) {
    uint64_t from = sh_mono_ns();

    sh_engine_verify(b->host.engine, sh_str(b->id), bench_on_json, &b->host);
    bench_wait(&b->host);
    if (!sh_json_get_bool(b->host.value, "ok", false)) {
        bench_die("verify says no", NULL);
    }
    return (double)sh_json_get_int(b->host.value, "events", 0) / (bench_ms(from) / 1e3);
}

static void best(struct bench *b, double (*measure)(struct bench *), bool least, int rounds,
                 double *ret_best, double *ret_median) {
    double all[ROUNDS];

    for (int i = 0; i < rounds; i++) {
        double v = measure(b);
        int at = i;
        for (; at > 0 && (all[at - 1] > v) == least; at--) {
            all[at] = all[at - 1];
        }
        all[at] = v;
    }
    *ret_best = all[0];
    *ret_median = all[rounds / 2];
}

/* ---- the same journal in a store that keeps it in memory ---- */

struct copying {
    struct bench *b;
    struct sh_store *to;
    uint64_t last;
};

static void on_events(void *arg, const struct sh_event_record *events, size_t n,
                      const struct sh_err *err) {
    struct copying *c = arg;
    struct sh_err bad = {0};

    if (err) {
        bench_die("read", err);
    }
    c->last = n ? events[n - 1].seq : 0;
    if (sh_store_append(c->to, events, n, NULL, 0, bench_on_done, &c->b->host, &bad) < 0) {
        bench_die("copy", &bad);
    }
    sh_store_flush(c->to);
}

static void on_row(void *arg, json_t *records, size_t total, const struct sh_err *err) {
    struct copying *c = arg;
    struct sh_put put = {SH_TABLE_WORKFLOW, sh_str(c->b->id), json_array_get(records, 0)};
    struct sh_err bad = {0};

    (void)total;
    if (err || sh_store_append(c->to, NULL, 0, &put, 1, bench_on_done, &c->b->host, &bad) < 0) {
        bench_die("copy", err ? err : &bad);
    }
    sh_store_flush(c->to);
}

static struct sh_store *copy_to_memory(struct bench *b) {
    struct copying c = {.b = b};
    struct sh_err err = {0};

    if (sh_store_open(b->host.loop, "twin", NULL, bench_on_done, &b->host, &c.to, &err) < 0) {
        bench_die("memory", &err);
    }
    bench_wait(&b->host);
    sh_store_get(b->host.store, SH_TABLE_WORKFLOW, sh_str(b->id), on_row, &c);
    bench_wait(&b->host);
    do {
        sh_store_read_events(b->host.store, sh_str(b->id), c.last, SH_JOURNAL_PAGE, on_events, &c);
        bench_wait(&b->host);
    } while (c.last > 0);
    return c.to;
}

static void from_memory(struct bench *b) {
    struct sh_store *disk = b->host.store, *memory = copy_to_memory(b);
    double value, median;

    bench_engine_stop(&b->host);
    b->host.config.store = b->host.store = memory;
    b->host.config.passive = true;
    bench_engine_start(&b->host);
    best(b, verify, false, ROUNDS, &value, &median);
    bench_figure("replay_from_memory", value, "events/s", 200000, "the best of 7");
    bench_figure("replay_from_memory_p50", median, "events/s", 0, NULL);
    bench_engine_stop(&b->host);
    sh_store_close(memory, bench_on_gone, &b->host);
    bench_wait(&b->host);
    b->host.config.store = b->host.store = disk;
    b->host.config.passive = false;
    bench_engine_start(&b->host);
}

static void from_disk(struct bench *b) {
    sh_auto(sh_free_p) char *endpoint = sh_asprintf("rocksdb:%s/db", b->host.dir);
    double value, median;

    bench_open(&b->host, endpoint);
    make(b, STEPS);
    best(b, live_again, true, ROUNDS, &value, &median);
    bench_figure("10000_steps_live_again", value, "ms", 100, "the least of 7");
    bench_figure("10000_steps_live_again_p50", median, "ms", 0, NULL);
    best(b, verify, false, ROUNDS, &value, &median);
    bench_figure("verify_from_disk", value, "events/s", 0, "the best of 7");
    from_memory(b);
    bench_close(&b->host);
}

static void million(struct bench *b) {
    sh_auto(sh_free_p) char *endpoint = sh_asprintf("rocksdb:%s/db-long", b->host.dir);
    uint64_t from = sh_mono_ns();

    bench_open(&b->host, endpoint);
    make(b, MANY_STEPS);
    bench_figure("1000000_events_made", bench_ms(from) / 1e3, "s", 0, NULL);
    bench_figure("1000000_events_made_memory", bench_resident_mb(true), "MB", 0, "anonymous");
    bench_figure("1000000_events_live_again", live_again(b) / 1e3, "s", 0, NULL);
    bench_figure("1000000_events_live_again_memory", bench_resident_mb(true), "MB", 0, "anonymous");
    bench_figure("1000000_events_verified", verify(b), "events/s", 0, NULL);
    bench_figure("1000000_events_verified_memory", bench_resident_mb(true), "MB", 0, "anonymous");
    bench_close(&b->host);
}

int main(int argc, char **argv) {
    struct bench *b;

    if (argc > 1 && strcmp(argv[1], "compile-worker") == 0) {
        return sh_compile_worker_main(argc - 1, argv + 1);
    }
    b = sh_new(struct bench);
    bench_folder(&b->host, argc > 1 ? argv[1] : NULL, "replay");
    from_disk(b);
    if (getenv("SHANNON_LONG")) {
        million(b);
    }
    bench_folder_remove(&b->host);
    sh_free(b);
    return 0;
}
