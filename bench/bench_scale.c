/* What grows with the number of workflows and with the length of a journal: nothing but the disk,
 * it is said. A data directory is filled with so many workflows that sleep and as many that have
 * ended (rows, wake records and first events as the engine leaves them, straight through the
 * store); then a process of its own starts there: how long that takes, how much memory it has, and
 * how long a durable step takes. The same for steps of one workflow whose journal grows. 0, 10,000
 * and 100,000; with SHANNON_LONG 1,000,000, too. `x` is what a curve is drawn over (plot.py).
 * bench_scale [FOLDER]     a folder on the disk to measure, default the current one */
#include <sys/wait.h>

#include "bench_disk.h"
#include "bench_host.h"

#define CHUNK 500           /* of each kind, in one transaction */
#define SETTLE_NS 500000000 /* after the start: the page of those that wake first is read */
#define STEPS 400
#define WINDOW 2000 /* steps whose median is a point of the curve over a journal */

struct bench {
    struct bench_host host;
    uint64_t last_ns, step_ns[WINDOW + 1];
    size_t n_steps, x;
    bool long_journal;
    struct sh_subscription *follower;
};

/* start(calculator); wait; drop; %d times */
static const char agent_text[] = BENCH_STEPS("", "");

static void figure_at(const char *what, size_t x, double value, const char *unit, double goal) {
    printf("{\"name\":\"%s_%zu\",\"curve\":\"%s\",\"x\":%zu,\"value\":%.4f,\"unit\":\"%s\"", what,
           x, what, x, value, unit);
    if (goal > 0) {
        printf(",\"goal\":%.4f", goal);
    }
    printf("}\n");
    fflush(stdout);
}

/* ---- filling a data directory ---- */

struct planting { /* one transaction */
    struct sh_put puts[3 * CHUNK];
    struct sh_event_record events[2 * CHUNK];
    size_t n_puts, n_events;
    char body[600];
};

static void plant_put(struct planting *p, enum sh_table table, char *key, json_t *value) {
    p->puts[p->n_puts++] = (struct sh_put){table, sh_str(key), value};
}

static void plant_event(struct planting *p, const char *id, int64_t now_us) {
    p->events[p->n_events++] = (struct sh_event_record){.workflow = sh_str(id),
                                                        .seq = 1,
                                                        .time_us = now_us,
                                                        .type = SH_STR("WorkflowStarted"),
                                                        .body = sh_strn(p->body, sizeof(p->body))};
}

static void plant_one(struct planting *p, size_t i, int64_t now_us) {
    int64_t due_us = now_us + 86400000000LL + (int64_t)i * 1000;
    char *asleep = sh_asprintf("wf-asleep-%09zu", i), *ended = sh_asprintf("wf-ended-%09zu", i);

    plant_event(p, asleep, now_us);
    plant_event(p, ended, now_us);
    plant_put(p, SH_TABLE_WAKE, sh_asprintf("%016llx-%s", (unsigned long long)due_us, asleep),
              json_pack("{s:s, s:I}", "workflow", asleep, "due_us", (json_int_t)due_us));
    plant_put(p, SH_TABLE_WORKFLOW, asleep,
              json_pack("{s:i, s:s, s:s, s:s, s:s, s:I, s:I, s:{s:I, s:{}, s:i, s:i, s:s}}", "v", 1,
                        "status", "running", "agent", "sleeper", "query", "a query of some words",
                        "session", asleep, "created_at", (json_int_t)now_us, "seq", (json_int_t)4,
                        "asleep", "wake_at_us", (json_int_t)due_us, "signals", "bytes", 900,
                        "bytes_max", 67108864, "owner", "owner-bench"));
    plant_put(p, SH_TABLE_WORKFLOW, ended,
              json_pack("{s:i, s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:s}", "v", 1, "status",
                        "completed", "agent", "runner", "query", "a query of some words", "session",
                        ended, "created_at", (json_int_t)now_us, "completed_at",
                        (json_int_t)now_us + 1000, "seq", (json_int_t)9, "result",
                        "a result of some more words than the query had"));
}

