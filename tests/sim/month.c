/* A month in virtual time: thousands of sleepers of every kind, most of them passivated, and
 * schedules in several zones, two of which change to summer time meanwhile. Run twice: with the
 * engine stopped and started now and then, and with a wall clock that is set a day forward and
 * back. What has to hold: a sleep is as long as was asked for, whatever the wall clock does; a time
 * of day and a deadline come when the wall clock shows them; each due time of a schedule makes one
 * task, and no other time makes any.
 *
 *   month [SLEEPERS] [SEED] */
#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/fake_tools.c"

#include "engine/engine.h"
#include "sim/world.h"
#include "store/store_twin.h"

#define DAY_US 86400000000LL
#define MONTH_US (31 * DAY_US)
#define FIRST_US 1709251200000000LL /* 2024-03-01; the clocks change on the 10th and the 31st */
#define LATE_US 5000000             /* when thousands begin at once, and after a restart */
#define LOOK_US 15000000 /* how often a time of day is compared with a clock that is set */

#define CHECK(cond, ...)                                                                           \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            failed(__VA_ARGS__);                                                                   \
        }                                                                                          \
    } while (0)

enum kind { ONE_BY_ONE, OWN, SIDE_BY_SIDE, TIME_OF_DAY, DEADLINE, KINDS };

struct sleeper {
    char id[SH_ID_MAX + 1];
    enum kind kind;
    int64_t began_us, sleep_us; /* on CLOCK_BOOTTIME */
    int64_t until_us;           /* wall clock; 0: it sleeps relative to its beginning */
    int64_t shown_us;           /* when a set clock first showed that time; 0: no jump passed it */
    bool ended;
};

static const struct {
    const char *name, *cron, *zone;
    int runs;       /* in the month */
    int64_t odd_us; /* the one gap between them that is not gap_us; 0: none */
    int64_t gap_us;
} schedules[] = {
    {"hourly", "0 * * * *", "America/New_York", 744, 0, DAY_US / 24},
    {"before the change", "30 1 * * *", "Europe/Berlin", 32, DAY_US - DAY_US / 24, DAY_US},
    {"what is jumped over", "30 2 * * *", "America/New_York", 31, -1, DAY_US},
    {"weekly", "15 7 * * 1", "UTC", 4, 0, 7 * DAY_US},
};
#define N_SCHEDULES (sizeof(schedules) / sizeof(schedules[0]))

static struct {
    uint64_t seed;
    bool jumps;
    char dir[64];
    struct sh_loop *loop;
    struct sh_store *store;
    struct sh_sandbox *sandbox;
    struct sh_tools *tools;
    struct sh_policy *policy;
    struct sh_engine *engine;
    struct sleeper *sleepers;
    size_t n, n_ended;
    int64_t latest_us; /* the worst lateness so far */
    char *schedule_ids[N_SCHEDULES];
} m;

static void failed(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
static void failed(const char *format, ...) {
    va_list args;

    fprintf(stderr, "month: seed %llu, %s: ", (unsigned long long)m.seed,
            m.jumps ? "with jumps" : "with restarts");
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, "\n");
    exit(1);
}

static int64_t boot_us(void) {
    return (int64_t)(sh_boot_ns() / 1000);
}

static void turn(void) {
    CHECK(world_turn(m.loop), "nothing will ever happen again");
}

struct answer {
    bool done;
    int code;
    json_t *value;
};

static void on_json(void *arg, json_t *value, const struct sh_err *err) {
    struct answer *a = arg;

    a->done = true;
    a->code = err ? err->code : 0;
    a->value = value ? json_deep_copy(value) : NULL;
}

static void on_row(void *arg, json_t *row, bool cached, const struct sh_err *err) {
    (void)cached;
    on_json(arg, row, err);
}

static void on_store(void *arg, const struct sh_err *err) {
    on_json(arg, NULL, err);
}

static void on_gone(void *arg) {
    on_json(arg, NULL, NULL);
}

static json_t *wait_for(struct answer *a, const char *what) {
    while (!a->done) {
        turn();
    }
    CHECK(a->code == 0, "%s: %s", what, sh_code_info(a->code)->name);
    return a->value;
}

