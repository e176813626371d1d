/* Simulated histories: an engine on the in-memory twin in the world of world.h, with clients, a
 * model that fails, a disk that is late, clocks that are set, and a power that goes; then the same
 * without any of it. What has to hold: nothing that a client was told is lost; nothing is asked
 * under one idempotency key after its outcome was durable; every workflow ends and verifies, with
 * the run digest of the undisturbed run; every request is answered once, also by an engine that
 * stops.
 *
 *   sim [--families] [--seed N] [--count N] [--seconds N]
 *
 * --families: programs of children and grandchildren that sleep, wait for updates, fail and are
 * canceled; beside the above, all of a family end, and nothing of it is left to be taken up.
 * Histories have the seeds N, N + 1, ...; a failure prints its own. */
#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sim/client.h"
#include "sim/world.h"
#include "store/store_twin.h"

#define TURNS_MAX 400000 /* a history takes some thousands */
#define DAY_US 86400000000LL

struct stats {
    unsigned long histories, losses, stops, jumps, failures;
};

static struct sim {
    uint64_t seed;
    const char *program;
    bool families, disturbed, fatal;
    char dir[64];
    struct sh_loop *loop;
    struct sh_store *store;
    struct sh_sandbox *sandbox;
    struct sh_tools *tools;
    struct sh_policy *policy;
    json_t *policy_doc;
    struct sh_engine *engine;
    struct sh_timer disk;
    struct client clients[CLIENTS_MAX];
    unsigned n_clients;
    unsigned long quiet; /* turns until the next disturbance */
    unsigned disturbances;
    struct stats stats;
} sim;

/* Its first and its last events. */
static void show_journal(const char *name, const json_t *journal, size_t last, size_t first) {
    size_t n = json_array_size(journal);

    fprintf(stderr, "%s:\n", name);
    for (size_t i = 0; i < n; i++) {
        if (i >= first && n - i > last) {
            continue;
        }
        const json_t *ev = json_array_get(journal, i);
        fprintf(stderr, "  %zu %s %.300s\n", i + 1, json_string_value(json_object_get(ev, "type")),
                json_string_value(json_object_get(ev, "body")));
    }
}

static json_t *journal_of(const char *id) {
    json_t *all = sh_twin_snapshot(sh_twin_named("sim"));
    json_t *journal = json_incref(json_object_get(json_object_get(all, "event"), id));

    json_decref(all);
    return journal;
}

/* The last events that are on disk, of every workflow. */
static void show_journals(void) {
    json_t *all = sh_twin_snapshot(sh_twin_named("sim")), *journal;
    const char *workflow;

    json_object_foreach(json_object_get(all, "event"), workflow, journal) {
        show_journal(workflow, journal, 6, 24);
    }
    json_decref(all);
}

void sim_fail(const char *format, ...) {
    va_list args;

    fprintf(stderr, "sim: seed %llu, %s, step %llu: ", (unsigned long long)sim.seed,
            sim.disturbed ? "disturbed" : "undisturbed", (unsigned long long)world_steps());
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    for (unsigned i = 0; i < sim.n_clients; i++) {
        fprintf(stderr, "\nclient %u (%s, %zu events told, %s):\n%s", i, sim.clients[i].id,
                json_array_size(sim.clients[i].told), sim.clients[i].ended ? "ended" : "open",
                sim.clients[i].program);
    }
    fprintf(stderr, "\n");
    show_journals();
    fprintf(stderr, "repeat: %s%s --seed %llu\n", sim.program, sim.families ? " --families" : "",
            (unsigned long long)sim.seed);
    exit(1);
}

/* ---- answers ---- */

struct answer {
    bool done;
    int code;
    json_t *value;
    char message[480];
};

static void on_json(void *arg, json_t *value, const struct sh_err *err) {
    struct answer *a = arg;

    SIM_CHECK(!a->done, "an answer came twice");
    a->done = true;
    a->code = err ? err->code : 0;
    a->value = value ? json_deep_copy(value) : NULL;
    snprintf(a->message, sizeof(a->message), "%s", err ? err->message : "");
}

static void on_store(void *arg, const struct sh_err *err) {
    on_json(arg, NULL, err);
}

static void on_gone(void *arg) {
    on_json(arg, NULL, NULL);
}

static void on_fatal(void *arg, const struct sh_err *err) {
    (void)arg;
    (void)err;
    sim.fatal = true;
}

/* ---- the disk: a commit is written at once, and synced some time later ---- */

static void synced(struct sh_timer *t) {
    (void)t;
    sh_twin_release(sh_twin_named("sim"), 1);
}

