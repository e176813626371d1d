/* What the benchmarks of the engine share: an engine on a store of its own in a folder of its own,
 * calls of it that return when they are answered, and figures as JSON lines. One thread, and each
 * failure ends the program. */
#ifndef SH_BENCH_HOST_H
#define SH_BENCH_HOST_H

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/engine.h"

/* The agent that all of them measure, as WebAssembly text and a format: start(calculator), wait and
 * drop, %d times. data: further data segments; then: code that follows the last step. */
#define BENCH_STEPS(data, then)                                                                    \
    "(module\n"                                                                                    \
    " (import \"shannon\" \"activity_start\""                                                      \
    "  (func $start (param i32 i32 i32 i32) (result i32)))\n"                                      \
    " (import \"shannon\" \"activity_wait\" (func $wait (param i32 i32) (result i32)))\n"          \
    " (import \"shannon\" \"activity_drop\" (func $drop (param i32) (result i32)))\n"              \
    " (memory (export \"memory\") 1)\n"                                                            \
    " (data (i32.const 0) \"calculator\")\n" data                                                  \
    " (data (i32.const 32) \"{\\22expression\\22:\\222*21\\22}\")\n"                               \
    " (func (export \"_start\") (local $i i32)\n"                                                  \
    "  (loop $again\n"                                                                             \
    "   (i32.store (i32.const 128) (call $start (i32.const 0) (i32.const 10)\n"                    \
    "                                           (i32.const 32) (i32.const 21)))\n"                 \
    "   (drop (call $drop (call $wait (i32.const 128) (i32.const 1))))\n"                          \
    "   (local.set $i (i32.add (local.get $i) (i32.const 1)))\n"                                   \
    "   (br_if $again (i32.lt_u (local.get $i) (i32.const %d))))" then "))\n"

struct bench_host {
    char dir[256]; /* data directory */
    struct sh_loop *loop;
    struct sh_store *store;
    struct sh_sandbox *sandbox;
    struct sh_tools *tools;
    struct sh_policy *policy;
    struct sh_engine_config config;
    struct sh_engine *engine;
    bool answered;
    json_t *value; /* of the last answer */
    uint64_t bytes;
};

static inline _Noreturn void bench_die(const char *what, const struct sh_err *err) {
    fprintf(stderr, "bench: %s: %s\n", what, err ? err->message : "");
    exit(1);
}

/* goal 0: none. note NULL: none */
static inline void bench_figure(const char *name, double value, const char *unit, double goal,
                                const char *note) {
    printf("{\"name\":\"%s\",\"value\":%.4f,\"unit\":\"%s\"", name, value, unit);
    if (goal > 0) {
        printf(",\"goal\":%.4f", goal);
    }
    if (note) {
        printf(",\"note\":\"%s\"", note);
    }
    printf("}\n");
    fflush(stdout);
}

static inline double bench_ms(uint64_t from_ns) {
    return (double)(sh_mono_ns() - from_ns) / 1e6;
}

/* Resident memory of this process: all of it, or only what belongs to no file. MB */
static inline double bench_resident_mb(bool anonymous) {
    const char *name = anonymous ? "RssAnon:" : "VmRSS:";
    FILE *f = fopen("/proc/self/status", "re");
    char line[200];
    double mb = 0;

    while (f && fgets(line, sizeof(line), f)) {
        if (strncmp(line, name, strlen(name)) == 0) {
            mb = strtod(line + strlen(name), NULL) * 1024 / 1e6;
        }
    }
    if (f) {
        fclose(f);
    }
    return mb;
}

/* ---- answers ---- */

static inline void bench_on_done(void *arg, const struct sh_err *err) {
    struct bench_host *h = arg;

    if (err) {
        bench_die("the store or the engine", err);
    }
    h->answered = true;
    sh_loop_stop(h->loop);
}

static inline void bench_on_gone(void *arg) {
    bench_on_done(arg, NULL);
}