static void start(void) {
    struct answer opened = {0}, started = {0};
    struct sh_err err = {0};
    struct sh_engine_config config = {.loop = m.loop,
                                      .data_dir = m.dir,
                                      .executors = 2,
                                      .observe = true,
                                      .passivate_after_ms = 0};

    CHECK(sh_store_open(m.loop, "twin:month", NULL, on_store, &opened, &m.store, &err) == 0, "%s",
          err.message);
    wait_for(&opened, "the store opens");
    CHECK(sh_policy_parse(NULL, NULL, NULL, &m.policy, &err) == 0 &&
              sh_sandbox_new(NULL, &m.sandbox, &err) == 0 &&
              sh_tools_new(m.loop, NULL, &m.tools, &err) == 0,
          "%s", err.message);
    config.store = m.store;
    config.sandbox = m.sandbox;
    config.tools = m.tools;
    config.policy = m.policy;
    CHECK(sh_engine_start(&config, on_store, &started, &m.engine, &err) == 0, "%s", err.message);
    wait_for(&started, "the engine starts");
}

static void stop(void) {
    struct answer stopped = {0}, closed = {0};

    sh_engine_stop(m.engine, on_gone, &stopped);
    wait_for(&stopped, "the engine stops");
    sh_store_close(m.store, on_gone, &closed);
    wait_for(&closed, "the store closes");
    m.tools = sh_tools_free(m.tools);
    m.sandbox = sh_sandbox_free(m.sandbox);
    m.policy = sh_policy_free(m.policy);
}

/* ---- sleepers ---- */

/* From a millisecond to four weeks, short and long ones alike. */
static int64_t some_sleep(void) {
    static const int64_t most_us[] = {20000,      3000000,    600000000,
                                      DAY_US / 4, 2 * DAY_US, 14 * DAY_US};
    int64_t most = most_us[world_random(sizeof(most_us) / sizeof(most_us[0]))];

    return (1 + (int64_t)world_random((uint64_t)most / 1000)) * 1000;
}

static char *program_of(struct sleeper *s) {
    int64_t a = some_sleep(), b = some_sleep();

    s->sleep_us = s->kind == SIDE_BY_SIDE ? (a > b ? a : b) : a + b;
    switch (s->kind) {
    case OWN:
        return sh_asprintf("(module\nsleep %lld\nsleep %lld\n", (long long)a / 1000,
                           (long long)b / 1000);
    case TIME_OF_DAY:
        s->until_us = sh_wall_us() / 1000 * 1000 + a + b;
        return sh_asprintf("(module\nstart sleep {\"until\":%lld}\nwait any\n",
                           (long long)s->until_us / 1000);
    case DEADLINE:
        return sh_asprintf("(module\nstart sleep {\"ms\":%lld}\nwait any\n",
                           (long long)MONTH_US * 12 / 1000);
    case SIDE_BY_SIDE:
        return sh_asprintf("(module\nstart sleep {\"ms\":%lld}\nstart sleep {\"ms\":%lld}\n"
                           "wait 2\nwait 1\n",
                           (long long)a / 1000, (long long)b / 1000);
    default:
        return sh_asprintf("(module\nstart sleep {\"ms\":%lld}\nwait any\n"
                           "start sleep {\"ms\":%lld}\nwait any\n",
                           (long long)a / 1000, (long long)b / 1000);
    }
}

static void ended(struct sleeper *s) {
    int64_t late_us = boot_us() - s->began_us - s->sleep_us;

    if (s->until_us) {
        CHECK(sh_wall_us() >= s->until_us || s->shown_us, "%s ended before its time of day", s->id);
        late_us = s->shown_us ? boot_us() - s->shown_us : sh_wall_us() - s->until_us;
        late_us -= s->shown_us ? LOOK_US : 0;
    }
    CHECK(late_us >= 0 || s->shown_us, "%s (kind %d) ended %lld us too early", s->id, s->kind,
          (long long)-late_us);
    CHECK(late_us < LATE_US, "%s (kind %d, of %lld s) ended %lld s too late", s->id, s->kind,
          (long long)s->sleep_us / 1000000, (long long)late_us / 1000000);
    m.latest_us = late_us > m.latest_us ? late_us : m.latest_us;
    s->ended = true;
    m.n_ended++;
}