static void turn(void) {
    static const uint64_t late_us[] = {0, 10, 10, 100, 100, 2000, 2000, 900000};
    struct sh_twin *twin = sh_twin_named("sim");

    if (!sim.disk.slot && sh_twin_held(twin) > 0) {
        uint64_t us = sim.disturbed ? late_us[world_random(8)] : 10;
        sh_timer_start(sim.loop, &sim.disk, us * 1000, synced);
    }
    SIM_CHECK(world_turn(sim.loop), "nothing will ever happen again");
    SIM_CHECK(world_steps() < TURNS_MAX, "it came to no end");
}

static void wait_for(struct answer *a, const char *what) {
    while (!a->done) {
        turn();
    }
    SIM_CHECK(a->code == 0, "%s: %s: %s", what, sh_code_info(a->code)->name, a->message);
}

/* ---- the engine ---- */

static void engine_start(void) {
    struct answer opened = {0}, started = {0};
    struct sh_err err = {0};
    struct sh_engine_config config = {.loop = sim.loop,
                                      .data_dir = sim.dir,
                                      .executors = 2,
                                      .observe = true,
                                      .passivate_after_ms = world_random(2) ? 200 : 60000,
                                      .max_running = world_random(3) ? 0 : 2,
                                      .fatal = on_fatal};

    sh_twin_hold(sh_twin_named("sim"), true);
    SIM_CHECK(sh_store_open(sim.loop, "twin:sim", NULL, on_store, &opened, &sim.store, &err) == 0,
              "%s", err.message);
    wait_for(&opened, "the store opens");
    SIM_CHECK(sh_policy_parse(sim.policy_doc, NULL, NULL, &sim.policy, &err) == 0 &&
                  sh_sandbox_new(NULL, &sim.sandbox, &err) == 0 &&
                  sh_tools_new(sim.loop, NULL, &sim.tools, &err) == 0,
              "%s", err.message);
    config.store = sim.store;
    config.sandbox = sim.sandbox;
    config.tools = sim.tools;
    config.policy = sim.policy;
    sim.fatal = false;
    SIM_CHECK(sh_engine_start(&config, on_store, &started, &sim.engine, &err) == 0, "%s",
              err.message);
    wait_for(&started, "the engine starts");
}

static void engine_stop(void) {
    struct answer stopped = {0}, closed = {0};

    sh_engine_stop(sim.engine, on_gone, &stopped);
    wait_for(&stopped, "the engine stops");
    sh_store_close(sim.store, on_gone, &closed);
    wait_for(&closed, "the store closes");
    SIM_CHECK(clients_waiting() == 0, "%u requests were never answered", clients_waiting());
    sh_timer_stop(&sim.disk);
    sim.engine = NULL;
    sim.tools = sh_tools_free(sim.tools);
    sim.sandbox = sh_sandbox_free(sim.sandbox);
    sim.policy = sh_policy_free(sim.policy);
}

static void add_module(const char *program, const char *name) {
    struct answer a = {0};

    sh_engine_module_add(sim.engine, sh_str(program), name, NULL, on_json, &a);
    wait_for(&a, "a module is added");
    json_decref(a.value);
}

/* ---- what goes wrong ---- */

static void power_goes(void) {
    static const enum sh_twin_loss losses[] = {SH_TWIN_LOSE_ALL, SH_TWIN_LOSE_NONE,
                                               SH_TWIN_LOSE_FIRST, SH_TWIN_LOSE_LAST};
    struct sh_twin *twin = sh_twin_named("sim");
    json_t *left;

    sh_twin_power_loss(twin, losses[world_random(4)]);
    left = sh_twin_snapshot(twin);
    model_durable(left);
    json_decref(left);
    engine_stop();
    sim.stats.losses++;
    if (world_random(4) == 0) { /* nobody was there for a while */
        world_clock_jump((int64_t)world_random(3 * DAY_US));
    }
    engine_start();
}

static void disturb(void) {
    switch (world_random(8)) {
    case 0:
        if (clients_waiting() > 0) { /* a key may end under a request, which is nobody's fault */
            return;
        }
        world_clock_jump(world_random(2) ? DAY_US : -DAY_US);
        sim.stats.jumps++;
        break;
    case 1:
        engine_stop();
        engine_start();
        sim.stats.stops++;
        break;
    case 2:
    case 3:
        model_fail();
        sim.stats.failures++;
        break;
    default:
        power_goes();
    }
}

/* ---- a history ---- */

static bool all_ended(void) {
    for (unsigned i = 0; i < sim.n_clients; i++) {
        if (!sim.clients[i].ended) {
            return false;
        }
    }
    return clients_waiting() == 0;
}