static inline void bench_on_json(void *arg, json_t *value, const struct sh_err *err) {
    struct bench_host *h = arg;

    json_decref(h->value);
    h->value = json_incref(value);
    bench_on_done(arg, err);
}

static inline void bench_on_bytes(void *arg, struct sh_str bytes, const struct sh_err *err) {
    struct bench_host *h = arg;

    h->bytes = bytes.len;
    bench_on_done(arg, err);
}

/* Until the answer of what was just asked is there. */
static inline void bench_wait(struct bench_host *h) {
    while (!h->answered) {
        sh_loop_run(h->loop);
    }
    h->answered = false;
}

/* ---- opening and closing ---- */

static inline void bench_engine_start(struct bench_host *h) {
    struct sh_err err = {0};

    if (sh_engine_start(&h->config, bench_on_done, h, &h->engine, &err) < 0) {
        bench_die("engine", &err);
    }
    bench_wait(h);
}

static inline void bench_engine_stop(struct bench_host *h) {
    sh_engine_stop(h->engine, bench_on_gone, h);
    bench_wait(h);
}

static inline void bench_store_open(struct bench_host *h, const char *endpoint) {
    struct sh_err err = {0};

    setenv("SURREAL_KVS_THREADPOOL_SIZE", "4", 0); /* as the program does */
    if (sh_loop_new(&h->loop, &err) < 0 ||
        sh_store_open(h->loop, endpoint, NULL, bench_on_done, h, &h->store, &err) < 0) {
        bench_die("store", &err);
    }
    bench_wait(h);
}

/* endpoint: of the store; a policy that allows the calculator without end. */
static inline void bench_open(struct bench_host *h, const char *endpoint) {
    sh_auto(sh_free_p) char *aot = sh_asprintf("%s/aot", h->dir);
    struct sh_sandbox_config sandbox = {.aot_dir = aot, .worker = "/proc/self/exe"};
    sh_auto(sh_json_done) json_t *limits = NULL;
    struct sh_err err = {0};

    bench_store_open(h, endpoint);
    if (sh_json_parse(SH_STR("{\"rules\":[{\"agent\":\"*\",\"allow\":{\"tools\":[\"calculator\"],"
                             "\"limits\":{\"activities\":10000000,\"journal\":\"4GiB\"}}}]}"),
                      SH_MIB, &limits, &err) < 0 ||
        sh_policy_parse(limits, NULL, NULL, &h->policy, &err) < 0 ||
        sh_sandbox_new(&sandbox, &h->sandbox, &err) < 0 ||
        sh_tools_new(h->loop, &(struct sh_tools_config){0}, &h->tools, &err) < 0) {
        bench_die("open", &err);
    }
    h->config = (struct sh_engine_config){.data_dir = h->dir,
                                          .observe = true,
                                          .loop = h->loop,
                                          .store = h->store,
                                          .sandbox = h->sandbox,
                                          .tools = h->tools,
                                          .policy = h->policy};
    bench_engine_start(h);
}

static inline void bench_store_close(struct bench_host *h) {
    sh_store_close(h->store, bench_on_gone, h);
    bench_wait(h);
    h->loop = sh_loop_free(h->loop);
}

static inline void bench_close(struct bench_host *h) {
    bench_engine_stop(h);
    sh_tools_free(h->tools);
    sh_sandbox_free(h->sandbox);
    sh_policy_free(h->policy);
    bench_store_close(h);
    json_decref(h->value);
    h->value = NULL;
}

static inline void bench_folder(struct bench_host *h, const char *where, const char *name) {
    snprintf(h->dir, sizeof(h->dir), "%s/bench-%s-XXXXXX", where ? where : ".", name);
    if (!mkdtemp(h->dir)) {
        bench_die("cannot make a folder there", NULL);
    }
}

static inline int bench_remove_one(const char *path, const struct stat *st, int flag,
                                   struct FTW *ftw) {
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

static inline void bench_folder_remove(struct bench_host *h) {
    nftw(h->dir, bench_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

#endif