static void on_event(void *arg, const struct sh_live_event *ev) {
    struct sleeper *s = arg;

    if (ev->event && !s->ended && sh_event_is_final(ev->event->type)) {
        CHECK(sh_str_eqz(ev->event->type,
                         s->kind == DEADLINE ? "WorkflowFailed" : "WorkflowCompleted"),
              "%s (kind %d) ended with %.*s", s->id, s->kind, (int)ev->event->type.len,
              ev->event->type.p);
        ended(s);
    }
}

static void on_missing(void *arg) {
    failed("%s is not there", ((struct sleeper *)arg)->id);
}

static void follow(struct sleeper *s, struct sh_subscription **ret) {
    struct sh_err err = {0};

    CHECK(sh_engine_subscribe(m.engine, sh_str(s->id), 0, on_event, on_missing, s, ret, &err) == 0,
          "%s", err.message);
}

static void submit(struct sleeper *s) {
    struct answer added = {0}, told = {0};
    sh_auto(sh_free_p) char *program = program_of(s);
    sh_auto(sh_json_done) json_t *caps = NULL;
    struct sh_submit in = {.query = SH_STR("sleep")};

    sh_engine_module_add(m.engine, sh_str(program), NULL, NULL, on_json, &added);
    in.agent = sh_json_get_str(wait_for(&added, "a module is added"), "hash");
    if (s->kind == DEADLINE) {
        sh_auto(sh_free_p) char *limit = sh_asprintf("%lldms", (long long)s->sleep_us / 1000);
        caps = json_pack("{s:{s:s}}", "limits", "deadline", limit);
        s->until_us = sh_wall_us() + s->sleep_us;
        in.capabilities = caps;
    }
    s->began_us = boot_us();
    sh_engine_submit(m.engine, &in, on_row, &told);
    snprintf(s->id, sizeof(s->id), "%s",
             json_string_value(json_object_get(wait_for(&told, "a sleeper is told of"), "id")));
    json_decref(told.value);
    json_decref(added.value);
}

/* ---- schedules ---- */

static void schedule(size_t i) {
    struct answer a = {0};
    json_t *doc =
        json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:i}", "name", schedules[i].name, "cron",
                  schedules[i].cron, "timezone", schedules[i].zone, "agent", "job", "query", "go",
                  "overlap", "allow", "catch_up", "all", "catch_up_max", 48);

    sh_engine_schedule_save(m.engine, (struct sh_str){0}, doc, on_json, &a);
    m.schedule_ids[i] =
        sh_strdup(json_string_value(json_object_get(wait_for(&a, "a schedule is made"), "id")));
    json_decref(a.value);
    json_decref(doc);
}