static void plant_chunk(struct bench_host *h, size_t first, int64_t now_us) {
    struct planting *p = sh_new(struct planting);
    struct sh_err err = {0};

    memset(p->body, ' ', sizeof(p->body));
    p->body[0] = '{';
    p->body[sizeof(p->body) - 1] = '}';
    for (size_t i = 0; i < CHUNK; i++) {
        plant_one(p, first + i, now_us);
    }
    if (sh_store_append(h->store, p->events, p->n_events, p->puts, p->n_puts, bench_on_done, h,
                        &err) < 0) {
        bench_die("append", &err);
    }
    sh_store_flush(h->store);
    bench_wait(h);
    for (size_t i = 0; i < p->n_puts; i++) {
        sh_free((void *)(uintptr_t)p->puts[i].key.p);
        json_decref((json_t *)(uintptr_t)p->puts[i].value);
    }
    sh_free(p);
}

/* Workflows from..n, and that all of them are known. */
static void plant(struct bench_host *h, size_t from, size_t n) {
    sh_auto(sh_free_p) char *endpoint = sh_asprintf("rocksdb:%s/db", h->dir);
    int64_t now_us = sh_wall_us();
    struct sh_put puts[] = {
        {SH_TABLE_META, SH_STR("asleep"), json_pack("{s:I}", "n", (json_int_t)n)},
        {SH_TABLE_META, SH_STR("index"), json_pack("{s:i}", "version", 1)},
        {SH_TABLE_META, SH_STR("blobs"), json_pack("{s:i}", "version", 1)}};
    struct sh_err err = {0};

    bench_store_open(h, endpoint);
    for (size_t i = from; i < n; i += CHUNK) {
        plant_chunk(h, i, now_us);
    }
    if (sh_store_append(h->store, NULL, 0, puts, 3, bench_on_done, h, &err) < 0) {
        bench_die("append", &err);
    }
    sh_store_flush(h->store);
    bench_wait(h);
    for (size_t i = 0; i < 3; i++) {
        json_decref((json_t *)(uintptr_t)puts[i].value);
    }
    bench_store_close(h);
}

/* ---- in a process of its own ---- */

struct pause {
    struct sh_timer timer;
    struct bench_host *host;
};

static void paused(struct sh_timer *t) {
    bench_on_gone(sh_container_of(t, struct pause, timer)->host);
}

static void on_event(void *arg, const struct sh_live_event *ev) {
    struct bench *b = arg;

    if (!ev->event) {
        return;
    }
    if (sh_str_eqz(ev->event->type, "ActivityCompleted")) {
        uint64_t now = sh_mono_ns();
        if (b->last_ns && b->n_steps < WINDOW) {
            b->step_ns[b->n_steps++] = now - b->last_ns;
        }
        b->last_ns = now;
        if (b->long_journal && b->n_steps == WINDOW) {
            b->x += WINDOW;
            figure_at("step_in_a_journal_of", b->x,
                      bench_percentile_ms(b->step_ns, b->n_steps, 0.5), "ms", 0);
            figure_at("memory_in_a_journal_of", b->x, bench_resident_mb(true), "MB", 0);
            b->n_steps = 0;
        }
    } else if (sh_str_eqz(ev->event->type, "WorkflowFailed")) {
        fprintf(stderr, "%.*s\n", (int)ev->event->body.len, ev->event->body.p);
        exit(1);
    } else if (sh_event_is_final(ev->event->type)) {
        bench_on_done(&b->host, NULL);
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
                                   on_missing, b, &b->follower, &bad) < 0) {
        bench_die("submit", err ? err : &bad);
    }
}

static void run_steps(struct bench *b, int steps) {
    sh_auto(sh_free_p) char *text = sh_asprintf(agent_text, steps);
    sh_auto(sh_json_done) json_t *caps =
        json_pack("{s:{s:i, s:s}}", "limits", "activities", steps + 1, "journal", "4GiB");

    sh_engine_module_add(b->host.engine, sh_str(text), NULL, NULL, bench_on_json, &b->host);
    bench_wait(&b->host);
    b->last_ns = 0;
    b->n_steps = 0;
    sh_engine_submit(b->host.engine,
                     &(struct sh_submit){.agent = sh_json_get_str(b->host.value, "hash"),
                                         .query = SH_STR("bench"),
                                         .capabilities = caps},
                     on_submitted, b);
    bench_wait(&b->host);
    sh_engine_unsubscribe(b->follower);
}