static void live(void) {
    sim.quiet = world_random(200);
    sim.disturbances = sim.disturbed ? 1 + (unsigned)world_random(12) : 0;
    while (!all_ended()) {
        if (world_random(8) == 0) {
            client_act(&sim.clients[world_random(sim.n_clients)], sim.engine);
        }
        turn();
        SIM_CHECK(!sim.fatal, "the engine gave up the store");
        if (sim.disturbances && sim.quiet-- == 0) {
            disturb();
            sim.disturbances--;
            sim.quiet = world_random(400);
        }
    }
}

static char *verified(const char *id) {
    struct answer a = {0};
    char *digest;

    sh_engine_verify(sim.engine, sh_str(id), on_json, &a);
    wait_for(&a, "a workflow is verified");
    sh_auto(sh_free_p) char *text = sh_json_text(a.value);
    SIM_CHECK(sh_json_get_bool(a.value, "ok", false), "%s does not verify: %s", id, text);
    digest = sh_strdup(json_string_value(json_object_get(a.value, "digest")));
    json_decref(a.value);
    return digest;
}

static void check_client(struct client *c) {
    sh_auto(sh_free_p) char *digest = verified(c->id);

    if (!sim.disturbed) {
        c->digest = sh_take(&digest);
        c->calm = journal_of(c->id);
    } else if (!c->cancels && strcmp(digest, c->digest) != 0) {
        json_t *journal = journal_of(c->id);
        show_journal("undisturbed", c->calm, 0, SIZE_MAX);
        show_journal("disturbed", journal, 0, SIZE_MAX);
        json_decref(journal);
        sim_fail("%s: another run than the undisturbed one", c->key);
    }
}

/* A client that was told nothing for more than a day may have started another one. */
static bool is_client(const char *id) {
    for (unsigned i = 0; i < sim.n_clients; i++) {
        if (strcmp(sim.clients[i].id, id) == 0) {
            return true;
        }
    }
    return false;
}

/* How many of all tasks, or of those that clients know with their families, have not ended. */
static unsigned open_tasks(bool clients_only) {
    sh_auto(sh_json_done) json_t *all = sh_twin_snapshot(sh_twin_named("sim"));
    unsigned n = 0;
    json_t *row;
    const char *id;

    json_object_foreach(json_object_get(all, "workflow"), id, row) {
        const char *root = json_string_value(json_object_get(row, "root"));
        n +=
            !json_object_get(row, "completed_at") && (!clients_only || is_client(root ? root : id));
    }
    return n;
}

/* What an end means to the others of a family comes after it. */
static void families_end(void) {
    while (sim.families && open_tasks(true) > 0) {
        for (int i = 0; i < 200; i++) {
            turn();
        }
    }
}

static void check_children(void) {
    struct answer a = {0};
    json_t *row;
    size_t i;

    sh_engine_list(sim.engine, NULL, NULL, 0, 1000, on_json, &a);
    wait_for(&a, "all are listed");
    json_array_foreach(json_object_get(a.value, "tasks"), i, row) {
        if (json_object_get(row, "parent") &&
            is_client(json_string_value(json_object_get(row, "root")))) {
            SIM_CHECK(json_object_get(row, "completed_at") != NULL, "a child did not end");
            sh_auto(sh_free_p) char *digest =
                verified(json_string_value(json_object_get(row, "id")));
        }
    }
    json_decref(a.value);
}

/* What a start would take up, or NULL. gives  its name, to be freed */
static char *left_over(void) {
    static const char *const tables[] = {"active", "wake", "wake_day"};
    sh_auto(sh_json_done) json_t *all = sh_twin_snapshot(sh_twin_named("sim"));
    json_t *record;
    const char *key;

    for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
        json_object_foreach(json_object_get(all, tables[i]), key, record) {
            return sh_asprintf("%s: %s", tables[i], key);
        }
    }
    json_object_foreach(json_object_get(all, "meta"), key, record) {
        if (strncmp(key, "family-", 7) == 0) {
            return sh_asprintf("meta: %s", key);
        }
    }
    return NULL;
}