static int by_time(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

static size_t due_times(size_t i, int64_t *ret, size_t cap) {
    size_t n = 0, k;
    json_t *row;

    for (bool more = true; more;) {
        struct answer a = {0};
        sh_engine_list_family(m.engine, "schedule", sh_str(m.schedule_ids[i]), n, 500, on_json, &a);
        json_t *tasks = json_object_get(wait_for(&a, "tasks are listed"), "tasks");
        more = json_array_size(tasks) > 0;
        json_array_foreach(tasks, k, row) {
            CHECK(n < cap, "%s: more than %zu runs", schedules[i].name, cap);
            ret[n++] = sh_json_get_int(row, "due_at", 0);
        }
        json_decref(a.value);
    }
    qsort(ret, n, sizeof(*ret), by_time);
    return n;
}

/* Each due time of the month once, an equal time apart, but for the day when the clocks change. */
static void check_schedule(size_t i) {
    int64_t due[2000];
    size_t n = due_times(i, due, 2000), odd = 0;

    while (n > 0 && due[n - 1] >= FIRST_US + MONTH_US) {
        n--;
    }
    for (size_t k = 1; k < n; k++) {
        int64_t gap = due[k] - due[k - 1];
        CHECK(gap > 0, "%s: one due time made two tasks", schedules[i].name);
        if (gap != schedules[i].gap_us) {
            odd++;
            CHECK(schedules[i].odd_us != 0 &&
                      (schedules[i].odd_us < 0 || gap == schedules[i].odd_us),
                  "%s: %lld s between two runs", schedules[i].name, (long long)gap / 1000000);
        }
    }
    CHECK((int)n == schedules[i].runs, "%s: %zu runs, not %d", schedules[i].name, n,
          schedules[i].runs);
    CHECK(odd <= 2, "%s: %zu odd days", schedules[i].name, odd);
}

/* ---- the month ---- */

static void jump(int64_t us) {
    int64_t was_us = sh_wall_us();

    world_clock_jump(us);
    for (size_t i = 0; i < m.n; i++) {
        struct sleeper *s = &m.sleepers[i];
        if (!s->ended && s->until_us > was_us && s->until_us <= was_us + us) {
            s->shown_us = boot_us();
        }
    }
}

static void follow_all(struct sh_subscription **subs) {
    for (size_t i = 0; i < m.n; i++) {
        if (!m.sleepers[i].ended) {
            follow(&m.sleepers[i], &subs[i]);
        }
    }
}

static void unfollow_all(struct sh_subscription **subs) {
    for (size_t i = 0; i < m.n; i++) {
        sh_engine_unsubscribe(subs[i]);
        subs[i] = NULL;
    }
}

static void live_until(int64_t until_boot_us) {
    while (boot_us() < until_boot_us) {
        turn();
    }
}

static void spend_the_month(void) {
    struct sh_subscription **subs = sh_new_array(struct sh_subscription *, m.n);
    int64_t begin_us = boot_us();

    follow_all(subs);
    for (int day = 1; day <= 33; day++) {
        live_until(begin_us + day * DAY_US - (int64_t)world_random(DAY_US / 2));
        if (m.jumps && day < 28 && day % 3 == 0) {
            jump(day % 2 ? DAY_US : -DAY_US); /* as often forward as back */
        } else if (!m.jumps && day % 4 == 0) {
            unfollow_all(subs);
            stop();
            start();
            follow_all(subs);
        }
    }
    unfollow_all(subs);
    sh_free(subs);
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw) {
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

static void run(size_t sleepers, bool jumps) {
    struct sh_err err = {0};
    struct answer added = {0};
    int64_t real_ms = world_real_ms();

    m.jumps = jumps;
    m.n = sleepers;
    m.n_ended = 0;
    m.latest_us = 0;
    m.sleepers = sh_new_array(struct sleeper, sleepers);
    world_begin(m.seed);
    world_clock_jump(FIRST_US - 600000000 - sh_wall_us());
    snprintf(m.dir, sizeof(m.dir), "%s/shannon-month-XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    CHECK(mkdtemp(m.dir) != NULL, "no directory %s", m.dir);
    CHECK(sh_loop_new(&m.loop, &err) == 0, "%s", err.message);
    start();
    sh_engine_module_add(m.engine, SH_STR("(module\nprint done\n"), "job", NULL, on_json, &added);
    json_decref(wait_for(&added, "a module is added"));
    for (size_t i = 0; i < N_SCHEDULES; i++) {
        schedule(i);
    }
    for (size_t i = 0; i < m.n; i++) {
        m.sleepers[i].kind = (enum kind)(i % KINDS);
        submit(&m.sleepers[i]);
    }
    spend_the_month();
    CHECK(m.n_ended == m.n, "%zu of %zu sleepers ended", m.n_ended, m.n);
    for (size_t i = 0; i < N_SCHEDULES; i++) {
        check_schedule(i);
        sh_free(m.schedule_ids[i]);
    }
    stop();
    printf("%s: %zu sleepers, none later than %lld ms; %llu steps in %lld ms\n",
           jumps ? "with jumps" : "with restarts", m.n, (long long)m.latest_us / 1000,
           (unsigned long long)world_steps(), (long long)(world_real_ms() - real_ms));
    sh_twin_forget("month");
    m.loop = sh_loop_free(m.loop);
    m.sleepers = sh_free(m.sleepers);
    nftw(m.dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

int main(int argc, char **argv) {
    size_t sleepers = argc > 1 ? strtoul(argv[1], NULL, 10) : 2500;

    m.seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    run(sleepers, false);
    run(sleepers, true);
    return 0;
}
