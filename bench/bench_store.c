/* The store on this disk, with the disk's own figure beside it. One JSON line a figure:
 *   bench_store [FOLDER]          a folder on the disk to measure, default the current one
 *   bench_store --idle [FOLDER]   only open an empty database and tell what that takes: what the
 *                                 server's memory is compared with
 * Opening, one event at a time, 64 callers that each wait for their own, full batches, reading. */
#include <dirent.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench_disk.h"
#include "store/store.h"

#define IDLE_SECONDS 2
#define EVENT_BYTES 300
#define SEQUENTIAL 2000 /* in rounds, with fdatasync between them */
#define ROUND 100
#define SYNCS 50
#define CALLERS 64
#define CALLER_STEPS 400
#define BATCHES 100
#define BATCH_EVENTS 1000

struct bench {
    struct sh_loop *loop;
    struct sh_store *store;
    struct sh_hash hash;
    char body[EVENT_BYTES];
    size_t read;
    unsigned waiting;
    struct bench_disk disk;
};

static void figure(const char *name, double value, const char *unit) {
    printf("{\"name\":\"%s\",\"value\":%.3f,\"unit\":\"%s\"}\n", name, value, unit);
    fflush(stdout);
}

static void die(const char *what, const struct sh_err *err) {
    fprintf(stderr, "bench_store: %s: %s\n", what, err->message);
    exit(1);
}

/* Resident memory in MB: all of it, or what is not pages of files (of this program above all). */
static double status_mb(const char *field) {
    char line[128];
    double kb = 0;
    FILE *f = fopen("/proc/self/status", "re");
    while (f && fgets(line, sizeof(line), f)) {
        if (strncmp(line, field, strlen(field)) == 0) {
            kb = strtod(line + strlen(field), NULL);
        }
    }
    if (f) {
        fclose(f);
    }
    return kb * 1024 / 1e6;
}

static void memory(const char *when) {
    char name[64];
    snprintf(name, sizeof(name), "rss_%s", when);
    figure(name, status_mb("VmRSS:"), "MB");
    snprintf(name, sizeof(name), "rss_anonymous_%s", when);
    figure(name, status_mb("RssAnon:"), "MB");
}

static double threads(void) {
    double n = 0;
    DIR *d = opendir("/proc/self/task");
    for (struct dirent *e = d ? readdir(d) : NULL; e; e = readdir(d)) {
        n += e->d_name[0] != '.';
    }
    if (d) {
        closedir(d);
    }
    return n;
}

static void done(void *arg, const struct sh_err *err) {
    struct bench *b = arg;
    if (err) {
        die("failed", err);
    }
    if (--b->waiting == 0) {
        sh_loop_stop(b->loop);
    }
}

static void closed(void *arg) {
    done(arg, NULL);
}

static void await(struct bench *b) {
    while (b->waiting > 0) {
        sh_loop_run(b->loop);
    }
}

static void flush(void *arg) {
    struct bench *b = arg;
    if (b->store) {
        sh_store_flush(b->store);
    }
}

static void bench_open(struct bench *b, const char *endpoint, const char *name) {
    struct sh_err err = {0};
    struct sh_store *s = NULL;
    uint64_t start = sh_mono_ns();
    b->waiting++;
    if (sh_store_open(b->loop, endpoint, NULL, done, b, &s, &err) < 0) {
        die(endpoint, &err);
    }
    await(b);
    b->store = s;
    figure(name, (double)(sh_mono_ns() - start) / 1e6, "ms");
}

static void bench_close(struct bench *b) {
    struct sh_store *s = b->store;
    b->store = NULL;
    b->waiting++;
    sh_store_close(s, closed, b);
    await(b);
}

static struct sh_event_record event(struct bench *b, const char *workflow, uint64_t seq) {
    return (struct sh_event_record){.workflow = sh_str(workflow),
                                    .seq = seq,
                                    .time_us = sh_wall_us(),
                                    .type = SH_STR("ActivityCompleted"),
                                    .body = sh_strn(b->body, sizeof(b->body)),
                                    .hash = b->hash};
}

static void append(struct bench *b, const struct sh_event_record *e, size_t n,
                   const struct sh_put *puts, size_t n_puts, sh_store_done_fn cb, void *arg) {
    struct sh_err err = {0};
    if (sh_store_append(b->store, e, n, puts, n_puts, cb, arg, &err) < 0) {
        die("append", &err);
    }
}

/* One event after the other, without and with the workflow's row beside it. */
static void bench_sequential(struct bench *b, bool with_row) {
    static uint64_t ns[SEQUENTIAL];
    const char *workflow = with_row ? "wf-sequential-row" : "wf-sequential";
    json_t *row = json_pack("{s:s, s:s, s:i, s:s}", "status", "running", "agent", "bench", "seq", 1,
                            "query", "what is the answer");
    struct sh_put put = {SH_TABLE_WORKFLOW, sh_str(workflow), row};
    for (size_t i = 0; i < SEQUENTIAL; i++) {
        struct sh_event_record e = event(b, workflow, i + 1);
        if (i % ROUND == 0) {
            bench_disk_sample(&b->disk, SYNCS);
        }
        uint64_t start = sh_mono_ns();
        b->waiting++;
        append(b, &e, 1, &put, with_row, done, b);
        await(b);
        ns[i] = sh_mono_ns() - start;
    }
    json_decref(row);
    figure(with_row ? "commit_event_and_row_p50" : "commit_one_event_p50",
           bench_percentile_ms(ns, SEQUENTIAL, 0.5), "ms");
    figure(with_row ? "commit_event_and_row_p95" : "commit_one_event_p95",
           bench_percentile_ms(ns, SEQUENTIAL, 0.95), "ms");
}