/* Of a task whose client was never told of it there may be something. */
static void check_nothing_left(void) {
    if (open_tasks(false) == 0) {
        for (int i = 0; i < 2000; i++) { /* records of ends are looked at after them */
            turn();
        }
        sh_auto(sh_free_p) char *left = left_over();
        SIM_CHECK(!left, "all have ended, but there is %s", left);
    }
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw) {
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

static void run(uint64_t seed, bool disturbed) {
    struct sh_err err = {0};

    sim.disturbed = disturbed;
    world_begin(seed * 2 + disturbed);
    model_begin();
    snprintf(sim.dir, sizeof(sim.dir), "%s/shannon-sim-XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    SIM_CHECK(mkdtemp(sim.dir) != NULL, "no directory %s", sim.dir);
    SIM_CHECK(sh_loop_new(&sim.loop, &err) == 0, "%s", err.message);
    engine_start();
    for (const struct client_agent *g = client_agents;
         g->name && (sim.families || g == client_agents); g++) {
        add_module(g->program, g->name);
    }
    for (unsigned i = 0; i < sim.n_clients; i++) {
        struct client *c = &sim.clients[i];

        c->id[0] = '\0';
        c->ended = c->canceled = false;
        c->acknowledged = 0;
        c->submitted_us = 0;
        c->tries = 0;
        json_array_clear(c->told);
        add_module(c->program, NULL);
    }
    live();
    for (unsigned i = 0; i < sim.n_clients; i++) {
        check_client(&sim.clients[i]);
    }
    families_end();
    check_children();
    check_nothing_left();
    engine_stop();
    sh_twin_forget("sim");
    sim.loop = sh_loop_free(sim.loop);
    nftw(sim.dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void history(uint64_t seed) {
    sim.seed = seed;
    world_begin(seed);
    sim.n_clients = 1 + (unsigned)world_random(CLIENTS_MAX);
    for (unsigned i = 0; i < sim.n_clients; i++) {
        client_make(&sim.clients[i], i, sim.families);
    }
    run(seed, false);
    run(seed, true);
    for (unsigned i = 0; i < sim.n_clients; i++) {
        client_done(&sim.clients[i]);
    }
}

/* Each in a process of its own: what one leaves behind is no part of another. gives false: failed
 */
static bool apart(uint64_t seed) {
    int pipe_fd[2], status = 0;
    struct stats seen = {0};
    pid_t child;

    fflush(stdout);
    if (pipe(pipe_fd) != 0 || (child = fork()) < 0) {
        perror("sim");
        exit(2);
    }
    if (child == 0) {
        close(pipe_fd[0]);
        memset(&sim.stats, 0, sizeof(sim.stats));
        alarm(300);
        history(seed);
        if (write(pipe_fd[1], &sim.stats, sizeof(sim.stats)) != sizeof(sim.stats)) {
            _exit(2);
        }
        json_decref(sim.policy_doc);
        model_end();
        exit(0); /* where leaks are looked for */
    }
    close(pipe_fd[1]);
    bool whole = read(pipe_fd[0], &seen, sizeof(seen)) == sizeof(seen);
    close(pipe_fd[0]);
    waitpid(child, &status, 0);
    if (!whole || status != 0) {
        fprintf(stderr, "sim: failed (status %d): repeat with %s%s --seed %llu\n", status,
                sim.program, sim.families ? " --families" : "", (unsigned long long)seed);
        return false;
    }
    sim.stats.histories++;
    sim.stats.losses += seen.losses;
    sim.stats.stops += seen.stops;
    sim.stats.jumps += seen.jumps;
    sim.stats.failures += seen.failures;
    return true;
}

static uint64_t number(const char *text) {
    char *end = NULL;
    uint64_t n = text ? strtoull(text, &end, 10) : 0;

    if (!text || end == text || *end) {
        fprintf(stderr, "sim: a number is expected, not \"%s\"\n", text ? text : "");
        exit(2);
    }
    return n;
}

int main(int argc, char **argv) {
    uint64_t seed = 1, count = 1, seconds = UINT32_MAX;

    sim.program = argv[0];
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--seed") == 0) {
            seed = number(argv[++i]);
        } else if (strcmp(argv[i], "--count") == 0) {
            count = number(argv[++i]);
        } else if (strcmp(argv[i], "--seconds") == 0) {
            seconds = number(argv[++i]);
        } else if (strcmp(argv[i], "--families") == 0) {
            sim.families = true;
        } else {
            fprintf(stderr, "usage: sim [--families] [--seed N] [--count N] [--seconds N]\n");
            return 2;
        }
    }
    sim.policy_doc = json_pack("{s:[{s:s, s:{s:[s,s,s,s]}}]}", "rules", "agent", "*", "allow",
                               "tools", "workflow", "llm", "kv", "calculator");
    int64_t begin_ms = world_real_ms();
    bool good = true;
    for (uint64_t i = 0;
         good && i < count && world_real_ms() - begin_ms < (int64_t)(seconds * 1000); i++) {
        good = apart(seed + i);
    }
    printf("%lu histories in %lld ms: %lu power losses, %lu stops, %lu clock jumps, %lu failures\n",
           sim.stats.histories, (long long)(world_real_ms() - begin_ms), sim.stats.losses,
           sim.stats.stops, sim.stats.jumps, sim.stats.failures);
    json_decref(sim.policy_doc);
    return good ? 0 : 1;
}