static void among(struct bench *b, size_t n) {
    sh_auto(sh_free_p) char *endpoint = sh_asprintf("rocksdb:%s/db", b->host.dir);
    struct pause pause = {.host = &b->host};
    uint64_t from = sh_mono_ns();

    bench_open(&b->host, endpoint);
    double ms = bench_ms(from);
    sh_timer_start(b->host.loop, &pause.timer, SETTLE_NS, paused);
    bench_wait(&b->host);
    figure_at("start_among", n, ms, "ms", 2000);
    figure_at("memory_among", n, bench_resident_mb(false), "MB", 1000);
    run_steps(b, STEPS);
    figure_at("step_among", n, bench_percentile_ms(b->step_ns, b->n_steps, 0.5), "ms", 0);
    bench_close(&b->host);
}

static uint64_t disk_bytes;

static int add_size(const char *path, const struct stat *st, int flag, struct FTW *ftw) {
    (void)path;
    (void)ftw;
    disk_bytes += flag == FTW_F ? (uint64_t)st->st_size : 0;
    return 0;
}

static void on_reclaimed(void *arg, json_t *records, size_t total, const struct sh_err *err) {
    (void)records;
    (void)total;
    bench_on_done(arg, err);
}

/* Of the database when its files are merged and its log is written out. */
static uint64_t settled_bytes(struct bench *b, const char *endpoint) {
    bench_store_open(&b->host, endpoint);
    sh_store_reclaim(b->host.store, on_reclaimed, &b->host);
    bench_wait(&b->host);
    bench_store_close(&b->host);
    disk_bytes = 0;
    nftw(endpoint + strlen("rocksdb:"), add_size, 16, FTW_PHYS);
    return disk_bytes;
}

static void long_journal(struct bench *b, size_t n) {
    sh_auto(sh_free_p) char *endpoint = sh_asprintf("rocksdb:%s/db-long", b->host.dir);

    bench_open(&b->host, endpoint);
    run_steps(b, STEPS); /* warm */
    figure_at("step_in_a_journal_of", 0, bench_percentile_ms(b->step_ns, b->n_steps, 0.5), "ms", 0);
    figure_at("memory_in_a_journal_of", 0, bench_resident_mb(true), "MB", 0);
    bench_close(&b->host);
    uint64_t before = settled_bytes(b, endpoint);
    bench_open(&b->host, endpoint);
    b->long_journal = true;
    run_steps(b, (int)n + 1);
    bench_close(&b->host);
    uint64_t after = settled_bytes(b, endpoint);
    bench_figure("disk_per_step", (double)(after - before) / (double)n, "bytes", 300,
                 "of one event with its request and answer, when the files are merged");
}

static bool in_a_process(const char *self, const char *what, const char *dir, size_t n) {
    sh_auto(sh_free_p) char *number = sh_asprintf("%zu", n);
    pid_t pid = fork();
    int status = 1;

    if (pid == 0) {
        execl("/proc/self/exe", self, what, dir, number, (char *)NULL);
        _exit(127);
    }
    return waitpid(pid, &status, 0) == pid && status == 0;
}

int main(int argc, char **argv) {
    static const size_t sizes[] = {0, 10000, 100000, 1000000};
    size_t n_sizes = getenv("SHANNON_LONG") ? 4 : 3;
    struct bench *b;
    bool good = true;

    if (argc > 1 && strcmp(argv[1], "compile-worker") == 0) {
        return sh_compile_worker_main(argc - 1, argv + 1);
    }
    b = sh_new(struct bench);
    if (argc > 3 && strncmp(argv[1], "--", 2) == 0) {
        size_t n = strtoul(argv[3], NULL, 10);
        snprintf(b->host.dir, sizeof(b->host.dir), "%s", argv[2]);
        if (strcmp(argv[1], "--among") == 0) {
            among(b, n);
        } else {
            long_journal(b, n);
        }
        sh_free(b);
        return 0;
    }
    bench_folder(&b->host, argc > 1 ? argv[1] : NULL, "scale");
    for (size_t i = 0; i < n_sizes; i++) {
        plant(&b->host, i > 0 ? sizes[i - 1] : 0, sizes[i]);
        good = in_a_process(argv[0], "--among", b->host.dir, sizes[i]) && good;
    }
    good = in_a_process(argv[0], "--long", b->host.dir, n_sizes == 4 ? 100000 : 20000) && good;
    bench_folder_remove(&b->host);
    sh_free(b);
    return good ? 0 : 1;
}
