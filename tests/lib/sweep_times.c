/* Scenarios: what begins by the clock, and what rests until it is given more. */
#include "sweep.h"

#include <stdio.h>
#include <string.h>

static void allow(struct fixture *f) {
    f->policy_doc = sweep_policy("{\"rules\":[{\"agent\":\"*\",\"allow\":{\"tools\":[\"llm\","
                                 "\"kv\",\"calculator\"]}}]}");
}

/* ---- schedules ---- */

#define DUE_US 3600000000LL /* so long ago it was due */

/* Its record, with its id as the store's readers see it. */
static json_t *schedule_of(const json_t *durable, const char *name) {
    const char *key;
    json_t *record, *found = NULL;

    json_object_foreach(json_object_get(durable, "meta"), key, record) {
        if (strncmp(key, "schedule:", 9) == 0 &&
            sh_str_eqz(sh_json_get_str(record, "name"), name)) {
            sweep_assert(!found, "two schedules %s", name);
            found = record;
            json_object_set_new(found, "id", json_string(key + 9));
        }
    }
    return found;
}

static int save(const char *name) {
    sh_auto(sh_json_done) json_t *doc =
        json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "name", name, "cron", "0 0 1 1 *", "agent",
                  "job", "query", "go", "overlap", "queue", "catch_up", "all");
    struct sweep_answer *a = sweep_ask();

    sh_engine_schedule_save(sweep.f.engine, (struct sh_str){0}, doc, sweep_on_json, a);
    return sweep_answered(a);
}

/* One whose time came while no engine ran: its record says so at the next start. */
static void a_missed_one(void) {
    struct sh_err err = {0};
    sh_auto(sh_json_done) json_t *durable = NULL;
    json_t *record;

    sweep_sure(sweep_module("(module\nstart llm {\"q\":1}\nwait any\nprint done\n", "job"), "job");
    sweep_sure(save("missed"), "save");
    durable = sh_twin_snapshot(sh_twin_named(sweep.f.endpoint + 5));
    record = schedule_of(durable, "missed");
    snprintf(sweep.note, sizeof(sweep.note), "schedule:%s",
             json_string_value(json_object_get(record, "id")));
    json_object_set_new(record, "next_at", json_integer(sh_wall_us() - DUE_US));
    json_object_set_new(record, "queue", json_pack("[I]", (json_int_t)(sh_wall_us() - DUE_US)));
    sh_assert_ok(sh_store_append(sweep.f.store, NULL, 0,
                                 &(struct sh_put){SH_TABLE_META, sh_str(sweep.note), record}, 1,
                                 NULL, NULL, &err),
                 &err);
}

static int save_other(void) {
    return save("other");
}

static bool saved(const json_t *durable) {
    return schedule_of(durable, "other") != NULL;
}

static int run_now(void) {
    sh_auto(sh_json_done) json_t *durable = sh_twin_snapshot(sh_twin_named(sweep.f.endpoint + 5));
    struct sweep_answer *a = sweep_ask();

    sh_engine_schedule_run(sweep.f.engine, sh_json_get_str(schedule_of(durable, "other"), "id"),
                           sweep_on_json, a);
    return sweep_answered(a);
}

static bool ran_now(const json_t *durable) {
    const json_t *record = schedule_of(durable, "other");

    return json_array_size(json_object_get(record, "queue")) > 0 ||
           sh_json_get_int(record, "total_runs", 0) > 0;
}

/* Both have run, once; their tasks are those that are followed. */
static int await_runs(void) {
    sh_auto(sh_json_done) json_t *durable = sh_twin_snapshot(sh_twin_named(sweep.f.endpoint + 5));
    static const char *const names[] = {"missed", "other"};

    for (size_t i = 0; i < 2; i++) {
        const json_t *record = schedule_of(durable, names[i]);
        const char *task = json_string_value(json_object_get(record, "last_task"));
        if (!task || sh_json_get_int(record, "successful_runs", 0) < 1) {
            return SWEEP_LATER;
        }
        snprintf(sweep.ids[i], sizeof(sweep.ids[i]), "%s", task);
    }
    return 0;
}

static void check_runs(const json_t *durable) {
    size_t n = json_object_size(json_object_get(durable, "workflow"));

    sweep_assert(n == 2, "%zu tasks instead of one for each due time", n);
}

static const struct sweep_step scheduled[] = {{"save", save_other, saved, false},
                                              {"run now", run_now, ran_now, false},
                                              {"wait for both", await_runs, NULL, false},
                                              {0}};
static const struct sweep_scenario schedules = {.name = "schedules",
                                                .set = allow,
                                                .prepare = a_missed_one,
                                                .steps = scheduled,
                                                .check = check_runs};

/* ---- a budget that is raised ---- */

static void asks_for_more(struct fixture *f) {
    allow(f);
    f->attended = f->budget_asks = true;
}

static int submit_poor(void) {
    sh_auto(sh_json_done) json_t *caps = json_pack("{s:{s:i}}", "limits", "tokens", 7);

    return sweep_submit(0,
                        "(module\nstart llm {\"q\":1}\nwait any\nstart llm {\"q\":1}\nwait any\n"
                        "print end\n",
                        &(struct sh_submit){.capabilities = caps});
}

static bool is_paused(const json_t *durable) {
    return sh_str_eqz(sh_json_get_str(sweep_row(durable, 0), "status"), "paused");
}

static int raise_it(void) {
    sh_auto(sh_json_done) json_t *more = json_pack("{s:i}", "tokens", 100);
    sh_auto(sh_json_done) json_t *durable = sh_twin_snapshot(sh_twin_named(sweep.f.endpoint + 5));
    struct sweep_answer *a;

    if (!is_paused(durable)) {
        return SWEEP_LATER;
    }
    a = sweep_ask();
    sh_engine_raise(sweep.f.engine, sh_str(sweep.ids[0]), more, "a client", "because",
                    sweep_on_json, a);
    return sweep_answered(a);
}

static bool raised(const json_t *durable) {
    return sweep_count(durable, 0, "BudgetRaised", NULL, NULL) > 0;
}

static void check_raised(const json_t *durable) {
    json_t *row = sweep_row(durable, 0);
    size_t n = sweep_count(durable, 0, "BudgetRaised", NULL, NULL);
    int64_t tokens = sh_json_get_int(json_object_get(row, "spent"), "tokens", 0);

    sweep_assert(n == 1 && sh_str_eqz(sh_json_get_str(row, "status"), "completed"),
                 "raised %zu times", n);
    sweep_assert(tokens >= 10, "%lld tokens spent", (long long)tokens);
}

static const struct sweep_step poor[] = {
    {"submit", submit_poor, NULL, false}, {"raise", raise_it, raised, false}, {0}};
static const struct sweep_scenario budgets = {
    .name = "budgets", .set = asks_for_more, .steps = poor, .check = check_raised};

const struct sweep_scenario *const sweep_times[] = {&schedules, &budgets, NULL};