struct caller {
    struct bench *b;
    char id[16];
    uint64_t seq;
};

static void caller_step(void *arg, const struct sh_err *err) {
    struct caller *c = arg;
    if (err) {
        die("concurrent append", err);
    }
    if (c->seq == CALLER_STEPS) {
        done(c->b, NULL);
        return;
    }
    struct sh_event_record e = event(c->b, c->id, ++c->seq);
    append(c->b, &e, 1, NULL, 0, caller_step, c);
}

static void bench_concurrent(struct bench *b) {
    static struct caller callers[CALLERS];
    uint64_t before = sh_store_stats(b->store).transactions;
    uint64_t start = sh_mono_ns();
    for (size_t i = 0; i < CALLERS; i++) {
        callers[i].b = b;
        snprintf(callers[i].id, sizeof(callers[i].id), "wf-c%zu", i);
        b->waiting++;
        caller_step(&callers[i], NULL);
    }
    await(b);
    double seconds = (double)(sh_mono_ns() - start) / 1e9;
    double events = (double)CALLERS * CALLER_STEPS;
    uint64_t transactions = sh_store_stats(b->store).transactions - before;
    figure("concurrent_64_events", events / seconds, "events/s");
    figure("concurrent_64_events_per_transaction", events / (double)transactions, "events");
}

static void bench_batches(struct bench *b) {
    struct sh_event_record *e = sh_new_array(struct sh_event_record, BATCH_EVENTS);
    uint64_t start = sh_mono_ns(), seq = 0;
    for (size_t i = 0; i < BATCHES; i++) {
        for (size_t j = 0; j < BATCH_EVENTS; j++) {
            e[j] = event(b, "wf-batch", ++seq);
        }
        b->waiting++;
        append(b, e, BATCH_EVENTS, NULL, 0, done, b);
        await(b);
    }
    sh_free(e);
    double seconds = (double)(sh_mono_ns() - start) / 1e9;
    figure("batches_of_1000", (double)BATCHES * BATCH_EVENTS / seconds, "events/s");
}

static void on_events(void *arg, const struct sh_event_record *events, size_t n,
                      const struct sh_err *err) {
    struct bench *b = arg;
    (void)events;
    b->read += n;
    done(b, err);
}

static void bench_read(struct bench *b) {
    uint64_t start = sh_mono_ns();
    for (uint64_t after = 0; after < 50 * SH_JOURNAL_PAGE; after += SH_JOURNAL_PAGE) {
        b->waiting++;
        sh_store_read_events(b->store, SH_STR("wf-batch"), after, SH_JOURNAL_PAGE, on_events, b);
        await(b);
    }
    double ms = (double)(sh_mono_ns() - start) / 1e6;
    figure("read_1000_events", ms * 1000.0 / (double)b->read, "ms");
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw) {
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

static double bytes_on_disk;
static int add_one(const char *path, const struct stat *st, int flag, struct FTW *ftw) {
    (void)path;
    (void)ftw;
    bytes_on_disk += flag == FTW_F ? (double)st->st_blocks * 512 : 0;
    return 0;
}

static void measure(struct bench *b, const char *dir, const char *endpoint) {
    bench_disk_open(&b->disk, dir);
    memory("before_open");
    bench_open(b, endpoint, "open_empty");
    memory("after_open");
    figure("threads_after_open", threads(), "threads");
    bench_sequential(b, false);
    bench_sequential(b, true);
    bench_disk_report(&b->disk);
    bench_concurrent(b);
    bench_batches(b);
    memory("after_events");
    bench_read(b);
    bench_close(b);
    nftw(dir, add_one, 16, FTW_PHYS);
    figure("on_disk_after_events", bytes_on_disk / 1e6, "MB");
    bench_open(b, endpoint, "open_full");
    bench_close(b);
    bench_open(b, "memory", "open_in_memory");
    bench_close(b);
}

static void idle(struct bench *b, const char *endpoint) {
    bench_open(b, endpoint, "surrealdb_alone_open");
    sleep(IDLE_SECONDS);
    memory("surrealdb_alone");
    figure("threads_surrealdb_alone", threads(), "threads");
    bench_close(b);
}

int main(int argc, char **argv) {
    struct bench *b = sh_new(struct bench);
    struct sh_err err = {0};
    bool only_open = argc > 1 && strcmp(argv[1], "--idle") == 0;
    const char *folder = argc > 1 + only_open ? argv[1 + only_open] : ".";
    char *dir = sh_asprintf("%s/bench-store-XXXXXX", folder);
    setenv("SURREAL_KVS_THREADPOOL_SIZE", "4", 0); /* as the program does */
    if (!mkdtemp(dir)) {
        perror("bench_store: mkdtemp");
        return 1;
    }
    memset(b->body, 'x', sizeof(b->body));
    sh_sha256(b->body, sizeof(b->body), &b->hash);
    if (sh_loop_new(&b->loop, &err) < 0) {
        die("loop", &err);
    }
    sh_loop_on_turn(b->loop, flush, b);
    char *endpoint = sh_asprintf("rocksdb:%s/db", dir);
    if (only_open) {
        idle(b, endpoint);
    } else {
        measure(b, dir, endpoint);
    }
    sh_loop_free(b->loop);
    nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    sh_free(endpoint);
    sh_free(dir);
    sh_free(b);
    return 0;
}
